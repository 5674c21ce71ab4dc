"""What is measured on training streams: the standardisation, and minutes for the quantization."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("librosa", reason="training needs harken[train]")

from synthetic_corpus import corpus_of, spoken

from harken.edge.spotting.frontend import FrontEndConfig
from harken.train.batches import stream_maker
from harken.train.calibration import long_stream, standardised, without_standardisation
from harken.train.config import ModelConfig, StreamConfig, TrainConfig

CONFIG = TrainConfig(
    words=("low", "high"),
    held_out_words=("other",),
    model=ModelConfig(lstm_units=(8,)),
    front_end=FrontEndConfig(n_mels=20, n_mfcc=10),
    streams=StreamConfig(mask_mel_bands=0, mask_frames=0),
)
CORPUS = corpus_of(
    *(
        ("word", word, split, spoken(hertz))
        for word, hertz in (("low", 400.0), ("high", 2500.0), ("other", 6000.0))
        for split in ("training", "validation")
    )
)


@pytest.fixture(scope="module")
def measured() -> TrainConfig:
    return standardised(CONFIG, CORPUS)


def test_other_streams_have_a_mean_of_0_and_a_std_of_1_then(measured: TrainConfig) -> None:
    maker = stream_maker(measured, CORPUS, "training")
    frames = np.concatenate([maker.batch(0, i, 32).frames.reshape(-1, 10) for i in range(4)])
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=0.2)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=0.2)


def test_nothing_else_is_changed(measured: TrainConfig) -> None:
    assert measured != CONFIG
    assert without_standardisation(measured.front_end) == CONFIG.front_end
    assert dataclasses.replace(measured, front_end=CONFIG.front_end) == CONFIG


def test_what_the_settings_give_is_kept() -> None:
    given = dataclasses.replace(CONFIG.front_end, mean=(3.0,) * 10, std=(4.0,) * 10)
    config = dataclasses.replace(CONFIG, front_end=given)
    assert standardised(config, CORPUS) is config


@pytest.mark.parametrize("split", ["training", "validation"])
def test_long_streams_last_minutes_in_one_piece(measured: TrainConfig, split: str) -> None:
    frames = long_stream(measured, CORPUS, split)
    assert frames.shape == (1 + (60 * 64_000 - 512) // 320, 10)
    assert frames.dtype == np.float32
    assert np.abs(frames).max() <= 5, "outliers would cost the int8 input its precision"
    np.testing.assert_array_equal(frames, long_stream(measured, CORPUS, split))


def test_only_training_leaves_out_the_words_that_are_held_out() -> None:
    """With every segment an unknown word, where there is one."""
    streams = dataclasses.replace(CONFIG.streams, unknown_share=1.0, cut_share=0, splice_share=0)
    config = dataclasses.replace(CONFIG, streams=streams)
    for split, heard in (("training", False), ("validation", True)):
        maker = stream_maker(config, CORPUS, split)
        allowed = np.concatenate([maker.batch(0, i, 4).allowed.reshape(-1, 4) for i in range(3)])
        unknown_alone = (allowed == [False, False, True, False]).all(axis=1)
        assert unknown_alone.any() == heard
