"""Files in, teachers out."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ...edge.errors import DataError
from .bc_resnet import BcResNet
from .kwt import TfliteTeacher
from .teacher import Teacher

_OUTPUTS_MEMBER = "clips.npy"  # only in a file of outputs, not in one of weights


def open_teacher(path: str | Path) -> Teacher:
    """Open a teacher; its file extension selects the type.

    Parameters
    ----------
    path
        ``.tflite``: see `harken.train.teachers.kwt.TfliteTeacher`; ``.npz``: the weights of a
        `harken.train.teachers.bc_resnet.BcResNet`.

    Raises
    ------
    DataError
        The file is missing, damaged, or not a teacher.
    DependencyError
        No TFLite interpreter is installed.
    """
    path = Path(path)
    if path.suffix == ".tflite":
        return TfliteTeacher(path)
    if path.suffix == ".npz":
        return BcResNet(path)
    raise DataError(f"the teacher {path} ends with {path.suffix!r}; it must be .tflite or .npz")


def open_teachers(folder: str | Path) -> tuple[Teacher, ...]:
    """Open all teachers of a folder, sorted by name; files of outputs are skipped.

    Raises
    ------
    DataError
        There is no such folder, it holds no teachers, or one of them is damaged.
    DependencyError
        No TFLite interpreter is installed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"the folder of teachers {folder} {what}")
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in (".tflite", ".npz")
        and not path.name.startswith(".")
        and not _holds_outputs(path)
    )
    teachers = sorted(map(open_teacher, files), key=lambda teacher: teacher.name)
    if not teachers:
        raise DataError(f"{folder} holds no teachers; put .tflite or .npz networks there")
    names = [teacher.name for teacher in teachers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{folder} holds two teachers named {twice[0]}; rename one of them")
    return tuple(teachers)


def _holds_outputs(path: Path) -> bool:
    if path.suffix != ".npz" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return _OUTPUTS_MEMBER in file.namelist()
