"""Samples in, audio from the loudspeaker out (through PortAudio)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AudioError
from ...sound.resample import MonoResampler

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Player:
    """The loudspeaker; plays in the background.

    Parameters
    ----------
    rate_hz : int
        Sample rate of the audio.

    Raises
    ------
    AudioError
        There is no loudspeaker.
    """

    def __init__(self, rate_hz: int) -> None:
        self._sounddevice = _load_sounddevice()
        try:
            device = self._sounddevice.query_devices(None, "output")
        except (ValueError, self._sounddevice.PortAudioError):
            raise AudioError("this machine has no loudspeaker that PortAudio can see") from None
        self._rate_hz = rate_hz
        self._device_rate_hz = round(device["default_samplerate"])

    def play(self, samples: NDArray[np.int16]) -> None:
        """Play audio, (n,) int16, and stop what was playing.

        Raises
        ------
        AudioError
            The device refuses.
        """
        try:
            self._play(samples, self._rate_hz)
        except self._sounddevice.PortAudioError:
            resampler = MonoResampler(self._rate_hz, self._device_rate_hz)
            resampled = resampler.feed(samples * np.float32(1 / 32768), last=True)
            try:
                self._play(resampled, self._device_rate_hz)
            except self._sounddevice.PortAudioError as error:
                reason = " ".join(str(error).split())
                raise AudioError(f"the loudspeaker cannot be used: {reason}") from None

    def stop(self) -> None:
        """Be silent."""
        self._sounddevice.stop()

    def _play(self, samples: NDArray[np.int16], rate_hz: int) -> None:
        self._sounddevice.play(samples, samplerate=rate_hz)


def _load_sounddevice() -> Any:
    try:
        import sounddevice
    except OSError:
        raise AudioError("playing needs the PortAudio library, which was not found") from None
    return sounddevice
