"""Derive the engine's tables of constants: ``python -m harken.export.device.sigmoid``.

TensorFlow Lite Micro looks up its logistic function in 256 values that have no closed form (the
rounded formula is off by one in places). Its tanh reveals them: with an input scale of
2 / (3 * 4096), each input that is a multiple of 128 falls on a table entry, and the output, in Q15,
is that entry minus a half. So the interpreter's outputs are the table. Writes ``harken_sigmoid.h``
and ``harken_log2.h``, the latter from its formula.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ...edge.files import write_atomic

ENGINE = Path(__file__).parents[2] / "edge" / "device" / "c"
"""Folder of the engine."""


def probe(operator: int, scale: float) -> NDArray[np.int16]:
    """Return TensorFlow Lite Micro's values of an operator at every int16.

    Parameters
    ----------
    operator
        ``BuiltinOperator.LOGISTIC`` or ``TANH``.
    scale
        Scale of the input.

    Returns
    -------
    (65536,) int16, Q15: of the inputs -32768, -32767 and so on.
    """
    import tflite_micro

    inputs = np.arange(-32768, 32768).astype(np.int16)[np.newaxis]
    interpreter = tflite_micro.runtime.Interpreter.from_bytes(
        _one_operator(operator, scale, inputs.shape), arena_size=1 << 20
    )
    interpreter.set_input(inputs, 0)
    interpreter.invoke()
    answer: NDArray[np.int16] = interpreter.get_output(0)[0]
    return answer


def derive_table() -> NDArray[np.int64]:
    """Return the logistic function at 0, 1/24, 2/24 and so on, Q16, from the interpreter."""
    answers = probe(schema.BuiltinOperator.TANH, 2 / (3 * 4096))
    return answers[32768::128].astype(np.int64) + 32768


def _one_operator(operator: int, scale: float, shape: tuple[int, ...]) -> bytes:
    """Return a TFLite model of one operator on int16."""
    import flatbuffers

    def tensor(index: int, step: float) -> schema.TensorT:
        quantization = schema.QuantizationParametersT()
        quantization.scale = np.array([step], np.float32)
        quantization.zeroPoint = np.array([0], np.int64)
        made = schema.TensorT()
        made.shape = np.array(shape, np.int32)
        made.type = schema.TensorType.INT16
        made.buffer, made.name, made.quantization = index + 1, f"t{index}", quantization
        return made

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    code.version = 1
    step = schema.OperatorT()
    step.opcodeIndex = 0
    step.inputs, step.outputs = np.array([0], np.int32), np.array([1], np.int32)
    graph = schema.SubGraphT()
    graph.tensors = [tensor(0, scale), tensor(1, 2.0**-15)]
    graph.inputs, graph.outputs = step.inputs, step.outputs
    graph.operators, graph.name = [step], "main"
    model = schema.ModelT()
    model.version, model.description = 3, "probe"
    model.operatorCodes, model.subgraphs = [code], [graph]
    model.buffers = [schema.BufferT() for _ in range(3)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def sigmoid_header(table: NDArray[np.int64]) -> str:
    """Return ``harken_sigmoid.h``."""
    return (
        "/* The logistic function at 0, 1/24, 2/24 ... 255/24, Q16, as TensorFlow Lite Micro has "
        "it. Derived\n * from its answers by `python -m harken.export.device.sigmoid`. */\n"
        f"static const uint16_t harken_sigmoid_table[256] = {{\n{_rows(table.tolist())}}};\n"
    )


def log2_header() -> str:
    """Return ``harken_log2.h``."""
    values = [min(65535, round(math.log2(1 + index / 64) * 2**15)) for index in range(65)]
    return (
        "/* log2(1 + n / 64), n = 0 ... 64, Q15. Made by `python -m "
        "harken.export.device.sigmoid`. */\n"
        f"static const uint16_t harken_log2_table[65] = {{\n{_rows(values)}}};\n"
    )


def _rows(values: list[int]) -> str:
    return "\n".join(
        "    " + ", ".join(str(value) for value in values[at : at + 12]) + ","
        for at in range(0, len(values), 12)
    )


if __name__ == "__main__":
    write_atomic(ENGINE / "harken_sigmoid.h", sigmoid_header(derive_table()))
    write_atomic(ENGINE / "harken_log2.h", log2_header())
