"""Ground truth: what is spoken in a stretch of audio, and when, in memory and in files.

A label track is a text file that Audacity reads and writes: one line per label, with its start and
its end in seconds and its text, separated by tabs. A text in parentheses, ``(left)``, is a piece of
that word, which a keyword spotter must not detect. A text with a question mark, ``left?``, is an
uncertain word: detecting it is neither right nor wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DataError, HarkenError
from ...edge.files import read_text, write_atomic
from ...edge.validation import decode

TRUTH_FILE = "scenes.json"
"""Name of the file that holds the ground truth of a folder of scenes."""

VERSION = 2
"""Version of the format of `TRUTH_FILE`."""

_FIRST_VERSION = 1  # without uncertain words

_SLACK_S = 0.001  # allowed overlap of labels or the end: times are rounded decimals


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A word, or a piece of one, that is spoken."""

    start_s: float
    end_s: float
    word: str
    whole: bool = True
    """False: only a piece of the word is spoken, which must not be detected."""
    sure: bool = True
    """False: the word is uncertain, and detecting it is neither right nor wrong."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A stretch of audio and everything that is spoken in it.

    Raises
    ------
    DataError
        Utterances overlap, are out of order, or lie outside the scene.
    """

    name: str
    seconds: float
    utterances: tuple[Utterance, ...]
    """In order of time; no two overlap."""
    negative: bool
    """No word of the model is spoken: its hours count for the false-accept rate."""
    conditions: Mapping[str, str]
    """Of scenes with words: ``snr`` ("clean", "10 dB"), ``talk`` ("none", "10 dB"), ``gain``
    ("+0 dB", "-20 dB"), ``room`` ("none", or its name) and ``flow`` ("one by one", "digits in a
    row", "in sentences"). Of negative ones: ``source``. Empty if unknown."""
    recordings: tuple[str, ...] | None
    """Identities of its recordings (see `harken.train.scenes.leaks`); None if unknown."""
    render: Callable[[], NDArray[np.int16]] = field(repr=False)
    """Return the audio, shape (samples,), 16 kHz mono: the same at every call, and recomputed each
    time, because hours of it do not fit into memory."""

    def __post_init__(self) -> None:
        before = None
        for utterance in self.utterances:
            problem = _problem(utterance, before, self.seconds)
            if problem:
                raise DataError(f"scene {self.name}: {problem}")
            before = utterance


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneSet:
    """Scenes that are measured together."""

    scenes: tuple[Scene, ...]
    notes: tuple[str, ...]
    """What a reader of the figures needs to know: what is missing, what could not be checked."""
    provenance: Mapping[str, Any]
    """Where the scenes come from, as plain JSON types."""

    @property
    def negative_hours(self) -> float:
        """Hours of the negative scenes."""
        return sum(scene.seconds for scene in self.scenes if scene.negative) / 3600


@dataclass(frozen=True, kw_only=True)
class SceneTruth:
    """A scene without its audio: an entry of `TRUTH_FILE`."""

    name: str
    seconds: float
    negative: bool
    conditions: Mapping[str, str]
    recordings: tuple[str, ...] | None
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, kw_only=True)
class SetTruth:
    """The content of `TRUTH_FILE`."""

    complete: bool
    """Whether audio and label tracks of all scenes lie beside it."""
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]
    scenes: tuple[SceneTruth, ...]


def check_words(scenes: Iterable[Scene], words: Sequence[str]) -> tuple[str, ...]:
    """Check that at least some words in the scenes are words of the model.

    Parameters
    ----------
    scenes
        The scenes to check.
    words
        The model's words.

    Returns
    -------
    Words that are spoken and that the model does not know, sorted; they count as unknown words.

    Raises
    ------
    DataError
        Words are spoken, and none of them is one of the model's.
    """
    said = {utterance.word for scene in scenes for utterance in scene.utterances}
    unknown = tuple(sorted(said - set(words)))
    if said and len(unknown) == len(said):
        raise DataError(
            f"none of the words in the labels is a word of the model: labels name "
            f"{_listed(unknown)}; the model knows {_listed(words)}. Correct the labels (capital "
            "letters count), or give sound without words as negatives"
        )
    return unknown


def read_labels(path: str | Path, *, seconds: float) -> tuple[Utterance, ...]:
    """Read a label track.

    Empty lines are ignored, and lines that start with a backslash, in which Audacity stores a
    label's frequency range.

    Parameters
    ----------
    path
        Text file, UTF-8.
    seconds
        Length of the audio that it belongs to.

    Returns
    -------
    The labels in order of time.

    Raises
    ------
    DataError
        The file cannot be read, a line is no label, or a label overlaps the one before, goes back
        in time or past the end. Names the file and the line.
    """
    try:
        lines = read_text(Path(path)).splitlines()
    except OSError as error:
        raise DataError(f"{path}: the labels cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8 text; is it a label file? Export the labels "
            "from Audacity again, or save the file as UTF-8"
        ) from None
    utterances: list[Utterance] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("\\"):
            continue
        try:
            utterance = _parse(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}") from None
        problem = _problem(utterance, utterances[-1] if utterances else None, seconds)
        if problem:
            raise DataError(f"{path}:{number}: {problem}")
        utterances.append(utterance)
    return tuple(utterances)


def write_labels(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a label track; raises `DataError` when the system refuses."""
    write_atomic(path, "".join(map(_label, utterances)), error=DataError)


def write_truth(path: str | Path, scenes: SceneSet, *, complete: bool) -> None:
    """Write the ground truth of a set as JSON, completely or not at all.

    Parameters
    ----------
    path
        The file.
    scenes
        The scenes to describe.
    complete
        Whether audio and label tracks of all scenes lie beside it.

    Raises
    ------
    DataError
        The system refuses.
    """
    truth = SetTruth(
        complete=complete,
        notes=scenes.notes,
        provenance=scenes.provenance,
        scenes=tuple(
            SceneTruth(
                name=scene.name,
                seconds=scene.seconds,
                negative=scene.negative,
                conditions=dict(scene.conditions),
                recordings=scene.recordings,
                utterances=scene.utterances,
            )
            for scene in scenes.scenes
        ),
    )
    data = {"harken_scenes": VERSION, **asdict(truth)}
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text + "\n", error=DataError)


def read_truth(path: str | Path) -> SetTruth:
    """Read the ground truth of a set.

    Raises
    ------
    DataError
        The file is missing, was not written by harken, is damaged, or of a newer version.
    """
    path = Path(path)
    try:
        data = json.loads(read_text(path))
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}") from None
    except ValueError as problem:
        raise DataError(f"{path} is damaged: {problem}; {_REMEDY}") from None
    version = data.pop("harken_scenes", None) if isinstance(data, dict) else None
    if not isinstance(version, int):
        raise DataError(f"{path} is not a description of scenes by harken; {_REMEDY}")
    if not _FIRST_VERSION <= version <= VERSION:
        raise DataError(
            f"{path}: harken_scenes is {version}, but this harken reads {VERSION}; "
            + ("upgrade harken" if version > VERSION else _REMEDY)
        )
    if version == _FIRST_VERSION:
        _complete(data)
    try:
        return decode(SetTruth, data)
    except HarkenError as problem:
        raise DataError(f"{path}: {problem}; {_REMEDY}") from None


def _complete(data: dict[str, Any]) -> None:
    """Add what a truth of the first version lacks; damaged fields stay as they are."""
    for scene in scenes if isinstance(scenes := data.get("scenes"), list) else ():
        said = scene.get("utterances") if isinstance(scene, dict) else None
        for utterance in said if isinstance(said, list) else ():
            if isinstance(utterance, dict):
                utterance.setdefault("sure", True)


_REMEDY = "keep the scenes again, or move the file away to use only the label tracks"


def _parse(line: str) -> Utterance:
    """Read one line; ValueError says what is wrong with it."""
    start, end, *rest = (*line.split("\t", 2), "", "")
    times = []
    for name, text in (("start", start), ("end", end)):
        try:
            times.append(float(text))
        except ValueError:
            raise ValueError(
                f"the {name} is {text.strip()!r}, which is not a number of seconds; a line is "
                "START, END and WORD with tabs between them, for example 1.25, 1.8, left"
            ) from None
    text = rest[0].strip()
    sure = not text.endswith("?")
    text = text.removesuffix("?").rstrip()
    piece = text.startswith("(") and text.endswith(")")
    word = text[1:-1].strip() if piece else text
    if not word:
        raise ValueError(
            f"the label from {start.strip()} to {end.strip()} s has no word; write what is said "
            "there, or delete the label"
        )
    return Utterance(start_s=times[0], end_s=times[1], word=word, whole=not piece, sure=sure)


def _label(utterance: Utterance) -> str:
    text = utterance.word if utterance.whole else f"({utterance.word})"
    text += "" if utterance.sure else "?"
    return f"{utterance.start_s:.6f}\t{utterance.end_s:.6f}\t{text}\n"


def _problem(utterance: Utterance, before: Utterance | None, seconds: float) -> str | None:
    """Say what is wrong with an utterance at its place; None if nothing is."""
    start, end, word = utterance.start_s, utterance.end_s, utterance.word
    if not (math.isfinite(start) and math.isfinite(end)):
        return f"{word!r} lies between {start:g} and {end:g} s; both must be finite"
    if start < 0:
        return f"{word!r} starts at {start:g} s; times count from 0, the start of the sound"
    if end < start:
        return f"{word!r} ends at {end:g} s, before it starts at {start:g} s; swap the two"
    if end == start:
        return f"{word!r} at {start:g} s has no length; the label must span the whole word"
    if end > seconds + _SLACK_S:
        return (
            f"{word!r} ends at {end:g} s, but the sound ends at {seconds:g} s; do the labels "
            "belong to it?"
        )
    if before is not None and start < before.start_s:
        return (
            f"{word!r} starts at {start:g} s, but {before.word!r} before it starts at "
            f"{before.start_s:g} s; sort the labels by time"
        )
    if before is not None and start < before.end_s - _SLACK_S:
        return (
            f"{word!r} starts at {start:g} s, while {before.word!r} lasts until "
            f"{before.end_s:g} s; labels must not overlap: shorten or delete one"
        )
    return None


def _listed(words: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"
