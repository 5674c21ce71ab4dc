"""Recordings of single words in, the start and end of each word out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HOP = 160  # samples, 10 ms
_FLOOR_DB = -100.0
_RANGE_DB = 22.0
_LONGEST_PAUSE = 15  # hops inside one word: the closure before a stop consonant is shorter
_MARGIN = (
    2  # hops kept on each side, where the energy is below the threshold but the word continues
)


def find_word(audio: NDArray[np.int16]) -> tuple[int, int]:
    """Find the loudest stretch of a recording, as short-time energy sees it.

    The threshold lies a fifth of the way (in decibels) from the noise floor, the 10th percentile of
    the 10 ms energies, to the peak, but at most 22 dB below the peak: a tail that can only be heard
    in a silent room is cut, as it would be in noise. Runs above the threshold that are less than
    150 ms apart are one word.

    Parameters
    ----------
    audio
        One recording of one word, (samples,) int16 at 16 kHz.

    Returns
    -------
    tuple of int
        First sample of the word and the sample after its last; the whole recording if it is shorter
        than 20 ms or of constant level.
    """
    count = len(audio) // HOP
    if count < 2:
        return 0, len(audio)
    frames = audio[: count * HOP].reshape(count, HOP).astype(np.float32)
    frames -= frames.mean(axis=1, keepdims=True)
    energy = 10 * np.log10(np.mean(frames * frames, axis=1) / 2**30 + 10 ** (_FLOOR_DB / 10))
    energy = np.convolve(np.pad(energy, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    floor, peak = np.percentile(energy, 10), float(energy.max())
    threshold = max(floor + 0.2 * (peak - floor), peak - _RANGE_DB)
    active = np.flatnonzero(energy >= threshold)
    if peak - floor < 1.0:
        return 0, len(audio)
    runs = np.split(active, np.flatnonzero(np.diff(active) > _LONGEST_PAUSE) + 1)
    # The word is the run with the most energy, so that a click, however loud, does not win.
    word = max(runs, key=lambda run: float(np.sum(energy[run] - floor)))
    first = max(0, int(word[0]) - _MARGIN)
    last = min(count, int(word[-1]) + 1 + _MARGIN)
    return first * HOP, len(audio) if last == count else last * HOP
