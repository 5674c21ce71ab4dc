"""A network teaches another one: what it makes of the streams, and who may teach whom."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs harken[train]")

import tensorflow as tf
from synthetic_run import CONTEXT, N_MFCC, STRIDE, write_run

from harken.edge.errors import DataError
from harken.edge.spotting.manifest import StepConfig
from harken.train.base import Base, base_of
from harken.train.config import ModelConfig, TrainConfig
from harken.train.distill import Teacher
from harken.train.network import forward, soft_loss, zero_state

STREAMS, STEPS = 3, 12


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    path = write_run(tmp_path_factory.mktemp("teacher") / "run", svdf_units=(8,), svdf_memory=(3,))
    base = base_of(path, "large")
    return dataclasses.replace(base, shape=with_scale(base, mean=0.5, std=2.0))


def with_scale(base: Base, *, mean: float, std: float):
    front_end = dataclasses.replace(
        base.shape.front_end, mean=(mean,) * N_MFCC, std=(std,) * N_MFCC
    )
    return dataclasses.replace(base.shape, front_end=front_end)


def config_of(base: Base, words: tuple[str, ...] = ("yes", "no"), *, mean=-1.0, std=3.0):
    return TrainConfig(
        words=words,
        model=ModelConfig(dense_units=8, lstm_units=(12,)),
        front_end=with_scale(base, mean=mean, std=std).front_end,
        step=StepConfig(stride_frames=STRIDE, context_frames=CONTEXT),
        batch_streams=STREAMS,
    )


@pytest.fixture
def features() -> np.ndarray:
    """What both hear, not standardised: (streams, steps, inputs)."""
    rng = np.random.default_rng(1)
    return rng.normal(0.0, 2.0, (STREAMS, STEPS, CONTEXT * N_MFCC)).astype(np.float32)


def all_fresh() -> np.ndarray:
    return np.ones(STREAMS, np.bool_)


def own(base: Base, features: np.ndarray) -> np.ndarray:
    """The posteriors of the teacher, as it would standardise the features."""
    logits, _, _ = forward(
        base.weights,
        base.shape.model,
        (features - 0.5) / 2.0,
        zero_state(base.shape.model, STREAMS),
    )
    return tf.nn.softmax(logits).numpy()


class TestPosteriors:
    def test_it_hears_what_the_other_one_hears(self, base: Base, features: np.ndarray) -> None:
        config = config_of(base)
        heard = Teacher(base, config).posteriors((features + 1.0) / 3.0, all_fresh()).numpy()
        np.testing.assert_allclose(heard, own(base, features), atol=1e-4)
        np.testing.assert_allclose(heard.sum(axis=-1), 1.0, atol=1e-5)

    def test_labels_are_the_other_ones(self, base: Base, features: np.ndarray) -> None:
        """In its order; a word that it does not have is an unknown one."""
        expected = own(base, features)
        inputs = (features + 1.0) / 3.0
        turned = Teacher(base, config_of(base, ("no", "yes"))).posteriors(inputs, all_fresh())
        np.testing.assert_allclose(turned, expected[..., [1, 0, 2, 3]], atol=1e-4)
        fewer = Teacher(base, config_of(base, ("no",))).posteriors(inputs, all_fresh())
        np.testing.assert_allclose(fewer[..., 0], expected[..., 1], atol=1e-4)
        np.testing.assert_allclose(fewer[..., 1], expected[..., 0] + expected[..., 2], atol=1e-4)
        np.testing.assert_allclose(fewer[..., 2], expected[..., 3], atol=1e-4)

    def test_streams_go_on_from_batch_to_batch_unless_they_begin(
        self, base: Base, features: np.ndarray
    ) -> None:
        inputs, half = (features + 1.0) / 3.0, STEPS // 2
        whole = Teacher(base, config_of(base)).posteriors(inputs, all_fresh()).numpy()
        teacher = Teacher(base, config_of(base))
        teacher.posteriors(inputs[:, :half], all_fresh())
        state = {name: value.numpy() for name, value in teacher.state.items()}
        begins = np.array([False, True, False])
        rest = teacher.posteriors(inputs[:, half:], begins).numpy()
        np.testing.assert_allclose(rest[~begins], whole[~begins, half:], atol=1e-5)
        assert np.abs(rest[begins] - whole[begins, half:]).max() > 1e-3
        other = Teacher(base, config_of(base))
        other.restore(state)
        np.testing.assert_array_equal(other.posteriors(inputs[:, half:], begins), rest)

    def test_the_loss_is_least_for_the_same_posteriors(self) -> None:
        rng = np.random.default_rng(2)
        logits = tf.constant(rng.normal(0, 2, (2, 5, 4)).astype(np.float32))
        posteriors = tf.nn.softmax(logits)
        entropy = -np.mean(np.sum(posteriors * np.log(posteriors), axis=-1))
        assert float(soft_loss(logits, posteriors)) == pytest.approx(entropy, abs=1e-5)
        assert float(soft_loss(tf.add(logits, [0.5, 0, 0, 0]), posteriors)) > entropy


class TestWhoMayTeach:
    def test_one_that_knows_the_words(self, base: Base) -> None:
        with pytest.raises(DataError, match="large cannot teach up, down: it knows yes, no;"):
            Teacher(base, config_of(base, ("yes", "up", "down")))

    def test_one_with_the_same_features_and_steps(self, base: Base) -> None:
        config = config_of(base)
        front_end = dataclasses.replace(config.front_end, n_mels=24)
        with pytest.raises(
            DataError, match=r"its front_end is .*n_mels=20.* n_mels=24.* is needed"
        ):
            Teacher(base, dataclasses.replace(config, front_end=front_end))
        step = StepConfig(stride_frames=1, context_frames=CONTEXT)
        with pytest.raises(DataError, match=r"its step is .*stride_frames=2.*--config"):
            Teacher(base, dataclasses.replace(config, step=step))
