"""The eval command: arguments in, figures of a model on clips or on running speech out.

Nothing heavy is imported before the command runs, so that the light installation can show its help.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..edge.app.options import JsonOption, path_of
from ..edge.spotting.engine import RUNTIMES
from .eval_ways import TFLM, PartChoice, eval_clips, eval_context, eval_stream
from .options import (
    AddOption,
    CacheOption,
    RecordingOptions,
    ReportOptions,
    SplitRuleChoice,
    SplitRuleOption,
    listed,
)

if TYPE_CHECKING:
    from .splits import Split


_WORDS_PER_CONDITION = 500
_SESSIONS = 500


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
            help=f"Interpreter: {', '.join(RUNTIMES)}, or {TFLM} (TensorFlow Lite Micro); "
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
    as_json: JsonOption = False,
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
    recordings = RecordingOptions(
        additions=tuple(add or ()),
        split_rule=split_rule,
        cache_dir=cache_dir,
        held_out_speech=tuple(held_out_speech or ()),
        left_out=tuple(left_out or ()),
    )
    report = ReportOptions(out=out, as_json=as_json)
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
            eval_clips(
                model,
                data,
                split=split,
                words=listed(words, "--words"),
                balance=balance,
                seed=seed,
                runtime=runtime,
                recordings=recordings,
                report=report,
            )
            return
        if split.value == "all":
            raise typer.BadParameter(
                "sessions are made from one split; name it", param_hint="--split"
            )
        eval_context(
            model,
            data,
            split=cast("Split", split.value),
            seed=seed,
            runtime=runtime,
            recordings=recordings,
            report=report,
            grammar="robot" if grammar is None else grammar,
            sessions=_SESSIONS if sessions is None else sessions,
            lstm=lstm,
            weight=context_weight,
        )
        return
    if balance:
        raise typer.BadParameter("it is of clips; leave it out", param_hint="--balance")
    if split.value == "all":
        raise typer.BadParameter("scenes are made from one split; name it", param_hint="--split")
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
    eval_stream(
        model,
        data,
        split=cast("Split", split.value),
        words=listed(words, "--words"),
        seed=seed,
        runtime=runtime,
        recordings=recordings,
        report=report,
        words_per_condition=(
            _WORDS_PER_CONDITION if words_per_condition is None else words_per_condition
        ),
        folder=scenes,
        negatives=tuple(negatives or ()),
        scene_dir=scene_dir,
        keep=keep,
        adapter=adapter,
    )


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse the first option that was given."""
    for option, given in options.items():
        if given:
            raise typer.BadParameter(why, param_hint=option)


def _require_matplotlib() -> None:
    from ..edge.errors import DependencyError

    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"--out draws with matplotlib, which cannot be imported ({error}); "
            "install it with `pip install 'harken[train]'`"
        ) from error
