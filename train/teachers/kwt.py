"""A Keyword Transformer as a TFLite file: raw samples in, log-probabilities out.

Source: Berg, O'Connor and Cruz, "Keyword Transformer: A Self-Attention Model for Keyword Spotting",
2021, arXiv 2104.00769. Any TFLite file with the same input and one output of logits works.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...edge.errors import DataError, ModelError
from ...edge.spotting.engine import load_interpreter_class
from ...edge.spotting.tflite import Graph, read_graph
from ..corpus import SILENCE_FOLDER, UNKNOWN_FOLDER
from ..decode import SAMPLE_RATE_HZ
from .teacher import WINDOW, Float32, Samples, as_float, log_softmax, read_labels, teacher_name

KWT_LABELS = (
    SILENCE_FOLDER,
    UNKNOWN_FOLDER,
    *("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"),
)
"""The 12 labels of the usual task on Google Speech Commands."""


class TfliteTeacher:
    """A teacher in a TFLite file; it runs on one core, one clip at a time.

    Parameters
    ----------
    path
        Its file: one input (1, 16000) float32, raw samples within ±1, and one output (1, labels)
        float32, logits. Its labels are `KWT_LABELS`, or are read from a file (see
        `harken.train.teachers.teacher.read_labels`).

    Raises
    ------
    DataError
        The file cannot be read, or is not a teacher.
    DependencyError
        No TFLite interpreter is installed.
    """

    rate_hz = SAMPLE_RATE_HZ

    def __init__(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"the teacher {path} cannot be read: {error.strerror}") from error
        try:
            graph = read_graph(content)
        except ModelError as problem:
            raise DataError(f"the teacher {path} is {problem}; get the file again") from problem
        self.name = teacher_name(path)
        self.labels = read_labels(path, _outputs(path, graph), KWT_LABELS)
        interpreter_class = load_interpreter_class()
        try:
            with _unheard():
                # With the default delegate, unlike on the device: it is 2.5 times as fast for a
                # network of this size.
                self._interpreter: Any = interpreter_class(model_content=content, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as problem:
            reason = " ".join(str(problem).split())
            raise DataError(f"the interpreter rejects the teacher {path}: {reason}") from problem
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def log_probabilities(self, audio: Samples) -> Float32:
        """See `harken.train.teachers.teacher.Teacher`."""
        logits = np.zeros((len(audio), len(self.labels)), np.float32)
        for row, clip in zip(logits, as_float(audio), strict=True):
            self._interpreter.set_tensor(self._input, clip[np.newaxis])
            self._interpreter.invoke()
            row[:] = self._interpreter.get_tensor(self._output)[0]
        return log_softmax(logits)


@contextmanager
def _unheard() -> Iterator[None]:
    """Hide the interpreters' messages about delegates and successors from the user."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (no path of ours)
            os.dup2(nowhere.fileno(), 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _outputs(path: Path, graph: Graph) -> int:
    """Return the number of outputs of a teacher; refuse a graph that is not one."""
    for what, tensors, wanted in (
        ("input", graph.inputs, f"(1, {WINDOW}), one second at {SAMPLE_RATE_HZ} Hz"),
        ("output", graph.outputs, "(1, labels)"),
    ):
        if len(tensors) != 1:
            raise DataError(
                f"the teacher {path} has {len(tensors)} {what}s; it must have one, float32 of "
                f"shape {wanted}"
            )
        found = tensors[0]
        width = WINDOW if what == "input" else found.shape[-1] if found.shape else 0
        if found.dtype != "float32" or width < 1 or found.shape != (1, width):
            raise DataError(
                f"the {what} of the teacher {path} is {found.dtype} of shape {found.shape}; it "
                f"must be float32 of shape {wanted}"
            )
    return graph.outputs[0].shape[1]
