"""`harken tune`: what it writes and what it leaves alone, and what it says to mistakes."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from command import Outcome, harken

pytest.importorskip("scipy", reason="training needs harken[train]")

from scene_sounds import write_sound
from synthetic_corpus import write_tone_words

from harken.edge import Manifest, load_model

CARD = """# tones

A model that hears tones: harken listen tones.tflite, with tones.json beside it.

## Data

Written by a person, with care.

## Limits

None are known.
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sound(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def model(tones_folder: Path) -> Path:
    """The manifest of a model of one's own, with a card."""
    (tones_folder / "tones.md").write_text(CARD)
    return tones_folder / "tones.json"


def tune(model: Path | str, sound: Path, *options: object) -> Outcome:
    return harken(
        "tune",
        model,
        *("--scenes", sound / "scenes", "--negatives", sound / "negatives"),
        *("--fa-per-hour", 60, *options),
    )


def state_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_thresholds_and_figures_go_into_the_manifest(model: Path, sound: Path) -> None:
    before = Manifest.load(model)
    done = tune(model, sound)
    assert done.exit_code == 0, done.err
    after = load_model(model).manifest
    point = after.operating_point
    assert point is not None
    assert point["wanted_false_accepts_per_hour"] == 60
    assert point["said"] == 40
    assert point["missed"] <= 2
    assert point["false_accepts"] <= 60 * point["hours"]
    assert point["hours"] == pytest.approx(4 / 60, rel=0.01)
    assert point["miss_rate_95_low"] <= point["miss_rate"] <= point["miss_rate_95_high"]
    assert point["cross_validated"]["said"] == 40
    assert point["runtime"].startswith("ai-edge-litert")
    assert str(sound / "scenes") in json.dumps(point["scenes"])
    # All else is as it was.
    assert after.detector.refractory_ms == before.detector.refractory_ms
    for field in ("name", "model", "front_end", "labels", "checks", "provenance"):
        assert getattr(after, field) == getattr(before, field)
    assert f"wrote {model}" in done.out
    assert "cross-validated" in done.out


def test_the_figures_are_those_that_eval_finds(model: Path, sound: Path) -> None:
    assert tune(model, sound).exit_code == 0
    evaluated = harken(
        *("eval", model, "--stream", "--json"),
        *("--scenes", sound / "scenes", "--negatives", sound / "negatives"),
    )
    assert evaluated.exit_code == 0, evaluated.err
    shipped = json.loads(evaluated.out)["operating_points"][0]
    point = load_model(model).manifest.operating_point
    assert point is not None
    for figure in ("missed", "said", "false_accepts", "hours", "latency_median_s"):
        assert shipped[figure] == pytest.approx(point[figure]), figure


def test_only_its_own_section_of_the_card_changes(model: Path, sound: Path) -> None:
    assert tune(model, sound).exit_code == 0
    card = model.with_suffix(".md").read_text()
    head, section = card.split("## Operating point\n")
    section, limits = section.split("## Limits\n")
    assert head + "## Limits\n" + limits == CARD
    assert "| Missed words | " in section
    assert "of 40" in section
    assert "at most 60 false accepts per hour" in section
    # Again: the section is replaced.
    assert tune(model, sound, "--fa-per-hour", 120).exit_code == 0
    again = model.with_suffix(".md").read_text()
    assert again.count("## Operating point") == 1
    assert "most 120 false accepts per hour" in again
    assert "most 60 false accepts" not in again


def test_a_model_without_a_card_gets_none(model: Path, sound: Path) -> None:
    model.with_suffix(".md").unlink()
    assert tune(model, sound).exit_code == 0
    assert sorted(state_of(model.parent)) == ["tones.json", "tones.tflite"]


def test_the_model_may_be_named_by_its_tflite_file(model: Path, sound: Path) -> None:
    assert tune(model.with_suffix(".tflite"), sound).exit_code == 0
    assert Manifest.load(model).operating_point is not None


def test_out_makes_a_copy_that_stands_alone(model: Path, sound: Path, tmp_path: Path) -> None:
    before = state_of(model.parent)
    target = tmp_path / "kitchen" / "kitchen-tones.json"
    target.parent.mkdir()
    done = tune(model, sound, "--out", target)
    assert done.exit_code == 0, done.err
    assert state_of(model.parent) == before
    copy = load_model(target)
    assert copy.manifest.name == "kitchen-tones"
    assert copy.manifest.operating_point is not None
    assert copy.content == before["tones.tflite"]
    card = target.with_suffix(".md").read_text()
    assert card.startswith("# kitchen-tones\n")
    assert "harken listen kitchen-tones.tflite, with kitchen-tones.json beside it" in card


def test_a_shipped_model_is_tuned_as_a_copy(sound: Path, tmp_path: Path) -> None:
    done = tune("commands", sound)
    assert done.exit_code == 3
    assert "commands is installed with harken" in done.error
    assert "--out commands.json" in done.error


def test_so_is_one_that_lies_among_installed_packages(model: Path, sound: Path) -> None:
    installed = model.parent / "site-packages" / "harken"
    shutil.copytree(model.parent, installed, ignore=shutil.ignore_patterns("site-packages"))
    before = state_of(installed)
    done = tune(installed / "tones.tflite", sound)
    assert done.exit_code == 3
    assert "is installed with harken" in done.error
    assert state_of(installed) == before


def test_json_holds_the_detector_and_its_figures(model: Path, sound: Path) -> None:
    done = tune(model, sound, "--json")
    result = json.loads(done.out)
    manifest = Manifest.load(model)
    assert result["manifest"] == str(model)
    assert result["detector"]["thresholds"] == dict(manifest.detector.thresholds)
    assert result["operating_point"] == json.loads(manifest.to_json())["operating_point"]


def test_scenes_are_made_of_recordings(model: Path, tmp_path: Path) -> None:
    data = write_tone_words(tmp_path / "data", words={"low": 400.0, "high": 2500.0}, clips=40)
    done = harken(
        *("tune", model, "--data", data, "--cache-dir", tmp_path / "cache"),
        *("--words-per-condition", 12, "--fa-per-hour", 3600, "--json"),
    )
    assert done.exit_code == 0, done.err
    point = json.loads(done.out)["operating_point"]
    assert point["said"] == 12 * len(point["snr"])
    assert set(point["snr"]) == {"clean", "20 dB", "10 dB", "5 dB", "0 dB"}
    assert point["scenes"]["data"]["data_fingerprint"]
    assert point["scenes"]["data"]["seed"] == 0
    assert "cannot be checked" in done.err


class TestGate:
    """`--gate` chooses a gate, and nothing else."""

    def test_the_gate_goes_into_the_manifest(self, model: Path, sound: Path) -> None:
        before = Manifest.load(model)
        done = tune(model, sound, "--gate")
        assert done.exit_code == 0, done.err
        after = load_model(model).manifest
        assert after.gate is not None
        assert f"{after.gate.margin_db:g} dB, {after.gate.hold_ms} ms" in done.out
        figures = after.checks["gate"]
        assert figures["with"]["missed"] <= figures["without"]["missed"]
        assert figures["with"]["false_accepts"] <= figures["without"]["false_accepts"]
        assert 0 < figures["with"]["heard_share"] <= figures["without"]["heard_share"] == 1
        for field in ("name", "model", "front_end", "detector", "operating_point", "provenance"):
            assert getattr(after, field) == getattr(before, field)
        card = model.with_suffix(".md").read_text()
        assert card.count("## Gate") == 1
        assert "## Operating point" not in card

    def test_eval_hears_with_it(self, model: Path, sound: Path) -> None:
        done = tune(model, sound, "--gate", "--json")
        evaluated = harken(
            *("eval", model, "--stream", "--json"),
            *("--scenes", sound / "scenes", "--negatives", sound / "negatives"),
        )
        shipped = json.loads(evaluated.out)["operating_points"][0]
        figures = json.loads(done.out)["with"]
        for figure in ("missed", "said", "false_accepts", "hours"):
            assert shipped[figure] == pytest.approx(figures[figure]), figure

    def test_it_can_be_tuned_on_and_a_copy_keeps_it(
        self, model: Path, sound: Path, tmp_path: Path
    ) -> None:
        assert tune(model, sound, "--gate").exit_code == 0
        gate = Manifest.load(model).gate
        assert tune(model, sound, "--out", tmp_path / "other.json").exit_code == 0
        assert Manifest.load(tmp_path / "other.json").gate == gate

    def test_it_needs_words_and_sound_without(self, model: Path, sound: Path) -> None:
        before = state_of(model.parent)
        done = harken("tune", model, "--gate", "--scenes", sound / "scenes")
        assert done.exit_code == 5
        assert "on negative ones; give both" in done.error
        assert state_of(model.parent) == before


class TestMistakes:
    """Each is one line, and nothing is written."""

    @pytest.fixture(autouse=True)
    def _nothing_is_written(self, model: Path):
        before = state_of(model.parent)
        yield
        assert state_of(model.parent) == before

    @pytest.mark.parametrize("rate", ["0", "-1", "nan"])
    def test_a_rate_that_is_none(self, model: Path, sound: Path, rate: str) -> None:
        done = tune(model, sound, "--fa-per-hour", rate)
        assert done.exit_code == 2
        assert "greater than 0" in done.err

    def test_neither_recordings_nor_scenes(self, model: Path) -> None:
        done = harken("tune", model)
        assert done.exit_code == 2
        assert "--data" in done.err
        assert "--scenes" in done.err

    def test_both(self, model: Path, sound: Path) -> None:
        done = tune(model, sound, "--data", sound)
        assert done.exit_code == 2
        assert "either" in done.err

    def test_too_few_hours(self, model: Path, sound: Path) -> None:
        done = tune(model, sound, "--fa-per-hour", "0.5")
        assert done.exit_code == 5
        assert "0.067 h of negatives are too few" in done.error
        assert "it takes 2 h" in done.error

    @pytest.mark.parametrize(
        ("out", "says"),
        [
            ("tuned", "must be the path of a manifest"),
            ("none/tuned.json", "is not a folder; create it first"),
            ("a name.json", "no model can be called that"),
        ],
    )
    def test_an_out_that_cannot_be(
        self, model: Path, sound: Path, tmp_path: Path, out: str, says: str
    ) -> None:
        done = tune(model, sound, "--out", tmp_path / out)
        assert done.exit_code == 3
        assert says in done.error

    def test_an_out_beside_another_model(self, model: Path, sound: Path, tmp_path: Path) -> None:
        (tmp_path / "other.tflite").write_bytes(b"another model")
        done = tune(model, sound, "--out", tmp_path / "other.json")
        assert done.exit_code == 3
        assert "other.tflite is another model" in done.error
        assert (tmp_path / "other.tflite").read_bytes() == b"another model"

    @pytest.mark.parametrize("name", ["other.json", "other.md"])
    def test_an_out_beside_a_file_of_somebody_else(
        self, model: Path, sound: Path, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / name).write_text("mine")
        done = tune(model, sound, "--out", tmp_path / "other.json")
        assert done.exit_code == 3
        assert f"{name} exists, and is not a model's; choose another --out" in done.error

    def test_a_full_disk(self, model: Path, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        done = tune(model, sound)
        assert done.exit_code == 3
        assert "No space left on device; free some space" in done.error
