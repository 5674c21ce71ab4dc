"""``harken export MODEL --target lib``: a model in, a library for Android, iOS and others out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from ...edge.files import write_together
from ...edge.memory.grammar import Grammar
from ...edge.memory.prior import Learner
from ...edge.spotting.manifest import Model
from ..device.bundle import ENGINE, CheckedEngine, checked_engine
from ..device.golden import Comparison
from ..device.source import EngineModel, c_string
from ..device.templates import fill, fill_text, learned_text, model_fields
from ..folder import check_target, names_in, write_export
from .targets import (
    LIB,
    Built,
    Sound,
    Target,
    ask,
    build_target,
    check_answers,
    library_targets,
)

ABI = 2
"""HARKEN_ABI of harken_app.h."""

_HEADERS = ("harken.h", "harken_stream.h", "model_data.h")  # besides harken_app.h
_SECONDS = 6  # of audio at the sample rates of phones


@dataclass(frozen=True, kw_only=True)
class LibraryBundle:
    """The result of a library export."""

    folder: Path
    model: EngineModel
    comparison: Comparison
    built: tuple[Built, ...]
    """Targets compiled and run here; the first is this machine."""
    not_built: Mapping[str, str]
    """Targets that were not compiled, and the missing program of each."""

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
    learned: Learner | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> LibraryBundle:
    """Write the engine with a model as a library: C, Kotlin, Swift, and build files.

    The engine is compiled here, runs on the golden recording, and is compared with Python and with
    TensorFlow Lite Micro, as for ``--target c``. The library is then compiled for all systems whose
    tools are installed, run where possible, and must give the same output as the engine. The same
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
    check_target(out, names_in(LIB / "bundle"))
    targets = library_targets()
    if grammar is not None:
        grammar.require_words(model.manifest.words)
    engine = checked_engine(model, grammar, learned=learned, on_stage=on_stage)
    fields = model_fields(engine.model, engine.comparison)
    fields |= {"ABI": str(ABI), "PRIOR": _prior(engine.model), "BUILT": ""}
    files = {name: text.encode() for name, text in fill(LIB / "bundle", fields).items()}
    files |= {f"src/{name}": text.encode() for name, text in _sources(engine).items()}
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "project"
        write_together({project / file: content for file, content in files.items()})
        sounds, built, missing = _build(engine, targets, project, on_stage)
    for sound in sounds:
        files[f"golden/{sound.file}"] = sound.content
        for part, answer in sound.answers.items():
            files[f"golden/{Path(sound.file).stem}.{part}"] = answer
    fields["BUILT"] = _built(built, missing)
    readme = (LIB / "bundle" / "README.md").read_text("utf-8")
    files["README.md"] = fill_text(readme, fields).encode()
    on_stage("writing")
    write_export(out, files)
    return LibraryBundle(
        folder=out,
        model=engine.model,
        comparison=engine.comparison,
        built=built,
        not_built=missing,
    )


def _sources(engine: CheckedEngine) -> dict[str, str]:
    """Return the files of ``src``, except templates."""
    stream = {path.name: path.read_text("utf-8") for path in sorted((ENGINE / "stream").iterdir())}
    sources = {**engine.sources, **stream}
    prior = engine.model.prior
    names = "".join(f"{c_string(name)}, " for name in prior.tables.pending) if prior else ""
    sources["model_name.h"] = sources["model_name.h"].replace(
        "#endif\n", f"#define HARKEN_MODEL_PENDING {names}\n#endif\n"
    )
    return {f"include/{name}" if name in _HEADERS else name: sources[name] for name in sources}


def _build(
    engine: CheckedEngine,
    targets: Sequence[Target],
    project: Path,
    on_stage: Callable[[str], None],
) -> tuple[tuple[Sound, ...], tuple[Built, ...], dict[str, str]]:
    """Compile for all targets, and compare.

    Returns
    -------
    sounds : tuple of Sound
        The audio they processed.
    built : tuple of Built
        The result for each target.
    missing : dict
        Targets that were not compiled, and the missing program of each.
    """
    sounds: tuple[Sound, ...] = ()
    built, missing = [], {}
    for target in targets:
        if target.missing is not None:
            missing[target.name] = target.missing
            continue
        on_stage(f"compiling the library for {target.name}")
        with tempfile.TemporaryDirectory() as name:
            result, program = build_target(target, project, Path(name))
            if program is not None:
                # This machine is the first target.
                sounds = sounds or _sounds(engine, target, program)
                check_answers(target, program, sounds)
        built.append(result)
    return sounds, tuple(built), missing


def _sounds(engine: CheckedEngine, here: Target, program: Path) -> tuple[Sound, ...]:
    """Return the golden recording, and its beginning at the sample rates of phones.

    The engine's output is expected for the first; that of this machine's library for the others.
    """
    answers, rate_hz = engine.answers["float"], engine.model.manifest.front_end.sample_rate_hz
    expected = {
        "features": answers.features.tobytes(),
        "logits": answers.logits.tobytes(),
        "json": answers.events,
    }
    content = engine.pcm.astype("<i2").tobytes()
    sounds = [Sound(file="pcm.s16le", content=content, options=(), answers=expected)]
    start = engine.pcm[: _SECONDS * rate_hz].astype(np.float32) / np.float32(32768)
    floats = soxr.resample(start, rate_hz, 48_000).astype("<f4")
    integers = np.rint(soxr.resample(start, rate_hz, 44_100) * 32768).clip(-32768, 32767)
    for file, samples, options in (
        ("48000.f32le", floats, ("--rate", "48000", "--float")),
        ("44100.s16le", integers.astype("<i2"), ("--rate", "44100")),
    ):
        sound = Sound(file=file, content=samples.tobytes(), options=options, answers={})
        own = {part: ask(here, program, sound, part) for part in ("logits", "json")}
        sounds.append(replace(sound, answers=own))
    return tuple(sounds)


def _prior(model: EngineModel) -> str:
    if model.prior is None:
        return ""
    grammar, names = model.prior.grammar, model.prior.tables.pending
    waits = ", ".join(f'`"{name}"`' for name in names if name)
    return (
        "\n## Context\n\n"
        f"The LSTM of the grammar {grammar.name} is part of the model: after a word, those that\n"
        f"may follow need less evidence for {grammar.window_s:g} seconds. When the app waits for\n"
        "something, tell the spotter after each word: `spotter.pending(name)` with one of\n"
        f'{waits}, or `""` for nothing. `forget()` forgets the words.\n'
        "`expecting` switches it off. In C: `harken_pending(harken_stream_engine(s), n)`, where\n"
        "`harken_pending_name(n)` is the name.\n\n"
        "A word may bring along a faint one: one that was said before it and almost fired\n"
        "(`word.faint`; in C `event.faint`, or `HARKEN_NO_WORD`). Take it as said first, but let\n"
        "it confirm nothing.\n"
        f"{learned_text(model)}"
    )


def _built(built: Sequence[Built], missing: Mapping[str, str]) -> str:
    """Return the README's text on the targets."""
    lines = ["| | compiler | bytes | run |", "|---|---|---|---|"]
    for result in built:
        run = "yes" if result.run else "only compiled"
        how = f", {result.how}" if result.how else ""
        lines.append(f"| {result.target} | {result.compiler} | {result.bytes:,} | {run}{how} |")
    if missing:
        names = ", ".join(f"{name} ({program})" for name, program in missing.items())
        lines += ["", f"Not compiled, because programs were missing: {names}."]
    if any(result.declared for result in built):
        lines += [
            "",
            "For Android, iOS and macOS, clang and lld compiled and linked against declarations of",
            "the five C library functions in use, because the headers and libraries of these",
            "systems were missing.",
            "",
            "The functions that Kotlin calls are part of the libraries for Android."
            if any(result.kotlin for result in built)
            else "The functions that Kotlin calls were not compiled: a JDK's jni.h was missing.",
        ]
    return "\n".join(lines)
