"""Networks with a stem, drawn so that they behave like trained ones; streams and models of them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harken.edge.spotting.manifest import Model, ModelFile, Quantization, StateConfig, load_model
from harken.export.fused import write_network
from harken.export.layers import Affine
from harken.export.quantize import quantize
from harken.export.reference import Dense, Lstm, Network, Svdf
from harken.train.config import ModelConfig

LARGE = ((88, 3), (88, 5), (88, 5), (88, 5), (88, 5)), (72,)
TINY = ((44, 3), (44, 5), (44, 5), (44, 5), (44, 5)), (40,)
"""SVDF layers (units, memory) and LSTM units of `harken train --size large` and `tiny`."""


def drawn_network(
    svdf: Sequence[tuple[int, int]] = ((24, 3), (24, 5)),
    lstm: Sequence[int] = (20,),
    *,
    inputs: int = 60,
    labels: int = 5,
    dense: int = 0,
    residual: int = 1,
    seed: int = 0,
) -> Network:
    """Return a network that forgets slowly and is sure of its labels."""
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
        svdf=tuple(stem),
        lstm=tuple(layers),
        dense_out=Dense(kernel=draw(width, labels, gain=8.0), bias=draw(labels, gain=0.5)),
        cell_clip=10.0,
    )


def drawn_stream(steps: int, inputs: int = 60, *, seed: int = 0) -> np.ndarray:
    """Return (steps, inputs) float32 that change slowly, as speech does."""
    rng = np.random.default_rng(seed)
    stream = rng.normal(size=(steps, inputs)).astype(np.float32)
    for before, now in itertools.pairwise(stream):
        now[:] = 0.9 * before + np.sqrt(1 - 0.9**2) * now
    return stream


def drawn_model(
    svdf: Sequence[tuple[int, int]], lstm: Sequence[int], *, name: str = "drawn", seed: int = 0
) -> Model:
    """Return a model with the front end and labels of `commands`, no gate; it hears noise."""
    manifest = load_model("commands").ungated.manifest
    inputs, labels = manifest.input.shape[-1], len(manifest.labels)
    network = quantize(
        drawn_network(svdf, lstm, inputs=inputs, labels=labels, residual=2, seed=seed),
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
