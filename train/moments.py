"""Weights in, the same weights with measured batch-normalisation moments of the stem out.

A network is trained with the mean and variance of each batch, and runs with fixed ones. Those of
the training batches do not suit averaged weights: averaging removes the fluctuation of weights at a
high learning rate, and with it a part of the variance. So they are measured again whenever averaged
weights are used (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
Generalization", 2018).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .batches import another_microphone, stream_maker
from .config import TrainConfig
from .corpus import Corpus
from .features import stack_steps
from .network import Weights, forward, zero_state

_BATCHES, _STREAMS = 12, 32  # 25 minutes of audio
_EPOCH = 1_000_002  # index of the draws, beyond any of training


class Moments:
    """Training streams, drawn once, for measuring moments.

    Parameters
    ----------
    config
        The run's configuration, with the front end's mean and std.
    corpus
        The recordings.
    """

    def __init__(self, config: TrainConfig, corpus: Corpus) -> None:
        self._config = config
        self._steps: list[NDArray[np.float32]] = []
        self._run = tf.function(self._run_eagerly, jit_compile=True)
        if not config.model.has_stem or config.frozen_stem:  # whose own are kept
            return
        maker = stream_maker(config, corpus, "training")
        for index in range(_BATCHES):
            batch = another_microphone(config, index, maker.batch(_EPOCH, index, _STREAMS))
            self._steps.append(stack_steps(config.step, batch.frames))

    def measure(self, weights: Weights) -> Weights:
        """Return weights with measured moments in place of any given ones."""
        constants = {name: tf.constant(value) for name, value in weights.items()}
        measured: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
        for steps in self._steps:
            for name, value in self._run(constants, tf.constant(steps)).items():
                measured[name].append(value.numpy())
        return {
            **{name: value.copy() for name, value in weights.items()},
            **{name: np.mean(values, axis=0) for name, values in measured.items()},
        }

    def _run_eagerly(self, weights: Any, steps: Any) -> Any:
        state = zero_state(self._config.model, _STREAMS)
        return forward(weights, self._config.model, steps, state, training=True).moments
