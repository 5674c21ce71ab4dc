"""Numbers of missing recordings per word in, an order to say them in out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random


def interleave(missing: Mapping[str, int], rng: Random) -> list[str]:
    """Return the words, each as often as it is missing, in an order that avoids chanting.

    No word comes twice in a row while there is another one. The word missing most often comes
    next, so the words stay mixed to the end.

    Parameters
    ----------
    missing
        Recordings by word.
    rng
        Breaks ties.
    """
    left = {word: count for word, count in missing.items() if count > 0}
    order: list[str] = []
    while left:
        others = [word for word in left if word not in order[-1:]] or list(left)
        most = max(left[word] for word in others)
        word = rng.choice([word for word in others if left[word] == most])
        order.append(word)
        left[word] -= 1
        if not left[word]:
            del left[word]
    return order
