"""Options of ``harken eval`` in; figures for clips, running speech or sessions out."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..edge.app.streams import print_json, print_json_text
from .cli import open_recordings
from .display import data_notes, evaluation_table, progress_bar
from .options import RecordingOptions, ReportOptions

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..edge.spotting.engine import Runtime
    from ..edge.spotting.manifest import Model
    from .context.report import ContextEvaluation
    from .evaluate import Evaluation
    from .scenes.report import StreamEvaluation
    from .splits import Split


E = TypeVar("E", "StreamEvaluation", "ContextEvaluation")

TFLM = "tflm"


class PartChoice(StrEnum):
    """What ``--split`` takes; see `harken.train.evaluate.Part`."""

    training = "training"
    validation = "validation"
    testing = "testing"
    all = "all"


def eval_clips(
    model: str,
    data: Path,
    *,
    split: PartChoice,
    words: tuple[str, ...] | None,
    balance: bool,
    seed: int,
    runtime: str | None,
    recordings: RecordingOptions,
    report: ReportOptions,
) -> None:
    """Measure a model on clips, and print the figures."""
    from ..edge.app.display import notes, output
    from ..edge.spotting.manifest import load_model
    from .data import load_corpus
    from .evaluate import evaluate

    loaded = load_model(model)
    running = _runtime(loaded, runtime)
    with progress_bar("decoding") as on_progress:
        corpus = load_corpus(
            data,
            additions=recordings.additions,
            cache_dir=recordings.cache_dir,
            split_rule=recordings.split_rule.value,
            keep_silent=True,
            progress=on_progress,
        )
    for line in data_notes(corpus.report):
        notes().print(line, soft_wrap=True)
    with progress_bar("evaluating") as on_progress:
        evaluation = evaluate(
            loaded,
            corpus,
            split=split.value,
            words=words,
            balance=balance,
            seed=seed,
            runtime=running,
            progress=on_progress,
        )
    for line in evaluation.notes:
        notes().print(f"harken: note: {line}", soft_wrap=True)
    if report.out is not None:
        _save(evaluation, report.out)
    if report.as_json:
        print_json(evaluation.to_dict(), indent=2)
    else:
        output().print(evaluation_table(evaluation))


def eval_stream(
    model: str | None,
    data: Path | None,
    *,
    split: Split,
    words: tuple[str, ...] | None,
    seed: int,
    runtime: str | None,
    recordings: RecordingOptions,
    report: ReportOptions,
    words_per_condition: int,
    folder: Path | None,
    negatives: tuple[Path, ...],
    scene_dir: Path | None,
    keep: bool,
    adapter: str | None,
) -> None:
    """Measure a model, or a program behind an adapter, on running speech."""
    _require_scipy()
    from ..edge.spotting.manifest import load_model
    from .scenes.command import measure, save
    from .scenes.display import stream_tables
    from .scenes.gather import gather
    from .scenes.keep import keep_scenes
    from .scenes.subjects import AdapterSubject
    from .scenes.sweep import Listener

    loaded = None if model is None else load_model(model)
    manifest = None if loaded is None else loaded.manifest
    spotted = words or (manifest.words if manifest else ())
    # Report mistakes in these before minutes of decoding.
    listens: AdapterSubject | Listener
    if adapter is not None:
        listens = AdapterSubject(adapter, spotted)
    else:
        assert loaded is not None
        listens = Listener(loaded, runtime=_runtime(loaded, runtime))
    corpus = None
    if data is not None:
        corpus = open_recordings(recordings.source(data), manifest)
    scenes = gather(
        spotted,
        manifest,
        corpus=corpus,
        split=split,
        words_per_condition=words_per_condition,
        seed=seed,
        folder=folder,
        negatives=negatives,
    )
    if scene_dir is not None:
        with progress_bar("writing scenes") as on_progress:
            keep_scenes(scenes, scene_dir, sound=keep, progress=on_progress)
    evaluation = measure(listens, scenes, bar=progress_bar)
    _report(evaluation, stream_tables, save, report)


def eval_context(
    model: str,
    data: Path,
    *,
    split: Split,
    seed: int,
    runtime: str | None,
    recordings: RecordingOptions,
    report: ReportOptions,
    grammar: str,
    sessions: int,
    lstm: Path | None,
    weight: float | None,
) -> None:
    """Measure the benefit of a memory on spoken sessions."""
    _require_scipy()
    from ..edge.memory.grammar_file import load_grammar
    from ..edge.spotting.manifest import load_model
    from .context.command import measure_context, priors_of, save
    from .context.display import context_tables
    from .scenes.sweep import Listener

    loaded = load_model(model)
    commands = load_grammar(grammar)
    commands.require_words(loaded.manifest.words)
    priors = priors_of(commands, lstm)
    listens = Listener(loaded, runtime=_runtime(loaded, runtime))
    evaluation = measure_context(
        listens,
        open_recordings(recordings.source(data), loaded.manifest),
        commands,
        priors,
        split=split,
        sessions=sessions,
        seed=seed,
        weight=weight,
        bar=progress_bar,
    )
    _report(evaluation, context_tables, save, report)


def _report(
    evaluation: E,
    table: Callable[[E], RenderableType],
    save: Callable[[E, Path], None],
    report: ReportOptions,
) -> None:
    """Print the notes, write the files, print the figures."""
    from ..edge.app.display import notes, output

    for line in evaluation.notes:
        notes().print(f"harken: note: {line}", soft_wrap=True)
    if report.out is not None:
        save(evaluation, report.out)
    if report.as_json:
        text = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        print_json_text(text)
    else:
        output().print(table(evaluation))


def _runtime(model: Model, name: str | None) -> str | Runtime | None:
    if name != TFLM:
        return name
    from ..export.tflm import TflmRuntime

    return TflmRuntime(model)


def _require_scipy() -> None:
    from importlib.util import find_spec

    from ..edge.errors import DependencyError

    if find_spec("scipy") is None:
        raise DependencyError("this needs scipy; install with `pip install 'harken[train]'`")


def _save(evaluation: Evaluation, folder: Path) -> None:
    from .plots import draw_confusion
    from .reports import write_report

    write_report(folder, evaluation.to_dict())
    draw_confusion(folder / "confusion.png", evaluation.confusion, evaluation.labels)
