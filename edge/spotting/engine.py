"""Front-end frames in, posteriors out: the interpreter, its quantization, and its state."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import DependencyError, ModelError
from .manifest import Model

Float32 = npt.NDArray[np.float32]
Int8 = npt.NDArray[np.int8]

RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
"""The interpreters that harken can use, in order of preference: package to install, and module."""

RUNTIME_VARIABLE = "HARKEN_RUNTIME"
"""Environment variable that names the interpreter to use."""


class Runtime(Protocol):
    """Anything that runs a network one step at a time and keeps its state in between."""

    def invoke(self, features: Int8) -> Int8:
        """Run one step: (1, 1, features) int8 in, (n_labels,) int8 logits out, a copy."""

    def reset(self) -> None:
        """Reset the state to what it was before the first step."""


def load_interpreter_class(runtime: str | None = None) -> type[Any]:
    """Import the TFLite interpreter to use, and nothing else.

    Parameters
    ----------
    runtime
        One of `RUNTIMES`; by default the one that the environment variable HARKEN_RUNTIME names,
        else the first that is installed.

    Raises
    ------
    DependencyError
        That interpreter, or any interpreter, is missing; says what to install.
    """
    _, module = _load_runtime(runtime)
    interpreter: type[Any] = module.Interpreter
    return interpreter


def _load_runtime(runtime: str | None) -> tuple[str, ModuleType]:
    wanted = runtime if runtime is not None else os.environ.get(RUNTIME_VARIABLE) or None
    if wanted is not None and wanted not in RUNTIMES:
        source = "runtime" if runtime is not None else RUNTIME_VARIABLE
        raise DependencyError(
            f"{source} is {wanted!r}, which is no interpreter; it must be one of "
            f"{', '.join(RUNTIMES)}"
        )
    failures = []
    for name in RUNTIMES if wanted is None else [wanted]:
        try:
            return name, importlib.import_module(RUNTIMES[name])
        except ImportError as problem:  # missing, or built for another Python or numpy
            failures.append(f"{name}: {problem}")
    raise DependencyError(
        f"no TFLite interpreter can be imported ({'; '.join(failures)}); "
        f"install one with `pip install {wanted or next(iter(RUNTIMES))}`"
    )


class TfliteFile(Protocol):
    """A TFLite model and where it came from; a `Model` is one."""

    @property
    def content(self) -> bytes:
        """The file."""

    @property
    def path(self) -> Path:
        """Where it was read from."""


class TfliteRuntime:
    """A TFLite interpreter on one thread.

    Parameters
    ----------
    model
        The model: int8, with one input and one output.
    runtime
        Which interpreter; see `load_interpreter_class`.

    Raises
    ------
    DependencyError
        The interpreter is missing, or does not work with the installed numpy.
    ModelError
        The interpreter refuses the model.
    """

    def __init__(self, model: TfliteFile, runtime: str | None = None) -> None:
        self.name, module = _load_runtime(runtime)
        try:
            # Suppressed: TensorFlow's notice of its successor, and numpy's long text on a
            # SystemError.
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                self._interpreter = module.Interpreter(
                    model_content=model.content,
                    num_threads=1,
                    # The kernels of microcontrollers: optimised convolutions round differently.
                    experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF,
                )
            self._interpreter.allocate_tensors()
        except SystemError as problem:  # tflite-runtime 2.14, its last version, knows only NumPy 1
            raise DependencyError(
                f"{self.name} was not built for NumPy {np.__version__}, which is installed; use "
                "another interpreter: `pip install ai-edge-litert`"
            ) from problem
        except (ValueError, RuntimeError) as problem:
            reason = " ".join(str(problem).split())
            raise ModelError(
                f"{model.path.name}: the interpreter {self.name} refuses the model: {reason}"
            ) from problem
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def invoke(self, features: Int8) -> Int8:
        """Run one step: (1, 1, features) int8 in, (n_labels,) int8 logits out, a copy."""
        self._interpreter.set_tensor(self._input, features)
        self._interpreter.invoke()
        logits: Int8 = self._interpreter.get_tensor(self._output)[0]
        return logits

    def reset(self) -> None:
        """Reset the state: every state tensor to its zero point, which stands for 0."""
        self._interpreter.reset_all_variables()


class Engine:
    """The network: takes front-end frames as they come, and keeps its state between calls.

    Step ``s`` (from 0) runs when frame ``(s + 1) * stride_frames - 1`` arrives, on the last
    `context_frames` frames, oldest first; frames before the first are zeros. The posteriors do not
    depend on how the frames are divided among calls.

    Parameters
    ----------
    model
        The model.
    runtime
        The interpreter, by one of the names in `RUNTIMES` or as a `Runtime` made elsewhere; by
        default the first that is installed.

    Raises
    ------
    DependencyError
        The interpreter is missing.
    ModelError
        The interpreter refuses the model.
    """

    def __init__(self, model: Model, *, runtime: str | Runtime | None = None) -> None:
        manifest = model.manifest
        self.labels = manifest.labels
        """What the posteriors stand for, (n_labels,); the last two: "unknown" and "silence"."""
        self.step_samples = manifest.step_samples
        """Samples from one step to the next."""
        if runtime is None or isinstance(runtime, str):
            runtime = TfliteRuntime(model, runtime)
        self.runtime = runtime
        """What runs the network."""

        self._input_scale = np.float32(manifest.input.scale)
        self._input_zero_point = np.float32(manifest.input.zero_point)
        self._output_scale = np.float32(manifest.output.scale)
        self._output_zero_point = np.float32(manifest.output.zero_point)
        self._stride = manifest.step.stride_frames
        self._context = manifest.step.context_frames
        n_mfcc = manifest.front_end.n_mfcc
        # Input of the next step before new frames, int8: the overlap of two steps, then the frames
        # of an incomplete stride.
        self._before = np.full(
            (self._context - self._stride, n_mfcc), manifest.input.zero_point, np.int8
        )
        self._forget()

    def reset(self) -> None:
        """Start anew: reset the network's state, and drop frames that wait for a step."""
        self._forget()
        self.runtime.reset()

    def _forget(self) -> None:
        self._history = self._before
        self.heard_waiting = False
        """Whether the gate passed any of the frames that wait for a step."""

    def feed(self, frames: Float32, heard: Sequence[bool] | None = None) -> Float32:
        """Process frames, and return a posterior for each network step that they complete.

        Parameters
        ----------
        frames
            (k, n_mfcc) float32, standardised, as `FrontEnd.feed` returns them; any k.
        heard
            For each frame, whether the gate passed it; by default all. The network runs only for
            steps with such a frame among their new ones; all other steps count as silence.

        Returns
        -------
        (m, n_labels) float32: softmax of the logits; each row sums to 1.
        """
        if heard is not None and not self.heard_waiting and not any(heard) and len(self._history):
            return self._silence(self._repeat(len(frames)))
        steps = None if heard is None else self._steps_heard(heard)
        features = self.quantize(frames)
        if steps is None or all(steps):
            logits = np.empty((len(features), len(self.labels)), np.int8)
            for step, feature in enumerate(features):
                logits[step] = self.runtime.invoke(feature)
            return self.posteriors(logits)
        posteriors = self._silence(len(features))
        for step, feature in enumerate(features):
            if steps[step]:
                posteriors[step] = self.posteriors(self.runtime.invoke(feature)[np.newaxis])[0]
        return posteriors

    def _silence(self, steps: int) -> Float32:
        """Return the posteriors of certain silence, the last label, (steps, n_labels)."""
        posteriors = np.zeros((steps, len(self.labels)), np.float32)
        posteriors[:, -1] = 1
        return posteriors

    def _repeat(self, frames: int) -> int:
        """Take frames that the gate stopped, equal to the last one; return the completed steps."""
        return self._take(np.repeat(self._history[-1:], frames, axis=0))[1]

    def _take(self, new: Int8) -> tuple[Int8, int]:
        """Take quantized frames; return all that wait for a step, and the completed steps."""
        waiting = np.concatenate((self._history, new))
        steps = (len(waiting) - self._context) // self._stride + 1
        self._history = waiting[steps * self._stride :].copy()
        return waiting, steps

    def _steps_heard(self, heard: Sequence[bool]) -> list[bool]:
        """Return, for each step that frames complete, whether the gate passed any of its frames."""
        waiting = len(self._history) - (self._context - self._stride)
        steps = []
        for each in heard:
            self.heard_waiting |= each
            waiting += 1
            if waiting == self._stride:
                steps.append(self.heard_waiting)
                self.heard_waiting, waiting = False, 0
        return steps

    def quantize(self, frames: Float32) -> Int8:
        """Process frames, and return the network's input for each step that they complete.

        The first part of `feed`, on the same stream; for running steps one by one.

        Returns
        -------
        (m, 1, 1, context_frames * n_mfcc) int8: ``clip(rint(x / scale) + zero_point)``.
        """
        scaled = np.rint(frames / self._input_scale)
        scaled += self._input_zero_point
        np.minimum(scaled, 127, out=scaled)
        new = np.maximum(scaled, -128, out=scaled).astype(np.int8)
        waiting, steps = self._take(new)
        features = np.empty((steps, 1, 1, self._context * waiting.shape[1]), np.int8)
        for step in range(steps):
            start = step * self._stride
            features[step, 0, 0] = waiting[start : start + self._context].ravel()
        return features

    def step_quantized(self, features: Int8) -> Int8:
        """Run one network step on raw int8 values, for comparing runtimes.

        Parameters
        ----------
        features
            (1, 1, context_frames * n_mfcc) int8.

        Returns
        -------
        (n_labels,) int8 logits.
        """
        return self.runtime.invoke(features)

    def posteriors(self, logits: Int8) -> Float32:
        """Turn int8 logits into posteriors: (m, n_labels) int8 in, (m, n_labels) float32 out."""
        posteriors = logits.astype(np.float32)
        if not len(posteriors):
            return posteriors
        posteriors -= self._output_zero_point
        posteriors *= self._output_scale
        posteriors -= posteriors.max(axis=1, keepdims=True)
        np.exp(posteriors, out=posteriors)
        posteriors /= posteriors.sum(axis=1, keepdims=True)
        return posteriors
