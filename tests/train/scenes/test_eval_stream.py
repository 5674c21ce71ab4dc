"""`harken eval --stream`: its figures and files, other programs, and what it says to mistakes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Outcome, harken

pytest.importorskip("scipy", reason="training needs harken[train]")

from scene_sounds import write_scene, write_sound
from synthetic_corpus import write_tone_words

from harken.train.data import load_corpus
from harken.train.scenes.leaks import encode_identities, identity
from harken.train.scenes.sweep import Listener


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sound(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def model(tones_folder: Path) -> Path:
    return tones_folder / "tones.json"


def listening(model: Path, *options: object) -> Outcome:
    return harken("eval", model, "--stream", *options)


def test_figures_of_scenes_and_hours_without_a_word(model: Path, sound: Path) -> None:
    done = listening(
        model, "--scenes", sound / "scenes", "--negatives", sound / "negatives", "--json"
    )
    assert done.exit_code == 0, done.err
    report = json.loads(done.out)
    shipped = report["operating_points"][0]
    assert shipped["said"] == 40
    assert shipped["missed"] <= 2
    assert shipped["hours"] == pytest.approx(4 / 60, rel=0.01)
    assert shipped["miss_rate_95_low"] <= shipped["miss_rate"] <= shipped["miss_rate_95_high"]
    assert -0.4 < shipped["latency_median_s"] < 0.6


def test_a_table_for_people(model: Path, sound: Path) -> None:
    done = listening(model, "--scenes", sound / "scenes", "--negatives", sound / "negatives")
    assert done.exit_code == 0, done.err
    assert "40 words in" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_report_and_the_curve_are_left_behind(model: Path, sound: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scenes = ("--scenes", sound / "scenes", "--negatives", sound / "negatives")
    assert listening(model, *scenes, "--out", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["det.png", "report.json"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["operating_points"]


def test_scenes_of_recordings_are_kept_and_heard_again(model: Path, tmp_path: Path) -> None:
    data = write_tone_words(tmp_path / "data", words={"low": 400.0, "high": 2500.0}, clips=40)
    made = listening(
        model,
        *("--data", data, "--cache-dir", tmp_path / "cache", "--words-per-condition", 8),
        *("--scene-dir", tmp_path / "kept", "--keep", "--json"),
    )
    assert made.exit_code == 0, made.err
    again = listening(model, "--scenes", tmp_path / "kept", "--json")
    assert again.exit_code == 0, again.err
    first, second = (json.loads(done.out)["operating_points"][0] for done in (made, again))
    for figure in ("said", "missed", "false_accepts", "latency_median_s"):
        assert first[figure] == second[figure], figure


def test_listening_is_an_adapter_of_itself(model: Path, sound: Path) -> None:
    command = shlex.join(
        [sys.executable, "-m", "harken", "listen", str(model), "--stdin", "--json"]
    )
    scenes = ("--scenes", sound / "scenes", "--json")
    own = listening(model, *scenes)
    other = harken("eval", "--stream", *scenes, "--adapter", command, "--words", "low,high")
    assert other.exit_code == 0, other.err
    first, second = (json.loads(done.out)["operating_points"][0] for done in (own, other))
    for figure in ("said", "missed", "false_accepts"):
        assert first[figure] == second[figure], figure


def test_ctrl_c_ends_it_with_130(model: Path, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Listener, "posteriors", interrupted)
    done = listening(model, "--scenes", sound / "scenes")
    assert done.exit_code == 130
    assert done.out == ""
    assert "Traceback" not in done.err


def test_a_model_is_not_measured_on_speakers_of_its_training(
    edit_manifest: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_tone_words(tmp_path / "data", words={"low": 400.0, "high": 2500.0}, clips=40)
    corpus = load_corpus(data, cache_dir=tmp_path / "cache")
    speakers = map(identity, corpus.select("word", split="validation"))
    field = "provenance.training_speakers"
    options = ("--data", data, "--cache-dir", tmp_path / "cache", "--words-per-condition", 8)
    strangers = edit_manifest({field: encode_identities(["somebody", "else"])})
    assert listening(strangers, *options).exit_code == 0
    known = edit_manifest({field: encode_identities(speakers)})
    done = listening(known, *options)
    assert done.exit_code == 5
    assert "tones was trained on recordings of" in done.error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give recordings with --data"),
        (("--scenes", "x", "--data", "y"), "give either this or --data"),
        (("--scenes", "x", "--keep"), "say where, with --scene-dir DIR"),
        (("--scenes", "x", "--balance"), "it is of clips"),
        (("--scenes", "x", "--split", "all"), "scenes are made from one split"),
        (("--scenes", "x", "--words", "low"), "a model listens for all its words"),
    ],
)
def test_options_that_do_not_fit(model: Path, options: tuple[str, ...], said: str) -> None:
    done = listening(model, *options)
    assert done.exit_code == 2
    assert said in " ".join(done.err.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--scenes", "--negatives", "--adapter"])
def test_options_of_streams_need_it(model: Path, tmp_path: Path, option: str) -> None:
    done = harken("eval", model, "--data", tmp_path, option, tmp_path)
    assert done.exit_code == 2
    assert "it needs --stream" in " ".join(done.err.split())


def test_labels_with_none_of_the_words(model: Path, tmp_path: Path) -> None:
    write_scene(tmp_path, "scene", ("low", "high"), seed=0)
    (tmp_path / "scene.txt").write_text("0.5\t0.9\tleft\n")
    done = listening(model, "--scenes", tmp_path)
    assert done.exit_code == 5
    assert "none of the words in the labels is a word of the model" in done.error
