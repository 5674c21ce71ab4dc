"""What was heard in, lines out: for people who read them later, or for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .display import event_line, notes, output, turn_line, turn_lines

if TYPE_CHECKING:
    from .listen import Heard


class _Lines:
    """What is amiss goes to standard error.

    Parameters
    ----------
    quiet : bool
        Say nothing there.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def notice(self, line: str) -> None:
        """Print a warning; see `Observer`."""
        if not self._quiet:
            warn(line)

    def close(self) -> None:
        """Nothing is left to print."""


class PlainLines(_Lines):
    """An observer that prints a line for each word and each turn; see `_Lines`."""

    def heard(self, heard: Heard) -> None:
        """Print what was heard; see `Observer`."""
        for event in heard.events:
            output().print(event_line(event))
        for turn in heard.turns:
            output().print(turn_line(turn))


class JsonLines(_Lines):
    """An observer that prints a JSON object a line for each word, command and turn."""

    def heard(self, heard: Heard) -> None:
        """Print what was heard; see `Observer`."""
        for event in heard.events:
            _print(event.to_dict())
        for turn in heard.turns:
            for line in turn_lines(turn):
                _print(line)


def warn(line: str) -> None:
    """Print a warning on standard error."""
    notes().print(f"harken: warning: {line}", soft_wrap=True)


def _print(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)
