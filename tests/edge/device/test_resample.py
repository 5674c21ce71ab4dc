"""The resampler in C: what passes, what is stopped, and that it is the same everywhere."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
import soxr
from c_engine import needs_compiler
from c_stream import FULL_SCALE, build_resampler, compilers, resample

pytestmark = needs_compiler

RATES = (8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build_resampler(tmp_path_factory.mktemp("resampler"))


def tone(frequency_hz: float, rate_hz: int, amplitude: float = 0.9) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(rate_hz) / rate_hz + 0.3)


def noise_below(limit_hz: float, rate_hz: int, seconds: int = 3) -> np.ndarray:
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(0, 0.1, seconds * rate_hz))
    spectrum[np.fft.rfftfreq(seconds * rate_hz, 1 / rate_hz) > limit_hz] = 0
    return np.fft.irfft(spectrum)


def middle(samples: np.ndarray) -> np.ndarray:
    """Without both ends, where the filter meets what is not there."""
    return samples[1_000:-1_000].astype(np.float64)


@pytest.mark.parametrize("rate_hz", RATES)
def test_what_the_model_hears_passes_at_its_place(library: ctypes.CDLL, rate_hz: int) -> None:
    """In the pass band each sample is the tone's, at the time of the output, within 2."""
    for share in (0.01, 0.3, 0.6, 0.95):
        frequency_hz = share * min(rate_hz, 16_000) / 2
        got = resample(library, tone(frequency_hz, rate_hz), rate_hz)
        time_s = np.arange(len(got)) / 16_000
        wanted = 0.9 * FULL_SCALE * np.sin(2 * np.pi * frequency_hz * time_s + 0.3)
        assert np.abs(middle(got) - middle(wanted)).max() < 2, frequency_hz


@pytest.mark.parametrize("rate_hz", [rate for rate in RATES if rate > 20_000])
def test_what_would_fold_back_is_stopped(library: ctypes.CDLL, rate_hz: int) -> None:
    """At 8.4 kHz it is 90 dB down, less the rounding to int16; above, nothing is left."""
    at_the_edge = middle(resample(library, tone(8_400, rate_hz), rate_hz))
    decibels = 20 * np.log10(max(at_the_edge.std(), 1e-3) * np.sqrt(2) / (0.9 * FULL_SCALE))
    assert decibels < -88
    for frequency_hz in np.linspace(8_800, rate_hz / 2 * 0.98, 9):
        stopped = middle(resample(library, tone(frequency_hz, rate_hz), rate_hz))
        assert np.abs(stopped).max() <= 1, frequency_hz


@pytest.mark.parametrize(("rate_hz", "most"), [(44_100, 2.0), (48_000, 1.0)])
def test_it_agrees_with_soxr(library: ctypes.CDLL, rate_hz: int, most: float) -> None:
    """Where both are flat, sound differs from soxr's best by so many of int16's steps at most."""
    sound = noise_below(7_200, rate_hz)
    got = resample(library, sound, rate_hz)
    wanted = soxr.resample(sound, rate_hz, 16_000, quality="VHQ")[: len(got)] * FULL_SCALE
    apart = np.abs(middle(got) - middle(wanted))
    assert apart.max() < most
    assert apart.std() < 0.5


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000, 192_000])
def test_chunks_make_no_difference(library: ctypes.CDLL, rate_hz: int) -> None:
    sound = noise_below(rate_hz / 2, rate_hz, seconds=1)
    whole = resample(library, sound, rate_hz)
    assert all(
        np.array_equal(resample(library, sound, rate_hz, chunk=n), whole) for n in (1, 7, 100)
    )


@pytest.mark.parametrize("rate_hz", RATES)
def test_as_many_samples_come_out_as_time_passes(library: ctypes.CDLL, rate_hz: int) -> None:
    """All but what waits for the second half of the filter."""
    heard = len(resample(library, np.zeros(rate_hz), rate_hz))
    assert 16_000 * 0.99 < heard <= 16_000


def test_all_compilers_agree(tmp_path: Path, library: ctypes.CDLL) -> None:
    sound = noise_below(20_000, 44_100, seconds=1)
    wanted = resample(library, sound, 44_100)
    for compiler in compilers():
        for level in ("-O0", "-O3", "-Os"):
            other = build_resampler(tmp_path, compiler, (level, "-ffp-contract=off"))
            assert np.array_equal(resample(other, sound, 44_100), wanted), (compiler, level)


def test_loud_sound_is_clipped(library: ctypes.CDLL) -> None:
    loud = resample(library, tone(1_000, 48_000, 3.0), 48_000)
    assert loud.max() == 32767
    assert loud.min() == -32768


@pytest.mark.parametrize("rate_hz", [44_056, 47_999, 191_950])
def test_rates_without_a_common_divisor_are_refused(library: ctypes.CDLL, rate_hz: int) -> None:
    assert library.harken_resample_bytes(rate_hz, 16_000) == 0
