"""A model and a corpus in, clip accuracy out: what the device would decide, clip by clip.

The int8 file runs with the same front end, interpreter and decision rule as live
(`harken.edge.Spotter.classify`), each clip from a reset state. Nothing here needs tensorflow.

Which clips are counted, and as what (`select_clips`):

* The clips of a word that is evaluated carry its label. These are all words of the model, or the
  ones that were asked for.
* Clips of any other word are "unknown", as is everything in a ``_unknown_`` folder.
* A ``_silence_`` folder is "silence". Where the data have none, pieces of one second are cut from
  the noise recordings of the same part, at places drawn with a seed and at their recorded level:
  one for ten word clips. Pieces of digital zeros are drawn again, because they would be too easy.
* Silent and faint clips count like all others, as they do in published figures.
* ``balance=True`` draws "unknown" and "silence" down to one for ten word clips each, as in the
  12-class task of Speech Commands. Without it, everything there is counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import __version__
from ..edge.errors import DataError, ModelError
from ..edge.spotting.engine import Runtime, TfliteRuntime
from ..edge.spotting.manifest import NON_WORDS, Model
from ..edge.spotting.spotter import Spotter
from .cache import Progress
from .corpus import SILENCE_FOLDER, UNKNOWN_FOLDER, Corpus, Recording
from .decode import SAMPLE_RATE_HZ
from .intervals import share_interval
from .splits import Split

Part = Split | Literal["all"]

NON_WORD_SHARE = 0.10
"""Clips of "unknown", and of "silence", for each clip of a word, if they are drawn."""

_SILENCE_SAMPLES = SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One clip to decide."""

    label: int
    """The true label: index into the evaluated words, followed by "unknown" and "silence"."""
    word: str
    """Its folder, or the noise that it was cut from."""
    path: str
    """Its file; for a piece of a file, followed by ``@`` and its first sample."""
    samples: npt.NDArray[np.int16]
    """int16, shape (n,), 16 kHz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Right answers among clips."""

    clips: int
    right: int

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None without clips."""
        return self.right / self.clips if self.clips else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the accuracy (Wilson's); None without clips."""
        return share_interval(self.right, self.clips)

    def to_dict(self) -> dict[str, Any]:
        """Return clips, right, accuracy and its interval as plain JSON types."""
        low, high = self.interval or (None, None)
        return {
            "clips": self.clips,
            "right": self.right,
            "accuracy": self.accuracy,
            "accuracy_95_low": low,
            "accuracy_95_high": high,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A clip that was decided wrongly."""

    path: str
    word: str
    label: str
    decision: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """A model's decisions on the clips."""

    labels: tuple[str, ...]
    """The evaluated words, then "unknown", then "silence"."""
    confusion: npt.NDArray[np.int64]
    """Counts, shape (labels, labels): row the truth, column the decision."""
    unknown_words: Mapping[str, Score]
    """Scores of the words that count as "unknown", by folder."""
    mistakes: tuple[Mistake, ...]
    notes: tuple[str, ...]
    """Notes for readers of the figures."""
    provenance: Mapping[str, Any]
    """Model, runtime, data, part and options, as plain JSON types."""

    @property
    def overall(self) -> Score:
        """Over all clips."""
        return Score(clips=int(self.confusion.sum()), right=int(np.trace(self.confusion)))

    @property
    def by_label(self) -> dict[str, Score]:
        """For each label."""
        return {
            label: Score(clips=int(row.sum()), right=int(row[index]))
            for index, (label, row) in enumerate(zip(self.labels, self.confusion, strict=True))
        }

    @property
    def mean_label_accuracy(self) -> float:
        """Mean accuracy of the labels that have clips, all weighted equally."""
        accuracies = [score.accuracy for score in self.by_label.values()]
        return float(np.mean([value for value in accuracies if value is not None]))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            **self.overall.to_dict(),
            "mean_label_accuracy": self.mean_label_accuracy,
            "labels": {label: score.to_dict() for label, score in self.by_label.items()},
            "unknown_words": {
                word: score.to_dict() for word, score in sorted(self.unknown_words.items())
            },
            "confusion": {"labels": list(self.labels), "counts": self.confusion.tolist()},
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
            "mistakes": [
                {
                    "path": mistake.path,
                    "word": mistake.word,
                    "label": mistake.label,
                    "decision": mistake.decision,
                }
                for mistake in self.mistakes
            ],
        }


def select_clips(
    corpus: Corpus, words: Sequence[str], *, split: Part, balance: bool = False, seed: int = 0
) -> tuple[Clip, ...]:
    """Choose the clips of a split, and the label of each, by the rules of this module.

    Parameters
    ----------
    corpus
        The recordings.
    words
        The words that count as themselves.
    split
        "training", "validation", "testing", or "all" of them.
    balance
        Draw "unknown" and "silence" down to `NON_WORD_SHARE` of the word clips each.
    seed
        Seed of all random draws.

    Returns
    -------
    The clips of words, then unknown, then silence, each in the order of their paths. A label may
    have none, and the list may be empty.
    """
    unknown, silence = len(words), len(words) + 1
    label_of = {word: index for index, word in enumerate(words)}
    label_of |= {UNKNOWN_FOLDER: unknown, SILENCE_FOLDER: silence}
    groups: dict[int, list[Clip]] = {index: [] for index in range(len(words) + 2)}
    for recording in corpus.recordings:
        if recording.kind == "word" and split in ("all", recording.split):
            label = label_of.get(recording.label, unknown)
            groups[label].append(
                Clip(
                    label=label,
                    word=recording.label,
                    path=recording.path,
                    samples=corpus.samples(recording),
                )
            )
    rng = np.random.default_rng(seed)
    word_clips = sum(len(groups[index]) for index in range(len(words)))
    drawn = math.ceil(NON_WORD_SHARE * word_clips)
    if SILENCE_FOLDER not in corpus.report.word_counts:
        noise = [r for r in corpus.select("noise") if split in ("all", r.split)]
        groups[silence] = _cut_silence(corpus, noise, drawn, silence, rng)
    if balance:
        for label in (unknown, silence):
            if len(groups[label]) > drawn:
                kept = np.sort(rng.choice(len(groups[label]), drawn, replace=False))
                groups[label] = [groups[label][index] for index in kept]
    return tuple(clip for group in groups.values() for clip in group)


def _cut_silence(
    corpus: Corpus, noise: Sequence[Recording], count: int, label: int, rng: np.random.Generator
) -> list[Clip]:
    """Cut pieces from noise, at uniformly random places."""
    usable = [
        recording
        for recording in noise
        if recording.length >= _SILENCE_SAMPLES and corpus.samples(recording).any()
    ]
    if not usable:
        return []
    ends = np.cumsum([recording.length - _SILENCE_SAMPLES + 1 for recording in usable])
    clips: list[Clip] = []
    while len(clips) < count:
        place = int(rng.integers(ends[-1]))
        index = int(np.searchsorted(ends, place, side="right"))
        first = place - (int(ends[index - 1]) if index else 0)
        samples = corpus.samples(usable[index])[first : first + _SILENCE_SAMPLES]
        if samples.any():
            clips.append(
                Clip(
                    label=label,
                    word=usable[index].label,
                    path=f"{usable[index].path}@{first}",
                    samples=samples,
                )
            )
    return sorted(clips, key=lambda clip: clip.path)


def evaluate(
    model: Model,
    corpus: Corpus,
    *,
    split: Part,
    words: Sequence[str] | None = None,
    balance: bool = False,
    seed: int = 0,
    runtime: str | Runtime | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Let a model decide the clips of a part of a corpus.

    Parameters
    ----------
    model
        The int8 model with its manifest.
    corpus
        The recordings, loaded with ``keep_silent=True``.
    split
        "training", "validation", "testing", or "all" of them.
    words
        Words that are labels; by default those of the model. All others count as unknown, even if
        the model knows them; if it detects one of those, that counts as "unknown".
    balance, seed
        See `select_clips`.
    runtime
        The interpreter; see `harken.edge.Engine`.
    progress
        Called with (clips done, clips in all).

    Raises
    ------
    DataError
        The split has no clips, or neither model nor data know one of `words`.
    ModelError
        The model cannot run, or its sample rate is not 16 kHz.
    DependencyError
        The interpreter is missing.
    """
    manifest = model.manifest
    if manifest.front_end.sample_rate_hz != SAMPLE_RATE_HZ:
        raise ModelError(
            f"{manifest.name}: front_end.sample_rate_hz is {manifest.front_end.sample_rate_hz}; "
            f"recordings are read at {SAMPLE_RATE_HZ}, and only such models can be evaluated"
        )
    evaluated, notes = _choose_words(manifest.words, words, corpus)
    clips = select_clips(corpus, evaluated, split=split, balance=balance, seed=seed)
    if not clips:
        raise DataError(_nothing_there(corpus, split))
    labels = (*evaluated, *NON_WORDS)
    unknown, silence = len(evaluated), len(evaluated) + 1
    if all(clip.label >= unknown for clip in clips):
        notes.append(
            f"this split has no clips of {', '.join(evaluated)}; none of the words was evaluated"
        )
    elif not any(clip.label == silence for clip in clips):
        notes.append(
            f"no silence was evaluated: this split has neither {SILENCE_FOLDER} clips nor noise"
        )
    if split != "all" and {SILENCE_FOLDER, UNKNOWN_FOLDER} & set(corpus.words):
        notes.append(
            "the data look like the official test archive, all of which is for testing: "
            "consider --split all"
        )

    running = (
        TfliteRuntime(model, runtime) if runtime is None or isinstance(runtime, str) else runtime
    )
    spotter = Spotter(model, runtime=running)
    column = {label: index for index, label in enumerate(labels)}
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    unknown_clips: Counter[str] = Counter()
    unknown_right: Counter[str] = Counter()
    mistakes: list[Mistake] = []
    for number, clip in enumerate(clips, 1):
        decision = column.get(spotter.classify(clip.samples), unknown)
        confusion[clip.label, decision] += 1
        if clip.label == unknown:
            unknown_clips[clip.word] += 1
            unknown_right[clip.word] += decision == unknown
        if decision != clip.label:
            mistakes.append(
                Mistake(
                    path=clip.path,
                    word=clip.word,
                    label=labels[clip.label],
                    decision=labels[decision],
                )
            )
        if progress is not None:
            progress(number, len(clips))
    return Evaluation(
        labels=labels,
        confusion=confusion,
        unknown_words={
            word: Score(clips=count, right=unknown_right[word])
            for word, count in unknown_clips.items()
        },
        mistakes=tuple(mistakes),
        notes=tuple(notes),
        provenance={
            "harken": __version__,
            "model": manifest.name,
            "model_sha256": manifest.model.sha256,
            "model_bytes": manifest.model.bytes,
            "runtime": getattr(running, "name", type(running).__name__),
            "data_fingerprint": corpus.fingerprint,
            "data_skipped_files": len(corpus.report.skipped),
            "split": split,
            "split_rule": corpus.report.split_rule,
            "words": list(evaluated),
            "balance": balance,
            "seed": seed,
        },
    )


def _choose_words(
    known: Sequence[str], wanted: Sequence[str] | None, corpus: Corpus
) -> tuple[tuple[str, ...], list[str]]:
    """Return the words that are labels, and notes on the choice."""
    if wanted is None:
        return tuple(known), []
    for word in wanted:
        if word not in known and word not in corpus.words:
            raise DataError(
                f"{word!r} is neither a word of the model nor of the data; "
                f"the model knows {', '.join(known)}"
            )
    missing = [word for word in wanted if word not in known]
    notes = (
        [f"the model does not know {', '.join(missing)}: their clips count as unknown"]
        if missing
        else []
    )
    evaluated = tuple(dict.fromkeys(word for word in wanted if word in known))
    if not evaluated:
        raise DataError(f"the model knows none of {', '.join(wanted)}; it knows {', '.join(known)}")
    return evaluated, notes


def _nothing_there(corpus: Corpus, split: Part) -> str:
    counts = Counter(r.split for r in corpus.recordings if r.kind == "word")
    there = ", ".join(f"{count} {part}" for part, count in counts.items()) or "none at all"
    return (
        f"{corpus.root} holds no clips in the {split} split (there are: {there}; split "
        f"{corpus.report.split_rule}); choose another --split"
    )
