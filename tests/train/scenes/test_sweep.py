"""The sweep over thresholds: the very events that the detector of the device would make."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tones
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="training needs harken[train]")

from harken.edge import Detector, DetectorConfig, Model, ModelError, Spotter
from harken.train.scenes.sweep import Clock, HeardScene, Listener, sweep_deltas, thresholds_at

LABELS = ("left", "right", "go", "unknown", "silence")
CLOCK = Clock(labels=LABELS, step_samples=640, overhang_samples=192)


@st.composite
def posteriors(draw) -> np.ndarray:
    """Streams in which words come, last, flicker and go: (m, 5) float32."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.integers(0, 300))
    lasting = draw(st.integers(1, 12))
    level = draw(st.floats(1.0, 8.0))
    anchors = rng.normal(0, level, (steps // lasting + 2, len(LABELS)))
    logits = np.repeat(anchors, lasting, axis=0)[:steps] + rng.normal(0, 1, (steps, len(LABELS)))
    logits = np.round(logits * 10) / 10  # as int8 gives them: with ties
    odds = np.exp(logits - logits.max(axis=1, keepdims=True, initial=0))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


THRESHOLDS = st.fixed_dictionaries(
    {word: st.floats(0.01, 1.0) | st.sampled_from([0.5, 1.0]) for word in LABELS[:3]}
)


@given(
    rows=posteriors(),
    thresholds=THRESHOLDS,
    smoothing_steps=st.integers(1, 6),
    refractory_ms=st.sampled_from([0, 1, 40, 41, 400, 1000]),
    talk_penalty=st.sampled_from([0.0, 0.1, 8.0, 30.0]),
)
def test_events_are_exactly_those_of_the_detector(
    rows, thresholds, smoothing_steps, refractory_ms, talk_penalty
):
    config = DetectorConfig(
        smoothing_steps=smoothing_steps,
        refractory_ms=refractory_ms,
        talk_penalty=talk_penalty,
        thresholds=thresholds,
    )
    detector = Detector(config, LABELS, CLOCK.step_samples, overhang_samples=192)
    expected = [(d.word, d.end_sample / 16_000, d.confidence) for d in detector.feed(rows)]
    heard = HeardScene(rows, config, CLOCK).heard()
    assert [(event.word, event.time_s, event.confidence) for event in heard] == expected


def test_the_streams_of_this_test_hold_words_that_fire_again_and_words_that_may_not():
    # Else the test above could pass on streams in which nothing happens.
    rows = np.zeros((40, 5), np.float32)
    rows[:, 4] = 0.2
    rows[[3, 4, 20, 30], 0] = 0.9
    rows[5:20, 0] = 0.5  # above half of 0.8: not armed again
    rows[21:30, 0] = 0.1
    config = DetectorConfig(smoothing_steps=1, refractory_ms=80, thresholds={"left": 0.8})
    heard = HeardScene(rows, config, CLOCK).heard()
    assert [event.time_s for event in heard] == [CLOCK.decided_s(3), CLOCK.decided_s(30)]


@pytest.mark.parametrize("pause_s", [0.1, 0.7])
def test_a_model_hears_in_a_scene_what_it_hears_live(tones_model: Model, pause_s):
    pcm = tones.stream("low", "high", "low", pause_s=pause_s)
    live = Spotter(tones_model).feed(pcm)
    assert live
    listener = Listener(tones_model)
    for _ in range(2):  # every scene begins with a reset
        scene = HeardScene(
            listener.posteriors(pcm), tones_model.manifest.detector, Clock.of(tones_model)
        )
        assert [(event.word, event.time_s) for event in scene.heard()] == [
            (event.word, event.end_s) for event in live
        ]


def test_a_model_that_listens_at_another_rate_cannot_be_measured(tones_model: Model):
    manifest = tones_model.manifest
    front_end = dataclasses.replace(manifest.front_end, sample_rate_hz=8000, f_max_hz=4000)
    other = dataclasses.replace(manifest, front_end=front_end)
    with pytest.raises(ModelError, match="sample_rate_hz is 8000; scenes are at 16000"):
        Listener(dataclasses.replace(tones_model, manifest=other))


# The range of thresholds


def test_delta_0_is_the_model_as_it_ships():
    thresholds = {"left": 0.123456789, "right": 1.0}
    assert thresholds_at(thresholds, 0.0) == thresholds


def test_a_delta_moves_the_log_odds_of_every_word():
    moved = thresholds_at({"left": 0.5, "right": 0.8}, 1.0)
    assert moved["left"] == pytest.approx(1 / (1 + np.exp(-1)))
    assert np.log(moved["right"] / (1 - moved["right"])) == pytest.approx(np.log(4) + 1)


@given(
    thresholds=st.dictionaries(
        st.sampled_from(LABELS[:3]), st.floats(1e-9, 1.0, exclude_min=True), min_size=1
    )
)
def test_a_sweep_reaches_from_everything_to_nothing_by_way_of_the_model_as_it_ships(thresholds):
    deltas = sweep_deltas(thresholds, points=60)
    assert len(deltas) == 60
    assert 0.0 in deltas
    assert list(deltas) == sorted(set(deltas))
    lowest, highest = thresholds_at(thresholds, deltas[0]), thresholds_at(thresholds, deltas[-1])
    assert max(lowest.values()) < 0.05
    assert min(highest.values()) > 1 - 1e-6
    for values in (lowest, highest):  # what a detector takes
        DetectorConfig(smoothing_steps=1, refractory_ms=0, thresholds=values)
