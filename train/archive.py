"""Arrays and a description in, one small ``.npz`` file out: the same content, the same bytes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError
from ..edge.files import write_atomic

_DATE = (1980, 1, 1, 0, 0, 0)  # time stamp of all parts, so that the bytes do not change


def write_arrays(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    description: Mapping[str, Any],
    *,
    compression: int = zipfile.ZIP_DEFLATED,
) -> None:
    """Write arrays as `numpy.load` reads them, completely or not at all.

    Parameters
    ----------
    path
        The file.
    arrays
        By name.
    description
        Plain JSON types: an array ``description`` of its bytes, uint8.
    compression
        One of those of `zipfile`.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    text = np.frombuffer(json.dumps(description).encode(), np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, array in {**arrays, "description": text}.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", _DATE), part.getvalue(), compression)
    write_atomic(path, buffer.getvalue(), error=DataError)
