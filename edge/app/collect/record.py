"""Words to record in, a folder of recordings as ``harken train`` reads them out.

``DIR/WORD/SPEAKER/0001.wav``: a folder per speaker, because training then keeps speakers apart if
there are three or more, and splits the recordings of one or two among its parts. A name such as
``SPEAKER_nohash_0.wav`` would put all recordings of a speaker into one part, even the only speaker.
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

_COUNT_S = 0.4  # between numbers of the countdown
_COUNT = ("3", "2", "1")
_PAUSE_S = 0.25  # after a take
_GUESSED_S = 3.5  # estimate for a recording, before there are any
_TRIES = 5  # consecutive attempts at one recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to record."""

    out: Path
    speaker: str
    """The speaker's folder name."""
    words: Sequence[str]
    clips: int
    """Number of recordings per word."""
    seconds: float
    """Length of a recording."""

    def folder(self, word: str) -> Path:
        """Return the folder for a word's recordings."""
        return self.out / word / self.speaker

    def there(self) -> dict[str, int]:
        """Return the number of existing recordings of each word.

        Raises
        ------
        DataError
            A folder cannot be read.
        """
        return {word: len(_numbers(self.folder(word))) for word in self.words}

    def missing(self) -> dict[str, int]:
        """Return the number of missing recordings of each word; see `there`."""
        return {word: max(0, self.clips - count) for word, count in self.there().items()}


@dataclass(slots=True, kw_only=True)
class Progress:
    """The progress of recording."""

    todo: int
    done: int = 0
    repeated: int = 0
    """Takes that had to be repeated."""
    noise_s: float = 0.0
    """Length of the recorded background noise."""
    spent_s: float = 0.0
    """Time spent on recordings, including countdowns and repetitions."""

    @property
    def clip_s(self) -> float | None:
        """Time per recording; None before the first."""
        return self.spent_s / self.done if self.done else None

    @property
    def left_s(self) -> float:
        """Estimated remaining time."""
        return (self.todo - self.done) * (self.clip_s or _GUESSED_S)

    def to_dict(self, plan: Plan) -> dict[str, Any]:
        """Return the progress as plain JSON types."""
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
    """Record the missing words, saving each at once; existing recordings are kept.

    Parameters
    ----------
    plan
        What to record.
    tape
        The sound.
    progress
        Updated after each take.
    say
        Prints a text, like `print`, and a line end unless ``end=""``.
    player
        Plays each recording back, if given.
    seed
        Seed for the order of the words.

    Raises
    ------
    AudioError
        The source failed, or a recording failed repeatedly.
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
    """Record background noise without gaps: if audio is lost, it starts over.

    Raises
    ------
    AudioError
        The source failed, or delivers nothing but zeros.
    DataError
        The recording cannot be written.
    """
    say(f"Background noise, {seconds:g} s: be quiet, and let the room sound as usual.")
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
        say("it was so loud that it clipped: turn the microphone down next time")
    name = f"noise_{datetime.now(UTC):%Y%m%dT%H%M%S%f}.wav"
    _write(plan.out / NOISE_FOLDER / name, wav(noise))
    progress.noise_s += len(noise) / RATE_HZ
    say(f"good (peak {peak_dbfs(noise):.0f} dBFS)")


def duration(seconds: float) -> str:
    """Return a remaining time as text."""
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
