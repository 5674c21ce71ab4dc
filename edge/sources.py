"""Where sound comes from: a file or raw PCM in, int16 mono blocks at the model's rate out.

Every source yields `Block` after `Block`, each about `BLOCK_MS` long, and counts what it lost on
the way in `Source.overflow`. The microphone is a source too, and has a module of its own:
`harken.edge.microphone`.

Whatever arrives in real time (the microphone, a recording played by `RealTime`) passes through a
`BlockQueue`: the side that produces sound never waits, and a listener that is too slow loses
blocks that are counted, never silently.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from .errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
"""Rate of the blocks unless the model asks for another one."""

BLOCK_MS = 20
"""Length of a block; one hop of the front end, so that no word waits for its samples."""

QUEUE_S = 2.0
"""Sound that a `BlockQueue` holds; more would only make a slow listener answer later."""

# Rates outside of this are no sound that anybody recorded, but a damaged header; a block of 20 ms
# at the 2 GHz that 32 bits can declare would need gigabytes.
_FILE_RATES_HZ = range(1_000, 1_000_001)

# Bounds the memory for a read of a file with very many channels.
_VALUES_PER_READ = 1 << 20

_CONTAINERS = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of sound without gaps.

    Attributes
    ----------
    samples : numpy.ndarray
        Shape ``(n,)``, int16, mono, at the rate that the source was asked for.
    arrived_at : float
        `time.monotonic` of the moment when the last sample could first be used. A word's latency
        counts from here, so that time spent waiting in a queue is part of it.
    """

    samples: NDArray[np.int16]
    arrived_at: float


@dataclass(slots=True, kw_only=True)
class Overflow:
    """Sound that was lost.

    Attributes
    ----------
    device : int
        Blocks before which the sound system says that it lost sound (how much, it does not say).
    queue : int
        Blocks that found the queue full, because the listener was too slow.
    queue_s : float
        Seconds of sound in those.
    """

    device: int = 0
    queue: int = 0
    queue_s: float = 0.0

    @property
    def total(self) -> int:
        """Both kinds together."""
        return self.device + self.queue


class Source(ABC):
    """Sound to iterate over, once; a context manager that lets go of the file or the device.

    Attributes
    ----------
    description : str
        For the person who listens: what is heard, from where and at which rate.
    overflow : Overflow
        What was lost so far; grows while the source runs.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        self.overflow = Overflow()

    @abstractmethod
    def __iter__(self) -> Iterator[Block]:
        """Yield blocks until the sound ends.

        Raises
        ------
        AudioError
            The sound cannot be read any further. Everything before that was yielded.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of what the source holds; more than one call does no harm."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class BlockQueue:
    """A bounded queue between the thread that produces sound and the one that listens.

    Parameters
    ----------
    overflow : Overflow
        Counts the blocks that found the queue full.
    sample_rate_hz : int
        Rate of the samples that are put in.
    capacity : int
        Blocks that it holds; `QUEUE_S` of sound if not given.
    """

    def __init__(
        self, overflow: Overflow, *, sample_rate_hz: int, capacity: int | None = None
    ) -> None:
        self._overflow = overflow
        self._sample_rate_hz = sample_rate_hz
        self._capacity = round(QUEUE_S * 1000 / BLOCK_MS) if capacity is None else capacity
        self._blocks: deque[Block] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: Exception | None = None

    def put(self, block: Block) -> None:
        """Add a block, or drop and count it when the queue is full; never wait."""
        with self._changed:
            if len(self._blocks) >= self._capacity:
                self._overflow.queue += 1
                self._overflow.queue_s += len(block.samples) / self._sample_rate_hz
            else:
                self._blocks.append(block)
                self._changed.notify()

    def close(self, error: Exception | None = None) -> None:
        """End the queue: the listener still gets what is in it, and then the error if any."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
                self._changed.notify()

    def blocks(self, *, patience_s: float | None = None) -> Iterator[Block]:
        """Yield blocks in the order in which they were put, until the queue is closed and empty.

        Parameters
        ----------
        patience_s : float, optional
            Longest wait for one block.

        Raises
        ------
        TimeoutError
            Nothing was put for `patience_s`.
        Exception
            What `close` was given.
        """
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._blocks or self._closed, patience_s):
                    raise TimeoutError
                if not self._blocks:
                    break
                block = self._blocks.popleft()
            yield block
        if self._error is not None:
            raise self._error


class MonoResampler:
    """Mono float32 sound at one rate in, int16 at another out, chunk by chunk (soxr, high quality).

    Where the rates are equal, sound that was int16 to begin with comes back bit for bit.

    Parameters
    ----------
    from_hz, to_hz : int
        The two rates.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = None
        if from_hz != to_hz:
            import soxr

            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def feed(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.int16]:
        """Return the samples that are ready; at the last chunk, all that are left.

        Parameters
        ----------
        samples : numpy.ndarray
            Shape ``(n,)``, float32, full scale is ±1; what lies beyond is clipped.
        last : bool
            Whether the sound ends here.

        Returns
        -------
        numpy.ndarray
            Shape ``(m,)``, int16; ``m`` may be 0.
        """
        samples = np.clip(samples, -1, 1)
        if self._stream is not None:
            samples = self._stream.resample_chunk(samples, last=last)
        scaled = np.rint(samples * np.float32(32768))
        pcm: NDArray[np.int16] = np.clip(scaled, -32768, 32767).astype(np.int16)
        return pcm


class AudioFile(Source):
    """A sound file (whatever libsndfile reads), as fast as it can be read.

    Any sample format, rate and number of channels; channels are averaged.

    Parameters
    ----------
    path : str or Path
        The file.
    sample_rate_hz : int
        Rate of the blocks.

    Raises
    ------
    AudioError
        The file does not exist, is no sound file, or holds no samples.
    """

    def __init__(self, path: str | Path, *, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        import soundfile

        self._path = Path(path)
        try:
            self._path.open("rb").close()  # for the reason; libsndfile would say "System error"
        except OSError as error:
            raise AudioError(f"{path}: {error.strerror}; name one sound file") from None
        try:
            self._file = soundfile.SoundFile(self._path)
        except (soundfile.SoundFileError, TypeError) as error:
            # TypeError: the name ends in .raw, and soundfile wants to be told what is inside.
            reason = (
                "raw samples have no header" if isinstance(error, TypeError) else _reason(error)
            )
            raise AudioError(
                f"{path}: is not a sound file that can be read ({reason}); wav, flac, "
                f"ogg and opus can. For raw 16-bit samples: harken listen --stdin < {path}"
            ) from None
        self._rate_hz: int = self._file.samplerate
        if self._rate_hz not in _FILE_RATES_HZ:
            self._file.close()
            raise AudioError(
                f"{path}: the header says {self._rate_hz} samples a second; {_FILE_RATES_HZ.start} "
                f"to {_FILE_RATES_HZ.stop - 1} are possible: the file is damaged"
            )
        if self._file.frames == 0:
            self._file.close()
            raise AudioError(f"{path}: holds no samples; was its recording or its copying cut off?")
        self._sample_rate_hz = sample_rate_hz
        layout = "mono" if self._file.channels == 1 else f"mean of {self._file.channels} channels"
        super().__init__(f"{path} ({kilohertz(self._rate_hz)}, {layout})")

    def __iter__(self) -> Iterator[Block]:
        """Yield the file's sound; see `Source`."""
        resampler = MonoResampler(self._rate_hz, self._sample_rate_hz)
        for sound in self._read():
            yield from self._cut(resampler.feed(sound))
        yield from self._cut(resampler.feed(np.zeros(0, np.float32), last=True))

    def _cut(self, samples: NDArray[np.int16]) -> Iterator[Block]:
        length = max(1, self._sample_rate_hz * BLOCK_MS // 1000)
        for start in range(0, len(samples), length):
            block = samples[start : start + length]
            yield Block(samples=block, arrived_at=time.monotonic())

    def _read(self) -> Iterator[NDArray[np.float32]]:
        """Yield the mean of the channels, at most a second at a time.

        Not a block at a time: soundfile seeks after each read, which is slow in compressed files.
        """
        import soundfile

        frames = max(1, min(self._rate_hz, _VALUES_PER_READ // self._file.channels))
        position = 0
        while True:
            try:
                channels = self._file.read(frames, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(
                    f"{self._path}: cannot be decoded any further than the first "
                    f"{position / self._rate_hz:.2f} s ({_reason(error)}); the file is damaged"
                ) from None
            mono = channels.mean(axis=1)
            finite = np.isfinite(mono)
            count = len(mono) if finite.all() else int(finite.argmin())
            if count:
                yield mono[:count]
            position += count
            if count < len(mono):
                raise AudioError(
                    f"{self._path}: {position / self._rate_hz:.2f} s into the file there are "
                    "samples that are no number (NaN or infinite); the file is damaged"
                )
            if len(mono) == 0:
                return

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PcmStream(Source):
    """Raw samples from a pipe: signed 16-bit little endian, mono, at the model's rate, no header.

    Blocks are as long as what can be read without waiting, so a live pipe (``arecord … | harken``)
    is heard without delay.

    Parameters
    ----------
    stream : BinaryIO
        To read from; must have ``read1``, as `sys.stdin.buffer` has.
    sample_rate_hz : int
        Rate of the samples.
    name : str
        What to call the stream.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        name: str = "standard input",
    ) -> None:
        super().__init__(f"{name} (16-bit PCM, {kilohertz(sample_rate_hz)}, mono)")
        self._stream = stream
        self._name = name
        self._sample_rate_hz = sample_rate_hz

    def __iter__(self) -> Iterator[Block]:
        """Yield the samples as they come; see `Source`."""
        block_bytes = 2 * (self._sample_rate_hz * BLOCK_MS // 1000)
        count = 0
        half = b""
        while data := self._stream.read1(block_bytes):  # type: ignore[attr-defined]
            if count == 0:
                self._refuse_container(data)
            count += len(data)
            data = half + data
            whole = len(data) // 2 * 2
            half = data[whole:]
            if whole:
                samples = np.frombuffer(data[:whole], dtype="<i2").astype(np.int16)
                yield Block(samples=samples, arrived_at=time.monotonic())
        if half:
            raise AudioError(
                f"{self._name} ended in the middle of a sample, after {count} bytes; "
                "16-bit samples are 2 bytes each: is it really 16-bit PCM, and was it cut off?"
            )
        if count == 0:
            raise AudioError(f"{self._name} ended before the first sample; did its writer fail?")

    def close(self) -> None:
        """Leave the stream open: it belongs to who passed it."""

    def _refuse_container(self, head: bytes) -> None:
        """Raise for a sound file; its header would be heard as noise, its sound perhaps too."""
        kind = _CONTAINERS.get(head[:4])
        if kind is not None:
            raise AudioError(
                f"{self._name} holds a {kind} file, not raw samples; use: harken listen --wav FILE"
            )


def standard_input(*, sample_rate_hz: int = SAMPLE_RATE_HZ) -> PcmStream:
    """Return what is piped into this process, as raw PCM.

    Raises
    ------
    AudioError
        Standard input is closed, or a terminal.
    """
    if sys.stdin is None or sys.stdin.isatty():
        what = "closed" if sys.stdin is None else "a terminal"
        raise AudioError(
            f"standard input is {what}; pipe samples into it, for example: "
            f"arecord -t raw -f S16_LE -c 1 -r {sample_rate_hz} | harken listen --stdin"
        )
    return PcmStream(sys.stdin.buffer, sample_rate_hz=sample_rate_hz)


class RealTime(Source):
    """Another source played at the speed of real time, as a microphone would hear it.

    A thread takes the place of the sound card: it hands over each block when its last sample would
    have been spoken, through the same kind of queue, with the same overflow.

    Parameters
    ----------
    source : Source
        What to play.
    sample_rate_hz : int
        Rate of its blocks.
    """

    def __init__(self, source: Source, *, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        super().__init__(f"{source.description}, played in real time")
        self._source = source
        self._sample_rate_hz = sample_rate_hz
        self._queue = BlockQueue(self.overflow, sample_rate_hz=sample_rate_hz)
        self._stopped = threading.Event()
        self._player = threading.Thread(target=self._play, name="harken-player", daemon=True)

    def __iter__(self) -> Iterator[Block]:
        """Start to play, and yield the blocks as they are due; see `Source`."""
        self._player.start()
        return self._queue.blocks()

    def _play(self) -> None:
        try:
            started = time.monotonic()
            played = 0
            for block in self._source:
                played += len(block.samples)
                due = started + played / self._sample_rate_hz
                if self._stopped.wait(max(0.0, due - time.monotonic())):
                    break
                self._queue.put(Block(samples=block.samples, arrived_at=time.monotonic()))
            self._queue.close()
        except Exception as error:  # belongs to the thread that listens
            self._queue.close(error)

    def close(self) -> None:
        """Stop playing and close the source."""
        self._stopped.set()
        if self._player.ident is not None:
            self._player.join()
        self._source.close()


def _reason(error: Any) -> str:
    """Return libsndfile's own words, without what it puts around them."""
    text: str = getattr(error, "error_string", str(error))
    return text.removeprefix("Error : ").rstrip(".")


def kilohertz(rate_hz: float) -> str:
    """Return a rate for people: ``44.1 kHz``."""
    return f"{rate_hz / 1000:g} kHz"
