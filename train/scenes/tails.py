"""Heights of false accepts in, tails fitted to them and offsets of thresholds out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...edge.spotting.detector import REARM
from .scoring import TOLERANCE_S
from .sweep import Clock, Evidence
from .truth import Scene

Float64 = NDArray[np.float64]

_TAIL_EVENTS = 100  # to which tails are fitted, as far as there are so many
_PRIOR_EVENTS = 5.0  # of a word, that weigh as much as what is known of all words
_MOST_OFFSET = 1.5  # log-odds by which no word leaves the others behind

FLOOR = 0.1  # the lowest threshold that a word is ever given
DELTAS = np.round(np.arange(math.log(FLOOR / (1 - FLOOR)), 12.0, 0.1), 3)  # log-odds


@dataclass(frozen=True, kw_only=True)
class Tail:
    """How often words are heard where none is said: ``count * exp(-(x - start) / width)``.

    ``x`` is the log-odds of the threshold.
    """

    start: float
    """Log-odds from which on it holds."""
    counts: Float64
    """(n_words,) false accepts at `start`, in the time they were counted in."""
    widths: Float64
    """(n_words,) log-odds by which they fall to ``1/e``."""

    @classmethod
    def fit(cls, heights: Sequence[Float64]) -> Tail | None:
        """Fit it to the log-odds at which false accepts of each word end to be any.

        The width of an exponential tail is most likely the mean distance from its start. Counts
        and widths of a word are those of the word and of `_PRIOR_EVENTS` events more, which are as
        those of all words together (the means of gamma distributions with such priors).

        Parameters
        ----------
        heights
            For each word (k,) float64: of each false accept the log-odds of the highest threshold
            at which it is one.

        Returns
        -------
        The tail; None where there are too few false accepts to tell.
        """
        pooled = np.sort(np.concatenate(heights))[::-1][: _TAIL_EVENTS + 1]
        if len(pooled) < 2 or pooled[0] <= pooled[-1]:
            return None
        start = float(pooled[-1])
        counts = np.array([np.count_nonzero(values > start) for values in heights], np.float64)
        beyond = np.array([np.sum(values[values > start] - start) for values in heights])
        mean, width = counts.mean(), beyond.sum() / counts.sum()
        return cls(
            start=start,
            counts=(counts + _PRIOR_EVENTS) * mean / (mean + _PRIOR_EVENTS),
            widths=(beyond + _PRIOR_EVENTS * width) / (counts + _PRIOR_EVENTS),
        )

    def at(self, odds: Float64) -> Float64:
        """Return how many false accepts of each word to expect at thresholds.

        Parameters
        ----------
        odds
            (k,) float64, log-odds of thresholds.

        Returns
        -------
        (n_words, k) float64.
        """
        fallen = np.exp(-(odds - self.start) / self.widths[:, np.newaxis])
        expected: Float64 = self.counts[:, np.newaxis] * fallen
        return expected


def offsets(
    missed: Sequence[Float64],
    wrong: Sequence[Float64],
    accepts: Sequence[Float64],
    allowed: float,
) -> Float64:
    """Choose by how much the thresholds of words are to differ.

    Parameters
    ----------
    missed
        For each word (k,) float64: of each time that it was said the log-odds of the highest
        threshold at which it is heard; minus infinity if at none.
    wrong
        For each word (k,) float64: the same of its wrong events in scenes with words.
    accepts
        The same of its events in scenes without words.
    allowed
        How many of those there may be, of all words together.

    Returns
    -------
    (n_words,) float64, log-odds to add to a threshold that all share; their mean is 0.
    """
    tail = Tail.fit(accepts)
    if tail is None:
        return np.zeros(len(missed))
    mistakes = np.array(
        [
            np.searchsorted(np.sort(own), DELTAS, "left")
            + len(others)
            - np.searchsorted(np.sort(others), DELTAS, "left")
            for own, others in zip(missed, wrong, strict=True)
        ],
        np.float64,
    )
    expected = tail.at(DELTAS)
    words = np.arange(len(missed))

    def chosen(price: float) -> NDArray[np.intp]:
        best: NDArray[np.intp] = np.argmin(mistakes + price * expected, axis=1)
        return best

    # The price of a false accept, in mistakes, at which there are as many as are allowed.
    low, high = 1e-4, 1e6
    for _ in range(60):
        price = math.sqrt(low * high)
        if expected[words, chosen(price)].sum() > allowed:
            low = price
        else:
            high = price
    odds = DELTAS[chosen(high)]
    said = np.array([len(own) > 0 for own in missed])
    if not said.any():
        return np.zeros(len(missed))
    common = float(odds[said].mean())
    # A word that nobody said gives no reason to treat it in another way.
    differences = np.where(said, odds - common, 0.0).clip(-_MOST_OFFSET, _MOST_OFFSET)
    centred: Float64 = differences - differences.mean()
    return centred


def heights_of(
    heard: Evidence, scene: Scene, words: Sequence[str], clock: Clock
) -> tuple[list[Float64], list[Float64]]:
    """Find up to which threshold words are heard, right ones and wrong ones.

    Each by itself, as if no other word had been detected before.

    Returns
    -------
    For each word (k,) float64 log-odds: of each time it is said, minus infinity where it is heard
    at no threshold; and of each time it is heard while it is not said.
    """
    evidence = heard.without_events
    largest = evidence.argmax(axis=1)
    times = np.array([clock.decided_s(step) for step in range(len(evidence))])
    right, wrong = [], []
    for label, word in enumerate(words):
        own = evidence[:, label].astype(np.float64)
        heights = np.where(largest == label, own, 0.0)
        outside = np.ones(len(times), bool)
        said = []
        for utterance in scene.utterances:
            right_here = utterance.word == word and utterance.whole
            if right_here or not utterance.sure:
                first = np.searchsorted(times, utterance.start_s, "left")
                last = np.searchsorted(times, utterance.end_s + TOLERANCE_S, "right")
                if utterance.sure:
                    said.append(heights[first:last].max(initial=0.0))
                outside[first:last] = False
        # As in the detector, a word that goes on being heard is one event.
        going_on = (outside & (own >= REARM * FLOOR)).astype(np.int8)
        edges = np.flatnonzero(np.diff(going_on, prepend=0, append=0))
        peaks = np.array(
            [heights[first:last].max() for first, last in edges.reshape(-1, 2)], np.float64
        )
        right.append(_log_odds(np.array(said, np.float64)))
        wrong.append(_log_odds(peaks[peaks >= FLOOR]))
    return right, wrong


def _log_odds(values: Float64) -> Float64:
    with np.errstate(divide="ignore"):
        odds: Float64 = np.log(values) - np.log1p(-values)
    odds[odds > DELTAS[-1]] = DELTAS[-1]  # an infinity has no mean
    return odds
