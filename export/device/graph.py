"""An int8 network in, the layers of the C engine out, with integers instead of scales.

Layers that the engine cannot run are refused by name: here, if sums do not fit 32 bits; in
`harken.export.fused`, which reads the file, for everything else.

Source of the arithmetic: TensorFlow Lite's quantization specification, and the preparation of its
operators in TensorFlow Lite Micro (fully_connected, conv, svdf, add, unidirectional_sequence_lstm).
The factors are computed in float64, as in the current wheel; its older sources multiply scales in
float32, which moves one value in tens of thousands by 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import ExportError
from .. import layers
from ..fused import GATES, read_layers
from ..layers import Affine, Int8, Int16, Int32, QuantizedNetwork

Int64 = NDArray[np.int64]

_GATE_SCALE = 2.0**-12  # of the sums that go into sigmoid and tanh
_ADDED_BITS = 20  # left shift of the addends


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """A factor in the form of ``harken_scale``: ``multiplier * 2 ** (left - 32 - right)``."""

    multiplier: int
    left: int
    right: int

    @classmethod
    def of(cls, factor: float, *, layer: str, largest: float) -> Rescale:
        """Split a factor into its parts.

        Parameters
        ----------
        factor
            Above 0.
        layer
            Its name, for errors.
        largest
            Bound on the magnitude of the values it multiplies.
        """
        mantissa, shift = math.frexp(factor)
        multiplier = round(mantissa * 2**31)
        if multiplier == 2**31:
            multiplier, shift = 2**30, shift + 1
        if shift < -31:
            multiplier, shift = 0, 0
        left, right = 1 + max(0, shift), max(0, -shift)
        if largest * 2.0**left >= 2**31:
            raise ExportError(
                f"layer {layer}: sums up to {largest:.0f} times {factor:g} do not fit in 32 bits; "
                "the C engine cannot run it"
            )
        return cls(multiplier=multiplier, left=left, right=right)


@dataclass(frozen=True, kw_only=True)
class DenseLayer:
    """A fully connected layer; see ``harken_dense`` in harken.h."""

    name: str
    weights: Int8
    """(outputs, inputs)."""
    bias: Int64
    """(outputs,), including the input's zero point."""
    scale: Rescale
    zero_point: int
    lowest: int

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(self.weights.shape[1])

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.weights)


@dataclass(frozen=True, kw_only=True)
class ConvLayer:
    """A convolution: a fully connected layer at each place; see ``harken_conv`` in harken.h."""

    dense: DenseLayer
    """What it computes at a place; its inputs are the rows of the kernel one after another."""
    rows: int
    """Its inputs are this many runs …"""
    run: int
    """… of so many values …"""
    pitch: int
    """… this many apart."""
    across: int
    """Values from one place to the next."""
    places: int
    """Number of places."""

    @property
    def description(self) -> str:
        """The layer in a few words, such as ``dense 40`` or ``convolution 16 × 24``."""
        where = f"convolution {self.places} ×" if self.places > 1 else "dense"
        return f"{where} {self.dense.outputs}"

    @property
    def outputs(self) -> int:
        """Number of outputs, at all places."""
        return self.places * self.dense.outputs


@dataclass(frozen=True, kw_only=True)
class Addition:
    """The residual addition after an SVDF layer; see ``harken_addition`` in harken.h."""

    scales: tuple[Rescale, Rescale, Rescale]
    """Affine maps of the output, the addend and the sum."""
    zero_points: tuple[int, int, int]
    """The same."""
    lowest: int
    span: int
    """1: the layer's own inputs are added; 2: those of the previous layer."""


@dataclass(frozen=True, kw_only=True)
class SvdfLayer:
    """An SVDF of rank 1; see ``harken_svdf`` in harken.h."""

    name: str
    weights: Int8
    """(units, inputs)."""
    time_weights: Int16
    """(units, memory), oldest step first."""
    bias: Int64
    """(units,), for the input's zero point only."""
    time_bias: Int64
    """(units,)."""
    scale: Rescale
    """Rescales to the state."""
    time_scale: Rescale
    """Rescales the sums over time to the output."""
    zero_point: int
    addition: Addition | None

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


@dataclass(frozen=True, kw_only=True)
class LstmLayer:
    """An LSTM; see ``harken_lstm`` in harken.h. Gates: input, forget, cell, output."""

    name: str
    input_weights: Int8
    """(4, units, inputs)."""
    state_weights: Int8
    """(4, units, units)."""
    input_bias: Int64
    """(4, units), including the input's zero point."""
    state_bias: Int64
    """(4, units)."""
    input_scales: tuple[Rescale, ...]
    state_scales: tuple[Rescale, ...]
    hidden: Rescale
    cell_clip: int
    cell_bits: int
    zero_point: int

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(self.input_weights.shape[2])

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.input_weights.shape[1])


@dataclass(frozen=True, kw_only=True)
class EngineNetwork:
    """A network of the engine: convolutions and SVDF layers, if any, LSTM layers, a dense layer.

    A dense layer before the others is a convolution with one place.
    """

    conv: tuple[ConvLayer, ...] = ()
    svdf: tuple[SvdfLayer, ...]
    lstm: tuple[LstmLayer, ...]
    last: DenseLayer

    @property
    def widest(self) -> int:
        """Most inputs or outputs of any layer, counted as in ``harken_network.widest``."""
        return max(
            up4(self.last.inputs),
            up4(self.last.outputs),
            *(up4(max(layer.inputs, layer.units)) for layer in self.svdf),
            *(up4(layer.inputs) + up4(layer.units) for layer in self.lstm),
            # Padded rows are written beyond the last place; a patch is gathered behind its copy.
            *(up4(layer.outputs + 3) for layer in self.conv),
            *(2 * up4(layer.dense.inputs) for layer in self.conv),
        )

    @property
    def multiplications(self) -> int:
        """Multiplications by weights per step."""
        return (
            self.last.weights.size
            + sum(layer.dense.weights.size * layer.places for layer in self.conv)
            + sum(layer.weights.size + layer.time_weights.size for layer in self.svdf)
            + sum(layer.input_weights.size + layer.state_weights.size for layer in self.lstm)
        )


def up4(count: int) -> int:
    """Round up to a multiple of four."""
    return (count + 3) // 4 * 4


def read_network(content: bytes) -> EngineNetwork:
    """Return a model's layers for the engine.

    Parameters
    ----------
    content
        The TFLite file, int8 throughout, as written by `harken export`.

    Raises
    ------
    ExportError
        The engine cannot run it. Names the layer.
    """
    return engine_network(read_layers(content))


def engine_network(network: QuantizedNetwork) -> EngineNetwork:
    """Convert the scales of a network to integers.

    Raises
    ------
    ExportError
        A sum could exceed 32 bits. Names the layer.
    """
    first = [] if network.first is None else [_one_place(_dense(network.first))]
    return EngineNetwork(
        conv=(*first, *(_convolution(layer) for layer in network.conv)),
        svdf=tuple(_svdf(layer) for layer in network.svdf),
        lstm=tuple(_lstm(layer) for layer in network.lstm),
        last=_dense(network.last),
    )


def _dense(layer: layers.DenseLayer) -> DenseLayer:
    zero_point = layer.output.zero_point
    return DenseLayer(
        name=layer.name,
        weights=layer.weights,
        bias=_effective(layer.bias, layer.weights, layer.source.zero_point),
        scale=Rescale.of(
            float(layer.source.scale) * float(layer.weight_scale) / float(layer.output.scale),
            layer=layer.name,
            largest=_largest(layer.weights, 255, layer.bias),
        ),
        zero_point=zero_point,
        lowest=zero_point if layer.relu else -128,
    )


def _one_place(layer: DenseLayer) -> ConvLayer:
    inputs = layer.inputs
    return ConvLayer(dense=layer, rows=1, run=inputs, pitch=inputs, across=inputs, places=1)


def _convolution(layer: layers.ConvLayer) -> ConvLayer:
    channels, rows, columns, depth = layer.weights.shape
    down, along, _ = layer.outputs
    if down > 1 and along > 1:
        raise ExportError(
            f"layer {layer.name}: the convolution has {down} × {along} places; the C engine runs "
            "those with one row or one column of places"
        )
    dense = layers.DenseLayer(
        name=layer.name,
        weights=layer.weights.reshape(channels, -1),
        weight_scale=layer.weight_scale,
        bias=layer.bias,
        source=layer.source,
        output=layer.output,
        relu=layer.relu,
    )
    return ConvLayer(
        dense=_dense(dense),
        rows=rows,
        run=columns * depth,
        pitch=layer.shape[1] * depth,
        across=layer.stride * depth if along > 1 else layer.shape[1] * depth,
        places=down * along,
    )


def _svdf(layer: layers.SvdfLayer) -> SvdfLayer:
    none = np.zeros(layer.units, np.int32)
    return SvdfLayer(
        name=layer.name,
        weights=layer.weights,
        time_weights=layer.time_weights,
        bias=_effective(none, layer.weights, layer.source.zero_point),
        time_bias=layer.bias.astype(np.int64),
        scale=Rescale.of(
            float(layer.source.scale) * float(layer.weight_scale) / float(layer.state_scale),
            layer=layer.name,
            largest=_largest(layer.weights, 255, none),
        ),
        time_scale=Rescale.of(
            float(layer.state_scale) * float(layer.time_scale) / float(layer.output.scale),
            layer=f"{layer.name}, over time",
            largest=_largest(layer.time_weights, 2**15, layer.bias),
        ),
        zero_point=layer.output.zero_point,
        addition=None
        if layer.added is None or layer.total is None
        else _addition(layer, layer.added, layer.total),
    )


def _addition(layer: layers.SvdfLayer, other: Affine, total: Affine) -> Addition:
    one = layer.output
    twice = 2 * max(float(one.scale), float(other.scale))

    def scale(factor: float) -> Rescale:
        largest = 255.0 * 2**_ADDED_BITS
        return Rescale.of(factor, layer=f"{layer.name}, added", largest=largest)

    return Addition(
        scales=(
            scale(float(one.scale) / twice),
            scale(float(other.scale) / twice),
            scale(twice / (2**_ADDED_BITS * float(total.scale))),
        ),
        zero_points=(one.zero_point, other.zero_point, total.zero_point),
        lowest=total.zero_point,
        span=layer.adds,
    )


def _lstm(layer: layers.LstmLayer) -> LstmLayer:
    def gates(weights: Int8, affine: Affine, scales: NDArray[np.float32]) -> tuple[Rescale, ...]:
        return tuple(
            Rescale.of(
                float(affine.scale) * float(scales[index]) / _GATE_SCALE,
                layer=f"{layer.name}, gate {gate}",
                largest=_largest(weights[index], 255, layer.bias[index]),
            )
            for index, gate in enumerate(GATES)
        )

    def biases(bias: Int32, weights: Int8, affine: Affine) -> Int64:
        return np.stack(
            [_effective(b, w, affine.zero_point) for b, w in zip(bias, weights, strict=True)]
        )

    cell_scale = float(layer.cell_scale)
    clip = min(round(layer.cell_clip / cell_scale), 32767)
    none = np.zeros_like(layer.bias)
    return LstmLayer(
        name=layer.name,
        input_weights=layer.input_weights,
        state_weights=layer.state_weights,
        input_bias=biases(layer.bias, layer.input_weights, layer.source),
        state_bias=biases(none, layer.state_weights, layer.hidden),
        input_scales=gates(layer.input_weights, layer.source, layer.input_scales),
        state_scales=gates(layer.state_weights, layer.hidden, layer.state_scales),
        hidden=Rescale.of(
            2.0**-30 / float(layer.hidden.scale), layer=layer.name, largest=32767.0**2
        ),
        cell_clip=0 if clip == 32767 else clip,
        cell_bits=1 - math.frexp(cell_scale)[1],
        zero_point=layer.hidden.zero_point,
    )


def _effective(bias: Int32, weights: Int8, zero_point: int) -> Int64:
    effective: Int64 = bias - zero_point * weights.astype(np.int64).sum(axis=1)
    return effective


def _largest(weights: Int8 | Int16, most: int, bias: Int32) -> float:
    """Return a bound on the magnitude of sums of products with values up to `most`, and a bias."""
    sums = np.abs(weights.astype(np.int64)).sum(axis=1) * most
    return float((sums + np.abs(bias.astype(np.int64))).max())
