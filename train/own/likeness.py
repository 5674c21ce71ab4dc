"""Clips of words in, those that sound like another word than their own out.

A voice may mispronounce a word, and a recording may hold another word. There is no recogniser for
new words; but voices say them and others, and two clips are compared as in early isolated-word
recognisers: by dynamic time warping of their MFCC (Sakoe and Chiba, "Dynamic Programming Algorithm
Optimization for Spoken Word Recognition", 1978). A clip that is nearer to another word than to its
own by a clear margin is rejected.

Voices are not people, and one recording of a short word is often nearer to another word of theirs.
So a person's recordings of a short word are judged together, and one recording also by the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...edge.spotting.endpoints import find_word
from ...edge.spotting.frontend import FrontEnd, FrontEndConfig
from ..decode import SAMPLE_RATE_HZ

Float32 = NDArray[np.float32]
Int16 = NDArray[np.int16]

MARGIN = 0.95
"""A clip holds another word if its distance to that is at most this fraction of that to its own."""

COMMON_MARGIN = 0.85
"""Recordings of a short word hold another one if their distance to that is at most this fraction of
that to their own, in the median (measured: docs/experiments.md, "Own words")."""

REFERENCES = 6
"""Number of reference clips for a word."""

_SURE = 0.25  # a clip nearer to its word than this needs no comparison
_SAME_WORD = 1.2  # times as far (measured in the same place)
_NEAREST = 3  # number of them that count: some voices say a word in another way, or not at all
_AROUND = SAMPLE_RATE_HZ // 20
_SHORTEST = SAMPLE_RATE_HZ // 16
_LEVEL = 0.05  # of a word, full scale 1
_HISS = 2e-3  # noise under all clips, so that the level of their silence does not matter
_COEFFICIENTS = slice(1, 14)


class Likeness:
    """Compares clips with words.

    Parameters
    ----------
    references
        By word, clips that hold it: (samples,) int16, 16 kHz.
    others
        By word, the words that count as different: not those that sound like it.
    """

    def __init__(
        self, references: Mapping[str, Sequence[Int16]], others: Mapping[str, Sequence[str]]
    ) -> None:
        self._references = {
            word: [found for clip in clips if (found := _features(clip)) is not None]
            for word, clips in references.items()
        }
        self._others = others

    def common_other_than(self, word: str, clips: Sequence[Int16]) -> str | None:
        """Return what somebody's recordings of a word sound like instead of it.

        Parameters
        ----------
        word
            The word that they should hold.
        clips
            (samples,) int16 each, 16 kHz.

        Returns
        -------
        Another word; "" if nothing is said in any of them; None if it may be the word.
        """
        found = [features for clip in clips if (features := _features(clip)) is not None]
        if not found:
            return ""
        own = np.array([self._distance(features, word) for features in found])
        if np.median(own) < _SURE or not self._others.get(word):
            return None
        nearest, other = min(
            (np.median([self._distance(features, o) for features in found] / own), o)
            for o in self._others[word]
        )
        return other if nearest < COMMON_MARGIN else None

    def other_than(self, word: str, clip: Int16, alike: Sequence[Int16] = ()) -> str | None:
        """Return what a clip sounds like instead of its word.

        Parameters
        ----------
        word
            The word that it should hold.
        clip
            (samples,) int16, 16 kHz.
        alike
            Recordings of the word, the same: it may also be like these.

        Returns
        -------
        Another word; "" if nothing is said in it; None if it may be the word.
        """
        features = _features(clip)
        if features is None:
            return ""
        recorded = [found for each in alike if (found := _features(each)) is not None]
        own = min(self._distance(features, word), _nearest(features, recorded))
        if own < _SURE or not self._others.get(word):
            return None
        nearest, other = min((self._distance(features, o), o) for o in self._others[word])
        return other if nearest < MARGIN * own else None

    def _distance(self, features: Float32, word: str) -> float:
        return _nearest(features, self._references.get(word, ()))


def same_word(first: Sequence[Int16], second: Sequence[Int16]) -> bool:
    """Return whether two sets of recordings by one person hold the same word.

    They do if those of the first are hardly farther from the second than from each other.

    Parameters
    ----------
    first, second
        (samples,) int16 each, 16 kHz.
    """
    own, others = (
        [found for clip in clips if (found := _features(clip)) is not None]
        for clips in (first, second)
    )
    if len(own) < 2 or not others:
        return False
    apart = np.median([_nearest(each, [o for o in own if o is not each]) for each in own])
    return bool(np.median([_nearest(each, others) for each in own]) < _SAME_WORD * apart)


def _nearest(features: Float32, references: Sequence[Float32]) -> float:
    """Return the mean distance to the nearest references; infinite if there are none."""
    distances = sorted(_distance(features, each) for each in references)
    return float(np.mean(distances[:_NEAREST])) if distances else np.inf


def _features(clip: Int16) -> Float32 | None:
    """Return standardised MFCC of the word in a clip, (frames, 13); None if there is none."""
    return _features_of(clip.tobytes())


@lru_cache(maxsize=512)  # recordings are compared with each other again and again
def _features_of(samples: bytes) -> Float32 | None:
    clip = np.frombuffer(samples, np.int16)
    start, end = find_word(clip)
    if end - start < _SHORTEST or not np.any(clip[start:end]):
        return None
    audio = clip[max(0, start - _AROUND) : end + _AROUND].astype(np.float32)
    audio *= np.float32(_LEVEL / np.sqrt(np.mean(np.square(audio))))
    hiss = np.random.default_rng(0).normal(0.0, _HISS, len(audio))
    frames = FrontEnd(FrontEndConfig(n_mfcc=20)).feed((audio + hiss).astype(np.float32))
    frames = frames[:, _COEFFICIENTS]
    if len(frames) < 2:
        return None
    found: Float32 = (frames - frames.mean(axis=0)) / (frames.std(axis=0) + 3)
    return found


def _distance(first: Float32, second: Float32) -> float:
    """Return the mean cost of the best path through two clips; the costs are cosine distances."""
    from librosa.sequence import dtw

    total = dtw(first.T, second.T, metric="cosine", backtrack=False)[-1, -1]
    return float(total) / (len(first) + len(second))
