"""Stacked feature frames in, label logits and the LSTM's state out: the network, as it is trained.

The same arithmetic as the int8 model on the device, in float32: an optional dense layer with ReLU,
one or more LSTM layers whose cell is clipped (TensorFlow Lite's converter clips it at ±10 without
being asked, so training does the same), a dense layer of logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .config import ModelConfig

Weights = dict[str, NDArray[np.float32]]


def initial_weights(config: ModelConfig, *, inputs: int, labels: int, seed: int) -> Weights:
    """Draw a network's first weights: Glorot-uniform kernels, orthogonal recurrence, forget bias 1.

    Parameters
    ----------
    config
        Shape of the network.
    inputs, labels
        Values of a stacked input step, and number of logits.
    seed
        Seed of the draws.

    Returns
    -------
    dict
        float32 arrays by name; gate order i, f, g, o as in Keras.
    """
    rng = np.random.default_rng(seed)

    def glorot(rows: int, columns: int) -> NDArray[np.float32]:
        limit = np.sqrt(6.0 / (rows + columns))
        return rng.uniform(-limit, limit, (rows, columns)).astype(np.float32)

    weights: Weights = {}
    width = inputs
    if config.dense_units:
        weights["dense_in/kernel"] = glorot(width, config.dense_units)
        weights["dense_in/bias"] = np.zeros(config.dense_units, np.float32)
        width = config.dense_units
    for layer, units in enumerate(config.lstm_units):
        gates = [np.linalg.qr(rng.standard_normal((units, units)))[0] for _ in range(4)]
        bias = np.zeros(4 * units, np.float32)
        bias[units : 2 * units] = 1.0  # Jozefowicz et al., 2015: start by remembering
        weights[f"lstm_{layer}/kernel"] = np.hstack([glorot(width, units) for _ in range(4)])
        weights[f"lstm_{layer}/recurrent_kernel"] = np.hstack(gates).astype(np.float32)
        weights[f"lstm_{layer}/bias"] = bias
        width = units
    weights["dense_out/kernel"] = glorot(width, labels)
    weights["dense_out/bias"] = np.zeros(labels, np.float32)
    return weights


def zero_state(config: ModelConfig, batch: int) -> list[tuple[Any, Any]]:
    """Return the reset state: (h, c), each (batch, units), for every LSTM layer."""
    return [(tf.zeros((batch, n)), tf.zeros((batch, n))) for n in config.lstm_units]


def forward(
    weights: dict[str, Any],
    config: ModelConfig,
    steps: Any,
    state: list[tuple[Any, Any]],
    *,
    dropout: float = 0.0,
    seed: Any = None,
) -> tuple[Any, list[tuple[Any, Any]]]:
    """Run the network over streams.

    Parameters
    ----------
    weights
        Tensors or variables by name, see `initial_weights`.
    config
        Shape of the network.
    steps
        Stacked features, shape (batch, steps, inputs), float32.
    state
        (h, c) of every LSTM layer, each (batch, units).
    dropout, seed
        Share of the units dropped between layers, and the stateless seed, shape (2,), of the draw;
        0 for everything but training.

    Returns
    -------
    tuple
        Logits, shape (batch, steps, labels), and the state after the last step.
    """

    def drop(x: Any, salt: int) -> Any:
        if not dropout:
            return x
        # One mask per stream, the same at all steps (Gal and Ghahramani, 2016).
        shape = (tf.shape(x)[0], 1, x.shape[2])
        keep = tf.random.stateless_uniform(shape, seed + salt) >= dropout
        return x * tf.cast(keep, x.dtype) / (1.0 - dropout)

    x = steps
    if config.dense_units:
        x = tf.nn.relu(x @ weights["dense_in/kernel"] + weights["dense_in/bias"])
        x = drop(x, 1)
    after = []
    for layer, before in enumerate(state):
        name = f"lstm_{layer}"
        x, h, c = _lstm(
            x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"],
            weights[f"{name}/recurrent_kernel"],
            *before,
            config.cell_clip,
        )
        x = drop(x, 2 + layer)
        after.append((h, c))
    return x @ weights["dense_out/kernel"] + weights["dense_out/bias"], after


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
