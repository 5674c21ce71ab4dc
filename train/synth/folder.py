"""Rooms in, a folder of their impulse responses and a record out."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...edge.errors import DataError
from ..cache import Progress
from .simulate import (
    LEAD,
    RATE_HZ,
    Room,
    draw_room,
    require_pyroomacoustics,
    reverberation_s,
    simulate,
)
from .sound import write_flac

RECORD_FILE = "rooms.json"
README_FILE = "README.md"

_README = """# Simulated rooms

{count} impulse responses of simulated rooms, made by `harken rooms` (harken {version}) with
pyroomacoustics {engine} from seed {seed}: image sources in boxes. 16 kHz, mono, 16-bit FLAC.
In each file the peak is at 0.9 of full scale, and the direct sound arrives after 1 ms.
`rooms.json` gives the size of each room and the positions of source and microphone.

Make them again with:

    harken rooms --out DIR --count {count} --seed {seed}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFile:
    """A room's impulse response on disk.

    Attributes
    ----------
    name
        Of the file.
    samples
        Its length, at 16 kHz.
    measured_rt60_s
        Three times the decay from -5 to -25 dB, over all bands.
    room
        The simulated room.
    """

    name: str
    samples: int
    measured_rt60_s: float
    room: Room

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, all on one level."""
        found = dataclasses.asdict(self)
        return {**found, **found.pop("room")}


def write_rooms(
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    progress: Progress | None = None,
    response: Callable[[Room], Any] = simulate,
) -> list[RoomFile]:
    """Simulate rooms and write them: all of them, or nothing.

    Parameters
    ----------
    folder
        The destination; must be new or empty.
    count
        How many. A larger number extends a smaller one: room 7 is the same in both.
    seed
        Seed of all random draws.
    progress
        Called with (rooms done, rooms in all).
    response
        Function that returns the impulse response of a room, (samples,) int16.

    Returns
    -------
    The written files.

    Raises
    ------
    DataError
        The folder is not empty, or cannot be written.
    DependencyError
        pyroomacoustics is not installed.
    """
    _require_empty(folder)
    engine = require_pyroomacoustics().__version__ if response is simulate else "unknown"
    found: list[RoomFile] = []
    with _whole_folder(folder) as unfinished:
        for index in range(count):
            if progress is not None:
                progress(index, count)
            room = draw_room(np.random.default_rng([seed, index]))
            samples = response(room)
            name = f"room_{index:03d}.flac"
            write_flac(unfinished / name, samples, RATE_HZ)
            measured_s = round(reverberation_s(samples), 3)
            found.append(
                RoomFile(name=name, samples=len(samples), measured_rt60_s=measured_s, room=room)
            )
        record = {
            "harken": __version__,
            "engine": f"pyroomacoustics {engine}",
            "seed": seed,
            "count": count,
            "rate_hz": RATE_HZ,
            "direct_sound_at": LEAD,
            "rooms": [file.to_dict() for file in found],
        }
        (unfinished / RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        text = _README.format(count=count, seed=seed, version=__version__, engine=engine)
        (unfinished / README_FILE).write_text(text, "utf-8")
    if progress is not None:
        progress(count, count)
    return found


def _require_empty(folder: Path) -> None:
    try:
        holds_something = folder.exists() and any(folder.iterdir())
    except NotADirectoryError:
        raise DataError(f"{folder} is a file; choose a folder") from None
    except OSError as problem:
        raise DataError(f"cannot read {folder}: {problem.strerror}") from None
    if holds_something:
        raise DataError(f"{folder} is not empty; choose a new folder, or empty this one first")


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed on success and removed on failure."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            unfinished.mkdir()
            yield unfinished
            unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as problem:
        raise DataError(f"cannot write {folder}: {problem.strerror or problem}") from problem
