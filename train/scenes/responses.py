"""A model or another program and scenes in, the events of either at any setting out.

Every scene is heard once. A model's posteriors are kept, so that its thresholds can be moved
afterwards; of another program its events, from which a threshold on their confidence can take the
unsure ones away, if all of them have a confidence.
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
"""What a setting is: log-odds added to all thresholds of a model, or the least confidence that an
event of another program must have."""

_MOST_SETTINGS = 96


class Responses(Protocol):
    """What was heard in some scenes, at every setting."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words that were listened for."""

    @property
    def parameter(self) -> Parameter | None:
        """What a setting is; None where there is only one."""

    @property
    def settings(self) -> tuple[float, ...]:
        """From the one that hears the most to the one that hears the least."""

    @property
    def shipped(self) -> int:
        """Which of them is that of the model or program as it ships: an index."""

    def heard(self, setting: float) -> list[list[Heard]]:
        """Return the events of each scene at a setting."""

    def describe(self, setting: float) -> dict[str, Any]:
        """Return what the setting means for each word, as plain JSON types."""


class ModelResponses:
    """What a model made of scenes.

    Parameters
    ----------
    model
        The model.
    posteriors
        Of each scene, (m, n_labels) float32, as `Listener.posteriors` returns them.
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
        """Return the events of each scene with all thresholds moved by so many log-odds."""
        thresholds = thresholds_at(self._thresholds, setting)
        return [scene.heard(thresholds) for scene in self._scenes]

    def describe(self, setting: float) -> dict[str, Any]:
        """Return the thresholds of the words."""
        return {"delta": setting, "thresholds": thresholds_at(self._thresholds, setting)}


class EventResponses:
    """What another program heard in scenes.

    Parameters
    ----------
    words
        The words that it listened for.
    events
        Of each scene.
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
        """Return the events of each scene that are so sure, or all where none says."""
        if self.parameter is None:
            return [list(scene) for scene in self._events]
        return [
            [e for e in scene if e.confidence is not None and e.confidence >= setting]
            for scene in self._events
        ]

    def describe(self, setting: float) -> dict[str, Any]:
        """Return the least confidence, if there is one."""
        return {"confidence": setting} if self.parameter else {}


def model_posteriors(
    listener: Listener, scenes: Sequence[Scene], *, progress: Progress | None = None
) -> list[Float32]:
    """Let a model hear scenes.

    Parameters
    ----------
    listener
        The model and its interpreter.
    scenes
        What it is to hear, each from a reset state.
    progress
        Called with (seconds heard, seconds in all).

    Returns
    -------
    Of each scene the posteriors, (m, n_labels) float32, not smoothed.
    """
    return [listener.posteriors(scene.render()) for scene in _reported(scenes, progress)]


def subject_events(
    subject: Subject, scenes: Sequence[Scene], *, progress: Progress | None = None
) -> list[list[Heard]]:
    """Let another program hear scenes.

    Parameters
    ----------
    subject
        The program.
    scenes
        What it is to hear.
    progress
        Called with (seconds heard, seconds in all).

    Returns
    -------
    The events of each scene.
    """
    return [subject.hear(scene.render()) for scene in _reported(scenes, progress)]


def _reported(scenes: Sequence[Scene], progress: Progress | None) -> Iterator[Scene]:
    """Yield the scenes and tell how much of them has been heard."""
    total = sum(scene.seconds for scene in scenes)
    done = 0.0
    for scene in scenes:
        if progress is not None:
            progress(round(done), round(total))
        yield scene
        done += scene.seconds
    if progress is not None:
        progress(round(total), round(total))
