"""``harken grammar train``: a grammar in, an LSTM that predicts the next word out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...edge.app.display import notes
from ...edge.app.grammar_cli import GrammarArgument
from ...edge.app.options import path_of
from ...edge.memory.grammar_file import load_grammar
from ...edge.memory.habits import logged_sessions


def train_prior_command(
    grammar: GrammarArgument,
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
    """Train an LSTM that predicts the next word; needs harken[train]."""
    from ...edge.errors import DependencyError

    loaded = load_grammar(grammar)
    logged = [session for path in log or () for session in logged_sessions(path, loaded)]
    try:
        from ..display import progress_bar
        from .lstm import require_place, save_prior, train_prior
    except ImportError as problem:
        raise DependencyError(
            f"training needs {problem.name}; install with `pip install 'harken[train]'`"
        ) from None
    require_place(loaded.name, out)
    with progress_bar("training") as progress:
        file = train_prior(loaded, logged=logged, seed=seed, progress=progress)
    path = save_prior(file, out)
    notes().print(f"{path}: {len(file.content):,} bytes", soft_wrap=True)
