"""Templates and figures in, the files around the engine's sources out.

In a template ``@NAME@`` stands for the field of that name.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...edge.spotting.gate import GateConfig
from ..markdown import markdown
from .golden import BOOT_REPEATS, Comparison
from .names import in_comment
from .source import EngineModel
from .targets import Measured


def fill(folder: Path, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a folder of templates, text by path relative to it, fields filled in."""
    return {
        path.relative_to(folder).as_posix(): fill_text(path.read_text("utf-8"), fields)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fill_text(text: str, fields: Mapping[str, str]) -> str:
    """Return a template with its fields filled in."""
    return re.sub(r"@([A-Z0-9_]+)@", lambda field: fields[field[1]], text)


def model_fields(model: EngineModel, comparison: Comparison) -> dict[str, str]:
    """Return the fields of a model that any template may use."""
    manifest = model.manifest
    config, stride = manifest.front_end, manifest.step.stride_frames
    layers = [layer.description for layer in model.network.conv]
    layers += [f"SVDF {layer.units} × {layer.memory}" for layer in model.network.svdf]
    layers += [f"LSTM {layer.units}" for layer in model.network.lstm]
    step_ms = stride * config.hop_samples * 1000 / config.sample_rate_hz
    return {
        "NAME": manifest.name,
        "ID": model.identifier,
        "UPPER": model.identifier.upper(),
        "LIBRARY": f"harken-{manifest.name}",
        "VERSION": importlib.metadata.version("harken"),
        "WORDS": ", ".join(map(markdown, manifest.words)),
        "WORDS_JSON": json.dumps(", ".join(manifest.words), ensure_ascii=False)[1:-1],
        "WORDS_LINE": ", ".join(" ".join(in_comment(word).split()) for word in manifest.words),
        "RATE": str(config.sample_rate_hz),
        "HOP": str(config.hop_samples),
        "STRIDE": str(stride),
        "N_MFCC": str(config.n_mfcc),
        "STEP_MS": f"{step_ms:g}",
        "LAYERS": ", ".join((*layers, f"{len(manifest.labels)} labels")),
        "MEMORY": f"{model.memory_bytes:,}",
        "MULTIPLICATIONS": f"{model.network.multiplications:,}",
        "FRAMES": f"{comparison.frames:,}",
        "STEPS": f"{comparison.steps:,}",
        "FLOAT_EQUAL": f"{comparison.float_features_equal:.3%}",
        "FIXED_EQUAL": f"{comparison.fixed_features_equal:.2%}",
        "FIXED_WITHIN": f"{comparison.fixed_features_within_one:.3%}",
        "TFLM_NAME": comparison.tflm,
        "TFLM": _tflm(comparison),
        "LITERT_SAME": f"{comparison.litert_same:.2%}",
        "LITERT_LSB": str(comparison.litert_max_lsb),
        "EVENTS": str(comparison.events),
        "PYTHON_EVENTS": str(comparison.python_events),
        "SAME_EVENTS": str(comparison.python_events_same),
    }


def engine_fields(
    model: EngineModel,
    comparison: Comparison,
    measured: Sequence[Measured],
    missing: Mapping[str, str],
) -> dict[str, str]:
    """Return the fields for the templates of the C engine.

    Parameters
    ----------
    model, comparison
        The model, and its comparison.
    measured
        Figures on the targets that were measured.
    missing
        The other targets, and the missing program of each.
    """
    return {
        **model_fields(model, comparison),
        "BOOT_REPEATS": str(BOOT_REPEATS),
        "PRIOR": _prior(model),
        "GATE": _gate(model.manifest.gate),
        "NEEDS": _needs(model, measured, missing),
    }


def _tflm(comparison: Comparison) -> str:
    if comparison.tflm_differences is None:
        return comparison.tflm
    return (
        f"of {comparison.steps:,} consecutive steps, {comparison.tflm_differences} logits\n"
        f"  differ ({comparison.tflm})"
    )


def _gate(gate: GateConfig | None) -> str:
    if gate is None:
        return (
            "This model processes all audio; `harken tune MODEL --gate` chooses what it can\n"
            "skip, and then a quiet room takes hardly any instructions."
        )
    return (
        f"This model only processes audio that is {gate.margin_db:g} dB louder than the room, and\n"
        f"the {gate.hold_ms} ms after it; see `harken_awake(h)`. A quiet room takes hardly any\n"
        "instructions."
    )


def _prior(model: EngineModel) -> str:
    if model.prior is None:
        return ""
    grammar, upper = model.prior.grammar, model.identifier.upper()
    waits = ",\n".join(f"`HARKEN_{upper}_{constant}`" for constant in model.constants[1])
    return (
        "\n## Context\n\n"
        f"The LSTM of the grammar {grammar.name} is part of the model: after a word, those that\n"
        f"may follow need less evidence for {grammar.window_s:g} seconds. When your program waits\n"
        "for something, tell the engine after each event: `harken_pending(h, ...)` with one of\n"
        f"{waits}.\n`harken_forget(h)` forgets the words. Without either call, only the words\n"
        "count. An event may bring along a faint word: one that was said before and almost fired\n"
        "(`event.faint`, or `HARKEN_NO_WORD`). Take it as said before the word of the event, but\n"
        "not as a confirmation: whoever answers a question must be heard clearly.\n"
        f"{learned_text(model)}"
    )


def learned_text(model: EngineModel) -> str:
    """Return the text of a README on what a memory has learned."""
    learned = None if model.prior is None else model.prior.learned
    if learned is None:
        return ""
    return (
        f"\nThe model includes what a memory has learned from {learned.lessons:,} words of its\n"
        "user. The engine itself does not learn.\n"
    )


def _needs(model: EngineModel, measured: Sequence[Measured], missing: Mapping[str, str]) -> str:
    if not measured:
        return (
            f"RAM: {model.memory_bytes:,} bytes, and the stack. Instructions, flash and stack were "
            "not measured\nwhen this folder was made, because these tools were missing: "
            f"{', '.join(sorted(set(missing.values())))}.\n"
        )
    manifest = model.manifest
    frame_ms = manifest.front_end.hop_samples * 1000 / manifest.front_end.sample_rate_hz
    lines = [
        f"| | front end | instructions per frame of {frame_ms:g} ms | in one with a step | flash "
        "| RAM | stack |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {result.target} | {'integers' if result.fixed else 'float32'} "
        f"| {result.instructions:,} | {result.most_instructions:,} | {result.flash:,} "
        f"| {model.memory_bytes + result.data:,} | {result.stack:,} |"
        for result in measured
    ]
    per_frame = model.network.multiplications / manifest.step.stride_frames
    lines += [
        "",
        "Counted by QEMU, at -O2: instructions, not cycles, which depend on your chip. The",
        f"network has {per_frame:,.0f} multiplications per frame. Flash is code, tables and",
        "weights in bytes, without the self-test. RAM, in bytes, is the memory for harken_init;",
        "there is no other except the stack and the buffer of your microphone's driver.",
    ]
    if missing:
        lines += ["", f"Not measured, because their tools were missing: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"
