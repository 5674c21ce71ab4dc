"""Figures in, ``report.json`` in a folder of its own out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..edge.errors import RunError
from ..edge.files import require_writable, write_atomic

PICTURES = ("confusion.png", "det.png", "context.png")
"""The plots beside a report."""


def require_report(folder: Path) -> None:
    """Refuse a folder that cannot be written to, or that holds files not from an evaluation.

    Raises
    ------
    RunError
        It cannot be written to; ``report.json`` is something else, such as that of a training run,
        or there is a plot without one.
    """
    require_writable(folder, error=RunError)
    there = [name for name in ("report.json", *PICTURES) if (folder / name).exists()]
    if there and not _is_report(folder / "report.json"):
        raise RunError(
            f"{folder} holds {', '.join(there)}, which `harken eval` did not write and would "
            "replace; choose another --out, or move it away"
        )


def _is_report(path: Path) -> bool:
    try:
        return "provenance" in json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def write_report(
    folder: Path, figures: Mapping[str, Any], *, indent: int = 2, allow_nan: bool = True
) -> None:
    """Write figures as ``report.json``; the folder is created if missing.

    Parameters
    ----------
    folder
        The destination.
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
    require_report(folder)
    text = json.dumps(figures, indent=indent, ensure_ascii=False, allow_nan=allow_nan)
    write_atomic(folder / "report.json", text + "\n", error=RunError)
