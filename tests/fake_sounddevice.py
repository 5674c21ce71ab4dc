"""A stand-in for the sounddevice module: devices, refusals and callbacks without a sound card.

It answers and raises as sounddevice 0.5.6 on PortAudio 19.6 was seen to do.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field

import numpy as np
import pytest


class PortAudioError(Exception):
    def __str__(self):
        return self.args[0] + (f" [PaErrorCode {self.args[1]}]" if len(self.args) > 1 else "")


@dataclass(kw_only=True)
class Device:
    name: str = "USB mic"
    max_input_channels: int = 1
    default_samplerate: float = 44100.0
    hostapi: int = 0
    accepts: tuple[tuple[int, int], ...] = ((16000, 1),)
    """Rates with channels that it can be opened with."""
    busy: bool = False
    """Whether another program has it."""


@dataclass
class Status:
    input_overflow: bool = False


@dataclass(kw_only=True)
class Stream:
    """An opened input stream; the test plays the sound card's part through it."""

    callback: object
    finished_callback: object
    samplerate: int
    channels: int
    blocksize: int
    dtype: str
    device: int
    script: object = None
    started: bool = False
    closed: bool = False

    def start(self):
        self.started = True
        if self.script is not None:
            self.script(self)

    def abort(self):
        if self.started:
            self.finish()

    def close(self):
        self.closed = True

    def deliver(self, samples, *, overflow=False):
        """Call back as PortAudio does, with a buffer that is overwritten afterwards."""
        buffer = np.array(samples, dtype=np.int16).reshape(-1, self.channels)
        self.callback(buffer, len(buffer), None, Status(overflow))
        buffer[:] = -1

    def finish(self):
        self.finished_callback()


@dataclass
class FakeSounddevice:
    """What `import sounddevice` gives; ``streams`` are the ones that were opened."""

    devices: list[Device] = field(default_factory=list)
    default_index: int = 0
    script: object = None
    """Called with the stream when it starts: what the sound card does."""
    streams: list[Stream] = field(default_factory=list)
    on_initialize: object = None
    """Called when PortAudio starts anew: what has been plugged in or out meanwhile."""
    PortAudioError = PortAudioError

    @property
    def default(self):
        return types.SimpleNamespace(device=[self.default_index if self.devices else -1, -1])

    def _terminate(self):
        assert all(stream.closed for stream in self.streams)

    def _initialize(self):
        if self.on_initialize is not None:
            self.on_initialize()

    def get_portaudio_version(self):
        return 1246720, "PortAudio V19.6.0-devel, revision 396fe4b6699ae929d3a685b3ef8a7e97396139a4"

    def query_hostapis(self):
        return ({"name": "ALSA"},)

    def query_devices(self, device=None, kind=None):
        if kind is None:
            return [vars(each) for each in self.devices]
        if isinstance(device, str):
            found = [i for i, each in enumerate(self.devices) if device in each.name]
            if not found:
                raise ValueError(f"No input device matching {device!r}")
            if len(found) > 1:
                names = "\n".join(f"[{i}] {self.devices[i].name}, ALSA" for i in found)
                raise ValueError(f"Multiple input devices found for {device!r}:\n{names}")
            device = found[0]
        index = self.default.device[0] if device is None else device
        if not 0 <= index < len(self.devices):
            raise PortAudioError(f"Error querying device {index}")
        if not self.devices[index].max_input_channels:
            raise ValueError(f"Not an input device: {self.devices[index].name!r}")
        return {"index": index, **vars(self.devices[index])}

    def InputStream(self, **options):  # noqa: N802 (the name is sounddevice's)
        device = self.devices[options["device"]]
        if device.busy:
            raise PortAudioError("Error opening InputStream: Device unavailable", -9985)
        if (options["samplerate"], options["channels"]) not in device.accepts:
            raise PortAudioError("Error opening InputStream: Invalid sample rate", -9997)
        self.streams.append(Stream(script=self.script, **options))
        return self.streams[-1]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeSounddevice:
        monkeypatch.setitem(sys.modules, "sounddevice", self)
        return self


def remove_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `import sounddevice` fail as it does where the PortAudio library is not installed."""

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
