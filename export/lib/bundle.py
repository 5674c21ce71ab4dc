"""``harken export MODEL --target lib``: a model in, a library for Android, iOS and the rest out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from ...edge.errors import ExportError
from ...edge.files import write_together
from ...edge.manifest import Model
from ...edge.memory.grammar import Grammar
from ..device.bundle import ENGINE, CheckedEngine, checked_engine
from ..device.golden import Comparison, Int16
from ..device.source import EngineModel
from ..device.templates import fill, model_fields
from ..folder import check_target
from .targets import (
    LIB,
    Built,
    Sound,
    Target,
    ask,
    build_desk,
    build_library,
    library_targets,
    try_target,
)

ABI = 1
"""HARKEN_ABI of harken_app.h."""

OTHER_RATES_HZ = (48_000, 44_100)
"""Of the sound that a library must hear alike everywhere, besides the model's rate."""

_PUBLIC = ("harken.h", "model_data.h")
_GOLDEN_SECONDS = 6  # of the other rates, in what is written


@dataclass(frozen=True, kw_only=True)
class LibraryBundle:
    """What an export of a library wrote."""

    folder: Path
    model: EngineModel
    comparison: Comparison
    built: tuple[Built, ...]
    """What was compiled and run here; the first is this machine."""
    not_built: Mapping[str, str]
    """Targets that were not compiled, and the program that is missing for each."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            "folder": str(self.folder),
            "memory_bytes": self.model.memory_bytes,
            "checks": self.comparison.to_dict(),
            "built": [built.to_dict() for built in self.built],
            "not_built": dict(self.not_built),
        }


def export_library(
    model: Model,
    out: str | Path,
    *,
    grammar: Grammar | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> LibraryBundle:
    """Write the engine with a model as a library: C, Kotlin, Swift, and what builds them.

    The engine is compiled here, listens to the golden recording, and is compared with Python and
    with TensorFlow Lite Micro, as for ``--target c``. The library is then compiled for all systems
    whose tools are installed, run where that can be done, and must answer as the engine does. The
    same model gives the same bytes, with the same tools.

    Parameters
    ----------
    model
        The model.
    out
        The folder to write to; it is made when it is missing. Files of the same names are replaced.
    grammar
        Whose prior shall be part of it.
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
    check_target(out)
    targets = library_targets()
    engine = checked_engine(model, grammar, on_stage=on_stage)
    fields = model_fields(engine.model, engine.comparison)
    fields |= {"ABI": str(ABI), "PRIOR": _prior(engine.model), "BUILT": ""}
    files = {name: text.encode() for name, text in fill(LIB / "bundle", fields).items()}
    files |= {f"src/{name}": text.encode() for name, text in _sources(engine).items()}
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "project"
        write_together({project / file: content for file, content in files.items()})
        on_stage(f"compiling the library for {targets[0].name}, and letting it listen")
        files |= _golden(engine, targets[0], project)
        built, missing = _build(engine, targets, project, on_stage)
    fields["BUILT"] = _built(built, missing)
    files["README.md"] = fill(LIB / "bundle", fields)["README.md"].encode()
    on_stage("writing")
    write_together({out / file: content for file, content in files.items()}, error=ExportError)
    return LibraryBundle(
        folder=out,
        model=engine.model,
        comparison=engine.comparison,
        built=built,
        not_built=missing,
    )


def _sources(engine: CheckedEngine) -> dict[str, str]:
    """Return the files of ``src``, but for those that are templates."""
    stream = {path.name: path.read_text() for path in sorted((ENGINE / "stream").iterdir())}
    sources = {**engine.sources, **stream}
    prior = engine.model.prior
    names = "".join(f"{json.dumps(name)}, " for name in prior.tables.pending) if prior else ""
    sources["model_name.h"] = sources["model_name.h"].replace(
        "#endif\n", f"#define HARKEN_MODEL_PENDING {names}\n#endif\n"
    )
    public = (*_PUBLIC, "harken_stream.h")
    return {f"include/{name}" if name in public else name: sources[name] for name in sources}


def _golden(engine: CheckedEngine, target: Target, project: Path) -> dict[str, bytes]:
    """Return the files of ``golden``, of which this machine answers those of other rates."""
    answers = engine.answers["float"]
    files = {
        "pcm.s16le": engine.pcm.astype("<i2").tobytes(),
        "float.features": answers.features.tobytes(),
        "float.logits": answers.logits.tobytes(),
        "float.json": answers.events,
    }
    with tempfile.TemporaryDirectory() as name:
        library, _ = build_library(target, project, Path(name))
        program = build_desk(target, project, library)
        rate_hz = engine.model.manifest.front_end.sample_rate_hz
        for other_hz in OTHER_RATES_HZ:
            start = engine.pcm[: _GOLDEN_SECONDS * rate_hz]
            content = soxr.resample(start, rate_hz, other_hz).astype("<i2").tobytes()
            sound = Sound(
                name=f"int16 at {other_hz} Hz",
                content=content,
                options=("--rate", str(other_hz)),
                parts=("logits",),
            )
            files[f"{other_hz}.s16le"] = content
            files[f"{other_hz}.logits"] = ask(target, program, sound)["logits"]
    return {f"golden/{name}": content for name, content in files.items()}


def _build(
    engine: CheckedEngine,
    targets: Sequence[Target],
    project: Path,
    on_stage: Callable[[str], None],
) -> tuple[tuple[Built, ...], dict[str, str]]:
    """Compile for all targets, and compare; return what came of it, and what is missing."""
    rate_hz = engine.model.manifest.front_end.sample_rate_hz
    sounds = _sounds(engine.pcm, rate_hz)
    answers = engine.answers["float"]
    of_engine = {
        "features": answers.features.tobytes(),
        "logits": answers.logits.tobytes(),
        "json": answers.events,
    }
    built: list[Built] = []
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        library, _ = build_library(targets[0], project, here)
        program = build_desk(targets[0], project, library)
        expected: dict[str, Mapping[str, bytes]] = {
            sound.name: ask(targets[0], program, sound) for sound in sounds
        }
    for part, answer in of_engine.items():
        if expected[sounds[0].name][part] != answer:
            raise ExportError(f"library check: its {part} differ from those of the engine alone")
    for target in targets:
        if target.missing is not None:
            missing[target.name] = target.missing
            continue
        on_stage(f"compiling the library for {target.name}")
        with tempfile.TemporaryDirectory() as name:
            by_name = {sound.name: sound for sound in sounds}
            built.append(try_target(target, project, Path(name), by_name, expected))
    return tuple(built), missing


def _sounds(pcm: Int16, rate_hz: int) -> list[Sound]:
    """Return the golden recording as it is, and as float32 of other rates."""
    floats = pcm.astype(np.float32) / np.float32(32768)
    at_rate = Sound(
        name="the golden recording",
        content=pcm.astype("<i2").tobytes(),
        options=(),
        parts=("features", "logits", "json"),
    )
    return [
        at_rate,
        *(
            Sound(
                name=f"the golden recording at {other_hz} Hz",
                content=soxr.resample(floats, rate_hz, other_hz).astype("<f4").tobytes(),
                options=("--float", "--rate", str(other_hz)),
                parts=("logits", "json"),
            )
            for other_hz in OTHER_RATES_HZ
        ),
    ]


def _prior(model: EngineModel) -> str:
    if model.prior is None:
        return ""
    grammar, names = model.prior.grammar, model.prior.tables.pending
    waits = ", ".join(f'`"{name}"`' for name in names if name)
    return (
        "\n## What was said before\n\n"
        f"The LSTM of the grammar {grammar.name} is part of the model: after a word, those that\n"
        f"may follow take less evidence for {grammar.window_s:g} seconds. When the app waits for\n"
        "something, say so after each word: `spotter.pending(name)` with one of\n"
        f'{waits}, or `""` for nothing. `forget()` forgets the words.\n'
        "`expecting` switches it off. In C: `harken_pending(harken_stream_engine(s), n)`, where\n"
        "`harken_pending_name(n)` is the name.\n"
    )


def _built(built: Sequence[Built], missing: Mapping[str, str]) -> str:
    """Return what the README says of the targets."""
    lines = ["| | compiler | bytes | run |", "|---|---|---|---|"]
    for result in built:
        ran = f"yes{', ' + result.how if result.how else ''}"
        only = f"only compiled{': ' + result.how if result.how else ''}"
        lines.append(
            f"| {result.target} | {result.compiler} | {result.bytes:,} "
            f"| {ran if result.run else only} |"
        )
    if missing:
        names = ", ".join(f"{name} ({program})" for name, program in missing.items())
        lines += ["", f"Not compiled, for want of a program: {names}."]
    if any(result.compiler.startswith("clang") for result in built[1:]):
        lines += [
            "",
            "For Android, iOS and macOS, clang and lld compiled and linked against declarations of",
            "the functions of the C library that are used, for want of the headers and libraries of",
            "these systems; what divides integers for armeabi-v7a is left open.",
        ]
    kotlin = [result.target for result in built if result.kotlin]
    if kotlin:
        lines += [
            "",
            f"The functions that Kotlin calls are part of the library for {', '.join(kotlin)}.",
        ]
    return "\n".join(lines)
