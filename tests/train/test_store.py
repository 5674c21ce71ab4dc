"""Drawn streams on disk: what another run finds, and what an interrupted one leaves."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest

from harken.edge.errors import DataError
from harken.train.config import TrainConfig
from harken.train.store import StreamStore, settings_key
from harken.train.streams import Batch

BATCHES, LABELS = 3, 11


def batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        rng.standard_normal((2, 9, 4)).astype(np.float16),
        rng.random((2, 5, LABELS)) < 0.5,
        rng.random(2) < 0.5,
    )


def store(folder: Path, key: str = "0") -> StreamStore:
    return StreamStore(folder, key, steps_per_epoch=BATCHES, labels=LABELS)


def same(one: Batch, other: Batch) -> bool:
    return all(
        np.array_equal(getattr(one, f.name), getattr(other, f.name))
        for f in dataclasses.fields(Batch)
    )


def write_epoch(to: StreamStore, epoch: int = 0) -> None:
    assert not to.has(epoch)
    for index in range(BATCHES):
        to.write(epoch, index, batch(index))


def test_another_run_reads_what_was_drawn(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        write_epoch(first)
        assert first.has(0)
    with store(tmp_path) as second:
        assert second.has(0)
        assert all(same(second.read(0, index), batch(index)) for index in range(BATCHES))
        assert not second.has(1)


def test_other_settings_are_other_streams(tmp_path: Path) -> None:
    with store(tmp_path, "0") as first:
        write_epoch(first)
    with store(tmp_path, "1") as second:
        assert not second.has(0)


def test_an_epoch_that_is_not_complete_is_not_there(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        assert not first.has(0)
        first.write(0, 0, batch(0))
    with store(tmp_path) as second:
        write_epoch(second)
        assert same(second.read(0, 0), batch(0)) if second.has(0) else False


def test_an_epoch_that_is_begun_in_its_middle_is_not_kept(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        assert not first.has(0)
        for index in range(1, BATCHES):
            first.write(0, index, batch(index))
        assert not list(tmp_path.glob("*/epoch_000"))
        with store(tmp_path) as second:
            write_epoch(second)  # without waiting for the end of the first run
            assert second.has(0)
        assert first.has(0)


def test_who_is_to_end_waits_for_nobody(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        assert not first.has(0)
        with StreamStore(
            tmp_path, "0", steps_per_epoch=BATCHES, labels=LABELS, stopped=lambda: True
        ) as second:
            assert not second.has(0)
            second.write(0, 0, batch(0))
        write_epoch(first)
        assert first.has(0)


def _draw_slowly(folder: Path, begun: Event) -> None:
    with store(folder) as mine:
        assert not mine.has(0)
        begun.set()
        time.sleep(1.0)
        for index in range(BATCHES):
            mine.write(0, index, batch(index))


def test_a_run_waits_for_what_another_one_draws(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    other = context.Process(target=_draw_slowly, args=(tmp_path, begun))
    other.start()
    assert begun.wait(60)
    with store(tmp_path) as mine:
        assert mine.has(0)
        assert same(mine.read(0, 1), batch(1))
    other.join(60)
    assert other.exitcode == 0


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with store(tmp_path) as mine:
        assert not mine.has(0)
        monkeypatch.setattr(np.lib.format, "open_memmap", full)
        with pytest.raises(DataError, match=r"No space left on device\); free some space, or"):
            mine.write(0, 0, batch(0))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="the streams cannot be kept in"):
        store(tmp_path / "file")


def test_what_the_network_is_does_not_matter() -> None:
    config = TrainConfig(words=("yes",), seed=3)
    key = settings_key(config, "data", split_rule="auto")
    for same_streams in (
        dataclasses.replace(config, epochs=7),
        dataclasses.replace(config, learning_rate=1e-3),
        dataclasses.replace(config, dropout=0.5),
    ):
        assert settings_key(same_streams, "data", split_rule="auto") == key
    for others in (
        dataclasses.replace(config, seed=4),
        dataclasses.replace(config, batch_streams=7),
        dataclasses.replace(config, streams=dataclasses.replace(config.streams, speed=0.2)),
    ):
        assert settings_key(others, "data", split_rule="auto") != key
    assert settings_key(config, "others", split_rule="auto") != key
