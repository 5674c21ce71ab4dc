"""An explicit-state model and a stream in, logits out, step by step, with ``CompiledModel``.

`run` starts this module as a program, so that LiteRT's messages, and a crash, stay in a separate
process.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...edge.errors import ExportError
from ..reference import Array
from .graph import SIGNATURE


class CompiledStep:
    """The network in LiteRT's ``CompiledModel``, on one thread; the state is kept here.

    Parameters
    ----------
    content
        The TFLite file, as written by `graph.explicit_state_graph`.

    Raises
    ------
    RuntimeError
        ``CompiledModel`` refuses it.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.compiled_model import CompiledModel

        self._model = CompiledModel.from_buffer(content)
        self._inputs = self._model.create_input_buffers(0)
        self._outputs = self._model.create_output_buffers(0)
        self._labels = int(self._outputs[0].get_tensor_details()["shape"][-1])
        for state in self._inputs[1:]:
            state.write(np.zeros(state.get_tensor_details()["shape"], np.float32))

    def step(self, frame: Array) -> Array:
        """Run one step: (inputs,) float32 in, (labels,) float32 logits out."""
        self._inputs[0].write(frame)
        self._model.run_by_index(0, self._inputs, self._outputs)
        # The output state is the next input; no byte is copied.
        self._inputs[1:], self._outputs[1:] = self._outputs[1:], self._inputs[1:]
        logits: Array = self._outputs[0].read(self._labels, np.float32)
        return logits


class InterpretedStep:
    """The same in LiteRT's interpreter."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=content, num_threads=1)
        self._run = interpreter.get_signature_runner(SIGNATURE)
        details: Mapping[str, Any] = self._run.get_input_details()
        self._state = {
            name: np.zeros(detail["shape"], np.float32)
            for name, detail in details.items()
            if name != "frame"
        }

    def step(self, frame: Array) -> Array:
        """Run one step: (inputs,) float32 in, (labels,) float32 logits out."""
        answers = dict(self._run(frame=frame[np.newaxis], **self._state))
        logits: Array = answers.pop("logits")[0]
        self._state = answers
        return logits


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A model's output for a stream."""

    compiled: Array
    """(steps, labels) logits of ``CompiledModel``."""
    interpreted: Array
    """(fewer steps, labels) logits of the interpreter, from the first step on."""


def run(content: bytes, frames: Array, *, interpreted_steps: int) -> Answers:
    """Run a model over a stream, in a separate process.

    Parameters
    ----------
    content
        The TFLite file.
    frames
        (steps, inputs) float32, one stream; the state is never reset.
    interpreted_steps
        Number of these that the interpreter runs, too.

    Raises
    ------
    ExportError
        ``CompiledModel`` or the interpreter refuses the model, or fails.
    """
    child = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=pickle.dumps((content, frames, interpreted_steps)),
        capture_output=True,
        check=False,
    )
    if child.returncode:
        lines = child.stderr.decode("utf-8", "replace").split("\n")
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        reason = next((line.strip() for line in errors if line.strip()), "")
        raise ExportError(
            f"CompiledModel check: LiteRT does not run the model (code {child.returncode}): "
            f"{reason or 'no message'}"
        )
    compiled, interpreted = pickle.loads(child.stdout)
    return Answers(compiled=compiled, interpreted=interpreted)


def main() -> None:
    """Read content and frames from stdin, write both outputs to stdout."""
    content, frames, interpreted_steps = pickle.load(sys.stdin.buffer)
    compiled, interpreted = CompiledStep(content), InterpretedStep(content)
    answers = (
        np.array([compiled.step(frame) for frame in frames]),
        np.array([interpreted.step(frame) for frame in frames[:interpreted_steps]]),
    )
    sys.stdout.buffer.write(pickle.dumps(answers))


if __name__ == "__main__":
    main()
