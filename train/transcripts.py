"""Text files beside recordings of speech in; out comes what is spoken in each, and when.

A folder of transcribed speech holds two files, UTF-8, with tab-separated columns and no header:

* ``transcripts.tsv``: path below the folder, text. An empty text means unknown.
* ``words.tsv``: path below the folder, word, start and end in seconds, and "clear" in a fifth
  column if the word is spoken so clearly that it may be cut out for training. It lists every
  occurrence of the words that may be keywords; a line for every word does no harm.

A text says whether a keyword is spoken, a time says where. Digits in a text may be spoken one by
one: "327" contains "three", "two" and "seven", and so does, to be safe, a number that is read as
a whole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..edge.errors import DataError
from ..edge.files import read_text
from .decode import SAMPLE_RATE_HZ

TRANSCRIPTS_FILE = "transcripts.tsv"
WORDS_FILE = "words.tsv"

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""How digits are spoken."""

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d")
_SLACK_S = 0.05  # a time may be rounded, and a codec may cut the end of a recording


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word in a recording."""

    word: str
    """In lower case."""
    start: int
    """First sample, counted from the start of the recording."""
    end: int
    """One past the last sample."""
    clear: bool = False
    """Whether it may be cut out as a recording of the word."""


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A line of ``words.tsv``."""

    word: str
    start_s: float
    end_s: float
    clear: bool
    place: str
    """File and line, for messages."""

    def in_samples(self, length: int) -> SpokenWord:
        """Return the word in a recording of `length` samples.

        Raises
        ------
        DataError
            It ends after the recording.
        """
        seconds = length / SAMPLE_RATE_HZ
        if self.end_s > seconds + _SLACK_S:
            raise DataError(
                f"{self.place}: {self.word!r} ends at {self.end_s:g} s, but the recording is "
                f"{seconds:.2f} s long; check that the times are in seconds, and of this recording"
            )
        start = min(round(self.start_s * SAMPLE_RATE_HZ), length - 1)
        end = min(round(self.end_s * SAMPLE_RATE_HZ), length)
        return SpokenWord(self.word, start, end, self.clear)


@dataclass(kw_only=True)
class Transcripts:
    """The content of the text files of a folder of speech, by path below it."""

    texts: dict[str, str] = field(default_factory=dict)
    words: dict[str, list[TimedWord]] = field(default_factory=dict)

    def add(self, folder: Path, paths: Collection[str]) -> None:
        """Read the files of a folder; they replace texts and times that are already known.

        Parameters
        ----------
        folder
            The folder, with ``transcripts.tsv``, ``words.tsv``, both or neither.
        paths
            The recordings, below the folder of speech.

        Raises
        ------
        DataError
            A file cannot be read as UTF-8, a line lacks columns, names a recording that does not
            exist, or has an invalid time.
        """
        texts, words = folder / TRANSCRIPTS_FILE, folder / WORDS_FILE
        for place, (path, text) in read_rows(texts, 2):
            _require_there(place, path, paths)
            if text.strip():
                self.texts[path] = text.strip()
        timed: dict[str, list[TimedWord]] = {}
        for place, (path, word, start, end, *more) in read_rows(words, 4):
            _require_there(place, path, paths)
            start_s, end_s = seconds_of(place, start), seconds_of(place, end)
            if not word.strip() or not 0 <= start_s < end_s:
                raise DataError(
                    f"{place}: {word!r} from {start} to {end} s is not a word with a time; a line "
                    "is: path, word, start and end in seconds, separated by tabs"
                )
            spoken = TimedWord(
                word.strip().lower(), start_s, end_s, clear=more == ["clear"], place=place
            )
            timed.setdefault(path, []).append(spoken)
        for path, lines in timed.items():
            self.words[path] = sorted(lines, key=lambda line: line.start_s)


def tokens(text: str) -> list[str]:
    """Return the words of a text, in lower case; digits as the words for them."""
    return [DIGITS[int(t)] if t.isdecimal() else t for t in _TOKEN.findall(text.lower())]


def keywords_said(
    words: Collection[str], text: str | None, spoken: Sequence[SpokenWord]
) -> tuple[SpokenWord, ...] | None:
    """Return the positions of keywords.

    Parameters
    ----------
    words
        The keywords, in lower case or not.
    text
        The text, if known.
    spoken
        Words with times.

    Returns
    -------
    The keywords in order of time; None if the text contains one at an unknown time.
    """
    wanted = {word.lower() for word in words}
    said = tuple(word for word in spoken if word.word in wanted)
    if text is not None:
        missing = Counter(token for token in tokens(text) if token in wanted)
        missing.subtract(word.word for word in said)
        if any(count > 0 for count in missing.values()):
            return None
    return said


def read_rows(file: Path, columns: int) -> Iterator[tuple[str, Sequence[str]]]:
    """Read a text file of tab-separated columns; the first is a path.

    Parameters
    ----------
    file
        UTF-8. It may be missing.
    columns
        Minimum number of columns per line. Empty lines are skipped.

    Yields
    ------
    The position of each line, for messages, and its columns.

    Raises
    ------
    DataError
        The file cannot be read as UTF-8, or a line has too few columns.
    """
    try:
        lines = read_text(file).splitlines()
    except FileNotFoundError:
        return
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 text (byte {error.start}); save it in that encoding"
        ) from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place, found = f"{file}, line {number}", line.split("\t")
        if len(found) < columns:
            raise DataError(
                f"{place}: {len(found)} columns with tabs between, where {columns} belong: "
                f"{line[:80]!r}"
            )
        yield place, [found[0].replace("\\", "/").removeprefix("./"), *found[1:]]


def _require_there(place: str, path: str, paths: Collection[str]) -> None:
    if path not in paths:
        raise DataError(
            f"{place} names {path}, which does not exist; add the recording, or remove the line"
        )


def seconds_of(place: str, text: str) -> float:
    """Return a time in seconds; raises DataError, with the position of its line, if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{place}: {text!r} is not a time in seconds")
    return value
