"""Words and commands in, lines out, for people or programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .display import (
    event_line,
    notes,
    notice_line,
    output,
    turn_line,
    turn_lines,
    wake_dict,
    wake_line,
)
from .streams import StreamError, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from .listen import Heard, Observer


class _Lines:
    """Prints warnings on standard error.

    Parameters
    ----------
    quiet : bool
        Print nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def notice(self, line: str) -> None:
        """Print a warning; see `Observer`."""
        if not self._quiet:
            warn(line)

    def close(self) -> None:
        """Do nothing: everything is printed already."""


class WithoutOutput:
    """An observer that prints until standard output fails.

    Parameters
    ----------
    printing : Observer
        The observer that prints.
    on_failure : callable
        Called once with the `StreamError`.
    quiet : bool
        Print nothing on standard error afterwards.
    """

    def __init__(
        self,
        printing: Observer,
        *,
        on_failure: Callable[[StreamError], object],
        quiet: bool = False,
    ) -> None:
        self._printing = printing
        self._on_failure = on_failure
        self._failed = False
        self._quiet = quiet

    def heard(self, heard: Heard) -> None:
        """Pass on words and commands; see `Observer`."""
        self._try(lambda: self._printing.heard(heard))

    def notice(self, line: str) -> None:
        """Pass on a warning; see `Observer`."""
        if self._failed and not self._quiet:
            warn(line)
        self._try(lambda: self._printing.notice(line))

    def close(self) -> None:
        """Finish; see `Observer`."""
        self._try(self._printing.close)

    def _try(self, do: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            do()
        except StreamError as problem:
            self._failed = True
            self._on_failure(problem)


class PlainLines(_Lines):
    """An observer that prints a line for each wake word, word and turn; see `_Lines`."""

    def heard(self, heard: Heard) -> None:
        """Print what was heard; see `Observer`."""
        for event in heard.wakes:
            output().print(wake_line(event))
        for event in heard.events:
            output().print(event_line(event))
        for turn in heard.turns:
            output().print(turn_line(turn))


class JsonLines(_Lines):
    """An observer that prints a line of JSON for each wake word, word, command and turn."""

    def heard(self, heard: Heard) -> None:
        """Print what was heard; see `Observer`."""
        for event in heard.wakes:
            print_json(wake_dict(event))
        for event in heard.events:
            print_json(event.to_dict())
        for turn in heard.turns:
            for line in turn_lines(turn):
                print_json(line)


def warn(line: str) -> None:
    """Print a warning on standard error; an `Announcement` as it is."""
    notes().print(notice_line(line), soft_wrap=True)
