"""``harken export MODEL --target litert``: a model for LiteRT's ``CompiledModel``, in a folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...edge.errors import ExportError
from ...edge.spotting.manifest import Model
from ..device.templates import fill
from ..flatbuffer import operator_names
from ..folder import check_target, write_export
from ..fused import read_layers
from ..layers import QuantizedNetwork
from ..markdown import markdown
from .check import NEAR_STEPS, LitertCheck, check_litert, check_snippet
from .graph import SIGNATURE, Edge, explicit_state_graph, read_edges, state_names

FOLDER = Path(__file__).parents[2] / "edge" / "device" / "litert"
"""Folder of the files written beside the model."""

_ARRAY = re.compile(r'\[\n([^\[\]{}"]*)\]')  # of numbers


@dataclass(frozen=True, kw_only=True)
class LitertBundle:
    """The files written for LiteRT."""

    folder: Path
    model: Path
    bytes: int
    operators: tuple[str, ...]
    """In order of execution."""
    check: LitertCheck

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            "folder": str(self.folder),
            "model": str(self.model),
            "bytes": self.bytes,
            "operators": self.operators,
            "checks": self.check.to_dict(),
        }


def export_litert(
    model: Model, out: str | Path, *, on_stage: Callable[[str], None] = lambda stage: None
) -> LitertBundle:
    """Write a model with explicit state, its description, and a program that uses it.

    The same model gives the same bytes.

    Parameters
    ----------
    model
        The model.
    out
        The folder to write to; it is created if missing. Files that harken wrote are replaced, but
        never the model itself.
    on_stage
        Called with a few words at the start of every stage.

    Raises
    ------
    ExportError
        The model has layers that harken's networks do not have, a check failed, or the files cannot
        be written.
    """
    out = Path(out)
    check_target(out)
    manifest = model.manifest
    path = out / f"{manifest.name}.tflite"
    if path.resolve() == model.path.resolve():
        raise ExportError(
            f"{path} is the model itself, which must not be replaced; choose another --out"
        )
    check_target(out, (path.name, f"{manifest.name}.json", "listen.py", "README.md"))
    on_stage("writing the graph of one step")
    layers = layers_of(model.content)
    content = explicit_state_graph(layers)
    on_stage("comparing it with the float network and the int8 model")
    check, heard = check_litert(content, layers, model)
    written = {
        path.name: content,
        f"{manifest.name}.json": _description(model, content, layers, check).encode(),
        "listen.py": (FOLDER / "listen.py").read_bytes(),
        "README.md": fill(FOLDER / "bundle", _fields(model, content, check))["README.md"].encode(),
    }
    on_stage("running it")
    check_snippet(written, f"{manifest.name}.json", heard)
    on_stage("writing")
    write_export(out, written)
    return LitertBundle(
        folder=out,
        model=path,
        bytes=len(content),
        operators=operator_names(content),
        check=check,
    )


def layers_of(content: bytes) -> QuantizedNetwork:
    """Read the layers to write for LiteRT.

    Raises
    ------
    ExportError
        The model has layers that harken's networks do not have. Names the layer.
    """
    try:
        return read_layers(content)
    except ExportError as problem:
        raise ExportError(
            f"only harken's own networks can be exported for LiteRT: {problem}"
        ) from None


def _description(model: Model, content: bytes, layers: QuantizedNetwork, check: LitertCheck) -> str:
    """Return everything that a program needs to run the model, as JSON."""
    manifest = model.manifest
    inputs, outputs = read_edges(content)
    values = {
        "harken_litert": 1,
        "name": manifest.name,
        "model": {
            "file": f"{manifest.name}.tflite",
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
        "made_of": {
            "sha256": manifest.model.sha256,
            "harken": importlib.metadata.version("harken"),
        },
        "signature": SIGNATURE,
        "inputs": [_tensor(edge) for edge in inputs],
        "outputs": [_tensor(edge) for edge in outputs],
        "states": state_names(layers),
        "initial_state": 0.0,
        "front_end": asdict(manifest.front_end),
        "step": asdict(manifest.step),
        "int8_features": {"scale": manifest.input.scale, "zero_point": manifest.input.zero_point},
        "labels": manifest.labels,
        "detector": asdict(manifest.detector),
        "cell_clip": manifest.state.cell_clip,
        "frame_limit": layers.source.limit,
        "checks": check.to_dict(),
        "licences": _licences(model),
    }
    text = json.dumps(values, indent=2, ensure_ascii=False)
    return _ARRAY.sub(lambda array: f"[{' '.join(array[1].split())}]", text) + "\n"


def _tensor(edge: Edge) -> dict[str, Any]:
    return {
        "name": edge.name,
        "dtype": "float32",
        "shape": edge.shape,
        "int16_scale": edge.scale,
        "int16_zero_point": 0,
    }


def _licences(model: Model) -> dict[str, str]:
    """Return the licences of the recordings that the model was trained on, by name."""
    data = model.manifest.provenance.get("data")
    licences = data.get("licences") if isinstance(data, dict) else None
    return dict(licences) if isinstance(licences, dict) else {}


def _fields(model: Model, content: bytes, check: LitertCheck) -> dict[str, str]:
    manifest = model.manifest
    step_ms = manifest.step_samples * 1000 / manifest.front_end.sample_rate_hz
    inputs, outputs = read_edges(content)
    exact, rounded = check.float_network, check.int8_model
    licences = _licences(model)
    return {
        "NAME": manifest.name,
        "VERSION": importlib.metadata.version("harken"),
        "WORDS": ", ".join(map(markdown, manifest.words)),
        "BYTES": f"{len(content):,}",
        "DIGEST": hashlib.sha256(content).hexdigest(),
        "RATE": f"{manifest.front_end.sample_rate_hz:,}",
        "STEP_MS": f"{step_ms:g}",
        "CONTEXT": str(manifest.step.context_frames),
        "STRIDE": str(manifest.step.stride_frames),
        "TENSORS": "\n".join(
            f"| {side} {index} | `{edge.name}` | {list(edge.shape)} | {edge.scale:.9g} |"
            for side, edges in (("input", inputs), ("output", outputs))
            for index, edge in enumerate(edges)
        ),
        "STATES": ", ".join(f"`{edge.name}`" for edge in inputs[1:]),
        "STATE_SIZES": ", ".join(str(edge.shape[-1]) for edge in inputs[1:]),
        "OPERATORS": ", ".join(sorted(set(operator_names(content)))),
        "FEATURE_SCALE": f"{manifest.input.scale:.9g}",
        "FEATURE_ZERO": f"{-manifest.input.zero_point:+d}".replace("+", "+ ").replace("-", "- "),
        "RUNTIME": check.runtime,
        "STEPS": f"{exact.steps:,}",
        "MINUTES": f"{exact.steps * step_ms / 60_000:.0f}",
        "FLOAT_SAME": f"{exact.same_argmax:.2%}",
        "FLOAT_MEAN": f"{exact.difference_mean:.5f}",
        "FLOAT_MOST": f"{exact.difference_max:.4f}",
        "INT_SAME": f"{rounded.same_argmax:.2%}",
        "INT_MEAN": f"{rounded.difference_mean:.4f}",
        "WORD_COUNT": f"{check.words:,}",
        "WORDS_SAME": f"{check.words_same:,}",
        "WORDS_MORE": str(check.words_more),
        "NEAR_MS": f"{NEAR_STEPS * step_ms:g}",
        "INTERPRETER_STEPS": f"{check.interpreter_steps:,}",
        "LICENCES": "\n".join(
            f"| {markdown(data)} | {markdown(licence)} |" for data, licence in licences.items()
        )
        or "| unknown: ask whoever trained it | |",
    }
