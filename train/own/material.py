"""Words and what can speak in, a folder of recordings that `harken train` reads out."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...edge.errors import DataError
from ...edge.files import write_atomic
from ..cache import Progress
from ..data import WORDS_COLLECTION
from ..decode import AUDIO_SUFFIXES, SAMPLE_RATE_HZ
from ..synth.make import Collection, Tally, folder_of, make
from ..synth.sound import write_flac
from .voices import Speaker

ROOMS = 24
_RT60_S = (0.12, 0.6)
_DIRECT_DB = (-6.0, 12.0)  # the direct sound over all that follows
_HELD_OUT_VOICES = 6  # of so many voices, one is heard in validation alone
_HELD_OUT_RECORDINGS = 5  # of so many recordings of a word, one; none of fewer than twice as many
_VALIDATION_LIST = "validation_list.txt"


@dataclass(frozen=True, kw_only=True)
class Material:
    """What there is to learn from."""

    folder: Path
    """A collection (see `harken.train.data`)."""
    spoken: dict[str, Tally]
    """What became of the synthetic clips of each word."""
    recorded: dict[str, int]
    """Recordings by people of each word."""


def gather(
    folder: Path,
    words: Sequence[str],
    others: Sequence[str],
    speakers: Sequence[Speaker],
    recordings: Path | None,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Material:
    """Let voices say words, add recordings, and lay both out as training reads them.

    What is there is not made again. Without recordings, words are what voices say; with them,
    voices are an addition. One voice of six is held out in any case.

    Parameters
    ----------
    folder
        Where all of it goes.
    words
        The keywords.
    others
        What else voices say, to be told from the words.
    speakers
        What can speak.
    recordings
        A folder a word, as `harken record` makes them.
    seed
        Of all draws.
    progress
        Called with (clips done, clips in all).

    Raises
    ------
    DataError
        A voice fails, nothing can be said, or the folder cannot be written.
    """
    collection = Collection(folder / "voices")
    recorded = _recorded(recordings, words)
    spoken = [folder_of(word) for word in words]
    plan = [
        (speaker, chosen, takes)
        for speaker in speakers
        for chosen, takes in (
            (spoken, speaker.takes),
            ([folder_of(other) for other in others], max(1, speaker.takes // 3)),
        )
        if chosen
    ]
    total = sum(len(chosen) * len(s.engine.voices) * takes for s, chosen, takes in plan)
    names: list[str] = []
    done = 0
    for speaker, chosen, takes in plan:

        def tell(count: int, _: int, *, before: int = done) -> None:
            if progress is not None:
                progress(before + count, total)

        names += make(chosen, speaker.engine, collection, per_voice=takes, seed=seed, progress=tell)
        done += len(chosen) * len(speaker.engine.voices) * takes
    kept = [name for name in names if collection.clips[name].thrown is None]
    by_word = collection.by_word(names)
    for word in spoken:
        if not by_word[word].kept:
            raise DataError(
                f"no voice could say {word.replace('_', ' ')!r}; spell it as it sounds, or record "
                "it with `harken record`"
            )
    _lay_out(folder / "data", collection, kept, set(spoken), recorded)
    _rooms(folder / "data" / "simulated_rooms", seed)
    return Material(
        folder=folder / "data",
        spoken={word: by_word[word] for word in spoken},
        recorded={word: len(files) for word, files in recorded.items()},
    )


def _recorded(recordings: Path | None, words: Sequence[str]) -> dict[str, list[Path]]:
    """Return the recordings of each word."""
    if recordings is None:
        return {}
    if not recordings.is_dir():
        raise DataError(f"--recordings {recordings} is no folder; give one with a folder a word")
    found: dict[str, list[Path]] = {}
    for word in map(folder_of, words):
        folder = recordings / word
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        if files:
            found[word] = files
    if not found:
        there = ", ".join(sorted(p.name for p in recordings.iterdir() if p.is_dir())) or "nothing"
        raise DataError(
            f"--recordings {recordings} has none of {', '.join(words)}: there is a folder for "
            f"each word in it; there is {there}"
        )
    return found


def _lay_out(
    data: Path,
    collection: Collection,
    kept: Iterable[str],
    words: set[str],
    recorded: dict[str, list[Path]],
) -> None:
    """Copy clips to where training looks for them, and list those of held-out voices."""
    held_out: list[str] = []
    if data.exists():
        shutil.rmtree(data)
    kept = list(kept)
    unheard = _held_out([(name, collection.clips[name].voice) for name in kept])
    for name in kept:
        word, file = name.split("/")
        validation = name in unheard
        addition = word in recorded and not validation
        target = data / ("synthetic" if addition else WORDS_COLLECTION) / word / file
        _copy(collection.folder / name, target)
        if validation:
            held_out.append(name)
    for word, files in recorded.items():
        for index, recording in enumerate(files):
            name = f"{word}/recorded_{index:04d}{recording.suffix.lower()}"
            _copy(recording, data / WORDS_COLLECTION / name)
            if len(files) >= 2 * _HELD_OUT_RECORDINGS and not index % _HELD_OUT_RECORDINGS:
                held_out.append(name)
    text = "".join(f"{name}\n" for name in sorted(held_out))
    for list_name in (_VALIDATION_LIST, "testing_list.txt"):
        content = text if list_name == _VALIDATION_LIST else ""
        (data / "lists").mkdir(parents=True, exist_ok=True)
        write_atomic(data / "lists" / list_name, content, error=DataError)


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as problem:
        raise DataError(f"cannot copy {source} to {target}: {problem.strerror}") from None


def _held_out(clips: Sequence[tuple[str, str]]) -> set[str]:
    """Choose clips, given with their voices, that training does not hear: whole voices, if it can.

    Of a single voice one clip of six.
    """
    ranked = sorted({voice for _, voice in clips}, key=lambda voice: zlib.crc32(voice.encode()))
    if len(ranked) == 1:
        return {name for name, _ in clips[::_HELD_OUT_VOICES]}
    chosen = set(ranked[: max(1, len(ranked) // _HELD_OUT_VOICES)])
    return {name for name, voice in clips if voice in chosen}


def _rooms(folder: Path, seed: int) -> None:
    """Write impulse responses: a direct sound, and noise that dies away."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(ROOMS):
        rng = np.random.default_rng([seed, index])
        seconds = float(rng.uniform(*_RT60_S))
        samples = round(seconds * SAMPLE_RATE_HZ)
        tail = rng.standard_normal(samples) * 10 ** (-3 * np.arange(samples) / samples)
        tail *= 10 ** (-rng.uniform(*_DIRECT_DB) / 20) / np.sqrt(np.sum(tail**2))
        tail[0] = 1.0
        response = np.rint(tail / np.abs(tail).max() * 0.9 * 32767).astype(np.int16)
        write_flac(folder / f"decay_{index:02d}.flac", response)
