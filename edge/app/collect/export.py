"""Reviewed clips in, recordings for ``harken train`` and scenes for ``harken tune`` out.

One folder per word, with the clips in which it is said; ``_unknown_`` for other speech that was
mistaken, or almost, for a word; ``_background_noise_`` for anything but speech; and ``_scenes_``,
which training ignores, for stretches of audio with a label track. Overlapping clips form one
stretch, but those with a word and those without are kept apart, since false accepts are counted
where nobody says a word; and it ends where clips are not reviewed yet.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ...errors import AudioError, DataError
from ...files import write_atomic
from ...spotting.endpoints import find_word
from .clips import RATE_HZ, SUFFIX, Clip, ClipFolder, flac
from .marks import NOISE, WORD, Mark

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN_FOLDER, NOISE_FOLDER = "_unknown_", "_background_noise_"
"""Folder names as in `harken.train.data`."""

SCENES_FOLDER = "_scenes_"

_Item = TypeVar("_Item", Clip, "_Reviewed")

_RECORDING_S = 1.0  # length of recordings of single words

# A word is between these, relative to the start of its evidence and to the decision: measured
# on the demo recording, it begins 0.15 to 0.4 s before the former, and ends 0.15 s before to
# 0.13 s after the latter.
_BEFORE_S, _AFTER_S = 0.5, 0.25
_LONGEST_S = 1.1

# Beyond this distance there is no trace of the word, even if it was decided in its middle.
_GUARD_S = 0.2

_LEAST_S = 0.05  # length of a label


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The result of an export.

    Attributes
    ----------
    words : mapping
        Recordings by word.
    unknown, noise : int
        Recordings of other speech, and of noise.
    scenes : int
        Stretches of audio with a label track.
    waiting : int
        Unreviewed clips.
    left_out : tuple of str
        Omitted clips, with the reason, a line each.
    """

    words: Mapping[str, int]
    unknown: int
    noise: int
    scenes: int
    waiting: int
    left_out: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reviewed:
    """A clip with its audio and its mark."""

    clip: Clip
    mark: Mark
    samples: NDArray[np.int16]
    first: int
    """Start in the clip of the word, or of what was mistaken for one …"""
    last: int
    """… and its end."""
    visible: tuple[int, int] | None
    """Positions in the session between which a scene of this clip is free of unreviewed audio or
    conflicting marks; None if there is no such stretch around its own evidence."""

    @property
    def span(self) -> tuple[int, int]:
        """Position of the word in the session."""
        return self.clip.position + self.first, self.clip.position + self.last

    def repeats(self, other: _Reviewed) -> bool:
        """Whether it is the same utterance as another clip's."""
        (first, last), (other_first, other_last) = self.span, other.span
        return (
            self.clip.session == other.clip.session
            and self.mark == other.mark
            and first < other_last
            and other_first < last
        )


def export(folder: ClipFolder, out: Path, *, speaker: str) -> Exported:
    """Write recordings and scenes from reviewed clips, and update earlier exports.

    Parameters
    ----------
    folder
        The clips.
    out
        Folder of recordings; if created, readable by its owner only. Other recordings in it stay.
    speaker
        Name of the speaker's folder. Clips do not distinguish voices: all count as one speaker,
        who belongs to one part of a split by speakers.

    Raises
    ------
    DataError
        A folder cannot be read or written.
    """
    if folder.path.resolve().is_relative_to(out.resolve()):
        raise DataError(f"the clips are in {out}; export to another folder")
    _make_folder(out)
    contents = folder.read()
    left_out: list[str] = []
    words: Counter[str] = Counter()
    others: Counter[str] = Counter()
    written: set[Path] = set()

    def write(path: Path, content: bytes | str) -> None:
        _write(path, content)
        written.add(path)

    for stretch in _stretches(contents.clips, _extent):
        parts = _reviewed(folder, stretch, contents.marks, left_out)
        for part in _distinct(parts):
            label, sound = _recording(part, alone=len(stretch) == 1)
            place = out / label if label == NOISE_FOLDER else out / label / speaker
            write(place / part.clip.file, flac(sound))
            (words if part.mark.verdict == WORD else others)[label] += 1
        for scene in _stretches([p for p in parts if p.visible], _bounds):
            try:
                sound, track = _scene(scene)
            except _ContradictionError as problem:
                left_out.append(str(problem))
                continue
            path = out / SCENES_FOLDER / scene[0].clip.file
            write(path, flac(sound))
            write(path.with_suffix(".txt"), track)
    _remove_others(out, {clip.name for clip in contents.clips}, written)
    return Exported(
        words=dict(sorted(words.items())),
        unknown=others[UNKNOWN_FOLDER],
        noise=others[NOISE_FOLDER],
        scenes=sum(path.suffix == ".txt" for path in written),
        waiting=sum(not _decided(contents.marks, clip) for clip in contents.clips),
        left_out=tuple(left_out),
    )


class _ContradictionError(Exception):
    """Marks of overlapping clips contradict each other; the message names them."""


def _write(path: Path, content: bytes | str) -> None:
    _make_folder(path.parent)
    write_atomic(path, content, private=True, error=DataError)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"cannot make the folder {path}: {problem.strerror}") from None


def _decided(marks: Mapping[str, Mark], clip: Clip) -> bool:
    return clip.file in marks and marks[clip.file].decided


def _reviewed(
    folder: ClipFolder, clips: Sequence[Clip], marks: Mapping[str, Mark], left_out: list[str]
) -> list[_Reviewed]:
    """Load the reviewed clips of a group that overlaps."""
    loaded: dict[Clip, NDArray[np.int16]] = {}
    for clip in clips:
        if _decided(marks, clip):
            try:
                loaded[clip] = folder.load(clip)
            except AudioError as problem:
                left_out.append(str(problem))
    parts = []
    for clip, samples in loaded.items():
        first, last = word_in(clip, samples)
        spoken = marks[clip.file].verdict == WORD
        unlike = [
            other
            for other in clips
            if other not in loaded or (marks[other.file].verdict == WORD) is not spoken
        ]
        parts.append(
            _Reviewed(
                clip=clip,
                mark=marks[clip.file],
                samples=samples,
                first=first,
                last=last,
                visible=_visible(clip, unlike),
            )
        )
    return parts


def _visible(clip: Clip, unlike: Iterable[Clip]) -> tuple[int, int] | None:
    """Return the part of a clip, around its own evidence, that holds nothing of other clips."""
    guard = _samples(_GUARD_S)
    first, last = _extent(clip)[1:]
    own_first, own_last = _evidence(clip)
    for other in unlike:
        other_first, other_last = _evidence(other)
        if other_first >= own_last:
            last = min(last, other_first - guard)
        elif other_last <= own_first:
            first = max(first, other_last + guard)
        else:
            return None
    return (first, last) if first <= own_first and own_last <= last else None


def _extent(clip: Clip) -> tuple[str, int, int]:
    """Return a clip's session, its first position in it, and the one after its last."""
    return clip.session, clip.position, clip.position + _samples(clip.seconds)


def _evidence(clip: Clip) -> tuple[int, int]:
    """Return the start and end of a clip's word in its session."""
    first = max(clip.start_sample - _samples(_BEFORE_S), clip.end_sample - _samples(_LONGEST_S), 0)
    last = min(clip.end_sample + _samples(_AFTER_S), _samples(clip.seconds))
    return clip.position + first, clip.position + last


def word_in(clip: Clip, samples: NDArray[np.int16]) -> tuple[int, int]:
    """Return the start and end of a clip's word in the clip, in samples.

    Searches only around the evidence, since there may be other words before and after.
    """
    first, last = (place - clip.position for place in _evidence(clip))
    start, end = find_word(samples[first:last])
    return first + start, first + end


def _distinct(parts: Iterable[_Reviewed]) -> list[_Reviewed]:
    """Return clips without duplicates of the same utterance."""
    distinct: list[_Reviewed] = []
    for part in parts:
        if part.mark.verdict != WORD or not any(part.repeats(other) for other in distinct):
            distinct.append(part)
    return distinct


def _recording(part: _Reviewed, *, alone: bool) -> tuple[str, NDArray[np.int16]]:
    """Return the folder that a clip belongs in, and the audio to write there.

    That is one second around the word, or all of a longer word; for a noise, the whole clip unless
    another clip has something else in it.
    """
    if part.mark.verdict == NOISE and alone:
        return NOISE_FOLDER, part.samples
    length = max(_samples(_RECORDING_S), part.last - part.first)
    start = (part.first + part.last - length) // 2
    start = max(0, min(start, len(part.samples) - length))
    sound = part.samples[start : start + length]
    if part.mark.verdict == NOISE:
        return NOISE_FOLDER, sound
    return part.mark.word or UNKNOWN_FOLDER, sound


def _stretches(
    items: Iterable[_Item], extent: Callable[[_Item], tuple[str, int, int]]
) -> list[list[_Item]]:
    """Group overlapping clips, each group in order of time."""
    groups: list[list[_Item]] = []
    end, session = 0, None
    for item in sorted(items, key=extent):
        its_session, first, last = extent(item)
        if its_session == session and first < end:
            groups[-1].append(item)
            end = max(end, last)
        else:
            groups.append([item])
            session, end = its_session, last
    return groups


def _scene(parts: Sequence[_Reviewed]) -> tuple[NDArray[np.int16], str]:
    """Return the reviewed audio of overlapping clips, and its label track."""
    begin = min(_bounds(part)[1] for part in parts)
    sound = np.zeros(max(_bounds(part)[2] for part in parts) - begin, np.int16)
    for part in parts:
        _, first, last = _bounds(part)
        at = part.clip.position
        sound[first - begin : last - begin] = part.samples[first - at : last - at]
    said = [part for part in _distinct(parts) if part.mark.verdict == WORD]
    track, end = "", 0
    for part in sorted(said, key=lambda part: part.span):
        first, last = (place - begin for place in part.span)
        first = max(first, end)
        if last - first < _samples(_LEAST_S):
            raise _ContradictionError(
                f"{part.clip.file}: {part.mark} is at the place of another clip's word"
            )
        track += f"{first / RATE_HZ:.6f}\t{last / RATE_HZ:.6f}\t{part.mark}\n"
        end = last
    return sound, track


def _bounds(part: _Reviewed) -> tuple[str, int, int]:
    """Return a key for session and kind (with a word or without), and the clip's clean part."""
    assert part.visible is not None
    return f"{part.clip.session} {part.mark.verdict == WORD}", *part.visible


def _remove_others(out: Path, names: set[str], written: set[Path]) -> None:
    """Remove earlier exports of these clips under other marks."""
    try:
        for path in [*out.glob("*/*.*"), *out.glob("*/*/*.*")]:
            if path.suffix in (SUFFIX, ".txt") and path.stem in names and path not in written:
                path.unlink()
    except OSError as problem:
        raise DataError(f"cannot remove the earlier export: {problem}") from None


def _samples(seconds: float) -> int:
    return round(seconds * RATE_HZ)
