"""Where in a recording its word lies."""

from __future__ import annotations

import numpy as np
import pytest
import tones
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("librosa", reason="training needs harken[train]")

from harken.edge.spotting.endpoints import HOP, find_word

CLOSE = 5 * HOP  # 50 ms: frames of 10 ms, smoothed over three, and the margin on either side


def recording(*parts: tuple[float, np.ndarray], seconds: float = 1.0, floor: float = 1e-3):
    """Sounds at their starts (seconds), over noise: (n,) int16."""
    samples = tones.quiet(seconds, level=floor)
    for start_s, sound in parts:
        start = round(start_s * tones.RATE)
        samples[start : start + len(sound)] += sound
    return tones.to_int16(samples)


def assert_found(audio: np.ndarray, start_s: float, end_s: float) -> None:
    start, end = find_word(audio)
    assert start == pytest.approx(start_s * tones.RATE, abs=CLOSE)
    assert end == pytest.approx(end_s * tones.RATE, abs=CLOSE)


def test_a_word_is_found_in_the_silence_around_it():
    assert_found(recording((0.3, tones.tone("low", seconds=0.4))), 0.3, 0.7)


def test_nothing_of_the_word_is_cut_off():
    start, end = find_word(recording((0.3, tones.tone("low", seconds=0.4))))
    assert start <= 0.3 * tones.RATE
    assert end >= 0.7 * tones.RATE


@pytest.mark.parametrize("level", [0.01, 0.1, 0.9])
def test_the_level_of_a_recording_does_not_matter(level):
    audio = recording((0.3, tones.tone("low", level=level)), floor=level / 100)
    assert find_word(audio) == find_word(
        recording((0.3, tones.tone("low", level=0.3)), floor=0.3 / 100)
    )


def test_a_direct_voltage_is_no_sound():
    audio = recording((0.3, tones.tone("low", seconds=0.4)))
    assert find_word(audio + np.int16(6000)) == find_word(audio)


def test_the_closure_before_a_stop_consonant_lies_inside_the_word():
    syllables = [(0.2, tones.tone("low", seconds=0.2)), (0.5, tones.tone("high", seconds=0.2))]
    assert_found(recording(*syllables), 0.2, 0.7)


def test_of_two_sounds_far_apart_the_one_with_more_energy_is_the_word():
    sounds = [(0.1, tones.tone("low", seconds=0.1)), (0.5, tones.tone("high", seconds=0.4))]
    assert_found(recording(*sounds), 0.5, 0.9)


def test_a_click_beside_the_word_does_not_win_by_its_peak():
    click = np.full(80, 0.9, np.float32) * np.resize([1, -1], 80).astype(np.float32)
    sounds = [(0.1, click), (0.5, tones.tone("high", seconds=0.4, level=0.1))]
    assert_found(recording(*sounds), 0.5, 0.9)


def test_a_tail_that_only_a_silent_room_lets_one_hear_does_not_count():
    # 60 dB in 0.6 s: after 0.22 s it is 22 dB below the peak.
    fading = tones.tone("low", seconds=0.6) * np.logspace(0, -3, round(0.6 * tones.RATE))
    audio = recording((0.2, fading.astype(np.float32)), floor=0.0)
    assert_found(audio, 0.2, 0.2 + 0.22)


def test_a_word_at_the_end_reaches_to_the_last_sample():
    audio = recording((0.6, tones.tone("low", seconds=0.4)))[: tones.RATE - HOP // 2]
    start, end = find_word(audio)
    assert start == pytest.approx(0.6 * tones.RATE, abs=CLOSE)
    assert end == len(audio)


@pytest.mark.parametrize(
    "audio",
    [
        np.ones(1, np.int16),
        np.arange(2 * HOP - 1, dtype=np.int16),
        np.zeros(tones.RATE, np.int16),
        np.resize(np.array([900, -900], np.int16), tones.RATE),
    ],
    ids=["one sample", "shorter than 20 ms", "digital silence", "of constant level"],
)
def test_where_there_is_nothing_to_tell_apart_all_of_it_is_the_word(audio):
    assert find_word(audio) == (0, len(audio))


@given(length=st.integers(1, 20_000), seed=st.integers(0, 2**32 - 1))
def test_whatever_it_is_the_word_lies_inside_and_is_not_empty(length, seed):
    rng = np.random.default_rng(seed)
    envelope = np.repeat(10 ** rng.uniform(-4, 0, -(-length // 800)), 800)[:length]
    audio = tones.to_int16(envelope * rng.normal(0, 0.3, length))
    start, end = find_word(audio)
    assert 0 <= start < end <= length
