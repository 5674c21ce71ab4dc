"""Sound of any rate and number of channels in, mono int16 at the model's rate out, as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import AudioError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

_MOST_FLOAT = 8.0  # 18 dB above full scale
_MOST_SHARE = 0.25  # of the samples beyond that are an accident
_SOUND = 0.01  # of full scale: less may be the noise of a sound card
_CANCELLED = 0.01  # of the loudest channel


def wrong_scale(samples: NDArray[np.float32]) -> str:
    """Say what is wrong with float samples of which many are far above full scale, ±1; else ''."""
    sizes = np.abs(samples)
    if not len(sizes) or np.mean(sizes > _MOST_FLOAT) <= _MOST_SHARE:
        return ""
    return (
        f"float samples go up to {sizes.max():.6g}, where full scale is 1: they have another "
        "scale, perhaps that of int16; divide all by 32768, and write them again"
    )


class MonoResampler:
    """Mono float32 sound at one rate in, int16 at another out, chunk by chunk (soxr, high quality).

    Where the rates are equal, sound that was int16 to begin with comes back bit for bit.

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
        """Return the samples that are ready; at the last chunk, all that are left.

        Parameters
        ----------
        samples : numpy.ndarray
            Shape ``(n,)``, float32, full scale is ±1; what lies beyond is clipped.
        last : bool
            Whether the sound ends here.

        Returns
        -------
        numpy.ndarray
            Shape ``(m,)``, int16; ``m`` may be 0.

        Raises
        ------
        AudioError
            Many samples are so large that full scale cannot be 1.
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
    """Tell whether there is sound in the channels, but as good as none in their mean.

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
    """Sound of any number of channels in, mono int16 at another rate out, chunk by chunk.

    Parameters
    ----------
    from_hz, to_hz : int
        The two rates.
    channel : int, optional
        Which channel is taken, counted from 1; their mean if not given.
    """

    def __init__(self, from_hz: int, to_hz: int, channel: int | None = None) -> None:
        self._channel = channel
        self._resampler = MonoResampler(from_hz, to_hz)
        self._as_it_is = from_hz == to_hz

    def reset(self) -> None:
        """Start anew: what comes next does not follow what came before."""
        self._resampler.reset()

    def feed(self, sound: NDArray[Any], *, last: bool = False) -> NDArray[np.int16]:
        """Return the samples that are ready; at the last chunk, all that are left.

        Parameters
        ----------
        sound : numpy.ndarray
            Shape ``(n,)`` or ``(n, channels)``, int16, or float32 with full scale at ±1.
        last : bool
            Whether the sound ends here.

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
