"""An int8 network in, a TFLite file that keeps its own state out; and back.

The file has one int8 input and one int8 output. Its state is held in variable tensors of the native
operators ``SVDF`` and ``UNIDIRECTIONAL_SEQUENCE_LSTM``, so an interpreter keeps it between
invocations. TensorFlow's converter cannot make an SVDF; written directly, the file has exactly the
scales that `harken.export.quantize` chose.

Reading checks that the file contains only layers of harken's networks; others are refused by name.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from ..edge.errors import ExportError
from ..edge.spotting.manifest import MOST_SVDF_MEMORY
from ..train.config import MOST_SVDF_SPAN
from .flatbuffer import GraphBuilder, convolution_options
from .layers import (
    Affine,
    ConvLayer,
    DenseLayer,
    Int8,
    Int32,
    Layer,
    LstmLayer,
    QuantizedNetwork,
    SvdfLayer,
)

_OPERATOR, _TYPE = schema.BuiltinOperator, schema.TensorType
_ACTIVATION, _OPTIONS = schema.ActivationFunctionType, schema.BuiltinOptions

# The first version of each operator that supports everything used here.
_VERSIONS = {
    _OPERATOR.RESHAPE: 1,
    _OPERATOR.CONV_2D: 3,
    _OPERATOR.FULLY_CONNECTED: 4,
    _OPERATOR.SVDF: 3,
    _OPERATOR.ADD: 2,
    _OPERATOR.UNIDIRECTIONAL_SEQUENCE_LSTM: 1,
}

GATES = ("input", "forget", "cell", "output")
_MOST_COLUMNS = 1024
_MOST_ROWS = 4096

# Positions among the inputs of a fused LSTM.
_INPUT_WEIGHTS = (1, 2, 3, 4)
_STATE_WEIGHTS = (5, 6, 7, 8)
_PEEPHOLES = (9, 10, 11)
_BIASES = (12, 13, 14, 15)
_PROJECTIONS = (16, 17)
_HIDDEN_STATE, CELL_STATE = 18, 19
_NORMALISATIONS = (20, 21, 22, 23)


def write_network(network: QuantizedNetwork) -> bytes:
    """Write a network as a TFLite file.

    Returns
    -------
    bytes
        int8 (1, 1, inputs) in, int8 logits (1, labels) out. The same network gives the same bytes.
    """
    writer = _Writer()
    given = x = writer.int8("frame", (1, 1, network.inputs), network.source)
    if network.first is not None:
        x = writer.dense(network.first, x, flat=bool(network.svdf))
    for convolution in network.conv:
        x = writer.convolution(convolution, x)
    if network.first is None and network.svdf:
        x = writer.reshape(x, (1, network.svdf[0].inputs), network.svdf[0].source)
    taken: list[int] = []
    for stem in network.svdf:
        taken.append(x)
        x = writer.svdf(stem, x, taken[-stem.adds] if stem.adds else None)
    if network.svdf:
        stem = network.svdf[-1]
        x = writer.reshape(x, (1, 1, stem.units), stem.after)
    elif network.conv:
        last = network.conv[-1]
        x = writer.reshape(x, (1, 1, math.prod(last.outputs)), last.output)
    for layer in network.lstm:
        x = writer.lstm(layer, x)
    logits = writer.dense(network.last, x, flat=True)
    return writer.graph.file(
        [given], [logits], description="harken, int8, state inside", versions=_VERSIONS
    )


class _Writer:
    """Adds layers to a graph; tensors are identified by their numbers."""

    def __init__(self) -> None:
        self.graph = GraphBuilder()

    def int8(
        self, name: str, shape: tuple[int, ...], affine: Affine, *, variable: bool = False
    ) -> int:
        return self.graph.tensor(
            name,
            _TYPE.INT8,
            shape,
            scales=affine.scale,
            zero_point=affine.zero_point,
            variable=variable,
        )

    def constant(self, name: str, values: NDArray[Any], scale: float | np.float32) -> int:
        kind = {1: _TYPE.INT8, 2: _TYPE.INT16, 4: _TYPE.INT32}[values.itemsize]
        return self.graph.tensor(name, kind, values.shape, scales=scale, data=values)

    def reshape(self, source: int, shape: tuple[int, ...], affine: Affine) -> int:
        name = self.graph.name(source)
        target = self.int8(f"{name}_{len(shape)}d", shape, affine)
        wanted = np.array(shape, "<i4")
        form = self.graph.tensor(
            f"{name}_shape" if len(shape) == 4 else f"shape_{len(shape)}d",
            _TYPE.INT32,
            (len(shape),),
            data=wanted,
        )
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        return self.graph.operator(
            _OPERATOR.RESHAPE, [source, form], [target], _OPTIONS.ReshapeOptions, options
        )

    def dense(self, layer: DenseLayer, source: int, *, flat: bool) -> int:
        """Add a fully connected layer; the output is (1, units) if `flat`, else (1, 1, units)."""
        units = len(layer.weights)
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = _ACTIVATION.RELU if layer.relu else _ACTIVATION.NONE
        options.keepNumDims = not flat
        bias_scale = float(layer.source.scale) * float(layer.weight_scale)
        inputs = [
            source,
            self.constant(f"{layer.name}_weights", layer.weights, layer.weight_scale),
            self.constant(f"{layer.name}_bias", layer.bias, bias_scale),
        ]
        target = self.int8(layer.name, (1, units) if flat else (1, 1, units), layer.output)
        return self.graph.operator(
            _OPERATOR.FULLY_CONNECTED, inputs, [target], _OPTIONS.FullyConnectedOptions, options
        )

    def convolution(self, layer: ConvLayer, source: int) -> int:
        """Add a convolution; the output is (1, rows, columns, channels)."""
        if self.graph.shape(source) != (1, *layer.shape):
            source = self.reshape(source, (1, *layer.shape), layer.source)
        options = convolution_options(stride=layer.stride, relu=layer.relu)
        inputs = [
            source,
            self.constant(f"{layer.name}_weights", layer.weights, layer.weight_scale),
            self.constant(
                f"{layer.name}_bias",
                layer.bias,
                float(layer.source.scale) * float(layer.weight_scale),
            ),
        ]
        target = self.int8(layer.name, (1, *layer.outputs), layer.output)
        return self.graph.operator(
            _OPERATOR.CONV_2D, inputs, [target], _OPTIONS.Conv2DOptions, options
        )

    def svdf(self, layer: SvdfLayer, source: int, added: int | None) -> int:
        """Add an SVDF layer, and the addition after it, if any."""
        name = layer.name
        options = schema.SVDFOptionsT()
        options.rank = 1
        # The integer kernels refuse any other activation, and compute none: they clamp to int8, so
        # a zero point of -128 makes a ReLU, and any other makes the layer linear.
        options.fusedActivationFunction = _ACTIVATION.RELU
        inputs = [
            source,
            self.constant(f"{name}_weights", layer.weights, layer.weight_scale),
            self.constant(f"{name}_time", layer.time_weights, layer.time_scale),
            self.constant(
                f"{name}_bias", layer.bias, float(layer.state_scale) * float(layer.time_scale)
            ),
            self.graph.tensor(
                f"{name}_state",
                _TYPE.INT16,
                (1, layer.units * layer.memory),
                scales=layer.state_scale,
                variable=True,
            ),
        ]
        target = self.int8(name, (1, layer.units), layer.output)
        y = self.graph.operator(_OPERATOR.SVDF, inputs, [target], _OPTIONS.SVDFOptions, options)
        if layer.total is None or added is None:
            return y
        addition = schema.AddOptionsT()
        addition.fusedActivationFunction = _ACTIVATION.RELU
        total = self.int8(f"{name}_sum", (1, layer.units), layer.total)
        return self.graph.operator(
            _OPERATOR.ADD, [y, added], [total], _OPTIONS.AddOptions, addition
        )

    def lstm(self, layer: LstmLayer, source: int) -> int:
        name, units, graph = layer.name, layer.units, self.graph
        inputs = [-1] * 24
        inputs[0] = source
        bias_scales = float(layer.source.scale) * layer.input_scales.astype(np.float64)
        for index, gate in enumerate(GATES):
            for positions, part, values, scale in (
                (_INPUT_WEIGHTS, "input", layer.input_weights, layer.input_scales[index]),
                (_STATE_WEIGHTS, "state", layer.state_weights, layer.state_scales[index]),
                (_BIASES, "bias", layer.bias, bias_scales[index]),
            ):
                inputs[positions[index]] = self.constant(
                    f"{name}_{gate}_{part}", values[index], scale
                )
        inputs[_HIDDEN_STATE] = self.int8(f"{name}_h", (1, units), layer.hidden, variable=True)
        inputs[CELL_STATE] = graph.tensor(
            f"{name}_c", _TYPE.INT16, (1, units), scales=layer.cell_scale, variable=True
        )
        # Of a normalisation that is not used; and the scale by which the kernels rescale the state.
        between = [graph.tensor(f"{name}_{gate}", _TYPE.FLOAT32, (0,)) for gate in GATES]
        between.append(self.int8(f"{name}_effective", (0,), layer.hidden))
        options = schema.UnidirectionalSequenceLSTMOptionsT()
        options.fusedActivationFunction = _ACTIVATION.TANH
        options.cellClip = layer.cell_clip
        target = self.int8(name, (1, 1, units), layer.hidden)
        return graph.operator(
            _OPERATOR.UNIDIRECTIONAL_SEQUENCE_LSTM,
            inputs,
            [target],
            _OPTIONS.UnidirectionalSequenceLSTMOptions,
            options,
            intermediates=between,
        )


def read_layers(content: bytes) -> QuantizedNetwork:
    """Read the layers of a TFLite file.

    Parameters
    ----------
    content
        The TFLite file, int8 throughout, as written by `harken export`.

    Raises
    ------
    ExportError
        It is another kind of network. Names the layer.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    reader = _Reader(model)
    layers: list[Layer] = []
    for index, operator in enumerate(reader.graph.operators):
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        output = reader.graph.tensors[operator.outputs[0]]
        name = f"{index} ({output.name.decode(errors='replace')})"
        if code == _OPERATOR.FULLY_CONNECTED:
            layers.append(reader.dense(operator, name))
        elif code == _OPERATOR.CONV_2D:
            layers.append(reader.convolution(operator, name))
        elif code == _OPERATOR.SVDF:
            layers.append(reader.svdf(operator, name))
        elif code == _OPERATOR.UNIDIRECTIONAL_SEQUENCE_LSTM:
            layers.append(reader.lstm(operator, name))
        elif code not in (_OPERATOR.RESHAPE, _OPERATOR.ADD):
            kind = next(k for k, v in vars(_OPERATOR).items() if v == code)
            raise ExportError(
                f"layer {name} is a {kind}; the C engine runs FULLY_CONNECTED, CONV_2D, SVDF with "
                "ADD, UNIDIRECTIONAL_SEQUENCE_LSTM and RESHAPE"
            )
        elif code == _OPERATOR.ADD and index not in reader.additions:  # read with its SVDF
            raise ExportError(
                f"layer {name} is an ADD, but not of an SVDF's outputs and the inputs of that SVDF "
                "or the previous one from another layer; the C engine supports no other"
            )
    return _arranged(layers)


def _arranged(layers: Sequence[Layer]) -> QuantizedNetwork:
    """Check the order of the layers."""
    names = [_NAMES[type(layer)] for layer in layers]
    if not re.fullmatch("(dense |(convolution )*)(SVDF )*(LSTM )+dense", " ".join(names)):
        raise ExportError(
            f"the layers are {', '.join(names) or 'nothing'}; the C engine runs a dense layer or "
            "convolutions or neither, SVDF layers or none, one or more LSTM layers, and a dense "
            "layer, in this order"
        )
    first, last = layers[0], layers[-1]
    assert isinstance(last, DenseLayer)
    for layer, after in itertools.pairwise(layers):
        if isinstance(layer, ConvLayer) and math.prod(layer.outputs) != after.inputs:
            raise ExportError(
                f"layer {layer.name} has {math.prod(layer.outputs)} outputs, but the next one "
                f"takes {after.inputs}"
            )
    return QuantizedNetwork(
        first=first if isinstance(first, DenseLayer) else None,
        conv=tuple(layer for layer in layers if isinstance(layer, ConvLayer)),
        svdf=tuple(layer for layer in layers if isinstance(layer, SvdfLayer)),
        lstm=tuple(layer for layer in layers if isinstance(layer, LstmLayer)),
        last=last,
    )


_NAMES: dict[type, str] = {
    DenseLayer: "dense",
    ConvLayer: "convolution",
    SvdfLayer: "SVDF",
    LstmLayer: "LSTM",
}


class _Reader:
    def __init__(self, model: Any) -> None:
        self.graph = model.subgraphs[0]
        self._codes = [code.builtinCode for code in model.operatorCodes]
        self._buffers = model.buffers
        self._taken: list[int] = []  # inputs of each SVDF so far
        # The network's input, also in another shape: nothing is added to features.
        self._features = {*self.graph.inputs} | {
            operator.outputs[0]
            for operator in self.graph.operators
            if self._codes[operator.opcodeIndex] == _OPERATOR.RESHAPE
            and operator.inputs[0] in self.graph.inputs
        }
        self.additions: set[int] = set()
        """The operators that add something to an SVDF's outputs."""

    def dense(self, operator: Any, name: str) -> DenseLayer:
        source, kernel, *rest = operator.inputs
        weights = self._weights(kernel, name)
        activation = operator.builtinOptions.fusedActivationFunction
        if activation not in (_ACTIVATION.NONE, _ACTIVATION.RELU):
            raise ExportError(f"layer {name}: its activation is neither none nor RELU")
        return DenseLayer(
            name=name,
            weights=weights,
            weight_scale=self._scale(kernel, name),
            bias=self._bias(rest[0] if rest else -1, len(weights), name),
            source=self._affine(source, name),
            output=self._affine(operator.outputs[0], name),
            relu=activation == _ACTIVATION.RELU,
        )

    def convolution(self, operator: Any, name: str) -> ConvLayer:
        if len(operator.inputs) != 3:
            raise ExportError(
                f"layer {name}: the convolution has {len(operator.inputs)} inputs; the engine "
                "needs 3"
            )
        source, kernel, bias = operator.inputs
        options, output = operator.builtinOptions, operator.outputs[0]
        if options.fusedActivationFunction not in (_ACTIVATION.NONE, _ACTIVATION.RELU):
            raise ExportError(f"layer {name}: its activation is neither none nor RELU")
        steps = (options.strideH, options.dilationHFactor, options.dilationWFactor)
        if options.padding != schema.Padding.VALID or steps != (1, 1, 1):
            raise ExportError(
                f"layer {name}: the engine runs convolutions without padding and dilation, and "
                "strides along columns only"
            )
        batch, *shape = map(int, self.graph.tensors[source].shape)
        weights = self._weights(kernel, name, dimensions=4)
        layer = ConvLayer(
            name=name,
            shape=(shape[0], shape[1], shape[2]),
            weights=weights,
            weight_scale=self._scale(kernel, name),
            bias=self._bias(bias, len(weights), name),
            stride=int(options.strideW),
            source=self._affine(source, name),
            output=self._affine(output, name),
            relu=options.fusedActivationFunction == _ACTIVATION.RELU,
        )
        if batch != 1 or weights.shape[3] != shape[2] or min(layer.outputs) < 1:
            raise ExportError(
                f"layer {name}: weights {weights.shape} do not fit inputs {(batch, *shape)}"
            )
        return layer

    def svdf(self, operator: Any, name: str) -> SvdfLayer:
        if len(operator.inputs) != 5:
            raise ExportError(
                f"layer {name}: the SVDF has {len(operator.inputs)} inputs; the engine needs 5"
            )
        source, kernel, time, bias, state = operator.inputs
        options, output = operator.builtinOptions, operator.outputs[0]
        if options.rank != 1:
            raise ExportError(f"layer {name}: the SVDF has rank {options.rank}; the engine needs 1")
        self._taken.append(source)
        adds, addition = self._addition(output)
        weights = self._weights(kernel, name)
        units = len(weights)
        affine = self._affine(output, name)
        if options.fusedActivationFunction != _ACTIVATION.RELU:
            raise ExportError(
                f"layer {name}: the SVDF's activation is not RELU, which integer kernels require"
            )
        added = total = None
        if addition is not None:
            added = self._affine(self._taken[-adds], name)
            total = self._affine(addition.outputs[0], name)
            if addition.builtinOptions.fusedActivationFunction != _ACTIVATION.RELU:
                raise ExportError(
                    f"layer {name}: the activation of the addition after it is not RELU"
                )
        if (total or affine).zero_point != -128:
            raise ExportError(
                f"layer {name}: its ReLU gives a zero point of {(total or affine).zero_point}; it "
                "must be -128, the lowest int8"
            )
        time_weights = self._time_weights(time, units, name)
        self._check_state(state, time_weights.shape, name)
        return SvdfLayer(
            name=name,
            weights=weights,
            weight_scale=self._scale(kernel, name),
            time_weights=time_weights,
            time_scale=self._scale(time, name),
            bias=self._bias(bias, units, name),
            source=self._affine(source, name),
            state_scale=self._scale(state, name),
            output=affine,
            adds=adds,
            added=added,
            total=total,
        )

    def _addition(self, output: int) -> tuple[int, Any]:
        """Return the layers spanned by an addition to the latest SVDF's outputs, and its operator.

        (0, None) if there is none.
        """
        for index, operator in enumerate(self.graph.operators):
            if self._codes[operator.opcodeIndex] == _OPERATOR.ADD:
                for span, source in enumerate(self._taken[: -MOST_SVDF_SPAN - 1 : -1], 1):
                    if set(operator.inputs) == {source, output} and source not in self._features:
                        self.additions.add(index)
                        return span, operator
        return 0, None

    def _time_weights(self, index: int, units: int, name: str) -> NDArray[np.int16]:
        tensor = self.graph.tensors[index]
        shape = tuple(int(size) for size in tensor.shape)
        if tensor.type != _TYPE.INT16 or len(shape) != 2 or shape[0] != units:
            raise ExportError(
                f"layer {name}: its filters over time are not an int16 matrix with a row for each "
                f"of its {units} units"
            )
        if not 1 <= shape[1] <= MOST_SVDF_MEMORY:
            raise ExportError(
                f"layer {name}: its memory is {shape[1]} steps; the engine supports 1 to "
                f"{MOST_SVDF_MEMORY}"
            )
        if self._zero_point(index) != 0:
            raise ExportError(f"layer {name}: its filters over time have a zero point other than 0")
        return self._data(index, "<i2", f"layer {name}: its filters over time")

    def _check_state(self, index: int, shape: tuple[int, ...], name: str) -> None:
        tensor = self.graph.tensors[index]
        if tensor.type != _TYPE.INT16 or not tensor.isVariable:
            raise ExportError(f"layer {name}: its state is not a variable int16 tensor")
        if math.prod(tensor.shape) != math.prod(shape):
            raise ExportError(
                f"layer {name}: its state has {math.prod(tensor.shape)} values; "
                f"{shape[0]} units with a memory of {shape[1]} have {math.prod(shape)}"
            )
        if self._zero_point(index) != 0:
            raise ExportError(f"layer {name}: its state has a zero point other than 0")

    def lstm(self, operator: Any, name: str) -> LstmLayer:
        inputs, options = operator.inputs, operator.builtinOptions
        self._refuse_variants(inputs, options, name)
        hidden, cell = inputs[_HIDDEN_STATE], inputs[CELL_STATE]
        input_weights = np.stack([self._weights(inputs[i], name) for i in _INPUT_WEIGHTS])
        cell_scale = self._scale(cell, name)
        mantissa, exponent = math.frexp(float(cell_scale))
        if mantissa != 0.5 or self._zero_point(cell) != 0 or not -11 <= exponent <= 1:
            raise ExportError(
                f"layer {name}: cells have the scale {cell_scale} and the zero point "
                f"{self._zero_point(cell)}; the engine needs 2^-12 to 1, a power of two, and 0"
            )
        return LstmLayer(
            name=name,
            input_weights=input_weights,
            input_scales=np.array([self._scale(inputs[i], name) for i in _INPUT_WEIGHTS]),
            state_weights=np.stack([self._weights(inputs[i], name) for i in _STATE_WEIGHTS]),
            state_scales=np.array([self._scale(inputs[i], name) for i in _STATE_WEIGHTS]),
            bias=np.stack([self._bias(inputs[i], input_weights.shape[1], name) for i in _BIASES]),
            source=self._affine(inputs[0], name),
            hidden=self._affine(hidden, name),
            cell_scale=cell_scale,
            cell_clip=float(options.cellClip),
        )

    def _refuse_variants(self, inputs: Any, options: Any, name: str) -> None:
        for positions, what in (
            (_PEEPHOLES, "peepholes"),
            (_PROJECTIONS, "a projection"),
            (_NORMALISATIONS, "layer normalisation"),
        ):
            for position in positions:
                used = position < len(inputs) and inputs[position] >= 0
                if used and math.prod(self.graph.tensors[inputs[position]].shape):
                    raise ExportError(f"layer {name}: the LSTM has {what}; the engine has none")
        if options.fusedActivationFunction != _ACTIVATION.TANH:
            raise ExportError(f"layer {name}: the LSTM's activation is not TANH")
        if any(inputs[position] < 0 for position in (*_INPUT_WEIGHTS, *_STATE_WEIGHTS)):
            raise ExportError(f"layer {name}: the LSTM lacks a gate; the engine needs all four")

    def _weights(self, index: int, name: str, *, dimensions: int = 2) -> Int8:
        tensor = self.graph.tensors[index]
        shape = tuple(tensor.shape)
        if tensor.type != _TYPE.INT8 or len(shape) != dimensions:
            kind = "matrix" if dimensions == 2 else f"array of {dimensions} dimensions"
            raise ExportError(f"layer {name}: its weights are not an int8 {kind}")
        if self._zero_point(index) != 0:
            raise ExportError(f"layer {name}: its weights have a zero point other than 0")
        rows, columns = shape[0], math.prod(shape[1:])
        if columns > _MOST_COLUMNS or rows > _MOST_ROWS:
            raise ExportError(
                f"layer {name} is too large: {rows} x {columns} weights, of which the engine "
                f"supports up to {_MOST_ROWS} x {_MOST_COLUMNS}"
            )
        return self._data(index, "i1", f"layer {name}: its weights")

    def _bias(self, index: int, rows: int, name: str) -> Int32:
        if index < 0:
            return np.zeros(rows, np.int32)
        if self.graph.tensors[index].type != _TYPE.INT32:
            raise ExportError(f"layer {name}: its bias is not int32")
        return self._data(index, "<i4", f"layer {name}: its bias")

    def _data(self, index: int, kind: str, what: str) -> NDArray[Any]:
        tensor, dtype = self.graph.tensors[index], np.dtype(kind)
        data = self._buffers[tensor.buffer].data
        if data is None or len(data) != math.prod(tensor.shape) * dtype.itemsize:
            raise ExportError(f"{what} are not constant")
        return np.asarray(data, np.uint8).view(dtype).reshape(tuple(tensor.shape))

    def _affine(self, index: int, name: str) -> Affine:
        return Affine(scale=self._scale(index, name), zero_point=self._zero_point(index))

    def _scale(self, index: int, name: str) -> np.float32:
        quantization = self.graph.tensors[index].quantization
        scales = None if quantization is None else quantization.scale
        if scales is None or len(scales) != 1:
            count = 0 if scales is None else len(scales)
            raise ExportError(
                f"layer {name}: a tensor has {count} scales; the engine supports models that are "
                "int8 throughout, with one scale per tensor"
            )
        return np.float32(scales[0])

    def _zero_point(self, index: int) -> int:
        return int(self.graph.tensors[index].quantization.zeroPoint[0])
