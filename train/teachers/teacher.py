"""The interface of a teacher: one second of audio in, log-probabilities of its labels out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ...edge.errors import DataError
from ...edge.files import read_text
from ..corpus import SILENCE_FOLDER, UNKNOWN_FOLDER
from ..decode import SAMPLE_RATE_HZ

Float32 = npt.NDArray[np.float32]
Samples = npt.NDArray[np.int16] | npt.NDArray[np.float32]
"""int16, or float32 with full scale at ±1; 16 kHz mono."""

WINDOW = SAMPLE_RATE_HZ
"""Samples that a teacher takes: one second."""

NON_WORDS = (SILENCE_FOLDER, UNKNOWN_FOLDER)
"""Labels of a teacher that are not words."""

_PCM_SCALE = 32768.0
_LOUDEST_FLOAT = 8.0  # a float clip may exceed ±1; one in int16 units is far above


class Teacher(Protocol):
    """A pretrained network that recognizes words."""

    @property
    def name(self) -> str:
        """Its name in files of outputs, from its file's name; see `teacher_name`."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels, in output order; ``_silence_`` and ``_unknown_`` are not words."""

    @property
    def rate_hz(self) -> int:
        """Sample rate of its input in Hz."""

    def log_probabilities(self, audio: Samples) -> Float32:
        """Classify each second of audio.

        Parameters
        ----------
        audio
            (n, 16000) int16, or float32 with full scale at ±1; n may be 0.

        Returns
        -------
        (n, labels) float32: natural logarithms of probabilities; those of a row sum to 1.

        Raises
        ------
        ValueError
            Audio of the wrong shape, type or scale.
        """


def words_of(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that are words."""
    return tuple(label for label in labels if label not in NON_WORDS)


def teacher_name(path: Path) -> str:
    """Return the name of the teacher in a file.

    That is the file's name without its extension, with an underscore before a number at its end:
    ``kwt1.tflite`` holds ``kwt_1``, ``bc_resnet_2.npz`` holds ``bc_resnet_2``.
    """
    return re.sub(r"(?<=[A-Za-z])(?=\d+$)", "_", path.stem)


def read_labels(path: Path, outputs: int, known: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a teacher.

    Parameters
    ----------
    path
        The teacher's file. ``NAME.labels.txt`` beside it, if present, holds its labels: one per
        line, in the order of its outputs.
    outputs
        Its number of outputs.
    known
        Its labels if there is no such file.

    Raises
    ------
    DataError
        The file cannot be read, repeats a label, or has the wrong number of labels.
    """
    file = path.with_name(f"{path.stem}.labels.txt")
    try:
        labels = tuple(read_text(file).split())
    except FileNotFoundError:
        if outputs != len(known):
            raise DataError(
                f"{path} has {outputs} outputs, and without a list of labels {len(known)} are "
                f"expected; write its labels to {file}, one per line, in the order of the outputs"
            ) from None
        return tuple(known)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 text (byte {error.start}); save it in that encoding"
        ) from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    if len(labels) != outputs:
        raise DataError(
            f"{file} holds {len(labels)} labels, but {path.name} has {outputs} outputs; give one "
            "label per line, in the order of the outputs"
        )
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise DataError(
            f"{file} names {', '.join(twice)} more than once; each output needs its own label"
        )
    return labels


def log_softmax(logits: npt.NDArray[Any]) -> Float32:
    """Return log-probabilities (n, labels) float32 of logits, or of log-probabilities."""
    values = logits.astype(np.float32)
    values -= values.max(axis=1, keepdims=True)
    values -= np.log(np.exp(values).sum(axis=1, keepdims=True))
    return values


def as_float(audio: Samples) -> Float32:
    """Return windows (n, 16000) as float32 with full scale at ±1.

    Raises
    ------
    ValueError
        Audio of the wrong shape, type or scale.
    """
    if audio.ndim != 2 or audio.shape[1] != WINDOW:
        raise ValueError(f"audio has shape {audio.shape}; it must be (n, {WINDOW})")
    if audio.dtype == np.int16:
        return audio.astype(np.float32) / np.float32(_PCM_SCALE)
    if audio.dtype != np.float32:
        raise ValueError(f"audio is {audio.dtype}; it must be int16 or float32")
    peak = float(np.abs(audio).max(initial=0.0))
    if not peak <= _LOUDEST_FLOAT:  # NaN too
        raise ValueError(f"audio is float32 with a peak of {peak:g}; full scale must be ±1")
    return np.asarray(audio, np.float32)


def one_second(samples: Samples, *, place: Literal["start", "middle"] = "start") -> Samples:
    """Return exactly one second of a clip.

    A shorter clip is padded with zeros, after it (as the teachers were trained) or on both sides.
    Of a longer one, the second with the most energy is taken.

    Parameters
    ----------
    samples
        (m,) int16 or float32, 16 kHz, of any length.
    place
        Where a shorter clip is placed.

    Returns
    -------
    (16000,) of the same type.
    """
    missing = WINDOW - len(samples)
    if missing >= 0:
        before = 0 if place == "start" else missing // 2
        return np.pad(samples, (before, missing - before))  # type: ignore[return-value]
    energy = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
    first = int(np.argmax(energy[WINDOW:] - energy[:-WINDOW]))
    return samples[first : first + WINDOW]


def probability_of(teachers: Sequence[Teacher], audio: Sequence[Samples], word: str) -> Float32:
    """Return the probability that clips hold a word: the mean of the teachers that know it.

    Parameters
    ----------
    teachers
        Those that do not know the word are ignored.
    audio
        Clips of up to a second, (m,) int16 or float32 at 16 kHz each, or an array (n, m). They are
        placed in the middle of a second of silence.
    word
        The word that they should hold.

    Returns
    -------
    (n,) float32, 0 to 1.

    Raises
    ------
    DataError
        No teacher knows the word, or a clip is longer than a second.
    """
    knowing = [teacher for teacher in teachers if word in words_of(teacher.labels)]
    if not knowing:
        known = sorted({known for teacher in teachers for known in words_of(teacher.labels)})
        raise DataError(
            f"no teacher knows the word {word!r}; they know: {', '.join(known) or 'nothing'}"
        )
    longest = max(map(len, audio), default=0)
    if longest > WINDOW:
        raise DataError(
            f"a clip of {word!r} lasts {longest / SAMPLE_RATE_HZ:.2f} s; teachers take up to 1 s, "
            "so cut it first"
        )
    if not len(audio):
        return np.zeros(0, np.float32)
    windows = np.concatenate(
        [as_float(one_second(clip, place="middle")[np.newaxis]) for clip in audio]
    )
    heard = [
        np.exp(teacher.log_probabilities(windows)[:, teacher.labels.index(word)])
        for teacher in knowing
    ]
    mean: Float32 = np.mean(heard, axis=0, dtype=np.float32)
    return mean
