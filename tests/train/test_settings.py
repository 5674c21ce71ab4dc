"""Where a run's settings come from: the command line, then a file, then the defaults."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import harken
from harken.edge.errors import DataError
from harken.edge.spotting.frontend import FrontEndConfig
from harken.train.config import SIZES, ModelConfig, TrainConfig
from harken.train.run import RunFolder, RunRecord
from harken.train.settings import settings

MEDIUM = SIZES["medium"]
SHIPPED = Path(harken.__file__).parent / "models" / "recipes"
STAGES = {
    "commands": ("train", "talk", "later"),
    "commands-tiny": ("train", "hard", "noise", "talk", "taught", "longer", "loud"),
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "settings.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


class TestOrder:
    def test_the_command_line_alone(self) -> None:
        chosen = settings(None, words=("yes",), size="tiny", epochs=3, seed=7)
        assert chosen == TrainConfig(words=("yes",), model=SIZES["tiny"], epochs=3, seed=7)

    def test_a_file_goes_before_the_defaults(self, tmp_path: Path) -> None:
        file = write(tmp_path, {"words": ["yes", "no"], "epochs": 3, "streams": {"speed": 0}})
        chosen = settings(None, file)
        expected = TrainConfig(words=("yes", "no"), epochs=3)
        streams = dataclasses.replace(expected.streams, speed=0.0)
        assert chosen == dataclasses.replace(expected, streams=streams)

    def test_the_command_line_goes_before_a_file(self, tmp_path: Path) -> None:
        file = write(tmp_path, {"words": ["yes", "no"], "epochs": 3, "seed": 4})
        chosen = settings(None, file, words=("up",), epochs=5)
        assert (chosen.words, chosen.epochs, chosen.seed) == (("up",), 5, 4)

    def test_a_size_takes_the_place_of_a_files_model(self, tmp_path: Path) -> None:
        file = write(tmp_path, {"words": ["yes"], "model": {"svdf_residual": 1}})
        plain = dataclasses.replace(MEDIUM, svdf_residual=1)
        assert settings(None, file).model == plain
        assert settings(None, file, size="large").model == SIZES["large"]

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            ({"dense_units": 9, "lstm_units": [7]}, ModelConfig(dense_units=9, lstm_units=(7,))),
            ({"lstm_units": [7]}, ModelConfig(lstm_units=(7,))),
            ({"dense_units": 9}, ModelConfig(dense_units=9, lstm_units=MEDIUM.lstm_units)),
            ({"dense_units": 0}, ModelConfig(lstm_units=MEDIUM.lstm_units)),
        ],
        ids=str,
    )
    def test_a_model_of_before_the_stem_gets_none(
        self, tmp_path: Path, model: dict[str, Any], expected: ModelConfig
    ) -> None:
        """Files that were written before there were SVDF layers go on meaning what they meant."""
        file = write(tmp_path, {"words": ["yes"], "model": model})
        assert settings(None, file).model == expected

    @pytest.mark.parametrize(
        "changes",
        [
            {"cell_clip": 5.0},
            {"svdf_residual": 0, "lstm_units": (7,)},
            {"conv_channels": (9,) * 3, "svdf_units": (9,) * 5, "lstm_units": (7,)},
        ],
        ids=str,
    )
    def test_a_file_that_knows_of_the_stem_goes_before_the_defaults(
        self, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        file = write(tmp_path, {"words": ["yes"], "model": changes})
        assert settings(None, file).model == dataclasses.replace(MEDIUM, **changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {"svdf_units": (9,) * 5, "lstm_units": (7,)},
            {"svdf_units": (9,), "svdf_memory": (4,), "dense_units": 9},
        ],
        ids=str,
    )
    def test_a_file_of_before_convolutions_gets_none(
        self, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        file = write(tmp_path, {"words": ["yes"], "model": changes})
        none = {"conv_channels": (), "conv_kernel": (), "conv_stride": ()}
        assert settings(None, file).model == dataclasses.replace(MEDIUM, **none, **changes)

    def test_a_resumed_run_goes_before_the_defaults(self) -> None:
        run = TrainConfig(words=("yes",), seed=9)
        assert settings(run) == run
        assert settings(run, epochs=2) == dataclasses.replace(run, epochs=2)

    def test_a_file_is_not_passed_over_when_a_run_is_resumed(self, tmp_path: Path) -> None:
        file = write(tmp_path, {"words": ["yes"], "epochs": 2})
        assert settings(TrainConfig(words=("yes",), seed=9), file).seed == 0

    def test_the_number_of_coefficients_may_be_all_that_a_file_says_of_the_front_end(
        self, tmp_path: Path
    ) -> None:
        file = write(tmp_path, {"words": ["yes"], "front_end": {"n_mfcc": 13}})
        assert settings(None, file).front_end == FrontEndConfig(n_mfcc=13)

    def test_the_configuration_of_a_run_is_a_file_of_settings(self, tmp_path: Path) -> None:
        config = TrainConfig(words=("yes", "no"), seed=9, licences={"mine": "CC0"})
        RunFolder(tmp_path).save_record(
            RunRecord(config=config, recipe="harken train", data={}, versions={})
        )
        assert settings(None, tmp_path / "config.json") == config

    def test_so_is_that_of_a_run_of_before_the_stem(self, tmp_path: Path) -> None:
        model = ModelConfig(dense_units=9, lstm_units=(7,))
        config = TrainConfig(words=("yes", "no"), seed=9, model=model)
        old = dataclasses.asdict(config)
        for name in ("svdf_units", "svdf_memory", "svdf_residual"):
            del old["model"][name]
        content = {"harken_run": 1, "config": old, "recipe": "", "data": {}, "versions": {}}
        assert settings(None, write(tmp_path, content)) == config

    def test_a_later_file_goes_before_an_earlier_one(self, tmp_path: Path) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        first.mkdir()
        second.mkdir()
        streams = {"speed": 0, "talkers": [2, 2]}
        licences = {"mine": "CC0"}
        before = write(
            first, {"words": ["yes"], "epochs": 3, "streams": streams, "licences": licences}
        )
        changes = {"streams": {"talkers": [1, 3]}, "licences": {"b": "MIT"}}
        after = write(second, {"epochs": 5, **changes})
        chosen = settings(None, before, after)
        assert (chosen.words, chosen.epochs) == (("yes",), 5)
        assert (chosen.streams.speed, chosen.streams.talkers) == (0, (1, 3))
        assert chosen.licences == {"mine": "CC0", "b": "MIT"}

    @pytest.mark.parametrize(
        "stages",
        [
            tuple(f"{name}.{stage}" for stage in stages[:last])
            for name, stages in STAGES.items()
            for last in range(1, len(stages) + 1)
        ],
        ids=lambda stages: stages[-1],
    )
    def test_the_settings_of_shipped_models_can_be_read(self, stages: tuple[str, ...]) -> None:
        read = settings(None, *(SHIPPED / f"{stage}.json" for stage in stages))
        whole = settings(None, SHIPPED / f"{stages[0]}.json")
        assert read.words == whole.words
        assert read.model == whole.model
        assert read.model in SIZES.values()

    def test_no_settings_of_shipped_models_are_left_over(self) -> None:
        assert {path.stem for path in SHIPPED.glob("*.json")} == {
            f"{name}.{stage}" for name, stages in STAGES.items() for stage in stages
        }


class TestErrors:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("{", "cannot read the settings file"),
            ('"yes"', "must hold a JSON object"),
            ({"epochs": 3}, "names no words; add them, or give --words"),
            ({"words": "yes"}, "words is 'yes'; it must be a JSON array"),
            ({"words": ["yes"], "epoch": 3}, "epoch is not a known setting; known are words, "),
            (
                {"words": ["yes"], "streams": {"sped": 0.1}},
                "streams: sped is not a known setting; known are seconds, ",
            ),
            ({"words": ["yes"], "epochs": 2.5}, "epochs is 2.5; it must be a whole number"),
            ({"words": ["yes"], "epochs": "2"}, "epochs is '2'; it must be a whole number"),
            ({"words": ["yes"], "model": 56}, "model is 56; it must be a JSON object"),
            ({"words": ["yes"], "epochs": 0}, "epochs is 0; it must be at least 1"),
            (
                {"words": ["yes"], "streams": {"speed": 2}},
                "streams.speed is 2.0; it must be at least 0 and at most 0.5",
            ),
            (
                {"words": ["yes"], "front_end": {"hop_samples": 600}},
                "front_end.hop_samples is 600; it must be at most window_samples, 512",
            ),
            (
                {"words": ["yes"], "licences": {"mine": 4}},
                "licences.mine is 4; it must be a text",
            ),
            (
                {"words": ["yes"], "model": {"svdf_units": [9, 9]}},
                "model.svdf_memory is (3, 5, 5, 5, 5); it must hold one number for each of the 2 "
                "svdf_units",
            ),
            (
                {"words": ["yes"], "model": {"svdf_memory": [3]}},
                "model.svdf_memory is (3,); it must hold one number for each of the 5 svdf_units",
            ),
            ({"harken_run": 1}, "is damaged: config must be a JSON object"),
            ({"harken_run": 1, "config": [1]}, "is damaged: config must be"),
        ],
    )
    def test_a_file_that_does_not_fit(self, tmp_path: Path, content: Any, said: str) -> None:
        file = write(tmp_path, content)
        with pytest.raises(DataError) as caught:
            settings(None, file)
        assert str(file) in str(caught.value)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_the_file_that_does_not_fit_is_named(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        first = write(tmp_path / "first", {"words": ["yes"]})
        second = write(tmp_path / "second", {"epoch": 3})
        with pytest.raises(DataError, match=r"second.*epoch is not a known setting"):
            settings(None, first, second)

    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"gone\.json does not exist; check --config"):
            settings(None, tmp_path / "gone.json")

    def test_a_folder_in_a_files_place(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"cannot read the settings file .*directory"):
            settings(None, tmp_path)

    def test_a_file_that_is_not_text(self, tmp_path: Path) -> None:
        (tmp_path / "settings.json").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match="cannot read the settings file"):
            settings(None, tmp_path / "settings.json")
