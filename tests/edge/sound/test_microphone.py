"""The microphone is opened as the device allows; what it loses is counted, its end noticed."""

from __future__ import annotations

import numpy as np
import pytest
from fake_sounddevice import Device, FakeSounddevice

from harken.edge.errors import AudioError
from harken.edge.sound import microphone
from harken.edge.sound.microphone import InputDevice, Microphone, input_devices


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
        assert stream.blocksize == opened[0] // 25
        assert f"{opened[0] / 1000:g} kHz" in source.description
    assert stream.closed


def test_a_rate_that_the_device_did_not_name_is_found(monkeypatch):
    sound = plugged(monkeypatch, Device(max_input_channels=32, accepts=((192_000, 32),)))
    with Microphone() as source:
        assert (sound.streams[-1].samplerate, sound.streams[-1].channels) == (192_000, 32)
        assert "mean of 32 channels" in source.description


def test_a_busy_device_is_asked_once(monkeypatch):
    sound = plugged(monkeypatch, Device(name="Webcam", busy=True))
    asked = []
    opened = sound.InputStream
    sound.InputStream = lambda **options: asked.append(options) or opened(**options)
    with pytest.raises(
        AudioError, match=r'"Webcam" cannot be opened.*unavailable.*another program'
    ):
        Microphone()
    assert len(asked) == 1


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


@pytest.mark.parametrize(("channel", "heard"), [(None, [50, 100]), (1, [0, 0]), (2, [100, 200])])
def test_channels_are_mixed_or_one_is_chosen(monkeypatch, channel, heard):
    plugged(
        monkeypatch,
        Device(max_input_channels=2, accepts=((16000, 2),)),
        script=lambda stream: stream.deliver([[0, 100], [0, 200]]),
    )
    with Microphone(channel=channel) as source:
        assert list(next(iter(source)).samples) == heard


@pytest.mark.parametrize("channel", [0, 3])
def test_a_channel_that_the_device_lacks_is_an_error(monkeypatch, channel):
    plugged(monkeypatch, Device(max_input_channels=2, accepts=((16000, 2),)))
    with pytest.raises(AudioError, match=f"no channel {channel}"):
        Microphone(channel=channel)


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
    monkeypatch.setattr(microphone.Mixer, "feed", lambda self, x, **_: resampled.append(x) or x)
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


# What is lost


def test_what_is_lost_is_told_with_the_next_block(monkeypatch):
    def play(stream):
        for _ in range(60):  # 2.4 s, while nobody takes anything out
            stream.deliver(np.zeros(1920))
        stream.deliver(np.zeros(1920), overflow=True)
        source._queue._capacity = 10**9
        stream.deliver(np.zeros(1920), overflow=True)

    plugged(monkeypatch, Device(default_samplerate=48000.0, accepts=((48000, 1),)), script=play)
    monkeypatch.setattr("harken.edge.sound.sources.QUEUE_S", 1.0)
    monkeypatch.setattr("harken.edge.sound.microphone.time.monotonic", lambda: 0.0)
    with Microphone() as source:
        blocks = iter(source)
        heard = [next(blocks) for _ in range(26)]
    assert [block.lost_samples for block in heard[:25]] == [0] * 25
    # 36 blocks found the queue full, and twice the sound system lost a block besides.
    assert heard[25].lost_samples == (36 + 2) * 640
    assert (source.overflow.device, source.overflow.queue) == (2, 36)


def lost_and_found(monkeypatch, **changes):
    """A microphone that is unplugged, and is there again at the third look; and the looks."""
    looks = []

    def play(stream):
        stream.deliver(np.full(640, len(sound.streams)))
        if len(sound.streams) == 1:
            sound.devices.clear()
            stream.finish()

    def look():
        looks.append(None)
        if len(looks) == 3:
            sound.devices += [Device(name="Webcam"), Device(name="USB mic", **changes)]

    sound = plugged(monkeypatch, Device(name="USB mic"), script=play)
    sound.on_initialize = look
    monkeypatch.setattr(microphone, "RETRY_S", 0.1)
    return looks


@pytest.mark.parametrize("device", ["USB", 0])
def test_a_lost_device_is_waited_for_and_heard_again(monkeypatch, device):
    looks = lost_and_found(monkeypatch)
    said = []
    with Microphone(device, recover=True) as source:
        source.on_notice = said.append
        blocks = iter(source)
        assert next(blocks).samples[0] == 1
        block = next(blocks)
        assert block.samples[0] == 2
        assert source.description.startswith('microphone "USB mic"')  # not that of its number
    assert len(looks) == 3
    assert 0.25 * 16000 <= block.lost_samples < 3 * 16000
    assert len(said) == 2
    assert "was it unplugged" in said[0]
    assert said[1].startswith('listening to microphone "USB mic"')


def test_a_device_may_be_another_one_when_it_is_back(monkeypatch):
    lost_and_found(monkeypatch, accepts=((48000, 2),), max_input_channels=2)
    with Microphone("USB", recover=True) as source:
        blocks = iter(source)
        assert next(blocks).samples[0] == 1
        # 640 values of two channels are 320 frames of 48 kHz: too few for the resampler to answer.
        monkeypatch.setattr(microphone, "PATIENCE_S", 0.1)
        source.on_notice = lambda line: source.close() if "delivered nothing" in line else None
        assert list(blocks) == []
    assert "48 kHz, mean of 2 channels" in source.description


def test_a_device_that_is_busy_when_it_is_back_is_waited_for(monkeypatch):
    lost_and_found(monkeypatch, busy=True)
    said = []
    with Microphone("USB", recover=True) as source:
        source.on_notice = said.append
        blocks = iter(source)
        next(blocks)
        monkeypatch.setattr(
            microphone.time, "sleep", lambda seconds: source.close() if len(said) else None
        )
        assert list(blocks) == []
    assert len(said) == 1


def test_a_forbidden_sound_card_is_told_from_none(monkeypatch, tmp_path):
    plugged(monkeypatch)
    (tmp_path / "pcmC0D0c").touch()
    monkeypatch.setattr(microphone, "_SOUND_CARDS", tmp_path)
    monkeypatch.setattr(microphone.os, "access", lambda path, mode: False)
    with pytest.raises(AudioError, match=r"may not use the microphone.*usermod -aG audio"):
        Microphone()
