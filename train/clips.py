"""Validation clips in, the float network's decisions out: the score of an epoch during training.

The rule is the device's (`harken.edge.spotting.clip`), the features are librosa's, and the clips
are those of ``harken eval``, except silent ones, which training leaves out; the network is scored
before quantization.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.spotting.clip import classify_clip, clip_tail
from .config import TrainConfig
from .corpus import Corpus
from .evaluate import select_clips
from .features import mfcc, stack_steps, standardise

_CHUNK = 512  # clips per batch
_STEPS = 36  # clips are padded to multiples of this: 1.4 s at 40 ms a step


@dataclass(frozen=True)
class ClipScores:
    """Decisions on clips."""

    confusion: NDArray[np.int64]
    """Counts, shape (labels, labels): row the truth, column the decision."""

    @property
    def accuracy(self) -> float:
        """Share of the clips with the right decision."""
        return float(np.trace(self.confusion) / max(1, self.confusion.sum()))

    def to_dict(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Return the scores as plain JSON types, by label."""
        return {
            "accuracy": self.accuracy,
            "clips": int(self.confusion.sum()),
            "labels": {
                label: {"clips": int(row.sum()), "right": int(row[index])}
                for index, (label, row) in enumerate(zip(labels, self.confusion, strict=True))
            },
            "confusion": self.confusion.tolist(),
        }


class ClipSet:
    """The clips of the validation split as stacked features, ready for any weights.

    Parameters
    ----------
    corpus
        The recordings.
    config
        Labels, front end with mean and std, stacking and smoothing.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig) -> None:
        self._labels, self._smoothing_steps = len(config.labels), config.smoothing_steps
        clips = select_clips(corpus, config.words, split="validation")
        self._truth = np.array([clip.label for clip in clips], np.int64)
        rate_hz = config.front_end.sample_rate_hz
        heard = [np.concatenate((c.samples, clip_tail(c.samples, rate_hz))) for c in clips]
        steps = _steps_of(heard, config)
        self._steps = [len(clip) for clip in steps]
        # Clips of similar length are batched, padded to a few lengths, each of which is compiled
        # once.
        order = np.argsort(self._steps, kind="stable")
        self._chunks: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        for first in range(0, len(order), _CHUNK):
            chunk = order[first : first + _CHUNK]
            longest = max(1, self._steps[chunk[-1]])
            length = -(-longest // _STEPS) * _STEPS
            inputs = config.step.context_frames * config.front_end.n_mfcc
            padded = np.zeros((_CHUNK, length, inputs), np.float32)
            for row, index in enumerate(chunk):
                padded[row, : self._steps[index]] = steps[index]
            self._chunks.append((chunk, padded))

    def score(self, posteriors: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> ClipScores:
        """Decide every clip.

        Parameters
        ----------
        posteriors
            Maps stacked features (batch, steps, inputs), from a reset state, to posteriors (batch,
            steps, labels).

        Returns
        -------
        ClipScores
            The confusion matrix.
        """
        confusion = np.zeros((self._labels, self._labels), np.int64)
        for chunk, padded in self._chunks:
            for index, outputs in zip(chunk, posteriors(padded), strict=False):
                clip = outputs[: self._steps[index]]
                confusion[self._truth[index], classify_clip(clip, self._smoothing_steps)] += 1
        return ClipScores(confusion)


def _steps_of(clips: Sequence[NDArray[np.int16]], config: TrainConfig) -> list[NDArray[np.float32]]:
    """Return the network's inputs for each clip, (steps, inputs); no steps if it has no frame."""
    front_end, step = config.front_end, config.step
    inputs = step.context_frames * front_end.n_mfcc
    steps = [np.zeros((0, inputs), np.float32)] * len(clips)
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, samples in enumerate(clips):
        if len(samples) >= front_end.window_samples:
            by_length[len(samples)].append(index)
    for indices in by_length.values():
        for first in range(0, len(indices), _CHUNK):
            chunk = indices[first : first + _CHUNK]
            audio = np.stack([clips[index] for index in chunk]) * np.float32(1 / 32768)
            stacked = stack_steps(step, standardise(front_end, mfcc(front_end, audio)))
            for index, clip in zip(chunk, stacked, strict=True):
                steps[index] = clip
    return steps
