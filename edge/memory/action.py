"""A command line with blanks in, a program started for each command; never through a shell."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable

from ..errors import HarkenError
from .grammar import Grammar
from .turns import Command

_BLANK = re.compile(r"\{(\w+)\}")
_MOST_RUNNING = 8
_STANDARD_ERROR = 2  # for what programs print: standard output is for events


class ActionError(HarkenError):
    """A program cannot be started for commands."""

    exit_code = 2


class Action:
    """Starts a program for each command, with what was said as arguments.

    The line is split once, by the rules of a shell, into the program and its arguments; blanks such
    as ``{intent}`` and ``{number}`` are filled in afterwards, so that each value stays one
    argument. Nothing waits for the program to end.

    Parameters
    ----------
    line
        Such as ``drive --to {direction} {number}``. Blanks are the grammar's slots, ``intent``, and
        ``text``, the whole command in words; a slot that the command does not fill is empty.
    grammar
        The grammar of the commands.
    on_warning
        Called with a line of text when a program fails.

    Raises
    ------
    ActionError
        There is no such program, or no such blank.
    """

    def __init__(self, line: str, grammar: Grammar, *, on_warning: Callable[[str], None]) -> None:
        try:
            self._arguments = shlex.split(line)
        except ValueError as problem:
            raise ActionError(f"--exec {line!r}: {str(problem).lower()}") from None
        if not self._arguments:
            raise ActionError("--exec is empty; give a program and its arguments")
        known = ("intent", "text", *grammar.slots)
        for name in _BLANK.findall(" ".join(self._arguments)):
            if name not in known:
                raise ActionError(
                    f"--exec: {{{name}}} is nothing that a command has; there are "
                    f"{', '.join(f'{{{each}}}' for each in known)}"
                )
        if shutil.which(self._arguments[0]) is None:
            raise ActionError(f"--exec: there is no program {self._arguments[0]!r}")
        self._warn = on_warning
        self._running: list[subprocess.Popen[bytes]] = []

    def arguments(self, command: Command) -> list[str]:
        """Return the program and its arguments for a command."""
        values = {name: str(value) for name, value in command.values.items()}
        values |= {"intent": command.intent, "text": command.text}
        return [_BLANK.sub(lambda blank: values.get(blank[1], ""), a) for a in self._arguments]

    def run(self, command: Command) -> None:
        """Start the program."""
        self._reap()
        if len(self._running) >= _MOST_RUNNING:
            self._warn(f"{_MOST_RUNNING} programs still run; nothing was done about {command.text}")
            return
        try:
            started = subprocess.Popen(
                self.arguments(command), stdin=subprocess.DEVNULL, stdout=_STANDARD_ERROR
            )
        except OSError as problem:
            self._warn(f"cannot run {self._arguments[0]}: {problem.strerror}")
            return
        self._running.append(started)

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait for programs that still run."""
        for each in self._running:
            try:
                each.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._warn(f"{self._arguments[0]} still runs")
        self._reap()

    def _reap(self) -> None:
        for each in self._running:
            if each.poll():
                self._warn(f"{self._arguments[0]} failed with exit code {each.returncode}")
        self._running = [each for each in self._running if each.returncode is None]
