"""A model and scenes in; out comes the gate that saves the most without losing words.

Every gate of `GATES` is tried, the one that saves the most first, with the model's own detector.
The first gate is chosen with which the miss rate over all scenes with words grows by at most
`MOST_POINTS`, and the negative hours have no more false accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ...edge.errors import DataError
from ...edge.spotting.engine import Runtime
from ...edge.spotting.gate import GateConfig
from ...edge.spotting.manifest import Model
from ..cache import Progress
from .responses import model_posteriors
from .scoring import Tally, match
from .sweep import Clock, HeardScene, Listener
from .truth import Scene

MARGINS_DB = (12.0, 10.0, 8.0, 6.0)
"""Margins to try. With smaller ones, noise opens the gate as words do."""

HOLDS_MS = (1500, 2000)
"""Hold times to try, each with all margins."""

GATES = tuple(
    GateConfig(margin_db=margin_db, hold_ms=hold_ms, rise_db_per_s=3.0)
    for hold_ms in HOLDS_MS
    for margin_db in MARGINS_DB
)
"""The gates to try; docs/experiments.md gives the reasons for these hold times and this rise."""

MOST_POINTS = 0.3
"""Percentage points by which the miss rate may grow."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GateFigures:
    """What a model detects with a gate, or without."""

    gate: GateConfig | None
    words: Tally
    """In all scenes with words."""
    negatives: Tally
    """In the negative hours."""
    heard_share: float
    """Share of the frames of all scenes that passed, in 0..1."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON types."""
        return {
            **self.words.misses().to_dict(),
            **self.negatives.accepts().to_dict(),
            "wrong_among_words": self.words.accepts().count,
            "heard_share": self.heard_share,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class GateChoice:
    """The chosen gate, and what it was compared with."""

    gate: GateConfig
    chosen: GateFigures
    without: GateFigures
    tried: tuple[GateFigures, ...]
    """The last one is the chosen one."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for the manifest's checks."""
        return {"with": self.chosen.to_dict(), "without": self.without.to_dict()}


def choose_gate(
    model: Model,
    scenes: Sequence[Scene],
    *,
    runtime: str | Runtime | None = None,
    bar: Callable[[str], AbstractContextManager[Progress]],
) -> GateChoice:
    """Choose a gate, as this module describes.

    Parameters
    ----------
    model
        The model; a gate that it already has is ignored.
    scenes
        With words, and negative ones.
    runtime
        The interpreter; see `harken.edge.Engine`.
    bar
        Shows the progress of listening.

    Raises
    ------
    DataError
        There are no scenes with a word of the model or no negative ones, or every gate loses words.
    """
    plain = model.ungated
    if not any(
        utterance.word in plain.manifest.words for scene in scenes for utterance in scene.utterances
    ) or not any(scene.negative for scene in scenes):
        raise DataError(
            "a gate is measured on scenes with words of the model and on negative ones; give both"
        )
    without = _figures(plain, scenes, None, runtime, bar)
    tried: list[GateFigures] = []
    for gate in GATES:
        figures = _figures(plain, scenes, gate, runtime, bar)
        tried.append(figures)
        if _costs_nothing(figures, without):
            return GateChoice(gate=gate, chosen=figures, without=without, tried=tuple(tried))
    last, before = tried[-1], without.words.misses()
    raise DataError(
        f"every gate costs words: even with one of {MARGINS_DB[-1]:g} dB, "
        f"{last.words.misses().missed} words are missed and "
        f"{last.negatives.accepts().count} false accepts made; without a gate, {before.missed} and "
        f"{without.negatives.accepts().count}. The model is unchanged"
    )


def _costs_nothing(figures: GateFigures, without: GateFigures) -> bool:
    misses, before = figures.words.misses(), without.words.misses()
    few = misses.missed - before.missed <= MOST_POINTS / 100 * before.said
    return few and figures.negatives.accepts().count <= without.negatives.accepts().count


def _figures(
    model: Model,
    scenes: Sequence[Scene],
    gate: GateConfig | None,
    runtime: str | Runtime | None,
    bar: Callable[[str], AbstractContextManager[Progress]],
) -> GateFigures:
    listener = Listener(model, runtime=runtime, gate=gate or False)
    name = "without a gate" if gate is None else f"with a gate of {gate.margin_db:g} dB"
    with bar(f"listening {name}, seconds") as progress:
        posteriors = model_posteriors(listener, scenes, progress=progress)
    detector, clock = model.manifest.detector, Clock.of(model)
    words = frozenset(model.manifest.words)
    matched = [
        (scene, match(scene, HeardScene(rows, detector, clock).heard(detector.thresholds), words))
        for scene, rows in zip(scenes, posteriors, strict=True)
    ]
    return GateFigures(
        gate=gate,
        words=Tally.of(each for each in matched if not each[0].negative),
        negatives=Tally.of(each for each in matched if each[0].negative),
        heard_share=listener.frames_heard / max(listener.frames, 1),
    )
