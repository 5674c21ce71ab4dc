"""The memory commands: a memory file in, text or JSON out."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import HarkenError
from ..files import write_atomic
from ..memory import store
from ..memory.grammar_file import load_grammar
from ..memory.store import VERSION, default_path
from .display import memory_table, notes, output
from .options import JsonOption, file_of, path_of
from .streams import print_json

memory_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show, export or forget what is remembered from earlier commands.",
)

_REMEDY = "`harken memory forget` removes it"

_Grammar = Annotated[
    str, typer.Argument(metavar="GRAMMAR", help="A grammar: its name, or its file.")
]
_File = Annotated[
    Path | None,
    typer.Option(
        "--memory",
        metavar="FILE",
        parser=file_of,
        help="The memory file, if it is not in its usual place.",
    ),
]


@memory_app.command()
def show(
    grammar: _Grammar = "robot",
    *,
    memory: _File = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is remembered: the last words, what is pending, what was learned."""
    path, content = _read(grammar, memory)
    if as_json:
        print_json(content, indent=2)
    elif not content:
        output().print(f"Nothing is remembered: there is no {path}.", soft_wrap=True)
    else:
        try:
            table = memory_table(path, content)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as problem:
            raise HarkenError(f"{path}: it is damaged; {_REMEDY}") from problem
        output().print(table)


@memory_app.command()
def export(
    out: Annotated[
        Path, typer.Argument(metavar="FILE", parser=path_of, help="JSON file to write.")
    ],
    grammar: _Grammar = "robot",
    *,
    memory: _File = None,
) -> None:
    """Write what is remembered to a file, to inspect it or copy it to another device."""
    path, content = _read(grammar, memory)
    if not content:
        raise HarkenError(
            f"nothing is remembered: there is no {path}; `harken listen --grammar {grammar}` makes "
            "it, and --memory FILE names another file"
        )
    if out.is_file() and b'"harken_memory"' not in out.read_bytes()[:100]:
        raise HarkenError(f"{out} exists, but is not a memory; choose another name, or move it")
    text = json.dumps({"harken_memory": VERSION, **content}, indent=2, ensure_ascii=False)
    write_atomic(out, text + "\n")
    line = ["harken", "listen", "--grammar", grammar, "--memory", str(out)]
    notes().print(f"{out}; use it with: {shlex.join(line)}", soft_wrap=True)


@memory_app.command()
def forget(grammar: _Grammar = "robot", *, memory: _File = None) -> None:
    """Forget everything: words, what is pending, what was learned."""
    path = default_path(load_grammar(grammar).name) if memory is None else memory
    try:
        removed = store.forget(path)
    except BlockingIOError:
        raise HarkenError(
            f"a running harken uses {path}, and would write it again: stop it, then forget"
        ) from None
    except store.ForeignError as problem:
        raise HarkenError(f"{problem}; nothing was removed") from None
    except OSError as problem:
        raise HarkenError(f"cannot remove {path}: {problem.strerror}") from None
    for each in removed:
        notes().print(f"Forgotten: {each} is removed.", soft_wrap=True)
    if not removed:
        notes().print(f"Nothing was remembered: there is no {path}.", soft_wrap=True)


def _read(grammar: str, memory: Path | None) -> tuple[Path, dict[str, Any]]:
    path = default_path(load_grammar(grammar).name) if memory is None else memory
    try:
        return path, store.read(path)
    except FileNotFoundError:
        return path, {}
    except OSError as problem:
        raise HarkenError(f"cannot read {path}: {problem.strerror}") from None
    except store.ForeignError as problem:
        raise HarkenError(
            f"{path}: {problem}; name the file given to `harken listen --memory`"
        ) from None
    except ValueError as problem:
        raise HarkenError(f"{path}: {problem}; {_REMEDY}") from None
