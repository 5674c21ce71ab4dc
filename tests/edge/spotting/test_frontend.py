"""The front end is librosa's MFCC, streamed: the same numbers for any chunking, type and level."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.edge import AudioError, FrontEnd, FrontEndConfig
from harken.edge.spotting.frontend import dct_matrix, mel_filterbank

CONFIG = FrontEndConfig()
RATE = CONFIG.sample_rate_hz
WINDOW, HOP = CONFIG.window_samples, CONFIG.hop_samples
MAX_ERROR = 1e-3

# Features as a model sees them: standardised with figures of the size that speech has, and
# quantized to int8 over 6 standard deviations to either side.
STANDARDISED = dataclasses.replace(
    CONFIG, mean=(-350.0, *(0.0,) * 39), std=(150.0, *(float(40 / (1 + i)) + 5 for i in range(39)))
)
INT8_SCALE = np.float32(6 / 127)


def librosa_mfcc(config: FrontEndConfig, samples: np.ndarray) -> np.ndarray:
    """The definition, (frames, n_mfcc)."""
    librosa = pytest.importorskip("librosa", reason="librosa defines the features")
    y = samples.astype(np.float32) / 32768 if samples.dtype == np.int16 else samples
    power = librosa.feature.melspectrogram(
        y=y,
        sr=config.sample_rate_hz,
        n_fft=config.window_samples,
        win_length=config.window_samples,
        hop_length=config.hop_samples,
        window="hann",
        center=False,
        power=2.0,
        n_mels=config.n_mels,
        fmin=config.f_min_hz,
        fmax=config.f_max_hz,
        htk=False,
        norm="slaney",
    )
    decibels = librosa.power_to_db(power, ref=1.0, amin=config.amin, top_db=None)
    return librosa.feature.mfcc(S=decibels, n_mfcc=config.n_mfcc, dct_type=2, norm="ortho").T


def speechlike(seconds: float = 3.0, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Buzz with moving formants, breath noise and pauses, (n,) float32: the dynamics of speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    formants = 1000 + 600 * np.sin(2 * np.pi * 1.3 * time)
    buzz = sum(
        np.exp(-(((k * 120 - formants) / 500) ** 2)) * np.sin(k * pitch) for k in range(1, 40)
    )
    envelope = np.clip(np.sin(2 * np.pi * 1.1 * time), 0, None)
    noise = rng.normal(size=len(time)) * (0.002 + 0.1 * (np.sin(2 * np.pi * 1.7 * time) > 0.8))
    return (level * (buzz * envelope + noise)).astype(np.float32)


def to_int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def sine(hertz: float, level: float) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(2 * RATE) / RATE)).astype(np.float32)


SIGNALS = {
    "speechlike": speechlike(),
    "speechlike, -40 dB": speechlike() * np.float32(0.01),
    "speechlike, +40 dB, clipped": np.clip(speechlike() * np.float32(100), -1, 32767 / 32768),
    "digital silence": np.zeros(RATE, np.float32),
    "silence, then full-scale noise": np.concatenate(
        (
            np.zeros(RATE, np.float32),
            np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32),
        )
    ),
    "full-scale sine": sine(440.3, 1.0),
    "full-scale square": np.sign(sine(300.0, 1.0)) * np.float32(32767 / 32768),
    "one bit of noise": np.random.default_rng(1).integers(-1, 2, RATE).astype(np.float32) / 32768,
    "constant offset": np.full(RATE, 0.3, np.float32),
    "single click": np.eye(1, RATE, 8000, dtype=np.float32)[0],
}


def chunks(samples: np.ndarray, sizes) -> list[np.ndarray]:
    """`samples` in pieces whose sizes are taken from `sizes`, again and again."""
    sizes = list(sizes)
    pieces, start, index = [], 0, 0
    while start < len(samples):
        size = sizes[index % len(sizes)]
        pieces.append(samples[start : start + size])
        start, index = start + size, index + 1
    return pieces


def stream(front_end: FrontEnd, pieces: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([front_end.mfcc(piece) for piece in pieces])


# The numbers of librosa


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("name", SIGNALS)
def test_the_coefficients_are_those_of_librosa(name, dtype):
    samples = to_int16(SIGNALS[name]) if dtype == np.int16 else SIGNALS[name]
    expected = librosa_mfcc(CONFIG, samples)
    found = FrontEnd(CONFIG).mfcc(samples)
    assert found.shape == expected.shape == ((len(samples) - WINDOW) // HOP + 1, 40)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= MAX_ERROR


@pytest.mark.parametrize("name", SIGNALS)
def test_after_quantization_the_values_are_those_of_librosa(name):
    samples = to_int16(SIGNALS[name])
    mean, std = np.float32(STANDARDISED.mean), np.float32(STANDARDISED.std)
    expected = quantized((librosa_mfcc(CONFIG, samples) - mean) / std)
    found = quantized(FrontEnd(STANDARDISED).feed(samples))
    assert np.abs(found - expected).max() <= 1
    assert (found == expected).mean() >= 0.999


def quantized(frames: np.ndarray) -> np.ndarray:
    values = np.clip(np.rint(frames / INT8_SCALE), -128, 127)
    assert len(np.unique(values)) > 1
    return values.astype(int)


@pytest.mark.parametrize(
    "config",
    [
        FrontEndConfig(n_mels=20, n_mfcc=10),
        FrontEndConfig(n_mfcc=13, window_samples=400, hop_samples=160),
        FrontEndConfig(sample_rate_hz=8000, window_samples=256, hop_samples=256, f_max_hz=4000.0),
        FrontEndConfig(f_min_hz=0.0, f_max_hz=8000.0, amin=1e-6),
        FrontEndConfig(n_mels=64, n_mfcc=64, f_min_hz=1200.0),
    ],
    ids=["small", "25 ms", "8 kHz", "full band", "logarithmic part"],
)
def test_other_parameters_are_those_of_librosa_too(config):
    samples = to_int16(speechlike(1.0))
    expected = librosa_mfcc(config, samples)
    found = FrontEnd(config).mfcc(samples)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= MAX_ERROR


def test_the_filterbank_is_that_of_librosa():
    librosa = pytest.importorskip("librosa", reason="librosa defines the features")
    expected = librosa.filters.mel(
        sr=RATE, n_fft=WINDOW, n_mels=40, fmin=50.0, fmax=7600.0, htk=False, norm="slaney"
    )
    assert mel_filterbank(CONFIG).shape == (40, 257)
    np.testing.assert_allclose(mel_filterbank(CONFIG), expected, rtol=1e-6, atol=1e-9)


def test_the_cosine_transform_is_orthonormal():
    matrix = dct_matrix(CONFIG)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(40), atol=1e-12)


@pytest.mark.data
def test_real_speech_gives_the_coefficients_of_librosa(harken_data):
    soundfile = pytest.importorskip("soundfile")
    clips = sorted((harken_data / "speech_commands").glob("*/*.opus"))[::700]
    assert len(clips) >= 20
    mean, std = np.float32(STANDARDISED.mean), np.float32(STANDARDISED.std)
    same = total = 0
    for clip in clips:
        samples, rate = soundfile.read(clip, dtype="int16")
        assert rate == RATE
        expected = librosa_mfcc(CONFIG, samples)
        assert np.abs(FrontEnd(CONFIG).mfcc(samples) - expected).max() <= MAX_ERROR
        found = np.rint(FrontEnd(STANDARDISED).feed(samples) / INT8_SCALE)
        expected = np.rint((expected - mean) / std / INT8_SCALE)
        assert np.abs(found - expected).max() <= 1
        same, total = same + (found == expected).sum(), total + found.size
    assert same / total >= 0.999


# Any chunking


@pytest.mark.parametrize("name", ["speechlike", "silence, then full-scale noise"])
@pytest.mark.parametrize(
    "sizes", [[1], [7], [HOP], [WINDOW], [1, 319, 321, 5000], [16_000], [0, 160]], ids=str
)
def test_chunks_make_no_difference_to_the_last_bit(name, sizes):
    samples = to_int16(SIGNALS[name])
    whole = FrontEnd(CONFIG).mfcc(samples)
    assert len(whole) > 90
    np.testing.assert_array_equal(stream(FrontEnd(CONFIG), chunks(samples, sizes)), whole)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4000), min_size=1).filter(any))
def test_random_chunks_make_no_difference(sizes):
    samples = speechlike(1.0)
    whole = FrontEnd(CONFIG).mfcc(samples)
    np.testing.assert_array_equal(stream(FrontEnd(CONFIG), chunks(samples, sizes)), whole)


def test_a_frame_comes_with_the_sample_that_completes_it():
    front_end = FrontEnd(CONFIG)
    assert front_end.feed(np.zeros(WINDOW - 1, np.int16)).shape == (0, 40)
    assert front_end.feed(np.zeros(1, np.int16)).shape == (1, 40)
    assert front_end.feed(np.zeros(HOP - 1, np.int16)).shape == (0, 40)
    assert front_end.feed(np.zeros(1, np.int16)).shape == (1, 40)
    assert front_end.feed(np.zeros(0, np.int16)).shape == (0, 40)
    assert front_end.feed(np.zeros(10 * HOP, np.int16)).shape == (10, 40)


def test_a_reset_starts_over():
    samples = to_int16(speechlike(0.5))[:-100]
    front_end = FrontEnd(CONFIG)
    first = front_end.feed(samples)
    front_end.reset()
    np.testing.assert_array_equal(front_end.feed(samples), first)


def test_frames_returned_earlier_are_left_alone():
    front_end = FrontEnd(CONFIG)
    first = front_end.feed(to_int16(speechlike(0.5)))
    kept = first.copy()
    front_end.feed(to_int16(speechlike(0.5, seed=1)))
    np.testing.assert_array_equal(first, kept)


def test_the_samples_are_left_alone():
    for samples in (speechlike(0.5), to_int16(speechlike(0.5)), speechlike(1.0)[::2]):
        samples.flags.writeable = False
        expected = FrontEnd(CONFIG).feed(samples.copy())
        np.testing.assert_array_equal(FrontEnd(CONFIG).feed(samples), expected)


# Types and levels


def test_int16_is_float32_with_full_scale_at_1():
    samples = to_int16(speechlike())
    as_float = samples.astype(np.float32) / 32768
    np.testing.assert_array_equal(FrontEnd(CONFIG).feed(samples), FrontEnd(CONFIG).feed(as_float))


@pytest.mark.parametrize("gain_db", [-40, -20, 20, 40])
def test_gain_moves_the_0th_coefficient_alone(gain_db):
    loud = speechlike(level=0.001) + np.random.default_rng(0).normal(
        scale=1e-3, size=3 * RATE
    ).astype(np.float32)
    config = dataclasses.replace(CONFIG, amin=1e-20)
    before = FrontEnd(config).mfcc(loud)
    after = FrontEnd(config).mfcc(loud * np.float32(10 ** (gain_db / 20)))
    shift = after - before
    np.testing.assert_allclose(shift[:, 0], gain_db * np.sqrt(40), atol=1e-3)
    np.testing.assert_allclose(shift[:, 1:], 0, atol=1e-3)


def test_digital_silence_is_the_floor_of_100_decibels():
    frames = FrontEnd(CONFIG).mfcc(np.zeros(RATE, np.int16))
    np.testing.assert_allclose(frames[:, 0], -100 * np.sqrt(40), atol=1e-3)
    np.testing.assert_allclose(frames[:, 1:], 0, atol=1e-3)


def test_standardisation_subtracts_the_mean_and_divides_by_the_deviation():
    samples = to_int16(speechlike())
    mfcc = FrontEnd(STANDARDISED).mfcc(samples)
    expected = (mfcc - np.array(STANDARDISED.mean)) / np.array(STANDARDISED.std)
    np.testing.assert_allclose(FrontEnd(STANDARDISED).feed(samples), expected, atol=1e-5)


def test_without_figures_nothing_is_standardised():
    assert CONFIG.mean == (0.0,) * 40
    assert CONFIG.std == (1.0,) * 40


# What is no audio


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        (np.zeros(1000), "samples are float64; give a numpy array of int16, or float32"),
        (np.zeros(1000, np.uint8), "samples are uint8"),
        (np.zeros(1000, ">i2"), "samples are >i2"),
        ([0] * 1000, "samples are list"),
        (np.zeros((1000, 2), np.int16), "shape (1000, 2); give one channel, of shape (n,)"),
        (np.zeros((), np.int16), "shape ()"),
        (np.full(1000, np.nan, np.float32), "NaN, infinite or absurdly large"),
        (np.full(1000, np.inf, np.float32), "NaN, infinite or absurdly large"),
        (np.full(1000, 1e30, np.float32), "NaN, infinite or absurdly large"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_what_is_no_audio_is_refused_and_leaves_no_trace(samples, complaint):
    speech = to_int16(speechlike(0.5))
    front_end = FrontEnd(CONFIG)
    before = front_end.feed(speech[:3000])
    with pytest.raises(AudioError) as caught:
        front_end.feed(samples)
    assert complaint in str(caught.value)
    after = front_end.feed(speech[3000:])
    np.testing.assert_array_equal(np.concatenate((before, after)), FrontEnd(CONFIG).feed(speech))


def test_the_largest_values_accepted_give_finite_frames():
    frames = FrontEnd(CONFIG).feed(np.full(RATE, 1e12, np.float32))
    assert np.isfinite(frames).all()


# Memory


@pytest.mark.parametrize("size", [1, HOP, 10 * HOP])
def test_a_stream_needs_no_memory_that_grows(size):
    front_end = FrontEnd(CONFIG)
    chunk = to_int16(speechlike(1.0))[:size]

    def feed(times: int) -> None:
        for _ in range(times):
            front_end.feed(chunk)

    def growth() -> tuple[int, int]:
        """Bytes kept and peak bytes of 300 calls."""
        tracemalloc.start()
        try:
            feed(10)
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            feed(300)
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return after - before, peak - before

    feed(2 * WINDOW // size + 10)
    # Other threads of the process are traced too; a leak of the front end's grows every time.
    kept, peak = min(growth() for _ in range(3))
    assert kept < 1024
    # Beside the frames returned (of this call and of the last) there are views and numpy's
    # bookkeeping; the arrays that a single frame needs on its way would take 10 kB.
    frames = 2 * 4 * CONFIG.n_mfcc * max(1, size // HOP)
    assert peak < frames + 6000
