"""The errors that harken raises on purpose: one root class, one exit code and one line each."""

from __future__ import annotations

from typing import ClassVar


class HarkenError(Exception):
    """Root of all errors that harken raises on purpose.

    The message is one line for the person at the keyboard: what was wrong, the value, what would be
    right, what to type next. The command line prints it as it is and exits with `exit_code`.
    """

    exit_code: ClassVar[int] = 1


class ModelError(HarkenError):
    """A model or its manifest is missing or damaged, or the two do not agree."""

    exit_code: ClassVar[int] = 3


class AudioError(HarkenError):
    """Audio cannot be read or used: a file, standard input, a device, PortAudio."""

    exit_code: ClassVar[int] = 4


class DataError(HarkenError):
    """Recordings for training or evaluation are missing or cannot be used."""

    exit_code: ClassVar[int] = 5


class DependencyError(HarkenError):
    """An optional part of harken, or a TFLite interpreter, is not installed."""

    exit_code: ClassVar[int] = 6


class ExportError(HarkenError):
    """An exported model failed one of its own checks and was not written."""

    exit_code: ClassVar[int] = 7


class OutputError(ExportError):
    """A folder cannot be written to, or holds files that harken did not write."""

    exit_code: ClassVar[int] = 10


class RunError(HarkenError):
    """A run folder cannot be written, or cannot be resumed."""

    exit_code: ClassVar[int] = 8


class GrammarError(HarkenError):
    """A grammar of commands is missing or wrong."""

    exit_code: ClassVar[int] = 9
