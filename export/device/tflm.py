"""``harken export MODEL --target tflm``: what a user of TensorFlow Lite Micro needs, in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import ExportError
from ...edge.files import write_together
from ...edge.manifest import Model
from ..bundle import check_target
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
from .source import EngineModel, array, front_end_source

Int8 = NDArray[np.int8]

_FRONT_END = (
    "harken.h",
    "harken_math.h",
    "harken_frontend.h",
    "harken_frontend.c",
    "harken_log2.h",
)
_OPERATORS = {
    "FULLY_CONNECTED": "AddFullyConnected",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
    "RESHAPE": "AddReshape",
}
_GOLDEN_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class TflmBundle:
    """What was written for TensorFlow Lite Micro."""

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
        The folder to write to; it is made when it is missing. Files of the same names are replaced.
    on_stage
        Called with a few words at the start of every stage.

    Raises
    ------
    ExportError
        The model has what harken's front end in C lacks, a comparison failed, or the files cannot
        be written.
    DependencyError
        There is no C compiler, or no wheel of TensorFlow Lite Micro: golden values are its answers.
    """
    out = Path(out)
    check_target(out)
    TflmRuntime(model)  # or an error, before anything else is done
    on_stage("working out the tables")
    engine_model = EngineModel.of(model)
    identifier = engine_model.identifier
    on_stage("compiling the front end, and letting it listen")
    sources = engine_sources(engine_model)
    sources["model_golden.c"] = golden_source(identifier, boot_recording(model), {})
    sources["main_stdin.c"] = (ENGINE / "bundle" / "main_stdin.c").read_text()
    pcm = recording()
    answers = ask_engine(sources, pcm)
    on_stage("comparing it with Python and TensorFlow Lite Micro")
    comparison = compare(model, pcm, answers)
    arena_bytes = model.manifest.memory.tflm_arena_bytes or measure_arena(model.content)

    inputs = step_inputs(model, answers["float"].features)
    first = min(20, len(inputs) - 1)  # not in the silence before the first word
    steps = inputs[first : first + _GOLDEN_STEPS]
    logits, forgetful = _network_answers(model, steps)
    files = {name: sources[name] for name in _FRONT_END}
    files["frontend_data.h"] = _frontend_header(identifier)
    files["frontend_data.c"] = front_end_source(engine_model)
    files["model_tflite.h"] = _header(engine_model, arena_bytes)
    files["model_tflite.c"] = _array_source(identifier, model.content)
    files["model_tflm_golden.c"] = _golden(identifier, steps, logits, forgetful)
    fields = _fields(engine_model, arena_bytes)
    for path in sorted((ENGINE / "tflm").iterdir()):
        files[path.name] = re.sub(r"@([A-Z]+)@", lambda field: fields[field[1]], path.read_text())
    files["README.md"] = _readme(engine_model, comparison, arena_bytes, len(model.content))
    on_stage("writing")
    write_together({out / name: text.encode() for name, text in files.items()}, error=ExportError)
    return TflmBundle(
        folder=out,
        operators=tuple(_OPERATORS.values()),
        arena_bytes=arena_bytes,
        comparison=comparison,
    )


def _network_answers(model: Model, steps: Int8) -> tuple[Int8, Int8]:
    """Return the logits of steps in a row, and of the same with a reset before each."""
    runtime = TflmRuntime(model)
    logits = np.array([runtime.invoke(step) for step in steps])
    forgetful = []
    for step in steps:
        runtime.reset()
        forgetful.append(runtime.invoke(step))
    return logits, np.array(forgetful)


def _fields(model: EngineModel, arena_bytes: int) -> Mapping[str, str]:
    manifest = model.manifest
    config = manifest.front_end
    return {
        "NAME": manifest.name,
        "ID": model.identifier,
        "UPPER": model.identifier.upper(),
        "ARENA": str(arena_bytes),
        "OPERATORS": "\n".join(f"  resolver.{name}();" for name in _OPERATORS.values()),
        "HOP": str(config.hop_samples),
        "STRIDE": str(manifest.step.stride_frames),
        "MFCC": str(config.n_mfcc),
    }


def _header(model: EngineModel, arena_bytes: int) -> str:
    manifest, name = model.manifest, model.identifier
    upper = name.upper()
    labels = "\n".join(f" *   {index:2} {label}" for index, label in enumerate(manifest.labels))
    return f"""\
/* The model {manifest.name} for TensorFlow Lite Micro. Made by `harken export --target tflm`; SHA-256:
 * {manifest.model.sha256}
 *
 * Logits stand for:
{labels}
 * real = (int8 - {manifest.output.zero_point}) * {manifest.output.scale:.9g}; softmax of these is the \
posterior. */
#ifndef HARKEN_{upper}_TFLITE_H
#define HARKEN_{upper}_TFLITE_H

#include "harken_tflm_check.h"

#define HARKEN_{upper}_ARENA_BYTES {arena_bytes} /* as measured, a multiple of 16 */
#define HARKEN_{upper}_INPUTS {manifest.input.shape[-1]}
#define HARKEN_{upper}_LABELS {len(manifest.labels)}
#define HARKEN_{upper}_SCRATCH {model.front_end_scratch_bytes} /* of harken_frame */

#ifdef __cplusplus
extern "C" {{
#endif
extern const unsigned char harken_{name}_tflite[];
extern const unsigned int harken_{name}_tflite_length;
extern const harken_tflm_golden harken_{name}_tflm_golden;
#ifdef __cplusplus
}}
#endif
#endif
"""


def _array_source(name: str, content: bytes) -> str:
    body = array("unsigned char", "content", np.frombuffer(content, np.uint8))
    values = body[body.index("{") :]
    return f"""\
/* The TFLite file, aligned to 16 bytes, as TensorFlow Lite Micro wants it. */
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


def _frontend_header(name: str) -> str:
    upper = name.upper()
    return f"""\
/* The front end's tables. */
#ifndef HARKEN_{upper}_FRONTEND_H
#define HARKEN_{upper}_FRONTEND_H

#include "harken.h"

#ifdef __cplusplus
extern "C" {{
#endif
extern const harken_frontend harken_{name}_frontend;
#ifdef __cplusplus
}}
#endif
#endif
"""


def _golden(name: str, steps: Int8, logits: Int8, forgetful: Int8) -> str:
    return "\n".join(
        (
            "/* Steps in a row and what the reference kernels answer: with the state kept, and with a\n"
            ' * reset before each. */\n#include "model_tflite.h"\n',
            array("int8_t", "inputs", steps.ravel()),
            array("int8_t", "logits", logits.ravel()),
            array("int8_t", "forgetful", forgetful.ravel()),
            f"const harken_tflm_golden harken_{name}_tflm_golden = {{inputs, logits, forgetful, "
            f"{len(steps)}, {steps.shape[-1]}, {logits.shape[-1]}}};\n",
        )
    )


def _readme(model: EngineModel, comparison: Comparison, arena_bytes: int, length: int) -> str:
    manifest = model.manifest
    operators = "\n".join(f"- `{name}()`" for name in _OPERATORS.values())
    return f"""\
# {manifest.name} for TensorFlow Lite Micro

`model_tflite.c` is the model, {
        length:,} bytes, aligned to 16. `harken_frontend.c` makes its inputs of
16-bit samples: MFCC, standardised and quantized, the same as in Python ({
        comparison.float_features_equal:.3%}
of the values in float32, {
        comparison.fixed_features_equal:.2%} in integers, the others one off, over
{comparison.frames:,} frames). `example.cc` puts the two together.

Compile the `.c` files beside your copy of TensorFlow Lite Micro. The resolver needs

{operators}

and the arena {arena_bytes:,} bytes, as measured with the reference kernels on a 64-bit machine
({
        comparison.tflm
    }). The detector (smoothing, talk, thresholds) is not part of this folder; the C engine
has it: `harken export {manifest.name} --target c` needs no TensorFlow Lite Micro at all.

## Check the state

The LSTM's state must stay in the interpreter from one `Invoke()` to the next. **Builds with CMSIS-NN
kernels have reset it at each** (versions of 2025 and 2026): the model then hears every {
        manifest.step.stride_frames
        * manifest.front_end.hop_samples
        * 1000
        // manifest.front_end.sample_rate_hz
    } ms anew, names
words at random, and nothing reports an error. `harken_tflm_check()` runs {
        _GOLDEN_STEPS
    } steps in a row and tells:

| it returns | |
|---|---|
| `HARKEN_TFLM_OK` | the same logits as the reference kernels |
| `HARKEN_TFLM_DIFFERENT` | other logits, by `worst` at most: up to 3 is rounding, more is another model |
| `HARKEN_TFLM_STATE_LOST` | the state is reset at each step: build with the reference LSTM kernel |
| `HARKEN_TFLM_FAILED` | your `invoke` failed |

Call it once on every new board or build, and reset the interpreter afterwards.
"""
