"""The microphone is opened as the device allows; what it loses is counted, its end noticed."""

from __future__ import annotations

import numpy as np
import pytest
from fake_sounddevice import Device, FakeSounddevice

from harken.edge import microphone
from harken.edge.errors import AudioError
from harken.edge.microphone import InputDevice, Microphone, input_devices


def plugged(monkeypatch, *devices, script=None):
    return FakeSounddevice(list(devices), script=script).install(monkeypatch)


# Devices


def test_only_devices_with_inputs_are_listed(monkeypatch):
    plugged(
        monkeypatch,
        Device(name="Speaker", max_input_channels=0),
        Device(name="Array", max_input_channels=6, default_samplerate=48000.0),
    ).default_index = 1
    assert input_devices() == [
        InputDevice(
            index=1,
            name="Array",
            host_api="ALSA",
            channels=6,
            sample_rate_hz=48000.0,
            default=True,
        )
    ]


def test_a_device_is_chosen_by_number_or_part_of_its_name(monkeypatch):
    sound = plugged(monkeypatch, Device(name="Webcam"), Device(name="USB mic"))
    for choice, index in [(None, 0), (1, 1), ("USB", 1)]:
        Microphone(choice).close()
        assert sound.streams[-1].device == index


# Opening


@pytest.mark.parametrize(
    ("accepts", "most_channels", "opened"),
    [
        ([(16000, 1), (44100, 1)], 2, (16000, 1)),
        ([(16000, 2), (44100, 1)], 2, (16000, 2)),  # no resampling if it can be avoided
        ([(44100, 1)], 1, (44100, 1)),
        ([(44100, 2)], 2, (44100, 2)),
        ([(16000, 6)], 6, (16000, 6)),  # a microphone array that insists on all of its channels
    ],
)
def test_the_microphone_is_opened_as_the_device_allows(monkeypatch, accepts, most_channels, opened):
    sound = plugged(monkeypatch, Device(max_input_channels=most_channels, accepts=tuple(accepts)))
    with Microphone() as source:
        stream = sound.streams[-1]
        assert (stream.samplerate, stream.channels, stream.dtype) == (*opened, "int16")
        assert stream.blocksize == opened[0] // 50
        assert f"{opened[0] / 1000:g} kHz" in source.description
    assert stream.closed


def test_a_device_that_refuses_everything_is_an_error(monkeypatch):
    plugged(monkeypatch, Device(name="Odd", accepts=()))
    with pytest.raises(AudioError, match=r'"Odd" cannot be opened.*Invalid sample rate.*--device'):
        Microphone()


# Listening


def test_samples_arrive_as_they_were_recorded(monkeypatch):
    recorded = np.random.default_rng(0).integers(-32768, 32768, (3, 320)).astype(np.int16)

    def play(stream):
        for samples in recorded:
            stream.deliver(samples)

    plugged(monkeypatch, Device(), script=play)
    with Microphone() as source:
        blocks = iter(source)
        for samples in recorded:
            np.testing.assert_array_equal(next(blocks).samples, samples)


def test_the_first_channel_is_heard(monkeypatch):
    plugged(
        monkeypatch,
        Device(max_input_channels=2, accepts=((16000, 2),)),
        script=lambda stream: stream.deliver([[1, 100], [2, 200]]),
    )
    with Microphone() as source:
        assert list(next(iter(source)).samples) == [1, 2]


def test_the_devices_own_rate_is_resampled(monkeypatch):
    def play(stream):
        for _ in range(50):
            stream.deliver(np.full(960, 1000))

    plugged(monkeypatch, Device(default_samplerate=48000.0, accepts=((48000, 1),)), script=play)
    with Microphone() as source:
        blocks = iter(source)
        samples = np.concatenate([next(blocks).samples for _ in range(20)])
    assert samples.dtype == np.int16
    assert abs(samples[1000:].astype(int) - 1000).max() <= 1  # a constant stays what it is


def test_the_callback_only_queues(monkeypatch):
    """It must return at once, so nothing is resampled there, and a full queue does not block it."""

    def play(stream):
        for _ in range(150):  # 3 s, while nobody takes anything out
            stream.deliver(np.zeros(960))

    plugged(monkeypatch, Device(default_samplerate=48000.0, accepts=((48000, 1),)), script=play)
    resampled = []
    monkeypatch.setattr(
        microphone.MonoResampler, "feed", lambda self, x, **_: resampled.append(x) or x
    )
    with Microphone() as source:
        next(iter(source))
        assert len(resampled) == 1
        assert source.overflow.queue == 50
        assert source.overflow.queue_s == pytest.approx(1.0)


def test_overflow_in_the_sound_system_is_counted(monkeypatch):
    def play(stream):
        stream.deliver(np.zeros(320))
        stream.deliver(np.zeros(320), overflow=True)
        stream.deliver(np.zeros(320), overflow=True)

    plugged(monkeypatch, Device(), script=play)
    with Microphone() as source:
        next(iter(source))
        assert (source.overflow.device, source.overflow.queue) == (2, 0)


def test_a_device_that_stops_is_lost_after_what_it_delivered(monkeypatch):
    def play(stream):
        stream.deliver(np.zeros(320))
        stream.finish()

    plugged(monkeypatch, Device(name="USB mic"), script=play)
    with Microphone() as source:
        blocks = iter(source)
        assert len(next(blocks).samples) == 320
        with pytest.raises(AudioError, match='"USB mic" has stopped: was it unplugged'):
            next(blocks)


def test_a_device_that_falls_silent_for_long_is_lost(monkeypatch):
    plugged(monkeypatch, Device(name="USB mic"))
    monkeypatch.setattr(microphone, "PATIENCE_S", 0.02)
    with (
        Microphone() as source,
        pytest.raises(AudioError, match=r'"USB mic" has delivered nothing for 0\.02 s'),
    ):
        next(iter(source))


def test_closing_ends_the_stream_without_an_error(monkeypatch):
    sound = plugged(monkeypatch, Device(), script=lambda stream: stream.deliver(np.zeros(320)))
    with Microphone() as source:
        blocks = iter(source)
        next(blocks)
    assert list(blocks) == []
    assert sound.streams[-1].closed
