"""The network for training: stacked feature frames in, label logits and the state out.

The same arithmetic as the int8 model on the device, in float32: an optional dense layer with ReLU,
or convolutions over frequency with ReLU (Sainath and Parada, "Convolutional Neural Networks for
Small-footprint Keyword Spotting", 2015), for which the MFCC are turned back into mel bands, since
neighbouring coefficients have nothing in common; a stem of SVDF layers of rank 1 with ReLU
(Nakkiran et al., "Compressing Deep Neural Networks using a Rank-Constrained Topology", 2015), with
residual additions (He et al., "Deep Residual Learning for Image Recognition", 2016); one or more
LSTM layers whose cell is clipped (at ±10, as set in the TensorFlow Lite file); a dense layer of
logits. While training, the stem is normalised over the batch (Ioffe and Szegedy, "Batch
Normalization", 2015); `harken.export.reference` folds that into weights and biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .config import NORMALISATION_EPSILON, ModelConfig, TrainConfig

Weights = dict[str, NDArray[np.float32]]
State = dict[str, Any]
"""A network's state, tensors by name; see `zero_state`."""

FIXED = ("mel/kernel",)
"""Weights that are not learned."""

_MOMENTS = ("/mean", "/variance")


def is_moment(name: str) -> bool:
    """Whether a weight is measured (see `harken.train.moments`) instead of learned by gradient."""
    return name.endswith(_MOMENTS)


def mel_kernel(std: Sequence[float]) -> NDArray[np.float32]:
    """Return the matrix that turns standardised MFCC into mel bands: an inverse DCT.

    Parameters
    ----------
    std
        Standard deviation of each coefficient, by which it was divided.

    Returns
    -------
    ndarray
        (coefficients, bands), as many bands as coefficients, float32. A band's mean is left out,
        and the bands are divided by their typical standard deviation.
    """
    count = len(std)
    order, band = np.arange(count)[:, np.newaxis], np.arange(count) + 0.5
    cosines = np.cos(np.pi * order * band / count)
    cosines[0] /= np.sqrt(2)
    kernel = np.asarray(std)[:, np.newaxis] * cosines
    spread = np.sqrt((kernel**2).sum(axis=0)).mean()
    return np.asarray(kernel / spread, np.float32)


def drawn_weights(config: TrainConfig) -> Weights:
    """Draw the initial weights of a run; see `initial_weights`."""
    return initial_weights(
        config.model,
        inputs=config.step.context_frames * config.front_end.n_mfcc,
        labels=len(config.labels),
        seed=config.seed,
        std=config.front_end.std,
    )


def initial_weights(
    config: ModelConfig,
    *,
    inputs: int,
    labels: int,
    seed: int,
    std: Sequence[float] = (),
) -> Weights:
    """Draw a network's initial weights.

    Glorot-uniform kernels, orthogonal recurrence, a forget bias of 1; filters over time are
    Glorot-uniform per channel.

    Parameters
    ----------
    config
        Shape of the network.
    inputs, labels
        Size of a stacked input step, and number of logits.
    seed
        Seed of the draws.
    std
        See `mel_kernel`; for a network with convolutions.

    Returns
    -------
    dict
        float32 arrays by name; gate order i, f, g, o as in Keras. A convolution's kernel is (kernel
        bands * input channels, channels), where the first one's input channels are the frames of a
        step, oldest first.
    """
    rng = np.random.default_rng(seed)

    def glorot(rows: int, columns: int) -> NDArray[np.float32]:
        limit = np.sqrt(6.0 / (rows + columns))
        return rng.uniform(-limit, limit, (rows, columns)).astype(np.float32)

    weights: Weights = {}

    def normalisation(name: str, channels: int) -> Weights:
        zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        parts = {"scale": ones, "bias": zeros, "mean": zeros, "variance": ones}
        return {f"{name}/{part}": value.copy() for part, value in parts.items()}

    width = inputs
    if config.conv:
        weights["mel/kernel"] = mel_kernel(std)
        width = inputs // len(std)
        for layer, (kernel, _, channels) in enumerate(config.conv):
            weights[f"conv_{layer}/kernel"] = glorot(kernel * width, channels)
            weights |= normalisation(f"conv_{layer}", channels)
            width = channels
        width *= config.positions(len(std))[-1]
    if config.dense_units:
        weights["dense_in/kernel"] = glorot(width, config.dense_units)
        weights["dense_in/bias"] = np.zeros(config.dense_units, np.float32)
        width = config.dense_units
    for layer, (units, memory) in enumerate(config.svdf):
        name, limit = f"svdf_{layer}", np.sqrt(3.0 / memory)
        weights[f"{name}/kernel"] = glorot(width, units)
        weights[f"{name}/time_kernel"] = rng.uniform(-limit, limit, (memory, units)).astype(
            np.float32
        )
        weights |= normalisation(name, units)
        width = units
    for layer, units in enumerate(config.lstm_units):
        gates = [np.linalg.qr(rng.standard_normal((units, units)))[0] for _ in range(4)]
        bias = np.zeros(4 * units, np.float32)
        bias[units : 2 * units] = 1.0  # Jozefowicz et al., 2015: initially, remember
        weights[f"lstm_{layer}/kernel"] = np.hstack([glorot(width, units) for _ in range(4)])
        weights[f"lstm_{layer}/recurrent_kernel"] = np.hstack(gates).astype(np.float32)
        weights[f"lstm_{layer}/bias"] = bias
        width = units
    weights["dense_out/kernel"] = glorot(width, labels)
    weights["dense_out/bias"] = np.zeros(labels, np.float32)
    return weights


def zero_state(config: ModelConfig, batch: int) -> State:
    """Return the reset state.

    ``svdf_N`` (batch, memory - 1, units): outputs of each SVDF layer's pointwise part at the last
    steps, oldest first; ``lstm_N/h`` and ``lstm_N/c`` (batch, units) of each LSTM layer.
    """
    state = {
        f"svdf_{layer}": tf.zeros((batch, memory - 1, units))
        for layer, (units, memory) in enumerate(config.svdf)
    }
    for layer, units in enumerate(config.lstm_units):
        state |= {f"lstm_{layer}/{part}": tf.zeros((batch, units)) for part in "hc"}
    return state


def fresh_state(state: State, fresh: Any) -> State:
    """Return a state that is reset for the streams that begin, (batch,) bool."""
    return {
        name: tf.where(tf.reshape(fresh, (-1, *[1] * (value.ndim - 1))), 0.0, value)
        for name, value in state.items()
    }


class Outputs(NamedTuple):
    """The outputs of `forward`."""

    logits: Any
    """(batch, steps, labels)."""
    state: State
    """After the last step."""
    moments: dict[str, Any]
    """While training: mean and variance of each channel of each layer of the stem over the batch,
    by the names of the weights that replace them later; otherwise empty."""


def forward(
    weights: dict[str, Any],
    config: ModelConfig,
    steps: Any,
    state: State,
    *,
    training: bool = False,
    as_int8: bool = False,
    dropout: float = 0.0,
    seed: Any = None,
) -> Outputs:
    """Run the network over streams.

    Parameters
    ----------
    weights
        Tensors or variables by name, see `initial_weights`. While training, weights for which
        `is_moment` is true may be missing.
    config
        Shape of the network.
    steps
        Stacked features, shape (batch, steps, inputs), float32.
    state
        See `zero_state`.
    training
        Normalise by the mean and variance of this batch, not by the fixed ones.
    as_int8
        Round the weights of matrices as `harken.export.quantize` will, and the outputs of the
        layers before the LSTM to 256 values over their range in this batch, so that the network
        tolerates quantization. Gradients pass as if nothing were rounded (Jacob et al.,
        "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
        Inference", 2018).
    dropout, seed
        Dropout rate after each LSTM layer and after a dense layer (0 except in training), and the
        stateless seed, shape (2,), of the draw.
    """

    def matrix(name: str, *, parts: int = 1, by_unit: bool = False) -> Any:
        return _rounded(weights[name], parts, by_unit=by_unit) if as_int8 else weights[name]

    def stored(x: Any) -> Any:
        return _rounded_values(x) if as_int8 else x

    def drop(x: Any, salt: int) -> Any:
        if not dropout:
            return x
        # One mask per stream, the same at all steps (Gal and Ghahramani, 2016).
        shape = (tf.shape(x)[0], 1, x.shape[2])
        keep = tf.random.stateless_uniform(shape, seed + salt) >= dropout
        return x * tf.cast(keep, x.dtype) / (1.0 - dropout)

    moments: dict[str, Any] = {}

    def normalised(y: Any, name: str) -> Any:
        if training:
            mean, variance = tf.nn.moments(y, axes=list(range(y.shape.rank - 1)))
            moments.update({f"{name}/mean": mean, f"{name}/variance": variance})
        else:
            mean, variance = weights[f"{name}/mean"], weights[f"{name}/variance"]
        scale = weights[f"{name}/scale"] * tf.math.rsqrt(variance + NORMALISATION_EPSILON)
        return (y - mean) * scale + weights[f"{name}/bias"]

    x = stored(steps)
    taken: list[Any] = []  # inputs of each SVDF layer
    after: State = {}
    if config.conv:
        x = stored(_bands(x, matrix("mel/kernel")))
        for layer, (width, stride, _) in enumerate(config.conv):
            name = f"conv_{layer}"
            y = _neighbours(x, width, stride) @ matrix(f"{name}/kernel", by_unit=True)
            x = stored(tf.nn.relu(normalised(y, name)))
        x = tf.reshape(x, (tf.shape(x)[0], -1, x.shape[2] * x.shape[3]))
    if config.dense_units:
        x = stored(tf.nn.relu(x @ matrix("dense_in/kernel") + weights["dense_in/bias"]))
        x = drop(x, 1)
    for layer in range(len(config.svdf)):
        name = f"svdf_{layer}"
        taken.append(x)
        y, after[name] = _svdf(
            x @ matrix(f"{name}/kernel", by_unit=True),
            weights[f"{name}/time_kernel"],
            state[name],
        )
        y = normalised(y, name)
        span = config.adds(layer)
        x = stored(tf.nn.relu(stored(y) + taken[-span] if span else y))
    for layer in range(len(config.lstm_units)):
        name = f"lstm_{layer}"
        x, after[f"{name}/h"], after[f"{name}/c"] = _lstm(
            x @ matrix(f"{name}/kernel", parts=4) + weights[f"{name}/bias"],
            matrix(f"{name}/recurrent_kernel", parts=4),
            state[f"{name}/h"],
            state[f"{name}/c"],
            config.cell_clip,
        )
        x = drop(x, 2 + layer)
    return Outputs(x @ matrix("dense_out/kernel") + weights["dense_out/bias"], after, moments)


def _rounded(kernel: Any, parts: int, *, by_unit: bool) -> Any:
    """Round (inputs, units) to 127 steps on each side of 0, with a scale per part of the units.

    Units of an SVDF are scaled to the same largest magnitude before rounding, so each has its own
    scale.
    """
    axis = 0 if by_unit else None
    scaled = [
        tf.maximum(tf.reduce_max(tf.abs(part), axis=axis, keepdims=True), 1e-9) / 127.0
        for part in tf.split(kernel, parts, axis=1)
    ]
    rounded = tf.concat(
        [
            tf.round(part / scale) * scale
            for part, scale in zip(tf.split(kernel, parts, axis=1), scaled, strict=True)
        ],
        axis=1,
    )
    return kernel + tf.stop_gradient(rounded - kernel)


def _rounded_values(x: Any) -> Any:
    """Round to 256 values over the range of the values and 0."""
    low, high = tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0)
    scale = tf.maximum((high - low) / 255.0, 1e-9)
    return x + tf.stop_gradient(tf.round(x / scale) * scale - x)


def _bands(steps: Any, kernel: Any) -> Any:
    """Turn (batch, steps, frames * coefficients) into (batch, steps, bands, frames)."""
    count, width = kernel.shape[0], steps.shape[2]
    shape = (tf.shape(steps)[0], -1, width // count, kernel.shape[1])
    return tf.transpose(tf.reshape(tf.reshape(steps, (-1, count)) @ kernel, shape), (0, 1, 3, 2))


def _neighbours(x: Any, width: int, stride: int) -> Any:
    """Join the channels of neighbouring bands.

    (batch, steps, bands, channels) to (batch, steps, places, width * channels), the lowest band
    first.
    """
    last = x.shape[2] - width + 1
    return tf.concat([x[:, :, band : band + last : stride] for band in range(width)], axis=-1)


def _svdf(projected: Any, time_kernel: Any, before: Any) -> tuple[Any, Any]:
    """Filter (batch, steps, units) over time; returns the same shape, and the last inputs."""
    memory, steps = time_kernel.shape[0], tf.shape(projected)[1]
    heard = tf.concat([before, projected], axis=1)
    # A sum of shifted products: a grouped convolution is slower on a CPU.
    filtered = sum(time_kernel[age] * heard[:, age : age + steps] for age in range(memory))
    return filtered, heard[:, steps:]


def _lstm(projected: Any, recurrent: Any, h: Any, c: Any, clip: float) -> tuple[Any, Any, Any]:
    """One LSTM layer over (batch, steps, 4 units) projected inputs; returns outputs, h and c."""
    gates_in = tf.transpose(projected, (1, 0, 2))
    count, units = gates_in.shape[0], recurrent.shape[0]
    outputs = tf.TensorArray(tf.float32, count, element_shape=(None, units))

    def body(t: Any, h: Any, c: Any, outputs: Any) -> tuple[Any, Any, Any, Any]:
        i, f, g, o = tf.split(gates_in[t] + h @ recurrent, 4, axis=1)
        c = tf.clip_by_value(tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g), -clip, clip)
        h = tf.sigmoid(o) * tf.tanh(c)
        return t + 1, h, c, outputs.write(t, h)

    _, h, c, outputs = tf.while_loop(
        lambda t, *_: t < count, body, (0, h, c, outputs), maximum_iterations=count
    )
    return tf.transpose(outputs.stack(), (1, 0, 2)), h, c


def soft_loss(logits: Any, posteriors: Any) -> Any:
    """Mean over the steps of the cross-entropy of a teacher's posteriors.

    Parameters
    ----------
    logits
        Shape (batch, steps, labels).
    posteriors
        Same shape; each step sums to 1.
    """
    return -tf.reduce_mean(tf.reduce_sum(posteriors * tf.nn.log_softmax(logits), axis=-1))


def set_loss(logits: Any, allowed: Any) -> Any:
    """Mean over the steps of −log P(label in the allowed set).

    Parameters
    ----------
    logits
        Shape (batch, steps, labels).
    allowed
        Boolean, same shape; at least one label of every step is allowed.
    """
    log_p = tf.nn.log_softmax(logits)
    inside = tf.where(allowed, log_p, tf.fill(tf.shape(log_p), -1e9))
    return -tf.reduce_mean(tf.reduce_logsumexp(inside, axis=-1))
