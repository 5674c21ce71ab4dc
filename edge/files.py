"""Content in, whole files out: written completely or not at all.

Also: files that ship with harken, and text that a person has edited, whatever their editor left in
it.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import HarkenError

# A byte-order mark, a zero-width space, a word joiner; non-breaking spaces, wide and narrow.
_LEFT_BY_EDITORS = {0xFEFF: None, 0x200B: None, 0x2060: None, 0xA0: " ", 0x202F: " "}

_MOST_TEXT_BYTES = 1 << 28

_ADVICE = {
    errno.ENOSPC: "; free some space there and run the command again",
    errno.EFBIG: "; allow larger files (ulimit -f), or choose another folder",
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

    The content goes to a temporary file in the same folder, is flushed to the disk, and is renamed
    to `path` in one step. On any failure, Ctrl-C included, the temporary file is removed and the
    old file at `path` stays. A device or a pipe is written to, not replaced.

    Parameters
    ----------
    path
        Where to write the file; its folder must exist.
    content
        Bytes, or text, which is written as UTF-8 with its line ends unchanged; see `utf8`.
    private
        Whether only its owner may read it.
    error
        The kind of `HarkenError` to raise when the system refuses.

    Raises
    ------
    HarkenError
        Of the kind `error`: disk full, no permission, no such folder. Names the path.
    """
    path = Path(path)
    data = utf8(content) if isinstance(content, str) else content
    # Not tempfile: its files are readable by their owner only, and stay so after the rename.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            with path.open("wb") as device:
                device.write(data)
            return
        try:
            with os.fdopen(os.open(temporary, flags, 0o600 if private else 0o666), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # gone already when the rename went through
    except OSError as problem:
        raise error(refusal(path, problem)) from problem


def write_together(files: Mapping[Path, bytes], *, error: type[HarkenError] = HarkenError) -> None:
    """Write several files so that a failure never leaves some of them new and others old.

    Each goes to a temporary file first. Only when all of them are on the disk are they renamed, in
    the order given. Missing folders are created.

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
                temporary.unlink(missing_ok=True)  # already renamed
    except OSError as problem:
        raise error(refusal(path, problem)) from problem


def lock(descriptor: int) -> None:
    """Take the lock of an open file, unless another process holds it; closing the file frees it.

    Raises
    ------
    OSError
        The file system has no locks. `BlockingIOError`: another process holds it.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)  # the lock is on the byte at the position
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as problem:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from problem
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def utf8(text: str) -> bytes:
    """Encode text, even with file names in it that are not UTF-8; JSON returns these unchanged."""
    return text.encode("utf-8", "backslashreplace")


def name_bytes(name: str) -> bytes:
    """Return the bytes of a file's name on the disk, whether or not they are UTF-8; for hashes."""
    return name.encode("utf-8", "surrogateescape")


def name_for_libsndfile(path: str | Path) -> str | bytes:
    """Return a file's name in a form that `soundfile` accepts: its text must be UTF-8."""
    return os.fspath(path) if sys.platform == "win32" else os.fsencode(path)


def is_utf8(name: str) -> bool:
    """Tell whether a file's name is UTF-8 on the disk."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def decode_text(content: bytes) -> str:
    """Decode a text file that a person may have edited, whatever their editor left in it.

    UTF-8, or UTF-16 with a byte-order mark. The mark, zero-width characters and trailing NULs are
    removed; line ends become newlines, and non-breaking spaces become spaces.

    Raises
    ------
    UnicodeDecodeError
        It is neither; a `ValueError`.
    """
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if utf16 else "utf-8").rstrip("\0")
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_LEFT_BY_EDITORS)


def read_text(path: Path) -> str:
    """Read such a file; see `decode_text`.

    Raises
    ------
    OSError
        It cannot be read.
    UnicodeDecodeError
        It is not UTF-8; a `ValueError`.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_TEXT_BYTES + 1)
    if len(content) > _MOST_TEXT_BYTES:  # a device may never end
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return decode_text(content)


def packaged(package: str, *folders: str, suffix: str) -> dict[str, Path]:
    """Return files that ship in a package, sorted by name; names are without the suffix.

    Parameters
    ----------
    package
        Such as ``harken.models``.
    folders
        Path to a folder in it.
    suffix
        Other files are ignored.
    """
    from importlib.resources import files

    found = sorted(files(package).joinpath(*folders).iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(suffix): Path(str(entry))
        for entry in found
        if entry.name.endswith(suffix)
    }


def require_writable(
    folder: Path, *, option: str = "--out", error: type[HarkenError] = HarkenError
) -> None:
    """Refuse a folder that cannot be written to before long work starts, not at its end.

    Parameters
    ----------
    folder
        The folder; neither it nor its parents need exist.
    option
        The option that named it, for the message.
    error
        The kind of `HarkenError` to raise.

    Raises
    ------
    HarkenError
        Of the kind `error`: it is a file, or cannot be created or written to.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise error(f"cannot write to {folder}: {there} is no folder; choose another {option}")
    try:
        # Permissions do not tell whether this file system can be written to.
        with tempfile.TemporaryDirectory(prefix=".harken-", dir=there):
            pass
    except OSError as problem:
        raise error(
            f"cannot write to {folder}: {there} may not be written to ({problem.strerror}); choose "
            f"another {option}"
        ) from None


def refusal(path: Path, problem: OSError) -> str:
    """Return a line for the person at the keyboard: what cannot be written, why, what to do."""
    reason = problem.strerror or str(problem)
    return f"cannot write {path}: {reason}{_ADVICE.get(problem.errno or 0, '')}"
