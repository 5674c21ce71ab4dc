"""The memory: what it expects, what it learns, what it keeps, and that it changes nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.edge import Detection, Detector, DetectorConfig
from harken.edge.errors import GrammarError, HarkenError, ModelError
from harken.edge.memory.grammar import Grammar
from harken.edge.memory.grammar_file import load_grammar, parse_grammar
from harken.edge.memory.habits import User, logged_sessions, sessions
from harken.edge.memory.lstm import LstmPrior, LstmPriorFile
from harken.edge.memory.memory import (
    REGRET_S,
    Memory,
    default_prior,
    log_ratios,
    ngram,
    shipped_prior,
)  # fmt: skip
from harken.edge.memory.prior import GAP_EDGES_S, N_GAPS, Learner, NgramPrior, gap_class
from harken.edge.memory.store import ForeignError, Store, default_path, forget, read
from harken.edge.spotting.detector import Faint

ROBOT = load_grammar("robot")
LABELS = (*ROBOT.words, "unknown", "silence")
THRESHOLDS = dict.fromkeys(ROBOT.words, 0.7)
NGRAM = ngram(ROBOT)
STEP = 640


def memory(**changes: object) -> Memory:
    settings = {"thresholds": THRESHOLDS, "prior": NGRAM, "now_s": 0.0, **changes}
    return Memory(settings.pop("grammar", ROBOT), LABELS, **settings)


def say(remembers: Memory, text: str, at_s: float = 0.0, **evidence: float) -> None:
    for index, word in enumerate(text.split()):
        remembers.hear(word, at_s + index, **evidence)


def at(remembers: Memory, seconds: float) -> dict[str, float]:
    """What the memory adds to each word's log-odds at a time."""
    added = remembers.log_odds(round(seconds * 16_000))
    return {} if added is None else dict(zip(LABELS, added.tolist(), strict=True))


# What it expects


@pytest.mark.parametrize("prior", ["n-gram", "LSTM"])
def test_after_a_direction_a_number_is_expected(prior):
    remembers = memory(prior=NGRAM if prior == "n-gram" else default_prior(ROBOT))
    say(remembers, "left")
    added = at(remembers, 1.0)
    assert min(added[number] for number in ROBOT.slots["number"].words) > 0.5
    assert max(added[word] for word in ROBOT.slots["direction"].words) < 0.5
    assert added["unknown"] == added["silence"] == 0


def test_a_question_expects_an_answer():
    remembers = memory()
    say(remembers, "backward two")
    added = at(remembers, 2.0)
    assert added["yes"] == max(added.values())
    assert added["no"] > added["left"]


def test_nothing_is_expected_before_the_first_word_and_after_the_window():
    remembers = memory()
    assert at(remembers, 1.0) == {}
    say(remembers, "left", 2.0)
    assert at(remembers, 2.0 + 7.99)
    assert at(remembers, 2.0 + 8.0) == {}


def test_expected_probabilities_are_probabilities():
    for prior in (NGRAM, default_prior(ROBOT), Learner(NGRAM)):
        prior.reset()
        for word, pending in (("left", "number"), ("three", ""), ("backward", "number")):
            prior.hear(word, 1.0, pending)
            rows, when = prior.expect(), prior.when()
            assert rows.shape == (N_GAPS, len(ROBOT.words))
            assert np.allclose(rows.sum(axis=1), 1)
            assert rows.min() >= 0
            assert when.sum() == pytest.approx(1)
        prior.reset()


@given(
    st.lists(st.floats(0.0, 1.0), min_size=N_GAPS * 3, max_size=N_GAPS * 3),
    st.lists(st.floats(0.001, 1.0), min_size=N_GAPS, max_size=N_GAPS),
)
def test_what_is_added_to_some_is_taken_from_others(values, classes):
    rows = np.array(values).reshape(N_GAPS, 3) + 1e-6
    rows /= rows.sum(axis=1, keepdims=True)
    when = np.array(classes) / sum(classes)
    factors = np.exp(log_ratios(rows, when, 8.0).astype(np.float64))
    shares = np.diff([0.0, *GAP_EDGES_S, 8.0]) / 8.0
    assert (factors.mean(axis=1) * shares).sum() == pytest.approx(1, rel=1e-4)
    assert factors.min() > 0.49  # nothing becomes much less likely


def test_classes_of_gaps_follow_each_other():
    assert [gap_class(edge) for edge in GAP_EDGES_S] == list(range(1, N_GAPS))
    assert gap_class(0.0) == 0
    assert gap_class(100.0) == N_GAPS - 1


def test_a_prior_of_nothing_expects_every_word_alike():
    prior = NgramPrior(("a", "b"))
    prior.hear("a", 1.0, "")
    assert prior.expect() == pytest.approx(np.full((N_GAPS, 2), 0.5))


@pytest.mark.parametrize("name", ["robot", "media"])
def test_the_shipped_lstm_belongs_to_the_shipped_grammar(name):
    grammar = load_grammar(name)
    file = shipped_prior(grammar)
    assert file is not None, (
        f"train it again: harken grammar train {name} --out edge/memory/grammars"
    )
    assert file.words == grammar.words
    assert isinstance(default_prior(grammar), LstmPrior)
    assert len(file.content) < 12_000


def test_a_grammar_of_ones_own_gets_an_ngram():
    grammar = parse_grammar('[commands.lamp]\nsay = "lamp"\n')
    assert isinstance(default_prior(grammar), NgramPrior)


def test_the_lstm_predicts_strangers_better_than_the_ngram():
    def bits(prior: object) -> float:
        values = []
        for session in sessions(ROBOT, users=60, seed=99):
            prior.reset()
            for index, (word, gap_s, pending) in enumerate(session):
                if index:
                    row = prior.expect()[gap_class(gap_s)]
                    values.append(-np.log2(row[prior.words.index(word)]))
                prior.hear(word, gap_s, pending)
        return float(np.mean(values))

    lstm, counted = bits(default_prior(ROBOT)), bits(NGRAM)
    assert lstm < counted < np.log2(len(ROBOT.words))


@pytest.mark.parametrize("content", [b"{}", b"[", b'{"words": 3}'])
def test_a_damaged_prior_is_refused(tmp_path, content):
    (tmp_path / "robot.prior.json").write_bytes(content)
    (tmp_path / "robot.prior.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match=r"robot.prior.json"):
        LstmPriorFile.load(tmp_path / "robot.prior.tflite")


def test_a_missing_prior_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read .*robot.prior.json"):
        LstmPriorFile.load(tmp_path / "robot.prior.tflite")


# In the detector


def posteriors(*words: tuple[str, int, float]) -> np.ndarray:
    """Posteriors of 400 steps: silence, but for words with their steps and their height."""
    rows = np.zeros((400, len(LABELS)), np.float32)
    rows[:, -1] = 1.0
    for word, step, height in words:
        rows[step : step + 6] = 0.0
        rows[step : step + 6, LABELS.index(word)] = height
        rows[step : step + 6, -1] = 1.0 - height
    return rows


def heard(rows: np.ndarray, remembers: Memory | None, weight: float = 0.8) -> list[tuple]:
    config = DetectorConfig(
        smoothing_steps=3, refractory_ms=400, thresholds=THRESHOLDS, context_weight=weight
    )
    detector = Detector(config, LABELS, STEP, overhang_samples=192, context=remembers)
    found = []
    for piece in np.array_split(rows, 37):
        found += detector.feed(piece)
    return [(d.word, d.step, round(d.confidence, 5)) for d in found]


def test_an_expected_word_takes_less_evidence():
    rows = posteriors(("left", 10, 0.95), ("three", 35, 0.6))
    assert [word for word, *_ in heard(rows, None)] == ["left"]
    assert [word for word, *_ in heard(rows, memory())] == ["left", "three"]
    assert [word for word, *_ in heard(rows, memory(), weight=0.0)] == ["left"]


def test_an_unexpected_word_is_still_possible():
    rows = posteriors(("left", 10, 0.95), ("yes", 35, 0.95))
    assert [word for word, *_ in heard(rows, memory())] == ["left", "yes"]


def test_a_word_that_fired_early_does_not_fire_again_as_it_goes_on():
    rows = posteriors(("left", 10, 0.95))
    for step, height in enumerate(np.linspace(0.4, 0.99, 20)):
        rows[30 + step] = 0.0
        rows[30 + step, LABELS.index("three")] = height
        rows[30 + step, -1] = 1.0 - height
    assert [word for word, *_ in heard(rows, memory())] == ["left", "three"]


def test_outside_of_the_window_nothing_changes_not_a_bit():
    late = 10 + round(8.2 * 16_000 / STEP)
    rows = posteriors(("left", 10, 0.95), ("three", late, 0.71), ("go", late - 60, 0.3))
    assert heard(rows, memory()) == heard(rows, None)


@given(st.integers(0, 2**32 - 1))
def test_without_a_first_word_or_a_weight_a_memory_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(len(LABELS), 0.05), size=300).astype(np.float32)
    assert heard(rows, memory(), weight=0.0) == heard(rows, None)


def test_a_memory_of_another_model_names_what_is_missing():
    with pytest.raises(GrammarError, match="the model has no word forward"):
        Memory("robot", ("yes", "unknown", "silence"), thresholds={"yes": 0.7}, now_s=0.0)


# What it learns


def test_a_command_teaches_when_nobody_took_it_back():
    remembers = memory()
    say(remembers, "left three", acoustic=0.9)
    assert remembers.prior.lessons == 0
    at(remembers, 1.0 + REGRET_S - 0.1)
    assert remembers.prior.lessons == 0
    at(remembers, 1.0 + REGRET_S)
    assert remembers.prior.lessons == 2
    assert remembers.prior.counts["number:left"] == {"three": 1.0}


@pytest.mark.parametrize("regret", ["no", "stop"])
def test_no_and_stop_right_after_a_command_take_it_back(regret):
    remembers = memory()
    say(remembers, f"left three {regret}", acoustic=0.9)
    at(remembers, 20.0)
    assert remembers.prior.lessons == 0


def test_a_word_that_was_only_heard_because_it_was_expected_teaches_nothing():
    remembers = memory()
    remembers.hear("left", 0.0, acoustic=0.9)
    remembers.hear("three", 1.0, acoustic=0.5)
    at(remembers, 20.0)
    assert "number:left" not in remembers.prior.counts


def test_a_command_that_never_was_complete_teaches_nothing():
    remembers = memory()
    say(remembers, "left", acoustic=0.9)
    at(remembers, 20.0)
    assert remembers.prior.lessons == 0


def test_a_command_that_is_dropped_takes_no_earlier_one_with_it():
    remembers = memory()
    say(remembers, "left three up no", acoustic=0.9)
    at(remembers, 20.0)
    assert remembers.prior.lessons == 2


def test_what_is_pending_is_not_learned_with_the_command_before_it():
    remembers = memory()
    say(remembers, "left three", acoustic=0.9)
    remembers.hear("up", 5.0, acoustic=0.9)
    at(remembers, 20.0)
    assert remembers.prior.lessons == 2


def test_habits_are_learned_and_unlearned():
    learner = Learner(NGRAM)
    for _ in range(60):
        learner.reset()
        learner.hear("left", 0.0, "number")
        learner.learn(learner.lesson("five", 1.0))
    before = NGRAM.expect()[gap_class(1.0), ROBOT.words.index("five")]
    after = learner.expect()[gap_class(1.0), ROBOT.words.index("five")]
    assert after > 3 * before
    assert learner.trust > 0.9
    for _ in range(4):
        learner.learn(learner.lesson("two", 1.0))
    assert learner.trust < 0.5
    learner.forget()
    assert learner.expect() == pytest.approx(NGRAM.expect())


def test_made_up_users_say_what_the_grammar_allows():
    rng = np.random.default_rng(0)
    user = User(ROBOT, rng)
    said = [word.word for _ in range(50) for word in user.session(rng)]
    assert set(said) <= set(ROBOT.words)
    assert {"stop", "go", "yes"} <= set(said)
    mute = User(ROBOT, rng, words=("left", "right"))
    assert not mute
    few = User(ROBOT, rng, words=("left", "three"))
    assert {word.word for word in few.session(rng)} == {"left", "three"}


def test_what_was_really_said_is_read_from_what_listen_printed(tmp_path):
    log = tmp_path / "said.jsonl"
    lines = [
        {"word": "left", "end_s": 1.0},
        {"word": "three", "end_s": 2.0},
        {"command": "move"},
        {"turn": "ignored"},
        {"word": "marvin", "end_s": 2.5},
        {"word": "go", "end_s": 30.0},
        {"word": "left", "end_s": 0.5},
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert logged_sessions(log, ROBOT) == [
        [("left", 8.0, "number"), ("three", 1.0, "")],
        [("go", 8.0, "")],
        [("left", 8.0, "number")],
    ]
    log.write_text('{"word": "left", "end_s": 1.0}\nleft\n')
    with pytest.raises(GrammarError, match=r"said.jsonl:2: this is no line of"):
        logged_sessions(log, ROBOT)
    with pytest.raises(GrammarError, match="cannot read the log"):
        logged_sessions(tmp_path / "none.jsonl", ROBOT)


# What it keeps


def kept(path: Path, warnings: list[str], now_s: float) -> Memory:
    return memory(store=Store(path, on_warning=warnings.append), now_s=now_s)


def test_a_restart_goes_on_where_it_was(tmp_path):
    warnings: list[str] = []
    one = kept(tmp_path / "robot.json", warnings, 1000.0)
    say(one, "left three", 1000.0, acoustic=0.9)
    at(one, 20.0)
    say(one, "forward", 1021.0)
    expected = at(one, 21.5)
    one.close()
    two = kept(tmp_path / "robot.json", warnings, 1021.5)
    assert two.prior.lessons == 2
    assert at(two, 0.0) == pytest.approx(expected, abs=1e-4)
    assert two.hear("two", 1022.0).commands[0].text == "move forward by two"
    two.close()
    three = kept(tmp_path / "robot.json", warnings, 1030.0)
    assert three.hear("five", 1031.0).commands[0].text == "move forward by five"
    assert warnings == []


def test_a_crash_loses_at_most_the_last_word(tmp_path):
    one = kept(tmp_path / "robot.json", [], 0.0)
    for word in ("left", "three", "forward"):
        one.hear(word, 1.0)
        content = read(tmp_path / "robot.json")
        assert [entry[0] for entry in content["recent"]][-1] == word


def test_nothing_but_words_times_and_counts_is_kept(tmp_path):
    one = kept(tmp_path / "robot.json", [], 0.0)
    say(one, "left three go backward two yes", acoustic=0.9)
    at(one, 30.0)
    names = {"move", "confirm", "slot", *ROBOT.words, "", "number", "direction", "robot"}

    def check(value: object) -> None:
        if isinstance(value, dict):
            for each in value.values():
                check(each)
        elif isinstance(value, list):
            for each in value:
                check(each)
        elif isinstance(value, str):
            assert value in names or value == ROBOT.digest
        else:
            assert value is None or isinstance(value, int | float)

    path = tmp_path / "robot.json"
    check(read(path))
    assert path.stat().st_size < 4000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut short or damaged"),
        (b'{"harken_memory": 1, "state"', "cut short or damaged"),
        (b"\0" * 3000, "cut short or damaged"),  # after a crash
        (b'{"harken_memory": 1, \xff\xfe}', "cut short or damaged"),
        (b'{"harken_memory": 2}', "the format 2, and this harken reads 1"),
        (b'{"harken_memory": 1, "grammar": {"digest": "0"}}', "belongs to another grammar"),
        (b'{"harken_memory": 1, "grammar": 3}', "it is damaged"),
        (b'{"harken_memory":' + b"[" * 100_000, "cut short or damaged"),
        (b'{"harken_memory": true}', "the format True, and this harken reads 1"),
        (b" " * 1_000_001, "too many for a memory"),
    ],
)
def test_a_file_of_no_use_is_set_aside(tmp_path, content, reason):
    path = tmp_path / "robot.json"
    path.write_bytes(content)
    warnings: list[str] = []
    fresh = kept(path, warnings, 0.0)
    assert len(warnings) == 1
    assert reason in warnings[0]
    assert "set aside as robot.json.damaged" in warnings[0]
    assert (tmp_path / "robot.json.damaged").read_bytes() == content
    say(fresh, "left three")
    assert read(path)["recent"]


@pytest.mark.parametrize(
    "content",
    [b"milk, eggs", b"\xfe\xed", b"[1, 2]", b'{"name": "something else"}', b"[" * 100_000],
)
def test_a_file_of_somebody_else_stays_as_it_is(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    warnings: list[str] = []
    fresh = kept(path, warnings, 0.0)
    assert len(warnings) == 1
    assert "it is no memory of harken's; starting with no memory, and keeping none" in warnings[0]
    say(fresh, "left three")
    fresh.close()
    with pytest.raises(ForeignError, match=r"notes\.txt is no memory of harken's"):
        forget(path)
    assert path.read_bytes() == content
    assert not (tmp_path / "notes.txt.damaged").exists()


def test_every_truncation_of_a_memory_is_survived(tmp_path):
    path = tmp_path / "robot.json"
    one = kept(path, [], 0.0)
    say(one, "left three", acoustic=0.9)
    one.close()
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        again = kept(path, [], 5.0)
        assert again.prior.lessons == 0
        again.close()


@pytest.mark.parametrize(
    "damage", [("state", {}), ("recent", [["left"]]), ("learned", {"trust": 9})]
)
def test_damage_inside_of_a_memory_is_noticed(tmp_path, damage):
    path = tmp_path / "robot.json"
    one = kept(path, [], 0.0)
    say(one, "left three")
    one.close()
    content = json.loads(path.read_text())
    content[damage[0]] = damage[1]
    path.write_text(json.dumps(content))
    warnings: list[str] = []
    kept(path, warnings, 5.0)
    assert "set aside" in warnings[0]


def test_a_clock_that_was_set_back_keeps_what_was_learned_only(tmp_path):
    path = tmp_path / "robot.json"
    one = kept(path, [], 1000.0)
    say(one, "left three", 1000.0, acoustic=0.9)
    at(one, 20.0)
    one.close()
    two = kept(path, [], 500.0)
    assert two.prior.lessons == 2
    assert two.hear("five", 501.0).outcome == "ignored"


def test_hours_of_sleep_let_everything_but_learning_expire():
    remembers = memory()
    say(remembers, "left", acoustic=0.9)
    at(remembers, 1.0)
    remembers.adjust_clock(7200.0)
    assert [turn.outcome for turn in remembers.take_turns()] == ["pending", "expired"]
    remembers.adjust_clock(-7200.0)
    assert at(remembers, 1.5) == {}


def test_a_file_that_cannot_be_written_is_told_once(tmp_path, monkeypatch):
    def full(*arguments: object, **options: object) -> None:
        raise HarkenError("cannot write robot.json: No space left on device")

    monkeypatch.setattr("harken.edge.memory.store.write_atomic", full)
    warnings: list[str] = []
    one = kept(tmp_path / "robot.json", warnings, 0.0)
    say(one, "left three five")
    assert warnings == [
        "cannot write robot.json: No space left on device; from now on, nothing is stored"
    ]
    assert [turn.outcome for turn in one.take_turns()] == ["pending", "command", "command"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    warnings: list[str] = []
    one = kept(tmp_path / "file" / "robot.json", warnings, 0.0)
    say(one, "left three")
    assert "cannot keep a memory in" in warnings[0]


def test_the_folder_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = default_path("robot")
    kept(path, [], 0.0)
    assert path == tmp_path / "harken" / "robot.json"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_of_another_user_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "robot.json"
    path.write_text('{"harken_memory": 1}')
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    warnings: list[str] = []
    one = kept(path, warnings, 0.0)
    say(one, "left three")
    assert "it belongs to another user" in warnings[0]
    assert path.read_text() == '{"harken_memory": 1}'


def test_two_programs_do_not_share_a_memory(tmp_path):
    path = tmp_path / "robot.json"
    one = kept(path, [], 0.0)
    say(one, "left three")
    before = path.read_bytes()
    code = (
        "import sys; from harken.edge.memory.store import Store; "
        "s = Store(sys.argv[1], on_warning=print); s.save({'x': 1}); print(s.writable)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert "another program remembers in" in other.stdout
    assert other.stdout.endswith("False\n")
    assert path.read_bytes() == before
    one.close()
    assert Store(path, on_warning=print).writable


def test_a_muted_memory_takes_no_words():
    remembers = memory()
    remembers.mute()
    say(remembers, "left three", 1.0)
    assert remembers.muted
    assert at(remembers, 2.5) == {}
    remembers.unmute(tail_s=0.5)
    assert remembers.muted
    at(remembers, 3.1)
    assert not remembers.muted
    assert remembers.hear("left", 4.0).outcome == "pending"


def test_a_reset_forgets_the_session_but_not_what_was_learned():
    remembers = memory()
    say(remembers, "left three", acoustic=0.9)
    at(remembers, 20.0)
    say(remembers, "left", 21.0)
    remembers.reset()
    assert at(remembers, 0.1) == {}
    assert remembers.prior.lessons == 2


# Edits, and other grammars


def edited(**changes: object) -> Grammar:
    return dataclasses.replace(ROBOT, **changes)


def test_an_edit_of_the_grammar_keeps_what_still_applies(tmp_path):
    path, warnings = tmp_path / "robot.json", []
    one = kept(path, warnings, 0.0)
    say(one, "left three", acoustic=0.9)
    at(one, 20.0)
    learned = one.prior.to_dict()
    one.close()
    store = Store(path, on_warning=warnings.append)
    two = memory(grammar=edited(repeat_s=30.0), store=store, now_s=20.0)
    assert warnings == []
    assert two.prior.to_dict() == learned
    assert two.dialogue.state.last is not None
    two.close()


def test_an_edit_drops_what_was_learned_of_words_that_are_gone():
    learner = Learner(NgramPrior(["left", "right"]))
    learner.counts = {
        ":": {"left": 2.0, "gone": 1.0},
        ":gone": {"left": 1.0},
        "number:left": {"right": 1.0},
        "removed:": {"right": 1.0},
    }
    learner.keep(["", "confirm", "number"])
    assert learner.counts == {":": {"left": 2.0}, "number:left": {"right": 1.0}}


def test_the_memory_of_another_grammar_is_left_alone(tmp_path):
    path, warnings = tmp_path / "robot.json", []
    one = kept(path, warnings, 0.0)
    say(one, "left three")
    one.close()
    before = path.read_bytes()
    store = Store(path, on_warning=warnings.append)
    other = memory(grammar=edited(name="other"), store=store, now_s=5.0)
    say(other, "left three", 5.0)
    other.close()
    assert path.read_bytes() == before
    assert len(warnings) == 1
    assert "it belongs to the grammar robot" in warnings[0]


def test_what_somebody_remembers_in_cannot_be_forgotten_by_others(tmp_path):
    path = tmp_path / "robot.json"
    listening = kept(path, [], 0.0)
    say(listening, "left three")
    with pytest.raises(BlockingIOError):
        forget(path)
    assert path.exists()
    listening.close()
    (tmp_path / "robot.json.damaged").write_text('{"harken_mem')
    assert forget(path) == [path, tmp_path / "robot.json.damaged"]
    assert not path.exists()
    assert not (tmp_path / "robot.json.damaged").exists()
    assert forget(path) == []


# Faint words


def detected(word: str, at_s: float, *, faint: str | None = None, said_s: float = 0.0) -> Detection:
    def sample(seconds: float) -> int:
        return round(seconds * 16_000)

    return Detection(
        word=word,
        confidence=0.9,
        acoustic=0.9,
        start_sample=sample(at_s - 0.3),
        end_sample=sample(at_s),
        step=0,
        faint=None
        if faint is None
        else Faint(word=faint, confidence=0.5, end_sample=sample(said_s), step=0),
    )


def texts(remembers: Memory) -> list[str]:
    return [command.text for turn in remembers.take_turns() for command in turn.commands]


def test_a_faint_word_is_heard_before_the_next_one():
    remembers = memory()
    remembers.accept(detected("five", 3.0, faint="left", said_s=1.8))
    turns = remembers.take_turns()
    assert [(turn.word, turn.outcome) for turn in turns] == [
        ("left", "pending"),
        ("five", "command"),
    ]
    assert [turn.late_s for turn in turns] == [pytest.approx(1.2), 0.0]
    assert turns[1].commands[0].text == "move left by five"
    assert turns[1].commands[0].confidence == pytest.approx(0.45)


def test_a_faint_word_replaces_what_would_have_been_remembered():
    remembers = memory()
    say(remembers, "right two")
    remembers.take_turns()
    remembers.accept(detected("five", 5.0, faint="left", said_s=4.0))
    assert texts(remembers) == ["move left by five"]


def test_the_prior_hears_a_faint_word_when_it_was_said():
    late, live = memory(), memory()
    late.accept(detected("five", 3.0, faint="left", said_s=1.8))
    live.prior.hear("left", 8.0, "")
    live.prior.hear("five", 1.2, "")
    np.testing.assert_allclose(late.prior.expect(), live.prior.expect(), rtol=1e-6)


def test_the_dialogue_leaves_a_faint_word_out_that_comes_too_late():
    """Meanwhile "left" has gone on without the "five" that was not understood."""
    remembers = memory()
    remembers.accept(detected("left", 1.0))
    remembers.log_odds(round(9.5 * 16_000))  # nobody said how far
    outcomes = [turn.outcome for turn in remembers.take_turns()]
    assert outcomes[0] == "pending"
    assert len(outcomes) == 2
    remembers.accept(detected("right", 10.0, faint="five", said_s=2.5))
    assert [turn.word for turn in remembers.take_turns()] == ["right"]


def test_a_faint_word_confirms_nothing():
    remembers = memory()
    remembers.accept(detected("backward", 1.0))
    remembers.accept(detected("two", 2.0))
    assert remembers.dialogue.pending == "confirm"
    remembers.take_turns()
    remembers.accept(detected("no", 4.0, faint="yes", said_s=3.0))
    assert [(turn.word, turn.outcome) for turn in remembers.take_turns()] == [("no", "cancelled")]


def test_nothing_is_learned_from_a_faint_word():
    remembers = memory()
    before = remembers.to_dict()["learned"]
    for at_s in (3.0, 13.0, 23.0):
        remembers.accept(detected("zero", at_s, faint="left", said_s=at_s - 1))
        remembers.log_odds(round((at_s + REGRET_S + 0.1) * 16_000))
    learned = remembers.to_dict()["learned"]
    assert learned != before  # from the words that were clear
    assert "left" not in {word for counts in learned["counts"].values() for word in counts}


def test_a_muted_memory_hears_no_faint_word():
    remembers = memory()
    remembers.mute()
    remembers.log_odds(32_000)
    remembers.unmute(0.5)
    remembers.accept(detected("five", 3.0, faint="left", said_s=2.2))
    assert [turn.word for turn in remembers.take_turns()] == ["five"]


def test_a_faint_word_that_the_grammar_lacks_changes_nothing():
    remembers = memory()
    remembers.accept(detected("five", 3.0, faint="bed", said_s=2.0))
    assert [turn.outcome for turn in remembers.take_turns()] == ["ignored", "ignored"]
    alone = memory()
    alone.accept(detected("five", 3.0))
    np.testing.assert_array_equal(remembers.prior.expect(), alone.prior.expect())


def test_the_detector_and_the_memory_work_together():
    """ "left" stays below its threshold, "five" is clear: the robot moves left."""
    rows = np.zeros((60, len(LABELS)), np.float32)
    rows[5:10, LABELS.index("left")] = rows[5:10, LABELS.index("unknown")] = 0.5
    rows[40:46, LABELS.index("five")] = 0.9
    rows[:, -1] = 1 - rows.sum(axis=1)
    remembers = memory()
    config = DetectorConfig(smoothing_steps=1, refractory_ms=400, thresholds=THRESHOLDS)
    Detector(config, LABELS, STEP, context=remembers).feed(rows)
    assert texts(remembers) == ["move left by five"]
