"""Sources of audio: a sound file in, int16 mono blocks at the model's rate out.

Every source yields `Block` objects of about `BLOCK_MS`, and counts dropped audio in
`Source.overflow`. The other sources have their own modules: `harken.edge.sound.microphone`,
`harken.edge.sound.pcm` for raw samples, `harken.edge.sound.remote`.

Whatever arrives in real time (the microphone, a recording played by `RealTime`) passes through a
`BlockQueue`: the producer never waits, and if the listener is too slow, dropped blocks are counted.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import AudioError
from ..files import name_for_libsndfile
from .resample import MonoResampler, cancels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
"""Rate of the blocks unless the model asks for another one."""

BLOCK_MS = 20
"""Length of a block: one hop of the front end, so that blocks delay no word."""

QUEUE_S = 2.0
"""Audio that a `BlockQueue` holds, in seconds; more would only make a slow listener later."""

# Rates outside this range come from a damaged header, not a recording; at the 2 GHz that 32 bits
# can declare, a block of 20 ms would need gigabytes.
_FILE_RATES_HZ = range(1_000, 1_000_001)

# Bounds the memory for reading a file with very many channels.
_VALUES_PER_READ = 1 << 20


class Announcement(str):
    """A line for the user that is no warning, such as that a sender has come."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of audio without gaps.

    Attributes
    ----------
    samples : numpy.ndarray
        Shape ``(n,)``, int16, mono, at the rate requested from the source.
    arrived_at : float
        `time.monotonic` when the last sample became available. Latency counts from here, so that it
        includes time in the queue.
    lost_samples : int
        Samples dropped right before the first one, at the same rate.
    """

    samples: NDArray[np.int16]
    arrived_at: float
    lost_samples: int = 0


@dataclass(slots=True, kw_only=True)
class Overflow:
    """Dropped audio.

    Attributes
    ----------
    device : int
        Blocks before which the sound system reported a loss (it does not say how much).
    queue : int
        Blocks dropped at a full queue, because the listener was too slow.
    queue_s : float
        Seconds of audio in those.
    """

    device: int = 0
    queue: int = 0
    queue_s: float = 0.0

    @property
    def total(self) -> int:
        """Both kinds of blocks together."""
        return self.device + self.queue


class Source(ABC):
    """Audio to iterate over, once; a context manager that releases the file or the device.

    Attributes
    ----------
    description : str
        For people: the source and its rate.
    overflow : Overflow
        What was dropped so far; grows while the source runs.
    on_notice : callable
        Called with a line of text for the user when the source is interrupted and when it
        continues, in the thread that iterates.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        self.overflow = Overflow()
        self.on_notice: Callable[[str], object] = lambda line: None

    @abstractmethod
    def __iter__(self) -> Iterator[Block]:
        """Yield blocks until the audio ends.

        Raises
        ------
        AudioError
            The audio cannot be read any further. Everything before that was yielded.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what the source holds; calling it again does no harm."""

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
    """A bounded queue between the producing and the listening thread.

    When it is full it drops whole blocks; the next block that fits says how much was dropped.

    Parameters
    ----------
    overflow : Overflow
        Counts the blocks dropped at a full queue.
    sample_rate_hz : int
        Rate of the samples.
    capacity : int
        Samples that it holds; by default `QUEUE_S` of audio.
    """

    def __init__(
        self, overflow: Overflow, *, sample_rate_hz: int, capacity: int | None = None
    ) -> None:
        self._overflow = overflow
        self._sample_rate_hz = sample_rate_hz
        self._capacity = round(QUEUE_S * sample_rate_hz) if capacity is None else capacity
        self._held = 0  # samples in it
        self._blocks: deque[Block] = deque()
        self._lost_samples = 0  # dropped since the last block that fit
        self._changed = threading.Condition()
        self._closed = False
        self._error: Exception | None = None

    def put(self, block: Block) -> None:
        """Add a block, or drop and count it when the queue is full; never wait."""
        with self._changed:
            if self._held + len(block.samples) > self._capacity:
                self._overflow.queue += 1
                self._overflow.queue_s += len(block.samples) / self._sample_rate_hz
                self._lost_samples += block.lost_samples + len(block.samples)
            else:
                if self._lost_samples:
                    lost_samples = self._lost_samples + block.lost_samples
                    block = dataclasses.replace(block, lost_samples=lost_samples)
                    self._lost_samples = 0
                self._blocks.append(block)
                self._held += len(block.samples)
                self._changed.notify()

    def close(self, error: Exception | None = None) -> None:
        """End the queue: the listener still gets what is in it, then the error, if any."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
                self._changed.notify()

    def blocks(self, *, patience_s: float | None = None) -> Iterator[Block]:
        """Yield blocks, first in, first out, until the queue is closed and empty.

        Parameters
        ----------
        patience_s : float, optional
            Longest wait for one block.

        Raises
        ------
        TimeoutError
            Nothing was put for `patience_s`.
        Exception
            The error passed to `close`.
        """
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._blocks or self._closed, patience_s):
                    raise TimeoutError
                if not self._blocks:
                    break
                block = self._blocks.popleft()
                self._held -= len(block.samples)
            yield block
        if self._error is not None:
            raise self._error


class AudioFile(Source):
    """A sound file (any format of libsndfile), as fast as it can be read.

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
        The file does not exist, is not a sound file, or holds no samples.
    """

    def __init__(self, path: str | Path, *, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        import soundfile

        self._path = Path(path)
        try:
            self._path.open("rb").close()  # for the reason; libsndfile would say "System error"
        except OSError as error:
            raise AudioError(f"{path}: {error.strerror}; name one sound file") from None
        try:
            self._file = soundfile.SoundFile(name_for_libsndfile(self._path))
        except (soundfile.SoundFileError, TypeError) as error:
            # TypeError: the name ends in .raw, for which soundfile needs the format.
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
        super().__init__(f"{path} ({kilohertz(self._rate_hz)}, {layout(self._file.channels)})")

    def __iter__(self) -> Iterator[Block]:
        """Yield the file's audio; see `Source`."""
        resampler = MonoResampler(self._rate_hz, self._sample_rate_hz)
        for sound in self._read():
            try:
                samples = resampler.feed(sound)
            except AudioError as error:
                raise AudioError(f"{self._path}: {error}") from None
            yield from self._cut(samples)
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
        told = False
        while True:
            try:
                channels = self._file.read(frames, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(
                    f"{self._path}: cannot be decoded any further than the first "
                    f"{position / self._rate_hz:.2f} s ({_reason(error)}); the file is damaged"
                ) from None
            mono = channels.mean(axis=1)
            if not told and cancels(channels, mono):
                told = True
                self.on_notice(
                    "the channels cancel each other out, one is the other upside down: there is "
                    "no sound in their mean. Make a file of one of them, as with: "
                    "sox IN.wav OUT.wav remix 1"
                )
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


class RealTime(Source):
    """Another source, played in real time, as a microphone would deliver it.

    A thread replaces the sound card: it delivers each block at the time of its last sample, through
    the same kind of queue, with the same overflow.

    Parameters
    ----------
    source : Source
        What to play.
    sample_rate_hz : int
        Rate of its blocks.
    speed : float
        Speed factor, for measuring how much a listener can handle.
    """

    def __init__(
        self, source: Source, *, sample_rate_hz: int = SAMPLE_RATE_HZ, speed: float = 1.0
    ) -> None:
        super().__init__(f"{source.description}, played in real time")
        self._source = source
        self._samples_per_s = sample_rate_hz * speed
        self._queue = BlockQueue(self.overflow, sample_rate_hz=sample_rate_hz)
        self._stopped = threading.Event()
        self._player = threading.Thread(target=self._play, name="harken-player", daemon=True)

    def __iter__(self) -> Iterator[Block]:
        """Start playing, and yield the blocks as they are due; see `Source`."""
        self._player.start()
        return self._queue.blocks()

    def _play(self) -> None:
        try:
            started = time.monotonic()
            played = 0
            for block in self._source:
                played += len(block.samples)
                due = started + played / self._samples_per_s
                if self._stopped.wait(max(0.0, due - time.monotonic())):
                    break
                self._queue.put(dataclasses.replace(block, arrived_at=time.monotonic()))
            self._queue.close()
        except Exception as error:  # belongs to the listening thread
            self._queue.close(error)

    def close(self) -> None:
        """Stop playing and close the source."""
        self._stopped.set()
        if self._player.ident is not None:
            self._player.join()
        self._source.close()


def _reason(error: Any) -> str:
    """Return libsndfile's own message, without the text that it puts around it."""
    text: str = getattr(error, "error_string", str(error))
    return text.removeprefix("Error : ").rstrip(".")


def kilohertz(rate_hz: float) -> str:
    """Return a rate for people: ``44.1 kHz``."""
    return f"{rate_hz / 1000:g} kHz"


def layout(channels: int, channel: int | None = None) -> str:
    """Return which channels are used, for people; channels are counted from 1."""
    if channels == 1:
        return "mono"
    return f"mean of {channels} channels" if channel is None else f"channel {channel} of {channels}"
