"""Scoring: which events are right, why the others are wrong, and what is missed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="training needs harken[train]")

from harken.train.scenes.scoring import TOLERANCE_S, FalseAccepts, Heard, Misses, Tally, match
from harken.train.scenes.truth import Scene, Utterance

WORDS = ("left", "right", "go")


def said(
    word: str, start_s: float, end_s: float, *, whole: bool = True, sure: bool = True
) -> Utterance:
    return Utterance(start_s=start_s, end_s=end_s, word=word, whole=whole, sure=sure)


def scene(*utterances: Utterance, seconds: float = 60.0) -> Scene:
    return Scene(
        name="scene",
        seconds=seconds,
        utterances=utterances,
        negative=False,
        conditions={},
        recordings=(),
        render=lambda: np.zeros(round(seconds * 16_000), np.int16),
    )


def heard(*events: tuple[str, float]) -> list[Heard]:
    return [Heard(word=word, time_s=time_s) for word, time_s in events]


def reasons(matches) -> list[tuple[str, str, str | None]]:
    """Of each false accept what was heard, why it is wrong, and what was said."""
    return [
        (wrong.heard.word, wrong.reason, wrong.utterance and wrong.utterance.word)
        for wrong in matches.false_accepts
    ]


# Words that nobody is sure of


@pytest.mark.parametrize("event", [(), ("left",), ("left", "left"), ("right",)])
def test_a_word_that_nobody_is_sure_of_counts_nowhere(event):
    unsure = scene(said("left", 1.0, 1.5, sure=False))
    matches = match(unsure, heard(*((word, 1.6) for word in event)), WORDS)
    assert matches.hits == matches.misses == matches.false_accepts == ()


def test_its_neighbours_count():
    row = scene(said("left", 1.0, 1.4), said("left", 1.4, 1.8, sure=False), said("right", 1.8, 2.2))
    matches = match(row, heard(("left", 1.5), ("left", 1.9), ("go", 2.3)), WORDS)
    assert [hit.heard.time_s for hit in matches.hits] == [1.5]
    assert [(miss.utterance.word, miss.instead.word) for miss in matches.misses] == [
        ("right", "go")
    ]
    assert reasons(matches) == [("go", "confusion", "right")]


# Right events


@pytest.mark.parametrize("time_s", [1.0, 1.3, 1.5, 1.5 + TOLERANCE_S])
def test_a_word_may_be_named_while_it_is_said_and_shortly_after(time_s):
    matches = match(scene(said("left", 1.0, 1.5)), heard(("left", time_s)), WORDS)
    (hit,) = matches.hits
    assert hit.latency_s == pytest.approx(time_s - 1.5)
    assert matches.misses == matches.false_accepts == ()


@pytest.mark.parametrize("time_s", [0.99, 1.51 + TOLERANCE_S])
def test_before_and_long_after_a_word_its_name_is_wrong(time_s):
    matches = match(scene(said("left", 1.0, 1.5)), heard(("left", time_s)), WORDS)
    assert matches.hits == ()
    assert [miss.utterance.word for miss in matches.misses] == ["left"]
    assert reasons(matches) == [("left", "nothing", None)]


def test_a_word_said_twice_in_quick_succession_may_be_named_twice():
    twice = scene(said("left", 1.0, 1.4), said("left", 1.5, 1.9))
    matches = match(twice, heard(("left", 1.6), ("left", 1.9)), WORDS)
    assert [(hit.utterance.start_s, hit.heard.time_s) for hit in matches.hits] == [
        (1.0, 1.6),
        (1.5, 1.9),
    ]
    assert matches.false_accepts == ()


def test_an_event_names_what_ended_first_so_that_the_next_can_name_the_rest():
    twice = scene(said("left", 1.0, 1.4), said("left", 1.5, 1.9))
    # Were the first event given to the second word, the second event would be too late for it.
    matches = match(twice, heard(("left", 1.95), ("left", 2.4)), WORDS)
    assert len(matches.hits) == 2


def test_events_may_come_in_any_order():
    two = scene(said("left", 1.0, 1.4), said("right", 3.0, 3.4))
    assert len(match(two, heard(("right", 3.4), ("left", 1.4)), WORDS).hits) == 2


# False accepts


def test_a_second_event_for_a_word_said_once_is_a_false_accept():
    matches = match(scene(said("left", 1.0, 1.5)), heard(("left", 1.4), ("left", 1.9)), WORDS)
    assert len(matches.hits) == 1
    assert reasons(matches) == [("left", "again", "left")]


def test_a_keyword_taken_for_another_is_a_miss_and_a_false_accept():
    matches = match(scene(said("left", 1.0, 1.5)), heard(("right", 1.4)), WORDS)
    assert reasons(matches) == [("right", "confusion", "left")]
    (miss,) = matches.misses
    assert miss.utterance.word == "left"
    assert miss.instead is not None
    assert miss.instead.word == "right"


def test_a_keyword_that_was_heard_can_be_confused_besides():
    matches = match(scene(said("left", 1.0, 1.5)), heard(("right", 1.2), ("left", 1.5)), WORDS)
    assert len(matches.hits) == 1
    assert matches.misses == ()
    assert reasons(matches) == [("right", "confusion", "left")]


@pytest.mark.parametrize(
    ("utterance", "reason"),
    [
        (said("bed", 1.0, 1.5), "unknown word"),
        (said("left", 1.0, 1.5, whole=False), "piece"),
        (said("right", 1.0, 1.5, whole=False), "piece"),
        (said("bed", 1.0, 1.5, whole=False), "piece"),
    ],
)
def test_what_is_no_whole_keyword_must_not_be_named_and_cannot_be_missed(utterance, reason):
    matches = match(scene(utterance), heard(("left", 1.4)), WORDS)
    assert matches.hits == matches.misses == ()
    assert reasons(matches) == [("left", reason, utterance.word)]
    assert match(scene(utterance), [], WORDS).misses == ()


def test_a_wrong_event_is_blamed_on_the_word_that_was_missed():
    two = scene(said("left", 1.0, 1.5), said("go", 1.6, 1.9))
    matches = match(two, heard(("right", 1.65), ("go", 1.95)), WORDS)
    assert reasons(matches) == [("right", "confusion", "left")]
    assert [(miss.utterance.word, miss.instead and miss.instead.word) for miss in matches.misses]


def test_a_wrong_event_is_blamed_on_what_is_being_said_if_nothing_was_missed():
    two = scene(said("left", 1.0, 1.5), said("bed", 1.55, 2.0))
    matches = match(two, heard(("left", 1.5), ("right", 1.9)), WORDS)
    assert reasons(matches) == [("right", "unknown word", "bed")]


def test_in_a_scene_without_words_every_event_is_wrong():
    matches = match(scene(), heard(("left", 1.4), ("go", 30.0)), WORDS)
    assert reasons(matches) == [("left", "nothing", None), ("go", "nothing", None)]


# What always holds


@st.composite
def scenes(draw) -> Scene:
    """Utterances that do not overlap, with gaps down to none."""
    utterances, time_s = [], 0.0
    for _ in range(draw(st.integers(0, 8))):
        start_s = time_s + draw(st.integers(0, 20)) / 10
        end_s = start_s + draw(st.integers(1, 8)) / 10
        word = draw(st.sampled_from((*WORDS, "bed")))
        utterances.append(said(word, start_s, end_s, whole=draw(st.booleans())))
        time_s = end_s
    return scene(*utterances)


EVENTS = st.lists(
    st.builds(Heard, word=st.sampled_from(WORDS), time_s=st.integers(0, 250).map(lambda n: n / 10)),
    max_size=12,
)


@given(scene=scenes(), events=EVENTS)
def test_everything_said_and_heard_is_counted_once(scene, events):
    matches = match(scene, events, WORDS)
    keywords = [u for u in scene.utterances if u.whole and u.word in WORDS]
    found = [hit.utterance for hit in matches.hits] + [miss.utterance for miss in matches.misses]
    assert sorted(found, key=lambda u: u.start_s) == keywords
    all_heard = [hit.heard for hit in matches.hits] + [w.heard for w in matches.false_accepts]
    assert sorted(all_heard, key=lambda e: (e.time_s, e.word)) == sorted(
        events, key=lambda e: (e.time_s, e.word)
    )


@given(scene=scenes(), events=EVENTS)
def test_no_other_way_to_match_has_more_hits(scene, events):
    def may_name(event: Heard, utterance: Utterance) -> bool:
        in_time = utterance.start_s <= event.time_s <= utterance.end_s + TOLERANCE_S
        return in_time and utterance.whole and utterance.word == event.word

    owner: dict[int, Heard] = {}  # Kuhn's algorithm: paths that give one more

    def give(event: Heard, tried: set[int]) -> bool:
        for index, utterance in enumerate(scene.utterances):
            if index not in tried and may_name(event, utterance):
                tried.add(index)
                if index not in owner or give(owner[index], tried):
                    owner[index] = event
                    return True
        return False

    most = sum(give(event, set()) for event in events)
    assert len(match(scene, events, WORDS).hits) == most


# Counts


def test_a_tally_counts_over_scenes():
    first = scene(said("left", 1.0, 1.5), said("go", 4.0, 4.3), seconds=1800)
    second = scene(said("left", 1.0, 1.4), said("bed", 5.0, 5.5), seconds=1800)
    tally = Tally.of(
        [
            (first, match(first, heard(("left", 1.6), ("right", 4.2)), WORDS)),
            (second, match(second, heard(("left", 1.7), ("go", 5.5), ("go", 40.0)), WORDS)),
        ]
    )
    assert tally.misses() == Misses(missed=1, said=3)
    assert tally.misses("go") == Misses(missed=1, said=1)
    assert tally.misses("right") == Misses(missed=0, said=0)
    assert dict(tally.instead) == {("go", "right"): 1}
    assert tally.accepts() == FalseAccepts(count=3, hours=1.0)
    assert tally.accepts(word="go") == FalseAccepts(count=2, hours=1.0)
    assert tally.accepts(reason="nothing") == FalseAccepts(count=1, hours=1.0)
    assert tally.latency_quantiles_s(0.0, 0.5, 1.0) == pytest.approx((0.1, 0.2, 0.3))


def test_a_tally_of_nothing_knows_no_rates():
    tally = Tally.of([])
    assert tally.misses().rate is tally.misses().interval is None
    assert tally.accepts().per_hour is tally.accepts().interval is None
    assert tally.latency_quantiles_s(0.5) is None
    assert tally.misses().to_dict()["miss_rate_95_low"] is None
    assert tally.accepts().to_dict()["false_accepts_per_hour"] is None
