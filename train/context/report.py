"""Sessions and negative hours in, the benefit of a memory out: figures with confidence intervals.

Intervals of rates among sessions are 95 % by the bootstrap over sessions (Efron, 1979): words of
one session are not independent of each other. Those of false accepts are exact Poisson intervals;
the hours inside the window reuse the same audio after several histories, so these intervals are too
narrow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...edge.memory.grammar import Grammar
from ...edge.memory.prior import Prior
from ...edge.spotting.manifest import Model
from ..cache import Progress
from ..intervals import rate_interval, share_interval
from ..scenes.sweep import Float32
from ..scenes.truth import Scene
from .learning import Learning, learning
from .measure import (
    GAPS_S,
    Ears,
    SessionFigures,
    detector,
    false_accepts,
    n_events,
    score,
)
from .sessions import ORDERS, SNR, stateless

WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Weights of the prior to try on the scripted sessions; 0 means no memory."""

HISTORIES = 5
"""Number of histories after which each negative second is processed inside the window."""

_RESAMPLES = 1000

Bar = Callable[[str], AbstractContextManager[Progress]]
Cells = Mapping[tuple[str, str], Sequence[SessionFigures]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ContextEvaluation:
    """The measured figures: cells are by (order, noise)."""

    model: str
    grammar: Grammar
    prior: str
    """Name of the prior that was used."""
    weight: float
    """Its weight."""
    sessions: int
    without: Cells
    with_memory: Cells
    stateless: Cells
    """Commands by a stateless mapping of the words detected without a memory."""
    curve: Mapping[float, Cells]
    """Scripted sessions, by weight."""
    other: Mapping[str, Cells]
    """Scripted sessions with other priors, by their names."""
    accepts: Mapping[str, tuple[int, float]]
    """False accepts and hours: on all negatives and inside the window, with and without a
    memory."""
    accepts_curve: Mapping[float, tuple[int, float]]
    """The same inside the window, by weight."""
    learning: Mapping[str, Learning]
    """Effect of learning, by prior."""
    notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain JSON types."""
        return {
            "harken": __version__,
            "model": self.model,
            "grammar": {"name": self.grammar.name, "digest": self.grammar.digest},
            "prior": self.prior,
            "weight": self.weight,
            "sessions": self.sessions,
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
            "orders": {order: {snr: self.cell(order, snr) for snr in SNR} for order in ORDERS},
            "by_gap": {snr: self.gaps("scripted", snr) for snr in SNR},
            "weights": {
                f"{weight:g}": {
                    "snr": self.scripted(cells),
                    "inside_window": _accepts(*self.accepts_curve[weight]),
                }
                for weight, cells in self.curve.items()
            },
            "priors": {name: self.scripted(cells) for name, cells in self.other.items()},
            "false_accepts": {name: _accepts(*value) for name, value in self.accepts.items()},
            "learning": {name: value.to_dict() for name, value in self.learning.items()},
        }

    def scripted(self, cells: Cells) -> dict[str, Any]:
        """Return how scripted sessions compare with those without a memory, by noise."""
        keys = {snr: ("scripted", snr) for snr in SNR}
        return {snr: compared(self.without[key], cells[key]) for snr, key in keys.items()}

    def cell(self, order: str, snr: str) -> dict[str, Any]:
        """Return the figures of one order under one noise."""
        key = (order, snr)
        return {
            **compared(self.without[key], self.with_memory[key]),
            "commands_without_state": _commands(self.stateless[key]),
            "commands_with_dialogue_only": _commands(self.without[key]),
            "commands_with_memory": _commands(self.with_memory[key]),
            "command_gain_points": _bootstrapped(
                lambda rows: 100 * (rows[2] - rows[1]) / np.maximum(1, rows[0]),
                [f.given for f in self.with_memory[key]],
                [f.right for f in self.stateless[key]],
                [f.right for f in self.with_memory[key]],
            ),
        }

    def gaps(self, order: str, snr: str) -> list[dict[str, Any]]:
        """Return misses by the time since the previous word."""
        rows = []
        for group, since_s in enumerate(GAPS_S):
            row: dict[str, Any] = {"since_s": since_s}
            for name, cells in (("without", self.without), ("with", self.with_memory)):
                pairs = [f.by_gap.get(group, (0, 0)) for f in cells[order, snr]]
                said, missed = sum(p[0] for p in pairs), sum(p[1] for p in pairs)
                row |= {"said": said, f"missed_{name}": missed / said if said else None}
                row[f"missed_{name}_95"] = share_interval(missed, said)
            rows.append(row)
        return rows


def compared(without: Sequence[SessionFigures], memory: Sequence[SessionFigures]) -> dict[str, Any]:
    """Compare word errors without and with a memory, session by session."""
    said = [f.said for f in memory]
    before, after = [f.errors for f in without], [f.errors for f in memory]
    return {
        "words": sum(said),
        "missed_without": sum(f.missed for f in without),
        "wrong_without": sum(f.wrong for f in without),
        "missed_with": sum(f.missed for f in memory),
        "wrong_with": sum(f.wrong for f in memory),
        "word_errors_without": _bootstrapped(lambda rows: rows[1] / rows[0], said, before),
        "word_errors_with": _bootstrapped(lambda rows: rows[1] / rows[0], said, after),
        "fewer": _bootstrapped(lambda rows: 1 - rows[1] / np.maximum(1, rows[0]), before, after),
        "more_points": _bootstrapped(
            lambda rows: 100 * (rows[2] - rows[1]) / rows[0], said, before, after
        ),
    }


def _commands(figures: Sequence[SessionFigures]) -> dict[str, Any]:
    right, said = sum(f.right for f in figures), sum(f.given for f in figures)
    return {
        "given": said,
        "right": right,
        "accuracy": right / said if said else None,
        "accuracy_95": share_interval(right, said),
        "carried_out_wrongly": sum(f.understood - f.right for f in figures),
    }


def _accepts(count: int, hours: float) -> dict[str, Any]:
    return {
        "false_accepts": count,
        "hours": hours,
        "per_hour": count / hours if hours else None,
        "per_hour_95": rate_interval(count, hours),
    }


def _bootstrapped(
    figure: Callable[[NDArray[np.float64]], Any], *counts: Sequence[int]
) -> dict[str, float]:
    """Return a figure of sums over sessions, and its 95 % interval over resampled sessions."""
    table = np.array(counts, np.float64)
    rng = np.random.default_rng(0)
    chosen = rng.integers(table.shape[1], size=(_RESAMPLES, table.shape[1]))
    sums = table[:, chosen].sum(axis=2)
    low, high = np.quantile(figure(sums), (0.025, 0.975))
    value = float(figure(table.sum(axis=1, keepdims=True))[0])
    return {"value": value, "95_low": float(low), "95_high": float(high)}


def evaluate_context(
    model: Model,
    grammar: Grammar,
    priors: Mapping[str, Prior],
    scenes: Sequence[Scene],
    posteriors: Sequence[Float32],
    *,
    weight: float | None = None,
    weights: Sequence[float] = WEIGHTS,
    seed: int = 0,
    bar: Bar,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> ContextEvaluation:
    """Measure the benefit of the first prior, and compare the others with it.

    Parameters
    ----------
    model
        The model.
    grammar
        Defines the commands.
    priors
        By name; the first is used for all sessions, the others for scripted ones only.
    scenes
        Sessions of `harken.train.context.sessions.spoken_sessions`, and negative scenes.
    posteriors
        The model's posteriors for each.
    weight
        Of the prior; the manifest's by default.
    weights
        For the curve.
    seed
        Seed of all random draws.
    bar
        Shows the progress.
    """
    name, prior = next(iter(priors.items()))
    if weight is None:
        weight = model.manifest.detector.context_weight
    cells: dict[tuple[str, str], list[int]] = {}
    negatives = []
    for index, scene in enumerate(scenes):
        if scene.negative:
            negatives.append(posteriors[index])
        else:
            key = (scene.conditions["order"], scene.conditions["snr"])
            cells.setdefault(key, []).append(index)
    scripted = [key for key in cells if key[0] == "scripted"]

    def heard(ears: Ears, keys: Sequence[tuple[str, str]], what: str) -> Cells:
        done, total = 0, sum(len(cells[key]) for key in keys)
        result: dict[tuple[str, str], list[SessionFigures]] = {}
        with bar(what) as progress:
            for key in keys:
                result[key] = []
                for index in cells[key]:
                    result[key].append(score(scenes[index], ears, posteriors[index], grammar))
                    progress(done := done + 1, total)
        return result

    deaf = Ears(model=model, grammar=grammar)
    ears = Ears(model=model, grammar=grammar, prior=prior, weight=weight)
    everything = list(cells)
    without = heard(deaf, everything, "without a memory")
    with_memory = heard(ears, everything, "with a memory")
    plain = Ears(model=model, grammar=stateless(grammar))
    each_for_itself = heard(plain, everything, "each word by itself")
    histories = [
        [(u.word, u.end_s - before) for before, u in _timed(scenes[index])][: 1 + number % 6]
        for number, index in enumerate(cells[scripted[0]])
    ]
    rng = np.random.default_rng((seed, 10))
    histories = [histories[i] for i in rng.permutation(len(histories))]
    curve, accepts_curve = {0.0: without, weight: with_memory}, {}
    for each in sorted({*weights, weight}):
        trial = dataclasses.replace(ears, weight=each)
        if each not in curve:
            curve[each] = heard(trial, scripted, f"weight {each:g}")
        with bar(f"false accepts, weight {each:g}") as progress:
            accepts_curve[each] = false_accepts(
                trial, negatives * HISTORIES, histories, progress=progress
            )
    hours = accepts_curve[weight][1] / HISTORIES
    accepts = {
        "without": (_plain_accepts(deaf, negatives), hours),
        "with": (_plain_accepts(ears, negatives), hours),
        "inside_without": accepts_curve.get(0.0, (0, 0.0)),
        "inside_with": accepts_curve[weight],
    }
    others = {
        other: heard(Ears(model=model, grammar=grammar, prior=that, weight=weight), scripted, other)
        for other, that in priors.items()
        if other != name
    }
    learned = {}
    for each_name, that in priors.items():
        with bar(f"learning, {each_name}") as progress:
            learned[each_name] = learning(grammar, that, progress=progress)
    return ContextEvaluation(
        model=model.manifest.name,
        grammar=grammar,
        prior=name,
        weight=weight,
        sessions=len(cells[scripted[0]]),
        without=without,
        with_memory=with_memory,
        stateless=each_for_itself,
        curve={each: curve[each] for each in accepts_curve},
        other=others,
        accepts=accepts,
        accepts_curve=accepts_curve,
        learning=learned,
        notes=notes,
        provenance=provenance or {},
    )


def _timed(scene: Scene) -> list[tuple[float, Any]]:
    """Return each utterance with the end of the previous one."""
    ends = [utterance.end_s for utterance in scene.utterances]
    return list(zip([0.0, *ends], scene.utterances, strict=False))


def _plain_accepts(ears: Ears, negatives: Sequence[Float32]) -> int:
    """Count events in audio without keywords, with no word spoken before."""
    events = 0
    for posteriors in negatives:
        memory = None if ears.prior is None else ears.memory()
        events += n_events(detector(ears.model, ears.config, memory).feed(posteriors))
    return events
