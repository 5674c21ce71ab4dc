"""The dialogue: words become commands, completed from memory, confirmed, stopped, forgotten."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.edge.memory.dialogue import Dialogue
from harken.edge.memory.grammar import Grammar
from harken.edge.memory.grammar_file import load_grammar, parse_grammar
from harken.edge.memory.turns import State

ROBOT = load_grammar("robot")
MEDIA = load_grammar("media")


def say(dialogue: Dialogue, text: str, at_s: float = 0.0, gap_s: float = 1.0) -> list[str]:
    """Say words a gap apart; return what came of each: the command in words, or the outcome."""
    results = []
    for word in text.split():
        turn = dialogue.hear(word, at_s)
        commands = [command.text for command in turn.commands]
        results += commands if commands else [turn.outcome]
        if commands and turn.outcome == "pending":
            results.append("pending")
        at_s += gap_s
    return results


@pytest.mark.parametrize(
    ("words", "results"),
    [
        ("left three", ["pending", "move left by three"]),
        ("left three five", ["pending", "move left by three", "move left by five"]),
        ("left right three", ["pending", "pending", "move right by three"]),
        ("five", ["ignored"]),
        ("left stop five", ["pending", "stop", "ignored"]),
        ("left three stop five", ["pending", "move left by three", "stop", "move left by five"]),
        ("left three go", ["pending", "move left by three", "move left by three"]),
        ("go", ["ignored"]),
        ("left go", ["pending", "asks"]),
        ("left no three", ["pending", "cancelled", "ignored"]),
        ("left yes three", ["pending", "ignored", "move left by three"]),
        ("yes no", ["ignored", "ignored"]),
        ("backward two yes", ["pending", "pending", "move backward by two"]),
        ("backward two go", ["pending", "pending", "move backward by two"]),
        ("backward two no yes", ["pending", "pending", "cancelled", "ignored"]),
        ("backward two left three", ["pending", "pending", "pending", "move left by three"]),
        ("backward two stop yes", ["pending", "pending", "stop", "ignored"]),
        ("left three no go", ["pending", "move left by three", "cancelled", "ignored"]),
        ("left nonsense three", ["pending", "ignored", "move left by three"]),
    ],
)
def test_a_robot_understands(words, results):
    assert say(Dialogue(ROBOT), words) == results


def test_media_takes_other_words_of_the_same_model_for_other_things():
    assert say(Dialogue(MEDIA), "left five go stop") == [
        "track to the left", "channel five", "play", "stop",
    ]  # fmt: skip


def test_an_optional_part_is_waited_for():
    dialogue = Dialogue(MEDIA)
    assert say(dialogue, "up three") == ["pending", "volume up three"]
    assert dialogue.hear("down", 20.0).outcome == "pending"
    assert dialogue.due_s == pytest.approx(20.0 + MEDIA.settle_s)
    assert dialogue.tick(20.5) is None
    turn = dialogue.tick(20.0 + MEDIA.settle_s)
    assert [command.text for command in turn.commands] == ["volume down"]
    assert dialogue.pending == ""


def test_a_word_that_begins_something_else_ends_the_waiting():
    assert say(Dialogue(MEDIA), "up left") == ["pending", "volume up", "track to the left"]


def test_a_word_that_comes_late_settles_what_waited_before_it():
    assert say(Dialogue(MEDIA), "up five", gap_s=5.0) == ["pending", "volume up", "channel five"]


def test_a_repeat_means_as_much_again():
    dialogue = Dialogue(MEDIA)
    say(dialogue, "up three")
    dialogue.hear("up", 3.0)
    (command,) = dialogue.tick(3.0 + MEDIA.settle_s).commands
    assert command.text == "volume up three"
    assert command.remembered == {"amount": pytest.approx(2.0 + MEDIA.settle_s)}


def test_a_command_says_what_of_it_was_remembered_and_for_how_long():
    dialogue = Dialogue(ROBOT)
    dialogue.hear("left", 10.0, 0.9)
    (first,) = dialogue.hear("three", 11.0, 0.8).commands
    assert first.slots == {"direction": "left", "number": "three"}
    assert first.values == {"direction": "left", "number": 3}
    assert first.remembered == {}
    assert first.confidence == pytest.approx(0.72)
    assert first.before.pending is not None
    assert first.after.pending is None
    (second,) = dialogue.hear("five", 14.5, 0.5).commands
    assert second.remembered == {"direction": pytest.approx(3.5)}
    assert second.confidence == pytest.approx(0.45)
    (third,) = dialogue.hear("go", 16.0, 0.5).commands
    assert third.repeated
    assert set(third.remembered) == {"direction", "number"}
    line = json.loads(json.dumps(third.to_dict()))
    assert line["intent"] == "move"
    assert line["before"]["memory"] == {"direction": "left", "number": "five"}


def test_what_is_remembered_is_forgotten_in_time():
    def later(seconds: float) -> str:
        dialogue = Dialogue(ROBOT)
        say(dialogue, "left three")
        return say(dialogue, "five", 1.0 + seconds)[0]

    assert later(29.0) == "move left by five"
    assert later(30.0) == "ignored"


def test_what_is_pending_expires_with_the_window():
    dialogue = Dialogue(ROBOT)
    dialogue.hear("left", 0.0)
    assert dialogue.pending == "number"
    assert dialogue.tick(7.9) is None
    assert dialogue.tick(8.0).outcome == "expired"
    assert dialogue.pending_kind == "none"
    assert say(dialogue, "three", 9.0) == ["ignored"]


def test_a_command_can_be_repeated_for_a_minute():
    for seconds, result in ((59.0, "move left by three"), (60.0, "ignored")):
        dialogue = Dialogue(ROBOT)
        say(dialogue, "left three")
        assert say(dialogue, "go", 1.0 + seconds) == [result]


def woken() -> Grammar:
    return dataclasses.replace(ROBOT, controls=dataclasses.replace(ROBOT.controls, wake="marvin"))


def test_a_wake_word_opens_the_window():
    dialogue = Dialogue(woken())
    assert say(dialogue, "left three") == ["ignored", "ignored"]
    assert say(dialogue, "marvin left three", 5.0) == ["woken", "pending", "move left by three"]
    assert say(dialogue, "five", 9.0) == ["move left by five"]
    assert say(dialogue, "three", 18.0) == ["ignored"]
    assert say(dialogue, "stop", 30.0) == ["stop"]


def test_the_window_closes_after_so_many_words_until_it_is_quiet():
    grammar = dataclasses.replace(ROBOT, max_turns=4)
    dialogue = Dialogue(grammar)
    say(dialogue, "left three left three")
    assert not dialogue.window_open(3.5)
    assert say(dialogue, "left three left", 4.0) == ["ignored"] * 3
    assert say(dialogue, "stop", 7.0) == ["stop"]
    assert say(dialogue, "left three", 7.0 + 8.0) == ["pending", "move left by three"]


def test_the_window_closes_after_so_long_however_much_is_said():
    dialogue = Dialogue(dataclasses.replace(ROBOT, max_window_s=10.0))
    results = say(dialogue, "left three " * 8)
    assert results[:10] == ["pending", "move left by three"] * 5
    assert results[10:] == ["ignored"] * 6


def test_nothing_is_heard_while_muted_and_for_a_tail():
    dialogue = Dialogue(ROBOT)
    dialogue.mute(0.0)
    assert say(dialogue, "left stop three", 1.0) == ["ignored"] * 3
    dialogue.unmute(5.0, tail_s=0.5)
    assert say(dialogue, "stop", 5.4) == ["ignored"]
    assert say(dialogue, "stop", 5.5) == ["stop"]


def test_a_clock_that_was_set_back_leaves_nothing_to_rely_on():
    dialogue = Dialogue(ROBOT)
    say(dialogue, "left three", 1000.0)
    assert say(dialogue, "five", 500.0) == ["ignored"]
    assert say(dialogue, "left three", 501.0) == ["pending", "move left by three"]


def test_a_clock_that_jumped_ahead_lets_everything_expire():
    dialogue = Dialogue(ROBOT)
    dialogue.hear("left", 0.0)
    assert say(dialogue, "three", 7200.0) == ["ignored"]


@pytest.mark.parametrize("at_s", [math.nan, math.inf])
def test_a_time_that_is_none_is_refused(at_s):
    with pytest.raises(ValueError, match="must be finite"):
        Dialogue(ROBOT).hear("left", at_s)


@pytest.mark.parametrize("data", [{}, {"pending": 3}, {"now_s": "noon"}])
def test_a_damaged_state_is_refused(data):
    whole = State().to_dict()
    with pytest.raises(ValueError, match="damaged"):
        State.from_dict({**whole, **data} if data else data)


# Whatever is said

GRAMMARS = {"robot": ROBOT, "media": MEDIA, "woken": woken()}
TALK = st.lists(
    st.tuples(
        st.sampled_from([*ROBOT.words, "marvin", "nonsense", ""]),
        st.one_of(
            st.floats(0.0, 3.0), st.floats(-1e9, 1e9), st.sampled_from([8.0, 30.0, 60.0, -1.0])
        ),
    ),
    max_size=40,
)


@given(st.sampled_from(sorted(GRAMMARS)), TALK)
def test_no_words_and_gaps_raise_and_stop_always_stops(name, talk):
    dialogue, at_s = Dialogue(GRAMMARS[name]), 0.0
    for word, gap_s in talk:
        at_s += gap_s
        turn = dialogue.hear(word, at_s)
        for command in turn.commands:
            json.dumps(command.to_dict(), allow_nan=False)
            assert 0 <= command.confidence <= 1
            assert all(age_s >= 0 for age_s in command.remembered.values())
        if word == "stop":
            assert [c.intent for c in turn.commands][-1:] == ["stop"]
            assert dialogue.pending_kind == "none"
        assert dialogue.state.turns <= GRAMMARS[name].max_turns
        if dialogue.due_s is not None:
            assert math.isfinite(dialogue.due_s)


@given(st.sampled_from(sorted(GRAMMARS)), TALK, TALK)
def test_a_dialogue_goes_on_from_its_state_as_if_nothing_had_happened(name, before, after):
    one, at_s = Dialogue(GRAMMARS[name]), 0.0
    for word, gap_s in before:
        at_s += gap_s
        one.hear(word, at_s)
    saved = json.loads(json.dumps(one.state.to_dict(), allow_nan=False))
    other = Dialogue(GRAMMARS[name], State.from_dict(saved))
    assert other.state == one.state
    for word, gap_s in after:
        at_s += gap_s
        assert other.hear(word, at_s) == one.hear(word, at_s)


@given(st.lists(st.floats(0.01, 7.9), min_size=60, max_size=60))
def test_no_talk_keeps_the_window_open_for_ever(gaps):
    dialogue, at_s, carried_out = Dialogue(ROBOT), 0.0, []
    for index, gap_s in enumerate(gaps):
        at_s += gap_s
        turn = dialogue.hear(("left", "three")[index % 2], at_s)
        carried_out.append(bool(turn.commands))
    assert not all(carried_out[1::2])


def test_a_grammar_of_one_word_works():
    grammar = parse_grammar('[commands.lamp]\nsay = "lamp"\n')
    assert say(Dialogue(grammar), "lamp lamp stop") == ["lamp", "lamp", "ignored"]


# What fades, to look at


def test_the_follow_up_window_is_as_long_as_it_is_open():
    dialogue = Dialogue(ROBOT)
    assert dialogue.follow_up_s(0.0) == 0.0
    dialogue.hear("left", 10.0)
    for at_s in (10.0, 12.5, 17.9, 18.0, 30.0):
        assert dialogue.follow_up_s(at_s) == pytest.approx(max(0.0, 18.0 - at_s))
        assert dialogue.window_open(at_s) == (dialogue.follow_up_s(at_s) > 0)


def test_a_slot_can_be_recalled_exactly_for_as_long_as_it_may_be_left_out():
    for age_s, remembered in [(29.9, True), (30.0, False)]:
        dialogue = Dialogue(ROBOT)
        say(dialogue, "left three", 0.0, gap_s=1.0)
        (recall,) = dialogue.recalls(2.0)
        assert (recall.name, recall.text, recall.span_s) == ("direction", "left", 30.0)
        assert recall.age_s == pytest.approx(1.0)
        assert bool(dialogue.recalls(1.0 + age_s)) == remembered
        assert (say(dialogue, "five", 1.0 + age_s) == ["move left by five"]) == remembered


def test_a_command_is_repeatable_exactly_for_as_long_as_it_is_repeated():
    for age_s, repeated in [(59.9, True), (60.0, False)]:
        dialogue = Dialogue(ROBOT)
        assert dialogue.repeatable(0.0) is None
        say(dialogue, "left three", 0.0, gap_s=1.0)
        recall = dialogue.repeatable(1.0 + age_s)
        assert (recall is not None and recall.text == "move left by three") == repeated
        assert (say(dialogue, "go", 1.0 + age_s) == ["move left by three"]) == repeated


def test_nothing_is_repeatable_without_a_word_for_it():
    dialogue = Dialogue(MEDIA)
    assert say(dialogue, "one") == ["channel one"]
    assert dialogue.repeatable(1.0) is None


def test_what_is_pending_is_told_as_far_as_it_was_said():
    dialogue = Dialogue(ROBOT)
    assert dialogue.pending_text() == ""
    say(dialogue, "backward")
    assert dialogue.pending_text() == "move backward by"
    say(dialogue, "two", 1.0)
    assert dialogue.pending_text() == "move backward by two"
