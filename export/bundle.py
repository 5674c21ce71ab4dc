"""A run folder in; a checked model, its manifest and its card out: three files or none."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..edge.device.limits import CELL_CLIP
from ..edge.errors import ExportError, ModelError, OutputError
from ..edge.files import utf8, write_together
from ..edge.spotting.detector import DetectorConfig
from ..edge.spotting.manifest import (
    MODEL_NAME,
    Manifest,
    MemoryConfig,
    Model,
    ModelFile,
    Quantization,
    StateConfig,
)
from ..edge.spotting.tflite import Tensor, read_graph
from ..train.corpus import Corpus
from ..train.scenes.leaks import PROVENANCE_FIELD
from .card import model_card
from .checks import check_graph, check_model, measure_clips
from .folder import check_target
from .fused import write_network
from .quantize import quantize
from .trained import TrainedRun, load_run

_EXPORT_PACKAGES = ("harken", "ai-edge-litert", "numpy")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The result of an export."""

    model: Model
    """The model and its manifest, as written."""
    manifest_path: Path
    card_path: Path


def export_run(
    run: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    corpus: Corpus | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Bundle:
    """Quantize a training run, check the result, and write ``NAME.tflite``, ``.json`` and ``.md``.

    The same run gives the same bytes on the same machine with the same versions. A model of the
    same name is replaced. Nothing is written before all checks have passed; the manifest holds the
    model's SHA-256, so that a mismatched pair is never loaded.

    Parameters
    ----------
    run
        The run folder.
    out
        The folder to write to; it is created if missing.
    name
        The model's name: letters, digits, ``_``, ``-`` and ``.``; by default the run folder's.
    corpus
        The recordings that the run was trained on: the int8 model is measured on their validation
        clips, for the manifest and the card. Without it, they only have the figures of the float
        weights.
    on_stage
        Called with a few words at the start of every stage.

    Raises
    ------
    RunError
        The run folder is incomplete or damaged, or the recordings are not those of the run.
    ExportError
        A check of the result failed, or the files cannot be written.
    """
    out = Path(out)
    name = Path(run).resolve().name if name is None else name
    _check_name(name)
    check_target(out)
    require_own(out, name)
    on_stage("reading the run")
    trained = load_run(run)
    on_stage("quantizing to int8")
    network = quantize(trained.network, trained.steps(trained.calibration_frames))
    content = write_network(network)
    check_graph(content, trained.network)  # checked before anything relies on it
    on_stage("checking the model")
    model = Model(
        manifest=_manifest(name, trained, content), content=content, path=out / f"{name}.tflite"
    )
    report = check_model(model, trained)
    figures = dict(report.figures)
    if corpus is not None:
        on_stage("measuring on the validation clips")
        figures["validation_clips"] = measure_clips(model, trained, corpus)
    manifest = replace(
        model.manifest,
        checks=figures,
        memory=MemoryConfig(tflm_arena_bytes=report.tflm_arena_bytes),
    )
    model = replace(model, manifest=manifest)
    on_stage("writing")
    bundle = Bundle(
        model=model,
        manifest_path=out / f"{name}.json",
        card_path=out / f"{name}.md",
    )
    write_together(
        {
            model.path: content,
            bundle.card_path: utf8(model_card(model, trained)),
            bundle.manifest_path: utf8(manifest.to_json()),
        },
        error=OutputError,
    )
    return bundle


def require_own(out: Path, name: str) -> None:
    """Refuse to replace files that are not a harken model with its card."""
    paths = [out / f"{name}{suffix}" for suffix in (".tflite", ".json", ".md")]
    there = [path for path in paths if path.exists()]
    try:
        Manifest.load(out / f"{name}.json")
    except ModelError:
        if there:
            raise OutputError(
                f"{there[0]} exists, but harken did not write it; choose another --out or "
                "--name, or move it away"
            ) from None


def _check_name(name: str) -> None:
    if not MODEL_NAME.fullmatch(name):
        raise ExportError(
            f"{name!r} cannot be a model's name; it must be made of letters, digits, '_', "
            "'-' and '.', where letters are A to Z and a to z: give another with --name"
        )


def _manifest(name: str, run: TrainedRun, content: bytes) -> Manifest:
    """Build the manifest of a model before its checks."""
    config, graph = run.record.config, read_graph(content)
    return Manifest(
        name=name,
        model=ModelFile(
            file=f"{name}.tflite",
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        ),
        front_end=config.front_end,
        step=config.step,
        labels=config.labels,
        input=_quantization(graph.inputs[0]),
        output=_quantization(graph.outputs[0]),
        state=StateConfig(
            svdf_units=config.model.svdf_units,
            svdf_memory=config.model.svdf_memory,
            lstm_units=config.model.lstm_units,
            cell_clip=CELL_CLIP,
        ),
        detector=DetectorConfig(
            smoothing_steps=config.smoothing_steps,
            refractory_ms=config.refractory_ms,
            thresholds=dict.fromkeys(config.words, config.threshold),
        ),
        memory=MemoryConfig(tflm_arena_bytes=None),
        checks={},
        operating_point=None,
        provenance=_provenance(run),
    )


def _quantization(tensor: Tensor) -> Quantization:
    if tensor.scale is None or tensor.zero_point is None:
        raise ExportError(
            "type check: the model's input or output has no scale; it must be quantized"
        )
    return Quantization(scale=tensor.scale, zero_point=tensor.zero_point, shape=tensor.shape)


def _provenance(run: TrainedRun) -> dict[str, Any]:
    record = run.record
    heard = {} if run.training_speakers is None else {PROVENANCE_FIELD: run.training_speakers}
    return {
        "recipe": record.recipe,
        "seed": record.config.seed,
        "data": record.data,
        "held_out_speech": list(record.config.held_out_speech),
        "left_out": list(record.config.left_out),
        **heard,
        "float_validation": run.validation,
        "versions": {
            "training": record.versions,
            "export": {name: importlib.metadata.version(name) for name in _EXPORT_PACKAGES},
        },
    }
