"""The eval command: arguments in, figures of a model on clips or on running speech out.

Nothing heavy is imported before the command runs, so that the light installation can show its help.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

import typer

from ..edge.app.options import path_of
from ..edge.app.streams import print_json, print_json_text
from ..edge.spotting.engine import RUNTIMES
from .cli import AddOption, CacheOption, SplitRuleChoice, SplitRuleOption, listed, open_recordings
from .display import data_notes, evaluation_table, progress_bar

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..edge.spotting.engine import Runtime
    from ..edge.spotting.manifest import Model
    from .context.report import ContextEvaluation
    from .evaluate import Evaluation
    from .scenes.report import StreamEvaluation
    from .splits import Split

E = TypeVar("E", "StreamEvaluation", "ContextEvaluation")

_TFLM = "tflm"
_WORDS_PER_CONDITION = 500
_SESSIONS = 500


class PartChoice(StrEnum):
    """What ``--split`` takes; see `harken.train.evaluate.Part`."""

    training = "training"
    validation = "validation"
    testing = "testing"
    all = "all"


def eval_command(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A .tflite file, its .json manifest, or the name of a model that ships. May be "
            "left out with --adapter.",
        ),
    ] = None,
    *,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Measure on running speech instead of clips."),
    ] = False,
    context: Annotated[
        bool,
        typer.Option("--context", help="Measure the benefit of the memory, on spoken sessions."),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder of recordings: one folder per word, or a collection with "
            "speech_commands/.",
        ),
    ] = None,
    split: Annotated[
        PartChoice,
        typer.Option(
            help="Part of the data to evaluate on; `all` for the official test archive.",
        ),
    ] = PartChoice.validation,
    words: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,WORD,…",
            help="Only these words are labels; all others count as unknown, even if the model "
            "knows them. Default: the words of the model. With --adapter: the words to "
            "spot.",
        ),
    ] = None,
    balance: Annotated[
        bool,
        typer.Option(
            "--balance",
            help="Reduce unknown and silence to 10 % of the word clips each, as in the 12-class "
            "task of Speech Commands.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Interpreter: {', '.join(RUNTIMES)}, or {_TFLM} (TensorFlow Lite Micro); "
            "the first one installed.",
        ),
    ] = None,
    split_rule: SplitRuleOption = SplitRuleChoice.auto,
    add: AddOption = None,
    cache_dir: CacheOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=path_of,
            help="Write report.json and confusion.png there; with --stream det.png, with "
            "--context context.png.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    words_per_condition: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="--stream: words said under each noise, gain and in each room. "
            f"[{_WORDS_PER_CONDITION}]",
        ),
    ] = None,
    held_out_speech: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="--stream: speech in the data that was held out of training, such as "
            "negatives/radio/*. Default: from the model's manifest. May be repeated.",
        ),
    ] = None,
    left_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="--stream: recordings in the data to leave out, such as speech that contains a "
            "word. Default: from the model's manifest. May be repeated.",
        ),
    ] = None,
    scenes: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="--stream: instead of --data, a folder of recordings, each with a label track "
            "NAME.txt as Audacity writes it.",
        ),
    ] = None,
    negatives: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="--stream: a negative recording (without any keyword), or a folder of them. May"
            " be repeated.",
        ),
    ] = None,
    scene_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=path_of,
            help="--stream: write the ground truth of the scenes there.",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="--stream: keep audio and labels in --scene-dir, too."),
    ] = False,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="--stream: measure another program. The command reads 16-bit PCM at 16 kHz and "
            "prints events as JSON lines, as `harken listen --stdin --json` does.",
        ),
    ] = None,
    grammar: Annotated[
        str | None,
        typer.Option(
            metavar="GRAMMAR", help="--context: a grammar's name or file. [default: robot]"
        ),
    ] = None,
    sessions: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help=f"--context: how many sessions. [{_SESSIONS}]"),
    ] = None,
    lstm: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="--context: an LSTM prior, as `harken grammar train` makes it, to compare with.",
        ),
    ] = None,
    context_weight: Annotated[
        float | None,
        typer.Option(
            metavar="W", help="--context: weight of the prior. Default: from the manifest."
        ),
    ] = None,
) -> None:
    """Measure a model on recordings: accuracy on clips, or misses and false accepts live.

    Clips: each runs through the same front end, interpreter and decision rule as live audio, from a
    reset state. Words that the model lacks count as unknown. If the data have no _silence_ folder,
    silence is cut from their noise recordings: one second for ten word clips.

    With --stream: words at random times, among other words and pieces of words, over noise, at many
    levels and in rooms; and negative hours (audio without any keyword). Reports missed words
    against false accepts per hour over all thresholds, the delay of detections, and confusions.
    Nobody who was heard in training is used.

    With --context: sessions of commands by one speaker each, in scripted, shuffled and adversarial
    order, over noise. Reports missed and wrong words, understood commands and false accepts, with
    a memory and without.
    """
    streaming = {
        "--words-per-condition": words_per_condition,
        "--held-out-speech": held_out_speech,
        "--left-out": left_out,
        "--scenes": scenes,
        "--negatives": negatives,
        "--scene-dir": scene_dir,
        "--keep": keep,
        "--adapter": adapter,
    }
    additions = tuple(add or ())
    if out is not None:
        from .reports import require_report

        _require_matplotlib()
        require_report(out)
    of_context = {
        "--grammar": grammar,
        "--sessions": sessions,
        "--lstm": lstm,
        "--context-weight": context_weight,
    }
    if context:
        shared = ("--held-out-speech", "--left-out")
        others: dict[str, object] = {o: v for o, v in streaming.items() if o not in shared}
        others |= {"--stream": stream, "--words": words, "--balance": balance}
        _refuse(others, "it does not go with --context")
    else:
        _refuse(
            {option: value is not None for option, value in of_context.items()},
            "it needs --context",
        )
        if not stream:
            _refuse(streaming, "it needs --stream")
    if not stream:
        if model is None:
            raise typer.BadParameter("name one, as in `harken eval commands`", param_hint="MODEL")
        if data is None:
            raise typer.BadParameter("give a folder of recordings", param_hint="--data")
        if not context:
            _eval_clips(
                model,
                data,
                split=split,
                words=listed(words, "--words"),
                balance=balance,
                seed=seed,
                runtime=runtime,
                split_rule=split_rule,
                additions=additions,
                cache_dir=cache_dir,
                out=out,
                as_json=as_json,
            )
            return
        if split.value == "all":
            raise typer.BadParameter("sessions are made of one part; name it", param_hint="--split")
        _eval_context(
            model,
            data,
            split=cast("Split", split.value),
            seed=seed,
            runtime=runtime,
            split_rule=split_rule,
            additions=additions,
            cache_dir=cache_dir,
            out=out,
            as_json=as_json,
            held_out_speech=tuple(held_out_speech or ()),
            left_out=tuple(left_out or ()),
            grammar="robot" if grammar is None else grammar,
            sessions=_SESSIONS if sessions is None else sessions,
            lstm=lstm,
            weight=context_weight,
        )
        return
    if balance:
        raise typer.BadParameter("it is of clips; leave it out", param_hint="--balance")
    if split.value == "all":
        raise typer.BadParameter("scenes are made of one part; name it", param_hint="--split")
    if data is None and scenes is None and not negatives:
        raise typer.BadParameter(
            "give recordings with --data, scenes with --scenes, or --negatives", param_hint="--data"
        )
    if data is not None and scenes is not None:
        raise typer.BadParameter("give either this or --data", param_hint="--scenes")
    if keep and scene_dir is None:
        raise typer.BadParameter("say where, with --scene-dir DIR", param_hint="--keep")
    if adapter is None and model is None:
        raise typer.BadParameter("name one, or another program with --adapter", param_hint="MODEL")
    if adapter is None and words is not None:
        raise typer.BadParameter(
            "a model listens for all its words; leave it out", param_hint="--words"
        )
    if adapter is not None and model is None and words is None:
        raise typer.BadParameter("say which words to spot", param_hint="--words")
    if adapter is not None and runtime is not None:
        raise typer.BadParameter("an adapter needs none; leave it out", param_hint="--runtime")
    _eval_stream(
        model,
        data,
        split=cast("Split", split.value),
        words=listed(words, "--words"),
        seed=seed,
        runtime=runtime,
        split_rule=split_rule,
        additions=additions,
        cache_dir=cache_dir,
        out=out,
        as_json=as_json,
        words_per_condition=(
            _WORDS_PER_CONDITION if words_per_condition is None else words_per_condition
        ),
        held_out_speech=tuple(held_out_speech or ()),
        left_out=tuple(left_out or ()),
        folder=scenes,
        negatives=tuple(negatives or ()),
        scene_dir=scene_dir,
        keep=keep,
        adapter=adapter,
    )


def _eval_clips(
    model: str,
    data: Path,
    *,
    split: PartChoice,
    words: tuple[str, ...] | None,
    balance: bool,
    seed: int,
    runtime: str | None,
    split_rule: SplitRuleChoice,
    additions: tuple[Path, ...],
    cache_dir: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from ..edge.app.display import notes, output
    from ..edge.spotting.manifest import load_model
    from .data import load_corpus
    from .evaluate import evaluate

    loaded = load_model(model)
    running = _runtime(loaded, runtime)
    with progress_bar("decoding") as on_progress:
        corpus = load_corpus(
            data,
            additions=additions,
            cache_dir=cache_dir,
            split_rule=split_rule.value,
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
    if out is not None:
        _save(evaluation, out)
    if as_json:
        print_json(evaluation.to_dict(), indent=2)
    else:
        output().print(evaluation_table(evaluation))


def _eval_stream(
    model: str | None,
    data: Path | None,
    *,
    split: Split,
    words: tuple[str, ...] | None,
    seed: int,
    runtime: str | None,
    split_rule: SplitRuleChoice,
    additions: tuple[Path, ...],
    cache_dir: Path | None,
    out: Path | None,
    as_json: bool,
    words_per_condition: int,
    held_out_speech: tuple[str, ...],
    left_out: tuple[str, ...],
    folder: Path | None,
    negatives: tuple[Path, ...],
    scene_dir: Path | None,
    keep: bool,
    adapter: str | None,
) -> None:
    _require_scipy()
    from ..edge.spotting.manifest import load_model
    from .batches import DataSource
    from .scenes.command import measure, save
    from .scenes.display import stream_tables
    from .scenes.gather import gather
    from .scenes.keep import keep_scenes
    from .scenes.subjects import AdapterSubject
    from .scenes.sweep import Listener

    loaded = None if model is None else load_model(model)
    manifest = None if loaded is None else loaded.manifest
    spotted = words or (manifest.words if manifest else ())
    # What is wrong with these shall be said before minutes of decoding.
    listens: AdapterSubject | Listener
    if adapter is not None:
        listens = AdapterSubject(adapter, spotted)
    else:
        assert loaded is not None
        listens = Listener(loaded, runtime=_runtime(loaded, runtime))
    corpus = None
    if data is not None:
        source = DataSource(
            root=data,
            additions=additions,
            cache_dir=cache_dir,
            split_rule=split_rule.value,
            held_out_speech=held_out_speech,
            left_out=left_out,
        )
        corpus = open_recordings(source, manifest)
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
    _report(evaluation, stream_tables, save, out=out, as_json=as_json)


def _eval_context(
    model: str,
    data: Path,
    *,
    split: Split,
    seed: int,
    runtime: str | None,
    split_rule: SplitRuleChoice,
    additions: tuple[Path, ...],
    cache_dir: Path | None,
    out: Path | None,
    as_json: bool,
    held_out_speech: tuple[str, ...],
    left_out: tuple[str, ...],
    grammar: str,
    sessions: int,
    lstm: Path | None,
    weight: float | None,
) -> None:
    _require_scipy()
    from ..edge.memory.grammar import load_grammar
    from ..edge.spotting.manifest import load_model
    from .batches import DataSource
    from .context.command import measure_context, priors_of, save
    from .context.display import context_tables
    from .scenes.sweep import Listener

    loaded = load_model(model)
    commands = load_grammar(grammar)
    commands.require_words(loaded.manifest.words)
    priors = priors_of(commands, lstm)
    listens = Listener(loaded, runtime=_runtime(loaded, runtime))
    source = DataSource(
        root=data,
        additions=additions,
        cache_dir=cache_dir,
        split_rule=split_rule.value,
        held_out_speech=held_out_speech,
        left_out=left_out,
    )
    evaluation = measure_context(
        listens,
        open_recordings(source, loaded.manifest),
        commands,
        priors,
        split=split,
        sessions=sessions,
        seed=seed,
        weight=weight,
        bar=progress_bar,
    )
    _report(evaluation, context_tables, save, out=out, as_json=as_json)


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse the first option that was given."""
    for option, given in options.items():
        if given:
            raise typer.BadParameter(why, param_hint=option)


def _report(
    evaluation: E,
    table: Callable[[E], RenderableType],
    save: Callable[[E, Path], None],
    *,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print what a reader has to know, leave the files behind, print the figures."""
    from ..edge.app.display import notes, output

    for line in evaluation.notes:
        notes().print(f"harken: note: {line}", soft_wrap=True)
    if out is not None:
        save(evaluation, out)
    if as_json:
        text = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        print_json_text(text)
    else:
        output().print(table(evaluation))


def _runtime(model: Model, name: str | None) -> str | Runtime | None:
    if name != _TFLM:
        return name
    from ..export.tflm import TflmRuntime

    return TflmRuntime(model)


def _require_scipy() -> None:
    from importlib.util import find_spec

    from ..edge.errors import DependencyError

    if find_spec("scipy") is None:
        raise DependencyError("this needs scipy; install with `pip install 'harken[train]'`")


def _require_matplotlib() -> None:
    from ..edge.errors import DependencyError

    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"--out draws with matplotlib, which cannot be imported ({error}); "
            "install it with `pip install 'harken[train]'`"
        ) from error


def _save(evaluation: Evaluation, folder: Path) -> None:
    from .plots import draw_confusion
    from .reports import write_report

    write_report(folder, evaluation.to_dict())
    draw_confusion(folder / "confusion.png", evaluation.confusion, evaluation.labels)
