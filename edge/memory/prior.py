"""Detected words in, the probability of each word to be next out.

The context of the next word is the last two words, what the dialogue waits for, and the time since
the last word: soon after "left" a number follows, later rather something new. `NgramPrior` counts
which words follow which, `harken.edge.memory.lstm.LstmPrior` has learned it, and `Learner` adapts
either to the user, as far as its predictions prove right.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

GAP_EDGES_S = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
"""Boundaries between the classes of gaps, in seconds; a gap is the time from the decision on a word
to that on the next."""

N_GAPS = len(GAP_EDGES_S) + 1

_STRENGTH = 12.0
"""The wider context counts as much as this many words in the narrower one."""


def gap_class(gap_s: float) -> int:
    """Return the class of a gap, 0 to `N_GAPS` - 1."""
    return bisect_right(GAP_EDGES_S, gap_s)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What the next word depends on, except for the time."""

    last: str | None = None
    """The last word; None if nothing was said, or it is forgotten."""
    before: str | None = None
    """The one before it."""
    pending: str = ""
    """What the dialogue waits for: a slot's name, "confirm", or nothing."""


class Prior(Protocol):
    """Predicts the next word from the words of the current session."""

    words: tuple[str, ...]
    """The words that it predicts."""

    def reset(self) -> None:
        """Forget the session."""

    def hear(self, word: str, gap_s: float, pending: str) -> None:
        """Process a word.

        Parameters
        ----------
        word
            One of `words`.
        gap_s
            Seconds since the decision on the word before it; any value for the first.
        pending
            What the dialogue waits for from now on; see `Context`.
        """

    def expect(self) -> Float64:
        """Return the probability of each word to be next: (N_GAPS, n_words), rows add up to 1."""

    def when(self) -> Float64:
        """Return how probable each class of gaps is: (N_GAPS,), adding up to 1."""


class NgramPrior:
    """An interpolated n-gram over words, with what is pending and the class of the gap.

    Each context serves as a Dirichlet prior for the next narrower one (MacKay and Peto, 1995): what
    is pending; plus the gap; plus the last word; plus the word before it.

    Parameters
    ----------
    words
        What it predicts.
    sessions
        Sessions to count: for each, the words, their gaps and what was pending after each.
    """

    def __init__(
        self, words: Sequence[str], sessions: Iterable[Sequence[tuple[str, float, str]]] = ()
    ) -> None:
        self.words = tuple(words)
        self._index = {word: index for index, word in enumerate(self.words)}
        self._counts: dict[tuple[object, ...], Float64] = {}
        self._gaps: dict[tuple[object, ...], Float64] = {}
        self.reset()
        for session in sessions:
            self.reset()
            for word, gap_s, pending in session:
                if self.context.last is not None:
                    gap = gap_class(gap_s)
                    for key in self._keys(gap):
                        row = self._counts.setdefault(key, np.zeros(len(self.words)))
                        row[self._index[word]] += 1
                    for key in self._gap_keys():
                        self._gaps.setdefault(key, np.zeros(N_GAPS))[gap] += 1
                self.hear(word, gap_s, pending)
        self.reset()

    def reset(self) -> None:
        """Forget the session."""
        self.context = Context()
        """What the next word depends on."""

    def hear(self, word: str, gap_s: float, pending: str) -> None:
        """Process a word; see `Prior.hear`."""
        del gap_s  # the gap before this word: the next one does not depend on it
        self.context = Context(last=word, before=self.context.last, pending=pending)

    def expect(self) -> Float64:
        """Return the probability of each word to be next; see `Prior.expect`."""
        expected = np.empty((N_GAPS, len(self.words)))
        for gap in range(N_GAPS):
            row = np.full(len(self.words), 1 / len(self.words))
            for key in self._keys(gap):
                row = _interpolated(self._counts.get(key), row)
            expected[gap] = row
        return expected

    def when(self) -> Float64:
        """Return how probable each class of gaps is; see `Prior.when`."""
        expected = np.full(N_GAPS, 1 / N_GAPS)
        for key in self._gap_keys():
            expected = _interpolated(self._gaps.get(key), expected)
        return expected

    def _gap_keys(self) -> tuple[tuple[object, ...], ...]:
        return (self.context.pending,), (self.context.pending, self.context.last)

    def _keys(self, gap: int) -> tuple[tuple[object, ...], ...]:
        """Return the contexts, widest first."""
        context = self.context
        narrow = (context.pending, gap, context.last)
        return (
            (context.pending,),
            (context.pending, gap),
            narrow,
            (*narrow, context.before),
        )


def _interpolated(counts: Float64 | None, wider: Float64) -> Float64:
    """Return the probabilities in a context, given those in the wider one around it."""
    if counts is None:
        return wider
    narrower: Float64 = (counts + _STRENGTH * wider) / (counts.sum() + _STRENGTH)
    return narrower


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lesson:
    """A word in its context, to learn from later."""

    word: str
    context: Context
    base: float
    """Its probability by the shipped prior."""
    learned: float
    """Its probability by the learner."""


class Learner:
    """A prior that learns what its user says, and trusts that as far as it predicts better.

    The user's words are counted with a half-life of `HALF_LIFE` words, and interpolated with the
    base prior. The trust in these counts comes from a mixture of two experts, each weighted by the
    probability that it gave to the words that came; a fixed share of the weight is redistributed
    after each word (Herbster and Warmuth, 1998). So changed habits cost a few words, not hundreds.

    Parameters
    ----------
    base
        The prior that ships.
    """

    HALF_LIFE = 150.0
    """Number of words after which a count is worth half."""

    SHARE = 0.02
    """Share of the trust that is redistributed after each word."""

    STRENGTH = 6.0
    """The base prior counts as much as this many words of the user in the same context."""

    def __init__(self, base: Prior) -> None:
        self.base = base
        self.words = base.words
        self._index = {word: index for index, word in enumerate(self.words)}
        self.forget()
        self.reset()

    def reset(self) -> None:
        """Forget the session; what was learned stays."""
        self.base.reset()
        self._context = Context()

    def forget(self) -> None:
        """Forget all that was learned."""
        self.counts: dict[str, dict[str, float]] = {}
        """For each context, as text, the count of each word said in it; older words count less."""
        self.trust = 0.5
        """Trust in what was learned, in 0..1."""
        self.lessons = 0
        """Number of words learned from so far."""

    def hear(self, word: str, gap_s: float, pending: str) -> None:
        """Process a word; see `Prior.hear`. Nothing is learned from it before `learn`."""
        self.base.hear(word, gap_s, pending)
        self._context = Context(last=word, before=self._context.last, pending=pending)

    def expect(self) -> Float64:
        """Return the probability of each word to be next; see `Prior.expect`."""
        base = self.base.expect()
        return (1 - self.trust) * base + self.trust * self._learned(base)

    def when(self) -> Float64:
        """Return how probable each class of gaps is; see `Prior.when`."""
        return self.base.when()

    def lesson(self, word: str, gap_s: float) -> Lesson:
        """Note a word before it is processed, to learn from it once it has proved to be meant."""
        gap, index = gap_class(gap_s), self._index[word]
        base = self.base.expect()
        return Lesson(
            word=word,
            context=self._context,
            base=float(base[gap, index]),
            learned=float(self._learned(base)[gap, index]),
        )

    def learn(self, lesson: Lesson) -> None:
        """Learn from a word that was meant."""
        trusted = self.trust * lesson.learned
        trust = trusted / (trusted + (1 - self.trust) * lesson.base)
        self.trust = (1 - self.SHARE) * trust + self.SHARE / 2
        fading = 0.5 ** (1 / self.HALF_LIFE)
        for counts in self.counts.values():
            for word in counts:
                counts[word] *= fading
        for key in _keys(lesson.context):
            counts = self.counts.setdefault(key, {})
            counts[lesson.word] = counts.get(lesson.word, 0.0) + 1.0
        self.lessons += 1

    def to_dict(self) -> dict[str, Any]:
        """Return what was learned, as plain JSON types."""
        return {
            "trust": round(self.trust, 6),
            "lessons": self.lessons,
            "counts": {
                key: {word: round(count, 4) for word, count in counts.items()}
                for key, counts in self.counts.items()
            },
        }

    def from_dict(self, data: Mapping[str, Any]) -> None:
        """Restore what was learned earlier.

        Raises
        ------
        ValueError
            It is not something that `to_dict` returned.
        """
        try:
            counts = {
                str(key): {str(word): float(count) for word, count in counts.items()}
                for key, counts in data["counts"].items()
            }
            trust, lessons = float(data["trust"]), int(data["lessons"])
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as problem:
            raise ValueError("what was learned is damaged") from problem
        numbers = [count for row in counts.values() for count in row.values()]
        if not all(0 <= number < 1e6 for number in (*numbers, lessons)) or not 0 < trust < 1:
            raise ValueError("what was learned is damaged")
        self.counts, self.trust, self.lessons = counts, trust, lessons

    def keep(self, waits: Collection[str]) -> None:
        """Drop what was learned about words or pending parts that no longer exist.

        Parameters
        ----------
        waits
            Everything that may be pending; see `lstm.pending_classes`.
        """
        kept = {}
        for key, counts in self.counts.items():
            pending, _, last = key.partition(":")
            left = {word: count for word, count in counts.items() if word in self._index}
            if left and pending in waits and (not last or last in self._index):
                kept[key] = left
        self.counts = kept

    def knows(self, context: Context) -> bool:
        """Whether anything was learned about what follows exactly this word."""
        return _keys(context)[1] in self.counts

    def habit(self, context: Context) -> Float64 | None:
        """Return how `expect` combines the base prior with what was learned, in a context.

        Returns
        -------
        (1 + n_words,) float64, adding up to 1: the weight of the base prior, and what is added to
        it for each word. None if nothing was learned about the context.
        """
        if not any(key in self.counts for key in _keys(context)):
            return None
        share: Float64 = np.eye(1, 1 + len(self.words))[0]
        for key in _keys(context):
            counts = self._counted(key)
            share *= self.STRENGTH
            share[1:] += counts
            share /= counts.sum() + self.STRENGTH
        share *= self.trust
        share[0] += 1 - self.trust
        return share

    def _learned(self, base: Float64) -> Float64:
        expected = base
        for key in _keys(self._context):
            counts = self._counted(key)
            expected = (counts + self.STRENGTH * expected) / (counts.sum() + self.STRENGTH)
        return expected

    def _counted(self, key: str) -> Float64:
        counts = np.zeros(len(self.words))
        for word, count in self.counts.get(key, {}).items():
            if word in self._index:
                counts[self._index[word]] = count
        return counts


def _keys(context: Context) -> tuple[str, str]:
    """Return the contexts in which the user's words are counted, widest first."""
    return f"{context.pending}:", f"{context.pending}:{context.last or ''}"
