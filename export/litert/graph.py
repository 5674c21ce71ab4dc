"""Layers in, a TFLite file out that does one step: frame and state in, logits and state out.

LiteRT's ``CompiledModel`` refuses variable tensors, and with them every fused LSTM. So the LSTM is
written out here, and whoever calls keeps its state. Activations have 16 bits, weights 8 (16x8): of
its cells, 8 bits would lose too much.

The graph is written as it shall be, not converted. TensorFlow's converter would round weights that
are int8 already a second time, and give a state that goes in another scale than the one that came
out. Here the weights are the model's own to the bit, each row with its scale; the state has one
scale on both sides; and no scale has to be found by calibration: those of the layers' outputs are
taken from the model's int8 tensors, and all others are bounded by what they are.

Inputs and outputs are float32, quantized inside: the bindings of ``CompiledModel`` in Kotlin and
Python have no int16, and a caller has no scale to get wrong. State that came out goes in again
without a rounding.

Source of the arithmetic: TensorFlow Lite's quantization specification (16x8: zero points are 0,
biases int64 in units of input scale times weight scale, results saturated).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from .layers import DenseLayer, Layers, LstmLayer, Weights

SIGNATURE = "step"
"""Name of the one signature."""

_INT16_MAX = 32767
_UNIT_SCALE = 2.0**-15
"""Of sigmoid, tanh and their products; the kernels ask for it."""
_SUM_SCALE = 2.0**-10
"""Of the sums that go into sigmoid and tanh, ± 32: both are flat long before."""

_OPERATOR, _TYPE = schema.BuiltinOperator, schema.TensorType
_ALIGNMENT = 16  # of constants, as TensorFlow Lite's schema has it

# The version of each operator that first took int16.
_VERSIONS = {
    _OPERATOR.QUANTIZE: 2,
    _OPERATOR.DEQUANTIZE: 3,
    _OPERATOR.FULLY_CONNECTED: 4,
    _OPERATOR.ADD: 3,
    _OPERATOR.MUL: 4,
    _OPERATOR.SPLIT: 4,
    _OPERATOR.LOGISTIC: 3,
    _OPERATOR.TANH: 3,
}


def state_names(lstm_layers: int) -> tuple[str, ...]:
    """Return the names of the state tensors, in their order: ``h0``, ``c0``, ``h1`` and so on."""
    return tuple(f"{part}{layer}" for layer in range(lstm_layers) for part in "hc")


def explicit_state_graph(layers: Layers, cell_clip: float) -> bytes:
    """Write the step of a network as a TFLite file.

    Parameters
    ----------
    layers
        The network.
    cell_clip
        The cells stay within ± this: it is where their int16 ends.

    Returns
    -------
    bytes
        Inputs ``frame`` (1, inputs), ``h0``, ``c0`` (1, units) and so on, outputs ``logits``
        (1, labels), ``h0``, ``c0`` and so on, in this order, all float32; the state begins as
        zeros. The same layers give the same bytes.
    """
    writer = _Writer()
    cell_scale = cell_clip / _INT16_MAX
    given = [writer.input("frame", layers.inputs)]
    for index, layer in enumerate(layers.lstm):
        given += [writer.input(f"h{index}", layer.units), writer.input(f"c{index}", layer.units)]
    x, *state = (
        writer.quantize(tensor, scale)
        for tensor, scale in zip(
            given,
            (layers.input_limit / _INT16_MAX, *(_UNIT_SCALE, cell_scale) * len(layers.lstm)),
            strict=True,
        )
    )
    if layers.first is not None:
        x = writer.dense("first", layers.first, x)
    kept = []
    for index, layer in enumerate(layers.lstm):
        h, c = writer.lstm(f"lstm{index}", layer, x, *state[2 * index : 2 * index + 2])
        kept += [h, c]
        x = h
    logits = writer.dense("last", layers.last, x)
    names = ("logits", *state_names(len(layers.lstm)))
    taken = [
        writer.output(name, tensor) for name, tensor in zip(names, (logits, *kept), strict=True)
    ]
    return writer.file(given, taken)


class _Writer:
    """Builds one graph; tensors are known by their numbers."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # the first one is that of no data
        self._operators: list[Any] = []
        self._codes: list[int] = []

    def input(self, name: str, size: int) -> int:
        return self._tensor(name, _TYPE.FLOAT32, (1, size))

    def output(self, name: str, source: int) -> int:
        """Return a tensor as float32."""
        target = self._tensor(f"{name}_out", _TYPE.FLOAT32, self._shape(source))
        return self._operator(_OPERATOR.DEQUANTIZE, [source], [target])

    def quantize(self, source: int, scale: float) -> int:
        name = self._tensors[source].name
        target = self._int16(f"{name}_int16", self._shape(source), scale)
        return self._operator(_OPERATOR.QUANTIZE, [source], [target])

    def dense(self, name: str, layer: DenseLayer, source: int) -> int:
        return self._product(
            name,
            layer.weights,
            source,
            bias=layer.bias,
            scale=layer.limit / _INT16_MAX,
            relu=layer.relu,
        )

    def lstm(self, name: str, layer: LstmLayer, x: int, h: int, c: int) -> tuple[int, int]:
        """Return hidden state and cells after a step."""
        shape = (1, layer.units)
        sums = self._add(
            f"{name}_sums",
            self._product(
                f"{name}_input", layer.input_weights, x, bias=layer.bias, scale=_SUM_SCALE
            ),
            self._product(f"{name}_state", layer.state_weights, h, scale=_SUM_SCALE),
            _SUM_SCALE,
        )
        axis = self._constant(f"{name}_axis", np.array(1, np.int32), _TYPE.INT32)
        gates = [
            self._int16(f"{name}_{gate}", shape, _SUM_SCALE)
            for gate in ("input", "forget", "cell", "output")
        ]
        options = schema.SplitOptionsT()
        options.numSplits = len(gates)
        self._operator(
            _OPERATOR.SPLIT, [axis, sums], gates, schema.BuiltinOptions.SplitOptions, options
        )
        i, f, g, o = (
            self._curve(_OPERATOR.TANH if index == 2 else _OPERATOR.LOGISTIC, gate)
            for index, gate in enumerate(gates)
        )
        cell_scale = self._scale(c)
        kept = self._multiply(f"{name}_kept", f, c, cell_scale)
        added = self._multiply(f"{name}_added", i, g, _UNIT_SCALE)
        cells = self._add(f"{name}_cells", kept, added, cell_scale)  # saturates: that is the clip
        squashed = self._curve(_OPERATOR.TANH, cells)
        return self._multiply(f"{name}_hidden", o, squashed, _UNIT_SCALE), cells

    def file(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file."""
        graph = schema.SubGraphT()
        graph.name = SIGNATURE
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version = 3
        model.description = "harken, explicit state, 16x8"
        model.operatorCodes = [_code(code) for code in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [self._named(index, "") for index in inputs]
        signature.outputs = [self._named(index, "_out") for index in outputs]
        model.signatureDefs = [signature]
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _named(self, index: int, suffix: str) -> Any:
        tensor = schema.TensorMapT()
        tensor.name = self._tensors[index].name.removesuffix(suffix)
        tensor.tensorIndex = index
        return tensor

    def _product(
        self,
        name: str,
        weights: Weights,
        source: int,
        *,
        scale: float,
        bias: NDArray[np.float64] | None = None,
        relu: bool = False,
    ) -> int:
        inputs = [
            source,
            self._constant(
                f"{name}_weights", weights.values, _TYPE.INT8, _quantization(weights.scales)
            ),
        ]
        if bias is not None:
            units = weights.scales.astype(np.float64) * self._scale(source)
            inputs.append(
                self._constant(
                    f"{name}_bias",
                    np.rint(bias / units).astype("<i8"),
                    _TYPE.INT64,
                    _quantization(units),
                )
            )
        else:
            inputs.append(-1)
        kinds = schema.ActivationFunctionType
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = kinds.RELU if relu else kinds.NONE
        options.quantizedBiasType = _TYPE.INT64
        target = self._int16(name, (1, len(weights.values)), scale)
        kind = schema.BuiltinOptions.FullyConnectedOptions
        return self._operator(_OPERATOR.FULLY_CONNECTED, inputs, [target], kind, options)

    def _add(self, name: str, one: int, other: int, scale: float) -> int:
        options = schema.AddOptionsT()
        options.potScaleInt16 = False
        target = self._int16(name, self._shape(one), scale)
        kind = schema.BuiltinOptions.AddOptions
        return self._operator(_OPERATOR.ADD, [one, other], [target], kind, options)

    def _multiply(self, name: str, one: int, other: int, scale: float) -> int:
        target = self._int16(name, self._shape(one), scale)
        kind = schema.BuiltinOptions.MulOptions
        return self._operator(_OPERATOR.MUL, [one, other], [target], kind, schema.MulOptionsT())

    def _curve(self, operator: int, source: int) -> int:
        """Return sigmoid or tanh."""
        curve = "tanh" if operator == _OPERATOR.TANH else "sigmoid"
        name = f"{self._tensors[source].name}_{curve}"
        target = self._int16(name, self._shape(source), _UNIT_SCALE)
        return self._operator(operator, [source], [target])

    def _operator(
        self,
        code: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        kind: int = schema.BuiltinOptions.NONE,
        options: Any = None,
    ) -> int:
        """Add an operator; return its first output."""
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(code)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self._operators.append(operator)
        return outputs[0]

    def _int16(self, name: str, shape: tuple[int, ...], scale: float) -> int:
        return self._tensor(name, _TYPE.INT16, shape, _quantization(np.array([scale])))

    def _constant(
        self, name: str, values: NDArray[Any], kind: int, quantization: Any = None
    ) -> int:
        buffer = _AlignedBuffer()
        buffer.data = values.tobytes()
        self._buffers.append(buffer)
        return self._tensor(name, kind, values.shape, quantization, len(self._buffers) - 1)

    def _tensor(
        self,
        name: str,
        kind: int,
        shape: tuple[int, ...],
        quantization: Any = None,
        buffer: int = 0,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape = name, kind, list(shape)
        tensor.quantization, tensor.buffer = quantization, buffer
        tensor.hasRank = True
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self._tensors[tensor].shape)

    def _scale(self, tensor: int) -> float:
        return float(self._tensors[tensor].quantization.scale[0])


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A constant where processors like to find it; the generated writer aligns it to nothing."""

    def Pack(self, builder: Any) -> Any:  # noqa: N802
        builder.StartVector(1, len(self.data), _ALIGNMENT)
        for byte in reversed(self.data):
            builder.PrependByte(byte)
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _quantization(scales: NDArray[Any]) -> Any:
    """Return the scales of a tensor's rows, or its one scale where all are the same."""
    if (scales == scales[0]).all():
        scales = scales[:1]
    quantization = schema.QuantizationParametersT()
    quantization.scale = scales.astype(np.float32)
    quantization.zeroPoint = np.zeros(len(scales), np.int64)
    return quantization


def _code(operator: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = operator
    code.deprecatedBuiltinCode = operator
    code.version = _VERSIONS[operator]
    return code


@dataclass(frozen=True, kw_only=True)
class Edge:
    """An input or output of a graph."""

    name: str
    shape: tuple[int, ...]
    scale: float
    """Of the int16 tensor that it is rounded to, or was made of; the zero point is 0."""


def read_edges(content: bytes) -> tuple[tuple[Edge, ...], tuple[Edge, ...]]:
    """Return the inputs and the outputs of an explicit-state model, in their order."""
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


def operator_names(content: bytes) -> tuple[str, ...]:
    """Return the operators of a TFLite file, by TFLite's names, in the order of execution."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names: Mapping[int, str] = {code: name for name, code in vars(_OPERATOR).items()}
    codes = [names[code.builtinCode] for code in model.operatorCodes]
    return tuple(codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators)
