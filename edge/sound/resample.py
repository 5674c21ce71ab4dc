"""Audio at any rate, in any number of channels, in; mono int16 at the model's rate out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import AudioError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

_MOST_FLOAT = 8.0  # 18 dB above full scale
_MOST_SHARE = 0.25  # a smaller share of samples beyond it is an accident
_SOUND = 0.01  # of full scale: less may be the noise of a sound card
_CANCELLED = 0.01  # of the loudest channel


def wrong_scale(samples: NDArray[np.float32]) -> str:
    """Return what is wrong with float samples if many are far above full scale, ±1; else ''."""
    sizes = np.abs(samples)
    if not len(sizes) or np.mean(sizes > _MOST_FLOAT) <= _MOST_SHARE:
        return ""
    return (
        f"float samples go up to {sizes.max():.6g}, where full scale is 1: they have another "
        "scale, perhaps that of int16; divide all by 32768, and write them again"
    )


class MonoResampler:
    """Mono float32 audio at one rate in, int16 at another out, chunk by chunk (soxr, high quality).

    If the rates are equal, audio that was originally int16 is returned bit for bit.

    Parameters
    ----------
    from_hz, to_hz : int
        The two rates.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = None
        if from_hz != to_hz:
            import soxr

            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def reset(self) -> None:
        """Start anew: what comes next does not follow what came before."""
        if self._stream is not None:
            self._stream.clear()

    def feed(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.int16]:
        """Return the samples that are ready; after the last chunk, all that are left.

        Parameters
        ----------
        samples : numpy.ndarray
            Shape ``(n,)``, float32 with full scale at ±1; samples beyond are clipped.
        last : bool
            Whether this is the last chunk.

        Returns
        -------
        numpy.ndarray
            Shape ``(m,)``, int16; ``m`` may be 0.

        Raises
        ------
        AudioError
            Too many samples are too large for full scale to be 1.
        """
        if problem := wrong_scale(samples):
            raise AudioError(problem)
        samples = np.clip(samples, -1, 1)
        if self._stream is not None:
            samples = self._stream.resample_chunk(samples, last=last)
        scaled = np.rint(samples * np.float32(32768))
        pcm: NDArray[np.int16] = np.clip(scaled, -32768, 32767).astype(np.int16)
        return pcm


def cancels(channels: NDArray[np.float32], mono: NDArray[np.float32]) -> bool:
    """Return whether the channels carry audio that cancels out almost completely in their mean.

    Parameters
    ----------
    channels : numpy.ndarray
        Shape ``(n, channels)``, full scale at ±1.
    mono : numpy.ndarray
        Shape ``(n,)``, their mean.
    """
    if channels.shape[1] < 2 or not len(mono):
        return False
    loudest = float(np.abs(channels).max())
    return loudest > _SOUND and float(np.abs(mono).max()) < _CANCELLED * loudest


class Mixer:
    """Audio with any number of channels in, mono int16 at another rate out, chunk by chunk.

    Parameters
    ----------
    from_hz, to_hz : int
        The two rates.
    channel : int, optional
        The channel to use, counted from 1; by default their mean.
    """

    def __init__(self, from_hz: int, to_hz: int, channel: int | None = None) -> None:
        self._channel = channel
        self._resampler = MonoResampler(from_hz, to_hz)
        self._as_it_is = from_hz == to_hz

    def reset(self) -> None:
        """Start anew: what comes next does not follow what came before."""
        self._resampler.reset()

    def feed(self, sound: NDArray[Any], *, last: bool = False) -> NDArray[np.int16]:
        """Return the samples that are ready; after the last chunk, all that are left.

        Parameters
        ----------
        sound : numpy.ndarray
            Shape ``(n,)`` or ``(n, channels)``, int16, or float32 with full scale at ±1.
        last : bool
            Whether this is the last chunk.

        Returns
        -------
        numpy.ndarray
            Shape ``(m,)``, int16; ``m`` may be 0.
        """
        scale = np.float32(1 / 32768 if sound.dtype == np.int16 else 1)
        if sound.ndim == 2:
            if self._channel is None and sound.shape[1] > 1:
                sound = sound.mean(axis=1, dtype=np.float32)
            else:
                sound = sound[:, 0 if self._channel is None else self._channel - 1]
        if self._as_it_is and sound.dtype == np.int16:
            return sound
        return self._resampler.feed(sound * scale, last=last)
