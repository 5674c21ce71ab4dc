"""Recordings and teachers in, the teachers' outputs for each word clip out; resumable."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...edge.errors import DataError
from ..cache import Progress
from ..corpus import Corpus, Recording
from ..scan import WORDS_COLLECTION
from .outputs import TeacherOutputs
from .teacher import Float32, Teacher, as_float, one_second

_BATCH = 64
_KEEP_S = 60.0


def word_clips(corpus: Corpus) -> dict[str, Recording]:
    """Return the word clips of a corpus by their path below the words' folder, sorted."""
    prefix = f"{WORDS_COLLECTION}/" if corpus.report.layout == "collection" else ""
    return {recording.path.removeprefix(prefix): recording for recording in corpus.select("word")}


def partial_path(out: Path) -> Path:
    """Return where the outputs of an unfinished run are stored: beside the finished ones."""
    return out.with_name(f"{out.stem}.part.npz")


def run_teachers(
    corpus: Corpus,
    teachers: Sequence[Teacher],
    *,
    known: TeacherOutputs | None = None,
    partial: Path | None = None,
    progress: Progress | None = None,
    keep_s: float = _KEEP_S,
) -> TeacherOutputs:
    """Run teachers on all word clips of a corpus.

    A clip shorter than a second is padded with zeros at its end; of a longer one, the loudest
    second is used (see `harken.train.teachers.teacher.one_second`).

    Parameters
    ----------
    corpus
        The recordings; those of words are used.
    teachers
        At least one.
    known
        Outputs of the same teachers; clips in them are not processed again. Clips are identified by
        their paths only.
    partial
        File that stores the outputs so far, every `keep_s` seconds and on interruption. If it
        exists, the run continues from it. When the outputs are saved, remove it with
        `remove_partial`.
    progress
        Called with (clips done, clips in all).
    keep_s
        Seconds.

    Returns
    -------
    The outputs of all word clips of the corpus, sorted by path.

    Raises
    ------
    DataError
        `known` or `partial` is damaged or from other teachers, or `partial` cannot be written.
    """
    labels = {teacher.name: teacher.labels for teacher in teachers}
    done = _Done(labels)
    sources = [] if known is None else [known]
    if partial is not None and partial.exists():
        sources.append(TeacherOutputs.read(partial))
    clips = word_clips(corpus)
    for source in sources:
        source.require_teachers(labels)
        done.add([clip for clip in source.clips if clip in clips], source)
    left = [clip for clip in clips if clip not in done]
    kept_at, unkept = time.monotonic(), False
    try:
        for first in range(0, len(left), _BATCH):
            batch = left[first : first + _BATCH]
            seconds = [one_second(corpus.samples(clips[clip])) for clip in batch]
            audio = np.concatenate([as_float(second[np.newaxis]) for second in seconds])
            values = {teacher.name: teacher.log_probabilities(audio) for teacher in teachers}
            done.add(
                batch,
                TeacherOutputs(clips=tuple(batch), labels=labels, log_probabilities=values),
            )
            unkept = True
            if progress is not None:
                progress(len(done), len(clips))
            if partial is not None and time.monotonic() - kept_at >= keep_s:
                done.outputs(list(done)).write(partial)
                kept_at, unkept = time.monotonic(), False
    except KeyboardInterrupt:
        if partial is not None and unkept:
            done.outputs(list(done)).write(partial)
        raise
    return done.outputs(list(clips))


class _Done(dict[str, Mapping[str, Float32]]):
    """Rows of outputs by clip."""

    def __init__(self, labels: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__()
        self._labels = labels

    def add(self, clips: Sequence[str], outputs: TeacherOutputs) -> None:
        """Add these outputs for some clips."""
        rows = {clip: row for row, clip in enumerate(outputs.clips)}
        for clip in clips:
            self[clip] = {
                name: values[rows[clip]] for name, values in outputs.log_probabilities.items()
            }

    def outputs(self, clips: Sequence[str]) -> TeacherOutputs:
        """Return the outputs of finished clips."""
        return TeacherOutputs(
            clips=tuple(clips),
            labels=self._labels,
            log_probabilities={
                name: np.stack([self[clip][name] for clip in clips])
                if clips
                else np.zeros((0, len(labels)), np.float32)
                for name, labels in self._labels.items()
            },
        )


def remove_partial(partial: Path) -> None:
    """Remove the outputs of a finished run.

    Raises
    ------
    DataError
        The system refuses.
    """
    try:
        partial.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{partial} cannot be removed: {error.strerror}") from error
