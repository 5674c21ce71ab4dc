"""Memory in, a small file out: atomic, versioned, private, and set aside if damaged.

Only words, times and counts are kept; audio never is.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import HarkenError
from ..files import decode_text, lock, write_atomic

VERSION = 1
"""Version of the file's format."""

_MOST_BYTES = 1_000_000  # our files have a few thousand
_SEEN = 256  # bytes that identify one
_MARK = b'{"harken_memory"'  # its beginning, even if the rest is damaged


class ForeignError(ValueError):
    """A file is neither a memory nor the remains of one: it belongs to somebody else."""


def default_path(grammar: str) -> Path:
    """Return the path of a grammar's memory: below XDG_STATE_HOME or ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "harken" / f"{grammar}.json"


class Store:
    """A file that remembers, for one process at a time.

    An unusable file never prevents listening: there is a warning, and a damaged memory is set aside
    under another name. Other people's files stay as they are.

    Parameters
    ----------
    path
        The file; its folder is created, for its owner only.
    on_warning
        Called with a line of text for the user.
    """

    def __init__(self, path: str | Path, *, on_warning: Callable[[str], None]) -> None:
        self.path = Path(path)
        self._warn = on_warning
        self._lock: int | None = None
        self.writable = self._acquire()
        """Whether the memory is saved."""

    def close(self) -> None:
        """Release the file for other processes."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None
        self.writable = False

    def load(self) -> dict[str, Any]:
        """Return what was saved; empty if there is nothing usable."""
        try:
            return read(self.path)
        except FileNotFoundError:
            return {}
        except OSError as problem:
            self.writable = False  # the file may be of use to somebody
            self._warn(f"cannot read {self.path}: {problem.strerror}; starting with no memory")
        except ForeignError as problem:
            self.leave(str(problem))
        except ValueError as problem:
            self.set_aside(str(problem))
        return {}

    def save(self, content: dict[str, Any]) -> None:
        """Save the memory, if this process holds the lock."""
        if not self.writable:
            return
        text = json.dumps({"harken_memory": VERSION, **content}, separators=(",", ":")) + "\n"
        try:
            write_atomic(self.path, text)
        except HarkenError as problem:
            self._warn(f"{problem}; from now on, nothing is stored")
            self.writable = False

    def leave(self, reason: str) -> None:
        """Leave a file that may be of use to somebody else as it is, and say why."""
        self.writable = False
        self._warn(
            f"{self.path}: {reason}; starting with no memory, and keeping none. Give this grammar "
            "a file of its own with --memory FILE"
        )

    def set_aside(self, reason: str) -> None:
        """Rename a useless file, and say why."""
        aside = _aside(self.path)
        try:
            if self.writable:
                self.path.replace(aside)
                self._warn(f"{self.path}: {reason}; set aside as {aside.name}, starting afresh")
                return
        except OSError as problem:
            reason += f"; cannot set it aside: {problem.strerror}"
            self.writable = False
        self._warn(f"{self.path}: {reason}; starting with no memory")

    def _acquire(self) -> bool:
        """Take the lock beside the file."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(_lock_of(self.path), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            self._warn(f"cannot keep a memory in {self.path}: {problem.strerror}")
            return False
        try:
            lock(descriptor)
        except OSError:
            os.close(descriptor)
            self._warn(
                f"another program remembers in {self.path}; this one keeps nothing. Give it a file "
                "of its own with --memory FILE"
            )
            return False
        self._lock = descriptor
        return True


def forget(path: Path) -> list[Path]:
    """Remove a memory, and any copies set aside; return the files that existed.

    Raises
    ------
    ForeignError
        A file belongs to somebody else; nothing is removed.
    OSError
        A file cannot be removed. `BlockingIOError`: a running program holds the memory, and would
        write it again.
    """
    found = [each for each in (path, _aside(path)) if each.exists() or each.is_symlink()]
    if not found:
        return []
    descriptor = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock(descriptor)
        for each in found:
            if each.exists():
                with each.open("rb") as file:
                    _require_ours(file.read(_SEEN), str(each))
        for each in found:
            each.unlink()
    finally:
        os.close(descriptor)
    return found


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _require_ours(beginning: bytes, name: str) -> None:
    """Raise ForeignError unless a file begins as a memory does, or is empty as after a crash."""
    if beginning[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):  # of an editor
        beginning = beginning.decode("utf-16", "ignore").encode()
    there = b"".join(beginning.removeprefix(BOM_UTF8).translate(None, b"\0").split())
    if not (there.startswith(_MARK) or _MARK.startswith(there)):
        raise ForeignError(f"{name} is no memory of harken's")


def read(path: Path) -> dict[str, Any]:
    """Read a memory.

    Raises
    ------
    OSError
        It cannot be read, or belongs to another user.
    ValueError
        It is damaged, or of another version. `ForeignError`: it belongs to somebody else.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if sys.platform != "win32" and status.st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "it belongs to another user")
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        beginning = file.read(_SEEN)
        _require_ours(beginning, "it")
        if status.st_size > _MOST_BYTES:
            raise ValueError(f"{status.st_size} bytes are too many for a memory")
        content = beginning + file.read()
    try:
        data = json.loads(decode_text(content))
    except (ValueError, RecursionError):
        raise ValueError("it is cut short or damaged") from None
    assert isinstance(data, dict)  # as it begins
    version = data["harken_memory"]
    if version != VERSION or isinstance(version, bool):
        raise ValueError(f"it has the format {version!r}, and this harken reads {VERSION}")
    return {name: value for name, value in data.items() if name != "harken_memory"}
