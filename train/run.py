"""A run folder: the settings of a training run, its weights, and its history.

===================  ===========================================================================
``config.json``      the `TrainConfig` with the measured mean and std, data, versions, recipe
``weights.npz``      the best weights, float32 arrays by name (see `harken.train.network`)
``calibration.npz``  ``frames``: standardised features (n, n_mfcc) of a long stream of training
                     audio; ``check_frames``: the same for validation audio
``report.json``      figures of the best weights on the validation split, and the data's counts
``history.json``     figures of every epoch
``curves.png``       plot of the history
``confusion.png``    plot of the confusions on the validation split
``checkpoint.npz``   everything that ``--resume`` needs; removed when the run is complete
===================  ===========================================================================
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import HarkenError, RunError
from ..edge.files import read_text, write_atomic
from ..edge.validation import decode
from .config import TrainConfig

VERSION = 2
_BEFORE_THE_STEM = {"svdf_units": [], "svdf_memory": [], "svdf_residual": 2}
_BEFORE_CONVOLUTIONS: dict[str, list[int]] = {
    "conv_channels": [],
    "conv_kernel": [],
    "conv_stride": [],
}
_LATER = {"scale_clip": 0.0, "bias_clip": 0.0, "frozen_stem": False, "teacher_weight": 0.7}
_LATER_STREAMS = {
    "hum_share": 0.0,
    "simulated_room_share": 0.0,
    "synthetic_share": 0.0,
    "cut_out_share": 0.0,
}
# What runs that are averaged have in common: their network, and what it has never heard.
_ALIKE = (
    "words",
    "model",
    "front_end",
    "step",
    "held_out_words",
    "held_out_speech",
    "left_out",
)
Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")

# Errors that NumPy raises for a damaged .npz file, which may look encrypted, for example.
_DAMAGE = (OSError, ValueError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The content of ``config.json``."""

    config: TrainConfig
    recipe: str
    """The command line that repeats the run."""
    data: Mapping[str, Any]
    """Fingerprint, split rule and counts of the data, and the identities in them."""
    versions: Mapping[str, str]
    """Versions of harken, Python and the packages that affect the result."""


def with_stem_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Add an empty stem to settings from before SVDF layers existed.

    Parameters
    ----------
    config
        Settings as in JSON, or a part of them.

    Returns
    -------
    dict
        The same; with an empty stem where their ``model`` names ``dense_units`` or ``lstm_units``
        and no field that begins with ``svdf_``.
    """
    return _without(config, "svdf_", _BEFORE_THE_STEM, where={"dense_units", "lstm_units"})


def with_convolutions(config: dict[str, Any]) -> dict[str, Any]:
    """Add that there are none to settings from before convolutions existed.

    Parameters
    ----------
    config
        Settings as in JSON, or a part of them.

    Returns
    -------
    dict
        The same; without convolutions where their ``model`` names ``dense_units`` or ``svdf_units``
        and no field that begins with ``conv_``.
    """
    return _without(config, "conv_", _BEFORE_CONVOLUTIONS, where={"dense_units", "svdf_units"})


def _without(
    config: dict[str, Any], prefix: str, none: Mapping[str, Any], *, where: set[str]
) -> dict[str, Any]:
    """Add that there are no such layers where the model names some fields, and none of theirs."""
    model = config.get("model")
    if not isinstance(model, dict) or any(name.startswith(prefix) for name in model):
        return config
    return {**config, "model": {**none, **model}} if model.keys() & where else config


def _with_later_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Turn newer settings off for a run from before they existed."""
    config = with_convolutions(config)
    streams = config.get("streams")
    if isinstance(streams, dict):
        config = {**config, "streams": {**_LATER_STREAMS, **streams}}
    return {**_LATER, **config}


FILES = (
    "config.json",
    "history.json",
    "checkpoint.npz",
    "weights.npz",
    "calibration.npz",
    "report.json",
    "curves.png",
    "confusion.png",
)
"""All files that a run writes."""


class RunFolder:
    """The files of one run; each is written completely or not at all.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def require_new(self) -> None:
        """Refuse a folder that holds a run, or files with a run's names, with a `RunError`."""
        there = [name for name in FILES if self.has(name)]
        if "config.json" in there:
            raise RunError(
                f"{self.path} holds a run already; choose another --out, or continue it "
                "with --resume"
            )
        if there:
            raise RunError(
                f"{self.path} holds {', '.join(there)}, which a run would replace; choose another "
                "--out, or move it away"
            )

    def create(self) -> None:
        """Make the folder for a new run.

        Raises
        ------
        RunError
            It already holds a run, or cannot be created.
        """
        self.require_new()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise RunError(
                f"cannot make the run folder {self.path}: {problem.strerror}; choose another --out"
            ) from problem

    def has(self, name: str) -> bool:
        """Whether the folder holds a file with this name."""
        return (self.path / name).exists()

    def save_record(self, record: RunRecord) -> None:
        """Write ``config.json``; raises RunError if that fails."""
        self.save_json("config.json", {"harken_run": VERSION, **asdict(record)})

    def load_record(self) -> RunRecord:
        """Read ``config.json``.

        Raises
        ------
        RunError
            It is missing, damaged, of a newer version, or has a wrong value.
        """
        data = self.load_json("config.json")
        path = self.path / "config.json"
        version = data.pop("harken_run", None) if isinstance(data, dict) else None
        if not isinstance(version, int):
            raise RunError(
                f"{path} is not the configuration of a run; give a folder that `harken train` wrote"
            )
        if not 1 <= version <= VERSION:
            raise RunError(
                f"{path}: harken_run is {version}, but this harken reads up to {VERSION}; "
                + ("upgrade harken" if version > VERSION else "use the harken that wrote it")
            )
        try:
            config = data.get("config")
            if isinstance(config, dict):
                config = with_stem_fields(config) if version == 1 else config
                data = {**data, "config": _with_later_fields(config)}
            return decode(RunRecord, data)
        except HarkenError as problem:
            raise RunError(f"{path}: {problem}") from None

    def save_json(self, name: str, data: Any) -> None:
        """Write a JSON file; raises RunError if that fails."""
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(self.path / name, text + "\n", error=RunError)

    def load_json(self, name: str) -> Any:
        """Read a JSON file.

        Raises
        ------
        RunError
            It is missing or damaged.
        """
        return self._load(name, lambda path: json.loads(read_text(path)))

    def save_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write an .npz file; raises RunError if that fails."""
        buffer = io.BytesIO()
        np.savez(buffer, **cast(Any, arrays))  # its annotations mistake names for options
        write_atomic(self.path / name, buffer.getvalue(), error=RunError)

    def load_arrays(self, name: str) -> Arrays:
        """Read an .npz file.

        Raises
        ------
        RunError
            It is missing or damaged.
        """

        def load(path: Path) -> Arrays:
            with np.load(path, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}

        return self._load(name, load)

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        (self.path / name).unlink(missing_ok=True)

    def remove_temporary(self) -> None:
        """Delete temporary files of a process that was killed while writing."""
        for path in self.path.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def _load(self, name: str, load: Callable[[Path], T]) -> T:
        path = self.path / name
        try:
            return load(path)
        except FileNotFoundError:
            raise RunError(
                f"{path} is missing, so {self.path} is not a finished run; "
                "`harken train DATA --out RUN` makes one, and --resume continues one"
            ) from None
        except _DAMAGE as problem:
            raise RunError(f"{path} is damaged ({problem}); train again") from problem


def load_finished(paths: Sequence[Path]) -> tuple[RunRecord, list[Arrays]]:
    """Read runs that can be averaged.

    Returns
    -------
    The record of the first one, with the licences of all, and the weights of each.

    Raises
    ------
    RunError
        There are fewer than two, one is not finished, or they do not have the same words, network,
        front end and recordings that were held out.
    """
    if len(paths) < 2:
        raise RunError("one run has nothing to be averaged with; name two or more")
    runs = [RunFolder(path) for path in paths]
    records = [run.load_record() for run in runs]
    for path, record in zip(paths[1:], records[1:], strict=True):
        for name in _ALIKE:
            first, other = getattr(records[0].config, name), getattr(record.config, name)
            if first != other:
                raise RunError(
                    f"{paths[0]} and {path} cannot be averaged: their {name} differ ({first} and "
                    f"{other}); average runs that started from the same weights"
                )
    licences = {name: text for each in records for name, text in each.config.licences.items()}
    record = replace(records[0], config=replace(records[0].config, licences=licences))
    return record, [run.load_arrays("weights.npz") for run in runs]
