"""A grammar in, simulated users out: their favourite commands, and what they say in a session.

From such sessions the shipped prior learns which words follow which, before anybody has used it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Collection, Mapping, Sequence
from itertools import islice, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import GrammarError
from ..files import read_text
from .dialogue import Dialogue
from .grammar import CommandSpec, Grammar

WORD_S = 0.5
"""Typical length of a word, in seconds."""

_ZIPF = 1.1  # exponent: how dominant the favourite commands are
_MOST_FILLINGS = 2000  # of one command's slots
_COMMANDS = (4, 9)  # in a session

_MISSED = 0.15  # of the words

# What people do instead of giving a full command.
_STOP_SHARE = 0.08
_REPEAT_SHARE = 0.1
_GO_ON_SHARE = 0.4  # of the commands reuse remembered parts of the one before: "left five, three"
_FOLLOW_UP_SHARE = 0.8  # parts that may be left out because they are remembered are
_CONFIRM_SHARE = 0.9
_TAKE_BACK_SHARE = 0.04

# Silence before a word, in seconds: median and spread of a log-normal, and its bounds.
_WITHIN = (0.4, 0.4, 0.15, 1.5)
_BETWEEN = (1.6, 0.5, 0.6, 5.0)
_LONG_SHARE = 0.08  # of the commands come after a pause that ends the window
_LONG = (15.0, 0.3, 10.0, 40.0)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A word of a session."""

    word: str
    gap_s: float
    """Silence before it, in seconds."""
    pending: str
    """What the dialogue waits for after the word; see `harken.edge.memory.prior.Context`."""

    @property
    def counted(self) -> tuple[str, float, str]:
        """What a prior counts: the gap between decisions, which includes the word itself."""
        return self.word, self.gap_s + WORD_S, self.pending


class User:
    """Somebody with favourite commands, whose frequency falls with their rank (Zipf).

    Parameters
    ----------
    grammar
        The grammar of the commands.
    rng
        Draws the ranks.
    words
        The words that this user ever says; by default every word of the grammar.
    """

    def __init__(
        self, grammar: Grammar, rng: np.random.Generator, words: Collection[str] | None = None
    ) -> None:
        self.grammar = grammar
        self._words = frozenset(grammar.words if words is None else words)
        fillings = [
            (spec, filling)
            for spec in grammar.commands
            for filling in _fillings(grammar, spec)
            if self._can_say(spec, filling)
        ]
        self._favourites = [fillings[i] for i in rng.permutation(len(fillings))]

    def __bool__(self) -> bool:
        """Whether there is a command that this user can say."""
        return bool(self._favourites)

    def _can_say(self, spec: CommandSpec, filling: Mapping[str, str]) -> bool:
        """Whether this user has all words for the command, its wake word and its confirmation."""
        controls = self.grammar.controls
        needed = {*filling.values(), controls.wake}
        if spec.needs_confirmation(filling):
            needed |= {controls.confirm, controls.cancel}
        return needed - {None} <= self._words

    def opposite(self) -> User:
        """Return a user who says most what this one says least."""
        other = copy.copy(self)
        other._favourites = self._favourites[::-1]
        return other

    def session(self, rng: np.random.Generator, commands: int | None = None) -> list[Said]:
        """Draw a session of the given number of commands; by default a few."""
        if commands is None:
            commands = int(rng.integers(*_COMMANDS, endpoint=True))
        ranks = 1.0 / np.arange(1, len(self._favourites) + 1) ** _ZIPF
        talk = _Talk(self.grammar, self._words, rng)
        spec, filling = self._favourites[0]
        for number in range(commands):
            weights = ranks
            if number and rng.random() < _GO_ON_SHARE:
                weights = ranks * self._goes_on(spec, filling)
            index = int(rng.choice(len(ranks), p=weights / weights.sum()))
            spec, filling = self._favourites[index]
            talk.command(spec, filling)
        return talk.said

    def _goes_on(self, spec: CommandSpec, filling: Mapping[str, str]) -> NDArray[np.bool_]:
        """Return the favourites that agree with the remembered parts of the last command."""
        same = [
            that is spec and all(other.get(slot) == filling.get(slot) for slot in spec.remember)
            for that, other in self._favourites
        ]
        return np.array(same)


class _Talk:
    """A session in progress: the words, and the dialogue's state."""

    def __init__(self, grammar: Grammar, words: frozenset[str], rng: np.random.Generator) -> None:
        self.said: list[Said] = []
        self._grammar, self._words, self._rng = grammar, words, rng
        self._dialogue = Dialogue(grammar)
        self._now_s = 0.0

    def command(self, spec: CommandSpec, filling: Mapping[str, str]) -> None:
        """Give a command, with what people do before and after it."""
        controls, draw = self._grammar.controls, self._rng.random()
        gap = _LONG if self._rng.random() < _LONG_SHARE else _BETWEEN
        if draw < _STOP_SHARE and self._can(controls.stop):
            self._say(controls.stop, gap)
            return
        last = self._dialogue.state.last is not None
        if draw < _STOP_SHARE + _REPEAT_SHARE and last and self._can(controls.carry_out):
            self._say(controls.carry_out, gap)
            return
        if controls.wake is not None and not self._dialogue.window_open(self._now_s):
            self._say(controls.wake, gap)
            gap = _WITHIN
        for word in self._spoken(spec, filling, gap):
            self._say(word, gap)
            gap = _WITHIN
        if self._dialogue.pending_kind == "confirm":
            sure = self._rng.random() < _CONFIRM_SHARE
            answer = controls.confirm if sure else controls.cancel
            if self._can(answer):
                self._say(answer, _WITHIN)
        elif self._rng.random() < _TAKE_BACK_SHARE and self._can(controls.cancel):
            self._say(controls.cancel, _WITHIN)

    def _spoken(
        self, spec: CommandSpec, filling: Mapping[str, str], gap: Sequence[float]
    ) -> list[str]:
        """Return the words of a command, without remembered ones at its beginning."""
        words = list(filling.values())
        if gap is _LONG or self._rng.random() >= _FOLLOW_UP_SHARE:
            return words
        remembered = self._dialogue.state.memory
        for slot, word in list(filling.items())[:-1]:
            known = remembered.get(slot)
            if slot not in spec.remember or known is None or known.word != word:
                break
            words = words[1:]
        return words

    def _can(self, word: str | None) -> bool:
        return word in self._words

    def _say(self, word: str | None, gap: Sequence[float]) -> None:
        assert word is not None
        median, spread, low, high = gap
        gap_s = float(np.clip(median * np.exp(spread * self._rng.standard_normal()), low, high))
        self._now_s += gap_s + WORD_S
        self._dialogue.hear(word, self._now_s)
        self.said.append(Said(word=word, gap_s=gap_s, pending=self._dialogue.pending))


def _fillings(grammar: Grammar, spec: CommandSpec) -> Sequence[dict[str, str]]:
    """Return all ways to say a command: a word for each part, with or without optional parts."""
    choices: list[list[tuple[str, str | None]]] = [
        [(part.name, word) for word in (*grammar.part_words(part), *([None] * part.optional))]
        for part in spec.pattern
    ]
    return [
        {name: word for name, word in combination if word is not None}
        for combination in islice(product(*choices), _MOST_FILLINGS)
    ]


def sessions(
    grammar: Grammar, *, users: int = 300, seed: int = 0, each: int = 3
) -> list[list[tuple[str, float, str]]]:
    """Draw a prior's training data: the detected words of several sessions of many users.

    A pause as long as the follow-up window ends a session. A share `_MISSED` of the words is not
    detected: a prior must cope with missed words.

    Returns
    -------
    The words of each session, as `Said.counted` returns them.
    """
    rng = np.random.default_rng(seed)
    drawn: list[list[tuple[str, float, str]]] = []
    for _ in range(users):
        user = User(grammar, rng)
        for _ in range(each):
            drawn += _heard(grammar, user.session(rng), rng)
    return drawn


def logged_sessions(path: Path, grammar: Grammar) -> list[list[tuple[str, float, str]]]:
    """Read real sessions from lines that ``harken listen --json`` printed.

    Words that the grammar lacks are ignored, as are lines of commands and turns. A time before the
    last one begins a session, as does a pause as long as the follow-up window.

    Raises
    ------
    GrammarError
        The file cannot be read, or a line is none of those. Names it.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
        raise GrammarError(f"cannot read the log {path}: {reason}") from None
    said: list[list[tuple[str, float]]] = [[]]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            if "command" in event or "turn" in event:
                continue
            word, at_s = str(event["word"]), float(event["end_s"])
        except (ValueError, TypeError, KeyError):
            raise GrammarError(
                f"{path}:{number}: this is no line of `harken listen --json`; remove it"
            ) from None
        if said[-1] and at_s < said[-1][-1][1]:
            said.append([])
        if word in grammar.words:
            said[-1].append((word, at_s))
    return [session for times in said for session in _split(grammar, times)]


def _heard(
    grammar: Grammar, said: Sequence[Said], rng: np.random.Generator
) -> list[list[tuple[str, float, str]]]:
    """Return what is heard of a session."""
    missed = rng.random(len(said)) < _MISSED
    times, now_s = [], 0.0
    for each, lost in zip(said, missed.tolist(), strict=True):
        now_s += each.gap_s + WORD_S
        if not lost:
            times.append((each.word, now_s))
    return _split(grammar, times)


def _split(
    grammar: Grammar, times: Sequence[tuple[str, float]]
) -> list[list[tuple[str, float, str]]]:
    """Divide words with their times at long pauses; add what the dialogue waits for after each."""
    dialogue, before_s = Dialogue(grammar), -math.inf
    sessions: list[list[tuple[str, float, str]]] = []
    for word, now_s in times:
        dialogue.hear(word, now_s)
        if now_s - before_s >= grammar.window_s:
            sessions.append([])
        sessions[-1].append((word, min(now_s - before_s, grammar.window_s), dialogue.pending))
        before_s = now_s
    return sessions
