"""JSON objects in, appended to a file, one per line; read back even after a power cut."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from ...files import utf8, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Journal:
    """An append-only file of JSON objects, one per line, readable by its owner only.

    Earlier lines are safe whatever happens to later ones: a truncated line is skipped, and the
    next object starts on a new line.

    Parameters
    ----------
    path : Path
        The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: dict[str, Any]) -> int:
        """Append an object, and flush it to disk.

        Returns
        -------
        int
            Bytes added to the file.

        Raises
        ------
        DataError
            The system refuses: disk full, no permission. The file is unchanged.
        """
        line = utf8(json.dumps(entry, ensure_ascii=False, allow_nan=False)) + b"\n"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        flags |= getattr(os, "O_BINARY", 0)  # otherwise Windows changes line endings
        try:
            descriptor = os.open(self.path, flags, 0o600)
            try:
                return _append(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as problem:
            raise DataError(f"cannot write {self.path}: {problem.strerror}") from None

    def read(self) -> tuple[list[dict[str, Any]], list[int]]:
        """Return the objects, and the numbers (from 1) of invalid lines.

        Raises
        ------
        DataError
            The file exists, but cannot be read.
        """
        entries: list[dict[str, Any]] = []
        damaged: list[int] = []
        for number, line in enumerate(self._lines(), 1):
            entry = _parsed(line)
            if entry is not None:
                entries.append(entry)
            elif line.strip():
                damaged.append(number)
        return entries, damaged

    def drop(self, unwanted: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrite the file without some of its objects; all other lines are unchanged.

        Raises
        ------
        DataError
            The system refuses. The file is unchanged.
        """
        kept = []
        for line in self._lines():
            entry = _parsed(line)
            if entry is None or not unwanted(entry):
                kept.append(line + b"\n")
        write_atomic(self.path, b"".join(kept), private=True, error=DataError)

    def _lines(self) -> list[bytes]:
        try:
            return self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise DataError(f"cannot read {self.path}: {problem.strerror}") from None


def _append(descriptor: int, line: bytes) -> int:
    size = os.fstat(descriptor).st_size
    if size:
        os.lseek(descriptor, size - 1, os.SEEK_SET)
    if size and os.read(descriptor, 1) != b"\n":
        line = b"\n" + line  # the last line was truncated
    try:
        written = 0
        while written < len(line):
            written += os.write(descriptor, line[written:])
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise
    return len(line)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
