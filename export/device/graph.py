"""A TFLite model in, the layers of the C engine out, with integers for all that was a scale.

What the engine cannot run is refused here, by the layer's name.

Source of the arithmetic: TensorFlow Lite's quantization specification, and the preparation of its
operators in TensorFlow Lite Micro (fully_connected, unidirectional_sequence_lstm), in whose
precision, now float32, now float64, the scales are computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ...edge.errors import ExportError

Int8 = NDArray[np.int8]
Int64 = NDArray[np.int64]

_GATE_SCALE = 2.0**-12  # of the sums that go into sigmoid and tanh
_MOST_COLUMNS = 1024
_MOST_ROWS = 4096
_GATES = ("input", "forget", "cell", "output")

# Positions among the inputs of a fused LSTM.
_INPUT_WEIGHTS = (1, 2, 3, 4)
_STATE_WEIGHTS = (5, 6, 7, 8)
_PEEPHOLES = (9, 10, 11)
_BIASES = (12, 13, 14, 15)
_PROJECTIONS = (16, 17)
_HIDDEN_STATE, _CELL_STATE = 18, 19
_NORMALISATIONS = (20, 21, 22, 23)


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """A factor as ``harken_scale`` has it: ``multiplier * 2 ** (left - 32 - right)``."""

    multiplier: int
    left: int
    right: int

    @classmethod
    def of(cls, factor: float, *, layer: str, largest: float) -> Rescale:
        """Take a factor apart.

        Parameters
        ----------
        factor
            Above 0.
        layer
            Its name, for errors.
        largest
            Magnitude that what is multiplied never exceeds.
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
                f"layer {layer}: sums up to {largest:.0f} times {factor:g} do not fit 32 bits; "
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
    """(outputs,), with the zero point of the input in it."""
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
class LstmLayer:
    """An LSTM; see ``harken_lstm`` in harken.h. Gates: input, forget, cell, output."""

    name: str
    input_weights: Int8
    """(4, units, inputs)."""
    state_weights: Int8
    """(4, units, units)."""
    input_bias: Int64
    """(4, units), with the zero point of the input in it."""
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
    """A network as the engine runs it: a dense layer or none, LSTM layers, a dense layer."""

    first: DenseLayer | None
    lstm: tuple[LstmLayer, ...]
    last: DenseLayer

    @property
    def widest(self) -> int:
        """Most values that a layer takes in, as ``harken_network.widest`` counts them."""
        dense = [layer for layer in (self.first, self.last) if layer is not None]
        return max(
            *(up4(layer.inputs) for layer in dense),
            *(up4(layer.inputs) + up4(layer.units) for layer in self.lstm),
            *(up4(layer.outputs) for layer in dense),
        )

    @property
    def multiplications(self) -> int:
        """Multiplications of weights in a step."""
        dense = [layer for layer in (self.first, self.last) if layer is not None]
        return sum(layer.weights.size for layer in dense) + sum(
            layer.input_weights.size + layer.state_weights.size for layer in self.lstm
        )


def up4(count: int) -> int:
    """Round up to a multiple of four."""
    return (count + 3) // 4 * 4


def read_network(content: bytes) -> EngineNetwork:
    """Take a model's layers for the engine.

    Parameters
    ----------
    content
        The TFLite file, int8 throughout, as `harken export` makes it.

    Raises
    ------
    ExportError
        The engine cannot run it. Names the layer.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    reader = _Reader(model)
    layers: list[DenseLayer | LstmLayer] = []
    for index, operator in enumerate(reader.graph.operators):
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        output = reader.graph.tensors[operator.outputs[0]]
        name = f"{index} ({output.name.decode(errors='replace')})"
        if code == schema.BuiltinOperator.FULLY_CONNECTED:
            layers.append(reader.dense(operator, name))
        elif code == schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM:
            layers.append(reader.lstm(operator, name))
        elif code != schema.BuiltinOperator.RESHAPE:
            kind = next(k for k, v in vars(schema.BuiltinOperator).items() if v == code)
            raise ExportError(
                f"layer {name} is a {kind}; the C engine runs FULLY_CONNECTED, "
                "UNIDIRECTIONAL_SEQUENCE_LSTM and RESHAPE"
            )
    dense = [isinstance(layer, DenseLayer) for layer in layers]
    first = layers[0] if dense[:1] == [True] else None
    inner = layers[1:-1] if first else layers[:-1]
    if (
        len(layers) < 2
        or not dense[-1]
        or not inner
        or any(isinstance(x, DenseLayer) for x in inner)
    ):
        kinds = ", ".join("dense" if is_dense else "LSTM" for is_dense in dense) or "nothing"
        raise ExportError(
            f"the layers are {kinds}; the C engine runs a dense layer or none, one or more LSTM "
            "layers, and a dense layer, in this order"
        )
    assert first is None or isinstance(first, DenseLayer)
    last = layers[-1]
    assert isinstance(last, DenseLayer)
    return EngineNetwork(
        first=first, lstm=tuple(x for x in inner if isinstance(x, LstmLayer)), last=last
    )


class _Reader:
    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]

    def dense(self, operator: Any, name: str) -> DenseLayer:
        source, kernel, *rest = operator.inputs
        weights = self._weights(kernel, name)
        x, w = self._scale(source, name), self._scale(kernel, name)
        y = self._scale(operator.outputs[0], name)
        activation = operator.builtinOptions.fusedActivationFunction
        kinds = schema.ActivationFunctionType
        if activation not in (kinds.NONE, kinds.RELU):
            raise ExportError(f"layer {name}: its activation is neither none nor RELU")
        zero_point = self._zero_point(operator.outputs[0])
        bias = self._bias(rest[0] if rest else -1, len(weights), name)
        return DenseLayer(
            name=name,
            weights=weights,
            bias=_effective(bias, weights, self._zero_point(source)),
            # The product of the two scales is one of float32.
            scale=Rescale.of(
                float(np.float32(x * w)) / float(y), layer=name, largest=_largest(weights, bias)
            ),
            zero_point=zero_point,
            lowest=zero_point if activation == kinds.RELU else -128,
        )

    def lstm(self, operator: Any, name: str) -> LstmLayer:
        inputs = operator.inputs
        options = operator.builtinOptions
        self._refuse_variants(inputs, options, name)
        source, hidden, cell = inputs[0], inputs[_HIDDEN_STATE], inputs[_CELL_STATE]
        input_weights = np.stack([self._weights(inputs[i], name) for i in _INPUT_WEIGHTS])
        state_weights = np.stack([self._weights(inputs[i], name) for i in _STATE_WEIGHTS])
        units = input_weights.shape[1]
        biases = [self._bias(inputs[i], units, name) for i in _BIASES]
        x, h = self._scale(source, name), self._scale(hidden, name)

        def gates(
            positions: Sequence[int], scale: np.float32, weights: Int8
        ) -> tuple[Rescale, ...]:
            return tuple(
                Rescale.of(
                    float(scale) * float(self._scale(inputs[position], name)) / _GATE_SCALE,
                    layer=f"{name}, gate {gate}",
                    largest=_largest(weights[index], biases[index]),
                )
                for index, (gate, position) in enumerate(zip(_GATES, positions, strict=True))
            )

        cell_scale = float(self._scale(cell, name))
        mantissa, exponent = math.frexp(cell_scale)
        cell_bits = 1 - exponent
        if mantissa != 0.5 or self._zero_point(cell) != 0 or not 0 <= cell_bits <= 12:
            raise ExportError(
                f"layer {name}: cells have the scale {cell_scale} and the zero point "
                f"{self._zero_point(cell)}; the engine wants 2^-12 to 1, a power of two, and 0"
            )
        clip = min(round(float(options.cellClip) / cell_scale), 32767) if options.cellClip else 0
        return LstmLayer(
            name=name,
            input_weights=input_weights,
            state_weights=state_weights,
            input_bias=np.stack(
                [
                    _effective(bias, weights, self._zero_point(source))
                    for bias, weights in zip(biases, input_weights, strict=True)
                ]
            ),
            state_bias=np.stack(
                [
                    _effective(np.zeros(units, np.int64), weights, self._zero_point(hidden))
                    for weights in state_weights
                ]
            ),
            input_scales=gates(_INPUT_WEIGHTS, x, input_weights),
            state_scales=gates(_STATE_WEIGHTS, h, state_weights),
            hidden=Rescale.of(2.0**-30 / float(h), layer=name, largest=32767.0**2),
            cell_clip=0 if clip == 32767 else clip,
            cell_bits=cell_bits,
            zero_point=self._zero_point(hidden),
        )

    def _refuse_variants(self, inputs: Any, options: Any, name: str) -> None:
        for positions, what in (
            (_PEEPHOLES, "peepholes"),
            (_PROJECTIONS, "a projection"),
            (_NORMALISATIONS, "layer normalisation"),
        ):
            for position in positions:
                used = position < len(inputs) and inputs[position] >= 0
                if used and math.prod(self.graph.tensors[inputs[position]].shape):
                    raise ExportError(f"layer {name}: the LSTM has {what}; the engine has none")
        if options.fusedActivationFunction != schema.ActivationFunctionType.TANH:
            raise ExportError(f"layer {name}: the LSTM's activation is not TANH")
        if any(inputs[position] < 0 for position in (*_INPUT_WEIGHTS, *_STATE_WEIGHTS)):
            raise ExportError(f"layer {name}: the LSTM lacks a gate; the engine has all four")

    def _weights(self, index: int, name: str) -> Int8:
        tensor = self.graph.tensors[index]
        shape = tuple(tensor.shape)
        if tensor.type != schema.TensorType.INT8 or len(shape) != 2:
            raise ExportError(f"layer {name}: its weights are no matrix of int8")
        if self._zero_point(index) != 0:
            raise ExportError(f"layer {name}: its weights have a zero point other than 0")
        if shape[1] > _MOST_COLUMNS or shape[0] > _MOST_ROWS:
            raise ExportError(
                f"layer {name} is too large: {shape[0]} x {shape[1]} weights, of which the engine "
                f"runs up to {_MOST_ROWS} x {_MOST_COLUMNS}"
            )
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) != math.prod(shape):
            raise ExportError(f"layer {name}: its weights are not constant")
        return np.asarray(data, np.uint8).view(np.int8).reshape(shape)

    def _bias(self, index: int, rows: int, name: str) -> Int64:
        if index < 0:
            return np.zeros(rows, np.int64)
        tensor = self.graph.tensors[index]
        if tensor.type != schema.TensorType.INT32:
            raise ExportError(f"layer {name}: its bias is not int32")
        data = self.model.buffers[tensor.buffer].data
        return np.asarray(data, np.uint8).view("<i4").astype(np.int64, copy=False)

    def _scale(self, index: int, name: str) -> np.float32:
        quantization = self.graph.tensors[index].quantization
        scales = None if quantization is None else quantization.scale
        if scales is None or len(scales) != 1:
            count = 0 if scales is None else len(scales)
            raise ExportError(
                f"layer {name}: a tensor has {count} scales; the engine runs models that are int8 "
                "throughout, with one scale a tensor"
            )
        return np.float32(scales[0])

    def _zero_point(self, index: int) -> int:
        return int(self.graph.tensors[index].quantization.zeroPoint[0])


def _effective(bias: Int64, weights: Int8, zero_point: int) -> Int64:
    effective: Int64 = bias - zero_point * weights.astype(np.int64).sum(axis=1)
    return effective


def _largest(weights: Int8, bias: Int64) -> float:
    """Return a bound on the magnitude of the sums of products."""
    return float((np.abs(weights.astype(np.int64)).sum(axis=1) * 255 + np.abs(bias)).max())
