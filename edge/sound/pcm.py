"""Raw samples: bytes from a pipe, or arrays from any Python iterator, in; blocks out."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..errors import AudioError
from .resample import Mixer
from .sources import BLOCK_MS, SAMPLE_RATE_HZ, Block, Source, kilohertz, layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

RATES_HZ = range(8_000, 192_001)
"""Rates that raw samples may have."""

MOST_CHANNELS = 32

_CONTAINERS = {
    b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file", b"ID3": "an MP3 file",
    **dict.fromkeys((b"GET /", b"POST /", b"PUT /", b"HEAD /", b"OPTIONS "), "a request of HTTP"),
    b"\x16\x03": "a greeting of TLS",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PcmFormat:
    """Format of raw samples: signed, 16 bits, little-endian, channels interleaved, no header.

    Attributes
    ----------
    rate_hz : int
        Samples per second and channel, one of `RATES_HZ`.
    channels : int
        How many, 1 to `MOST_CHANNELS`.
    channel : int, optional
        The channel to use, counted from 1; by default their mean.

    Raises
    ------
    AudioError
        A value is out of its range.
    """

    rate_hz: int = SAMPLE_RATE_HZ
    channels: int = 1
    channel: int | None = None

    def __post_init__(self) -> None:
        if self.rate_hz not in RATES_HZ:
            raise AudioError(
                f"a rate of {self.rate_hz} samples a second is not possible; it must be "
                f"{RATES_HZ.start} to {RATES_HZ.stop - 1}"
            )
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise AudioError(
                f"{self.channels} channels are not possible; it must be 1 to {MOST_CHANNELS}"
            )
        if self.channel is not None and not 1 <= self.channel <= self.channels:
            raise AudioError(
                f"there is no channel {self.channel} of {self.channels}; "
                "channels are counted from 1"
            )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return 2 * self.channels

    @property
    def block_bytes(self) -> int:
        """Bytes of a block of `BLOCK_MS`."""
        return self.frame_bytes * (self.rate_hz * BLOCK_MS // 1000)

    def __str__(self) -> str:
        heard = layout(self.channels, self.channel)
        return f"16-bit PCM, {kilohertz(self.rate_hz)}, {heard}"


def container(head: bytes) -> str | None:
    """Return the file type that bytes begin like, if they are not raw samples; else None."""
    return next((kind for start, kind in _CONTAINERS.items() if head.startswith(start)), None)


class PcmDecoder:
    """Bytes in, mono samples at the model's rate out, wherever the bytes are split.

    Parameters
    ----------
    form : PcmFormat
        Format of the bytes.
    sample_rate_hz : int
        Rate of the output.
    """

    def __init__(self, form: PcmFormat, sample_rate_hz: int) -> None:
        self._form = form
        self._mixer = Mixer(form.rate_hz, sample_rate_hz, form.channel)
        self.rest = b""
        """Bytes of an incomplete sample."""

    def reset(self) -> None:
        """Start anew: what comes next does not follow what came before."""
        self.rest = b""
        self._mixer.reset()

    def feed(self, data: bytes, *, last: bool = False) -> NDArray[np.int16]:
        """Return (n,) int16, the samples that are ready; n may be 0."""
        data = self.rest + data
        whole = len(data) // self._form.frame_bytes * self._form.frame_bytes
        self.rest = data[whole:]
        frames = np.frombuffer(data[:whole], dtype="<i2").reshape(-1, self._form.channels)
        return self._mixer.feed(frames.astype(np.int16), last=last)


class PcmStream(Source):
    """Raw samples from a pipe.

    Blocks are as long as what can be read without waiting, so a live pipe (``arecord … | harken``)
    adds no delay.

    Parameters
    ----------
    stream : BinaryIO
        To read from; must have ``read1``, as `sys.stdin.buffer` has.
    sample_rate_hz : int
        Rate of the blocks.
    form : PcmFormat, optional
        Format of the bytes; by default mono at the rate of the blocks.
    name : str
        Name of the stream in messages.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        form: PcmFormat | None = None,
        name: str = "standard input",
    ) -> None:
        self._form = PcmFormat(rate_hz=sample_rate_hz) if form is None else form
        super().__init__(f"{name} ({self._form})")
        self._stream = stream
        self._name = name
        self._decoder = PcmDecoder(self._form, sample_rate_hz)

    def __iter__(self) -> Iterator[Block]:
        """Yield the samples as they come; see `Source`."""
        count = 0
        while data := self._stream.read1(self._form.block_bytes):  # type: ignore[attr-defined]
            if count == 0:
                self._refuse_container(data)
            count += len(data)
            yield from _block(self._decoder.feed(data))
        rest = self._decoder.rest
        yield from _block(self._decoder.feed(b"", last=True))
        if rest:
            raise AudioError(
                f"{self._name} ended in the middle of a sample, after {count} bytes; 16-bit "
                f"samples are {self._form.frame_bytes} bytes each: is it really {self._form}, and "
                "was it cut off?"
            )
        if count == 0:
            raise AudioError(f"{self._name} ended before the first sample; did its writer fail?")

    def close(self) -> None:
        """Leave the stream open: it belongs to the caller."""

    def _refuse_container(self, head: bytes) -> None:
        """Raise for a sound file: its header, and perhaps its audio, would sound like noise."""
        kind = container(head)
        if kind is not None:
            raise AudioError(
                f"{self._name} holds {kind}, not raw samples; use: harken listen --wav FILE"
            )


class Chunks(Source):
    """Arrays from any Python iterator: a generator, a queue, another program's microphone.

    Parameters
    ----------
    chunks : iterable
        Of arrays of shape ``(n,)`` or ``(n, channels)``, int16, or float32 with full scale at ±1;
        any n.
    rate_hz : int
        Their rate.
    sample_rate_hz : int
        Rate of the blocks.
    channel : int, optional
        The channel to use, counted from 1; by default their mean.

    Examples
    --------
    >>> Listener(Spotter("commands"), Chunks(frames_of_my_robot(), rate_hz=48_000)).run()
    """

    def __init__(
        self,
        chunks: Iterable[NDArray[Any]],
        *,
        rate_hz: int = SAMPLE_RATE_HZ,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        channel: int | None = None,
    ) -> None:
        super().__init__(f"an iterator ({kilohertz(rate_hz)})")
        self._chunks = chunks
        self._channel = channel
        self._mixer = Mixer(rate_hz, sample_rate_hz, channel)

    def __iter__(self) -> Iterator[Block]:
        """Yield the samples of each chunk as it comes; see `Source`."""
        for chunk in self._chunks:
            self._check(chunk)
            yield from _block(self._mixer.feed(chunk))
        yield from _block(self._mixer.feed(np.zeros(0, np.float32), last=True))

    def _check(self, chunk: NDArray[Any]) -> None:
        if chunk.ndim not in (1, 2) or chunk.dtype not in (np.int16, np.float32):
            raise AudioError(
                f"a chunk is {chunk.dtype} of shape {chunk.shape}; it must be int16, or float32 "
                "within ±1, of shape (n,) or (n, channels)"
            )
        if self._channel is not None and chunk.ndim == 2 and self._channel > chunk.shape[1]:
            raise AudioError(f"a chunk has no channel {self._channel}; it has {chunk.shape[1]}")
        if not np.isfinite(chunk).all():
            raise AudioError("a chunk holds samples that are no number (NaN or infinite)")

    def close(self) -> None:
        """Leave the iterator alone: it belongs to the caller."""


def _block(samples: NDArray[np.int16]) -> Iterator[Block]:
    if len(samples):
        yield Block(samples=samples, arrived_at=time.monotonic())


def standard_input(
    *, sample_rate_hz: int = SAMPLE_RATE_HZ, form: PcmFormat | None = None
) -> PcmStream:
    """Return this process's standard input, as raw PCM.

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
    return PcmStream(sys.stdin.buffer, sample_rate_hz=sample_rate_hz, form=form)
