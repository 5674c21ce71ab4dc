"""Content by name in, a folder of files out; other people's files in it stay as they are.

`RECORD_FILE` in such a folder records what harken wrote. Those files may be replaced later, unless
they were changed since. Any other file belongs to somebody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import HarkenError
from .files import write_together

RECORD_FILE = ".harken-files.json"
"""Names of the files that harken wrote into a folder, each with the SHA-256 of its content."""

_SHOWN = 3  # most files that a message names


def require_own(
    folder: Path,
    names: Iterable[str],
    *,
    error: type[HarkenError],
    content: Mapping[str, bytes] | None = None,
) -> None:
    """Refuse to replace files in a folder that harken did not write, or that were changed since.

    Parameters
    ----------
    folder
        The folder; it need not exist.
    names
        Files to write, relative to it.
    error
        The kind of `HarkenError` to raise.
    content
        What will be written: a file that already has this content may be anybody's.

    Raises
    ------
    HarkenError
        Of the kind `error`: names the first such file.
    """
    own = _record(folder)
    foreign, changed = [], []
    for name in names:
        path = folder / name
        if path.is_symlink() or path.exists():
            found = _sha256(path)
            if content is not None and name in content and found == _sha256_of(content[name]):
                continue
            if name not in own:
                foreign.append(name)
            elif found != own[name]:
                changed.append(name)
    for files, what in ((foreign, "harken did not write"), (changed, "were changed since")):
        if files:
            shown = ", ".join(files[:_SHOWN]) + (" …" if len(files) > _SHOWN else "")
            raise error(
                f"{folder} holds files that {what}, and that would be replaced: {shown}; choose "
                "another --out, or move them away"
            )


def write_own(folder: Path, files: Mapping[str, bytes], *, error: type[HarkenError]) -> None:
    """Write files into a folder, all or none of them, and keep a record of them.

    Parameters
    ----------
    folder
        The folder; created if it is missing.
    files
        Content by name, relative to the folder.
    error
        The kind of `HarkenError` to raise.

    Raises
    ------
    HarkenError
        Of the kind `error`: it would replace a file that is not harken's, or the system refuses.
    """
    require_own(folder, files, error=error, content=files)
    own = {**_record(folder), **{name: _sha256_of(part) for name, part in files.items()}}
    record = json.dumps({"harken_files": 1, "files": dict(sorted(own.items()))}, indent=1) + "\n"
    content = {folder / name: part for name, part in files.items()}
    write_together({**content, folder / RECORD_FILE: record.encode()}, error=error)


def _record(folder: Path) -> dict[str, str]:
    try:
        files = json.loads((folder / RECORD_FILE).read_bytes())["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # then nothing is harken's


def _sha256(path: Path) -> str | None:
    try:
        return _sha256_of(path.read_bytes())
    except OSError:
        return None


def _sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
