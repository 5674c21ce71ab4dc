"""A float network and a long stream in, the same network in int8 out.

Post-training quantization, one scale per tensor. The ranges of activations are measured with the
float network on the stream, which must last minutes: a network that has just been reset behaves
differently. Everything else follows from the weights:

* The rows of an SVDF's pointwise weights are scaled to the same largest magnitude, and its filters
  over time divided by the same factors. There is no nonlinearity between the two, so the only
  effect is that each row uses all 256 values (Nagel et al., "Data-Free Quantization Through Weight
  Equalization and Bias Correction", 2019).
* Channels of a convolution differ even more, but share one scale for their weights and another for
  their outputs. Each is divided by a power of its largest weight, and the next layer's weights for
  it are multiplied by that: there is only a ReLU in between, which passes any positive factor (the
  same paper).
* The shift of the mean of each channel of convolutions and SVDF layers by rounding is subtracted
  from its bias (bias correction, in the same paper). A network trained with batch normalisation has
  channels that are far from 0 all the time and vary little: without correction, rounding shifts
  them by more than they vary.
* The int16 state of an SVDF can hold whatever its int8 inputs can produce, and the sum over time
  whatever the state can produce: neither ever saturates.
* The range of an LSTM's int16 cells covers the clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import ExportError
from .layers import (
    Affine,
    ConvLayer,
    DenseLayer,
    Int8,
    LstmLayer,
    QuantizedNetwork,
    SvdfLayer,
)
from .reference import Array, Convolution, Dense, Lstm, Network, Svdf, conv_names, filtered

L = TypeVar("L", Svdf, Lstm)
_INT16 = 32767
_BALANCE = 0.7  # power: 0 leaves the weights of channels as they are, 1 makes them equally large
_SUM = 2.0**30 * 0.999  # limit of a sum over time; the C engine doubles it in 32 bits


def quantize(network: Network, calibration: Array) -> QuantizedNetwork:
    """Quantize a network.

    Parameters
    ----------
    network
        The trained network; its cells must be clipped at `harken.edge.device.limits.CELL_CLIP`.
    calibration
        Stacked frames, (steps, inputs) float32, of one continuous stream: minutes, not clips.

    Raises
    ------
    ExportError
        The stream does not match the network, or leads to values that are not finite.
    """
    if calibration.ndim != 2 or calibration.shape[1] != network.inputs or not len(calibration):
        raise ExportError(
            f"the calibration stream has the shape {calibration.shape}; "
            f"{network.description} takes (steps, {network.inputs})"
        )
    network = balanced(network)
    ranges: dict[str, Affine] = {}

    def record(name: str, values: Array) -> Array:
        if not np.isfinite(values).all():
            raise ExportError(
                f"the calibration stream drives {name} of {network.description} to infinity or "
                "NaN; train again with a smaller learning rate"
            )
        ranges[name] = Affine.of_range(float(values.min()), float(values.max()))
        return values

    network.run(calibration, record)
    stream = _Stream(calibration, ranges["input"])
    first = None
    if network.dense_in is not None:
        first = _dense("dense_in", network.dense_in, stream.affine, ranges["dense_in"], relu=True)
        kernel, bias = network.dense_in.kernel, network.dense_in.bias
        stream = stream.after(
            stream.exact @ kernel + bias, stream.rounded @ kernel + bias, first.output, relu=True
        )
    conv = []
    for name, convolution in zip(conv_names(len(network.conv)), network.conv, strict=True):
        convolved, stream = _convolution(name, convolution, stream, ranges[name])
        conv.append(convolved)
    svdf = tuple(_stem(network, stream, ranges))
    source = svdf[-1].after if svdf else stream.affine
    lstm = []
    for index, layer in enumerate(network.lstm):
        name = f"lstm_{index}"
        lstm.append(_lstm(name, layer, source, ranges[f"{name}/h"], network.cell_clip))
        source = lstm[-1].hidden
    return QuantizedNetwork(
        first=first,
        conv=tuple(conv),
        svdf=svdf,
        lstm=tuple(lstm),
        last=_dense("dense_out", network.dense_out, source, ranges["logits"], relu=False),
    )


class _Stream:
    """A layer's inputs for the calibration stream, (steps, values): float, and rounded to int8."""

    def __init__(self, values: Array, affine: Affine, rounded: Array | None = None) -> None:
        self.exact, self.affine = values, affine
        self.rounded = affine.round(values if rounded is None else rounded)

    def after(self, exact: Array, rounded: Array, affine: Affine, *, relu: bool) -> _Stream:
        """Return the next layer's."""
        if relu:
            exact, rounded = np.maximum(exact, 0), np.maximum(rounded, 0)
        return _Stream(exact, affine, rounded)


def _convolution(
    name: str, layer: Convolution, stream: _Stream, output: Affine
) -> tuple[ConvLayer, _Stream]:
    """Return the int8 layer, its bias compensating for the shift of means, and its outputs."""

    def int8(bias: Array) -> ConvLayer:
        weights, scale = symmetric(layer.kernel.transpose(3, 0, 1, 2))
        return ConvLayer(
            name=name,
            shape=layer.shape,
            weights=weights,
            weight_scale=scale,
            bias=_rounded(bias, float(stream.affine.scale) * float(scale)),
            stride=layer.stride,
            source=stream.affine,
            output=output,
            relu=layer.relu,
        )

    exact = layer(stream.exact)
    rounded = replace(int8(layer.bias).real, bias=layer.bias)(stream.rounded)
    channels = layer.bias.size
    shift = (exact - rounded).reshape(-1, channels).mean(axis=0)
    corrected = (rounded.reshape(-1, channels) + shift).reshape(rounded.shape)
    return int8(layer.bias + shift), stream.after(exact, corrected, output, relu=layer.relu)


def _stem(network: Network, stream: _Stream, ranges: dict[str, Affine]) -> Iterator[SvdfLayer]:
    """Yield the SVDF layers, with biases that compensate for the shift of means by rounding."""
    exact, rounded, source = stream.exact, stream.rounded, stream.affine
    taken: list[tuple[Array, Array, Affine]] = []
    for index, layer in enumerate(network.svdf):
        name = f"svdf_{index}"
        taken.append((exact, rounded, source))
        exact_added, rounded_added, added = taken[-layer.adds] if layer.adds else (0, 0, None)
        exact = filtered(layer, exact @ layer.kernel)
        real = replace(_svdf(name, layer, source, added, ranges).real, bias=layer.bias)
        rounded = filtered(real, rounded @ real.kernel)
        shift = (exact - rounded).mean(axis=0)
        int8 = _svdf(name, replace(layer, bias=layer.bias + shift), source, added, ranges)
        yield int8
        source = int8.after
        exact = np.maximum(exact + exact_added, 0)
        rounded += shift
        if layer.adds:
            rounded = int8.output.round(rounded) + rounded_added
        rounded = source.round(np.maximum(rounded, 0))


def _dense(name: str, layer: Dense, source: Affine, output: Affine, *, relu: bool) -> DenseLayer:
    weights, scale = symmetric(layer.kernel.T)
    return DenseLayer(
        name=name,
        weights=weights,
        weight_scale=scale,
        bias=_rounded(layer.bias, float(source.scale) * float(scale)),
        source=source,
        output=output,
        relu=relu,
    )


def _svdf(
    name: str, layer: Svdf, source: Affine, added: Affine | None, ranges: dict[str, Affine]
) -> SvdfLayer:
    kernel, time_kernel = equalized(layer)
    weights, scale = symmetric(kernel)
    rows = weights.astype(np.float64) * float(scale)
    up = np.where(rows > 0, rows * source.highest, rows * source.lowest).sum(axis=1)
    down = np.where(rows > 0, rows * source.lowest, rows * source.highest).sum(axis=1)
    state_scale = np.float32((max(up.max(), -down.min()) or 1.0) / _INT16)
    sums = np.abs(time_kernel).sum(axis=1) * float(state_scale) * (_INT16 + 1)
    unit = float((sums + np.abs(layer.bias)).max() or 1.0) / _SUM
    time_scale = np.float32(unit / float(state_scale))
    return SvdfLayer(
        name=name,
        weights=weights,
        weight_scale=scale,
        time_weights=_rounded(time_kernel, float(time_scale))
        .clip(-_INT16, _INT16)
        .astype(np.int16),
        time_scale=time_scale,
        bias=_rounded(layer.bias, float(state_scale) * float(time_scale)),
        source=source,
        state_scale=state_scale,
        output=ranges[name],
        adds=layer.adds,
        added=added,
        total=ranges[f"{name}/sum"] if layer.adds else None,
    )


def balanced(network: Network) -> Network:
    """Return the same network with convolutions whose channels differ less in their weights."""
    conv, svdf, lstm = list(network.conv), network.svdf, network.lstm
    for index, layer in enumerate(conv):
        if not layer.relu:
            continue
        channels = layer.bias.size
        peaks = np.abs(layer.kernel).reshape(-1, channels).max(axis=0)
        scales = (np.where(peaks > 0, peaks, 1.0) ** _BALANCE).astype(np.float32)
        conv[index] = replace(layer, kernel=layer.kernel / scales, bias=layer.bias / scales)
        if index + 1 < len(conv):
            after = conv[index + 1]
            conv[index + 1] = replace(after, kernel=after.kernel * scales[:, np.newaxis])
        elif svdf:
            svdf = (_with_scaled_inputs(svdf[0], scales), *svdf[1:])
        else:
            lstm = (_with_scaled_inputs(lstm[0], scales), *lstm[1:])
    return replace(network, conv=tuple(conv), svdf=svdf, lstm=lstm)


def _with_scaled_inputs(layer: L, scales: Array) -> L:
    """Multiply a layer's kernel, whose inputs are places of so many channels."""
    by_input = np.tile(scales, len(layer.kernel) // len(scales))
    return replace(layer, kernel=layer.kernel * by_input[:, np.newaxis])


def equalized(layer: Svdf) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale the rows of a layer's pointwise weights to the same largest magnitude.

    Returns
    -------
    tuple
        Pointwise weights (units, inputs) and filters over time (units, memory): the same layer.
    """
    rows = layer.kernel.T.astype(np.float64)
    peaks = np.abs(rows).max(axis=1, keepdims=True)
    stretch = np.divide(peaks.max(), peaks, out=np.ones_like(peaks), where=peaks > 0)
    return rows * stretch, layer.time_kernel.T / stretch


def _lstm(name: str, layer: Lstm, source: Affine, hidden: Affine, cell_clip: float) -> LstmLayer:
    inputs = [symmetric(part) for part in np.split(layer.kernel.T, 4)]
    states = [symmetric(part) for part in np.split(layer.recurrent_kernel.T, 4)]
    units = [float(source.scale) * float(scale) for _, scale in inputs]
    return LstmLayer(
        name=name,
        input_weights=np.stack([weights for weights, _ in inputs]),
        input_scales=np.array([scale for _, scale in inputs]),
        state_weights=np.stack([weights for weights, _ in states]),
        state_scales=np.array([scale for _, scale in states]),
        bias=np.stack(
            [
                _rounded(part, unit)
                for part, unit in zip(np.split(layer.bias, 4), units, strict=True)
            ]
        ),
        source=source,
        hidden=hidden,
        cell_scale=np.float32(2.0 ** math.ceil(math.log2(cell_clip)) / (_INT16 + 1)),
        cell_clip=cell_clip,
    )


def symmetric(weights: NDArray[np.floating]) -> tuple[Int8, np.float32]:
    """Round weights to int8 within ±127, and return their scale."""
    scale = np.float32((np.abs(weights).max() or 1.0) / 127)
    return np.rint(weights / float(scale)).clip(-127, 127).astype(np.int8), scale


def _rounded(values: NDArray[np.floating], unit: float) -> NDArray[np.int32]:
    """Round to int32 in some unit."""
    rounded = np.rint(values.astype(np.float64) / unit)
    return rounded.clip(-(2**31) + 1, 2**31 - 1).astype(np.int32)
