"""Recordings of words in; out come the words of a scene, to be rendered under any condition."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...edge.spotting.endpoints import find_word
from .. import augment
from ..corpus import Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from .leaks import identity
from .noise import NoiseTrack
from .truth import Utterance

LEVEL_DB = -26.0
"""Of words and running speech: root mean square against full scale."""

_LEVEL_SPREAD_DB = 3.0  # words are up to this much louder or softer
_HISS_DB = -60.0  # against the words
_MARGIN = SAMPLE_RATE_HZ // 10  # kept around a word: a final stop is released late
_PIECE_PART = (0.3, 0.5)  # of the word's length
_PIECE_HEAD_SHARE = 0.7  # the rest are ends of words

_SCALE = np.float32(1 / 32768)
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placed:
    """A stretch of a recording at its place in a scene; all in samples but the utterances."""

    first: int  # position in the corpus
    length: int
    at: int  # position in the scene
    gain: float
    end: int  # position in the scene: after it, nothing is spoken
    utterances: tuple[Utterance, ...]
    identity: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Spoken:
    """The words of a scene, independent of its condition."""

    number: int
    first: int
    """Total samples of the scenes before it."""
    samples: int
    said: tuple[Placed, ...]
    corpus: Corpus
    seed: int

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """What is spoken, and when."""
        return tuple(utterance for said in self.said for utterance in said.utterances)

    @property
    def identities(self) -> tuple[str, ...]:
        """Identities of the recordings."""
        return tuple(sorted({said.identity for said in self.said}))

    def render(
        self,
        *,
        snr_db: float = math.inf,
        noise: NoiseTrack | None = None,
        gain_db: float = 0.0,
        room: Array | None = None,
    ) -> NDArray[np.int16]:
        """Render the audio under a condition, (samples,)."""
        audio = np.zeros(self.samples, np.float32)
        for said in self.said:
            piece = self.corpus.audio[said.first : said.first + said.length] * _SCALE
            audio[said.at : said.at + said.length] += augment.faded(piece) * np.float32(said.gain)
        if room is not None:
            audio = augment.reverberate(audio, room, 1.0)
        rng = np.random.default_rng((self.seed, 1, self.number))  # the same for all conditions
        hiss = rng.standard_normal(self.samples, dtype=np.float32)
        audio += hiss * np.float32(augment.decibels(LEVEL_DB + _HISS_DB))
        if noise is not None:
            level = np.float32(augment.decibels(LEVEL_DB - snr_db))
            audio += noise.cut(self.first, self.samples) * level
        audio *= np.float32(augment.decibels(gain_db))
        dither = rng.random(self.samples, np.float32) - rng.random(self.samples, np.float32)
        return augment.to_pcm(audio + dither * _SCALE)


def place_word(
    corpus: Corpus, recording: Recording, whole: bool, start: int, rng: np.random.Generator
) -> Placed:
    """Place a word, or a piece of it, so that it starts at sample `start`."""
    samples = corpus.samples(recording)
    word_start, word_end = find_word(samples)
    first, last = max(0, word_start - _MARGIN), min(len(samples), word_end + _MARGIN)
    if not whole:
        kept = int((word_end - word_start) * rng.uniform(*_PIECE_PART))
        if rng.random() < _PIECE_HEAD_SHARE:
            last = word_end = word_start + kept
        else:
            first = word_start = word_end - kept
    level_db = drawn_level_db(rng)
    active = samples[word_start:word_end] * _SCALE
    end = start + word_end - word_start
    utterance = Utterance(
        start_s=start / SAMPLE_RATE_HZ,
        end_s=end / SAMPLE_RATE_HZ,
        word=recording.label,
        whole=whole,
    )
    return Placed(
        first=recording.start + first,
        length=last - first,
        at=start - (word_start - first),
        gain=augment.decibels(level_db) / augment.rms(active),
        end=end,
        utterances=(utterance,),
        identity=identity(recording),
    )


def drawn_level_db(rng: np.random.Generator) -> float:
    """Draw the level of a word, relative to full scale."""
    return LEVEL_DB + float(rng.uniform(-_LEVEL_SPREAD_DB, _LEVEL_SPREAD_DB))
