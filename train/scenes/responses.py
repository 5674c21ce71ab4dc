"""A model or another program and scenes in; out come its events at any setting.

Every scene is heard once. For a model, the posteriors are kept, so that its thresholds can be moved
afterwards; for another program, its events. If all of these have a confidence, a threshold on it
can drop the less confident ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from ...edge.spotting.manifest import Model
from ..cache import Progress
from .scoring import Heard
from .subjects import Subject, all_confident
from .sweep import Clock, Float32, HeardScene, Listener, sweep_deltas, thresholds_at
from .truth import Scene

Parameter = Literal["delta", "confidence"]
"""What a setting is: log-odds added to all thresholds of a model, or the lowest confidence that an
event of another program must have."""

_MOST_SETTINGS = 96


class Responses(Protocol):
    """The events detected in some scenes, at every setting."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words to spot."""

    @property
    def parameter(self) -> Parameter | None:
        """What a setting is; None if there is only one."""

    @property
    def settings(self) -> tuple[float, ...]:
        """From the most sensitive to the least."""

    @property
    def shipped(self) -> int:
        """Index of the setting that the model or program ships with."""

    def heard(self, setting: float) -> list[list[Heard]]:
        """Return the events of each scene at a setting."""

    def describe(self, setting: float) -> dict[str, Any]:
        """Return what the setting means for each word, as plain JSON types."""


class ModelResponses:
    """The posteriors of a model over scenes.

    Parameters
    ----------
    model
        The model.
    posteriors
        For each scene, (m, n_labels) float32, as returned by `Listener.posteriors`.
    """

    parameter: Parameter = "delta"

    def __init__(self, model: Model, posteriors: Sequence[Float32]) -> None:
        detector, clock = model.manifest.detector, Clock.of(model)
        self.words = model.manifest.words
        self.settings = sweep_deltas(detector.thresholds, points=_MOST_SETTINGS)
        self.shipped = self.settings.index(0.0)
        self._thresholds = detector.thresholds
        self._scenes = [HeardScene(rows, detector, clock) for rows in posteriors]

    def heard(self, setting: float) -> list[list[Heard]]:
        """Return the events of each scene with these log-odds added to all thresholds."""
        thresholds = thresholds_at(self._thresholds, setting)
        return [scene.heard(thresholds) for scene in self._scenes]

    def describe(self, setting: float) -> dict[str, Any]:
        """Return the thresholds of the words."""
        return {"delta": setting, "thresholds": thresholds_at(self._thresholds, setting)}


class EventResponses:
    """The events of another program in scenes.

    Parameters
    ----------
    words
        The words that it spots.
    events
        For each scene.
    """

    shipped = 0

    def __init__(self, words: Sequence[str], events: Sequence[Sequence[Heard]]) -> None:
        self.words = tuple(words)
        self._events = events
        everything = [event for scene in events for event in scene]
        self.parameter: Parameter | None = None
        self.settings: tuple[float, ...] = (0.0,)
        if everything and all_confident(everything):
            self.parameter = "confidence"
            sure = np.unique(np.array([event.confidence for event in everything], np.float64))
            places = np.linspace(0, len(sure) - 1, min(len(sure), _MOST_SETTINGS))
            self.settings = tuple(sure[np.rint(places).astype(int)].tolist())

    def heard(self, setting: float) -> list[list[Heard]]:
        """Return the events of each scene with at least this confidence, or all if none has one."""
        if self.parameter is None:
            return [list(scene) for scene in self._events]
        return [
            [e for e in scene if e.confidence is not None and e.confidence >= setting]
            for scene in self._events
        ]

    def describe(self, setting: float) -> dict[str, Any]:
        """Return the lowest confidence, if there is one."""
        return {"confidence": setting} if self.parameter else {}


def model_posteriors(
    listener: Listener, scenes: Sequence[Scene], *, progress: Progress | None = None
) -> list[Float32]:
    """Run a model on scenes.

    Parameters
    ----------
    listener
        The model and its interpreter.
    scenes
        The scenes, each from a reset state.
    progress
        Called with (seconds heard, seconds in all).

    Returns
    -------
    The posteriors of each scene, (m, n_labels) float32, not smoothed.
    """
    return [listener.posteriors(scene.render()) for scene in _reported(scenes, progress)]


def subject_events(
    subject: Subject, scenes: Sequence[Scene], *, progress: Progress | None = None
) -> list[list[Heard]]:
    """Run another program on scenes.

    Parameters
    ----------
    subject
        The program.
    scenes
        The scenes.
    progress
        Called with (seconds heard, seconds in all).

    Returns
    -------
    The events of each scene.
    """
    return [subject.hear(scene.render()) for scene in _reported(scenes, progress)]


def _reported(scenes: Sequence[Scene], progress: Progress | None) -> Iterator[Scene]:
    """Yield the scenes and report progress."""
    total = sum(scene.seconds for scene in scenes)
    done = 0.0
    for scene in scenes:
        if progress is not None:
            progress(round(done), round(total))
        yield scene
        done += scene.seconds
    if progress is not None:
        progress(round(total), round(total))
