"""A live source in, spoken words out, one by one: located, judged, and cut with margins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AudioError
from ...spotting.endpoints import HOP, find_word
from .clips import RATE_HZ
from .ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ...sound.sources import Block

MARGIN_S = 0.1
"""Minimum audio kept on either side of a word."""

_HISTORY_S = 12.0
_LEAD_S = 0.5  # of a take before the prompt: the noise, and early speakers
_PATIENCE_S = 2.5  # after the prompt, for a word to end
_PATIENCE_MORE_S = 4.0  # for a word that has begun
_TAIL_S = 0.35  # of quiet after a word before it counts as over; pauses within words are shorter
_LOOK_S = 0.06  # interval between checks

_CLIPPED = 32_700  # samples at or above this …
_CLIPPED_COUNT = 8  # … this many of them are too loud
_QUIETEST_DBFS = -40.0  # of the peak
_SNR_DB = 10.0  # of a word over its surroundings
_SHORTEST_S = 0.1  # margins of `find_word` are 0.04 s of these
_LONGEST_S = 2.0


class BadTakeError(Exception):
    """A rejected take; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Take:
    """A recorded word."""

    samples: NDArray[np.int16]
    """(n,) int16, with the word in the middle."""
    peak_dbfs: float
    snr_db: float
    """Level of the word above the surrounding noise."""


class Tape:
    """Audio from a live source; times are positions in the audio.

    Parameters
    ----------
    blocks : iterator of Block
        Blocks of a continuous source, such as a microphone; 16 kHz.
    """

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._ring = Ring(round(_HISTORY_S * RATE_HZ))

    @property
    def position(self) -> int:
        """Samples so far, including lost ones."""
        return self._ring.end

    @property
    def whole_since(self) -> int:
        """Start of the gapless audio that is still available."""
        return self._ring.start

    def read(self, seconds: float) -> None:
        """Read at least this much more audio.

        Raises
        ------
        AudioError
            The source failed, or ended.
        """
        until = self._ring.end + round(seconds * RATE_HZ)
        while self._ring.end < until:
            block = next(self._blocks, None)
            if block is None:
                raise AudioError("the audio ended before everything was recorded")
            if block.lost_samples:
                self._ring.restart(self._ring.end + block.lost_samples)
            self._ring.push(block.samples)

    def since(self, position: int) -> NDArray[np.int16]:
        """Return the audio since a position, (n,) int16; less if audio was lost."""
        return self._ring.cut(position, self._ring.end)[1]

    def cut(self, first: int, last: int) -> NDArray[np.int16]:
        """Return a stretch, (n,) int16, reading more if necessary."""
        if last > self._ring.end:
            self.read((last - self._ring.end) / RATE_HZ)
        return self._ring.cut(first, last)[1]


def take_word(tape: Tape, *, seconds: float, prompt: Callable[[], object]) -> Take:
    """Prompt for a word, and record it until it ends.

    Parameters
    ----------
    tape
        The audio, with at least half a second already read.
    seconds
        Length of the recording; extended for a longer word.
    prompt
        Prompts the person to speak.

    Raises
    ------
    BadTakeError
        The word must be said again.
    AudioError
        The source failed.
    """
    begin = max(tape.whole_since, tape.position - round(_LEAD_S * RATE_HZ))
    prompt()
    prompted = tape.position
    word: tuple[int, int] | None = None
    while True:
        tape.read(_LOOK_S)
        if tape.whole_since > begin:
            raise BadTakeError(
                "audio was dropped, because this computer was too slow: say it again"
            )
        sound = tape.since(begin)
        word = _find(sound)
        waited_s = (tape.position - prompted) / RATE_HZ
        quiet_s = 0.0 if word is None else (len(sound) - word[1]) / RATE_HZ
        spoken = word is not None and begin + word[1] > prompted
        if spoken and quiet_s >= _TAIL_S:
            break
        if waited_s >= (_PATIENCE_MORE_S if spoken else _PATIENCE_S):
            break
    first, last = _judge(sound, word, prompted - begin)
    length = max(round(seconds * RATE_HZ), last - first + 2 * round(MARGIN_S * RATE_HZ))
    start = max(tape.whole_since, begin + (first + last - length) // 2)
    samples = tape.cut(start, start + length)
    if len(samples) < length:
        raise BadTakeError("audio was dropped, because this computer was too slow: say it again")
    return Take(
        samples=samples,
        peak_dbfs=peak_dbfs(sound[first:last]),
        snr_db=_snr_db(sound, first, last),
    )


def peak_dbfs(samples: NDArray[np.int16]) -> float:
    """Return the peak of samples in dBFS; −inf for zeros."""
    peak = int(np.abs(samples.astype(np.int32)).max(initial=0))
    return 20 * math.log10(peak / 32768) if peak else -math.inf


def too_loud(samples: NDArray[np.int16]) -> bool:
    """Whether so many samples reach full scale that they must be clipped."""
    return bool(np.count_nonzero(np.abs(samples.astype(np.int32)) >= _CLIPPED) >= _CLIPPED_COUNT)


def _find(sound: NDArray[np.int16]) -> tuple[int, int] | None:
    """Return the position of a word; None if nothing stands out from the noise."""
    first, last = find_word(sound)
    return (first, last) if _snr_db(sound, first, last) >= _SNR_DB else None


def _snr_db(sound: NDArray[np.int16], first: int, last: int) -> float:
    """Return the level of a stretch above that of the quietest tenth of the recording."""
    count = len(sound) // HOP
    frames = sound[: count * HOP].reshape(count, HOP).astype(np.float64)
    noise = np.percentile((frames * frames).mean(axis=1), 10)
    word = np.square(sound[first:last].astype(np.float64)).mean()
    return float(10 * np.log10((word + 1) / (noise + 1)))


def _judge(
    sound: NDArray[np.int16], word: tuple[int, int] | None, prompted: int
) -> tuple[int, int]:
    """Return the position of the word; raise `BadTakeError` if the take is unusable."""
    peak = peak_dbfs(sound)
    if not sound.any():
        raise BadTakeError(
            "nothing but zeros came: is the microphone muted, or may this program not use it?"
        )
    if too_loud(sound):
        raise BadTakeError("too loud, it is clipped: move away, or turn the microphone down")
    if peak < _QUIETEST_DBFS:
        raise BadTakeError(
            f"too quiet, a peak of {peak:.0f} dBFS: come closer, or turn the microphone up"
        )
    if word is None:
        raise BadTakeError(
            f"nothing stood out from the noise by {_SNR_DB:g} dB: speak up, come closer, or make "
            "the room quieter"
        )
    first, last = word
    if last <= prompted or first < MARGIN_S * RATE_HZ:
        raise BadTakeError("that was too early: say the word after “now”")
    if last - first < _SHORTEST_S * RATE_HZ:
        raise BadTakeError("only a click was heard: say the word again")
    if last - first > _LONGEST_S * RATE_HZ or len(sound) - last < MARGIN_S * RATE_HZ:
        raise BadTakeError("it did not end: say the word alone, and be quiet after it")
    return first, last
