"""Runs that are averaged: the mean of their weights, with its own moments, as a run to export."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("librosa", reason="training needs harken[train]")
pytest.importorskip("tensorflow", reason="training needs harken[train]")

from command import harken
from synthetic_corpus import write_tone_words
from synthetic_run import write_run

from harken.train.batches import DataSource
from harken.train.config import ModelConfig, StreamConfig, TrainConfig
from harken.train.fit import train
from harken.train.network import is_moment
from harken.train.run import RunFolder, load_finished

RUN_ERROR = 8
CONFIG = TrainConfig(
    words=("low", "high"),
    model=ModelConfig(
        dense_units=0, svdf_units=(6, 6), svdf_memory=(3, 3), svdf_residual=0, lstm_units=(6,)
    ),
    streams=StreamConfig(seconds=2.0),
    epochs=1,
    distinct_epochs=1,
    min_steps=4,
    batch_streams=4,
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {"low": 400.0, "high": 2500.0, "middle": 1000.0}
    return write_tone_words(tmp_path_factory.mktemp("data") / "words", words=words, clips=20)


@pytest.fixture(scope="module")
def runs(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs from the same random weights: the second is trained for longer."""
    folder = tmp_path_factory.mktemp("runs")
    source = DataSource(root=recordings, cache_dir=folder / "cache")
    corpus = source.open()
    paths = []
    for name, steps in (("one", 4), ("two", 12)):
        config = TrainConfig(**{**vars(CONFIG), "min_steps": steps})
        run = RunFolder(folder / name)
        assert train(config, source, corpus, run, recipe="harken train", workers=1).finished
        paths.append(run.path)
    return paths


@pytest.mark.slow
def test_the_weights_are_the_mean_with_moments_of_their_own(
    runs: list[Path], recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mean"
    said = harken(
        "average", *runs, "--data", recordings, "--out", out, "--cache-dir", tmp_path / "c"
    )
    assert said.exit_code == 0
    assert said.out.startswith(f"{out}: ")
    assert f"make a model of it with: harken export {out} --out DIR" in said.out
    one, two, mean = (RunFolder(path).load_arrays("weights.npz") for path in (*runs, out))
    assert mean.keys() == one.keys()
    for name, value in mean.items():
        half = (one[name] + two[name]) / 2
        if not is_moment(name):
            np.testing.assert_allclose(value, half, rtol=1e-6, err_msg=name)
        elif name.startswith("svdf_1"):  # those of the first layer are nearly linear in its weights
            assert not np.allclose(value, half, rtol=1e-3), f"{name} is not measured"


@pytest.mark.slow
def test_the_result_is_a_run_that_can_be_exported(
    runs: list[Path], recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mean"
    options = ("--data", recordings, "--out", out, "--cache-dir", tmp_path / "c", "--json")
    options += ("--split-rule", "random")
    answer = json.loads(harken("average", *runs, *options).out)
    assert answer["run"] == str(out)
    report = json.loads((out / "report.json").read_text())
    assert report["best"] == pytest.approx(answer["figures"])
    assert 0 <= report["validation"]["accuracy"] <= 1
    record = RunFolder(out).load_record()
    assert record.config == RunFolder(runs[0]).load_record().config
    assert record.recipe == ("harken average one two --data DATA --out RUN --split-rule random")
    assert harken("export", out, "--out", tmp_path / "model").exit_code == 0
    assert (tmp_path / "model" / "mean.tflite").exists()


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({}, "one run has nothing to be averaged with; name two or more"),
        ({"lstm_units": (8,)}, "their model differ"),
        ({"left_out": ("yes/a.wav",)}, "their left_out differ"),
        (None, "weights.npz is missing"),
    ],
)
def test_runs_that_do_not_fit_are_refused(
    others: dict[str, object] | None, reason: str, tmp_path: Path
) -> None:
    paths = [write_run(tmp_path / "one")]
    if others != {}:
        changes = dict(others or {})
        left_out = changes.pop("left_out", ())
        two = write_run(tmp_path / "two", **changes)
        record = RunFolder(two).load_record()
        config = dataclasses.replace(record.config, left_out=left_out)
        RunFolder(two).save_record(dataclasses.replace(record, config=config))
        paths.append(two)
    if others is None:
        (tmp_path / "two" / "weights.npz").unlink()
    out = tmp_path / "mean"
    said = harken("average", *paths, "--data", tmp_path, "--out", out)
    assert said.exit_code == RUN_ERROR
    assert reason in said.err
    assert not out.exists()


def test_licences_are_those_of_all(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name) for name in ("one", "two")]
    record = RunFolder(paths[1]).load_record()
    config = dataclasses.replace(record.config, licences={"more voices": "CC0"})
    RunFolder(paths[1]).save_record(dataclasses.replace(record, config=config))
    first = RunFolder(paths[0]).load_record().config.licences
    assert load_finished(paths)[0].config.licences == {**first, "more voices": "CC0"}


def test_stopped_it_writes_no_run(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harken.train.average.Validation", stop)
    paths = [write_run(tmp_path / name) for name in ("one", "two")]
    out = tmp_path / "mean"
    said = harken("average", *paths, "--data", recordings, "--out", out, "--cache-dir", tmp_path)
    assert said.exit_code == 130
    assert "stopped; no run was written" in said.err
    assert not out.exists()


def test_a_run_is_not_replaced(tmp_path: Path) -> None:
    one, two = (write_run(tmp_path / name) for name in ("one", "two"))
    before = (two / "weights.npz").read_bytes()
    said = harken("average", one, two, "--data", tmp_path, "--out", two)
    assert said.exit_code == RUN_ERROR
    assert "holds a run already" in said.err
    assert (two / "weights.npz").read_bytes() == before
