"""`harken eval --context`: sessions, what is scored in them, and the figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tones
from command import harken

pytest.importorskip("scipy", reason="training needs harken[train]")

from conftest import DATA
from synthetic_corpus import write_tone_words

from harken.edge.errors import DataError
from harken.edge.memory.grammar_file import load_grammar, parse_grammar
from harken.edge.memory.memory import ngram
from harken.edge.spotting.manifest import load_model
from harken.train.context.learning import learning
from harken.train.context.measure import Ears, SessionFigures, given, score
from harken.train.context.report import compared
from harken.train.context.sessions import ORDERS, SNR, reorder, spoken_sessions, stateless
from harken.train.data import load_corpus
from harken.train.scenes.truth import Scene, Utterance

MODEL = DATA / "tones.tflite"
GRAMMAR = parse_grammar(tones.BEEPS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    return write_tone_words(folder / "data", words={"low": 400.0, "high": 2500.0}, clips=60)


@pytest.fixture(scope="module")
def corpus(data, tmp_path_factory):
    return load_corpus(data, cache_dir=tmp_path_factory.mktemp("cache"))


def scene(*said: tuple[str, float]) -> Scene:
    return Scene(
        name="scene",
        seconds=60.0,
        utterances=tuple(Utterance(start_s=at, end_s=at + 0.4, word=word) for word, at in said),
        negative=False,
        conditions={"order": "scripted", "snr": "clean"},
        recordings=None,
        render=lambda: np.zeros(16_000 * 60, np.int16),
    )


def test_sessions_are_one_speakers_words_in_three_orders(corpus):
    scenes = spoken_sessions(corpus, GRAMMAR, ngram(GRAMMAR), count=4)
    assert len(scenes) == len(ORDERS) * len(SNR) * 4
    by_order = {order: [s for s in scenes if s.conditions["order"] == order] for order in ORDERS}
    for one, other in zip(by_order["scripted"], by_order["shuffled"], strict=True):
        assert sorted(u.word for u in one.utterances) == sorted(u.word for u in other.utterances)
        assert len(one.recordings) == 1
    clean, noisy = by_order["scripted"][0], by_order["scripted"][-1]
    assert len(clean.render()) == round(clean.seconds * 16_000)
    assert noisy.render().std() > clean.render().std()
    again = spoken_sessions(corpus, GRAMMAR, ngram(GRAMMAR), count=4)
    assert np.array_equal(again[-1].render(), scenes[-1].render())


def test_sessions_need_somebody_who_can_say_a_command(corpus):
    with pytest.raises(DataError, match="no speaker of the validation split has recorded all"):
        spoken_sessions(corpus, load_grammar("robot"), ngram(GRAMMAR), count=1)


def test_adversaries_say_what_is_expected_least():
    robot = load_grammar("robot")
    prior = ngram(robot)
    from harken.edge.memory.habits import User

    rng = np.random.default_rng(0)
    said = User(robot, rng).session(rng, 9)
    ordered = reorder(said, "adversarial", robot, prior, rng)
    assert sorted(word for word, _ in ordered) == sorted(each.word for each in said)
    assert [gap_s for _, gap_s in ordered] == [each.gap_s for each in said]
    assert ordered != reorder(said, "scripted", robot, prior, rng)


def test_what_was_given_is_what_the_dialogue_makes_of_what_was_said():
    commands = given(scene(("low", 1.0), ("high", 2.0), ("high", 5.0)), GRAMMAR)
    assert [command.slots for command in commands] == [{"first": "low", "second": "high"}] * 2
    assert len(given(scene(("low", 1.0), ("high", 2.0), ("high", 5.0)), stateless(GRAMMAR))) == 1


def test_a_session_is_scored_word_by_word_and_command_by_command():
    model = load_model(MODEL)
    ears = Ears(model=model, grammar=GRAMMAR, prior=ngram(GRAMMAR), weight=0.8)
    labels = model.manifest.labels
    rows = np.zeros((1500, len(labels)), np.float32)
    rows[:, -1] = 1.0
    step_s = model.manifest.step_samples / 16_000

    def sound(word: str, at_s: float) -> None:
        first = round(at_s / step_s)
        rows[first : first + 10] = 0.0
        rows[first : first + 10, labels.index(word)] = 1.0

    sound("low", 1.2)
    sound("high", 2.2)
    sound("low", 20.0)
    said = scene(("low", 1.0), ("high", 2.0), ("high", 5.0))
    figures = score(said, ears, rows, GRAMMAR)
    assert (figures.said, figures.missed, figures.wrong) == (3, 1, 1)
    assert (figures.given, figures.right, figures.understood) == (2, 1, 1)
    assert figures.errors == 2
    assert sum(said for said, _ in figures.by_gap.values()) == 3
    assert sum(missed for _, missed in figures.by_gap.values()) == 1


def figures(said: int, missed: int, wrong: int = 0) -> SessionFigures:
    return SessionFigures(
        said=said, missed=missed, wrong=wrong, given=1, right=1, understood=1, by_gap={}
    )


def test_figures_are_compared_session_by_session():
    before = [figures(10, 4), figures(10, 2, 2)] * 50
    after = [figures(10, 3), figures(10, 2, 1)] * 50
    result = compared(before, after)
    assert result["words"] == 1000
    assert result["fewer"]["value"] == pytest.approx(0.25)
    assert result["more_points"]["value"] == pytest.approx(-10.0)
    assert result["fewer"]["95_low"] <= 0.25 <= result["fewer"]["95_high"]


def test_learning_gains_on_its_user_and_does_little_harm_to_another():
    robot = load_grammar("robot")
    found = learning(robot, ngram(robot), users=12).to_dict()
    assert found["gain_bits"]["95_low"] > 0
    assert found["opposite_user"][-1]["harm_bits"]["mean"] < 0.1


def test_the_whole_of_it_at_the_command_line(data, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "beeps.toml").write_text(tones.BEEPS)
    done = harken(
        *("eval", MODEL, "--context", "--data", data, "--cache-dir", tmp_path / "cache"),
        *("--grammar", tmp_path / "beeps.toml", "--sessions", 6, "--out", tmp_path / "out"),
        "--json",
    )
    assert done.exit_code == 0, done.err
    report = json.loads(done.out)
    assert report["sessions"] == 6
    assert set(report["orders"]) == set(ORDERS)
    cell = report["orders"]["scripted"]["clean"]
    assert cell["commands_with_memory"]["accuracy"] > cell["commands_without_state"]["accuracy"]
    assert report["false_accepts"]["inside_with"]["hours"] > 0
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert (tmp_path / "out" / "context.png").stat().st_size > 10_000
    table = harken(
        *("eval", MODEL, "--context", "--data", data, "--cache-dir", tmp_path / "cache"),
        *("--grammar", tmp_path / "beeps.toml", "--sessions", 2),
    )
    assert table.exit_code == 0, table.err
    assert max(map(len, table.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--context",), "give a folder of recordings"),
        (("--context", "--data", "x", "--stream"), "it does not go with --context"),
        (("--context", "--data", "x", "--split", "all"), "sessions are made from one split"),
        (("--sessions", "3", "--data", "x"), "it needs --context"),
    ],
)
def test_options_that_do_not_go_together(options, said):
    done = harken("eval", MODEL, *options)
    assert done.exit_code == 2
    assert said in done.err


def test_a_grammar_of_other_words_is_refused_before_anything_is_decoded(data):
    done = harken("eval", MODEL, "--context", "--data", data)
    assert done.exit_code == 9
    assert "the model has no word" in done.error


def test_an_lstm_learns_a_grammar_and_is_used(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    from harken.edge.memory.lstm import LstmPrior, LstmPriorFile
    from harken.train.context import lstm

    monkeypatch.setattr(lstm, "_USERS", 200)
    monkeypatch.setattr(lstm, "_EPOCHS", 6)
    monkeypatch.setattr(lstm, "_BATCH", 64)
    (tmp_path / "beeps.toml").write_text(tones.BEEPS)
    done = harken("grammar", "train", tmp_path / "beeps.toml", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.err
    file = LstmPriorFile.load(tmp_path / "out" / "beeps.prior.tflite")
    assert file.digest == GRAMMAR.digest
    prior = LstmPrior(file)
    prior.hear("low", 1.0, "second")
    (likeliest,) = {prior.words[row.argmax()] for row in prior.expect()[1:5]}
    assert likeliest == "high"
    assert prior.expect().sum(axis=1) == pytest.approx(1)
