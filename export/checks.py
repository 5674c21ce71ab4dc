"""A quantized model and its run in; measured figures, or the reason to refuse the model, out.

Each check raises `ExportError`, which names the check and the figures, if the model must not be
written. The figures go into the manifest.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ..edge.device.limits import CELL_CLIP
from ..edge.errors import DependencyError, ExportError, ModelError, RunError
from ..edge.spotting.engine import Engine, Runtime, TfliteRuntime
from ..edge.spotting.frontend import FrontEnd
from ..edge.spotting.manifest import Model
from ..train.corpus import Corpus
from ..train.evaluate import evaluate
from ..train.features import stack_steps
from .agreement import Agreement, measure_agreement
from .device.golden import long_recording
from .fused import CELL_STATE, read_layers
from .reference import Network, softmax
from .tflm import TflmRuntime, measure_arena
from .trained import TrainedRun

Int8 = NDArray[np.int8]

MIN_FLOAT_AGREEMENT = 0.97
"""Smallest share of steps in which the int8 model and the float network agree on the label."""
MAX_FLOAT_DIFFERENCE = 0.02
"""Largest `Agreement.difference_mean` between posteriors and the float network's."""
MAX_CELL_EXCESS = 1.25
"""Largest factor by which the float network's cells may exceed the range of the int16 cells."""
MIN_PARITY = 0.999
"""Smallest share of steps in which LiteRT and TFLM agree on the label."""
MAX_PARITY_LSB = 3
"""Largest difference between a logit of LiteRT and of TFLM, in int8 steps."""

HOUR_S = 3600
"""Length of the audio over which the states of SVDF layers must stay within int16."""

_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"

_PROBES = 20  # steps at which a reset state is compared with the stream's
_REPLAY_STEPS = 100  # steps that must repeat to the bit after a reset


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """The operators and state of a fully int8 model."""

    operators: tuple[str, ...]
    """Names of TFLite's builtin operators, in the order of execution."""
    state_bytes: int
    """Bytes of state kept from one step to the next."""
    svdf_ranges: tuple[float, ...]
    """Largest magnitude that the int16 state of each SVDF layer can hold."""
    cell_ranges: tuple[float, ...]
    """Largest magnitude that the int16 cells of each LSTM layer can hold."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How well the int8 logits of two runtimes agree, step for step."""

    steps: int
    same_argmax: float
    """Share of the steps in which some label is the largest for both. Ties are common in int8:
    every largest label counts."""
    same_first_argmax: float
    """The same if only the first of tied logits counts."""
    same_logits: float
    """Share of all logits that are equal."""
    max_lsb: int
    """Largest difference of two logits, in int8 steps."""


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """Figures of a model that passed."""

    figures: Mapping[str, Any]
    """The manifest's ``checks``."""
    tflm_arena_bytes: int | None
    """Smallest arena for TFLM; None if TFLM cannot be run."""


def check_model(model: Model, run: TrainedRun) -> CheckReport:
    """Run every check.

    If TFLM is not installed, its checks are skipped, and the figures say so.

    Parameters
    ----------
    model
        The quantized model.
    run
        The run that its weights come from.

    Raises
    ------
    ExportError
        A check failed.
    """
    graph = check_graph(model.content, run.network)
    svdf_states = check_svdf_states(model)

    litert = TfliteRuntime(model)
    litert_name = f"{litert.name} {importlib.metadata.version(litert.name)}"
    engine = Engine(model, runtime=litert)
    features = engine.quantize(run.check_frames)
    logits = run_stream(litert, features)
    check_state(litert, features, logits, name=litert_name)

    activity = run.network.run(run.steps(run.check_frames))
    check_cells(graph.cell_ranges, activity.cell_peaks)
    agreement = measure_agreement(softmax(activity.logits), engine.posteriors(logits))
    check_agreement(agreement)

    figures: dict[str, Any] = {
        "graph": asdict(graph),
        **svdf_states,
        "cell_peaks": activity.cell_peaks,
        "float_and_int8": {"runtime": litert_name, **asdict(agreement)},
    }
    try:
        arena_bytes = measure_arena(model.content)
    except DependencyError as problem:
        figures["litert_and_tflm"] = {"not_run": str(problem)}
        return CheckReport(figures=_rounded(figures), tflm_arena_bytes=None)
    except ModelError as problem:
        raise ExportError(f"TFLM check: {problem}") from problem

    # In the smallest arena, so that overlapping buffers would show.
    tflm = TflmRuntime(model, arena_bytes=arena_bytes)
    features = np.concatenate((features, engine.quantize(run.calibration_frames)))
    litert.reset()
    logits = run_stream(tflm, features)
    parity = measure_parity(run_stream(litert, features), logits)
    check_parity(parity)
    check_state(tflm, features, logits, name=tflm.name)
    figures["litert_and_tflm"] = {"runtimes": [litert_name, tflm.name], **asdict(parity)}
    return CheckReport(figures=_rounded(figures), tflm_arena_bytes=arena_bytes)


def measure_clips(model: Model, run: TrainedRun, corpus: Corpus) -> dict[str, Any]:
    """Measure the int8 model on the validation clips, as ``harken eval`` does.

    Parameters
    ----------
    model
        The quantized model.
    run
        The run that it comes from, for the figures of its float weights on the same clips.
    corpus
        The recordings that the run was trained on.

    Returns
    -------
    Accuracy with its 95 % interval, also by label, and the accuracy of the float weights minus it
    (``float_minus_int8``; None if the run has no figures).

    Raises
    ------
    RunError
        The recordings are not those of the run.
    """
    trained_on = run.record.data.get("fingerprint")
    if corpus.fingerprint != trained_on:
        raise RunError(
            f"{corpus.root} is not what {run.folder} was trained on (fingerprint "
            f"{corpus.fingerprint}, in the run {trained_on}); give the same recordings with --data "
            "and --add"
        )
    evaluation = evaluate(model, corpus, split="validation")
    accuracy = evaluation.overall.accuracy
    before = None if run.validation is None else run.validation["accuracy"]
    return {
        **evaluation.overall.to_dict(),
        "float_minus_int8": None if before is None or accuracy is None else before - accuracy,
        "labels": {
            label: {"clips": score.clips, "right": score.right}
            for label, score in evaluation.by_label.items()
        },
        "unknown_words": {
            word: {"clips": score.clips, "right": score.right}
            for word, score in sorted(evaluation.unknown_words.items())
        },
    }


def check_graph(content: bytes, network: Network) -> GraphFacts:
    """Check that a model is the expected graph, int8 throughout, with the expected state.

    Raises
    ------
    ExportError
        It is not:

        * other operators;
        * a float tensor, as in float models and dynamic-range ones, for which TFLM returns NaN
          without an error;
        * a tensor with several scales, which older kernels misread without an error;
        * other state tensors;
        * cells that are not clipped as in training, or whose scale is not a power of two, as the
          kernels' arithmetic needs.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if len(model.subgraphs) != 1:
        raise ExportError(f"operator check: the model has {len(model.subgraphs)} graphs, not one")
    (graph,) = model.subgraphs
    _check_types(graph)
    codes = [code.builtinCode for code in model.operatorCodes]
    operators = tuple(
        _name_of(schema.BuiltinOperator, codes[operator.opcodeIndex])
        for operator in graph.operators
    )
    _check_operators(operators, network)
    layers = read_layers(content)
    return GraphFacts(
        operators=operators,
        state_bytes=_check_state_tensors(graph, network),
        svdf_ranges=tuple(layer.state_limit for layer in layers.svdf),
        cell_ranges=tuple(
            _check_cell(graph, operator)
            for operator, name in zip(graph.operators, operators, strict=True)
            if name == _LSTM
        ),
    )


def _check_operators(operators: tuple[str, ...], network: Network) -> None:
    expected = ["FULLY_CONNECTED"] if network.dense_in else ["RESHAPE"] if network.svdf else []
    if network.conv:
        expected = ["RESHAPE", "CONV_2D"] * 2 + ["CONV_2D"] * (len(network.conv) - 2)
        expected += ["RESHAPE"] if network.svdf else []
    for layer in network.svdf:
        expected += ["SVDF", "ADD"] if layer.adds else ["SVDF"]
    expected += ["RESHAPE"] if network.svdf or network.conv else []
    expected += [_LSTM] * len(network.lstm) + ["FULLY_CONNECTED"]
    if list(operators) != expected:
        raise ExportError(
            f"operator check: the model consists of {', '.join(operators)}; "
            f"expected is {', '.join(expected)}, and nothing else"
        )


def _check_types(graph: Any) -> None:
    for tensor in graph.tensors:
        name, dtype = tensor.name.decode(), _name_of(schema.TensorType, tensor.type)
        # The fused LSTM has four empty float tensors, for an unused normalisation.
        if dtype.startswith("FLOAT") and math.prod(tensor.shape):
            raise ExportError(
                f"type check: the tensor {name} is {dtype}; only fully int8 models are exported, "
                "not float or dynamic-range ones"
            )
        scales = tensor.quantization.scale if tensor.quantization else None
        if scales is not None and len(scales) > 1:
            raise ExportError(
                f"type check: the tensor {name} has {len(scales)} scales; reference kernels of "
                "2023 misread that without an error, so harken's models have one scale per tensor"
            )
    for side, index in (("input", graph.inputs[0]), ("output", graph.outputs[0])):
        dtype = _name_of(schema.TensorType, graph.tensors[index].type)
        if dtype != "INT8":
            raise ExportError(f"type check: the {side} is {dtype}; it must be INT8")


def _check_state_tensors(graph: Any, network: Network) -> int:
    """Return the bytes of the state."""
    found = sorted(
        f"{_name_of(schema.TensorType, tensor.type)} {tensor.shape.tolist()}"
        for tensor in graph.tensors
        if tensor.isVariable
    )
    stem = [layer.units * layer.memory for layer in network.svdf]
    expected = sorted(
        [f"INT16 [1, {values}]" for values in stem]
        + [f"{dtype} [1, {units}]" for units in network.lstm_units for dtype in ("INT8", "INT16")]
    )
    if found != expected:
        raise ExportError(
            f"state check: the state tensors are {', '.join(found) or 'none'}; "
            f"expected are {', '.join(expected)}"
        )
    return 2 * sum(stem) + 3 * sum(network.lstm_units)


def _check_cell(graph: Any, operator: Any) -> float:
    """Return the largest magnitude that an LSTM operator's cells can hold."""
    clip = operator.builtinOptions.cellClip
    if clip != CELL_CLIP:
        raise ExportError(
            f"state check: cells are clipped at {clip}; training clips them at {CELL_CLIP}"
        )
    quantization = graph.tensors[operator.inputs[CELL_STATE]].quantization
    scale, zero_point = float(quantization.scale[0]), int(quantization.zeroPoint[0])
    mantissa, _ = math.frexp(scale)
    if mantissa != 0.5 or zero_point != 0:
        raise ExportError(
            f"state check: cells have the scale {scale} and the zero point {zero_point}; "
            "these must be a power of two, and 0"
        )
    return scale * float(np.iinfo(np.int16).max)


def check_cells(ranges: tuple[float, ...], peaks: tuple[float, ...]) -> None:
    """Check that the calibrated range of every layer's cells covers the float cells.

    Raises
    ------
    ExportError
        The range of the model's cells is too small.
    """
    for layer, (limit, peak) in enumerate(zip(ranges, peaks, strict=True)):
        if peak > limit * MAX_CELL_EXCESS:
            raise ExportError(
                f"cell check: the cells of LSTM layer {layer} reach {peak:.2f} on the check "
                f"stream, but their calibrated range ends at {limit:.2f}; "
                "train again with a longer calibration stream"
            )


def check_svdf_states(model: Model) -> dict[str, Any]:
    """Check that the int16 states of the SVDF layers never saturate in an hour of audio.

    The audio ranges from a whisper to far too loud, in noise of all levels; the float network with
    the same weights processes it, limited to the range of the model's int8 tensors.

    Returns
    -------
    Entries for the figures; empty if the model has no SVDF.

    Raises
    ------
    ExportError
        A state leaves its range.
    """
    manifest, layers = model.manifest, read_layers(model.content)
    if not layers.svdf:
        return {}
    rate_hz = manifest.front_end.sample_rate_hz
    frames = FrontEnd(manifest.front_end).feed(long_recording(HOUR_S * rate_hz))
    (steps,) = stack_steps(manifest.step, frames[None])
    peaks = layers.network().run(np.asarray(steps), layers.bounded).svdf_peaks
    shares = [peak / layer.state_limit for layer, peak in zip(layers.svdf, peaks, strict=True)]
    for layer, share in zip(layers.svdf, shares, strict=True):
        if share > 1:
            raise ExportError(
                f"state check: in an hour of audio, the state of layer {layer.name} reaches "
                f"{share:.2f} times what its int16 can hold"
            )
    return {"svdf_states": {"steps": len(steps), "largest_share_of_int16": shares}}


def check_state(runtime: Runtime, features: Int8, logits: Int8, *, name: str) -> None:
    """Check that a runtime keeps its state from step to step, and that a reset clears it.

    Parameters
    ----------
    runtime
        The runtime; its state is changed.
    features
        A stream, (steps, 1, 1, inputs) int8.
    logits
        The runtime's output for that stream when it was new: (steps, labels) int8.
    name
        The runtime's name, for errors.

    Raises
    ------
    ExportError
        It does neither, or only one.
    """
    kept = 0
    probes = np.linspace(1, len(features) - 1, _PROBES, dtype=int)
    for step in probes:
        runtime.reset()
        kept += bool(np.any(runtime.invoke(features[step]) != logits[step]))
    if not kept:
        raise ExportError(
            f"state check: at {len(probes)} places in a stream, {name} gives the same output as "
            "from a reset state, so the model remembers nothing"
        )
    runtime.reset()
    again = run_stream(runtime, features[:_REPLAY_STEPS])
    different = int(np.any(again != logits[:_REPLAY_STEPS], axis=1).sum())
    if different:
        raise ExportError(
            f"reset check: of {len(again)} steps after a reset, {name} gives {different} different "
            "results than when it was new"
        )


def check_agreement(agreement: Agreement) -> None:
    """Check that the int8 model agrees with the float network.

    The limits separate a broken quantization from rounding. Networks after a few epochs of training
    agreed in 98.8 to 99.6 % of the steps, with a mean difference of 0.004 to 0.007; random ones,
    which are less sure of their labels, in 97.4 to 98.6 %, with up to 0.016.

    Raises
    ------
    ExportError
        It does not.
    """
    if (
        agreement.same_argmax < MIN_FLOAT_AGREEMENT
        or agreement.difference_mean > MAX_FLOAT_DIFFERENCE
    ):
        raise ExportError(
            f"float agreement check: over {agreement.steps} steps, the int8 model gives the same "
            f"label as the float network in {agreement.same_argmax:.2%} (at least "
            f"{MIN_FLOAT_AGREEMENT:.0%} is required), and its posteriors differ by "
            f"{agreement.difference_mean:.4f} on average (at most {MAX_FLOAT_DIFFERENCE} is "
            "allowed)"
        )


def measure_parity(one: Int8, other: Int8) -> Parity:
    """Compare the int8 logits, (steps, labels), of two runtimes on the same stream."""
    first, second = one.astype(np.int16), other.astype(np.int16)
    largest_of_both = (first == first.max(axis=1, keepdims=True)) & (
        second == second.max(axis=1, keepdims=True)
    )
    return Parity(
        steps=len(first),
        same_argmax=float(np.mean(largest_of_both.any(axis=1))),
        same_first_argmax=float(np.mean(first.argmax(axis=1) == second.argmax(axis=1))),
        same_logits=float(np.mean(first == second)),
        max_lsb=int(np.abs(first - second).max()),
    )


def check_parity(parity: Parity) -> None:
    """Check that a microcontroller will give the same results as this machine.

    Raises
    ------
    ExportError
        LiteRT and TFLM drift apart.
    """
    if parity.same_argmax < MIN_PARITY or parity.max_lsb > MAX_PARITY_LSB:
        raise ExportError(
            f"TFLM parity check: over {parity.steps} steps without a reset, LiteRT and TFLM give "
            f"the same label in {parity.same_argmax:.2%} (at least {MIN_PARITY:.1%} is required) "
            f"and differ by up to {parity.max_lsb} LSB (at most {MAX_PARITY_LSB} is allowed)"
        )


def run_stream(runtime: Runtime, features: Int8) -> Int8:
    """Run a runtime over a stream: (steps, 1, 1, inputs) int8 to logits (steps, labels) int8."""
    return np.array([runtime.invoke(step) for step in features])


def _name_of(enum: type, code: int) -> str:
    return next(name for name, value in vars(enum).items() if value == code and name.isupper())


def _rounded(value: Any) -> Any:
    """Round every float to six digits; the rest is noise."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
