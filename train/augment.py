"""Waveforms in, the same waveforms out, as if from another room, speaker, microphone or day.

Every function takes its random generator; a parameter of zero turns its effect off.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float32]

_FADE = 160  # samples, at the edges of a piece of audio, so that a splice does not click


def rms(audio: Array) -> float:
    """Root mean square of a waveform; never 0, so that it can be a divisor."""
    return float(np.sqrt(np.mean(np.square(audio), dtype=np.float64) + 1e-12))


def decibels(gain: float) -> float:
    """Amplitude factor of a gain in dB."""
    return float(10.0 ** (gain / 20.0))


def change_speed(audio: Array, factor: float) -> Array:
    """Play faster (factor > 1) or slower, pitch included, by linear interpolation."""
    if factor == 1.0:
        return audio
    count = max(1, round(len(audio) / factor))
    played = np.interp(np.arange(count) * factor, np.arange(len(audio)), audio)
    return np.asarray(played, np.float32)


def reverberate(audio: Array, room: Array, mix: float) -> Array:
    """Convolve with a room's impulse response, aligned to its direct sound and of equal loudness.

    ``mix`` is the share of the room in the result: 0 leaves the audio dry.
    """
    if mix == 0.0:
        return audio
    room = room[int(np.argmax(np.abs(room))) :]
    size = fft.next_fast_len(len(audio) + len(room) - 1, real=True)
    wet = fft.irfft(fft.rfft(audio, size) * fft.rfft(room, size), size)[: len(audio)]
    wet = wet * (rms(audio) / rms(wet))
    return np.asarray((1.0 - mix) * audio + mix * wet, np.float32)


def faded(audio: Array) -> Array:
    """Return a copy with the first and last 160 samples (10 ms) faded in and out."""
    copy = audio.copy()
    width = min(_FADE, len(audio) // 2)
    if width:
        ramp = np.linspace(0, 1, width, dtype=np.float32)
        copy[:width] *= ramp
        copy[-width:] *= ramp[::-1]
    return copy


def tilted_noise(rng: np.random.Generator, samples: int, slope_db: float) -> Array:
    """Draw Gaussian noise of unit level that falls by ``slope_db`` an octave (0 white, 6 brown)."""
    size = fft.next_fast_len(samples, real=True)
    spectrum = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    bins = np.maximum(np.arange(len(spectrum)), 1.0)
    noise = fft.irfft(spectrum * bins ** (-slope_db / 6.02), size)[:samples].astype(np.float32)
    return np.asarray(noise / rms(noise), np.float32)


def mains_hum(rng: np.random.Generator, samples: int, rate_hz: int) -> Array:
    """Draw the noise of a poor microphone or power supply: mains hum, an offset and slow drift.

    About 50 or 60 Hz, with overtones that fall off at 3 to 12 dB an octave and vary in level; of
    unit level.
    """
    mains_hz = float(rng.choice([50.0, 60.0]) * rng.uniform(0.99, 1.01))
    slope = rng.uniform(0.5, 2.0)
    time_s = np.arange(samples, dtype=np.float32) / np.float32(rate_hz)
    hum = np.zeros(samples, np.float32)
    for overtone in range(1, int(rng.integers(2, 21))):
        level = float(rng.uniform(0.1, 1.0)) * overtone**-slope
        phase = float(rng.uniform(0, 2 * np.pi))
        hum += np.float32(level) * np.sin(
            np.float32(2 * np.pi * mains_hz * overtone) * time_s + np.float32(phase)
        )
    hum /= np.float32(rms(hum))
    offset, drift = rng.normal(0.0, 0.5, 2)
    drift_hz = float(rng.uniform(0.1, 2.0))
    hum += np.float32(offset) + np.float32(drift) * np.sin(
        np.float32(2 * np.pi * drift_hz) * time_s
    )
    return np.asarray(hum / np.float32(rms(hum)), np.float32)


def mask_spectrum(rng: np.random.Generator, log_mel: Array, *, mel_bands: int, frames: int) -> None:
    """SpecAugment (Park et al., 2019): a stripe of mel bands and one of frames per clip, in place.

    The stripe of bands gets its mean; in the stripe of frames, each band gets its mean over it.

    Parameters
    ----------
    rng
        Source of the draws.
    log_mel
        Decibels, shape (batch, n_mels, frames), changed in place.
    mel_bands, frames
        The largest widths of the stripes; 0 draws none.
    """
    for clip in log_mel:
        bands, length = clip.shape
        width = int(rng.integers(0, min(mel_bands, bands) + 1))
        if width:
            low = int(rng.integers(0, bands - width + 1))
            clip[low : low + width] = clip[low : low + width].mean()
        width = int(rng.integers(0, min(frames, length) + 1))
        if width:
            start = int(rng.integers(0, length - width + 1))
            clip[:, start : start + width] = clip[:, start : start + width].mean(
                axis=1, keepdims=True
            )


def draw_channels(
    rng: np.random.Generator, count: int, *, n_mfcc: int, n_mels: int, response_db: float
) -> Array:
    """Draw microphones: the offset that each of them adds to the coefficients of every frame.

    A frequency response multiplies spectra, so it adds to their logarithms: a microphone is one
    offset of the MFCC, and costs nothing to change. Slow waves over the mel bands are larger than
    fast ones, as real responses are smooth; a gain with twice the deviation is added.

    Parameters
    ----------
    rng
        Source of the draws.
    count
        Number of microphones.
    n_mfcc, n_mels
        Of the front end.
    response_db
        Standard deviation of the response over the mel bands, in dB.

    Returns
    -------
    ndarray
        Offsets of the coefficients, shape (count, n_mfcc), float32.
    """
    order = np.arange(1, n_mels)
    waves = 1 / (1 + (order / 2) ** 1.5)
    waves /= math.sqrt(np.sum(waves**2))
    deviations = response_db * math.sqrt(n_mels) * np.concatenate(([2.0], waves))[:n_mfcc]
    return np.asarray(rng.standard_normal((count, len(deviations))) * deviations, np.float32)


def to_pcm(audio: Array) -> NDArray[np.int16]:
    """Convert a waveform in [-1, 1] to 16 bits: rounded, clipped at full scale."""
    pcm: NDArray[np.int16] = np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)
    return pcm
