"""Teachers' outputs for clips in, the clips whose labels look wrong out.

A clip is suspect if every teacher that knows its label gives it less than 5 %, and

1. the teachers' mean probability of another word is 50 % or more: it is taken for that word; a
   teacher that knows that word and does not hear it lowers the mean; or
2. the teachers that know the label give no word even 20 %: it is taken for ``_silence_``, as when
   a recording was started too late; or
3. two or more teachers know the label: it is taken for the word with the highest mean.

If the only teacher that knows a label is merely uncertain, the clip is not suspect: it may be hard
to understand, and such clips are worth learning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...edge.errors import DataError
from ...edge.files import write_atomic
from ..corpus import SILENCE_FOLDER
from .outputs import TeacherOutputs
from .teacher import Float32, words_of

BOUND = 0.05
"""A label that every teacher gives less than this is doubtful."""
SURE = 0.5
"""A clip is taken for a word whose mean probability is at least this."""
NOTHING = 0.2
"""Without any word of at least this probability, a clip counts as silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A clip whose label looks wrong."""

    path: str
    """Path below the words' folder."""
    label: str
    taken_for: str
    """Another word, or ``_silence_`` if no word is heard."""
    probability: float
    """Mean probability of that word over the teachers that know it; for ``_silence_``, one minus
    the mean of the likeliest word."""


def wrong_labels(
    outputs: TeacherOutputs,
    clips: Iterable[tuple[str, str]],
    *,
    bound: float = BOUND,
    sure: float = SURE,
    nothing: float = NOTHING,
) -> tuple[Suspect, ...]:
    """Return the clips whose labels look wrong, by the rule of this module.

    Parameters
    ----------
    outputs
        Of these clips, at least.
    clips
        Path and label of each, as in `TeacherOutputs.clips`. A label that no teacher knows is never
        suspect.
    bound, sure, nothing
        Probabilities, see `BOUND`, `SURE` and `NOTHING`.

    Returns
    -------
    Sorted by label; within a label, by falling probability.

    Raises
    ------
    DataError
        A clip is not in the outputs.
    """
    pairs = list(clips)
    chosen = outputs.select([path for path, _ in pairs])
    labels = [label for _, label in pairs]
    words, mean = mean_probabilities(chosen)
    knowing = np.zeros(len(pairs), np.intp)
    of_label = np.zeros(len(pairs), np.float32)  # highest among the teachers that know the label
    of_any = np.zeros(len(pairs), np.float32)  # their highest for any word
    for name in chosen.names:
        heard = np.exp(chosen.log_probabilities[name])
        columns = {word: chosen.labels[name].index(word) for word in words_of(chosen.labels[name])}
        rows = np.array([row for row, label in enumerate(labels) if label in columns], np.intp)
        own = np.array([columns[labels[row]] for row in rows], np.intp)
        knowing[rows] += 1
        of_label[rows] = np.maximum(of_label[rows], heard[rows, own])
        highest = heard[:, list(columns.values())].max(axis=1, initial=0.0)
        of_any[rows] = np.maximum(of_any[rows], highest[rows])
    suspects = []
    for row in np.flatnonzero((knowing > 0) & (of_label < bound)):
        path, label = pairs[row]
        other = np.where([word == label for word in words], -1.0, mean[row])
        best = int(np.argmax(other))
        taken_for, probability = words[best], float(other[best])
        if probability < sure:
            if of_any[row] < nothing:
                taken_for, probability = SILENCE_FOLDER, 1.0 - float(of_any[row])
            elif knowing[row] < 2:
                continue
        suspects.append(
            Suspect(path=path, label=label, taken_for=taken_for, probability=probability)
        )
    return tuple(sorted(suspects, key=lambda one: (one.label, -one.probability, one.path)))


def mean_probabilities(outputs: TeacherOutputs) -> tuple[tuple[str, ...], Float32]:
    """Return all words that teachers know, and their mean over the teachers that know each.

    Returns
    -------
    The words, sorted, and their mean probabilities (clips, words) float32.
    """
    words = tuple(sorted({w for name in outputs.names for w in words_of(outputs.labels[name])}))
    total = np.zeros((len(outputs.clips), len(words)), np.float32)
    teachers = np.zeros(len(words), np.float32)
    for name in outputs.names:
        known = words_of(outputs.labels[name])
        columns = [words.index(word) for word in known]
        own = [outputs.labels[name].index(word) for word in known]
        total[:, columns] += np.exp(outputs.log_probabilities[name][:, own])
        teachers[columns] += 1
    return words, total / teachers


def write_suspects(suspects: Sequence[Suspect], path: str | Path) -> None:
    """Write suspects as text: path, label, taken for, probability, separated by tabs, no header.

    `harken.train.data` reads the file as ``wrong_labels.tsv``, after somebody has checked it.

    Raises
    ------
    DataError
        The system refuses: disk full, no permission, no such folder.
    """
    lines = [
        f"{one.path}\t{one.label}\t{one.taken_for}\t{one.probability:.2f}\n" for one in suspects
    ]
    write_atomic(path, "".join(lines), error=DataError)
