"""Options of a command line, settings files, an interrupted run: in; one `TrainConfig`: out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path
from typing import Any

from ..edge.errors import DataError, HarkenError
from ..edge.files import read_text
from ..edge.validation import decode
from .config import SIZES, TrainConfig
from .run import with_convolutions, with_stem_fields


def settings(
    run: TrainConfig | None,
    *files: Path,
    words: tuple[str, ...] | None = None,
    held_out_words: tuple[str, ...] | None = None,
    size: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
) -> TrainConfig:
    """Combine a configuration: options override files, later files override earlier ones.

    Parameters
    ----------
    run
        Configuration of a resumed run; it replaces the defaults, and the files if none is given.
    files
        JSON files of settings: a run's ``config.json``, or any part of a `TrainConfig`. If a
        ``model`` names ``dense_units`` or ``lstm_units`` but no field of the SVDF layers
        (``svdf_units``, ``svdf_memory``, ``svdf_residual``), there are no SVDF layers: such a file
        is from before harken had them, and keeps its meaning.
    words, held_out_words, size, epochs, seed
        Values from the command line; None if not given. `size` is a name in `SIZES`.

    Raises
    ------
    DataError
        A file cannot be read, names an unknown field, or has a wrong value.
    """
    given: dict[str, Any] = {
        "words": words,
        "held_out_words": held_out_words,
        "model": None if size is None else SIZES[size],
        "epochs": epochs,
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not files:
        return TrainConfig(**given) if run is None else replace(run, **given)
    names = ", ".join(map(str, files))
    parts = [_read(file) for file in files]
    read = reduce(_joined, parts)
    if "words" not in read and run is not None:
        given.setdefault("words", run.words)
    if "words" not in read and "words" not in given:
        raise DataError(f"{names} names no words; add them, or give --words")
    # A file may leave fields out; only the words have no default.
    defaults = asdict(TrainConfig(words=given.get("words", ("a word",))))
    defaults["front_end"] |= {"mean": (), "std": ()}  # as many as the file's n_mfcc
    for file, part in zip(files, parts, strict=True):
        _merged(defaults, part, str(file))  # names a setting that is not known
    merged = _merged(defaults, read, names)
    try:
        return replace(decode(TrainConfig, json.loads(json.dumps(merged))), **given)
    except HarkenError as problem:
        raise DataError(f"{names}: {problem}") from None


def names_words(file: Path) -> bool:
    """Whether a settings file names words; raises DataError as `settings` does."""
    return "words" in _read(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_text(file))
    except FileNotFoundError:
        raise DataError(f"the settings file {file} does not exist; check --config") from None
    except (OSError, ValueError) as problem:
        raise DataError(f"cannot read the settings file {file}: {problem}") from problem
    if not isinstance(data, dict):
        raise DataError(f"{file} must hold a JSON object, {{…}}, of settings")
    if "harken_run" in data:  # a run's config.json
        data = data.get("config")
        if not isinstance(data, dict):
            raise DataError(f"{file} is damaged: config must be a JSON object {{…}}")
    return with_convolutions(with_stem_fields(data))


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Merge given fields into defaults, section by section; an empty default accepts any fields."""
    for name in given:
        if name not in defaults:
            raise DataError(
                f"{where}: {name} is not a known setting; known are {', '.join(defaults)}"
            )
    return {
        name: _merged(value, given[name], f"{where}: {name}")
        if isinstance(given.get(name), dict) and isinstance(value, dict) and value
        else given.get(name, value)
        for name, value in defaults.items()
    }


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Join two files, section by section; the second takes precedence."""
    return {
        **first,
        **{
            name: _joined(first[name], value)
            if isinstance(value, dict) and isinstance(first.get(name), dict)
            else value
            for name, value in second.items()
        },
    }
