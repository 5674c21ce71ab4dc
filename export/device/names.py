"""Names of models and words in, valid C names out: unique, and not used by the engine."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

_DEVICE = Path(__file__).parents[2] / "edge" / "device"
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_OWN = re.compile(r"\bharken_[a-z0-9_]+", re.IGNORECASE)
# Names derived from a model's name, besides constants of its words.
_PARTS = ("golden", "frontend", "tflite", "tflite_length", "tflm_golden")
_CONSTANTS = frozenset(
    {"H", "TFLITE_H", "FRONTEND_H", "BYTES", "SAMPLE_RATE", "ARENA_BYTES", "INPUTS", "LABELS"}
    | {"SCRATCH", *(part.upper() for part in _PARTS)}
)


def identifier_of(name: str) -> str:
    """Return a model's name as a C identifier, such as ``commands_tiny``.

    If ``harken_NAME``, or a name derived from it, is a name in the engine or its templates, as for
    a model named ``golden``, ``_model`` is appended.
    """
    found = re.sub(r"[^A-Za-z0-9_]", "_", name)
    found = f"_{found}" if found[0].isdigit() else found
    while _is_taken(found):
        found += "_model"
    return found


def _is_taken(identifier: str) -> bool:
    """Whether any name derived from it is used by the engine, or could be another model's."""
    own = f"harken_{identifier}".lower()
    return any(
        name == own or name.startswith(f"{own}_") for name in _engine_names()
    ) or own.endswith(tuple(f"_{part}" for part in _PARTS))


@cache
def _engine_names() -> frozenset[str]:
    """Return all names in the engine's sources and templates that begin with ``harken_``."""
    names: set[str] = set()
    for folder in ("c", "lib", "web"):
        for path in (_DEVICE / folder).rglob("*"):
            if path.suffix in (".c", ".h", ".cc", ".ino"):
                code = _COMMENT.sub(" ", path.read_text("utf-8"))
                names |= {name.lower() for name in _OWN.findall(code)}
    return frozenset(names)


def constants_of(labels: Sequence[str], pending: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Return names for labels, and for what can be pending, to follow ``HARKEN_NAME_``.

    Latin letters lose their accents, and other letters become their code points. If two names would
    be the same, or clash with a constant that every model has, the number of the label is added.

    Returns
    -------
    labels : list of str
        A name for each label, such as ``TURN_ON`` or ``U5DE6``.
    pending : list of str
        A name for each of the others, such as ``PENDING_NOTHING``.
    """
    words = [_constant(label) for label in labels]
    waits = [f"PENDING_{_constant(name or 'nothing')}" for name in pending]
    plain = [*words, *waits]
    count = Counter(plain)
    taken = set(_CONSTANTS) | {name for name in plain if count[name] == 1}
    made = []
    for index, name in enumerate(plain):
        number = index if index < len(words) else index - len(words)
        unique = name
        if count[name] > 1 or name in _CONSTANTS:
            unique = f"{name}_{number}"
            while unique in taken:
                unique += "_"
            taken.add(unique)
        made.append(unique)
    return made[: len(words)], made[len(words) :]


def _constant(text: str) -> str:
    parts = []
    for letter in unicodedata.normalize("NFKD", unicodedata.normalize("NFC", text).upper()):
        if letter.isascii():
            parts.append(letter if letter.isalnum() else "_")
        elif not (unicodedata.combining(letter) and parts and _is_latin(parts[-1])):
            parts.append(f"U{ord(letter):04X}")
    return "".join(parts)


def _is_latin(part: str) -> bool:
    return len(part) == 1 and part.isalpha()


def in_comment(text: str) -> str:
    """Return a text so that it can stand in a C comment."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace("??/", "?? /")
