"""A model of own words and its validation data in; out come thresholds and expected figures.

The int8 model processes the speech of the pack, and the words of held-out voices and recordings, as
rendered by `harken.train.operating`. In an hour of speech, half a false accept cannot be counted.
The log-odds of the strongest false alarms fall off about exponentially, so the threshold for a
lower rate is extrapolated from the strongest ones of the hour. Where the held-out words leave room
above it, the threshold is half way between what the speech requires and what the words allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DataError
from ...edge.spotting.engine import Engine
from ...edge.spotting.manifest import Model
from ..cache import Progress as Count
from ..config import TrainConfig
from ..corpus import Corpus
from ..intervals import rate_interval, share_interval
from ..operating import OperatingPoint, Words, events
from ..scenes.sweep import Clock, Evidence

Float32 = NDArray[np.float32]

TALK_PENALTY = 20.0
"""Of the detector, in log-odds. A higher penalty allows a lower threshold at the same rate, so that
fewer words are missed, in silence and after talk (docs/experiments.md)."""

_LOUDEST = 5  # false alarms to estimate the slope from: with more of them, it is too flat
_LEAST, _MOST = 0.10, 0.99  # limits of the threshold
_LEAST_EVIDENCE = 0.01  # below, log-odds fall off far faster than exponentially
_MOST_FOR_ROOM = 0.5  # people are harder to recognize than voices: no higher only to leave room


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Figures of a model on held-out data."""

    threshold: float
    """Common to all words, in 0..1."""
    hours: float
    """Duration of the speech without keywords."""
    false_accepts: int
    words: dict[str, tuple[int, int]]
    """For each word, how often it was spoken and how often it was missed."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, with 95 % intervals."""
        missed = {
            word: {
                "said": said,
                "missed": missed,
                "share": missed / said if said else None,
                "interval": share_interval(missed, said),
            }
            for word, (said, missed) in self.words.items()
        }
        return {
            "threshold": round(self.threshold, 4),
            "hours": round(self.hours, 3),
            "false_accepts": self.false_accepts,
            "false_accepts_per_hour": self.false_accepts / self.hours if self.hours else None,
            "false_accepts_interval": rate_interval(self.false_accepts, self.hours),
            "words": missed,
        }


def choose_threshold(
    model: Model,
    config: TrainConfig,
    corpus: Corpus,
    *,
    fa_per_hour: float,
    progress: Count | None = None,
) -> tuple[Model, Expectation]:
    """Set the thresholds of a model.

    Parameters
    ----------
    model
        The int8 model.
    config, corpus
        Its training configuration and recordings.
    fa_per_hour
        Most false accepts per hour of speech.
    progress
        Called with (streams heard, streams in all).

    Returns
    -------
    The model with the new thresholds and talk penalty, and its expected figures.

    Raises
    ------
    DataError
        There is no speech or no word to measure on.
    """
    point = OperatingPoint(config, corpus)
    speech, words = point.speech, point.words
    if speech is None or words is None:
        raise DataError("there is nothing to measure the model on; add recordings")
    detector = replace(model.manifest.detector, talk_penalty=TALK_PENALTY)
    manifest = replace(model.manifest, detector=detector)
    model = replace(model, manifest=manifest)
    engine, clock = Engine(model), Clock.of(model)
    labels = len(config.words)
    heard, total = 0, len(speech) + len(words.frames)

    def evidence(streams: NDArray[np.float16]) -> Float32:
        """Hear (streams, frames, n_mfcc), one after another without a reset."""
        nonlocal heard
        engine.reset()
        parts = []
        for frames in streams:
            parts.append(engine.feed(np.ascontiguousarray(frames, np.float32)))
            heard += 1
            if progress is not None:
                progress(heard, total)
        posteriors = np.concatenate(parts)
        found = Evidence(posteriors, detector, clock).without_events
        largest = found == found.max(axis=1, keepdims=True)
        return np.asarray(found * largest, np.float32)[:, :labels]

    stream = evidence(speech)
    refractory = detector.refractory_steps(clock.step_samples, config.front_end.sample_rate_hz)
    peaks = events(stream.max(axis=1)[None], refractory)
    hours = len(stream) * clock.step_samples / config.front_end.sample_rate_hz / 3600
    heights = _heights(words, evidence)
    threshold = _with_room(_threshold(peaks, hours, fa_per_hour), heights)
    manifest = replace(
        manifest,
        detector=replace(detector, thresholds=dict.fromkeys(config.words, round(threshold, 4))),
    )
    return replace(model, manifest=manifest), Expectation(
        threshold=threshold,
        hours=hours,
        false_accepts=int(np.count_nonzero(peaks >= threshold)),
        words={
            name: (
                int(np.count_nonzero(words.label == label)),
                int(np.count_nonzero(heights[words.label == label] < threshold)),
            )
            for label, name in enumerate(config.words)
        },
    )


def _heights(words: Words, evidence: Callable[[NDArray[np.float16]], Float32]) -> Float32:
    """Return the most evidence of each spoken word, (n,)."""
    found = []
    for frames, label, heard in zip(words.frames, words.label, words.heard, strict=True):
        own = evidence(frames[None])[:, label]
        found.append(np.max(own[heard[: len(own)]], initial=0.0))
    return np.asarray(found, np.float32)


def _with_room(required: float, heights: Float32) -> float:
    """Return a threshold half way, in log-odds, to the highest one that misses no more words."""
    detected = heights[heights >= required]
    if not len(detected):
        return required
    allowed = _log_odds(np.array([required, detected.min()], np.float32))
    return max(required, min(_MOST_FOR_ROOM, _probability(float(allowed.mean()))))


def _threshold(peaks: Float32, hours: float, fa_per_hour: float) -> float:
    """Extrapolate the threshold for a rate of false alarms per hour."""
    odds = np.sort(_log_odds(peaks[peaks > _LEAST_EVIDENCE]))[::-1]
    if len(odds) < 2:
        return _LEAST
    count = min(_LOUDEST, len(odds) - 1)
    scale = max(float(np.mean(odds[:count] - odds[count])), 0.05)
    wanted = odds[count] + scale * math.log((count + 1) / (fa_per_hour * hours))
    # At least the threshold that the hour itself requires, if that is higher.
    allowed = int(fa_per_hour * hours)
    seen = odds[allowed] if allowed < len(odds) else -math.inf
    return min(max(_probability(max(wanted, seen + 0.05)), _LEAST), _MOST)


def _log_odds(evidence: Float32) -> NDArray[np.float64]:
    clipped = np.clip(evidence.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _probability(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))
