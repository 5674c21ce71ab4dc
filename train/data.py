"""A folder of recordings in, a `Corpus` out: decoded, labelled and split audio.

Two layouts are read:

* **A folder a word**, as Google Speech Commands is downloaded, or as anybody records their own: the
  folder's name is the label, everything below it is a recording of that word, and a folder between
  the two is a speaker (``yes/anna/01.wav``). ``_background_noise_`` holds noise. ``_silence_`` and
  ``_unknown_``, as in the official 12-class test archive, are kept as labels of their own. Other
  folders that start with an underscore are left out, and reported.
* **A collection**: a folder that holds ``speech_commands/`` (in the layout above) and any of
  ``background_noise/``, ``esc10/``, ``noise/`` (noise), ``negatives/``, ``wake_words/`` (speech
  that holds none of the words), ``speech/`` (people who say anything, a folder a corpus, with the
  text files of `harken.train.transcripts`), ``rooms/`` (impulse responses), ``synthetic/`` (words
  said by synthetic voices, a folder a word), ``simulated_rooms/`` and ``lists/`` (the official
  lists).
* **Additions**: further folders laid out like a collection, with anything of the above but the
  words. They add recordings, or text files to the speech of the data folder. Each may hold
  ``wrong_labels.tsv``, whose first column is the path of a clip below the words' folder: such clips
  are left out of training, and of nothing else.

Hidden files and files that are not audio are passed over. Words are split by `harken.train.splits`.
Speech is split by the hash of its speaker, where names begin with one as in LibriSpeech
(``237-134500-0001``), or, in ``speech/``, where a folder below the corpus is one; else by that of
its name; what is held out is validation. A recording in ``speech/`` of which nobody knows the text
is left out: whether it holds a keyword is what a text must tell. Noise longer than
30 s is cut by time: the first 80 % are training, the next 10 % validation, the last 10 % testing.
ESC-10 and Kitchen20 are split by their folds (1 to 3 training, 4 validation, 5 testing), and rooms
and other short noise, and that in ``noise/``, by a fixed order of their names, with at least one
recording in each part where there are three. What is synthetic or simulated is training only:
nothing is measured on it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..edge.errors import DataError
from ..edge.files import is_utf8, name_bytes
from ..edge.words import same_form, sounds_like
from .cache import AudioCache, AudioFile, Progress, default_cache_dir, open_cache
from .decode import AUDIO_SUFFIXES, SAMPLE_RATE_HZ, UNREADABLE_SUFFIXES
from .pack import Pack
from .splits import (
    SPLITS,
    Split,
    SplitLists,
    SplitRule,
    WordClip,
    read_lists,
    split_ranked,
    split_words,
    which_set,
)
from .transcripts import SpokenWord, Transcripts, keywords_said, read_rows

Kind = Literal["word", "speech", "noise", "room", "synthetic", "simulated_room"]
"""What a recording is; a synthetic one is a word said by a synthetic voice."""

SILENCE_FOLDER = "_silence_"
UNKNOWN_FOLDER = "_unknown_"
NOISE_FOLDER = "_background_noise_"

WRONG_LABELS_FILE = "wrong_labels.tsv"
"""In an addition: clips that training shall not hear."""

SILENT_PEAK = 32
"""A file is silent if no sample reaches this value: 32 of 32768 is −60 dB of full scale."""

WORDS_COLLECTION = "speech_commands"
"""The folder of a collection with the words, a folder each."""

NOISE_COLLECTION = "noise"
"""The folder of a collection with several kinds of noise, a folder each."""

LONG_CLIP_S = 5.0
"""Nobody takes so long to say a word: a longer recording of one holds more than it."""

LONG_RECORDING_S = 30.0
"""Noise longer than this is cut by time instead of going into one part whole."""

_COLLECTION: Mapping[str, Kind] = {
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
# What people call folders that hold no word; in a collection some of these names mean just that.
_ODD_WORDS = frozenset(
    {*_COLLECTION, WORDS_COLLECTION, "background", "background_noises", "backgroundnoise", "noises"}
    | {"background noise", "negative", "other", "others", "test", "train", "validation", "testing"}
    | {"training", "val", "lists"}
)
_TRANSCRIBED = "speech"
_COLLECTION_LISTS = "lists"
_FOLDS = ("esc10/", "noise/kitchen20/")
_LIBRISPEECH = re.compile(r"(\d+)-\d+-\d+\.")  # SPEAKER-CHAPTER-UTTERANCE
_LISTED = 40  # folders that a message names at most
_FOLD = re.compile(r"(\d)-")
_FOLD_SPLITS: Mapping[str, Split] = {
    "1": "training",
    "2": "training",
    "3": "training",
    "4": "validation",
    "5": "testing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One clip, or one part of a long recording."""

    path: str
    """Path below the data folder, with forward slashes."""
    kind: Kind
    label: str
    """The word's, speech's or noise's folder; a noise file's name where it has no own folder."""
    speaker: str | None
    split: Split
    start: int
    """First sample in `Corpus.audio`."""
    length: int
    """Samples."""
    text: str | None = None
    """What is said in it, where a transcript tells."""
    spoken: tuple[SpokenWord, ...] = ()
    """Words that are said in it, with their times."""

    def says(self, words: Collection[str]) -> tuple[SpokenWord, ...] | None:
        """Return where any of these words are said; None: one is, and nobody knows where."""
        return keywords_said(words, self.text, self.spoken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What was found in a data folder, for `report.json` and the person who recorded it."""

    layout: str
    """"a folder a word" or "collection"."""
    split_rule: str
    """Which rule placed how many word clips."""
    files: int
    """Audio files found, including skipped ones."""
    skipped: tuple[Skipped, ...]
    ignored_folders: tuple[str, ...]
    word_counts: dict[str, dict[Split, int]]
    """Clips by word and part."""
    seconds: dict[Kind, dict[Split, float]]
    """Amount of audio by kind and part."""
    speakers: int
    """Distinct speakers that are known by name."""
    long_clips: tuple[str, ...] = ()
    """Recordings of words that are longer than `LONG_CLIP_S`, the longest first."""
    odd_words: tuple[str, ...] = ()
    """Folders of words whose names tell that they may hold something else."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """Decoded, labelled and split recordings."""

    root: Path
    fingerprint: str
    """SHA-256 over paths and contents of all recordings, over what the text files say of them, and
    over the list of wrong labels: the same data has the same on every machine."""
    audio: npt.NDArray[np.int16]
    """int16, shape (samples,), 16 kHz mono: memory-mapped, read-only, shared between processes."""
    recordings: tuple[Recording, ...]
    """Sorted by path."""
    report: DataReport
    pack: Pack | None = None
    """Speech and noise as features, for a corpus that has none."""

    @property
    def words(self) -> tuple[str, ...]:
        """Labels of all word folders, sorted."""
        return tuple(sorted(self.report.word_counts))

    def samples(self, recording: Recording) -> npt.NDArray[np.int16]:
        """Return the samples of one recording: int16, shape (length,), a read-only view."""
        return self.audio[recording.start : recording.start + recording.length]

    def select(
        self, kind: Kind, *, split: Split | None = None, label: str | None = None
    ) -> tuple[Recording, ...]:
        """Return the recordings of a kind, of one part or label where these are given."""
        return tuple(
            recording
            for recording in self.recordings
            if recording.kind == kind
            and (split is None or recording.split == split)
            and (label is None or recording.label == label)
        )

    def require_words(self, words: Iterable[str], *, split: Split | None = None) -> None:
        """Check that every word has recordings, in `split` if one is given.

        Raises
        ------
        DataError
            Naming the words without recordings, and those that have some.
        """
        counts = {
            word: sum(parts.values()) if split is None else parts.get(split, 0)
            for word, parts in self.report.word_counts.items()
        }
        missing = [word for word in words if not counts.get(word)]
        if missing:
            where = f"{self.root}" if split is None else f"the {split} part of {self.root}"
            elsewhere = [word for word in missing if any(self._clips(word).values())]
            if elsewhere:
                where += f", where words are split {self.report.split_rule}. {_more_of(elsewhere)}"
            there = ", ".join(sorted(word for word, count in counts.items() if count)) or "nothing"
            raise DataError(
                f"no recordings of {', '.join(map(repr, missing))} in {where}; there are: {there}"
            )

    def without_validation(self, words: Iterable[str]) -> tuple[str, ...]:
        """Return the words that have no recording to validate with."""
        return tuple(word for word in words if not self._clips(word)["validation"])

    def _clips(self, word: str) -> Mapping[Split, int]:
        return self.report.word_counts.get(word, dict.fromkeys(SPLITS, 0))


def _more_of(words: Sequence[str]) -> str:
    """Say what makes recordings of words come into every part."""
    each = "it" if len(words) == 1 else "each of them"
    return (
        f"Record three clips of {each} at least, said by three speakers where words are split by "
        "speaker; or split with --split-rule random"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One file and what its place in the tree says about it."""

    file: AudioFile
    kind: Kind
    label: str
    inner: str
    """Path below the label's folder."""

    @property
    def transcribed(self) -> bool:
        """Whether a text tells what is said in it; a word may be called "speech", too."""
        return self.kind == "speech" and self.file.path.startswith(_TRANSCRIBED + "/")

    @property
    def in_kinds(self) -> bool:
        """Whether it is noise of a folder that holds several kinds."""
        return self.kind == "noise" and self.file.path.startswith(NOISE_COLLECTION + "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    layout: str
    items: tuple[_Item, ...]
    skipped: tuple[Skipped, ...]
    ignored_folders: tuple[str, ...]
    word_folders: Mapping[str, str]
    """By word, the folder's name as the file system has it."""
    lists: SplitLists | None
    transcripts: Mapping[str, Transcripts]
    """By corpus, the folder in ``speech/``."""
    wrong_labels: frozenset[str]
    """Clips as `WordClip.key` names them."""


def load_corpus(
    root: str | Path,
    *,
    additions: Sequence[str | Path] = (),
    cache_dir: str | Path | None = None,
    split_rule: SplitRule = "auto",
    held_out_speech: Sequence[str] = (),
    left_out: Sequence[str] = (),
    keep_silent: bool = False,
    progress: Progress | None = None,
) -> Corpus:
    """Read a folder of recordings; decode it at the first time, open the cache at later ones.

    Parameters
    ----------
    root
        Data folder in one of the layouts of this module. It is only read.
    additions
        Further folders, laid out as a collection is, but without words. They are only read.
    cache_dir
        Where decoded audio is kept: 32 kB for a clip of a second. Default: the user's cache folder
        (see `harken.train.cache.default_cache_dir`).
    split_rule
        See `harken.train.splits`.
    held_out_speech
        Patterns, as of a shell, of the paths of speech that is validation whole, such as
        ``negatives/french_reading/*``. Each matches something, or its first folder is not there.
    left_out
        Patterns, as of a shell, of the paths of recordings that are not used at all: the wrong
        word, words where none should be.
    keep_silent
        Keep files whose peak is below `SILENT_PEAK`. Training leaves them out; evaluation keeps
        them, as published figures count every clip.
    progress
        Called with (files done, files in all) while files are decoded.

    Raises
    ------
    DataError
        If there is no such folder, it holds no word folders, a word is left without a recording, an
        addition adds nothing or what is there already, a text file is damaged, the split rule does
        not suit the data, or the cache cannot be written.
    """
    root, added = Path(root), [Path(folder) for folder in additions]
    for folder, holds in (
        (root, "a folder of recordings a word"),
        *((path, f"{', '.join(_COLLECTION)} or some of these") for path in added),
    ):
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise DataError(f"the data folder {folder} {what}; give a folder that holds {holds}")
    scan = _scan(root, added)
    cache = open_cache(
        root,
        [item.file for item in scan.items],
        default_cache_dir() if cache_dir is None else Path(cache_dir),
        progress,
    )
    return _assemble(
        root,
        scan,
        cache,
        split_rule,
        held_out_speech=held_out_speech,
        left_out=left_out,
        keep_silent=keep_silent,
    )


def _scan(root: Path, additions: Sequence[Path] = ()) -> _Scan:
    """List the audio files of a data folder and its additions, and what each is."""
    try:
        collection = (root / WORDS_COLLECTION).is_dir()
        word_root = root / WORDS_COLLECTION if collection else root
        items: list[_Item] = []
        skipped: list[Skipped] = []
        ignored: list[str] = []
        words = _scan_words(root, word_root, items, skipped, ignored)
        if collection:
            for folder in _folders(root):
                if folder in _COLLECTION:
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
    return _Scan(
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
    )


def _scan_addition(
    addition: Path, items: list[_Item], skipped: list[Skipped], ignored: list[str]
) -> None:
    """Read a further folder, laid out as a collection."""
    folders = _folders(addition)
    if (
        not any(folder in _COLLECTION for folder in folders)
        and not (addition / WRONG_LABELS_FILE).exists()
    ):
        raise DataError(
            f"{addition} adds nothing; it must hold a folder of these: {', '.join(_COLLECTION)}, "
            f"or {WRONG_LABELS_FILE}"
        )
    there = {item.file.path for item in items}
    for folder in folders:
        if folder not in _COLLECTION:
            ignored.append(str(addition / folder))
            continue
        before = len(items)
        _scan_category(addition, folder, items, skipped)
        for item in items[before:]:
            if item.file.path in there:
                raise DataError(
                    f"{addition / item.file.path} is in the data folder, too; rename one of them"
                )


def _read_transcripts(roots: Sequence[Path], items: Sequence[_Item]) -> dict[str, Transcripts]:
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


def _scan_words(
    root: Path,
    word_root: Path,
    items: list[_Item],
    skipped: list[Skipped],
    ignored: list[str],
) -> dict[str, str]:
    words: dict[str, str] = {}
    for entry in _entries(word_root):
        path = _relative(entry.path, root)
        if not entry.is_dir():
            if _is_audio(entry.name):
                skipped.append(Skipped(path=path, reason="lies outside the word folders"))
        elif entry.name == NOISE_FOLDER:
            for file, inner in _audio_below(entry.path, root, skipped):
                label = PurePosixPath(inner).stem
                items.append(_Item(file=file, kind="noise", label=label, inner=inner))
        elif not is_utf8(entry.name) or (  # nobody could name that word
            entry.name.startswith("_") and entry.name not in (SILENCE_FOLDER, UNKNOWN_FOLDER)
        ):
            ignored.append(path)
        else:
            _refuse_whole_data_set(Path(entry.path))
            word = same_form(entry.name)
            _refuse_twins(word_root, entry.name, words)
            words[word] = entry.name
            for file, inner in _audio_below(entry.path, root, skipped):
                items.append(_Item(file=file, kind="word", label=word, inner=inner))
    return words


def _refuse_twins(root: Path, folder: str, words: Mapping[str, str]) -> None:
    """Refuse the folder of a word that has another one already."""
    for word, other in words.items():
        if sounds_like(word) == sounds_like(folder):
            what = "capitals" if same_form(folder) != word else "the form of Unicode"
            raise DataError(
                f"the folders {other!r} and {folder!r} of {root} differ in nothing but {what}; put "
                "the recordings of both into one of them"
            )


def _refuse_whole_data_set(folder: Path) -> None:
    """Refuse a data set in the place of a word: its words would be taken for speakers."""
    for sign in (NOISE_FOLDER, SILENCE_FOLDER, UNKNOWN_FOLDER, "validation_list.txt"):
        if (folder / sign).exists():
            raise DataError(
                f"{folder} holds {sign}, so it is a data set and not the folder of a word; "
                f"give {folder} as the data folder"
            )


def _scan_category(root: Path, folder: str, items: list[_Item], skipped: list[Skipped]) -> None:
    """Read a folder of a collection that holds no words."""
    for file, inner in _audio_below(str(root / folder), root, skipped):
        label, slash, rest = inner.partition("/")
        label = label if slash else PurePosixPath(inner).stem
        kind = _COLLECTION[folder]
        items.append(
            _Item(
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

    A link to a folder that it lies in, or to the data folder, is left out: all would come again.
    """
    above = (*above, os.path.realpath(folder)) if above else _with_parents(folder, root)
    for entry in _entries(folder):
        inner = f"{below}{entry.name}"
        if entry.is_dir():
            if entry.is_symlink() and os.path.realpath(entry.path) in above:
                reason = "a link that leads back up"
                skipped.append(Skipped(path=_relative(entry.path, root), reason=reason))
            elif depth < 8:
                yield from _audio_below(
                    entry.path, root, skipped, below=f"{inner}/", above=above, depth=depth + 1
                )
        elif _suffix(entry.name) in AUDIO_SUFFIXES:
            path = _relative(entry.path, root)
            try:
                status = entry.stat()
            except OSError as error:  # a link into nowhere
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
            skipped.append(Skipped(path=_relative(entry.path, root), reason=reason))


def _with_parents(folder: str, root: Path) -> tuple[str, ...]:
    """Return where a folder is, and where those that it lies in are, down from the data folder."""
    top = Path(os.path.realpath(root))
    place = Path(os.path.realpath(folder))
    return tuple(map(str, (top, *top.parents, *place.parents, place)))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (Path is ten times slower here)


def _is_audio(name: str) -> bool:
    return _suffix(name) in AUDIO_SUFFIXES | UNREADABLE_SUFFIXES


def _relative(path: str, root: Path) -> str:
    return path[len(str(root)) :].replace(os.sep, "/").lstrip("/")


def _assemble(
    root: Path,
    scan: _Scan,
    cache: AudioCache,
    rule: SplitRule,
    *,
    held_out_speech: Sequence[str],
    left_out: Sequence[str],
    keep_silent: bool,
) -> Corpus:
    """Leave out what cannot be used, split the rest, and count."""
    skipped = list(scan.skipped)
    usable: list[_Item] = []
    unwanted = _matching([item.file.path for item in scan.items], left_out, "left_out")
    for item in scan.items:
        path = item.file.path
        if path in unwanted:
            skipped.append(Skipped(path=path, reason="left_out asks for it"))
        elif path in cache.unreadable:
            skipped.append(Skipped(path=path, reason=cache.unreadable[path]))
        elif (
            cache.spans[path].peak < SILENT_PEAK
            and item.label != SILENCE_FOLDER
            and not (keep_silent and item.kind == "word")
        ):
            peak = cache.spans[path].peak
            skipped.append(Skipped(path=path, reason=f"silent: peak {peak} of 32768"))
        elif item.transcribed and not _is_known(item, scan):
            skipped.append(Skipped(path=path, reason="nobody knows what is said in it: no text"))
        else:
            usable.append(item)
    _check_words(root, scan, usable, skipped)

    words = [item for item in usable if item.kind == "word"]
    placed = split_words(
        [WordClip(label=item.label, path=item.inner) for item in words],
        rule=rule,
        lists=scan.lists,
    )
    recordings: list[Recording] = []
    for item, split, speaker in zip(words, placed.splits, placed.speakers, strict=True):
        clip = WordClip(label=item.label, path=item.inner)
        if split == "training" and clip.key in scan.wrong_labels:
            reason = f"its label is wrong, by {WRONG_LABELS_FILE}"
            skipped.append(Skipped(path=item.file.path, reason=reason))
        else:
            recordings.append(_recording(item, cache, split, speaker))
    others = [item for item in usable if item.kind != "word"]
    recordings += _split_others(others, cache, held_out_speech, scan.transcripts)
    recordings.sort(key=lambda recording: (recording.path, recording.start))

    seconds: dict[Kind, dict[Split, float]] = {}
    counts = {word: dict.fromkeys(SPLITS, 0) for word in scan.word_folders}
    for recording in recordings:
        if recording.kind == "word":
            counts[recording.label][recording.split] += 1
        amounts = seconds.setdefault(recording.kind, dict.fromkeys(SPLITS, 0.0))
        amounts[recording.split] += recording.length / SAMPLE_RATE_HZ
    report = DataReport(
        layout=scan.layout,
        split_rule=placed.description,
        files=len(scan.items) + len(scan.skipped),
        skipped=tuple(sorted(skipped, key=lambda file: file.path)),
        ignored_folders=scan.ignored_folders,
        word_counts=counts,
        seconds=seconds,
        speakers=len({speaker for speaker in placed.speakers if speaker is not None}),
        long_clips=_long_clips(recordings),
        odd_words=tuple(
            word
            for word in scan.word_folders
            if scan.layout != "collection" and word.casefold().strip("_") in _ODD_WORDS
        ),
    )
    return Corpus(
        root=root,
        fingerprint=_fingerprint(cache, recordings, scan.wrong_labels),
        audio=cache.audio,
        recordings=tuple(recordings),
        report=report,
    )


def _long_clips(recordings: Iterable[Recording]) -> tuple[str, ...]:
    """Return the paths of recordings that are too long for a word."""
    longest = [
        (-recording.length, recording.path)
        for recording in recordings
        if recording.kind == "word"
        and recording.label not in (SILENCE_FOLDER, UNKNOWN_FOLDER)
        and recording.length > LONG_CLIP_S * SAMPLE_RATE_HZ
    ]
    return tuple(path for _, path in sorted(longest))


def _is_known(item: _Item, scan: _Scan) -> bool:
    """Whether a text tells what is said in a recording of transcribed speech."""
    return item.inner in scan.transcripts[item.label].texts


def _fingerprint(
    cache: AudioCache, recordings: Sequence[Recording], wrong_labels: Iterable[str]
) -> str:
    """Take texts and wrong labels into the fingerprint of the sound."""
    known = [r for r in recordings if r.text is not None]
    wrong = sorted(wrong_labels)
    if not known and not wrong:
        return cache.fingerprint
    digest = hashlib.sha256(cache.fingerprint.encode())
    for recording in known:
        digest.update(name_bytes(f"{recording.path}\0{recording.text}\0{recording.spoken}\n"))
    digest.update(name_bytes("\n".join(wrong)))
    return digest.hexdigest()


def _check_words(
    root: Path, scan: _Scan, usable: Sequence[_Item], skipped: Sequence[Skipped]
) -> None:
    """Refuse data in which a word folder yields no recording."""
    found = Counter(item.label for item in usable if item.kind == "word")
    for word in scan.word_folders:
        if found[word]:
            continue
        below = WORDS_COLLECTION if scan.layout == "collection" else ""
        folder = root / below / scan.word_folders[word]
        prefix = _relative(str(folder), root) + "/"
        reasons = [file.reason for file in skipped if file.path.startswith(prefix)]
        why = (
            f"all its {len(reasons)} files were left out (the first: {reasons[0]})"
            if reasons
            else "its folder holds no audio files"
        )
        there = ", ".join(sorted(found)) or "nothing else"
        raise DataError(
            f"no recordings of {word!r}: {why}. Add recordings to {folder}, or move the folder "
            f"away; there are recordings of: {there}"
        )


def _recording(
    item: _Item,
    cache: AudioCache,
    split: Split,
    speaker: str | None = None,
    part: tuple[int, int] | None = None,
) -> Recording:
    span = cache.spans[item.file.path]
    first, end = (0, span.length) if part is None else part
    return Recording(
        path=item.file.path,
        kind=item.kind,
        label=item.label,
        speaker=speaker,
        split=split,
        start=span.start + first,
        length=end - first,
    )


def _split_others(
    items: Sequence[_Item],
    cache: AudioCache,
    held_out_speech: Sequence[str],
    transcripts: Mapping[str, Transcripts],
) -> list[Recording]:
    """Split everything that is not a word, by the rules in the description of this module."""
    recordings: list[Recording] = []
    speech = [item.file.path for item in items if item.kind == "speech"]
    held_out = _matching(speech, held_out_speech, "held_out_speech")
    ranked: dict[str, list[_Item]] = defaultdict(list)
    for item in items:
        length = cache.spans[item.file.path].length
        name = PurePosixPath(item.inner).name
        fold = _FOLD.match(name) if item.file.path.startswith(_FOLDS) else None
        if item.kind == "speech":
            speaker = _speaker_of(item)
            split = which_set(speaker or PurePosixPath(name).stem)
            if item.file.path in held_out:
                split = "validation"
            recording = _recording(item, cache, split, speaker)
            if item.transcribed:
                recording = _transcribed(recording, item.inner, transcripts[item.label])
            recordings.append(recording)
        elif item.kind in ("synthetic", "simulated_room"):
            recordings.append(_recording(item, cache, "training"))
        elif (
            item.kind == "noise"
            and length > LONG_RECORDING_S * SAMPLE_RATE_HZ
            and not item.in_kinds
        ):
            bounds = (0, int(length * 0.8), int(length * 0.9), length)
            recordings += [
                _recording(item, cache, split, part=(bounds[index], bounds[index + 1]))
                for index, split in enumerate(SPLITS)
            ]
        elif fold is not None and fold[1] in _FOLD_SPLITS:
            recordings.append(_recording(item, cache, _FOLD_SPLITS[fold[1]]))
        elif item.in_kinds:
            ranked[f"{NOISE_COLLECTION}/{item.label}"].append(item)
        else:
            ranked[item.kind].append(item)
    for group in ranked.values():
        splits = split_ranked([item.file.path for item in group])
        recordings += [
            _recording(item, cache, split) for item, split in zip(group, splits, strict=True)
        ]
    return recordings


def _speaker_of(item: _Item) -> str | None:
    """Return who speaks, as the names of a recording of speech tell."""
    librispeech = _LIBRISPEECH.match(PurePosixPath(item.inner).name)
    if librispeech:
        return librispeech[1]
    folder, slash, _ = item.inner.partition("/")
    if slash and item.transcribed:
        return f"{item.label}/{folder}"
    return None


def _transcribed(recording: Recording, path: str, transcripts: Transcripts) -> Recording:
    """Return a recording with what is said in it."""
    spoken = tuple(word.in_samples(recording.length) for word in transcripts.words.get(path, ()))
    return replace(recording, text=transcripts.texts[path], spoken=spoken)


def _matching(paths: Sequence[str], patterns: Sequence[str], setting: str) -> set[str]:
    """Return the paths that match any of the patterns.

    Each has to match one, unless the data lack its very first folder: a recipe for a collection is
    of use for its words alone, too.
    """
    folders = sorted({f"{PurePosixPath(path).parent}/*" for path in paths})
    found: set[str] = set()
    for pattern in patterns:
        matches = [path for path in paths if fnmatch.fnmatchcase(path, pattern)]
        first, slash, _ = pattern.partition("/")
        if not matches and any(folder.startswith(first + slash) for folder in folders):
            raise DataError(
                f"{setting}: nothing matches {pattern!r}; there is {', '.join(folders[:_LISTED])}"
            )
        found.update(matches)
    return found
