"""Audio files in, with label tracks or without keywords in them; scenes out.

Any sample rate, width and channel count, in any format of libsndfile; channels are averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import AudioError, DataError
from ...edge.files import name_for_libsndfile
from ...edge.sound.resample import MonoResampler
from ...edge.sound.sources import AudioFile
from ...edge.spotting.frontend import FrontEndConfig
from ..decode import AUDIO_SUFFIXES, SAMPLE_RATE_HZ, UNREADABLE_SUFFIXES
from .truth import TRUTH_FILE, Scene, SceneSet, SceneTruth, read_labels, read_truth

_LONGEST_S = 600  # of a negative scene
_LEAD_S = 1  # read before a piece, so that the resampler has settled
_BLOCK_S = 10


def read_scenes(folder: str | Path) -> SceneSet:
    """Read a folder of audio files, each with a label track of the same name: a.wav and a.txt.

    A file with an empty label track is a negative scene: no word is spoken in it. Conditions and
    speakers are known for scenes that harken kept (``scenes.json``); the labels always come from
    the label tracks, which may have been corrected.

    Parameters
    ----------
    folder
        The folder; subfolders are not searched.

    Raises
    ------
    DataError
        The folder is missing or holds no audio, a label track is missing or wrong, or some of the
        scenes in ``scenes.json`` are missing.
    AudioError
        A file cannot be read as audio.
    """
    folder = Path(folder)
    sounds = _sounds_in(folder)
    if not sounds:
        raise DataError(
            f"{folder} holds no sound files ({', '.join(sorted(AUDIO_SUFFIXES))}); give a folder "
            "with a label track for each sound: kitchen.wav and kitchen.txt"
        )
    known: dict[str, SceneTruth] = {}
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = {"folder": str(folder)}
    if (folder / TRUTH_FILE).exists():
        truth = read_truth(folder / TRUTH_FILE)
        if not truth.complete:
            raise DataError(
                f"{folder} does not hold the sound of all its scenes: it was not kept, or writing "
                "it was interrupted; keep the scenes again"
            )
        known = {scene.name: scene for scene in truth.scenes}
        notes = truth.notes
        provenance["kept"] = dict(truth.provenance)
        missing = sorted(known.keys() - {path.stem for path in sounds})
        if missing:
            raise DataError(
                f"{folder / TRUTH_FILE} lists {missing[0]}, but there is no such sound file "
                f"({len(missing)} of {len(known)} are missing); keep the scenes again"
            )
    by_stem: dict[str, Path] = {}
    for path in sounds:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise DataError(
                f"{other} and {path.name} share the label track {path.stem}.txt; rename one of them"
            )
    scenes = tuple(_labelled(path, known.get(path.stem)) for path in sounds)
    unlabelled = sorted(path.name for path in folder.glob("*.txt") if path.stem not in by_stem)
    if unlabelled:
        notes += (
            f"{folder}: {len(unlabelled)} text files, such as {unlabelled[0]}, have no sound of "
            "the same name",
        )
    return SceneSet(scenes=scenes, notes=notes, provenance=provenance)


def read_negatives(paths: Iterable[str | Path]) -> SceneSet:
    """Read recordings that contain none of the model's words, however long they are.

    Parameters
    ----------
    paths
        Sound files, and folders that are searched at any depth. A path given twice is used
        once.

    Returns
    -------
    Negative scenes of at most ten minutes, which together are the whole audio.

    Raises
    ------
    DataError
        A file is missing, a folder holds none, or a file is shorter than the model's window.
    AudioError
        A file cannot be read as audio.
    """
    named = [Path(path) for path in paths]
    sources: dict[Path, tuple[Path, str]] = {}
    for path in named:
        found = _sounds_in(path, deep=True) if path.is_dir() else [path]
        if not found:
            raise DataError(
                f"{path} holds no sound files ({', '.join(sorted(AUDIO_SUFFIXES))}); give a folder "
                "of recordings, or a sound file"
            )
        for file in found:
            source = path.resolve().name if path.is_dir() else path.stem
            sources.setdefault(file.resolve(), (file, source))
    scenes: list[Scene] = []
    for file, source in sources.values():
        scenes += _negatives_of(file, source, number=len(scenes))
    return SceneSet(
        scenes=tuple(scenes), notes=(), provenance={"files": [str(path) for path in named]}
    )


@dataclass(frozen=True, slots=True)
class _Sound:
    """A sound file, or part of it."""

    path: Path
    rate_hz: int
    first: int
    """In frames of the file."""
    frames: int

    @property
    def samples(self) -> int:
        """Length at 16 kHz."""
        return round(self.frames * SAMPLE_RATE_HZ / self.rate_hz)

    def render(self) -> NDArray[np.int16]:
        """Decode it to 16 kHz mono, (samples,)."""
        import soundfile

        lead = min(self.first, _LEAD_S * self.rate_hz)
        resampler = MonoResampler(self.rate_hz, SAMPLE_RATE_HZ)
        missing = lead + self.frames
        pieces: list[NDArray[np.int16]] = []
        try:
            with soundfile.SoundFile(name_for_libsndfile(self.path)) as file:
                file.seek(self.first - lead)
                while missing:
                    count = min(missing, _BLOCK_S * self.rate_hz)
                    block = file.read(count, dtype="float32", always_2d=True).mean(axis=1)
                    missing -= len(block)
                    self._check(block, whole=len(block) == count)
                    pieces.append(resampler.feed(block, last=missing == 0))
        except (soundfile.SoundFileError, OSError) as problem:
            reason = getattr(problem, "error_string", None) or str(problem)
            raise AudioError(f"{self.path}: cannot be decoded: {reason.rstrip('.')}") from None
        heard = np.concatenate(pieces)[lead * SAMPLE_RATE_HZ // self.rate_hz :]
        return np.pad(heard, (0, max(0, self.samples - len(heard))))[: self.samples]

    def _check(self, block: NDArray[np.float32], *, whole: bool) -> None:
        if not whole:
            raise AudioError(
                f"{self.path}: ends before the {self.frames / self.rate_hz:g} s that its header "
                "says; the file is damaged"
            )
        if not np.isfinite(block).all():
            raise AudioError(
                f"{self.path}: holds samples that are not numbers (NaN or infinite); the file is "
                "damaged"
            )


def _open(path: Path) -> _Sound:
    import soundfile

    if path.suffix.lower() in UNREADABLE_SUFFIXES:
        raise AudioError(f"{path}: {path.suffix} cannot be read; convert it to wav or flac")
    with AudioFile(path):  # for its errors
        pass
    info = soundfile.info(name_for_libsndfile(path))
    return _Sound(path, info.samplerate, 0, info.frames)


def _labelled(path: Path, truth: SceneTruth | None) -> Scene:
    sound = _open(path)
    seconds = sound.samples / SAMPLE_RATE_HZ
    labels = path.with_suffix(".txt")
    if not labels.exists():
        raise DataError(
            f"{path} has no labels: {labels.name} is missing. Label the words in it with Audacity "
            "(an empty file if there are none), or give it as --negatives"
        )
    if truth is not None and abs(truth.seconds - seconds) > 1 / SAMPLE_RATE_HZ:
        raise DataError(
            f"{path} is {seconds:g} s long, but {TRUTH_FILE} says {truth.seconds:g} s: it was "
            "replaced; keep the scenes again"
        )
    utterances = read_labels(labels, seconds=seconds)
    return Scene(
        name=path.stem,
        seconds=seconds,
        utterances=utterances,
        negative=not utterances,
        conditions={} if truth is None else truth.conditions,
        recordings=None if truth is None else truth.recordings,
        render=sound.render,
    )


def _negatives_of(path: Path, source: str, *, number: int) -> list[Scene]:
    """Cut a file at whole seconds into scenes of similar length."""
    sound = _open(path)
    least = FrontEndConfig().window_samples
    if sound.samples < least:
        raise DataError(
            f"{path} is {sound.samples} samples long at 16 kHz; a model needs at least {least} "
            f"({1000 * least / SAMPLE_RATE_HZ:g} ms). Leave it out, or give a longer recording"
        )
    parts = -(-sound.frames // (_LONGEST_S * sound.rate_hz))
    seconds = -(-sound.frames // sound.rate_hz)
    bounds = [seconds * part // parts * sound.rate_hz for part in range(parts)] + [sound.frames]
    return [
        Scene(
            name=f"negative-{path.stem}-{number + index:03}",
            seconds=piece.samples / SAMPLE_RATE_HZ,
            utterances=(),
            negative=True,
            conditions={"source": source},
            recordings=None,
            render=piece.render,
        )
        for index, piece in enumerate(
            _Sound(path, sound.rate_hz, first, last - first) for first, last in pairwise(bounds)
        )
    ]


def _sounds_in(folder: Path, *, deep: bool = False) -> Sequence[Path]:
    """List the sound files of a folder, sorted."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}; give a folder of sound files")
    try:
        paths = folder.rglob("*") if deep else folder.iterdir()
        return sorted(
            path
            for path in paths
            if path.suffix.lower() in AUDIO_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        )
    except OSError as problem:
        raise DataError(f"{folder} cannot be read: {problem.strerror}") from None
