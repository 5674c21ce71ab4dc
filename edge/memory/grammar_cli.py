"""The grammar commands: a grammar's file in, what it means in words out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..display import notes, output
from ..options import path_of
from ..streams import print_json
from .grammar import explain, load_grammar, shipped_grammars
from .habits import logged_sessions

grammar_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check a grammar of commands, list the shipped ones, train a prior for one.",
)

_Grammar = Annotated[
    str, typer.Argument(metavar="GRAMMAR", help="A grammar: its name, or its file.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@grammar_app.command()
def check(
    grammar: _Grammar,
    *,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Also check whether this model knows the words."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Check a grammar, and explain it back in words."""
    loaded = load_grammar(grammar)
    if model is not None:
        from ..manifest import load_model

        loaded.require_words(load_model(model).manifest.words)
    if as_json:
        content = {
            "name": loaded.name,
            "digest": loaded.digest,
            "words": list(loaded.words),
            "commands": [spec.intent for spec in loaded.commands],
            "explained": explain(loaded),
        }
        print_json(content, indent=2)
    else:
        output().print(explain(loaded), soft_wrap=True)


@grammar_app.command("list")
def list_grammars(as_json: _Json = False) -> None:
    """List the grammars that ship."""
    loaded = [load_grammar(name) for name in shipped_grammars()]
    if as_json:
        print_json([{"name": g.name, "description": g.description} for g in loaded])
    for each in loaded if not as_json else ():
        output().print(f"{each.name:<8} {each.description}", soft_wrap=True)


@grammar_app.command()
def train(
    grammar: _Grammar,
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", parser=path_of, help="Where to write the prior.")
    ],
    log: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Logs of real use, as printed by `harken listen --json`. May be repeated.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    """Train an LSTM that predicts what is said next; needs harken[train]."""
    from ..errors import DependencyError

    loaded = load_grammar(grammar)
    logged = [session for path in log or () for session in logged_sessions(path, loaded)]
    try:
        from ...train.context.lstm import require_place, save_prior, train_prior
        from ...train.display import progress_bar
    except ImportError as problem:
        raise DependencyError(
            f"training needs {problem.name}; install with `pip install 'harken[train]'`"
        ) from None
    require_place(loaded.name, out)
    with progress_bar("training") as progress:
        file = train_prior(loaded, logged=logged, seed=seed, progress=progress)
    path = save_prior(file, out)
    notes().print(f"{path}: {len(file.content):,} bytes", soft_wrap=True)
