"""Figures in, ``report.json`` in a folder of its own out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..edge.errors import RunError
from ..edge.files import write_atomic


def write_report(
    folder: Path, figures: Mapping[str, Any], *, indent: int = 2, allow_nan: bool = True
) -> None:
    """Write figures as ``report.json``; the folder is made when it is missing.

    Parameters
    ----------
    folder
        Where to.
    figures
        Plain JSON types.
    indent, allow_nan
        See `json.dumps`.

    Raises
    ------
    RunError
        The system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {folder}: {error.strerror}; choose another --out"
        ) from error
    text = json.dumps(figures, indent=indent, ensure_ascii=False, allow_nan=allow_nan)
    write_atomic(folder / "report.json", text + "\n", error=RunError)
