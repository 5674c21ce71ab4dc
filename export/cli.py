"""``harken export``: a run folder or a model in, files for a device out."""

from __future__ import annotations

import enum
import importlib.util
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..edge.app.options import JsonOption, file_of, path_of
from ..edge.app.streams import print_json
from ..edge.errors import DependencyError
from ..edge.memory.grammar import Grammar
from ..edge.memory.grammar_file import load_grammar
from ..edge.memory.learned import load_learned
from ..edge.memory.prior import Learner
from ..edge.spotting.manifest import Model, load_model
from ..train.display import progress_bar
from ..train.options import (
    AddOption,
    CacheOption,
    RecordingOptions,
    SplitRuleChoice,
    SplitRuleOption,
)

_PACKAGES = ("ai_edge_litert", "librosa")


class Target(enum.Enum):
    """What to export."""

    tflite = "tflite"
    c = "c"
    tflm = "tflm"
    web = "web"
    lib = "lib"
    litert = "litert"


def export_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL",
            help="For tflite: a run folder, as `harken train` writes it. Otherwise a .tflite "
            "file, its .json manifest, or the name of a shipped model.",
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", parser=path_of, help="Folder to write to; created if missing."
        ),
    ],
    target: Annotated[
        Target,
        typer.Option(
            help="tflite: the int8 model of a run. c: a model with the C engine, for any "
            "microcontroller. tflm: a model with what TensorFlow Lite Micro needs. web: a "
            "page for any browser, and an npm package. lib: a library for apps, in C, "
            "Kotlin and Swift. litert: a model for LiteRT's CompiledModel, with its state "
            "as input and output."
        ),
    ] = Target.tflite,
    grammar: Annotated[
        str | None,
        typer.Option(
            metavar="GRAMMAR",
            help="A grammar's name or path. With --target c or lib: the engine uses the context,"
            " by the LSTM of this grammar. With --target web: the commands of the page; by "
            "default those of robot, if the model knows its words; `none` for no commands.",
        ),
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(
            "--memory",
            metavar="FILE",
            parser=file_of,
            help="With --target c, lib or web: include what this memory has learned from its "
            "user; see `harken memory export`.",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="MODEL",
            help="With --target web: another model to choose on the page. May be repeated.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Name of the model. Default: that of the run folder."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="The recordings of the run, to measure the int8 model on their validation "
            "clips, too.",
        ),
    ] = None,
    add: AddOption = None,
    split_rule: SplitRuleOption = SplitRuleChoice.auto,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a run as an int8 TFLite model, or a model for a microcontroller, browser or app.

    The export is checked first: operators, types, state, float against int8, LiteRT against TFLM;
    the C engine against Python and TFLM. If a check fails, nothing is written.
    """
    if grammar is not None and target not in (Target.c, Target.lib, Target.web):
        raise typer.BadParameter("it is for --target c, lib and web", param_hint="--grammar")
    if memory is not None and target not in (Target.c, Target.lib, Target.web):
        raise typer.BadParameter("it is for --target c, lib and web", param_hint="--memory")
    if also and target is not Target.web:
        raise typer.BadParameter("it is for --target web", param_hint="--also")
    if target is Target.tflite:
        _export_run(
            Path(source),
            out,
            name=name,
            recordings=RecordingOptions(
                additions=tuple(add or ()), split_rule=split_rule, cache_dir=cache_dir
            ),
            data=data,
            as_json=as_json,
        )
        return
    for option, value in (("--name", name), ("--data", data)):
        if value is not None:
            raise typer.BadParameter("it is for --target tflite", param_hint=option)
    if target is Target.c:
        _export_engine(source, out, grammar, memory, as_json)
    elif target is Target.web:
        _export_web([source, *(also or ())], out, grammar, memory, as_json)
    elif target is Target.lib:
        _export_library(source, out, grammar, memory, as_json)
    elif target is Target.litert:
        _export_litert(source, out, as_json)
    else:
        _export_tflm(source, out, as_json)


def _stage(stage: str) -> None:
    print(f"{stage} …", file=sys.stderr)


def _require(packages: Mapping[str, str], extra: str) -> None:
    missing = [
        name for name, module in packages.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise DependencyError(
            f"export needs {', '.join(missing)}; install that with `pip install {extra}`"
        )


def _learned(model: Model, grammar: Grammar | None, memory: Path | None) -> Learner | None:
    """Return what a memory has learned, if one was given."""
    if memory is None:
        return None
    if grammar is None:
        raise typer.BadParameter(
            "it goes with --grammar, whose memory it is", param_hint="--memory"
        )
    grammar.require_words(model.manifest.words)
    return load_learned(memory, grammar)


def _export_engine(
    source: str, out: Path, grammar: str | None, memory: Path | None, as_json: bool
) -> None:
    model = load_model(source)
    spoken = None if grammar is None else load_grammar(grammar)
    learned = _learned(model, spoken, memory)
    _require({"ai-edge-litert": "ai_edge_litert"}, "ai-edge-litert")
    from .device.bundle import export_engine

    bundle = export_engine(model, out, grammar=spoken, learned=learned, on_stage=_stage)
    if as_json:
        print_json(
            {
                "folder": str(bundle.folder),
                "memory_bytes": bundle.model.memory_bytes,
                "multiplications": bundle.model.network.multiplications,
                "checks": bundle.comparison.to_dict(),
                "measured": [result.to_dict() for result in bundle.measured],
                "not_measured": dict(bundle.not_measured),
            },
            indent=2,
        )
        return
    checks = bundle.comparison
    print(f"{bundle.folder}: {bundle.model.memory_bytes:,} bytes of memory, all checks passed")
    differences = checks.tflm_differences
    print(
        f"  TFLM: {checks.tflm}"
        if differences is None
        else f"  TFLM: {differences} logits differ in {checks.steps:,} consecutive steps"
    )
    print(
        f"  Python: {checks.python_events_same} of {checks.python_events} words the same, to the "
        f"sample; {checks.float_features_equal:.3%} of the features, in integers "
        f"{checks.fixed_features_equal:.2%}"
    )
    for result in bundle.measured:
        print(
            f"  {result.target}: {result.instructions:,} instructions per frame, "
            f"{result.flash:,} bytes of flash, {result.stack:,} of stack"
        )
    if bundle.not_measured:
        print(f"  not measured, because tools are missing: {', '.join(bundle.not_measured)}")
    print(f"Next: make -C {shlex.quote(str(bundle.folder))} check")


def _export_web(
    sources: list[str], out: Path, grammar: str | None, memory: Path | None, as_json: bool
) -> None:
    models = [load_model(source) for source in sources]
    spoken = _page_grammar(models[0], grammar)
    learned = _learned(models[0], spoken, memory)
    _require({"ai-edge-litert": "ai_edge_litert"}, "ai-edge-litert")
    from .web.bundle import export_web

    bundle = export_web(models, out, grammar=spoken, learned=learned, on_stage=_stage)
    if as_json:
        print_json(bundle.to_dict(), indent=2)
        return
    total = sum(bundle.compressed.values())
    checked = bundle.not_checked or "WebAssembly gives the same output as C, byte for byte"
    print(f"{bundle.folder}: {total:,} bytes to load, compressed; {checked}")
    for each in bundle.models:
        print(f"  {each.file}: {len(each.wasm):,} bytes")
    folder = shlex.quote(str(bundle.folder))
    print(f"Next: python3 -m http.server --bind 127.0.0.1 --directory {folder} 8000")
    print("      and open http://localhost:8000")


def _page_grammar(model: Model, wanted: str | None) -> Grammar | None:
    """Return the grammar with which a page turns words into commands, if any."""
    if wanted == "none":
        return None
    grammar = load_grammar("robot" if wanted is None else wanted)
    known = set(grammar.words) <= set(model.manifest.words)
    return grammar if wanted is not None or known else None


def _export_library(
    source: str, out: Path, grammar: str | None, memory: Path | None, as_json: bool
) -> None:
    model = load_model(source)
    spoken = None if grammar is None else load_grammar(grammar)
    learned = _learned(model, spoken, memory)
    _require({"ai-edge-litert": "ai_edge_litert"}, "ai-edge-litert")
    from .lib.bundle import export_library

    bundle = export_library(model, out, grammar=spoken, learned=learned, on_stage=_stage)
    if as_json:
        print_json(bundle.to_dict(), indent=2)
        return
    print(f"{bundle.folder}: a library for apps, all checks passed")
    for built in bundle.built:
        run = "same output as the engine here" if built.run else "only compiled"
        print(
            f"  {built.target}: {built.bytes:,} bytes; {run}{f', {built.how}' if built.how else ''}"
        )
    if bundle.not_built:
        names = ", ".join(f"{name} ({tool})" for name, tool in bundle.not_built.items())
        print(f"  not compiled, because programs are missing: {names}")
    print(f"Next: {bundle.folder / 'README.md'} says how to build it for each system")


def _export_litert(source: str, out: Path, as_json: bool) -> None:
    model = load_model(source)
    _require({"ai-edge-litert": "ai_edge_litert"}, "ai-edge-litert")
    from .litert.bundle import export_litert

    written = export_litert(model, out, on_stage=_stage)
    if as_json:
        print_json(written.to_dict(), indent=2)
        return
    check, exact = written.check, written.check.float_network
    print(f"{written.model}: {written.bytes:,} bytes, all checks passed")
    print(
        f"  float network: the same label in {exact.same_argmax:.2%} of {exact.steps:,} "
        "consecutive steps"
    )
    print(
        f"  int8 model: {check.words_same} of {check.words} words the same, {check.words_more} more"
    )
    listen, description = written.folder / "listen.py", written.model.with_suffix(".json")
    print(f"Next: {shlex.join(['python', str(listen), str(description), 'SOUND'])}")


def _export_tflm(source: str, out: Path, as_json: bool) -> None:
    model = load_model(source)
    _require({"ai-edge-litert": "ai_edge_litert"}, "ai-edge-litert")
    from .device.tflm import export_tflm

    written = export_tflm(model, out, on_stage=_stage)
    if as_json:
        print_json(written.to_dict(), indent=2)
        return
    print(f"{written.folder}: {', '.join(written.operators)}; arena {written.arena_bytes:,} bytes")


def _export_run(
    run: Path,
    out: Path,
    *,
    name: str | None,
    data: Path | None,
    recordings: RecordingOptions,
    as_json: bool,
) -> None:
    _require({package: package for package in _PACKAGES}, "'harken[train]'")
    from .bundle import export_run

    corpus = None
    if data is not None:
        from ..train.run import RunFolder

        config = RunFolder(run).load_record().config
        same = replace(recordings, held_out_speech=config.held_out_speech, left_out=config.left_out)
        with progress_bar("decoding") as on_progress:
            corpus = same.source(data).open(on_progress)
    bundle = export_run(
        run,
        out,
        name=name,
        corpus=corpus,
        on_stage=_stage,
    )
    manifest = bundle.model.manifest
    if as_json:
        print_json(
            {
                "model": str(bundle.model.path),
                "manifest": str(bundle.manifest_path),
                "card": str(bundle.card_path),
                "bytes": manifest.model.bytes,
                "sha256": manifest.model.sha256,
                "tflm_arena_bytes": manifest.memory.tflm_arena_bytes,
                "checks": manifest.checks,
            },
            indent=2,
        )
        return
    rounding, parity = manifest.checks["float_and_int8"], manifest.checks["litert_and_tflm"]
    print(f"{bundle.model.path}: {manifest.model.bytes:,} bytes, all checks passed")
    if "validation_clips" in manifest.checks:
        clips = manifest.checks["validation_clips"]
        print(f"  int8 on {clips['clips']:,} validation clips: {clips['accuracy']:.2%}")
    print(
        f"  int8 against float: same label in {rounding['same_argmax']:.2%} of "
        f"{rounding['steps']:,} steps"
    )
    if "not_run" in parity:
        print(f"  LiteRT against TFLM: not run, {parity['not_run']}")
    else:
        print(
            f"  LiteRT against TFLM: same label in {parity['same_argmax']:.2%} of "
            f"{parity['steps']:,} steps, at most {parity['max_lsb']} LSB apart; "
            f"arena {manifest.memory.tflm_arena_bytes:,} bytes"
        )
