"""Layers in; out comes a TFLite file of one step: frame and state in, logits and state out.

LiteRT's ``CompiledModel`` refuses variable tensors, and with them every fused LSTM and SVDF. So the
layers are written as basic operators here, and the caller keeps their state. Activations have 16
bits, weights 8 (16x8): 8 bits would lose too much of an LSTM's cells.

The graph is written directly, not converted. TensorFlow's converter would round weights that are
already int8 a second time, and give the state different scales as input and output. Here the
weights are the model's own to the bit, each row with its scale; the state has one scale on both
sides; and no scale needs calibration: those of the layers' outputs are taken from the model's int8
tensors, those of an SVDF's state from its int16 state, and all others follow from known bounds.

The filters over time of an SVDF are one ``BATCH_MATMUL`` of int16 with int16, one batch per unit:
these weights are also unchanged, and a sum is rounded once, not once per step. The state of an SVDF
is stored unit by unit, the oldest step first.

Inputs and outputs are float32, quantized inside: the bindings of ``CompiledModel`` in Kotlin and
Python have no int16, and a caller has no scale to get wrong. State passed back as input is not
rounded again.

Source of the arithmetic: TensorFlow Lite's quantization specification (16x8: zero points are 0,
biases int64 in units of input scale times weight scale, results saturated).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ..flatbuffer import GraphBuilder, convolution_options
from ..layers import ConvLayer, DenseLayer, Int8, LstmLayer, QuantizedNetwork, SvdfLayer

SIGNATURE = "step"
"""Name of the one signature."""

_INT16_MAX = 32767
_UNIT_SCALE = 2.0**-15
"""Scale of sigmoid, tanh and their products; the kernels require it."""
_SUM_SCALE = 2.0**-10
"""Range of the sums before sigmoid and tanh, ± 32: both saturate long before."""

_OPERATOR, _TYPE = schema.BuiltinOperator, schema.TensorType
_ACTIVATION, _OPTIONS = schema.ActivationFunctionType, schema.BuiltinOptions

# The first version of each operator that supports int16.
_VERSIONS = {
    _OPERATOR.QUANTIZE: 2,
    _OPERATOR.DEQUANTIZE: 3,
    _OPERATOR.CONV_2D: 4,
    _OPERATOR.FULLY_CONNECTED: 4,
    _OPERATOR.RESHAPE: 1,
    _OPERATOR.CONCATENATION: 3,
    _OPERATOR.BATCH_MATMUL: 3,
    _OPERATOR.SLICE: 4,
    _OPERATOR.ADD: 3,
    _OPERATOR.MUL: 4,
    _OPERATOR.SPLIT: 4,
    _OPERATOR.LOGISTIC: 3,
    _OPERATOR.TANH: 3,
}


@dataclass(frozen=True, kw_only=True)
class _State:
    """A tensor that is both an input and an output."""

    name: str
    size: int
    scale: float


def state_names(network: QuantizedNetwork) -> tuple[str, ...]:
    """Return the names of the state tensors, in order.

    ``s0``, ``s1`` and so on for the SVDF layers, except those of memory 1, which have no state;
    then ``h0``, ``c0``, ``h1`` and so on for the LSTM layers.
    """
    return tuple(state.name for state in _states(network))


def _states(network: QuantizedNetwork) -> list[_State]:
    states = [
        _State(
            name=f"s{index}",
            size=(stem.memory - 1) * stem.units,
            scale=float(stem.state_scale),
        )
        for index, stem in enumerate(network.svdf)
        if stem.memory > 1
    ]
    for index, layer in enumerate(network.lstm):
        # The cells are clipped at the end of int16.
        cell_scale = layer.cell_clip / _INT16_MAX or float(layer.cell_scale)
        states += [
            _State(name=f"h{index}", size=layer.units, scale=_UNIT_SCALE),
            _State(name=f"c{index}", size=layer.units, scale=cell_scale),
        ]
    return states


def explicit_state_graph(network: QuantizedNetwork) -> bytes:
    """Write the step of a network as a TFLite file.

    Returns
    -------
    bytes
        Inputs ``frame`` (1, inputs) and each of `state_names` (1, values), outputs ``logits``
        (1, labels) and the same states, in this order, all float32; the initial state is zeros. The
        same network gives the same bytes.
    """
    writer, states = _Writer(), _states(network)
    frame = writer.input("frame", network.inputs)
    given = [writer.input(state.name, state.size) for state in states]
    x = writer.quantize(frame, network.source.limit / _INT16_MAX)
    held = iter(
        [writer.quantize(tensor, state.scale) for tensor, state in zip(given, states, strict=True)]
    )
    kept = []
    if network.first is not None:
        x = writer.dense("first", network.first, x)
    for index, convolution in enumerate(network.conv):
        x = writer.convolution(f"conv{index}", convolution, x)
    if network.conv:
        x = writer.flat("conv_flat", x)
    taken: list[int] = []
    for index, stem in enumerate(network.svdf):
        taken.append(x)
        x, *rows = writer.svdf(
            f"svdf{index}",
            stem,
            x,
            next(held) if stem.memory > 1 else None,
            taken[-stem.adds] if stem.adds else None,
        )
        kept += rows
    for index, layer in enumerate(network.lstm):
        x, cells = writer.lstm(f"lstm{index}", layer, x, next(held), next(held))
        kept += [x, cells]
    logits = writer.dense("last", network.last, x)
    names = [state.name for state in states]
    taken = [
        writer.output(name, tensor)
        for name, tensor in zip(["logits", *names], [logits, *kept], strict=True)
    ]
    return writer.graph.file(
        [frame, *given],
        taken,
        description="harken, explicit state, 16x8",
        versions=_VERSIONS,
        signature=(SIGNATURE, ["frame", *names], ["logits", *names]),
    )


def _parts(bias: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split biases into multiples of 32767 and remainders, each within int16."""
    whole = bias.astype(np.int64)
    high = np.rint(whole / _INT16_MAX).astype(np.int64)
    return high, whole - high * _INT16_MAX


class _Writer:
    """Adds layers to a graph; tensors are identified by their numbers."""

    def __init__(self) -> None:
        self.graph = GraphBuilder()

    def input(self, name: str, size: int) -> int:
        return self.graph.tensor(name, _TYPE.FLOAT32, (1, size))

    def output(self, name: str, source: int) -> int:
        """Return a tensor as float32."""
        target = self.graph.tensor(f"{name}_out", _TYPE.FLOAT32, self.graph.shape(source))
        return self.graph.operator(_OPERATOR.DEQUANTIZE, [source], [target])

    def quantize(self, source: int, scale: float) -> int:
        name = f"{self.graph.name(source)}_int16"
        target = self._int16(name, self.graph.shape(source), scale)
        return self.graph.operator(_OPERATOR.QUANTIZE, [source], [target])

    def dense(self, name: str, layer: DenseLayer, source: int) -> int:
        return self._product(
            name,
            layer.weights,
            np.full(len(layer.weights), layer.weight_scale),
            source,
            bias=layer.real_bias,
            scale=layer.output.limit / _INT16_MAX,
            relu=layer.relu,
        )

    def convolution(self, name: str, layer: ConvLayer, source: int) -> int:
        """Return outputs, (1, rows, columns, channels)."""
        image = self._reshape(f"{name}_image", source, (1, *layer.shape))
        scales = np.full(len(layer.weights), layer.weight_scale)
        units = scales.astype(np.float64) * self.graph.scale(image)
        bias = np.rint(layer.real_bias / units).astype("<i8")
        options = convolution_options(stride=layer.stride, relu=layer.relu)
        options.quantizedBiasType = _TYPE.INT64
        target = self._int16(name, (1, *layer.outputs), layer.output.limit / _INT16_MAX)
        return self.graph.operator(
            _OPERATOR.CONV_2D,
            [
                image,
                self._constant(f"{name}_weights", layer.weights, _TYPE.INT8, scales),
                self._constant(f"{name}_bias", bias, _TYPE.INT64, units),
            ],
            [target],
            _OPTIONS.Conv2DOptions,
            options,
        )

    def flat(self, name: str, source: int) -> int:
        """Return a tensor as (1, values)."""
        return self._reshape(name, source, (1, math.prod(self.graph.shape(source))))

    def svdf(
        self, name: str, layer: SvdfLayer, x: int, state: int | None, added: int | None
    ) -> tuple[int, ...]:
        """Return outputs after a step, and the new state, if any."""
        units, memory = layer.units, layer.memory
        newest = self._product(
            f"{name}_newest",
            layer.weights,
            np.full(units, layer.weight_scale),
            x,
            scale=float(layer.state_scale),
        )
        rows = self._reshape(f"{name}_rows", newest, (units, 1, 1))
        kept = []
        if state is not None:
            older = self._reshape(f"{name}_older", state, (units, 1, memory - 1))
            rows = self._join(f"{name}_all", older, rows)
            later = self._without_oldest(f"{name}_later", rows)
            kept.append(self._reshape(f"{name}_kept", later, (1, units * (memory - 1))))
        # If the mean over time is large, the bias may be a hundred times the sum that it leaves: so
        # it is part of the sum, without a tensor or a scale of its own.
        filtered = self._filter(
            f"{name}_filtered",
            layer,
            self._join(f"{name}_with_bias", rows, self._bias_inputs(name, layer)),
            layer.output.limit / _INT16_MAX,
        )
        y = self._reshape(f"{name}_sums", filtered, (1, units))
        if layer.total is None:
            y = self._relu(name, y)
        if layer.total is not None and added is not None:
            y = self._add(f"{name}_total", y, added, layer.total.limit / _INT16_MAX, relu=True)
        return y, *kept

    def lstm(self, name: str, layer: LstmLayer, x: int, h: int, c: int) -> tuple[int, int]:
        """Return hidden state and cells after a step."""
        shape = (1, layer.units)
        sums = self._add(
            f"{name}_sums",
            self._product(
                f"{name}_input",
                np.concatenate(layer.input_weights),
                np.repeat(layer.input_scales, layer.units),
                x,
                bias=layer.real_bias.ravel(),
                scale=_SUM_SCALE,
            ),
            self._product(
                f"{name}_state",
                np.concatenate(layer.state_weights),
                np.repeat(layer.state_scales, layer.units),
                h,
                scale=_SUM_SCALE,
            ),
            _SUM_SCALE,
        )
        axis = self._constant(f"{name}_axis", np.array(1, "<i4"), _TYPE.INT32)
        gates = [
            self._int16(f"{name}_{gate}", shape, _SUM_SCALE)
            for gate in ("input", "forget", "cell", "output")
        ]
        options = schema.SplitOptionsT()
        options.numSplits = len(gates)
        self.graph.operator(_OPERATOR.SPLIT, [axis, sums], gates, _OPTIONS.SplitOptions, options)
        i, f, g, o = (
            self._curve(_OPERATOR.TANH if index == 2 else _OPERATOR.LOGISTIC, gate)
            for index, gate in enumerate(gates)
        )
        cell_scale = self.graph.scale(c)
        kept = self._multiply(f"{name}_kept", f, c, cell_scale)
        added = self._multiply(f"{name}_added", i, g, _UNIT_SCALE)
        cells = self._add(f"{name}_cells", kept, added, cell_scale)  # saturates: that is the clip
        squashed = self._curve(_OPERATOR.TANH, cells)
        return self._multiply(f"{name}_hidden", o, squashed, _UNIT_SCALE), cells

    def _product(
        self,
        name: str,
        weights: Int8,
        scales: NDArray[np.floating],
        source: int,
        *,
        scale: float,
        bias: NDArray[np.float64] | None = None,
        relu: bool = False,
    ) -> int:
        inputs = [source, self._constant(f"{name}_weights", weights, _TYPE.INT8, scales)]
        if bias is not None:
            units = scales.astype(np.float64) * self.graph.scale(source)
            values = np.rint(bias / units).astype("<i8")
            inputs.append(self._constant(f"{name}_bias", values, _TYPE.INT64, units))
        else:
            inputs.append(-1)
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = _ACTIVATION.RELU if relu else _ACTIVATION.NONE
        options.quantizedBiasType = _TYPE.INT64
        target = self._int16(name, (1, len(weights)), scale)
        return self.graph.operator(
            _OPERATOR.FULLY_CONNECTED, inputs, [target], _OPTIONS.FullyConnectedOptions, options
        )

    def _filter(self, name: str, layer: SvdfLayer, rows: int, scale: float) -> int:
        """Return the sum over time of each unit and its bias: (units, 1, memory + 2) to (…, 1)."""
        options = schema.BatchMatMulOptionsT()
        options.adjY = True  # the weights are in the kernel's order, and are not copied
        high, low = _parts(layer.bias)
        both = np.concatenate((layer.time_weights, high[:, np.newaxis], low[:, np.newaxis]), axis=1)
        weights = self._constant(
            f"{name}_weights",
            both[:, np.newaxis].astype("<i2"),
            _TYPE.INT16,
            layer.time_scale,
        )
        target = self._int16(name, (layer.units, 1, 1), scale)
        return self.graph.operator(
            _OPERATOR.BATCH_MATMUL,
            [rows, weights],
            [target],
            _OPTIONS.BatchMatMulOptions,
            options,
        )

    def _bias_inputs(self, name: str, layer: SvdfLayer) -> int:
        """Return the factors for the two parts of the biases, (units, 1, 2)."""
        return self._constant(
            f"{name}_ones",
            np.tile(np.array([_INT16_MAX, 1], "<i2"), (layer.units, 1, 1)),
            _TYPE.INT16,
            layer.state_scale,
        )

    def _relu(self, name: str, x: int) -> int:
        zeros = np.zeros(self.graph.shape(x), "<i2")
        zero = self._constant(f"{name}_zero", zeros, _TYPE.INT16, np.float32(self.graph.scale(x)))
        return self._add(name, x, zero, self.graph.scale(x), relu=True)

    def _join(self, name: str, older: int, newest: int) -> int:
        """Append newer steps to older ones."""
        *batch, memory = self.graph.shape(older)
        count = self.graph.shape(newest)[-1]
        options = schema.ConcatenationOptionsT()
        options.axis = len(batch)
        target = self._int16(name, (*batch, memory + count), self.graph.scale(older))
        return self.graph.operator(
            _OPERATOR.CONCATENATION,
            [older, newest],
            [target],
            _OPTIONS.ConcatenationOptions,
            options,
        )

    def _without_oldest(self, name: str, rows: int) -> int:
        *batch, memory = self.graph.shape(rows)
        shape = (*batch, memory - 1)
        begin = self._constant(f"{name}_begin", np.array([0, 0, 1], "<i4"), _TYPE.INT32)
        size = self._constant(f"{name}_size", np.array(shape, "<i4"), _TYPE.INT32)
        target = self._int16(name, shape, self.graph.scale(rows))
        return self.graph.operator(
            _OPERATOR.SLICE,
            [rows, begin, size],
            [target],
            _OPTIONS.SliceOptions,
            schema.SliceOptionsT(),
        )

    def _reshape(self, name: str, source: int, shape: tuple[int, ...]) -> int:
        wanted = self._constant(f"{name}_shape", np.array(shape, "<i4"), _TYPE.INT32)
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        target = self._int16(name, shape, self.graph.scale(source))
        return self.graph.operator(
            _OPERATOR.RESHAPE, [source, wanted], [target], _OPTIONS.ReshapeOptions, options
        )

    def _add(self, name: str, one: int, other: int, scale: float, *, relu: bool = False) -> int:
        options = schema.AddOptionsT()
        options.potScaleInt16 = False
        options.fusedActivationFunction = _ACTIVATION.RELU if relu else _ACTIVATION.NONE
        target = self._int16(name, self.graph.shape(one), scale)
        return self.graph.operator(
            _OPERATOR.ADD, [one, other], [target], _OPTIONS.AddOptions, options
        )

    def _multiply(self, name: str, one: int, other: int, scale: float) -> int:
        target = self._int16(name, self.graph.shape(one), scale)
        return self.graph.operator(
            _OPERATOR.MUL, [one, other], [target], _OPTIONS.MulOptions, schema.MulOptionsT()
        )

    def _curve(self, operator: int, source: int) -> int:
        """Return sigmoid or tanh."""
        curve = "tanh" if operator == _OPERATOR.TANH else "sigmoid"
        name = f"{self.graph.name(source)}_{curve}"
        target = self._int16(name, self.graph.shape(source), _UNIT_SCALE)
        return self.graph.operator(operator, [source], [target])

    def _int16(self, name: str, shape: Sequence[int], scale: float) -> int:
        return self.graph.tensor(name, _TYPE.INT16, shape, scales=scale)

    def _constant(
        self,
        name: str,
        values: NDArray[Any],
        kind: int,
        scales: np.floating | NDArray[np.floating] | None = None,
    ) -> int:
        return self.graph.tensor(name, kind, values.shape, scales=scales, data=values)


@dataclass(frozen=True, kw_only=True)
class Edge:
    """An input or output of a graph."""

    name: str
    shape: tuple[int, ...]
    scale: float
    """Scale of the int16 tensor inside; the zero point is 0."""


def read_edges(content: bytes) -> tuple[tuple[Edge, ...], tuple[Edge, ...]]:
    """Return the inputs and the outputs of an explicit-state model, in order."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    beside = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code == _OPERATOR.QUANTIZE:
            beside[operator.inputs[0]] = operator.outputs[0]
        elif code == _OPERATOR.DEQUANTIZE:
            beside[operator.outputs[0]] = operator.inputs[0]

    def edge(entry: Any) -> Edge:
        tensor = graph.tensors[entry.tensorIndex]
        inner = graph.tensors[beside[entry.tensorIndex]]
        return Edge(
            name=entry.name.decode(),
            shape=tuple(tensor.shape.tolist()),
            scale=float(inner.quantization.scale[0]),
        )

    return tuple(map(edge, signature.inputs)), tuple(map(edge, signature.outputs))
