"""Typed names of speakers in, folder names out; for words see `words`."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path

from ...errors import DataError
from ...files import is_utf8, write_atomic
from ...words import BadNameError, check_word

__all__ = ["SALT_FILE", "BadNameError", "check_word", "pseudonym", "speaker_folder"]

SALT_FILE = ".speaker-salt"
"""Salt for pseudonyms; a hidden file beside the recordings, which you need not share."""

_LONGEST_BYTES = 100  # file systems allow 255


def speaker_folder(name: str) -> str:
    """Return a name as a folder name, the same for all spellings of it.

    Letters and digits of any script are kept, in lower case; anything between them becomes ``_``.
    So "Anna" and "anna " are the same speaker.

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
        raise BadNameError(f"{name!r} is not a name; it needs a letter or a digit, as in anna")
    if len(slug.encode()) > _LONGEST_BYTES:
        raise BadNameError(f"{name[:20]!r}… has more than {_LONGEST_BYTES} bytes; shorten it")
    return slug


def pseudonym(name: str, folder: Path) -> str:
    """Return eight digits in place of a name, always the same within a folder of recordings.

    A hash of the name alone could be reversed by trying names, so it includes a salt, which is
    created on first use and stored in `SALT_FILE`.

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
