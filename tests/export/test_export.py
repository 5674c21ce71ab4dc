"""Export: a run folder in; a checked int8 model, its manifest and its card out, or nothing."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import soundfile
import tones

pytest.importorskip("librosa", reason="export needs harken[train]")

from ai_edge_litert import schema_py_generated as schema
from command import harken as call
from synthetic_corpus import write_tone_words
from synthetic_run import CONTEXT, N_MFCC, STEPS, STRIDE, write_run

from harken.edge import Engine, ExportError, ModelError, RunError, load_model
from harken.edge.errors import OutputError
from harken.edge.spotting.engine import TfliteRuntime
from harken.edge.spotting.manifest import Model
from harken.export import bundle as bundle_module
from harken.export.agreement import Agreement, measure_agreement
from harken.export.bundle import Bundle, export_run
from harken.export.checks import (
    HOUR_S,
    check_agreement,
    check_cells,
    check_graph,
    check_parity,
    check_state,
    measure_parity,
    run_stream,
)
from harken.export.fused import write_network
from harken.export.layers import QuantizedNetwork
from harken.export.quantize import quantize
from harken.export.reference import Dense, Lstm, Network, softmax
from harken.export.tflm import TflmRuntime, measure_arena
from harken.export.trained import load_run
from harken.train.data import load_corpus
from harken.train.run import RunFolder
from harken.train.scenes.leaks import encode_identities

HAS_TFLM = importlib.util.find_spec("tflite_micro") is not None
needs_tflm = pytest.mark.skipif(not HAS_TFLM, reason="needs the tflite-micro wheel")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a dense layer and one LSTM layer; not to be changed."""
    return write_run(tmp_path_factory.mktemp("runs") / "drawn")


@pytest.fixture
def damaged(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of it, to damage."""
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


@pytest.fixture(scope="session")
def exported(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its export."""
    return export_run(run_folder, tmp_path_factory.mktemp("models"))


def harken(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "harken", *map(str, arguments)]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


class TestReferenceNetwork:
    """The float32 definition of the network."""

    @staticmethod
    def one_unit(*, cell_clip: float = 10.0, bias: tuple[float, ...] = (0, 0, 0, 0)) -> Network:
        return Network(
            dense_in=None,
            svdf=(),
            lstm=(
                Lstm(
                    kernel=np.array([[1, 2, 3, 4]], np.float32),
                    recurrent_kernel=np.array([[0.5, 0.6, 0.7, 0.8]], np.float32),
                    bias=np.array(bias, np.float32),
                ),
            ),
            dense_out=Dense(
                kernel=np.array([[1, -1]], np.float32), bias=np.array([0.25, 0], np.float32)
            ),
            cell_clip=cell_clip,
        )

    def test_it_is_an_lstm_with_keras_order_of_gates(self) -> None:
        def sigmoid(x: float) -> float:
            return 1 / (1 + math.exp(-x))

        h = c = 0.0
        expected = []
        for x in (0.3, -0.2):
            i, f = sigmoid(x + 0.5 * h), sigmoid(2 * x + 0.6 * h)
            g, o = math.tanh(3 * x + 0.7 * h), sigmoid(4 * x + 0.8 * h)
            c = f * c + i * g
            h = o * math.tanh(c)
            expected.append([h + 0.25, -h])
        logits = self.one_unit().run(np.array([[0.3], [-0.2]], np.float32)).logits
        assert logits == pytest.approx(np.array(expected), abs=1e-6)

    def test_the_dense_layer_in_front_cuts_off_negative_values(self) -> None:
        network = dataclasses.replace(
            self.one_unit(),
            dense_in=Dense(kernel=np.array([[-1.0]], np.float32), bias=np.zeros(1, np.float32)),
        )
        silent = self.one_unit().run(np.zeros((3, 1), np.float32)).logits
        assert np.array_equal(network.run(np.ones((3, 1), np.float32)).logits, silent)

    def test_the_cell_stays_within_its_clip(self) -> None:
        ever_open = (20.0, 20.0, 20.0, 20.0)  # each step adds almost 1 to the cell
        steps = np.zeros((15, 1), np.float32)
        clipped = self.one_unit(cell_clip=10.0, bias=ever_open).run(steps)
        free = self.one_unit(cell_clip=100.0, bias=ever_open).run(steps)
        assert clipped.cell_peaks == (10.0,)
        assert free.cell_peaks[0] == pytest.approx(15, abs=0.1)

    def test_it_equals_the_network_that_is_trained(self, run_folder: Path) -> None:
        network = pytest.importorskip("harken.train.network")
        run = load_run(run_folder)
        weights = RunFolder(run_folder).load_arrays("weights.npz")
        steps = run.steps(run.check_frames)[:200]
        state = network.zero_state(run.record.config.model, 1)
        outputs = network.forward(weights, run.record.config.model, steps[None], state)
        expected = np.array(outputs.logits)[0]
        assert run.network.run(steps).logits == pytest.approx(expected, abs=2e-4)


class TestDamagedRunFolder:
    """Each damage: one line that names the file, before anything is quantized."""

    @pytest.fixture(autouse=True)
    def _no_quantization(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("quantized a damaged run")

        monkeypatch.setattr(bundle_module, "quantize", refuse)

    def refused(self, run: Path, tmp_path: Path) -> str:
        out = tmp_path / "out"
        with pytest.raises(RunError) as raised:
            export_run(run, out)
        assert not out.exists()
        assert "\n" not in str(raised.value)
        return str(raised.value)

    @staticmethod
    def change_weights(run: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
        weights = RunFolder(run).load_arrays("weights.npz")
        change(weights)
        RunFolder(run).save_arrays("weights.npz", weights)

    def test_no_folder(self, tmp_path: Path) -> None:
        assert "is not a folder" in self.refused(tmp_path / "nowhere", tmp_path)

    @pytest.mark.parametrize("name", ["config.json", "weights.npz", "calibration.npz"])
    def test_a_file_is_missing(self, damaged: Path, tmp_path: Path, name: str) -> None:
        (damaged / name).unlink()
        assert f"{name} is missing" in self.refused(damaged, tmp_path)

    @pytest.mark.parametrize("name", ["weights.npz", "calibration.npz", "config.json"])
    def test_a_file_is_cut_short(self, damaged: Path, tmp_path: Path, name: str) -> None:
        content = (damaged / name).read_bytes()
        (damaged / name).write_bytes(content[: len(content) // 2])
        assert name in self.refused(damaged, tmp_path)

    def test_weights_of_another_shape(self, damaged: Path, tmp_path: Path) -> None:
        self.change_weights(
            damaged, lambda w: w.update({"lstm_0/kernel": w["lstm_0/kernel"][:, :-4]})
        )
        message = self.refused(damaged, tmp_path)
        assert "lstm_0/kernel has the shape (12, 60)" in message
        assert "(12, 64)" in message

    def test_weights_of_a_layer_are_missing(self, damaged: Path, tmp_path: Path) -> None:
        self.change_weights(damaged, lambda w: w.pop("dense_out/bias"))
        assert "dense_out/bias is missing" in self.refused(damaged, tmp_path)

    def test_weights_of_an_unknown_layer(self, damaged: Path, tmp_path: Path) -> None:
        self.change_weights(damaged, lambda w: w.update({"lstm_7/bias": np.zeros(4)}))
        assert "lstm_7/bias belongs to no layer" in self.refused(damaged, tmp_path)

    def test_weights_that_are_not_finite(self, damaged: Path, tmp_path: Path) -> None:
        self.change_weights(damaged, lambda w: w["dense_in/bias"].fill(np.nan))
        assert "dense_in/bias holds NaN" in self.refused(damaged, tmp_path)

    def test_a_calibration_stream_that_is_too_short(self, damaged: Path, tmp_path: Path) -> None:
        streams = RunFolder(damaged).load_arrays("calibration.npz")
        streams["frames"] = streams["frames"][:500]
        RunFolder(damaged).save_arrays("calibration.npz", streams)
        message = self.refused(damaged, tmp_path)
        assert "frames holds 500 frames" in message
        assert str(STEPS * STRIDE) in message

    def test_a_clip_that_no_exported_model_has(self, damaged: Path, tmp_path: Path) -> None:
        config = json.loads((damaged / "config.json").read_text())
        config["config"]["model"]["cell_clip"] = 3.0
        (damaged / "config.json").write_text(json.dumps(config))
        assert "model.cell_clip is 3.0" in self.refused(damaged, tmp_path)

    def test_a_report_without_its_figures(self, damaged: Path, tmp_path: Path) -> None:
        (damaged / "report.json").write_text("[]")
        assert "report.json is damaged" in self.refused(damaged, tmp_path)


class TestTarget:
    """What could not be written at the end is refused at the start."""

    @pytest.mark.parametrize("name", ["two words", "../up", "", ".hidden", "a/b"])
    def test_a_name_that_is_none(self, run_folder: Path, tmp_path: Path, name: str) -> None:
        with pytest.raises(ExportError, match="cannot be a model's name"):
            export_run(run_folder, tmp_path, name=name)

    def test_a_folder_that_is_a_file(self, run_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ExportError, match="file is no folder"):
            export_run(run_folder, tmp_path / "file" / "models")

    @pytest.mark.parametrize("suffix", ["tflite", "json", "md"])
    def test_files_of_somebody_else(self, run_folder: Path, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"mine.{suffix}"
        path.write_text("mine")
        with pytest.raises(OutputError, match=rf"mine\.{suffix} exists, but harken did not"):
            export_run(run_folder, tmp_path, name="mine")
        assert list(tmp_path.glob("mine.*")) == [path]


class FakeRuntime:
    """A runtime whose logits are its input plus what it remembers."""

    def __init__(self, *, remembers: bool = True, resets: bool = True) -> None:
        self.remembers, self.resets = remembers, resets
        self.state = 0

    def invoke(self, features: np.ndarray) -> np.ndarray:
        if self.remembers:
            self.state = (self.state + int(features.sum())) % 101
        return np.array([features.sum() % 7 + self.state, 0], np.int8)

    def reset(self) -> None:
        if self.resets:
            self.state = 0


class TestChecks:
    """Each check refuses what it is there for, and names itself and its figures."""

    features = np.random.default_rng(0).integers(0, 5, (300, 1, 1, 4)).astype(np.int8)

    def test_state_that_is_kept_and_reset(self) -> None:
        runtime = FakeRuntime()
        check_state(runtime, self.features, run_stream(runtime, self.features), name="fake")

    def test_state_that_is_wiped_at_every_step(self) -> None:
        runtime = FakeRuntime(remembers=False)
        logits = run_stream(runtime, self.features)
        with pytest.raises(ExportError, match=r"state check: .* fake .*remembers nothing"):
            check_state(runtime, self.features, logits, name="fake")

    def test_a_reset_that_does_not_reset(self) -> None:
        runtime = FakeRuntime(resets=False)
        logits = run_stream(runtime, self.features)
        with pytest.raises(ExportError, match="reset check: of 100 steps"):
            check_state(runtime, self.features, logits, name="fake")

    def test_posteriors_are_compared_step_for_step(self) -> None:
        reference = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], np.float32)
        other = np.array([[0.8, 0.2], [0.2, 0.8], [0.4, 0.6], [0.5, 0.5]], np.float32)
        agreement = measure_agreement(reference, other)
        assert agreement.steps == 4
        assert agreement.same_argmax == 0.75
        assert agreement.difference_mean == pytest.approx(0.075)
        assert agreement.difference_max == pytest.approx(0.2)

    @pytest.mark.parametrize(("same_argmax", "difference_mean"), [(0.96, 0.001), (0.999, 0.05)])
    def test_int8_that_is_another_network(self, same_argmax: float, difference_mean: float) -> None:
        agreement = Agreement(
            steps=3000,
            same_argmax=same_argmax,
            difference_mean=difference_mean,
            difference_p99=0.1,
            difference_max=0.2,
        )
        with pytest.raises(ExportError, match=rf"float agreement check: .*{same_argmax:.2%}"):
            check_agreement(agreement)

    def test_parity_counts_equal_logits_as_either_label(self) -> None:
        one = np.array([[5, 5, 0], [9, 1, 0]], np.int8)
        other = np.array([[5, 6, 0], [9, 1, 0]], np.int8)
        parity = measure_parity(one, other)
        assert (parity.same_argmax, parity.same_first_argmax, parity.max_lsb) == (1.0, 0.5, 1)
        check_parity(parity)

    def test_parity_does_not_overflow(self) -> None:
        one, other = np.array([[127, 0]], np.int8), np.array([[-128, 0]], np.int8)
        assert measure_parity(one, other).max_lsb == 255

    def test_runtimes_that_drift_apart(self) -> None:
        one, other = np.array([[9, 0, 0]], np.int8), np.array([[9, 0, 4]], np.int8)
        with pytest.raises(ExportError, match=r"TFLM parity check: over 1 steps .*4 LSB"):
            check_parity(measure_parity(one, other))
        with pytest.raises(ExportError, match=r"same label in 0\.00%"):
            check_parity(measure_parity(one, np.array([[8, 9, 0]], np.int8)))

    def test_cells_that_calibration_never_saw_full(self) -> None:
        check_cells((8.0, 16.0), (9.0, 10.0))
        with pytest.raises(ExportError, match=r"cell check: .*layer 1 reach 10\.00"):
            check_cells((16.0, 2.0), (10.0, 10.0))


class TestCalibration:
    """A stream that ranges cannot be taken from is one clear line."""

    @pytest.mark.parametrize("shape", [(10, 7), (0, 30), (30,)], ids=str)
    def test_a_stream_of_another_shape(self, run_folder: Path, shape: tuple[int, ...]) -> None:
        network = load_run(run_folder).network
        with pytest.raises(ExportError, match=r"30 inputs, Dense 12, LSTM 16, 4 labels takes"):
            quantize(network, np.zeros(shape, np.float32))

    @pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
    def test_a_network_that_overflows(self, run_folder: Path) -> None:
        network = load_run(run_folder).network
        assert network.dense_in is not None
        huge = np.full_like(network.dense_in.kernel, 1e38)
        dense_in = dataclasses.replace(network.dense_in, kernel=huge)
        loud = np.full((3, 30), 1e3, np.float32)
        with pytest.raises(ExportError, match=r"drives dense_in of .* to infinity or NaN"):
            quantize(dataclasses.replace(network, dense_in=dense_in), loud)


@pytest.mark.slow
class TestExport:
    """The product."""

    def test_three_files_that_the_edge_loads(self, exported: Bundle) -> None:
        folder = exported.model.path.parent
        assert files_in(folder) == ["drawn.json", "drawn.md", "drawn.tflite"]
        model = load_model(folder / "drawn.tflite")
        assert model.manifest == exported.model.manifest
        assert model.manifest.name == "drawn"
        assert model.manifest.labels == ("yes", "no", "unknown", "silence")
        assert model.manifest.input.shape == (1, 1, CONTEXT * N_MFCC)
        assert model.manifest.provenance["data"]["fingerprint"] == "0123"

    def test_whom_the_training_heard_is_for_the_leak_check_alone(self, exported: Bundle) -> None:
        provenance = exported.model.manifest.provenance
        heard = encode_identities(["anna", "ben"])
        assert provenance["training_speakers"] == heard
        assert "training_speakers" not in provenance["data"]
        assert heard not in exported.card_path.read_text()
        assert provenance["held_out_speech"] == []

    def test_every_check_left_its_figures(self, exported: Bundle) -> None:
        checks = exported.model.manifest.checks
        assert checks["graph"]["state_bytes"] == 3 * 16
        assert checks["cell_peaks"] == [10.0]
        assert checks["float_and_int8"]["steps"] == STEPS
        assert checks["float_and_int8"]["same_argmax"] >= 0.97
        if HAS_TFLM:
            assert checks["litert_and_tflm"]["steps"] == 2 * STEPS
            assert checks["litert_and_tflm"]["max_lsb"] <= 3
            assert exported.model.manifest.memory.tflm_arena_bytes is not None
        else:
            assert "tflite-micro" in checks["litert_and_tflm"]["not_run"]
            assert exported.model.manifest.memory.tflm_arena_bytes is None

    def test_the_card_says_what_a_user_asks(self, exported: Bundle) -> None:
        card = exported.card_path.read_text()
        for part in (
            "yes, no",
            "harken train recordings --out run",
            "the tests' own | none needed",
            "75.00% correct",
            "| yes | 1,289 | 153 |",
            f"{exported.model.manifest.model.bytes:,} bytes",
            "## Limits",
        ):
            assert part in card

    def test_the_same_run_gives_the_same_bytes(
        self, exported: Bundle, run_folder: Path, tmp_path: Path
    ) -> None:
        result = subprocess.run(
            harken("export", run_folder, "--out", tmp_path / "new" / "models", "--json"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["sha256"] == exported.model.manifest.model.sha256
        for name in ("drawn.tflite", "drawn.json", "drawn.md"):
            again = (tmp_path / "new" / "models" / name).read_bytes()
            assert again == (exported.model.path.parent / name).read_bytes(), name

    def test_two_lstm_layers_without_a_dense_one(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", dense_units=0, lstm_units=(16, 12))
        bundle = export_run(run, tmp_path / "out", name="two.layers")
        assert bundle.model.manifest.state.lstm_units == (16, 12)
        assert bundle.model.manifest.checks["graph"]["operators"] == [
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            "FULLY_CONNECTED",
        ]
        load_model(tmp_path / "out" / "two.layers.json")

    def test_a_stem(self, tmp_path: Path) -> None:
        run = write_run(
            tmp_path / "run",
            dense_units=0,
            svdf_units=(12, 12, 12),
            svdf_memory=(2, 3, 5),
            lstm_units=(16,),
            seed=1,  # weights drawn with 0 stand at the bound of the float check, corrected or not
        )
        bundle = export_run(run, tmp_path / "out", name="stem")
        manifest = bundle.model.manifest
        assert manifest.state.svdf_units == (12, 12, 12)
        assert manifest.state.svdf_memory == (2, 3, 5)
        assert manifest.checks["graph"]["operators"] == [
            "RESHAPE",
            "SVDF",
            "SVDF",
            "SVDF",
            "ADD",
            "RESHAPE",
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            "FULLY_CONNECTED",
        ]
        assert manifest.checks["graph"]["state_bytes"] == 2 * 12 * (2 + 3 + 5) + 3 * 16
        states = manifest.checks["svdf_states"]
        assert states["steps"] >= HOUR_S * 25
        assert all(0 < share < 1 for share in states["largest_share_of_int16"])
        assert "SVDF 12 × 2, SVDF 12 × 3, SVDF 12 × 5 added" in bundle.card_path.read_text()
        assert load_model(tmp_path / "out" / "stem.json") == bundle.model

    def test_a_state_that_leaves_int16_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = write_run(
            tmp_path / "run", dense_units=0, svdf_units=(12,), svdf_memory=(3,), lstm_units=(16,)
        )

        def too_small(network: QuantizedNetwork) -> bytes:
            (layer,) = network.svdf
            state = np.float32(layer.state_scale / 50)
            time = np.float32(layer.time_scale * 50)
            layer = dataclasses.replace(layer, state_scale=state, time_scale=time)
            return write_network(dataclasses.replace(network, svdf=(layer,)))

        monkeypatch.setattr(bundle_module, "write_network", too_small)
        with pytest.raises(
            ExportError, match=r"state check: .* layer 1 \(svdf_0\) reaches .* times"
        ):
            export_run(run, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_pair_torn_apart_is_never_loaded(self, exported: Bundle, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(exported.model.path.parent, tmp_path / "torn"))
        content = bytearray(exported.model.content)
        content[-1] ^= 1
        (folder / "drawn.tflite").write_bytes(content)
        with pytest.raises(ModelError, match="sha256"):
            load_model(folder / "drawn.tflite")

    def test_calibration_hears_one_stream(self, exported: Bundle, run_folder: Path) -> None:
        """The network must keep its state between steps, else cells look small."""
        run = load_run(run_folder)
        one_step = max(
            run.network.run(step[None]).cell_peaks[0] for step in run.steps(run.check_frames)[:200]
        )
        assert one_step < 1
        assert exported.model.manifest.checks["graph"]["cell_ranges"] == [
            pytest.approx(16, abs=0.01)
        ]

    def test_a_failed_check_writes_nothing(
        self, run_folder: Path, tmp_path: Path, exported: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bundle_module, "write_network", lambda *_: exported.model.content)
        other = write_run(tmp_path / "run", seed=1)  # the same shape, other weights
        with pytest.raises(ExportError, match="float agreement check"):
            export_run(other, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_killed_in_the_middle_writes_nothing(self, run_folder: Path, tmp_path: Path) -> None:
        process = subprocess.Popen(
            harken("export", run_folder, "--out", tmp_path / "out"),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("checking"):
                break
        process.kill()
        process.wait()
        process.stderr.close()
        assert process.returncode == -signal.SIGKILL
        assert files_in(tmp_path / "out") == []

    def test_without_tflm_the_manifest_says_so(
        self, run_folder: Path, exported: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bundle_module, "write_network", lambda *_: exported.model.content)
        monkeypatch.setitem(sys.modules, "tflite_micro", None)  # importing it fails now
        manifest = export_run(run_folder, tmp_path).model.manifest
        assert manifest.memory.tflm_arena_bytes is None
        assert "pip install" in manifest.checks["litert_and_tflm"]["not_run"]
        assert "not run" in (tmp_path / "drawn.md").read_text()


@pytest.mark.slow
class TestGraphCheck:
    """A model that is not fully int8 with its state inside is refused, whatever made it."""

    @pytest.fixture
    def edit(self, exported: Bundle, run_folder: Path) -> Callable[[Callable[[Any], object]], str]:
        """Change the model's graph; return why it is refused."""

        def refusal(change: Callable[[Any], object]) -> str:
            model = schema.ModelT.InitFromPackedBuf(exported.model.content, 0)
            change(model)
            builder = flatbuffers.Builder()
            builder.Finish(model.Pack(builder), b"TFL3")
            with pytest.raises(ExportError) as raised:
                check_graph(bytes(builder.Output()), load_run(run_folder).network)
            return str(raised.value)

        return refusal

    @staticmethod
    def state(model: Any, dtype: int) -> Any:
        tensors = model.subgraphs[0].tensors
        return next(tensor for tensor in tensors if tensor.isVariable and tensor.type == dtype)

    def test_an_operator_that_does_not_belong(self, edit: Callable[..., str]) -> None:
        def change(model: Any) -> None:
            model.operatorCodes[0].builtinCode = schema.BuiltinOperator.WHILE
            model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.WHILE

        assert edit(change).startswith("operator check: the model consists of WHILE")

    def test_a_float_tensor(self, edit: Callable[..., str]) -> None:
        def change(model: Any) -> None:
            model.subgraphs[0].tensors[0].type = schema.TensorType.FLOAT32

        assert edit(change).startswith("type check")

    def test_weights_with_a_scale_for_each_row(self, edit: Callable[..., str]) -> None:
        def change(model: Any) -> None:
            tensor = model.subgraphs[0].tensors[model.subgraphs[0].operators[0].inputs[1]]
            tensor.quantization.scale = np.ones(tensor.shape[0], np.float32)

        assert "has 12 scales" in edit(change)

    def test_no_state(self, edit: Callable[..., str]) -> None:
        def change(model: Any) -> None:
            for tensor in model.subgraphs[0].tensors:
                tensor.isVariable = False

        assert edit(change).startswith(
            "state check: the state tensors are none; expected are INT16"
        )

    def test_a_cell_scale_that_is_no_power_of_two(self, edit: Callable[..., str]) -> None:
        def change(model: Any) -> None:
            cell = self.state(model, schema.TensorType.INT16)
            cell.quantization.scale = np.array([0.0005], np.float32)

        assert "power of two" in edit(change)

    def test_cells_clipped_elsewhere(self, edit: Callable[..., str]) -> None:
        def change(model: Any) -> None:
            lstm = model.subgraphs[0].operators[1]
            lstm.builtinOptions.cellClip = 0.0

        assert "cells are clipped at 0.0" in edit(change)

    def test_a_float_model(self, run_folder: Path) -> None:
        content = (Path(__file__).parents[1] / "data" / "tones_float.tflite").read_bytes()
        with pytest.raises(ExportError, match=r"type check: .* is FLOAT32; only fully int8"):
            check_graph(content, load_run(run_folder).network)

    def test_a_model_with_a_dynamic_range(self, edit: Callable[..., str]) -> None:
        def change(model: Any) -> None:  # int8 weights, everything else float
            for tensor in model.subgraphs[0].tensors:
                if model.buffers[tensor.buffer].data is None:
                    tensor.type = schema.TensorType.FLOAT32

        assert "is FLOAT32; only fully int8" in edit(change)


@needs_tflm
class TestTflm:
    """TensorFlow Lite Micro as a runtime."""

    def test_it_answers_as_litert_does(self, tones_model: Model) -> None:
        rng = np.random.default_rng(0)
        frames = rng.normal(size=(2000, tones_model.manifest.front_end.n_mfcc)).astype(np.float32)
        features = Engine(tones_model).quantize(frames)
        tflm = TflmRuntime(tones_model)
        logits = run_stream(tflm, features)
        assert logits.dtype == np.int8
        parity = measure_parity(run_stream(TfliteRuntime(tones_model), features), logits)
        assert parity.max_lsb <= 3
        check_state(tflm, features, logits, name=tflm.name)

    def test_it_is_a_runtime_for_the_engine(self, tones_model: Model) -> None:
        frames = np.zeros((8, tones_model.manifest.front_end.n_mfcc), np.float32)
        posteriors = Engine(tones_model, runtime=TflmRuntime(tones_model)).feed(frames)
        assert posteriors.shape == (4, len(tones_model.manifest.labels))
        assert posteriors.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)

    def test_the_arena_is_the_smallest(self, tones_model: Model) -> None:
        arena_bytes = measure_arena(tones_model.content)
        assert arena_bytes % 16 == 0
        assert 1000 < arena_bytes < 10_000
        TflmRuntime(tones_model, arena_bytes=arena_bytes)

    def test_a_model_that_it_cannot_run(self, tones_model: Model) -> None:
        with pytest.raises(ModelError, match="cannot run the model in any arena"):
            measure_arena(tones_model.content[:2000])


class TestWithoutTheExtra:
    """A light installation says what is missing."""

    def test_the_line_says_what_to_install(self, run_folder: Path, tmp_path: Path) -> None:
        program = (
            "import importlib.util, sys\n"
            "find = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda name, *rest: "
            "None if name == 'librosa' else find(name, *rest)\n"
            "from harken.cli import main\n"
            "main()\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", program, "export", run_folder, "--out", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 6
        assert result.stderr.startswith("harken: error: export needs librosa;")
        assert "pip install 'harken[train]'" in result.stderr
        assert result.stderr.count("\n") == 1


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    posteriors = softmax(np.array([[1000.0, 0.0], [0.0, 0.0]], np.float32))
    assert posteriors == pytest.approx(np.array([[1, 0], [0.5, 0.5]]))
    assert posteriors.dtype == np.float32


class TestRecordings:
    """``--data`` measures the int8 model on the recordings of its run."""

    @pytest.fixture
    def trained(self, damaged: Path, tmp_path: Path) -> list[str]:
        """The command line for a run that had an addition, and left a recording of it out."""
        write_tone_words(tmp_path / "data/speech_commands", words={"yes": 400.0, "no": 2500.0})
        for number in range(3):
            path = tmp_path / f"more/noise/hum/{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, tones.to_int16(tones.hiss(2.0, seed=number)), tones.RATE)
        left_out = ("noise/hum/1*",)
        corpus = load_corpus(
            tmp_path / "data",
            additions=(tmp_path / "more",),
            cache_dir=tmp_path / "cache",
            left_out=left_out,
        )
        run = RunFolder(damaged)
        record = run.load_record()
        run.save_record(
            dataclasses.replace(
                record,
                config=dataclasses.replace(record.config, left_out=left_out),
                data={**record.data, "fingerprint": corpus.fingerprint},
            )
        )
        line = ["export", damaged, "--out", tmp_path / "out", "--data", tmp_path / "data"]
        return [str(part) for part in (*line, "--cache-dir", tmp_path / "cache")]

    def test_with_its_additions(self, trained: list[str], tmp_path: Path) -> None:
        done = call(*trained, "--add", tmp_path / "more", "--json")
        assert done.exit_code == 0, done.err
        assert json.loads(done.out)["checks"]["validation_clips"]["clips"] > 0

    def test_without_them(self, trained: list[str], tmp_path: Path) -> None:
        done = call(*trained)
        assert done.exit_code == 8
        assert "give the same recordings with --data and --add" in done.error
        assert not (tmp_path / "out").exists()
