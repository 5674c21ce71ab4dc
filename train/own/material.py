"""Words and voices in; out comes a folder of recordings that `harken train` can read."""

from __future__ import annotations

import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DataError
from ...edge.files import refusal, write_atomic
from ..cache import Progress
from ..decode import AUDIO_SUFFIXES, SAMPLE_RATE_HZ, DecodeError, decode
from ..scan import WORDS_COLLECTION
from ..synth.engines import Engine
from ..synth.make import Collection, Tally, folder_of, make
from ..synth.sound import write_flac
from .advice import FEWEST_PHONES, LEAST_UNLIKENESS
from .likeness import REFERENCES, Likeness, same_word
from .near import pronunciations, unlikeness
from .voices import Speaker

T = TypeVar("T")

STATE_FILE = "new.json"
"""In the folder of all that is made: what was asked for, and what came of it."""

ROOMS = 24
_COMPARED = 8  # number of other words to compare a clip with
_MOST_UNLIKE = 1 / 3  # of the clips of a word; if more are, the references are wrong
_CHILDREN = 0.4  # share of the takes that sound like children
_RT60_S = (0.12, 0.6)
_DIRECT_DB = (-6.0, 12.0)  # direct-to-reverberant ratio
_HELD_OUT_VOICES = 6  # of this many voices, one is for validation only
_HELD_OUT_RECORDINGS = 5  # of this many recordings of a word, one; none below twice as many
_VALIDATION_LIST = "validation_list.txt"


@dataclass(frozen=True, kw_only=True)
class Material:
    """The training material of a model of new words."""

    folder: Path
    """A collection (see `harken.train.data`)."""
    spoken: dict[str, Tally]
    """What became of the synthetic clips of each word."""
    recorded: dict[str, int]
    """Number of recordings by people that are used, for each word."""
    left_out: dict[str, str]
    """Recordings that are not used, and what they sound like; "" if they hold no word."""
    accents: dict[str, str] = field(default_factory=dict)
    """Folders of speakers whose recordings are used though they do not sound like the voices'
    word, and what they sound like: perhaps with an accent."""


def checked_words(words: Sequence[str]) -> tuple[str, ...]:
    """Return words as folder names.

    Raises
    ------
    DataError
        A word cannot be spoken or used as a name, or is given twice.
    """
    named = tuple(folder_of(word) for word in words)
    for word in named:
        if named.count(word) > 1:
            raise DataError(f"{word!r} is given twice; name each word once")
    return named


def checked_spellings(
    spellings: Sequence[str], words: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Return spellings, each given as ``WORD=TEXT``, by word as folder name.

    Raises
    ------
    DataError
        One has no word or no letter, or its word is not among the words.
    """
    found: list[tuple[str, str]] = []
    for each in spellings:
        word, _, text = each.partition("=")
        if not any(letter.isalnum() for letter in text):
            raise DataError(
                f"--spelling {each!r} is incomplete; write a word, '=', and how it is read, as in "
                "--spelling harken=hark-en"
            )
        if folder_of(word) not in words:
            raise DataError(
                f"--spelling {each!r} matches none of the words; they are: {', '.join(words)}"
            )
        found.append((folder_of(word), " ".join(text.split())))
    return tuple(found)


def gather(
    folder: Path,
    words: Sequence[str],
    others: Sequence[str],
    speakers: Sequence[Speaker],
    recordings: Path | None,
    *,
    seed: int,
    spellings: Mapping[str, Sequence[str]] | None = None,
    checked: bool = True,
    on_stage: Callable[[str], None] = lambda stage: None,
    progress: Progress | None = None,
) -> Material:
    """Synthesize words, add recordings, and lay both out as training reads them.

    Existing clips are not made again. Without recordings, training uses synthetic voices only;
    with them, the voices are added. One voice in six is held out in either case. Clips that sound
    like another word are left out and counted (see `Likeness`).

    Parameters
    ----------
    folder
        The folder for everything.
    words
        The keywords.
    others
        Other words for the voices, to be distinguished from the keywords.
    speakers
        The engines and voices.
    recordings
        A folder per word, as made by `harken record`.
    seed
        Seed of all random draws.
    spellings
        See `make`.
    checked
        Whether to leave out clips that sound like another word.
    on_stage
        Called with a few words at the start of every stage.
    progress
        Called with (clips done, clips in all), of each stage anew.

    Raises
    ------
    DataError
        A voice fails, no voice can say a word, the folder cannot be written, a recording cannot be
        read, or most recordings of a word sound like another one.
    """
    collection = Collection(folder / "voices")
    recorded = _recorded(recordings, words)
    for path in (path for files in recorded.values() for path in files):
        _decoded(path)  # one that cannot be read is to be known before minutes of speaking
    spoken = [folder_of(word) for word in words]
    # The words first: where no voice can say one, that is known before the others are said.
    plan = [(speaker.engine, spoken, speaker.takes) for speaker in speakers]
    words_said = len(plan)
    for speaker in speakers:
        plan += _plan(speaker, [folder_of(other) for other in others])
    total = sum(len(chosen) * len(engine.voices) * takes for engine, chosen, takes in plan)
    names: list[str] = []
    done = 0
    on_stage("synthesizing the words")
    for place, (engine, chosen, takes) in enumerate(plan):
        if place == words_said:
            _require_said(collection, names, spoken)

        def tell(count: int, _: int, *, before: int = done) -> None:
            if progress is not None:
                progress(before + count, total)

        names += make(
            chosen,
            engine,
            collection,
            per_voice=takes,
            seed=seed,
            spellings=spellings,
            children=_CHILDREN,
            may_fail=True,
            progress=tell,
        )
        done += len(chosen) * len(engine.voices) * takes
    kept = [name for name in names if collection.clips[name].thrown is None]
    _require_said(collection, names, spoken)
    by_word = collection.by_word(names)
    left_out: dict[str, str] = {}
    accents: dict[str, str] = {}
    if checked:
        on_stage("comparing clips with each other")
        ear = _likeness(collection, kept, spoken)
        own = sum(name.split("/")[0] in spoken for name in kept)
        count = _Count(own + sum(map(len, recorded.values())), progress)
        unlike = _unlike_voices(ear, collection, kept, spoken, count)
        kept = [name for name in kept if name not in unlike]
        for word in spoken:
            gone = sum(name.startswith(f"{word}/") for name in unlike)
            tally = by_word[word]
            by_word[word] = replace(tally, kept=tally.kept - gone, unheard=tally.unheard + gone)
        left_out, accents = _unlike_recordings(ear, recorded, count)
    used = {
        word: [path for path in files if str(path) not in left_out]
        for word, files in recorded.items()
    }
    on_stage("reading the clips")
    _lay_out(folder / "data", collection, kept, set(spoken), used)
    _rooms(folder / "data" / "simulated_rooms", seed)
    return Material(
        folder=folder / "data",
        spoken={word: by_word[word] for word in spoken},
        recorded={word: len(files) for word, files in used.items()},
        left_out=left_out,
        accents=accents,
    )


class _Count:
    """Tells how far several loops are together."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def each(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            yield item
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)


@dataclass(frozen=True)
class _Some:
    """Some voices of an engine."""

    engine: Engine
    voices: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.engine.name

    def say(self, text: str, voice: str, speed: float) -> tuple[NDArray[np.float32], int]:
        return self.engine.say(text, voice, speed)


def _require_said(collection: Collection, names: Iterable[str], words: Iterable[str]) -> None:
    """Check that there is a clip of every word."""
    tallies = collection.by_word(names)
    for word in words:
        if word not in tallies or not tallies[word].kept:
            raise DataError(
                f"no voice could say {word.replace('_', ' ')!r}; listen to what the voices say, "
                "write how it is read with --spelling, or record it with `harken record` and use "
                "`harken train`"
            )


def _plan(speaker: Speaker, others: list[str]) -> Iterator[tuple[Engine, list[str], int]]:
    """Yield what else an engine says, and how often each of its voices says it."""
    voices = speaker.engine.voices
    if not others:
        return
    if speaker.others is None or speaker.others >= len(voices):
        yield speaker.engine, others, max(1, speaker.takes // 3)
        return
    for place, other in enumerate(others):
        first = place * speaker.others
        turn = [voices[(first + index) % len(voices)] for index in range(speaker.others)]
        yield _Some(speaker.engine, tuple(turn)), [other], 1


def _likeness(collection: Collection, kept: Sequence[str], words: Sequence[str]) -> Likeness:
    """Return a comparison with how voices say the words, and others that differ clearly."""
    by_word: dict[str, list[str]] = {}
    for name in kept:
        by_word.setdefault(name.split("/")[0], []).append(name)
    said = {word: pronunciations(word) for word in by_word}

    def apart(word: str, other: str) -> bool:
        return other != word and all(
            unlikeness(a, b) >= max(LEAST_UNLIKENESS, len(a) / 2)
            for a in said[word]
            for b in said[other]
        )

    others = {
        word: _evenly([other for other in by_word if apart(word, other)], _COMPARED)
        for word in words
    }
    needed = {*words, *(other for found in others.values() for other in found)}
    return Likeness(
        {
            word: [
                _decoded(collection.folder / name) for name in _evenly(by_word[word], REFERENCES)
            ]
            for word in needed
        },
        others,
    )


def _evenly(names: Sequence[str], count: int) -> list[str]:
    places = np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)
    return [names[place] for place in places]


def _unlike_voices(
    ear: Likeness,
    collection: Collection,
    kept: Sequence[str],
    words: Sequence[str],
    count: _Count,
) -> set[str]:
    """Return the clips of the words that sound like something else.

    If most clips do not sound like their word, the references are unreliable: all are kept.
    """
    unlike: set[str] = set()
    for word in words:
        names = [name for name in kept if name.startswith(f"{word}/")]
        found = [
            name
            for name in count.each(names)
            if ear.other_than(word, _decoded(collection.folder / name)) is not None
        ]
        if len(found) <= _MOST_UNLIKE * len(names):
            unlike.update(found)
    return unlike


def _unlike_recordings(
    ear: Likeness, recorded: Mapping[str, Sequence[Path]], count: _Count
) -> tuple[dict[str, str], dict[str, str]]:
    """Compare recordings with the voices' clips, and with each other.

    If those of one speaker, a folder, sound like the word, and those of another do not, the other
    has an accent that the voices lack, and is worth the most. If no speaker's do, the word itself
    is in doubt, unless a speaker's other words sound as they should, and this one is none of them.

    Returns
    -------
    The recordings that are not used, and the folders of speakers with an accent, with what they
    sound like.
    """
    every = [takes for word, files in recorded.items() for takes in _takes(word, files, ear, count)]
    clear = Counter(takes.speaker for takes in every if takes.clear)
    unclear = Counter(takes.speaker for takes in every if takes.instead is not None)
    left_out: dict[str, str] = {}
    accents: dict[str, str] = {}
    for word, files in recorded.items():
        own = [takes for takes in every if takes.word == word]
        doubtful = [takes for takes in own if takes.instead and len(takes.paths) > 1]
        in_doubt = sum(len(takes.paths) for takes in own if takes.instead is not None)
        if not any(takes.clear for takes in own) and in_doubt > _MOST_UNLIKE * len(files):
            doubtful = [
                takes
                for takes in doubtful
                if clear[takes.speaker] > max(1, unclear[takes.speaker])
                and not _in_wrong_folder(takes, every)
            ]
            if not doubtful:
                raise _not_the_word(own)
        accents |= {str(takes.paths[0].parent): takes.instead or "" for takes in doubtful}
        for takes in own:
            left_out |= {
                path: other
                for path, other in takes.unlike.items()
                if not (takes in doubtful and other)
            }
    return left_out, accents


@dataclass(frozen=True)
class _Takes:
    """One speaker's recordings of a word."""

    word: str
    speaker: str
    """Their folder's name; empty if they lie in the word's own."""
    paths: tuple[Path, ...]
    instead: str | None
    """What they sound like together; "" if no word is said; None if it may be the word."""
    clear: bool
    """Whether there are enough of them, and they sound like the word."""
    unlike: dict[str, str]
    """Those that do not sound like the word, nor like the other recordings of it, and what they
    sound like; "" if they hold no word."""


def _takes(word: str, files: Sequence[Path], ear: Likeness, count: _Count) -> Iterator[_Takes]:
    """Compare all recordings of a word; yield them by speaker."""
    clips = {path: _decoded(path) for path in files}
    folders: dict[Path, list[Path]] = {}
    for path in files:
        folders.setdefault(path.parent, []).append(path)
    for folder, paths in folders.items():
        doubted = {}
        for path in count.each(paths):
            other = ear.other_than(word, clips[path])
            if other is not None:
                doubted[path] = other
        instead = _sounds_like(ear, word, [clips[path] for path in paths], [*doubted.values()])
        unlike = {}
        for path in doubted:  # no other recording can make one of the rest unlike
            alike = [clip for other, clip in clips.items() if other != path]
            heard = ear.other_than(word, clips[path], alike)
            if heard is not None:
                unlike[str(path)] = heard
        if instead is None and len(unlike) > _MOST_UNLIKE * len(paths):
            # Each of them like another word, and together like none of these: they are too unlike
            # the voices to tell.
            unlike = {path: other for path, other in unlike.items() if not other}
        yield _Takes(
            word=word,
            speaker="" if _is_folder_of(folder.name, word) else folder.name,
            paths=tuple(paths),
            instead=instead,
            clear=instead is None and len(paths) >= min(2, len(files)),
            unlike=unlike,
        )


def _in_wrong_folder(takes: _Takes, every: Sequence[_Takes]) -> bool:
    """Return whether recordings that sound like another of the words may hold that."""
    holders = [each for each in every if each.word == takes.instead]
    own = [path for each in holders if each.speaker == takes.speaker for path in each.paths]
    if not own:
        return bool(holders)
    return same_word(*([_decoded(path) for path in paths] for paths in (takes.paths, own)))


def _sounds_like(
    ear: Likeness, word: str, clips: Sequence[NDArray[np.int16]], doubted: Sequence[str]
) -> str | None:
    """Return what somebody's recordings of a word sound like; see `_Takes.instead`.

    `doubted` is what those that do not sound like it, each on its own, sound like.

    Of a long word, each is compared with the voices: few people's are nearer to another one. Of a
    short word, that would refuse one speaker in five.
    """
    if any(len(way) < FEWEST_PHONES for way in pronunciations(word)):
        return ear.common_other_than(word, clips)
    if len(doubted) <= _MOST_UNLIKE * len(clips):
        return None
    return Counter(doubted).most_common(1)[0][0]


def _not_the_word(takes: Sequence[_Takes]) -> DataError:
    word = takes[0].word.replace("_", " ")
    worst = max((each for each in takes if each.instead is not None), key=lambda t: len(t.paths))
    where = f"{len(worst.paths)} in {worst.paths[0].parent}"
    found = (
        f"many of the {where} sound like {worst.instead.replace('_', ' ')!r}"
        if worst.instead
        else f"the {where} hold no word"
    )
    return DataError(
        f"the recordings of {word!r} do not sound like it: {found}; listen to them, give the "
        "pronunciation with --spelling, or use them as they are with --unchecked"
    )


def _decoded(path: Path) -> NDArray[np.int16]:
    try:
        return decode(path)
    except DecodeError as problem:
        raise DataError(f"{path}: {problem}; remove it, or record it again") from None


def _is_folder_of(folder: str, word: str) -> bool:
    """Return whether a folder is a word's; ``_`` in its name may stand for a space."""
    return folder.replace("_", " ") == word.replace("_", " ")


def _recorded(recordings: Path | None, words: Sequence[str]) -> dict[str, list[Path]]:
    """Return the recordings of each word; ``_`` in a folder's name may stand for a space."""
    if recordings is None:
        return {}
    if not recordings.is_dir():
        raise DataError(
            f"--recordings {recordings} is not a folder; give one with a folder for each word"
        )
    folders = sorted(path for path in recordings.iterdir() if path.is_dir())
    found: dict[str, list[Path]] = {}
    empty: list[Path] = []
    for word in map(folder_of, words):
        own = [path for path in folders if _is_folder_of(path.name, word)]
        files = sorted(
            path
            for folder in own
            for path in folder.rglob("*")
            if path.suffix.lower() in AUDIO_SUFFIXES
        )
        if files:
            found[word] = files
        else:
            empty += own
    if not found and empty:
        raise DataError(
            f"{empty[0]} holds no recording; those are files of "
            f"{', '.join(sorted(AUDIO_SUFFIXES))}: `harken record` makes some"
        )
    if not found:
        there = ", ".join(path.name for path in folders) or "nothing"
        raise DataError(
            f"--recordings {recordings} has none of {', '.join(words)}: it must hold a folder for "
            f"each word; there is {there}"
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
    try:
        if data.exists():
            shutil.rmtree(data)
        (data / "lists").mkdir(parents=True)
    except OSError as problem:
        raise DataError(refusal(data, problem)) from None
    kept = list(kept)
    unheard = _held_out([(name, collection.clips[name].voice) for name in kept])
    for name in kept:
        word, file = name.split("/")
        validation = name in unheard
        addition = word in recorded and not validation
        if validation:
            # Else all that a single voice says would be held out: who is in a list is in no part
            # but that (see `harken.train.splits`).
            file = file.replace("_nohash_", "-held-out_nohash_")
            held_out.append(f"{word}/{file}")
        target = data / ("synthetic" if addition else WORDS_COLLECTION) / word / file
        _copy(collection.folder / name, target)
    for word, files in recorded.items():
        for index, recording in enumerate(files):
            name = f"{word}/recorded_{index:04d}{recording.suffix.lower()}"
            _copy(recording, data / WORDS_COLLECTION / name)
            if len(files) >= 2 * _HELD_OUT_RECORDINGS and not index % _HELD_OUT_RECORDINGS:
                held_out.append(name)
    text = "".join(f"{name}\n" for name in sorted(held_out))
    for list_name in (_VALIDATION_LIST, "testing_list.txt"):
        content = text if list_name == _VALIDATION_LIST else ""
        write_atomic(data / "lists" / list_name, content, error=DataError)


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as problem:
        raise DataError(refusal(target, problem)) from None


def _held_out(clips: Sequence[tuple[str, str]]) -> set[str]:
    """Choose the clips for validation, given with their voices: whole voices if possible.

    Of a single voice, one clip in six.
    """
    ranked = sorted({voice for _, voice in clips}, key=lambda voice: zlib.crc32(voice.encode()))
    if len(ranked) == 1:
        return {name for name, _ in clips[::_HELD_OUT_VOICES]}
    chosen = set(ranked[: max(1, len(ranked) // _HELD_OUT_VOICES)])
    return {name for name, voice in clips if voice in chosen}


def _rooms(folder: Path, seed: int) -> None:
    """Write impulse responses: a direct sound, and noise that decays."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as problem:
        raise DataError(refusal(folder, problem)) from None
    for index in range(ROOMS):
        rng = np.random.default_rng([seed, index])
        seconds = float(rng.uniform(*_RT60_S))
        samples = round(seconds * SAMPLE_RATE_HZ)
        tail = rng.standard_normal(samples) * 10 ** (-3 * np.arange(samples) / samples)
        tail *= 10 ** (-rng.uniform(*_DIRECT_DB) / 20) / np.sqrt(np.sum(tail**2))
        tail[0] = 1.0
        response = np.rint(tail / np.abs(tail).max() * 0.9 * 32767).astype(np.int16)
        write_flac(folder / f"decay_{index:02d}.flac", response)
