"""Responses to scenes in, a report out: misses against false accepts, and at operating points.

How each figure is defined:

* False accepts per hour are counted in the negatives, audio without any keyword. Scenes with words
  have false accepts, too; they are given separately, by reason.
* Misses are counted in the scenes with words. "All" are the scenes of every signal-to-noise ratio,
  at the usual gain, in no room, without talk, with words one by one. Each ratio, talk, gain, room
  and way of speaking is also given on its own, with everything else as usual, so that a figure
  differs from its neighbour in one thing.
* An operating point "at most R per hour" is the setting with the fewest misses among those whose
  rate in the negatives is at most R. If the negatives are shorter than 1/R, even zero false accepts
  would prove nothing, and there is no such point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..cache import Progress
from ..intervals import rate_bound
from .make import CLEAN
from .responses import Parameter, Responses
from .scoring import REASONS, FalseAccepts, Heard, Matches, Misses, Tally, match
from .truth import Scene

RATES_PER_HOUR = (0.1, 0.5, 1.0, 5.0)
"""False accepts per hour at which misses are reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A setting to report on."""

    name: str
    """Its name, for people."""
    rate_per_hour: float | None
    """Most false accepts per hour that it allows; None for the setting that ships."""
    setting: int | None
    """Index of the setting; None if there is none."""
    problem: str | None = None
    """Why there is none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """Scenes that are counted together: indices into the scenes."""

    words: tuple[int, ...]
    """Scenes with words, "all" of them as defined in this module."""
    conditions: Mapping[str, Mapping[str, tuple[int, ...]]]
    """The same and others by condition ("snr", "talk", "gain", "room", "flow") and its value, the
    usual value first; only conditions that the scenes have."""
    negatives: tuple[int, ...]
    sources: Mapping[str, tuple[int, ...]]
    """The negatives by source."""

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> Groups:
        """Sort scenes by their conditions, in the order in which these occur."""
        spoken = [index for index, scene in enumerate(scenes) if not scene.negative]

        def value(index: int, name: str) -> str:
            return scenes[index].conditions.get(name, CLEAN[name])

        def differs_at_most_in(index: int, name: str) -> bool:
            return all(value(index, other) == CLEAN[other] for other in CLEAN if other != name)

        conditions: dict[str, dict[str, list[int]]] = {}
        for name, usual in CLEAN.items():
            if not any(name in scenes[index].conditions for index in spoken):
                continue
            groups: dict[str, list[int]] = {usual: []}
            for index in spoken:
                if differs_at_most_in(index, name):
                    groups.setdefault(value(index, name), []).append(index)
            conditions[name] = {value: members for value, members in groups.items() if members}
        negatives = [index for index, scene in enumerate(scenes) if scene.negative]
        sources: dict[str, list[int]] = {}
        for index in negatives:
            source = scenes[index].conditions.get("source", scenes[index].name)
            sources.setdefault(source, []).append(index)
        return cls(
            words=tuple(index for index in spoken if differs_at_most_in(index, "snr")),
            conditions={
                name: {value: tuple(members) for value, members in groups.items()}
                for name, groups in conditions.items()
            },
            negatives=tuple(negatives),
            sources={source: tuple(members) for source, members in sources.items()},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Counts at one setting."""

    words: Tally
    """Over the scenes with words."""
    conditions: Mapping[str, Mapping[str, Tally]]
    """By condition and its value."""
    negatives: Tally
    """Over the negative hours."""
    sources: Mapping[str, Tally]
    """The same by source."""

    @classmethod
    def of(
        cls,
        groups: Groups,
        scenes: Sequence[Scene],
        heard: Sequence[Sequence[Heard]],
        words: Collection[str],
    ) -> Counts:
        """Score the events of each scene and count them by group."""
        matched: list[tuple[Scene, Matches]] = [
            (scene, match(scene, events, words))
            for scene, events in zip(scenes, heard, strict=True)
        ]

        def tally(members: Sequence[int]) -> Tally:
            return Tally.of(matched[index] for index in members)

        return cls(
            words=tally(groups.words),
            conditions={
                name: {value: tally(members) for value, members in values.items()}
                for name, values in groups.conditions.items()
            },
            negatives=tally(groups.negatives),
            sources={source: tally(members) for source, members in groups.sources.items()},
        )

    def to_dict(self, words: Sequence[str]) -> dict[str, Any]:
        """Return all figures as plain JSON types."""
        latency = self.words.latency_quantiles_s(0.5, 0.95)
        return {
            **self.words.misses().to_dict(),
            **self.negatives.accepts().to_dict(),
            "latency_median_s": latency and latency[0],
            "latency_95_percent_s": latency and latency[1],
            "words": {
                word: {
                    **self.words.misses(word).to_dict(),
                    **self.negatives.accepts(word=word).to_dict(),
                }
                for word in words
            },
            "conditions": {
                name: {value: _condition(tally) for value, tally in values.items()}
                for name, values in self.conditions.items()
            },
            "sources": {
                source: tally.accepts().to_dict() for source, tally in self.sources.items()
            },
            "confusions": [
                {"said": said, "heard": heard, "count": count}
                for (said, heard), count in Counter(self.words.instead).most_common()
            ],
            "false_accepts_among_words": {
                **self.words.accepts().to_dict(),
                "reasons": {reason: self.words.accepts(reason=reason).count for reason in REASONS},
            },
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamEvaluation:
    """The results of a model or program on scenes."""

    subject: str
    """Its name."""
    words: tuple[str, ...]
    parameter: Parameter | None
    """What a setting is; None if there is only one."""
    settings: tuple[float, ...]
    """From the most sensitive to the least."""
    counts: tuple[Counts, ...]
    """At each setting."""
    points: tuple[OperatingPoint, ...]
    """The setting that ships, then those of `RATES_PER_HOUR`."""
    descriptions: Mapping[int, Mapping[str, Any]]
    """What the settings of `points` mean, by index."""
    hours: float
    """The groups of all scenes."""
    notes: tuple[str, ...]
    """What a reader of the figures needs to know."""
    provenance: Mapping[str, Any]
    """Model, runtime, scenes and options, as plain JSON types."""

    @property
    def shipped(self) -> Counts:
        """Counts at the setting that ships."""
        setting = self.points[0].setting
        assert setting is not None
        return self.counts[setting]

    @property
    def negative_hours(self) -> float:
        """Hours of the negatives."""
        return self.shipped.negatives.hours

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            "subject": self.subject,
            "words": list(self.words),
            "hours": self.hours,
            "hours_with_words": self.shipped.words.hours,
            "hours_without_words": self.negative_hours,
            "false_accepts_per_hour_bound_of_none": rate_bound(self.negative_hours),
            "operating_points": [self._point(point) for point in self.points],
            "det": self._det(),
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
        }

    def _point(self, point: OperatingPoint) -> dict[str, Any]:
        head = {
            "name": point.name,
            "false_accepts_per_hour_at_most": point.rate_per_hour,
            "problem": point.problem,
        }
        if point.setting is None:
            return {**head, "miss_rate": None}
        counts = self.counts[point.setting].to_dict(self.words)
        return {**head, **self.descriptions[point.setting], **counts}

    def _det(self) -> dict[str, Any]:
        """Return the curves: a miss rate and a false-accept rate for each setting."""
        return {
            "parameter": self.parameter,
            "settings": list(self.settings),
            "all": _curve(
                [(counts.words.misses(), counts.negatives.accepts()) for counts in self.counts]
            ),
            **{
                name: {
                    value: _curve(
                        [
                            (counts.conditions[name][value].misses(), counts.negatives.accepts())
                            for counts in self.counts
                        ]
                    )
                    for value in values
                }
                for name, values in self.shipped.conditions.items()
            },
            "words": {
                word: _curve(
                    [
                        (counts.words.misses(word), counts.negatives.accepts(word=word))
                        for counts in self.counts
                    ]
                )
                for word in self.words
            },
        }


def evaluate_stream(
    subject: str,
    responses: Responses,
    scenes: Sequence[Scene],
    *,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> StreamEvaluation:
    """Score the responses to scenes at every setting.

    Parameters
    ----------
    subject
        Name of the model or program.
    responses
        Its responses to the scenes.
    scenes
        The scenes, in the same order.
    notes
        What a reader of the figures needs to know.
    provenance
        Where the figures come from, as plain JSON types.
    progress
        Called with (settings done, settings in all).
    """
    groups = Groups.of(scenes)
    words = frozenset(responses.words)
    counts = []
    for number, setting in enumerate(responses.settings, 1):
        counts.append(Counts.of(groups, scenes, responses.heard(setting), words))
        if progress is not None:
            progress(number, len(responses.settings))
    points = operating_points(
        [each.words.misses() for each in counts],
        [each.negatives.accepts() for each in counts],
        shipped=responses.shipped,
    )
    return StreamEvaluation(
        subject=subject,
        words=tuple(responses.words),
        parameter=responses.parameter,
        settings=tuple(responses.settings),
        counts=tuple(counts),
        points=points,
        descriptions={
            point.setting: responses.describe(responses.settings[point.setting])
            for point in points
            if point.setting is not None
        },
        hours=sum(scene.seconds for scene in scenes) / 3600,
        notes=tuple(notes),
        provenance=dict(provenance or {}),
    )


def operating_points(
    misses: Sequence[Misses], accepts: Sequence[FalseAccepts], *, shipped: int
) -> tuple[OperatingPoint, ...]:
    """Choose the settings to report on.

    Parameters
    ----------
    misses, accepts
        At each setting: misses among the words, and false accepts in the negative hours.
    shipped
        Index of the setting that ships.

    Returns
    -------
    It, and for each of `RATES_PER_HOUR` the setting with the fewest misses among those with at most
    that rate; of several such settings the one with the fewest false accepts.
    """
    hours = accepts[0].hours
    points = [OperatingPoint(name="as shipped", rate_per_hour=None, setting=shipped)]
    for rate in RATES_PER_HOUR:
        setting, problem = None, None
        kept = [
            index
            for index, each in enumerate(accepts)
            if each.per_hour is not None and each.per_hour <= rate
        ]
        if not hours:
            problem = "there are no negative hours"
        elif rate * hours < 1:
            problem = (
                f"{hours:.2f} h of negatives are too few to tell (no false accept in them would "
                f"only show fewer than {rate_bound(hours):.2g} per hour)"
            )
        elif not kept:
            fewest = min(each.count for each in accepts) / hours
            problem = f"no setting has fewer than {fewest:.3g}"
        else:
            setting = min(kept, key=lambda index: (misses[index].missed, accepts[index].count))
        points.append(
            OperatingPoint(
                name=f"at most {rate:g} per hour",
                rate_per_hour=rate,
                setting=setting,
                problem=problem,
            )
        )
    return tuple(points)


def _condition(tally: Tally) -> dict[str, Any]:
    latency = tally.latency_quantiles_s(0.5, 0.95)
    return {
        **tally.misses().to_dict(),
        "latency_median_s": latency and latency[0],
        "latency_95_percent_s": latency and latency[1],
        "false_accepts_among_words": tally.accepts().to_dict(),
    }


def _curve(points: Sequence[tuple[Misses, FalseAccepts]]) -> dict[str, Any]:
    """Return columns: counts and rates at each setting."""
    misses, accepts = points[0]
    return {
        "said": misses.said,
        "hours": accepts.hours,
        "missed": [each.missed for each, _ in points],
        "miss_rate": [each.rate for each, _ in points],
        "false_accepts": [each.count for _, each in points],
        "false_accepts_per_hour": [each.per_hour for _, each in points],
    }
