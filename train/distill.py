"""A trained network in; out come its posteriors for the streams that another one learns from.

Labels say which word is right, a teacher's posteriors also what it could be taken for (Hinton et
al., "Distilling the Knowledge in a Neural Network", 2015). The teacher is a streaming network, too:
it hears the same streams, and has a posterior for every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..edge.spotting.manifest import NON_WORDS
from .config import TrainConfig
from .network import State, forward, fresh_state, zero_state

if TYPE_CHECKING:
    from .base import Base


class Teacher:
    """A teacher that follows a run's streams.

    Parameters
    ----------
    base
        The network; see `Base.require_teaches` for the errors.
    config
        The run's configuration, with the front end's mean and std.
    """

    def __init__(self, base: Base, config: TrainConfig) -> None:
        base.require_teaches(config)
        self._weights = {name: tf.constant(value) for name, value in base.weights.items()}
        self._model = base.shape.model
        own, its = config.front_end, base.shape.front_end
        frames = config.step.context_frames
        std = np.asarray(its.std)
        self._scale = _tiled(np.asarray(own.std) / std, frames)
        self._offset = _tiled((np.asarray(own.mean) - np.asarray(its.mean)) / std, frames)
        self._as_own = _as_own(base.words, config.words)
        self.state = zero_state(self._model, config.batch_streams)
        self._posteriors = tf.function(self._posteriors_eagerly, jit_compile=True)

    def posteriors(self, inputs: Any, fresh: Any) -> Any:
        """Return the posteriors of the next batch.

        Parameters
        ----------
        inputs
            Stacked features as the run standardises them, (batch, steps, inputs), float32.
        fresh
            (batch,) bool: the streams that begin.

        Returns
        -------
        (batch, steps, labels), float32; each sums to 1. Words that the run does not have count as
        "unknown".
        """
        before = fresh_state(self.state, fresh)
        posteriors, self.state = self._posteriors(inputs, before)
        return posteriors

    def restore(self, state: Mapping[str, NDArray[np.float32]]) -> None:
        """Continue from the state after a batch."""
        self.state = {name: tf.constant(state[name]) for name in self.state}

    def _posteriors_eagerly(self, inputs: Any, state: State) -> Any:
        steps = inputs * self._scale + self._offset
        logits, after, _ = forward(self._weights, self._model, steps, state)
        return tf.nn.softmax(logits) @ self._as_own, after


def _tiled(values: NDArray[np.float64], frames: int) -> Any:
    return tf.constant(np.tile(values, frames).astype(np.float32))


def _as_own(its: tuple[str, ...], own: tuple[str, ...]) -> Any:
    """Return which of the run's labels each of the teacher's is, (labels, labels) float32."""
    labels = (*own, *NON_WORDS)
    unknown = labels.index(NON_WORDS[0])
    matrix = np.zeros((len(its) + len(NON_WORDS), len(labels)), np.float32)
    for row, label in enumerate((*its, *NON_WORDS)):
        matrix[row, labels.index(label) if label in labels else unknown] = 1.0
    return tf.constant(matrix)
