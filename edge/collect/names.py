"""What people type in, names of folders out: of words, and of those who speak."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path

from ..errors import DataError
from ..files import is_utf8, write_atomic

SALT_FILE = ".speaker-salt"
"""Makes pseudonyms of names; stays hidden beside the recordings, and need not go with them."""

_LONGEST_BYTES = 100  # file systems take 255
_LABELS = ("unknown", "silence")  # every model has them


class BadNameError(ValueError):
    """A name that cannot be used; the message says why, and what would do."""


def check_word(word: str) -> str:
    """Return a word if a folder can have its name and `harken train` takes it for a word.

    Raises
    ------
    BadNameError
        It cannot.
    """
    if not is_utf8(word):
        raise BadNameError(f"{word!r} is not UTF-8; type it in a terminal that is set to UTF-8")
    if not word.strip() or word != word.strip():
        raise BadNameError(f"{word!r} is no word; a word is not empty, and has no space around it")
    if len(word.encode()) > _LONGEST_BYTES:
        raise BadNameError(f"{word[:20]!r}… has more than {_LONGEST_BYTES} bytes; choose a shorter")
    bad = sorted({c for c in word if c in '/\\,:*?"<>|' or not c.isprintable()})
    if bad:
        raise BadNameError(
            f"{word!r} holds {' '.join(map(repr, bad))}, which a folder's name, or --words of "
            "`harken train`, cannot have; write the word as it is spoken"
        )
    if word[0] in "._-":
        raise BadNameError(f"{word!r} begins with {word[0]!r}; such folders are not read as words")
    if word in _LABELS:
        raise BadNameError(
            f"{word!r} is a label that every model has; record other words under their own names, "
            "and noise with --noise"
        )
    return word


def speaker_folder(name: str) -> str:
    """Return a name as a folder can have it, the same for all ways to write it.

    Letters and digits of any script stay, in lower case; whatever is between them becomes ``_``. So
    nobody who is once "Anna" and once "anna " becomes two speakers.

    Raises
    ------
    BadNameError
        Nothing is left of it, or it is too long.
    """
    if not is_utf8(name):
        raise BadNameError(f"{name!r} is not UTF-8; type it in a terminal that is set to UTF-8")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    slug = re.sub(r"[\W_]+", "_", folded).strip("_")
    if not slug:
        raise BadNameError(f"{name!r} is no name; give one with a letter or a digit, as anna")
    if len(slug.encode()) > _LONGEST_BYTES:
        raise BadNameError(f"{name[:20]!r}… has more than {_LONGEST_BYTES} bytes; give a shorter")
    return slug


def pseudonym(name: str, folder: Path) -> str:
    """Return eight digits in place of a name: always the same ones for a folder of recordings.

    A hash of a name alone could be found out by trying names; so it is taken with a salt, which is
    made at the first time and kept in `SALT_FILE`.

    Raises
    ------
    BadNameError
        See `speaker_folder`.
    DataError
        The salt cannot be read or written.
    """
    slug = speaker_folder(name)
    path = folder / SALT_FILE
    try:
        salt = path.read_bytes()
    except FileNotFoundError:
        salt = os.urandom(16).hex().encode()
        write_atomic(path, salt, private=True, error=DataError)
    except OSError as problem:
        raise DataError(f"cannot read {path}: {problem.strerror}") from None
    return hashlib.sha256(salt + slug.encode()).hexdigest()[:8]
