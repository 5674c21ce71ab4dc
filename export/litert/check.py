"""The explicit-state model and its source in; figures, or the reason to refuse it, out.

Each check raises `ExportError`, which names the check and the figures.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from ai_edge_litert import schema_py_generated as schema

from ...edge.errors import ExportError
from ...edge.spotting.detector import Detection, Detector
from ...edge.spotting.engine import Engine
from ...edge.spotting.frontend import FrontEnd
from ...edge.spotting.manifest import Manifest, Model
from ..agreement import Agreement, measure_agreement
from ..device.golden import long_recording, recording
from ..layers import QuantizedNetwork
from ..reference import Array, softmax
from .graph import read_edges
from .runtime import Answers, run

DEMO = Path(str(files("harken.models").joinpath("demo.flac")))

LONG_STEPS = 20_000
"""Steps of the stream that a model is checked on; its state is never reset."""

# Against the float network with the same weights, which shows whether the graph is correct. The
# shipped models: the same label in 99.92 % of 20,092 steps, mean differences of 0.0006 and 0.0008,
# at most 0.03; TensorFlow's converter, which rounds the weights again, made models of an LSTM with
# 0.002 and 0.1.
MIN_FLOAT_AGREEMENT = 0.998
MAX_FLOAT_MEAN = 0.001
MAX_FLOAT_DIFFERENCE = 0.05
# The state of an SVDF is rounded to int16 with the scale of the int8 model. If its mean is large
# and the filter removes that mean again, one step of int16 matters, and the smallest difference
# before it decides in which direction a value is rounded. So a model may differ from the float
# network about as much as this rounding makes the float network differ from itself. Of eleven
# models of `harken new`, the four of an older training were refused without this rule: means of
# 0.0009 to 0.0014, at most 0.07 to 0.16, where the rounding alone costs 0.0014 to 0.0037, at most
# 0.05 to 0.18; and they are no farther from the unrounded network (0.0016 to 0.0037). The int16
# of the LSTM costs 0.00005. Over all eleven and the two shipped models, the means are 0.3 to 1.2
# times the cost of the rounding, the largest differences 0.4 to 1.5 times.
_AS_ROUNDING_MEAN = 1.5
_AS_ROUNDING_MOST = 2.0
# Against the int8 model in its own runtime, which shows whether its weights were read correctly; it
# rounds more, and the float network differs from it as much: networks with a stem round at every
# layer of it, and differ more (`commands` 0.036 on average, `commands-tiny` 0.016) than an LSTM
# alone (0.005). Of 594 words that `commands` detects with 8 or with 16 bits, 59 differ; of those of
# int8 and float, 60.
MIN_INT8_AGREEMENT = 0.95
MAX_INT8_MEAN = 0.03
_MORE_THAN_ROUNDING = 1.1
MAX_WORDS_DIFFERENT = 0.05
FEW_WORDS = 3
"""This many words may always differ: a model of other words detects few in the recording."""

NEAR_STEPS = 2
"""A word detected at most this much earlier or later is the same word."""

_TYPES = schema.TensorType
_INNER_TYPES = {_TYPES.INT8, _TYPES.INT16, _TYPES.INT32, _TYPES.INT64}


@dataclass(frozen=True, kw_only=True)
class LitertCheck:
    """How the 16x8 model compares, on one stream of minutes without a reset."""

    runtime: str
    """The version of LiteRT."""
    float_network: Agreement
    """With the same weights in float32."""
    int8_model: Agreement
    """With the int8 model that it was made from."""
    kept_rounding: Agreement
    """Of the float network with itself without rounding the state of its SVDF layers to int16."""
    rounding: Agreement
    """Of the float network with that int8 model: the effect of int8 alone."""
    interpreter_steps: int
    """Steps in which LiteRT's interpreter gives the same output to the bit."""
    words: int
    """Words that the int8 model detects."""
    words_same: int
    """Those of them that the 16x8 model also detects, at most `NEAR_STEPS` earlier or later."""
    words_more: int
    """Words that only the 16x8 model detects."""
    words_rounding: int
    """Words that only one of the float network and the int8 model detects: the effect of int8."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types, six digits of each share."""
        return _rounded(asdict(self))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _rounded(value)
        if isinstance(value, dict)
        else round(value, 6)
        if isinstance(value, float)
        else value
        for key, value in values.items()
    }


def check_litert(
    content: bytes, layers: QuantizedNetwork, model: Model
) -> tuple[LitertCheck, tuple[Detection, ...]]:
    """Run every check of an explicit-state model.

    Parameters
    ----------
    content
        The explicit-state model.
    layers
        The layers that it was made from.
    model
        The model that they were read from.

    Returns
    -------
    The figures, and the words that the explicit-state model detected in `long_recording`.

    Raises
    ------
    ExportError
        A check failed.
    """
    check_graph(content)
    manifest = model.manifest
    pcm = long_recording(LONG_STEPS * manifest.step_samples)
    frames = FrontEnd(manifest.front_end).feed(pcm)
    steps = stacked(frames, manifest)
    answers = run(content, steps, interpreted_steps=len(recording()) // manifest.step_samples)
    check_interpreter(answers)
    posteriors = softmax(answers.compiled)
    reference = softmax(bounded_logits(layers, steps))
    unrounded = softmax(bounded_logits(layers, steps, rounded=False))
    int8_posteriors = Engine(model, runtime="ai-edge-litert").feed(frames)
    heard, expected = _words(posteriors, manifest), _words(int8_posteriors, manifest)
    same = count_same(heard, expected)
    check = LitertCheck(
        runtime=f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}",
        float_network=measure_agreement(reference, posteriors),
        int8_model=measure_agreement(int8_posteriors, posteriors),
        kept_rounding=measure_agreement(unrounded, reference),
        rounding=measure_agreement(int8_posteriors, reference),
        interpreter_steps=len(answers.interpreted),
        words=len(expected),
        words_same=same,
        words_more=len(heard) - same,
        words_rounding=_not_shared(_words(reference, manifest), expected),
    )
    check_parity(check)
    return check, tuple(heard)


def _not_shared(heard: Sequence[Detection], expected: Sequence[Detection]) -> int:
    return len(heard) + len(expected) - 2 * count_same(heard, expected)


def bounded_logits(layers: QuantizedNetwork, steps: Array, *, rounded: bool = True) -> Array:
    """Run the float network over a stream, within the range of the explicit-state tensors.

    A frame too loud for int8 is limited for them, too. Their zero points are 0, so they reach as
    far on both sides as the int8 tensors do on one; `QuantizedNetwork.bounded` keeps to both sides
    of int8, which is a different network if a stream leaves the nearer one. The state of SVDF
    layers is rounded to int16 with the same scale as in the int8 model.

    Parameters
    ----------
    layers
        The network.
    steps
        (steps, inputs) float32.
    rounded
        Whether what SVDF layers keep is rounded.

    Returns
    -------
    (steps, labels) float32.
    """
    bounds = layers.bounds
    kept = {f"svdf_{index}/state": layer.state_scale for index, layer in enumerate(layers.svdf)}

    def bounded(name: str, values: Array) -> Array:
        if rounded and name in kept:
            return np.asarray(np.rint(values / kept[name]) * kept[name], np.float32)
        return values.clip(-bounds[name].limit, bounds[name].limit) if name in bounds else values

    return layers.network().run(steps, bounded).logits


def check_graph(content: bytes) -> None:
    """Check that a model is 16x8 inside, keeps no state, and returns state as it takes it.

    Raises
    ------
    ExportError
        It has variable tensors, which ``CompiledModel`` refuses; a tensor of another type; or a
        state with different scales at input and output.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    edges = {entry.tensorIndex for entry in (*signature.inputs, *signature.outputs)}
    for index, tensor in enumerate(graph.tensors):
        name = tensor.name.decode(errors="replace")
        if tensor.isVariable:
            raise ExportError(
                f"graph check: the tensor {name} is variable; CompiledModel refuses such models"
            )
        inner = _INNER_TYPES if index not in edges else {_TYPES.FLOAT32}
        if tensor.type not in inner:
            raise ExportError(
                f"graph check: the tensor {name} has the type {tensor.type} of TFLite's schema; "
                f"here it must be one of {sorted(inner)}"
            )
    given, taken = ({edge.name: edge.scale for edge in edges} for edges in read_edges(content))
    for name in sorted(given.keys() & taken.keys()):
        if given[name] != taken[name]:
            raise ExportError(
                f"state check: {name} has the scale {given[name]:g} as input and "
                f"{taken[name]:g} as output; they must be equal, or each step rounds the state"
            )


def check_interpreter(answers: Answers) -> None:
    """Check that the same file gives the same output in LiteRT's interpreter.

    Raises
    ------
    ExportError
        It does not.
    """
    compiled = answers.compiled[: len(answers.interpreted)]
    different = int((answers.interpreted != compiled).any(axis=1).sum())
    if different:
        raise ExportError(
            f"interpreter check: in {different} of {len(compiled)} steps, LiteRT's interpreter and "
            "CompiledModel give different output"
        )


def check_parity(check: LitertCheck) -> None:
    """Check that the model agrees with the float network, and detects the int8 model's words.

    Raises
    ------
    ExportError
        It does not.
    """
    exact, rounded = check.float_network, check.int8_model
    kept = check.kept_rounding
    float_mean = max(MAX_FLOAT_MEAN, _AS_ROUNDING_MEAN * kept.difference_mean)
    float_most = max(MAX_FLOAT_DIFFERENCE, _AS_ROUNDING_MOST * kept.difference_max)
    if (
        exact.same_argmax < MIN_FLOAT_AGREEMENT
        or exact.difference_mean > float_mean
        or exact.difference_max > float_most
    ):
        raise ExportError(
            f"float agreement check: over {exact.steps} steps, the 16x8 model gives the same label "
            f"as the float network in {exact.same_argmax:.2%} (at least {MIN_FLOAT_AGREEMENT:.1%} "
            f"is required), and its posteriors differ by {exact.difference_mean:.4f} on average "
            f"and {exact.difference_max:.3f} at most (allowed are {float_mean:.3g} and "
            f"{float_most:.3g})"
        )
    most_mean = max(MAX_INT8_MEAN, _MORE_THAN_ROUNDING * check.rounding.difference_mean)
    if rounded.same_argmax < MIN_INT8_AGREEMENT or rounded.difference_mean > most_mean:
        raise ExportError(
            f"int8 agreement check: over {rounded.steps} steps, the 16x8 model gives the same "
            f"label as the int8 model in {rounded.same_argmax:.2%} (at least "
            f"{MIN_INT8_AGREEMENT:.0%} is required), and its posteriors differ by "
            f"{rounded.difference_mean:.4f} on average (at most {most_mean:.3g} is allowed)"
        )
    all_words = check.words + check.words_more
    own = max(MAX_WORDS_DIFFERENT * all_words, _MORE_THAN_ROUNDING * check.words_rounding)
    most = FEW_WORDS + own
    if all_words - check.words_same > most:
        raise ExportError(
            f"word check: of {all_words} words that the int8 model or the 16x8 model detects, "
            f"{all_words - check.words_same} differ (at most {most:.0f} are allowed)"
        )


def check_snippet(
    written: Mapping[str, bytes], description: str, heard: Sequence[Detection]
) -> None:
    """Run the written program on the recording that ships, as a user would.

    Parameters
    ----------
    written
        The files, by name.
    description
        The name of the model's description.
    heard
        The model's detections in a stream that begins with that recording.

    Raises
    ------
    ExportError
        It fails, or detects other words.
    """
    length = soundfile.info(str(DEMO)).frames
    expected = [word.word for word in heard if word.end_sample <= length]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in written.items():
            (Path(folder) / name).write_bytes(content)
        done = subprocess.run(
            [sys.executable, "listen.py", description, str(DEMO)],
            cwd=folder,
            capture_output=True,
            check=False,
        )
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise ExportError(f"snippet check: listen.py failed (code {done.returncode}): {last}")
    words = [line.split()[2] for line in lines]
    if words != expected:
        raise ExportError(
            f"snippet check: listen.py detects {', '.join(words) or 'nothing'} in {DEMO.name}; the "
            f"model detects {', '.join(expected) or 'nothing'}"
        )


def count_same(heard: Sequence[Detection], expected: Sequence[Detection]) -> int:
    """Count the expected words that were also detected, each once, at most `NEAR_STEPS` off."""
    left = list(heard)
    for word in expected:
        near = [
            other
            for other in left
            if other.word == word.word and abs(other.step - word.step) <= NEAR_STEPS
        ]
        if near:
            left.remove(near[0])
    return len(heard) - len(left)


def stacked(frames: Array, manifest: Manifest) -> Array:
    """Return the network's input at each step: (n, n_mfcc) frames to (steps, inputs)."""
    stride, context = manifest.step.stride_frames, manifest.step.context_frames
    padded = np.pad(frames, ((context - stride, 0), (0, 0)))
    starts = np.arange(len(frames) // stride) * stride
    steps: Array = padded[starts[:, np.newaxis] + np.arange(context)].reshape(len(starts), -1)
    return steps


def _words(posteriors: Array, manifest: Manifest) -> list[Detection]:
    front_end = manifest.front_end
    detector = Detector(
        manifest.detector,
        manifest.labels,
        manifest.step_samples,
        sample_rate_hz=front_end.sample_rate_hz,
        overhang_samples=front_end.window_samples - front_end.hop_samples,
    )
    return detector.feed(posteriors)
