"""Standard output and standard error in, robust streams out: no character or full disk ends a run.

A character that a terminal lacks is replaced by one that it has. A failed write to standard
output raises `StreamError` once; failed writes to standard error are dropped.
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
    """Standard output accepts no more data: the disk is full, or the reader has closed the pipe.

    Attributes
    ----------
    reader_left : bool
        Whether it is a pipe whose reader has closed it, as with ``| head``.
    """

    def __init__(self, problem: OSError) -> None:
        self.reader_left = isinstance(problem, BrokenPipeError)
        reason = problem.strerror or str(problem)
        super().__init__(
            f"cannot write to standard output: {reason}; redirect it to a place that accepts it"
        )


def guard_output() -> None:
    """Take over this process's standard output and standard error; see this module.

    A stream that was closed before the program started discards everything. One that is not a
    system file, as in tests, is left unchanged.
    """
    codecs.register_error(_ERRORS, _simpler)
    _open_closed()
    sys.stdout = _guarded(sys.stdout, 1, _StandardOutput)
    sys.stderr = _guarded(sys.stderr, 2, _StandardError)
    # Python's own aliases for them; the originals can no longer be used.
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print a value as JSON, escaping characters that the encoding of standard output lacks.

    Raises
    ------
    StreamError
        Standard output accepts no more data.
    """
    print_json_text(json.dumps(value, indent=indent, ensure_ascii=False))


def print_json_text(text: str) -> None:
    """Print text that is JSON already; see `print_json`."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = _NOT_ASCII.sub(lambda character: json.dumps(character[0])[1:-1], text)
    print(text, flush=True)


class _Guarded(io.TextIOWrapper):
    """A stream that discards everything once writing to it has failed."""

    _silent: ClassVar[bool]

    def write(self, text: str, /) -> int:
        if text == "":
            return 0  # typer tests this way whether it accepts text, and swallows exceptions
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
        # The rest of the buffer must go somewhere, at the latest when Python exits.
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
    """Open closed descriptors among 0 to 2, so that no other file takes their place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # uses the lowest free one


def _simpler(problem: UnicodeError) -> tuple[str | bytes, int]:
    """Return substitutes for characters that an encoding lacks; see `codecs.register_error`."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    character = problem.object[problem.start]
    return _SIMPLER.get(character, "?"), problem.start + 1
