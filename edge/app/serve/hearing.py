"""One client's audio chunks in, the words in them with the client's timestamps out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import AudioError
from ...sound.pcm import MOST_CHANNELS, RATES_HZ
from ...sound.resample import MonoResampler
from ...spotting.spotter import Spotter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from .offer import Offer

WIDTHS = (1, 2, 3, 4)
"""Bytes that a sample may have; all are signed and little endian."""

# Processed at a time, so that clients take turns; 0.25 s of audio takes about 1 ms.
_PIECE_SAMPLES = 4_000


class ChunkFormat(NamedTuple):
    """The format that a chunk declares."""

    rate_hz: int
    width: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A detected word.

    Attributes
    ----------
    word : str
        The word.
    confidence : float
        The evidence that decided it, in 0..1.
    end_sample : int
        Samples processed when it was decided, at the model's rate, since the audio began.
    timestamp_ms : int
        The same moment by the client's clock; without one, since the audio began.
    """

    word: str
    confidence: float
    end_sample: int
    timestamp_ms: int


class Hearing:
    """Detects words in the audio of one client.

    Parameters
    ----------
    offered : sequence of Offer
        The models and words to detect.
    """

    def __init__(self, offered: Sequence[Offer]) -> None:
        self._offered = offered
        self._wanted: Collection[str] | None = None
        self._spotters: dict[int, Spotter] = {}
        self._resamplers: dict[int, MonoResampler] = {}
        self._form: ChunkFormat | None = None
        self._came_s = 0.0  # audio received, resampled or still in the resampler
        self._origin_ms = 0.0  # the client's clock when the audio began

    def want(self, words: Collection[str] | None) -> None:
        """Report only these words; None means all. The audio so far is not forgotten."""
        self._wanted = words

    def begin(self, timestamp_ms: float | None = None) -> None:
        """Reset: the next chunk is the beginning of the audio."""
        for spotter in self._spotters.values():
            spotter.reset()
        self._resamplers = {}
        self._form = None
        self._came_s = 0.0
        self._origin_ms = timestamp_ms or 0.0

    def feed(
        self, data: bytes, form: ChunkFormat, timestamp_ms: float | None = None
    ) -> Iterator[list[Found]]:
        """Process a chunk piece by piece; yield the words found after each piece.

        Parameters
        ----------
        data : bytes
            Whole samples of all channels, interleaved.
        form : ChunkFormat
            Their format; it may change from chunk to chunk.
        timestamp_ms : float, optional
            When the first sample was recorded, by the client's clock.

        Raises
        ------
        AudioError
            The format is not supported, or a sample is incomplete. Nothing was processed.
        """
        sound = _decode(data, form)
        if form != self._form:
            if self._form is not None and form.rate_hz != self._form.rate_hz:
                yield from self.end()
            self._form = form
        if timestamp_ms is not None:
            self._origin_ms = timestamp_ms - 1000 * self._came_s
        self._came_s += len(sound) / form.rate_hz
        length = max(1, _PIECE_SAMPLES * form.rate_hz // 16_000)
        for start in range(0, len(sound), length):
            yield self._hear(sound[start : start + length], form.rate_hz)

    def end(self) -> Iterator[list[Found]]:
        """Process the rest of the audio; yield the words found in it."""
        if self._form is not None:
            yield self._hear(np.zeros(0, np.float32), self._form.rate_hz, last=True)
        self._resamplers = {}

    def _hear(self, sound: NDArray[np.float32], rate_hz: int, *, last: bool = False) -> list[Found]:
        found = []
        samples: dict[int, NDArray[np.int16]] = {}
        for index, offer in enumerate(self._offered):
            words = offer.words
            if self._wanted is not None:
                words = tuple(word for word in words if word in self._wanted)
            model_hz = offer.model.manifest.front_end.sample_rate_hz
            if model_hz not in samples:
                if model_hz not in self._resamplers:
                    self._resamplers[model_hz] = MonoResampler(rate_hz, model_hz)
                samples[model_hz] = self._resamplers[model_hz].feed(sound, last=last)
            # Each model processes all audio, whatever words are wanted, so that its positions are
            # right and its state is current if one of its words is wanted later.
            for event in self._spotter(index).feed(samples[model_hz]):
                if event.word in words:
                    timestamp_ms = self._origin_ms + 1000 * event.end_s
                    found.append(
                        Found(
                            word=event.word,
                            confidence=event.confidence,
                            end_sample=event.end_sample,
                            timestamp_ms=round(timestamp_ms),
                        )
                    )
        return sorted(found, key=lambda each: each.timestamp_ms)

    def _spotter(self, index: int) -> Spotter:
        if index not in self._spotters:
            offer = self._offered[index]
            self._spotters[index] = Spotter(offer.model, detector=offer.detector)
        return self._spotters[index]


def _decode(data: bytes, form: ChunkFormat) -> NDArray[np.float32]:
    """Return (n,) float32, the mean of the channels, full scale at ±1."""
    rate_hz, width, channels = form
    if rate_hz not in RATES_HZ or width not in WIDTHS or not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(
            f"sends {channels} channels of {width} bytes at {rate_hz} Hz; 1 to {MOST_CHANNELS} "
            f"channels of {WIDTHS[0]} to {WIDTHS[-1]} bytes at {RATES_HZ.start} to "
            f"{RATES_HZ.stop - 1} Hz are supported"
        )
    if len(data) % (width * channels):
        raise AudioError(
            f"sends {len(data)} bytes, which is not a whole number of samples of {width} bytes and "
            f"{channels} channels"
        )
    if width == 2:
        samples = np.frombuffer(data, "<i2") * np.float32(2**-15)
    else:
        wide = np.zeros((len(data) // width, 4), np.uint8)  # int32, the sample in its upper bytes
        wide[:, 4 - width :] = np.frombuffer(data, np.uint8).reshape(-1, width)
        samples = wide.view("<i4").ravel() * np.float32(2**-31)
    sound: NDArray[np.float32] = samples.reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return sound
