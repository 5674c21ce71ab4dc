"""A folder of recordings in, a `Corpus` out: decoded, labelled and split audio.

Two layouts are read:

* **A folder a word**, as in Google Speech Commands, or for your own recordings: the
  folder's name is the label, everything below it is a recording of that word, and a folder in
  between is a speaker (``yes/anna/01.wav``). ``_background_noise_`` holds noise. ``_silence_`` and
  ``_unknown_``, as in the official 12-class test archive, are kept as separate labels. Other
  folders that start with an underscore are left out, and reported.
* **A collection**: a folder that holds ``speech_commands/`` (in the layout above) and any of
  ``background_noise/``, ``esc10/``, ``noise/`` (noise), ``negatives/``, ``wake_words/`` (speech
  that holds none of the words), ``speech/`` (people who say anything, a folder a corpus, with the
  text files of `harken.train.transcripts`), ``rooms/`` (impulse responses), ``synthetic/`` (words
  said by synthetic voices, a folder a word), ``simulated_rooms/`` and ``lists/`` (the official
  lists).
* **Additions**: further folders laid out like a collection, with anything of the above except
  words. They add recordings, or text files to the speech of the data folder. Each may hold
  ``wrong_labels.tsv``, whose first column is the path of a clip below the words' folder: such clips
  are left out of training only; and ``hard_negatives.tsv``, with the path of a recording of speech
  or noise and a time in seconds: training draws what is there more often. Either list may name
  recordings that are not there.

Hidden files and files that are not audio are ignored. Words are split by `harken.train.splits`.
Speech is split by the hash of its speaker if names begin with one, as in LibriSpeech
(``237-134500-0001``), or, in ``speech/``, if a folder below the corpus is one; otherwise by the
hash of its name. Held-out speech is validation. A recording in ``speech/`` without a text is left
out: only a text tells whether it contains a keyword. Noise longer than 30 s is cut by time: the
first 80 % are training, the next 10 % validation, the last 10 % testing. ESC-10 and Kitchen20 are
split by their folds (1 to 3 training, 4 validation, 5 testing), and rooms and other short noise,
and that in ``noise/``, by a fixed order of their names, with at least one recording in each part if
there are three. Synthetic and simulated data are for training only: nothing is measured on them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..edge.errors import DataError
from ..edge.files import name_bytes
from .cache import AudioCache, Progress, default_cache_dir, open_cache
from .corpus import SILENCE_FOLDER, UNKNOWN_FOLDER, Corpus, DataReport, Kind, Recording, Skipped
from .decode import SAMPLE_RATE_HZ
from .scan import (
    COLLECTION,
    NOISE_COLLECTION,
    WORDS_COLLECTION,
    WRONG_LABELS_FILE,
    Item,
    Scan,
    relative,
    scan_folders,
)
from .splits import SPLITS, Split, SplitRule, WordClip, split_ranked, split_words, which_set
from .transcripts import Transcripts

SILENT_PEAK = 32
"""A file is silent if no sample reaches this value: 32 of 32768 is −60 dB of full scale."""


LONG_CLIP_S = 5.0
"""Nobody takes this long to say a word: a longer recording holds more than the word."""

LONG_RECORDING_S = 30.0
"""Noise longer than this is split by time instead of going into one part as a whole."""

# Common names of folders that hold no word; in a collection some of these have that meaning.
_ODD_WORDS = frozenset(
    {*COLLECTION, WORDS_COLLECTION, "background", "background_noises", "backgroundnoise", "noises"}
    | {"background noise", "negative", "other", "others", "test", "train", "validation", "testing"}
    | {"training", "val", "lists"}
)
_FOLDS = ("esc10/", "noise/kitchen20/")
_LIBRISPEECH = re.compile(r"(\d+)-\d+-\d+\.")  # SPEAKER-CHAPTER-UTTERANCE
_LISTED = 40  # most folders that a message names
_FOLD = re.compile(r"(\d)-")
_FOLD_SPLITS: Mapping[str, Split] = {
    "1": "training",
    "2": "training",
    "3": "training",
    "4": "validation",
    "5": "testing",
}


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
    """Read a folder of recordings; decode it the first time, then use the cache.

    Parameters
    ----------
    root
        Data folder in one of the layouts of this module. It is only read.
    additions
        Further folders, laid out like a collection, but without words. They are only read.
    cache_dir
        Folder for decoded audio, 32 kB per second of a clip. Default: the user's cache folder (see
        `harken.train.cache.default_cache_dir`).
    split_rule
        See `harken.train.splits`.
    held_out_speech
        Shell patterns of paths of speech that is all for validation, such as
        ``negatives/french_reading/*``. Each must match something, unless its first folder does not
        exist.
    left_out
        Shell patterns of paths of recordings that are not used at all: wrong words, or words where
        none should be.
    keep_silent
        Keep files whose peak is below `SILENT_PEAK`. Training leaves them out; evaluation keeps
        them, as published figures count every clip.
    progress
        Called with (files done, files in all) while files are decoded.

    Raises
    ------
    DataError
        If there is no such folder, it holds no word folders, no recording of a word is left, an
        addition adds nothing or something that already exists, a text file is damaged, the split
        rule does not suit the data, or the cache cannot be written.
    """
    root, added = Path(root), [Path(folder) for folder in additions]
    for folder, holds in (
        (root, "a folder of recordings a word"),
        *((path, f"{', '.join(COLLECTION)} or some of these") for path in added),
    ):
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise DataError(f"the data folder {folder} {what}; give a folder that holds {holds}")
    scan = scan_folders(root, added)
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


def _assemble(
    root: Path,
    scan: Scan,
    cache: AudioCache,
    rule: SplitRule,
    *,
    held_out_speech: Sequence[str],
    left_out: Sequence[str],
    keep_silent: bool,
) -> Corpus:
    """Leave out what cannot be used, split the rest, and count."""
    skipped = list(scan.skipped)
    usable: list[Item] = []
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
        fingerprint=_fingerprint(cache, recordings, scan),
        audio=cache.audio,
        recordings=tuple(recordings),
        report=report,
        hard_negatives=scan.hard_negatives,
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


def _is_known(item: Item, scan: Scan) -> bool:
    """Whether a text tells what is said in a recording of transcribed speech."""
    return item.inner in scan.transcripts[item.label].texts


def _fingerprint(cache: AudioCache, recordings: Sequence[Recording], scan: Scan) -> str:
    """Add texts, wrong labels and hard negatives to the fingerprint of the audio."""
    known = [r for r in recordings if r.text is not None]
    wrong, hard = sorted(scan.wrong_labels), sorted(scan.hard_negatives.items())
    if not known and not wrong and not hard:
        return cache.fingerprint
    digest = hashlib.sha256(cache.fingerprint.encode())
    for recording in known:
        digest.update(name_bytes(f"{recording.path}\0{recording.text}\0{recording.spoken}\n"))
    digest.update(name_bytes("\n".join(wrong)))
    for path, times in hard:
        digest.update(name_bytes(f"\0{path}\0{times}"))
    return digest.hexdigest()


def _check_words(
    root: Path, scan: Scan, usable: Sequence[Item], skipped: Sequence[Skipped]
) -> None:
    """Refuse data in which a word folder yields no recording."""
    found = Counter(item.label for item in usable if item.kind == "word")
    for word in scan.word_folders:
        if found[word]:
            continue
        below = WORDS_COLLECTION if scan.layout == "collection" else ""
        folder = root / below / scan.word_folders[word]
        prefix = relative(str(folder), root) + "/"
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
    item: Item,
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
    items: Sequence[Item],
    cache: AudioCache,
    held_out_speech: Sequence[str],
    transcripts: Mapping[str, Transcripts],
) -> list[Recording]:
    """Split everything that is not a word, by the rules in the description of this module."""
    recordings: list[Recording] = []
    speech = [item.file.path for item in items if item.kind == "speech"]
    held_out = _matching(speech, held_out_speech, "held_out_speech")
    ranked: dict[str, list[Item]] = defaultdict(list)
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


def _speaker_of(item: Item) -> str | None:
    """Return the speaker, from the path of a speech recording."""
    librispeech = _LIBRISPEECH.match(PurePosixPath(item.inner).name)
    if librispeech:
        return librispeech[1]
    folder, slash, _ = item.inner.partition("/")
    if slash and item.transcribed:
        return f"{item.label}/{folder}"
    return None


def _transcribed(recording: Recording, path: str, transcripts: Transcripts) -> Recording:
    """Return a recording with its text and words."""
    spoken = tuple(word.in_samples(recording.length) for word in transcripts.words.get(path, ()))
    return replace(recording, text=transcripts.texts[path], spoken=spoken)


def _matching(paths: Sequence[str], patterns: Sequence[str], setting: str) -> set[str]:
    """Return the paths that match any of the patterns.

    Each must match one, unless the data lack its first folder: a recipe for a collection also works
    with only its words.
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
