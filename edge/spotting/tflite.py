"""A TFLite file in, the structure of its graph out: only what a manifest is checked against.

Read with `struct` alone, so that a model is checked before any interpreter sees it (a damaged file
can crash an interpreter, and the process with it), whichever interpreter is installed.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs (the field numbers) and the FlatBuffers
internals document (the layout).
"""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Any

from ..errors import ModelError

MAGIC = b"TFL3"
"""Bytes 4 to 8 of every TFLite file."""

_CONV_2D, _SVDF, _UNIDIRECTIONAL_SEQUENCE_LSTM = 3, 27, 44  # BuiltinOperator
_TIME_WEIGHTS, _CELL_STATE = 2, 19  # positions among the operators' inputs
_TYPES = ("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64",
          "int8")  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor of the graph."""

    dtype: str
    """Its type, by numpy's name if numpy has one."""
    shape: tuple[int, ...]
    scale: float | None
    """Step of the quantization (a float32 value); None when the tensor is not quantized."""
    zero_point: int | None
    """Zero point of the quantization; None when the tensor is not quantized."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
    """The network's inputs, outputs and state."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    svdf_units: tuple[int, ...]
    """Units of each ``SVDF`` of rank 1, in the order of execution."""
    svdf_memory: tuple[int, ...]
    """Steps that each of them keeps, the one at hand included."""
    lstm_units: tuple[int, ...]
    """Units of each fused ``UNIDIRECTIONAL_SEQUENCE_LSTM``, in the order of execution."""
    cell_clips: tuple[float, ...]
    """Bound on the cells of each of them; 0 if there is none."""
    multiplications: int
    """Multiplications by the weights of matrices and convolutions per step."""


def read_graph(content: bytes) -> Graph:
    """Read the structure of a TFLite model.

    Raises
    ------
    ModelError
        The bytes are not a TFLite model, or its structure is damaged.
    """
    if content[4:8] != MAGIC:
        raise ModelError(f"not a TFLite model: bytes 4 to 8 are {content[4:8]!r}, not {MAGIC!r}")
    try:
        return _read_graph(content)
    except (struct.error, IndexError, OverflowError, ValueError) as problem:
        raise ModelError(
            "not a TFLite model that can be read: its structure is damaged"
        ) from problem


def _read_graph(content: bytes) -> Graph:
    model = _Table(content, _unpack(content, "<I", 0))
    codes = [
        # Models from before codes exceeded one byte have it only in field 0.
        max(code.scalar(0, "<b", 0), code.scalar(3, "<i", 0))
        for code in model.tables(1)
    ]
    subgraph = model.tables(2)[0]
    tensors = subgraph.tables(0)
    buffers = model.tables(4)
    units, clips, stem, convolved = [], [], [], 0
    for operator in subgraph.tables(3):
        code = codes[operator.scalar(0, "<I", 0)]
        if code == _CONV_2D:
            kernel = tensors[operator.vector(1, "<i")[1]].vector(0, "<i")
            _, rows, columns, _ = tensors[operator.vector(2, "<i")[0]].vector(0, "<i")
            convolved += rows * columns * math.prod(kernel)
        elif code == _SVDF:
            rows, memory = tensors[operator.vector(1, "<i")[_TIME_WEIGHTS]].vector(0, "<i")
            stem.append((rows, memory))
        elif code == _UNIDIRECTIONAL_SEQUENCE_LSTM:
            state = tensors[operator.vector(1, "<i")[_CELL_STATE]]
            units.append(state.vector(0, "<i")[-1])
            options = operator.table(4)
            clips.append(0.0 if options is None else options.scalar(1, "<f", 0.0))
    return Graph(
        inputs=tuple(_tensor(tensors[index]) for index in subgraph.vector(1, "<i")),
        outputs=tuple(_tensor(tensors[index]) for index in subgraph.vector(2, "<i")),
        svdf_units=tuple(rows for rows, _ in stem),
        svdf_memory=tuple(memory for _, memory in stem),
        lstm_units=tuple(units),
        cell_clips=tuple(clips),
        multiplications=convolved
        + sum(
            math.prod(shape)
            for tensor in tensors
            if len(shape := tensor.vector(0, "<i")) == 2
            and buffers[tensor.scalar(2, "<I", 0)].length(0)
        ),
    )


def _tensor(table: _Table) -> Tensor:
    quantization = table.table(4)
    scales = quantization.vector(2, "<f") if quantization else ()
    zero_points = quantization.vector(3, "<q") if quantization else ()
    quantized = len(scales) == 1 and len(zero_points) == 1
    return Tensor(
        dtype=_TYPES[table.scalar(1, "<B", 0)],
        shape=table.vector(0, "<i"),
        scale=scales[0] if quantized else None,
        zero_point=zero_points[0] if quantized else None,
    )


class _Table:
    """A FlatBuffers table: its fields are found through a table of offsets, 0 meaning absent."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content, self._position = content, position
        self._offsets = position - _unpack(content, "<i", position)
        self._n_fields = (_unpack(content, "<H", self._offsets) - 4) // 2

    def scalar(self, field: int, form: str, default: Any) -> Any:
        position = self._field(field)
        return default if position is None else _unpack(self._content, form, position)

    def vector(self, field: int, form: str) -> tuple[Any, ...]:
        start = self._target(field)
        if start is None:
            return ()
        length = _unpack(self._content, "<I", start)
        size = struct.calcsize(form)
        if length * size > len(self._content):
            raise IndexError("a vector longer than the file")
        return tuple(
            _unpack(self._content, form, start + 4 + index * size) for index in range(length)
        )

    def length(self, field: int) -> int:
        """Return the length of a vector."""
        start = self._target(field)
        return 0 if start is None else int(_unpack(self._content, "<I", start))

    def table(self, field: int) -> _Table | None:
        position = self._target(field)
        return None if position is None else _Table(self._content, position)

    def tables(self, field: int) -> list[_Table]:
        start = self._target(field)
        if start is None:
            return []
        return [
            _Table(self._content, start + 4 + 4 * index + offset)
            for index, offset in enumerate(self.vector(field, "<I"))
        ]

    def _field(self, field: int) -> int | None:
        if field >= self._n_fields:
            return None
        offset = _unpack(self._content, "<H", self._offsets + 4 + 2 * field)
        return self._position + offset if offset else None

    def _target(self, field: int) -> int | None:
        position = self._field(field)
        return None if position is None else position + _unpack(self._content, "<I", position)


def _unpack(content: bytes, form: str, position: int) -> Any:
    if position < 0:  # struct would count from the end
        raise IndexError("an offset before the file")
    return struct.unpack_from(form, content, position)[0]
