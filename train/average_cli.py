"""The command that averages runs: run folders in, a run folder out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..edge.app.options import path_of
from ..edge.app.streams import print_json
from .cli import _export_line, _require_train, _start_tensorflow, open_recordings
from .ending import exit_code, terminable
from .options import AddOption, CacheOption, RecordingOptions, SplitRuleChoice, SplitRuleOption


def average_command(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Finished runs that started from the same weights."),
    ],
    *,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DIR", help="The recordings that they learned from."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="RUN", parser=path_of, help="Folder to write the run to."),
    ],
    add: AddOption = None,
    split_rule: SplitRuleOption = SplitRuleChoice.auto,
    cache_dir: CacheOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Average the weights of runs: one network, often better than each of them.

    They must have started from the same weights (`harken train --from`) and have the same words,
    network, front end and recordings that were held out. The settings are those of the first one.
    """
    _require_train()
    from ..edge.app.display import notes
    from .run import RunFolder, load_finished

    record, weights = load_finished(runs)
    run = RunFolder(out)
    run.require_new()
    config = record.config
    source = RecordingOptions(
        additions=tuple(add or ()),
        split_rule=split_rule,
        cache_dir=cache_dir,
        held_out_speech=config.held_out_speech,
        left_out=config.left_out,
    ).source(data)
    corpus = open_recordings(source, None)
    _start_tensorflow()
    from .average import average

    recipe = ["harken", "average", *(path.resolve().name for path in runs), "--data", "DATA"]
    for folder in add or ():
        recipe += ["--add", folder.name]
    recipe += ["--out", "RUN"]
    if split_rule is not SplitRuleChoice.auto:
        recipe += ["--split-rule", split_rule.value]
    notes().print(f"averaging {len(runs)} runs, and measuring the result …")
    try:
        with terminable():
            figures = average(record, weights, corpus, run, recipe=shlex.join(recipe))
    except KeyboardInterrupt as problem:
        notes().print("stopped; no run was written")
        raise typer.Exit(exit_code(problem)) from None
    if as_json:
        print_json({"run": str(out), "figures": figures}, indent=2)
        return
    print(
        f"{out}: {figures['clip_accuracy']:.2%} of the validation clips; "
        f"make a model of it with: {_export_line(out)}"
    )
