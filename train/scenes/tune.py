"""Posteriors over scenes in, the detector's settings out, and what they achieve.

The goal is the fewest mistakes in the scenes with words, at a given limit of false accepts per hour
in the negative hours. A mistake is a missed word or a wrong event. The scenes with words are those
that `harken eval --stream` calls "all": all signal-to-noise ratios weighted equally, at the usual
gain, without a room.

At the wanted rate, the negative hours contain few false accepts, and none for most words.
Thresholds fitted to these would be fitted to chance. So, for every smoothing and every talk
penalty:

1. The tail of each word's false accepts is assumed to fall exponentially with the log-odds of its
   threshold (`Tail`). It is fitted at lower thresholds, where there are more of them; the count and
   the slope of each word are shrunk towards those of all words, the more so the fewer there are.
2. With these tails each word gets the threshold that costs the fewest mistakes when a false accept
   costs the same for every word (`offsets`): a word that is rarely confused with another one, or is
   hard to detect, gets a lower one. Only the differences between words are kept.
3. These differences are applied in full, by half, or not at all, and all thresholds are moved
   together (as in `sweep`) until the counted false accepts are within the limit.

The best settings and the share of the differences are found by two-fold cross-validation:
differences from one half of the scenes are tried on the other half. The halves share no scene: the
same words under other conditions belong to the same half. First the talk penalty is chosen, with
the model's smoothing and equal thresholds for all words, then the rest.

Thresholds look better than they are on the scenes on which they were chosen. So, besides the
figures on all scenes, there are held-out figures: thresholds chosen on one half and measured on the
other, both ways; only the smoothing, the talk penalty and the share were chosen on all.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from ...edge.errors import DataError
from ...edge.spotting.detector import DetectorConfig
from ...edge.spotting.manifest import Model
from ..cache import Progress
from .report import Groups
from .scoring import REASONS, Matches, Tally, match
from .sweep import Clock, Evidence, Float32, HeardScene, thresholds_at
from .tails import DELTAS, Float64, heights_of, offsets
from .truth import Scene

SMOOTHINGS = (1, 2, 3, 4, 5)
"""Lengths of the moving average to try, in steps."""

PENALTIES = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0)
"""Talk penalties to try, in log-odds. Larger ones would make a word right after talk almost
impossible (docs/experiments.md)."""

SHARES = (0.0, 0.5, 1.0)
"""Shares of the differences between words to try."""

# Differences are tried at several rates, so that no single false accept decides: these multiples of
# the wanted one.
_RATES = (1, 2, 4)


_PATIENCE = 8  # deltas to try above the best one without improvement


@dataclass(frozen=True, kw_only=True, eq=False)
class Tuning:
    """The chosen settings, and their figures."""

    detector: DetectorConfig
    """The model's detector, with other thresholds, smoothing and talk penalty."""
    words: Tally
    """In the scenes with words."""
    conditions: Mapping[str, Tally]
    """The same by signal-to-noise ratio."""
    negatives: Tally
    """In the negative hours."""
    held_out: tuple[Tally, Tally] | None
    """In the scenes with words and in the negative ones, with thresholds chosen on one half and
    measured on the other, both ways; None if there are too few scenes."""
    share: float
    """How much of the differences between words was kept: one of `SHARES`."""
    before: tuple[Tally, Tally]
    """With the detector that the model had: in the scenes with words and in the negative ones."""
    notes: tuple[str, ...]
    """Notes for readers of the figures."""

    def operating_point(self) -> dict[str, Any]:
        """Return the figures for the manifest, as plain JSON types."""
        latency = self.words.latency_quantiles_s(0.5, 0.95) or (None, None)
        return {
            **_figures(self.words, self.negatives),
            "latency_median_s": latency[0],
            "latency_95_percent_s": latency[1],
            "wrong_among_words": {
                **self.words.accepts().to_dict(),
                "reasons": {
                    reason: count
                    for reason in REASONS
                    if (count := self.words.accepts(reason=reason).count)
                },
            },
            "snr": {value: tally.misses().to_dict() for value, tally in self.conditions.items()},
            "cross_validated": self.held_out and _figures(*self.held_out),
            "share_of_word_offsets": self.share,
        }


def tune(
    model: Model,
    scenes: Sequence[Scene],
    posteriors: Sequence[Float32],
    *,
    fa_per_hour: float,
    progress: Progress | None = None,
) -> Tuning:
    """Choose a detector as described in this module.

    Parameters
    ----------
    model
        The model.
    scenes
        The scenes, with words and negative ones.
    posteriors
        Its posteriors for each, (m, n_labels) float32, not smoothed.
    fa_per_hour
        Most false accepts per hour in the negative scenes, over all words.
    progress
        Called with (combinations tried, combinations in all).

    Raises
    ------
    DataError
        There are no scenes with words of the model or no negative ones, the latter are too short to
        verify the rate, or no thresholds achieve it.
    """
    check_scenes(scenes, model.manifest.words, fa_per_hour=fa_per_hour)
    groups = Groups.of(scenes)
    everything = _Part(scenes, (*groups.words, *groups.negatives))
    halves = _halves(scenes, groups)
    notes = []
    if halves is None:
        notes.append(
            "too few scenes to choose on one half and measure on the other: all words get the same "
            "threshold, and no figures are cross-validated"
        )

    own = model.manifest.detector
    shares = SHARES if halves else SHARES[:1]
    total = len(PENALTIES) + len(SMOOTHINGS) * len(shares)
    tried = 0

    def best(stages: Sequence[_Stage], shares: Sequence[float]) -> tuple[_Stage, float]:
        nonlocal tried
        costs = {}
        for stage, share in product(stages, shares):
            costs[stage, share] = _cost(stage, share, everything, halves, fa_per_hour)
            tried += 1
            if progress is not None:
                progress(tried, total)
        # Of equals, the first answers fastest and treats words alike.
        return min(costs, key=costs.__getitem__)

    def stage_of(**changes: Any) -> _Stage:
        return _Stage(model, scenes, posteriors, dataclasses.replace(own, **changes))

    penalty = best([stage_of(talk_penalty=each) for each in PENALTIES], SHARES[:1])[0].talk_penalty
    stages = [stage_of(talk_penalty=penalty, smoothing_steps=steps) for steps in SMOOTHINGS]
    stage, share = best(stages, shares)

    thresholds = stage.thresholds(share, everything, fa_per_hour)
    if thresholds is None:
        fewest = stage.curve(dict.fromkeys(model.manifest.words, 0.0)).least_accepts(everything)
        raise DataError(
            f"no thresholds reach {fa_per_hour:g} false accepts per hour: even close to 1 there "
            f"are {fewest} in {everything.hours:.3g} h. Check the negative scenes for words of the "
            "model, or allow more with --fa-per-hour"
        )
    held_out = None
    if halves is not None:
        held_out = _held_out(stage, share, halves, fa_per_hour)
        if held_out is None:
            notes.append("no figures are cross-validated: half of the scenes cannot reach the rate")
    before = stage_of()
    return Tuning(
        detector=dataclasses.replace(stage.config, thresholds=thresholds),
        words=stage.tally(groups.words, thresholds),
        conditions={
            value: stage.tally(members, thresholds)
            for value, members in groups.conditions.get("snr", {}).items()
        },
        negatives=stage.tally(groups.negatives, thresholds),
        held_out=held_out,
        share=share,
        before=(
            before.tally(groups.words, own.thresholds),
            before.tally(groups.negatives, own.thresholds),
        ),
        notes=tuple(notes),
    )


def check_scenes(scenes: Sequence[Scene], words: Sequence[str], *, fa_per_hour: float) -> None:
    """Check before listening that thresholds can be chosen on scenes.

    Raises
    ------
    DataError
        None of the words is spoken in them, or the negative hours are too few to verify the
        rate.
    """
    groups = Groups.of(scenes)
    part = _Part(scenes, (*groups.words, *groups.negatives))
    if not part.said(words):
        raise DataError(
            f"the scenes with words contain no word of the model; it knows {', '.join(words)}"
        )
    if part.hours * fa_per_hour < 1:
        raise DataError(
            f"{part.hours:.2g} h of negatives are too few to verify at most {fa_per_hour:g} false "
            f"accepts per hour; it takes {1 / fa_per_hour:.2g} h. Add audio without keywords "
            "(--negatives), or allow more with --fa-per-hour"
        )


class _Part:
    """Some of the scenes."""

    def __init__(self, scenes: Sequence[Scene], members: Sequence[int]) -> None:
        self._scenes = scenes
        self.words = [index for index in members if not scenes[index].negative]
        self.negatives = [index for index in members if scenes[index].negative]

    @cached_property
    def hours(self) -> float:
        """Without words."""
        return sum(self._scenes[index].seconds for index in self.negatives) / 3600

    def said(self, words: Sequence[str]) -> int:
        """Return how many words are spoken."""
        return sum(
            utterance.whole and utterance.sure and utterance.word in words
            for index in self.words
            for utterance in self._scenes[index].utterances
        )


class _Stage:
    """The scenes as processed with one smoothing and one talk penalty."""

    def __init__(
        self,
        model: Model,
        scenes: Sequence[Scene],
        posteriors: Sequence[Float32],
        config: DetectorConfig,
    ) -> None:
        self.config = config
        self.scenes = scenes
        self.words = model.manifest.words
        self._posteriors = posteriors
        self._clock = Clock.of(model)
        self._curves: dict[tuple[float, ...], _Curve] = {}

    @property
    def talk_penalty(self) -> float:
        """The talk penalty in log-odds."""
        return self.config.talk_penalty

    @cached_property
    def heard(self) -> list[HeardScene]:
        """The scenes, for any thresholds."""
        return [HeardScene(rows, self.config, self._clock) for rows in self._posteriors]

    @cached_property
    def _heights(self) -> list[tuple[list[Float64], list[Float64]]]:
        """For each scene and each word: correct events, wrong events."""
        return [
            heights_of(Evidence(rows, self.config, self._clock), scene, self.words, self._clock)
            for rows, scene in zip(self._posteriors, self.scenes, strict=True)
        ]

    def curve(self, word_offsets: Mapping[str, float]) -> _Curve:
        """Return the counts when the thresholds differ by these offsets."""
        key = tuple(word_offsets[word] for word in self.words)
        return self._curves.setdefault(key, _Curve(self, word_offsets))

    def offset_curve(self, share: float, part: _Part, rate: float) -> _Curve:
        """Return the same for a share of the differences derived from a part of the scenes."""
        if share == 0:
            return self.curve(dict.fromkeys(self.words, 0.0))

        def joined(members: Sequence[int], which: int) -> list[Float64]:
            return [
                np.concatenate([self._heights[index][which][word] for index in members])
                for word in range(len(self.words))
            ]

        differences = offsets(
            joined(part.words, 0),
            joined(part.words, 1),
            joined(part.negatives, 1),
            rate * part.hours,
        )
        values = np.round(share * differences, 3).tolist()
        return self.curve(dict(zip(self.words, values, strict=True)))

    def thresholds(self, share: float, part: _Part, rate: float) -> dict[str, float] | None:
        """Choose thresholds on a part of the scenes; None if none reach the rate there."""
        curve = self.offset_curve(share, part, rate)
        best = curve.best(part, rate)
        return None if best is None else curve.thresholds(best[1])

    def tally(self, members: Sequence[int], thresholds: Mapping[str, float]) -> Tally:
        """Count hits and mistakes in some scenes with thresholds."""
        return Tally.of(self.matched(members, thresholds))

    def matched(
        self, members: Sequence[int], thresholds: Mapping[str, float]
    ) -> Iterator[tuple[Scene, Matches]]:
        """Match events and words in some scenes with thresholds."""
        words = frozenset(self.words)
        for index in members:
            heard = self.heard[index].heard(thresholds)
            yield self.scenes[index], match(self.scenes[index], heard, words)


class _Curve:
    """Counts while all thresholds are moved together; computed on demand."""

    def __init__(self, stage: _Stage, word_offsets: Mapping[str, float]) -> None:
        self._stage = stage
        self._base = {
            word: thresholds_at({word: 0.5}, offset)[word] for word, offset in word_offsets.items()
        }
        self._counted: dict[tuple[int, int], int] = {}

    def thresholds(self, delta: int) -> dict[str, float]:
        """Return the thresholds at an index into the deltas, as they are written."""
        moved = thresholds_at(self._base, float(DELTAS[delta]))
        return {word: round(value, 6) for word, value in moved.items()}

    def accepts(self, part: _Part, delta: int) -> int:
        """Return the false accepts in the negative scenes."""
        return self._count(part.negatives, delta)

    def least_accepts(self, part: _Part) -> int:
        """Return the same at the highest thresholds."""
        return self.accepts(part, len(DELTAS) - 1)

    def best(self, part: _Part, rate: float) -> tuple[int, int] | None:
        """Find the fewest mistakes with at most this many false accepts per hour.

        Returns
        -------
        Mistakes and the index of the delta, the lowest of equals; None if none reaches the rate.
        """
        allowed = rate * part.hours
        # The count falls with rising thresholds, but not strictly: so each delta is checked, too.
        first = bisect_left(
            range(len(DELTAS)), True, key=lambda delta: self.accepts(part, delta) <= allowed
        )
        best = None
        for delta in range(first, len(DELTAS)):
            if self.accepts(part, delta) <= allowed:
                mistakes = self._count(part.words, delta)
                if best is None or mistakes < best[0]:
                    best = mistakes, delta
            if best is not None and delta >= best[1] + _PATIENCE:
                break
        return best

    def _count(self, members: Sequence[int], delta: int) -> int:
        missing = [index for index in members if (index, delta) not in self._counted]
        if missing:
            thresholds = self.thresholds(delta)
            matched = self._stage.matched(missing, thresholds)
            for index, (_, matches) in zip(missing, matched, strict=True):
                mistakes = len(matches.misses) + len(matches.false_accepts)
                self._counted[index, delta] = mistakes
        return sum(self._counted[index, delta] for index in members)


def _cost(
    stage: _Stage,
    share: float,
    everything: _Part,
    halves: tuple[_Part, _Part] | None,
    rate: float,
) -> float:
    """Return the mistakes of a smoothing and a share on scenes that the differences did not use."""
    ways = [(everything, everything)] if halves is None else [halves, halves[::-1]]
    total = 0
    for basis, tried in ways:
        curve = stage.offset_curve(share, basis, rate)
        for times in _RATES:
            best = curve.best(tried, times * rate)
            if best is None:
                return math.inf
            total += best[0]
    return total


def _held_out(
    stage: _Stage, share: float, halves: tuple[_Part, _Part], rate: float
) -> tuple[Tally, Tally] | None:
    """Choose on one half and measure on the other, both ways."""
    words: list[tuple[Scene, Matches]] = []
    negatives: list[tuple[Scene, Matches]] = []
    for basis, other in (halves, halves[::-1]):
        thresholds = stage.thresholds(share, basis, rate)
        if thresholds is None:
            return None
        words.extend(stage.matched(other.words, thresholds))
        negatives.extend(stage.matched(other.negatives, thresholds))
    return Tally.of(words), Tally.of(negatives)


def _halves(scenes: Sequence[Scene], groups: Groups) -> tuple[_Part, _Part] | None:
    """Divide the scenes into two parts with nothing in common; None if that is impossible.

    The same words under other conditions stay together. Of each source of negatives, the beginning
    goes into one part and the rest into the other.
    """
    by_content: dict[tuple[str, ...], list[int]] = {}
    for index in groups.words:
        scene = scenes[index]
        content = (scene.name,) if scene.recordings is None else scene.recordings
        by_content.setdefault(content, []).append(index)
    parts: tuple[list[int], list[int]] = ([], [])
    for number, members in enumerate(by_content.values()):
        parts[number % 2].extend(members)

    loads = [0.0, 0.0]
    for source in groups.sources.values():
        ends = np.cumsum([scenes[index].seconds for index in source])
        cut = int(np.searchsorted(ends, ends[-1] / 2, "right"))
        before_s = float(ends[cut - 1]) if cut else 0.0
        pieces = [(before_s, source[:cut]), (float(ends[-1]) - before_s, source[cut:])]
        # The longer one goes to the part that is shorter so far.
        (shorter_s, shorter), (longer_s, longer) = sorted(pieces, key=lambda piece: piece[0])
        lighter = int(loads[1] < loads[0])
        parts[lighter].extend(longer)
        parts[1 - lighter].extend(shorter)
        loads[lighter] += longer_s
        loads[1 - lighter] += shorter_s
    both = _Part(scenes, parts[0]), _Part(scenes, parts[1])
    if not all(part.words and part.negatives for part in both):
        return None
    return both


def _figures(words: Tally, negatives: Tally) -> dict[str, Any]:
    return {**words.misses().to_dict(), **negatives.accepts().to_dict()}
