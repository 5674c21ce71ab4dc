"""Folders in, a list of the recordings in them out: what each is, without decoding.

`harken.train.data` describes the layout of folders.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..edge.errors import DataError
from ..edge.files import is_utf8
from ..edge.words import same_form, sounds_like
from .cache import AudioFile
from .corpus import SILENCE_FOLDER, UNKNOWN_FOLDER, Kind, Skipped
from .decode import AUDIO_SUFFIXES, UNREADABLE_SUFFIXES
from .splits import SplitLists, read_lists
from .transcripts import Transcripts, read_rows, seconds_of

NOISE_FOLDER = "_background_noise_"

WRONG_LABELS_FILE = "wrong_labels.tsv"
"""In an addition: clips to keep out of training."""

HARD_NEGATIVES_FILE = "hard_negatives.tsv"
"""In an addition: where in speech and noise a model takes something for a word."""

WORDS_COLLECTION = "speech_commands"
"""The folder of a collection that holds the words, one folder each."""

NOISE_COLLECTION = "noise"
"""The folder of a collection that holds several kinds of noise, one folder each."""

COLLECTION: Mapping[str, Kind] = {
    "background_noise": "noise",
    "esc10": "noise",
    NOISE_COLLECTION: "noise",
    "negatives": "speech",
    "wake_words": "speech",
    "speech": "speech",
    "rooms": "room",
    "simulated_rooms": "simulated_room",
    "synthetic": "synthetic",
}

_TRANSCRIBED = "speech"
_COLLECTION_LISTS = "lists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file, and what its place in the tree says about it."""

    file: AudioFile
    kind: Kind
    label: str
    inner: str
    """Path below the label's folder."""

    @property
    def transcribed(self) -> bool:
        """Whether a text says what is spoken in it; a word may also be named "speech"."""
        return self.kind == "speech" and self.file.path.startswith(_TRANSCRIBED + "/")

    @property
    def in_kinds(self) -> bool:
        """Whether it is noise from a folder with several kinds."""
        return self.kind == "noise" and self.file.path.startswith(NOISE_COLLECTION + "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The content of the folders."""

    layout: str
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]
    ignored_folders: tuple[str, ...]
    word_folders: Mapping[str, str]
    """By word, the folder's name in the file system."""
    lists: SplitLists | None
    transcripts: Mapping[str, Transcripts]
    """By corpus, the folder in ``speech/``."""
    wrong_labels: frozenset[str]
    """Clips, named like `WordClip.key`."""
    hard_negatives: Mapping[str, tuple[float, ...]]
    """By path of a recording, times in seconds."""


def scan_folders(root: Path, additions: Sequence[Path] = ()) -> Scan:
    """List the audio files of a data folder and its additions, and what each is."""
    try:
        collection = (root / WORDS_COLLECTION).is_dir()
        word_root = root / WORDS_COLLECTION if collection else root
        items: list[Item] = []
        skipped: list[Skipped] = []
        ignored: list[str] = []
        words = _scan_words(root, word_root, items, skipped, ignored)
        if collection:
            for folder in _folders(root):
                if folder in COLLECTION:
                    _scan_category(root, folder, items, skipped)
                elif folder not in (WORDS_COLLECTION, _COLLECTION_LISTS):
                    ignored.append(folder)
        for addition in additions:
            _scan_addition(addition, items, skipped, ignored)
        lists = read_lists([word_root, root, root / _COLLECTION_LISTS])
    except OSError as error:
        raise DataError(
            f"the data folder {root} cannot be read: {error.filename}: {error.strerror}"
        ) from error
    if not words:
        raise DataError(
            f"{word_root} holds no word folders; put the recordings of each word into a folder "
            "with the word's name, for example yes/anna_01.wav"
        )
    return Scan(
        layout="collection" if collection else "a folder a word",
        items=tuple(sorted(items, key=lambda item: item.file.path)),
        skipped=tuple(skipped),
        ignored_folders=tuple(ignored),
        word_folders=words,
        lists=lists,
        transcripts=_read_transcripts((root, *additions), items),
        wrong_labels=frozenset(
            same_form(row[0].rsplit(".", 1)[0])
            for addition in additions
            for _, row in read_rows(addition / WRONG_LABELS_FILE, 2)
        ),
        hard_negatives=_read_hard_negatives(additions, items),
    )


def _scan_addition(
    addition: Path, items: list[Item], skipped: list[Skipped], ignored: list[str]
) -> None:
    """Read an additional folder, laid out as a collection."""
    folders = _folders(addition)
    lists = (WRONG_LABELS_FILE, HARD_NEGATIVES_FILE)
    if not any(folder in COLLECTION for folder in folders) and not any(
        (addition / name).exists() for name in lists
    ):
        raise DataError(
            f"{addition} adds nothing; it must hold one of these folders: {', '.join(COLLECTION)}, "
            f"or {' or '.join(lists)}"
        )
    there = {item.file.path for item in items}
    for folder in folders:
        if folder not in COLLECTION:
            ignored.append(str(addition / folder))
            continue
        before = len(items)
        _scan_category(addition, folder, items, skipped)
        for item in items[before:]:
            if item.file.path in there:
                raise DataError(
                    f"{addition / item.file.path} is also in the data folder; rename one of them"
                )


def _read_transcripts(roots: Sequence[Path], items: Sequence[Item]) -> dict[str, Transcripts]:
    """Read the text files of each corpus of transcribed speech, those of the first root first."""
    paths: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.transcribed:
            paths[item.label].add(item.inner)
    transcripts = {corpus: Transcripts() for corpus in paths}
    for corpus, found in transcripts.items():
        for root in roots:
            found.add(root / _TRANSCRIBED / corpus, paths[corpus])
    return transcripts


def _read_hard_negatives(
    additions: Sequence[Path], items: Sequence[Item]
) -> dict[str, tuple[float, ...]]:
    """Read where hard negatives are; recordings that these folders lack are ignored."""
    paths = {item.file.path for item in items if item.kind in ("speech", "noise")}
    found: dict[str, set[float]] = defaultdict(set)
    for addition in additions:
        for place, (path, text, *_) in read_rows(addition / HARD_NEGATIVES_FILE, 2):
            time_s = seconds_of(place, text)
            if path in paths:
                found[path].add(time_s)
    return {path: tuple(sorted(times)) for path, times in found.items()}


def _scan_words(
    root: Path,
    word_root: Path,
    items: list[Item],
    skipped: list[Skipped],
    ignored: list[str],
) -> dict[str, str]:
    words: dict[str, str] = {}
    for entry in _entries(word_root):
        path = relative(entry.path, root)
        if not entry.is_dir():
            if _is_audio(entry.name):
                skipped.append(Skipped(path=path, reason="lies outside the word folders"))
        elif entry.name == NOISE_FOLDER:
            for file, inner in _audio_below(entry.path, root, skipped):
                label = PurePosixPath(inner).stem
                items.append(Item(file=file, kind="noise", label=label, inner=inner))
        elif not is_utf8(entry.name) or (  # no command line could name that word
            entry.name.startswith("_") and entry.name not in (SILENCE_FOLDER, UNKNOWN_FOLDER)
        ):
            ignored.append(path)
        else:
            _refuse_whole_data_set(Path(entry.path))
            word = same_form(entry.name)
            _refuse_twins(word_root, entry.name, words)
            words[word] = entry.name
            for file, inner in _audio_below(entry.path, root, skipped):
                items.append(Item(file=file, kind="word", label=word, inner=inner))
    return words


def _refuse_twins(root: Path, folder: str, words: Mapping[str, str]) -> None:
    """Refuse the folder of a word that already has another one."""
    for word, other in words.items():
        if sounds_like(word) == sounds_like(folder):
            what = "capitals" if same_form(folder) != word else "the form of Unicode"
            raise DataError(
                f"the folders {other!r} and {folder!r} of {root} differ only in {what}; put "
                "the recordings of both into one of them"
            )


def _refuse_whole_data_set(folder: Path) -> None:
    """Refuse a data set in place of a word: its words would be mistaken for speakers."""
    for sign in (NOISE_FOLDER, SILENCE_FOLDER, UNKNOWN_FOLDER, "validation_list.txt"):
        if (folder / sign).exists():
            raise DataError(
                f"{folder} holds {sign}, so it is a data set and not the folder of a word; "
                f"give {folder} as the data folder"
            )


def _scan_category(root: Path, folder: str, items: list[Item], skipped: list[Skipped]) -> None:
    """Read a folder of a collection that does not hold words."""
    for file, inner in _audio_below(str(root / folder), root, skipped):
        label, slash, rest = inner.partition("/")
        label = label if slash else PurePosixPath(inner).stem
        kind = COLLECTION[folder]
        items.append(
            Item(
                file=file,
                kind=kind,
                label=same_form(label) if kind == "synthetic" else label,
                inner=rest if slash else inner,
            )
        )


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(
            (entry for entry in entries if not entry.name.startswith(".")),
            key=lambda entry: entry.name,
        )


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def _audio_below(
    folder: str,
    root: Path,
    skipped: list[Skipped],
    *,
    below: str = "",
    above: tuple[str, ...] = (),
    depth: int = 0,
) -> Iterator[tuple[AudioFile, str]]:
    """Yield each audio file under `folder` with its path below it.

    A link to one of its own parent folders, or to the data folder, is left out, to avoid a loop.
    """
    above = (*above, os.path.realpath(folder)) if above else _with_parents(folder, root)
    for entry in _entries(folder):
        inner = f"{below}{entry.name}"
        if entry.is_dir():
            if entry.is_symlink() and os.path.realpath(entry.path) in above:
                reason = "a link to a folder above it"
                skipped.append(Skipped(path=relative(entry.path, root), reason=reason))
            elif depth < 8:
                yield from _audio_below(
                    entry.path, root, skipped, below=f"{inner}/", above=above, depth=depth + 1
                )
        elif _suffix(entry.name) in AUDIO_SUFFIXES:
            path = relative(entry.path, root)
            try:
                status = entry.stat()
            except OSError as error:  # a broken link
                skipped.append(Skipped(path=path, reason=f"unreadable: {error.strerror}"))
                continue
            file = AudioFile(
                path=path, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, root=root
            )
            yield file, inner
        elif _suffix(entry.name) in UNREADABLE_SUFFIXES:
            reason = (
                f"{_suffix(entry.name)} is not a format harken reads; convert it to wav or flac"
            )
            skipped.append(Skipped(path=relative(entry.path, root), reason=reason))


def _with_parents(folder: str, root: Path) -> tuple[str, ...]:
    """Return the location of a folder and of its parents, down from the data folder."""
    top = Path(os.path.realpath(root))
    place = Path(os.path.realpath(folder))
    return tuple(map(str, (top, *top.parents, *place.parents, place)))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (Path is ten times slower here)


def _is_audio(name: str) -> bool:
    return _suffix(name) in AUDIO_SUFFIXES | UNREADABLE_SUFFIXES


def relative(path: str, root: Path) -> str:
    """Return a path below a folder, with forward slashes."""
    return path[len(str(root)) :].replace(os.sep, "/").lstrip("/")
