"""Train the model of the tests and write it to `data/`: ``python tests/make_tones_model.py``.

A real one in everything but its size: int8, a fused LSTM with its state inside, stacked frames. It
is kept in the repository so that the tests of the edge run without tensorflow. Beside it the same
network in float, which harken must refuse.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras
import tones

from harken.edge import DetectorConfig, FrontEnd, FrontEndConfig, Manifest
from harken.edge.files import write_atomic
from harken.edge.spotting.manifest import (
    MemoryConfig,
    ModelFile,
    Quantization,
    StateConfig,
    StepConfig,
)
from harken.edge.spotting.tflite import read_graph

FOLDER = Path(__file__).parent / "data"
STRIDE, CONTEXT = 2, 3  # a context longer than the stride: the general case
UNITS = 8


def training_stream(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n,) int16, and the label of each (n,)."""
    samples, labels = [], []
    length = 0
    while length < seconds * tones.RATE:
        label = int(rng.integers(4))
        duration = rng.uniform(0.25, 0.7)
        seed = int(rng.integers(2**31))
        if label < 2:
            level = 10 ** rng.uniform(-2, -0.2)
            part = tones.tone(tones.LABELS[label], seconds=duration, level=level)
        elif label == 2:
            part = tones.hiss(duration, level=10 ** rng.uniform(-2, -0.7), seed=seed)
        else:
            part = np.zeros(round(duration * tones.RATE), np.float32)
        samples.append(part + tones.quiet(duration, seed=seed + 1)[: len(part)])
        labels.append(np.full(len(part), label))
        length += len(part)
    return tones.to_int16(np.concatenate(samples)), np.concatenate(labels)


def step_inputs(frames: np.ndarray) -> np.ndarray:
    padded = np.concatenate((np.zeros((CONTEXT - STRIDE, frames.shape[1]), np.float32), frames))
    steps = len(frames) // STRIDE
    return np.stack([padded[s * STRIDE : s * STRIDE + CONTEXT].ravel() for s in range(steps)])


def discourage_negative(state: tf.Tensor) -> tf.Tensor:
    """Move the zero point of the int8 state far from 0, so that a reset to 0 would be noticed."""
    return tf.reduce_mean(tf.nn.relu(-state))


def main() -> None:
    tf_keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    config = FrontEndConfig(n_mels=20, n_mfcc=10)

    streams = [training_stream(rng, 20.0) for _ in range(16)]
    mfcc = [FrontEnd(config).mfcc(samples) for samples, _ in streams]
    everything = np.concatenate(mfcc)
    config = FrontEndConfig(
        n_mels=20,
        n_mfcc=10,
        mean=tuple(everything.mean(axis=0, dtype=float).round(4).tolist()),
        std=tuple(everything.std(axis=0, dtype=float).round(4).tolist()),
    )
    inputs, targets = [], []
    for samples, labels in streams:
        features = step_inputs(FrontEnd(config).feed(samples))
        hop = config.hop_samples
        ends = ((np.arange(len(features)) + 1) * STRIDE - 1) * hop + config.window_samples // 2
        inputs.append(features)
        targets.append(labels[ends])
    steps = min(map(len, inputs))
    x = np.stack([features[:steps] for features in inputs])
    y = np.stack([labels[:steps] for labels in targets])

    size = CONTEXT * config.n_mfcc
    trained = tf_keras.Sequential(
        [
            tf_keras.layers.Input((None, size)),
            tf_keras.layers.LSTM(
                UNITS, return_sequences=True, activity_regularizer=discourage_negative
            ),
            tf_keras.layers.Dense(len(tones.LABELS)),
        ]
    )
    trained.compile(
        tf_keras.optimizers.Adam(0.02),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = trained.fit(x, y, epochs=60, batch_size=4, verbose=0)

    one_step = tf_keras.Sequential(
        [
            tf_keras.layers.Input(batch_shape=(1, 1, size)),
            tf_keras.layers.LSTM(UNITS, return_sequences=True),
            tf_keras.layers.Reshape((UNITS,)),
            tf_keras.layers.Dense(len(tones.LABELS)),
        ]
    )
    one_step.set_weights(trained.get_weights())
    float_content = tf.lite.TFLiteConverter.from_keras_model(one_step).convert()
    converter = tf.lite.TFLiteConverter.from_keras_model(one_step)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [step[None, None].astype(np.float32)] for step in np.concatenate(inputs[:4])
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content = converter.convert()

    graph = read_graph(content)

    def quantization(tensor) -> Quantization:
        return Quantization(scale=tensor.scale, zero_point=tensor.zero_point, shape=tensor.shape)

    manifest = Manifest(
        name="tones",
        model=ModelFile(
            file="tones.tflite", bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
        ),
        front_end=config,
        step=StepConfig(stride_frames=STRIDE, context_frames=CONTEXT),
        labels=tones.LABELS,
        input=quantization(graph.inputs[0]),
        output=quantization(graph.outputs[0]),
        state=StateConfig(lstm_units=(UNITS,), cell_clip=10.0),
        detector=DetectorConfig(
            smoothing_steps=4, refractory_ms=300, thresholds={"low": 0.7, "high": 0.7}
        ),
        memory=MemoryConfig(tflm_arena_bytes=None),
        checks={},
        operating_point=None,
        provenance={"data": "synthetic tones, tests/tones.py", "licence": "Apache-2.0"},
    )
    FOLDER.mkdir(exist_ok=True)
    write_atomic(FOLDER / "tones.tflite", content)
    write_atomic(FOLDER / "tones_float.tflite", float_content)
    manifest.save(FOLDER / "tones.json")
    print(f"accuracy of steps {history.history['accuracy'][-1]:.3f}, {len(content)} bytes")


if __name__ == "__main__":
    sys.exit(main())
