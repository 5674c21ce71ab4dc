"""Clips with labels and names in, their split into training, validation and testing out.

Words, in this order of preference (``rule="auto"``):

1. ``lists``: ``validation_list.txt`` and ``testing_list.txt`` that come with the data. A clip in
   a list goes where the list says, other clips of its speaker go with it, and the rest is training.
2. ``hash``: names of the form ``SPEAKER_nohash_N`` are split by the published ``which_set`` rule of
   Google Speech Commands. If the lists agree with it, as the official ones do, it is used instead
   of them, because it also places the clips that a release's lists leave out.
3. ``speaker``: if names or folders identify speakers, whole speakers are held out.
4. ``random``: otherwise clips are drawn, by word, in an order determined by their names.

Every rule depends only on names, so the same data gives the same split on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from ..edge.errors import DataError
from ..edge.files import name_bytes, read_text
from ..edge.words import same_form

Split = Literal["training", "validation", "testing"]
SplitRule = Literal["auto", "lists", "hash", "speaker", "random"]

SPLITS: tuple[Split, ...] = get_args(Split)
SPLIT_RULES: tuple[SplitRule, ...] = get_args(SplitRule)

HELD_OUT_PERCENT = 10.0
"""Share of validation and share of testing, in percent."""

_MAX_WAVS_PER_CLASS = 2**27 - 1  # MAX_NUM_WAVS_PER_CLASS of the published rule
_NOHASH = "_nohash_"
_MIN_SPEAKERS = 3  # one for each split
_SEPARATORS = re.compile(r"[_\-. ()]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordClip:
    """Everything that a split may depend on: only names."""

    label: str
    """The word's folder."""
    path: str
    """Path below the word's folder, with forward slashes."""

    @property
    def stem(self) -> str:
        """File name without its extension."""
        return self.path.rsplit("/", 1)[-1].rsplit(".", 1)[0]

    @property
    def key(self) -> str:
        """``WORD/NAME`` without the extension, as in the official lists."""
        return same_form(f"{self.label}/{self.path.rsplit('.', 1)[0]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSplit:
    """The split of a sequence of clips, in their order."""

    splits: tuple[Split, ...]
    speakers: tuple[str | None, ...]
    description: str
    """The rules used, and for how many clips, for the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLists:
    """Lists of held-out clips that come with a data set; keys are ``WORD/NAME``, no extension."""

    validation: frozenset[str]
    testing: frozenset[str]
    files: tuple[str, ...]
    """Names of the files."""


def which_set(
    name: str,
    validation_percent: float = HELD_OUT_PERCENT,
    testing_percent: float = HELD_OUT_PERCENT,
) -> Split:
    """Place a recording by the published rule of Google Speech Commands.

    The part of the name before ``_nohash_`` is hashed, so that all recordings of a speaker fall
    into the same split, on every machine and in every release of the data.

    Parameters
    ----------
    name
        File name, with or without its extension.
    validation_percent, testing_percent
        Shares in percent of all speakers.

    Notes
    -----
    P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition" (2018), and
    ``which_set`` in the README of the data set.
    """
    identity = name.split(_NOHASH, 1)[0]
    digest = int(hashlib.sha1(name_bytes(identity), usedforsecurity=False).hexdigest(), 16)
    percent = (digest % (_MAX_WAVS_PER_CLASS + 1)) * (100.0 / _MAX_WAVS_PER_CLASS)
    if percent < validation_percent:
        return "validation"
    if percent < validation_percent + testing_percent:
        return "testing"
    return "training"


def read_lists(folders: Iterable[Path]) -> SplitLists | None:
    """Read ``validation_list.txt`` and ``testing_list.txt`` from the first folder that has any.

    A release prefix, as in ``v0.02_validation_list.txt``, is accepted.

    Raises
    ------
    DataError
        If a list cannot be read as UTF-8 text.
    """
    for folder in folders:
        found = {
            part: sorted(folder.glob(f"{part}_list.txt"))
            + sorted(folder.glob(f"*_{part}_list.txt"))
            for part in ("validation", "testing")
        }
        if any(found.values()):
            testing = frozenset(_read_keys(found["testing"]))
            return SplitLists(
                validation=frozenset(_read_keys(found["validation"])) - testing,
                testing=testing,
                files=tuple(path.name for paths in found.values() for path in paths),
            )
    return None


def _read_keys(paths: Iterable[Path]) -> Iterable[str]:
    for path in paths:
        try:
            lines = read_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}: the list of held-out clips cannot be read: {error}"
            ) from error
        for line in lines:
            if line.strip():
                key = line.strip().removeprefix("./").replace("\\", "/").rsplit(".", 1)[0]
                yield same_form(key)


def split_words(
    clips: Sequence[WordClip], *, rule: SplitRule = "auto", lists: SplitLists | None = None
) -> WordSplit:
    """Place the clips of all words into training, validation and testing.

    Parameters
    ----------
    clips
        All clips of all words, in any order.
    rule
        A rule of the module's list, or "auto" for the first one that the names allow.
    lists
        The lists that come with the data, if any.

    Raises
    ------
    DataError
        The requested rule does not fit these names.
    """
    if rule not in SPLIT_RULES:
        raise DataError(
            f"split rule {rule!r} does not exist; choose one of {', '.join(SPLIT_RULES)}"
        )
    named = [_speaker_in_path(clip) for clip in clips]
    if rule == "auto":
        return _split_auto(clips, named, lists)
    if rule == "lists":
        if lists is None:
            raise DataError(
                "split rule 'lists' needs validation_list.txt and testing_list.txt beside the word "
                "folders; add them, or use --split-rule auto"
            )
        splits = _by_lists(clips, named, lists)
    elif rule == "hash":
        splits = [which_set(clip.stem) for clip in clips]
    elif rule == "speaker":
        guessed = _complete_speakers(clips, named)
        if guessed is None:
            raise DataError(
                f"split rule 'speaker' needs {_MIN_SPEAKERS} speakers or more in the file names, "
                "as in yes/anna_01.wav or yes/anna/01.wav; rename the files, or use "
                "--split-rule random"
            )
        named = list(guessed)
        splits = _by_speaker(guessed)
    else:
        splits = _by_name_order(clips)
    return _outcome(splits, named, [(_describe(rule, lists, asked=True), len(clips))])


def split_ranked(names: Sequence[str]) -> list[Split]:
    """Split a few names so that each split gets its share, and at least one if there are three.

    The names are ordered by their SHA-1; the first tenth is validation, the next testing.
    """
    order = sorted(range(len(names)), key=lambda index: _sha1(names[index]))
    held_out = max(round(len(names) * HELD_OUT_PERCENT / 100), 1)
    splits: list[Split] = ["training"] * len(names)
    if len(names) >= 2:
        for index in order[:held_out]:
            splits[index] = "validation"
    if len(names) >= 3:
        for index in order[held_out : 2 * held_out]:
            splits[index] = "testing"
    return splits


def _split_auto(
    clips: Sequence[WordClip], named: Sequence[str | None], lists: SplitLists | None
) -> WordSplit:
    if lists is not None and not _named_by(lists, clips):
        lists = None  # they are for another data set
    if lists is not None and not _agrees_with_hash(lists):
        description = [(_describe("lists", lists), len(clips))]
        return _outcome(_by_lists(clips, named, lists), named, description)

    splits: list[Split] = [which_set(clip.stem) for clip in clips]
    speakers = list(named)
    others = [index for index, clip in enumerate(clips) if _NOHASH not in clip.stem]
    used = [(_describe("hash", lists), len(clips) - len(others))]
    if others:
        other_clips = [clips[index] for index in others]
        guessed = _complete_speakers(other_clips, [named[index] for index in others])
        placed = _by_name_order(other_clips) if guessed is None else _by_speaker(guessed)
        used.append((_describe("random" if guessed is None else "speaker"), len(others)))
        for position, index in enumerate(others):
            splits[index] = placed[position]
            if guessed is not None:
                speakers[index] = guessed[position]
    return _outcome(splits, speakers, used)


def _outcome(
    splits: Sequence[Split], speakers: Sequence[str | None], used: Sequence[tuple[str, int]]
) -> WordSplit:
    description = "; ".join(f"{text}: {count} clips" for text, count in used if count)
    return WordSplit(splits=tuple(splits), speakers=tuple(speakers), description=description)


def _describe(rule: SplitRule, lists: SplitLists | None = None, *, asked: bool = False) -> str:
    files = "" if lists is None else ", ".join(lists.files)
    if rule == "lists":
        return f"by the lists that come with the data ({files})"
    if rule == "hash":
        return "by the official speaker hash" + (f" (agrees with {files})" if files else "")
    if rule == "speaker":
        return "by speaker, no speaker in two parts"
    why = "" if asked else " (fewer than three speakers in them)"
    return f"at random by word, in an order fixed by the names{why}"


def _speaker_in_path(clip: WordClip) -> str | None:
    """Return the speaker in a path: SPEAKER_nohash_N, or a folder below the word's."""
    if _NOHASH in clip.stem:
        return clip.stem.split(_NOHASH, 1)[0]
    folder, slash, _ = clip.path.partition("/")
    return folder if slash else None


def _complete_speakers(
    clips: Sequence[WordClip], named: Sequence[str | None]
) -> tuple[str, ...] | None:
    """Return a speaker for every clip, guessed if needed; None if names have none."""
    speakers = [
        guess_speaker(clip) if speaker is None else speaker
        for clip, speaker in zip(clips, named, strict=True)
    ]
    labels: dict[str, set[str]] = defaultdict(set)
    for clip, speaker in zip(clips, speakers, strict=True):
        labels[speaker].add(clip.label)
    if "" in labels or len(labels) < _MIN_SPEAKERS:
        return None
    if None in named:
        # A guess must be plausible: people who say several words, or one word several times.
        n_labels = len({clip.label for clip in clips})
        several = sum(len(words) > 1 for words in labels.values()) * 2 >= len(labels)
        if not (several if n_labels > 1 else len(clips) >= 2 * len(labels)):
            return None
    return tuple(speakers)


def guess_speaker(clip: WordClip) -> str:
    """Guess the speaker of ``anna_01``, ``yes-anna-3``, ``7_jackson_32``; '' if nothing is left."""
    tokens = [token for token in _SEPARATORS.split(clip.stem) if token]
    if tokens and tokens[-1].isdigit():
        tokens.pop()
    return "_".join(token for token in tokens if token.casefold() != clip.label.casefold())


def _named_by(lists: SplitLists, clips: Sequence[WordClip]) -> bool:
    return any(clip.key in lists.validation or clip.key in lists.testing for clip in clips)


def _agrees_with_hash(lists: SplitLists) -> bool:
    return all(
        _NOHASH in key and which_set(PurePosixPath(key).name) == part
        for part, keys in (("validation", lists.validation), ("testing", lists.testing))
        for key in keys
    )


def _by_lists(
    clips: Sequence[WordClip], speakers: Sequence[str | None], lists: SplitLists
) -> list[Split]:
    listed: list[Split | None] = [
        "testing"
        if clip.key in lists.testing
        else "validation"
        if clip.key in lists.validation
        else None
        for clip in clips
    ]
    held_out: dict[str, Split] = {}
    for speaker, part in zip(speakers, listed, strict=True):
        if speaker is not None and part is not None and held_out.get(speaker) != "testing":
            held_out[speaker] = part
    return [
        part or (held_out.get(speaker, "training") if speaker is not None else "training")
        for speaker, part in zip(speakers, listed, strict=True)
    ]


def _by_speaker(speakers: Sequence[str]) -> list[Split]:
    """Hold out whole speakers until a tenth of the clips, and at least one speaker, is held out."""
    counts: Mapping[str, int] = Counter(speakers)
    wanted = len(speakers) * HELD_OUT_PERCENT / 100
    # A speaker of a fifth of all clips would overfill a split: such speakers train, if possible.
    order = sorted(counts, key=lambda name: (counts[name] > 2 * wanted, _sha1(name)))
    parts: dict[str, Split] = dict.fromkeys(order, "training")
    candidates = iter(order)
    left = len(order)
    for part, still_needed in (("validation", 2), ("testing", 1)):
        clips = 0
        while left > still_needed and clips < wanted:
            name = next(candidates)
            left -= 1
            parts[name] = "validation" if part == "validation" else "testing"
            clips += counts[name]
    return [parts[speaker] for speaker in speakers]


def _by_name_order(clips: Sequence[WordClip]) -> list[Split]:
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips):
        by_label[clip.label].append(index)
    splits: list[Split] = ["training"] * len(clips)
    for indices in by_label.values():
        for index, part in zip(
            indices, split_ranked([clips[index].key for index in indices]), strict=True
        ):
            splits[index] = part
    return splits


def _sha1(text: str) -> str:
    return hashlib.sha1(name_bytes(text), usedforsecurity=False).hexdigest()
