"""The microphone: a sound card in, int16 mono blocks at the model's rate out (through PortAudio).

The callback, which the sound system runs in its own thread, only copies the samples into a queue.
Mixing, resampling and everything else happen in the listening thread.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AudioError
from .resample import Mixer
from .sources import SAMPLE_RATE_HZ, Announcement, Block, BlockQueue, Source, kilohertz, layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

BLOCK_MS = 40
"""Length of the blocks requested from the sound system: one network step. Shorter blocks would not
detect words any sooner, but half the length takes twice the processor time."""

PATIENCE_S = 5.0
"""A device that delivers nothing for this long counts as lost. Bluetooth headsets take 2 s to
start."""

RETRY_S = 1.0
"""Interval at which to look for a lost device."""

# Tried after the model's rate and the device's default.
_RATES_HZ = (48_000, 44_100, 96_000, 192_000, 88_200, 32_000, 22_050, 11_025, 8_000)

_SOUND_CARDS = Path("/dev/snd")

_INVALID_CHANNELS, _INVALID_RATE = -9998, -9997  # PortAudio's codes

_WITHOUT = "`harken listen --wav FILE` and `harken listen --stdin` work without a microphone"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDevice:
    """A device that can record.

    Attributes
    ----------
    index : int
        Its number, for ``harken listen --device``.
    name, host_api : str
        Its name, and the sound system (ALSA, Core Audio, …) that it belongs to.
    channels : int
        Its largest number of channels.
    sample_rate_hz : float
        Its default rate.
    default : bool
        Whether it is the default device.
    """

    index: int
    name: str
    host_api: str
    channels: int
    sample_rate_hz: float
    default: bool


def input_devices() -> list[InputDevice]:
    """Return the devices that can record; an empty list if there are none.

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
    """Live audio from an input device.

    Opened at the model's rate with one channel if the device allows that; otherwise mixed to one
    channel and resampled.

    Parameters
    ----------
    device : int or str, optional
        Number or part of the name, as `input_devices` lists them; the system's default if not
        given.
    channel : int, optional
        The channel to use, counted from 1; by default the mean of those that the device insists on.
        In a microphone array some channels may be raw, or carry what the loudspeaker plays.
    sample_rate_hz : int
        Rate of the blocks.
    recover : bool
        If the device is lost, wait until it is back and continue; the audio in between counts as
        dropped. This restarts PortAudio: no other stream of this process may be open.
    wait : bool
        Wait for the device at the start, too.

    Raises
    ------
    AudioError
        PortAudio is missing, there is no such device, or it cannot be opened.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        channel: int | None = None,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        recover: bool = False,
        wait: bool = False,
    ) -> None:
        super().__init__("a microphone")
        self._sounddevice = _load_sounddevice()
        self._device = device
        self._channel = channel
        self._sample_rate_hz = sample_rate_hz
        self._recover = recover or wait
        self._stream: Any = None
        self._started = False
        self._closed = False
        self._arrived_at: float | None = None  # the last block, if any came
        self._interrupted = False  # the next block does not follow the last one
        self._missing: AudioError | None = None
        if channel is not None and channel < 1:
            raise AudioError(f"there is no channel {channel}; they are counted from 1")
        try:
            self._open()
        except AudioError as error:
            if not wait:
                raise
            self._missing = error

    def __iter__(self) -> Iterator[Block]:
        """Start recording, and yield what the device delivers; see `Source`.

        Raises
        ------
        AudioError
            The device was lost, and is not to be waited for.
        """
        while not self._closed:
            try:
                if self._missing is not None:
                    raise self._missing
                self._start()
                yield from self._blocks()
            except AudioError as error:
                if not self._recover:
                    raise
                self._missing = None
                self.on_notice(f"{error}. Waiting for it")
                self._wait()

    def close(self) -> None:
        """Stop recording and release the device."""
        self._closed = True
        self._release()

    def _start(self) -> None:
        try:
            if not self._started:
                self._stream.start()
                self._started = True
        except self._sounddevice.PortAudioError as error:
            raise self._unusable(error) from None

    def _blocks(self) -> Iterator[Block]:
        mixer = Mixer(self._rate_hz, self._sample_rate_hz, self._channel)
        lost_samples = 0
        try:
            for block in self._queue.blocks(patience_s=PATIENCE_S):
                if block.lost_samples:
                    mixer.reset()
                    lost_samples += round(block.lost_samples * self._sample_rate_hz / self._rate_hz)
                samples = mixer.feed(block.samples)
                if len(samples):
                    yield Block(
                        samples=samples, arrived_at=block.arrived_at, lost_samples=lost_samples
                    )
                    lost_samples = 0
        except TimeoutError:
            raise self._lost(f"has delivered nothing for {PATIENCE_S:g} s") from None

    def _wait(self) -> None:
        """Look for the device until it records again, or the source is closed."""
        self._release()
        while not self._closed:
            time.sleep(RETRY_S)
            with suppress(AudioError):
                self._look_again()
                self._open()
                self._interrupted = True
                self._start()
                self.on_notice(Announcement(f"listening to {self.description}"))
                return
            self._release()

    def _look_again(self) -> None:
        """Restart PortAudio: it knows only the devices that existed when it started."""
        try:
            self._sounddevice._terminate()
            self._sounddevice._initialize()
        except self._sounddevice.PortAudioError as error:
            raise AudioError(f"PortAudio cannot begin anew: {error}") from None

    def _release(self) -> None:
        if self._stream is None:
            return
        stream, self._stream = self._stream, None
        self._queue.close()
        with suppress(self._sounddevice.PortAudioError):  # a missing device can refuse that
            stream.abort()
        with suppress(self._sounddevice.PortAudioError):
            stream.close()

    def _find(self) -> dict[str, Any]:
        """Return PortAudio's information on the device."""
        try:
            info: dict[str, Any] = self._sounddevice.query_devices(self._device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            if not input_devices():
                raise AudioError(_no_microphone()) from None
            if self._device is None:
                problem = "the system names no default microphone"
            else:
                problem = f"--device {self._device}: {' '.join(str(error).split())}"
            raise AudioError(
                f"{problem}; `harken devices` lists the numbers that --device takes"
            ) from None
        return info

    def _open(self) -> None:
        """Open the device in the first way that it accepts."""
        info = self._find()
        self._name: str = info["name"]
        if isinstance(self._device, int):
            self._device = self._name  # numbers change when devices come and go
        most = info["max_input_channels"]
        wanted = 1 if self._channel is None else self._channel
        if wanted > most:
            raise AudioError(
                f'the microphone "{self._name}" has no channel {wanted}; it has {most}'
            )
        rates = dict.fromkeys((self._sample_rate_hz, round(info["default_samplerate"]), *_RATES_HZ))
        channel_counts = dict.fromkeys(n for n in (wanted, 2, most) if wanted <= n <= most)
        refusal: Exception | None = None
        for rate_hz, channels in itertools.product(rates, channel_counts):
            queue = BlockQueue(self.overflow, sample_rate_hz=rate_hz)
            try:
                self._stream = self._sounddevice.InputStream(
                    device=info["index"],
                    samplerate=rate_hz,
                    channels=channels,
                    dtype="int16",
                    blocksize=rate_hz * BLOCK_MS // 1000,
                    callback=self._receive,
                    finished_callback=partial(self._finished, queue),
                )
            except self._sounddevice.PortAudioError as error:
                refusal = refusal or error
                if len(error.args) > 1 and error.args[1] not in (_INVALID_RATE, _INVALID_CHANNELS):
                    break  # busy, or not allowed: no other rate will do
            else:
                break
        if self._stream is None:
            raise self._unusable(refusal)
        self._rate_hz, self._queue, self._started = rate_hz, queue, False
        heard = layout(channels, self._channel)
        self.description = f'microphone "{self._name}" ({kilohertz(rate_hz)}, {heard})'

    def _receive(self, data: NDArray[np.int16], frames: int, times: Any, status: Any) -> None:
        """PortAudio's callback: queue a copy, count what PortAudio says it lost."""
        now = time.monotonic()
        lost_samples = 0
        if status.input_overflow:
            self.overflow.device += 1
        if (status.input_overflow or self._interrupted) and self._arrived_at is not None:
            # It does not say how much: use the clock, and at least one block.
            lost_samples = max(frames, round((now - self._arrived_at) * self._rate_hz) - frames)
        self._interrupted = False
        self._arrived_at = now
        self._queue.put(Block(samples=data.copy(), arrived_at=now, lost_samples=lost_samples))

    def _finished(self, queue: BlockQueue) -> None:
        """PortAudio's callback at the end of the stream: an error unless `close` came first."""
        queue.close(self._lost("has stopped"))

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


def _no_microphone() -> str:
    """Return why PortAudio sees no device at all, and what to do."""
    if any(not os.access(path, os.R_OK | os.W_OK) for path in _SOUND_CARDS.glob("pcmC*c")):
        return (
            f"this user may not use the microphone ({_SOUND_CARDS} is forbidden); allow it with "
            "`sudo usermod -aG audio $USER`, and log in again"
        )
    return (
        "this machine has no microphone that PortAudio can see; plug one in and check it with "
        f"`harken devices`; {_WITHOUT}"
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
