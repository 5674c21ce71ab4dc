"""Trained weights and stacked frames in, float32 logits out: what the int8 model is held to.

numpy alone, and written to be read: the definition of the network for anybody who implements it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import RunError

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A fully connected layer: ``x @ kernel + bias``."""

    kernel: Array
    """(inputs, units)."""
    bias: Array
    """(units,)."""


@dataclass(frozen=True, kw_only=True)
class Lstm:
    """An LSTM layer; along the last axis lie the gates input, forget, cell, output, as in Keras."""

    kernel: Array
    """(inputs, 4 * units)."""
    recurrent_kernel: Array
    """(units, 4 * units)."""
    bias: Array
    """(4 * units,)."""

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.recurrent_kernel)


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What a network did over a stream."""

    logits: Array
    """(steps, labels)."""
    cell_peaks: tuple[float, ...]
    """Largest magnitude that a cell of each LSTM layer reached."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """An optional dense layer with ReLU, LSTM layers with clipped cells, a dense layer of logits.

    Long Short-Term Memory without peepholes (Gers, Schmidhuber, Cummins, "Learning to Forget",
    2000), the cell clipped as TensorFlow Lite's fused operator does it.
    """

    dense_in: Dense | None
    lstm: tuple[Lstm, ...]
    dense_out: Dense
    cell_clip: float
    """The cells stay within ± this."""

    @classmethod
    def from_weights(
        cls,
        weights: Mapping[str, NDArray[np.generic]],
        *,
        inputs: int,
        dense_units: int,
        lstm_units: tuple[int, ...],
        labels: int,
        cell_clip: float,
        source: str = "weights",
    ) -> Network:
        """Take a network's weights by their names.

        Parameters
        ----------
        weights
            ``dense_in/kernel``, ``dense_in/bias`` (absent when `dense_units` is 0),
            ``lstm_0/kernel``, ``lstm_0/recurrent_kernel``, ``lstm_0/bias`` and so on,
            ``dense_out/kernel``, ``dense_out/bias``; float32.
        inputs, dense_units, lstm_units, labels
            The shape that the network shall have.
        cell_clip
            The cells stay within ± this.
        source
            What to call `weights` in errors; the file's name.

        Raises
        ------
        RunError
            An array is missing, unknown, of another shape, or holds a value that is not finite.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        width = inputs
        if dense_units:
            shapes |= {"dense_in/kernel": (width, dense_units), "dense_in/bias": (dense_units,)}
            width = dense_units
        for layer, units in enumerate(lstm_units):
            shapes[f"lstm_{layer}/kernel"] = (width, 4 * units)
            shapes[f"lstm_{layer}/recurrent_kernel"] = (units, 4 * units)
            shapes[f"lstm_{layer}/bias"] = (4 * units,)
            width = units
        shapes |= {"dense_out/kernel": (width, labels), "dense_out/bias": (labels,)}

        for name in weights.keys() - shapes.keys():
            raise RunError(
                f"{source}: {name} belongs to no layer of the configuration; "
                f"expected are {', '.join(shapes)}"
            )
        arrays: dict[str, Array] = {}
        for name, shape in shapes.items():
            if name not in weights:
                raise RunError(f"{source}: {name} is missing; the run folder is incomplete")
            if weights[name].shape != shape:
                raise RunError(
                    f"{source}: {name} has the shape {weights[name].shape}, "
                    f"but the configuration asks for {shape}"
                )
            arrays[name] = weights[name].astype(np.float32)
            if not np.isfinite(arrays[name]).all():
                raise RunError(
                    f"{source}: {name} holds NaN or infinite values: training has diverged; "
                    "train again with a smaller learning rate"
                )

        def dense(name: str) -> Dense:
            return Dense(kernel=arrays[f"{name}/kernel"], bias=arrays[f"{name}/bias"])

        return cls(
            dense_in=dense("dense_in") if dense_units else None,
            lstm=tuple(
                Lstm(
                    kernel=arrays[f"lstm_{layer}/kernel"],
                    recurrent_kernel=arrays[f"lstm_{layer}/recurrent_kernel"],
                    bias=arrays[f"lstm_{layer}/bias"],
                )
                for layer in range(len(lstm_units))
            ),
            dense_out=dense("dense_out"),
            cell_clip=cell_clip,
        )

    @property
    def inputs(self) -> int:
        """Values in a stacked step."""
        return len((self.dense_in or self.lstm[0]).kernel)

    @property
    def lstm_units(self) -> tuple[int, ...]:
        """Units of each LSTM layer."""
        return tuple(layer.units for layer in self.lstm)

    @property
    def description(self) -> str:
        """The layers in a line, such as ``80 inputs, Dense 48, LSTM 64, 19 labels``."""
        dense = f"Dense {self.dense_in.bias.size}, " if self.dense_in else ""
        lstm = ", ".join(f"LSTM {units}" for units in self.lstm_units)
        return f"{self.inputs} inputs, {dense}{lstm}, {self.dense_out.bias.size} labels"

    def run(self, steps: Array) -> Activity:
        """Run the network over one stream, from a reset state.

        Parameters
        ----------
        steps
            Stacked frames, (steps, inputs) float32.
        """
        x = steps
        if self.dense_in is not None:
            x = np.maximum(x @ self.dense_in.kernel + self.dense_in.bias, np.float32(0))
        peaks = []
        for layer in self.lstm:
            states = list(self._states(layer, x))
            x = np.array([h for h, _ in states])
            peaks.append(float(np.abs([c for _, c in states]).max()))
        return Activity(
            logits=x @ self.dense_out.kernel + self.dense_out.bias, cell_peaks=tuple(peaks)
        )

    def _states(self, layer: Lstm, inputs: Array) -> Iterator[tuple[Array, Array]]:
        """Give hidden state and cell, (units,) each, after every step of (steps, layer inputs)."""
        h = np.zeros(layer.units, np.float32)
        c = np.zeros(layer.units, np.float32)
        clip = np.float32(self.cell_clip)
        for projected in inputs @ layer.kernel + layer.bias:
            i, f, g, o = np.split(projected + h @ layer.recurrent_kernel, 4)
            c = np.clip(_sigmoid(f) * c + _sigmoid(i) * np.tanh(g), -clip, clip)
            h = _sigmoid(o) * np.tanh(c)
            yield h, c


def softmax(logits: NDArray[np.floating]) -> Array:
    """Turn logits into posteriors along the last axis, float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


def _sigmoid(x: Array) -> Array:
    half = np.float32(0.5)
    sigmoid: Array = half * (np.float32(1) + np.tanh(half * x))  # never overflows
    return sigmoid
