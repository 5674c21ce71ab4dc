"""Which words are allowed: one rule for recordings, training, synthetic voices and grammars.

A word becomes a folder name, a label, a C constant and a part of a grammar. So it consists of
letters and digits of any script, upper or lower case, with ``'``, ``-``, ``_``, ``.`` or a space
between them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from .files import is_utf8

_LONGEST_BYTES = 100  # file systems take 255
_LABELS = ("unknown", "silence")  # labels of every model
_BETWEEN = " '’-_.·\u200c\u200d"  # the last two join letters of Persian and Hindi


class BadNameError(ValueError):
    """A name that cannot be used; the message says why, and what is allowed."""


def same_form(text: str) -> str:
    """Return a text in Unicode's form NFC, in which ``ä`` is a single character."""
    return unicodedata.normalize("NFC", text)


def sounds_like(word: str) -> str:
    """Return a key that is equal for words that differ only in case or Unicode form."""
    return same_form(same_form(word).casefold())


def twins(words: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two words that differ only in case or Unicode form."""
    seen: dict[str, str] = {}
    for word in words:
        other = seen.setdefault(sounds_like(word), word)
        if other != word:
            return other, word
    return None


def check_word(word: str) -> str:
    """Return a word in Unicode's form NFC if it can be recorded, trained and used in a grammar.

    Raises
    ------
    BadNameError
        It cannot.
    """
    if not is_utf8(word):
        raise BadNameError(f"{word!r} is not UTF-8; type it in a terminal that is set to UTF-8")
    word = same_form(word)
    if not word.strip() or word != word.strip():
        raise BadNameError(f"{word!r} is no word; a word is not empty, and has no space around it")
    if len(word.encode()) > _LONGEST_BYTES:
        raise BadNameError(f"{word[:20]!r}… has more than {_LONGEST_BYTES} bytes; choose a shorter")
    bad = sorted({letter for letter in word if not _is_part(letter)})
    if bad:
        raise BadNameError(
            f"{word!r} holds {' '.join(map(repr, bad))}, which a word cannot have, nor "
            "a folder's name everywhere; it is made of letters and digits, with ' - _ . or a space "
            "between them: write it as it is spoken"
        )
    if word[0] in _BETWEEN or unicodedata.category(word[0])[0] == "M":
        raise BadNameError(
            f"{word!r} begins with {word[0]!r}; a word begins with a letter or a digit"
        )
    if word[-1] == ".":
        raise BadNameError(f"{word!r} ends with '.', which not every system allows; leave it out")
    if word.casefold() in _LABELS:
        raise BadNameError(
            f"{word!r} is a label that every model has; record other words under their own names, "
            "and noise with --noise"
        )
    return word


def _is_part(letter: str) -> bool:
    """Whether a word may contain it: a letter, a mark on one, a digit, or a joining character."""
    return letter in _BETWEEN or unicodedata.category(letter)[0] in "LMN"
