"""Batches of waveforms in, librosa's MFCC out: the reference for the device's front end."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from ..edge.spotting.frontend import FrontEndConfig
from ..edge.spotting.manifest import StepConfig

Array = NDArray[np.float32]


def log_mel(config: FrontEndConfig, audio: Array) -> Array:
    """Log mel power of a batch of waveforms.

    Parameters
    ----------
    config
        The frozen front-end parameters.
    audio
        Samples in [-1, 1], shape (batch, samples), float32.

    Returns
    -------
    ndarray
        Decibels, shape (batch, n_mels, frames), float32, frames = 1 + (samples - window) // hop.
    """
    power = librosa.feature.melspectrogram(
        y=audio,
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
    return np.asarray(decibels, np.float32)


def mfcc_from_log_mel(config: FrontEndConfig, decibels: Array) -> Array:
    """Convert log mel power (batch, n_mels, frames) to coefficients (batch, frames, n_mfcc)."""
    coefficients = librosa.feature.mfcc(
        S=decibels, n_mfcc=config.n_mfcc, dct_type=2, norm="ortho", lifter=0
    )
    return np.ascontiguousarray(np.swapaxes(coefficients, -1, -2), np.float32)


def mfcc(config: FrontEndConfig, audio: Array) -> Array:
    """Convert audio (batch, samples) to coefficients (batch, frames, n_mfcc), not standardised."""
    return mfcc_from_log_mel(config, log_mel(config, audio))


def standardise(config: FrontEndConfig, frames: Array) -> Array:
    """Subtract the mean of each coefficient (…, n_mfcc), and divide by its standard deviation."""
    mean: Array = np.asarray(config.mean, np.float32)
    std: Array = np.asarray(config.std, np.float32)
    return (frames - mean) / std


def stack_steps(step: StepConfig, frames: NDArray[np.floating[Any]]) -> Array:
    """Stack frames by a model's manifest or a run's configuration; see `stack`."""
    return stack(frames, context_frames=step.context_frames, stride_frames=step.stride_frames)


def stack(frames: NDArray[np.floating[Any]], *, context_frames: int, stride_frames: int) -> Array:
    """Stack frames as the network reads them: one step every ``stride_frames`` frames.

    Parameters
    ----------
    frames
        Standardised features, shape (batch, frames, n_mfcc).
    context_frames, stride_frames
        The step at index i sees the ``context_frames`` frames that end with frame
        ``(i + 1) * stride_frames - 1``, oldest first; frames before the first are zeros.

    Returns
    -------
    ndarray
        Shape (batch, frames // stride_frames, context_frames * n_mfcc), float32.
    """
    batch, count, width = frames.shape
    steps = count // stride_frames
    if steps == 0:
        return np.zeros((batch, 0, context_frames * width), np.float32)
    padded = np.concatenate(
        [np.zeros((batch, context_frames - stride_frames, width), np.float32), frames], axis=1
    )
    windows = np.lib.stride_tricks.sliding_window_view(padded, context_frames, axis=1)
    picked = windows[:, : steps * stride_frames : stride_frames]  # (batch, steps, n_mfcc, context)
    return np.ascontiguousarray(np.swapaxes(picked, -1, -2)).reshape(batch, steps, -1)
