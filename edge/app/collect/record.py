"""Words to record in, a folder of recordings as ``harken train`` reads them out.

``DIR/WORD/SPEAKER/0001.wav``: a folder a speaker, because training then keeps speakers apart where
there are three or more, and divides the recordings of one or two among its parts. A name such as
``SPEAKER_nohash_0.wav`` would put all of a speaker into one part, be it the only one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AudioError, DataError
from ...files import write_atomic
from .clips import RATE_HZ, wav
from .export import NOISE_FOLDER
from .schedule import interleave
from .takes import BadTakeError, Take, Tape, peak_dbfs, take_word, too_loud

if TYPE_CHECKING:
    from collections.abc import Callable

    from .player import Player

_COUNT_S = 0.4  # from one number of the countdown to the next
_COUNT = ("3", "2", "1")
_PAUSE_S = 0.25  # after a take
_GUESSED_S = 3.5  # for a recording, while there are none to tell from
_TRIES = 5  # of one recording in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be recorded."""

    out: Path
    speaker: str
    """Name of the speaker's folder."""
    words: Sequence[str]
    clips: int
    """Recordings of each word that there shall be."""
    seconds: float
    """Length of a recording."""

    def folder(self, word: str) -> Path:
        """Return where the recordings of a word go."""
        return self.out / word / self.speaker

    def there(self) -> dict[str, int]:
        """Return how many recordings of each word there are.

        Raises
        ------
        DataError
            A folder cannot be read.
        """
        return {word: len(_numbers(self.folder(word))) for word in self.words}

    def missing(self) -> dict[str, int]:
        """Return how many recordings of each word are missing; see `there`."""
        return {word: max(0, self.clips - count) for word, count in self.there().items()}


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far recording is."""

    todo: int
    done: int = 0
    repeated: int = 0
    """Takes that had to be said again."""
    noise_s: float = 0.0
    """Background noise that was recorded."""
    spent_s: float = 0.0
    """Time that the recordings took, countdowns and repetitions included."""

    @property
    def clip_s(self) -> float | None:
        """Time for one recording; None while there is none."""
        return self.spent_s / self.done if self.done else None

    @property
    def left_s(self) -> float:
        """Time that the rest will take."""
        return (self.todo - self.done) * (self.clip_s or _GUESSED_S)

    def to_dict(self, plan: Plan) -> dict[str, Any]:
        """Return all about it as plain JSON types."""
        there = plan.there()
        return {
            "out": str(plan.out),
            "speaker": plan.speaker,
            "recorded": self.done,
            "repeated": self.repeated,
            "noise_s": round(self.noise_s, 2),
            "seconds_per_clip": None if self.clip_s is None else round(self.clip_s, 2),
            "there": there,
            "missing": plan.missing(),
            "finished": not any(plan.missing().values()),
        }


def record(
    plan: Plan,
    tape: Tape,
    progress: Progress,
    *,
    say: Callable[..., object],
    player: Player | None = None,
    seed: int | None = None,
) -> None:
    """Record what is missing, each as soon as it is said; what is on the disk stays.

    Parameters
    ----------
    plan
        What there shall be.
    tape
        The sound.
    progress
        Is brought up to date.
    say
        Prints a text, and ends the line unless it is given ``end=""``.
    player
        Plays each recording back, if given.
    seed
        Of the order of the words.

    Raises
    ------
    AudioError
        The source failed, or a recording failed again and again.
    DataError
        A recording cannot be written.
    """
    order = interleave(plan.missing(), Random(seed))
    for word in order:
        began = time.monotonic()
        number = f"{progress.done + 1}/{progress.todo}"
        say(f"{number:>7}  {duration(progress.left_s)} left   say {word!r}")
        take = _take(plan, tape, progress, word, say)
        _store(plan, word, take)
        progress.done += 1
        say(f"         good ({take.peak_dbfs:.0f} dBFS, {take.snr_db:.0f} dB over the noise)")
        if player is not None:
            player.play(take.samples)
            tape.read(len(take.samples) / RATE_HZ)
        tape.read(_PAUSE_S)
        progress.spent_s += time.monotonic() - began


def record_noise(
    plan: Plan, tape: Tape, progress: Progress, seconds: float, *, say: Callable[..., object]
) -> None:
    """Record background noise, whole: where sound is lost, it begins anew.

    Raises
    ------
    AudioError
        The source failed, or delivers nothing but zeros.
    DataError
        The recording cannot be written.
    """
    say(f"Background noise, {seconds:g} s: say nothing, and let the room sound as it does.")
    pieces: list[np.ndarray[Any, np.dtype[np.int16]]] = []
    left_s = seconds
    while left_s > 0:
        position = tape.position
        tape.read(min(1.0, left_s))
        if pieces and tape.whole_since > position:
            say("audio was dropped, because this computer was too slow: starting over")
            pieces, left_s = [], seconds
            continue
        pieces.append(tape.since(position))
        left_s -= len(pieces[-1]) / RATE_HZ
    noise = np.concatenate(pieces)
    if not noise.any():
        raise AudioError(
            "nothing but zeros came for background noise: is the microphone muted, or may this "
            "program not use it?"
        )
    if too_loud(noise):
        say("it was so loud that it is clipped: turn the microphone down for the next time")
    name = f"noise_{datetime.now(UTC):%Y%m%dT%H%M%S%f}.wav"
    _write(plan.out / NOISE_FOLDER / name, wav(noise))
    progress.noise_s += len(noise) / RATE_HZ
    say(f"good (peak {peak_dbfs(noise):.0f} dBFS)")


def duration(seconds: float) -> str:
    """Return a time that is left, for people."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _take(
    plan: Plan, tape: Tape, progress: Progress, word: str, say: Callable[..., object]
) -> Take:
    problem = ""
    for _ in range(_TRIES):
        say("         ", end="")
        for number in _COUNT:
            say(f"{number} ", end="")
            tape.read(_COUNT_S)
        try:
            return take_word(tape, seconds=plan.seconds, prompt=lambda: say("now"))
        except BadTakeError as bad:
            problem = str(bad)
            progress.repeated += 1
            say(f"         {problem}")
    raise AudioError(f"{word!r} failed {_TRIES} times in a row, the last time: {problem}")


def _store(plan: Plan, word: str, take: Take) -> None:
    folder = plan.folder(word)
    number = max(_numbers(folder), default=0) + 1
    _write(folder / f"{number:04}.wav", wav(take.samples))


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"cannot make the folder {path.parent}: {problem.strerror}") from None
    write_atomic(path, content, error=DataError)


def _numbers(folder: Path) -> list[int]:
    """Return the numbers of the recordings in a folder."""
    try:
        return [
            int(path.stem)
            for path in folder.iterdir()
            if path.suffix == ".wav" and path.stem.isdecimal()
        ]
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise DataError(f"cannot read {folder}: {problem.strerror}") from None
