"""The memory in JavaScript: it learns what Python's learns, and expects the same from then on."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learning import PAUSE_S, Taught, spoken

from harken.edge.memory.grammar import Grammar
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.memory.grammar_json import grammar_to_json
from harken.edge.memory.memory import shipped_prior
from harken.edge.memory.prior import Context, Learner, NgramPrior
from harken.edge.spotting.detector import Detection, Faint

TESTS = Path(__file__).parents[2]
LIBRARY = TESTS.parent / "edge" / "device" / "web" / "lib"
WITHIN = 1e-9  # of probabilities: float64 here and there, added in another order
ROUNDED = 1.1e-4  # of counts, as they are kept
GRAMMARS = [load_grammar(name) for name in ("robot", "media")]

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lib")
    for path in LIBRARY.glob("*.js"):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder / "memory.js"


def remember(
    module: Path, grammar: Grammar, steps: list[Any], learned: Any = None, **changes: Any
) -> Any:
    """Return what comes of each step; see memory_driver.mjs."""
    content = {"grammar": json.loads(grammar_to_json(grammar)) | changes, "steps": steps}
    if learned is not None:
        content["learned"] = learned
    done = subprocess.run(
        ["node", TESTS / "web" / "memory_driver.mjs", module.as_uri()],
        input=json.dumps(content), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def habit_of(memory: Taught) -> Any:
    """What Python expects in the context at hand, as a function of what ships."""
    learner = memory.prior
    share = learner.habit(learner._context)
    return np.eye(1, 1 + len(learner.words))[0] if share is None else share


def assert_close(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Two that were learned: the same words in the same contexts, as often."""
    assert theirs["lessons"] == ours["lessons"]
    assert theirs["trust"] == pytest.approx(ours["trust"], abs=2e-6)
    assert theirs["counts"].keys() == ours["counts"].keys()
    for key, counts in ours["counts"].items():
        assert theirs["counts"][key] == pytest.approx(counts, abs=ROUNDED)


@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: grammar.name)
def test_the_same_words_teach_the_same(module: Path, grammar: Grammar) -> None:
    """Probabilities of what is next, after each of hundreds of words of one user."""
    python, steps, expected = Taught(grammar), [], []
    for word, now_s, acoustic in spoken(grammar, 40):
        turn = python.hear(word, now_s, 0.9, acoustic=acoustic)
        evidence = {"acoustic": acoustic, "threshold": 0.7, "foreseen": python.foreseen}
        steps.append([word, now_s, 0.9, evidence])
        expected.append((turn.outcome, habit_of(python), python.prior.to_dict()))
        # What ships, with the habit, is what Python's learner expects.
        base, share = python.prior.base.expect(), expected[-1][1]
        assert python.prior.expect() == pytest.approx(share[0] * base + share[1:], abs=1e-12)
    assert python.prior.lessons > 100
    assert python.prior.trust != 0.5
    results = remember(module, grammar, steps)["results"]
    for (outcome, habit, learned), got in zip(expected, results, strict=True):
        assert got["outcome"] == outcome
        assert got["habit"] == pytest.approx(habit, abs=WITHIN)
        assert_close(learned, got["learned"])
    narrow = [habit for _, habit, _ in expected if habit[1:].max() > 0.1]
    assert len(narrow) > 50


def test_time_teaches_too_and_regret_does_not(module: Path) -> None:
    """Five seconds after a command; "no" or "stop" before that, and it was not meant."""
    robot = GRAMMARS[0]
    found = remember(module, robot, [
        ["left", 1.0], ["three", 2.0], 6.9, 7.0, 7.5,
        ["left", 30.0], ["five", 31.0], ["no", 32.0], 60.0,
        ["right", 70.0], ["two", 71.0], ["stop", 72.0], 90.0, "forget",
    ])["results"]  # fmt: skip
    assert [step["learned"]["lessons"] for step in found] == [0, 0, 0, 2, 2] + [2] * 8 + [0]
    assert found[2]["due"] == 7.0
    faded = 2 * 0.5 ** (1 / Learner.HALF_LIFE)  # by one word
    counts = {":": {"left": faded}, "number:": {"three": 1}, "number:left": {"three": 1}}
    assert_close(found[3]["learned"] | {"counts": counts, "lessons": 2}, found[3]["learned"])
    assert found[-1]["learned"] == {"trust": 0.5, "lessons": 0, "counts": {}}


def test_a_word_that_was_only_expected_teaches_nothing(module: Path) -> None:
    unsure = {"acoustic": 0.6, "threshold": 0.7}
    found = remember(module, GRAMMARS[0], [["left", 1.0], ["three", 2.0, 0.8, unsure], 20.0])
    assert found["results"][-1]["learned"]["lessons"] == 1


def test_what_was_learned_outlasts_a_restart(module: Path) -> None:
    steps = [["left", 1.0], ["three", 2.0], 10.0, "resume", ["left", 11.0]]
    found = remember(module, GRAMMARS[0], steps)["results"]
    assert found[3]["learned"] == found[2]["learned"]
    assert max(found[4]["habit"][1:]) > 0.05


def test_what_python_learned_is_taken_up(module: Path) -> None:
    """Given to it, or as a part of the grammar."""
    robot = GRAMMARS[0]
    python = Taught(robot)
    for word, now_s, acoustic in spoken(robot, 20):
        python.hear(word, now_s, 0.9, acoustic=acoustic)
    python.log_odds(round((now_s + PAUSE_S) * 16_000))
    learned = python.prior.to_dict()
    steps = [["left", 1.0]]
    as_kept = Learner(NgramPrior(robot.words))
    as_kept.from_dict(learned)
    share = as_kept.habit(Context(pending="number", last="left"))
    for given in ({"learned": learned}, {}):
        changes = {} if given else {"learned": learned}
        [found] = remember(module, robot, steps, **given, **changes)["results"]
        assert_close(learned, found["learned"])
        assert found["habit"] == pytest.approx(share, abs=WITHIN)


@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: grammar.name)
def test_faint_words_mean_and_teach_the_same(module: Path, grammar: Grammar) -> None:
    """Every third word is faint: what is carried out, learned and expected, and what comes late."""
    python, steps, expected = Taught(grammar), [], []
    rng = np.random.default_rng(1)
    faint, late = None, 0
    for word, now_s, acoustic in spoken(grammar, 60):
        sample = round(now_s * 16_000)
        if faint is not None and sample - faint.end_sample > 48_000:
            faint = None
        if rng.random() < 1 / 3:
            faint = Faint(word=word, confidence=acoustic / 2, end_sample=sample, step=0)
            continue
        python.accept(
            Detection(
                word=word, confidence=0.9, acoustic=acoustic, start_sample=0, end_sample=sample,
                step=0, faint=faint,
            )
        )  # fmt: skip
        evidence: dict[str, Any] = {"acoustic": acoustic, "threshold": 0.7}
        evidence |= {"foreseen": python.foreseen, "end": sample / 16_000, "faint": None}
        if faint is not None:
            end = {"end": faint.end_sample / 16_000, "endSample": faint.end_sample}
            evidence["faint"] = {"word": faint.word, "confidence": faint.confidence} | end
            late += 1
        faint = None
        steps.append([word, sample / 16_000, 0.9, evidence])
        turns = python.take_turns()
        said = [command.text for turn in turns for command in turn.commands]
        pending = python.dialogue.pending
        habit = habit_of(python)
        expected.append((turns[-1].outcome, said, pending, habit, python.prior.to_dict()))
    assert late > 30
    results = remember(module, grammar, steps)["results"]
    for (outcome, said, pending, habit, learned), got in zip(expected, results, strict=True):
        assert (got["outcome"], got["said"], got["pending"]) == (outcome, said, pending)
        assert got["habit"] == pytest.approx(habit, abs=WITHIN)
        assert_close(learned, got["learned"])
    assert python.prior.lessons > 50


def test_a_faint_word_is_left_out_once_the_dialogue_has_moved_on(module: Path) -> None:
    """It is part of the command if it was said after that, and if nothing was muted then."""

    def five(said_s: float) -> list[Any]:
        faint = {"word": "left", "confidence": 0.4, "end": said_s - 100}
        return ["five", 12.0, 0.9, {"faint": faint, "end": 12.0 - 100}]

    window_s = GRAMMARS[0].window_s
    assert window_s < 9
    before: list[Any] = [["right", 1.0], 10.0]
    after, late = (remember(module, GRAMMARS[0], [*before, five(at)]) for at in (10.0, 9.9))
    assert [step["outcome"] for step in after["results"]] == ["pending", "expired", "command"]
    assert after["results"][-1]["said"] == ["move left by five"]
    assert late["results"][-1]["said"] == []
    for at, said in ((10.4, []), (10.5, ["move left by five"])):
        [*_, last] = remember(module, GRAMMARS[0], [{"unmute": [10.0, 0.5]}, five(at)])["results"]
        assert last["said"] == said


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"trust": 0.5, "lessons": 1},
        {"trust": 1, "lessons": 1, "counts": {}},
        {"trust": "much", "lessons": 1, "counts": {}},
        {"trust": 0.5, "lessons": -1, "counts": {}},
        {"trust": 0.5, "lessons": 1, "counts": {":": {"left": -1}}},
        {"trust": 0.5, "lessons": 1, "counts": {":": {"left": "often"}}},
        {"trust": 0.5, "lessons": 1, "counts": {":": 3e9}},
        {"trust": 0.5, "lessons": 1e9, "counts": {}},
        3,
    ],
    ids=str,
)
def test_what_is_damaged_is_refused(module: Path, damaged: Any) -> None:
    assert remember(module, GRAMMARS[0], [], damaged) == {"refused": "what was learned is damaged"}


def test_words_in_the_order_of_the_engine() -> None:
    """A habit goes by the words of the grammar there, and by those of the prior here."""
    for grammar in GRAMMARS:
        prior = shipped_prior(grammar)
        assert prior is not None
        assert prior.words == tuple(grammar.words)
