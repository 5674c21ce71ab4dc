"""Trained weights and stacked frames in, float32 logits out: the reference for the int8 model.

Only NumPy, and written to be read: the definition of the network for other implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import RunError
from ..train.config import NORMALISATION_EPSILON, ModelConfig

Array = NDArray[np.float32]
Tap = Callable[[str, Array], Array]
"""Called with the name of a tensor and its values at all steps; returns the values to use."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A fully connected layer: ``x @ kernel + bias``."""

    kernel: Array
    """(inputs, units)."""
    bias: Array
    """(units,)."""


@dataclass(frozen=True, kw_only=True)
class Svdf:
    """A pointwise layer, a filter over time of each channel, ReLU: an SVDF of rank 1.

    Nakkiran et al., "Compressing Deep Neural Networks using a Rank-Constrained Topology", 2015;
    Alvarez and Park, "End-to-End Streaming Keyword Spotting", 2019.
    """

    kernel: Array
    """(inputs, units)."""
    time_kernel: Array
    """(memory, units): from the oldest step to the current one."""
    bias: Array
    """(units,)."""
    adds: int
    """Layers that an addition before the ReLU spans: 1, this layer's input is added; 2, the
    previous layer's input; 0, nothing."""

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.bias.size)

    @property
    def memory(self) -> int:
        """Steps that a filter covers, including the current one."""
        return len(self.time_kernel)

    @classmethod
    def folded(cls, weights: Mapping[str, Array], name: str, *, adds: int) -> Svdf:
        """Convert a trained layer, with batch normalisation between filter and ReLU.

        Parameters
        ----------
        weights
            ``NAME/kernel`` and ``NAME/time_kernel`` as above, ``NAME/scale``, ``NAME/bias``,
            ``NAME/mean`` and ``NAME/variance``, (units,) each.
        name
            The layer's.
        adds
            See above.
        """
        spread = np.sqrt(weights[f"{name}/variance"].astype(np.float64) + NORMALISATION_EPSILON)
        gain = weights[f"{name}/scale"] / spread
        return cls(
            kernel=weights[f"{name}/kernel"],
            time_kernel=(weights[f"{name}/time_kernel"] * gain).astype(np.float32),
            bias=(weights[f"{name}/bias"] - weights[f"{name}/mean"] * gain).astype(np.float32),
            adds=adds,
        )


@dataclass(frozen=True, kw_only=True)
class Lstm:
    """An LSTM layer; the last axis holds the gates input, forget, cell, output, as in Keras."""

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
    """Output and ranges of a network over a stream."""

    logits: Array
    """(steps, labels)."""
    svdf_peaks: tuple[float, ...]
    """Largest magnitude in the memory of each SVDF layer."""
    cell_peaks: tuple[float, ...]
    """Largest magnitude of a cell in each LSTM layer."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """An optional dense layer with ReLU, SVDF layers, LSTM layers, a dense layer of logits.

    The LSTM is Long Short-Term Memory without peepholes (Gers, Schmidhuber, Cummins, "Learning to
    Forget", 2000), with the cell clipped as in TensorFlow Lite's fused operator.
    """

    dense_in: Dense | None
    svdf: tuple[Svdf, ...]
    lstm: tuple[Lstm, ...]
    dense_out: Dense
    cell_clip: float
    """Cells are clipped to ± this."""

    @classmethod
    def from_weights(
        cls,
        weights: Mapping[str, NDArray[np.generic]],
        config: ModelConfig,
        *,
        inputs: int,
        labels: int,
        source: str = "weights",
    ) -> Network:
        """Build a network from weights by name.

        Parameters
        ----------
        weights
            ``dense_in/kernel``, ``dense_in/bias`` (absent when `dense_units` is 0),
            ``svdf_0/kernel`` and the other arrays of `Svdf.folded`, ``lstm_0/kernel``,
            ``lstm_0/recurrent_kernel``, ``lstm_0/bias`` and so on, ``dense_out/kernel``,
            ``dense_out/bias``; float32.
        config
            The expected shape of the network.
        inputs, labels
            Values of a stacked step, and number of logits.
        source
            Name of `weights` in errors; the file's name.

        Raises
        ------
        RunError
            An array is missing, unknown, has the wrong shape, or holds a value that is not finite;
            or a variance is negative.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        width = inputs
        if units := config.dense_units:
            shapes |= {"dense_in/kernel": (width, units), "dense_in/bias": (units,)}
            width = units
        for layer, (units, memory) in enumerate(config.svdf):
            shapes[f"svdf_{layer}/kernel"] = (width, units)
            shapes[f"svdf_{layer}/time_kernel"] = (memory, units)
            for part in ("scale", "bias", "mean", "variance"):
                shapes[f"svdf_{layer}/{part}"] = (units,)
            width = units
        for layer, units in enumerate(config.lstm_units):
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
                    f"but the configuration requires {shape}"
                )
            arrays[name] = weights[name].astype(np.float32)
            if not np.isfinite(arrays[name]).all():
                raise RunError(
                    f"{source}: {name} holds NaN or infinite values: training has diverged; "
                    "train again with a smaller learning rate"
                )
            if name.endswith("/variance") and (arrays[name] < 0).any():
                raise RunError(
                    f"{source}: {name} holds {arrays[name].min():g}, but no variance is negative: "
                    "the file is damaged; train again"
                )

        def dense(name: str) -> Dense:
            return Dense(kernel=arrays[f"{name}/kernel"], bias=arrays[f"{name}/bias"])

        return cls(
            dense_in=dense("dense_in") if config.dense_units else None,
            svdf=tuple(
                Svdf.folded(arrays, f"svdf_{layer}", adds=config.adds(layer))
                for layer in range(len(config.svdf))
            ),
            lstm=tuple(
                Lstm(
                    kernel=arrays[f"lstm_{layer}/kernel"],
                    recurrent_kernel=arrays[f"lstm_{layer}/recurrent_kernel"],
                    bias=arrays[f"lstm_{layer}/bias"],
                )
                for layer in range(len(config.lstm_units))
            ),
            dense_out=dense("dense_out"),
            cell_clip=config.cell_clip,
        )

    @property
    def inputs(self) -> int:
        """Values per stacked step."""
        layers = (*((self.dense_in,) if self.dense_in else ()), *self.svdf, *self.lstm)
        return len(layers[0].kernel)

    @property
    def lstm_units(self) -> tuple[int, ...]:
        """Units of each LSTM layer."""
        return tuple(layer.units for layer in self.lstm)

    @property
    def description(self) -> str:
        """The layers in one line, such as ``80 inputs, SVDF 48 × 5, LSTM 64, 19 labels``."""
        layers = [f"{self.inputs} inputs"]
        if self.dense_in:
            layers.append(f"Dense {self.dense_in.bias.size}")
        layers += [
            f"SVDF {layer.units} × {layer.memory}{' added' if layer.adds else ''}"
            for layer in self.svdf
        ]
        layers += [f"LSTM {units}" for units in self.lstm_units]
        return ", ".join((*layers, f"{self.dense_out.bias.size} labels"))

    def run(self, steps: Array, tap: Tap = lambda name, values: values) -> Activity:
        """Run the network over one stream, from a reset state.

        Parameters
        ----------
        steps
            Stacked frames, (steps, inputs) float32.
        tap
            Receives each tensor, and may change it: ``input``, ``dense_in``; for each SVDF layer
            ``svdf_0/state`` (the output of its pointwise part), ``svdf_0`` (the output of its
            filters, after the ReLU if nothing is added) and ``svdf_0/sum`` (after addition and
            ReLU); for each LSTM layer ``lstm_0/h``; ``logits``. All are (steps, units).
        """
        x = tap("input", steps)
        if self.dense_in is not None:
            x = x @ self.dense_in.kernel + self.dense_in.bias
            x = tap("dense_in", np.maximum(x, np.float32(0)))
        svdf_peaks: list[float] = []
        taken: list[Array] = []
        for index, stem in enumerate(self.svdf):
            state = tap(f"svdf_{index}/state", x @ stem.kernel)
            svdf_peaks.append(float(np.abs(state).max()))
            taken.append(x)
            y = filtered(stem, state)
            if stem.adds:
                y = tap(f"svdf_{index}", y) + taken[-stem.adds]
            relu = np.maximum(y, np.float32(0))
            x = tap(f"svdf_{index}/sum" if stem.adds else f"svdf_{index}", relu)
        cell_peaks = []
        for index, layer in enumerate(self.lstm):
            states = list(self._states(layer, x))
            x = tap(f"lstm_{index}/h", np.array([h for h, _ in states]))
            cell_peaks.append(float(np.abs([c for _, c in states]).max()))
        return Activity(
            logits=tap("logits", x @ self.dense_out.kernel + self.dense_out.bias),
            svdf_peaks=tuple(svdf_peaks),
            cell_peaks=tuple(cell_peaks),
        )

    def _states(self, layer: Lstm, inputs: Array) -> Iterator[tuple[Array, Array]]:
        """Yield hidden state and cell, (units,) each, after every step of (steps, layer inputs)."""
        h = np.zeros(layer.units, np.float32)
        c = np.zeros(layer.units, np.float32)
        clip = np.float32(self.cell_clip)
        for projected in inputs @ layer.kernel + layer.bias:
            i, f, g, o = np.split(projected + h @ layer.recurrent_kernel, 4)
            c = np.clip(_sigmoid(f) * c + _sigmoid(i) * np.tanh(g), -clip, clip)
            h = _sigmoid(o) * np.tanh(c)
            yield h, c


def filtered(layer: Svdf, state: Array) -> Array:
    """Return the output of an SVDF layer's filters for the output of its pointwise part.

    Both are (steps, units).
    """
    before = np.zeros((layer.memory - 1, layer.units), np.float32)
    heard, total = np.concatenate((before, state)), np.tile(layer.bias, (len(state), 1))
    for age, weights in enumerate(layer.time_kernel):
        total += weights * heard[age : age + len(state)]
    return total


def softmax(logits: NDArray[np.floating]) -> Array:
    """Convert logits to posteriors along the last axis, float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


def _sigmoid(x: Array) -> Array:
    half = np.float32(0.5)
    sigmoid: Array = half * (np.float32(1) + np.tanh(half * x))  # never overflows
    return sigmoid
