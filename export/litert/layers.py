"""A model's TFLite file in, its layers as numbers out: int8 weights and the scale of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ...edge.errors import ExportError
from ..device.graph import read_network
from ..reference import Array, Dense, Lstm, Network

Int8 = NDArray[np.int8]
Float64 = NDArray[np.float64]

# Positions among the inputs of a fused LSTM, of the gates input, forget, cell, output.
_INPUT_WEIGHTS = (1, 2, 3, 4)
_STATE_WEIGHTS = (5, 6, 7, 8)
_BIASES = (12, 13, 14, 15)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A matrix of int8: a row's real values are these times its scale."""

    values: Int8
    """(rows, columns)."""
    scales: Array
    """(rows,) float32."""

    @property
    def real(self) -> Array:
        """(rows, columns) float32."""
        return self.values.astype(np.float32) * self.scales[:, np.newaxis]


@dataclass(frozen=True, kw_only=True)
class DenseLayer:
    """A fully connected layer."""

    weights: Weights
    """(outputs, inputs)."""
    bias: Float64
    """(outputs,)."""
    relu: bool
    limit: float
    """Largest magnitude that its int8 outputs can have."""


@dataclass(frozen=True, kw_only=True)
class LstmLayer:
    """An LSTM; the rows are those of the gates input, forget, cell, output, one after another."""

    input_weights: Weights
    """(4 * units, inputs)."""
    state_weights: Weights
    """(4 * units, units)."""
    bias: Float64
    """(4 * units,)."""

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.state_weights.values.shape[1])


@dataclass(frozen=True, kw_only=True)
class Layers:
    """A dense layer or none, LSTM layers, a dense layer of logits."""

    input_limit: float
    """Largest magnitude that the int8 inputs can have."""
    first: DenseLayer | None
    lstm: tuple[LstmLayer, ...]
    last: DenseLayer

    @property
    def inputs(self) -> int:
        """Values in a step."""
        weights = self.lstm[0].input_weights if self.first is None else self.first.weights
        return int(weights.values.shape[1])

    def network(self, cell_clip: float) -> Network:
        """Return the same weights in float32, as the definition of the network takes them."""
        return Network(
            dense_in=None if self.first is None else _dense(self.first),
            lstm=tuple(
                Lstm(
                    kernel=layer.input_weights.real.T,
                    recurrent_kernel=layer.state_weights.real.T,
                    bias=layer.bias.astype(np.float32),
                )
                for layer in self.lstm
            ),
            dense_out=_dense(self.last),
            cell_clip=cell_clip,
        )


def _dense(layer: DenseLayer) -> Dense:
    return Dense(kernel=layer.weights.real.T, bias=layer.bias.astype(np.float32))


def read_layers(content: bytes) -> Layers:
    """Take a model's layers apart.

    Parameters
    ----------
    content
        The TFLite file, int8 throughout, as `harken export` makes it.

    Raises
    ------
    ExportError
        It is another kind of network. Names the layer.
    """
    try:
        read_network(content)
    except ExportError as problem:
        raise ExportError(
            f"only what the C engine runs can be written out for LiteRT: {problem}"
        ) from None
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    codes = [code.builtinCode for code in model.operatorCodes]
    reader = _Reader(model)
    dense: list[DenseLayer] = []
    lstm: list[LstmLayer] = []
    for operator in graph.operators:
        code = codes[operator.opcodeIndex]
        if code == schema.BuiltinOperator.FULLY_CONNECTED:
            dense.append(reader.dense(operator))
        elif code == schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM:
            lstm.append(reader.lstm(operator.inputs))
    return Layers(
        input_limit=reader.limit(graph.inputs[0]),
        first=dense[0] if len(dense) > 1 else None,
        lstm=tuple(lstm),
        last=dense[-1],
    )


class _Reader:
    def __init__(self, model: Any) -> None:
        self._tensors = model.subgraphs[0].tensors
        self._buffers = model.buffers

    def dense(self, operator: Any) -> DenseLayer:
        _, kernel, *rest = operator.inputs
        weights = self._weights([kernel])
        relu = schema.ActivationFunctionType.RELU
        return DenseLayer(
            weights=weights,
            bias=self._bias([rest[0] if rest else -1], len(weights.values)),
            relu=operator.builtinOptions.fusedActivationFunction == relu,
            limit=self.limit(operator.outputs[0]),
        )

    def lstm(self, inputs: Sequence[int]) -> LstmLayer:
        state_weights = self._weights([inputs[position] for position in _STATE_WEIGHTS])
        return LstmLayer(
            input_weights=self._weights([inputs[position] for position in _INPUT_WEIGHTS]),
            state_weights=state_weights,
            bias=self._bias(
                [inputs[position] for position in _BIASES], state_weights.values.shape[1]
            ),
        )

    def limit(self, index: int) -> float:
        zero_point = int(self._tensors[index].quantization.zeroPoint[0])
        return self._scale(index) * max(128 + zero_point, 127 - zero_point)

    def _weights(self, indices: Sequence[int]) -> Weights:
        matrices = [self._data(index, np.dtype(np.int8)) for index in indices]
        scales = [
            np.full(len(matrix), self._scale(index))
            for matrix, index in zip(matrices, indices, strict=True)
        ]
        return Weights(
            values=np.concatenate(matrices), scales=np.concatenate(scales).astype(np.float32)
        )

    def _bias(self, indices: Sequence[int], rows: int) -> Float64:
        return np.concatenate(
            [
                np.zeros(rows)
                if index < 0
                else self._data(index, np.dtype("<i4")) * self._scale(index)
                for index in indices
            ]
        )

    def _data(self, index: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        tensor = self._tensors[index]
        data = np.asarray(self._buffers[tensor.buffer].data, np.uint8)
        return data.view(dtype).reshape(tensor.shape)

    def _scale(self, index: int) -> float:
        return float(self._tensors[index].quantization.scale[0])
