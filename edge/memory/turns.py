"""What a dialogue keeps between words, and the result of each word: states, turns, commands.

Plain data that converts to JSON and back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

Outcome = Literal[
    "command", "pending", "asks", "cancelled", "stopped", "ignored", "expired", "woken"
]
"""The result of a word: a command; an incomplete command that waits; one that cannot be completed;
one that was dropped or taken back; a stop; nothing; one that waited too long; an opened window."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A word that fills a slot."""

    word: str
    at_s: float
    """When it was said, or last used."""
    confidence: float
    recalled: bool = False
    """Whether it comes from memory."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A command that is incomplete or unconfirmed."""

    intent: str
    parts: Mapping[str, Heard]
    """The words so far, by the name of the part."""
    waits: Literal["slot", "confirm"]
    since_s: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Last:
    """The command that was carried out last."""

    intent: str
    parts: Mapping[str, Heard]
    at_s: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Everything that a dialogue remembers; times are seconds of the caller's clock."""

    pending: Pending | None = None
    last: Last | None = None
    memory: Mapping[str, Heard] = dataclasses.field(default_factory=dict)
    """The last word said for each slot."""
    opened_s: float | None = None
    """When the window was opened; None while it is closed."""
    turns: int = 0
    """Words in this window."""
    last_word_s: float | None = None
    capped: bool = False
    """A limit closed the window, and there has been no pause since."""
    now_s: float | None = None
    """The latest time known."""

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> State:
        """Restore a state from what `to_dict` returned.

        Raises
        ------
        ValueError
            It is something else.
        """
        try:
            pending, last = data["pending"], data["last"]
            state = cls(
                pending=None
                if pending is None
                else Pending(
                    intent=_text(pending["intent"]),
                    parts=_parts(pending["parts"]),
                    waits="confirm" if pending["waits"] == "confirm" else "slot",
                    since_s=_number(pending["since_s"]),
                ),
                last=None
                if last is None
                else Last(
                    intent=_text(last["intent"]),
                    parts=_parts(last["parts"]),
                    at_s=_number(last["at_s"]),
                ),
                memory=_parts(data["memory"]),
                opened_s=_time(data["opened_s"]),
                turns=int(data["turns"]),
                last_word_s=_time(data["last_word_s"]),
                capped=bool(data["capped"]),
                now_s=_time(data["now_s"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as problem:
            raise ValueError("the state of the dialogue is damaged") from problem
        return state


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command to carry out."""

    intent: str
    slots: Mapping[str, str]
    """Each filled slot with its word."""
    values: Mapping[str, str | int | float]
    """The same with the values of the words."""
    remembered: Mapping[str, float]
    """Slots filled from memory, with how long ago they were said, in seconds."""
    confidence: float
    """Product of the confidences of all its words, remembered ones included."""
    repeated: bool
    """Whether it repeats the last command."""
    text: str
    """The command in words."""
    at_s: float
    before: State
    """State before the word that completed it …"""
    after: State
    """… and after it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a line of JSON, with numbers rounded to their precision."""
        return {
            "intent": self.intent,
            "slots": dict(self.slots),
            "values": dict(self.values),
            "remembered": {name: round(age_s, 2) for name, age_s in self.remembered.items()},
            "confidence": round(self.confidence, 4),
            "repeated": self.repeated,
            "text": self.text,
            "at_s": round(self.at_s, 3),
            "before": _compact(self.before),
            "after": _compact(self.after),
        }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """The result of a word, or of time that passed."""

    word: str | None
    """The word; None if time passed."""
    at_s: float
    outcome: Outcome
    commands: tuple[Command, ...] = ()
    """Commands to carry out: mostly one or none; two if a word that began a new command also
    completed the one before it."""
    reason: str = ""
    """The outcome in words."""
    late_s: float = 0.0
    """How long before `at_s` a faint word was said, in seconds; 0 for any other."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """A remembered value, which expires."""

    name: str
    """The slot; for the last command its intent."""
    text: str
    """The word that fills the slot, or the command in words."""
    age_s: float
    """Seconds since it was said or last used."""
    span_s: float
    """Age at which it is forgotten, in seconds."""


def _compact(state: State) -> dict[str, Any]:
    """Return the parts of a state that matter to a program that reads commands."""
    pending = state.pending
    return {
        "pending": None
        if pending is None
        else {
            "intent": pending.intent,
            "words": [heard.word for heard in pending.parts.values()],
            "waits": pending.waits,
        },
        "memory": {slot: heard.word for slot, heard in state.memory.items()},
        "turns": state.turns,
    }


def _parts(data: Mapping[str, Any]) -> dict[str, Heard]:
    return {
        _text(name): Heard(
            word=_text(heard["word"]),
            at_s=_number(heard["at_s"]),
            confidence=_number(heard["confidence"]),
            recalled=bool(heard["recalled"]),
        )
        for name, heard in data.items()
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _time(value: object) -> float | None:
    return None if value is None else _number(value)
