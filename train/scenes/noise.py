"""Recordings of noise or talk in, an endless track of it out; any stretch of it can be rendered."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from .. import augment
from ..corpus import SILENCE_FOLDER, Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from ..splits import Split
from .leaks import identity

_NOISE_PIECE_S = 10.0  # length of the pieces of a recording
_PADDING_DB = -80.0  # full scale; 10 ms below this in a noise recording is padding
_PADDING_HOP = SAMPLE_RATE_HZ // 100

_SCALE = np.float32(1 / 32768)
Array = NDArray[np.float32]


def noise_recordings(corpus: Corpus, split: Split) -> list[Recording]:
    """Return the noise of a split, including its recordings of silence."""
    silence = corpus.select("word", split=split, label=SILENCE_FOLDER)
    return [*corpus.select("noise", split=split), *silence]


def talk_recordings(corpus: Corpus, words: Collection[str], split: Split) -> list[Recording]:
    """Return the running speech of a split that contains none of these words."""
    return [r for r in corpus.select("speech", split=split) if r.says(words) == ()]


class NoiseTrack:
    """All noise or talk of a split, in pieces, repeated endlessly in different orders.

    Every second is used once in each round.
    """

    def __init__(self, corpus: Corpus, recordings: Sequence[Recording], seed: int) -> None:
        self._corpus, self._seed = corpus, seed
        self.identities = {identity(recording) for recording in recordings}
        """Identities of the recordings."""
        self._pieces: list[tuple[NDArray[np.int16], float]] = []
        for recording in recordings:
            sound = _without_padding(corpus.samples(recording))
            parts = math.ceil(len(sound) / (_NOISE_PIECE_S * SAMPLE_RATE_HZ))
            for part in np.array_split(sound, parts) if parts else ():
                self._pieces.append((part, 1 / augment.rms(part * _SCALE)))
        self._lengths = np.array([len(sound) for sound, _ in self._pieces], np.int64)
        self.length = int(self._lengths.sum())
        """Samples of a round; 0 if there is no noise."""

    def cut(self, first: int, samples: int) -> Array:
        """Return the noise from a position of the endless track on, (samples,), at unit level."""
        track = np.empty(samples, np.float32)
        done = 0
        while done < samples:
            lap, at = divmod(first + done, self.length)
            order = np.random.default_rng((self._seed, 2, lap)).permutation(len(self._pieces))
            ends = np.cumsum(self._lengths[order])
            begun = int(np.searchsorted(ends, at, side="right"))
            for index, end in zip(order[begun:], ends[begun:], strict=True):
                sound, gain = self._pieces[index]
                heard = (augment.faded(sound * _SCALE) * np.float32(gain))[at - int(end) :]
                heard = heard[: samples - done]
                track[done : done + len(heard)] = heard
                done, at = done + len(heard), int(end)
                if done == samples:
                    break
        return track


def _without_padding(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Leave out the digital silence that pads short recordings of noise."""
    frames = samples[: len(samples) // _PADDING_HOP * _PADDING_HOP].reshape(-1, _PADDING_HOP)
    level = np.sqrt(np.mean(np.square(frames, dtype=np.float32), axis=1)) * _SCALE
    sounding = np.repeat(level >= augment.decibels(_PADDING_DB), _PADDING_HOP)
    kept: NDArray[np.int16] = samples[: len(sounding)][sounding]
    return kept
