"""Spoken words and events in, figures out: misses, false accepts by reason, latencies.

An event is correct if it names a keyword that is being spoken, or ended at most `TOLERANCE_S` ago,
and that no earlier event has claimed. Every other event is a false accept:

========================  ==========================================================================
``confusion``             Another keyword was spoken, preferably one that was missed.
``again``                 The word was spoken, but an earlier event had claimed it.
``piece``                 Only part of a word was spoken.
``unknown word``          A word was spoken that is not a keyword.
``nothing``               Nothing was spoken.
========================  ==========================================================================

A keyword that no event claims is missed.

Uncertain words do not count, nor do events that name one or would be attributed to one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..intervals import rate_interval, share_interval
from .truth import Scene, Utterance

Reason = Literal["confusion", "again", "piece", "unknown word", "nothing"]

REASONS: tuple[Reason, ...] = get_args(Reason)
"""Reasons for a false accept."""

TOLERANCE_S = 0.6
"""How long after its end a word may still be detected, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An event: a word that a model detected."""

    word: str
    time_s: float
    """Position in the stream at which it was detected, in seconds."""
    confidence: float | None = None
    """The model's confidence, higher is surer. None if it reports none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A keyword that was spoken and detected."""

    utterance: Utterance
    heard: Heard

    @property
    def latency_s(self) -> float:
        """Time from the end of the word to its event, in seconds; negative for one before it."""
        return self.heard.time_s - self.utterance.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A keyword that was spoken and not detected."""

    utterance: Utterance
    instead: Heard | None
    """What was detected instead, if anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAccept:
    """An event that is not correct."""

    heard: Heard
    reason: Reason
    utterance: Utterance | None
    """What was spoken; None if nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """All words and events of a scene, matched."""

    hits: tuple[Hit, ...]
    misses: tuple[Miss, ...]
    false_accepts: tuple[FalseAccept, ...]


def match(scene: Scene, heard: Iterable[Heard], words: Collection[str]) -> Matches:
    """Separate correct events from false accepts, and detected keywords from missed ones.

    If an event could name several utterances, it names the one that ended first, so no order of the
    events leads to more hits. All results are in order of time.

    Parameters
    ----------
    scene
        What was spoken.
    heard
        The events, all of them keywords, in any order.
    words
        The keywords. Any other word in the scene is an unknown word.

    Returns
    -------
    Every whole utterance of a keyword is a hit or a miss, every event a hit or a false accept,
    except where the truth is uncertain.
    """
    utterances = scene.utterances
    starts = [utterance.start_s for utterance in utterances]
    named: dict[int, Heard] = {}
    wrong: list[tuple[Heard, list[int]]] = []
    for event in sorted(heard, key=lambda event: event.time_s):
        candidates = _said_at(event.time_s, utterances, starts)
        same = [
            index
            for index in candidates
            if utterances[index].word == event.word and utterances[index].whole
        ]
        right = [index for index in same if utterances[index].sure and index not in named]
        if right:
            named[right[0]] = event
        elif all(utterances[index].sure for index in same):
            wrong.append((event, candidates))

    instead: dict[int, Heard] = {}
    false_accepts = []
    for event, candidates in wrong:
        missed = [
            index
            for index in candidates
            if index not in named
            and utterances[index].whole
            and utterances[index].sure
            and utterances[index].word in words
        ]
        # The current utterance is a likelier cause than the one before it.
        blamed = max(missed or candidates, default=None)
        if blamed in missed:
            instead.setdefault(blamed, event)
        utterance = None if blamed is None else utterances[blamed]
        if utterance is not None and not utterance.sure:
            continue
        false_accepts.append(
            FalseAccept(heard=event, reason=_reason(event, utterance, words), utterance=utterance)
        )
    return Matches(
        hits=tuple(Hit(utterance=utterances[index], heard=named[index]) for index in sorted(named)),
        misses=tuple(
            Miss(utterance=utterance, instead=instead.get(index))
            for index, utterance in enumerate(utterances)
            if utterance.whole and utterance.sure and utterance.word in words and index not in named
        ),
        false_accepts=tuple(false_accepts),
    )


def _said_at(time_s: float, utterances: Sequence[Utterance], starts: Sequence[float]) -> list[int]:
    """Return the utterances that an event at this time may refer to, in order of time."""
    last = bisect_right(starts, time_s)
    first = last
    while first and utterances[first - 1].end_s + TOLERANCE_S >= time_s:
        first -= 1
    return list(range(first, last))


def _reason(event: Heard, utterance: Utterance | None, words: Collection[str]) -> Reason:
    if utterance is None:
        return "nothing"
    if not utterance.whole:
        return "piece"
    if utterance.word not in words:
        return "unknown word"
    return "again" if utterance.word == event.word else "confusion"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """Counts over any scenes."""

    hours: float
    """Their total length."""
    said: Mapping[str, int]
    """How often each keyword was spoken; only those that were."""
    missed: Mapping[str, int]
    """How often each keyword was missed."""
    instead: Mapping[tuple[str, str], int]
    """How often a keyword was missed and another one detected instead: (spoken, detected)."""
    false_accepts: Mapping[tuple[Reason, str], int]
    """False accepts by reason and detected word."""
    latencies_s: NDArray[np.float64]
    """Shape (hits,): times from the end of a word to its event, in seconds."""

    @classmethod
    def of(cls, matched: Iterable[tuple[Scene, Matches]]) -> Tally:
        """Count what was spoken and detected in some scenes."""
        seconds = 0.0
        said: Counter[str] = Counter()
        missed: Counter[str] = Counter()
        instead: Counter[tuple[str, str]] = Counter()
        false_accepts: Counter[tuple[Reason, str]] = Counter()
        latencies: list[float] = []
        for scene, matches in matched:
            seconds += scene.seconds
            for hit in matches.hits:
                said[hit.utterance.word] += 1
                latencies.append(hit.latency_s)
            for miss in matches.misses:
                said[miss.utterance.word] += 1
                missed[miss.utterance.word] += 1
                if miss.instead is not None:
                    instead[miss.utterance.word, miss.instead.word] += 1
            for wrong in matches.false_accepts:
                false_accepts[wrong.reason, wrong.heard.word] += 1
        return cls(
            hours=seconds / 3600,
            said=said,
            missed=missed,
            instead=instead,
            false_accepts=false_accepts,
            latencies_s=np.array(latencies, np.float64),
        )

    def misses(self, word: str | None = None) -> Misses:
        """Return the misses: of all keywords together, or of one."""
        if word is not None:
            return Misses(missed=self.missed.get(word, 0), said=self.said.get(word, 0))
        return Misses(missed=sum(self.missed.values()), said=sum(self.said.values()))

    def accepts(self, *, word: str | None = None, reason: Reason | None = None) -> FalseAccepts:
        """Return the false accepts: all of them, those of a word, or those with a reason."""
        count = sum(
            number
            for (why, heard), number in self.false_accepts.items()
            if word in (None, heard) and reason in (None, why)
        )
        return FalseAccepts(count=count, hours=self.hours)

    def latency_quantiles_s(self, *quantiles: float) -> tuple[float, ...] | None:
        """Return quantiles (0..1) of the latency in seconds; None without a hit."""
        if not len(self.latencies_s):
            return None
        return tuple(float(value) for value in np.quantile(self.latencies_s, quantiles))


@dataclass(frozen=True, slots=True, kw_only=True)
class Misses:
    """Missed keywords among those spoken."""

    missed: int
    said: int

    @property
    def rate(self) -> float | None:
        """The miss rate; None if nothing was spoken."""
        return self.missed / self.said if self.said else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the miss rate (Wilson's); None if nothing was spoken."""
        return share_interval(self.missed, self.said)

    def to_dict(self) -> dict[str, Any]:
        """Return counts, rate and its interval as plain JSON types."""
        low, high = self.interval or (None, None)
        return {
            "missed": self.missed,
            "said": self.said,
            "miss_rate": self.rate,
            "miss_rate_95_low": low,
            "miss_rate_95_high": high,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAccepts:
    """False accepts in a number of hours."""

    count: int
    hours: float

    @property
    def per_hour(self) -> float | None:
        """Their rate; None without any time."""
        return self.count / self.hours if self.hours else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the rate (exact Poisson); None without any time."""
        return rate_interval(self.count, self.hours)

    def to_dict(self) -> dict[str, Any]:
        """Return count, hours, rate and its interval as plain JSON types."""
        low, high = self.interval or (None, None)
        return {
            "false_accepts": self.count,
            "hours": self.hours,
            "false_accepts_per_hour": self.per_hour,
            "false_accepts_per_hour_95_low": low,
            "false_accepts_per_hour_95_high": high,
        }
