"""Posteriors in, word detections out: smoothing, thresholds, one event a word."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .validation import require


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """When a posterior becomes an event; the manifest's ``detector`` section.

    Raises
    ------
    ModelError
        A value is out of its range.
    """

    smoothing_steps: int
    """Length of the moving average over posteriors, in network steps."""
    refractory_ms: int
    """Time after an event in which no word fires, in milliseconds."""
    thresholds: Mapping[str, float]
    """For each word the smoothed posterior, in (0, 1], from which it fires."""

    def __post_init__(self) -> None:
        require(
            self.smoothing_steps >= 1,
            "detector.smoothing_steps",
            self.smoothing_steps,
            "be at least 1",
        )
        require(
            self.refractory_ms >= 0, "detector.refractory_ms", self.refractory_ms, "be at least 0"
        )
        for word, threshold in self.thresholds.items():
            require(
                0 < threshold <= 1,
                f"detector.thresholds.{word}",
                threshold,
                "be greater than 0 and at most 1",
            )
