"""``harken export MODEL --target tflm``: a folder with everything for TensorFlow Lite Micro."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...edge.spotting.manifest import Model
from ..flatbuffer import operator_names
from ..folder import check_target, names_in, write_export
from ..tflm import TflmRuntime, measure_arena
from .bundle import ENGINE, engine_sources
from .golden import (
    Comparison,
    ask_engine,
    boot_recording,
    compare,
    golden_source,
    recording,
    step_inputs,
)
from .names import in_comment
from .source import EngineModel, array, front_end_source
from .templates import fill, model_fields

Int8 = NDArray[np.int8]

_FRONT_END = (
    "harken.h",
    "harken_math.h",
    "harken_frontend.h",
    "harken_frontend.c",
    "harken_log2.h",
)
_RESOLVED = {
    "FULLY_CONNECTED": "AddFullyConnected",
    "CONV_2D": "AddConv2D",
    "SVDF": "AddSvdf",
    "ADD": "AddAdd",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
    "RESHAPE": "AddReshape",
}
_GOLDEN_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class TflmBundle:
    """The files written for TensorFlow Lite Micro."""

    folder: Path
    operators: tuple[str, ...]
    """Names of the resolver's functions."""
    arena_bytes: int
    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            "folder": str(self.folder),
            "operators": self.operators,
            "arena_bytes": self.arena_bytes,
            "checks": self.comparison.to_dict(),
        }


def export_tflm(
    model: Model, out: str | Path, *, on_stage: Callable[[str], None] = lambda stage: None
) -> TflmBundle:
    """Write the model as an array, its front end in C, golden values, and a check of the state.

    Parameters
    ----------
    model
        The model.
    out
        The folder to write to; it is created if missing. Files that harken wrote are replaced.
    on_stage
        Called with a few words at the start of every stage.

    Raises
    ------
    ExportError
        The model has a feature that harken's front end in C lacks, a comparison failed, or the
        files cannot be written.
    DependencyError
        There is no C compiler, or no TensorFlow Lite Micro wheel, which the golden values need.
    """
    out, model = Path(out), model.ungated  # only the engine has a gate
    check_target(out, names_in(ENGINE / "tflm"))
    TflmRuntime(model)  # fails early if it cannot run
    on_stage("computing the tables")
    engine_model = EngineModel.of(model)
    identifier = engine_model.identifier
    on_stage("compiling the front end and running it")
    sources = engine_sources(engine_model)
    sources["model_golden.c"] = golden_source(identifier, boot_recording(model), {})
    sources["main_stdin.c"] = (ENGINE / "bundle" / "main_stdin.c").read_text("utf-8")
    pcm = recording()
    answers = ask_engine(sources, pcm)
    on_stage("comparing it with Python and TensorFlow Lite Micro")
    comparison = compare(model, pcm, answers)
    arena_bytes = model.manifest.memory.tflm_arena_bytes or measure_arena(model.content)

    inputs = step_inputs(model, answers["float"].features)
    first = min(20, len(inputs) - 1)  # not in the silence before the first word
    steps = inputs[first : first + _GOLDEN_STEPS]
    logits, forgetful = _network_answers(model, steps)
    used = set(operator_names(model.content))
    operators = tuple(add for name, add in _RESOLVED.items() if name in used)
    fields = _fields(engine_model, comparison, arena_bytes, operators)
    files = {
        **{name: sources[name] for name in _FRONT_END},
        **fill(ENGINE / "tflm", fields),
        "frontend_data.c": front_end_source(engine_model),
        "model_tflite.c": _array_source(identifier, model.content),
        "model_tflm_golden.c": _golden(identifier, steps, logits, forgetful),
    }
    on_stage("writing")
    write_export(out, {name: text.encode() for name, text in files.items()})
    return TflmBundle(
        folder=out,
        operators=operators,
        arena_bytes=arena_bytes,
        comparison=comparison,
    )


def _network_answers(model: Model, steps: Int8) -> tuple[Int8, Int8]:
    """Return the logits of consecutive steps, and of the same with a reset before each."""
    runtime = TflmRuntime(model)
    logits = np.array([runtime.invoke(step) for step in steps])
    forgetful = []
    for step in steps:
        runtime.reset()
        forgetful.append(runtime.invoke(step))
    return logits, np.array(forgetful)


def _fields(
    model: EngineModel, comparison: Comparison, arena_bytes: int, operators: Sequence[str]
) -> dict[str, str]:
    manifest = model.manifest
    labels = (f" *   {index:2} {in_comment(label)}" for index, label in enumerate(manifest.labels))
    return {
        **model_fields(model, comparison),
        "LENGTH": f"{manifest.model.bytes:,}",
        "SHA256": manifest.model.sha256,
        "LABELS": "\n".join(labels),
        "ZERO_POINT": str(manifest.output.zero_point),
        "SCALE": f"{manifest.output.scale:.9g}",
        "ARENA": f"{arena_bytes:,}",
        "ARENA_BYTES": str(arena_bytes),
        "N_INPUTS": str(manifest.input.shape[-1]),
        "N_LABELS": str(len(manifest.labels)),
        "SCRATCH": str(model.front_end_scratch_bytes),
        "OPERATORS": "\n".join(f"  resolver.{name}();" for name in operators),
        "OPERATOR_LIST": "\n".join(f"- `{name}()`" for name in operators),
        "GOLDEN_STEPS": str(_GOLDEN_STEPS),
    }


def _array_source(name: str, content: bytes) -> str:
    body = array("unsigned char", "content", np.frombuffer(content, np.uint8))
    values = body[body.index("{") :]
    return f"""\
/* The TFLite file, aligned to 16 bytes, as TensorFlow Lite Micro requires. */
#include "model_tflite.h"

#if defined(__GNUC__)
#define ALIGNED __attribute__((aligned(16)))
#elif defined(_MSC_VER)
#define ALIGNED __declspec(align(16))
#else
#error "harken: say how this compiler aligns an array to 16 bytes"
#endif

const unsigned int harken_{name}_tflite_length = {len(content)};
ALIGNED const unsigned char harken_{name}_tflite[{len(content)}] = {values}"""


def _golden(name: str, steps: Int8, logits: Int8, forgetful: Int8) -> str:
    return "\n".join(
        (
            "/* Consecutive steps and the output of the reference kernels: with the state kept,\n"
            ' * and with a reset before each. */\n#include "model_tflite.h"\n',
            array("int8_t", "inputs", steps.ravel()),
            array("int8_t", "logits", logits.ravel()),
            array("int8_t", "forgetful", forgetful.ravel()),
            f"const harken_tflm_golden harken_{name}_tflm_golden = {{inputs, logits, forgetful, "
            f"{len(steps)}, {steps.shape[-1]}, {logits.shape[-1]}}};\n",
        )
    )
