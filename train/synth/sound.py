"""A voice's output in, a clip of one word out: cut, warped, at a level, as FLAC."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DataError
from ...edge.files import write_atomic
from ...edge.spotting.endpoints import find_word

RATE_HZ = 16_000
MARGIN = round(0.15 * RATE_HZ)
"""Samples that are kept before and after a word."""

_SHORTEST = round(0.06 * RATE_HZ)
_QUIETEST = 1e-3  # of full scale, -60 dB
_FADE = round(0.005 * RATE_HZ)


def clip_of(
    speech: NDArray[np.float32], rate_hz: int, *, warp: float, peak_db: float
) -> NDArray[np.int16] | None:
    """Cut a word out of a voice's output.

    Parameters
    ----------
    speech
        Shape (samples,), float32, full scale is ±1.
    rate_hz
        Its sample rate.
    warp
        Factor by which the speaker's vocal tract becomes shorter: all frequencies are multiplied
        by it, and the word becomes shorter by the same factor.
    peak_db
        Level of the peak, in dB of full scale.

    Returns
    -------
    numpy.ndarray or None
        int16, shape (samples,), at 16 kHz: the word with 0.15 s around it, padded with silence if
        the voice's output is shorter. None if it is silent.
    """
    import soxr

    if len(speech) < 2 or not np.isfinite(speech).all():
        return None
    speech = soxr.resample(np.asarray(speech, np.float32), rate_hz * warp, RATE_HZ)
    peak = float(np.abs(speech).max(initial=0.0))
    if peak < _QUIETEST:
        return None
    speech = speech * np.float32(10 ** (peak_db / 20) / peak)
    samples = np.rint(speech * 32767).astype(np.int16)
    first, last = find_word(samples)
    if last - first < _SHORTEST:
        return None
    padded = np.pad(samples, MARGIN)
    word = padded[first : last + 2 * MARGIN].astype(np.float32)
    ramp = np.linspace(0.0, 1.0, _FADE, dtype=np.float32)
    word[:_FADE] *= ramp
    word[-_FADE:] *= ramp[::-1]
    return np.rint(word).astype(np.int16)


def write_flac(path: Path, samples: NDArray[np.int16], rate_hz: int = RATE_HZ) -> None:
    """Write samples, (n,) int16, completely or not at all; raises DataError if that fails."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="FLAC", subtype="PCM_16")
    write_atomic(path, buffer.getvalue(), error=DataError)
