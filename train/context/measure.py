"""Posteriors of sessions in, detected words and commands out, with a memory and without.

The device's own `Detector` and `Memory` make all decisions, from posteriors that were computed
once.

A **word error** is a missed word, a confused word, or an event without a word: a miss by
`harken.train.scenes.scoring`, or a false accept that does not stand for a miss. A **command** is
right if it has the intent and the slots of a given one, and comes within `COMMAND_S` of it. The
given commands are what the dialogue makes of the words really said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...edge.memory.dialogue import Dialogue
from ...edge.memory.grammar import Grammar
from ...edge.memory.memory import Memory
from ...edge.memory.prior import NgramPrior, Prior
from ...edge.memory.turns import Command
from ...edge.spotting.detector import Context, Detection, Detector, DetectorConfig
from ...edge.spotting.manifest import Model
from ..cache import Progress
from ..decode import SAMPLE_RATE_HZ
from ..scenes.scoring import Heard, match
from ..scenes.sweep import Clock, Float32
from ..scenes.truth import Scene

COMMAND_S = 1.5
"""Longest time between a given command and the understood one."""

_DECIDED_S = 0.12  # typical time from the end of a word to its detection
_AFTERWARDS_S = 60.0  # of quiet after a session, in which pending commands settle or expire


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ears:
    """A model and a grammar, ready for posteriors.

    Without a prior there is no memory: the detector alone decides on words, and the grammar turns
    these into commands.
    """

    model: Model
    grammar: Grammar
    prior: Prior | None = None
    weight: float = 0.0

    @property
    def config(self) -> DetectorConfig:
        """The detector's configuration."""
        weight = self.weight if self.prior is not None else 0.0
        return dataclasses.replace(self.model.manifest.detector, context_weight=weight)

    def memory(self) -> Memory:
        """Return an empty memory."""
        prior = self.prior or NgramPrior(self.grammar.words)  # expects all words equally
        return Memory.of(self.grammar, self.model, prior=prior, now_s=0.0)

    def hear(self, posteriors: Float32) -> tuple[list[Heard], list[Command]]:
        """Return the words and commands of a session, from a reset.

        A faint word counts as heard when it was said, if the dialogue still took it.
        """
        memory = self.memory()
        detections = detector(self.model, self.config, memory).feed(posteriors)
        # Pending commands settle once nothing more is said.
        clock = Clock.of(self.model)
        ended_s = clock.decided_s(len(posteriors)) + _AFTERWARDS_S
        memory.log_odds(round(ended_s * SAMPLE_RATE_HZ))
        turns = memory.take_turns()
        heard = [
            Heard(word=d.word, time_s=clock.decided_s(d.step), confidence=d.confidence)
            for d in detections
        ]
        heard += [
            Heard(word=turn.word, time_s=turn.at_s - turn.late_s)
            for turn in turns
            if turn.late_s and turn.word is not None
        ]
        return heard, [c for turn in turns for c in turn.commands]


def detector(model: Model, config: DetectorConfig, context: Context | None) -> Detector:
    """Return the detector of a model, with another configuration and a context."""
    clock = Clock.of(model)
    return Detector(
        config,
        clock.labels,
        clock.step_samples,
        sample_rate_hz=model.manifest.front_end.sample_rate_hz,
        overhang_samples=clock.overhang_samples,
        context=context,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionFigures:
    """Counts of one session; all of them can be added."""

    said: int
    """Words."""
    missed: int
    """Words that were missed or confused."""
    wrong: int
    """Events without a spoken word."""
    given: int
    """Commands."""
    right: int
    """Commands that were understood."""
    understood: int
    """Commands that were carried out, correct or not."""
    by_gap: Mapping[int, tuple[int, int]]
    """For each class of `GAPS_S`, the words said and missed."""

    @property
    def errors(self) -> int:
        """Word errors."""
        return self.missed + self.wrong


GAPS_S = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Lower bounds of the classes of time since the previous word, in seconds; first words are in the
last class."""


def score(scene: Scene, ears: Ears, posteriors: Float32, grammar: Grammar) -> SessionFigures:
    """Score the words and commands of a session.

    Parameters
    ----------
    scene
        The words spoken.
    ears
        The listener.
    posteriors
        The model's posteriors for it.
    grammar
        The speaker's grammar, which may differ from the listener's.
    """
    heard, commands = ears.hear(posteriors)
    matches = match(scene, heard, ears.model.manifest.words)
    instead = sum(miss.instead is not None for miss in matches.misses)
    truth = given(scene, grammar)
    by_gap: dict[int, tuple[int, int]] = {}
    missed = {miss.utterance for miss in matches.misses}
    before_s: float | None = None
    for utterance in scene.utterances:
        elapsed_s = GAPS_S[-1] if before_s is None else utterance.end_s - before_s
        group = int(np.searchsorted(GAPS_S, elapsed_s, side="right")) - 1
        said, lost = by_gap.get(group, (0, 0))
        by_gap[group] = said + 1, lost + (utterance in missed)
        before_s = utterance.end_s
    return SessionFigures(
        said=len(scene.utterances),
        missed=len(matches.misses),
        wrong=len(matches.false_accepts) - instead,
        given=len(truth),
        right=_right_among(truth, commands),
        understood=len(commands),
        by_gap=by_gap,
    )


def given(scene: Scene, grammar: Grammar) -> list[Command]:
    """Return the commands given in a session."""
    dialogue, commands = Dialogue(grammar), []
    for utterance in scene.utterances:
        at_s = utterance.end_s + _DECIDED_S
        commands += pass_time(dialogue, at_s)
        commands += dialogue.hear(utterance.word, at_s).commands
    return commands + pass_time(dialogue, scene.seconds + _AFTERWARDS_S)


def pass_time(dialogue: Dialogue, at_s: float) -> list[Command]:
    """Let time pass in a dialogue, ticking when due; return the commands carried out."""
    commands: list[Command] = []
    while dialogue.due_s is not None and dialogue.due_s <= at_s:
        turn = dialogue.tick(dialogue.due_s)
        if turn is None:
            break
        commands += turn.commands
    return commands


def _right_among(truth: Sequence[Command], understood: Sequence[Command]) -> int:
    """Count understood commands, each at most once."""
    left, right = list(understood), 0
    for command in truth:
        for candidate in left:
            same = (candidate.intent, candidate.slots) == (command.intent, command.slots)
            if same and abs(candidate.at_s - command.at_s) <= COMMAND_S:
                left.remove(candidate)
                right += 1
                break
    return right


def false_accepts(
    ears: Ears,
    negatives: Iterable[Float32],
    histories: Sequence[Sequence[tuple[str, float]]],
    *,
    progress: Progress | None = None,
) -> tuple[int, float]:
    """Count events inside the follow-up window in audio without keywords.

    Each stretch as long as a window is processed as if right after the words of one of the
    histories.

    Parameters
    ----------
    ears
        The listener.
    negatives
        Posteriors of negative audio (without any keyword).
    histories
        Words and the pauses before them; used in turn.
    progress
        Called with stretches done, and 0.

    Returns
    -------
    Events, and the hours in which the window was open.
    """
    clock = Clock.of(ears.model)
    step_s = clock.step_samples / ears.model.manifest.front_end.sample_rate_hz
    stretch = int(ears.grammar.window_s / step_s)
    events = heard = turn = 0
    for posteriors in negatives:
        window = _Window(ears)
        listening = detector(ears.model, ears.config, window)
        for first in range(0, len(posteriors), stretch):
            window.open(histories[turn % len(histories)])
            piece = posteriors[first : first + stretch]
            events += n_events(listening.feed(piece))
            heard += len(piece)
            turn += 1
            if progress is not None:
                progress(turn, 0)
    return events, heard * step_s / 3600


def n_events(detections: Iterable[Detection]) -> int:
    """Return the number of words, faint ones included."""
    return sum(1 if each.faint is None else 2 for each in detections)


class _Window:
    """A context in which a command has always just been given.

    Detections change nothing: so each second is processed in its intended context.
    """

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._memory = ears.memory()
        self._zero = 0
        self._sample = 0

    def open(self, history: Sequence[tuple[str, float]]) -> None:
        """Say the words of a history, the last of them now."""
        self._memory = self._ears.memory()
        now_s = 0.0
        for word, gap_s in history:
            now_s += gap_s
            self._memory.hear(word, now_s)
        self._zero = self._sample - round(now_s * SAMPLE_RATE_HZ)

    def log_odds(self, sample: int) -> Float32 | None:
        """See `harken.edge.spotting.detector.Context`."""
        self._sample = sample
        return self._memory.log_odds(sample - self._zero)

    def accept(self, detection: Detection) -> None:
        """Ignore the word."""

    def reset(self) -> None:
        """See `harken.edge.spotting.detector.Context`."""
        self._zero = self._sample = 0
