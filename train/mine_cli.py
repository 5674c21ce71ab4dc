"""The mine command: models and their recordings in, a list of hard negatives out.

Nothing heavy is imported before the command runs, so that the light installation can show its help.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from ..edge.app.options import path_of
from ..edge.app.streams import print_json
from ..edge.errors import DataError
from ..edge.files import require_writable
from .cli import open_recordings
from .display import progress_bar
from .ending import exit_code, terminable
from .options import AddOption, CacheOption, RecordingOptions, SplitRuleChoice, SplitRuleOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from .scenes.hard import HardNegative


def mine_command(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL…",
            help="Models of the same words: names of shipped ones, or files of models.",
        ),
    ],
    *,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder of recordings, as for `harken train`; its training split is searched.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            parser=path_of,
            help="Where to write the places: path, seconds, word, evidence, separated by tabs. As "
            "hard_negatives.tsv in a folder for --add, the file makes training draw them more "
            "often.",
        ),
    ],
    least: Annotated[
        float,
        typer.Option(metavar="P", min=0.0, max=1.0, help="Least evidence of a word."),
    ] = 0.02,
    split_rule: SplitRuleOption = SplitRuleChoice.auto,
    add: AddOption = None,
    cache_dir: CacheOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the places as JSON.")] = False,
) -> None:
    """Find hard negatives: speech and noise that models take for one of their words.

    They are found in what the models were trained on, so that a training from their weights
    (`harken train --from`) learns to ignore them. Nothing is searched that was held out.
    """
    from ..edge.app.display import notes, output
    from ..edge.spotting.manifest import load_model
    from .scenes.hard import hard_negatives, write_hard_negatives

    loaded = [load_model(model) for model in models]
    require_writable(out.parent, option="--out", error=DataError)
    recordings = RecordingOptions(
        additions=tuple(add or ()), split_rule=split_rule, cache_dir=cache_dir
    )
    corpus = open_recordings(recordings.source(data), loaded[0].manifest)
    try:
        with terminable(), progress_bar("listening, recordings") as on_progress:
            found = hard_negatives(loaded, corpus, least=least, progress=on_progress)
    except KeyboardInterrupt as problem:
        notes().print("stopped; nothing was written")
        raise typer.Exit(exit_code(problem)) from None
    write_hard_negatives(found, out)
    if as_json:
        print_json({"out": str(out), "places": [asdict(one) for one in found]}, indent=2)
        return
    output().print(_table(found))
    output().print(f"wrote {out}", soft_wrap=True)


def _table(found: Sequence[HardNegative]) -> Table:
    """Lay out the counts by folder for a terminal."""
    from rich.table import Table

    levels = (0.5, 0.2, 0.1)
    table = Table(box=None, pad_edge=False)
    table.add_column("folder")
    for title in ("places", *(f"from {level:g}" for level in levels)):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("taken for")
    folders = ["/".join(PurePosixPath(one.path).parts[:-1][:2]) for one in found]
    for folder in (*sorted(set(folders)), None):
        own = [one for one, place in zip(found, folders, strict=True) if folder in (None, place)]
        common = Counter(one.word for one in own).most_common(3)
        table.add_row(
            "all" if folder is None else folder,
            f"{len(own):,}",
            *(f"{sum(one.evidence >= level for one in own):,}" for level in levels),
            ", ".join(f"{word} {count}" for word, count in common),
            style="bold" if folder is None else None,
        )
    return table
