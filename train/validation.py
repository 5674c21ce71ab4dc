"""Weights in, how good they are on the validation split out: on single clips, and on streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import softmax

from .batches import stream_maker
from .clips import ClipScores, ClipSet
from .config import TrainConfig
from .data import Corpus
from .features import stack
from .network import Weights, forward, set_loss, zero_state

_BATCHES = 6


class Validation:
    """The validation split, ready to be measured: its clips, and streams that are drawn once.

    Parameters
    ----------
    corpus
        The recordings.
    config
        The run's configuration, with the front end's mean and std.
    """

    def __init__(self, config: TrainConfig, corpus: Corpus) -> None:
        self._config = config
        self._clips = ClipSet(corpus, config)
        self._streams: list[tuple[NDArray[np.float32], NDArray[np.bool_]]] = []
        counts, step = corpus.report.word_counts, config.step
        if all(counts[word]["validation"] for word in config.words):
            maker = stream_maker(config, corpus, "validation")
            for index in range(_BATCHES):
                batch = maker.batch(0, index, config.batch_streams)
                steps = stack(
                    batch.frames,
                    context_frames=step.context_frames,
                    stride_frames=step.stride_frames,
                )
                self._streams.append((steps, batch.allowed))
        self._infer = tf.function(self._infer_eagerly, jit_compile=True)

    def measure(self, weights: Weights) -> dict[str, float]:
        """Return ``clip_accuracy`` and ``stream_loss`` (nats a step) of some weights.

        There is no ``stream_loss`` where a keyword has no recording in the split.
        """
        figures = {"clip_accuracy": self.scores(weights).accuracy}
        if self._streams:
            losses = [
                float(set_loss(tf.constant(self._logits(weights, steps)), tf.constant(allowed)))
                for steps, allowed in self._streams
            ]
            figures["stream_loss"] = float(np.mean(losses))
        return figures

    def scores(self, weights: Weights) -> ClipScores:
        """Return the decisions on the clips."""
        return self._clips.score(lambda steps: softmax(self._logits(weights, steps), axis=-1))

    def _logits(self, weights: Weights, steps: NDArray[np.float32]) -> NDArray[np.float32]:
        state = zero_state(self._config.model, len(steps))
        constants = {name: tf.constant(value) for name, value in weights.items()}
        logits: NDArray[np.float32] = self._infer(constants, tf.constant(steps), state).numpy()
        return logits

    def _infer_eagerly(self, weights: Any, steps: Any, state: Any) -> Any:
        return forward(weights, self._config.model, steps, state).logits


def rank(figures: dict[str, float]) -> float:
    """Rank an epoch: 0.01 nats of the loss on streams weigh as much as 0.5 points of clips.

    The accuracy on a few thousand clips goes up and down by 0.2 points from epoch to epoch; by
    itself it would choose the luckiest epoch, long before the loss stops falling.
    """
    return figures["clip_accuracy"] - 0.5 * figures.get("stream_loss", 0.0)
