"""Posteriors in, events at every threshold out: the detector of the device over a whole range.

A model hears a scene once. The evidence that its posteriors make is kept, and the events that any
thresholds would make of it follow at once (`detect`): exactly those of `harken.edge.Detector`, but
many times faster, because only the steps matter in which a word reaches its threshold.

A range of thresholds is one number, delta: it moves the thresholds of all words together, by the
same amount on the scale of log-odds, so that delta 0 is the model as it ships (`thresholds_at`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...edge.detector import REARM, DetectorConfig, Talk, smooth
from ...edge.engine import Engine, Runtime
from ...edge.errors import ModelError
from ...edge.frontend import FrontEnd
from ...edge.manifest import Model
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

    Raises
    ------
    ModelError
        The model cannot run, or listens at another rate than 16 kHz.
    DependencyError
        The interpreter is missing.
    """

    def __init__(self, model: Model, *, runtime: str | Runtime | None = None) -> None:
        front_end = model.manifest.front_end
        if front_end.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ModelError(
                f"{model.manifest.name}: front_end.sample_rate_hz is {front_end.sample_rate_hz}; "
                f"scenes are heard at {SAMPLE_RATE_HZ}, and only such models can be measured"
            )
        self.model = model
        """What listens."""
        self._front_end = FrontEnd(front_end)
        self._engine = Engine(model, runtime=runtime)

    @property
    def runtime(self) -> str:
        """Name of the interpreter."""
        running = self._engine.runtime
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
        self._front_end.reset()
        self._engine.reset()
        return self._engine.feed(self._front_end.feed(pcm))


def evidence(posteriors: Float32, config: DetectorConfig, clock: Clock) -> Float32:
    """Return what `harken.edge.Detector` makes of posteriors before it lays its thresholds on them.

    Parameters
    ----------
    posteriors
        (m, n_labels) float32, from a reset, as `Listener.posteriors` returns them.
    config
        Smoothing and what talk costs.
    clock
        Of the model.

    Returns
    -------
    (m, n_labels) float32.
    """
    talk = Talk(config.talk_penalty, clock.labels, clock.step_samples / SAMPLE_RATE_HZ)
    return talk.discount(smooth(posteriors, config.smoothing_steps), posteriors)


def detect(
    evidence: Float32, thresholds: Float32, refractory_steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find what `harken.edge.Detector` would detect from a reset.

    Parameters
    ----------
    evidence
        (m, n_labels) float32, as the function `evidence` returns it.
    thresholds
        (n_labels,) float32; infinity for labels that never fire.
    refractory_steps
        Steps after a detection in which nothing fires, counted with that of the detection.

    Returns
    -------
    Steps of the detections and their labels: (k,) int64 each.
    """
    largest = evidence.argmax(axis=1)
    reached = evidence[np.arange(len(evidence)), largest] >= thresholds[largest]
    candidates = np.flatnonzero(reached)
    labels_there = largest[candidates].tolist()
    armed_from = [0] * len(thresholds)  # the step from which on a label may fire
    steps, labels = [], []
    ready_at = 0
    for step, label in zip(candidates.tolist(), labels_there, strict=True):
        if step < ready_at or step < armed_from[label]:
            continue
        steps.append(step)
        labels.append(label)
        ready_at = step + refractory_steps
        fallen = np.flatnonzero(evidence[step + 1 :, label] < np.float32(REARM) * thresholds[label])
        armed_from[label] = step + 1 + int(fallen[0]) if len(fallen) else len(evidence)
    return np.array(steps, np.int64), np.array(labels, np.int64)


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
        self._evidence = evidence(posteriors, config, clock)
        self._config = config
        self._clock = clock
        self._refractory_steps = config.refractory_steps(clock.step_samples, SAMPLE_RATE_HZ)

    def heard(self, thresholds: Mapping[str, float] | None = None) -> list[Heard]:
        """Return the events that these thresholds would make, in the order of time."""
        if thresholds is None:
            thresholds = self._config.thresholds
        labels = self._clock.labels
        values = np.array([thresholds.get(label, np.inf) for label in labels], np.float32)
        steps, found = detect(self._evidence, values, self._refractory_steps)
        return [
            Heard(
                word=labels[label],
                time_s=self._clock.decided_s(step),
                confidence=float(self._evidence[step, label]),
            )
            for step, label in zip(steps.tolist(), found.tolist(), strict=True)
        ]
