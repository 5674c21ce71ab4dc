"""The folder to write to in, an error out where that could not be done at the end."""

from __future__ import annotations

import os
from pathlib import Path

from ..edge.errors import ExportError


def check_target(out: Path) -> None:
    """Refuse at once what could not be written at the end.

    Raises
    ------
    ExportError
        `out` is no folder that may be made or written to.
    """
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ExportError(f"cannot write to {out}: {there} is no folder; choose another --out")
    if not os.access(there, os.W_OK):
        raise ExportError(
            f"cannot write to {out}: {there} may not be written to; choose another --out"
        )
