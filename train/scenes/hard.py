"""A model and its training data in, hard negatives out: where it takes other sound for a word.

Speech and noise of the training split are played at several speeds, each recording from a reset
state. What makes a false accept is rare, so that few of a network's steps teach it; drawn more
often, such places weigh more (hard negative mining; after Sung and Poggio, 1998).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...edge.errors import DataError
from ...edge.files import write_atomic
from ...edge.spotting.manifest import Model
from .. import augment
from ..corpus import Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from ..own.near import Phones, pronunciations
from ..transcripts import SpokenWord, tokens
from .negatives import WIDE_CUT_S, speech_gain
from .noise import noise_recordings
from .sweep import Clock, Evidence, Float32, Listener

SPEEDS = (1.0, 0.87, 1.15)
"""Factors of speed at which recordings are played."""

_REST_S = 0.5  # of silence before and after a recording
_APART_S = 0.5  # between two places in a recording; of nearer ones the one of more evidence counts
_SCALE = np.float32(1 / 32768)


@dataclass(frozen=True)
class HardNegative:
    """A place at which a model takes something for a word."""

    evidence: float
    """The detector's evidence of the word, 0 to 1."""
    path: str
    """Path of the recording below its data folder."""
    time_s: float
    """When it is detected, from the start of the recording."""
    word: str


def hard_negatives(
    models: Sequence[Model],
    corpus: Corpus,
    *,
    least: float,
    speeds: Sequence[float] = SPEEDS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[HardNegative, ...]:
    """Find hard negatives in the training split.

    Parameters
    ----------
    models
        The int8 models of the same words, each with its detector's smoothing and talk penalty.
    corpus
        The recordings.
    least
        Least evidence of a word.
    speeds
        Factors of speed at which each recording is played.
    progress
        Called with (recordings done, recordings in all).

    Returns
    -------
    The places, those with the most evidence first. Left out are places near a keyword, recordings
    that hold a keyword at an unknown time, and what may be a homophone: "know" is no hard negative
    of "no".

    Raises
    ------
    DataError
        The models have different words.
    DependencyError
        The pronouncing dictionary is not installed.
    """
    words = models[0].manifest.words
    for model in models[1:]:
        if set(model.manifest.words) != set(words):
            raise DataError(
                f"{model.manifest.name} has other words than {models[0].manifest.name}; search "
                "for each on its own"
            )
    sounds = {word: set(pronunciations(word)) for word in words}
    recordings = (
        *corpus.select("speech", split="training"),
        *noise_recordings(corpus, "training"),
    )
    ears = [_Ear(model) for model in models]
    found: list[HardNegative] = []
    for done, recording in enumerate(recordings):
        if progress is not None:
            progress(done, len(recordings))
        said = recording.says(words)
        if said is None:
            continue
        audio = corpus.samples(recording) * _SCALE
        if recording.kind == "speech":
            audio *= speech_gain(audio)
        alike = _homophones(recording, sounds)
        found += _apart(
            place
            for ear in ears
            for speed in speeds
            for place in ear.places(audio, speed, least, recording.path)
            if place.word not in alike and not _is_near(place, said)
        )
    if progress is not None:
        progress(len(recordings), len(recordings))
    return tuple(sorted(found, key=_by_evidence))


def write_hard_negatives(found: Iterable[HardNegative], path: Path) -> None:
    """Write places as text: path, seconds, word, evidence, separated by tabs, no header.

    `harken.train.data` reads the file as ``hard_negatives.tsv``. Raises DataError if the system
    refuses.
    """
    lines = [f"{one.path}\t{one.time_s:.2f}\t{one.word}\t{one.evidence:.2f}\n" for one in found]
    write_atomic(path, "".join(lines), error=DataError)


def _by_evidence(place: HardNegative) -> float:
    return -place.evidence


class _Ear:
    def __init__(self, model: Model) -> None:
        self._words = model.manifest.words
        self._detector, self._clock = model.manifest.detector, Clock.of(model)
        self._listener = Listener(model, gate=False)

    def places(self, audio: Float32, speed: float, least: float, path: str) -> list[HardNegative]:
        """Return the largest evidence wherever a word has the most of all labels, and enough."""
        rest = np.zeros(round(_REST_S * SAMPLE_RATE_HZ), np.float32)
        played = np.concatenate((rest, augment.change_speed(audio, speed), rest))
        posteriors = self._listener.posteriors(augment.to_pcm(played))
        labels, most = Evidence(posteriors, self._detector, self._clock).leading
        end_s = len(audio) / SAMPLE_RATE_HZ
        return [
            HardNegative(
                float(most[step]),
                path,
                min(max(0.0, self._clock.decided_s(step) - _REST_S) * speed, end_s),
                self._words[labels[step]],
            )
            for step in np.flatnonzero((labels < len(self._words)) & (most >= least)).tolist()
        ]


def _homophones(recording: Recording, sounds: Mapping[str, set[Phones]]) -> set[str]:
    """Return the keywords that another word in a recording's text is pronounced like."""
    others = set(tokens(recording.text or "")).difference(sounds)
    said = {way for token in others for way in pronunciations(token)}
    return {word for word, ways in sounds.items() if ways & said}


def _is_near(place: HardNegative, said: Iterable[SpokenWord]) -> bool:
    """Whether a place is near one of the words."""
    before_s, after_s = WIDE_CUT_S
    return any(
        word.start / SAMPLE_RATE_HZ - before_s < place.time_s < word.end / SAMPLE_RATE_HZ + after_s
        for word in said
    )


def _apart(places: Iterable[HardNegative]) -> list[HardNegative]:
    """Of places that are near each other, keep the one with the most evidence."""
    kept: list[HardNegative] = []
    for place in sorted(places, key=_by_evidence):
        if all(abs(place.time_s - other.time_s) >= _APART_S for other in kept):
            kept.append(place)
    return kept
