"""The commands for training: arguments in, a report or a run folder out.

Nothing heavy is imported before a command runs, so that the light installation can show their help.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..edge.app.options import path_of
from ..edge.app.streams import print_json
from ..edge.errors import RunError
from ..edge.spotting.manifest import MODEL_NAME
from .config import SIZES, TrainConfig
from .display import data_notes, progress_bar, training_bar
from .ending import exit_code, interruption
from .options import AddOption, CacheOption, DataArgument, SplitRuleChoice, SplitRuleOption, listed

if TYPE_CHECKING:
    from ..edge.spotting.manifest import Manifest
    from .base import Base
    from .batches import DataSource
    from .corpus import Corpus


class SizeChoice(StrEnum):
    """What ``--size`` takes; see `harken.train.config.SIZES`."""

    tiny = "tiny"
    small = "small"
    medium = "medium"
    large = "large"


_ANY_WORD = ("a word",)  # until the available ones are known


def train_command(
    data: DataArgument,
    *,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="RUN", parser=path_of, help="Folder to write the run to."),
    ],
    words: Annotated[
        str | None,
        typer.Option(metavar="WORD,WORD,…", help="The words to spot. Default: all."),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,…",
            help="Words to keep out of training, so that validation shows what happens with "
            "words that are new to the model.",
        ),
    ] = None,
    size: Annotated[
        SizeChoice | None,
        typer.Option(help="Size of the network. [medium]"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the recordings. [40]")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed. [0]")] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Take all settings from this JSON file: a run's config.json, or a part of one. "
            "May be repeated: a later file takes precedence, and other options before all.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the interrupted run in RUN.")
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN|FILE",
            help="Begin with the weights of this finished run, or of a file of weights "
            "(NAME.base.npz), a network of the same shape, instead of random ones.",
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|FILE",
            help="Learn from the posteriors of this finished run, or of a file of weights "
            "(NAME.base.npz), too: a larger network that knows the same words.",
        ),
    ] = None,
    add: AddOption = None,
    streams: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=path_of,
            help="Keep the training streams in DIR, about 80 MB per epoch, and reuse those of a "
            "run with the same recordings and stream settings.",
        ),
    ] = None,
    split_rule: SplitRuleOption = SplitRuleChoice.auto,
    cache_dir: CacheOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures of the best epoch as JSON.")
    ] = False,
) -> None:
    """Train a keyword spotter on recordings.

    RUN then holds weights, figures, plots and the recipe; `harken export RUN` makes a model of it.
    Ctrl-C stops after the current batch, with exit code 130 (SIGTERM: 143), and --resume continues
    from there.
    """
    _require_train()
    from ..edge.app.display import notes
    from .exportable import check_exportable, with_checked_words
    from .run import RunFolder
    from .settings import names_words, settings

    for given, option in ((start, "--from"), (teacher, "--teacher")):
        if resume and given is not None:
            raise typer.BadParameter("leave it out: the run in RUN has begun", param_hint=option)
    run = RunFolder(out)
    base = None if start is None else _base(start, "--from")
    teaching = None if teacher is None else _base(teacher, "--teacher")
    if resume:
        began = run.load_record().config
    else:
        run.require_new()
        began = None
    held_out_words = listed(held_out, "--held-out")

    def choose(words: tuple[str, ...] | None) -> TrainConfig:
        chosen = settings(
            began,
            *(config or ()),
            words=words,
            held_out_words=held_out_words,
            size=size,
            epochs=epochs,
            seed=seed,
        )
        if base is not None:
            chosen = base.fitted(chosen)
        if began is None or chosen.words != began.words:
            chosen = with_checked_words(chosen)
        check_exportable(chosen)
        return chosen

    named = listed(words, "--words")
    all_words = not named and not resume and not any(map(names_words, config or ()))
    # Report mistakes in them before minutes of decoding, and before TensorFlow loads.
    chosen = choose(_ANY_WORD if all_words else named)
    if teaching is not None and not all_words:
        teaching.require_teaches(chosen)
    from .batches import DataSource

    source = DataSource(
        root=data,
        additions=tuple(add or ()),
        cache_dir=cache_dir,
        split_rule=split_rule.value,
        held_out_speech=chosen.held_out_speech,
        left_out=chosen.left_out,
    )
    with progress_bar("decoding") as on_progress:
        corpus = source.open(on_progress)
    for line in data_notes(corpus.report):
        notes().print(line, soft_wrap=True)
    if all_words:
        _require_clear_words(corpus)
        chosen = choose(_all_words(corpus, chosen.held_out_words))
    for line in _lacking(corpus, chosen):
        notes().print(line, soft_wrap=True)
    _start_tensorflow()
    from .fit import train

    with training_bar() as on_step:
        outcome = train(
            chosen,
            source,
            corpus,
            run,
            recipe=_recipe(
                chosen, config or (), split_rule, add or (), start=start, teacher=teacher
            ),
            resume=resume,
            on_progress=on_step,
            streams=streams,
            first=None if base is None else base.first_weights(chosen),
            teacher=teaching,
        )
    best = outcome.best
    if not outcome.finished or best is None:
        again = ["harken", "train", str(data), "--out", str(out), "--resume"]
        for folder in add or ():
            again += ["--add", str(folder)]
        if streams is not None:
            again += ["--streams", str(streams)]
        if split_rule is not SplitRuleChoice.auto:
            again += ["--split-rule", split_rule.value]
        if cache_dir is not None:
            again += ["--cache-dir", str(cache_dir)]
        notes().print(
            f"stopped after {outcome.epochs} of {chosen.epochs} epochs; continue with: "
            f"{shlex.join(again)}",
            soft_wrap=True,
        )
        raise typer.Exit(exit_code(interruption(outcome.signal)))
    if as_json:
        print_json({"run": str(out), "best": best}, indent=2)
        return
    print(
        f"{out}: epoch {best['epoch']:.0f} is the best, "
        f"{best['clip_accuracy']:.2%} of the validation clips; "
        f"make a model of it with: {_export_line(out)}"
    )


def _export_line(run: Path) -> str:
    """Return the command that exports a run, with a name if the folder's is not allowed."""
    line = ["harken", "export", str(run), "--out", "DIR"]
    name = run.resolve().name
    if not MODEL_NAME.fullmatch(name):
        line += ["--name", re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "NAME"]
    return shlex.join(line)


def open_recordings(source: DataSource, manifest: Manifest | None) -> Corpus:
    """Open recordings for scenes (see `harken.train.scenes.gather`), and report what was found."""
    from ..edge.app.display import notes
    from .scenes.gather import open_corpus

    with progress_bar("decoding") as on_progress:
        corpus = open_corpus(source, manifest, on_progress)
    for line in data_notes(corpus.report):
        notes().print(line, soft_wrap=True)
    return corpus


def _base(run: Path, option: str) -> Base:
    """Read the weights of a run or of a file."""
    from .base import base_of, load_base
    from .run import RunFolder

    if run.is_file():
        return load_base(run)
    if not RunFolder(run).has("weights.npz"):
        raise RunError(
            f"{run} holds no weights.npz; {option} takes the folder of a finished run, or a file "
            "of weights"
        )
    return base_of(run, run.name)


def _recipe(
    chosen: TrainConfig,
    config: Sequence[Path],
    split_rule: SplitRuleChoice,
    add: Sequence[Path],
    *,
    start: Path | None,
    teacher: Path | None,
) -> str:
    """Return the command line that repeats a run, without paths that differ by machine."""
    line = ["harken", "train", "DATA", "--out", "RUN"]
    if start is not None:
        line += ["--from", start.name]
    if teacher is not None:
        line += ["--teacher", teacher.name]
    for folder in add:
        line += ["--add", folder.name]
    for file in config:
        line += ["--config", file.name]
    line += ["--words", ",".join(chosen.words)]
    if chosen.held_out_words:
        line += ["--held-out", ",".join(chosen.held_out_words)]
    size = next((name for name, model in SIZES.items() if model == chosen.model), None)
    if size is not None:
        line += ["--size", size]
    line += ["--epochs", str(chosen.epochs), "--seed", str(chosen.seed)]
    if split_rule is not SplitRuleChoice.auto:
        line += ["--split-rule", split_rule.value]
    return shlex.join(line)


def _lacking(corpus: Corpus, chosen: TrainConfig) -> Iterator[str]:
    """Return lines on what a model will detect poorly for lack of recordings."""
    missing = corpus.without_validation(chosen.words)
    if missing and len(missing) < len(chosen.words):
        yield (
            f"no clip of {', '.join(missing)} to validate with: how well the model hears it will "
            "not be measured; record three clips of each word at least, by several speakers"
        )
    others = set(corpus.report.word_counts) - set(chosen.words) - {"_silence_"}
    if "noise" not in corpus.report.seconds and "_silence_" not in corpus.report.word_counts:
        yield (
            "no noise to learn from: the model will take much of it for words; put recordings of "
            "noise into _background_noise_ beside the words"
        )
    if "speech" not in corpus.report.seconds and not others:
        yield (
            "no speech but the words to learn from: the model will take much of it for them; put "
            "other words into folders of their own, or into _unknown_, and choose with --words"
        )


def _require_clear_words(corpus: Corpus) -> None:
    """Refuse to guess that a folder such as ``noise`` is a word."""
    from ..edge.errors import DataError

    odd = corpus.report.odd_words
    if odd:
        raise DataError(
            f"{corpus.root / odd[0]}: is {odd[0]!r} a word? If it is, name all words with --words; "
            "a folder of noise is called _background_noise_, one of other words _unknown_"
        )


def _all_words(corpus: Corpus, held_out_words: tuple[str, ...]) -> tuple[str, ...]:
    """Return all words of a corpus, except those that are held out or stand for none."""
    from .corpus import SILENCE_FOLDER, UNKNOWN_FOLDER

    return tuple(
        word
        for word in corpus.words
        if word not in (SILENCE_FOLDER, UNKNOWN_FOLDER, *held_out_words)
    )


def _require_train() -> None:
    """Say what to install if the training half is missing."""
    from importlib.util import find_spec

    from ..edge.errors import DependencyError

    packages = ("keras", "librosa", "matplotlib", "scipy", "tensorflow")
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"training needs {', '.join(missing)}; install with `pip install 'harken[train]'`"
        )


def _start_tensorflow() -> None:
    """Import TensorFlow without the notices that it prints before its log level takes effect."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (not a path of ours)
            os.dup2(nowhere.fileno(), 2)
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(saved, 2)
        os.close(saved)
