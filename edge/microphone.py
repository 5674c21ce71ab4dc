"""The microphone: a sound card in, int16 mono blocks at the model's rate out (through PortAudio).

The callback, which the sound system runs in a thread of its own, copies the samples into a queue
and does nothing else. Resampling and everything after it happens in the thread that listens.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import AudioError
from .sources import BLOCK_MS, SAMPLE_RATE_HZ, Block, BlockQueue, MonoResampler, Source, kilohertz

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PATIENCE_S = 5.0
"""A device that delivers nothing for so long is lost. Bluetooth headsets take 2 s to begin."""

_WITHOUT = "`harken listen --wav FILE` and `harken listen --stdin` work without a microphone"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDevice:
    """A device that sound can be recorded from.

    Attributes
    ----------
    index : int
        Its number, for ``harken listen --device``.
    name, host_api : str
        What it is called, and through which sound system (ALSA, Core Audio, …) it is reached.
    channels : int
        How many it has at most.
    sample_rate_hz : float
        The rate that it prefers.
    default : bool
        Whether it is the one used when none is named.
    """

    index: int
    name: str
    host_api: str
    channels: int
    sample_rate_hz: float
    default: bool


def input_devices() -> list[InputDevice]:
    """Return the devices that sound can be recorded from; an empty list if there is none.

    Raises
    ------
    AudioError
        The PortAudio library is missing or does not work.
    """
    sounddevice = _load_sounddevice()
    try:
        devices = sounddevice.query_devices()
        host_apis = sounddevice.query_hostapis()
    except sounddevice.PortAudioError as error:
        raise AudioError(f"PortAudio cannot list the sound devices: {error}; {_WITHOUT}") from None
    default_index = sounddevice.default.device[0]
    return [
        InputDevice(
            index=index,
            name=device["name"],
            host_api=host_apis[device["hostapi"]]["name"],
            channels=device["max_input_channels"],
            sample_rate_hz=device["default_samplerate"],
            default=index == default_index,
        )
        for index, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


class Microphone(Source):
    """Live sound from an input device.

    Opened at the model's rate if the device allows it, else at the device's own rate and
    resampled. Of a device that insists on several channels the first is heard: in a microphone
    array the others may be raw or playback channels, and the mean of two microphones cancels some
    of the voice.

    Parameters
    ----------
    device : int or str, optional
        Number or part of the name, as `input_devices` lists them; the system's default if not
        given.
    sample_rate_hz : int
        Rate of the blocks.

    Raises
    ------
    AudioError
        PortAudio is missing, there is no such device, or it cannot be opened.
    """

    def __init__(
        self, device: int | str | None = None, *, sample_rate_hz: int = SAMPLE_RATE_HZ
    ) -> None:
        self._sounddevice = _load_sounddevice()
        info = self._find(device)
        self._name: str = info["name"]
        self._sample_rate_hz = sample_rate_hz
        self._stream, self._rate_hz, channels = self._open(info)
        super().__init__(
            f'microphone "{self._name}" ({kilohertz(self._rate_hz)}, '
            + ("mono)" if channels == 1 else f"first of {channels} channels)")
        )
        self._queue = BlockQueue(self.overflow, sample_rate_hz=self._rate_hz)

    def __iter__(self) -> Iterator[Block]:
        """Start to record, and yield what the device delivers until it is lost; see `Source`."""
        try:
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            raise self._unusable(error) from None
        try:
            if self._rate_hz == self._sample_rate_hz:
                yield from self._queue.blocks(patience_s=PATIENCE_S)
            else:
                yield from self._resampled()
        except TimeoutError:
            raise self._lost(f"has delivered nothing for {PATIENCE_S:g} s") from None

    def _resampled(self) -> Iterator[Block]:
        resampler = MonoResampler(self._rate_hz, self._sample_rate_hz)
        for block in self._queue.blocks(patience_s=PATIENCE_S):
            samples = resampler.feed(block.samples * np.float32(1 / 32768))
            if len(samples):
                yield Block(samples=samples, arrived_at=block.arrived_at)

    def close(self) -> None:
        """Stop recording and release the device."""
        self._queue.close()
        self._stream.abort()
        self._stream.close()

    def _find(self, device: int | str | None) -> dict[str, Any]:
        """Return what PortAudio knows about the device."""
        try:
            info: dict[str, Any] = self._sounddevice.query_devices(device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            if not input_devices():
                raise AudioError(
                    "this machine has no microphone that PortAudio can see; plug one in and "
                    f"check it with `harken devices`; {_WITHOUT}"
                ) from None
            if device is None:
                problem = "the system names no default microphone"
            else:
                problem = f"--device {device}: {' '.join(str(error).split())}"
            raise AudioError(
                f"{problem}; `harken devices` lists the numbers that --device takes"
            ) from None
        return info

    def _open(self, info: dict[str, Any]) -> tuple[Any, int, int]:
        """Return stream, rate and channels: the first combination that the device accepts."""
        device_rate_hz = round(info["default_samplerate"])
        most = info["max_input_channels"]
        rates = dict.fromkeys((self._sample_rate_hz, device_rate_hz))
        channel_counts = dict.fromkeys(count for count in (1, 2, most) if count <= most)
        refusal: Exception | None = None
        for rate_hz, channels in itertools.product(rates, channel_counts):
            try:
                stream = self._sounddevice.InputStream(
                    device=info["index"],
                    samplerate=rate_hz,
                    channels=channels,
                    dtype="int16",
                    blocksize=rate_hz * BLOCK_MS // 1000,
                    callback=self._receive,
                    finished_callback=self._finished,
                )
            except self._sounddevice.PortAudioError as error:
                refusal = error
            else:
                return stream, rate_hz, channels
        raise self._unusable(refusal)

    def _receive(self, data: NDArray[np.int16], frames: int, times: Any, status: Any) -> None:
        """PortAudio's callback: queue the first channel, count what PortAudio says it lost."""
        if status.input_overflow:
            self.overflow.device += 1
        self._queue.put(Block(samples=data[:, 0].copy(), arrived_at=time.monotonic()))

    def _finished(self) -> None:
        """PortAudio's callback at the end of the stream: an error unless `close` came first."""
        self._queue.close(self._lost("has stopped"))

    def _lost(self, what: str) -> AudioError:
        return AudioError(
            f'the microphone "{self._name}" {what}: was it unplugged, or taken by another program? '
            "`harken devices` lists what is there"
        )

    def _unusable(self, error: Exception | None) -> AudioError:
        reason = " ".join(str(error).split())
        return AudioError(
            f'the microphone "{self._name}" cannot be opened: {reason}. Is another program using '
            "it? `harken devices` lists the others; choose one with --device"
        )


def _load_sounddevice() -> Any:
    """Import sounddevice, which loads the PortAudio library at once."""
    try:
        import sounddevice
    except OSError:
        install = (
            "install it with: sudo apt-get install libportaudio2 (Debian, Ubuntu, Raspberry Pi OS)"
            if sys.platform == "linux"
            else "reinstall it with: pip install --force-reinstall sounddevice"
        )
        raise AudioError(
            "the microphone needs the PortAudio library, which was not found; "
            f"{install}; {_WITHOUT}"
        ) from None
    return sounddevice
