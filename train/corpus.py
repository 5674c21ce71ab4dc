"""A `Corpus`: recordings with their labels, splits and samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..edge.errors import DataError
from .pack import Pack
from .splits import SPLITS, Split
from .transcripts import SpokenWord, keywords_said

Kind = Literal["word", "speech", "noise", "room", "synthetic", "simulated_room"]
"""What a recording is; a synthetic one is a word said by a synthetic voice."""

SILENCE_FOLDER = "_silence_"
UNKNOWN_FOLDER = "_unknown_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One clip, or one part of a long recording."""

    path: str
    """Path below the data folder, with forward slashes."""
    kind: Kind
    label: str
    """The folder of the word, speech or noise; for noise without a folder, the file's name."""
    speaker: str | None
    split: Split
    start: int
    """First sample in `Corpus.audio`."""
    length: int
    """Samples."""
    text: str | None = None
    """Its text, if there is a transcript."""
    spoken: tuple[SpokenWord, ...] = ()
    """Words said in it, with their times."""

    def says(self, words: Collection[str]) -> tuple[SpokenWord, ...] | None:
        """Return the times of any of these words; None if one is said at an unknown time."""
        return keywords_said(words, self.text, self.spoken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What was found in a data folder, for `report.json` and for the user."""

    layout: str
    """"a folder a word" or "collection"."""
    split_rule: str
    """Which split rule placed how many word clips."""
    files: int
    """Audio files found, including skipped ones."""
    skipped: tuple[Skipped, ...]
    ignored_folders: tuple[str, ...]
    word_counts: dict[str, dict[Split, int]]
    """Clips by word and part."""
    seconds: dict[Kind, dict[Split, float]]
    """Amount of audio by kind and part."""
    speakers: int
    """Number of distinct speakers known by name."""
    long_clips: tuple[str, ...] = ()
    """Recordings of words that are longer than `LONG_CLIP_S`, the longest first."""
    odd_words: tuple[str, ...] = ()
    """Word folders whose names suggest that they hold something else."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """Decoded, labelled and split recordings."""

    root: Path
    fingerprint: str
    """SHA-256 over paths and contents of all recordings, over their entries in the text files, and
    over the lists of wrong labels and hard negatives; equal for the same data on every machine."""
    audio: npt.NDArray[np.int16]
    """int16, shape (samples,), 16 kHz mono: memory-mapped, read-only, shared between processes."""
    recordings: tuple[Recording, ...]
    """Sorted by path."""
    report: DataReport
    hard_negatives: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """By path of a recording of speech or noise, seconds at which a model takes it for a word."""
    pack: Pack | None = None
    """Speech and noise as features, for a corpus that has none."""

    @property
    def words(self) -> tuple[str, ...]:
        """Labels of all word folders, sorted."""
        return tuple(sorted(self.report.word_counts))

    def samples(self, recording: Recording) -> npt.NDArray[np.int16]:
        """Return the samples of one recording: int16, shape (length,), a read-only view."""
        return self.audio[recording.start : recording.start + recording.length]

    def select(
        self, kind: Kind, *, split: Split | None = None, label: str | None = None
    ) -> tuple[Recording, ...]:
        """Return the recordings of a kind, of one split or label if given."""
        return tuple(
            recording
            for recording in self.recordings
            if recording.kind == kind
            and (split is None or recording.split == split)
            and (label is None or recording.label == label)
        )

    def require_words(self, words: Iterable[str], *, split: Split | None = None) -> None:
        """Check that every word has recordings, in `split` if one is given.

        Raises
        ------
        DataError
            Names the words without recordings, and those that have some.
        """
        counts = {
            word: sum(parts.values()) if split is None else parts.get(split, 0)
            for word, parts in self.report.word_counts.items()
        }
        missing = [word for word in words if not counts.get(word)]
        if missing:
            where = f"{self.root}" if split is None else f"the {split} split of {self.root}"
            elsewhere = [word for word in missing if any(self._clips(word).values())]
            if elsewhere:
                where += f", where words are split {self.report.split_rule}. {_more_of(elsewhere)}"
            there = ", ".join(sorted(word for word, count in counts.items() if count)) or "nothing"
            raise DataError(
                f"no recordings of {', '.join(map(repr, missing))} in {where}; there are: {there}"
            )

    def without_validation(self, words: Iterable[str]) -> tuple[str, ...]:
        """Return the words without a recording for validation."""
        return tuple(word for word in words if not self._clips(word)["validation"])

    def _clips(self, word: str) -> Mapping[Split, int]:
        return self.report.word_counts.get(word, dict.fromkeys(SPLITS, 0))


def _more_of(words: Sequence[str]) -> str:
    """Return advice on how to get recordings of words into every part."""
    each = "it" if len(words) == 1 else "each of them"
    return (
        f"Record three clips of {each} at least, said by three speakers where words are split by "
        "speaker; or split with --split-rule random"
    )
