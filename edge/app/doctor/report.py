"""Findings in, a checklist for people that fits 80 columns, or JSON, out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .... import __version__
from .finding import Finding, State

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from .finding import Findings

VERSION = 1
"""Version of the JSON report; raised when a key changes its meaning or is removed."""

_TITLES = {
    "program": "Program",
    "sound": "Sound system",
    "model": "Model",
    "speed": "Speed",
    "microphone": "Microphone",
}
_STYLES = {
    State.OK: "green",
    State.WARNING: "yellow",
    State.PROBLEM: "bold red",
    State.SKIPPED: "dim",
}
_STATE_WIDTH = max(map(len, State))
_NAME_WIDTH = 11


class Checklist:
    """Prints findings as they come, under a heading for each section.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._section = ""

    def show(self, finding: Finding) -> None:
        """Print a finding."""
        if finding.section != self._section:
            self._section = finding.section
            self._print(Text(f"\n{_TITLES[finding.section]}", "bold"))
        self._print(_row(finding))

    def end(self, findings: Findings) -> None:
        """Print the summary."""
        counts = [
            f"{count} {state if count == 1 else f'{state}s'}"
            for state in (State.PROBLEM, State.WARNING)
            if (count := findings.count(state))
        ]
        self._print(Text(f"\n{' and '.join(counts) or 'All is well'}.", "bold"))
        self._print(
            Text(
                "User, host and owner names, home folders, addresses and serial numbers were "
                "removed: the report is safe to share."
            )
        )

    def _print(self, what: RenderableType) -> None:
        with self._console.capture() as captured:
            self._console.print(what)
        for line in captured.get().splitlines():  # without padding
            print(line.rstrip(), file=self._console.file, flush=True)


def to_json(findings: Findings) -> str:
    """Return the report for programs."""
    report = {
        "harken_doctor": VERSION,
        "harken": __version__,
        "exit_code": findings.exit_code,
        "problems": findings.count(State.PROBLEM),
        "warnings": findings.count(State.WARNING),
        "checks": [finding.to_dict() for finding in findings.all],
    }
    return json.dumps(report, indent=2)


def _row(finding: Finding) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_STATE_WIDTH, style=_STYLES[finding.state])
    table.add_column(width=_NAME_WIDTH)
    table.add_column(ratio=1, overflow="fold")
    lines: list[RenderableType] = [Text(finding.text)]
    if finding.remedy is not None:
        lines.append(Text(f"-> {finding.remedy}", "cyan"))
    table.add_row(finding.state.value, finding.name, Group(*lines))
    return Padding(table, (0, 0, 0, 2))
