"""TensorFlow Lite Micro on this machine: a model in, a microcontroller's output out.

The ``tflite-micro`` wheel holds the reference kernels; it exists for Linux on x86-64.

Run as a program, this module measures the arena of the model that it reads from stdin; see
`measure_arena`.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DependencyError, ModelError
from ..edge.spotting.engine import TfliteFile

Int8 = NDArray[np.int8]

_ALIGNMENT_BYTES = 16  # TFLM aligns its arena to this
_AMPLE_BYTES = 64 * 1024  # on top of the model's own size; its weights stay outside the arena


class TflmRuntime:
    """TensorFlow Lite Micro as a `harken.edge.spotting.engine.Runtime`.

    Parameters
    ----------
    model
        The model.
    arena_bytes
        Size of the tensor arena; by default more than enough.

    Raises
    ------
    DependencyError
        The wheel is not installed.
    ModelError
        TFLM rejects the model, or the arena is too small for it.
    """

    def __init__(self, model: TfliteFile, *, arena_bytes: int | None = None) -> None:
        tflite_micro = _load()
        self.name = f"tflite-micro {tflite_micro.__version__}"
        """Name of the runtime, for reports."""
        try:
            self._interpreter = tflite_micro.runtime.Interpreter.from_bytes(
                model.content, arena_size=arena_bytes
            )
        except RuntimeError as problem:
            raise ModelError(
                f"{model.path.name}: TensorFlow Lite Micro rejects the model: {problem}"
            ) from problem

    def invoke(self, features: Int8) -> Int8:
        """Run one step: (1, 1, features) int8 in, (n_labels,) int8 logits out, a copy."""
        self._interpreter.set_input(features, 0)
        self._interpreter.invoke()
        logits: Int8 = self._interpreter.get_output(0)[0]
        return logits

    def reset(self) -> None:
        """Reset the state: every state tensor to its zero point, which represents 0."""
        self._interpreter.reset()


def measure_arena(content: bytes) -> int:
    """Find the smallest tensor arena in which TFLM runs a model.

    It is measured with the wheel, which has 64-bit pointers: a 32-bit microcontroller needs
    slightly less.

    Parameters
    ----------
    content
        The TFLite model.

    Returns
    -------
    int
        Bytes, a multiple of 16.

    Raises
    ------
    DependencyError
        The wheel is not installed.
    ModelError
        TFLM cannot run the model in any arena.
    """
    _load()
    child = subprocess.run(
        [sys.executable, "-P", "-m", __name__], input=content, capture_output=True, check=False
    )
    if child.returncode:
        lines = child.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ModelError(
            "TensorFlow Lite Micro cannot run the model in any arena: "
            f"{lines[-1] if lines else f'the attempt ended with code {child.returncode}'}"
        )
    return int(child.stdout)


def _load() -> ModuleType:
    try:
        return importlib.import_module("tflite_micro")
    except ImportError as problem:
        raise DependencyError(
            f"tflite-micro cannot be imported ({problem}); install it with "
            "`pip install 'harken[tflm]'` (the wheel exists for Linux on x86-64)"
        ) from problem


def _fits(content: bytes, arena_bytes: int) -> bool:
    """Try an arena in a separate process: TFLM crashes in some that are too small."""
    import resource  # with fork, only on systems that have the wheel

    attempt = os.fork()
    if attempt == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            _load().runtime.Interpreter.from_bytes(content, arena_size=arena_bytes).invoke()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(attempt, 0)[1] == 0


def main() -> None:
    """Print the smallest arena, in bytes, of the model on stdin."""
    content = sys.stdin.buffer.read()
    _load()  # once, for all attempts
    fits = (len(content) + _AMPLE_BYTES) // _ALIGNMENT_BYTES * _ALIGNMENT_BYTES
    if not _fits(content, fits):
        sys.exit(f"{fits} bytes are not enough, or an operator is unknown")
    too_small = 0
    while fits - too_small > _ALIGNMENT_BYTES:
        middle = (too_small + fits) // 2 // _ALIGNMENT_BYTES * _ALIGNMENT_BYTES
        if _fits(content, middle):
            fits = middle
        else:
            too_small = middle
    print(fits)


if __name__ == "__main__":
    main()
