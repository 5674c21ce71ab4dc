"""Evidence in, near misses out: words that came close to their thresholds, and were not heard.

A word comes near when the odds of its evidence are at least a 4.5th of those that it takes: its
log-odds lie `NEAR_LOG_ODDS` or less below those of its threshold. A share of the threshold would
not do: half of 0.95 is nothing special, half of 0.6 is, and log-odds below 0 have no share.

Steps in which any word is near, less than `QUIET_S` apart, are one burst. A burst in which a word
is heard, or that follows one at so short a distance that the detector rests, is that word's. Any
other is one near miss: of the word, and at the step, that came nearest.
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
"""How far below its threshold a word is still near."""

QUIET_S = 0.4
"""A burst is over when no word was near for so long."""

LONGEST_S = 3.0
"""A burst is told after so long at the latest; what is left of it is the same near miss."""

_TINY = 1e-7  # evidence of 0 and 1 has no log-odds


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A word that was almost heard."""

    word: str
    evidence: float
    """The greatest that it came to, in 0..1."""
    threshold: float
    start_sample: int
    """Samples heard when the burst began."""
    end_sample: int
    """Samples heard at the step of the greatest evidence."""


@dataclass(slots=True, kw_only=True)
class _Burst:
    nearest: NearMiss
    distance: float
    """Log-odds of the evidence less those of the threshold, at its greatest."""
    last_near: int
    over: bool
    """Whether it is told, or belongs to a word that was heard."""


class NearMisses:
    """Finds near misses in a stream; how it is cut into blocks makes no difference.

    Parameters
    ----------
    manifest
        Of the model that listens.
    detector
        The thresholds in force.
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
        """Begin at a position, after sound that was lost; return what was not told before."""
        left = self._close()
        self._heard = at_sample + self._overhang
        return left

    def feed(self, evidence: Float32, events: Sequence[Event]) -> list[NearMiss]:
        """Take in the steps of a block, and the words in it.

        Parameters
        ----------
        evidence
            (m, n_labels) float32; m may be 0.
        events
            The words heard in these steps.

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
        """Return what was not told before; nothing more will come."""
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
        """Tell of the burst if it is over, or lasts too long."""
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
