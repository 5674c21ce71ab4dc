"""The network in training is the one that is exported, and its loss is as described."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("tensorflow", reason="training needs harken[train]")

import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from harken.export.reference import Dense, Lstm, Network, Svdf
from harken.train.config import NORMALISATION_EPSILON, ModelConfig
from harken.train.network import (
    FIXED,
    _rounded_values,
    forward,
    initial_weights,
    is_moment,
    mel_kernel,
    set_loss,
    zero_state,
)

INPUTS, LABELS, STEPS = 12, 5, 60
STD = (3.0, 2.0, 1.5, 1.0, 0.8, 0.5)
"""Of the coefficients of a frame, for convolutions."""

SHAPES = {
    "dense and LSTM": ModelConfig(dense_units=10, lstm_units=(16,)),
    "LSTM alone": ModelConfig(dense_units=0, lstm_units=(16,)),
    "two LSTM layers": ModelConfig(dense_units=10, lstm_units=(16, 7)),
    "a narrow cell": ModelConfig(dense_units=10, lstm_units=(16,), cell_clip=0.5),
    "stem": ModelConfig(svdf_units=(10, 10, 10), svdf_memory=(3, 5, 2), lstm_units=(16,)),
    "stem behind a dense layer": ModelConfig(
        dense_units=10, svdf_units=(10, 10), svdf_memory=(4, 4), lstm_units=(16,)
    ),
    "stem, nothing added": ModelConfig(
        svdf_units=(10, 10), svdf_memory=(3, 5), svdf_residual=0, lstm_units=(16,)
    ),
    "stem, each added": ModelConfig(
        svdf_units=(10, 10, 10), svdf_memory=(2, 3, 4), svdf_residual=1, lstm_units=(16,)
    ),
    "convolutions": ModelConfig(
        conv_channels=(6, 7),
        conv_kernel=(3, 2),
        conv_stride=(1, 2),
        svdf_units=(9, 9, 9),
        svdf_memory=(2, 3, 4),
        lstm_units=(16,),
    ),
    "one convolution": ModelConfig(
        conv_channels=(5,), conv_kernel=(4,), conv_stride=(2,), lstm_units=(16,)
    ),
    "stem of other widths": ModelConfig(
        svdf_units=(9, 7, 12), svdf_memory=(1, 6, 1), lstm_units=(16, 7)
    ),
}
STEM = SHAPES["stem"]
shapes = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
STEMS = {name: config for name, config in SHAPES.items() if config.has_stem}
stems = pytest.mark.parametrize("config", STEMS.values(), ids=STEMS.keys())


def weights_of(config: ModelConfig, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of the size that training gives them, biases too."""
    rng = np.random.default_rng(seed)
    weights = initial_weights(config, inputs=INPUTS, labels=LABELS, std=STD, seed=seed)
    return {
        name: np.abs(2 * value + rng.normal(0, 0.3, value.shape)).astype(np.float32)
        if name.endswith("/variance")
        else 2 * value + rng.normal(0, 0.3, value.shape).astype(np.float32)
        for name, value in weights.items()
    }


def streams(batch: int = 3, *, seed: int = 0, steps: int = STEPS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1.5, (batch, steps, INPUTS)).astype(np.float32)


def run(weights, config, inputs, state=None, **options):
    if state is None:
        state = zero_state(config, len(inputs))
    outputs = forward(weights, config, tf.constant(inputs), state, **options)
    return outputs.logits.numpy(), outputs.state


def reference(weights: dict[str, np.ndarray], config: ModelConfig) -> Network:
    return Network.from_weights(weights, config, inputs=INPUTS, labels=LABELS)


@shapes
class TestForward:
    def test_it_is_the_network_that_is_exported(self, config: ModelConfig) -> None:
        weights, inputs = weights_of(config), streams()
        logits, _ = run(weights, config, inputs)
        assert logits.shape == (3, STEPS, LABELS)
        for stream, outputs in zip(inputs, logits, strict=True):
            expected = reference(weights, config).run(stream).logits
            np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)

    def test_two_halves_with_the_state_between_them_are_the_whole(
        self, config: ModelConfig
    ) -> None:
        weights, inputs = weights_of(config), streams()
        whole, end = run(weights, config, inputs)
        first, between = run(weights, config, inputs[:, :25])
        second, after = run(weights, config, inputs[:, 25:], between)
        np.testing.assert_allclose(
            np.concatenate([first, second], axis=1), whole, rtol=1e-5, atol=1e-4
        )
        assert after.keys() == end.keys()
        for name, value in after.items():
            np.testing.assert_allclose(value, end[name], rtol=1e-5, atol=1e-4)

    @given(cuts=st.sets(st.integers(1, 11)))
    @example(cuts=set(range(1, 12)))
    @settings(deadline=None, max_examples=10)
    def test_any_pieces_of_a_stream_give_the_same(
        self, config: ModelConfig, cuts: set[int]
    ) -> None:
        weights, inputs = weights_of(config), streams(steps=12)
        whole, _ = run(weights, config, inputs)
        state, pieces = zero_state(config, len(inputs)), []
        for start, end in pairwise([0, *sorted(cuts), 12]):
            logits, state = run(weights, config, inputs[:, start:end], state)
            pieces.append(logits)
        np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-5, atol=1e-4)

    def test_the_state_matters(self, config: ModelConfig) -> None:
        weights, inputs = weights_of(config), streams()
        _, between = run(weights, config, inputs[:, :25])
        afresh, _ = run(weights, config, inputs[:, 25:])
        carried, _ = run(weights, config, inputs[:, 25:], between)
        assert np.abs(afresh[:, 0] - carried[:, 0]).max() > 0.01

    def test_streams_of_a_batch_do_not_hear_each_other(self, config: ModelConfig) -> None:
        weights, inputs = weights_of(config), streams()
        together, _ = run(weights, config, inputs)
        alone, _ = run(weights, config, inputs[1:2])
        np.testing.assert_allclose(together[1:2], alone, rtol=1e-5, atol=1e-4)

    def test_a_reset_state_is_zero(self, config: ModelConfig) -> None:
        state = zero_state(config, 4)
        shapes = {
            f"svdf_{layer}": (4, memory - 1, units)
            for layer, (units, memory) in enumerate(config.svdf)
        }
        for layer, units in enumerate(config.lstm_units):
            shapes |= {f"lstm_{layer}/{part}": (4, units) for part in "hc"}
        assert {name: tuple(value.shape) for name, value in state.items()} == shapes
        assert not any(np.any(value) for value in state.values())


class TestCellClip:
    def test_cells_stay_within_the_clip_and_reach_it(self) -> None:
        config = ModelConfig(dense_units=0, lstm_units=(4,), cell_clip=10.0)
        weights = initial_weights(config, inputs=INPUTS, labels=LABELS, std=STD, seed=0)
        # All gates open: without a clip the cells would count the steps, up or down.
        weights["lstm_0/bias"] = np.repeat(np.float32([50, 50, 50, 50]), 4)
        weights["lstm_0/bias"][8:10] = -50
        weights["lstm_0/kernel"][:] = 0
        weights["lstm_0/recurrent_kernel"][:] = 0
        cells = []
        state = zero_state(config, 1)
        for _ in range(15):
            _, state = run(weights, config, streams(1, steps=1), state)
            cells.append(state["lstm_0/c"].numpy()[0])
        np.testing.assert_allclose(np.array(cells)[:, 2], np.minimum(np.arange(1, 16), 10))
        np.testing.assert_allclose(np.array(cells)[:, 0], -np.minimum(np.arange(1, 16), 10))


class TestDropout:
    CONFIG = ModelConfig(dense_units=0, lstm_units=(100,))

    def test_the_same_seed_drops_the_same_units(self) -> None:
        weights, inputs = weights_of(self.CONFIG), streams()
        one, again, other = (
            run(weights, self.CONFIG, inputs, dropout=0.5, seed=tf.constant(seed))[0]
            for seed in ([1, 7], [1, 7], [1, 8])
        )
        np.testing.assert_array_equal(one, again)
        assert not np.allclose(one, other)

    def test_a_stream_keeps_its_mask_and_others_have_their_own(self) -> None:
        weights = weights_of(self.CONFIG)
        # The same input at all steps, no memory: whatever differs is the mask's doing.
        weights["lstm_0/recurrent_kernel"][:] = 0
        weights["lstm_0/bias"][100:200] = -1000
        same = np.broadcast_to(streams(1, steps=1), (3, 5, INPUTS)).copy()
        outputs, _ = run(weights, self.CONFIG, same, dropout=0.5, seed=tf.constant([0, 0]))
        for earlier, later in pairwise(np.swapaxes(outputs, 0, 1)):
            np.testing.assert_allclose(earlier, later, atol=1e-5)
        assert not np.allclose(outputs[0], outputs[1])

    def test_the_mean_is_kept(self) -> None:
        weights, inputs = weights_of(self.CONFIG), streams(1, steps=3)
        without, _ = run(weights, self.CONFIG, inputs)
        dropped = np.mean(
            [
                run(weights, self.CONFIG, inputs, dropout=0.3, seed=tf.constant([0, seed]))[0]
                for seed in range(100)
            ],
            axis=0,
        )
        np.testing.assert_allclose(dropped, without, atol=0.25)

    def test_the_state_itself_is_not_dropped(self) -> None:
        weights, inputs = weights_of(self.CONFIG), streams()
        _, without = run(weights, self.CONFIG, inputs)
        _, dropped = run(weights, self.CONFIG, inputs, dropout=0.5, seed=tf.constant([0, 0]))
        np.testing.assert_array_equal(without["lstm_0/h"], dropped["lstm_0/h"])


def filtered(weights: dict[str, np.ndarray], name: str, inputs: np.ndarray) -> np.ndarray:
    """What an SVDF gives before normalisation, step by step: (batch, steps, units)."""
    heard = inputs @ weights[f"{name}/kernel"]
    filters = weights[f"{name}/time_kernel"]
    memory = len(filters)
    padded = np.pad(heard, ((0, 0), (memory - 1, 0), (0, 0)))
    return np.stack(
        [(padded[:, step : step + memory] * filters).sum(axis=1) for step in range(heard.shape[1])],
        axis=1,
    )


class TestNormalisation:
    def test_while_training_it_goes_by_the_batch(self) -> None:
        weights, inputs = weights_of(STEM), streams()
        outputs = forward(
            weights, STEM, tf.constant(inputs), zero_state(STEM, len(inputs)), training=True
        )
        y = filtered(weights, "svdf_0", inputs)
        np.testing.assert_allclose(outputs.moments["svdf_0/mean"], y.mean(axis=(0, 1)), atol=1e-4)
        np.testing.assert_allclose(
            outputs.moments["svdf_0/variance"], y.var(axis=(0, 1)), rtol=1e-3
        )
        assert {name for name in weights if is_moment(name)} == outputs.moments.keys()

    @stems
    def test_with_the_moments_of_a_batch_kept_inference_is_the_same(
        self, config: ModelConfig
    ) -> None:
        weights, inputs = weights_of(config), streams()
        state = zero_state(config, len(inputs))
        for _ in range(2):
            outputs = forward(weights, config, tf.constant(inputs), state, training=True)
            kept, after = run({**weights, **outputs.moments}, config, inputs, state)
            np.testing.assert_allclose(kept, outputs.logits, atol=1e-4)
            for name, value in after.items():
                np.testing.assert_allclose(value, outputs.state[name], atol=1e-4)
            assert np.abs(run(weights, config, inputs, state)[0] - kept).max() > 0.1
            state = outputs.state

    def test_while_training_kept_moments_are_of_no_account(self) -> None:
        weights, inputs, state = weights_of(STEM), tf.constant(streams()), zero_state(STEM, 3)
        learned = {name: value for name, value in weights.items() if not is_moment(name)}
        one, other = (forward(w, STEM, inputs, state, training=True) for w in (weights, learned))
        np.testing.assert_array_equal(one.logits, other.logits)

    def test_without_training_nothing_is_measured(self) -> None:
        inputs = streams()
        outputs = forward(weights_of(STEM), STEM, tf.constant(inputs), zero_state(STEM, 3))
        assert outputs.moments == {}

    def test_moments_are_learned_from_no_gradient(self) -> None:
        values = {name: tf.constant(value) for name, value in weights_of(STEM).items()}
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = forward(
                values, STEM, tf.constant(streams()), zero_state(STEM, 3), training=True
            )
            loss = tf.reduce_sum(outputs.logits**2)
        for name, gradient in tape.gradient(loss, values).items():
            assert (gradient is None) == is_moment(name), name

    @given(
        seed=st.integers(0, 2**20),
        units=st.integers(1, 5),
        memory=st.integers(1, 6),
        gain=st.floats(0.01, 100),
    )
    @settings(deadline=None)
    def test_folded_it_is_the_same_layer(
        self, seed: int, units: int, memory: int, gain: float
    ) -> None:
        rng = np.random.default_rng(seed)
        weights = {
            "s/kernel": rng.normal(size=(INPUTS, units)),
            "s/time_kernel": rng.normal(size=(memory, units)),
            "s/scale": rng.normal(size=units) * gain,
            "s/bias": rng.normal(size=units),
            "s/mean": rng.normal(size=units),
            "s/variance": rng.uniform(0, gain, units),
        }
        inputs = rng.normal(size=(1, 9, INPUTS))
        y = filtered(weights, "s", inputs)[0]
        spread = np.sqrt(weights["s/variance"] + NORMALISATION_EPSILON)
        y = (y - weights["s/mean"]) / spread * weights["s/scale"] + weights["s/bias"]
        layer = Svdf.folded(
            {name: value.astype(np.float32) for name, value in weights.items()}, "s", adds=0
        )
        network = Network(
            dense_in=None,
            svdf=(layer,),
            lstm=(
                Lstm(
                    kernel=np.zeros((units, 4), np.float32),
                    recurrent_kernel=np.zeros((1, 4), np.float32),
                    bias=np.zeros(4, np.float32),
                ),
            ),
            dense_out=Dense(kernel=np.zeros((1, 2), np.float32), bias=np.zeros(2, np.float32)),
            cell_clip=10.0,
        )
        seen: dict[str, np.ndarray] = {}
        network.run(inputs[0].astype(np.float32), seen.setdefault)
        tolerance = 1e-4 * max(1.0, np.abs(y).max())
        np.testing.assert_allclose(seen["svdf_0"], np.maximum(y, 0), atol=tolerance)


@shapes
class TestInitialWeights:
    def test_they_have_the_names_and_shapes_that_export_reads(self, config: ModelConfig) -> None:
        weights = initial_weights(config, inputs=INPUTS, labels=LABELS, std=STD, seed=0)
        reference(weights, config)  # complains about any that is missing, unknown or misshapen
        assert all(value.dtype == np.float32 for value in weights.values())

    def test_the_seed_decides_them(self, config: ModelConfig) -> None:
        one, again, other = (
            initial_weights(config, inputs=INPUTS, labels=LABELS, std=STD, seed=seed)
            for seed in (1, 1, 2)
        )
        for name, value in one.items():
            np.testing.assert_array_equal(value, again[name])
            if name.endswith("kernel") and name not in FIXED:
                assert not np.array_equal(value, other[name])

    def test_lstm_layers_begin_by_remembering(self, config: ModelConfig) -> None:
        weights = initial_weights(config, inputs=INPUTS, labels=LABELS, std=STD, seed=0)
        for layer, units in enumerate(config.lstm_units):
            i, f, g, o = np.split(weights[f"lstm_{layer}/bias"], 4)
            assert (f == 1).all()
            assert not np.any([i, g, o])
            for gate in np.split(weights[f"lstm_{layer}/recurrent_kernel"], 4, axis=1):
                np.testing.assert_allclose(gate @ gate.T, np.eye(units), atol=1e-5)


class TestMelKernel:
    def test_it_turns_mfcc_back_into_mel_bands(self) -> None:
        """But for their means and one factor, where there are as many MFCC as bands."""
        rng = np.random.default_rng(0)
        decibels = rng.normal(size=(50, 8)).cumsum(axis=1) * 5
        mfcc = dct(decibels, type=2, norm="ortho", axis=1)
        mean, std = mfcc.mean(axis=0), mfcc.std(axis=0)
        bands = (mfcc - mean) / std @ mel_kernel(tuple(std))
        expected = decibels - decibels.mean(axis=0)
        factor = expected.std() / bands.std()
        np.testing.assert_allclose(bands * factor, expected, atol=1e-3)
        # As measured for independent coefficients.
        drawn = rng.normal(size=(20_000, 8)) @ mel_kernel(tuple(std))
        assert drawn.std(axis=0).mean() == pytest.approx(1, abs=0.05)


class TestSetLoss:
    @staticmethod
    def loss(logits: list[list[float]], allowed: list[list[int]]) -> float:
        """Of one stream, by its steps."""
        return float(set_loss(tf.constant([logits]), tf.constant(np.array([allowed], bool))))

    def test_with_one_right_label_it_is_the_cross_entropy(self) -> None:
        logits = [[1.0, 2.0, 3.0]]
        expected = -np.log(np.exp(2) / np.exp([1, 2, 3]).sum())
        assert self.loss(logits, [[0, 1, 0]]) == pytest.approx(expected, rel=1e-5)

    def test_with_several_it_is_that_of_their_sum(self) -> None:
        logits = [[1.0, 2.0, 3.0]]
        expected = -np.log(np.exp([1, 3]).sum() / np.exp([1, 2, 3]).sum())
        assert self.loss(logits, [[1, 0, 1]]) == pytest.approx(expected, rel=1e-5)

    def test_where_all_is_right_it_is_nothing(self) -> None:
        assert self.loss([[1.0, 2.0, 3.0]], [[1, 1, 1]]) == pytest.approx(0, abs=1e-6)

    def test_it_is_the_mean_over_the_steps(self) -> None:
        logits = [[0.0, 0.0, 0.0, 0.0]] * 2
        loss = self.loss(logits, [[1, 0, 0, 0], [1, 1, 0, 0]])
        assert loss == pytest.approx((np.log(4) + np.log(2)) / 2, rel=1e-5)

    def test_it_pushes_the_right_labels_up_and_the_wrong_ones_down(self) -> None:
        logits = tf.Variable([[[0.0, 0.0, 0.0]]])
        with tf.GradientTape() as tape:
            loss = set_loss(logits, tf.constant([[[True, True, False]]]))
        np.testing.assert_allclose(
            tape.gradient(loss, logits)[0, 0], [-1 / 6, -1 / 6, 1 / 3], atol=1e-6
        )

    def test_a_hopeless_step_has_a_gradient_all_the_same(self) -> None:
        logits = tf.Variable([[[500.0, -500.0, 0.0]]])
        with tf.GradientTape() as tape:
            loss = set_loss(logits, tf.constant([[[False, True, False]]]))
        assert float(loss) == pytest.approx(1000)
        np.testing.assert_allclose(tape.gradient(loss, logits)[0, 0], [1, -1, 0], atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_rounded_weights_are_those_that_are_exported(
    shape: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training rounds matrices as `quantize` does, and gradients pass as if it had not."""
    monkeypatch.setattr("harken.train.network._rounded_values", lambda values: values)
    weights = initial_weights(shape, inputs=INPUTS, labels=LABELS, std=STD, seed=3)
    rounded = dict(weights)
    for name, kernel in weights.items():
        if not name.endswith("kernel") or name.endswith("time_kernel"):
            continue
        parts = np.split(kernel, 4 if name.startswith("lstm") else 1, axis=1)
        axis = 0 if name.startswith(("conv", "svdf")) else None
        scales = [np.abs(part).max(axis=axis, keepdims=True) / np.float32(127) for part in parts]
        rounded[name] = np.concatenate(
            [np.rint(part / scale) * scale for part, scale in zip(parts, scales, strict=True)],
            axis=1,
        )
        assert np.abs(rounded[name] - kernel).max() > 0
    steps = tf.constant(np.random.default_rng(4).normal(size=(2, STEPS, INPUTS)), tf.float32)
    state = zero_state(shape, 2)
    with tf.GradientTape() as tape:
        given = {name: tf.constant(value) for name, value in weights.items()}
        tape.watch(given)
        logits = forward(given, shape, steps, state, as_int8=True).logits
        loss = tf.reduce_sum(logits)
    expected = forward(rounded, shape, steps, state).logits
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    for name, gradient in tape.gradient(loss, given).items():
        if not is_moment(name):
            assert np.any(gradient), name


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.5, 4.0), (-2.0, -1.0), (0.0, 0.0)])
def test_values_are_rounded_to_those_of_int8(low: float, high: float) -> None:
    values = tf.constant(np.random.default_rng(0).uniform(low, high, (20, 30, 8)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(values)
        rounded = _rounded_values(values)
    step = (max(high, 0.0) - min(low, 0.0)) / 255
    assert np.abs(rounded - values).max() <= 0.501 * step
    assert len(np.unique(rounded)) <= 256
    assert _rounded_values(tf.zeros(3)).numpy().tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(tape.gradient(rounded, values), np.ones_like(values))
