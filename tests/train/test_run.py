"""A run folder: every file whole or not at all, and what cannot be read is named."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from harken.edge.errors import RunError
from harken.train.config import ModelConfig, TrainConfig
from harken.train.run import VERSION, RunFolder, RunRecord

RECORD = RunRecord(
    config=TrainConfig(words=("yes", "no")),
    recipe="harken train DATA --out RUN --words yes,no",
    data={"fingerprint": "0123", "word_counts": {"yes": {"training": 3}}},
    versions={"python": "3.12.1"},
)
ARRAYS = {"dense_in/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array(7)}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.create()
    return folder


def names(run: RunFolder) -> list[str]:
    return sorted(path.name for path in run.path.iterdir())


class TestWhatIsWrittenCanBeRead:
    def test_the_record(self, run: RunFolder) -> None:
        run.save_record(RECORD)
        assert run.load_record() == RECORD
        assert json.loads((run.path / "config.json").read_text())["harken_run"] == VERSION

    def test_json(self, run: RunFolder) -> None:
        history = [{"epoch": 1.0, "loss": 0.25}]
        run.save_json("history.json", history)
        assert run.load_json("history.json") == history

    def test_arrays(self, run: RunFolder) -> None:
        run.save_arrays("weights.npz", ARRAYS)
        loaded = run.load_arrays("weights.npz")
        assert loaded.keys() == ARRAYS.keys(), "nothing but what was given"
        for name, value in ARRAYS.items():
            np.testing.assert_array_equal(loaded[name], value)
            assert loaded[name].dtype == value.dtype

    def test_what_is_there_is_known_and_can_be_removed(self, run: RunFolder) -> None:
        assert not run.has("checkpoint.npz")
        run.save_arrays("checkpoint.npz", ARRAYS)
        assert run.has("checkpoint.npz")
        run.remove("checkpoint.npz")
        run.remove("checkpoint.npz")
        assert not run.has("checkpoint.npz")

    def test_a_folder_that_is_there_may_be_used(self, run: RunFolder) -> None:
        run.create()


class TestWhatCannotBeRead:
    def test_a_run_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"config\.json is missing.*harken train DATA --out RUN"):
            RunFolder(tmp_path / "nothing").load_record()

    def test_weights_that_are_missing(self, run: RunFolder) -> None:
        with pytest.raises(RunError, match=r"weights\.npz is missing.* --resume continues one"):
            run.load_arrays("weights.npz")

    def test_a_run_of_before_the_stem_that_lacks_something_else(self, run: RunFolder) -> None:
        run.save_record(RECORD)
        self.change(run, {"harken_run": 1, "config": {"words": ["yes"], "model": {}}})
        with pytest.raises(RunError, match=r"config\.json: config\.\w+ is missing"):
            run.load_record()

    def test_a_run_of_now_must_say_whether_it_has_one(self, run: RunFolder) -> None:
        run.save_record(RECORD)
        content = json.loads((run.path / "config.json").read_text())
        del content["config"]["model"]["svdf_memory"]
        run.save_json("config.json", content)
        with pytest.raises(RunError, match=r"config\.model\.svdf_memory is missing"):
            run.load_record()

    def test_a_run_of_before_the_stem_has_none(self, run: RunFolder) -> None:
        model = ModelConfig(dense_units=5, lstm_units=(7,))
        record = dataclasses.replace(RECORD, config=dataclasses.replace(RECORD.config, model=model))
        run.save_record(record)
        content = json.loads((run.path / "config.json").read_text())
        for name in ("svdf_units", "svdf_memory", "svdf_residual"):
            del content["config"]["model"][name]
        (run.path / "config.json").write_text(json.dumps({**content, "harken_run": 1}))
        assert run.load_record() == record

    @pytest.mark.parametrize("content", ["", "{", '{"harken_run": 1', "\ud800"])
    def test_json_that_is_damaged(self, run: RunFolder, content: str) -> None:
        (run.path / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
        with pytest.raises(RunError, match=r"config\.json is damaged .*; train again"):
            run.load_record()

    @pytest.mark.parametrize("content", ["[]", "{}", '{"harken_run": "1"}', '{"words": ["yes"]}'])
    def test_json_of_something_else(self, run: RunFolder, content: str) -> None:
        (run.path / "config.json").write_text(content)
        with pytest.raises(RunError, match=r"config\.json is not the configuration of a run"):
            run.load_record()

    def test_a_newer_version(self, run: RunFolder) -> None:
        run.save_record(RECORD)
        self.change(run, {"harken_run": VERSION + 1})
        with pytest.raises(RunError, match=f"harken_run is {VERSION + 1}.*; upgrade harken"):
            run.load_record()

    def test_an_older_version(self, run: RunFolder) -> None:
        run.save_record(RECORD)
        self.change(run, {"harken_run": 0})
        with pytest.raises(RunError, match=r"harken_run is 0.*; use the harken that wrote it"):
            run.load_record()

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"recipe": 4}, "recipe is 4; it must be a text"),
            ({"author": "me"}, "author is not a known field"),
            ({"config": {"words": ["yes"]}}, "config.held_out_words is missing"),
        ],
    )
    def test_a_field_that_does_not_fit(
        self, run: RunFolder, changes: dict[str, object], said: str
    ) -> None:
        run.save_record(RECORD)
        self.change(run, changes)
        with pytest.raises(RunError) as caught:
            run.load_record()
        assert str(run.path / "config.json") in str(caught.value)
        assert said in str(caught.value)

    @staticmethod
    def change(run: RunFolder, changes: dict[str, object]) -> None:
        data = json.loads((run.path / "config.json").read_text())
        run.save_json("config.json", {**data, **changes})

    @pytest.mark.parametrize("keep", [0, 1, 100, -1])
    def test_arrays_that_were_cut_short(self, run: RunFolder, keep: int) -> None:
        run.save_arrays("weights.npz", ARRAYS)
        path = run.path / "weights.npz"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(RunError, match=r"weights\.npz is damaged .*; train again"):
            run.load_arrays("weights.npz")

    def test_arrays_of_another_kind_of_file(self, run: RunFolder) -> None:
        np.save(run.path / "weights.npz.npy", np.zeros(3))
        (run.path / "weights.npz.npy").rename(run.path / "weights.npz")
        with pytest.raises(RunError, match="is damaged"):
            run.load_arrays("weights.npz")

    def test_damage_anywhere_in_a_file_is_never_a_traceback(self, run: RunFolder) -> None:
        run.save_arrays("weights.npz", ARRAYS)
        path = run.path / "weights.npz"
        whole = path.read_bytes()
        refused = 0
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
            try:
                run.load_arrays("weights.npz")
            except RunError:
                refused += 1
        assert refused > len(whole) / 2


class TestWhatCannotBeWritten:
    def test_a_folder_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(RunError, match=r"cannot make the run folder .*; choose another --out"):
            RunFolder(tmp_path / "file" / "run").create()

    def test_a_full_disk_leaves_the_file_that_was_there(self, run: RunFolder) -> None:
        run.save_arrays("checkpoint.npz", ARRAYS)
        before = (run.path / "checkpoint.npz").read_bytes()
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with (
            mock.patch("os.fsync", side_effect=full),
            pytest.raises(RunError, match=r"checkpoint\.npz: No space left on device; free some"),
        ):
            run.save_arrays("checkpoint.npz", {"step": np.array(8)})
        assert (run.path / "checkpoint.npz").read_bytes() == before
        assert names(run) == ["checkpoint.npz"]
