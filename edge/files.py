"""Content in, whole files out: written completely, or not at all; and files that ship."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from .errors import HarkenError

_ADVICE = {
    errno.ENOSPC: "; free some space there and run the command again",
    errno.EDQUOT: "; free some of your quota and run the command again",
    errno.EACCES: "; choose a folder that you may write to",
    errno.EPERM: "; choose a folder that you may write to",
    errno.EROFS: "; choose a folder that is not read-only",
    errno.ENOENT: "; create the folder first",
}


def write_atomic(
    path: str | Path,
    content: bytes | str,
    *,
    private: bool = False,
    error: type[HarkenError] = HarkenError,
) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    The content goes to a temporary file in the same folder, is flushed to the disk, and takes the
    name of `path` in one step. On any failure, Ctrl-C included, the temporary file is removed and
    what stood at `path` is untouched.

    Parameters
    ----------
    path
        Where the file shall stand; its folder must exist.
    content
        Bytes, or text that is written as UTF-8 with its line ends as they are.
    private
        Whether nobody but its owner may read it.
    error
        The kind of `HarkenError` to raise when the system refuses.

    Raises
    ------
    HarkenError
        Of the kind `error`: disk full, no permission, no such folder. Names the path.
    """
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    # Not tempfile: its files are readable by their owner only, and would stay so.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        try:
            with os.fdopen(os.open(temporary, flags, 0o600 if private else 0o666), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # gone already when the rename went through
    except OSError as problem:
        raise error(_refusal(path, problem)) from problem


def write_together(files: Mapping[Path, bytes], *, error: type[HarkenError] = HarkenError) -> None:
    """Write files so that no failure leaves some of them new and others not.

    Each goes to a temporary file first. Only when all of them are on the disk do they take their
    names, in the order given. Folders are made where they are missing.

    Parameters
    ----------
    files
        Content by path.
    error
        The kind of `HarkenError` to raise when the system refuses.

    Raises
    ------
    HarkenError
        Of the kind `error`: disk full, no permission. Names the path.
    """
    staged: dict[Path, Path] = {}
    try:
        try:
            for path, content in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                staged[path] = path.with_name(f".{path.name}.{os.getpid()}.tmp")
                with staged[path].open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for path, temporary in staged.items():
                temporary.replace(path)
        finally:
            for temporary in staged.values():
                temporary.unlink(missing_ok=True)  # gone already when it took its name
    except OSError as problem:
        raise error(_refusal(path, problem)) from problem


def lock(descriptor: int) -> None:
    """Take the lock of an open file, unless another process holds it; closing the file frees it.

    Raises
    ------
    OSError
        Another holds it, or the file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)  # the lock is on the byte at the position
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def packaged(package: str, *folders: str, suffix: str) -> dict[str, Path]:
    """Return files that ship in a package, sorted, by their names without the suffix.

    Parameters
    ----------
    package
        Such as ``harken.models``.
    folders
        Way to a folder in it.
    suffix
        Other files are passed over.
    """
    from importlib.resources import files

    found = sorted(files(package).joinpath(*folders).iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(suffix): Path(str(entry))
        for entry in found
        if entry.name.endswith(suffix)
    }


def _refusal(path: Path, problem: OSError) -> str:
    reason = problem.strerror or str(problem)
    return f"cannot write {path}: {reason}{_ADVICE.get(problem.errno or 0, '')}"
