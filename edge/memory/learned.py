"""A memory's file in, what it has learned out, checked, for export together with a model."""

from __future__ import annotations

from pathlib import Path

from ..errors import HarkenError
from .grammar import Grammar
from .lstm import pending_classes
from .prior import Learner, NgramPrior
from .store import read


def load_learned(path: str | Path, grammar: Grammar) -> Learner:
    """Read what a memory has learned.

    Parameters
    ----------
    path
        The file, as `harken.edge.memory.store` keeps it.
    grammar
        The grammar that the memory must belong to.

    Returns
    -------
    A learner on top of a prior that knows nothing.

    Raises
    ------
    HarkenError
        The file is unreadable, damaged, or of another version or grammar. Names it.
    """
    path = Path(path)
    learner = Learner(NgramPrior(grammar.words))
    try:
        content = read(path)
        name, digest = content["grammar"]["name"], content["grammar"]["digest"]
        learned = content["learned"]
        if digest != grammar.digest:
            which = f"another version of {name}" if name == grammar.name else f"the grammar {name}"
            raise HarkenError(
                f"{path} is a memory of {which}, not of {grammar.source}; give the grammar that it "
                "was made with as --grammar, or another memory"
            )
        learner.from_dict(learned)
    except OSError as problem:
        raise HarkenError(f"cannot read the memory {path}: {problem.strerror}") from None
    except (KeyError, TypeError) as problem:
        raise HarkenError(f"{path}: it is damaged; {_REMEDY}") from problem
    except ValueError as problem:
        raise HarkenError(f"{path}: {problem}; {_REMEDY}") from None
    for key, counts in learner.counts.items():
        pending, colon, last = key.partition(":")
        if not colon or pending not in pending_classes(tuple(grammar.slots)):
            raise HarkenError(
                f"{path}: {key!r} is nothing that {grammar.name} waits for; {_REMEDY}"
            )
        for word in (*counts, *([last] if last else [])):
            if word not in grammar.words:
                raise HarkenError(f"{path}: {grammar.name} has no word {word!r}; {_REMEDY}")
    return learner


_REMEDY = "write it anew with `harken memory export`"
