"""A folder of clips: audio kept around words and near misses, and the marks that people gave it.

Audio is in FLAC files whose names sort by time, detections in ``clips.jsonl``, and marks in
``marks.jsonl``, one line per clip in each. Only the owner can read the files.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import AudioError, DataError, ModelError
from ...files import name_for_libsndfile, write_atomic
from ...validation import decode, require
from .journal import Journal
from .marks import Mark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLIPS_FILE = "clips.jsonl"
MARKS_FILE = "marks.jsonl"
SUFFIX = ".flac"

RATE_HZ = 16_000
"""Sample rate of clips; all models use this rate."""

EVENT, NEAR_MISS = "event", "near-miss"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip and its detection: a line of ``clips.jsonl``.

    Raises
    ------
    ModelError
        A value is out of range.
    """

    file: str
    kind: str
    """"event": the word was detected; "near-miss": it came close to its threshold, but was not."""
    word: str
    confidence: float
    """The evidence that decided the event; for a near miss, the highest."""
    threshold: float
    start_s: float
    """Start of its evidence, in seconds from the clip's start."""
    end_s: float
    """Time of the decision or the highest evidence, likewise; the word ends near it."""
    start_sample: int
    """`start_s` in samples."""
    end_sample: int
    seconds: float
    """Length of the clip."""
    session: str
    """Identifies the listening session."""
    position: int
    """The clip's first sample, counted from the start of the session."""
    time: str
    """Time of the word: ISO 8601, UTC."""
    model: str
    sha256: str
    """Digest of the model."""
    words: tuple[str, ...]
    """All words of the model."""
    command: str | None
    """The command that the word completed, if any."""

    def __post_init__(self) -> None:
        bare = Path(self.file).name == self.file and self.file.endswith(SUFFIX)
        require(bare, "file", self.file, f"be the name of a {SUFFIX} file in this folder")
        kinds = (EVENT, NEAR_MISS)
        require(self.kind in kinds, "kind", self.kind, f"be {' or '.join(kinds)}")
        require(bool(self.word), "word", self.word, "not be empty")
        inside = 0 <= self.start_sample <= self.end_sample
        require(inside, "start_sample", self.start_sample, "be at least 0, and before end_sample")

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return self.file.removesuffix(SUFFIX)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a line of JSON, with rounded numbers."""
        values = dataclasses.asdict(self)
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in values.items()
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The content of a folder of clips."""

    clips: tuple[Clip, ...]
    """Clips with audio, in order of time."""
    marks: Mapping[str, Mark]
    """By file."""
    problems: tuple[str, ...]
    """Unusable entries, a line each."""

    def known_words(self) -> tuple[str, ...]:
        """Return the words of the models that listened, and those added by marks."""
        marked = sorted({mark.word for mark in self.marks.values() if mark.word is not None})
        return tuple(dict.fromkeys([*(w for clip in self.clips for w in clip.words), *marked]))


class ClipFolder:
    """Reads and writes a folder of clips.

    Parameters
    ----------
    path : str or Path
        The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.labels = Journal(self.path / CLIPS_FILE)
        self._marks = Journal(self.path / MARKS_FILE)

    def require(self) -> None:
        """Raise `DataError` if the folder does not exist, or has no clips."""
        if not self.path.is_dir():
            what = "is a file, not a folder" if self.path.exists() else "does not exist"
            raise DataError(f"{self.path} {what}; `harken listen --capture DIR` creates one")
        if not self.labels.path.exists():
            raise DataError(
                f"{self.path} has no clips: there is no {CLIPS_FILE} in it; "
                "`harken listen --capture DIR` records some"
            )

    def read(self) -> Contents:
        """Return clips and marks, and unusable entries.

        Raises
        ------
        DataError
            The folder cannot be read.
        """
        sounds = set(self._sounds())
        clips: dict[str, Clip] = {}
        entries, damaged = self.labels.read()
        problems = [f"{CLIPS_FILE}:{number}: not a line of JSON; skipped" for number in damaged]
        for entry in entries:
            try:
                clip = decode(Clip, entry)
            except ModelError as problem:
                problems.append(f"{CLIPS_FILE}: {problem}; the line is skipped")
                continue
            if clip.file in sounds:
                clips[clip.file] = clip
        unlabelled = sounds - clips.keys()
        if unlabelled:
            problems.append(
                f"{len(unlabelled)} sound files, such as {min(unlabelled)}, have no line in "
                f"{CLIPS_FILE}"
            )
        marks, lost = self.read_marks()
        problems += [f"{MARKS_FILE}:{number}: not a mark; skipped" for number in lost]
        return Contents(
            clips=tuple(clips[file] for file in sorted(clips)),
            marks=marks,
            problems=tuple(problems),
        )

    def read_marks(self) -> tuple[dict[str, Mark], list[int]]:
        """Return the last mark of each file, and the numbers of invalid lines."""
        entries, damaged = self._marks.read()
        marks: dict[str, Mark] = {}
        for entry in entries:
            file, mark = entry.get("file"), Mark.of(entry.get("mark"), entry.get("word"))
            if not isinstance(file, str):
                continue
            if mark is None:
                marks.pop(file, None)  # it was undone
            else:
                marks[file] = mark
        return marks, damaged

    def mark(self, file: str, mark: Mark | None, *, time: str) -> None:
        """Save or undo the mark of a clip; it is on disk when this returns.

        Raises
        ------
        DataError
            The system refuses.
        """
        verdict, word = (None, None) if mark is None else (mark.verdict, mark.word)
        self._marks.append({"file": file, "mark": verdict, "word": word, "time": time})

    def load(self, clip: Clip) -> NDArray[np.int16]:
        """Return the audio of a clip, (n,) int16.

        Raises
        ------
        AudioError
            It cannot be read.
        """
        import soundfile

        path = self.path / clip.file
        try:
            samples, rate_hz = soundfile.read(name_for_libsndfile(path), dtype="int16")
        except (soundfile.SoundFileError, OSError) as problem:
            reason = getattr(problem, "error_string", None) or str(problem)
            raise AudioError(f"{path}: cannot be decoded: {reason.rstrip('.')}") from None
        if rate_hz != RATE_HZ or samples.ndim != 1 or len(samples) < clip.end_sample:
            raise AudioError(f"{path}: its audio does not match {CLIPS_FILE}")
        sound: NDArray[np.int16] = samples
        return sound

    def save(self, clip: Clip, samples: NDArray[np.int16]) -> int:
        """Write a clip, (n,) int16, and then its line; return the bytes added to the folder.

        Raises
        ------
        DataError
            The system refuses. Nothing is left of the clip.
        """
        content = flac(samples)
        path = self.path / clip.file
        write_atomic(path, content, private=True, error=DataError)
        try:
            return len(content) + self.labels.append(clip.to_dict())
        except DataError:
            path.unlink(missing_ok=True)
            raise

    def size(self) -> int:
        """Return the total size of clips and lines, in bytes."""
        total = 0
        for name in (*self._sounds(), CLIPS_FILE, MARKS_FILE):
            try:
                total += (self.path / name).stat().st_size
            except OSError:  # just removed, or not there yet
                continue
        return total

    def remove_oldest(self, excess_bytes: int) -> int:
        """Remove unreviewed clips, oldest first, and their lines.

        Parameters
        ----------
        excess_bytes
            Bytes to free, at least.

        Returns
        -------
        int
            Bytes freed; fewer if nothing else may be removed.

        Raises
        ------
        DataError
            The system refuses.
        """
        marks, _ = self.read_marks()
        freed, removed = 0, set()
        try:
            for file in sorted(self._sounds()):
                if freed >= excess_bytes:
                    break
                if file not in marks or not marks[file].decided:
                    path = self.path / file
                    freed += path.stat().st_size
                    path.unlink()
                    removed.add(file)
            if removed:
                before = self.labels.path.stat().st_size
                self.labels.drop(lambda entry: entry.get("file") in removed)
                freed += before - self.labels.path.stat().st_size
        except OSError as problem:
            raise DataError(f"cannot make room in {self.path}: {problem.strerror}") from None
        return freed

    def _sounds(self) -> Iterable[str]:
        try:
            with os.scandir(self.path) as entries:
                return [
                    entry.name
                    for entry in entries
                    if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
                ]
        except OSError as problem:
            raise DataError(f"cannot read {self.path}: {problem.strerror}") from None


def flac(samples: NDArray[np.int16]) -> bytes:
    """Return audio, (n,) int16, as a FLAC file: lossless, in about half the bytes."""
    return _encoded(samples, "FLAC")


def wav(samples: NDArray[np.int16]) -> bytes:
    """Return audio, (n,) int16, as a WAV file."""
    return _encoded(samples, "WAV")


def _encoded(samples: NDArray[np.int16], form: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format=form, subtype="PCM_16")
    return buffer.getvalue()
