"""The operating point: words missed at a fixed rate of false accepts, as the detector counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tones

pytest.importorskip("librosa", reason="training needs harken[train]")
pytest.importorskip("scipy", reason="training needs harken[train]")

from synthetic_corpus import Sound, corpus_of, spoken

from harken.edge.spotting.detector import Detector, DetectorConfig
from harken.edge.spotting.frontend import FrontEndConfig
from harken.train.config import ModelConfig, TrainConfig
from harken.train.corpus import Corpus
from harken.train.operating import (
    TALK_PENALTY,
    OperatingPoint,
    events,
    lowest_threshold,
    talk_evidence,
)

WORDS = ("low", "high")
CONFIG = TrainConfig(
    words=WORDS,
    model=ModelConfig(lstm_units=(8,)),
    front_end=FrontEndConfig(n_mels=20, n_mfcc=10, mean=(-80.0,) * 10, std=(60.0,) * 10),
)
STEP_S = 0.04


def sounds(*, speech_s: float, noise: bool = True) -> list[Sound]:
    """Five recordings of each word, and running speech: hiss in recordings of a minute at most."""
    hertz = {"low": 400.0, "high": 2500.0}
    words: list[Sound] = [
        ("word", word, "validation", spoken(hertz[word], seed=seed, level=0.02 + 0.1 * seed))
        for word in WORDS
        for seed in range(5)
    ]
    lengths = [60.0] * int(speech_s // 60) + [speech_s % 60] * (speech_s % 60 > 0)
    speech: list[Sound] = [
        ("speech", "talk", "validation", tones.to_int16(tones.hiss(seconds, seed=seed)))
        for seed, seconds in enumerate(lengths)
    ]
    kitchen: list[Sound] = [("noise", "fan", "validation", tones.to_int16(tones.hiss(5.0)))]
    return words + speech + kitchen * noise


class Network:
    """Stands in for a network: what it says is given, its state counts its steps."""

    def __init__(self, speech: np.ndarray, words: np.ndarray, *, noisy: np.ndarray | None = None):
        self.speech = speech
        self.words = [words, words if noisy is None else noisy]
        self.calls: list[tuple[tuple[int, ...], bool]] = []

    def __call__(self, steps: np.ndarray, state: int | None) -> tuple[np.ndarray, int]:
        self.calls.append((steps.shape, state is None))
        at = state or 0
        if len(steps) == 64:
            said = self.speech[:, at : at + steps.shape[1]]
        else:
            said = np.zeros((*steps.shape[:2], 4), np.float32)
            words = self.words.pop(0)
            said[: len(words)] = words[:, : steps.shape[1]]
        return said.astype(np.float32), at + steps.shape[1]


def silence(streams: int, steps: int = 4000) -> np.ndarray:
    posteriors = np.zeros((streams, steps, 4), np.float32)
    posteriors[..., 3] = 1
    return posteriors


def say(posteriors: np.ndarray, stream: int, at: int, label: int, posterior: float) -> None:
    """Let a label have this posterior for 5 steps."""
    posteriors[stream, at : at + 5] = (1 - posterior) / 3
    posteriors[stream, at : at + 5, label] = posterior


@pytest.fixture(scope="module")
def point() -> OperatingPoint:
    return OperatingPoint(CONFIG, corpus_of(*sounds(speech_s=12.2 * 60)))


class TestEvidence:
    def test_it_is_the_detectors(self) -> None:
        rng = np.random.default_rng(0)
        posteriors = rng.dirichlet((0.1, 0.1, 0.1, 0.1), (3, 400)).astype(np.float32)
        evidence = talk_evidence(posteriors, smoothing_steps=3, unknown=2, step_s=STEP_S)
        config = DetectorConfig(
            smoothing_steps=3, refractory_ms=400, talk_penalty=TALK_PENALTY, thresholds={}
        )
        for stream, found in zip(posteriors, evidence, strict=True):
            detector = Detector(config, (*WORDS, "unknown", "silence"), step_samples=640)
            detector.feed(stream)
            np.testing.assert_allclose(found, detector.evidence, rtol=1e-4, atol=1e-6)

    def test_certainty_stays_within_one(self) -> None:
        sure = np.zeros((1, 50, 4), np.float32)
        sure[..., 0] = 1
        evidence = talk_evidence(sure, smoothing_steps=3, unknown=2, step_s=STEP_S)
        assert evidence.max() <= 1
        assert evidence[0, -1, 0] == pytest.approx(1)


class TestEvents:
    def test_a_burst_is_one_event(self) -> None:
        evidence = np.zeros((2, 60), np.float32)
        evidence[0, 20:26] = (0.2, 0.7, 0.5, 0.6, 0.9, 0.3)
        evidence[1, 5:55] = 0.8  # a plateau
        assert sorted(events(evidence, 10).tolist()) == pytest.approx([0.8, 0.9])

    @pytest.mark.parametrize("refractory", [1, 2, 9, 10])
    def test_what_is_further_apart_than_the_refractory_time_counts_twice(
        self, refractory: int
    ) -> None:
        for distance, expected in ((refractory, 1), (refractory + 1, 2)):
            for first, second in ((0.5, 0.6), (0.6, 0.5)):
                evidence = np.zeros((1, 60), np.float32)
                evidence[0, 20], evidence[0, 20 + distance] = first, second
                assert len(events(evidence, refractory)) == expected

    def test_streams_have_nothing_to_do_with_each_other(self) -> None:
        evidence = np.zeros((2, 30), np.float32)
        evidence[0, 29], evidence[1, 0] = 0.5, 0.9
        assert len(events(evidence, 10)) == 2

    def test_silence_has_none(self) -> None:
        assert len(events(np.zeros((2, 30), np.float32), 10)) == 0


class TestThreshold:
    PEAKS = np.array([0.3, 0.9, 0.5, 0.5, 0.7], np.float32)

    @pytest.mark.parametrize(("most", "over"), [(0, 0.9), (1, 0.7), (2, 0.5), (3, 0.5), (4, 0.3)])
    def test_no_more_events_than_allowed_reach_it(self, most: int, over: float) -> None:
        threshold = lowest_threshold(self.PEAKS, most)
        assert threshold == pytest.approx(over, abs=1e-6)
        reached = np.greater_equal(self.PEAKS, np.float32(threshold))
        assert np.count_nonzero(reached) <= most

    def test_it_is_never_next_to_nothing(self) -> None:
        assert lowest_threshold(self.PEAKS, 5) == pytest.approx(0.05)
        assert lowest_threshold(np.array([0.001], np.float32), 0) == pytest.approx(0.05)


class TestPoint:
    def test_every_second_of_speech_is_heard_once(self, point: OperatingPoint) -> None:
        assert point.hours == pytest.approx(12.2 / 60, rel=0.01)

    def test_more_speech_than_that_is_drawn_from(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("harken.train.operating._MOST_SPEECH_S", 660.0)
        corpus = corpus_of(*sounds(speech_s=12 * 60, noise=False))
        one, again = OperatingPoint(CONFIG, corpus), OperatingPoint(CONFIG, corpus)
        other = OperatingPoint(dataclasses.replace(CONFIG, seed=1), corpus)
        assert one.hours == pytest.approx(11 / 60, rel=0.01)
        np.testing.assert_array_equal(one._speech, again._speech)
        assert not np.array_equal(one._speech, other._speech)

    def test_words_are_missed_below_the_thresholds(
        self, point: OperatingPoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        speech = silence(64)
        monkeypatch.setattr("harken.train.operating.FALSE_ACCEPTS_PER_HOUR", (2.0, 5.0, 6.0))
        assert [int(rate * point.hours) for rate in (2.0, 5.0, 6.0)] == [0, 1, 1]
        say(speech, 3, 100, 0, 0.9)  # this one is allowed
        say(speech, 3, 110, 0, 0.8)  # and belongs to it
        say(speech, 40, 100, 1, 0.6)
        words = silence(10)
        for word in range(10):
            say(words, word, 20, word // 5, 0.55 if word in (2, 7, 8) else 0.7)
        noisy = words.copy()
        noisy[:5] = silence(5)
        figures = point.measure(Network(speech, words, noisy=noisy))
        assert figures is not None
        assert 0.55 < figures.threshold <= 0.6, "less what the talk costs"
        # Where none is allowed, 0.7 is not enough.
        assert figures.missed == pytest.approx((1.0 + 0.3 + 0.3) / 3)
        assert figures.missed_noisy == pytest.approx((1.0 + 0.7 + 0.7) / 3)
        assert figures.to_dict().keys() == {"threshold", "missed", "missed_noisy"}

    def test_only_its_own_label_finds_a_word_and_only_in_time(self, point: OperatingPoint) -> None:
        words = silence(10)
        for word in range(10):
            say(words, word, 20, word // 5, 0.9)
        before, after, other, most = 0, 1, 2, 3
        words[[before, after, other, most]] = silence(1)
        say(words, before, 5, 0, 0.9)  # it begins after 0.6 s
        say(words, after, 48, 0, 0.9)  # it ends after 1.0 s, and is due 0.7 s later
        say(words, other, 20, 1, 0.9)
        words[most, 20:25] = (0.4, 0, 0, 0.6)
        figures = point.measure(Network(silence(64), words))
        assert figures is not None
        assert figures.threshold == pytest.approx(0.05)
        assert figures.missed == 0.4

    def test_speech_goes_on_from_piece_to_piece_and_words_do_not(
        self, point: OperatingPoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("harken.train.operating._STEPS", 70)
        network = Network(silence(64), silence(10))
        point.measure(network)
        speech, words = network.calls[:-2], network.calls[-2:]
        assert [fresh for _, fresh in speech] == [True] + [False] * (len(speech) - 1)
        assert len(speech) == 4
        assert len({shape for shape, _ in speech}) == 1, "one shape is compiled"
        assert [fresh for _, fresh in words] == [True, True]

    def test_speech_with_a_keyword_is_not_heard(self) -> None:
        corpus = corpus_of(*sounds(speech_s=12 * 60))
        recordings = [
            dataclasses.replace(r, text="it is LOW") if r.path.endswith("/10.wav") else r
            for r in corpus.recordings
        ]
        assert recordings != list(corpus.recordings)
        heard = OperatingPoint(CONFIG, dataclasses.replace(corpus, recordings=tuple(recordings)))
        assert heard.hours == pytest.approx(11 / 60, rel=0.01)

    def test_loudness_is_made_equal(self, point: OperatingPoint) -> None:
        def levels(frames: np.ndarray) -> np.ndarray:
            return np.median(frames[..., 0].astype(np.float32), axis=1)

        assert point._clean is not None
        assert point._speech is not None
        assert np.ptp(levels(point._speech)) < 0.2
        # The quietest one's own noise is louder beside the word.
        spoken = point._clean.frames[1:5, 35:45]
        assert np.ptp(levels(spoken)) < 0.2
        assert spoken.dtype == np.float16

    def test_without_noise_there_is_no_figure_for_it(self) -> None:
        point = OperatingPoint(CONFIG, corpus_of(*sounds(speech_s=12 * 60, noise=False)))
        figures = point.measure(Network(silence(64), silence(10)))
        assert figures is not None
        assert figures.to_dict() == {"threshold": pytest.approx(0.05), "missed": 1.0}

    @pytest.mark.parametrize(
        "corpus",
        [
            corpus_of(*sounds(speech_s=9.9 * 60)),
            corpus_of(*[s for s in sounds(speech_s=12 * 60) if s[0] != "word"]),
        ],
        ids=["less than ten minutes of speech", "no words"],
    )
    def test_with_too_little_there_is_no_figure(self, corpus: Corpus) -> None:
        point = OperatingPoint(CONFIG, corpus)
        assert point.hours == 0
        assert point.measure(Network(silence(64), silence(10))) is None
