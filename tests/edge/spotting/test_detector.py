"""The detector: one detection for a word spoken once, whatever the posteriors do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.edge import Detection, Detector, DetectorConfig
from harken.edge.spotting.detector import FAINT_S, TALK_S, Faint, Talk, smooth

LABELS = ("left", "right", "unknown", "silence")
STEP = 640  # samples: 40 ms
STEP_MS = 40


def config(
    *,
    smoothing_steps: int = 1,
    refractory_ms: int = 0,
    talk_penalty: float = 0.0,
    left: float = 0.8,
    right: float = 0.8,
) -> DetectorConfig:
    return DetectorConfig(
        smoothing_steps=smoothing_steps,
        refractory_ms=refractory_ms,
        talk_penalty=talk_penalty,
        thresholds={"left": left, "right": right},
    )


def posteriors(*, left=0.0, right=0.0, unknown=0.0) -> np.ndarray:
    """Steps with these posteriors, what is left over being silence: (m, 4) float32."""
    rows = np.broadcast_arrays(*np.atleast_1d(left, right, unknown))
    return np.stack([*rows, 1 - sum(rows)], axis=1).astype(np.float32)


def words(detections: list[Detection]) -> list[tuple[str, int]]:
    return [(detection.word, detection.step) for detection in detections]


# When a word fires


def test_a_word_fires_at_the_step_where_it_reaches_its_threshold():
    detector = Detector(config(left=0.8), LABELS, STEP)
    assert words(detector.feed(posteriors(left=[0, 0.5, 0.79, 0.81, 0.9]))) == [("left", 3)]


def test_each_word_has_its_own_threshold():
    detector = Detector(config(left=0.9, right=0.6), LABELS, STEP)
    assert detector.feed(posteriors(left=[0, 0.7, 0.7, 0])) == []
    assert words(detector.feed(posteriors(right=[0, 0.7, 0.7, 0]))) == [("right", 5)]


def test_a_word_fires_only_as_the_largest_of_all_labels():
    detector = Detector(config(left=0.3), LABELS, STEP)
    assert detector.feed(posteriors(left=[0.4, 0.4], unknown=[0.5, 0.6])) == []
    assert words(detector.feed(posteriors(left=0.4, unknown=0.2, right=0.3))) == [("left", 2)]


def test_unknown_and_silence_never_fire():
    detector = Detector(config(left=0.1, right=0.1), LABELS, STEP)
    assert detector.feed(posteriors(unknown=[1.0] * 50 + [0.0] * 50)) == []


def test_the_confidence_is_the_smoothed_posterior_that_decided():
    detector = Detector(config(smoothing_steps=2, left=0.7), LABELS, STEP)
    (detection,) = detector.feed(posteriors(left=[0, 0.6, 0.9, 1.0]))
    assert detection.confidence == pytest.approx((0.6 + 0.9) / 2)


# One detection a word


def test_a_word_that_lasts_fires_once():
    detector = Detector(config(), LABELS, STEP)
    assert words(detector.feed(posteriors(left=[0.0] + [0.95] * 100))) == [("left", 1)]


def test_a_word_that_flickers_about_its_threshold_fires_once():
    detector = Detector(config(left=0.8), LABELS, STEP)
    flicker = [0.9, 0.7, 0.85, 0.41, 0.95, 0.5] * 20
    assert words(detector.feed(posteriors(left=flicker))) == [("left", 0)]


def test_a_word_fires_again_after_it_fell_below_half_its_threshold():
    detector = Detector(config(left=0.8), LABELS, STEP)
    twice = [0.9, 0.39, 0.9]
    assert words(detector.feed(posteriors(left=twice))) == [("left", 0), ("left", 2)]


def test_a_word_may_follow_another_though_the_first_lingers():
    detector = Detector(config(left=0.4, right=0.4), LABELS, STEP)
    found = detector.feed(posteriors(left=[0.9, 0.45, 0.45, 0.5], right=[0, 0.5, 0.5, 0.2]))
    assert words(found) == [("left", 0), ("right", 1)]


# Refractory time


@pytest.mark.parametrize(
    ("refractory_ms", "quiet_steps"), [(0, 1), (40, 1), (41, 2), (200, 5), (201, 6)]
)
def test_no_word_fires_for_the_refractory_time(refractory_ms, quiet_steps):
    detector = Detector(config(refractory_ms=refractory_ms), LABELS, STEP)
    found = detector.feed(posteriors(left=[0.9] + [0.0] * 20, right=[0.0] + [0.9] * 20))
    assert words(found) == [("left", 0), ("right", quiet_steps)]
    elapsed_ms = quiet_steps * STEP_MS
    assert elapsed_ms >= refractory_ms


def test_a_word_that_came_and_went_in_the_refractory_time_is_not_heard():
    detector = Detector(config(refractory_ms=400), LABELS, STEP)
    found = detector.feed(posteriors(left=[0.9] + [0.0] * 20, right=[0, 0.9, 0.9] + [0.0] * 18))
    assert words(found) == [("left", 0)]


def test_the_refractory_time_follows_the_sample_rate():
    detector = Detector(config(refractory_ms=200), LABELS, STEP, sample_rate_hz=8000)
    found = detector.feed(posteriors(left=[0.9] + [0.0] * 9, right=[0.0] + [0.9] * 9))
    assert words(found) == [("left", 0), ("right", 3)]  # steps of 80 ms


# Where it was


def test_a_detection_says_where_its_evidence_began_and_when_it_was_decided():
    detector = Detector(config(left=0.8), LABELS, STEP, overhang_samples=192)
    # A tenth of the threshold, 0.08, is passed for good at step 3.
    (detection,) = detector.feed(posteriors(left=[0, 0.1, 0.07, 0.09, 0.5, 0.85]))
    assert detection.step == 5
    assert detection.start_sample == 3 * STEP
    assert detection.end_sample == 6 * STEP + 192


def test_positions_count_from_the_last_reset():
    detector = Detector(config(), LABELS, STEP)
    detector.feed(posteriors(left=[0.0] * 1000))
    (late,) = detector.feed(posteriors(left=0.9))
    assert (late.step, late.start_sample) == (1000, 1000 * STEP)
    detector.reset()
    (early,) = detector.feed(posteriors(left=0.9))
    assert (early.step, early.start_sample) == (0, 0)


def test_a_reset_forgets_all():
    steps = posteriors(left=[0.9] * 5)
    detector = Detector(config(smoothing_steps=3, refractory_ms=1000), LABELS, STEP)
    first = detector.feed(steps)
    assert len(first) == 1
    assert detector.feed(steps) == []
    detector.reset()
    assert detector.feed(steps) == first


# Smoothing


def test_smoothing_is_the_mean_of_the_last_steps_with_zeros_before_the_first():
    smoothed = smooth(posteriors(left=[0.3, 0.6, 0.9, 0.0]), 3)
    np.testing.assert_allclose(smoothed[:, 0], [0.1, 0.3, 0.6, 0.5], rtol=1e-6)
    assert smoothed.dtype == np.float32


def test_a_single_loud_step_is_not_enough():
    detector = Detector(config(smoothing_steps=5, left=0.5), LABELS, STEP)
    assert detector.feed(posteriors(left=[1.0, 0.0, 1.0, 0.0, 0.0, 0.0])) == []


def test_smoothing_does_not_drift():
    hours = np.tile(posteriors(left=[0.1, 0.7, 0.3]), (100_000, 1))
    smoothed = smooth(hours, 3)
    np.testing.assert_array_equal(smoothed[2::3], np.tile(smoothed[2], (100_000, 1)))


# Chunks


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 40), min_size=1).filter(any),
    st.integers(1, 6),
    st.integers(0, 500),
)
def test_how_posteriors_are_chunked_makes_no_difference(seed, sizes, smoothing, refractory_ms):
    rng = np.random.default_rng(seed)
    logits = np.cumsum(rng.normal(size=(300, 4)), axis=0)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    steps = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    settings_ = config(smoothing_steps=smoothing, refractory_ms=refractory_ms, left=0.5, right=0.5)

    whole = Detector(settings_, LABELS, STEP).feed(steps)
    detector, found, start, index = Detector(settings_, LABELS, STEP), [], 0, 0
    while start < len(steps):
        size = sizes[index % len(sizes)]
        found += detector.feed(steps[start : start + size])
        start, index = start + size, index + 1
    assert found == whole


def test_the_posteriors_are_left_alone():
    steps = posteriors(left=[0.9] * 20)
    steps.flags.writeable = False
    Detector(config(smoothing_steps=3), LABELS, STEP).feed(steps)


# Talk


def talked(seconds: float) -> np.ndarray:
    """Somebody who talks for so long."""
    return posteriors(unknown=np.ones(round(seconds * 1000 / STEP_MS)))


def test_a_word_after_talk_takes_more_evidence():
    said = posteriors(left=[0.9, 0.0])
    assert words(Detector(config(talk_penalty=4.0), LABELS, STEP).feed(said)) == [("left", 0)]
    detector = Detector(config(talk_penalty=4.0), LABELS, STEP)
    assert detector.feed(talked(10)) == []
    assert detector.feed(said) == []
    assert len(detector.feed(posteriors(left=[0.999]))) == 1, "but not more than there can be"


def test_talk_is_forgotten_in_time():
    detector = Detector(config(talk_penalty=4.0), LABELS, STEP)
    detector.feed(talked(10))
    detector.feed(posteriors(left=np.zeros(round(4 * TALK_S * 1000 / STEP_MS))))
    assert len(detector.feed(posteriors(left=[0.9]))) == 1


def test_a_reset_forgets_talk():
    detector = Detector(config(talk_penalty=4.0), LABELS, STEP)
    detector.feed(talked(10))
    detector.reset()
    assert len(detector.feed(posteriors(left=[0.9]))) == 1


def test_words_are_not_talk():
    detector = Detector(config(talk_penalty=20.0), LABELS, STEP)
    heard = detector.feed(posteriors(left=np.tile([0.0, 0.9], 100)))
    assert len(heard) == 100


def test_no_talk_makes_a_word_impossible():
    detector = Detector(config(talk_penalty=30.0, left=1.0), LABELS, STEP)
    detector.feed(talked(60))
    assert words(detector.feed(posteriors(left=[1.0]))) == [("left", 1500)]


def test_a_detection_forgets_talk():
    said = posteriors(left=[0.9, 0.0, 0.0])
    sure = posteriors(left=[0.9999, 0.0, 0.0])
    between = np.zeros((20, len(LABELS)), np.float32)
    told = np.concatenate((talked(10), said, between, sure, between, said))
    detector = Detector(config(talk_penalty=6.0), LABELS, STEP)
    at_once = words(detector.feed(told))
    steps = [len(talked(10)) + 3 + 20, len(told) - 3]
    assert at_once == [("left", step) for step in steps], "the last one would have been too soft"
    detector.reset()
    assert words(d for row in told for d in detector.feed(row[None])) == at_once


def test_talk_is_two_exponential_averages_and_costs_log_odds():
    talk = Talk(6.0, LABELS, STEP_MS / 1000)
    rows = posteriors(left=0.5, unknown=np.full(100, 0.5))
    kept = np.exp(-STEP_MS / 1000 / TALK_S)  # of each average, at each step
    level = 0.5 * (1 - kept**100 - 100 * (1 - kept) * kept**100)
    left = talk.discount(rows, rows)[-1, 0]
    assert talk.level == pytest.approx(level)
    assert np.log(left / (1 - left)) == pytest.approx(-6.0 * level, rel=1e-4)


def test_without_a_label_for_talk_there_is_none():
    labels = ("left", "right", "silence")
    talk, rows = Talk(6.0, labels, 0.04), np.full((50, 3), 0.3, np.float32)
    assert talk.discount(rows, rows) is rows


@given(cuts=st.lists(st.integers(0, 60), max_size=5), seed=st.integers(0, 2**32 - 1))
def test_how_the_steps_are_divided_makes_no_difference_to_talk(cuts, seed):
    rows = np.random.default_rng(seed).dirichlet([0.3] * 4, 60).astype(np.float32)
    whole, parts = Talk(8.0, LABELS, 0.04), Talk(8.0, LABELS, 0.04)
    expected = whole.discount(rows, rows)
    pieces = np.split(rows, sorted(cuts))
    assert np.array_equal(np.concatenate([parts.discount(p, p) for p in pieces]), expected)


# Faint words


class Knows:
    """A context that knows nothing, and notes what it is told."""

    def __init__(self, added: float = 0.0) -> None:
        self.heard: list[Detection] = []
        self._added = np.full(len(LABELS), added, np.float32)

    def log_odds(self, sample: int) -> np.ndarray:
        return self._added

    def accept(self, detection: Detection) -> None:
        self.heard.append(detection)

    def reset(self) -> None:
        self.heard.clear()


RISE = [0.3, 0.5, 0.6, 0.5, 0.3]
"""Of a word that stays below its threshold of 0.8."""


def spoken(*, left=0.0, right=0.0) -> np.ndarray:
    """Steps with these posteriors, what is left over being unknown where a word is likely."""
    steps = posteriors(left=left, right=right)
    said = steps[:, :2].any(axis=1)
    steps[said, 2], steps[said, 3] = steps[said, 3], 0.0
    return steps


def faint(
    steps: np.ndarray, *, context: Knows | None = None, **changes: object
) -> list[tuple[str, str | None]]:
    """The detections, each with the faint word before it."""
    detector = Detector(config(**changes), LABELS, STEP, context=context or Knows())
    return [(d.word, d.faint and d.faint.word) for d in detector.feed(steps)]


def after(pause: int, *, said: list[float] = RISE) -> np.ndarray:
    """ "left", faintly; a pause; "right", clearly."""
    return spoken(left=[*said, *[0] * (pause + 2)], right=[*[0] * (len(said) + pause), 0.9, 0.9])


def test_a_detection_brings_along_a_word_that_almost_fired():
    context = Knows()
    detector = Detector(config(), LABELS, STEP, context=context, overhang_samples=192)
    (heard,) = detector.feed(after(20))
    assert (heard.word, heard.step) == ("right", 25)
    assert heard.faint == Faint(
        word="left", confidence=pytest.approx(0.6), end_sample=3 * STEP + 192, step=2
    )
    assert context.heard == [heard]


def test_without_a_context_no_word_is_faint():
    detector = Detector(config(), LABELS, STEP)
    assert [d.faint for d in detector.feed(after(20))] == [None]
    ignored = dataclasses.replace(config(), context_weight=0.0)
    detector = Detector(ignored, LABELS, STEP, context=Knows())
    assert [d.faint for d in detector.feed(after(20))] == [None]


def test_a_faint_word_needs_half_its_threshold():
    assert faint(after(20, said=[0.2, 0.39, 0.2])) == [("right", None)]
    assert faint(after(20, said=[0.2, 0.41, 0.2])) == [("right", "left")]


def test_what_is_half_silence_is_no_faint_word():
    """It is noise: nobody who speaks is silent."""
    noise, fires = spoken(left=[0.3, 0.5, 0.5, 0.3, 0, 0, 0, 0]), spoken(right=[0.9, 0.9])
    assert faint(np.concatenate((noise, fires))) == [("right", "left")]
    noise[:4, 2:] = noise[:4, 2:] / 2 + [0.0, 0.25]
    assert faint(np.concatenate((noise, fires))) == [("right", None)]
    noise[2, 2:] = [0.28, 0.22]
    assert faint(np.concatenate((noise, fires))) == [("right", "left")]


def test_a_faint_word_is_forgotten_after_three_seconds():
    steps = int(FAINT_S * 16_000) // STEP
    assert faint(after(steps - 3)) == [("right", "left")]  # its peak is three steps earlier
    assert faint(after(steps - 2)) == [("right", None)]


def test_a_faint_word_of_the_pause_before_counts_once():
    again = np.concatenate((after(10), posteriors(left=[0] * 20), after(70)[5:]))
    assert faint(again) == [("right", "left"), ("right", None)]


def test_the_clearest_faint_word_counts_relative_to_its_threshold():
    two = spoken(left=[0.5, 0, 0, 0, 0, 0, 0], right=[0, 0, 0.6, 0, 0, 0, 0])
    fires = posteriors(left=[0, 0, 0.9])
    assert faint(np.concatenate((two, fires)), left=0.7, right=0.9) == [("left", "left")]
    assert faint(np.concatenate((two, fires)), left=0.8, right=0.9) == [("left", "right")]


def test_the_beginning_of_a_word_is_no_word_before_it():
    """It falls below half of its threshold in the middle, but never to nothing."""
    assert faint(spoken(left=[0, 0.5, 0.6, 0.3, 0.3, 0.5, 0.9])) == [("left", None)]
    assert faint(spoken(left=[0, 0.5, 0.6, 0.0, 0.0, 0.5, 0.9])) == [("left", "left")]


def test_what_is_left_of_a_word_that_fired_is_not_faint():
    lingers = spoken(left=[0.9, 0.7, 0.6, 0.5, 0.45, 0.6, 0.1, 0, 0, 0])
    assert faint(np.concatenate((lingers, after(5)[5:]))) == [("left", None), ("right", None)]


def test_nothing_is_faint_in_the_refractory_time():
    fires = spoken(left=[0.9, 0, 0, *RISE, 0, 0])
    steps = np.concatenate((fires, after(5)[5:]))
    assert faint(steps) == [("left", None), ("right", "left")]
    assert faint(steps, refractory_ms=10 * STEP_MS) == [("left", None), ("right", None)]


def test_the_context_makes_a_faint_word_clearer():
    said = [0.1, 0.3, 0.1]
    assert faint(after(20, said=said)) == [("right", None)]
    assert faint(after(20, said=said), context=Knows(0.9)) == [("right", "left")]


def test_a_reset_forgets_a_faint_word():
    detector = Detector(config(), LABELS, STEP, context=Knows())
    detector.feed(after(20)[:-2])
    detector.reset()
    assert [d.faint for d in detector.feed(after(0)[5:])] == [None]


@pytest.mark.parametrize("pause", [1, 20, 80])
def test_rest_forgets_a_faint_word_as_silence_does(pause):
    steps = after(pause)
    silent = Detector(config(smoothing_steps=3), LABELS, STEP, context=Knows())
    rests = Detector(config(smoothing_steps=3), LABELS, STEP, context=Knows())
    heard = silent.feed(np.concatenate((steps, steps[-1:])))
    rests.feed(steps[:5])
    assert rests.rest(pause) == []
    assert rests.feed(np.concatenate((steps[5 + pause :], steps[-1:]))) == heard
    assert heard


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(1, 40), max_size=10), seed=st.integers(0, 999))
def test_how_the_steps_are_divided_makes_no_difference_to_faint_words(cuts, seed):
    rng = np.random.default_rng(seed)
    steps = np.repeat(rng.dirichlet([0.3] * len(LABELS), 60), 3, axis=0).astype(np.float32)
    whole = Detector(config(left=0.9, right=0.9), LABELS, STEP, context=Knows()).feed(steps)
    divided = Detector(config(left=0.9, right=0.9), LABELS, STEP, context=Knows())
    pieces = np.split(steps, np.minimum(np.cumsum(cuts), len(steps)).astype(int))
    assert [d for piece in pieces for d in divided.feed(piece)] == whole
