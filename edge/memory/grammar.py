"""A grammar: slots, the commands that they are part of, and control words.

`harken.edge.memory.grammar_file` reads and checks it; `explain` explains it in words.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

from ..errors import GrammarError
from ..words import sounds_like

ROLES = ("stop", "confirm", "cancel", "carry_out", "wake")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slot:
    """A blank in a command, and the words that fill it."""

    name: str
    words: Mapping[str, str | int | float]
    """Each word with its value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A word or a slot of a pattern."""

    word: str | None
    """A fixed word …"""
    slot: str | None
    """… or a slot to fill with one; one of the two is None."""
    optional: bool

    @property
    def name(self) -> str:
        """The slot, or the word itself."""
        return self.slot or self.word or ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """The definition of a command."""

    intent: str
    pattern: tuple[Part, ...]
    """Its parts in the order in which they are said."""
    remember: Mapping[str, float]
    """Slots that may come from memory, and for how many seconds."""
    defaults: Mapping[str, str]
    """The word that fills a slot when nobody says one."""
    confirm: bool | Mapping[str, tuple[str, ...]]
    """Whether it has to be confirmed: always, never, or with some words in a slot."""
    on_repeat: Literal["restart", "again"]
    """What its first word means when said again right away: a new command, or, if nothing follows,
    the same one."""
    says: str
    """The command in words, with blanks such as ``{number}``."""

    def needs_confirmation(self, slots: Mapping[str, str]) -> bool:
        """Whether it must be confirmed with these words in its slots."""
        if isinstance(self.confirm, bool):
            return self.confirm
        return any(slots.get(slot) in words for slot, words in self.confirm.items())

    def text(self, slots: Mapping[str, str]) -> str:
        """Return the command in words; unfilled blanks are left out."""
        filled = re.sub(r"\{(\w+)\}", lambda blank: slots.get(blank[1], ""), self.says)
        return " ".join(filled.split())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controls:
    """Control words; None for each that a grammar does not have."""

    stop: str | None = None
    """Stops at any time, and drops the pending command."""
    confirm: str | None = None
    """Confirms the pending command."""
    cancel: str | None = None
    """Drops the pending command, or undoes the last one."""
    carry_out: str | None = None
    """Carries out the pending command, else repeats the last one."""
    wake: str | None = None
    """The wake word: must be said first."""

    @property
    def words(self) -> tuple[str, ...]:
        """Those that the grammar has."""
        values = (getattr(self, role) for role in ROLES)
        return tuple(value for value in values if value is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grammar:
    """Slots, commands, control words and times."""

    name: str
    description: str
    slots: Mapping[str, Slot]
    commands: tuple[CommandSpec, ...]
    """In the order of the file: if several match, the first wins."""
    controls: Controls
    window_s: float = 8.0
    """Follow-up window: seconds after a word in which another is expected."""
    max_window_s: float = 60.0
    """Longest follow-up window, in seconds from its first word."""
    max_turns: int = 20
    """Most words in one window."""
    settle_s: float = 1.5
    """Seconds after the last word until a command is carried out without its optional parts."""
    repeat_s: float = 60.0
    """Seconds for which a command can be repeated."""
    lines: Mapping[str, int] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """Line of the file for each setting."""
    source: str = dataclasses.field(default="grammar", compare=False, repr=False)
    """Name of the file in errors."""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All words that mean something, in the order in which they first occur."""
        found: dict[str, None] = {}
        for slot in self.slots.values():
            found |= dict.fromkeys(slot.words)
        for spec in self.commands:
            found |= dict.fromkeys(part.word for part in spec.pattern if part.word is not None)
        return tuple(found | dict.fromkeys(self.controls.words))

    @cached_property
    def digest(self) -> str:
        """Twelve digits that identify this grammar: of the SHA-256 of its meaning."""
        content = dataclasses.asdict(self)
        del content["lines"], content["source"], content["description"]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def part_words(self, part: Part) -> tuple[str, ...]:
        """Return the words that a part can be."""
        return tuple(self.slots[part.slot].words) if part.slot else (part.name,)

    def require_words(self, words: Iterable[str]) -> None:
        """Check that a model knows all words of this grammar.

        Raises
        ------
        GrammarError
            It lacks some. Names these, and the words that it has.
        """
        known = tuple(words)
        missing = [word for word in self.words if word not in known]
        if missing:
            line = self._line_of_word(missing[0])
            near = [word for word in known if sounds_like(word) == sounds_like(missing[0])]
            raise GrammarError(
                f"{self.source}{f':{line}' if line else ''}: the model has no word "
                f"{', '.join(missing)}; it has {', '.join(known)}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )

    def require_intent(self, intent: str) -> None:
        """Check that there is such a command.

        Raises
        ------
        GrammarError
            There is none.
        """
        known = [spec.intent for spec in self.commands] + ["stop"] * bool(self.controls.stop)
        if intent not in known:
            raise GrammarError(
                f"{self.source} has no command {intent!r}; it has {', '.join(known)}"
            )

    def _line_of_word(self, word: str) -> int | None:
        for name, slot in self.slots.items():
            if word in slot.words:
                return self.lines.get(f"slots.{name}")
        for spec in self.commands:
            if any(part.word == word for part in spec.pattern):
                return self.lines.get(f"commands.{spec.intent}.say")
        for role in ROLES:
            if getattr(self.controls, role) == word:
                return self.lines.get(f"words.{role}")
        return None


def explain(grammar: Grammar) -> str:
    """Explain a grammar in words, as a text of several lines."""
    lines = [f"{grammar.name}: {grammar.description}".rstrip(": ")]
    for spec in grammar.commands:
        said = " ".join(
            f"[{each}]" if part.optional else each
            for part in spec.pattern
            for each in (f"‹{part.slot}›" if part.slot else f"“{part.word}”",)
        )
        example = {
            part.name: grammar.part_words(part)[0] for part in spec.pattern if not part.optional
        }
        said_slots = {p.slot: example[p.name] for p in spec.pattern if p.slot and p.name in example}
        lines += ["", f"{spec.intent}: say {said}"]
        lines.append(
            f"  “{' '.join(example.values())}” means: {spec.text({**spec.defaults, **said_slots})}"
        )
        for slot, seconds in spec.remember.items():
            lines.append(f"  ‹{slot}› may be left out for {seconds:g} s after it was used")
        for slot, word in spec.defaults.items():
            lines.append(f"  ‹{slot}› is “{word}” if nobody says it")
        if spec.confirm is True:
            lines.append(f"  it is done only after “{grammar.controls.confirm}”")
        elif spec.confirm:
            for slot, words in spec.confirm.items():
                lines.append(
                    f"  with “{'”, “'.join(words)}” as ‹{slot}› it is done only after "
                    f"“{grammar.controls.confirm}”"
                )
        if spec.on_repeat == "again":
            lines.append("  its first word again, right after it, does the same again")
    lines.append("")
    for name, blank in grammar.slots.items():
        values = [w if v == w else f"{w} ({v})" for w, v in blank.words.items()]
        lines.append(f"‹{name}›: {', '.join(values)}")
    lines.append("")
    controls = grammar.controls
    for control, meaning in (
        (controls.wake, "has to be said first"),
        (controls.stop, "stops, at any time, and drops what is pending"),
        (controls.confirm, "confirms what is asked"),
        (controls.cancel, "drops what is pending, or takes back the command before"),
        (
            controls.carry_out,
            f"carries out what is pending, else repeats the last command for "
            f"{grammar.repeat_s:g} s",
        ),
    ):
        if control is not None:
            lines.append(f"“{control}” {meaning}")
    lines.append(
        f"A follow-up is expected for {grammar.window_s:g} s after each word, for "
        f"{grammar.max_window_s:g} s and {grammar.max_turns} words at most. A command is carried "
        f"out without its optional parts {grammar.settle_s:g} s after the last word."
    )
    return "\n".join(lines)
