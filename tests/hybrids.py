"""Networks with a stem, drawn so that they behave like trained ones; streams and models of them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harken.edge.spotting.manifest import Model, ModelFile, Quantization, StateConfig, load_model
from harken.export.fused import write_network
from harken.export.layers import Affine
from harken.export.quantize import quantize
from harken.export.reference import Convolution, Dense, Lstm, Network, Svdf
from harken.train.config import ModelConfig

LARGE = ((88, 3), (88, 5), (88, 5), (88, 5), (88, 5)), (72,)
TINY = ((44, 3), (44, 5), (44, 5), (44, 5), (44, 5)), (40,)
"""SVDF layers (units, memory) and LSTM units of two hybrids, each without convolutions."""

BANDS = 20
"""MFCC of a frame, and mel bands that convolutions see."""
FRAMES = 3
"""Frames that a drawn model sees at each step."""
CONV = ((5, 1, 8), (3, 2, 10), (3, 1, 7))
"""Kernel, stride and channels of convolutions."""


def drawn_network(
    svdf: Sequence[tuple[int, int]] = ((24, 3), (24, 5)),
    lstm: Sequence[int] = (20,),
    *,
    inputs: int = 60,
    labels: int = 5,
    dense: int = 0,
    conv: Sequence[tuple[int, int, int]] = (),
    residual: int = 1,
    seed: int = 0,
) -> Network:
    """Return a network that forgets slowly and is sure of its labels.

    `conv` names kernel, stride and channels of convolutions over frequency.
    """
    rng = np.random.default_rng(seed)
    width, x = inputs, drawn_stream(300, inputs, seed=seed)
    config = ModelConfig(
        dense_units=dense,
        svdf_units=tuple(units for units, _ in svdf),
        svdf_memory=tuple(memory for _, memory in svdf),
        svdf_residual=residual,
        lstm_units=tuple(lstm),
    )

    def draw(*shape: int, gain: float = 1.0) -> np.ndarray:
        return (gain * rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    first = None
    if dense:
        first = Dense(kernel=draw(width, dense), bias=draw(dense, gain=0.3))
        width, x = dense, np.maximum(x @ first.kernel + first.bias, 0)
    convolutions = []
    if conv:
        for layer in _drawn_convolutions(conv, inputs // BANDS, rng):
            y = layer(x).reshape(len(x), -1, layer.bias.size)
            gain = (rng.uniform(0.5, 1.5, layer.bias.size) / y.std(axis=(0, 1))).astype(np.float32)
            bias = (rng.normal(0, 0.3, gain.size) - y.mean(axis=(0, 1)) * gain).astype(np.float32)
            if not layer.relu:
                bias[:] = 0
            scaled = dataclasses.replace(layer, kernel=layer.kernel * gain, bias=bias)
            convolutions.append(scaled)
            x = np.maximum(scaled(x), 0) if layer.relu else scaled(x)
        width = x.shape[1]
    stem, taken = [], []
    for layer, (units, memory) in enumerate(svdf):
        taken.append(x)
        kernel, filters = draw(width, units), draw(memory, units)
        # What batch normalisation does: without it the layers would grow louder and louder.
        heard = np.concatenate((np.zeros((memory - 1, units)), x @ kernel))
        y = sum(filters[age] * heard[age : age + len(x)] for age in range(memory))
        gain = rng.uniform(0.5, 1.5, units) / y.std(axis=0)
        bias = rng.normal(0, 0.3, units) - y.mean(axis=0) * gain
        adds = config.adds(layer)
        stem.append(
            Svdf(
                kernel=kernel,
                time_kernel=(filters * gain).astype(np.float32),
                bias=bias.astype(np.float32),
                adds=adds,
            )
        )
        width, x = units, np.maximum(y * gain + bias + (taken[-adds] if adds else 0), 0)
    layers = []
    for units in lstm:
        bias = draw(4 * units, gain=0.5)
        bias[units : 2 * units] += 2
        layers.append(
            Lstm(
                kernel=draw(width, 4 * units, gain=0.7),
                recurrent_kernel=draw(units, 4 * units, gain=0.5),
                bias=bias,
            )
        )
        width = units
    return Network(
        dense_in=first,
        conv=tuple(convolutions),
        svdf=tuple(stem),
        lstm=tuple(layers),
        dense_out=Dense(kernel=draw(width, labels, gain=8.0), bias=draw(labels, gain=0.5)),
        cell_clip=10.0,
    )


def _drawn_convolutions(
    conv: Sequence[tuple[int, int, int]], frames: int, rng: np.random.Generator
) -> Iterator[Convolution]:
    columns, depth = BANDS, frames
    for layer, (width, stride, channels) in enumerate([(1, 1, BANDS), *conv]):
        if layer == 0:
            shape, rows = (frames, 1, BANDS), 1
        elif layer == 1:
            shape, rows = (frames, BANDS, 1), frames
        else:
            shape, rows = (1, columns, depth), 1
        kernel = rng.normal(size=(rows, width, shape[2], channels))
        kernel /= np.sqrt(kernel[..., 0].size)
        convolution = Convolution(
            shape=shape,
            kernel=kernel.astype(np.float32),
            bias=np.zeros(channels, np.float32),
            stride=stride,
            relu=layer > 0,
        )
        yield convolution
        _, columns, depth = convolution.outputs


def drawn_stream(steps: int, inputs: int = 60, *, seed: int = 0) -> np.ndarray:
    """Return (steps, inputs) float32 that change slowly, as speech does."""
    rng = np.random.default_rng(seed)
    stream = rng.normal(size=(steps, inputs)).astype(np.float32)
    for before, now in itertools.pairwise(stream):
        now[:] = 0.9 * before + np.sqrt(1 - 0.9**2) * now
    return stream


def drawn_model(
    svdf: Sequence[tuple[int, int]],
    lstm: Sequence[int],
    *,
    conv: Sequence[tuple[int, int, int]] = (),
    name: str = "drawn",
    seed: int = 0,
) -> Model:
    """Return a model with the front end and labels of `commands`, no gate; it hears noise."""
    manifest = load_model("commands").ungated.manifest
    inputs, labels = FRAMES * BANDS, len(manifest.labels)
    network = quantize(
        drawn_network(svdf, lstm, inputs=inputs, labels=labels, conv=conv, residual=2, seed=seed),
        drawn_stream(3000, inputs, seed=seed + 1),
    )
    content = write_network(network)

    def quantization(affine: Affine, *shape: int) -> Quantization:
        return Quantization(
            scale=float(affine.scale), zero_point=affine.zero_point, shape=(*shape,)
        )

    return Model(
        manifest=dataclasses.replace(
            manifest,
            name=name,
            step=dataclasses.replace(manifest.step, context_frames=FRAMES),
            model=ModelFile(
                file=f"{name}.tflite",
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            ),
            input=quantization(network.source, 1, 1, inputs),
            output=quantization(network.last.output, 1, labels),
            state=StateConfig(
                svdf_units=tuple(units for units, _ in svdf),
                svdf_memory=tuple(memory for _, memory in svdf),
                lstm_units=tuple(lstm),
                cell_clip=10.0,
            ),
            memory=dataclasses.replace(manifest.memory, tflm_arena_bytes=None),
        ),
        content=content,
        path=Path(f"{name}.tflite"),
    )
