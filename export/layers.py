"""The layers of an int8 network as numbers: the content of a TFLite file.

This is the common description: `harken.export.quantize` makes it from trained weights,
`harken.export.fused` writes and reads it as a TFLite file, the C engine's tables
(`harken.export.device.graph`) and the LiteRT form (`harken.export.litert.graph`) are derived from
it, and `QuantizedNetwork.network` is the float network that all of them are compared with.

Source of the arithmetic: TensorFlow Lite's quantization specification, one scale per tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .reference import Array, Convolution, Dense, Lstm, Network, Svdf, conv_names, places

Int8 = NDArray[np.int8]
Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Affine:
    """How int8 represents real numbers: ``real = (int8 - zero_point) * scale``."""

    scale: np.float32
    zero_point: int

    @classmethod
    def of_range(cls, low: float, high: float) -> Affine:
        """Spread the 256 values over a range, which is extended to include 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32((high - low) / 255 or 1.0)
        zero_point = round(-128 - low / float(scale))
        return cls(scale=scale, zero_point=max(-128, min(127, zero_point)))

    def round(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return real numbers after rounding to int8."""
        stored = np.rint(values / self.scale) + self.zero_point
        rounded: NDArray[np.float32] = (stored.clip(-128, 127) - self.zero_point) * self.scale
        return rounded.astype(np.float32)

    @property
    def lowest(self) -> float:
        """Lowest real number."""
        return (-128 - self.zero_point) * float(self.scale)

    @property
    def highest(self) -> float:
        """Highest real number."""
        return (127 - self.zero_point) * float(self.scale)

    @property
    def limit(self) -> float:
        """Largest magnitude."""
        return max(-self.lowest, self.highest)


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseLayer:
    """A fully connected layer."""

    name: str
    weights: Int8
    """(outputs, inputs)."""
    weight_scale: np.float32
    bias: Int32
    """(outputs,), in units of the input's scale times the weights'."""
    source: Affine
    output: Affine
    relu: bool

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(self.weights.shape[1])

    @property
    def real_bias(self) -> NDArray[np.float64]:
        """(outputs,)."""
        unit = float(self.source.scale) * float(self.weight_scale)
        return self.bias.astype(np.float64) * unit


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvLayer:
    """A two-dimensional convolution without padding."""

    name: str
    shape: tuple[int, int, int]
    """Rows, columns and channels of the input."""
    weights: Int8
    """(channels, rows, columns, input channels)."""
    weight_scale: np.float32
    bias: Int32
    """(channels,), in units of the input's scale times the weights'."""
    stride: int
    """Columns from one output to the next; rows follow one another."""
    source: Affine
    output: Affine
    relu: bool

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return math.prod(self.shape)

    @property
    def outputs(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the output."""
        channels, rows, columns, _ = self.weights.shape
        return (*places(self.shape, (rows, columns), self.stride), channels)

    @property
    def real_bias(self) -> NDArray[np.float64]:
        """(channels,)."""
        unit = float(self.source.scale) * float(self.weight_scale)
        return self.bias.astype(np.float64) * unit

    @property
    def real(self) -> Convolution:
        """The float layer with the same weights."""
        return Convolution(
            shape=self.shape,
            kernel=self.weights.transpose(1, 2, 3, 0) * self.weight_scale,
            bias=self.real_bias.astype(np.float32),
            stride=self.stride,
            relu=self.relu,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class SvdfLayer:
    """An SVDF of rank 1: a pointwise layer without bias, and a filter over time of each channel.

    If something is added to its outputs, the ReLU comes after the addition, else directly after
    the outputs; either is the clamp at a zero point of -128.
    """

    name: str
    weights: Int8
    """(units, inputs)."""
    weight_scale: np.float32
    time_weights: Int16
    """(units, memory), oldest step first."""
    time_scale: np.float32
    bias: Int32
    """(units,), in units of the state's scale times the time weights'."""
    source: Affine
    state_scale: np.float32
    """Scale of the int16 state, whose zero point is 0."""
    output: Affine
    adds: int
    """Layers that an addition spans: 1, this layer's input is added; 2, the previous layer's input;
    0, nothing."""
    added: Affine | None
    """Of the addend …"""
    total: Affine | None
    """… and of the sum."""

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(self.weights.shape[1])

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.weights)

    @property
    def memory(self) -> int:
        """Steps that are kept, including the current one."""
        return int(self.time_weights.shape[1])

    @property
    def state_limit(self) -> float:
        """Largest magnitude that its state can hold on both sides."""
        return 32767 * float(self.state_scale)

    @property
    def after(self) -> Affine:
        """Affine map of the next layer's input."""
        return self.total or self.output

    @property
    def real_bias(self) -> NDArray[np.float64]:
        """(units,)."""
        unit = float(self.state_scale) * float(self.time_scale)
        return self.bias.astype(np.float64) * unit

    @property
    def real(self) -> Svdf:
        """The float layer with the same weights."""
        return Svdf(
            kernel=self.weights.T * self.weight_scale,
            time_kernel=self.time_weights.T * self.time_scale,
            bias=self.real_bias.astype(np.float32),
            adds=self.adds,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class LstmLayer:
    """An LSTM without peepholes; the first axis holds the gates input, forget, cell, output."""

    name: str
    input_weights: Int8
    """(4, units, inputs)."""
    input_scales: Array
    """(4,) float32."""
    state_weights: Int8
    """(4, units, units)."""
    state_scales: Array
    """(4,) float32."""
    bias: Int32
    """(4, units), in units of the input's scale times that of the gate's input weights."""
    source: Affine
    hidden: Affine
    cell_scale: np.float32
    """Scale of the int16 cells, a power of two; their zero point is 0."""
    cell_clip: float
    """Cells are clipped to ± this; 0: to int16."""

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(self.input_weights.shape[2])

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.input_weights.shape[1])

    @property
    def real_bias(self) -> NDArray[np.float64]:
        """(4, units)."""
        units = float(self.source.scale) * self.input_scales.astype(np.float64)
        return self.bias * units[:, np.newaxis]


Layer = DenseLayer | ConvLayer | SvdfLayer | LstmLayer


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedNetwork:
    """A dense layer or convolutions, if any, SVDF layers, LSTM layers, a dense layer of logits."""

    first: DenseLayer | None
    conv: tuple[ConvLayer, ...] = ()
    svdf: tuple[SvdfLayer, ...]
    lstm: tuple[LstmLayer, ...]
    last: DenseLayer

    @property
    def source(self) -> Affine:
        """Affine map of the network's input."""
        return self._beginning.source

    @property
    def inputs(self) -> int:
        """Values per step."""
        return self._beginning.inputs

    @property
    def _beginning(self) -> Layer:
        layers: tuple[Layer, ...] = (*self.conv, *self.svdf, *self.lstm)
        return self.first or layers[0]

    def network(self) -> Network:
        """Return the float network with the same weights."""
        return Network(
            dense_in=None if self.first is None else _dense(self.first),
            conv=tuple(layer.real for layer in self.conv),
            svdf=tuple(layer.real for layer in self.svdf),
            lstm=tuple(
                Lstm(
                    kernel=_side_by_side(layer.input_weights, layer.input_scales),
                    recurrent_kernel=_side_by_side(layer.state_weights, layer.state_scales),
                    bias=layer.real_bias.ravel().astype(np.float32),
                )
                for layer in self.lstm
            ),
            dense_out=_dense(self.last),
            cell_clip=self.lstm[0].cell_clip or np.inf,
        )

    def bounded(self, name: str, values: Array) -> Array:
        """Limit a tensor of the float network to the range of its int8 tensor.

        A tap for `Network.run`: audio too loud for int8 is limited for the float network, too.
        """
        affine = self.bounds.get(name)
        return values if affine is None else values.clip(affine.lowest, affine.highest)

    @property
    def bounds(self) -> dict[str, Affine]:
        """The int8 tensors, under the names used by `Network.run`."""
        bounds = {"input": self.source, "logits": self.last.output}
        if self.first is not None:
            bounds["dense_in"] = self.first.output
        for name, convolution in zip(conv_names(len(self.conv)), self.conv, strict=True):
            bounds[name] = convolution.output
        for index, layer in enumerate(self.svdf):
            bounds[f"svdf_{index}"] = layer.output
            if layer.total is not None:
                bounds[f"svdf_{index}/sum"] = layer.total
        return bounds


def _dense(layer: DenseLayer) -> Dense:
    return Dense(
        kernel=layer.weights.T * layer.weight_scale, bias=layer.real_bias.astype(np.float32)
    )


def _side_by_side(weights: Int8, scales: Array) -> Array:
    """Convert (4, units, columns) int8 to (columns, 4 * units) float32, as in Keras."""
    real = weights * scales[:, np.newaxis, np.newaxis]
    return np.concatenate(real).T
