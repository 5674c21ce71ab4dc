"""A wake model and a command model in turn: nothing is heard before the wake word."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import tones
from command import harken

from harken.edge import DetectorConfig, Spotter, load_model
from harken.edge.app.listen_cli import DEMO
from harken.edge.errors import GrammarError
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.memory.woken import WokenSpotter, memory_of

GRAMMAR = """
name = "woken"
window_s = 4
[slots]
direction = { forward = 1, backward = 2 }
number = { two = 2, three = 3 }
[commands.move]
say = "{direction} {number}"
says = "drive {direction} {number}"
[words]
wake = "WAKE"
"""


RATE = 16_000
ONE_WORD = DetectorConfig(smoothing_steps=3, refractory_ms=400, thresholds={"five": 0.5})
FIVE = round(3.93 * RATE)  # where "five" is decided in the demo


@pytest.fixture(scope="module")
def demo() -> np.ndarray:
    """Nine seconds: "left three five go stop forward two"."""
    return soundfile.read(DEMO, dtype="int16")[0][: 9 * RATE]


@pytest.fixture
def wake() -> Spotter:
    """A wake model of one word."""
    return Spotter("commands-tiny", detector=ONE_WORD)


@pytest.fixture
def awake(wake) -> WokenSpotter:
    return WokenSpotter(load_model("commands"), wake, window_s=3)


def said(spotter: Spotter, samples: np.ndarray, size: int = 16_000) -> list[str]:
    pieces = range(0, len(samples), size)
    return [e.word for at in pieces for e in spotter.feed(samples[at : at + size])]


@pytest.mark.parametrize("size", [333, 16_000, 200_000])
def test_only_what_follows_the_wake_word_is_heard(awake, demo, size):
    woken: list[str] = []
    awake.on_wake = woken.append
    assert said(awake, demo, size) == ["go", "stop", "forward", "two"]
    assert woken == ["five"]
    assert awake.awake
    assert awake.samples_heard == len(demo)


def test_positions_are_those_of_all_the_sound(awake, demo):
    alone = [event for event in Spotter("commands").feed(demo) if event.end_sample > FIVE + RATE]
    heard = [event for event in awake.feed(demo) if event.end_sample > FIVE + RATE]
    for event, other in zip(heard, alone, strict=True):
        assert abs(event.end_sample - other.end_sample) <= 2 * 640


def test_wake_words_have_their_place_in_all_the_sound(awake, demo):
    awake.feed(np.zeros(2 * RATE, np.int16))
    awake.feed(demo)
    (woken,) = awake.wakes
    assert (woken.word, woken.end_sample) == ("five", pytest.approx(2 * RATE + FIVE, abs=RATE / 5))
    assert awake.feed(np.zeros(100, np.int16)) == []
    assert not awake.wakes


def test_it_sleeps_when_nothing_more_is_said(awake, demo):
    cut = FIVE + RATE // 4
    silence = np.zeros(4 * RATE, np.int16)
    assert said(awake, np.concatenate([demo[:cut], silence, demo[cut:]])) == []
    assert not awake.awake
    assert awake.evidence.shape == (0, 19)
    assert said(awake, demo)[:1] == ["go"], "and wakes again"


def test_sound_that_was_lost_counts(awake, demo):
    awake.skip(1000)
    assert awake.samples_heard == 1000
    assert said(awake, demo)[:1] == ["go"]
    awake.skip(500)
    assert awake.samples_heard == 1500 + len(demo)


def test_it_falls_asleep_in_a_long_gap(awake, demo):
    awake.feed(demo[: FIVE + RATE // 4])
    assert awake.awake
    awake.skip(10 * RATE)
    (event, *_) = (e for at in range(0, len(demo), 777) for e in awake.feed(demo[at : at + 777]))
    assert event.word == "go"
    alone = next(e for e in Spotter("commands").feed(demo) if e.word == "go")
    place = event.end_sample - (FIVE + RATE // 4 + 10 * RATE)
    assert abs(place - alone.end_sample) <= 2 * 640


def test_a_reset_is_a_beginning(awake, demo):
    said(awake, demo[: FIVE + RATE // 4])
    awake.reset()
    assert awake.samples_heard == 0
    assert said(awake, demo[FIVE + RATE // 4 :]) == []


def test_the_grammar_names_the_wake_word(tmp_path, demo):
    path = tmp_path / "woken.toml"
    path.write_text(GRAMMAR.replace("WAKE", "five"))
    model, wake = load_model("commands"), Spotter("commands-tiny")
    memory = memory_of(load_grammar(path), model, wake.model, now_s=0.0)
    spotter = WokenSpotter(model, wake, window_s=4, memory=memory)
    assert spotter.wake_words == ("five",)
    said(spotter, demo)
    turns = memory.take_turns()
    assert turns[0].outcome == "woken"
    assert [c.text for turn in turns for c in turn.commands] == ["drive forward two"]


def test_the_wake_word_need_not_be_a_word_of_the_command_model(tones_model, tmp_path):
    path = tmp_path / "woken.toml"
    path.write_text(GRAMMAR.replace("WAKE", "high"))
    wake = Spotter(tones_model)
    memory = memory_of(load_grammar(path), load_model("commands"), wake.model, now_s=0.0)
    spotter = WokenSpotter(load_model("commands"), wake, memory=memory)
    said(spotter, tones.stream("low"))
    assert not spotter.awake
    said(spotter, tones.stream("high"))
    assert spotter.awake
    assert [turn.outcome for turn in memory.take_turns()] == ["woken"]


def test_a_grammar_without_a_wake_word_is_told_of_none(wake, demo):
    model = load_model("commands")
    memory = memory_of(load_grammar("robot"), model, wake.model, now_s=0.0)
    spotter = WokenSpotter(model, wake, memory=memory)
    spotter.wake_words = ("five",)
    said(spotter, demo)
    assert memory.take_turns()[0].word == "go"


def test_a_wake_word_that_the_wake_model_lacks(tmp_path):
    path = tmp_path / "woken.toml"
    path.write_text(GRAMMAR.replace("WAKE", "jarvis"))
    with pytest.raises(GrammarError, match="the wake word is 'jarvis', but commands-tiny hears"):
        memory_of(load_grammar(path), load_model("commands"), load_model("commands-tiny"))


def test_from_the_command_line(tmp_path, demo):
    grammar, wav = tmp_path / "woken.toml", tmp_path / "said.wav"
    grammar.write_text(GRAMMAR.replace("WAKE", "five"))
    soundfile.write(wav, demo, RATE)
    line = ["listen", "commands", "--wake", "commands-tiny", "--grammar", grammar, "--wav"]
    heard = harken(*line, wav)
    assert heard.exit_code == 0, heard.err
    assert "Say 'five' first." in heard.err
    assert " s  five – listening\n" in heard.out
    assert "warning" not in heard.err
    assert "drive forward two" in heard.out
    soundfile.write(wav, demo[FIVE + RATE // 4 :], RATE)
    assert not harken(*line, wav).out


def test_a_wake_word_is_an_event_of_its_own_kind(tmp_path, demo):
    """Programs tell it from a word, and it has the place in all the sound."""
    wav = tmp_path / "said.wav"
    soundfile.write(wav, np.concatenate([demo, np.zeros(5 * RATE, np.int16)]), RATE)
    line = ["listen", "commands", "--wake", "commands-tiny", "--wav", wav, "--json"]
    heard = harken(*line)
    first, *others = map(json.loads, heard.out.splitlines())
    assert first["wake"] == "left"
    assert "word" not in first
    assert 0 < first["start_s"] < first["end_s"] == first["end_sample"] / RATE < others[0]["end_s"]
    assert "warning" not in heard.err
