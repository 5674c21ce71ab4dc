"""The C engine, compiled for this machine: equal to TensorFlow Lite Micro and to Python."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import math
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flatbuffers
import numpy as np
import pytest
import soundfile
from ai_edge_litert import schema_py_generated as schema
from c_engine import (
    ALIGNMENT,
    LENGTH,
    NO_WORD,
    NULL,
    RANGE,
    SIZE,
    VERSION,
    CEngine,
    CLayer,
    Event,
    compile_engine,
    needs_compiler,
    write_sources,
)
from hybrids import CONV, LARGE, TINY, drawn_model, drawn_network, drawn_stream
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import taught

from harken.edge import Detector, Engine, Spotter, load_model
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.memory.lstm import LstmPrior
from harken.edge.memory.memory import shipped_prior
from harken.edge.memory.prior import gap_class
from harken.edge.spotting.detector import Detection
from harken.edge.spotting.frontend import FrontEnd
from harken.edge.spotting.manifest import Model
from harken.export.device import golden
from harken.export.device.golden import WordsAlone, long_recording, recording
from harken.export.device.graph import engine_network, read_network
from harken.export.device.sigmoid import ENGINE, derive_table, log2_header, probe, sigmoid_header
from harken.export.device.source import EngineModel
from harken.export.fused import write_network
from harken.export.layers import Affine, QuantizedNetwork, SvdfLayer
from harken.export.quantize import quantize

pytestmark = needs_compiler

SHIPPED = ("commands", "commands-tiny")
CONVERTED = Path(__file__).parents[2] / "data" / "converted.tflite"
"""Dense 40, LSTM 60: a model that TensorFlow's converter made."""
LOGISTIC, TANH = schema.BuiltinOperator.LOGISTIC, schema.BuiltinOperator.TANH


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], CEngine]:
    folder = tmp_path_factory.mktemp("engines")
    return {
        (name, fixed): compile_engine(load_model(name), folder / f"{name}-{fixed}", fixed=fixed)
        for name in SHIPPED
        for fixed in (False, True)
    }


@pytest.fixture(scope="module")
def engine(engines: dict[tuple[str, bool], CEngine]) -> CEngine:
    return engines["commands-tiny", False]


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    """The golden recording: words as they are, soft, too loud; noise and silence."""
    return recording()


class TestFunctions:
    """The table of the logistic function, and what is made of it."""

    def test_the_table_is_what_the_interpreter_has(self) -> None:
        pytest.importorskip("tflite_micro")
        assert (ENGINE / "harken_sigmoid.h").read_text() == sigmoid_header(derive_table())

    def test_the_table_is_not_the_rounded_formula(self) -> None:
        values = (ENGINE / "harken_sigmoid.h").read_text().split("{")[1].split("}")[0]
        table = [int(value) for value in values.replace("\n", " ").split(",") if value.strip()]
        formula = np.rint(65536 / (1 + np.exp(-np.arange(256) / 24)))
        assert len(table) == 256
        assert 0 < (np.array(table) != formula).sum() < 256

    def test_the_logarithms_are_those_of_the_formula(self) -> None:
        assert (ENGINE / "harken_log2.h").read_text() == log2_header()

    def test_sigmoid_equals_the_interpreters_for_every_input(self, engine: CEngine) -> None:
        pytest.importorskip("tflite_micro")
        expected = probe(LOGISTIC, 2.0**-12)
        ours = [engine.library.harken_sigmoid(x) for x in range(-32768, 32768)]
        assert ours == expected.tolist()

    @pytest.mark.parametrize("shift", [0, 1])
    def test_tanh_equals_the_interpreters_for_every_input(
        self, engine: CEngine, shift: int
    ) -> None:
        pytest.importorskip("tflite_micro")
        expected = probe(TANH, 2.0 ** (shift - 12))
        ours = [engine.library.harken_tanh(x, shift) for x in range(-32768, 32768)]
        assert ours == expected.tolist()


def changed(model: Model, *, clip: bool = True, show_state: bool = False) -> SimpleNamespace:
    """Return a model's file with its cells not clipped, or with the LSTM's state as its output."""
    graph = schema.ModelT.InitFromPackedBuf(model.content, 0)
    (subgraph,) = graph.subgraphs
    kind = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
    (lstm,) = [
        operator
        for operator in subgraph.operators
        if graph.operatorCodes[operator.opcodeIndex].builtinCode == kind
    ]
    if not clip:
        lstm.builtinOptions.cellClip = 0.0
    if show_state:
        subgraph.outputs = np.array([lstm.outputs[0]], np.int32)
    builder = flatbuffers.Builder(1024)
    builder.Finish(graph.Pack(builder), b"TFL3")
    return SimpleNamespace(content=bytes(builder.Output()), path=model.path)


def driving_steps(inputs: int, count: int) -> np.ndarray:
    """Return (count, 1, 1, inputs) int8: noise of all levels, and extremes that are held."""
    rng = np.random.default_rng(1)
    steps = rng.normal(0, 1, (count, 1, 1, inputs)) * (
        40 * (1 + np.arange(count) // 200 % 4)[:, None, None, None]
    )
    for start in range(2400, count, 4000):
        for at in range(start, min(start + 1600, count), 100):
            steps[at : at + 100] = np.where(rng.random((1, 1, inputs)) < 0.5, -128, 127)
    return steps.clip(-128, 127).astype(np.int8)


class TestNetwork:
    """int8 arithmetic, against the reference kernels of TensorFlow Lite Micro."""

    STEPS = 20_000

    @pytest.mark.parametrize("clip", [True, False], ids=["clipped", "to the rails of int16"])
    @pytest.mark.parametrize("name", [*SHIPPED, str(CONVERTED)], ids=lambda name: Path(name).stem)
    def test_no_byte_of_state_and_logits_differs(
        self, name: str, clip: bool, tmp_path: Path
    ) -> None:
        pytest.importorskip("tflite_micro")
        from harken.export.tflm import TflmRuntime

        model = load_model(name)
        file = changed(model, clip=clip)
        engine_model = dataclasses.replace(
            EngineModel.of(model), network=read_network(file.content)
        )
        network = compile_engine(engine_model, tmp_path).network()
        tflm = TflmRuntime(file)
        state = TflmRuntime(changed(model, clip=clip, show_state=True))
        top = engine_model.network.lstm[0].cell_clip or 32767
        assert (top == 32767) is not clip

        on_rails = 0
        for step in driving_steps(model.manifest.input.shape[-1], self.STEPS):
            logits = network.invoke(step)
            assert logits.tobytes() == tflm.invoke(step).tobytes()
            assert network.hidden().tobytes() == np.asarray(state.invoke(step)).tobytes()
            cells = network.cells()
            on_rails += bool(cells.max() >= top and cells.min() <= -top)
        # Noise does not drive cells to the rails through a stem; there, drawn networks have ranges
        # so small that it does, see below.
        assert on_rails >= (0 if model.manifest.state.svdf_units else 3000)

    def test_a_reset_leads_back_to_the_beginning(self, engine: CEngine) -> None:
        steps = driving_steps(engine.of.manifest.input.shape[-1], 50)
        network = engine.network()
        first = [network.invoke(step).tobytes() for step in steps]
        network.reset()
        assert [network.invoke(step).tobytes() for step in steps] == first
        assert network.invoke(steps[0]).tobytes() != first[0]

    def test_against_litert_logits_differ_by_three_at_most(self, engine: CEngine) -> None:
        runtime = Engine(load_model("commands-tiny")).runtime
        network = engine.network()
        steps = driving_steps(engine.of.manifest.input.shape[-1], 2000)
        far = [
            np.abs(network.invoke(step).astype(int) - runtime.invoke(step)).max() for step in steps
        ]
        assert max(far) <= 3


SHAPES: dict[str, dict[str, Any]] = {
    "large": {"svdf": LARGE[0], "lstm": LARGE[1], "residual": 2},
    "tiny": {"svdf": TINY[0], "lstm": TINY[1], "residual": 2},
    "other widths": {"svdf": ((7, 2), (9, 7), (9, 3)), "lstm": (5,), "inputs": 13},
    "a memory of one step": {"svdf": ((10, 1), (10, 1)), "lstm": (6, 7)},
    "dense before the stem": {"svdf": ((24, 3), (24, 5)), "dense": 24},
    "nothing added": {"svdf": ((24, 3), (24, 5)), "residual": 0},
    "convolutions": {"conv": CONV, "svdf": ((24, 3), (24, 5)), "inputs": 120},
    "convolutions and LSTM": {"conv": CONV[:2], "svdf": ()},
    "added over one and over two": {"svdf": ((24, 4), (24, 2), (24, 3)), "dense": 24, "inputs": 59},
}
QUICK = ("tiny", "other widths", "convolutions")


def quantized(shape: dict[str, Any], *, saturates: bool = False) -> QuantizedNetwork:
    """Return a drawn network, or what becomes of it if the ranges of its stem are far too small."""
    network = drawn_network(labels=19, seed=3, **shape)
    if shape.get("inputs") == 59:
        last = dataclasses.replace(network.svdf[-1], adds=2)
        network = dataclasses.replace(network, svdf=(*network.svdf[:-1], last))
    int8 = quantize(network, drawn_stream(1500, network.inputs, seed=4))
    if not saturates:
        return int8
    stem = tuple(
        dataclasses.replace(
            layer,
            state_scale=np.float32(layer.state_scale / 20),
            time_scale=np.float32(layer.time_scale * 20),
            output=layer.output
            if layer.total is None
            else Affine(scale=np.float32(layer.output.scale / 8), zero_point=-7),
        )
        for layer in int8.svdf
    )
    return dataclasses.replace(int8, svdf=stem)


def of_network(network: QuantizedNetwork) -> EngineModel:
    """Return a model with a network, and the rest from `commands`."""
    return dataclasses.replace(
        EngineModel.of(load_model("commands")), network=engine_network(network)
    )


class Tflm:
    """A network in TensorFlow Lite Micro, all of its tensors to be looked at."""

    def __init__(self, network: QuantizedNetwork) -> None:
        pytest.importorskip("tflite_micro")
        from harken.export.tflm import TflmRuntime

        graph = schema.ModelT.InitFromPackedBuf(write_network(network), 0)
        (subgraph,) = graph.subgraphs
        self.names = [tensor.name.decode() for tensor in subgraph.tensors]
        shown = [
            index
            for index, (name, tensor) in enumerate(zip(self.names, subgraph.tensors, strict=True))
            if tensor.isVariable or name.endswith("_sum") or name in {x.name for x in network.svdf}
        ]
        self.names = [self.names[index] for index in shown]
        subgraph.outputs = np.array([*subgraph.outputs, *shown], np.int32)
        builder = flatbuffers.Builder(1024)
        builder.Finish(graph.Pack(builder), b"TFL3")
        file = SimpleNamespace(content=bytes(builder.Output()), path=Path("shown.tflite"))
        self.runtime = TflmRuntime(file)

    def invoke(self, step: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        logits = self.runtime.invoke(step)
        output = self.runtime._interpreter.get_output
        return logits, {name: output(1 + index) for index, name in enumerate(self.names)}


class TestStem:
    """SVDF layers, against the reference kernels of TensorFlow Lite Micro."""

    STEPS = 20_000

    @pytest.mark.parametrize("saturates", [False, True], ids=["as quantized", "to the rails"])
    @pytest.mark.parametrize(
        "shape",
        [
            pytest.param(shape, id=name, marks=[pytest.mark.slow] if name not in QUICK else [])
            for name, shape in SHAPES.items()
        ],
    )
    def test_no_byte_of_any_tensor_differs(
        self, shape: dict[str, Any], saturates: bool, tmp_path: Path
    ) -> None:
        made = quantized(shape, saturates=saturates)
        tflm = Tflm(made)
        engine = compile_engine(of_network(made), tmp_path)
        network = engine.network()
        layers = [CLayer(engine.library, layer) for layer in engine.of.network.svdf]
        rails = np.zeros((len(layers), 2), int)
        for step in driving_steps(made.inputs, self.STEPS):
            logits, shown = tflm.invoke(step)
            assert network.invoke(step).tobytes() == logits.tobytes()
            for index, kept in enumerate(network.kept()):
                assert kept.tobytes() == shown[f"svdf_{index}_state"].tobytes()
                now = kept[:, -1]
                rails[index] += (now.max() == 32767, now.min() == -32768)
            for index in range(len(engine.of.network.lstm)):
                assert network.cells(index).tobytes() == shown[f"lstm_{index}_c"].tobytes()
                assert network.hidden(index).tobytes() == shown[f"lstm_{index}_h"].tobytes()
            # And each layer alone, for its outputs.
            if made.first is None and not made.conv:
                x, taken = step.ravel(), []
                for index, layer in enumerate(layers):
                    taken.append(x)
                    addition = layer.layer.addition
                    x = layer.invoke(x, None if addition is None else taken[-addition.span])
                    after = shown.get(f"svdf_{index}_sum", shown[f"svdf_{index}"])
                    assert x.tobytes() == after.tobytes()
        if saturates:
            assert all(rails.ravel() >= 3000), rails
        else:
            assert not rails.any(), rails

    @pytest.fixture(scope="class")
    @staticmethod
    def other_widths() -> QuantizedNetwork:
        return quantized(SHAPES["other widths"])

    def test_a_reset_leads_back_to_the_beginning(
        self, other_widths: QuantizedNetwork, tmp_path: Path
    ) -> None:
        network = compile_engine(of_network(other_widths), tmp_path).network()
        steps = driving_steps(other_widths.inputs, 50)
        first = [network.invoke(step).tobytes() for step in steps]
        assert any(kept.any() for kept in network.kept())
        network.reset()
        assert not any(kept.any() for kept in network.kept())
        assert [network.invoke(step).tobytes() for step in steps] == first

    @pytest.mark.parametrize("size", [LARGE, TINY], ids=["large", "tiny"])
    def test_samples_to_logits(self, size: Any, words: np.ndarray, tmp_path: Path) -> None:
        pytest.importorskip("tflite_micro")
        from harken.export.tflm import TflmRuntime

        model = drawn_model(*size)
        for fixed in (False, True):
            engine = compile_engine(model, tmp_path / str(fixed), fixed=fixed)
            assert engine.bytes == engine.of.memory_bytes
            listener = engine.listener()
            features, logits, steps = [], [], 0
            for _ in listener.frames(words[: 20 * 16_000]):
                features.append(listener.features())
                if listener.steps() != steps:
                    steps = listener.steps()
                    logits.append(listener.logits())
            tflm = TflmRuntime(model)
            expected = [tflm.invoke(step) for step in golden.step_inputs(model, np.array(features))]
            assert len(logits) == len(expected) > 450
            assert np.array(logits).tobytes() == np.array(expected).tobytes()

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_one_layer_is_its_definition(
        self, engine: CEngine, other_widths: QuantizedNetwork, data: st.DataObject
    ) -> None:
        adds = data.draw(st.booleans(), "adds")
        units = data.draw(st.integers(1, 14), "units")
        inputs = units if adds else data.draw(st.integers(1, 14), "inputs")
        memory = data.draw(st.integers(1, 9), "memory")
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
        scales, powers = st.floats(1e-3, 1e2), st.floats(-20, 4)

        def affine(*, relu: bool) -> Affine:
            at = -128 if relu else data.draw(st.integers(-128, 127))
            return Affine(scale=np.float32(data.draw(scales)), zero_point=at)

        # Filters of which no sum leaves 30 bits, as `quantize` makes them; the states of most
        # layers reach the rails of int16, as its never do.
        filters = rng.integers(-32767, 32768, (units, memory)) // memory
        source, output, weight = affine(relu=False), affine(relu=not adds), data.draw(scales)
        state = float(source.scale) * weight / 2 ** data.draw(powers)
        layer = SvdfLayer(
            name="layer",
            weights=rng.integers(-127, 128, (units, inputs)).astype(np.int8),
            weight_scale=np.float32(weight),
            time_weights=(filters * 0.98).astype(np.int16),
            time_scale=np.float32(float(output.scale) / state * 2 ** (data.draw(powers) - 10)),
            bias=rng.integers(-(2**24), 2**24, units).astype(np.int32),
            source=source,
            state_scale=np.float32(state),
            output=output,
            adds=int(adds),
            added=source if adds else None,
            total=affine(relu=True) if adds else None,
        )
        (ours,) = engine_network(dataclasses.replace(other_widths, svdf=(layer,))).svdf
        compiled, kept = CLayer(engine.library, ours), np.zeros((units, memory), np.int64)
        for x in rng.integers(-128, 128, (12, inputs)).astype(np.int8):
            expected, kept = svdf_step(layer, x, kept)
            assert compiled.invoke(x, x if adds else None).tolist() == expected.tolist()
            assert compiled.state().tolist() == kept.tolist()


def svdf_step(layer: SvdfLayer, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do a step of an SVDF layer in int64: (units,) out, and its (units, memory) state.

    Source: TensorFlow Lite Micro's svdf_common.cc and add.cc, read once more.
    """
    x = x.astype(np.int64)
    sums = layer.weights.astype(np.int64) @ (x - layer.source.zero_point)
    factor = float(layer.source.scale) * float(layer.weight_scale) / float(layer.state_scale)
    newest = rescaled(sums, factor).clip(-(2**15), 2**15 - 1)
    state = np.concatenate((state[:, 1:], newest[:, np.newaxis]), axis=1)
    sums = layer.bias + (layer.time_weights * state).sum(axis=1)
    factor = float(layer.state_scale) * float(layer.time_scale) / float(layer.output.scale)
    y = (rescaled(sums, factor) + layer.output.zero_point).clip(-128, 127)
    if layer.total is None:
        return y, state
    twice = 2 * float(max(layer.output.scale, layer.source.scale))
    both = sum(
        rescaled((values - of.zero_point) << 20, float(of.scale) / twice)
        for values, of in ((y, layer.output), (x, layer.source))
    )
    total = rescaled(both, twice / (2**20 * float(layer.total.scale))) + layer.total.zero_point
    return total.clip(layer.total.zero_point, 127), state


def rescaled(values: np.ndarray, factor: float) -> np.ndarray:
    """Multiply as MultiplyByQuantizedMultiplier does, with two roundings."""
    mantissa, exponent = math.frexp(factor)
    multiplier = round(mantissa * 2**31)
    if exponent < -31:
        return np.zeros_like(values)
    product = (values << max(exponent, 0)) * multiplier
    high = (product + 2**30) >> 31  # halves up
    right = max(-exponent, 0)
    half = 1 << right >> 1
    return np.sign(high) * ((np.abs(high) + half) >> right)  # halves away from zero


class TestFrontEnd:
    """Features, against Python's."""

    @staticmethod
    def both(engine: CEngine, pcm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of the frames that the gate passes."""
        manifest = engine.of.manifest
        listener = engine.listener()
        ours, awake = zip(
            *((listener.features(), listener.awake()) for _ in listener.frames(pcm)), strict=True
        )
        passed = np.array(awake, bool)
        assert passed.mean() > 0.9
        frames = FrontEnd(manifest.front_end).feed(pcm)
        scaled = np.rint(frames / np.float32(manifest.input.scale)) + manifest.input.zero_point
        return np.array(ours).astype(int)[passed], scaled.clip(-128, 127).astype(int)[passed]

    @pytest.mark.parametrize("gain", [1.0, 0.02, 4.0])
    def test_float_features_are_pythons(
        self, engines: dict[tuple[str, bool], CEngine], words: np.ndarray, gain: float
    ) -> None:
        pcm = (words[: 18 * 16_000] * gain).clip(-32768, 32767).astype(np.int16)
        ours, pythons = self.both(engines["commands", False], pcm)
        assert (ours == pythons).mean() >= 0.9995
        assert np.abs(ours - pythons).max() <= 1

    @pytest.mark.parametrize("gain", [1.0, 0.02, 4.0])
    def test_fixed_features_are_within_one_of_pythons(
        self, engines: dict[tuple[str, bool], CEngine], words: np.ndarray, gain: float
    ) -> None:
        pcm = (words[: 18 * 16_000] * gain).clip(-32768, 32767).astype(np.int16)
        ours, pythons = self.both(engines["commands", True], pcm)
        assert (np.abs(ours - pythons) <= 1).mean() >= 0.999
        assert (ours == pythons).mean() >= 0.98

    @pytest.mark.parametrize("fixed", [False, True])
    @pytest.mark.parametrize(
        "pcm",
        [
            np.zeros(3200, np.int16),
            np.full(3200, -32768, np.int16),
            np.full(3200, 32767, np.int16),
            np.where(np.arange(3200) % 2, 32767, -32768).astype(np.int16),
            (np.arange(3200) == 700).astype(np.int16),
        ],
        ids=["zeros", "lowest", "highest", "fastest", "one bit"],
    )
    def test_extremes(
        self, engines: dict[tuple[str, bool], CEngine], fixed: bool, pcm: np.ndarray
    ) -> None:
        ours, pythons = self.both(engines["commands", fixed], pcm)
        near = np.abs(ours - pythons)
        if np.abs(pcm.astype(int)).min() > 0:
            # All bands but one are empty; what leaks into them is rounding, 90 dB or more below.
            # But nothing overflows: the level is right.
            assert near[:, 0].max() <= 20
        else:
            assert near.max() <= 1

    @pytest.mark.parametrize("n_mels", [20, 33])
    def test_other_numbers_of_bands(self, tmp_path: Path, words: np.ndarray, n_mels: int) -> None:
        model = load_model("commands-tiny")
        front_end = dataclasses.replace(model.manifest.front_end, n_mels=n_mels)
        manifest = dataclasses.replace(model.manifest, front_end=front_end)
        for fixed in (False, True):
            engine_model = EngineModel.of(dataclasses.replace(model, manifest=manifest))
            engine = compile_engine(engine_model, tmp_path / str(fixed), fixed=fixed)
            assert engine.bytes == engine_model.memory_bytes
            ours, pythons = self.both(engine, words[: 5 * 16_000])
            assert (np.abs(ours - pythons) <= 1).mean() >= 0.999


class TestWholePath:
    """Samples in, words out, against Python's."""

    @staticmethod
    def python(model: Model, pcm: np.ndarray) -> list[tuple[str, int, int]]:
        pytest.importorskip("tflite_micro")
        from harken.export.tflm import TflmRuntime

        spotter = Spotter(model, runtime=TflmRuntime(model))
        return [(e.word, e.start_sample, e.end_sample) for e in spotter.feed(pcm)]

    @staticmethod
    def ours(engine: CEngine, pcm: np.ndarray) -> list[tuple[str, int, int]]:
        labels = engine.of.manifest.labels
        return [
            (labels[event.label], event.start_sample, event.end_sample)
            for event in engine.listener().feed(pcm, room=4096)
        ]

    @pytest.mark.parametrize("name", SHIPPED)
    def test_the_words_are_pythons(
        self, engines: dict[tuple[str, bool], CEngine], words: np.ndarray, name: str
    ) -> None:
        heard, pythons = (
            self.ours(engines[name, False], words),
            self.python(load_model(name), words),
        )
        assert len(heard) > 30
        assert [(word, end) for word, _, end in heard] == [(word, end) for word, _, end in pythons]
        # Features that float32 and float64 round to different sides may move a beginning by a step.
        starts = np.array([[one[1], other[1]] for one, other in zip(heard, pythons, strict=True)])
        moved = np.abs(np.diff(starts)).ravel()
        assert np.count_nonzero(moved) <= 1
        assert moved.max() <= load_model(name).manifest.step_samples

    @pytest.mark.slow
    @pytest.mark.data
    @pytest.mark.parametrize("name", SHIPPED)
    def test_ten_minutes_of_speech(
        self, engines: dict[tuple[str, bool], CEngine], harken_data: Path, name: str
    ) -> None:
        pytest.importorskip("tflite_micro")
        from harken.export.tflm import TflmRuntime

        sound = ten_minutes(harken_data)
        model = load_model(name)
        labels = model.manifest.labels
        listener = engines[name, False].listener()
        heard, features = [], []
        for events in listener.frames(sound):
            features.append(listener.features())
            heard += [(labels[e.label], e.start_sample, e.end_sample) for e in events]
        assert len(heard) > 400

        # Of the engine's own features Python's network and detector make the very same.
        tflm = TflmRuntime(model)
        steps = golden.step_inputs(model, np.array(features))
        logits = np.array([tflm.invoke(step) for step in steps])
        detector = Detector(
            model.manifest.detector, labels, model.manifest.step_samples, overhang_samples=192
        )
        detections = detector.feed(Engine(model).posteriors(logits))
        assert heard == [(d.word, d.start_sample, d.end_sample) for d in detections]

        # Of its own, in double precision, one in 50,000 is rounded to the other side: the same
        # words, a few of them some steps earlier or later; and one whose evidence stands at its
        # threshold may be heard by one alone.
        tflm.reset()
        python = self.python(model, sound)
        near = 5 * model.manifest.step_samples
        both = [
            (ours, pythons)
            for ours in heard
            for pythons in python
            if ours[0] == pythons[0] and abs(ours[2] - pythons[2]) <= near
        ]
        assert both == sorted(both, key=lambda pair: pair[1][2]), "in the same order"
        assert max(len(heard), len(python)) - len(both) <= 1
        assert np.mean([ours == pythons for ours, pythons in both]) >= 0.95
        assert max(abs(ours[1] - pythons[1]) for ours, pythons in both) <= near

    @pytest.mark.slow
    @pytest.mark.data
    @pytest.mark.parametrize("name", SHIPPED)
    def test_in_integers_clips_are_decided_as_well(
        self, engines: dict[tuple[str, bool], CEngine], harken_data: Path, name: str
    ) -> None:
        from harken.edge.spotting.clip import classify_clip, clip_tail
        from harken.train.data import load_corpus
        from harken.train.evaluate import select_clips

        model = load_model(name)
        posteriors = Engine(model).posteriors
        clips = select_clips(
            load_corpus(harken_data, keep_silent=True),
            model.manifest.words,
            split="validation",
            balance=False,
            seed=0,
        )
        right = []
        for fixed in (False, True):
            listener = engines[name, fixed].listener()
            right.append(0)
            for clip in clips:
                listener.library.harken_reset(listener.handle)
                logits, steps = [], 0
                tail = clip_tail(clip.samples, 16_000)
                for _ in listener.frames(np.concatenate((clip.samples, tail))):
                    if listener.steps() != steps:
                        steps = listener.steps()
                        logits.append(listener.logits())
                rows = posteriors(np.array(logits, np.int8).reshape(-1, len(model.manifest.labels)))
                decision = classify_clip(rows, model.manifest.detector.smoothing_steps)
                right[-1] += decision == clip.label
        assert len(clips) > 4000
        assert abs(right[1] - right[0]) <= 0.002 * len(clips)

    def test_posteriors_are_those_of_the_logits(self, engine: CEngine, words: np.ndarray) -> None:
        listener = engine.listener()
        python = Engine(load_model("commands-tiny"))
        steps = 0
        assert not listener.posteriors().any()
        for _ in listener.frames(words[: 5 * 16_000]):
            if listener.steps() == steps:
                continue
            steps = listener.steps()
            expected = python.posteriors(listener.logits()[np.newaxis])[0]
            assert listener.posteriors() / 2**28 == pytest.approx(expected, abs=1e-6)
        assert steps > 100

    def test_the_evidence_is_pythons(self, words: np.ndarray, tmp_path: Path) -> None:
        engine = compile_engine(load_model("commands-tiny").ungated, tmp_path)
        manifest = engine.of.manifest
        listener = engine.listener()
        logits, events, steps = [], [], 0
        for found in listener.frames(words):
            events += found
            if listener.steps() != steps:
                steps = listener.steps()
                logits.append(listener.logits())
        posteriors = Engine(load_model("commands-tiny")).posteriors(np.array(logits))
        detections = Detector(
            manifest.detector, manifest.labels, manifest.step_samples, overhang_samples=192
        ).feed(posteriors)
        assert len(events) == len(detections) > 30
        for event, detection in zip(events, detections, strict=True):
            assert event.confidence / 2**24 == pytest.approx(detection.confidence, abs=2e-5)
            assert event.acoustic == event.confidence
            assert event.end_sample == detection.end_sample

    @settings(max_examples=30, deadline=None)
    @given(chunks=st.lists(st.integers(0, 3000), min_size=1, max_size=40))
    def test_chunks_make_no_difference(
        self, engine: CEngine, words: np.ndarray, chunks: list[int]
    ) -> None:
        pcm = words[16_000 : 16_000 + sum(chunks)]
        whole, parts = engine.listener(), engine.listener()
        expected = [event.key() for event in whole.feed(pcm, room=64)]
        found, at = [], 0
        for count in chunks:
            found += [event.key() for event in parts.feed(pcm[at : at + count])]
            at += count
        assert found == expected
        assert parts.posteriors().tobytes() == whole.posteriors().tobytes()

    def test_two_models_at_once(
        self, engines: dict[tuple[str, bool], CEngine], words: np.ndarray
    ) -> None:
        pcm = words[: 10 * 16_000]
        alone = {name: self.ours(engines[name, False], pcm) for name in SHIPPED}
        listeners = {name: engines[name, False].listener() for name in SHIPPED}
        together: dict[str, list[tuple[str, int, int]]] = {name: [] for name in SHIPPED}
        for at in range(0, len(pcm), 777):
            for name, listener in listeners.items():
                labels = engines[name, False].of.manifest.labels
                together[name] += [
                    (labels[event.label], event.start_sample, event.end_sample)
                    for event in listener.feed(pcm[at : at + 777])
                ]
        assert together == alone


def ten_minutes(root: Path) -> np.ndarray:
    """Return words and spoken orders, one after the other."""
    pcm: list[np.ndarray] = []
    for folder in ("speech_commands/left", "speech_commands/five", "negatives/english_commands"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".wav", ".flac", ".ogg", ".opus"):
                continue
            samples, rate = soundfile.read(path, dtype="int16")
            if rate == 16_000 and samples.ndim == 1:
                pcm.append(samples)
            if sum(map(len, pcm)) >= 600 * 16_000:
                return np.concatenate(pcm)
    raise AssertionError(f"{root} holds less than ten minutes")


class TestContext:
    """What was said before, against Python's."""

    @pytest.mark.parametrize("with_habits", [False, True], ids=["as it ships", "with habits"])
    @pytest.mark.parametrize("name", ["robot", "media"])
    def test_the_words_are_those_of_python(
        self, name: str, with_habits: bool, words: np.ndarray, tmp_path: Path
    ) -> None:
        pytest.importorskip("tflite_micro")
        from harken.export.tflm import TflmRuntime

        grammar, model = load_grammar(name), load_model("commands")
        learned = taught(grammar, tmp_path / "memory.json") if with_habits else None
        engine_model = EngineModel.of(model, grammar, learned)
        assert engine_model.prior is not None
        assert bool(engine_model.prior.habits) == with_habits
        engine = compile_engine(engine_model, tmp_path / "engine")
        assert engine.bytes == engine_model.memory_bytes
        file = shipped_prior(grammar)
        assert file is not None
        waits = {
            word: file.pending[index % len(file.pending)] for index, word in enumerate(file.words)
        }
        context = WordsAlone(
            grammar,
            file,
            model.manifest.labels,
            16_000,
            runtime=TflmRuntime(file),
            learned=learned,
        )
        shadow = LstmPrior(file, runtime=TflmRuntime(file))
        last_sample, foreseen = None, 0
        context.pending = lambda word: waits[word]
        listener = engine.listener()
        found, logits, steps = [], [], 0
        for events in listener.frames(words):
            for event in events:
                word = model.manifest.labels[event.label]
                found.append((word, event))
                said = [(word, event.end_sample, waits.get(word, ""))]
                if event.faint != NO_WORD:
                    said.insert(0, (model.manifest.labels[event.faint], event.faint_sample, ""))
                for each, sample, waited in said:
                    if each not in waits:
                        continue
                    gap_s = (sample - (last_sample or 0)) / 16_000
                    if last_sample is None or gap_s >= grammar.window_s:
                        shadow.reset()
                        gap_s = 0.0
                    base = shadow.expect()[gap_class(gap_s), file.words.index(each)]
                    foreseen += gap_s > 0
                    shadow.hear(each, gap_s, waited)
                    last_sample = sample
                if word in waits:
                    assert listener.foreseen() == pytest.approx(base, rel=1e-3, abs=1e-7)
                    status = listener.library.harken_pending(
                        listener.handle, file.pending.index(waits[word])
                    )
                    assert status == 0
            if listener.steps() != steps:
                steps = listener.steps()
                logits.append(listener.logits())
        detector = Detector(
            model.manifest.detector,
            model.manifest.labels,
            model.manifest.step_samples,
            overhang_samples=192,
            context=context,
        )
        expected = detector.feed(Engine(model).posteriors(np.array(logits)))
        assert [(word, event.end_sample) for word, event in found] == [
            (detection.word, detection.end_sample) for detection in expected
        ]
        moved = 0
        for (_, event), detection in zip(found, expected, strict=True):
            assert event.confidence / 2**24 == pytest.approx(detection.confidence, abs=1e-4)
            assert event.acoustic / 2**24 == pytest.approx(detection.acoustic, abs=1e-4)
            moved += event.confidence != event.acoustic
        assert moved > 10
        assert foreseen > 10

    def test_a_habit_of_ones_own_takes_the_place_of_the_model_s(
        self, words: np.ndarray, tmp_path: Path
    ) -> None:
        """As if the model had it; and one that adds nothing is none."""
        grammar, model = load_grammar("robot"), load_model("commands")
        learned = taught(grammar, tmp_path / "memory.json")
        habits = compile_engine(EngineModel.of(model, grammar, learned), tmp_path / "with")
        plain = compile_engine(EngineModel.of(model, grammar), tmp_path / "without")
        prior = habits.of.prior
        assert prior is not None
        n_words = len(prior.file.words)
        nothing = [2**24, *[0] * n_words]

        def heard(engine: CEngine, share: Callable[[int], list[int] | None]) -> list[tuple]:
            listener, found = engine.listener(), []
            for events in listener.frames(words[: 20 * 16_000]):
                for event in events:
                    found.append(event.key())
                    word = model.manifest.labels[event.label]
                    if word in prior.file.words:
                        row = share(prior.file.words.index(word))
                        call = (listener.handle, 0)
                        status = (
                            listener.library.harken_pending(*call)
                            if row is None
                            else listener.library.harken_pending_habit(
                                *call, (ctypes.c_uint32 * len(row))(*row)
                            )
                        )
                        assert status == 0
            return found

        def of_model(word: int) -> list[int]:
            fitting = (h.share for h in prior.habits if h.pending == 0 and h.word in (word, 255))
            return list(next(fitting, nothing))

        with_them = heard(habits, lambda word: None)
        assert heard(plain, of_model) == with_them
        without = heard(plain, lambda word: None)
        assert heard(habits, lambda word: nothing) == without
        assert without != with_them
        listener = plain.listener()
        too_much = (ctypes.c_uint32 * (1 + n_words))(2**24, *[2**20] * n_words)
        call = listener.library.harken_pending_habit
        assert call(listener.handle, 0, too_much) == RANGE
        assert call(listener.handle, 9, (ctypes.c_uint32 * (1 + n_words))()) == RANGE
        assert call(listener.handle, 0, None) == call(None, 0, too_much) == NULL
        assert listener.foreseen() == 0

    def test_forgetting_and_bad_states(self, engine: CEngine, tmp_path: Path) -> None:
        with_prior = compile_engine(
            load_model("commands"), tmp_path, grammar=load_grammar("robot")
        ).listener()
        call = with_prior.library
        assert call.harken_pending(with_prior.handle, 0) == 0
        assert call.harken_pending(with_prior.handle, 4) == RANGE
        assert call.harken_forget(with_prior.handle) == 0
        assert call.harken_pending(None, 0) == call.harken_forget(None) == NULL
        without = engine.listener()
        assert without.library.harken_pending(without.handle, 0) == RANGE
        assert without.library.harken_forget(without.handle) == RANGE


def demanding(model: Model, thresholds: Mapping[str, float], **changes: Any) -> Model:
    """Return a model with other thresholds, and other settings of its detector."""
    detector = dataclasses.replace(model.manifest.detector, thresholds=thresholds, **changes)
    return dataclasses.replace(
        model, manifest=dataclasses.replace(model.manifest, detector=detector)
    )


def words_alone(engine: CEngine) -> WordsAlone:
    """Return the context of an engine in Python, its LSTM by the same kernels."""
    from harken.export.tflm import TflmRuntime

    prior, labels = engine.of.prior, engine.of.manifest.labels
    assert prior is not None
    runtime = TflmRuntime(prior.file)
    return WordsAlone(prior.grammar, prior.file, labels, 16_000, runtime=runtime)


def python_detector(engine: CEngine, context: WordsAlone | None) -> Detector:
    manifest = engine.of.manifest
    return Detector(
        manifest.detector,
        manifest.labels,
        manifest.step_samples,
        overhang_samples=192,
        context=context,
    )


def assert_same(labels: Sequence[str], events: list[Event], detections: list[Detection]) -> int:
    """Compare them, and their faint words; return how many faint words there are."""
    assert [(labels[event.label], event.end_sample) for event in events] == [
        (detection.word, detection.end_sample) for detection in detections
    ]
    faint = 0
    for event, detection in zip(events, detections, strict=True):
        assert event.confidence / 2**24 == pytest.approx(detection.confidence, abs=1e-4)
        if detection.faint is None:
            assert (event.faint, event.faint_confidence, event.faint_sample) == (NO_WORD, 0, 0)
            continue
        assert labels[event.faint] == detection.faint.word
        assert event.faint_sample == detection.faint.end_sample < event.start_sample + 640
        assert event.faint_confidence / 2**24 == pytest.approx(detection.faint.confidence, abs=1e-4)
        faint += 1
    return faint


class TestFaintWords:
    """Words that almost fired before one that did, against Python's."""

    STEPS = 75  # three seconds

    @pytest.fixture(scope="class")
    @staticmethod
    def exact(tmp_path_factory: pytest.TempPathFactory) -> CEngine:
        """A model whose evidence is its posterior: every word needs 0.6."""
        pytest.importorskip("tflite_micro")
        model = load_model("commands-tiny")
        even = dict.fromkeys(model.manifest.words, 0.6)
        model = demanding(model, even, smoothing_steps=1, refractory_ms=400)
        return compile_engine(
            model, tmp_path_factory.mktemp("exact"), grammar=load_grammar("robot")
        )

    @staticmethod
    def said(engine: CEngine, *parts: tuple[str, float, int]) -> np.ndarray:
        """Make posteriors: for each part a label, its posterior, and for how many steps.

        What is left over is "unknown".
        """
        labels = engine.of.manifest.labels
        rows = []
        for label, posterior, steps in parts:
            row = np.zeros(len(labels), np.float32)
            row[-2] = 1 - posterior
            row[labels.index(label)] += posterior
            rows += [row] * steps
        return np.array(rows)

    def faint(self, engine: CEngine, *parts: tuple[str, float, int]) -> list[str | None]:
        """Return the faint word of each detection, in C as in Python."""
        posteriors = self.said(engine, *parts)
        labels = engine.of.manifest.labels
        events = engine.listener().detect(posteriors)
        assert_same(labels, events, python_detector(engine, words_alone(engine)).feed(posteriors))
        return [None if event.faint == NO_WORD else labels[event.faint] for event in events]

    @pytest.mark.parametrize(("name", "which"), [("robot", "commands"), ("media", "commands-tiny")])
    def test_those_of_a_recording_are_those_of_python(
        self, name: str, which: str, tmp_path: Path
    ) -> None:
        """If words need much: the evidence of those behind tells whether the prior heard them."""
        pytest.importorskip("tflite_micro")
        model = load_model(which)
        thresholds = model.manifest.detector.thresholds
        model = demanding(model, {word: max(0.96, least) for word, least in thresholds.items()})
        engine = compile_engine(model, tmp_path, grammar=load_grammar(name))
        prior = engine.of.prior
        assert prior is not None
        waits = dict(zip(prior.file.words, itertools.cycle(prior.file.pending)))
        context = words_alone(engine)
        context.pending = lambda word: waits[word]
        listener, events, rows, steps = engine.listener(), [], [], 0
        for found in listener.frames(long_recording(300 * 16_000)[64 * 16_000 :]):
            for event in found:
                waited = waits.get(model.manifest.labels[event.label], "")
                index = prior.file.pending.index(waited)
                assert listener.library.harken_pending(listener.handle, index) == 0
            events += found
            if listener.steps() != steps:
                steps = listener.steps()
                rows.append((listener.posteriors() / 2**28).astype(np.float32))
        detections = python_detector(engine, context).feed(np.array(rows))
        assert assert_same(model.manifest.labels, events, detections) >= 10

    @pytest.mark.parametrize("seed", range(8))
    def test_those_of_random_words_are_those_of_python(self, exact: CEngine, seed: int) -> None:
        """Bumps of all heights and lengths, some beside each other; and again after a reset."""
        rng, labels = np.random.default_rng(seed), exact.of.manifest.labels
        rows = np.zeros((6000, len(labels)))
        for start in np.cumsum(rng.geometric(1 / 18, 200)):
            length, height = int(rng.integers(2, 16)), rng.uniform(0.05, 0.95)
            bump = height * np.sin(np.pi * (np.arange(length) + 0.5) / length)
            rows[start : start + length, rng.integers(len(labels) - 1)] += bump
        rows += rng.uniform(0, 1e-3, rows.shape)
        rows[:, -1] += 0.1
        posteriors = (rows / np.maximum(1, rows.sum(axis=1))[:, np.newaxis]).astype(np.float32)
        listener, python = exact.listener(), python_detector(exact, words_alone(exact))
        counts = []
        for _ in range(2):
            detections = python.feed(posteriors)
            counts.append(assert_same(labels, listener.detect(posteriors), detections))
            python.reset()
            assert listener.library.harken_reset(listener.handle) == 0
        assert counts[0] == counts[1] >= 10
        without = python_detector(exact, None).feed(posteriors)
        assert not any(detection.faint for detection in without)

    def test_without_a_prior_there_are_none(self, exact: CEngine, tmp_path: Path) -> None:
        manifest = exact.of.manifest
        model = demanding(
            load_model("commands-tiny"), manifest.detector.thresholds, smoothing_steps=1
        )
        posteriors = self.said(exact, ("left", 0.5, 3), ("silence", 1, 5), ("five", 0.9, 3))
        posteriors[:3, -2] = 0  # no talk, which would lower the evidence
        [event] = compile_engine(model, tmp_path).listener().detect(posteriors)
        assert (event.faint, event.faint_confidence, event.faint_sample) == (NO_WORD, 0, 0)
        [event] = exact.listener().detect(posteriors)
        assert manifest.labels[event.faint] == "left"
        assert event.faint_confidence == pytest.approx(0.5 * 2**24, abs=1)
        assert event.faint_sample == 192 + manifest.step_samples  # of its first step

    @pytest.mark.parametrize(
        ("silence", "expected"), [(0.2, "left"), (0.24, "left"), (0.26, None), (0.5, None)]
    )
    def test_what_is_half_silence_is_none(
        self, exact: CEngine, silence: float, expected: str | None
    ) -> None:
        posteriors = self.said(exact, ("left", 0.5, 3), ("silence", 1, 5), ("five", 0.9, 3))
        posteriors[:3, -2:] = (0.5 - silence, silence)
        [event] = exact.listener().detect(posteriors)
        python = python_detector(exact, words_alone(exact)).feed(posteriors)
        assert_same(exact.of.manifest.labels, [event], python)
        assert (python[0].faint and python[0].faint.word) == expected

    @pytest.mark.parametrize(("silence", "expected"), [(74, "left"), (75, None)])
    def test_it_was_said_at_most_three_seconds_before(
        self, exact: CEngine, silence: int, expected: str | None
    ) -> None:
        parts = ("left", 0.5, 1), ("silence", 1, silence), ("five", 0.9, 3)
        assert self.faint(exact, *parts) == [expected]
        prior = exact.of.prior
        assert prior is not None
        assert prior.tables.faint_steps == self.STEPS

    def test_the_clearest_of_the_last_three_seconds_counts(self, exact: CEngine) -> None:
        both = ("left", 0.5, 2), ("silence", 1, 20), ("right", 0.4, 2)
        assert self.faint(exact, *both, ("silence", 1, 20), ("five", 0.9, 3)) == ["left"]
        assert self.faint(exact, *both, ("silence", 1, 60), ("five", 0.9, 3)) == [None]
        late = ("left", 0.5, 2), ("silence", 1, 80), ("right", 0.4, 2), ("silence", 1, 5)
        assert self.faint(exact, *late, ("five", 0.9, 3)) == ["right"]
        higher = ("left", 0.4, 2), ("silence", 1, 20), ("right", 0.5, 2), ("silence", 1, 5)
        assert self.faint(exact, *higher, ("five", 0.9, 3)) == ["right"]
        unclear = ("left", 0.29, 2), ("silence", 1, 5), ("five", 0.9, 3)
        assert self.faint(exact, *unclear) == [None]

    def test_a_part_of_the_word_that_fires_is_no_word_before_it(self, exact: CEngine) -> None:
        """Nor is what has not fallen, or the end of the last word."""
        labels = exact.of.manifest.labels
        posteriors = self.said(exact, ("left", 0.5, 2), ("silence", 1, 3), ("five", 0.9, 3))
        posteriors[1:5, labels.index("five")] = 0.1  # its evidence has begun
        [event] = exact.listener().detect(posteriors)
        assert labels[event.faint] == "left"  # in its first step, before
        posteriors[0, labels.index("five")] = 0.1
        [event] = exact.listener().detect(posteriors)
        assert event.faint == NO_WORD
        python = python_detector(exact, words_alone(exact)).feed(posteriors)
        assert_same(labels, [event], python)
        assert self.faint(exact, ("left", 0.5, 2), ("five", 0.9, 3)) == [None]
        again = ("left", 0.9, 3), ("right", 0.5, 20), ("silence", 1, 2), ("five", 0.9, 3)
        assert self.faint(exact, *again) == [None, None]
        fallen = ("left", 0.9, 3), ("silence", 1, 12), ("right", 0.5, 2), ("silence", 1, 2)
        assert self.faint(exact, *fallen, ("five", 0.9, 3)) == [None, "right"]

    def test_each_is_told_once_and_a_reset_or_forgetting_ends_it(self, exact: CEngine) -> None:
        faint = ("left", 0.5, 2), ("silence", 1, 4)
        fires = ("five", 0.9, 2), ("silence", 1, 20), ("four", 0.9, 2)
        assert self.faint(exact, *faint, *fires) == ["left", None]
        for forget in ("harken_reset", "harken_forget"):
            listener = exact.listener()
            assert listener.detect(self.said(exact, *faint)) == []
            assert getattr(listener.library, forget)(listener.handle) == 0
            [first, _] = listener.detect(self.said(exact, *fires))
            assert first.faint == NO_WORD

    def test_the_prior_hears_it_unless_it_does_not_know_it(
        self, exact: CEngine, tmp_path: Path
    ) -> None:
        """An unknown one is told all the same, and changes nothing."""
        media = load_grammar("media")
        engine = compile_engine(
            dataclasses.replace(load_model("commands-tiny"), manifest=exact.of.manifest),
            tmp_path,
            grammar=media,
        )
        prior = engine.of.prior
        assert prior is not None
        first, second, third = prior.file.words[:3]
        other = next(word for word in engine.of.manifest.words if word not in prior.file.words)

        def third_after(*between: tuple[str, float, int]) -> Event:
            parts = (first, 0.9, 2), *between, (third, 0.9, 2), ("silence", 1, 20), (third, 0.9, 2)
            self.faint(engine, *parts)
            return engine.listener().detect(self.said(engine, *parts))[-1]

        nothing = third_after(("silence", 1, 27))
        between = ("silence", 1, 20), (other, 0.5, 2), ("silence", 1, 5)
        assert self.faint(engine, (first, 0.9, 2), *between, (third, 0.9, 2)) == [None, other]
        assert third_after(*between).key() == nothing.key()
        known = third_after(("silence", 1, 20), (second, 0.5, 2), ("silence", 1, 5))
        assert known.confidence != nothing.confidence != nothing.acoustic


class TestBadInput:
    """Everything that a caller can do wrong has a number."""

    @pytest.mark.parametrize("name", SHIPPED)
    def test_the_memory_is_as_large_as_the_constant_says(
        self, engines: dict[tuple[str, bool], CEngine], name: str
    ) -> None:
        for fixed in (False, True):
            assert engines[name, fixed].bytes == engines[name, fixed].of.memory_bytes

    def test_memory(self, engine: CEngine) -> None:
        init, model = engine.library.harken_init, ctypes.byref(engine.model)
        memory = (ctypes.c_uint64 * (engine.bytes // 8 + 1))()
        handle = ctypes.c_void_p(1)
        out = ctypes.byref(handle)
        assert init(out, memory, engine.bytes - 1, model) == SIZE
        assert handle.value is None
        odd = ctypes.byref(memory, 4)
        assert init(out, odd, engine.bytes, model) == ALIGNMENT
        assert init(out, None, engine.bytes, model) == NULL
        assert init(out, memory, engine.bytes, None) == NULL
        assert init(None, memory, engine.bytes, model) == NULL
        assert init(out, memory, 0, model) == SIZE
        assert init(out, memory, engine.bytes, model) == 0
        assert engine.library.harken_bytes(None) == 0

    def test_not_a_byte_beyond_the_memory_is_written(
        self, engine: CEngine, words: np.ndarray
    ) -> None:
        listener = engine.listener()
        room = (ctypes.c_uint8 * (engine.bytes + 64))(*[0xA5] * (engine.bytes + 64))
        start = -ctypes.addressof(room) % 8
        handle = ctypes.c_void_p()
        status = engine.library.harken_init(
            ctypes.byref(handle), ctypes.byref(room, start), engine.bytes,
            ctypes.byref(engine.model),
        )  # fmt: skip
        assert status == 0
        listener.handle = handle
        listener.feed(words[: 5 * 16_000], room=64)
        assert bytes(room)[start + engine.bytes :] == b"\xa5" * (64 - start)

    def test_another_version(self, engine: CEngine) -> None:
        memory = (ctypes.c_uint64 * (engine.bytes // 8))()
        handle = ctypes.c_void_p()
        other = type(engine.model).from_buffer_copy(engine.model)
        other.version = 99
        status = engine.library.harken_init(
            ctypes.byref(handle), memory, engine.bytes, ctypes.byref(other)
        )
        assert status == VERSION

    def test_samples(self, engine: CEngine) -> None:
        listener = engine.listener()
        feed, pcm = engine.library.harken_feed, (ctypes.c_int16 * 4)()
        size = ctypes.c_size_t
        assert feed(None, pcm, size(4), None, size(0)) == NULL
        assert feed(listener.handle, None, size(4), None, size(0)) == NULL
        assert feed(listener.handle, None, size(0), None, size(0)) == 0
        assert feed(listener.handle, pcm, size(4), None, size(1)) == NULL
        assert feed(listener.handle, pcm, size(0x1000001), None, size(0)) == LENGTH
        assert feed(listener.handle, pcm, size(2**64 - 1), None, size(0)) == LENGTH
        assert listener.steps() == 0

    def test_other_null_pointers(self, engine: CEngine) -> None:
        library = engine.library
        assert library.harken_reset(None) == NULL
        assert library.harken_steps(None) == 0
        for name in ("harken_features", "harken_logits", "harken_posteriors"):
            assert not getattr(library, name)(None)
        assert library.harken_selftest(None, 0, None, None, None) == NULL

    def test_more_words_than_there_is_room_for(self, engine: CEngine, words: np.ndarray) -> None:
        every = engine.listener().feed(words, room=4096)
        listener = engine.listener()
        events = (Event * 3)()
        pcm = np.ascontiguousarray(words)
        count = engine.library.harken_feed(
            listener.handle, pcm.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(pcm)),
            events, ctypes.c_size_t(2),
        )  # fmt: skip
        assert count == len(every) > 2
        assert [event.key() for event in events[:2]] == [event.key() for event in every[:2]]
        assert events[2].end_sample == 0


COMPILERS = [
    (compiler, *flags)
    for compiler in ("gcc", "clang")
    for flags in (
        ("-O0",), ("-O1",), ("-O2",), ("-O3",), ("-Os",), ("-O3", "-march=x86-64-v3"),

        ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        ("-O2", "-m32", "-msse2", "-mfpmath=sse"),
    )
]  # fmt: skip


@pytest.mark.slow
class TestCompilers:
    """The same bytes, whatever the compiler, its options and the width of a pointer."""

    @pytest.fixture(scope="class", params=["commands-tiny", "with a stem"])
    @staticmethod
    def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
        """The engine with a golden recording of a minute, and its answers on this machine."""
        folder = tmp_path_factory.mktemp("compilers")
        model = drawn_model(*TINY) if request.param == "with a stem" else load_model(request.param)
        write_sources(EngineModel.of(model), folder)
        main = (ENGINE / "bundle" / "main_stdin.c").read_text()
        (folder / "main_stdin.c").write_text(main)
        (folder / "pcm").write_bytes(recording().astype("<i2").tobytes())
        return folder

    @pytest.fixture(scope="class")
    @staticmethod
    def expected(folder: Path) -> dict[bool, list[bytes]]:
        sources = {path.name: path.read_text() for path in folder.glob("*.[ch]")}
        answers = golden.ask_engine(sources, recording())
        return {
            kind == "fixed": [
                answer.features.tobytes(), answer.logits.tobytes(), answer.events
            ]
            for kind, answer in answers.items()
        }  # fmt: skip

    @pytest.mark.parametrize("fixed", [False, True], ids=["float", "fixed"])
    @pytest.mark.parametrize("flags", COMPILERS, ids=" ".join)
    def test_host(
        self,
        folder: Path,
        expected: dict[bool, list[bytes]],
        tmp_path: Path,
        flags: tuple[str, ...],
        fixed: bool,
    ) -> None:
        self.check([], folder, expected[fixed], tmp_path, flags, fixed)

    @pytest.mark.parametrize("fixed", [False, True], ids=["float", "fixed"])
    def test_aarch64(
        self, folder: Path, expected: dict[bool, list[bytes]], tmp_path: Path, fixed: bool
    ) -> None:
        flags = ("aarch64-linux-gnu-gcc", "-O2", "-static")
        self.check(["qemu-aarch64"], folder, expected[fixed], tmp_path, flags, fixed)

    @staticmethod
    def check(  # noqa: PLR0917
        emulator: list[str],
        folder: Path,
        expected: list[bytes],
        tmp_path: Path,
        flags: tuple[str, ...],
        fixed: bool,
    ) -> None:
        for program in (flags[0], *emulator):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        if not TestCompilers.links(flags, tmp_path):
            pytest.skip(f"{' '.join(flags)} does not link here")
        listen = tmp_path / "listen"
        subprocess.run(
            [
                *flags, "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas",
                f"-DHARKEN_FIXED_POINT={int(fixed)}", f"-I{folder}",
                *map(str, sorted(folder.glob("*.c"))), "-o", str(listen),
            ],
            check=True,
        )  # fmt: skip
        sound = (folder / "pcm").read_bytes()
        for option, answer in zip(("--features", "--logits", "--json"), expected, strict=True):
            done = subprocess.run(
                [*emulator, str(listen), option], input=sound, capture_output=True, check=True
            )
            assert done.stdout == answer

    @staticmethod
    def links(flags: tuple[str, ...], tmp_path: Path) -> bool:
        program = tmp_path / "empty.c"
        program.write_text("#include <string.h>\nint main(void) { return 0; }\n")
        command = [*flags, str(program), "-o", str(tmp_path / "empty")]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    @pytest.mark.parametrize("flags", [("-ffast-math",), ("-mno-sse", "-mfpmath=387", "-m32")])
    def test_other_arithmetic_is_refused(
        self, folder: Path, tmp_path: Path, flags: tuple[str, ...]
    ) -> None:
        if "-m32" in flags and not self.links(("gcc", "-m32"), tmp_path):
            pytest.skip("gcc -m32 does not link here")
        source = str(folder / "harken_frontend.c")
        done = subprocess.run(
            [
                "gcc", *flags, "-std=c99", "-DHARKEN_FIXED_POINT=0", f"-I{folder}", "-c", source,
                "-o", str(tmp_path / "object.o"),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode
        assert "harken: " in done.stderr
