"""Audio in; out come the words that a program detected in it: anything that scenes can measure.

`AdapterSubject` runs any program that spots words, behind an adapter: a command that reads raw
16-bit samples (little-endian, mono, 16 kHz) from standard input until it ends, and prints one JSON
object per line for each word it detects:

    {"word": "left", "end_s": 1.24, "confidence": 0.93}

``word``
    The detected word. The words to spot are in the environment variable HARKEN_WORDS, separated by
    commas; any others are counted and otherwise ignored.
``end_s``
    How much of the audio had been heard when the word was detected, in seconds.
``confidence``
    The confidence, higher is surer; optional. If every event has one, harken can sweep a threshold
    over it. So an adapter should also report words it is unsure of.

Other fields are ignored. The command's standard error is shown if it fails.
``harken listen MODEL --stdin --json`` is such a command.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DataError
from ..decode import SAMPLE_RATE_HZ
from .scoring import Heard

WORDS_VARIABLE = "HARKEN_WORDS"
"""Environment variable that tells an adapter which words to spot, separated by commas."""

# A scene may take ten times its own length, plus a minute to start.
_TIMEOUT_S, _TIMEOUT_FACTOR = 60.0, 10.0

# For an end that was rounded, or that includes a last step padded with silence.
_SLACK_S = 0.5

_SHOWN_LINES = 5


class Subject(Protocol):
    """A program that spots words."""

    @property
    def name(self) -> str:
        """What to call it in reports."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it spots."""

    def hear(self, pcm: NDArray[np.int16]) -> list[Heard]:
        """Process a scene from its start.

        Parameters
        ----------
        pcm
            (n,) int16, 16 kHz.

        Returns
        -------
        The detected words, in order of time.
        """


class AdapterSubject:
    """A program behind an adapter, see this module; restarted for every scene.

    Parameters
    ----------
    command
        The command line; split as by a shell, but run without one.
    words
        The words to spot.
    timeout_s
        How long the command may take for a scene; by default ten times the scene's length and a
        minute.

    Raises
    ------
    DataError
        The command line is empty, its quotes do not match, or there is no such program.
    """

    def __init__(
        self, command: str, words: Sequence[str], *, timeout_s: float | None = None
    ) -> None:
        self.name = command
        """The command line."""
        self.words = tuple(words)
        """The words to spot."""
        self.ignored: Counter[str] = Counter()
        """Words that it detected although they were not asked for, with their counts."""
        self._timeout_s = timeout_s
        try:
            self._arguments = shlex.split(command)
        except ValueError as problem:
            raise DataError(
                f"the adapter {command!r} is not a command line: {problem}; check its quotes"
            ) from None
        if not self._arguments:
            raise DataError(
                "the adapter is an empty command line; give a program, as in "
                "--adapter 'python bench/adapters/pocketsphinx_kws.py'"
            )
        if not self.words:
            raise DataError("an adapter must be told which words to spot: --words yes,no,left")
        program = self._arguments[0]
        if shutil.which(program) is None:
            raise DataError(
                f"the adapter cannot be started: there is no program {program!r}; check the "
                "spelling, or give its path"
            )

    def hear(self, pcm: NDArray[np.int16]) -> list[Heard]:
        """Run the command on a scene, from its start.

        Parameters
        ----------
        pcm
            (n,) int16, 16 kHz.

        Returns
        -------
        The detected words that were asked for, in order of time.

        Raises
        ------
        DataError
            The command cannot be started, fails, takes too long, or prints a line that is no event.
        """
        seconds = len(pcm) / SAMPLE_RATE_HZ
        heard = []
        for number, line in enumerate(self._run(pcm).splitlines(), 1):
            if not line.strip():
                continue
            try:
                event = read_event(line, seconds=seconds)
            except ValueError as problem:
                raise DataError(
                    f"line {number} that the adapter {self.name!r} printed {problem}; it must "
                    f'print lines like {{"word": "left", "end_s": 1.24, "confidence": 0.93}}'
                ) from None
            if event.word in self.words:
                heard.append(event)
            else:
                self.ignored[event.word] += 1
        return sorted(heard, key=lambda event: event.time_s)

    def notes(self) -> list[str]:
        """Say in lines what a reader of the figures needs to know."""
        if not self.ignored:
            return []
        words = ", ".join(f"{word} {count}" for word, count in self.ignored.most_common(10))
        return [
            f"{self.ignored.total()} events of words that were not asked for were left out: {words}"
        ]

    def _run(self, pcm: NDArray[np.int16]) -> str:
        """Run the command on a scene and return its output."""
        allowed_s = self._timeout_s
        if allowed_s is None:
            allowed_s = _TIMEOUT_S + _TIMEOUT_FACTOR * len(pcm) / SAMPLE_RATE_HZ
        environment = {**os.environ, WORDS_VARIABLE: ",".join(self.words)}
        # The audio is a file, not a pipe: a command may end before it has read all of it.
        with tempfile.TemporaryFile() as sound:
            sound.write(pcm.astype("<i2", copy=False).tobytes())
            sound.seek(0)
            try:
                done = subprocess.run(
                    self._arguments,
                    stdin=sound,
                    capture_output=True,
                    timeout=allowed_s,
                    env=environment,
                    check=False,
                )
            except OSError as problem:
                raise DataError(
                    f"the adapter {self.name!r} cannot be started: {problem.strerror}; "
                    "check that it is a program and may be run"
                ) from None
            except subprocess.TimeoutExpired as late:
                raise DataError(
                    f"the adapter {self.name!r} had not finished after {allowed_s:g} s with a "
                    f"scene of {len(pcm) / SAMPLE_RATE_HZ:.0f} s; it must end when its standard "
                    f"input does{_last_lines(late.stderr)}"
                ) from None
        if done.returncode:
            ended = (
                f"ended with status {done.returncode}"
                if done.returncode > 0
                else f"was killed by signal {-done.returncode}"
            )
            raise DataError(f"the adapter {self.name!r} {ended}{_last_lines(done.stderr)}")
        try:
            return done.stdout.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise DataError(
                f"the output of the adapter {self.name!r} is not UTF-8 text (byte {problem.start})"
            ) from None


def read_event(line: str, *, seconds: float) -> Heard:
    """Read a line that an adapter printed.

    Parameters
    ----------
    line
        A JSON object, see this module.
    seconds
        Length of the audio that it processed.

    Raises
    ------
    ValueError
        It is no event. Says what is wrong, as the end of a sentence that starts with the line.
    """
    try:
        data = json.loads(line)
    except ValueError:
        raise ValueError(f"is not JSON: {_shortened(line)}") from None
    if not isinstance(data, dict):
        raise ValueError(f"is not a JSON object: {_shortened(line)}")
    word = data.get("word")
    if not isinstance(word, str) or not word:
        raise ValueError(f"has no word: {_shortened(line)}")
    end_s = _number(data, "end_s", line)
    if end_s is None:
        raise ValueError(f"has no end_s: {_shortened(line)}")
    if not 0 <= end_s <= seconds + _SLACK_S:
        raise ValueError(
            f"says that {word!r} ended at {end_s:g} s, but the sound goes from 0 to {seconds:g} s"
        )
    return Heard(
        word=word, time_s=min(end_s, seconds), confidence=_number(data, "confidence", line)
    )


def all_confident(events: Iterable[Heard]) -> bool:
    """Return whether every event has a confidence, so that a threshold on it can be swept."""
    return all(event.confidence is not None for event in events)


def _number(data: Mapping[str, Any], name: str, line: str) -> float | None:
    """Return a finite number; None if the field is missing."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"has the {name} {value!r}, which is not a number: {_shortened(line)}")
    return float(value)


def _shortened(line: str, most: int = 80) -> str:
    line = line.strip()
    return repr(line if len(line) <= most else line[:most] + "…")


def _last_lines(output: bytes | None) -> str:
    """Return the end of a command's error output, to be appended to a sentence."""
    lines = [line for line in (output or b"").decode("utf-8", "replace").splitlines() if line]
    return ": " + " | ".join(lines[-_SHOWN_LINES:]) if lines else ""
