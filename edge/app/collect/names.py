"""What people type in, names of folders out: of those who speak; of words see `words`."""

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
"""Makes pseudonyms of names; stays hidden beside the recordings, and need not go with them."""

_LONGEST_BYTES = 100  # file systems take 255


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
