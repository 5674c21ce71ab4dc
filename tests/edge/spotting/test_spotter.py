"""The spotter: samples in, words out, once each, and the same however the samples arrive."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import tones
from conftest import DATA

from harken.edge import AudioError, DetectorConfig, Event, ModelError, Spotter

WORDS = ["low", "high", "high", "low", "low", "high"]


@pytest.fixture
def spotter(tones_model) -> Spotter:
    return Spotter(tones_model)


def hear(spotter: Spotter, samples: np.ndarray, size: int | None = None) -> list[Event]:
    """What is heard when `samples` come in chunks of `size`; latency, which varies, set to 0."""
    size = size or len(samples)
    events = [
        event
        for start in range(0, len(samples), size)
        for event in spotter.feed(samples[start : start + size])
    ]
    return [dataclasses.replace(event, latency_s=0.0) for event in events]


def said(events: list[Event]) -> list[str]:
    return [event.word for event in events]


# What is heard


@pytest.mark.parametrize("level", [0.01, 0.05, 0.2, 0.5], ids=lambda level: f"level {level}")
def test_each_word_is_heard_once(spotter, level):
    assert said(hear(spotter, tones.stream(*WORDS, level=level))) == WORDS


def test_noise_and_silence_are_no_words(spotter):
    noise = np.concatenate([tones.hiss(0.5, seed=seed) for seed in range(10)])
    assert hear(spotter, tones.to_int16(noise)) == []
    assert hear(spotter, np.zeros(5 * tones.RATE, np.int16)) == []
    assert spotter.samples_heard == 10 * tones.RATE
    assert said(hear(spotter, tones.stream("low"))) == ["low"], "or it may hear nothing at all"


def test_an_event_says_when_the_word_was(spotter):
    events = hear(spotter, tones.stream(*WORDS))
    for event, start in zip(events, tones.starts(len(WORDS)), strict=True):
        assert abs(event.start_sample - start) <= 2 * 640
        assert start < event.end_sample <= start + tones.BURST_S * tones.RATE
        assert event.start_s == event.start_sample / 16_000
        assert event.end_s == event.end_sample / 16_000
        assert 0.7 <= event.confidence <= 1


def test_an_event_comes_with_the_sample_that_decides_it(spotter):
    samples = tones.stream("low")
    (event,) = hear(spotter, samples)
    spotter.reset()
    assert spotter.feed(samples[: event.end_sample - 1]) == []
    assert said(spotter.feed(samples[event.end_sample - 1 : event.end_sample])) == ["low"]


def test_latency_counts_from_the_arrival_of_the_samples(spotter):
    samples = tones.stream("low")
    (event,) = spotter.feed(samples)
    assert 0 < event.latency_s < 5
    spotter.reset()
    (event,) = spotter.feed(samples, arrived_at=time.monotonic() - 100)
    assert 100 < event.latency_s < 105


def test_an_event_is_a_line_of_json(spotter):
    (event,) = spotter.feed(tones.stream("low"))
    line = json.loads(json.dumps(event.to_dict()))
    assert list(line) == [field.name for field in dataclasses.fields(Event)]
    assert line["word"] == "low"
    assert line["end_sample"] == event.end_sample
    assert line["confidence"] == pytest.approx(event.confidence, abs=5e-5)


def test_thresholds_can_be_given_in_place_of_those_of_the_manifest(tones_model):
    deaf_to_high = DetectorConfig(
        smoothing_steps=5, refractory_ms=300, thresholds={"low": 0.5, "high": 1.0}
    )
    spotter = Spotter(tones_model, detector=deaf_to_high)
    assert said(hear(spotter, tones.stream("high", "low", "high"))) == ["low"]


# However the samples arrive


@pytest.mark.parametrize("size", [160, 320, 333, 641, 16_000])
def test_chunks_make_no_difference(spotter, size):
    samples = tones.stream(*WORDS)
    whole = hear(spotter, samples)
    assert len(whole) == len(WORDS)
    posteriors = spotter.posteriors
    spotter.reset()
    assert hear(spotter, samples, size) == whole
    np.testing.assert_array_equal(spotter.posteriors, posteriors)


def test_sample_by_sample_is_the_same_as_all_at_once(spotter):
    samples = tones.stream("low", "high")
    whole = hear(spotter, samples)
    assert said(whole) == ["low", "high"]
    spotter.reset()
    assert hear(spotter, samples, 1) == whole


def test_int16_and_float32_are_the_same(spotter):
    samples = tones.stream(*WORDS)
    as_int16 = hear(spotter, samples)
    spotter.reset()
    assert hear(spotter, samples.astype(np.float32) / 32768) == as_int16


def test_a_reset_starts_over(spotter):
    samples = tones.stream(*WORDS)
    first = hear(spotter, samples)
    hear(spotter, samples[:12_345])
    spotter.reset()
    assert spotter.samples_heard == 0
    assert not spotter.posteriors.any()
    assert hear(spotter, samples) == first


@pytest.mark.parametrize("lost_s", [0.04, 0.5, 3.0])
def test_lost_sound_counts_for_positions(spotter, lost_s):
    samples = tones.stream("low", "high")
    at, lost = tones.starts(2)[1] - 4800, round(lost_s * tones.RATE)
    expected = hear(spotter, samples)
    spotter.reset()
    heard = spotter.feed(samples[:at])
    heard += spotter.skip(lost)
    assert spotter.samples_heard == at + lost
    heard += spotter.feed(samples[at:])
    assert [event.word for event in heard] == ["low", "high"]
    assert heard[0].end_sample == expected[0].end_sample
    assert abs(heard[1].end_sample - expected[1].end_sample - lost) <= 1280


def test_two_halves_of_a_word_with_a_gap_between_are_no_word(spotter):
    half = tones.to_int16(tones.sine(400.0, 0.09))
    before = np.concatenate([tones.to_int16(tones.quiet(1.0)), half])
    after = np.concatenate([half, tones.to_int16(tones.quiet(1.0))])
    assert [event.word for event in spotter.feed(before) + spotter.feed(after)] == ["low"]
    spotter.reset()
    heard = spotter.feed(before)
    assert heard + spotter.skip(8000) + spotter.feed(after) == []


def test_a_word_that_lost_a_little_of_itself_is_heard(spotter):
    samples = tones.stream("low")
    middle = tones.starts(1)[0] + 3200
    heard = spotter.feed(samples[:middle])
    heard += spotter.skip(320)
    heard += spotter.feed(samples[middle + 320 :])
    assert [event.word for event in heard] == ["low"]


def test_a_word_that_was_complete_when_the_sound_was_lost_is_heard(spotter):
    samples = tones.stream("low")
    whole = hear(spotter, samples)
    spotter.reset()
    assert spotter.feed(samples[: whole[0].end_sample - 320]) == []
    assert [event.word for event in spotter.skip(16_000)] == ["low"]


def test_a_gap_is_heard_alike_however_the_sound_before_it_was_cut(spotter):
    samples = tones.stream("low", "high")
    at = tones.starts(2)[1] + 1600
    answers = []
    for size in (1, 999, len(samples)):
        spotter.reset()
        hear(spotter, samples[:at], size)
        spotter.skip(16_000)
        answers.append(spotter.posteriors)
    assert (answers[0] == answers[1]).all()
    assert (answers[0] == answers[2]).all()


def test_the_evidence_of_each_step_can_be_watched(spotter):
    samples = tones.stream("low")
    evidence = []
    for piece in np.array_split(samples, 50):
        events = spotter.feed(piece)
        evidence.append(spotter.evidence)
        for event in events:
            assert event.confidence == pytest.approx(evidence[-1].max())
    steps = np.concatenate(evidence)
    assert steps.shape == ((len(samples) - 512 + 320) // 640, 4)
    assert ((steps >= 0) & (steps <= 1)).all()


def test_the_last_posteriors_can_be_watched(spotter):
    assert spotter.posteriors.shape == (4,)
    samples = tones.stream("low")
    spotter.feed(samples[: tones.starts(1)[0] + 4800])
    assert spotter.posteriors.argmax() == tones.LABELS.index("low")
    spotter.feed(samples[tones.starts(1)[0] + 4800 :])
    assert spotter.posteriors.argmax() == tones.LABELS.index("silence")


def test_what_is_no_audio_leaves_no_trace(spotter):
    samples = tones.stream("low", "high")
    whole = hear(spotter, samples)
    spotter.reset()
    events = hear(spotter, samples[:20_000])
    with pytest.raises(AudioError, match="NaN"):
        spotter.feed(np.full(100, np.nan, np.float32))
    assert spotter.samples_heard == 20_000
    assert events + hear(spotter, samples[20_000:]) == whole


# Clips


@pytest.mark.parametrize(
    ("clip", "label"),
    [
        (tones.stream("low", pause_s=0.3), "low"),
        (tones.stream("high", pause_s=0.3), "high"),
        (tones.to_int16(tones.hiss(1.0)), "unknown"),
        (np.zeros(16_000, np.int16), "silence"),
        (np.zeros(100, np.int16), "silence"),
    ],
    ids=["low", "high", "hiss", "digital silence", "shorter than a frame"],
)
def test_a_clip_gets_one_label(spotter, clip, label):
    assert spotter.classify(clip) == label


def test_a_clip_is_judged_by_itself(spotter):
    spotter.feed(tones.stream("low")[:12_000])
    assert spotter.classify(np.zeros(16_000, np.int16)) == "silence"
    assert spotter.samples_heard == 0


# Which model


@pytest.mark.parametrize("name", ["tones.tflite", "tones.json"])
def test_a_model_may_be_given_by_its_path(name):
    assert said(hear(Spotter(DATA / name), tones.stream("high"))) == ["high"]
    assert said(hear(Spotter(str(DATA / name)), tones.stream("high"))) == ["high"]


def test_a_model_that_is_missing_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"none\.tflite does not exist"):
        Spotter(tmp_path / "none.tflite")


# What it takes

LIGHT = """
import sys
import harken.edge
at_import = set(sys.modules)
import tones
words = [e.word for e in harken.edge.Spotter(sys.argv[1]).feed(tones.stream("low", "high"))]
assert words == ["low", "high"], words
packages = lambda modules: sorted({name.split(".")[0] for name in modules})
print(*packages(at_import))
print(*packages(sys.modules))
"""


def test_listening_imports_nothing_heavy():
    ran = subprocess.run(
        [sys.executable, "-c", LIGHT, str(DATA / "tones.tflite")],
        check=True,
        capture_output=True,
        text=True,
        cwd=DATA.parent,
    )
    at_import, in_the_end = (line.split() for line in ran.stdout.splitlines())
    assert "numpy" in at_import
    assert "ai_edge_litert" in in_the_end or "tflite_runtime" in in_the_end
    training = {"tensorflow", "tf_keras", "keras", "librosa", "scipy", "numba", "matplotlib"}
    assert not training & set(in_the_end)
    # These belong to the base install, but nobody should wait for them who does not use them.
    deferred = {"ai_edge_litert", "tflite_runtime", "sounddevice", "soundfile", "soxr"}
    assert not (deferred | {"typer", "rich"}) & set(at_import)
    assert ran.stderr == "", "the interpreter has nothing to say to the person at the keyboard"
