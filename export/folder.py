"""A destination folder in; an early error out if an export could not be written to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..edge.errors import OutputError
from ..edge.files import require_writable
from ..edge.folders import require_own, write_own


def check_target(out: Path, names: Iterable[str] = ()) -> None:
    """Refuse early what could not be written at the end.

    Parameters
    ----------
    out
        The folder.
    names
        Files that will be written into it, as far as known.

    Raises
    ------
    OutputError
        `out` cannot be created or written to, or one of the files exists and was not written by
        harken, or was changed since.
    """
    require_writable(out, error=OutputError)
    require_own(out, names, error=OutputError)


def write_export(out: Path, files: Mapping[str, bytes]) -> None:
    """Write an export, all of its files or none.

    Raises
    ------
    OutputError
        One of the files exists and is not harken's, or the system refuses.
    """
    write_own(out, files, error=OutputError)


def names_in(*folders: Path) -> list[str]:
    """Return the files of template folders, relative to them."""
    return sorted(
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    )
