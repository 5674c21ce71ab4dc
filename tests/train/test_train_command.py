"""`harken train`: what it asks of training, what it says, and how it ends."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("librosa", reason="training needs harken[train]")
pytest.importorskip("tensorflow", reason="training needs harken[train]")

from command import Outcome as Ended
from command import harken
from synthetic_corpus import write_tone_words
from synthetic_run import N_MFCC, write_run

from harken.train import batches as batches_module
from harken.train import cli, fit
from harken.train import data as data_module
from harken.train.base import base_of, save_base
from harken.train.cli import SizeChoice
from harken.train.config import SIZES, TrainConfig
from harken.train.fit import Outcome, Progress
from harken.train.run import RunFolder, RunRecord
from harken.train.settings import settings

USAGE_ERROR, DATA_ERROR, DEPENDENCY_ERROR, RUN_ERROR, INTERRUPTED = 2, 5, 6, 8, 130

BEST = {"epoch": 2.0, "loss": 0.5, "seconds": 3.0, "clip_accuracy": 0.875, "stream_loss": 0.25}


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {"low": 400.0, "high": 2500.0, "middle": 1000.0, "_silence_": 50.0, "_unknown_": 6000.0}
    return write_tone_words(tmp_path_factory.mktemp("data") / "my words", words=words, clips=6)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "my run"


class FakeTraining:
    """In the place of `harken.train.fit.train`: keeps what it is asked, and answers."""

    def __init__(self) -> None:
        self.outcome = Outcome(finished=True, epochs=40, best=BEST)
        self.asked: dict[str, Any] = {}

    def __call__(self, config: TrainConfig, *positional: Any, **named: Any) -> Outcome:
        self.asked = {"config": config, **named}
        for step in (1, 2):
            named["on_progress"](
                Progress(epoch=1, epochs=40, step=step, steps=80, loss=0.5, history=[BEST])
            )
        return self.outcome

    @property
    def config(self) -> TrainConfig:
        config: TrainConfig = self.asked["config"]
        return config


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining()
    monkeypatch.setattr(fit, "train", fake)
    return fake


@pytest.fixture
def run_train(recordings: Path, out: Path, tmp_path: Path):
    """Run the command on the recordings, with some options."""

    def run(*options: object, data: Path = recordings) -> Ended:
        return harken("train", data, "--out", out, "--cache-dir", tmp_path / "cache", *options)

    return run


class TestWhatIsTrained:
    def test_all_words_there_are_unless_told_otherwise(self, run_train, training) -> None:
        assert run_train().exit_code == 0
        assert training.config == TrainConfig(words=("high", "low", "middle"))
        assert training.asked["resume"] is False

    def test_but_not_those_that_are_held_out(self, run_train, training) -> None:
        run_train("--held-out", "middle")
        assert training.config.words == ("high", "low")
        assert training.config.held_out_words == ("middle",)

    def test_options(self, run_train, training) -> None:
        run_train("--words", "low, high,", "--size", "tiny", "--epochs", 3, "--seed", 7)
        assert training.config == TrainConfig(
            words=("low", "high"), model=SIZES["tiny"], epochs=3, seed=7
        )

    def test_a_file_of_settings(self, run_train, training, tmp_path: Path) -> None:
        file = tmp_path / "settings.json"
        file.write_text(json.dumps({"words": ["low"], "epochs": 3}))
        run_train("--config", file, "--seed", 5)
        assert training.config == TrainConfig(words=("low",), epochs=3, seed=5)

    def test_several_files_of_settings(self, run_train, training, tmp_path: Path) -> None:
        words, epochs = tmp_path / "words.json", tmp_path / "epochs.json"
        words.write_text(json.dumps({"words": ["low"], "epochs": 3}))
        epochs.write_text(json.dumps({"epochs": 4}))
        run_train("--config", words, "--config", epochs)
        assert training.config == TrainConfig(words=("low",), epochs=4)
        assert "--config words.json --config epochs.json" in training.asked["recipe"]

    def test_a_file_of_settings_that_names_no_words(self, run_train, training, tmp_path) -> None:
        file = tmp_path / "settings.json"
        file.write_text(json.dumps({"epochs": 3, "held_out_words": ["middle"]}))
        assert run_train("--config", file).exit_code == 0
        assert training.config == TrainConfig(
            words=("high", "low"), held_out_words=("middle",), epochs=3
        )

    def test_words_in_one_form_of_unicode(self, training, tmp_path: Path) -> None:
        data = write_tone_words(
            tmp_path / "data", words={"tu\u0308r": 400.0, "Yes": 900.0}, clips=4
        )
        for options in ((), ("--words", "Yes,t\u00fcr")):
            ended = harken("train", data, "--out", tmp_path / "run", *options)
            assert ended.exit_code == 0
            assert set(training.config.words) == {"Yes", "t\u00fcr"}

    def test_every_size_can_be_chosen(self) -> None:
        assert [choice.value for choice in SizeChoice] == list(SIZES)

    def test_resuming_takes_the_runs_own_settings(self, run_train, training, out: Path) -> None:
        config = TrainConfig(words=("low",), seed=9)
        run = RunFolder(out)
        run.create()
        run.save_record(RunRecord(config=config, recipe="", data={}, versions={}))
        run_train("--resume")
        assert training.config == config
        assert training.asked["resume"] is True

    def test_the_weights_of_an_earlier_run(self, run_train, training, tmp_path: Path) -> None:
        """Words that both have begin with what was learned; features are as they were."""
        before = RunFolder(write_run(tmp_path / "before"))
        record = before.load_record()
        file = tmp_path / "settings.json"
        shape = {
            part: dataclasses.asdict(getattr(record.config, part))
            for part in ("model", "front_end", "step")
        }
        file.write_text(json.dumps({"words": ["low"], **shape}))
        measured = dataclasses.replace(
            record.config.front_end, mean=(1.0,) * N_MFCC, std=(2.0,) * N_MFCC
        )
        config = dataclasses.replace(record.config, front_end=measured)
        before.save_record(dataclasses.replace(record, config=config))

        assert run_train("--from", before.path, "--config", file).exit_code == 0
        assert training.config.front_end == measured
        first, there = training.asked["first"], before.load_arrays("weights.npz")
        np.testing.assert_array_equal(first["lstm_0/kernel"], there["lstm_0/kernel"])
        np.testing.assert_array_equal(  # unknown and silence
            first["dense_out/kernel"][:, 1:], there["dense_out/kernel"][:, 2:]
        )
        assert "--from before" in training.asked["recipe"]

        weights = tmp_path / "before.base.npz"
        save_base(base_of(before.path, "before"), weights)
        run_train("--from", weights, "--config", file)
        again = training.asked["first"]
        np.testing.assert_array_equal(again["lstm_0/kernel"], first["lstm_0/kernel"].astype("f2"))
        assert "--from before.base.npz" in training.asked["recipe"]

    def test_a_teacher(self, run_train, training, tmp_path: Path) -> None:
        teacher = RunFolder(write_run(tmp_path / "large"))
        shape = teacher.load_record().config
        file = tmp_path / "settings.json"
        parts = {part: dataclasses.asdict(getattr(shape, part)) for part in ("front_end", "step")}
        model = {"dense_units": 8, "lstm_units": [12]}
        file.write_text(json.dumps({"words": ["yes"], "model": model, **parts}))
        weights = tmp_path / "large.base.npz"
        save_base(base_of(teacher.path, "large"), weights)
        for given in (teacher.path, weights):
            assert run_train("--teacher", given, "--config", file).exit_code == 0
            assert training.asked["teacher"].name == "large"
            assert training.asked["first"] is None
            assert f"--teacher {given.name}" in training.asked["recipe"]

    def test_the_recipe_repeats_the_run(self, run_train, training, tmp_path: Path) -> None:
        file = tmp_path / "my settings.json"
        file.write_text(json.dumps({"words": ["low"], "dropout": 0.2}))
        run_train("--config", file, "--held-out", "middle", "--size", "small", "--epochs", 3)
        recipe = shlex.split(training.asked["recipe"])
        assert recipe[:5] == ["harken", "train", "DATA", "--out", "RUN"]
        given = dict(zip(recipe[5::2], recipe[6::2], strict=True))
        assert given["--config"] == "my settings.json"
        again = settings(
            None,
            file,
            words=tuple(given["--words"].split(",")),
            held_out_words=tuple(given["--held-out"].split(",")),
            size=given["--size"],
            epochs=int(given["--epochs"]),
            seed=int(given["--seed"]),
        )
        assert again == training.config


class TestWhatIsSaid:
    def test_the_data_each_epoch_and_the_result(self, run_train, training, out: Path) -> None:
        ended = run_train()
        assert ended.exit_code == 0
        assert "31 files; words split by speaker" in ended.err
        assert ended.err.count("epoch   2: loss 0.5000, validation: clips 87.50%") == 1
        assert "streams 0.2500, 3 s" in ended.err
        assert "epoch 2 is the best, 87.50% of the validation clips" in ended.out
        assert f"harken export '{out}' --out DIR" in ended.out

    def test_a_name_for_the_model_where_the_folders_will_not_do(
        self, recordings: Path, training, tmp_path: Path
    ) -> None:
        out = tmp_path / "über 9000!"
        ended = harken("train", recordings, "--out", out, "--cache-dir", tmp_path / "cache")
        said = ended.out.split("make a model of it with: ")[1]
        assert shlex.split(said)[2:] == [str(out), "--out", "DIR", "--name", "ber-9000"]

    def test_json_alone_on_standard_output(self, run_train, training, out: Path) -> None:
        ended = run_train("--json")
        assert json.loads(ended.out) == {"run": str(out), "best": BEST}

    def test_how_to_go_on_after_an_interruption(
        self, run_train, training, recordings: Path, out: Path, tmp_path: Path
    ) -> None:
        training.outcome = Outcome(finished=False, epochs=7, best=BEST)
        ended = run_train("--json", "--split-rule", "random")
        assert ended.exit_code == INTERRUPTED
        assert ended.out == ""
        said = ended.err.splitlines()[-1]
        assert said.startswith("stopped after 7 of 40 epochs; continue with: harken train ")
        assert shlex.split(said.split("continue with: ")[1]) == [
            *("harken", "train", str(recordings), "--out", str(out), "--resume"),
            *("--split-rule", "random", "--cache-dir", str(tmp_path / "cache")),
        ]

    def test_sigterm_has_an_exit_code_of_its_own(self, run_train, training) -> None:
        ended = Outcome(finished=False, epochs=7, best=BEST, signal=signal.SIGTERM)
        training.outcome = ended
        assert run_train().exit_code == 143

    def test_before_its_first_epoch_too(self, run_train, training) -> None:
        training.outcome = Outcome(finished=False, epochs=0, best=None)
        ended = run_train()
        assert ended.exit_code == INTERRUPTED
        assert "stopped after 0 of 40 epochs" in ended.err


class TestWhatIsRefused:
    """At once: nothing is decoded before."""

    @pytest.fixture(autouse=True)
    def no_decoding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def decode(*_: Any, **__: Any) -> None:
            raise AssertionError("decoding has begun")

        monkeypatch.setattr(data_module, "open_cache", decode)

    def test_without_the_training_half(self, run_train, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name in ("librosa", "keras") else find(name, *rest),
        )
        ended = run_train()
        assert ended.exit_code == DEPENDENCY_ERROR
        assert "training needs keras, librosa; install with" in ended.error
        assert "pip install 'harken[train]'" in ended.error

    def test_weights_to_begin_with(self, run_train, tmp_path: Path) -> None:
        ended = run_train("--from", tmp_path / "nothing")
        assert ended.exit_code == RUN_ERROR
        assert "--from takes the folder of a finished run, or a file of weights" in ended.error
        (tmp_path / "text.npz").write_text("weights")
        ended = run_train("--from", tmp_path / "text.npz")
        assert ended.exit_code == DATA_ERROR
        assert "holds no weights to start from" in ended.error
        other = write_run(tmp_path / "other")
        ended = run_train("--from", other, "--size", "tiny")
        assert ended.exit_code == DATA_ERROR
        assert "cannot start from other: its model is ModelConfig(" in ended.error
        assert "dense_units=12" in ended.error
        ended = run_train("--from", other, "--resume")
        assert ended.exit_code == USAGE_ERROR
        assert "leave it out: the run in RUN has begun" in ended.err

    def test_who_cannot_teach(self, run_train, tmp_path: Path) -> None:
        ended = run_train("--teacher", tmp_path / "nothing")
        assert ended.exit_code == RUN_ERROR
        assert "--teacher takes the folder of a finished run" in ended.error
        teacher = write_run(tmp_path / "large")
        ended = run_train("--teacher", teacher, "--words", "low")
        assert ended.exit_code == DATA_ERROR
        assert "large cannot teach low: it knows yes, no; choose another --teacher" in ended.error
        ended = run_train("--teacher", teacher, "--resume")
        assert ended.exit_code == USAGE_ERROR
        assert "leave it out: the run in RUN has begun" in ended.err

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--words", ","], "give words with commas between, as in yes,no"),
            (["--held-out", ""], "give words with commas between, as in yes,no"),
            (["--size", "huge"], "'huge' is not one of 'tiny', 'small', 'medium', 'large'"),
            (["--epochs", "0"], "--epochs"),
            (["--seed", "-1"], "--seed"),
            (["--split-rule", "luck"], "'luck' is not one of 'auto'"),
        ],
    )
    def test_options_that_do_not_fit(self, run_train, options: list[str], said: str) -> None:
        ended = run_train(*options)
        assert ended.exit_code == USAGE_ERROR
        assert said in ended.err

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("low,low", "words is ('low', 'low'); it must name each word once"),
            ("low,unknown", "not contain 'unknown', a label that every model has"),
            ("low,Unknown", "'Unknown' is a label that every model has"),
            ('rock"n"roll', "holds '\"', which a word cannot have"),
            ("low,Low", "'low' and 'Low' are the same but for capitals; leave one out"),
        ],
    )
    def test_words_that_do_not_fit(self, run_train, words: str, said: str) -> None:
        ended = run_train("--words", words)
        assert ended.exit_code == DATA_ERROR
        assert said in ended.error

    def test_settings_that_do_not_fit(self, run_train, tmp_path: Path) -> None:
        (tmp_path / "settings.json").write_text('{"words": ["low"], "epoch": 3}')
        ended = run_train("--config", tmp_path / "settings.json")
        assert ended.exit_code == DATA_ERROR
        assert "epoch is not a known setting; known are words" in ended.error

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"model": {"lstm_units": [8], "cell_clip": 5}}, "model.cell_clip is 5.0; for a model"),
            ({"model": {"lstm_units": [40_000]}}, "the width of the network is 40120"),
            ({"front_end": {"window_samples": 400}}, "window_samples is 400; for a model that can"),
            ({"front_end": {"n_mels": 200}}, "front_end.n_mels is 200"),
            ({"front_end": {"f_min_hz": 100, "f_max_hz": 110}}, "front_end.f_max_hz is 110.0"),
            (
                {"front_end": {"n_mfcc": 13, "mean": [0] * 13, "std": [0.01] * 13}},
                "the smallest front_end.std is 0.01",
            ),
            (
                {"front_end": {"n_mfcc": 13, "mean": [99] * 13}},
                "the largest front_end.mean, over its",
            ),
            ({"front_end": {"n_mfcc": 10}}, "wider than what is left of the 10 bands"),
            ({"step": {"stride_frames": 2, "context_frames": 300}}, "step.context_frames is 300"),
            ({"step": {"stride_frames": 200, "context_frames": 200}}, "step.stride_frames is 200"),
            ({"smoothing_steps": 16}, "smoothing_steps is 16; for a model that can be exported it"),
            ({"refractory_ms": 10**10}, "refractory_ms is 10000000000"),
            ({"threshold": 1e-9}, "threshold is 1e-09"),
            ({"words": [f"w{n}" for n in range(126)]}, "the number of words is 126"),
        ],
        ids=str,
    )
    def test_settings_of_a_model_that_could_not_be_exported(
        self, run_train, tmp_path: Path, content: dict[str, Any], said: str
    ) -> None:
        (tmp_path / "settings.json").write_text(json.dumps({"words": ["low"], **content}))
        ended = run_train("--config", tmp_path / "settings.json")
        assert ended.exit_code == DATA_ERROR
        assert said in ended.error

    def test_settings_before_tensorflow_is_loaded(self, run_train, monkeypatch, tmp_path) -> None:
        def load() -> None:
            raise AssertionError("TensorFlow is loaded")

        monkeypatch.setattr(cli, "_start_tensorflow", load)
        assert "does not exist; check --config" in run_train("--config", tmp_path / "no").error

    def test_a_folder_that_holds_a_run(self, run_train, out: Path) -> None:
        out.mkdir()
        (out / "config.json").write_text("{}")
        ended = run_train()
        assert ended.exit_code == RUN_ERROR
        assert "holds a run already; choose another --out, or continue it with" in ended.error

    @pytest.mark.parametrize("name", ["report.json", "weights.npz", "curves.png"])
    def test_files_of_somebody_else(self, run_train, out: Path, name: str) -> None:
        out.mkdir()
        (out / "notes.txt").write_text("other files may be there")
        (out / name).write_text("mine")
        ended = run_train()
        assert ended.exit_code == RUN_ERROR
        assert f"holds {name}, which a run would replace; choose another --out" in ended.error

    def test_no_folder_at_all(self, recordings: Path) -> None:
        ended = harken("train", recordings, "--out", "")
        assert ended.exit_code == USAGE_ERROR
        assert "'' is not a path" in ended.err

    def test_resuming_nothing(self, run_train) -> None:
        ended = run_train("--resume")
        assert ended.exit_code == RUN_ERROR
        assert "config.json is missing" in ended.error

    def test_data_that_are_not_there(self, run_train, tmp_path: Path, out: Path) -> None:
        ended = run_train(data=tmp_path / "nowhere")
        assert ended.exit_code == DATA_ERROR
        assert "nowhere does not exist" in ended.error
        assert not out.exists()


class TestWhatTheDataLack:
    def test_a_word(self, run_train, out: Path) -> None:
        ended = run_train("--words", "low,hihg")
        assert ended.exit_code == DATA_ERROR
        assert "no recordings of 'hihg' in the training split" in ended.error
        assert "there are: " in ended.error
        assert not out.exists()

    def test_a_word_to_hold_out(self, run_train, out: Path) -> None:
        ended = run_train("--held-out", "midle")
        assert ended.exit_code == DATA_ERROR
        assert "no recordings of 'midle'" in ended.error
        assert not out.exists()

    def test_clips_of_a_word_to_validate_with(self, training, tmp_path: Path) -> None:
        data = write_tone_words(tmp_path / "data", words={"low": 400.0, "high": 900.0}, clips=6)
        for path in sorted((data / "low").iterdir())[1:]:
            path.unlink()
        ended = harken("train", data, "--out", tmp_path / "run", "--words", "low,high")
        assert ended.exit_code == 0
        assert "no clip of low to validate with: how well the model hears it will" in ended.err

    def test_clips_to_train_on_where_one_speaker_says_a_word(self, tmp_path: Path) -> None:
        data = write_tone_words(tmp_path / "data", words={"low": 400.0, "high": 900.0}, clips=6)
        for word in ("low", "high", "mid"):
            folder = data / word / f"speaker of {word}"
            folder.mkdir(parents=True)
            for path in (data / ("high" if word == "mid" else word)).glob("*.wav"):
                (folder / path.name).write_bytes(path.read_bytes())
        for path in data.glob("*/*.wav"):
            path.unlink()
        ended = harken("train", data, "--out", tmp_path / "run")
        assert ended.exit_code == DATA_ERROR
        assert "where words are split by speaker, no speaker in two parts: 18 clips." in ended.error
        assert "clips of each of them at least" in ended.error or "clips of it" in ended.error
        assert "or split with --split-rule random; there are: " in ended.error

    def test_noise_and_other_speech(self, training, tmp_path: Path) -> None:
        data = write_tone_words(tmp_path / "data", words={"low": 400.0, "high": 900.0}, clips=6)
        said = harken("train", data, "--out", tmp_path / "run").err
        assert "no noise to learn from" not in said
        shutil.rmtree(data / "_background_noise_")
        said = harken("train", data, "--out", tmp_path / "run").err
        assert "no noise to learn from" in said
        assert "no speech but the words to learn from" in said
        said = harken("train", data, "--out", tmp_path / "run", "--words", "low").err
        assert "no speech but the words" not in said

    @pytest.mark.parametrize("folder", ["background_noise", "Noise", "negatives", "train"])
    def test_folders_of_words_alone(self, training, tmp_path: Path, folder: str) -> None:
        data = write_tone_words(tmp_path / "data", words={"low": 400.0, folder: 900.0}, clips=6)
        ended = harken("train", data, "--out", tmp_path / "run")
        assert ended.exit_code == DATA_ERROR
        assert f"is {folder!r} a word? If it is, name all words with --words" in ended.error
        ended = harken("train", data, "--out", tmp_path / "run", "--words", "low")
        assert ended.exit_code == 0
        assert f"taken for words, as all folders are: {folder}; noise belongs" in ended.err

    def test_a_run_folder_that_cannot_be_made(self, recordings: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        ended = harken(
            *("train", recordings, "--out", tmp_path / "file" / "run"),
            *("--cache-dir", tmp_path / "cache"),
        )
        assert ended.exit_code == RUN_ERROR
        assert "cannot make the run folder" in ended.error


@pytest.mark.slow
class TestCtrlC:
    """In a terminal it reaches all processes of the command at once."""

    @staticmethod
    def start(recordings: Path, out: Path, tmp_path: Path) -> subprocess.Popen[str]:
        command = [
            *(sys.executable, "-m", "harken", "train", recordings, "--out", out),
            *("--cache-dir", tmp_path / "cache", "--size", "tiny", "--epochs", 100_000),
        ]
        return subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @pytest.mark.parametrize("moment", ["config.json", "checkpoint.npz"])
    def test_it_ends_cleanly(
        self, recordings: Path, out: Path, tmp_path: Path, moment: str
    ) -> None:
        process = self.start(recordings, out, tmp_path)
        deadline = time.monotonic() + 120
        while not (out / moment).exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if moment == "config.json":
            time.sleep(2)  # about when the workers start
        os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=120)
        assert process.returncode == INTERRUPTED
        assert said == ""
        assert "Traceback" not in errors
        if moment == "checkpoint.npz":
            assert errors.splitlines()[-1].endswith(f"--resume --cache-dir {tmp_path / 'cache'}")

    def test_before_training_begins_too(
        self, recordings: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(batches_module, "load_corpus", interrupted)
        ended = harken("train", recordings, "--out", out)
        assert ended.exit_code == INTERRUPTED
        assert not out.exists()
