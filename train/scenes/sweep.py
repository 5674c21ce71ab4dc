"""Posteriors in, events at every threshold out: the detector of the device over a whole range.

A model hears a scene once. What its posteriors make is kept, and the events that any thresholds
would make of it follow at once (`Evidence.detect`): those of `harken.edge.Detector`, but many times
faster, because only the steps matter in which a word reaches its threshold.

A range of thresholds is one number, delta: it moves the thresholds of all words together, by the
same amount on the scale of log-odds, so that delta 0 is the model as it ships (`thresholds_at`).
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

# Log-odds of the lowest and of the highest threshold of a sweep. With less than one posterior in 19
# the first lets nearly every word fire that is the largest of all labels; the last is as close to 1
# as float32 can tell.
_LOWEST, _HIGHEST = -3.0, 16.0
_ODDS_LIMIT = 17.0  # a threshold of 1 is taken for this


@dataclass(frozen=True, kw_only=True, eq=False)
class Clock:
    """What of a model turns steps into times."""

    labels: tuple[str, ...]
    step_samples: int
    """Samples from one step to the next."""
    overhang_samples: int
    """Samples that a step has heard beyond its own: window minus hop."""

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
        """Return how much has been heard when a step is decided, in seconds."""
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
        The model cannot run, or listens at another rate than 16 kHz.
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
                f"scenes are heard at {SAMPLE_RATE_HZ}, and only such models can be measured"
            )
        self.model = model
        """What listens."""
        self._stream = PosteriorStream(model, runtime=runtime, gate=gate)
        self.frames = 0
        """Frames of all scenes."""
        self.frames_heard = 0
        """Those that a gate let pass."""

    @property
    def runtime(self) -> str:
        """Name of the interpreter."""
        running = self._stream.engine.runtime
        return str(getattr(running, "name", type(running).__name__))

    def posteriors(self, pcm: NDArray[np.int16]) -> Float32:
        """Hear a scene from a reset state.

        Parameters
        ----------
        pcm
            (n,) int16, 16 kHz.

        Returns
        -------
        (m, n_labels) float32, one row a step, not smoothed.
        """
        self._stream.reset()
        posteriors, _ = self._stream.feed(pcm)
        self.frames += self._stream.frames
        self.frames_heard += self._stream.frames_heard
        return posteriors


class Evidence:
    """What `harken.edge.Detector` makes of posteriors from a reset, ready for any thresholds.

    Parameters
    ----------
    posteriors
        (m, n_labels) float32, as `Listener.posteriors` returns them.
    config
        Smoothing, what talk costs, refractory time.
    clock
        Of the model.
    """

    def __init__(self, posteriors: Float32, config: DetectorConfig, clock: Clock) -> None:
        self._smoothed = smooth(posteriors, config.smoothing_steps)
        penalty = config.talk_penalty if UNKNOWN in clock.labels else 0.0
        self._unknown = posteriors[:, clock.labels.index(UNKNOWN)] if penalty else None
        self._penalty = penalty
        self._step_s = clock.step_samples / SAMPLE_RATE_HZ
        self._refractory_steps = config.refractory_steps(clock.step_samples, SAMPLE_RATE_HZ)
        # Talk costs all labels alike, so it changes nothing about which has the most.
        self._largest = self._smoothed.argmax(axis=1)
        self._most = self._smoothed[np.arange(len(posteriors)), self._largest]
        self._at_first = self._costs_from(0)

    @property
    def without_events(self) -> Float32:
        """The evidence, (m, n_labels) float32, as long as no word is detected."""
        return lower_odds(self._smoothed, self._at_first[:, np.newaxis])

    def detect(
        self, thresholds: Float32
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Find what would be detected.

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
        # Talk takes evidence away, and never adds to it.
        candidates = np.flatnonzero(self._most >= wanted)
        costs = self._at_first.copy()
        armed_from = np.zeros(len(thresholds), np.int64)  # the step from which on it may fire
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
            # The next one is a later step, even without a refractory time.
            ready_at = step + max(1, self._refractory_steps)
            # With the talk forgotten, labels that have to fall before they may fire fall later.
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
        """Return what talk that begins at a step costs from there on: factors of the odds."""
        if self._unknown is None:
            return np.ones(len(self._most) - step, np.float32)
        return talk_costs(self._unknown[step:], self._penalty, self._step_s)


def talk_costs(unknown: Float32, penalty: float, step_s: float) -> Float32:
    """Return what the detector's `Talk` lowers the odds of all labels by, from a reset on.

    Parameters
    ----------
    unknown
        Posteriors of "unknown", float32, the steps along the last axis.
    penalty
        The detector's, in log-odds.
    step_s
        Seconds from one step to the next.

    Returns
    -------
    float32 of the same shape: factors in (0, 1], equal to those of `Talk` to a rounding error.
    """
    share = talk_share(step_s)
    level = unknown.astype(np.float64)
    for _ in range(2):
        level = lfilter([share], [1.0, share - 1.0], level)
    costs: Float32 = np.exp(-penalty * level).astype(np.float32)
    return costs


def thresholds_at(thresholds: Mapping[str, float], delta: float) -> dict[str, float]:
    """Move the thresholds of all words by the same log-odds.

    Parameters
    ----------
    thresholds
        For each word, in (0, 1].
    delta
        Log-odds to add; 0 leaves them as they are, more makes every word harder to hear.

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
    """Choose deltas that move every threshold from next to 0 to next to 1, rising, 0 among them.

    Parameters
    ----------
    thresholds
        For each word, in (0, 1].
    points
        How many, at least 3; they lie evenly apart on either side of 0.
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
    """What a model made of a scene: its evidence, ready for any thresholds.

    Parameters
    ----------
    posteriors
        (m, n_labels) float32, from a reset, as `Listener.posteriors` returns them.
    config
        Smoothing, what talk costs, refractory time; its thresholds are those that `heard` goes by
        if it is not given others.
    clock
        Of the model.
    """

    def __init__(self, posteriors: Float32, config: DetectorConfig, clock: Clock) -> None:
        self._evidence = Evidence(posteriors, config, clock)
        self._config = config
        self._clock = clock

    def heard(self, thresholds: Mapping[str, float] | None = None) -> list[Heard]:
        """Return the events that these thresholds would make, in the order of time."""
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
