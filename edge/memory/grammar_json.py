"""A grammar in, JSON for `edge/device/web/lib/dialogue.js` out.

JavaScript sorts keys that look like numbers before all others, and "2" can be a word: where order
matters, the JSON has lists of pairs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from ..errors import GrammarError
from .dialogue import Dialogue
from .grammar import CommandSpec, Grammar, Part
from .prior import Learner
from .turns import Turn

FORMAT = 1
"""Version of the JSON format; `dialogue.js` refuses any other."""

_MOST_EXACT = 2**53 - 1  # from here on, JavaScript rounds integers


def grammar_to_json(grammar: Grammar, learned: Learner | None = None) -> str:
    """Return a grammar as JSON, in one line; the same grammar gives the same line.

    `learned` is what is already known about the user.

    Raises
    ------
    GrammarError
        A word stands for a number that JavaScript cannot hold. Names it.
    """
    controls = grammar.controls
    content = {
        "format": FORMAT,
        "name": grammar.name,
        "description": grammar.description,
        "digest": grammar.digest,
        "window": grammar.window_s,
        "maxWindow": grammar.max_window_s,
        "maxTurns": grammar.max_turns,
        "settle": grammar.settle_s,
        "repeat": grammar.repeat_s,
        "words": grammar.words,
        "slots": [[name, _values(grammar, name)] for name in grammar.slots],
        "commands": [_command(spec) for spec in grammar.commands],
        "controls": {
            "stop": controls.stop,
            "confirm": controls.confirm,
            "cancel": controls.cancel,
            "carryOut": controls.carry_out,
            "wake": controls.wake,
        },
        "examples": examples(grammar),
    }
    if learned is not None:
        content["learned"] = learned.to_dict()
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def examples(grammar: Grammar) -> list[list[str]]:
    """Return a few example phrases for new users.

    Each is a command when said after the wake word, if there is one. A command whose first words
    are remembered is followed by one without them, to be said next.
    """
    found: list[list[str]] = []
    for spec in grammar.commands:
        said: list[list[str]] = []
        for start, pattern in enumerate((spec.pattern, _after_what_is_remembered(spec))):
            for phrase in _phrases(grammar, spec, pattern, start):
                if _understood(grammar, spec, [*said, phrase]):
                    said.append(phrase)
                    break
        found += said
    return found


def _values(grammar: Grammar, slot: str) -> list[tuple[str, str | int | float]]:
    """Return the words of a slot, each with what it stands for."""
    for word, value in grammar.slots[slot].words.items():
        if isinstance(value, str):
            continue
        if not math.isfinite(value) or abs(value) > _MOST_EXACT:
            line = grammar.lines.get(f"slots.{slot}")
            raise GrammarError(
                f"{grammar.source}{f':{line}' if line else ''}: slots.{slot}.{word} is {value}, "
                f"which JavaScript cannot hold; give a number up to {_MOST_EXACT:,}, or a text"
            )
    return list(grammar.slots[slot].words.items())


def _command(spec: CommandSpec) -> dict[str, Any]:
    return {
        "intent": spec.intent,
        "pattern": [
            {"name": part.name, "slot": part.slot is not None, "optional": part.optional}
            for part in spec.pattern
        ],
        "remember": list(spec.remember.items()),
        "defaults": list(spec.defaults.items()),
        "confirm": spec.confirm if isinstance(spec.confirm, bool) else list(spec.confirm.items()),
        "again": spec.on_repeat == "again",
        "says": " ".join(spec.says.split()),
    }


def _after_what_is_remembered(spec: CommandSpec) -> tuple[Part, ...]:
    """Return what must be said of a command right after the same one; nothing if it is all."""
    for index, part in enumerate(spec.pattern):
        if part.slot not in spec.remember:
            return spec.pattern[index:] if index else ()
    return spec.pattern[-1:]


def _phrases(
    grammar: Grammar, spec: CommandSpec, pattern: Sequence[Part], start: int
) -> list[list[str]]:
    """Return phrases that share no words, those without confirmation first."""
    words = [grammar.part_words(part) for part in pattern]
    plain: list[list[str]] = []
    confirmed: list[list[str]] = []
    for turn in range(start, start + max(map(len, words), default=0)):
        # From the middle on: the first words of a list are often "zero", "off", "none".
        phrase = [each[(len(each) // 2 + turn) % len(each)] for each in words]
        slots = {part.slot: word for part, word in zip(pattern, phrase, strict=True) if part.slot}
        if spec.needs_confirmation(slots):
            confirmed.append([*phrase, grammar.controls.confirm or ""])
        else:
            plain.append(phrase)
    return plain + confirmed


def _understood(grammar: Grammar, spec: CommandSpec, phrases: Sequence[Sequence[str]]) -> bool:
    """Whether phrases, said one after another, each give one command of the intended kind."""
    dialogue, at_s = Dialogue(grammar), 0.0
    dialogue.hear(grammar.controls.wake or "", at_s)
    for phrase in phrases:
        turns: list[Turn | None] = []
        for word in phrase:
            at_s += grammar.settle_s / 2
            turns.append(dialogue.hear(word, at_s))
        at_s += grammar.settle_s
        turns.append(dialogue.tick(at_s))
        commands = [command for turn in turns if turn is not None for command in turn.commands]
        if [command.intent for command in commands] != [spec.intent]:
            return False
    return True
