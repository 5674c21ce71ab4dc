"""What a model of new words starts from, of what harken ships: weights, and speech that is no word.

A model of new words starts from the weights of another one, which already knows speech and what is
not a word. Only the layer of logits is new, and even there the labels of both models keep their
weights (`harken.train.base`). The weights of `commands` and `commands-tiny` are the models' own.
`PHRASES` are those of `commands` before it had convolutions, trained for 240 epochs: wake phrases
that start from them are missed less often on the whole, short words more often
(docs/experiments.md).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ...edge.errors import DataError
from ..base import SUFFIX

PHRASES = "phrases"
"""The weights that new words start from."""
SHORT_WORDS = "commands"
"""The same if a word is short."""


def base_file(name: str) -> Path:
    """Return the weights file of a shipped model, or the file itself; raises DataError if none."""
    if name.endswith(SUFFIX):
        return Path(name)
    folder = _models()
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        there = ", ".join(sorted(p.name.removesuffix(SUFFIX) for p in folder.glob(f"*{SUFFIX}")))
        raise DataError(
            f"there are no weights of {name!r} to start from; there are: {there}; or give a file, "
            f"NAME{SUFFIX}"
        )
    return path


def pack_file() -> Path:
    """Return the shipped file of speech and noise."""
    return _models() / "pack.npz"


def _models() -> Path:
    spec = find_spec("harken.models")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
