"""Scenes in; out comes a folder of audio files and label tracks that other programs can read."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DataError
from ...edge.files import write_atomic
from ..cache import Progress
from ..decode import SAMPLE_RATE_HZ
from .truth import TRUTH_FILE, SceneSet, read_truth, write_labels, write_truth


def keep_scenes(
    scenes: SceneSet,
    folder: str | Path,
    *,
    sound: bool = True,
    progress: Progress | None = None,
) -> None:
    """Write each scene as ``NAME.wav`` and ``NAME.txt``, and the ground truth of all of them.

    Every file is written completely or not at all. The ground truth, ``scenes.json``, says whether
    all of them are there, so that nobody measures on the remains of an interrupted run. Scenes that
    were kept in the folder before are replaced.

    Parameters
    ----------
    scenes
        The scenes; they are written as 16 bits, 16 kHz.
    folder
        The destination; it is created if missing.
    sound
        Write audio and label tracks; otherwise only the ground truth.
    progress
        Called with (scenes done, scenes in all).

    Raises
    ------
    DataError
        The folder holds something other than kept scenes, or the system refuses.
    """
    import soundfile

    folder = Path(folder)
    _prepare(folder, [scene.name for scene in scenes.scenes])
    write_truth(folder / TRUTH_FILE, scenes, complete=False)
    if not sound:
        return
    for number, scene in enumerate(scenes.scenes, 1):
        write_labels(folder / f"{scene.name}.txt", scene.utterances)
        wav = io.BytesIO()
        samples: NDArray[np.int16] = scene.render()
        soundfile.write(wav, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
        write_atomic(folder / f"{scene.name}.wav", wav.getvalue(), error=DataError)
        if progress is not None:
            progress(number, len(scenes.scenes))
    write_truth(folder / TRUTH_FILE, scenes, complete=True)


def _prepare(folder: Path, names: list[str]) -> None:
    """Make the folder, or remove the scenes in it that will not be replaced."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(
            f"there are {len(twice)} pairs of scenes of the same name, such as {twice[0]}; keep "
            "scenes of different origin in different folders"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in folder.iterdir()}
        own: set[str] = set()
        if TRUTH_FILE in there:
            own = _files_of(scene.name for scene in read_truth(folder / TRUTH_FILE).scenes)
        # Temporary files that write_atomic leaves behind when its process is killed.
        own |= {name for name in there if name.startswith(".") and name.endswith(".tmp")}
        foreign = sorted(there - own)
        if foreign:
            raise DataError(
                f"{folder} holds something other than kept scenes, such as {foreign[0]}; give a "
                "new folder, or an empty one"
            )
        # Scenes that are written again are replaced one by one: they may also be the input.
        for name in sorted(there - _files_of(names)):
            (folder / name).unlink()
    except OSError as problem:
        raise DataError(
            f"scenes cannot be kept in {folder}: {problem.filename}: {problem.strerror}; give "
            "another folder"
        ) from None


def _files_of(names: Iterable[str]) -> set[str]:
    return {TRUTH_FILE} | {f"{name}{ending}" for name in names for ending in (".wav", ".txt")}
