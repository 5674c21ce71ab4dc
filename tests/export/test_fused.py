"""An int8 network as a TFLite file: quantized, written, read back, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hybrids import CONV, LARGE, TINY, drawn_network, drawn_stream
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.edge import ExportError
from harken.edge.spotting.engine import TfliteRuntime
from harken.edge.spotting.manifest import MOST_SVDF_MEMORY
from harken.edge.spotting.tflite import read_graph
from harken.export.agreement import measure_agreement
from harken.export.checks import measure_parity
from harken.export.device.graph import engine_network
from harken.export.fused import read_layers, write_network
from harken.export.layers import Affine, QuantizedNetwork
from harken.export.quantize import balanced, equalized, quantize
from harken.export.reference import Convolution, Network, Svdf, softmax

SHAPES: dict[str, dict[str, Any]] = {
    "stem": {},
    "stem of one layer": {"svdf": ((24, 4),)},
    "dense before the stem": {"dense": 24},
    "nothing added": {"residual": 0},
    "other widths": {"svdf": ((17, 2), (23, 7), (23, 3)), "lstm": (9,)},
    "a memory of one step": {"svdf": ((24, 1), (24, 1))},
    "two LSTM layers": {"lstm": (20, 12)},
    "dense and LSTM": {"svdf": (), "dense": 24},
    "LSTM alone": {"svdf": ()},
    "dense, and an addition over two": {"svdf": ((24, 2), (24, 3)), "dense": 24, "residual": 2},
    "convolutions": {"conv": CONV},
    "convolutions and LSTM": {"conv": CONV[:1], "svdf": ()},
    "large": {"svdf": LARGE[0], "lstm": LARGE[1], "labels": 19, "residual": 2},
    "tiny": {"svdf": TINY[0], "lstm": TINY[1], "labels": 19, "residual": 2},
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def quantized(shape: dict[str, Any], *, seed: int = 0) -> QuantizedNetwork:
    return quantize(drawn_network(seed=seed, **shape), drawn_stream(2000, seed=1))


def as_file(content: bytes) -> SimpleNamespace:
    return SimpleNamespace(content=content, path=Path("drawn.tflite"))


def int8(network: QuantizedNetwork, steps: np.ndarray) -> np.ndarray:
    scaled = np.rint(steps / network.source.scale) + network.source.zero_point
    return scaled.clip(-128, 127).astype(np.int8)[:, np.newaxis, np.newaxis]


def values(layer: object) -> dict[str, Any]:
    """What a layer is, but for its name."""
    fields = vars(layer)
    return {name: fields[name] for name in fields if name != "name"}


def assert_same(one: QuantizedNetwork, other: QuantizedNetwork) -> None:
    def layers(network: QuantizedNetwork) -> list[object]:
        first = [network.first] if network.first else []
        return [*first, *network.conv, *network.svdf, *network.lstm, network.last]

    for ours, theirs in zip(layers(one), layers(other), strict=True):
        assert type(ours) is type(theirs)
        for (name, value), found in zip(values(ours).items(), values(theirs).values(), strict=True):
            np.testing.assert_array_equal(value, found, err_msg=name)


@shapes
class TestFile:
    def test_what_is_read_is_what_was_written(self, shape: dict[str, Any]) -> None:
        network = quantized(shape)
        content = write_network(network)
        assert_same(read_layers(content), network)
        assert write_network(network) == content

    def test_the_edge_reads_its_shape(self, shape: dict[str, Any]) -> None:
        network = quantized(shape)
        graph = read_graph(write_network(network))
        assert [tensor.shape for tensor in graph.inputs] == [(1, 1, network.inputs)]
        assert [tensor.shape for tensor in graph.outputs] == [(1, len(network.last.weights))]
        assert graph.svdf_units == tuple(layer.units for layer in network.svdf)
        assert graph.svdf_memory == tuple(layer.memory for layer in network.svdf)
        assert graph.lstm_units == tuple(layer.units for layer in network.lstm)
        assert set(graph.cell_clips) == {10.0}

    def test_both_runtimes_run_it_and_it_is_the_float_network(self, shape: dict[str, Any]) -> None:
        network, steps = drawn_network(**shape), drawn_stream(3000, seed=2)
        eight = quantize(network, drawn_stream(3000, seed=1))
        file, inputs = as_file(write_network(eight)), int8(eight, steps)
        litert = TfliteRuntime(file)
        logits = np.array([litert.invoke(step) for step in inputs])
        output = eight.last.output
        posteriors = softmax((logits.astype(np.float32) - output.zero_point) * output.scale)
        agreement = measure_agreement(softmax(network.run(steps).logits), posteriors)
        assert agreement.same_argmax >= 0.95
        assert agreement.difference_mean <= 0.04
        # The float network of the int8 weights differs by what the activations are rounded.
        exact = softmax(eight.network().run(steps, eight.bounded).logits)
        assert measure_agreement(exact, posteriors).difference_mean <= 0.04

        pytest.importorskip("tflite_micro")
        from harken.export.tflm import TflmRuntime

        tflm = TflmRuntime(file)
        parity = measure_parity(logits, np.array([tflm.invoke(step) for step in inputs]))
        assert parity.same_argmax >= 0.999
        assert parity.max_lsb <= 3

    def test_its_state_is_kept_and_a_reset_clears_it(self, shape: dict[str, Any]) -> None:
        network = quantized(shape)
        inputs, runtime = (
            int8(network, drawn_stream(60)),
            TfliteRuntime(as_file(write_network(network))),
        )
        first = [runtime.invoke(step).tobytes() for step in inputs]
        assert [runtime.invoke(step).tobytes() for step in inputs] != first
        runtime.reset()
        assert [runtime.invoke(step).tobytes() for step in inputs] == first


def test_channels_far_from_zero_lose_nothing_by_rounding() -> None:
    """Batch normalisation leaves such channels, which need bias correction."""
    network, far = drawn_network(residual=0, seed=4), np.float32(15)
    first, second = network.svdf
    passed_on = far * second.kernel.sum(axis=0) * second.time_kernel.sum(axis=0)
    svdf = (
        dataclasses.replace(first, bias=first.bias + far),
        dataclasses.replace(second, bias=second.bias - passed_on),
    )
    network = dataclasses.replace(network, svdf=svdf)
    eight, steps = quantize(network, drawn_stream(3000, seed=1)), drawn_stream(3000, seed=2)

    def apart(int8_network: Network) -> float:
        posteriors = softmax(int8_network.run(steps, eight.bounded).logits)
        return measure_agreement(softmax(network.run(steps).logits), posteriors).difference_mean

    rounded = eight.network()
    uncorrected = tuple(
        dataclasses.replace(layer, bias=exact.bias)
        for layer, exact in zip(rounded.svdf, network.svdf, strict=True)
    )
    assert apart(rounded) < 0.05
    assert apart(dataclasses.replace(rounded, svdf=uncorrected)) > 2 * apart(rounded)


@pytest.mark.parametrize("svdf", [((24, 3), (24, 5)), ()], ids=["stem", "LSTM alone"])
def test_channels_of_convolutions_differ_less_and_the_network_is_the_same(
    svdf: tuple[tuple[int, int], ...],
) -> None:
    network = drawn_network(svdf, conv=CONV)
    conv = list(network.conv)
    first = conv[1]  # conv[0] turns MFCC into mel bands
    uneven = np.geomspace(0.01, 1, first.bias.size).astype(np.float32)
    uneven[2] = 0  # a channel that is never heard
    conv[1] = dataclasses.replace(first, kernel=first.kernel * uneven, bias=first.bias * uneven)
    network = dataclasses.replace(network, conv=tuple(conv))
    other = balanced(network)
    steps = drawn_stream(200, 60, seed=4)
    np.testing.assert_allclose(
        other.run(steps).logits, network.run(steps).logits, rtol=1e-4, atol=1e-4
    )

    def peaks(layer: Convolution) -> np.ndarray:
        return np.delete(np.abs(layer.kernel).max(axis=(0, 1, 2)), 2)

    np.testing.assert_allclose(peaks(other.conv[1]), peaks(network.conv[1]) ** 0.3, rtol=1e-5)
    assert np.isfinite(other.conv[2].kernel).all()
    np.testing.assert_array_equal(other.conv[0].kernel, network.conv[0].kernel)


def test_a_model_that_the_converter_made_is_read_too() -> None:
    content = (Path(__file__).parents[1] / "data" / "converted.tflite").read_bytes()
    layers = read_layers(content)
    assert layers.first is not None
    assert [layer.units for layer in layers.lstm] == [60]
    assert_same(read_layers(write_network(layers)), layers)


weights = st.integers(0, 2**32 - 1).map(np.random.default_rng)


class TestQuantize:
    @given(rng=weights, units=st.integers(1, 6), memory=st.integers(1, 7))
    @settings(deadline=None)
    def test_stretched_rows_are_the_same_layer(
        self, rng: np.random.Generator, units: int, memory: int
    ) -> None:
        layer = Svdf(
            kernel=(rng.normal(size=(5, units)) * 10.0 ** rng.uniform(-3, 1, units)).astype("f4"),
            time_kernel=rng.normal(size=(memory, units)).astype(np.float32),
            bias=np.zeros(units, np.float32),
            adds=0,
        )
        rows, filters = equalized(layer)
        peaks = np.abs(rows).max(axis=1)
        np.testing.assert_allclose(peaks, peaks.max())
        heard = rng.normal(size=(memory, 5))
        expected = (heard @ layer.kernel * layer.time_kernel).sum(axis=0)
        np.testing.assert_allclose(
            ((heard @ rows.T) * filters.T).sum(axis=0), expected, rtol=1e-5, atol=1e-6
        )

    def test_a_row_of_zeros_is_left_alone(self) -> None:
        layer = drawn_network().svdf[0]
        layer.kernel[:, 3] = 0
        rows, filters = equalized(layer)
        assert not rows[3].any()
        np.testing.assert_array_equal(filters[3], layer.time_kernel[:, 3])

    @given(seed=st.integers(0, 2**20), memory=st.integers(1, 9), gain=st.floats(0.01, 30))
    @settings(deadline=None, max_examples=30)
    def test_no_state_and_no_sum_can_overflow(self, seed: int, memory: int, gain: float) -> None:
        network = drawn_network(((16, memory), (16, memory)), seed=seed)
        loud = [
            dataclasses.replace(layer, kernel=layer.kernel * np.float32(gain))
            for layer in network.svdf
        ]
        network = dataclasses.replace(network, svdf=tuple(loud))
        for layer in quantize(network, drawn_stream(50)).svdf:
            # Of every unit, the int8 inputs that make most of its state.
            for sign in (1, -1):
                best = np.where(sign * layer.weights.astype(np.int64) > 0, 127, -128)
                dots = (layer.weights * (best - layer.source.zero_point)).sum(axis=1)
                factor = float(layer.source.scale * layer.weight_scale / layer.state_scale)
                assert np.abs(dots * factor).max() <= 32767.5
            sums = np.abs(layer.time_weights.astype(np.int64)).sum(axis=1) * 32768
            assert (sums + np.abs(layer.bias.astype(np.int64))).max() < 2**30

    def test_ranges_hold_zero_and_are_never_empty(self) -> None:
        assert Affine.of_range(3.0, 5.0).lowest == 0
        assert Affine.of_range(0.0, 0.0).scale > 0
        relu = Affine.of_range(0.0, 2.0)
        assert (relu.zero_point, relu.highest) == (-128, pytest.approx(2.0))


class TestRefused:
    """Files that harken's networks are not: the layer is named."""

    @staticmethod
    def edited(edit: Callable[[Any], object], **shape: Any) -> bytes:
        content = write_network(quantized(shape))
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        edit(model)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    @staticmethod
    def operators(model: Any, code: int) -> list[Any]:
        return [
            operator
            for operator in model.subgraphs[0].operators
            if model.operatorCodes[operator.opcodeIndex].builtinCode == code
        ]

    def svdf(self, model: Any, index: int = 0) -> Any:
        return self.operators(model, schema.BuiltinOperator.SVDF)[index]

    def tensor(self, model: Any, position: int, index: int = 0) -> Any:
        """An input of an SVDF."""
        return model.subgraphs[0].tensors[self.svdf(model, index).inputs[position]]

    def refused(self, edit: Callable[[Any], object], match: str, **shape: Any) -> None:
        with pytest.raises(ExportError, match=match):
            read_layers(self.edited(edit, **shape))

    @pytest.mark.parametrize(
        ("field", "value", "match"),
        [
            ("padding", schema.Padding.SAME, "convolutions without padding and dilation"),
            ("strideH", 2, "strides along columns only"),
            ("dilationWFactor", 2, "convolutions without padding and dilation"),
            ("fusedActivationFunction", 4, "its activation is neither none nor RELU"),
            ("strideW", 2, r"conv_0\) has \d+ outputs, but the next one takes"),
        ],
    )
    def test_another_convolution(self, field: str, value: int, match: str) -> None:
        def edit(model: Any) -> None:
            options = self.operators(model, schema.BuiltinOperator.CONV_2D)[1].builtinOptions
            setattr(options, field, value)

        self.refused(edit, match, conv=CONV[:1])

    def test_a_convolution_whose_weights_do_not_fit(self) -> None:
        def wider(model: Any) -> None:
            image = self.operators(model, schema.BuiltinOperator.CONV_2D)[1].inputs[0]
            model.subgraphs[0].tensors[image].shape = np.array([1, 3, 4, 1], np.int32)

        self.refused(wider, r"layer 3 \(conv_0\): weights .* do not fit inputs", conv=CONV)

    def test_a_convolution_without_bias(self) -> None:
        def edit(model: Any) -> None:
            convolution = self.operators(model, schema.BuiltinOperator.CONV_2D)[0]
            convolution.inputs = convolution.inputs[:2]

        self.refused(edit, r"layer 1 \(mel\): the convolution has 2 inputs", conv=CONV)

    def test_a_convolution_over_rows_and_columns(self) -> None:
        """TensorFlow Lite runs it, the C engine does not."""
        network = quantized({"conv": CONV[:1]})
        mel, first = network.conv
        fewer = dataclasses.replace(first, weights=first.weights[:, 1:])
        svdf = network.svdf[0]
        twice = dataclasses.replace(svdf, weights=np.tile(svdf.weights, (1, 2)))
        network = dataclasses.replace(network, conv=(mel, fewer), svdf=(twice, *network.svdf[1:]))
        read = read_layers(write_network(network))
        with pytest.raises(ExportError, match=r"conv_0\): the convolution has 2 × 16 places"):
            engine_network(read)

    def test_a_rank_of_two(self) -> None:
        def edit(model: Any) -> None:
            self.svdf(model).builtinOptions.rank = 2

        self.refused(edit, r"layer 1 \(svdf_0\): the SVDF has rank 2; the engine needs 1")

    @pytest.mark.parametrize("activation", ["NONE", "RELU6", "TANH"])
    def test_another_activation(self, activation: str) -> None:
        def edit(model: Any) -> None:
            kind = getattr(schema.ActivationFunctionType, activation)
            self.svdf(model).builtinOptions.fusedActivationFunction = kind

        self.refused(edit, r"layer 1 \(svdf_0\): the SVDF's activation is not RELU")

    def test_another_activation_of_the_addition(self) -> None:
        def edit(model: Any) -> None:
            (add,) = self.operators(model, schema.BuiltinOperator.ADD)
            add.builtinOptions.fusedActivationFunction = 0

        self.refused(edit, r"layer 2 \(svdf_1\): the activation of the addition .* is not RELU")

    def test_a_relu_that_does_not_end_where_int8_ends(self) -> None:
        def edit(model: Any) -> None:
            output = model.subgraphs[0].tensors[self.svdf(model).outputs[0]]
            output.quantization.zeroPoint = np.array([-100], np.int64)

        self.refused(edit, r"layer 1 \(svdf_0\): its ReLU gives a zero point of -100")

    def test_an_addition_of_something_else(self) -> None:
        def edit(model: Any) -> None:
            (add,) = self.operators(model, schema.BuiltinOperator.ADD)
            add.inputs = np.array([add.inputs[0], add.inputs[0]], np.int32)

        self.refused(edit, r"layer 3 \(svdf_1_sum\) is an ADD, but not of an SVDF|layer 2")

    def test_float_weights(self) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 1).type = schema.TensorType.FLOAT32

        self.refused(edit, r"layer 1 \(svdf_0\): its weights are not an int8 matrix")

    def test_weights_with_a_scale_for_each_row(self) -> None:
        def edit(model: Any) -> None:
            quantization = self.tensor(model, 1).quantization
            quantization.scale = np.ones(24, np.float32)
            quantization.zeroPoint = np.zeros(24, np.int64)

        self.refused(edit, r"layer 1 \(svdf_0\): a tensor has 24 scales")

    def test_float_filters(self) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 2).type = schema.TensorType.FLOAT32

        self.refused(edit, r"layer 1 \(svdf_0\): its filters over time are not an int16 matrix")

    @pytest.mark.parametrize("memory", [0, MOST_SVDF_MEMORY + 1])
    def test_a_memory_that_the_engine_does_not_hold(self, memory: int) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 2).shape = np.array([24, memory], np.int32)

        self.refused(edit, rf"layer 1 \(svdf_0\): its memory is {memory} steps; .* 1 to 64")

    def test_filters_with_a_zero_point(self) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 2).quantization.zeroPoint = np.array([5], np.int64)

        self.refused(edit, r"layer 1 \(svdf_0\): its filters over time have a zero point")

    def test_a_bias_of_another_type(self) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 3).type = schema.TensorType.FLOAT32

        self.refused(edit, r"layer 1 \(svdf_0\): its bias is not int32")

    def test_a_state_of_another_type(self) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 4).type = schema.TensorType.INT8

        self.refused(edit, r"layer 1 \(svdf_0\): its state is not a variable int16 tensor")

    def test_a_state_that_is_not_kept(self) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 4).isVariable = False

        self.refused(edit, r"layer 1 \(svdf_0\): its state is not a variable int16 tensor")

    def test_a_state_of_another_length(self) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 4, 1).shape = np.array([1, 24 * 4], np.int32)

        self.refused(edit, r"layer 2 \(svdf_1\): its state has 96 values; .* have 120")

    def test_a_state_with_a_zero_point(self) -> None:
        def edit(model: Any) -> None:
            self.tensor(model, 4).quantization.zeroPoint = np.array([-1], np.int64)

        self.refused(edit, r"layer 1 \(svdf_0\): its state has a zero point other than 0")

    def test_a_missing_input(self) -> None:
        def edit(model: Any) -> None:
            self.svdf(model).inputs = self.svdf(model).inputs[:4]

        self.refused(edit, r"layer 1 \(svdf_0\): the SVDF has 4 inputs; the engine needs 5")

    def test_a_stem_behind_the_lstm(self) -> None:
        def edit(model: Any) -> None:
            operators = model.subgraphs[0].operators
            model.subgraphs[0].operators = [*operators[-2:-1], *operators[:-2], operators[-1]]

        self.refused(edit, r"the layers are LSTM, SVDF, SVDF, dense; .* in this order")
