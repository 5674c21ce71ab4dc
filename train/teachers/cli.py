"""The teach command: recordings and teachers in, their outputs and a list of wrong labels out.

Nothing heavy is imported before the command runs, so that the light installation can show its help.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...edge.app.options import path_of
from ...edge.app.streams import print_json
from ...edge.errors import DataError
from ...edge.files import require_writable
from ..display import data_notes, progress_bar
from ..ending import exit_code, terminable
from ..options import CacheOption, DataArgument

if TYPE_CHECKING:
    from rich.table import Table

    from ..corpus import Corpus, Recording
    from .outputs import TeacherOutputs
    from .suspects import Suspect
    from .teacher import Teacher


def teach_command(
    data: DataArgument,
    *,
    teachers: Annotated[
        Path | None,
        typer.Option(
            "--teachers",
            metavar="DIR",
            help="Folder of pretrained networks that know the words: .tflite files that take one"
            " second of samples, or .npz files of a BC-ResNet.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            parser=path_of,
            help="Where to write their outputs for each clip, as .npz.",
        ),
    ] = None,
    outputs: Annotated[
        Path | None,
        typer.Option(
            "--outputs",
            metavar="FILE",
            help="Earlier outputs; these clips are not processed again. With outputs of all "
            "clips, no teachers are needed.",
        ),
    ] = None,
    suspects: Annotated[
        Path | None,
        typer.Option(
            "--suspects",
            metavar="FILE",
            parser=path_of,
            help="Where to write the clips whose labels look wrong: path, label, prediction, "
            "probability, separated by tabs. As wrong_labels.tsv in a folder for --add, the"
            " file keeps them out of training.",
        ),
    ] = None,
    cache_dir: CacheOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Run pretrained networks over the words, and list the labels that they contradict.

    A clip shorter than a second is padded with silence; of a longer one, the loudest second is
    used. Ctrl-C stops, and the same command continues from there.
    """
    if teachers is None and outputs is None:
        raise typer.BadParameter("give teachers, or earlier --outputs", param_hint="--teachers")
    if (teachers is None) != (out is None):
        raise typer.BadParameter(
            "--teachers and --out belong together: give both, or --outputs alone",
            param_hint="--teachers" if teachers is None else "--out",
        )
    from ...edge.app.display import notes, output
    from ..data import load_corpus
    from .opening import open_teachers
    from .outputs import TeacherOutputs
    from .run import word_clips
    from .suspects import write_suspects, wrong_labels

    # Report bad paths before minutes of decoding.
    for option, file in (("--out", out), ("--suspects", suspects)):
        if file is not None:
            require_writable(file.parent, option=option, error=DataError)
    opened = () if teachers is None else open_teachers(teachers)
    known = None if outputs is None else TeacherOutputs.read(outputs)
    with progress_bar("decoding") as on_progress:
        corpus = load_corpus(data, cache_dir=cache_dir, progress=on_progress)
    for line in data_notes(corpus.report):
        notes().print(line, soft_wrap=True)
    clips = word_clips(corpus)
    if out is not None:
        heard = _hear(corpus, opened, known, out)
    else:
        assert known is not None
        heard = known.select(list(clips))
    found = wrong_labels(heard, [(path, clip.label) for path, clip in clips.items()])
    if suspects is not None:
        write_suspects(found, suspects)
    if as_json:
        print_json(_figures(heard, clips, found), indent=2)
        return
    output().print(suspects_table(clips, found))


def _hear(
    corpus: Corpus, teachers: Sequence[Teacher], known: TeacherOutputs | None, out: Path
) -> TeacherOutputs:
    """Run the teachers; if interrupted, say how to continue."""
    from ...edge.app.display import notes
    from .run import partial_path, remove_partial, run_teachers

    partial = partial_path(out)
    try:
        with terminable(), progress_bar("teachers") as on_progress:
            heard = run_teachers(
                corpus, teachers, known=known, partial=partial, progress=on_progress
            )
    except KeyboardInterrupt as problem:
        notes().print(
            f"stopped; finished work is in {shlex.quote(str(partial))}, and the same command "
            "continues from there",
            soft_wrap=True,
        )
        raise typer.Exit(exit_code(problem)) from None
    heard.write(out)
    remove_partial(partial)
    return heard


def suspects_table(clips: Mapping[str, Recording], suspects: Sequence[Suspect]) -> Table:
    """Lay out the counts by word for a terminal."""
    from rich.table import Table

    from ..splits import SPLITS

    table = Table(box=None, pad_edge=False)
    table.add_column("word")
    for title in ("clips", "suspected", "share", *SPLITS):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("taken for")
    by_word = Counter(clip.label for clip in clips.values())
    for word in (*sorted(by_word), None):
        own = [one for one in suspects if word in (None, one.label)]
        total = len(clips) if word is None else by_word[word]
        parts = Counter(clips[one.path].split for one in own)
        others = Counter(one.taken_for for one in own).most_common(3)
        table.add_row(
            "all words" if word is None else word,
            f"{total:,}",
            f"{len(own):,}",
            f"{len(own) / max(total, 1):.2%}",
            *(f"{parts[split]:,}" for split in SPLITS),
            "" if word is None else ", ".join(f"{other} {count}" for other, count in others),
            style="bold" if word is None else None,
        )
    return table


def _figures(
    outputs: TeacherOutputs, clips: Mapping[str, Recording], suspects: Sequence[Suspect]
) -> dict[str, object]:
    """Return the counts, and the suspects, as plain JSON types."""
    from ..splits import SPLITS

    by_word = Counter(clip.label for clip in clips.values())
    own = Counter((one.label, clips[one.path].split) for one in suspects)
    return {
        "teachers": list(outputs.names),
        "clips": len(clips),
        "suspected": len(suspects),
        "by_word": {
            word: {"clips": by_word[word], **{split: own[word, split] for split in SPLITS}}
            for word in sorted(by_word)
        },
        "suspects": [dataclasses.asdict(one) for one in suspects],
    }
