"""The dialogue in JavaScript: what Python's makes of the same words at the same times, exactly."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from make_dialogue_vectors import PATH, outcomes, talks
from talks import GRAMMARS, HOUSE, PICKED, ROBOT, Step, play, random_talk, talk

import harken
from harken.edge.errors import GrammarError
from harken.edge.memory.dialogue import Dialogue
from harken.edge.memory.grammar import Grammar
from harken.edge.memory.grammar_file import load_grammar, parse_grammar, shipped_grammars
from harken.edge.memory.grammar_json import FORMAT, grammar_to_json

TESTS = Path(__file__).parents[2]
LIBRARY = Path(harken.__file__).parent / "edge" / "device" / "web" / "lib"
N_RANDOM = 3000

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    """The library as a file that Node takes for a module wherever it lies."""
    return shutil.copy(LIBRARY / "dialogue.js", tmp_path_factory.mktemp("lib") / "dialogue.mjs")


def node(*arguments: object, stdin: str = "") -> str:
    done = subprocess.run(
        ["node", *map(str, arguments)], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def play_in_javascript(
    module: Path, played: Sequence[tuple[str, list[Step]]]
) -> list[list[dict[str, Any]]]:
    """Return what comes of each step of each talk."""
    grammars = ",".join(f'"{name}":{grammar_to_json(each)}' for name, each in GRAMMARS.items())
    lines = [json.dumps({"grammar": grammar, "steps": steps}) for grammar, steps in played]
    driver = TESTS / "web" / "dialogue_driver.mjs"
    out = node(driver, module.as_uri(), stdin="\n".join([f"{{{grammars}}}", *lines, ""]))
    return [json.loads(line) for line in out.splitlines()]


def exact(content: Any) -> str:
    """Return JSON with all digits and keys in their order; JavaScript knows no integers."""
    return json.dumps(json.loads(json.dumps(content), parse_int=float))


def assert_same(
    grammar: str, steps: list[Step], ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> None:
    for index, (expected, got) in enumerate(zip(ours, theirs, strict=True)):
        for name, value in expected.items():
            said = [step["do"] for step in steps[: index + 1]]
            assert exact(got[name]) == exact(value), f"{name} of {grammar} after {said}"
        assert got.keys() == expected.keys()


@needs_node
def test_talks_made_by_hand_come_to_the_same(module):
    played = [(grammar, talk(text)) for grammar, text in PICKED]
    for (grammar, steps), theirs in zip(played, play_in_javascript(module, played), strict=True):
        assert_same(grammar, steps, play(grammar, steps), theirs)


@needs_node
def test_thousands_of_random_talks_come_to_the_same(module):
    drawn = [random_talk(seed, n_steps=24) for seed in range(N_RANDOM)]
    played = [(grammar, steps) for grammar, steps, _ in drawn]
    results = play_in_javascript(module, played)
    for (grammar, steps, ours), theirs in zip(drawn, results, strict=True):
        assert_same(grammar, steps, ours, theirs)


def test_random_talks_come_to_everything_that_words_can_come_to():
    seen: set[str] = set()
    for seed in range(300):
        for result in random_talk(seed, n_steps=24)[2]:
            turn = result["turn"]
            if isinstance(turn, dict):
                seen |= {turn["outcome"], turn["reason"].partition(" ")[0]}
                seen |= {f"{len(turn['commands'])} commands"}
            elif turn is not None:
                seen.add(turn)
    assert seen >= {
        "command", "pending", "asks", "cancelled", "stopped", "ignored", "expired", "woken",
        "taken", "dropped", "muted", "not", "say", "nothing", "refused", "2 commands",
    }  # fmt: skip


def test_python_still_does_what_it_did():
    for kept in json.loads(PATH.read_text("utf-8")):
        results = outcomes(play(kept["grammar"], kept["steps"]))
        assert exact(results) == exact(kept["outcomes"])


@needs_node
def test_javascript_still_does_what_it_did(module):
    kept = json.loads(PATH.read_text("utf-8"))
    played = [(each["grammar"], each["steps"]) for each in kept]
    for each, theirs in zip(kept, play_in_javascript(module, played), strict=True):
        assert exact(outcomes(theirs)) == exact(each["outcomes"])


def test_what_is_kept_is_of_the_talks_that_are_made():
    kept = [[each["grammar"], each["steps"]] for each in json.loads(PATH.read_text("utf-8"))]
    assert kept == [[each["grammar"], each["steps"]] for each in talks()]


# The grammar as JSON


def test_a_grammar_says_what_it_is():
    content = json.loads(grammar_to_json(ROBOT))
    assert content["format"] == FORMAT
    assert (content["name"], content["digest"]) == ("robot", ROBOT.digest)
    assert content["words"] == list(ROBOT.words)
    assert content["controls"]["carryOut"] == "go"


def test_words_that_look_like_numbers_keep_their_order():
    slots = dict(json.loads(grammar_to_json(HOUSE))["slots"])
    assert slots["constructor"] == [["2", 2], ["10", 10.25], ["1", "one"]]


@pytest.mark.parametrize(("value", "shown"), [("inf", "inf"), ("-nan", "nan"), (2**53, str(2**53))])
def test_a_number_that_javascript_cannot_hold_is_refused(value, shown):
    text = f'[slots]\nlevel = {{ all = {value} }}\n[commands.set]\nsay = "{{level}}"\n'
    grammar = parse_grammar(text, source="mine.toml")
    with pytest.raises(GrammarError, match=rf"mine\.toml:2: slots\.level\.all is {shown}"):
        grammar_to_json(grammar)


def intents_of(grammar: Grammar, phrases: Sequence[Sequence[str]]) -> list[str]:
    """Return the intents of the commands that phrases are, said one after another."""
    dialogue, at_s, turns = Dialogue(grammar), 0.0, []
    dialogue.hear(grammar.controls.wake or "", at_s)
    for phrase in phrases:
        for word in phrase:
            at_s += 0.6
            turns.append(dialogue.hear(word, at_s))
        at_s += grammar.settle_s
        turns.append(dialogue.tick(at_s))
    return [command.intent for turn in turns if turn for command in turn.commands]


@pytest.mark.parametrize("name", [*shipped_grammars(), *GRAMMARS])
def test_examples_are_commands_alone_or_after_the_one_before(name):
    grammar = GRAMMARS.get(name) or load_grammar(name)
    phrases = json.loads(grammar_to_json(grammar))["examples"]
    shown, before = [], []
    for phrase in phrases:
        alone = intents_of(grammar, [phrase])
        found = alone or intents_of(grammar, [*before, phrase])[1:]
        before = [phrase]
        assert len(found) == 1, phrase
        shown += found
    assert list(dict.fromkeys(shown)) == [spec.intent for spec in grammar.commands]


def test_a_robot_has_an_example_of_what_may_be_left_out():
    phrases = json.loads(grammar_to_json(ROBOT))["examples"]
    assert phrases == [["right", "three"], ["four"]]


# What is refused

REFUSED = """
const { Dialogue } = await import(process.argv[1]);
const [grammar, state] = JSON.parse(process.argv[2]);
try {
  console.log(JSON.stringify(new Dialogue(grammar, state).state));
} catch (problem) {
  console.log(problem.message);
}
"""


def begin(module: Path, grammar: Any, state: Any) -> str:
    script = ["--input-type=module", "--eval", REFUSED, "--"]
    return node(*script, module.as_uri(), json.dumps([grammar, state])).strip()


@needs_node
@pytest.mark.parametrize("grammar", [None, {}, {"format": FORMAT + 1}])
def test_a_grammar_of_another_format_is_refused(module, grammar):
    said = begin(module, grammar, None)
    assert said.startswith("the grammar has the format ")
    assert said.endswith("export both with the same harken")


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    """A state with something of everything in it."""
    return play("robot", talk("left three backward two"))[-1]["state"]


@needs_node
def test_a_whole_state_is_taken_up(module, state):
    grammar = json.loads(grammar_to_json(ROBOT))
    assert json.loads(begin(module, grammar, state)) == state


@needs_node
@pytest.mark.parametrize(
    "damage",
    [
        {"pending": 3},
        {"pending": {"intent": "move"}},
        {"pending": {"intent": "move", "parts": [], "waits": "x", "since": 0}},
        {"last": []},
        {"last": {"intent": 5, "parts": [], "at": 0}},
        {"memory": {}},
        {"memory": [None]},
        {"memory": [{"name": "direction", "word": "left", "at": "noon"}]},
        {"opened": "noon"},
        {"turns": None},
        {"capped": None},
        {"now": True},
    ],
)
def test_a_damaged_state_is_refused(module, state, damage):
    grammar = json.loads(grammar_to_json(ROBOT))
    said = begin(module, grammar, state | damage)
    assert said == "the state of the dialogue is damaged"
    for name in damage:
        rest = {key: value for key, value in state.items() if key != name}
        assert begin(module, grammar, rest) == said


@needs_node
def test_what_a_grammar_does_not_know_is_dropped(module, state):
    other = dataclasses.replace(ROBOT, slots=ROBOT.slots | {"direction": HOUSE.slots["room"]})
    taken = json.loads(begin(module, json.loads(grammar_to_json(other)), state))
    assert (taken["pending"], taken["last"]) == (None, None)
    assert [heard["word"] for heard in taken["memory"]] == ["three"]
