"""Evidence in, near misses out: words that came close to their thresholds, but did not fire.

A word is near when the odds of its evidence are at least 1/4.5 of those at its threshold: its
log-odds are at most `NEAR_LOG_ODDS` below the threshold's. A share of the threshold would not
work: half of 0.95 is common, half of 0.6 is not, and negative log-odds have no share.

Steps with any near word, less than `QUIET_S` apart, are one burst. If a word fires in a burst, or
the burst follows one within the refractory time, it belongs to that word. Any
other burst is one near miss: of the word, and at the step, that came closest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...spotting.detector import DetectorConfig, Float32
    from ...spotting.manifest import Manifest
    from ...spotting.spotter import Event

NEAR_LOG_ODDS = 1.5
"""Largest distance below the threshold, in log-odds, at which a word is near."""

QUIET_S = 0.4
"""A burst ends when no word was near for this long."""

LONGEST_S = 3.0
"""A burst is reported after this time at the latest; the rest of it is the same near miss."""

_TINY = 1e-7  # evidence of 0 or 1 has no finite log-odds


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A word that almost fired."""

    word: str
    evidence: float
    """Its highest evidence, in 0..1."""
    threshold: float
    start_sample: int
    """Samples processed when the burst began."""
    end_sample: int
    """Samples processed at the step of the highest evidence."""


@dataclass(slots=True, kw_only=True)
class _Burst:
    nearest: NearMiss
    distance: float
    """Largest difference between the log-odds of the evidence and of the threshold."""
    last_near: int
    over: bool
    """Whether it was reported, or belongs to a detected word."""


class NearMisses:
    """Finds near misses in a stream, independent of block sizes.

    Parameters
    ----------
    manifest
        Manifest of the model.
    detector
        The current thresholds.
    """

    def __init__(self, manifest: Manifest, detector: DetectorConfig) -> None:
        front_end = manifest.front_end
        self._words = manifest.words
        thresholds = np.array([detector.thresholds[word] for word in self._words])
        self._thresholds = thresholds.tolist()
        self._needed = _log_odds(thresholds)
        self._near = 1 / (1 + np.exp(NEAR_LOG_ODDS - self._needed))
        rate_hz = front_end.sample_rate_hz
        self._step_samples = manifest.step_samples
        self._overhang = front_end.window_samples - front_end.hop_samples
        self._quiet = round(QUIET_S * rate_hz)
        self._longest = round(LONGEST_S * rate_hz)
        self._rest = detector.refractory_ms * rate_hz // 1000
        self._heard = 0
        self._rests_until = 0
        self._burst: _Burst | None = None
        self.restart(0)

    def restart(self, at_sample: int) -> list[NearMiss]:
        """Restart at a position after lost audio; return pending near misses."""
        left = self._close()
        self._heard = at_sample + self._overhang
        return left

    def feed(self, evidence: Float32, events: Sequence[Event]) -> list[NearMiss]:
        """Process the steps of a block, and the words in it.

        Parameters
        ----------
        evidence
            (m, n_labels) float32; m may be 0.
        events
            The words that fired in these steps.

        Returns
        -------
        Near misses that are complete now.
        """
        found: list[NearMiss] = []
        rows = evidence[:, : len(self._words)]
        near: NDArray[np.bool_] = np.any(rows >= self._near, axis=1)
        for row, is_near in zip(rows, near, strict=True):
            before = self._heard
            self._heard += self._step_samples
            if is_near:
                self._come_near(row)
            if any(before < event.end_sample <= self._heard for event in events):
                self._rests_until = self._heard + max(self._rest, 1)
            found += self._settle()
        return found

    def end(self) -> list[NearMiss]:
        """Return pending near misses at the end of the stream."""
        return self._close()

    def _come_near(self, row: Float32) -> None:
        distances = _log_odds(row) - self._needed
        best = int(distances.argmax())
        if self._burst is not None and self._burst.distance >= distances[best]:
            self._burst.last_near = self._heard
            return
        began = self._heard if self._burst is None else self._burst.nearest.start_sample
        self._burst = _Burst(
            nearest=NearMiss(
                word=self._words[best],
                evidence=float(row[best]),
                threshold=self._thresholds[best],
                start_sample=began,
                end_sample=self._heard,
            ),
            distance=float(distances[best]),
            last_near=self._heard,
            over=self._burst is not None and self._burst.over,
        )

    def _settle(self) -> list[NearMiss]:
        """Report the burst if it is over, or too long."""
        burst = self._burst
        if burst is None:
            return []
        burst.over = burst.over or self._heard < self._rests_until
        if self._heard - burst.last_near >= self._quiet:
            return self._close()
        if not burst.over and self._heard - burst.nearest.start_sample >= self._longest:
            burst.over = True
            return [burst.nearest]
        return []

    def _close(self) -> list[NearMiss]:
        burst, self._burst = self._burst, None
        return [] if burst is None or burst.over else [burst.nearest]


def _log_odds(evidence: NDArray[Any]) -> NDArray[np.float64]:
    clipped = np.clip(evidence.astype(np.float64), _TINY, 1 - _TINY)
    log_odds: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return log_odds
