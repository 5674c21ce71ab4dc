"""Training: it learns, it says what it did, and no interruption changes what comes out."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("librosa", reason="training needs harken[train]")
pytest.importorskip("tensorflow", reason="training needs harken[train]")

from synthetic_corpus import corpus_of, spoken, write_tone_words

from harken.edge.errors import DataError, RunError
from harken.edge.spotting.frontend import FrontEndConfig
from harken.edge.spotting.manifest import StepConfig
from harken.export.trained import load_run
from harken.train import fit
from harken.train.base import Base, base_of
from harken.train.batches import Batches, DataSource, stream_maker
from harken.train.config import ModelConfig, StreamConfig, TrainConfig
from harken.train.fit import Outcome, Progress, train
from harken.train.network import Weights, initial_weights, is_moment, mel_kernel
from harken.train.record import make_record
from harken.train.run import RunFolder
from harken.train.streams import Batch
from harken.train.validation import rank

# So small that an epoch takes a tenth of a second.
CONFIG = TrainConfig(
    words=("low", "high"),
    model=ModelConfig(dense_units=8, svdf_units=(8, 8), svdf_memory=(2, 3), lstm_units=(12,)),
    front_end=FrontEndConfig(n_mels=20, n_mfcc=10),
    step=StepConfig(stride_frames=2, context_frames=3),
    streams=StreamConfig(gain_db=(-6.0, 6.0), snr_db=(20.0, 40.0)),
    batch_streams=4,
    learning_rate=0.02,
    averaging=0.9,
    weight_clip=0.6,
    epochs=20,
    min_steps=1,
    distinct_epochs=4,
    seed=1,
)
FILES = [
    "calibration.npz",
    "config.json",
    "confusion.png",
    "curves.png",
    "history.json",
    "report.json",
    "weights.npz",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tones:
    """Recordings of tones, and how to train on them."""

    source: DataSource

    def train(
        self,
        path: Path,
        config: TrainConfig = CONFIG,
        *,
        resume: bool = False,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        workers: int = 1,
        first: Weights | None = None,
        teacher: Base | None = None,
        on_stage: Callable[[str], None] = lambda stage: None,
    ) -> Outcome:
        return train(
            config,
            self.source,
            self.source.open(),
            RunFolder(path),
            recipe="harken train DATA --out RUN",
            resume=resume,
            on_progress=on_progress,
            workers=workers,
            first=first,
            teacher=teacher,
            on_stage=on_stage,
        )

    def command(self, out: Path, *options: object) -> list[str]:
        """The command line that does the same."""
        arguments = (self.source.root, "--out", out, "--cache-dir", self.source.cache_dir, *options)
        return [sys.executable, "-m", "harken", "train", *map(str, arguments)]


@pytest.fixture(scope="session")
def tone_words(tmp_path_factory: pytest.TempPathFactory) -> Tones:
    folder = tmp_path_factory.mktemp("tones")
    words = {"low": 400.0, "high": 2500.0, "middle": 1000.0}
    data = write_tone_words(folder / "data", words=words, clips=20)
    return Tones(source=DataSource(root=data, cache_dir=folder / "cache"))


@pytest.fixture(scope="session")
def whole_run(tone_words: Tones, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    outcome = tone_words.train(path)
    assert outcome.finished
    return path


def weights(path: Path) -> dict[str, np.ndarray]:
    return RunFolder(path).load_arrays("weights.npz")


def history(path: Path) -> list[dict[str, float]]:
    figures: list[dict[str, float]] = json.loads((path / "history.json").read_text())
    return figures


def without_seconds(figures: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in figures]


def assert_same_run(path: Path, other: Path) -> None:
    """The very same weights, figures and calibration streams, to the last bit."""
    assert without_seconds(history(path)) == without_seconds(history(other))
    for file in ("weights.npz", "calibration.npz"):
        arrays, others = (RunFolder(run).load_arrays(file) for run in (path, other))
        assert arrays.keys() == others.keys()
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, others[name], err_msg=name)


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


@pytest.mark.slow
class TestWholeRun:
    def test_it_learns(self, whole_run: Path) -> None:
        figures = history(whole_run)
        assert len(figures) == CONFIG.epochs
        assert figures[-1]["loss"] < figures[0]["loss"] / 2
        assert figures[-1]["stream_loss"] < figures[0]["stream_loss"] / 2
        best = max(epoch["clip_accuracy"] for epoch in figures)
        assert best >= 0.8, "four labels: by chance it would be 0.25"

    def test_it_leaves_a_complete_folder(self, whole_run: Path) -> None:
        assert names(whole_run) == FILES
        for picture in ("curves.png", "confusion.png"):
            assert (whole_run / picture).read_bytes().startswith(b"\x89PNG")

    def test_the_folder_says_what_was_done(self, whole_run: Path, tone_words: Tones) -> None:
        record = RunFolder(whole_run).load_record()
        corpus = tone_words.source.open()
        assert dataclasses.replace(record.config, front_end=CONFIG.front_end) == CONFIG
        assert record.recipe == "harken train DATA --out RUN"
        assert record.data["fingerprint"] == corpus.fingerprint
        assert record.data["split_rule"] == corpus.report.split_rule
        assert record.data["word_counts"]["low"] == {
            "training": 16,
            "validation": 2,
            "testing": 2,
        }
        assert record.versions.keys() >= {"harken", "python", "tensorflow", "librosa", "numpy"}

    def test_the_report_is_of_the_weights_that_were_kept(self, whole_run: Path) -> None:
        report = json.loads((whole_run / "report.json").read_text())
        figures = history(whole_run)
        best = max(figures, key=rank)
        assert report["best"] == best
        assert report["validation"]["accuracy"] == pytest.approx(best["clip_accuracy"])
        assert sum(map(sum, report["validation"]["confusion"])) == report["validation"]["clips"]
        assert report["data"]["layout"] == "a folder a word"

    def test_features_were_standardised_with_what_was_measured(self, whole_run: Path) -> None:
        front_end = RunFolder(whole_run).load_record().config.front_end
        assert front_end != CONFIG.front_end
        frames = RunFolder(whole_run).load_arrays("calibration.npz")["frames"]
        # Another draw of the same streams.
        np.testing.assert_allclose(frames.mean(axis=0), 0, atol=0.25)
        np.testing.assert_allclose(frames.std(axis=0), 1, atol=0.25)

    def test_weights_stay_within_their_bound(self, whole_run: Path) -> None:
        first = initial_weights(CONFIG.model, inputs=30, labels=4, seed=CONFIG.seed)
        assert np.abs(first["lstm_0/recurrent_kernel"]).max() > CONFIG.weight_clip
        kernels = {n: v for n, v in weights(whole_run).items() if n.endswith("kernel")}
        assert len(kernels) == 8, "dense, two SVDF layers of two each, an LSTM of two, dense"
        for name, value in kernels.items():
            assert np.abs(value).max() <= CONFIG.weight_clip, name

    def test_the_calibration_streams_are_minutes_long(self, whole_run: Path) -> None:
        streams = RunFolder(whole_run).load_arrays("calibration.npz")
        assert streams.keys() == {"frames", "check_frames"}
        for frames in streams.values():
            assert frames.shape[0] >= 9000, "3 minutes of frames of 20 ms"
            assert frames.shape[1] == 10
            assert frames.dtype == np.float32
        assert not np.array_equal(streams["frames"], streams["check_frames"])

    def test_export_can_read_it(self, whole_run: Path) -> None:
        run = load_run(whole_run)
        assert run.network.description == (
            "30 inputs, Dense 8, SVDF 8 × 2, SVDF 8 × 3 added, LSTM 12, 4 labels"
        )

    def test_moments_are_measured_and_kept(self, whole_run: Path) -> None:
        kept = weights(whole_run)
        first = initial_weights(CONFIG.model, inputs=30, labels=4, seed=CONFIG.seed)
        assert kept.keys() == first.keys()
        for layer in range(2):
            mean, variance = kept[f"svdf_{layer}/mean"], kept[f"svdf_{layer}/variance"]
            assert np.abs(mean).max() > 0
            assert (variance > 0).all()
            assert not (variance == 1).any()

    def test_a_network_without_a_stem_is_trained_too(
        self, tone_words: Tones, tmp_path: Path
    ) -> None:
        model = ModelConfig(dense_units=8, lstm_units=(12,))
        config = dataclasses.replace(CONFIG, model=model, epochs=8)
        assert tone_words.train(tmp_path / "run", config).finished
        figures = history(tmp_path / "run")
        assert figures[-1]["loss"] < figures[0]["loss"]
        network = load_run(tmp_path / "run").network
        assert network.description == "30 inputs, Dense 8, LSTM 12, 4 labels"

    def test_convolutions_are_trained_and_the_mel_bands_are_not(
        self, tone_words: Tones, tmp_path: Path
    ) -> None:
        model = ModelConfig(
            conv_channels=(4, 6),
            conv_kernel=(3, 3),
            conv_stride=(1, 2),
            svdf_units=(8,),
            svdf_memory=(3,),
            lstm_units=(12,),
        )
        config = dataclasses.replace(CONFIG, model=model, epochs=6)
        assert tone_words.train(tmp_path / "run", config).finished
        figures = history(tmp_path / "run")
        assert figures[-1]["loss"] < figures[0]["loss"]
        std = RunFolder(tmp_path / "run").load_record().config.front_end.std
        kept = weights(tmp_path / "run")
        np.testing.assert_array_equal(kept["mel/kernel"], mel_kernel(std))
        assert (kept["conv_1/variance"] > 0).all()
        assert not (kept["conv_1/variance"] == 1).any()
        network = load_run(tmp_path / "run").network
        assert network.description == (
            "30 inputs, Conv 8 × 4, Conv 3 × 6, SVDF 8 × 3, LSTM 12, 4 labels"
        )

    def test_the_same_again_is_the_same_with_any_number_of_workers(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        tone_words.train(tmp_path / "again", workers=2)
        assert_same_run(tmp_path / "again", whole_run)

    def test_a_second_run_in_the_same_folder_is_refused(
        self, whole_run: Path, tone_words: Tones
    ) -> None:
        before = weights(whole_run)
        with pytest.raises(
            RunError, match=r"holds a run already; choose another --out, or continue"
        ):
            tone_words.train(whole_run)
        assert names(whole_run) == FILES
        assert before.keys() == weights(whole_run).keys()

    def test_a_complete_run_cannot_be_resumed(self, whole_run: Path, tone_words: Tones) -> None:
        with pytest.raises(RunError, match=r"is complete; make a model of it with `harken export`"):
            tone_words.train(whole_run, resume=True)


@pytest.fixture(scope="module")
def fitting(
    whole_run: Path, tone_words: Tones, tmp_path_factory: pytest.TempPathFactory
) -> fit._Fitting:
    """A run that has begun, in this process alone."""
    config = RunFolder(whole_run).load_record().config
    run = RunFolder(tmp_path_factory.mktemp("runs"))
    return fit._Fitting(config, tone_words.source.open(), run)


@pytest.fixture(scope="module")
def batch(fitting: fit._Fitting) -> Batch:
    return stream_maker(fitting.config, fitting.corpus, "training").batch(0, 0, 4)


@pytest.mark.slow
class TestBatch:
    """What one batch leaves behind, for the next one and for the weights that are kept."""

    @pytest.fixture
    def calls(self, fitting: fit._Fitting, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """The state that each batch began with."""
        seen = []
        gradient = fitting._gradient

        def spy(inputs: Any, allowed: Any, taught: Any, state: Any, seed: Any) -> Any:
            assert taught is None, "nobody teaches it"
            given = gradient(inputs, allowed, taught, state, seed)
            seen.append(state)
            return given

        monkeypatch.setattr(fitting, "_gradient", spy)
        return seen

    def test_the_state_goes_on_unless_a_stream_is_fresh(
        self, fitting: fit._Fitting, batch: Batch, calls: list[Any]
    ) -> None:
        fresh = np.array([True, False, False, True])
        fitting._learn(dataclasses.replace(batch, fresh=np.ones(4, bool)))
        left = {name: value.numpy() for name, value in fitting.state.items()}
        fitting._learn(dataclasses.replace(batch, fresh=fresh))
        first, second = calls
        assert list(second) == ["svdf_0", "svdf_1", "lstm_0/h", "lstm_0/c"]
        for name, value in second.items():
            assert not np.any(first[name])
            assert not np.any(value.numpy()[fresh])
            assert np.any(left[name][fresh]), name
            np.testing.assert_array_equal(value.numpy()[~fresh], left[name][~fresh])
            assert np.any(value.numpy()[~fresh]), name

    def test_weights_are_averaged(self, fitting: fit._Fitting, batch: Batch) -> None:
        before = {name: value.copy() for name, value in fitting.average.items()}
        fitting._learn(batch)
        decay = min(CONFIG.averaging, fitting.step / (fitting.step + 10))
        assert fitting.average.keys() == fitting.variables.keys()
        for name, average in fitting.average.items():
            assert not np.array_equal(average, before[name]), name
            expected = decay * before[name] + (1 - decay) * fitting.variables[name].numpy()
            np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-6, err_msg=name)

    def test_moments_are_those_of_the_averaged_weights(self, fitting: fit._Fitting) -> None:
        """With its own moments, what a layer of the stem gives has a mean of 0, a variance of 1."""
        average = fitting.average
        weights = fitting._moments.measure(average)
        assert {name for name in weights if is_moment(name)} == weights.keys() - average.keys()
        unscaled = {name: value * 3 for name, value in average.items() if name == "svdf_0/kernel"}
        larger = fitting._moments.measure(average | unscaled)
        for name, factor in (("svdf_0/mean", 3), ("svdf_0/variance", 9)):
            np.testing.assert_allclose(larger[name], weights[name] * factor, rtol=1e-3, atol=1e-4)
        again = fitting._moments.measure(larger | average)
        for name, value in weights.items():
            np.testing.assert_array_equal(again[name], value, err_msg=name)

    def test_a_checkpoint_holds_all_of_it(self, fitting: fit._Fitting, batch: Batch) -> None:
        fitting._learn(batch)
        fitting.save()
        state = {name: value.numpy() for name, value in fitting.state.items()}
        average = {name: value.copy() for name, value in fitting.average.items()}
        fitting._learn(dataclasses.replace(batch, fresh=np.zeros(4, bool)))
        assert not np.array_equal(fitting.state["svdf_1"].numpy(), state["svdf_1"])
        assert not np.array_equal(fitting.average["svdf_1/kernel"], average["svdf_1/kernel"])
        fitting.restore()
        assert fitting.state.keys() == state.keys()
        for name, value in fitting.state.items():
            np.testing.assert_array_equal(value.numpy(), state[name])
        for name, average_again in fitting.average.items():
            np.testing.assert_array_equal(average_again, average[name])


class StopAt:
    """Ctrl-C while the batch of a step is learned; keeps what was reported."""

    def __init__(self, step: int, signum: int = signal.SIGINT) -> None:
        self.step, self.signum = step, signum
        self.reports: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.reports.append(dataclasses.replace(progress, history=list(progress.history)))
        if progress.step == self.step:
            os.kill(os.getpid(), self.signum)


@pytest.mark.slow
class TestInterruptions:
    def test_ctrl_c_and_resume_end_in_the_very_same_weights(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        run = tmp_path / "run"
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        # In the middle of an epoch, while streams are drawn; then in one that hears them again.
        first, second = StopAt(5), StopAt(21, signal.SIGTERM)
        outcome = tone_words.train(run, on_progress=first)
        assert (outcome.finished, outcome.epochs) == (False, 1)
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
        assert names(run) == ["checkpoint.npz", "config.json", "history.json"]
        (run / ".checkpoint.npz.7-aa.tmp").write_bytes(b"of a process that was killed")

        outcome = tone_words.train(run, resume=True, on_progress=second)
        assert (outcome.finished, outcome.epochs) == (False, 5)
        assert outcome.signal == signal.SIGTERM
        assert tone_words.train(run, resume=True).finished
        assert names(run) == FILES
        assert_same_run(run, whole_run)

        # Every batch was reported, once.
        reports = first.reports + second.reports
        assert [report.step for report in reports] == list(range(1, 22))
        assert {report.steps for report in reports} == {4 * CONFIG.epochs}
        assert [report.epoch for report in reports] == [step // 4 for step in range(1, 22)]
        assert all(len(report.history) == report.epoch for report in reports)
        assert all(report.loss > 0 for report in reports)
        assert reports[3].loss == reports[3].history[0]["loss"]

    def test_a_second_ctrl_c_ends_it_at_once(
        self, tone_words: Tones, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        stop = StopAt(1)

        def twice(progress: Progress) -> None:
            stop(progress)
            time.sleep(0.01)  # in which Python calls the handler
            stop(progress)

        # A program that a shell runs in the background ignores Ctrl-C from the start.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
        with pytest.raises(KeyboardInterrupt):
            tone_words.train(tmp_path / "run", on_progress=twice)
        assert names(tmp_path / "run") == ["config.json"]

    def test_a_run_that_ended_before_its_first_checkpoint_begins_again(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        run = tmp_path / "run"
        run.mkdir()
        (run / "config.json").write_bytes((whole_run / "config.json").read_bytes())
        tone_words.train(run, resume=True)
        assert_same_run(run, whole_run)

    def test_a_taught_run_ends_in_the_very_same_weights(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        teacher = base_of(whole_run, "teacher")
        config = dataclasses.replace(CONFIG, epochs=3, distinct_epochs=3, seed=2)
        whole, run, again = tmp_path / "whole", tmp_path / "run", tmp_path / "again"
        assert tone_words.train(whole, config, teacher=teacher).finished
        tone_words.train(run, config, teacher=teacher, on_progress=StopAt(6))
        assert "teacher.npz" in names(run)
        again.mkdir()
        for name in ("config.json", "teacher.npz"):  # killed before its first checkpoint
            shutil.copy(run / name, again / name)
        for stopped in (run, again):
            tone_words.train(stopped, RunFolder(stopped).load_record().config, resume=True)
            assert_same_run(stopped, whole)
            assert names(stopped) == FILES

        untaught = tmp_path / "untaught"
        tone_words.train(untaught, config)
        assert history(untaught)[-1]["stream_loss"] != history(whole)[-1]["stream_loss"]

    def test_it_begins_again_with_the_weights_that_it_began_with(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        first = weights(whole_run)
        config = dataclasses.replace(CONFIG, epochs=1)
        tone_words.train(tmp_path / "whole", config, first=first)
        run, again = tmp_path / "run", tmp_path / "again"
        tone_words.train(run, config, first=first, on_progress=StopAt(1))
        again.mkdir()
        for name in ("config.json", "first.npz"):
            shutil.copy(run / name, again / name)
        for stopped in (run, again):
            record = RunFolder(stopped).load_record()
            tone_words.train(stopped, record.config, resume=True)
            assert_same_run(stopped, tmp_path / "whole")
            assert names(stopped) == FILES
        assert history(run)[0]["stream_loss"] < 0.5 * history(whole_run)[0]["stream_loss"]

    def test_fewer_epochs_end_it_sooner_and_the_record_says_so(
        self, tone_words: Tones, tmp_path: Path
    ) -> None:
        run = tmp_path / "run"
        tone_words.train(run, on_progress=StopAt(9))
        shorter = dataclasses.replace(RunFolder(run).load_record().config, epochs=2)
        outcome = tone_words.train(run, shorter, resume=True)
        assert (outcome.finished, outcome.epochs) == (True, 2)
        record = RunFolder(run).load_record()
        assert record.config.epochs == 2
        assert "interrupted, and resumed with: harken train DATA" in record.recipe


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
class TestKilled:
    def test_nothing_is_half_written_nobody_stays_behind_and_resume_works(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        run, settings = tmp_path / "run", tmp_path / "settings.json"
        settings.write_text(json.dumps(dataclasses.asdict(CONFIG)))
        process = subprocess.Popen(
            tone_words.command(run, "--config", settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: (run / "checkpoint.npz").exists() or process.poll() is not None)
        assert process.poll() is None, "the test was too slow to kill it"
        workers = children(process.pid)
        process.kill()
        process.wait()

        folder = RunFolder(run)
        assert folder.load_record().config.seed == CONFIG.seed
        assert int(folder.load_arrays("checkpoint.npz")["step"]) > 0
        assert folder.load_json("history.json")
        assert not folder.has("weights.npz")
        if Path("/proc/self/stat").exists():
            assert len(workers) >= 2
            wait_until(lambda: not any(map(is_running, workers)), seconds=20)

        tone_words.train(run, folder.load_record().config, resume=True)
        assert names(run) == FILES
        assert_same_run(run, whole_run)

    def test_a_worker_that_dies_is_one_clear_error(self, tone_words: Tones, tmp_path: Path) -> None:
        def kill_workers(progress: Progress) -> None:
            if progress.step == 1:
                for child in children(os.getpid()):
                    command = Path(f"/proc/{child}/cmdline").read_bytes()
                    if b"spawn_main" in command:
                        os.kill(child, signal.SIGKILL)

        if not Path("/proc/self/stat").exists():
            pytest.skip("needs /proc")
        with pytest.raises(RunError, match=r"a process that draws .* has died.*--resume"):
            tone_words.train(tmp_path / "run", on_progress=kill_workers)

    def test_workers_that_the_same_signal_ended_are_no_error(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        """A service manager, or `kill` of a group, ends all processes at once."""

        class Ended:
            def draw(self, first: int, end: int) -> Iterator[Batch]:
                yield from ()
                raise RunError("a process has died") from BrokenProcessPool()

        config, run = RunFolder(whole_run).load_record().config, RunFolder(tmp_path)
        stop = fit._Stop()
        fitting = fit._Fitting(config, tone_words.source.open(), run, stop)
        batches = cast(Batches, Ended())
        with pytest.raises(RunError):
            list(fitting._until_stopped(batches))
        assert not run.has("checkpoint.npz")
        stop.ask(signal.SIGTERM)
        assert not list(fitting._until_stopped(batches))
        assert run.has("checkpoint.npz")

    def test_a_signal_while_it_is_set_up_ends_it_before_the_first_batch(
        self, tone_words: Tones, tmp_path: Path
    ) -> None:
        def at(stage: str) -> None:
            if stage == "training":  # all is set up
                signal.raise_signal(signal.SIGTERM)

        outcome = tone_words.train(tmp_path / "run", on_stage=at)
        assert (outcome.finished, outcome.epochs) == (False, 0)
        assert outcome.signal == signal.SIGTERM
        assert names(tmp_path / "run") == ["config.json"]
        again = tone_words.train(tmp_path / "run", resume=True, on_progress=StopAt(2))
        assert (again.finished, again.epochs, again.signal) == (False, 0, signal.SIGINT)


@pytest.mark.slow
class TestFailures:
    def test_a_full_disk_leaves_the_last_checkpoint(
        self, tone_words: Tones, tmp_path: Path
    ) -> None:
        run = tmp_path / "run"
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        disk = mock.patch("os.fsync", side_effect=full)

        def fill_disk(progress: Progress) -> None:
            if progress.step == 6:
                disk.start()

        try:
            with pytest.raises(RunError, match=r"No space left on device; free some space there"):
                tone_words.train(run, on_progress=fill_disk)
        finally:
            disk.stop()
        assert names(run) == ["checkpoint.npz", "config.json", "history.json"]
        assert int(RunFolder(run).load_arrays("checkpoint.npz")["step"]) == 4

    def test_a_full_disk_at_the_end_can_be_resumed(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        run = tmp_path / "run"
        full = RunError("cannot write curves.png: No space left on device")
        with (
            mock.patch.object(fit, "draw_curves", side_effect=full),
            pytest.raises(RunError, match=r"curves\.png"),
        ):
            tone_words.train(run)
        assert RunFolder(run).has("checkpoint.npz")
        assert tone_words.train(run, resume=True).finished
        assert_same_run(run, whole_run)

    def test_a_run_that_diverges_says_so(self, tone_words: Tones, tmp_path: Path) -> None:
        too_fast = dataclasses.replace(CONFIG, learning_rate=1e38)
        with pytest.raises(RunError, match=r"training diverged: the loss is .* learning_rate"):
            tone_words.train(tmp_path / "run", too_fast)

    def test_a_checkpoint_that_does_not_fit_is_refused(
        self, whole_run: Path, tone_words: Tones, tmp_path: Path
    ) -> None:
        run = RunFolder(tmp_path)
        fitting = fit._Fitting(
            RunFolder(whole_run).load_record().config, tone_words.source.open(), run
        )
        fitting.save()
        fitting.restore()
        good = run.load_arrays("checkpoint.npz")
        assert {name for name in good if name.startswith("state/")} == {
            *("state/svdf_0", "state/svdf_1", "state/lstm_0/h", "state/lstm_0/c")
        }
        assert {name.split("/")[0] for name in good} == {
            "average",
            "loss_sum",
            "optimizer",
            "seconds",
            "state",
            "step",
            "variable",
        }
        for name in good:
            run.save_arrays("checkpoint.npz", {k: v for k, v in good.items() if k != name})
            with pytest.raises(RunError, match=rf"checkpoint\.npz is damaged: {name} is missing"):
                fitting.restore()
            run.save_arrays("checkpoint.npz", {**good, name: np.zeros((2, 7), np.float32)})
            with pytest.raises(RunError, match=rf"{name} has the shape \(2, 7\), not \("):
                fitting.restore()


SOUNDS = [
    ("word", word, split, spoken(hertz))
    for word, hertz in (("low", 400.0), ("high", 2500.0), ("middle", 1000.0))
    for split in ("training", "validation", "testing")
]


class TestResumingSomethingElse:
    """What differs is named, before anything is written or drawn."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> RunFolder:
        run = RunFolder(tmp_path / "run")
        run.create()
        measured = dataclasses.replace(CONFIG.front_end, mean=(1.0,) * 10, std=(2.0,) * 10)
        config = dataclasses.replace(CONFIG, front_end=measured)
        run.save_record(make_record(config, corpus_of(*SOUNDS), "harken train"))
        return run

    def resume(self, run: RunFolder, config: TrainConfig, **changes: Any) -> None:
        corpus = dataclasses.replace(corpus_of(*SOUNDS), **changes)
        source = DataSource(root=Path("memory"))
        train(config, source, corpus, run, recipe="harken train", resume=True)

    @pytest.mark.parametrize(
        "changes",
        [
            {"seed": 5},
            {"words": ("high", "low")},
            {"held_out_words": ("middle",)},
            {"model": ModelConfig(lstm_units=(3,))},
            {"streams": StreamConfig(speed=0.0), "dropout": 0.3},
            {"front_end": FrontEndConfig(n_mels=20, n_mfcc=11)},
            {"front_end": FrontEndConfig(n_mels=20, n_mfcc=10, mean=(9.0,) * 10)},
        ],
        ids=" ".join,
    )
    def test_other_settings(self, run: RunFolder, changes: dict[str, Any]) -> None:
        with pytest.raises(RunError) as caught:
            self.resume(run, dataclasses.replace(CONFIG, **changes))
        assert "was started with other settings" in str(caught.value)
        assert all(name in str(caught.value) for name in changes)
        assert names(run.path) == ["config.json"]

    def test_other_recordings(self, run: RunFolder) -> None:
        with pytest.raises(RunError, match=r"started with other recordings .*of memory, now other"):
            self.resume(run, CONFIG, fingerprint="other")

    def test_another_split(self, run: RunFolder) -> None:
        report = dataclasses.replace(corpus_of(*SOUNDS).report, split_rule="at random")
        with pytest.raises(RunError, match=r"split as given, now .* at random; give the --split-"):
            self.resume(run, CONFIG, report=report)

    def test_a_run_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"config\.json is missing, so .* is not a finished run"):
            self.resume(RunFolder(tmp_path / "nothing"), CONFIG)


class TestUnfitData:
    def refuse(self, tmp_path: Path, config: TrainConfig, *sounds: Any, says: str) -> None:
        run = RunFolder(tmp_path / "run")
        with pytest.raises(DataError, match=says):
            train(config, DataSource(root=Path("memory")), corpus_of(*sounds), run, recipe="")
        assert not run.path.exists()

    def test_a_keyword_without_recordings(self, tmp_path: Path) -> None:
        sounds = [("word", "low", split, spoken(400.0)) for split in ("training", "validation")]
        self.refuse(tmp_path, CONFIG, *sounds, says="no recordings of 'high' in the training split")

    def test_a_word_that_is_held_out_of_nothing(self, tmp_path: Path) -> None:
        sounds = [
            ("word", word, split, spoken(400.0))
            for word in CONFIG.words
            for split in ("training", "validation")
        ]
        config = dataclasses.replace(CONFIG, held_out_words=("hapy",))
        self.refuse(tmp_path, config, *sounds, says="no recordings of 'hapy'")

    def test_nothing_to_validate_with(self, tmp_path: Path) -> None:
        sounds = [("word", word, "training", spoken(400.0)) for word in CONFIG.words]
        self.refuse(tmp_path, CONFIG, *sounds, says="no clip of any of the words to validate with")
