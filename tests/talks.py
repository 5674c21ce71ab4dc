"""Talks to hold two dialogues against each other, and what Python's makes of them.

A talk is a list of steps. A step is what is done, such as ``["hear", "left", 1.5, 0.9]``, and the
time at which everything that can be asked is looked at afterwards. A time of None is no number.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from harken.edge.memory.dialogue import Dialogue
from harken.edge.memory.grammar import Grammar
from harken.edge.memory.grammar_file import load_grammar, parse_grammar
from harken.edge.memory.turns import Command, Heard, Recall, State, Turn

Step = dict[str, Any]
"""``do``: the step; ``look``: a time."""

ROBOT, MEDIA = load_grammar("robot"), load_grammar("media")

# All that the two lack. Some names mean something to JavaScript, some words look like numbers.
HOUSE = parse_grammar(
    """
    name = "house"
    window_s = 6
    max_window_s = 25
    max_turns = 9
    settle_s = 1.25
    repeat_s = 40.5

    [slots]
    room = { kitchen = "K", hall = "H", "größe" = -1.5 }
    constructor = { 2 = 2, 10 = 10.25, 1 = "one" }
    level = ["@constructor", "bit"]
    way = ["open", "shut", "2"]

    [commands.lamp]
    say = "lamp {room} [{level}] [slowly]"
    says = "  {level}{room} lamp: {level} "
    remember = { room = 20, level = 3.3 }

    [commands.door]
    say = "door {room} {way} [{level}]"
    defaults = { way = "shut", level = "bit" }
    confirm = { way = ["open"], level = ["10", "1"] }
    remember = { room = 12.5 }

    [commands.sound]
    say = "{constructor} [{level}] [7]"
    says = "sound {constructor} {level}{"
    repeat = "again"

    [commands.alarm]
    say = "alarm"
    confirm = true

    [commands.launch]
    say = "7 {room} 10 [2] [1]"
    confirm = true
    repeat = "again"
    remember = { room = 9 }

    [words]
    stop = "halt"
    confirm = "aye"
    cancel = "nay"
    carry_out = "go"
    wake = "o'clock"
    """
)


def _controls(grammar: Grammar, **changes: str | None) -> Grammar:
    return dataclasses.replace(grammar, controls=dataclasses.replace(grammar.controls, **changes))


GRAMMARS: dict[str, Grammar] = {
    "robot": ROBOT,
    "media": MEDIA,
    "house": HOUSE,
    "open house": _controls(HOUSE, wake=None),
    "woken": dataclasses.replace(_controls(ROBOT, wake="marvin"), max_turns=5),
    "capped": dataclasses.replace(ROBOT, max_turns=4, max_window_s=9.5),
}

_WITHOUT_A_MEANING = ["nonsense", "", "toString", "constructor", "__proto__"]


class Player:
    """Plays talks to Python's dialogue."""

    def __init__(self, grammar: str) -> None:
        self.dialogue = Dialogue(GRAMMARS[grammar])

    def do(self, step: Step) -> dict[str, Any]:
        """Do a step; return what came of it and what is remembered then, as JavaScript has it."""
        name, *given = step["do"]
        turn: Turn | str | None = None
        if name == "resume":
            saved = json.loads(json.dumps(self.dialogue.state.to_dict()))
            self.dialogue = Dialogue(GRAMMARS[given[0]], State.from_dict(saved))
        else:
            try:
                turn = getattr(self.dialogue, name)(*_times(name, given))
            except ValueError:
                turn = "refused"
        return {"turn": _turn(turn) if isinstance(turn, Turn) else turn} | self._look(step["look"])

    def _look(self, at_s: float) -> dict[str, Any]:
        dialogue = self.dialogue
        repeatable = dialogue.repeatable(at_s)
        return {
            "state": _state(dialogue.state),
            "due": dialogue.due_s,
            "pending": dialogue.pending,
            "pendingKind": dialogue.pending_kind,
            "pendingText": dialogue.pending_text(),
            "windowOpen": dialogue.window_open(at_s),
            "followUp": dialogue.follow_up_s(at_s),
            "recalls": [_recall(each) for each in dialogue.recalls(at_s)],
            "repeatable": None if repeatable is None else _recall(repeatable),
            "muted": dialogue.muted(at_s),
        }


def play(grammar: str, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return what comes of each step."""
    player = Player(grammar)
    return [player.do(step) for step in steps]


def talk(text: str, *, at_s: float = 0.0, gap_s: float = 1.0) -> list[Step]:
    """Make a talk of a text: words a gap apart; ``+2`` waits two seconds longer.

    ``TICK``, ``MUTE``, ``UNMUTE``, ``FORGET`` and ``RESUME:GRAMMAR`` are steps, too.
    """
    steps: list[Step] = []
    for index, each in enumerate(text.split()):
        what: list[Any]
        if each[0] in "+-":
            at_s += float(each)
            continue
        if each == "FORGET":
            what = ["forget"]
        elif each.startswith("RESUME:"):
            what = ["resume", each[7:].replace("_", " ")]
        elif each.isupper():
            what = [each.lower(), at_s]
        else:
            what = ["hear", each, at_s, round(1 - 0.03 * (index % 7), 2)]
        steps.append({"do": what, "look": at_s + 0.25})
        at_s += gap_s
    return steps


PICKED: list[tuple[str, str]] = [
    # A robot: corrected, completed from memory, repeated, taken back, confirmed, stopped
    ("robot", "left three five go"),
    ("robot", "left right three no go no"),
    ("robot", "five left go stop five yes no nonsense"),
    ("robot", "left no three left yes three stop five"),
    ("robot", "backward two yes backward two go backward two no yes"),
    ("robot", "backward two left three backward two stop yes backward two two"),
    ("robot", "left three +28 five +27.9 go +30 five"),
    ("robot", "left three +58 go +58.9 go +59 go"),
    ("robot", "left +6.9 TICK +0.1 TICK three +7 TICK"),
    ("robot", "backward one +7 TICK yes"),
    ("robot", "left MUTE three stop UNMUTE -0.6 stop stop"),
    ("robot", "left three -30 five left three"),
    ("robot", "left FORGET three left three FORGET go"),
    ("robot", "left RESUME:robot three MUTE RESUME:robot five go"),
    ("robot", "left three left RESUME:media three up RESUME:robot five"),
    ("capped", "left three left three left stop +7 left +7 left three"),
    ("capped", "left +2 left +2 left +2 TICK left left +7.9 three +8 three"),
    ("woken", "left stop marvin left three five four +7 three marvin go go"),
    ("woken", "marvin left marvin three marvin stop left"),
    # Media: optional parts, as much again, two commands of one word
    ("media", "up three up +0.2 TICK up left up five +3 five"),
    ("media", "up +5 five left five go stop no"),
    ("media", "up no up three down +1 TICK up up +1 TICK"),
    ("media", "up go up stop up nonsense no no"),
    # A house: all that these two lack
    ("house", "lamp halt o'clock lamp kitchen bit slowly lamp +1 TICK hall 10 +1 TICK"),
    ("house", "o'clock lamp hall +1 TICK lamp +4 TICK slowly 2"),
    ("house", "o'clock door kitchen +1 TICK aye door open go aye go"),
    ("house", "o'clock door größe open bit nay door hall shut 10 door open 1 aye go"),
    ("house", "o'clock 2 bit 7 2 +1 TICK 2 +1 TICK 10 1 +1 TICK"),
    ("open house", "7 hall 10 2 1 aye 7 go go 7 nay nay"),
    ("open house", "alarm aye alarm nay alarm go go alarm lamp hall +1 TICK"),
    ("open house", "2 lamp hall 10 door 2 2 +3 TICK door +0.1 hall +0.1 go"),
    ("open house", "lamp hall slowly bit slowly +1 TICK bit slowly +1 TICK slowly"),
    ("open house", "7 10 hall 7 kitchen 2 10 1 +1 TICK aye 10 +1 TICK aye"),
]
"""Grammar and text of talks that were made by hand."""


def random_talk(seed: int, *, n_steps: int) -> tuple[str, list[Step], list[dict[str, Any]]]:
    """Draw a talk; return the grammar's name, the steps, and what came of each."""
    draw = random.Random(seed)
    grammar = draw.choice(sorted(GRAMMARS))
    player = Player(grammar)
    at_s, steps, results = draw.choice((0.0, 0.1, 1_700_000_000.123, -5.5)), [], []
    hurry = draw.random()
    for _ in range(n_steps):
        at_s = _later(draw, at_s, player.dialogue, hurry)
        what = _what(draw, at_s, player.dialogue)
        look_s = _later(draw, at_s, player.dialogue, 0.5)
        steps.append({"do": what, "look": look_s})
        results.append(player.do(steps[-1]))
    return grammar, steps, results


def _later(draw: random.Random, at_s: float, dialogue: Dialogue, hurry: float) -> float:
    """Draw a time; often one at which something changes."""
    chance, grammar, state = draw.random(), dialogue.grammar, dialogue.state
    if chance < 0.02:
        return at_s - draw.choice((0.1, 5.0, 1e6))
    if chance < 0.04:
        return at_s
    if chance < 0.1 and dialogue.due_s is not None:
        return dialogue.due_s
    if chance < 0.16 and state.last_word_s is not None:
        spans = [grammar.window_s, grammar.settle_s, grammar.repeat_s]
        spans += [span for spec in grammar.commands for span in spec.remember.values()]
        return max(at_s, state.last_word_s + draw.choice(spans))
    if draw.random() < hurry:
        return round(at_s + draw.uniform(0.05, 2.0), 3)
    return at_s + math.exp(draw.uniform(math.log(0.05), math.log(100.0)))


def _what(draw: random.Random, at_s: float, dialogue: Dialogue) -> list[Any]:
    """Draw what is done; often a word that belongs to what was said."""
    chance, grammar, pending = draw.random(), dialogue.grammar, dialogue.state.pending
    time = None if draw.random() < 0.01 else at_s
    if chance < 0.12:
        return ["tick", time]
    if chance < 0.17:
        same = next(name for name, each in GRAMMARS.items() if each is grammar)
        other = draw.choice([same, same, draw.choice(sorted(GRAMMARS))])
        return draw.choice(
            (["resume", other], ["forget"], ["mute", time], ["unmute", time], ["unmute", time, 1.7])
        )
    if dialogue.muted(at_s) and chance < 0.5:
        return ["unmute", at_s]
    controls = [word for word in grammar.controls.words if word != grammar.controls.stop]
    words: Sequence[str] = grammar.words
    if chance < 0.6:
        parts = [part for spec in grammar.commands for part in spec.pattern[:1]]
        if pending is not None and pending.waits == "slot":
            (spec,) = [each for each in grammar.commands if each.intent == pending.intent]
            parts = [part for part in spec.pattern if part.name not in pending.parts]
        words = [word for part in parts for word in grammar.part_words(part)]
        if controls and (pending is None or pending.waits == "confirm") and chance < 0.35:
            words = controls
    elif chance < 0.63:
        words = _WITHOUT_A_MEANING
    return ["hear", draw.choice(words), time, round(draw.random(), 3)]


def _times(step: str, given: Sequence[Any]) -> list[Any]:
    """Return what a step is given, with times that are none as Python has them."""
    index = 1 if step == "hear" else 0
    return [math.nan if i == index and each is None else each for i, each in enumerate(given)]


# As JavaScript has them


def _heard(parts: Mapping[str, Heard]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "word": heard.word,
            "at": heard.at_s,
            "confidence": heard.confidence,
            "recalled": heard.recalled,
        }
        for name, heard in parts.items()
    ]


def _state(state: State) -> dict[str, Any]:
    pending, last = state.pending, state.last
    return {
        "pending": pending
        and {
            "intent": pending.intent,
            "parts": _heard(pending.parts),
            "waits": pending.waits,
            "since": pending.since_s,
        },
        "last": last and {"intent": last.intent, "parts": _heard(last.parts), "at": last.at_s},
        "memory": _heard(state.memory),
        "opened": state.opened_s,
        "turns": state.turns,
        "lastWord": state.last_word_s,
        "capped": state.capped,
        "now": state.now_s,
    }


def _command(command: Command) -> dict[str, Any]:
    rounded = command.to_dict()
    return {
        "intent": command.intent,
        "slots": command.slots,
        "values": command.values,
        "remembered": command.remembered,
        "confidence": command.confidence,
        "repeated": command.repeated,
        "text": command.text,
        "at": command.at_s,
        "before": rounded["before"],
        "after": rounded["after"],
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "word": turn.word,
        "at": turn.at_s,
        "outcome": turn.outcome,
        "commands": [_command(each) for each in turn.commands],
        "reason": turn.reason,
    }


def _recall(recall: Recall) -> dict[str, Any]:
    return {
        "name": recall.name,
        "text": recall.text,
        "age": recall.age_s,
        "span": recall.span_s,
    }
