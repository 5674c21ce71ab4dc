"""Words and voices in; out come a folder of recordings per word, and a record of each clip.

A clip's speed, pitch and level depend only on the seed, the word, the voice and the number of the
take, so an interrupted run continues as if nothing had happened.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...edge.app.collect.names import BadNameError, check_word, speaker_folder
from ...edge.errors import DataError
from ...edge.files import name_bytes, read_text, refusal, write_atomic
from ..cache import Progress
from ..decode import DecodeError, decode
from .engines import Engine, UnspeakableError
from .sound import clip_of, write_flac

Listener = Callable[[list[NDArray[np.int16]], str], Sequence[float]]
"""Called with clips, (samples,) int16 at 16 kHz, and the word that they should hold; returns the
probability that each of them does, 0 to 1."""

RECORD_FILE = "synth.json"
SPEED = (0.8, 1.25)
WARP = (0.92, 1.08)
PEAK_DB = (-18.0, -2.0)
CHILD_WARP = (1.08, 1.4)
"""Frequency factors that make a voice sound like a child's."""

_SILENT = "silent"
_UNHEARD = "unheard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One take of a word by a voice.

    Attributes
    ----------
    engine, voice
        The engine and voice that said it.
    text
        As given to the engine.
    speed
        1 is the voice's own speed.
    warp
        Factor applied to all frequencies afterwards.
    peak_db
        In dB of full scale.
    heard
        The listener's probability of the word, 0 to 1; None without a listener.
    thrown
        Why it was discarded; None if it was kept.
    """

    engine: str
    voice: str
    text: str
    speed: float
    warp: float
    peak_db: float
    heard: float | None = None
    thrown: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts of kept and discarded clips."""

    kept: int = 0
    unheard: int = 0
    silent: int = 0

    @property
    def made(self) -> int:
        """Number of events."""
        return self.kept + self.unheard + self.silent


class Collection:
    """A folder of synthetic recordings and its record.

    Parameters
    ----------
    folder
        The folder; it may not exist yet.

    Raises
    ------
    DataError
        The record cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clips: dict[str, Clip] = {}
        try:
            text = read_text(folder / RECORD_FILE)
            self.clips = {name: Clip(**clip) for name, clip in json.loads(text)["clips"].items()}
        except FileNotFoundError:
            pass
        except OSError as problem:
            raise DataError(f"cannot read {folder / RECORD_FILE}: {problem.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise DataError(
                f"{folder / RECORD_FILE} is damaged; choose a new folder, or remove that file"
            ) from None

    def save(self) -> None:
        """Write the record; raises DataError if that fails."""
        clips = {name: asdict(clip) for name, clip in sorted(self.clips.items())}
        content = json.dumps({"harken": __version__, "clips": clips}, indent=0) + "\n"
        write_atomic(self.folder / RECORD_FILE, content, error=DataError)

    def by_voice(self, names: Iterable[str]) -> dict[str, Tally]:
        """Count kept and discarded clips by voice."""
        return self._tallies((self.clips[name].voice, name) for name in names)

    def by_word(self, names: Iterable[str]) -> dict[str, Tally]:
        """Count kept and discarded clips by word."""
        return self._tallies((name.split("/")[0], name) for name in names)

    def _tallies(self, keyed: Iterable[tuple[str, str]]) -> dict[str, Tally]:
        counts: dict[str, dict[str, int]] = {}
        for key, name in keyed:
            of_key = counts.setdefault(key, {})
            fate = self.clips[name].thrown or "kept"
            of_key[fate] = of_key.get(fate, 0) + 1
        return {key: Tally(**of_key) for key, of_key in counts.items()}


def folder_of(word: str) -> str:
    """Return the folder of a word: the word itself, as for recordings.

    Raises
    ------
    DataError
        No folder can have the name, or no voice can say it.
    """
    if not any(letter.isalnum() for letter in word):
        raise DataError(f"no voice can say {word!r}; give words with letters")
    try:
        return check_word(" ".join(word.split()))
    except BadNameError as problem:
        raise DataError(str(problem)) from None


def make(
    words: Sequence[str],
    engine: Engine,
    collection: Collection,
    *,
    per_voice: int = 4,
    seed: int = 0,
    listener: Listener | None = None,
    least: float = 0.5,
    spellings: Mapping[str, Sequence[str]] | None = None,
    children: float = 0.0,
    may_fail: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Let all voices of an engine say words, and keep the clips that can be understood.

    Existing clips stay as they are; those that no listener has checked are checked now. Files that
    are not in the record come from elsewhere: they are left alone and not checked. The clips of a
    word are recorded before they are made, so that a process that is killed leaves none behind that
    the next one takes for such files, and again with what became of them.

    Parameters
    ----------
    words
        The words; ``_`` stands for a space.
    engine
        The engine.
    collection
        The destination: WORD/VOICE_nohash_K.flac.
    per_voice
        Takes of each word by each voice.
    seed
        Seed of all random draws.
    listener
        Checks the clips; None keeps all that are not silent.
    least
        Lowest probability of the word, by the listener.
    spellings
        For words that voices mispronounce: what they read instead, each in turn.
    children
        Share of the takes in which a voice is turned into a child's.
    may_fail
        Whether it is acceptable that no clip is kept, because other engines may work.
    progress
        Called with (clips done, clips in all).
        Called with (clips done, clips in all).

    Returns
    -------
    The names of all clips, kept or not, as in the record; fewer than requested if files that are
    not in the record occupy their names.

    Raises
    ------
    DataError
        See `folder_of`, `Engine.say`; or the folder cannot be written, or no clip was kept.
    """
    folders = [folder_of(word) for word in words]
    read = {folder_of(word): tuple(texts) for word, texts in (spellings or {}).items()}
    total = len(words) * len(engine.voices) * per_voice
    names: list[str] = []
    for folder in folders:
        try:
            (collection.folder / folder).mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DataError(refusal(collection.folder / folder, problem)) from None
    done = 0
    for folder in folders:
        drawn = {
            voice: {
                f"{folder}/{_slug(voice)}_nohash_{number}.flac": draw_clip(
                    engine.name,
                    voice,
                    folder,
                    number,
                    seed,
                    spellings=read.get(folder, ()),
                    children=children,
                )
                for number in range(per_voice)
            }
            for voice in engine.voices
        }
        wanted = {name: clip for takes in drawn.values() for name, clip in takes.items()}
        with _recorded(wanted, collection):
            for takes in drawn.values():
                if progress is not None:
                    progress(done, total)
                _make_takes(takes, engine, collection, listener=listener, least=least)
                done += len(takes)
        names += [name for name in wanted if name in collection.clips]
    if progress is not None:
        progress(total, total)
    if (
        names
        and not may_fail
        and not any(tally.kept for tally in collection.by_word(names).values())
    ):
        unheard = sum(tally.unheard for tally in collection.by_word(names).values())
        raise DataError(
            f"none of {len(names)} clips were kept: "
            + (
                f"the teachers did not recognize the word in {unheard} of them (--least {least:g})"
                if unheard
                else "all were silent"
            )
            + "; try other voices, or listen to the engine's output"
        )
    return names


@contextmanager
def _recorded(wanted: Mapping[str, Clip], collection: Collection) -> Iterator[None]:
    """Save the record of clips before they are made and afterwards, as far as it changes."""
    before = {name: collection.clips.get(name) for name in wanted}
    new = {
        name: clip
        for name, clip in wanted.items()
        if before[name] is None and not (collection.folder / name).exists()
    }
    if new:
        collection.clips.update(new)
        collection.save()
        before |= new
    try:
        yield
    finally:
        for name in wanted:  # those that were not made, or not checked
            clip = collection.clips.get(name)
            if clip is not None and clip.thrown is None and not (collection.folder / name).exists():
                del collection.clips[name]
        if before != {name: collection.clips.get(name) for name in wanted}:
            collection.save()


def draw_clip(
    engine: str,
    voice: str,
    folder: str,
    take: int,
    seed: int,
    *,
    spellings: Sequence[str] = (),
    children: float = 0.0,
) -> Clip:
    """Draw how a voice says a word; the same arguments give the same result. See `make`."""
    key = zlib.crc32(name_bytes(f"{voice}/{folder}/{take}"))
    rng = np.random.default_rng([seed, key])
    # Each voice starts at a different text, so that one take per voice also covers all texts.
    first = zlib.crc32(name_bytes(f"{voice}/{folder}"))
    word = folder.replace("_", " ")
    if spellings:
        word = spellings[(first // 4 + take) % len(spellings)]
    texts = (f"{word}.", f"{word}!", f"{word}?", word[0].upper() + word[1:])
    speed = math.exp(rng.uniform(math.log(SPEED[0]), math.log(SPEED[1])))
    warp, peak_db = float(rng.uniform(*WARP)), float(rng.uniform(*PEAK_DB))
    if children and rng.random() < children:
        warp = float(rng.uniform(*CHILD_WARP))
        speed /= warp  # since warping speeds it up by this factor
    return Clip(
        engine=engine,
        voice=voice,
        text=texts[(first + take) % len(texts)],
        speed=round(speed, 3),
        warp=round(warp, 3),
        peak_db=round(peak_db, 1),
    )


def _make_takes(
    takes: Mapping[str, Clip],
    engine: Engine,
    collection: Collection,
    *,
    listener: Listener | None,
    least: float,
) -> None:
    """Make the missing takes of one word by a voice, and let the listener check them."""
    folder = next(iter(takes)).split("/")[0]
    unheard: dict[str, NDArray[np.int16]] = {}
    for name, clip in takes.items():
        path, known = collection.folder / name, collection.clips.get(name)
        if path.exists():
            if known is not None and listener is not None and known.heard is None:
                unheard[name] = _decoded(path)
            continue
        if known is not None and _stays_thrown(known, listener, least):
            continue
        try:
            speech, rate_hz = engine.say(clip.text, clip.voice, clip.speed)
            samples = clip_of(speech, rate_hz, warp=clip.warp, peak_db=clip.peak_db)
        except UnspeakableError:
            samples = None
        if samples is None:
            collection.clips[name] = replace(clip, thrown=_SILENT)
        elif listener is None:
            write_flac(path, samples)
            collection.clips[name] = clip
        else:
            collection.clips[name] = clip
            unheard[name] = samples
    if listener is None:
        return
    if unheard:
        heard = [float(value) for value in listener(list(unheard.values()), folder)]
        for (name, samples), probability in zip(unheard.items(), heard, strict=True):
            collection.clips[name] = replace(collection.clips[name], heard=round(probability, 4))
            if probability >= least and not (collection.folder / name).exists():
                write_flac(collection.folder / name, samples)
    for name in takes:
        judged = collection.clips.get(name)
        if judged is not None and judged.heard is not None and judged.heard < least:
            (collection.folder / name).unlink(missing_ok=True)
            collection.clips[name] = replace(judged, thrown=_UNHEARD)


def _stays_thrown(clip: Clip, listener: Listener | None, least: float) -> bool:
    """Whether making a clip again would have the same outcome."""
    if clip.thrown == _UNHEARD:
        return listener is not None and clip.heard is not None and clip.heard < least
    return clip.thrown == _SILENT


def _decoded(path: Path) -> NDArray[np.int16]:
    try:
        return decode(path)
    except DecodeError as problem:
        raise DataError(f"{path}: {problem}; remove it to have it made again") from None


def _slug(voice: str) -> str:
    try:
        return speaker_folder(voice)
    except ValueError as problem:
        raise DataError(str(problem)) from None


def summary(collection: Collection, names: Sequence[str]) -> dict[str, Any]:
    """Return the counts of clips as plain JSON types: in all, by word and by voice."""

    def plain(tallies: dict[str, Tally]) -> dict[str, Any]:
        return {key: asdict(tally) for key, tally in sorted(tallies.items())}

    words = collection.by_word(names)
    return {
        "clips": len(names),
        "kept": sum(tally.kept for tally in words.values()),
        "words": plain(words),
        "voices": plain(collection.by_voice(names)),
    }
