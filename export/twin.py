"""The process that converts: a pickled network and calibration on stdin, a TFLite model on stdout.

The network is rebuilt with tf_keras (Keras 2), batch 1 and one step long: from that, and only from
that, TensorFlow's converter makes one fused ``UNIDIRECTIONAL_SEQUENCE_LSTM`` a layer, whose state
stays in the interpreter from one invocation to the next. A Keras 3 LSTM, or a stateful one of
tf_keras, becomes a WHILE loop, and the quantization of that crashes the process.

`harken.export.convert` starts this module as a program; nothing else imports TensorFlow here.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from .reference import Array, Network


def keras_twin(network: Network) -> Any:
    """Build the tf_keras model with a network's weights: (1, 1, inputs) to logits (1, labels)."""
    given = tf_keras.Input(batch_shape=(1, 1, network.inputs))
    x = given
    if network.dense_in is not None:
        x = tf_keras.layers.Dense(network.dense_in.bias.size, activation="relu")(x)
    for layer in network.lstm:
        x = tf_keras.layers.LSTM(layer.units, return_sequences=True)(x)
    labels = network.dense_out.bias.size
    x = tf_keras.layers.Dense(labels)(x)
    twin = tf_keras.Model(given, tf_keras.layers.Reshape((labels,))(x))

    layers = [layer for layer in (network.dense_in, *network.lstm, network.dense_out) if layer]
    twin.set_weights([array for layer in layers for array in vars(layer).values()])
    return twin


def to_int8(twin: Any, calibration: Array) -> bytes:
    """Convert a twin to a fully int8 TFLite model, calibrated on (steps, inputs) of one stream."""

    def representative() -> Iterator[list[Array]]:
        for step in calibration:
            yield [step[None, None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(twin)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    # One scale a tensor. Reference kernels of 2023 (tflite-runtime 2.14) and of many boards take a
    # dense layer with one scale a row, compute nonsense, and report nothing.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return bytes(converter.convert())


def main() -> None:
    """Read from stdin, write to stdout; what TensorFlow prints on stdout goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as result:
        os.dup2(2, 1)
        network, calibration = pickle.load(sys.stdin.buffer)
        result.write(to_int8(keras_twin(network), calibration))


if __name__ == "__main__":
    main()
