"""Raw samples, from any program: of all rates and channels, over TCP and UDP, from iterators."""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import soxr
import tones
from conftest import DATA
from observing import Notes

from harken.edge import Spotter, load_model
from harken.edge.app.listen import Listener
from harken.edge.errors import AudioError
from harken.edge.sound.pcm import Chunks, PcmFormat, PcmStream
from harken.edge.sound.remote import TcpPcm, UdpPcm, address
from harken.edge.sound.sources import Announcement

LOOPBACK = ("127.0.0.1", 0)
WORDS = ["low", "high"]


def heard(source):
    return np.concatenate([block.samples for block in source])


# Rates and channels


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 32])
def test_raw_samples_of_any_form_are_mixed_and_resampled(rate_hz, channels):
    time_s = np.arange(rate_hz) / rate_hz
    wave = np.rint(10_000 * np.sin(2 * np.pi * 440 * time_s)).astype("<i2")
    data = np.repeat(wave[:, np.newaxis], channels, axis=1).tobytes()
    form = PcmFormat(rate_hz=rate_hz, channels=channels)
    samples = heard(PcmStream(io.BytesIO(data), form=form))
    assert abs(len(samples) - 16_000) <= 1
    expected = 10_000 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / 16_000)
    assert abs(samples - expected)[2000:-2000].max() < 20


def test_resampling_a_stream_neither_clicks_nor_drifts():
    """Cut into odd pieces, ten minutes come out as if they were resampled at once."""
    random = np.random.default_rng(0)
    sound = random.normal(0, 3000, 44_100 * 20).astype("<i2")
    whole = soxr.resample(sound / np.float32(32768), 44_100, 16_000) * 32768
    cut = io.BytesIO(sound.tobytes())
    cut.read1 = lambda size: cut.read(min(size, 2 * int(random.integers(1, 800)) + 1))
    samples = heard(PcmStream(cut, form=PcmFormat(rate_hz=44_100)))
    assert len(samples) == len(whole)
    assert abs(samples - whole).max() <= 1.01


def test_one_channel_can_be_chosen():
    frames = np.array([[1, 10, 100], [2, 20, 200]], "<i2")
    form = PcmFormat(channels=3, channel=2)
    assert list(heard(PcmStream(io.BytesIO(frames.tobytes()), form=form))) == [10, 20]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"rate_hz": 7_999}, "a rate of 7999"),
        ({"rate_hz": 192_001}, "a rate of 192001"),
        ({"channels": 0}, "0 channels"),
        ({"channels": 33}, "33 channels"),
        ({"channels": 2, "channel": 0}, "no channel 0 of 2"),
        ({"channels": 2, "channel": 3}, "no channel 3 of 2"),
    ],
)
def test_a_form_that_cannot_be_is_refused(form, says):
    with pytest.raises(AudioError, match=says):
        PcmFormat(**form)


# Iterators


def test_any_iterator_is_a_source():
    samples = tones.stream(*WORDS)
    pieces = np.array_split(samples.astype(np.float32) / 32768, 7)
    notes = Notes()
    Listener(
        Spotter(load_model(DATA / "tones.tflite")), Chunks(iter(pieces)), observers=[notes]
    ).run()
    assert notes.words == WORDS
    np.testing.assert_array_equal(np.concatenate([b.samples for b in notes.blocks]), samples)


def test_an_iterator_may_have_channels_and_a_rate_of_its_own():
    samples = soxr.resample(tones.stream(*WORDS).astype(np.float32) / 32768, 16_000, 48_000)
    chunk = np.stack([np.zeros_like(samples), samples], axis=1)
    notes = Notes()
    source = Chunks([chunk], rate_hz=48_000, channel=2)
    Listener(Spotter(load_model(DATA / "tones.tflite")), source, observers=[notes]).run()
    assert notes.words == WORDS


@pytest.mark.parametrize(
    ("chunk", "says"),
    [
        (np.zeros((2, 2, 2), np.int16), r"shape \(2, 2, 2\)"),
        (np.zeros(2), "float64"),
        (np.array([0, np.nan], np.float32), "NaN"),
        (np.zeros((2, 1), np.int16), "no channel 2; it has 1"),
    ],
)
def test_a_chunk_that_is_no_sound_is_an_error(chunk, says):
    with pytest.raises(AudioError, match=says):
        list(Chunks([chunk], channel=2))


# The network


@contextmanager
def listening(source):
    """Iterate in a thread; what came and what was said; close at the end."""
    blocks, said = [], []
    source.on_notice = said.append
    thread = threading.Thread(target=lambda: blocks.extend(source), daemon=True)
    thread.start()
    try:
        yield blocks, said
    finally:
        source.close()
        thread.join(5)
        assert not thread.is_alive()


def until(condition, timeout_s=5.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def total(blocks):
    return sum(len(block.samples) for block in blocks)


def test_whoever_connects_is_heard_sample_by_sample():
    samples = tones.stream(*WORDS)
    with TcpPcm(LOOPBACK) as source, listening(source) as (blocks, said):
        with socket.create_connection(source.where) as sender:
            for piece in np.array_split(np.frombuffer(samples.tobytes(), np.uint8), 11):
                sender.sendall(piece.tobytes())  # cut in the middle of samples, too
        until(lambda: total(blocks) == len(samples))
        until(lambda: len(said) == 2)
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), samples)
    assert "sends" in said[0]
    assert isinstance(said[0], Announcement), "no warning"
    assert not any(isinstance(line, Announcement) for line in said[1:])
    assert "has gone; waiting for the next" in said[1]
    assert not any(block.lost_samples for block in blocks)


@pytest.mark.parametrize("head", [b"RIFF....WAVEfmt ", b"GET / HTTP/1.1\r\n"])
def test_what_is_no_raw_sound_is_named_and_not_heard(head):
    with TcpPcm(LOOPBACK) as source, listening(source) as (blocks, said):
        with socket.create_connection(source.where) as sender:
            sender.sendall(head)
            until(lambda: len(said) == 2)
        with socket.create_connection(source.where) as sender:
            sender.sendall(b"\1\0" * 320)
            until(lambda: total(blocks) == 320)
    assert "not raw samples" in said[1]
    with (
        UdpPcm(LOOPBACK) as source,
        listening(source) as (blocks, said),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        sender.sendto(head, source.where)
        until(lambda: said)
    assert "not raw samples: they are dropped" in said[0]
    assert not blocks


def test_the_next_sender_begins_after_a_gap():
    with TcpPcm(LOOPBACK) as source, listening(source) as (blocks, said):
        with socket.create_connection(source.where) as sender:
            sender.sendall(bytes(2 * 320 + 1))
        until(lambda: len(said) == 2)
        with socket.create_connection(source.where) as sender:
            sender.sendall(b"\1\0" * 320)
            until(lambda: total(blocks) == 640)
    assert "in the middle of a sample (1 bytes of it came)" in said[1]
    second = next(block for block in blocks if block.samples[0] == 1)
    assert second.lost_samples > 0


def test_a_sender_that_hangs_makes_room_for_the_next(monkeypatch):
    monkeypatch.setattr("harken.edge.sound.remote.IDLE_S", 0.2)
    with (
        TcpPcm(LOOPBACK) as source,
        listening(source) as (blocks, said),
        socket.create_connection(source.where) as hanging,
        socket.create_connection(source.where) as sender,
    ):
        hanging.sendall(b"\1")
        sender.sendall(b"\2\0" * 320)
        until(lambda: total(blocks) == 320)
    assert any("makes room" in line for line in said)
    assert set(np.concatenate([b.samples for b in blocks])) == {2}


def test_datagrams_of_one_sender_at_a_time_are_heard():
    with (
        UdpPcm(LOOPBACK) as source,
        listening(source) as (blocks, said),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second,
    ):
        first.sendto(b"\1\0" * 320, source.where)
        until(lambda: total(blocks) == 320)
        second.sendto(b"\2\0" * 320, source.where)
        first.sendto(b"\1\0" * 320, source.where)
        until(lambda: total(blocks) == 640)
    assert set(np.concatenate([b.samples for b in blocks])) == {1}
    assert len(said) == 1


def test_a_pause_in_datagrams_is_a_gap(monkeypatch):
    monkeypatch.setattr("harken.edge.sound.remote.IDLE_S", 0.1)
    with (
        UdpPcm(LOOPBACK) as source,
        listening(source) as (blocks, _),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        sender.sendto(bytes(640), source.where)
        until(lambda: total(blocks) == 320)
        time.sleep(0.2)
        sender.sendto(bytes(640), source.where)
        until(lambda: total(blocks) == 640)
    assert 0.2 * 16_000 <= blocks[1].lost_samples < 5 * 16_000


def test_datagrams_that_are_no_samples_are_dropped_and_named_once():
    with (
        UdpPcm(LOOPBACK) as source,
        listening(source) as (blocks, said),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        for _ in range(3):
            sender.sendto(b"rubbish", source.where)
        sender.sendto(bytes(640), source.where)
        until(lambda: total(blocks) == 320)
    assert [line for line in said if "no whole samples" in line] == [said[0]]


def test_a_port_in_use_is_an_error():
    with (
        TcpPcm(LOOPBACK) as source,
        pytest.raises(AudioError, match=r"cannot listen on tcp://127.0.0.1:\d+.*choose another"),
    ):
        TcpPcm(source.where)


@pytest.mark.parametrize(
    ("text", "where"),
    [("4000", ("127.0.0.1", 4000)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("[::1]:7", ("::1", 7))],
)
def test_an_address_has_a_port_and_perhaps_a_host(text, where):
    assert address(text) == where


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "1:70000", "-1", "tcp://h:1", "a@h:1", "h:1/a", "1:2:3"]
)
def test_what_is_no_address_is_an_error(text):
    with pytest.raises(AudioError, match="is no address"):
        address(text)
