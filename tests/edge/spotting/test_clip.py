"""The one rule for clips: what is heard after a clip, and which label its posteriors give it."""

from __future__ import annotations

import numpy as np
import pytest

from harken.edge import classify_clip, clip_tail
from harken.edge.spotting.clip import CLIP_THRESHOLD, TAIL_GAIN, UNKNOWN_WEIGHT

LABELS = ("left", "right", "unknown", "silence")
ENOUGH, TOO_LITTLE = CLIP_THRESHOLD + 0.01, CLIP_THRESHOLD - 0.01


def posteriors(**tracks: list[float]) -> np.ndarray:
    """Steps of posteriors, (m, n_labels): what is given, and silence has the rest."""
    steps = max(len(track) for track in tracks.values())
    rows = np.zeros((steps, len(LABELS)), np.float32)
    for label, track in tracks.items():
        rows[:, LABELS.index(label)] = track
    rows[:, -1] = 1.0 - rows.sum(axis=1)
    return rows


@pytest.mark.parametrize(
    ("clip", "label"),
    [
        (posteriors(left=[0, 0.9, 0.2], right=[0, 0.1, 0.7]), "left"),
        (posteriors(left=[0, ENOUGH], unknown=[0.5, 0.4]), "left"),
        (posteriors(left=[0, ENOUGH], unknown=[ENOUGH / UNKNOWN_WEIGHT - 0.02, 0]), "left"),
        (posteriors(left=[0, ENOUGH], unknown=[ENOUGH / UNKNOWN_WEIGHT + 0.02, 0]), "unknown"),
        (posteriors(left=[0, TOO_LITTLE], unknown=[0.4, 0.1]), "silence"),
        (posteriors(unknown=[0, TOO_LITTLE / UNKNOWN_WEIGHT]), "silence"),
        (posteriors(left=[0.0] * 20), "silence"),
        (np.zeros((0, 4), np.float32), "silence"),
    ],
    ids=[
        "the higher word",
        "a word with enough evidence",
        "unknown counts less than half",
        "still more unknown",
        "too little of anything",
        "too little of unknown",
        "silence",
        "no step",
    ],
)
def test_a_clip_gets_the_label_with_the_most_evidence(clip: np.ndarray, label: str) -> None:
    assert LABELS[classify_clip(clip, smoothing_steps=1)] == label


def test_a_clip_is_smoothed_as_the_detector_does() -> None:
    brief = posteriors(left=[1.0, 1.0, 0.0, 0.0, 0.0])
    assert LABELS[classify_clip(brief, smoothing_steps=5)] == "left"  # a peak of 0.4
    assert LABELS[classify_clip(brief, smoothing_steps=7)] == "silence"  # of 0.29


def test_the_posteriors_are_left_alone() -> None:
    clip = posteriors(left=[0.9] * 5, unknown=[0.1] * 5)
    clip.flags.writeable = False
    classify_clip(clip, smoothing_steps=1)


class TestTail:
    def test_it_is_the_end_backwards_quieter_and_fading(self) -> None:
        clip = np.arange(16_000, dtype=np.int16)
        tail = clip_tail(clip, 16_000)
        assert tail.dtype == np.int16
        assert len(tail) == 6400
        assert tail[0] == round(TAIL_GAIN * 15_999)
        assert tail[3199] == pytest.approx(TAIL_GAIN / 2 * clip[-3200], abs=2)
        assert tail[-1] == 0

    def test_it_is_the_same_for_both_types_of_samples(self) -> None:
        clip = np.random.default_rng(0).integers(-20_000, 20_000, 8_000).astype(np.int16)
        as_float = clip_tail((clip / 32768).astype(np.float32), 16_000)
        assert as_float.dtype == np.float32
        np.testing.assert_allclose(as_float * 32768, clip_tail(clip, 16_000), atol=0.51)

    @pytest.mark.parametrize("length", [0, 1, 100])
    def test_it_is_no_longer_than_the_clip(self, length: int) -> None:
        assert len(clip_tail(np.ones(length, np.int16), 16_000)) == length

    def test_it_lasts_as_long_at_another_rate(self) -> None:
        assert len(clip_tail(np.ones(8_000, np.float32), 8_000)) == 3200
