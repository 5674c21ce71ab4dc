"""Heights of false accepts in; out come tails fitted to them, and threshold offsets."""

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

_TAIL_EVENTS = 100  # to fit tails to, if there are as many
_PRIOR_EVENTS = 5.0  # weight of the prior from all words, in events of a word
_MOST_OFFSET = 1.5  # largest difference from the other words, in log-odds

FLOOR = 0.1  # lowest threshold of any word
DELTAS = np.round(np.arange(math.log(FLOOR / (1 - FLOOR)), 12.0, 0.1), 3)  # log-odds


@dataclass(frozen=True, kw_only=True)
class Tail:
    """False accepts by threshold: ``count * exp(-(x - start) / width)``.

    ``x`` is the log-odds of the threshold.
    """

    start: float
    """Log-odds from which it holds."""
    counts: Float64
    """(n_words,) false accepts at `start`, over the time in which they were counted."""
    widths: Float64
    """(n_words,) increase in log-odds that lowers them to ``1/e``."""

    @classmethod
    def fit(cls, heights: Sequence[Float64]) -> Tail | None:
        """Fit it to the log-odds up to which the false accepts of each word occur.

        The maximum-likelihood width of an exponential tail is the mean distance from its start.
        Count and width of a word include `_PRIOR_EVENTS` pseudo-events that follow the tail of all
        words together (the means of gamma distributions with such priors).

        Parameters
        ----------
        heights
            For each word (k,) float64: for each false accept, the log-odds of the highest
            threshold at which it occurs.

        Returns
        -------
        The tail; None if there are too few false accepts.
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
        """Return the expected false accepts of each word at thresholds.

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
    """Choose how much the thresholds of words differ.

    Parameters
    ----------
    missed
        For each word (k,) float64: for each time it was spoken, the log-odds of the highest
        threshold at which it is detected; minus infinity if at none.
    wrong
        For each word (k,) float64: the same for its wrong events in scenes with words.
    accepts
        The same for its events in scenes without words.
    allowed
        How many of the latter are allowed, over all words.

    Returns
    -------
    (n_words,) float64, log-odds to add to a common threshold; their mean is 0.
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

    # The cost of a false accept, in mistakes, at which as many occur as are allowed.
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
    # A word that nobody spoke gives no reason to treat it differently.
    differences = np.where(said, odds - common, 0.0).clip(-_MOST_OFFSET, _MOST_OFFSET)
    centred: Float64 = differences - differences.mean()
    return centred


def heights_of(
    heard: Evidence, scene: Scene, words: Sequence[str], clock: Clock
) -> tuple[list[Float64], list[Float64]]:
    """Find the highest threshold at which each word is detected, correctly or not.

    Each detection on its own, as if no other word had been detected before.

    Returns
    -------
    For each word (k,) float64 log-odds: for each time it is spoken, minus infinity if it is
    detected at no threshold; and for each time it is detected without being spoken.
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
        # As in the detector, a word that stays above its threshold is one event.
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
