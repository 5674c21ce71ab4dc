"""What a page gets before `mkdocs` builds it: the program's own help, and marks on commands.

`<!-- the commands -->` becomes the reference of the command line, and `<!-- not run: WHY -->` a
line above the commands that no test runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

import typer.main

from harken.cli import app

COMMANDS = "<!-- the commands -->"
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\n")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the page as `mkdocs` is to see it."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, reference())
    return NOT_RUN.sub(r'<p class="not-run">Not run by the tests: \1.</p>\n\n', markdown)


def reference() -> str:
    """Return all commands of the program in Markdown, with their arguments and options."""
    return "\n".join(_described(typer.main.get_command(app), ["harken"]))


def _described(command: Any, path: list[str]) -> Iterator[str]:
    name = " ".join(path)
    with command.make_context(name, [], resilient_parsing=True) as context:
        if len(path) > 1:
            yield from (f"{'#' * (len(path) + 1)} `{name}`", "")
        usage = " ".join(command.collect_usage_pieces(context))
        yield from (*_prose(command.help or ""), f"```text\n{name} {usage}\n```", "")
        rows = [record for each in command.get_params(context) if (record := _row(each, context))]
    if rows and len(path) > 1:
        yield from ("| | |", "|---|---|")
        yield from (f"| <code>{_cell(names)}</code> | {_cell(text)} |" for names, text in rows)
        yield ""
    for part, below in getattr(command, "commands", {}).items():
        yield from _described(below, [*path, part])


def _prose(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield from (" ".join(paragraph.split()), "")


def _row(parameter: Any, context: Any) -> tuple[str, str] | None:
    """Return names and help of an argument or option; None of `--help`, which all have."""
    record = parameter.get_help_record(context)
    return None if record is None or "--help" in record[0] else record


def _cell(text: str) -> str:
    """Return a text that no rule of Markdown changes, for a cell of a table."""
    text = escape(" ".join(text.split()), quote=False)
    return text.translate({ord(sign): f"&#{ord(sign)};" for sign in "|[]_*`"})
