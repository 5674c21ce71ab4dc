"""One audio file in, 16 kHz mono int16 samples out.

Reads what libsndfile reads (wav, flac, ogg Vorbis and Opus, mp3, aiff ...) at any rate, width and
channel count. Channels are averaged, other rates go through soxr's high-quality resampler, and the
result is rounded to 16 bits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..edge.files import name_for_libsndfile
from ..edge.sound.resample import cancels, wrong_scale

SAMPLE_RATE_HZ = 16_000
"""Sample rate of everything downstream."""

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf"}
)
"""File name endings that are decoded."""

UNREADABLE_SUFFIXES = frozenset(
    {".m4a", ".aac", ".mp4", ".wma", ".webm", ".amr", ".3gp", ".mka", ".ape", ".wv"}
)
"""Audio formats that libsndfile does not read: reported, so that they are not silently missing."""

_BLOCK_FRAMES = 1 << 20  # bounds memory while an hour-long file is read


class DecodeError(Exception):
    """A file that cannot be used as audio; the message is the reason, without the path."""


def decode(path: Path) -> npt.NDArray[np.int16]:
    """Decode one file to 16 kHz mono.

    Parameters
    ----------
    path
        Audio file of any rate and number of channels.

    Returns
    -------
    numpy.ndarray
        int16, shape (samples,), at 16 kHz. Full scale is 32768; louder values are clipped.

    Raises
    ------
    DecodeError
        If the file is unreadable, holds no samples, holds NaN or infinite values, or floats of
        another scale.
    """
    import soundfile
    import soxr

    cancelled: list[bool] = []
    blocks: list[npt.NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(name_for_libsndfile(path)) as file:
            rate_hz = int(file.samplerate)
            resampler = (
                None
                if rate_hz == SAMPLE_RATE_HZ
                else soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
            )
            while True:
                # Not int16: libsndfile would round the samples of a float file to 0 and 1.
                block = file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
                last = len(block) < _BLOCK_FRAMES
                mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
                if len(block):
                    cancelled.append(cancels(block, mono))
                blocks.append(mono if resampler is None else resampler.resample_chunk(mono, last))
                if last:
                    break
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise DecodeError(_reason(error)) from error
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    if cancelled and all(cancelled):
        raise DecodeError("its channels cancel each other out; keep one of them")
    if len(samples) == 0:
        raise DecodeError("holds no samples")
    if not np.isfinite(samples).all():
        raise DecodeError("holds NaN or infinite samples")
    if problem := wrong_scale(samples):
        raise DecodeError(problem)
    pcm: npt.NDArray[np.int16] = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return pcm


def _reason(error: Exception) -> str:
    """Say in one phrase why libsndfile refused a file, without repeating its path."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return f"unreadable: {str(text).strip().rstrip('.')}"
