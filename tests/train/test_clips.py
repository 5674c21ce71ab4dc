"""Validation while training: the clips of `harken eval`, decided as the device decides them."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import tones

pytest.importorskip("librosa", reason="training needs harken[train]")
pytest.importorskip("tensorflow", reason="training needs harken[train]")

from synthetic_corpus import Sound, corpus_of, spoken

from harken.edge import FrontEnd, FrontEndConfig
from harken.edge.spotting.clip import classify_clip, clip_tail
from harken.edge.spotting.manifest import StepConfig
from harken.export.reference import Network, softmax
from harken.train.clips import ClipScores, ClipSet
from harken.train.config import ModelConfig, StreamConfig, TrainConfig
from harken.train.evaluate import select_clips
from harken.train.features import stack
from harken.train.network import initial_weights
from harken.train.validation import Validation, rank

WORDS = ("low", "high")
CONFIG = TrainConfig(
    words=WORDS,
    model=ModelConfig(svdf_units=(6, 6), svdf_memory=(3, 4), lstm_units=(9,)),
    front_end=FrontEndConfig(n_mels=20, n_mfcc=10, mean=(-80.0,) * 10, std=(60.0,) * 10),
    step=StepConfig(stride_frames=2, context_frames=3),
    streams=StreamConfig(seconds=2.0),
    batch_streams=2,
)
INPUTS = CONFIG.step.context_frames * CONFIG.front_end.n_mfcc
LENGTHS_S = (0.01, 0.031, 0.04, 0.5, 1.0, 1.0, 1.7, 3.0)


def validation_sounds() -> list[Sound]:
    """Clips of many lengths, two of them too short for a frame or a step."""
    hertz = {"low": 400.0, "high": 2500.0, "middle": 1000.0}
    return [
        ("word", word, split, tones.to_int16(tones.sine(hertz[word], seconds, level=0.1 + index)))
        for word in hertz
        for split in ("training", "validation")
        for index, seconds in enumerate(LENGTHS_S)
    ] + [("noise", "fan", "validation", tones.to_int16(tones.hiss(5.0)))]


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = initial_weights(CONFIG.model, inputs=INPUTS, labels=4, seed=seed)
    weights = {
        name: 2 * value + rng.normal(0, 1, value.shape).astype(np.float32)
        for name, value in drawn.items()
    }
    return {n: np.abs(value) if n.endswith("/variance") else value for n, value in weights.items()}


class TestClips:
    def test_decisions_are_those_of_the_device_clip_by_clip(self) -> None:
        corpus = corpus_of(*validation_sounds())
        validation = Validation(CONFIG, corpus)
        decided = set()
        for seed in range(4):
            network = Network.from_weights(weights(seed), CONFIG.model, inputs=INPUTS, labels=4)
            expected = np.zeros((4, 4), int)
            for clip in select_clips(corpus, WORDS, split="validation"):
                heard = np.concatenate((clip.samples, clip_tail(clip.samples, 16_000)))
                frames = FrontEnd(CONFIG.front_end).feed(heard)
                steps = stack(frames[None], **asdict(CONFIG.step))[0]
                logits = network.run(steps).logits if len(steps) else np.zeros((0, 4), np.float32)
                decision = classify_clip(softmax(logits), CONFIG.smoothing_steps)
                expected[clip.label, decision] += 1
                decided.add(decision)
            np.testing.assert_array_equal(validation.scores(weights(seed)).confusion, expected)
            assert expected.sum() == 3 * len(LENGTHS_S) + 2, "silence: a tenth of the word clips"
        assert len(decided) == 4, "all decisions were among those compared"

    def test_a_clip_without_a_step_is_silence(self) -> None:
        corpus = corpus_of(
            ("word", "low", "validation", spoken(400.0, seconds=0.01, start_s=0, end_s=0.01)),
            ("word", "high", "validation", spoken(400.0)),
        )
        scores = ClipSet(corpus, CONFIG).score(
            lambda steps: np.full((*steps.shape[:2], 4), 1.0, np.float32)
        )
        np.testing.assert_array_equal(
            scores.confusion, [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
        )

    def test_many_clips_are_all_decided(self) -> None:
        sounds = [
            ("word", "high", "validation", np.full(600 + index, 999, np.int16))
            for index in range(1100)
        ]
        shapes = set()

        def posteriors(steps: np.ndarray) -> np.ndarray:
            shapes.add(steps.shape)
            return np.tile(np.float32([0, 0.85, 0, 0.15]), (*steps.shape[:2], 1))

        scores = ClipSet(corpus_of(*sounds), CONFIG).score(posteriors)
        assert scores.confusion.sum() == 1100
        assert len(shapes) == 1, "one shape is compiled, not one for each length"
        # With its tail, as long as itself here, a clip of one step has too little evidence.
        assert scores.confusion[1, 1] == sum(
            (1 + (2 * (600 + index) - 512) // 320) // 2 >= 2 for index in range(1100)
        )


class TestStreams:
    def test_the_loss_is_the_same_for_the_same_weights(self) -> None:
        corpus = corpus_of(*validation_sounds())
        one, again = (Validation(CONFIG, corpus).measure(weights()) for _ in range(2))
        assert one == again
        assert one["stream_loss"] > 0
        assert one != Validation(CONFIG, corpus).measure(weights(1))

    def test_without_clips_of_every_word_there_are_no_streams(self) -> None:
        sounds = [sound for sound in validation_sounds() if sound[1] != "high"]
        sounds.append(("word", "high", "training", spoken(2500.0)))
        figures = Validation(CONFIG, corpus_of(*sounds)).measure(weights())
        assert figures.keys() == {"clip_accuracy"}

    def test_with_ten_minutes_of_speech_missed_words_are_counted(self) -> None:
        talk = tones.to_int16(tones.hiss(660.0))
        corpus = corpus_of(*validation_sounds(), ("speech", "talk", "validation", talk))
        validation = Validation(CONFIG, corpus)
        figures, again = (validation.measure(weights()) for _ in range(2))
        assert figures == again
        assert figures.keys() - {"clip_accuracy", "stream_loss"} == {
            "threshold",
            "missed",
            "missed_noisy",
        }
        assert 0 <= figures["missed"] <= 1
        assert 0.05 <= figures["threshold"] <= 1


class TestScores:
    SCORES = ClipScores(np.array([[3, 1], [0, 4]]))

    def test_accuracy_is_the_share_of_right_decisions(self) -> None:
        assert self.SCORES.accuracy == 7 / 8

    def test_nothing_decided_is_no_accuracy(self) -> None:
        assert ClipScores(np.zeros((2, 2), np.int64)).accuracy == 0

    def test_the_report_goes_by_label(self) -> None:
        assert self.SCORES.to_dict(("yes", "no")) == {
            "accuracy": 7 / 8,
            "clips": 8,
            "labels": {"yes": {"clips": 4, "right": 3}, "no": {"clips": 4, "right": 4}},
            "confusion": [[3, 1], [0, 4]],
        }

    def test_accuracy_and_loss_rank_epochs(self) -> None:
        epochs = [
            {"clip_accuracy": 0.90, "stream_loss": 0.2},
            {"clip_accuracy": 0.95, "stream_loss": 0.2},
            {"clip_accuracy": 0.947, "stream_loss": 0.19},
            {"clip_accuracy": 0.95, "stream_loss": 0.19},
        ]
        assert sorted(epochs, key=rank) == epochs
        assert rank({"clip_accuracy": 0.97}) > rank({"clip_accuracy": 0.96})

    def test_missed_words_rank_epochs(self) -> None:
        same = {"clip_accuracy": 0.95, "stream_loss": 0.2}
        epochs = [
            same | {"missed": 0.10, "missed_noisy": 0.30},
            same | {"missed": 0.10, "missed_noisy": 0.25},
            same | {"missed": 0.04, "missed_noisy": 0.25},
        ]
        assert sorted(epochs, key=rank) == epochs
        assert rank(same | {"missed": 0.2}) == rank(same | {"missed": 0.3, "missed_noisy": 0.1})
