"""Validation clips in, the float network's decisions out: how an epoch is judged while training.

The rule is the device's (`harken.edge.detector.classify_clip`), the features are librosa's, and the
clips are those of ``harken eval``; what is judged here is the network before it is quantized.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.detector import classify_clip
from .config import TrainConfig
from .data import Corpus
from .evaluate import select_clips
from .features import mfcc, stack

_CHUNK = 512


@dataclass(frozen=True)
class ClipScores:
    """Decisions on clips."""

    confusion: NDArray[np.int64]
    """Counts, shape (labels, labels): row the truth, column the decision."""

    @property
    def accuracy(self) -> float:
        """Share of the clips that were decided rightly."""
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
        self._config = config
        clips = select_clips(corpus, config.words, split="validation")
        self._truth = np.array([clip.label for clip in clips], np.int64)
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, clip in enumerate(clips):
            by_length[len(clip.samples)].append(index)
        front_end, step = config.front_end, config.step
        mean = np.asarray(front_end.mean, np.float32)
        std = np.asarray(front_end.std, np.float32)
        self._inputs: list[tuple[list[int], NDArray[np.float32]]] = []
        for length, indices in by_length.items():
            if length < front_end.window_samples:
                continue  # too short for one frame: decided as silence
            for start in range(0, len(indices), _CHUNK):
                chunk = indices[start : start + _CHUNK]
                audio = np.stack([clips[i].samples for i in chunk]) * np.float32(1 / 32768)
                frames = (mfcc(front_end, audio) - mean) / std
                inputs = stack(
                    frames, context_frames=step.context_frames, stride_frames=step.stride_frames
                )
                self._inputs.append((chunk, inputs))

    def score(self, logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> ClipScores:
        """Decide every clip.

        Parameters
        ----------
        logits
            Takes stacked features (batch, steps, inputs) from a reset state to logits
            (batch, steps, labels). It is always given the same shape, so that it compiles once.

        Returns
        -------
        ClipScores
            The confusion matrix.
        """
        labels = len(self._config.labels)
        confusion = np.zeros((labels, labels), np.int64)
        decided = np.full(len(self._truth), labels - 1)
        steps = max((inputs.shape[1] for _, inputs in self._inputs), default=0)
        for chunk, inputs in self._inputs:
            padded = np.zeros((_CHUNK, steps, inputs.shape[2]), np.float32)
            padded[: len(chunk), : inputs.shape[1]] = inputs
            outputs = logits(padded)[: len(chunk), : inputs.shape[1]]
            exponentials = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
            posteriors = exponentials / exponentials.sum(axis=-1, keepdims=True)
            for index, clip in zip(chunk, posteriors, strict=True):
                decided[index] = classify_clip(clip, self._config.smoothing_steps)
        np.add.at(confusion, (self._truth, decided), 1)
        return ClipScores(confusion)
