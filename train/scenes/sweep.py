"""Posteriors in, events at every threshold out: the device's detector over a whole range.

A model hears a scene once. The evidence from its posteriors is kept, and the events at any
thresholds follow at once (`Evidence.detect`): those of `harken.edge.Detector`, but many times
faster, because only the steps matter in which a word reaches its threshold.

A range of thresholds is one number, delta: it moves the thresholds of all words together, by the
same amount in log-odds, so that delta 0 is the model as it ships (`thresholds_at`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from ...edge.errors import ModelError
from ...edge.spotting.detector import REARM, UNKNOWN, DetectorConfig, lower_odds, smooth, talk_share
from ...edge.spotting.engine import Runtime
from ...edge.spotting.gate import GateConfig
from ...edge.spotting.manifest import Model
from ...edge.spotting.posteriors import PosteriorStream
from ..decode import SAMPLE_RATE_HZ
from .scoring import Heard

Float32 = NDArray[np.float32]

# Log-odds of the lowest and highest threshold of a sweep. At the lowest, a posterior of 1 in 19,
# nearly every word fires that is the largest of all labels; the highest is as close to 1 as float32
# can represent.
_LOWEST, _HIGHEST = -3.0, 16.0
_ODDS_LIMIT = 17.0  # stands for a threshold of 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Clock:
    """How a model converts steps to times."""

    labels: tuple[str, ...]
    step_samples: int
    """Samples from one step to the next."""
    overhang_samples: int
    """Samples that a step extends beyond its own hops: window minus hop."""

    @classmethod
    def of(cls, model: Model) -> Clock:
        """Take it from a model's manifest."""
        manifest = model.manifest
        return cls(
            labels=manifest.labels,
            step_samples=manifest.step_samples,
            overhang_samples=manifest.front_end.window_samples - manifest.front_end.hop_samples,
        )

    def decided_s(self, step: int) -> float:
        """Return how much audio has been processed when a step is decided, in seconds."""
        return ((step + 1) * self.step_samples + self.overhang_samples) / SAMPLE_RATE_HZ


class Listener:
    """The whole path of the device up to the posteriors.

    Parameters
    ----------
    model
        The int8 model with its manifest.
    runtime
        The interpreter; see `harken.edge.Engine`.
    gate
        See `harken.edge.Spotter`.

    Raises
    ------
    ModelError
        The model cannot run, or its sample rate is not 16 kHz.
    DependencyError
        The interpreter is missing.
    """

    def __init__(
        self,
        model: Model,
        *,
        runtime: str | Runtime | None = None,
        gate: GateConfig | bool = True,
    ) -> None:
        front_end = model.manifest.front_end
        if front_end.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ModelError(
                f"{model.manifest.name}: front_end.sample_rate_hz is {front_end.sample_rate_hz}; "
                f"scenes are at {SAMPLE_RATE_HZ}, and only models of that rate can be measured"
            )
        self.model = model
        """What listens."""
        self._stream = PosteriorStream(model, runtime=runtime, gate=gate)
        self.frames = 0
        """Frames of all scenes."""
        self.frames_heard = 0
        """Frames that passed the gate."""

    @property
    def runtime(self) -> str:
        """Name of the interpreter."""
        running = self._stream.engine.runtime
        return str(getattr(running, "name", type(running).__name__))

    def posteriors(self, pcm: NDArray[np.int16]) -> Float32:
        """Process a scene from a reset state.

        Parameters
        ----------
        pcm
            (n,) int16, 16 kHz.

        Returns
        -------
        (m, n_labels) float32, one row per step, not smoothed.
        """
        self._stream.reset()
        posteriors, _ = self._stream.feed(pcm)
        self.frames += self._stream.frames
        self.frames_heard += self._stream.frames_heard
        return posteriors


class Evidence:
    """The evidence that `harken.edge.Detector` derives from posteriors, for any thresholds.

    Parameters
    ----------
    posteriors
        (m, n_labels) float32, as `Listener.posteriors` returns them.
    config
        Smoothing, talk penalty, refractory time.
    clock
        The model's.
    """

    def __init__(self, posteriors: Float32, config: DetectorConfig, clock: Clock) -> None:
        self._smoothed = smooth(posteriors, config.smoothing_steps)
        penalty = config.talk_penalty if UNKNOWN in clock.labels else 0.0
        self._unknown = posteriors[:, clock.labels.index(UNKNOWN)] if penalty else None
        self._penalty = penalty
        self._step_s = clock.step_samples / SAMPLE_RATE_HZ
        self._refractory_steps = config.refractory_steps(clock.step_samples, SAMPLE_RATE_HZ)
        # The talk penalty is the same for all labels, so it does not change which is the largest.
        self._largest = self._smoothed.argmax(axis=1)
        self._most = self._smoothed[np.arange(len(posteriors)), self._largest]
        self._at_first = self._costs_from(0)

    @property
    def without_events(self) -> Float32:
        """The evidence, (m, n_labels) float32, until the first detection."""
        return lower_odds(self._smoothed, self._at_first[:, np.newaxis])

    @property
    def leading(self) -> tuple[NDArray[np.int64], Float32]:
        """The label with the most evidence at each step, until the first detection, and how much.

        Two arrays, (m,) each.
        """
        return self._largest, lower_odds(self._most, self._at_first)

    def detect(
        self, thresholds: Float32
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Find the detections.

        Parameters
        ----------
        thresholds
            (n_labels,) float32; infinity for labels that never fire.

        Returns
        -------
        Steps of the detections, their labels, and their evidence: (k,) each.
        """
        count, largest = len(self._most), self._largest
        wanted = thresholds[largest]
        # Talk lowers the evidence, and never raises it.
        candidates = np.flatnonzero(self._most >= wanted)
        costs = self._at_first.copy()
        armed_from = np.zeros(len(thresholds), np.int64)  # first step at which it may fire
        fired: list[tuple[int, int, float]] = []
        ready_at = 0
        while True:
            candidates = candidates[np.searchsorted(candidates, ready_at) :]
            there = lower_odds(self._most[candidates], costs[candidates])
            labels = largest[candidates]
            fires = (there >= wanted[candidates]) & (candidates >= armed_from[labels])
            if not fires.any():
                break
            first = int(fires.argmax())
            step, label = int(candidates[first]), int(labels[first])
            fired.append((step, label, float(there[first])))
            # The next one is at a later step, even without a refractory time.
            ready_at = step + max(1, self._refractory_steps)
            # After talk is forgotten, a label that must fall before it may fire again falls later.
            costs[step + 1 :] = self._costs_from(step + 1)
            waiting = set(np.flatnonzero(armed_from > step).tolist()) | {label}
            for each in waiting:
                own = lower_odds(self._smoothed[step + 1 :, each], costs[step + 1 :])
                fallen = np.flatnonzero(own < np.float32(REARM) * thresholds[each])
                armed_from[each] = step + 1 + int(fallen[0]) if len(fallen) else count
        steps, labels_fired, confidences = zip(*fired, strict=True) if fired else ((), (), ())
        return (
            np.array(steps, np.int64),
            np.array(labels_fired, np.int64),
            np.array(confidences, np.float32),
        )

    def _costs_from(self, step: int) -> Float32:
        """Return the cost of talk that begins at a step, from there on: factors of the odds."""
        if self._unknown is None:
            return np.ones(len(self._most) - step, np.float32)
        return talk_costs(self._unknown[step:], self._penalty, self._step_s)


def talk_costs(unknown: Float32, penalty: float, step_s: float) -> Float32:
    """Return the factors by which the detector's `Talk` lowers the odds of all labels.

    Parameters
    ----------
    unknown
        Posteriors of "unknown" from a reset on, float32, the steps along the last axis.
    penalty
        The detector's, in log-odds.
    step_s
        Seconds per step.

    Returns
    -------
    float32 of the same shape: factors in (0, 1], equal to those of `Talk` up to rounding.
    """
    share = talk_share(step_s)
    level = unknown.astype(np.float64)
    for _ in range(2):
        level = lfilter([share], [1.0, share - 1.0], level)
    costs: Float32 = np.exp(-penalty * level).astype(np.float32)
    return costs


def thresholds_at(thresholds: Mapping[str, float], delta: float) -> dict[str, float]:
    """Shift the thresholds of all words by the same log-odds.

    Parameters
    ----------
    thresholds
        For each word, in (0, 1].
    delta
        Log-odds to add; 0 changes nothing, a higher value makes every word harder to detect.

    Returns
    -------
    For each word ``sigmoid(logit(threshold) + delta)``, in (0, 1].
    """
    if delta == 0:
        return dict(thresholds)
    return {
        word: float(1 / (1 + np.exp(-(_log_odds(value) + delta))))
        for word, value in thresholds.items()
    }


def sweep_deltas(thresholds: Mapping[str, float], *, points: int = 96) -> tuple[float, ...]:
    """Choose deltas that move every threshold from near 0 to near 1, rising, 0 among them.

    Parameters
    ----------
    thresholds
        For each word, in (0, 1].
    points
        How many, at least 3; evenly spaced on either side of 0.
    """
    odds = [_log_odds(value) for value in thresholds.values()]
    low, high = min(0.0, _LOWEST - max(odds)), max(0.0, _HIGHEST - min(odds))
    below = math.ceil((points - 1) * -low / (high - low))
    return (
        *np.linspace(low, 0.0, below, endpoint=False).tolist(),
        *np.linspace(0.0, high, points - below).tolist(),
    )


def _log_odds(threshold: float) -> float:
    if threshold >= 1:
        return _ODDS_LIMIT
    return float(np.clip(np.log(threshold / (1 - threshold)), -_ODDS_LIMIT, _ODDS_LIMIT))


class HeardScene:
    """The evidence of a model over a scene, for any thresholds.

    Parameters
    ----------
    posteriors
        (m, n_labels) float32, from a reset, as `Listener.posteriors` returns them.
    config
        Smoothing, talk penalty, refractory time; its thresholds are used unless `heard` gets
        others.
    clock
        The model's.
    """

    def __init__(self, posteriors: Float32, config: DetectorConfig, clock: Clock) -> None:
        self._evidence = Evidence(posteriors, config, clock)
        self._config = config
        self._clock = clock

    def heard(self, thresholds: Mapping[str, float] | None = None) -> list[Heard]:
        """Return the events at these thresholds, in order of time."""
        if thresholds is None:
            thresholds = self._config.thresholds
        labels = self._clock.labels
        values = np.array([thresholds.get(label, np.inf) for label in labels], np.float32)
        found = self._evidence.detect(values)
        return [
            Heard(
                word=labels[label],
                time_s=self._clock.decided_s(step),
                confidence=confidence,
            )
            for step, label, confidence in zip(*(each.tolist() for each in found), strict=True)
        ]
