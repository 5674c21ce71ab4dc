"""Batches come from worker processes, in an order that the configuration alone decides."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("librosa", reason="training needs harken[train]")

from synthetic_corpus import write_tone_words

from harken.edge.errors import RunError
from harken.edge.spotting.frontend import FrontEndConfig
from harken.train.batches import Batches, DataSource, stream_maker
from harken.train.config import ModelConfig, StreamConfig, TrainConfig
from harken.train.streams import Batch

PER_EPOCH = 5
CONFIG = TrainConfig(
    words=("low", "high"),
    model=ModelConfig(lstm_units=(8,)),
    front_end=FrontEndConfig(n_mels=20, n_mfcc=10, mean=(-100.0,) * 10, std=(50.0,) * 10),
    streams=StreamConfig(seconds=2.0, channel_db=0.0),
    batch_streams=2,
    epochs=4,
    distinct_epochs=2,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    folder = tmp_path_factory.mktemp("tones")
    root = write_tone_words(folder / "data", words={"low": 400.0, "high": 2500.0}, clips=6)
    source = DataSource(root=root, cache_dir=folder / "cache")
    source.open()
    return source


def digest(batch: Batch) -> str:
    parts = (batch.frames.astype(np.float16), batch.allowed, batch.fresh)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def drawn(source: DataSource, first: int, end: int, *, workers: int = 1) -> list[str]:
    with Batches(CONFIG, source, steps_per_epoch=PER_EPOCH, workers=workers) as batches:
        return [digest(batch) for batch in batches.draw(first, end)]


@pytest.fixture(scope="module")
def whole(source: DataSource) -> list[str]:
    return drawn(source, 0, CONFIG.epochs * PER_EPOCH, workers=2)


@pytest.mark.slow
class TestOrder:
    def test_the_first_epochs_are_drawn_as_they_come(
        self, source: DataSource, whole: list[str]
    ) -> None:
        maker = stream_maker(CONFIG, source.open(), "training")
        for step in range(CONFIG.distinct_epochs * PER_EPOCH):
            epoch, index = divmod(step, PER_EPOCH)
            assert whole[step] == digest(maker.batch(epoch, index, CONFIG.batch_streams))

    def test_later_epochs_hear_them_again_in_another_order(self, whole: list[str]) -> None:
        epochs = [whole[start : start + PER_EPOCH] for start in range(0, len(whole), PER_EPOCH)]
        assert set(epochs[2]) == set(epochs[0])
        assert set(epochs[3]) == set(epochs[1])
        assert epochs[2] != epochs[0]
        assert epochs[3] != epochs[1]

    def test_every_hearing_is_through_other_microphones(self, source: DataSource) -> None:
        streams = dataclasses.replace(CONFIG.streams, channel_db=3.0)
        config = dataclasses.replace(CONFIG, streams=streams, distinct_epochs=1)
        maker = stream_maker(config, source.open(), "training")
        plain = {
            digest(batch): batch.frames
            for batch in (maker.batch(0, index, 2) for index in range(PER_EPOCH))
        }
        heard: list[float] = []
        for _ in range(2):  # the same batches again, wherever drawing began
            with Batches(config, source, steps_per_epoch=PER_EPOCH, workers=1) as batches:
                offsets = []
                for batch in batches.draw(0, 2 * PER_EPOCH):
                    nearest = min(
                        plain.values(),
                        key=lambda frames: np.ptp(batch.frames - frames, axis=1).max(),
                    )
                    offset = batch.frames - nearest
                    # The same for all frames of a stream, but for half precision.
                    assert np.ptp(offset, axis=1).max() < 0.02
                    offsets.append(float(offset[0, 0, 0]))
            assert len(set(offsets)) == len(offsets)
            assert heard in ([], offsets)
            heard = offsets

    @pytest.mark.parametrize("first", [3, 13])
    def test_they_can_begin_anywhere(
        self, source: DataSource, whole: list[str], first: int
    ) -> None:
        assert drawn(source, first, len(whole)) == whole[first:]


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_one_error(tmp_path: Path) -> None:
    nowhere = DataSource(root=tmp_path / "nowhere")
    with (
        pytest.raises(RunError, match="a process that draws training streams has died"),
        Batches(CONFIG, nowhere, steps_per_epoch=PER_EPOCH, workers=1) as batches,
    ):
        list(batches.draw(0, 2))


def test_what_is_sent_to_a_worker_is_small(source: DataSource) -> None:
    """Paths and settings, never the recordings."""
    assert [field.name for field in dataclasses.fields(source)] == [
        "root",
        "cache_dir",
        "split_rule",
        "held_out_speech",
        "left_out",
        "additions",
        "pack",
    ]
