"""The grammar commands: a grammar file in, an explanation in words out."""

from __future__ import annotations

from typing import Annotated

import typer

from ..memory.grammar import explain
from ..memory.grammar_file import load_grammar, shipped_grammars
from .display import output
from .options import JsonOption
from .streams import print_json

grammar_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check a grammar of commands, list the shipped ones, train a prior for one.",
)

GrammarArgument = Annotated[
    str, typer.Argument(metavar="GRAMMAR", help="A grammar: its name, or its file.")
]


@grammar_app.command()
def check(
    grammar: GrammarArgument,
    *,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Also check whether this model knows the words."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a grammar, and explain it back in words."""
    loaded = load_grammar(grammar)
    if model is not None:
        from ..spotting.manifest import load_model

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
def list_grammars(as_json: JsonOption = False) -> None:
    """List the shipped grammars."""
    loaded = [load_grammar(name) for name in shipped_grammars()]
    if as_json:
        print_json([{"name": g.name, "description": g.description} for g in loaded])
    for each in loaded if not as_json else ():
        output().print(f"{each.name:<8} {each.description}", soft_wrap=True)
