"""Runs the ``harken`` command: in this process for speed, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from unittest import mock

from harken.cli import main


@dataclass
class Outcome:
    exit_code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one error line, after a check that it is the one and the last, and no traceback."""
        lines = self.err.splitlines()
        assert [line for line in lines if line.startswith("harken: error: ")] == lines[-1:], (
            self.err
        )
        assert "Traceback" not in self.err
        return lines[-1]


class Terminal(io.StringIO):
    """A standard input that nobody has piped anything into."""

    def isatty(self) -> bool:
        return True


def harken(*arguments: object, stdin: bytes | io.TextIOBase | None = b"") -> Outcome:
    """Run a command and catch all that it says; a `stdin` of None is closed."""
    if isinstance(stdin, bytes):
        stdin = io.TextIOWrapper(io.BytesIO(stdin))
    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", stdin),
        mock.patch.object(sys, "argv", ["harken", *map(str, arguments)]),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert code is None or isinstance(code, int)
    return Outcome(exit_code=code or 0, out=out.getvalue(), err=err.getvalue())


def start_harken(*arguments: object) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own, with pipes to it."""
    return subprocess.Popen(
        [sys.executable, "-m", "harken", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
