"""A training run's configuration: what does not fit is refused, by name, value and what would."""

from __future__ import annotations

import dataclasses
import json

import pytest

from harken.edge.errors import DataError, HarkenError
from harken.edge.spotting.frontend import FrontEndConfig
from harken.edge.spotting.manifest import MOST_SVDF_MEMORY
from harken.edge.validation import decode
from harken.train.config import SIZES, ModelConfig, StreamConfig, TrainConfig


def test_words_are_all_that_has_to_be_given() -> None:
    config = TrainConfig(words=("yes", "no"))
    assert config.labels == ("yes", "no", "unknown", "silence")
    assert config.front_end.n_mfcc == 20


def test_every_size_is_a_model_of_its_own() -> None:
    assert list(SIZES) == ["tiny", "small", "medium", "large"]
    units = [sum(size.svdf_units) + sum(size.lstm_units) for size in SIZES.values()]
    assert units == sorted(set(units))
    assert all(size.svdf for size in SIZES.values())
    assert SIZES["medium"] == TrainConfig(words=("yes",)).model, "the default"


def test_layers_of_equal_width_are_added() -> None:
    config = ModelConfig(svdf_units=(8, 8, 9, 9), svdf_memory=(1, 2, 3, 4), lstm_units=(5,))
    assert config.svdf == ((8, 1), (8, 2), (9, 3), (9, 4))

    def spans(**changes: int) -> list[int]:
        changed = dataclasses.replace(config, **changes)
        return [changed.adds(layer) for layer in range(len(changed.svdf))]

    assert spans(svdf_residual=1) == [0, 1, 0, 1]
    assert spans(svdf_residual=1, dense_units=8) == [1, 1, 0, 1]
    assert spans(svdf_residual=0) == [0, 0, 0, 0]
    assert spans() == [0, 0, 0, 0], "layers 1 and 2 take in 8 and give 9"
    assert spans(dense_units=8) == [0, 2, 0, 0]
    assert [SIZES["large"].adds(layer) for layer in range(5)] == [0, 0, 2, 0, 2]


def test_places_of_convolutions() -> None:
    config = ModelConfig(
        conv_channels=(24, 32, 32), conv_kernel=(5, 3, 3), conv_stride=(1, 2, 1), lstm_units=(5,)
    )
    assert config.conv == ((5, 1, 24), (3, 2, 32), (3, 1, 32))
    assert config.positions(20) == (16, 7, 5)
    assert min(config.positions(8)) < 1
    assert config.has_stem
    assert not ModelConfig(lstm_units=(5,)).has_stem


@pytest.mark.parametrize(
    ("changes", "must"),
    [
        ({"conv_channels": (0,)}, "model.conv_channels is .* hold numbers of at least 1"),
        ({"conv_kernel": (-1,)}, "model.conv_kernel is .* hold numbers of at least 1"),
        ({"conv_stride": (1, 1)}, "model.conv_stride is .* one number for each of the 1 conv_cha"),
        (
            {"dense_units": 3},
            "model.dense_units is 3; it must be 0 in a network with conv",
        ),
    ],
)
def test_convolutions_that_cannot_be(changes: dict[str, object], must: str) -> None:
    given = {"conv_channels": (8,), "conv_kernel": (3,), "conv_stride": (1,), "lstm_units": (5,)}
    with pytest.raises(DataError, match=must):
        ModelConfig(**{**given, **changes})  # type: ignore[arg-type]


def test_convolutions_wider_than_the_bands() -> None:
    model = ModelConfig(
        conv_channels=(4, 4), conv_kernel=(15, 7), conv_stride=(1, 1), lstm_units=(5,)
    )
    with pytest.raises(DataError, match=r"conv_kernel is \(15, 7\), wider than .* the 20 bands"):
        TrainConfig(words=("yes",), model=model)


def test_it_survives_a_file() -> None:
    config = TrainConfig(
        words=("yes", "no"),
        held_out_words=("happy",),
        model=SIZES["tiny"],
        streams=StreamConfig(gain_db=(-3.0, 3.0)),
        licences={"my own recordings": "CC BY 4.0"},
    )
    assert decode(TrainConfig, json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    ("field", "value", "must"),
    [
        ("words", (), "name at least one word"),
        ("words", ("yes", "no", "yes"), "name each word once"),
        ("words", ("yes", " "), "not contain an empty name"),
        ("words", ("yes", "unknown"), "not contain 'unknown', a label that every model has"),
        ("words", ("silence",), "_background_noise_"),
        ("held_out_words", ("happy", "yes"), "not contain keywords: yes"),
        ("epochs", 0, "be at least 1"),
        ("distinct_epochs", 0, "be at least 1"),
        ("batch_streams", 0, "be at least 1"),
        ("learning_rate", 0.0, "be greater than 0"),
        ("weight_decay", -0.1, "be at least 0"),
        ("dropout", 1.0, "be at least 0 and less than 1"),
        ("weight_clip", -1.0, "be at least 0"),
        ("averaging", -0.1, "be at least 0 and less than 1"),
        ("smoothing_steps", 0, "be at least 1"),
        ("refractory_ms", -1, "be at least 0"),
        ("threshold", 0.0, "be greater than 0 and at most 1"),
        ("threshold", 1.01, "be greater than 0 and at most 1"),
        ("seed", -1, "be at least 0 and less than 2147483648"),
        ("seed", 2**31, "be at least 0 and less than 2147483648"),
    ],
)
def test_a_value_that_does_not_fit(field: str, value: object, must: str) -> None:
    with pytest.raises(DataError) as caught:
        TrainConfig(**{"words": ("yes", "no"), field: value})
    assert str(caught.value).startswith(f"{field} is {value!r}; it must ")
    assert must in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "must"),
    [
        ("dense_units", -1, "be at least 0"),
        ("svdf_units", (8, 0), "hold numbers of at least 1"),
        ("svdf_memory", (0,), f"hold numbers of 1 to {MOST_SVDF_MEMORY}"),
        ("svdf_memory", (MOST_SVDF_MEMORY + 1,), f"hold numbers of 1 to {MOST_SVDF_MEMORY}"),
        ("svdf_memory", (3, -1), f"hold numbers of 1 to {MOST_SVDF_MEMORY}"),
        ("svdf_memory", (5,), "hold one number for each of the 0 svdf_units"),
        ("svdf_residual", 3, "be 0, 1 or 2"),
        ("lstm_units", (), "name the units of at least one layer"),
        ("lstm_units", (8, 0), "hold numbers of at least 1"),
        ("cell_clip", 0.0, "be greater than 0"),
    ],
)
def test_a_network_that_cannot_be(field: str, value: object, must: str) -> None:
    with pytest.raises(DataError) as caught:
        ModelConfig(**{"lstm_units": (8,), field: value})
    assert str(caught.value) == f"model.{field} is {value!r}; it must {must}"


@pytest.mark.parametrize("memory", [(), (3,), (3, 5, 5)])
def test_every_svdf_layer_has_a_memory(memory: tuple[int, ...]) -> None:
    with pytest.raises(DataError) as caught:
        ModelConfig(svdf_units=(8, 8), svdf_memory=memory, lstm_units=(8,))
    assert str(caught.value) == (
        f"model.svdf_memory is {memory!r}; it must hold one number for each of the 2 svdf_units"
    )


def test_a_memory_may_be_of_one_step_and_of_the_most() -> None:
    config = ModelConfig(svdf_units=(1, 1), svdf_memory=(1, MOST_SVDF_MEMORY), lstm_units=(1,))
    assert config.svdf == ((1, 1), (1, MOST_SVDF_MEMORY))


SHARES = [field.name for field in dataclasses.fields(StreamConfig) if field.name.endswith("_share")]
AMOUNTS = ["max_gap_s", "margin_s", "level_db", "mask_mel_bands", "mask_frames",
           "channel_db", "linger_s"]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "must"),
    [
        *((name, value, "be at least 0 and at most 1") for name in SHARES for value in (-0.1, 1.1)),
        *((name, -1, "be at least 0") for name in AMOUNTS),
        ("seconds", 1.9, "be at least 2"),
        ("hold_s", 0.0, "be greater than due_s, 0.04"),
        ("speed", 0.6, "be at least 0 and at most 0.5"),
        ("speed", -0.1, "be at least 0 and at most 0.5"),
        ("gain_db", (3.0,), "be two numbers, the lower one first"),
        ("gain_db", (3.0, -3.0), "be two numbers, the lower one first"),
        ("snr_db", (0.0, 1.0, 2.0), "be two numbers, the lower one first"),
        ("talkers", (0, 4), "hold numbers of at least 1"),
        ("talkers", (4, 1), "be two numbers, the lower one first"),
    ],
)
def test_streams_that_cannot_be_drawn(field: str, value: object, must: str) -> None:
    with pytest.raises(DataError) as caught:
        StreamConfig(**{field: value})
    assert str(caught.value) == f"streams.{field} is {value!r}; it must {must}"


@pytest.mark.parametrize(
    "shares",
    [
        {"unknown_share": 0.5, "cut_share": 0.3, "splice_share": 0.3},
        {"speech_stream_share": 0.6, "noise_stream_share": 0.5},
    ],
)
def test_shares_of_the_same_whole_do_not_exceed_it(shares: dict[str, float]) -> None:
    with pytest.raises(DataError, match=rf"{', '.join(shares)} add up to 1\.1"):
        StreamConfig(**shares)


@pytest.mark.parametrize(
    "shares",
    [
        {"unknown_share": 0.7, "cut_share": 0.2, "splice_share": 0.1},
        {"speech_stream_share": 1.0, "noise_stream_share": 0.0},
    ],
)
def test_they_may_be_the_whole(shares: dict[str, float]) -> None:
    StreamConfig(**shares)


def test_a_rate_that_recordings_are_not_read_at() -> None:
    with pytest.raises(DataError, match=r"front_end\.sample_rate_hz is 8000; it must be 16000"):
        TrainConfig(words=("yes",), front_end=FrontEndConfig(sample_rate_hz=8000, f_max_hz=3800))


def test_everything_that_is_refused_is_an_error_of_harken() -> None:
    with pytest.raises(HarkenError, match=r"front_end\.n_mfcc is 41; it must be at most n_mels"):
        FrontEndConfig(n_mfcc=41)
