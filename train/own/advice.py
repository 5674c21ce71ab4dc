"""Words in, advice on them out: too short, too similar, too common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from ..pack import Pack
from ..transcripts import tokens
from .near import Phones, pronunciations, unlikeness

Problem = Literal["short", "alike", "part", "common", "unknown"]

FEWEST_PHONES = 4
"""A word with fewer phonemes is short."""

LEAST_UNLIKENESS = 2.0
"""Words that differ by less sound similar (see `harken.train.own.near.unlikeness`)."""

MOST_PER_HOUR = 4.0
"""Words that running speech contains more often, per hour, are common."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One problem with some words."""

    words: tuple[str, ...]
    problem: Problem
    text: str
    """The cost, and what would be better, for people."""


def advise(words: Sequence[str], pack: Pack) -> list[Advice]:
    """Return advice on difficult words before training.

    Parameters
    ----------
    words
        The keywords.
    pack
        Its speech shows how common words are.

    Raises
    ------
    DependencyError
        The dictionary of pronunciations is not installed.
    """
    ways = {word: pronunciations(word) for word in words}
    found: list[Advice] = []
    for word in words:
        shown = word.replace("_", " ")
        if not ways[word]:
            found.append(
                Advice(
                    words=(word,),
                    problem="unknown",
                    text=f"{shown!r} is not in the dictionary, so its near misses are unknown; "
                    "listen to the voices, and use --spelling if they mispronounce it",
                )
            )
            continue
        sounds = min(map(len, ways[word]))
        if sounds < FEWEST_PHONES:
            found.append(
                Advice(
                    words=(word,),
                    problem="short",
                    text=f"{shown!r} has {sounds} sounds; words with fewer than {FEWEST_PHONES} "
                    "are missed in noise and detected in other words: use a longer one, or a "
                    f"phrase such as '{shown} please' or 'computer {shown}'",
                )
            )
        per_hour = _per_hour(word, pack)
        if per_hour > MOST_PER_HOUR:
            found.append(
                Advice(
                    words=(word,),
                    problem="common",
                    text=f"{shown!r} occurs about {per_hour:.0f} times in an hour of speech, and "
                    "each time may be a false accept: use a rarer word, or a phrase with it",
                )
            )
    for first, second in combinations(words, 2):
        found += _of_two(first, second, ways[first], ways[second])
    return found


def _of_two(
    first: str, second: str, ways: Sequence[Phones], others: Sequence[Phones]
) -> list[Advice]:
    if not ways or not others:
        return []
    both = first.replace("_", " "), second.replace("_", " ")
    least = min(unlikeness(a, b) for a in ways for b in others)
    if least < LEAST_UNLIKENESS:
        return [
            Advice(
                words=(first, second),
                problem="alike",
                text=f"{both[0]!r} and {both[1]!r} differ by {least:g} of the "
                f"{LEAST_UNLIKENESS:g} sounds needed to tell words apart, so they will be "
                "confused; replace one of them",
            )
        ]
    for part, whole, short, long in ((*both, ways, others), (*both[::-1], others, ways)):
        if any(_holds(b, a) for a in short for b in long):
            return [
                Advice(
                    words=(first, second),
                    problem="part",
                    text=f"{part!r} is a part of {whole!r}, and will be detected in it; replace "
                    "one of them",
                )
            ]
    return []


def _holds(whole: Phones, part: Phones) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


def _per_hour(word: str, pack: Pack) -> float:
    """Count how often the speech of a pack says a word, per hour of speech with a text."""
    sections = [
        section
        for section in pack.sections
        if section.kind == "speech" and len(tokens(section.text or "")) > 1
    ]
    wanted = " ".join(tokens(word.replace("_", " ")))
    count = sum(
        f" {' '.join(tokens(section.text or ''))} ".count(f" {wanted} ") for section in sections
    )
    hours = pack.hours(sections)
    return count / hours if hours else 0.0
