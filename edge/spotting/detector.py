"""Posteriors in, word detections out: smoothing, talk, thresholds, one detection per word.

**Talk.** People who talk say words of the model, or what sounds like them, all the time: "he left
the house", "bon" for "one". By its sound alone a command cannot be told from these, but a command
is said on its own. So the detector averages the posterior of "unknown" over the last seconds. The
longer and clearer somebody has been talking, the more evidence a word needs. Somebody who gives
commands is not talking: each detection resets the talk.

**Context.** After "left" a number is likelier than "right". A context (what was said before) may
move the log-odds of each word, within bounds, while it is remembered (see `Context`).

**Faint words.** Whoever says "five" has just said "left", even if the noise left it below its
threshold. So with a context, a detection brings along the clearest word of the last `FAINT_S`
that almost fired (see `Faint`). Where nothing is detected, this changes nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from ..validation import require

Float32 = npt.NDArray[np.float32]

UNKNOWN = "unknown"
"""The label of speech that is not a word of the model."""

SILENCE = "silence"
"""The label of everything that is not speech."""

REARM = 0.5
"""Fraction of its threshold below which a word must fall before it may fire again."""

TALK_S = 4.0
"""Time constant of each of the two moving averages that make talk, in seconds. One time constant
after talk begins, 26 % of it counts; one after it ends, 74 % still does. After two, 59 and 41 %."""

CONTEXT_WEIGHT = 1.0
"""Default weight of the context; measured in `docs/experiments.md`."""

CONTEXT_LIMIT = 1.0
"""Default for the most that the context moves a word, in log-odds."""

_MOST_LOG_ODDS = 30.0  # beyond this float32 reaches infinity
_MOST_WEIGHT = 10.0

FAINT_S = 3.0
"""How long before a detection a faint word may have been said, in seconds."""

_ONSET = 0.1  # fraction of its threshold at which a word's evidence begins
_HUSH = 0.5  # fraction of a faint word's evidence that silence must stay below


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """When posteriors become a detection: the manifest's ``detector`` section.

    Raises
    ------
    ModelError
        A value is out of its range.
    """

    smoothing_steps: int
    """Length of the moving average over posteriors, in network steps."""
    refractory_ms: int
    """Time after a detection in which no word fires, in milliseconds."""
    talk_penalty: float = 0.0
    """Log-odds that every word loses after continuous talk, in 0..30; it loses less after less
    talk."""
    context_weight: float = CONTEXT_WEIGHT
    """Weight of the context: the factor of its log-odds, in 0..10; 0 switches it off."""
    context_limit: float = CONTEXT_LIMIT
    """Maximum by which the context moves a word's log-odds, up or down, in 0..30."""
    thresholds: Mapping[str, float]
    """For each word the evidence at which it fires, in (0, 1]."""

    def __post_init__(self) -> None:
        steps, refractory_ms = self.smoothing_steps, self.refractory_ms
        require(steps >= 1, "detector.smoothing_steps", steps, "be at least 1")
        require(refractory_ms >= 0, "detector.refractory_ms", refractory_ms, "be at least 0")
        for name, most in (
            ("talk_penalty", _MOST_LOG_ODDS),
            ("context_weight", _MOST_WEIGHT),
            ("context_limit", _MOST_LOG_ODDS),
        ):
            value = getattr(self, name)
            must = f"be at least 0 and at most {most:g}"
            require(0 <= value <= most, f"detector.{name}", value, must)
        for word, threshold in self.thresholds.items():
            require(
                0 < threshold <= 1,
                f"detector.thresholds.{word}",
                threshold,
                "be greater than 0 and at most 1",
            )

    def refractory_steps(self, step_samples: int, sample_rate_hz: int) -> int:
        """Return the refractory time in network steps, rounded up: the time is a minimum."""
        return -(-self.refractory_ms * sample_rate_hz // (1000 * step_samples))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Faint:
    """A word that almost fired: its evidence rose to `REARM` of its threshold or more, and fell.

    Silence had less than half as much evidence: noise also makes a word half likely, but then
    silence is likely, too.
    """

    word: str
    confidence: float
    """Its highest evidence, in 0..1."""
    end_sample: int
    """Samples processed at that moment."""
    step: int
    """Network step of that moment, counted from 0 at the last reset."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """A detected word."""

    word: str
    confidence: float
    """The evidence: the smoothed posterior, lowered by the talk penalty; in 0..1."""
    start_sample: int
    """First sample of the evidence: of the step since which it has stayed at or above a tenth of
    the threshold."""
    end_sample: int
    """Samples processed when the decision was made."""
    step: int
    """Network step at which it was decided, counted from 0 at the last reset."""
    acoustic: float
    """The same evidence without the contribution of the context, in 0..1."""
    faint: Faint | None = None
    """With a context: a word that was said before this one, after the last detection, and almost
    fired; the clearest within `FAINT_S`."""


class Context(Protocol):
    """The context: what was said before, and how likely it makes the next word."""

    def log_odds(self, sample: int) -> Float32 | None:
        """Return what to add to the log-odds of each label: (n_labels,) float32.

        None or all zeros if nothing is known; then nothing changes.

        Parameters
        ----------
        sample
            Samples processed since the last reset when the current step is decided.
        """

    def accept(self, detection: Detection) -> None:
        """Note a word that was just detected; the next step's log-odds may depend on it."""

    def reset(self) -> None:
        """Forget what was said; samples are counted from 0 again."""


class Detector:
    """Turns posteriors into detections: at most one for a word spoken once.

    At each step the posteriors are smoothed (see `smooth`) and lowered for talk (see `Talk`). A
    word fires when the result, its evidence, reaches its threshold and is the largest of all
    labels. Then the talk is forgotten and no word fires for the refractory time; the same word
    fires again only after its evidence has fallen below half its threshold.
    How the steps are divided among calls makes no difference.

    Parameters
    ----------
    config
        Smoothing, refractory time, thresholds.
    labels
        What the posteriors stand for; those without a threshold never fire.
    step_samples
        Samples from one step to the next.
    sample_rate_hz
        Samples a second.
    overhang_samples
        Samples that a step uses beyond its own `step_samples`: window minus hop.
    context
        The context (what was said before), if there is one. It is asked at each step, in order.
    """

    def __init__(
        self,
        config: DetectorConfig,
        labels: Sequence[str],
        step_samples: int,
        *,
        sample_rate_hz: int = 16_000,
        overhang_samples: int = 0,
        context: Context | None = None,
    ) -> None:
        self.config = config
        self.labels = tuple(labels)
        self._step_samples = step_samples
        self._overhang_samples = overhang_samples
        self._refractory_steps = config.refractory_steps(step_samples, sample_rate_hz)
        self._silence = self.labels.index(SILENCE) if SILENCE in self.labels else None
        self._faint_steps = int(FAINT_S * sample_rate_hz) // step_samples
        self._talk = Talk(config.talk_penalty, self.labels, step_samples / sample_rate_hz)
        self._context = context
        self._thresholds = np.array(
            [config.thresholds.get(label, np.inf) for label in self.labels], np.float32
        )
        self._clear()  # not the context: it may remember words from before this detector

    def reset(self) -> None:
        """Start anew: the next posterior is that of step 0, and every word may fire."""
        self._clear()
        if self._context is not None:
            self._context.reset()

    def _clear(self) -> None:
        self.evidence = np.zeros((0, len(self.labels)), np.float32)
        """(m, n_labels) float32: what was compared with the thresholds in the last `feed`."""
        self._origin = 0  # position of the first sample of step 0
        self._history = np.zeros((self.config.smoothing_steps - 1, len(self.labels)), np.float32)
        self._talk.reset()
        self._step = 0
        self._ready_at = 0  # first step after the refractory time
        self._armed = np.ones(len(self.labels), bool)
        self._faint: _Peak | None = None  # the clearest faint word since the last detection
        self._rising: _Peak | None = None  # the highest so far of one that has not fallen yet
        self._fallen = True  # whether the last word's evidence has fallen
        # A label that the context made fire early: its own evidence may be low and still rise.
        self._early: list[int] = []
        self._onset = np.zeros(len(self.labels), np.int64)  # step at which the evidence began
        self._silent_steps = 0  # consecutive steps of certain silence up to now

    def restart(self, sample: int) -> None:
        """Start anew at the given sample, but keep the context."""
        self._clear()
        self._origin = sample

    def jump(self, samples: int) -> None:
        """Skip samples: the positions of later words move by that many."""
        self._origin += samples

    def feed(self, posteriors: Float32) -> list[Detection]:
        """Process posteriors, and return the words that they complete.

        Parameters
        ----------
        posteriors
            (m, n_labels) float32, as `Engine.feed` returns them; any m.

        Returns
        -------
        Detections in the order in which they were made.
        """
        if not len(posteriors):
            self.evidence = posteriors
            return []
        self._silent_steps = 0
        smoothed = smooth(posteriors, self.config.smoothing_steps, self._history)
        if self._history.size:
            joined = np.concatenate((self._history, posteriors))
            self._history = joined[len(posteriors) :].copy()
        detections = []
        self.evidence = self._talk.discount(smoothed, posteriors)
        for index, acoustic in enumerate(self.evidence):
            row = self._in_context(acoustic)
            fallen = np.maximum(row, acoustic) < REARM * self._thresholds
            if self._step < self._ready_at:
                fallen[self._early] = False
            np.logical_or(self._armed, fallen, out=self._armed)
            self._onset[row < _ONSET * self._thresholds] = self._step + 1
            best = int(row.argmax())
            fires = (
                self._step >= self._ready_at
                and row[best] >= self._thresholds[best]
                and self._armed[best]
            )
            if fires:
                detections.append(self._fire(best, float(row[best]), float(acoustic[best])))
                self._talk.reset()
                rest = slice(index + 1, None)
                self.evidence[rest] = self._talk.discount(smoothed[rest], posteriors[rest])
                if self._context is not None:
                    self._context.accept(detections[-1])
            else:
                self._watch(row)
            self.evidence[index] = row
            self._step += 1
        return detections

    def rest(self, steps: int) -> list[Detection]:
        """Do what `feed` does with steps of certain silence, at almost no cost.

        Parameters
        ----------
        steps
            Number of steps; the last label stands for silence.

        Returns
        -------
        Detections of what came before the silence.
        """
        silence = np.zeros((steps, len(self.labels)), np.float32)
        silence[:, -1] = 1
        before, self._silent_steps = self._silent_steps, self._silent_steps + steps
        if before < len(self._history):
            detections = self.feed(silence)
            self._silent_steps = before + steps
            return detections
        # The averages hold only silence: no other label has evidence.
        self.evidence = silence
        self._talk.fade(steps)
        for _ in range(steps):
            if self._context is not None:
                self._context.log_odds(self._heard_samples)
            early = self._early if self._step < self._ready_at else []
            as_they_are = self._armed[early]
            self._armed[:] = True
            self._armed[early] = as_they_are
            self._watch(None)
            self._step += 1
        if steps:
            self._onset[:] = self._step
        return []

    def _watch(self, row: Float32 | None) -> None:
        """Note a word that rises and falls without firing.

        Parameters
        ----------
        row
            (n_labels,) float32, the evidence of a step at which nothing fired; None for silence.
        """
        if self._context is None or not self.config.context_weight:
            return
        if row is not None and (row >= REARM * self._thresholds).any():
            shares = row / self._thresholds
            label = int(shares.argmax())
            share = float(shares[label])
            spoken = self._silence is None or row[self._silence] < _HUSH * row[label]
            higher = self._rising is None or share > self._rising.share
            if self._fallen and spoken and higher:
                word = Faint(
                    word=self.labels[label],
                    confidence=float(row[label]),
                    end_sample=self._heard_samples,
                    step=self._step,
                )
                self._rising = _Peak(share=share, word=word)
            return
        if self._rising is not None:
            if not self._is_recent(self._faint) or self._rising.share > self._faint.share:
                self._faint = self._rising
            self._rising = None
        self._fallen = self._fallen or self._step >= self._ready_at

    def _is_recent(self, peak: _Peak | None) -> TypeGuard[_Peak]:
        return peak is not None and self._step - peak.word.step <= self._faint_steps

    def _take_faint(self, fired: int) -> Faint | None:
        """Return the faint word before a word that fires now, and begin anew."""
        peak, self._faint, self._rising, self._fallen = self._faint, None, None, False
        # A part of the word that fires now is no word before it.
        if not self._is_recent(peak) or peak.word.step >= self._onset[fired]:
            return None
        return peak.word

    def _in_context(self, acoustic: Float32) -> Float32:
        """Return the evidence of a step, (n_labels,), with the contribution of the context."""
        if self._context is None:
            return acoustic
        log_odds = self._context.log_odds(self._heard_samples)
        if log_odds is None:
            return acoustic
        limit = np.float32(self.config.context_limit)
        moved = (np.float32(self.config.context_weight) * log_odds).clip(-limit, limit)
        if not moved.any():
            return acoustic  # exactly, without a rounding error
        favoured = acoustic * np.exp(moved)
        evidence: Float32 = favoured / (favoured + np.subtract(1, acoustic, dtype=np.float32))
        return evidence

    @property
    def _heard_samples(self) -> int:
        return self._origin + (self._step + 1) * self._step_samples + self._overhang_samples

    def _fire(self, label: int, confidence: float, acoustic: float) -> Detection:
        self._armed[label] = False
        self._early = [label] if confidence > acoustic else []
        self._ready_at = self._step + self._refractory_steps
        return Detection(
            word=self.labels[label],
            confidence=confidence,
            acoustic=acoustic,
            start_sample=self._origin + int(self._onset[label]) * self._step_samples,
            end_sample=self._heard_samples,
            step=self._step,
            faint=self._take_faint(label),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Peak:
    """The highest evidence of a word that has not fired."""

    share: float
    """Of the word's threshold."""
    word: Faint


class Talk:
    """How much somebody has been talking, and how much that lowers the words.

    Talk, in 0..1, is the posterior of "unknown" after two exponential moving averages in series,
    each with the time constant `TALK_S`: the beginning of a word, which is "unknown" too, hardly
    counts by the time the word ends. The log-odds of every smoothed posterior are lowered by the
    penalty times the talk. A posterior of 1 stays 1: no word ever becomes impossible.

    Parameters
    ----------
    penalty
        See `DetectorConfig.talk_penalty`; 0 changes nothing.
    labels
        What the posteriors stand for; without "unknown" there is no talk.
    step_s
        Seconds from one step to the next.
    """

    def __init__(self, penalty: float, labels: Sequence[str], step_s: float) -> None:
        self._penalty = penalty if UNKNOWN in labels else 0.0
        self._unknown = list(labels).index(UNKNOWN) if self._penalty else 0
        self._share = talk_share(step_s)
        self.reset()

    def reset(self) -> None:
        """Forget all talk."""
        self._recent = 0.0  # the first of the two averages
        self.level = 0.0
        """Talk after the last step, in 0..1."""

    def discount(self, smoothed: Float32, posteriors: Float32) -> Float32:
        """Lower smoothed posteriors by the talk penalty.

        Parameters
        ----------
        smoothed
            (m, n_labels) float32, as `smooth` returns them.
        posteriors
            (m, n_labels) float32, of the same steps, not smoothed: talk is updated from these.

        Returns
        -------
        (m, n_labels) float32: the evidence.
        """
        if not self._penalty:
            return smoothed
        costs = []
        for unknown in posteriors[:, self._unknown].tolist():
            self._go_on(unknown)
            costs.append(math.exp(-self._penalty * self.level))
        return lower_odds(smoothed, np.array(costs, np.float32)[:, np.newaxis])

    def fade(self, steps: int) -> None:
        """Process steps without talk."""
        if self._penalty:
            for _ in range(steps):
                self._go_on(0.0)

    def _go_on(self, unknown: float) -> None:
        self._recent += self._share * (unknown - self._recent)
        self.level += self._share * (self._recent - self.level)


def talk_share(step_s: float) -> float:
    """Return the weight of a new step in each of the averages that make talk."""
    return 1.0 - math.exp(-step_s / TALK_S)


def lower_odds(probabilities: Float32, factors: Float32) -> Float32:
    """Multiply the odds, p / (1 - p), of probabilities.

    Parameters
    ----------
    probabilities
        float32, any shape.
    factors
        float32, of a shape that broadcasts.

    Returns
    -------
    float32, the probabilities that have these odds.
    """
    left = probabilities * factors
    lowered: Float32 = left / (left + np.subtract(1, probabilities, dtype=np.float32))
    return lowered


def smooth(posteriors: Float32, smoothing_steps: int, history: Float32 | None = None) -> Float32:
    """Average each step with the ones before it: the same smoothing for streams and clips.

    The sum is always divided by `smoothing_steps`. What came before the first step counts as 0, so
    that a word needs as much evidence right after a reset as at any later time.

    Parameters
    ----------
    posteriors
        (m, n_labels) float32.
    smoothing_steps
        Length of the average.
    history
        (smoothing_steps - 1, n_labels) float32, the posteriors before these; by default a reset.

    Returns
    -------
    (m, n_labels) float32.
    """
    steps, n_labels = posteriors.shape
    if history is None:
        history = np.zeros((smoothing_steps - 1, n_labels), np.float32)
    joined = np.concatenate((history, posteriors))
    # Summed oldest first at every step: rounding errors of a running sum would accumulate.
    total = joined[:steps].copy()
    for offset in range(1, smoothing_steps):
        total += joined[offset : offset + steps]
    total /= np.float32(smoothing_steps)
    return total
