"""Outputs of teachers for clips: an npz file in, `TeacherOutputs` out, and back.

The file holds ``clips`` (n,), the paths of the clips below the words' folder, and for each teacher
NAME its logits or log-probabilities ``NAME`` (n, labels) float16 and its labels ``NAME_labels``.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...edge.errors import DataError
from ...edge.files import write_atomic
from .teacher import Float32, log_softmax

_CLIPS = "clips"
_LABELS = "_labels"
_LEAST = -6e4  # the lowest float16 is −65504
_REMEDY = "make it again with `harken teach`"


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherOutputs:
    """Outputs of teachers for clips.

    Raises
    ------
    DataError
        A clip is listed twice, or the arrays do not match the clips and the labels.
    """

    clips: tuple[str, ...]
    """Paths below the words' folder, such as ``yes/0a7c2a8d_nohash_0.wav``."""
    labels: Mapping[str, tuple[str, ...]]
    """By teacher."""
    log_probabilities: Mapping[str, Float32]
    """By teacher, (clips, its labels) float32."""

    def __post_init__(self) -> None:
        if len(set(self.clips)) < len(self.clips):
            twice = next(clip for clip in self.clips if self.clips.count(clip) > 1)
            raise DataError(f"the outputs of the teachers list the clip {twice} twice; {_REMEDY}")
        for name, values in self.log_probabilities.items():
            wanted = (len(self.clips), len(self.labels[name]))
            if values.shape != wanted:
                raise DataError(
                    f"the outputs of the teacher {name} have shape {values.shape}; for "
                    f"{wanted[0]} clips and {wanted[1]} labels it must be {wanted}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The teachers, sorted."""
        return tuple(sorted(self.log_probabilities))

    def require_teachers(self, labels: Mapping[str, tuple[str, ...]]) -> None:
        """Check that the outputs come from certain teachers, given with their labels.

        Raises
        ------
        DataError
            They come from others, or from ones with other labels.
        """
        if sorted(labels) != list(self.names):
            raise DataError(
                f"the outputs are from {', '.join(self.names)}, but the teachers are "
                f"{', '.join(sorted(labels))}; give the same teachers, or omit the outputs"
            )
        for name, wanted in labels.items():
            if self.labels[name] != wanted:
                raise DataError(
                    f"the outputs of {name} have the labels {', '.join(self.labels[name])}; the "
                    f"teacher has {', '.join(wanted)}; omit the outputs"
                )

    def select(self, clips: Sequence[str]) -> TeacherOutputs:
        """Return the outputs of some clips, in the given order.

        Raises
        ------
        DataError
            Some are missing; says how many, and names the first.
        """
        rows = {clip: row for row, clip in enumerate(self.clips)}
        missing = [clip for clip in clips if clip not in rows]
        if missing:
            raise DataError(
                f"the outputs of the teachers lack {len(missing):,} of {len(clips):,} clips, the "
                f"first: {missing[0]}; also give the teachers: --teachers DIR --out FILE"
            )
        order = np.array([rows[clip] for clip in clips], np.intp)
        return TeacherOutputs(
            clips=tuple(clips),
            labels=self.labels,
            log_probabilities={
                name: values[order] for name, values in self.log_probabilities.items()
            },
        )

    @staticmethod
    def read(path: str | Path) -> TeacherOutputs:
        """Read a file of outputs; logits become log-probabilities.

        Raises
        ------
        DataError
            The file is missing, damaged, or not a file of outputs.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise DataError(f"there is no file {path}; {_REMEDY}") from None
        except (
            *(OSError, ValueError, EOFError, AttributeError),
            *(zipfile.BadZipFile, zlib.error),
        ) as error:
            raise DataError(f"{path} is not a readable npz file ({error}); {_REMEDY}") from (error)
        clips = arrays.pop(_CLIPS, None)
        if clips is None or clips.ndim != 1 or clips.dtype.kind != "U":
            found = "is missing" if clips is None else f"is {clips.dtype} of {clips.shape}"
            raise DataError(
                f"{path} holds no outputs of teachers: its array {_CLIPS} {found}, where paths "
                f"belong; {_REMEDY}"
            )
        labels: dict[str, tuple[str, ...]] = {}
        values: dict[str, Float32] = {}
        for name, array in arrays.items():
            if name.endswith(_LABELS) and name.removesuffix(_LABELS) in arrays:
                continue
            names = arrays.get(name + _LABELS)
            if names is None or names.ndim != 1 or names.dtype.kind != "U":
                raise DataError(
                    f"{path}: the labels of {name} are missing; they belong in {name}{_LABELS}"
                )
            wanted = (len(clips), len(names))
            if array.shape != wanted or not np.issubdtype(array.dtype, np.floating):
                raise DataError(
                    f"{path}: {name} is {array.dtype} of shape {array.shape}; for {wanted[0]} "
                    f"clips and {wanted[1]} labels it must be float16 of shape {wanted}"
                )
            if not np.isfinite(array).all():
                raise DataError(f"{path}: {name} holds NaN or infinite values; {_REMEDY}")
            labels[name] = tuple(str(label) for label in names)
            values[name] = log_softmax(array) if array.size else array.astype(np.float32)
        if not values:
            raise DataError(f"{path} holds clips, but no outputs of teachers; {_REMEDY}")
        return TeacherOutputs(
            clips=tuple(str(clip) for clip in clips), labels=labels, log_probabilities=values
        )

    def write(self, path: str | Path) -> None:
        """Write a file of outputs, completely or not at all.

        Raises
        ------
        DataError
            The system refuses: disk full, no permission, no such folder.
        """
        arrays = {_CLIPS: np.array(self.clips, dtype=np.str_)}
        for name in self.names:
            clipped = np.maximum(self.log_probabilities[name], _LEAST)
            arrays[name] = clipped.astype(np.float16)
            arrays[name + _LABELS] = np.array(self.labels[name], dtype=np.str_)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_atomic(path, buffer.getvalue(), error=DataError)
