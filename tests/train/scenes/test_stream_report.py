"""The report on running speech: groups of scenes, operating points, curves, tables, the picture."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

pytest.importorskip("scipy", reason="training needs harken[train]")
pytest.importorskip("matplotlib", reason="pictures need harken[train]")

from harken.edge import Model
from harken.train.scenes.display import stream_tables
from harken.train.scenes.plots import draw_det
from harken.train.scenes.report import (
    RATES_PER_HOUR,
    StreamEvaluation,
    evaluate_stream,
    operating_points,
)
from harken.train.scenes.responses import EventResponses, ModelResponses
from harken.train.scenes.scoring import FalseAccepts, Heard, Misses
from harken.train.scenes.truth import Scene, Utterance

WORDS = ("left", "right")


def scene(
    *utterances: tuple[str, float], negative: bool = False, seconds: float = 60.0, **conditions: str
) -> Scene:
    """A scene in which words of half a second are said at some times."""
    return Scene(
        name=f"{conditions} {negative}",
        seconds=seconds,
        utterances=tuple(
            Utterance(start_s=start_s, end_s=start_s + 0.5, word=word)
            for word, start_s in utterances
        ),
        negative=negative,
        conditions=conditions,
        recordings=(),
        render=lambda: np.zeros(round(seconds * 16_000), np.int16),
    )


def events(*heard: tuple[str, float, float]) -> list[Heard]:
    """Words, each with when and how surely it was heard."""
    return [
        Heard(word=word, time_s=time_s, confidence=confidence) for word, time_s, confidence in heard
    ]


def evaluation(heard: dict[Scene, list[Heard]]) -> StreamEvaluation:
    """What becomes of scenes in which this was heard."""
    return evaluate_stream("somebody", EventResponses(WORDS, list(heard.values())), list(heard))


@pytest.fixture
def measured() -> StreamEvaluation:
    """Two words under each condition, and four hours without a word."""
    plain = {"gain": "+0 dB", "room": "none"}
    said = (("left", 10.0), ("right", 20.0))
    both = events(("left", 10.6, 0.9), ("right", 20.7, 0.8))
    return evaluation(
        {
            scene(*said, snr="0 dB", **plain): events(("right", 10.6, 0.4)),
            scene(*said, snr="clean", **plain): both,
            scene(*said, snr="clean", gain="+20 dB", room="none"): both[:1],
            scene(*said, snr="clean", gain="+0 dB", room="warehouse_omni-25-12"): [],
            scene(negative=True, source="radio", seconds=7200): events(
                ("left", 5.0, 0.6), ("left", 9.0, 0.85), ("right", 99.0, 0.3)
            ),
            scene(negative=True, source="fan", seconds=7200): [],
        }
    )


# Groups


def test_conditions_are_told_apart_with_all_else_as_usual(measured):
    shipped = measured.shipped
    assert {
        name: {value: tally.misses().missed for value, tally in values.items()}
        for name, values in shipped.conditions.items()
    } == {
        "snr": {"clean": 0, "0 dB": 2},
        "gain": {"+0 dB": 0, "+20 dB": 1},
        "room": {"none": 0, "warehouse_omni-25-12": 2},
    }


def test_all_words_are_those_of_every_noise_at_the_usual_gain_in_no_room(measured):
    assert measured.shipped.words.misses() == Misses(missed=2, said=4)
    assert measured.shipped.words.hours == pytest.approx(2 / 60)


def test_false_accepts_an_hour_are_those_without_a_word(measured):
    shipped = measured.shipped
    assert shipped.negatives.accepts() == FalseAccepts(count=3, hours=4.0)
    assert shipped.words.accepts().count == 1  # counted apart
    assert {source: tally.accepts().count for source, tally in shipped.sources.items()} == {
        "radio": 3,
        "fan": 0,
    }


def test_scenes_that_nobody_knows_the_conditions_of_are_all_words():
    report = evaluation(
        {scene(("left", 1.0)): events(("left", 1.5, 0.9)), scene(("left", 1.0)): []}
    )
    assert report.shipped.words.misses() == Misses(missed=1, said=2)
    assert report.shipped.conditions == {}


def in_flow() -> StreamEvaluation:
    """Single words, two in a row, and four hours without a word."""
    plain = {"snr": "clean", "talk": "none", "gain": "+0 dB", "room": "none"}
    said = (("left", 10.0), ("right", 20.0))
    return evaluation(
        {
            scene(*said, **plain, flow="one by one"): events(("left", 10.6, 0.9)),
            scene(*said, **plain, flow="digits in a row"): events(
                ("left", 10.6, 0.5), ("right", 20.6, 0.5)
            ),
            scene(*said, **plain, flow="in sentences"): [],
            scene(negative=True, source="speech of many people", seconds=14400): events(
                ("left", 1.0, 0.7), ("left", 3.0, 0.7), ("left", 5.0, 0.7), ("left", 7.0, 0.9)
            ),
            scene(negative=True, source="noise/kitchen20", seconds=900): [],
        }
    )


def test_words_in_the_flow_of_speech_are_counted_apart():
    report = in_flow()
    assert report.shipped.words.misses() == Misses(missed=1, said=2)
    assert {
        name: {value: tally.misses().missed for value, tally in values.items()}
        for name, values in report.shipped.conditions.items()
        if len(values) > 1
    } == {"flow": {"one by one": 1, "digits in a row": 0, "in sentences": 2}}
    # Settings are chosen without them.
    point = next(point for point in report.points if point.rate_per_hour == 0.5)
    assert report.settings[point.setting] == 0.9
    assert report.counts[point.setting].conditions["flow"]["digits in a row"].misses().missed == 2


# Operating points


def test_a_point_has_the_fewest_misses_of_those_that_keep_to_its_rate(measured):
    by_rate = {point.rate_per_hour: point for point in measured.points}
    point = by_rate[0.5]
    # At 0.3 there are 3 false accepts in 4 hours. From 0.4 to 0.8 as much is missed; at 0.8 there
    # are the fewest false accepts.
    assert measured.settings[point.setting] == 0.8
    counts = measured.counts[point.setting]
    assert counts.negatives.accepts().per_hour == 0.25
    assert counts.words.misses().missed == 2
    assert measured.points[0].rate_per_hour is None
    assert measured.settings[measured.points[0].setting] == 0.3


@given(
    counts=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 40)), min_size=1),
    hours=st.floats(0.1, 30),
)
def test_no_setting_within_the_rate_has_fewer_misses(counts, hours):
    misses = [Misses(missed=missed, said=100) for missed, _ in counts]
    accepts = [FalseAccepts(count=count, hours=hours) for _, count in counts]
    for point in operating_points(misses, accepts, shipped=0)[1:]:
        within = [missed for missed, n in counts if n / hours <= point.rate_per_hour]
        if point.setting is None:
            assert point.rate_per_hour * hours < 1 or not within
        else:
            assert accepts[point.setting].per_hour <= point.rate_per_hour
            assert misses[point.setting].missed == min(within)


@pytest.mark.parametrize(
    ("hours", "count", "problem"),
    [
        (0.0, 0, "there are no negative hours"),
        (5.0, 0, "5.00 h of negatives are too few to tell .* fewer than 0.6 per hour"),
        (20.0, 9, "no setting has fewer than 0.45"),
    ],
)
def test_a_point_that_there_cannot_be_says_why(hours, count, problem):
    misses, accepts = [Misses(missed=0, said=9)], [FalseAccepts(count=count, hours=hours)]
    point = operating_points(misses, accepts, shipped=0)[1]
    assert point.rate_per_hour == 0.1
    assert point.setting is None
    assert point.problem is not None
    assert re.search(problem, point.problem)


# Settings


def test_a_threshold_on_confidence_takes_the_unsure_events_away():
    heard = [events(("left", 1.0, 0.3), ("left", 2.0, 0.9)), events(("right", 1.0, 0.5))]
    responses = EventResponses(WORDS, heard)
    assert responses.parameter == "confidence"
    assert responses.settings == (0.3, 0.5, 0.9)
    assert responses.heard(0.3) == heard
    assert responses.heard(0.9) == [[heard[0][1]], []]


@pytest.mark.parametrize(
    "heard",
    [[], [[]], [[Heard(word="left", time_s=1.0), Heard(word="left", time_s=2.0, confidence=0.9)]]],
    ids=["no scenes", "no events", "one that does not say"],
)
def test_without_confidence_there_is_one_setting(heard):
    responses = EventResponses(WORDS, heard)
    assert responses.parameter is None
    assert len(responses.settings) == 1
    assert responses.heard(responses.settings[responses.shipped]) == heard


def test_many_confidences_are_thinned_out_from_the_least_to_the_greatest():
    heard = [events(*(("left", 1.0, 0.001 * n) for n in range(1000)))]
    settings = EventResponses(WORDS, heard).settings
    assert (settings[0], settings[-1]) == (0.0, 0.999)
    assert len(settings) == len(set(settings)) == 96


def test_a_model_hears_less_at_every_higher_setting(tones_model: Model):
    rng = np.random.default_rng(0)
    logits = np.repeat(rng.normal(0, 4, (300, len(tones_model.manifest.labels))), 8, axis=0)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    posteriors = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    responses = ModelResponses(tones_model, [posteriors])
    counts = [len(responses.heard(setting)[0]) for setting in responses.settings]
    assert counts[0] > 50
    assert counts[-1] == 0
    assert responses.describe(0.0)["thresholds"] == tones_model.manifest.detector.thresholds


# What is shown


def test_the_report_is_json_with_curves_of_equal_length(measured):
    report = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    det = report["det"]
    assert det["settings"] == sorted(det["settings"])
    curves = [det["all"], *det["words"].values(), *det["snr"].values(), *det["gain"].values()]
    columns = ("missed", "miss_rate", "false_accepts", "false_accepts_per_hour")
    for curve in curves:
        assert {len(curve[column]) for column in columns} == {len(det["settings"])}
    assert report["hours_without_words"] == 4.0
    shipped, *points = report["operating_points"]
    assert shipped["miss_rate"] == 0.5
    assert shipped["false_accepts_per_hour"] == 0.75
    assert shipped["confusions"] == [{"said": "left", "heard": "right", "count": 1}]
    assert shipped["false_accepts_among_words"]["reasons"]["confusion"] == 1
    assert shipped["latency_median_s"] == pytest.approx(0.15)
    assert [point["false_accepts_per_hour_at_most"] for point in points] == list(RATES_PER_HOUR)
    assert points[0]["miss_rate"] is None
    assert "too few" in points[0]["problem"]


def shown(report: StreamEvaluation, width: int = 80) -> str:
    console = Console(width=width, file=None, markup=False)
    with console.capture() as capture:
        console.print(stream_tables(report))
    return capture.get()


def test_the_tables_fit_into_80_columns(measured):
    wide, narrow = shown(measured, 200), shown(measured)
    assert all(len(line.rstrip()) <= 80 for line in narrow.splitlines())
    assert "…" not in narrow
    for text in (
        "as shipped",
        "0 dB",
        "+20 dB",
        "room warehouse_omni-25-12",
        "radio",
        "50.0%",
        "right 1",
        "0.75",
    ):
        assert text in narrow
        assert text in wide


def test_the_flow_of_speech_and_sources_are_shown(tmp_path: Path):
    report = in_flow()
    narrow = shown(report)
    assert all(len(line.rstrip()) <= 80 for line in narrow.splitlines())
    assert "…" not in narrow
    (row, _) = (line.split() for line in narrow.splitlines() if "digits in a row" in line)
    assert row[-5:] == ["2", "0.0%", "100.0%", "100.0%", "100.0%"]
    (source,) = (line for line in narrow.splitlines() if "noise/kitchen20" in line)
    assert source.split()[1:] == ["0.25", "0", "0.00", "0.00", "–", "14.8"]
    assert list(report.to_dict()["det"]["flow"]) == [
        "one by one",
        "digits in a row",
        "in sentences",
    ]
    draw_det(tmp_path / "det.png", report)
    assert png_size(tmp_path / "det.png") > (600, 300)


@pytest.mark.parametrize(
    "scenes",
    [
        [scene(("left", 1.0))],
        [scene(negative=True, source="radio", seconds=7200)],
        [scene(("left", 1.0)), scene(negative=True, source="radio")],
    ],
    ids=["only words", "only negatives", "few of both"],
)
@pytest.mark.parametrize("heard", [[], events(("left", 1.5, 0.9))], ids=["nothing", "something"])
def test_whatever_was_measured_can_be_shown(
    tmp_path: Path, scenes: Sequence[Scene], heard: list[Heard]
):
    report = evaluation(dict.fromkeys(scenes, heard))
    assert "somebody" in shown(report)
    json.dumps(report.to_dict(), allow_nan=False)
    draw_det(tmp_path / "det.png", report)
    assert png_size(tmp_path / "det.png") > (600, 300)


def test_the_picture_is_drawn(measured, tmp_path):
    draw_det(tmp_path / "det.png", measured)
    assert png_size(tmp_path / "det.png") > (600, 300)


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height
