"""Weights in, their figures on the validation split out.

They are measured on single clips, on streams, and by the miss rate at a fixed rate of false accepts
(see `harken.train.operating`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import softmax

from .batches import stream_maker
from .clips import ClipScores, ClipSet
from .config import TrainConfig
from .corpus import Corpus
from .features import stack_steps
from .network import Weights, forward, set_loss, zero_state
from .operating import OperatingPoint

_STREAMS = 512  # half an hour of audio, however large a training batch is
_STREAMS_AT_A_TIME = 64

_MISSED_WEIGHT = 0.15


class Validation:
    """The validation split, ready for measuring: its streams are drawn once.

    Parameters
    ----------
    config
        The run's configuration, with the front end's mean and std.
    corpus
        The recordings.
    """

    def __init__(self, config: TrainConfig, corpus: Corpus) -> None:
        self._config = config
        self._clips = ClipSet(corpus, config)
        self._streams: list[tuple[NDArray[np.float16], NDArray[np.bool_]]] = []
        counts = corpus.report.word_counts
        if all(counts[word]["validation"] for word in config.words):
            maker = stream_maker(config, corpus, "validation")
            for index in range(_STREAMS // _STREAMS_AT_A_TIME):
                batch = maker.batch(0, index, _STREAMS_AT_A_TIME)
                self._streams.append((batch.frames.astype(np.float16), batch.allowed))
        self._operating = OperatingPoint(config, corpus)
        self._infer = tf.function(self._infer_eagerly, jit_compile=True)

    def measure(self, weights: Weights) -> dict[str, float]:
        """Measure some weights.

        Returns
        -------
        dict
            ``clip_accuracy``, the share of the clips decided correctly.

            ``stream_loss``, nats per step, if every keyword has a recording in the split.

            ``missed``, the miss rate, a mean over five false-accept rates; ``missed_noisy``, the
            same in noise, if there is any; ``threshold``, that of the middle rate. None of them if
            there is less than 10 minutes of running speech.
        """
        figures = {"clip_accuracy": self.scores(weights).accuracy}
        if self._streams:
            losses = [
                float(set_loss(self._logits(weights, self._stacked(frames)), tf.constant(allowed)))
                for frames, allowed in self._streams
            ]
            figures["stream_loss"] = float(np.mean(losses))

        def run(steps: NDArray[np.float32], state: Any) -> tuple[NDArray[np.float32], Any]:
            logits, after = self._run(weights, steps, state)
            return softmax(logits, axis=-1), after

        operating = self._operating.measure(run)
        return figures if operating is None else {**figures, **operating.to_dict()}

    def scores(self, weights: Weights) -> ClipScores:
        """Return the scores of the clips."""
        return self._clips.score(lambda steps: softmax(self._logits(weights, steps), axis=-1))

    def _stacked(self, frames: NDArray[np.float16]) -> NDArray[np.float32]:
        return stack_steps(self._config.step, frames)

    def _logits(self, weights: Weights, steps: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._run(weights, steps, None)[0]

    def _run(
        self, weights: Weights, steps: NDArray[np.float32], state: Any
    ) -> tuple[NDArray[np.float32], Any]:
        """Return logits and the final state; None is the reset state."""
        before = zero_state(self._config.model, len(steps)) if state is None else state
        constants = {name: tf.constant(value) for name, value in weights.items()}
        logits, after = self._infer(constants, tf.constant(steps), before)
        return logits.numpy(), after

    def _infer_eagerly(self, weights: Any, steps: Any, state: Any) -> Any:
        outputs = forward(weights, self._config.model, steps, state)
        return outputs.logits, outputs.state


def rank(figures: dict[str, float]) -> float:
    """Rank an epoch; the one with the highest rank is kept.

    0.01 nats of the loss on streams count as much as 0.5 points of clips, and 1 point of missed
    words, the mean of those with and without noise, as much as 0.15 points of clips. The accuracy
    on a few thousand clips fluctuates by 0.2 points from epoch to epoch; on its own it would choose
    the luckiest epoch, long before the loss stops falling.
    """
    missed = [figures[name] for name in ("missed", "missed_noisy") if name in figures]
    return (
        figures["clip_accuracy"]
        - 0.5 * figures.get("stream_loss", 0.0)
        - _MISSED_WEIGHT * (sum(missed) / len(missed) if missed else 0.0)
    )
