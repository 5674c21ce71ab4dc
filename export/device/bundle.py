"""``harken export MODEL --target c``: a model in, a folder that compiles anywhere out."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...edge.errors import ExportError
from ...edge.memory.grammar import Grammar
from ...edge.memory.prior import Learner
from ...edge.spotting.detector import Context
from ...edge.spotting.manifest import Model
from ..folder import check_target, names_in, write_export
from ..tflm import TflmRuntime
from .golden import (
    FRONT_ENDS,
    Answers,
    Comparison,
    Int16,
    WordsAlone,
    ask_engine,
    boot_recording,
    compare,
    golden_source,
    recording,
)
from .source import EngineModel, data, header
from .targets import TARGETS, Measured, measure
from .templates import engine_fields, fill

ENGINE = Path(__file__).parents[2] / "edge" / "device" / "c"
"""Folder of the engine's sources."""


@dataclass(frozen=True, kw_only=True)
class EngineBundle:
    """The result of an export for the C engine."""

    folder: Path
    model: EngineModel
    comparison: Comparison
    measured: tuple[Measured, ...]
    not_measured: Mapping[str, str]
    """Targets that could not be measured, and the program that is missing for each."""


def export_engine(
    model: Model,
    out: str | Path,
    *,
    grammar: Grammar | None = None,
    learned: Learner | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> EngineBundle:
    """Write the engine with a model, golden values and projects for the usual build systems.

    The engine is compiled here, runs on the golden recording, and is compared with Python and with
    TensorFlow Lite Micro. Its cost is measured on the boards whose tools are installed. The same
    model and the same tools give the same bytes.

    Parameters
    ----------
    model
        The model.
    out
        The folder to write to; it is created if missing. Files that harken wrote are replaced.
    grammar
        The grammar whose prior is included.
    learned
        What a memory of this grammar has learned, to include in the prior.
    on_stage
        Called with a few words at the start of every stage.

    Raises
    ------
    ExportError
        The engine cannot run the model (names the layer or the field), a comparison failed, or the
        files cannot be written.
    DependencyError
        There is no C compiler.
    GrammarError
        The grammar has words that the model lacks.
    """
    out = Path(out)
    check_target(out, names_in(ENGINE / "bundle"))
    engine = checked_engine(model, grammar, learned=learned, on_stage=on_stage)
    sources, answers, comparison = engine.sources, engine.answers, engine.comparison
    measured, missing = _measure(sources, answers, on_stage)
    fields = engine_fields(engine.model, comparison, measured, missing)
    around = fill(ENGINE / "bundle", fields)
    files = {name: text.encode() for name, text in around.items()}
    files |= {f"src/{name}": text.encode() for name, text in sources.items()}
    files |= {f"golden/{name}": part for name, part in golden_files(engine).items()}
    on_stage("writing")
    write_export(out, files)
    return EngineBundle(
        folder=out,
        model=engine.model,
        comparison=comparison,
        measured=measured,
        not_measured=missing,
    )


@dataclass(frozen=True, kw_only=True)
class CheckedEngine:
    """The engine with a model, compiled and checked against its references."""

    model: EngineModel
    sources: Mapping[str, str]
    """Text by file name: all of ``src``."""
    pcm: Int16
    """The golden recording …"""
    answers: Mapping[str, Answers]
    """… and its results on that, with either front end."""
    comparison: Comparison


def checked_engine(
    model: Model,
    grammar: Grammar | None = None,
    *,
    learned: Learner | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> CheckedEngine:
    """Compile the engine with a model, run it, and compare it with Python and TFLM.

    Raises
    ------
    ExportError, DependencyError, GrammarError
        As `export_engine` does.
    """
    on_stage(f"computing the tables of {model.manifest.name}")
    engine_model = EngineModel.of(model, grammar, learned)
    sources = engine_sources(engine_model)
    on_stage("compiling the engine and running it")
    pcm, boot = recording(), boot_recording(model)
    identifier = engine_model.identifier
    sources["model_golden.c"] = golden_source(identifier, boot, {})
    main = (ENGINE / "bundle" / "main_stdin.c").read_text("utf-8")
    answers = ask_engine({**sources, "main_stdin.c": main}, pcm)
    sources["model_golden.c"] = golden_source(
        identifier, boot, {kind: answers[kind].boot for kind in FRONT_ENDS}
    )
    on_stage("comparing it with Python and TensorFlow Lite Micro")
    return CheckedEngine(
        model=engine_model,
        sources=sources,
        pcm=pcm,
        answers=answers,
        comparison=compare(model, pcm, answers, context=_context(engine_model)),
    )


def _context(model: EngineModel) -> Callable[[bool], Context] | None:
    """Return a function that makes the engine's context in Python."""
    prior, manifest = model.prior, model.manifest
    if prior is None:
        return None

    def made(with_tflm: bool) -> Context:
        runtime = None
        if with_tflm and importlib.util.find_spec("tflite_micro"):
            runtime = TflmRuntime(prior.file)
        return WordsAlone(
            prior.grammar,
            prior.file,
            manifest.labels,
            manifest.front_end.sample_rate_hz,
            runtime=runtime,
            learned=prior.learned,
        )

    return made


def engine_sources(model: EngineModel) -> dict[str, str]:
    """Return the engine and its model, text by file, without the golden values."""
    upper = model.identifier.upper()
    sources = {path.name: path.read_text("utf-8") for path in sorted(ENGINE.glob("*.[ch]"))}
    sources["model_data.h"] = header(model)
    sources["model_data.c"] = data(model)
    sources["model_name.h"] = (
        "/* The one model of this folder. */\n#ifndef HARKEN_MODEL\n"
        f"#define HARKEN_MODEL harken_{model.identifier}\n"
        f"#define HARKEN_MODEL_GOLDEN harken_{model.identifier}_golden\n"
        f"#define HARKEN_MODEL_BYTES HARKEN_{upper}_BYTES\n#endif\n"
    )
    return sources


def golden_files(engine: CheckedEngine) -> dict[str, bytes]:
    """Return the golden recording and the results for it, content by file name."""
    files = {"pcm.s16le": engine.pcm.astype("<i2").tobytes()}
    for kind, answer in engine.answers.items():
        files |= {f"{kind}.{what}": content for what, content in answer.vectors.items()}
        files[f"{kind}.json"] = answer.events
    return files


def _measure(
    sources: Mapping[str, str], answers: Mapping[str, Answers], on_stage: Callable[[str], None]
) -> tuple[tuple[Measured, ...], dict[str, str]]:
    measured, missing = [], {}
    with tempfile.TemporaryDirectory() as name:
        for file, text in sources.items():
            (Path(name) / file).write_text(text, "utf-8")
        for target in TARGETS:
            if target.missing is not None:
                missing[target.name] = target.missing
                continue
            on_stage(f"measuring on {target.name}")
            result = measure(target, Path(name))
            boot = answers[FRONT_ENDS[target.fixed]].boot
            same = all(
                getattr(result, part) == boot[part] for part in ("features", "logits", "events")
            )
            if not (result.passed and same):
                raise ExportError(
                    f"{target.name}: the output of the self-test differs from that on this "
                    "machine; the cross compiler does not follow the standard"
                )
            measured.append(result)
    return tuple(measured), missing
