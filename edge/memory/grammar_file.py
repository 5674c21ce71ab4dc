"""A TOML file in, a checked grammar out: the commands, and which of their parts are optional.

A command is a pattern of words and slots, ``say = "{direction} [{number}]"``; parts in square
brackets are optional, and a word with a space stands in single quotes. `docs/memory.md` explains
the whole format.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import GrammarError
from ..files import packaged, read_text
from ..words import BadNameError, check_word, same_form
from .grammar import ROLES, CommandSpec, Controls, Grammar, Part, Slot

_NAME = re.compile(r"[A-Za-z]\w*")
# A slot, a word in quotes, which may hold spaces, or a word.
_PART = re.compile(
    r"(\[)?\s*(?:\{(\w+)\}|'((?:[^'\[\]{}]|'(?=\w))+)'(?=[\s\]]|$)|([^\s\[\]{}]+))\s*(\])?\s*"
)
_TOP = (
    "name", "description", "window_s", "max_window_s", "max_turns", "settle_s", "repeat_s",
    "slots", "commands", "words",
)  # fmt: skip
_COMMAND = ("say", "says", "remember", "defaults", "confirm", "repeat")
_NAMELESS = "commands"


def load_grammar(ref: str | Path) -> Grammar:
    """Read and check a grammar.

    Parameters
    ----------
    ref
        Path of a ``.toml`` file, or the name of a grammar that ships with harken.

    Raises
    ------
    GrammarError
        It is missing, unreadable or wrong. Names the line.
    """
    shipped = shipped_grammars()
    path = shipped.get(str(ref), Path(ref))
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
        raise GrammarError(
            f"cannot read the grammar {ref}: {reason}; give a .toml file, or one that ships "
            f"({', '.join(shipped)})"
        ) from None
    return parse_grammar(text, source=path.name, name=_name_of(path))


def shipped_grammars() -> dict[str, Path]:
    """Return the grammars that ship with harken, by name."""
    return packaged("harken.edge.memory", "grammars", suffix=".toml")


def _name_of(path: Path) -> str:
    """Return the name of a grammar whose file does not name it: the file's."""
    return re.sub(r"[^\w-]+", "-", path.stem).strip("-") or _NAMELESS


def parse_grammar(text: str, *, source: str = "grammar", name: str = _NAMELESS) -> Grammar:
    """Parse and check a grammar.

    Parameters
    ----------
    text
        The TOML text.
    source
        Its name in errors; the file's name.
    name
        Name of the grammar if the text does not give one.

    Raises
    ------
    GrammarError
        Starts with `source` and the line, and says what to change.
    """
    try:
        data = tomllib.loads(same_form(text))
    except tomllib.TOMLDecodeError as problem:
        reason = str(problem)
        line = re.search(r"at line (\d+)", reason)
        declared = re.search(r"Cannot declare \('commands', '([^']+)'\) twice", reason)
        if declared:
            reason = f"the command {declared[1]} occurs twice; give one of them another name"
        elif text.lstrip().startswith("{"):
            reason = "this is JSON, and a grammar is TOML; the file of a memory goes with --memory"
        raise GrammarError(f"{source}:{line[1] if line else 1}: {reason}") from None
    return _Reader({"name": name, **data}, _lines(text), source).grammar()


def _lines(text: str) -> dict[str, int]:
    """Return the line of each table and key; anything inside braces gets the line of its key."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([\w.\"' -]+?)\s*\]", line)
        key = re.match(r"\s*([\w\"'.-]+)\s*=", line)
        if header:
            table = re.sub(r"[\"'\s]", "", header[1])
            lines.setdefault(table, number)
        elif key:
            name = re.sub(r"[\"']", "", key[1])
            lines.setdefault(f"{table}.{name}" if table else name, number)
    return lines


class _Reader:
    """A TOML document on its way to a grammar."""

    def __init__(self, data: dict[str, Any], lines: Mapping[str, int], source: str) -> None:
        self._data, self._lines, self._source = data, lines, source

    def grammar(self) -> Grammar:
        data = self._data
        self._known(data, _TOP, "")
        raw = self._table("slots")
        slots = {name: self._slot(name, raw) for name in raw}
        controls = self._controls()
        commands = tuple(
            self._command(intent, slots, controls) for intent in self._table("commands")
        )
        if not commands:
            raise self._error("commands", "there is no command; add one as [commands.NAME]")
        name = data["name"]
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
            raise self._error("name", f"name is {name!r}; it must be letters, digits, _ and -")
        description = data.get("description", "")
        if not isinstance(description, str):
            raise self._error("description", f"description is {description!r}; it must be a text")
        grammar = Grammar(
            name=name,
            description=description,
            slots=slots,
            commands=commands,
            controls=controls,
            window_s=self._seconds("window_s", most=60.0),
            max_window_s=self._seconds("max_window_s", most=3600.0),
            max_turns=self._turns(),
            settle_s=self._seconds("settle_s", most=10.0),
            repeat_s=self._seconds("repeat_s", most=86400.0),
            lines=self._lines,
            source=self._source,
        )
        self._check_settings(grammar)
        self._check_reachable(grammar)
        return grammar

    def _error(self, field: str, what: str) -> GrammarError:
        """Return an error at the line of a field, or of the nearest one around it."""
        while field and field not in self._lines:
            field = field.rpartition(".")[0]
        return GrammarError(f"{self._source}:{self._lines.get(field, 1)}: {what}")

    def _known(self, data: Mapping[str, Any], names: Iterable[str], field: str) -> None:
        names = tuple(names)
        for name in data:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
                path = f"{field}.{name}" if field else name
                raise self._error(path, f"{path} is no setting; {hint}")

    def _table(self, name: str) -> dict[str, Any]:
        table = self._data.get(name, {})
        if not isinstance(table, dict):
            raise self._error(name, f"{name} is {table!r}; it must be a table, [{name}]")
        return table

    def _seconds(self, name: str, *, most: float) -> float:
        return self._duration(name, name, self._data.get(name, getattr(Grammar, name)), most)

    def _duration(self, field: str, name: str, value: object, most: float) -> float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 < float(value) <= most:  # type: ignore[arg-type]
            raise self._error(
                field, f"{name} is {value!r}; it must be a number of seconds, up to {most:g}"
            )
        return float(value)  # type: ignore[arg-type]

    def _turns(self) -> int:
        value = self._data.get("max_turns", Grammar.max_turns)
        if not isinstance(value, int) or isinstance(value, bool) or not 2 <= value <= 1000:
            raise self._error("max_turns", f"max_turns is {value!r}; it must be in 2..1000")
        return value

    def _word(self, field: str, word: object) -> str:
        if not isinstance(word, str):
            raise self._error(field, f"{word!r} is no word; write one in quotes")
        try:
            return check_word(word)
        except BadNameError as problem:
            raise self._error(field, str(problem)) from None

    def _slot(self, name: str, raw: Mapping[str, Any]) -> Slot:
        field = f"slots.{name}"
        if not _NAME.fullmatch(name) or name in ("intent", "text", "confirm"):
            raise self._error(
                field,
                f"a slot cannot be called {name!r}; use letters and digits, not intent, "
                "text or confirm",
            )
        words = self._words_of(name, raw, ())
        if not words:
            raise self._error(field, f"no word fills the slot {name}; give it some")
        return Slot(name=name, words=words)

    def _words_of(
        self, name: str, raw: Mapping[str, Any], on_the_way: tuple[str, ...]
    ) -> dict[str, str | int | float]:
        """Return the words of a slot, with those of the slots that it includes."""
        field = f"slots.{name}"
        if name in on_the_way:
            loop = " → ".join((*on_the_way[on_the_way.index(name) :], name))
            raise self._error(field, f"slots include each other in a loop, {loop}; break it")
        content = raw[name]
        if not isinstance(content, (list, dict)):
            raise self._error(
                field,
                f'{field} is {content!r}; it must be a list of words, ["left", "right"], '
                "or words with values, { one = 1 }",
            )
        values = (
            content
            if isinstance(content, dict)
            else {word: word for word in content if isinstance(word, str)}
        )
        for index, word in enumerate(content):
            if not isinstance(word, str):
                raise self._error(
                    field, f"{field} has {word!r}, which is no word; write one in quotes"
                )
            if isinstance(content, list) and word in content[:index]:
                raise self._error(
                    field, f"{field} has something twice, {word!r}; remove one of them"
                )
        words: dict[str, str | int | float] = {}
        for word, value in values.items():
            if word.startswith("@"):
                other = word[1:]
                if other not in raw:
                    raise self._error(field, f"{field} includes {word}, but there is no such slot")
                words |= self._words_of(other, raw, (*on_the_way, name))
                continue
            if not isinstance(value, (str, int, float)) or isinstance(value, bool):
                raise self._error(field, f"{field}.{word} is {value!r}; give a number or a text")
            words[self._word(field, word)] = value
        return words

    def _controls(self) -> Controls:
        table = self._table("words")
        self._known(table, ROLES, "words")
        found: dict[str, str] = {}
        for role, word in table.items():
            field = f"words.{role}"
            if self._word(field, word) in found.values():
                other = next(name for name, value in found.items() if value == word)
                raise self._error(field, f"{word!r} cannot be both {other} and {role}")
            found[role] = word
        return Controls(**found)

    def _command(self, intent: str, slots: Mapping[str, Slot], controls: Controls) -> CommandSpec:
        field = f"commands.{intent}"
        content = self._table("commands")[intent]
        if not _NAME.fullmatch(intent) or intent == "stop":
            raise self._error(
                field, f"a command cannot be called {intent!r}; use letters and digits, not stop"
            )
        if not isinstance(content, dict) or "say" not in content:
            raise self._error(field, f'{field} has no say; add say = "…", what is to be said')
        self._known(content, _COMMAND, field)
        pattern = self._pattern(f"{field}.say", content["say"], slots)
        there = {part.slot for part in pattern if part.slot is not None}

        def of_slots(name: str) -> dict[str, Any]:
            table = content.get(name, {})
            if not isinstance(table, dict):
                raise self._error(
                    f"{field}.{name}", f"{field}.{name} is {table!r}; it must be {{ SLOT = … }}"
                )
            for slot in table:
                if slot not in there:
                    raise self._error(
                        f"{field}.{name}",
                        f"{field}.{name}: {slot!r} {_no_slot_of(content['say'], slot, slots)}",
                    )
            return table

        defaults = of_slots("defaults")
        for slot, word in defaults.items():
            self._fills(f"{field}.defaults", slots[slot], word)
        confirm: bool | dict[str, tuple[str, ...]] = False
        if isinstance(content.get("confirm"), bool):
            confirm = content["confirm"]
        elif "confirm" in content:
            confirm = {}
            for slot, words in of_slots("confirm").items():
                confirm[slot] = tuple(words) if isinstance(words, list) else (words,)
                for word in confirm[slot]:
                    self._fills(f"{field}.confirm", slots[slot], word)
        if confirm and (controls.confirm is None or controls.cancel is None):
            raise self._error(
                f"{field}.confirm",
                "nothing says yes and no to it; add confirm and cancel to [words]",
            )
        repeat = content.get("repeat", "restart")
        if repeat not in ("restart", "again"):
            raise self._error(
                f"{field}.repeat", f'{field}.repeat is {repeat!r}; it must be "restart" or "again"'
            )
        usual = " ".join([intent, *(f"{{{part.slot}}}" for part in pattern if part.slot)])
        says = content.get("says", usual)
        if not isinstance(says, str):
            raise self._error(f"{field}.says", f"{field}.says is {says!r}; it must be a text")
        for blank in re.findall(r"\{(\w+)\}", says):
            if blank not in there:
                raise self._error(
                    f"{field}.says",
                    f"{field}.says: {{{blank}}} {_no_slot_of(content['say'], blank, slots)}",
                )
        return CommandSpec(
            intent=intent,
            pattern=pattern,
            remember={
                slot: self._duration(f"{field}.remember", f"{field}.remember.{slot}", value, 86400)
                for slot, value in of_slots("remember").items()
            },
            defaults=defaults,
            confirm=confirm,
            on_repeat=repeat,
            says=says,
        )

    def _pattern(self, field: str, say: object, slots: Mapping[str, Slot]) -> tuple[Part, ...]:
        if not isinstance(say, str) or not say.strip():
            raise self._error(field, f'{field} is {say!r}; it must be as "{{slot}} word"')
        parts: list[Part] = []
        at = 0
        say = say.strip()
        while at < len(say):
            match = _PART.match(say, at)
            if match is None or bool(match[1]) != bool(match[5]):
                raise self._error(
                    field,
                    f"{say!r} cannot be read from {say[at:]!r} on; parts are words and "
                    "{slots}, each perhaps in [brackets]",
                )
            if match[2] and match[2] not in slots:
                near = difflib.get_close_matches(match[2], slots, 1)
                hint = f"did you mean {near[0]}?" if near else "add it to [slots]"
                raise self._error(field, f"there is no slot {match[2]!r}; {hint}")
            said = match[3] or match[4]
            word = self._word(field, said) if said else None
            part = Part(word=word, slot=match[2], optional=bool(match[1]))
            if part.name in [earlier.name for earlier in parts]:
                raise self._error(field, f"{part.name!r} occurs twice in {say!r}; once is enough")
            if parts and parts[-1].optional and not part.optional:
                raise self._error(
                    field, f"{part.name!r} comes after a part in brackets; put these last"
                )
            parts.append(part)
            at = match.end()
        if parts[0].optional:
            raise self._error(field, f"the first part of {say!r} must not be in brackets")
        return tuple(parts)

    def _fills(self, field: str, slot: Slot, word: object) -> None:
        if word not in slot.words:
            raise self._error(
                field, f"{word!r} does not fill the slot {slot.name}; {', '.join(slot.words)} do"
            )

    def _check_settings(self, grammar: Grammar) -> None:
        if grammar.settle_s >= grammar.window_s:
            raise self._error(
                "settle_s",
                f"settle_s is {grammar.settle_s:g}; it must be less than window_s, "
                f"{grammar.window_s:g}",
            )
        if grammar.max_window_s < grammar.window_s:
            raise self._error(
                "max_window_s",
                f"max_window_s is {grammar.max_window_s:g}; it must be at least "
                f"window_s, {grammar.window_s:g}",
            )

    def _check_reachable(self, grammar: Grammar) -> None:
        """Refuse commands that nobody can ever say."""
        used = {part.slot for spec in grammar.commands for part in spec.pattern}
        raw = self._table("slots")
        included = {word[1:] for content in raw.values() for word in content if word[:1] == "@"}
        for name in grammar.slots:
            if name not in used and name not in included:
                raise self._error(
                    f"slots.{name}", f"no command has the slot {name}; use it, or remove it"
                )
        control = set(grammar.controls.words)
        for slot in grammar.slots.values():
            taken = control.intersection(slot.words)
            if taken:
                raise self._error(
                    f"slots.{slot.name}",
                    f"{min(taken)!r} stands in [words], so it never fills a slot; remove it",
                )
        begun: dict[str, str] = {}
        for spec in grammar.commands:
            field = f"commands.{spec.intent}.say"
            for part in spec.pattern:
                if part.word in control:
                    raise self._error(
                        field, f"{part.word!r} stands in [words], so it cannot be part of a command"
                    )
            first = grammar.part_words(spec.pattern[0])
            if all(word in begun for word in first):
                raise self._error(
                    field,
                    f"nobody can say {spec.intent}: its first word always begins "
                    f"{begun[first[0]]}, which comes before it",
                )
            for word in first:
                begun.setdefault(word, spec.intent)


def _no_slot_of(say: str, name: str, slots: Mapping[str, Slot]) -> str:
    """Say that a command has no such slot, and how it gets one."""
    remedy = f"; write {{{name}}} or [{{{name}}}] there" if name in slots else ""
    return f"is no slot of what is said, {say!r}{remedy}"
