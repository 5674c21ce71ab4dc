"""Trained weights and stacked frames in, float32 logits out: the reference for the int8 model.

Only NumPy, and written to be read: the definition of the network for other implementations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import RunError
from ..train.config import NORMALISATION_EPSILON, ModelConfig

Array = NDArray[np.float32]
Tap = Callable[[str, Array], Array]
"""Called with the name of a tensor and its values at all steps; returns the values to use."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A fully connected layer: ``x @ kernel + bias``."""

    kernel: Array
    """(inputs, units)."""
    bias: Array
    """(units,)."""


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A two-dimensional convolution without padding, over the rows and columns of an image."""

    shape: tuple[int, int, int]
    """Rows, columns and channels of the input."""
    kernel: Array
    """(rows, columns, input channels, channels)."""
    bias: Array
    """(channels,)."""
    stride: int
    """Columns from one output to the next; rows follow one another."""
    relu: bool

    @property
    def outputs(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the output."""
        rows, columns, _, channels = self.kernel.shape
        return (*places(self.shape, (rows, columns), self.stride), channels)

    def __call__(self, images: Array) -> Array:
        """Return the output for images (count, values), (count, output values), before the ReLU."""
        images = images.reshape(-1, *self.shape)
        rows, columns, channels = self.outputs
        deep, wide, _, _ = self.kernel.shape
        last = (columns - 1) * self.stride + 1
        total = np.tile(self.bias, (len(images), rows, columns, 1))
        for row in range(deep):
            for column in range(wide):
                seen = images[:, row : row + rows, column : column + last : self.stride]
                total += seen @ self.kernel[row, column]
        return total.reshape(len(images), rows * columns * channels)


@dataclass(frozen=True, kw_only=True)
class Svdf:
    """A pointwise layer, a filter over time of each channel, ReLU: an SVDF of rank 1.

    Nakkiran et al., "Compressing Deep Neural Networks using a Rank-Constrained Topology", 2015;
    Alvarez and Park, "End-to-End Streaming Keyword Spotting", 2019.
    """

    kernel: Array
    """(inputs, units)."""
    time_kernel: Array
    """(memory, units): from the oldest step to the current one."""
    bias: Array
    """(units,)."""
    adds: int
    """Layers that an addition before the ReLU spans: 1, this layer's input is added; 2, the
    previous layer's input; 0, nothing."""

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.bias.size)

    @property
    def memory(self) -> int:
        """Steps that a filter covers, including the current one."""
        return len(self.time_kernel)

    @classmethod
    def folded(cls, weights: Mapping[str, Array], name: str, *, adds: int) -> Svdf:
        """Convert a trained layer, with batch normalisation between filter and ReLU.

        Parameters
        ----------
        weights
            ``NAME/kernel`` and ``NAME/time_kernel`` as above, ``NAME/scale``, ``NAME/bias``,
            ``NAME/mean`` and ``NAME/variance``, (units,) each.
        name
            The layer's.
        adds
            See above.
        """
        gain, bias = _gain_and_bias(weights, name)
        return cls(
            kernel=weights[f"{name}/kernel"],
            time_kernel=(weights[f"{name}/time_kernel"] * gain).astype(np.float32),
            bias=bias,
            adds=adds,
        )


@dataclass(frozen=True, kw_only=True)
class Lstm:
    """An LSTM layer; the last axis holds the gates input, forget, cell, output, as in Keras."""

    kernel: Array
    """(inputs, 4 * units)."""
    recurrent_kernel: Array
    """(units, 4 * units)."""
    bias: Array
    """(4 * units,)."""

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.recurrent_kernel)


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Output and ranges of a network over a stream."""

    logits: Array
    """(steps, labels)."""
    svdf_peaks: tuple[float, ...]
    """Largest magnitude in the memory of each SVDF layer."""
    cell_peaks: tuple[float, ...]
    """Largest magnitude of a cell in each LSTM layer."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A dense layer with ReLU or convolutions, if any, SVDF layers, LSTM layers, a dense layer.

    The first convolution turns the MFCC of each frame, a row, back into mel bands; the second one
    sees all frames of a step, the others neighbouring bands.

    The LSTM is Long Short-Term Memory without peepholes (Gers, Schmidhuber, Cummins, "Learning to
    Forget", 2000), with the cell clipped as in TensorFlow Lite's fused operator.
    """

    dense_in: Dense | None
    conv: tuple[Convolution, ...] = ()
    svdf: tuple[Svdf, ...]
    lstm: tuple[Lstm, ...]
    dense_out: Dense
    cell_clip: float
    """Cells are clipped to ± this."""

    @classmethod
    def from_weights(
        cls,
        weights: Mapping[str, NDArray[np.generic]],
        config: ModelConfig,
        *,
        inputs: int,
        labels: int,
        source: str = "weights",
    ) -> Network:
        """Build a network from weights by name.

        Parameters
        ----------
        weights
            ``dense_in/kernel``, ``dense_in/bias`` (absent when `dense_units` is 0); with
            convolutions ``mel/kernel``, and ``conv_0/kernel`` and so on, with the same arrays of
            batch normalisation as `Svdf.folded`;
            ``svdf_0/kernel`` and the other arrays of `Svdf.folded`, ``lstm_0/kernel``,
            ``lstm_0/recurrent_kernel``, ``lstm_0/bias`` and so on, ``dense_out/kernel``,
            ``dense_out/bias``; float32.
        config
            The expected shape of the network.
        inputs, labels
            Values of a stacked step, and number of logits.
        source
            Name of `weights` in errors; the file's name.

        Raises
        ------
        RunError
            An array is missing, unknown, has the wrong shape, or holds a value that is not finite;
            or a variance is negative.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        width = inputs
        if units := config.dense_units:
            shapes |= {"dense_in/kernel": (width, units), "dense_in/bias": (units,)}
            width = units
        bands = len(weights.get("mel/kernel", ())) or inputs
        if config.conv:
            shapes["mel/kernel"] = (bands, bands)
            width = inputs // bands
            for layer, (kernel, _, channels) in enumerate(config.conv):
                shapes[f"conv_{layer}/kernel"] = (kernel * width, channels)
                shapes |= _normalisation_shapes(f"conv_{layer}", channels)
                width = channels
            width *= config.positions(bands)[-1]
        for layer, (units, memory) in enumerate(config.svdf):
            shapes[f"svdf_{layer}/kernel"] = (width, units)
            shapes[f"svdf_{layer}/time_kernel"] = (memory, units)
            shapes |= _normalisation_shapes(f"svdf_{layer}", units)
            width = units
        for layer, units in enumerate(config.lstm_units):
            shapes[f"lstm_{layer}/kernel"] = (width, 4 * units)
            shapes[f"lstm_{layer}/recurrent_kernel"] = (units, 4 * units)
            shapes[f"lstm_{layer}/bias"] = (4 * units,)
            width = units
        shapes |= {"dense_out/kernel": (width, labels), "dense_out/bias": (labels,)}

        for name in weights.keys() - shapes.keys():
            raise RunError(
                f"{source}: {name} belongs to no layer of the configuration; "
                f"expected are {', '.join(shapes)}"
            )
        arrays: dict[str, Array] = {}
        for name, shape in shapes.items():
            if name not in weights:
                raise RunError(f"{source}: {name} is missing; the run folder is incomplete")
            if weights[name].shape != shape:
                raise RunError(
                    f"{source}: {name} has the shape {weights[name].shape}, "
                    f"but the configuration requires {shape}"
                )
            arrays[name] = weights[name].astype(np.float32)
            if not np.isfinite(arrays[name]).all():
                raise RunError(
                    f"{source}: {name} holds NaN or infinite values: training has diverged; "
                    "train again with a smaller learning rate"
                )
            if name.endswith("/variance") and (arrays[name] < 0).any():
                raise RunError(
                    f"{source}: {name} holds {arrays[name].min():g}, but no variance is negative: "
                    "the file is damaged; train again"
                )

        def dense(name: str) -> Dense:
            return Dense(kernel=arrays[f"{name}/kernel"], bias=arrays[f"{name}/bias"])

        return cls(
            dense_in=dense("dense_in") if config.dense_units else None,
            conv=tuple(_convolutions(arrays, config, frames=inputs // bands)),
            svdf=tuple(
                Svdf.folded(arrays, f"svdf_{layer}", adds=config.adds(layer))
                for layer in range(len(config.svdf))
            ),
            lstm=tuple(
                Lstm(
                    kernel=arrays[f"lstm_{layer}/kernel"],
                    recurrent_kernel=arrays[f"lstm_{layer}/recurrent_kernel"],
                    bias=arrays[f"lstm_{layer}/bias"],
                )
                for layer in range(len(config.lstm_units))
            ),
            dense_out=dense("dense_out"),
            cell_clip=config.cell_clip,
        )

    @property
    def inputs(self) -> int:
        """Values per stacked step."""
        if self.conv:
            return math.prod(self.conv[0].shape)
        layers = (*((self.dense_in,) if self.dense_in else ()), *self.svdf, *self.lstm)
        return len(layers[0].kernel)

    @property
    def lstm_units(self) -> tuple[int, ...]:
        """Units of each LSTM layer."""
        return tuple(layer.units for layer in self.lstm)

    @property
    def description(self) -> str:
        """The layers in one line, such as ``80 inputs, SVDF 48 × 5, LSTM 64, 19 labels``."""
        layers = [f"{self.inputs} inputs"]
        if self.dense_in:
            layers.append(f"Dense {self.dense_in.bias.size}")
        layers += [f"Conv {layer.outputs[1]} × {layer.outputs[2]}" for layer in self.conv[1:]]
        layers += [
            f"SVDF {layer.units} × {layer.memory}{' added' if layer.adds else ''}"
            for layer in self.svdf
        ]
        layers += [f"LSTM {units}" for units in self.lstm_units]
        return ", ".join((*layers, f"{self.dense_out.bias.size} labels"))

    def run(self, steps: Array, tap: Tap = lambda name, values: values) -> Activity:
        """Run the network over one stream, from a reset state.

        Parameters
        ----------
        steps
            Stacked frames, (steps, inputs) float32.
        tap
            Receives each tensor, and may change it: ``input``, ``dense_in``; ``mel``, ``conv_0``
            and so on, after the ReLU; for each SVDF layer ``svdf_0/state`` (the output of its
            pointwise part), ``svdf_0`` (the output of its filters, after the ReLU if nothing is
            added) and ``svdf_0/sum`` (after addition and ReLU); for each LSTM layer ``lstm_0/h``;
            ``logits``. All are (steps, units).
        """
        x = tap("input", steps)
        if self.dense_in is not None:
            x = x @ self.dense_in.kernel + self.dense_in.bias
            x = tap("dense_in", np.maximum(x, np.float32(0)))
        for name, convolution in zip(conv_names(len(self.conv)), self.conv, strict=True):
            y = convolution(x)
            x = tap(name, np.maximum(y, np.float32(0)) if convolution.relu else y)
        svdf_peaks: list[float] = []
        taken: list[Array] = []
        for index, stem in enumerate(self.svdf):
            state = tap(f"svdf_{index}/state", x @ stem.kernel)
            svdf_peaks.append(float(np.abs(state).max()))
            taken.append(x)
            y = filtered(stem, state)
            if stem.adds:
                y = tap(f"svdf_{index}", y) + taken[-stem.adds]
            relu = np.maximum(y, np.float32(0))
            x = tap(f"svdf_{index}/sum" if stem.adds else f"svdf_{index}", relu)
        cell_peaks = []
        for index, layer in enumerate(self.lstm):
            states = list(self._states(layer, x))
            x = tap(f"lstm_{index}/h", np.array([h for h, _ in states]))
            cell_peaks.append(float(np.abs([c for _, c in states]).max()))
        return Activity(
            logits=tap("logits", x @ self.dense_out.kernel + self.dense_out.bias),
            svdf_peaks=tuple(svdf_peaks),
            cell_peaks=tuple(cell_peaks),
        )

    def _states(self, layer: Lstm, inputs: Array) -> Iterator[tuple[Array, Array]]:
        """Yield hidden state and cell, (units,) each, after every step of (steps, layer inputs)."""
        h = np.zeros(layer.units, np.float32)
        c = np.zeros(layer.units, np.float32)
        clip = np.float32(self.cell_clip)
        for projected in inputs @ layer.kernel + layer.bias:
            i, f, g, o = np.split(projected + h @ layer.recurrent_kernel, 4)
            c = np.clip(_sigmoid(f) * c + _sigmoid(i) * np.tanh(g), -clip, clip)
            h = _sigmoid(o) * np.tanh(c)
            yield h, c


def places(shape: tuple[int, int, int], kernel: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return at how many rows and columns a convolution over an image is evaluated."""
    return shape[0] - kernel[0] + 1, (shape[1] - kernel[1]) // stride + 1


def conv_names(count: int) -> list[str]:
    """Return the names of a network's convolutions: ``mel``, ``conv_0``, ``conv_1`` and so on."""
    return ["mel", *(f"conv_{layer}" for layer in range(count - 1))][:count]


def _normalisation_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/{part}": (channels,) for part in ("scale", "bias", "mean", "variance")}


def _gain_and_bias(weights: Mapping[str, Array], name: str) -> tuple[NDArray[np.float64], Array]:
    """Return by what a layer's outputs are multiplied by its batch normalisation, and its bias."""
    spread = np.sqrt(weights[f"{name}/variance"].astype(np.float64) + NORMALISATION_EPSILON)
    gain = weights[f"{name}/scale"] / spread
    return gain, (weights[f"{name}/bias"] - weights[f"{name}/mean"] * gain).astype(np.float32)


def _convolutions(
    weights: Mapping[str, Array], config: ModelConfig, *, frames: int
) -> Iterator[Convolution]:
    """Yield a network's convolutions, with batch normalisation folded in."""
    if not config.conv:
        return
    mel = weights["mel/kernel"]
    bands = len(mel)
    yield Convolution(
        shape=(frames, 1, bands),
        kernel=mel[np.newaxis, np.newaxis],
        bias=np.zeros(bands, np.float32),
        stride=1,
        relu=False,
    )
    columns, depth = bands, frames
    for layer, (width, stride, channels) in enumerate(config.conv):
        name = f"conv_{layer}"
        gain, bias = _gain_and_bias(weights, name)
        kernel = (weights[f"{name}/kernel"] * gain).astype(np.float32)
        kernel = kernel.reshape(1, width, depth, channels)
        if layer == 0:  # the frames are the rows of its input
            kernel = kernel.transpose(2, 1, 0, 3)
        convolution = Convolution(
            shape=(frames, columns, 1) if layer == 0 else (1, columns, depth),
            kernel=np.ascontiguousarray(kernel),
            bias=bias,
            stride=stride,
            relu=True,
        )
        yield convolution
        _, columns, depth = convolution.outputs


def filtered(layer: Svdf, state: Array) -> Array:
    """Return the output of an SVDF layer's filters for the output of its pointwise part.

    Both are (steps, units).
    """
    before = np.zeros((layer.memory - 1, layer.units), np.float32)
    heard, total = np.concatenate((before, state)), np.tile(layer.bias, (len(state), 1))
    for age, weights in enumerate(layer.time_kernel):
        total += weights * heard[age : age + len(state)]
    return total


def softmax(logits: NDArray[np.floating]) -> Array:
    """Convert logits to posteriors along the last axis, float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


def _sigmoid(x: Array) -> Array:
    half = np.float32(0.5)
    sigmoid: Array = half * (np.float32(1) + np.tanh(half * x))  # never overflows
    return sigmoid
