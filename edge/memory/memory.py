"""The memory as a whole: words in, commands and the detector's expectations out.

A `Memory` is the context of a detector (`harken.edge.spotting.detector.Context`). The dialogue
turns words into commands. The prior, which knows what was said and what is pending, moves the
log-odds of the words that may follow, depending on the time since. Once the follow-up window has
closed it moves nothing, and the detector behaves bit for bit as without a memory.

**Learning.** The memory learns from the words of a command `REGRET_S` after it was carried out,
unless "stop" or "no" was said meanwhile. It learns nothing from a word that was detected only
because it was expected; otherwise a mistake would reinforce itself.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..spotting.detector import Detection
from ..spotting.manifest import Model
from .dialogue import Dialogue
from .grammar import Grammar
from .grammar_file import load_grammar, shipped_grammars
from .habits import sessions
from .lstm import LstmPrior, LstmPriorFile, pending_classes
from .prior import GAP_EDGES_S, N_GAPS, Learner, Lesson, NgramPrior, Prior, gap_class
from .store import Store
from .turns import State, Turn

Float32 = npt.NDArray[np.float32]

REGRET_S = 5.0
"""How long a command can be taken back; nothing is learned from it before that."""

UNEXPECTED = 0.5
"""Share of follow-ups that earlier words do not predict at all."""

# A file is processed faster than real time, so its words may be this far ahead of the clock.
_AHEAD_S = 10.0

_MOST_RECENT = 8  # words of a session that survive a restart


class Memory:
    """Remembers what was said: what the words mean together, and what is likely to come next.

    Parameters
    ----------
    grammar
        A `Grammar`, or what `load_grammar` takes: a path, or the name of a shipped one.
    labels
        Labels of the model, in their order.
    thresholds
        For each word the evidence at which it fires without a memory; nothing is learned from words
        with less.
    sample_rate_hz
        Samples a second of the stream.
    prior
        Predicts the next word; by default that of `default_prior`.
    store
        Where the memory is saved; by default nowhere.
    now_s
        Wall-clock time of the first sample, in seconds; by default `time.time`.

    Raises
    ------
    GrammarError
        The grammar is missing or wrong, or has words that the model lacks.
    """

    def __init__(
        self,
        grammar: Grammar | str | Path,
        labels: Sequence[str],
        *,
        thresholds: Mapping[str, float],
        sample_rate_hz: int = 16_000,
        prior: Prior | None = None,
        store: Store | None = None,
        now_s: float | None = None,
    ) -> None:
        self.grammar = grammar if isinstance(grammar, Grammar) else load_grammar(grammar)
        self.grammar.require_words(tuple(thresholds))
        self.prior = Learner(prior or default_prior(self.grammar))
        """Predicts the next word."""
        self.dialogue = Dialogue(self.grammar)
        """Turns words into commands."""
        self._labels = tuple(labels)
        self._columns = [self._labels.index(word) for word in self.prior.words]
        self._thresholds = dict(thresholds)
        self._sample_rate_hz = sample_rate_hz
        self._began_s = time.time() if now_s is None else now_s
        self._now_s = self._began_s
        self._turns: list[Turn] = []
        self._lessons: list[Lesson] = []  # of the current command
        self._meant: list[tuple[float, list[Lesson]]] = []  # of commands, and when to learn them
        self._recent: list[tuple[str, float, str]] = []
        self._ratios: Float32 | None = None
        self._last_s = 0.0
        self._moved_on_s = -math.inf  # when time last carried out or ended what was pending
        self._store = store
        if store is not None:
            self._restore(store)

    @classmethod
    def of(
        cls,
        grammar: Grammar | str | Path,
        model: Model,
        *,
        thresholds: Mapping[str, float] | None = None,
        prior: Prior | None = None,
        store: Store | None = None,
        now_s: float | None = None,
    ) -> Memory:
        """Return a memory for a model, with its own thresholds if no others are given."""
        manifest = model.manifest
        return cls(
            grammar,
            manifest.labels,
            thresholds=manifest.detector.thresholds if thresholds is None else thresholds,
            sample_rate_hz=manifest.front_end.sample_rate_hz,
            prior=prior,
            store=store,
            now_s=now_s,
        )

    def log_odds(self, sample: int) -> Float32 | None:
        """Return what the prior adds to each label's log-odds; see `Context.log_odds`."""
        self._now_s = now_s = self._began_s + sample / self._sample_rate_hz
        self._pass(now_s)
        if self._ratios is None:
            return None
        elapsed_s = now_s - self._last_s
        span_s = self.grammar.window_s
        if elapsed_s >= span_s or not self.dialogue.window_open(now_s):
            return None
        row: Float32 = self._ratios[gap_class(elapsed_s)]
        return row

    def accept(self, detection: Detection) -> None:
        """Process a word, and a faint one before it; see `Context.accept`."""
        now_s = self._now_s = self._began_s + detection.end_sample / self._sample_rate_hz
        faint = detection.faint
        if faint is not None:
            said_s = self._began_s + faint.end_sample / self._sample_rate_hz
            self._hear_late(faint.word, said_s, now_s, faint.confidence)
        self.hear(detection.word, now_s, detection.confidence, acoustic=detection.acoustic)

    def reset(self) -> None:
        """Forget the session, as a reset of the detector does; what was learned stays."""
        self._began_s = self._now_s
        self._turns.clear()
        self._forget_session()

    def hear(
        self, word: str, now_s: float, confidence: float = 1.0, *, acoustic: float = 1.0
    ) -> Turn:
        """Process a word, from any source.

        Parameters
        ----------
        word
            The word.
        now_s
            Wall-clock time, in seconds.
        confidence, acoustic
            Its evidence, with and without what the prior added; in 0..1.
        """
        self._pass(now_s)
        known = word in self.prior.words
        gap_s = self._gap_before(now_s)
        meant = known and acoustic >= self._thresholds.get(word, 1.0)
        lesson = self.prior.lesson(word, gap_s) if meant else None
        turn = self.dialogue.hear(word, now_s, confidence)
        if self.dialogue.muted(now_s):
            self._turns.append(turn)
            return turn
        self._take(turn, lesson, now_s)
        if known:
            self._remember(word, gap_s, now_s, pending=self.dialogue.pending)
        self._save()
        return turn

    def _hear_late(self, word: str, said_s: float, now_s: float, confidence: float) -> None:
        """Process a word that is known only now; nothing is learned from it.

        The dialogue leaves it out if it has gone on meanwhile: what was carried out, or expired,
        cannot be changed any more. So it does while it waits for "yes": what has to be confirmed
        takes a clear word. The prior does not know what was pending then.
        """
        self._pass(now_s)
        if self.dialogue.muted(said_s):
            return
        gap_s = self._gap_before(said_s)
        if said_s >= self._moved_on_s and self.dialogue.pending_kind != "confirm":
            turn = self.dialogue.hear(word, now_s, confidence)
            self._take(dataclasses.replace(turn, late_s=now_s - said_s), None, now_s)
        if word in self.prior.words:
            self._remember(word, gap_s, said_s, pending="")

    def _gap_before(self, said_s: float) -> float:
        """Return the time since the last word, in seconds; forget the words if it is too long."""
        gap_s = said_s - self._last_s if self._ratios is not None else 0.0
        if not 0 <= gap_s < self.grammar.window_s:
            self._forget_words()
        return gap_s

    def take_turns(self) -> list[Turn]:
        """Return the turns since the last call."""
        turns, self._turns = self._turns, []
        return turns

    def mute(self) -> None:
        """Ignore words: the device itself is about to speak."""
        self.dialogue.mute(self._now_s)

    def unmute(self, tail_s: float = 0.5) -> None:
        """Listen again once the echo of the device's own speech has died away."""
        self.dialogue.unmute(self._now_s, tail_s)

    @property
    def muted(self) -> bool:
        """Whether words are ignored."""
        return self.dialogue.muted(self._now_s)

    @property
    def now_s(self) -> float:
        """Wall-clock time of the last audio processed, in seconds."""
        return self._now_s

    def adjust_clock(self, jump_s: float) -> None:
        """Handle a jump of the clock: time passed without audio, as when a computer sleeps.

        If the clock was set back, nothing can be relied on: the session is forgotten.
        """
        self._began_s += jump_s
        self._now_s += jump_s
        if jump_s < 0:
            self._forget_session()
        else:
            self._pass(self._now_s)

    def close(self) -> None:
        """Save, and release the file for other programs."""
        if self._store is not None:
            self._save()
            self._store.close()

    def _pass(self, now_s: float) -> None:
        """Let time pass."""
        due_s = self.dialogue.due_s
        if due_s is not None and now_s >= due_s:
            turn = self.dialogue.tick(now_s)
            if turn is not None:
                self._moved_on_s = now_s
                self._take(turn, None, now_s)
        while self._meant and now_s >= self._meant[0][0]:
            for lesson in self._meant.pop(0)[1]:
                self.prior.learn(lesson)
            self._save()

    def _take(self, turn: Turn, lesson: Lesson | None, now_s: float) -> None:
        """Keep a turn; note a word to learn from, or drop words that were not meant after all."""
        self._turns.append(turn)
        if lesson is not None and turn.outcome != "ignored":
            self._lessons.append(lesson)
        if turn.outcome in ("stopped", "cancelled", "expired"):
            self._lessons = []
            if self.dialogue.state.last is None:  # stopped, or taken back
                self._meant = []
        elif turn.commands:
            self._meant.append((now_s + REGRET_S, self._lessons))
            self._lessons = []

    def _remember(self, word: str, gap_s: float, now_s: float, *, pending: str) -> None:
        self.prior.hear(word, gap_s, pending)
        self._recent = [*self._recent, (word, gap_s, pending)][-_MOST_RECENT:]
        self._last_s = now_s
        ratios = np.zeros((N_GAPS, len(self._labels)), np.float32)
        ratios[:, self._columns] = log_ratios(
            self.prior.expect(), self.prior.when(), self.grammar.window_s
        )
        self._ratios = ratios

    def _forget_words(self) -> None:
        self.prior.reset()
        self._recent, self._ratios, self._last_s = [], None, 0.0

    def _forget_session(self) -> None:
        self.dialogue.forget()
        self._forget_words()
        self._lessons, self._meant = [], []

    def _save(self) -> None:
        if self._store is not None:
            self._store.save(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return what is remembered, as plain JSON types."""
        return {
            "grammar": {"name": self.grammar.name, "digest": self.grammar.digest},
            "saved_s": round(self._now_s, 3),
            "state": self.dialogue.state.to_dict(),
            "recent": [[word, round(gap_s, 3), pending] for word, gap_s, pending in self._recent],
            "last_s": round(self._last_s, 3),
            "learned": self.prior.to_dict(),
        }

    def _restore(self, store: Store) -> None:
        content = store.load()
        if not content:
            return
        try:
            name = content["grammar"].get("name")
            if name is None:
                raise ValueError("it belongs to another grammar")
            if name != self.grammar.name:
                store.leave(f"it belongs to the grammar {name}")
                return
            state = State.from_dict(content["state"])
            saved_s, last_s = float(content["saved_s"]), float(content["last_s"])
            recent = [(str(w), float(g), str(p)) for w, g, p in content["recent"]]
            self.prior.from_dict(content["learned"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
            self.prior.forget()
            reason = str(problem) if isinstance(problem, ValueError) else "it is damaged"
            store.set_aside(reason)
            return
        if saved_s > self._now_s + _AHEAD_S:
            return  # the clock was set back: the age is unknown
        self._began_s = self._now_s = max(saved_s, self._now_s)
        # The grammar may have been edited since: what still applies stays.
        self.prior.keep(pending_classes(tuple(self.grammar.slots)))
        self.dialogue = Dialogue(self.grammar, state)
        if not all(word in self.prior.words for word, _, _ in recent):
            recent = []
        for word, gap_s, pending in recent[:-1]:
            self.prior.hear(word, gap_s, pending)
        if recent:
            self._recent = recent[:-1]
            word, gap_s, _ = recent[-1]
            self._remember(word, gap_s, last_s, pending=self.dialogue.pending)


def log_ratios(
    words: npt.NDArray[np.float64], when: npt.NDArray[np.float64], window_s: float
) -> Float32:
    """Return how much likelier each word at each time is than the average over the window.

    A share `UNEXPECTED` of follow-ups is taken as uniform over words and time, so that nothing
    becomes much less likely than before.

    Parameters
    ----------
    words
        (N_GAPS, n_words) float64, as `Prior.expect` returns them.
    when
        (N_GAPS,) float64, as `Prior.when` returns them.
    window_s
        Seconds in which a follow-up is expected.

    Returns
    -------
    (N_GAPS, n_words) float32, natural logarithms. Over the window and all words their exponentials
    have the mean 1.
    """
    edges = np.minimum((0.0, *GAP_EDGES_S, np.inf), window_s)
    share = np.diff(edges) / window_s
    within = share > 0
    density = np.zeros(len(when))
    density[within] = when[within] / when[within].sum() / share[within]
    likelier = words * words.shape[1] * density[:, np.newaxis]
    ratios: Float32 = np.log(UNEXPECTED + (1 - UNEXPECTED) * likelier).astype(np.float32)
    return ratios


def default_prior(grammar: Grammar) -> Prior:
    """Return the LSTM that ships for a grammar, or else an n-gram, which works for any grammar."""
    file = shipped_prior(grammar)
    return ngram(grammar) if file is None else LstmPrior(file)


def shipped_prior(grammar: Grammar) -> LstmPriorFile | None:
    """Return the LSTM that ships for a grammar; None for your own grammars."""
    path = shipped_grammars().get(grammar.name)
    settings = None if path is None else path.with_name(f"{grammar.name}.prior.json")
    if settings is None or not settings.exists():
        return None
    file = LstmPriorFile.load(settings)
    return file if file.digest == grammar.digest else None


def ngram(grammar: Grammar) -> NgramPrior:
    """Make a prior for any grammar, from sessions of simulated users."""
    return NgramPrior(grammar.words, sessions(grammar))
