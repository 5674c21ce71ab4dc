"""Features in training are the device's: librosa's numbers in batches, stacked as by the engine."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tones

pytest.importorskip("librosa", reason="training needs harken[train]")

from harken.edge import Engine, FrontEnd, FrontEndConfig, Model
from harken.edge.spotting.manifest import Quantization, StepConfig
from harken.train.features import log_mel, mfcc, mfcc_from_log_mel, stack

MAX_ERROR = 1e-3

CONFIGS = {
    "all coefficients": FrontEndConfig(),
    "half of the coefficients": FrontEndConfig(n_mfcc=20),
    "other sizes": FrontEndConfig(
        window_samples=400, hop_samples=160, n_mels=24, n_mfcc=13, f_min_hz=0, f_max_hz=8000
    ),
}


def recordings(samples: int = 16_000) -> np.ndarray:
    """A word, noise, near silence and digital silence, (4, samples) float32."""
    seconds = samples / tones.RATE
    return np.stack(
        [
            tones.tone("low", seconds=seconds, level=0.8) + tones.quiet(seconds),
            tones.hiss(seconds, level=0.2),
            tones.quiet(seconds),
            np.zeros(samples, np.float32),
        ]
    )


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
class TestAgainstTheDevice:
    def test_the_batch_features_are_the_front_ends(self, config: FrontEndConfig) -> None:
        audio = recordings()
        batch = mfcc(config, audio)
        front_end = FrontEnd(config)
        for recording, features in zip(audio, batch, strict=True):
            front_end.reset()
            np.testing.assert_allclose(features, front_end.mfcc(recording), atol=MAX_ERROR, rtol=0)

    def test_a_window_that_is_not_full_is_no_frame(self, config: FrontEndConfig) -> None:
        window, hop = config.window_samples, config.hop_samples
        for extra in (0, 1, hop - 1, hop, 5 * hop + 1):
            features = mfcc(config, recordings(window + extra))
            assert features.shape == (4, 1 + extra // hop, config.n_mfcc)
            assert features.dtype == np.float32

    def test_the_log_mel_spectrum_is_on_the_way_to_the_coefficients(
        self, config: FrontEndConfig
    ) -> None:
        audio = recordings()
        spectrum = log_mel(config, audio)
        direct = mfcc(config, audio)
        assert spectrum.shape == (4, config.n_mels, direct.shape[1])
        np.testing.assert_array_equal(mfcc_from_log_mel(config, spectrum), direct)

    def test_silence_lies_at_the_floor(self, config: FrontEndConfig) -> None:
        np.testing.assert_allclose(log_mel(config, recordings())[3], -100, rtol=1e-6)


class Recorder:
    """In the place of an interpreter: keeps what it is given."""

    def __init__(self, labels: int) -> None:
        self.given: list[np.ndarray] = []
        self._labels = labels

    def invoke(self, features: np.ndarray) -> np.ndarray:
        self.given.append(features[0, 0].copy())
        return np.zeros(self._labels, np.int8)

    def reset(self) -> None:
        self.given.clear()


def unscaled(model: Model, stride_frames: int, context_frames: int) -> SimpleNamespace:
    """The model as far as an engine looks at it, with other stacking and a scale of 1."""
    manifest = model.manifest
    width = context_frames * manifest.front_end.n_mfcc
    return SimpleNamespace(
        manifest=dataclasses.replace(
            manifest,
            step=StepConfig(stride_frames=stride_frames, context_frames=context_frames),
            input=Quantization(scale=1.0, zero_point=0, shape=(1, 1, width)),
        )
    )


class TestStacking:
    @pytest.mark.parametrize("frames", [0, 1, 2, 7, 20])
    @pytest.mark.parametrize(
        ("stride_frames", "context_frames"), [(1, 1), (1, 3), (2, 2), (2, 3), (3, 7)]
    )
    def test_steps_are_the_engines(
        self, tones_model: Model, stride_frames: int, context_frames: int, frames: int
    ) -> None:
        model = unscaled(tones_model, stride_frames, context_frames)
        n_mfcc = model.manifest.front_end.n_mfcc
        rng = np.random.default_rng(frames)
        streams = rng.integers(-100, 101, (2, frames, n_mfcc)).astype(np.float32)

        stacked = stack(streams, context_frames=context_frames, stride_frames=stride_frames)

        assert stacked.shape == (2, frames // stride_frames, context_frames * n_mfcc)
        runtime = Recorder(len(model.manifest.labels))
        engine = Engine(model, runtime=runtime)
        for stream, steps in zip(streams, stacked, strict=True):
            engine.reset()
            engine.feed(stream)
            assert len(runtime.given) == len(steps)
            for given, step in zip(runtime.given, steps, strict=True):
                np.testing.assert_array_equal(given, step)

    def test_oldest_first_and_zeros_before_the_first(self) -> None:
        frames = np.arange(1, 6, dtype=np.float32).reshape(1, 5, 1)
        stacked = stack(frames, context_frames=3, stride_frames=2)
        np.testing.assert_array_equal(stacked, [[[0, 1, 2], [2, 3, 4]]])
