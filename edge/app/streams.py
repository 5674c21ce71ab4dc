"""Standard output and standard error as they are in, such that no character and no disk ends a run.

A character that a terminal lacks is written as one that it has. What cannot be written to standard
output is a `StreamError`, once; what cannot be written to standard error is lost.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
from typing import Any, ClassVar, TextIO

from ..errors import HarkenError

_SIMPLER = {
    "⇒": "=>", "→": "->", "↺": "<-", "…": "...", "·": "-", "×": "x", "−": "-", "–": "-", "—": "-",
    "“": "'", "”": "'", "‹": "<", "›": ">", "─": "-", "━": "-", "±": "+-", "µ": "u",
    "\u00a0": " ",
}  # fmt: skip
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ERRORS = "harken-simpler"


class StreamError(HarkenError):
    """Standard output takes nothing more: its disk is full, or who read it has gone.

    Attributes
    ----------
    reader_left : bool
        It is a pipe, and nobody reads it any more, as after ``| head``.
    """

    def __init__(self, problem: OSError) -> None:
        self.reader_left = isinstance(problem, BrokenPipeError)
        reason = problem.strerror or str(problem)
        super().__init__(
            f"cannot write to standard output: {reason}; let it go somewhere that takes it"
        )


def guard_output() -> None:
    """Take over this process's standard output and standard error; see this module.

    A stream that was closed before the program began leads nowhere. One that is no file of the
    system's, as in tests, is left as it is.
    """
    codecs.register_error(_ERRORS, _simpler)
    _open_closed()
    sys.stdout = _guarded(sys.stdout, 1, _StandardOutput)
    sys.stderr = _guarded(sys.stderr, 2, _StandardError)
    # Python's own second names for them; what they name can no longer be used.
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print a value as JSON; what standard output's encoding lacks is escaped.

    Raises
    ------
    StreamError
        Standard output takes nothing more.
    """
    print_json_text(json.dumps(value, indent=indent, ensure_ascii=False))


def print_json_text(text: str) -> None:
    """Print what is JSON already; see `print_json`."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = _NOT_ASCII.sub(lambda character: json.dumps(character[0])[1:-1], text)
    print(text, flush=True)


class _Guarded(io.TextIOWrapper):
    """A stream that leads nowhere from when writing to it has failed."""

    _silent: ClassVar[bool]

    def write(self, text: str, /) -> int:
        if text == "":
            return 0  # so typer finds out whether this takes text, and swallows what is raised
        try:
            return super().write(text)
        except OSError as problem:
            self._give_up(problem)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as problem:
            self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        # What is still in the buffer must go somewhere, at the latest when Python ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if not self._silent:
            raise StreamError(problem) from None


class _StandardOutput(_Guarded):
    _silent = False


class _StandardError(_Guarded):
    _silent = True


def _guarded(stream: TextIO | None, descriptor: int, kind: type[_Guarded]) -> TextIO:
    if stream is None:
        stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, line_buffering = stream.encoding, stream.line_buffering
    write_through = stream.write_through
    return kind(
        stream.detach(),
        encoding=encoding,
        errors=_ERRORS,
        line_buffering=line_buffering,
        write_through=write_through,
    )


def _open_closed() -> None:
    """Open what is closed of the descriptors 0 to 2, else the next file takes its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest


def _simpler(problem: UnicodeError) -> tuple[str | bytes, int]:
    """Return what to write for characters that an encoding lacks; see `codecs.register_error`."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    character = problem.object[problem.start]
    return _SIMPLER.get(character, "?"), problem.start + 1
