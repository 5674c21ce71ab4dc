"""Weights in, miss rate at fixed rates of false accepts out.

This is how keyword spotters are judged, small enough to measure after every epoch. Two kinds of
audio from the validation split are used:

* **Running speech** without a keyword, up to 2.5 hours, each second once, in parallel long streams.
  If there is more, pieces are drawn, from every recording in proportion to its length.
* **Words**: up to 60 recordings of each keyword, each from a reset state, after 0.6 s without
  speech; once with a hiss 60 dB below it, and once over noise 10 dB below it.

Both are at 26 dB below full scale, as in `harken.train.scenes`. The evidence is the detector's (see
`harken.edge.spotting.detector`), with a talk penalty of 10. One threshold is set for all words, the
lowest with at most 0.5, 1, 2, 4 and 8 false accepts per hour; a word is missed if its own label
does not reach it within 0.7 s after the word's end. The result is the mean over these rates: a
single rate, with few events, is a matter of luck. Nothing is quantized and thresholds are not set
per word, so these figures differ from those of ``harken eval --stream``: they show which of two
networks is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from ..edge.spotting.detector import lower_odds
from ..edge.spotting.endpoints import find_word
from . import augment
from .config import TrainConfig
from .corpus import Corpus, Recording
from .decode import SAMPLE_RATE_HZ
from .features import mfcc, stack_steps, standardise
from .scenes.noise import NoiseTrack, noise_recordings, talk_recordings
from .scenes.sweep import talk_costs

FALSE_ACCEPTS_PER_HOUR = (0.5, 1.0, 2.0, 4.0, 8.0)
"""The operating points: most false accepts per hour of running speech."""

TALK_PENALTY = 10.0
"""The detector's talk penalty, in log-odds."""

Float32 = NDArray[np.float32]
Run = Callable[[Float32, Any], tuple[Float32, Any]]
"""Maps stacked features (batch, steps, inputs) and a state, None for a reset one, to posteriors
(batch, steps, labels) and the state after them."""

_MOST_SPEECH_S = 2.5 * 3600
_LEAST_SPEECH_S = 600.0  # with less, there is nothing to count
_PIECE_S = 20.0  # of a recording, if not all speech is used
_ROWS = 64  # streams of running speech
_STEPS = 512  # about so many of them at a time
_CLIPS = 60  # of a word
_WORDS = 256  # that are heard at a time
_LONGEST_WORD_S = 2.0
_LEAD_S, _MARGIN_S, _TAIL_S = 0.6, 0.1, 0.8  # before a word; of its recording around it; after it
_REACTION_S = 0.7
_LEVEL_DB, _HISS_DB, _NOISE_DB = -26.0, -60.0, -10.0
_MOST_GAIN_DB = 40.0  # for a faint recording of speech
_LEAST_THRESHOLD = 0.05
_SEED = 3_000_000  # a stream of random numbers beside those of epochs and microphones

_SCALE = np.float32(1 / 32768)


@dataclass(frozen=True, kw_only=True)
class OperatingFigures:
    """What a network misses."""

    threshold: float
    """Evidence at which any word fires, in 0..1, at 2 false accepts per hour."""
    missed: float
    """Miss rate, in 0..1: the mean over `FALSE_ACCEPTS_PER_HOUR`."""
    missed_noisy: float | None
    """The same over noise; None if the split has no noise."""

    def to_dict(self) -> dict[str, float]:
        """Return the available figures."""
        figures = {"threshold": self.threshold, "missed": self.missed}
        return (
            figures if self.missed_noisy is None else {**figures, "missed_noisy": self.missed_noisy}
        )


@dataclass(frozen=True)
class Words:
    """Words of the validation split, each in its own stream."""

    frames: NDArray[np.float16]
    """Standardised features, (words, frames, n_mfcc)."""
    label: NDArray[np.int64]
    """(words,)."""
    heard: NDArray[np.bool_]
    """When a word may be detected, (words, steps)."""


class OperatingPoint:
    """Running speech and words of the validation split, ready for any weights.

    Parameters
    ----------
    config
        The run's configuration, with the front end's mean and std.
    corpus
        The recordings.
    """

    def __init__(self, config: TrainConfig, corpus: Corpus) -> None:
        self._config = config
        front_end, step = config.front_end, config.step
        self._step_samples = front_end.hop_samples * step.stride_frames
        self._step_s = self._step_samples / SAMPLE_RATE_HZ
        self._speech: NDArray[np.float16] | None = None
        self._clean: Words | None = None
        self._noisy: Words | None = None
        rng = np.random.default_rng((config.seed, _SEED))
        clips = self._draw_words(corpus, rng)
        if not clips:
            return
        self._speech = self._speech_of(corpus, rng)
        if self._speech is None:
            return
        self._clean = self._words(corpus, clips, rng, None)
        track = NoiseTrack(corpus, noise_recordings(corpus, "validation"), config.seed)
        if track.length:
            self._noisy = self._words(corpus, clips, rng, track)

    def _speech_of(self, corpus: Corpus, rng: np.random.Generator) -> NDArray[np.float16] | None:
        """Return running speech in long streams, (streams, frames, n_mfcc); None if too short."""
        words, pack = self._config.words, corpus.pack
        speech = talk_recordings(corpus, words, "validation")
        seconds = sum(recording.length for recording in speech) / SAMPLE_RATE_HZ
        if seconds >= _LEAST_SPEECH_S:
            audio = _running_speech(corpus, speech, rng)
            rows = audio[: len(audio) // _ROWS * _ROWS].reshape(_ROWS, -1)
            return np.concatenate([self._frames(row[None]) for row in rows])
        sections = () if pack is None else pack.select("speech", "validation", words)
        if pack is None or pack.hours(sections) * 3600 < _LEAST_SPEECH_S:
            return None
        frames = standardise(
            self._config.front_end,
            np.concatenate([pack.mfcc(section) for section in sections]),
        ).astype(np.float16)
        stride = self._config.step.stride_frames
        length = len(frames) // _ROWS // stride * stride
        return frames[: _ROWS * length].reshape(_ROWS, length, -1)

    @property
    def speech(self) -> NDArray[np.float16] | None:
        """Running speech without a keyword, (streams, frames, n_mfcc), standardised; or None."""
        return self._speech

    @property
    def words(self) -> Words | None:
        """Words with a hiss 60 dB below them; None if there is no speech to compare with."""
        return self._clean

    @property
    def hours(self) -> float:
        """Hours of running speech used; 0 if there is less than 10 minutes, or no word."""
        if self._speech is None:
            return 0.0
        steps = self._speech.shape[1] // self._config.step.stride_frames
        return float(_ROWS * steps * self._step_s / 3600)

    def measure(self, run: Run) -> OperatingFigures | None:
        """Measure a network.

        Parameters
        ----------
        run
            The network.

        Returns
        -------
        Its figures; None if there is less than 10 minutes of running speech, or no word.
        """
        if self._speech is None or self._clean is None:
            return None
        best = self._evidence(self._over_speech(run, self._speech))[..., : len(self._config.words)]
        peaks = events(best.max(axis=-1), self._refractory_steps)
        thresholds = [
            lowest_threshold(peaks, int(rate * self.hours)) for rate in FALSE_ACCEPTS_PER_HOUR
        ]
        return OperatingFigures(
            threshold=thresholds[len(thresholds) // 2],
            missed=self._missed(run, self._clean, thresholds),
            missed_noisy=self._missed(run, self._noisy, thresholds) if self._noisy else None,
        )

    @property
    def _refractory_steps(self) -> int:
        samples = self._config.refractory_ms * SAMPLE_RATE_HZ // 1000
        return max(1, -(-samples // self._step_samples))

    def _over_speech(self, run: Run, frames: NDArray[np.float16]) -> Float32:
        """Run over the long streams in pieces of equal length, so that one shape is compiled."""
        steps = self._stacked(frames)
        count = max(1, round(steps.shape[1] / _STEPS))
        length = steps.shape[1] // count
        outputs, state = [], None
        for piece in range(count):
            posteriors, state = run(steps[:, piece * length : (piece + 1) * length], state)
            outputs.append(posteriors)
        return np.concatenate(outputs, axis=1)

    def _missed(self, run: Run, words: Words, thresholds: list[float]) -> float:
        """Return the share of the words whose label does not reach the thresholds in time."""
        peaks = []
        for first in range(0, len(words.label), _WORDS):
            chosen = slice(first, first + _WORDS)
            label, heard = words.label[chosen], words.heard[chosen]
            frames = words.frames[chosen]
            spare = _WORDS - len(frames)
            posteriors, _ = run(self._stacked(np.pad(frames, ((0, spare), (0, 0), (0, 0)))), None)
            evidence = self._evidence(posteriors[: len(label)])
            own = np.take_along_axis(evidence, label[:, None, None], axis=-1)[..., 0]
            peaks.append(np.max(own * heard, axis=1))
        return float(np.mean(np.concatenate(peaks)[:, None] < np.array(thresholds, np.float32)))

    def _evidence(self, posteriors: Float32) -> Float32:
        """Return the evidence of the labels, 0 at steps where another label has more."""
        evidence = talk_evidence(
            posteriors,
            smoothing_steps=self._config.smoothing_steps,
            unknown=len(self._config.words),
            step_s=self._step_s,
        )
        largest = evidence == evidence.max(axis=-1, keepdims=True)
        decisive: Float32 = evidence * largest
        return decisive

    def _stacked(self, frames: NDArray[np.float16]) -> Float32:
        return stack_steps(self._config.step, frames)

    def _frames(self, audio: NDArray[np.int16]) -> NDArray[np.float16]:
        """Convert samples (batch, samples) to features, in whole steps."""
        front_end = self._config.front_end
        frames = standardise(front_end, mfcc(front_end, audio * _SCALE))
        stride = self._config.step.stride_frames
        return frames[:, : frames.shape[1] // stride * stride].astype(np.float16)

    def _draw_words(
        self, corpus: Corpus, rng: np.random.Generator
    ) -> list[tuple[int, Recording, int, int]]:
        """Draw recordings of every word: label, recording, and position of the word."""
        drawn = []
        for label, word in enumerate(self._config.words):
            pool = corpus.select("word", split="validation", label=word)
            for index in np.sort(rng.permutation(len(pool))[:_CLIPS]):
                start, end = find_word(corpus.samples(pool[index]))
                if end - start <= _LONGEST_WORD_S * SAMPLE_RATE_HZ:
                    drawn.append((label, pool[index], start, end))
        return drawn

    def _words(
        self,
        corpus: Corpus,
        clips: list[tuple[int, Recording, int, int]],
        rng: np.random.Generator,
        noise: NoiseTrack | None,
    ) -> Words:
        """Render words, each in its own stream, over noise or a hiss."""
        lead, margin, tail, reaction = (
            round(seconds * SAMPLE_RATE_HZ)
            for seconds in (_LEAD_S, _MARGIN_S, _TAIL_S, _REACTION_S)
        )
        samples = lead + max(end - start for *_, start, end in clips) + tail
        front_end = self._config.front_end
        overhang = front_end.window_samples - front_end.hop_samples
        frames, heard = [], []
        for first in range(0, len(clips), _WORDS):
            audio = []
            for place, (_, recording, start, end) in enumerate(
                clips[first : first + _WORDS], first
            ):
                if noise is None:
                    sound = rng.standard_normal(samples, dtype=np.float32)
                    sound *= np.float32(augment.decibels(_LEVEL_DB + _HISS_DB))
                else:
                    sound = noise.cut(place * samples, samples)
                    sound *= np.float32(augment.decibels(_LEVEL_DB + _NOISE_DB))
                voice = corpus.samples(recording) * _SCALE
                gain = augment.decibels(_LEVEL_DB) / augment.rms(voice[start:end])
                begin = max(0, start - margin)
                piece = augment.faded(voice[begin : end + margin]) * np.float32(gain)
                at = lead - (start - begin)
                sound[at : at + len(piece)] += piece
                audio.append(augment.to_pcm(sound))
                heard.append((lead, lead + end - start + reaction))
            frames.append(self._frames(np.stack(audio)))
        joined = np.concatenate(frames)
        steps = joined.shape[1] // self._config.step.stride_frames
        # Number of samples processed when a step is decided.
        decided = np.arange(1, steps + 1) * self._step_samples + overhang
        bounds = np.array(heard)
        return Words(
            joined,
            np.array([label for label, *_ in clips]),
            (decided >= bounds[:, :1]) & (decided <= bounds[:, 1:]),
        )


def talk_evidence(
    posteriors: Float32, *, smoothing_steps: int, unknown: int, step_s: float
) -> Float32:
    """Return the detector's evidence for whole streams, all starting from a reset.

    Parameters
    ----------
    posteriors
        Shape (batch, steps, labels), float32.
    smoothing_steps
        Length of the moving average.
    unknown
        Index of the label "unknown".
    step_s
        Seconds from one step to the next.

    Returns
    -------
    (batch, steps, labels) float32: what `harken.edge.spotting.detector` compares with its
    thresholds until its first detection, within rounding errors.
    """
    steps = posteriors.shape[1]
    padded = np.pad(posteriors, ((0, 0), (smoothing_steps - 1, 0), (0, 0)))
    smoothed = padded[:, :steps].copy()
    for offset in range(1, smoothing_steps):
        smoothed += padded[:, offset : offset + steps]
    smoothed /= np.float32(smoothing_steps)
    costs = talk_costs(posteriors[..., unknown], TALK_PENALTY, step_s)
    # Float32 sums may exceed 1 by a rounding error.
    return lower_odds(np.minimum(smoothed, np.float32(1)), costs[..., None])


def events(evidence: Float32, refractory_steps: int) -> Float32:
    """Return what would be detected: one event for each burst of evidence.

    Parameters
    ----------
    evidence
        The largest evidence of any word, shape (streams, steps).
    refractory_steps
        Steps before and after an event without a larger one.

    Returns
    -------
    (events,) float32: the evidence of each, the highest threshold that it reaches.
    """
    size = refractory_steps + 1
    options: dict[str, Any] = {"axis": 1, "mode": "constant", "cval": 0.0}
    # Only the first step of a plateau is an event.
    before = np.pad(evidence, ((0, 0), (1, 0)))[:, :-1]
    earlier = maximum_filter1d(
        before, refractory_steps, origin=(refractory_steps - 1) // 2, **options
    )
    later = maximum_filter1d(evidence, size, origin=-(size // 2), **options)
    found: Float32 = evidence[(evidence > earlier) & (evidence >= later)]
    return found


def lowest_threshold(peaks: Float32, most: int) -> float:
    """Return the lowest threshold, at least 0.05, that at most `most` of the events reach."""
    threshold = np.float32(_LEAST_THRESHOLD)
    if len(peaks) > most:
        over = np.partition(peaks, len(peaks) - 1 - most)[len(peaks) - 1 - most]
        threshold = max(threshold, np.nextafter(over, np.float32(2)))
    return float(threshold)


def _running_speech(
    corpus: Corpus, recordings: list[Recording], rng: np.random.Generator
) -> NDArray[np.int16]:
    """Return running speech, one recording after another: all of it, or random pieces."""
    pieces: list[tuple[Recording, int, int]] = []
    for recording in recordings:
        parts = math.ceil(recording.length / (_PIECE_S * SAMPLE_RATE_HZ))
        bounds = [recording.length * part // parts for part in range(parts + 1)]
        pieces += [(recording, bounds[part], bounds[part + 1]) for part in range(parts)]
    order = rng.permutation(len(pieces))
    ends = np.cumsum([pieces[index][2] - pieces[index][1] for index in order])
    kept = np.sort(order[ends <= _MOST_SPEECH_S * SAMPLE_RATE_HZ])
    heard = []
    for recording, first, last in (pieces[index] for index in kept):
        samples = corpus.samples(recording)
        gain = augment.decibels(_LEVEL_DB) / augment.rms(samples * _SCALE)
        gain = min(gain, augment.decibels(_MOST_GAIN_DB))
        piece = augment.faded(samples[first:last] * (_SCALE * np.float32(gain)))
        heard.append(augment.to_pcm(piece))
    return np.concatenate(heard)
