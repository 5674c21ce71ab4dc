"""`harken export --target litert`: what is written, what it hears, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import soundfile
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from command import harken
from hybrids import CONV, drawn_network, drawn_stream

from harken.edge import ExportError, Spotter, load_model
from harken.edge.spotting.detector import Detection
from harken.edge.spotting.frontend import FrontEnd
from harken.edge.spotting.manifest import Model, ModelFile, Quantization, StateConfig
from harken.export.agreement import measure_agreement
from harken.export.device.golden import long_recording
from harken.export.flatbuffer import operator_names
from harken.export.fused import read_layers, write_network
from harken.export.layers import Affine, DenseLayer, LstmLayer, QuantizedNetwork
from harken.export.litert.bundle import LitertBundle, export_litert, layers_of
from harken.export.litert.check import (
    DEMO,
    LONG_STEPS,
    MAX_FLOAT_DIFFERENCE,
    MAX_FLOAT_MEAN,
    MIN_FLOAT_AGREEMENT,
    LitertCheck,
    bounded_logits,
    check_graph,
    check_interpreter,
    check_litert,
    check_parity,
    check_snippet,
    count_same,
    stacked,
)
from harken.export.litert.graph import explicit_state_graph, read_edges, state_names
from harken.export.litert.runtime import Answers, CompiledStep, InterpretedStep, run
from harken.export.quantize import quantize
from harken.export.reference import Network, Svdf, softmax

CLIP = 10.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> LitertBundle:
    """The smaller model, exported."""
    return export_litert(load_model("commands-tiny"), tmp_path_factory.mktemp("litert") / "out")


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def edited(content: bytes, edit: Callable[[Any], object]) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    edit(model)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tensor(model: Any, name: str) -> Any:
    return next(t for t in model.subgraphs[0].tensors if t.name == name.encode())


def data(model: Any, name: str, dtype: Any) -> np.ndarray:
    entry = tensor(model, name)
    values = np.asarray(model.buffers[entry.buffer].data, np.uint8).view(dtype)
    return values.reshape(entry.shape)


class TestFolder:
    """What is written."""

    def test_the_same_model_gives_the_same_bytes(
        self, bundle: LitertBundle, tmp_path: Path
    ) -> None:
        export_litert(load_model("commands-tiny"), tmp_path)
        assert digests(tmp_path) == digests(bundle.folder)
        assert list(digests(tmp_path)) == [
            ".harken-files.json",
            "README.md",
            "commands-tiny.json",
            "commands-tiny.tflite",
            "listen.py",
        ]

    def test_no_field_of_the_readme_is_left(self, bundle: LitertBundle) -> None:
        readme = (bundle.folder / "README.md").read_text()
        assert not re.search(r"@\w+@", readme)
        assert "**Not run:**" in readme
        for licence in load_model("commands-tiny").manifest.provenance["data"]["licences"]:
            assert licence in readme

    def test_the_description(self, bundle: LitertBundle) -> None:
        description = json.loads((bundle.folder / "commands-tiny.json").read_text())
        manifest = load_model("commands-tiny").manifest
        content = bundle.model.read_bytes()
        assert description["model"] == {
            "file": "commands-tiny.tflite",
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        assert description["made_of"]["sha256"] == manifest.model.sha256
        assert [entry["name"] for entry in description["inputs"]] == ["frame", *STATES]
        assert [entry["name"] for entry in description["outputs"]] == ["logits", *STATES]
        shapes = [entry["shape"][1] for entry in description["inputs"]]
        assert shapes == [INPUTS, 2 * 36, *(4 * [4 * 36]), 40, 40]
        assert description["states"] == STATES
        assert description["labels"] == list(manifest.labels)
        assert description["detector"]["thresholds"] == manifest.detector.thresholds
        assert description["checks"] == json.loads(json.dumps(bundle.check.to_dict()))
        assert description["licences"] == manifest.provenance["data"]["licences"]

    def test_weights_have_8_bits_and_activations_16(self, bundle: LitertBundle) -> None:
        model = schema.ModelT.InitFromPackedBuf(bundle.model.read_bytes(), 0)
        (graph,) = model.subgraphs
        kinds = schema.TensorType
        for entry in graph.tensors:
            is_edge = entry.type == kinds.FLOAT32
            is_constant = model.buffers[entry.buffer].data is not None
            expected = {kinds.INT8, kinds.INT32, kinds.INT64} if is_constant else {kinds.INT16}
            if entry.name.startswith(b"svdf") and not entry.name.endswith(b"newest_weights"):
                expected.add(kinds.INT16)  # filters over time and biases, as in the model
            assert is_edge or entry.type in expected, entry.name
            assert not entry.isVariable

    def test_weights_are_those_of_the_model_to_the_bit(self, bundle: LitertBundle) -> None:
        layers = read_layers(load_model("commands-tiny").content)
        model = schema.ModelT.InitFromPackedBuf(bundle.model.read_bytes(), 0)
        (lstm,) = layers.lstm
        for name, weights, scales in (
            ("lstm0_input_weights", lstm.input_weights, lstm.input_scales),
            ("lstm0_state_weights", lstm.state_weights, lstm.state_scales),
        ):
            entry = tensor(model, name)
            np.testing.assert_array_equal(data(model, name, np.int8), np.concatenate(weights))
            np.testing.assert_array_equal(entry.quantization.scale, np.repeat(scales, lstm.units))

    def test_constants_are_aligned(self, bundle: LitertBundle) -> None:
        content = bundle.model.read_bytes()
        model = schema.Model.GetRootAs(content, 0)
        buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
        starts = [
            buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()
        ]
        assert len(starts) > 5
        assert all(start % 16 == 0 for start in starts)

    def test_figures_of_the_smaller_model(self, bundle: LitertBundle) -> None:
        check = bundle.check
        assert check.float_network.steps >= LONG_STEPS
        assert check.float_network.same_argmax > 0.999
        assert check.float_network.difference_max < 0.02
        assert check.int8_model.same_argmax > 0.98
        assert check.words > 500
        assert check.words - check.words_same <= 10
        assert bundle.bytes < 60_000

    @pytest.mark.slow
    def test_figures_of_the_larger_model(self, tmp_path: Path) -> None:
        written = export_litert(load_model("commands"), tmp_path)
        check = written.check
        assert check.float_network.same_argmax > 0.999
        assert check.float_network.difference_max < 0.04
        assert check.int8_model.same_argmax > 0.96
        assert check.words - check.words_same <= 40
        assert written.bytes < 130_000


class TestSnippet:
    """`listen.py`, as a user runs it."""

    @staticmethod
    def listen(bundle: LitertBundle, sound: str, stdin: bytes = b"") -> list[str]:
        done = subprocess.run(
            [sys.executable, "listen.py", "commands-tiny.json", sound],
            cwd=bundle.folder, input=stdin, capture_output=True, check=True,
        )  # fmt: skip
        return [line.split()[2] for line in done.stdout.decode().splitlines()]

    def test_it_hears_what_harken_listen_hears(self, bundle: LitertBundle) -> None:
        outcome = harken("listen", "commands-tiny", "--wav", DEMO, "--json")
        expected = [json.loads(line)["word"] for line in outcome.out.splitlines()]
        assert self.listen(bundle, str(DEMO)) == expected
        assert len(expected) == 14

    def test_raw_samples(self, bundle: LitertBundle) -> None:
        pcm, _ = soundfile.read(DEMO, dtype="int16")
        expected = [event.word for event in Spotter("commands-tiny").feed(pcm[:67_201])]
        cut = pcm[:67_201].astype("<i2").tobytes() + b"\0"  # and half a sample
        assert self.listen(bundle, "-", cut) == expected == ["left", "three", "five"]

    def test_without_arguments(self, bundle: LitertBundle) -> None:
        done = subprocess.run(
            [sys.executable, bundle.folder / "listen.py"], capture_output=True, check=False
        )
        assert done.returncode == 1
        assert b"usage: python listen.py NAME.json SOUND" in done.stderr


class TestRuntimes:
    """Who runs the file, and who does not."""

    def test_compiled_model_refuses_the_fused_form(self) -> None:
        content = load_model("commands-tiny").content
        with pytest.raises(RuntimeError, match="Failed to load model"):
            CompiledModel.from_buffer(content)
        with pytest.raises(ExportError, match=r"CompiledModel check: .*Variable tensors"):
            run(content, np.zeros((1, INPUTS), np.float32), interpreted_steps=0)

    def test_compiled_model_runs_this_one(self, bundle: LitertBundle) -> None:
        model = CompiledModel.from_file(str(bundle.model))
        assert model.get_signature_list() == {
            "step": {"inputs": ["frame", *STATES], "outputs": ["logits", *STATES]}
        }

    def test_so_does_the_interpreter(self, bundle: LitertBundle) -> None:
        content = bundle.model.read_bytes()
        frames = np.random.default_rng(0).normal(0, 1, (50, INPUTS)).astype(np.float32)
        one, other = CompiledStep(content), InterpretedStep(content)
        for frame in frames:
            np.testing.assert_array_equal(one.step(frame), other.step(frame))

    def test_state_goes_in_as_it_came_out(self, bundle: LitertBundle) -> None:
        inputs, outputs = read_edges(bundle.model.read_bytes())
        scales = {edge.name: np.float32(edge.scale) for edge in inputs[1:]}
        assert scales == {edge.name: np.float32(edge.scale) for edge in outputs[1:]}
        runner = Interpreter(model_path=str(bundle.model)).get_signature_runner("step")
        frame = np.random.default_rng(1).normal(0, 2, (1, INPUTS)).astype(np.float32)
        state = {edge.name: np.zeros(edge.shape, np.float32) for edge in inputs[1:]}
        for _ in range(20):
            answer = runner(frame=frame, **state)
            state = {name: answer[name] for name in scales}
            for name, scale in scales.items():
                whole = state[name] / scale  # what int16 it is read as
                np.testing.assert_allclose(whole, np.rint(whole), atol=0.01)
        assert np.abs(state["c0"]).max() > 1


INPUTS = 120
"""Of `commands-tiny`: six frames of 20 MFCC."""

STATES = ["s0", "s1", "s2", "s3", "s4", "h0", "c0"]
"""What `commands-tiny` keeps: of five SVDF layers and an LSTM."""

CONVERTED = Path(__file__).parents[1] / "data" / "converted.tflite"
"""A dense layer and an LSTM."""

UNITS = Affine(scale=np.float32(1 / 128), zero_point=0)
"""Of an LSTM's outputs."""


class TestNetworks:
    """Other networks than those that ship."""

    @staticmethod
    def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
        return rng.integers(-127, 128, shape).astype(np.int8)

    def lstm(self, rng: np.random.Generator, source: Affine, inputs: int, units: int) -> LstmLayer:
        scales = rng.uniform(0.001, 0.006, (2, 4)).astype(np.float32)
        return LstmLayer(
            name="lstm",
            input_weights=self.weights(rng, 4, units, inputs),
            input_scales=scales[0],
            state_weights=self.weights(rng, 4, units, units),
            state_scales=scales[1],
            bias=self.bias(rng.normal(0, 0.5, (4, units)), source, scales[0][:, np.newaxis]),
            source=source,
            hidden=UNITS,
            cell_scale=np.float32(2.0**-11),
            cell_clip=CLIP,
        )

    @staticmethod
    def bias(real: np.ndarray, source: Affine, scales: np.ndarray) -> np.ndarray:
        return np.rint(real / (source.scale * scales)).astype(np.int32)

    def last(self, rng: np.random.Generator, labels: int, units: int, limit: float) -> DenseLayer:
        scale = np.float32(0.004)
        return DenseLayer(
            name="last",
            weights=self.weights(rng, labels, units),
            weight_scale=scale,
            bias=self.bias(rng.normal(0, 1, labels), UNITS, scale),
            source=UNITS,
            output=Affine(scale=np.float32(limit / 128), zero_point=0),
            relu=False,
        )

    def test_two_lstm_layers_and_no_dense_layer_before_them(self) -> None:
        rng = np.random.default_rng(3)
        source = Affine(scale=np.float32(4.0 / 128), zero_point=0)
        network = QuantizedNetwork(
            first=None,
            svdf=(),
            lstm=(self.lstm(rng, source, 6, 8), self.lstm(rng, UNITS, 8, 12)),
            last=self.last(rng, 5, 12, 12.0),
        )
        content = explicit_state_graph(network)
        check_graph(content)
        inputs, _ = read_edges(content)
        assert [edge.name for edge in inputs] == ["frame", *state_names(network)]
        assert state_names(network) == ("h0", "c0", "h1", "c1")
        frames = rng.normal(0, 1, (400, 6)).astype(np.float32)
        step = CompiledStep(content)
        logits = np.array([step.step(frame) for frame in frames])
        expected = network.network().run(frames).logits
        assert expected.std() > 0.1
        np.testing.assert_allclose(logits, expected, atol=0.02)

    def test_cells_are_clipped(self) -> None:
        rng = np.random.default_rng(0)
        source = Affine(scale=np.float32(1.0 / 128), zero_point=0)
        lstm = self.lstm(rng, source, 2, 1)
        real = np.array([[20.0], [20.0], [20.0], [0.0]])  # what comes is added, nothing forgotten
        bias = self.bias(real, source, lstm.input_scales[:, np.newaxis])
        network = QuantizedNetwork(
            first=None,
            svdf=(),
            lstm=(dataclasses.replace(lstm, bias=bias),),
            last=self.last(rng, 3, 1, 1.0),
        )
        runner = Interpreter(model_content=explicit_state_graph(network)).get_signature_runner(
            "step"
        )
        state = {"h0": np.zeros((1, 1), np.float32), "c0": np.zeros((1, 1), np.float32)}
        cells = []
        for _ in range(30):
            answer = dict(runner(frame=np.zeros((1, 2), np.float32), **state))
            answer.pop("logits")
            state = answer
            cells.append(float(state["c0"][0, 0]))
        assert cells[4] == pytest.approx(5.0, abs=0.01)
        assert cells[-1] == pytest.approx(CLIP, abs=0.001)


STEM = ((24, 3), (24, 5))
HYBRIDS = {
    "added": drawn_network(STEM),
    "not added": drawn_network(((24, 3), (30, 5)), residual=0, seed=1),
    "memory 1": drawn_network(((24, 1), (24, 5), (24, 1)), seed=2),
    "dense before": drawn_network(((24, 4), (20, 6)), dense=24, seed=3),
    "two LSTM layers": drawn_network(STEM, (20, 12), seed=4),
    "one long memory": drawn_network(((30, 40),), seed=5),
    "convolutions": drawn_network(STEM, conv=CONV, seed=6),
}


def quantized(network: Network) -> QuantizedNetwork:
    """As a model file would have it."""
    return read_layers(write_network(quantize(network, drawn_stream(3000, seed=1))))


class TestHybrids:
    """Networks with SVDF layers."""

    @pytest.mark.parametrize("name", HYBRIDS)
    def test_it_is_the_float_network(self, name: str) -> None:
        network = quantized(HYBRIDS[name])
        content = explicit_state_graph(network)
        check_graph(content)
        stream = drawn_stream(LONG_STEPS, seed=9)
        answers = run(content, stream, interpreted_steps=1500)
        check_interpreter(answers)
        expected = softmax(bounded_logits(network, stream))
        agreement = measure_agreement(expected, softmax(answers.compiled))
        assert expected.std(axis=0).max() > 0.1
        assert agreement.same_argmax >= MIN_FLOAT_AGREEMENT
        assert agreement.difference_mean <= MAX_FLOAT_MEAN
        assert agreement.difference_max <= MAX_FLOAT_DIFFERENCE / 2

    def test_where_int16_is_coarse_it_is_as_near_as_int16_lets_it(self) -> None:
        """The mean of what a layer keeps is large, and its filters take that away again."""
        network = drawn_network(seed=1)
        first, second = network.svdf
        coarse = dataclasses.replace(
            second,
            kernel=second.kernel + np.float32(3),
            time_kernel=second.time_kernel - second.time_kernel.mean(axis=0),
        )
        layers = quantized(dataclasses.replace(network, svdf=(first, coarse)))
        stream = drawn_stream(6000, seed=9)
        answers = run(explicit_state_graph(layers), stream, interpreted_steps=10)
        exact = softmax(bounded_logits(layers, stream, rounded=False))
        reference = softmax(bounded_logits(layers, stream))
        posteriors = softmax(answers.compiled)
        agreement, cost = (measure_agreement(reference, each) for each in (posteriors, exact))
        assert MAX_FLOAT_MEAN < agreement.difference_mean < cost.difference_mean
        assert agreement.difference_max < 1.5 * cost.difference_max
        whole = measure_agreement(exact, posteriors).difference_mean
        assert whole == pytest.approx(cost.difference_mean, rel=0.05)

    def test_it_saturates_where_its_tensors_end(self) -> None:
        network = quantized(HYBRIDS["added"])
        stream = 3 * drawn_stream(2000, seed=9)
        steps = CompiledStep(explicit_state_graph(network))
        posteriors = softmax(np.array([steps.step(frame) for frame in stream]))
        bounded = measure_agreement(softmax(bounded_logits(network, stream)), posteriors)
        free = measure_agreement(softmax(network.network().run(stream).logits), posteriors)
        assert bounded.difference_max <= MAX_FLOAT_DIFFERENCE
        assert free.difference_max > 5 * bounded.difference_max

    def test_what_is_kept(self) -> None:
        def names(hybrid: str) -> tuple[str, ...]:
            return state_names(quantized(HYBRIDS[hybrid]))

        assert names("added") == ("s0", "s1", "h0", "c0")
        assert names("memory 1") == ("s1", "h0", "c0")
        assert names("two LSTM layers") == ("s0", "s1", "h0", "c0", "h1", "c1")
        network = quantized(HYBRIDS["added"])
        inputs, outputs = read_edges(explicit_state_graph(network))
        assert [edge.shape for edge in inputs] == [(1, 60), (1, 48), (1, 96), (1, 20), (1, 20)]
        assert inputs[1:] == outputs[1:]
        assert [np.float32(edge.scale) for edge in inputs[1:3]] == [
            layer.state_scale for layer in network.svdf
        ]

    def test_weights_are_those_of_the_model_to_the_bit(self) -> None:
        network = quantized(HYBRIDS["added"])
        model = schema.ModelT.InitFromPackedBuf(explicit_state_graph(network), 0)
        for index, layer in enumerate(network.svdf):
            name = f"svdf{index}"
            weights = data(model, f"{name}_newest_weights", np.int8)
            np.testing.assert_array_equal(weights, layer.weights)
            filters = data(model, f"{name}_filtered_weights", np.int16)
            np.testing.assert_array_equal(filters[:, 0, :-2], layer.time_weights)
            high, low = filters[:, 0, -2:].astype(np.int64).T
            np.testing.assert_array_equal(high * 32767 + low, layer.bias)
            scale = tensor(model, f"{name}_filtered_weights").quantization.scale
            np.testing.assert_array_equal(scale, [layer.time_scale])

    def test_operators(self) -> None:
        def names(hybrid: str) -> tuple[str, ...]:
            return operator_names(explicit_state_graph(quantized(HYBRIDS[hybrid])))

        assert names("added").count("BATCH_MATMUL") == names("memory 1").count("SLICE") + 1 == 2
        # The newest step behind older ones, and what biases are multiplied by behind that.
        assert names("memory 1").count("CONCATENATION") == 1 + names("memory 1").count(
            "BATCH_MATMUL"
        )
        assert "RELU" not in names("added")  # it is fused

    def test_its_state_lies_unit_by_unit_the_oldest_step_first(self) -> None:
        network = quantized(HYBRIDS["added"])
        content = explicit_state_graph(network)
        runner = Interpreter(model_content=content).get_signature_runner("step")
        stream, (stem, _) = drawn_stream(6, seed=7), network.svdf
        state = self.silence(content)
        for frame in stream:
            answer = dict(runner(frame=frame[np.newaxis], **state))
            answer.pop("logits")
            state = answer
        rows = stream @ (stem.weights.T * stem.weight_scale)
        kept = state["s0"].reshape(stem.units, stem.memory - 1)
        np.testing.assert_allclose(kept, rows[-2:].T, atol=0.005)

    def test_a_reset_forgets_and_nothing_else_does(self) -> None:
        content = explicit_state_graph(quantized(HYBRIDS["added"]))
        stream = drawn_stream(60, seed=8)
        runner = Interpreter(model_content=content).get_signature_runner("step")

        def heard(frames: np.ndarray, state: dict[str, np.ndarray]) -> np.ndarray:
            logits = []
            for frame in frames:
                answer = dict(runner(frame=frame[np.newaxis], **state))
                logits.append(answer.pop("logits")[0])
                state.update(answer)
            return np.array(logits)

        state = self.silence(content)
        whole = np.concatenate((heard(stream[:25], state), heard(stream[25:], state)))
        np.testing.assert_array_equal(heard(stream, self.silence(content)), whole)
        for name in state:
            kept = self.silence(content)
            heard(stream[:25], kept)
            kept[name] = np.zeros_like(kept[name])
            assert np.abs(heard(stream[25:], kept) - whole[25:]).max() > 0.01, name

    @staticmethod
    def silence(content: bytes) -> dict[str, np.ndarray]:
        return {edge.name: np.zeros(edge.shape, np.float32) for edge in read_edges(content)[0][1:]}


@pytest.fixture(scope="module")
def hybrid() -> Model:
    """A model with a stem that passes on what it hears, and a little of what was before."""
    shipped, rng = load_model(str(CONVERTED)), np.random.default_rng(0)
    trained = read_layers(shipped.content).network()
    assert trained.dense_in is not None
    units = trained.dense_in.bias.size

    def stem(memory: int, *, adds: bool) -> Svdf:
        kernel = rng.normal(0, 0.3 / np.sqrt(units), (units, units)).astype(np.float32)
        filters = rng.normal(0, 0.05, (memory, units)).astype(np.float32)
        if not adds:
            kernel += np.eye(units, dtype=np.float32)
            filters[-1] = 1
        return Svdf(
            kernel=kernel, time_kernel=filters, bias=np.zeros(units, np.float32), adds=int(adds)
        )

    network = dataclasses.replace(trained, svdf=(stem(3, adds=False), stem(5, adds=True)))
    manifest = shipped.manifest
    frames = FrontEnd(manifest.front_end).feed(long_recording(3000 * manifest.step_samples))
    layers = quantize(network, stacked(frames, manifest))
    content = write_network(layers)

    def quantization(affine: Affine, shape: tuple[int, ...]) -> Quantization:
        return Quantization(scale=float(affine.scale), zero_point=affine.zero_point, shape=shape)

    return Model(
        manifest=dataclasses.replace(
            manifest,
            name="hybrid",
            model=ModelFile(
                file="hybrid.tflite",
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            ),
            input=quantization(layers.source, manifest.input.shape),
            output=quantization(layers.last.output, manifest.output.shape),
            state=StateConfig(
                svdf_units=(units, units),
                svdf_memory=(3, 5),
                lstm_units=manifest.state.lstm_units,
                cell_clip=manifest.state.cell_clip,
            ),
        ),
        content=content,
        path=Path("hybrid.tflite"),
    )


class TestHybridFolder:
    """A model with a stem, exported."""

    def test_every_check_passes_and_listen_py_hears_words(
        self, hybrid: Model, tmp_path: Path
    ) -> None:
        written = export_litert(hybrid, tmp_path)
        check = written.check
        assert check.float_network.same_argmax > 0.9995
        assert check.float_network.difference_max < 0.01
        assert check.words > 100
        assert check.words - check.words_same <= check.words // 50
        description = json.loads((tmp_path / "hybrid.json").read_text())
        states = ["s0", "s1", "h0", "c0"]
        assert description["states"] == states
        assert [entry["name"] for entry in description["inputs"]] == ["frame", *states]
        assert [entry["name"] for entry in description["outputs"]] == ["logits", *states]
        readme = (tmp_path / "README.md").read_text()
        assert not re.search(r"@\w+@", readme)
        assert "`s0`, `s1`, `h0`, `c0`" in readme
        done = subprocess.run(
            [sys.executable, "listen.py", "hybrid.json", str(DEMO)],
            cwd=tmp_path, capture_output=True, check=True,
        )  # fmt: skip
        assert len(done.stdout.splitlines()) > 5

    def test_a_damaged_filter(self, hybrid: Model) -> None:
        layers = read_layers(hybrid.content)

        def edit(model: Any) -> None:
            buffer = model.buffers[tensor(model, "svdf0_filtered_weights").buffer]
            buffer.data = np.roll(buffer.data, 2)  # each filter is a step late

        content = edited(explicit_state_graph(layers), edit)
        with pytest.raises(ExportError, match="float agreement check: over 20"):
            check_litert(content, layers, hybrid)


class TestChecks:
    """Every check fails where it should."""

    def refused(self, content: bytes, match: str) -> None:
        model = load_model("commands-tiny")
        with pytest.raises(ExportError, match=match):
            check_litert(content, read_layers(model.content), model)

    def test_a_damaged_weight(self, bundle: LitertBundle) -> None:
        def edit(model: Any) -> None:
            buffer = model.buffers[tensor(model, "lstm0_state_weights").buffer]
            buffer.data = buffer.data.copy()
            buffer.data[:60] ^= 64

        self.refused(edited(bundle.model.read_bytes(), edit), "float agreement check: over 20,?")

    def test_gates_that_were_confused(self) -> None:
        model = load_model("commands-tiny")
        layers = read_layers(model.content)
        (lstm,) = layers.lstm
        swapped = [1, 0, 2, 3]  # input and forget gate
        wrong = dataclasses.replace(
            lstm,
            input_weights=lstm.input_weights[swapped],
            input_scales=lstm.input_scales[swapped],
            state_weights=lstm.state_weights[swapped],
            state_scales=lstm.state_scales[swapped],
            bias=lstm.bias[swapped],
        )
        layers = dataclasses.replace(layers, lstm=(wrong,))
        with pytest.raises(ExportError, match="int8 agreement check: over 20"):
            check_litert(explicit_state_graph(layers), layers, model)

    def test_a_state_that_comes_out_in_another_scale(self, bundle: LitertBundle) -> None:
        def edit(model: Any) -> None:
            tensor(model, "lstm0_cells").quantization.scale = np.array([20 / 32767], np.float32)

        self.refused(
            edited(bundle.model.read_bytes(), edit),
            "state check: c0 has the scale 0.000305.* as input and 0.000610",
        )

    def test_a_variable_tensor(self, bundle: LitertBundle) -> None:
        def edit(model: Any) -> None:
            tensor(model, "c0").isVariable = True

        self.refused(edited(bundle.model.read_bytes(), edit), "graph check: the tensor c0 is vari")

    def test_a_tensor_of_another_type(self, bundle: LitertBundle) -> None:
        def edit(model: Any) -> None:
            tensor(model, "lstm0_cells").type = schema.TensorType.FLOAT32

        self.refused(edited(bundle.model.read_bytes(), edit), "graph check: the tensor lstm0_cells")

    def test_a_file_that_litert_cannot_run(self, bundle: LitertBundle) -> None:
        def edit(model: Any) -> None:
            model.subgraphs[0].operators.pop(3)

        content = edited(bundle.model.read_bytes(), edit)
        with pytest.raises(ExportError, match=r"CompiledModel check: .*code 1|code -"):
            run(content, np.zeros((1, INPUTS), np.float32), interpreted_steps=1)

    def test_an_interpreter_that_differs(self) -> None:
        logits = np.zeros((5, 3), np.float32)
        other = logits[:4].copy()
        check_interpreter(Answers(compiled=logits, interpreted=other))
        other[2, 1] = 1e-7
        with pytest.raises(ExportError, match="interpreter check: in 1 of 4 steps"):
            check_interpreter(Answers(compiled=logits, interpreted=other))

    @pytest.mark.parametrize(
        ("part", "change", "match"),
        [
            ("float_network", {"same_argmax": 0.99}, r"float agreement check: .*in 99.00%"),
            ("float_network", {"difference_mean": 0.002}, "float agreement check: .*0.0020 on"),
            ("float_network", {"difference_max": 0.1}, "float agreement check: .*0.100 at most"),
            ("int8_model", {"same_argmax": 0.94}, r"int8 agreement check: .*in 94.00%"),
            ("int8_model", {"difference_mean": 0.04}, "int8 agreement check: .*0.0400 on average"),
        ],
    )
    def test_figures(
        self, bundle: LitertBundle, part: str, change: dict[str, float], match: str
    ) -> None:
        agreement = dataclasses.replace(getattr(bundle.check, part), **change)
        with pytest.raises(ExportError, match=match):
            check_parity(dataclasses.replace(bundle.check, **{part: agreement}))

    def test_as_much_as_the_rounding_of_the_state_costs(self, bundle: LitertBundle) -> None:
        check = bundle.check

        def with_means(exact: float, kept: float) -> LitertCheck:
            parts = {"float_network": exact, "kept_rounding": kept}
            changed = {
                part: dataclasses.replace(getattr(check, part), difference_mean=mean)
                for part, mean in parts.items()
            }
            return dataclasses.replace(check, **changed)

        check_parity(with_means(0.0014, 0.0025))
        with pytest.raises(
            ExportError, match=r"0\.0040 on average.*allowed are 0\.00375 and 0\.05"
        ):
            check_parity(with_means(0.0040, 0.0025))

    @pytest.mark.parametrize("change", [{"words_same": 500}, {"words_more": 40}])
    def test_words(self, bundle: LitertBundle, change: dict[str, int]) -> None:
        check: LitertCheck = dataclasses.replace(bundle.check, **change)
        with pytest.raises(ExportError, match=r"word check: of \d+ words"):
            check_parity(check)

    def test_a_model_that_hears_few_words(self, bundle: LitertBundle) -> None:
        few = {"words": 2, "words_same": 0, "words_more": 1, "words_rounding": 0}
        check_parity(dataclasses.replace(bundle.check, **few))
        with pytest.raises(ExportError, match=r"word check: of 6 words .* 6 differ"):
            check_parity(dataclasses.replace(bundle.check, **{**few, "words_more": 4}))

    def test_a_word_counts_once_and_near_its_time(self) -> None:
        def word(name: str, step: int) -> Detection:
            return Detection(
                word=name, confidence=0.9, acoustic=0.9, start_sample=0, end_sample=0, step=step
            )

        expected = [word("left", 10), word("left", 11), word("go", 50), word("stop", 90)]
        heard = [word("left", 11), word("go", 52), word("stop", 93)]
        assert count_same(heard, expected) == 2

    def test_a_snippet_that_hears_other_words(self, bundle: LitertBundle) -> None:
        written = {path.name: path.read_bytes() for path in bundle.folder.iterdir()}
        deaf = Detection(
            word="left", confidence=0.9, acoustic=0.9, start_sample=0, end_sample=1, step=1
        )
        with pytest.raises(
            ExportError, match=r"snippet check: .* detects left, three.*detects left$"
        ):
            check_snippet(written, "commands-tiny.json", [deaf])
        written["listen.py"] = b"raise SystemExit('no')"
        with pytest.raises(ExportError, match=r"snippet check: listen.py failed \(code 1\): no"):
            check_snippet(written, "commands-tiny.json", [deaf])

    def test_the_stream_is_long_and_always_the_same(self) -> None:
        stream = long_recording(2_000_000)
        assert stream.dtype == np.int16
        assert len(stream) >= 2_000_000
        np.testing.assert_array_equal(stream, long_recording(2_000_000))


class TestRefused:
    """What cannot be exported."""

    def test_a_model_without_an_lstm(self) -> None:
        def edit(model: Any) -> None:
            lstm = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
            (graph,) = model.subgraphs
            codes = [code.builtinCode for code in model.operatorCodes]
            graph.operators = [op for op in graph.operators if codes[op.opcodeIndex] != lstm]

        with pytest.raises(
            ExportError,
            match=r"exported for LiteRT: the layers are (convolution, ){4}(SVDF, ){5}dense",
        ):
            layers_of(edited(load_model("commands-tiny").content, edit))

    def test_a_model_with_several_scales_a_tensor(self, tones_model: Any, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match=r"for LiteRT: layer 1 .* a tensor has 4 scales"):
            export_litert(tones_model, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(ExportError, match=r"cannot write to .*out is no folder"):
            export_litert(load_model("commands-tiny"), tmp_path / "out")

    def test_the_folder_of_the_model_itself(self, tmp_path: Path) -> None:
        source = load_model("commands-tiny").path
        for suffix in (".tflite", ".json"):
            shutil.copy(source.with_suffix(suffix), tmp_path)
        before = digests(tmp_path)
        model = load_model(tmp_path / "commands-tiny.tflite")
        with pytest.raises(ExportError, match="is the model itself, which must not be replaced"):
            export_litert(model, tmp_path)
        assert digests(tmp_path) == before


class TestCommand:
    """``harken export --target litert``."""

    @pytest.mark.slow
    def test_it_writes_the_same(self, bundle: LitertBundle, tmp_path: Path) -> None:
        outcome = harken(
            "export", "commands-tiny", "--target", "litert", "--out", tmp_path / "out", "--json"
        )
        assert outcome.exit_code == 0
        report = json.loads(outcome.out)
        assert report["bytes"] == bundle.bytes
        assert report["checks"] == json.loads(json.dumps(bundle.check.to_dict()))
        assert digests(tmp_path / "out") == digests(bundle.folder)

    @pytest.mark.slow
    def test_it_says_what_was_measured(self, tmp_path: Path) -> None:
        outcome = harken("export", "commands-tiny", "--target", "litert", "--out", tmp_path / "out")
        assert outcome.exit_code == 0
        assert re.search(r"commands-tiny\.tflite: [\d,]+ bytes, all checks passed", outcome.out)
        assert re.search(r"float network: the same label in \d+\.\d\d%", outcome.out)
        assert re.search(r"int8 model: \d+ of \d+ words the same", outcome.out)

    def test_no_model(self, tmp_path: Path) -> None:
        outcome = harken("export", "nothing", "--target", "litert", "--out", tmp_path / "out")
        assert outcome.exit_code == 3
        assert "nothing is no model" in outcome.error
        assert not (tmp_path / "out").exists()

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        outcome = harken("export", "commands-tiny", "--target", "litert", "--out", tmp_path / "out")
        assert outcome.exit_code == 10
        assert "is no folder" in outcome.error

    @pytest.mark.parametrize("name", ["README.md", "listen.py", "commands-tiny.json"])
    def test_files_of_somebody_else(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("mine")
        outcome = harken("export", "commands-tiny", "--target", "litert", "--out", tmp_path)
        assert outcome.exit_code == 10
        assert f"{name}; choose another --out" in outcome.error
        assert (tmp_path / name).read_text() == "mine"

    def test_options_of_other_targets(self, tmp_path: Path) -> None:
        outcome = harken(
            "export", "commands", "--target", "litert", "--out", tmp_path, "--grammar", "robot"
        )
        assert outcome.exit_code == 2
        outcome = harken(
            "export", "commands", "--target", "litert", "--out", tmp_path, "--name", "x"
        )
        assert outcome.exit_code == 2
