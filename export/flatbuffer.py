"""Tensors and operators in, one graph as a TFLite file out.

The graph is written directly, not converted: the caller decides the scale of each tensor and the
state of each operator, and the same calls give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_ALIGNMENT = 16  # of constants, from TensorFlow Lite's schema


def convolution_options(*, stride: int, relu: bool) -> Any:
    """Return the options of a convolution without padding, with a stride along columns."""
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH, options.strideW = 1, stride
    options.dilationHFactor = options.dilationWFactor = 1
    activation = schema.ActivationFunctionType
    options.fusedActivationFunction = activation.RELU if relu else activation.NONE
    return options


class GraphBuilder:
    """One graph; tensors are identified by their numbers."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # the first one means no data
        self._operators: list[Any] = []
        self._codes: list[int] = []

    def tensor(
        self,
        name: str,
        kind: int,
        shape: Sequence[int],
        *,
        scales: float | np.floating | NDArray[Any] | None = None,
        zero_point: int = 0,
        variable: bool = False,
        data: NDArray[Any] | None = None,
    ) -> int:
        """Add a tensor.

        Parameters
        ----------
        name, kind, shape
            Its name, its `TensorType`, and its shape.
        scales, zero_point
            Its quantization: one scale, or one for each row; None for none.
        variable
            Whether the interpreter keeps it from one invocation to the next.
        data
            The values of a constant.
        """
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape = name, kind, [int(size) for size in shape]
        tensor.hasRank, tensor.isVariable = True, variable
        if scales is not None:
            tensor.quantization = _quantization(np.atleast_1d(np.asarray(scales)), zero_point)
        if data is not None:
            buffer = _AlignedBuffer()
            buffer.data = data.tobytes()
            self._buffers.append(buffer)
            tensor.buffer = len(self._buffers) - 1
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def operator(
        self,
        code: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        kind: int = schema.BuiltinOptions.NONE,
        options: Any = None,
        *,
        intermediates: Sequence[int] | None = None,
    ) -> int:
        """Add an operator; return its first output. An input of -1 means that it is omitted."""
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(code)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        if intermediates is not None:
            operator.intermediates = list(intermediates)
        self._operators.append(operator)
        return outputs[0]

    def name(self, tensor: int) -> str:
        """Return a tensor's name."""
        return str(self._tensors[tensor].name)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return tuple(self._tensors[tensor].shape)

    def scale(self, tensor: int) -> float:
        """Return a tensor's first scale."""
        return float(self._tensors[tensor].quantization.scale[0])

    def file(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        description: str,
        versions: Mapping[int, int],
        signature: tuple[str, Sequence[str], Sequence[str]] | None = None,
    ) -> bytes:
        """Return the file.

        Parameters
        ----------
        inputs, outputs
            Of the graph.
        description
            The description stored in the file.
        versions
            The version of each operator that is used.
        signature
            The name of the one signature, and the names of its inputs and outputs.
        """
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.description = 3, description
        model.operatorCodes = [_code(code, versions[code]) for code in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        if signature is not None:
            graph.name, given, taken = signature
            entry = schema.SignatureDefT()
            entry.signatureKey, entry.subgraphIndex = graph.name, 0
            entry.inputs = [_named(*pair) for pair in zip(given, inputs, strict=True)]
            entry.outputs = [_named(*pair) for pair in zip(taken, outputs, strict=True)]
            model.signatureDefs = [entry]
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A constant with the alignment that kernels expect; the generated writer does not align."""

    def Pack(self, builder: Any) -> Any:  # noqa: N802
        builder.StartVector(1, len(self.data), _ALIGNMENT)
        for byte in reversed(self.data):
            builder.PrependByte(byte)
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _quantization(scales: NDArray[Any], zero_point: int) -> Any:
    """Return the scales of a tensor's rows, or one scale if all are the same."""
    if (scales == scales[0]).all():
        scales = scales[:1]
    quantization = schema.QuantizationParametersT()
    quantization.scale = scales.astype(np.float32)
    quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
    return quantization


def _named(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry


def _code(operator: int, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = operator
    code.deprecatedBuiltinCode = operator
    code.version = version
    return code


def operator_names(content: bytes) -> tuple[str, ...]:
    """Return the operators of a TFLite file, by TFLite's names, in order of execution."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names: Mapping[int, str] = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    codes = [names[code.builtinCode] for code in model.operatorCodes]
    return tuple(codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators)
