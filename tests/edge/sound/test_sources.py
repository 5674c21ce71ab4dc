"""Sources yield int16 mono at the rate of the model, and lose nothing silently."""

from __future__ import annotations

import io
import threading
import time

import numpy as np
import pytest
import soundfile

from harken.edge.errors import AudioError
from harken.edge.sound.pcm import PcmStream
from harken.edge.sound.resample import MonoResampler
from harken.edge.sound.sources import AudioFile, Block, BlockQueue, Overflow, RealTime, Source

RATE = 16_000


def tone(seconds, *, rate=RATE, hertz=440.0, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def noise_int16(count, seed=0):
    return np.random.default_rng(seed).integers(-32768, 32768, count).astype(np.int16)


def heard(source):
    """All samples of a source, after a check of the form of every block."""
    blocks = list(source)
    for block in blocks:
        assert block.samples.dtype == np.int16
        assert block.samples.ndim == 1
        assert len(block.samples)
    return np.concatenate([block.samples for block in blocks])


# Files


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_file_at_the_models_rate_is_heard_bit_for_bit(tmp_path, kind):
    samples = noise_int16(12_345)
    soundfile.write(tmp_path / f"a.{kind}", samples, RATE, subtype="PCM_16")
    with AudioFile(tmp_path / f"a.{kind}") as source:
        np.testing.assert_array_equal(heard(source), samples)


@pytest.mark.parametrize(
    ("subtype", "error"),
    [("PCM_U8", 2**-7), ("PCM_24", 2**-15), ("PCM_32", 2**-15), ("FLOAT", 2**-15), ("ULAW", 2**-5)],
)
def test_every_sample_format_is_heard(tmp_path, subtype, error):
    soundfile.write(tmp_path / "a.wav", tone(0.5), RATE, subtype=subtype)
    with AudioFile(tmp_path / "a.wav") as source:
        np.testing.assert_allclose(heard(source) / 32768, tone(0.5), atol=error)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 192_000])
def test_every_rate_is_resampled_to_the_models(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(1.0, rate=rate), rate, subtype="FLOAT")
    with AudioFile(tmp_path / "a.wav") as source:
        samples = heard(source) / 32768
    assert len(samples) == pytest.approx(RATE, abs=2)
    middle = slice(RATE // 4, -RATE // 4)  # the ends ring
    np.testing.assert_allclose(samples[: len(tone(1.0))][middle], tone(1.0)[middle], atol=2e-3)


def test_a_model_with_another_rate_is_served_as_well(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.0), RATE)
    with AudioFile(tmp_path / "a.wav", sample_rate_hz=8_000) as source:
        assert len(heard(source)) == pytest.approx(8_000, abs=2)


def test_channels_are_averaged(tmp_path):
    channels = np.stack([tone(0.1, level=0.1 * k) for k in range(8)], axis=1)
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    with AudioFile(tmp_path / "a.wav") as source:
        np.testing.assert_allclose(heard(source) / 32768, channels.mean(axis=1), atol=2**-15)


@pytest.mark.filterwarnings("error")
def test_what_is_louder_than_full_scale_is_clipped_and_does_not_wrap_around(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([3.0, -3.0, 1e38, 0.5]), RATE, subtype="FLOAT")
    with AudioFile(tmp_path / "a.wav") as source:
        np.testing.assert_array_equal(heard(source), [32767, -32768, 32767, 16384])


def test_floats_at_the_scale_of_int16_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(1600, 12_000.0), 48_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a.wav: float samples go up to 12000, where full"):
        list(AudioFile(path))


def test_a_file_says_what_it_is(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 2)), 44_100)
    with AudioFile(tmp_path / "a.wav") as source:
        assert source.description == f"{tmp_path / 'a.wav'} (44.1 kHz, mean of 2 channels)"


# Resampling chunk by chunk


def test_resampling_does_not_depend_on_the_chunks():
    sound = tone(1.0, rate=44_100).astype(np.float32)
    whole = MonoResampler(44_100, RATE).feed(sound, last=True)
    resampler = MonoResampler(44_100, RATE)
    pieces = [resampler.feed(piece) for piece in np.split(sound, [1, 500, 501, 20_000])]
    pieces.append(resampler.feed(np.zeros(0, np.float32), last=True))
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


# Raw PCM


class Pipe(io.BytesIO):
    """Gives at most as much as was written at once, as a pipe does."""

    def __init__(self, *writes):
        super().__init__()
        self._writes = list(writes)

    def read1(self, size=-1):
        if not self._writes:
            return b""
        data, self._writes[0] = self._writes[0][:size], self._writes[0][size:]
        if not self._writes[0]:
            del self._writes[0]
        return data


def test_raw_pcm_is_heard_bit_for_bit():
    samples = noise_int16(5_000)
    np.testing.assert_array_equal(heard(PcmStream(io.BytesIO(samples.tobytes()))), samples)


def test_raw_pcm_may_arrive_in_pieces_that_cut_samples_in_two():
    samples = noise_int16(10)
    data = samples.tobytes()
    pipe = Pipe(data[:1], data[1:4], data[4:9], data[9:])
    np.testing.assert_array_equal(heard(PcmStream(pipe)), samples)


def test_raw_pcm_is_yielded_as_it_arrives():
    blocks = iter(PcmStream(Pipe(b"\1\0", b"\2\0\3\0")))
    assert [list(block.samples) for block in blocks] == [[1], [2, 3]]


def test_half_a_sample_at_the_end_is_an_error_after_the_whole_ones():
    blocks = iter(PcmStream(io.BytesIO(b"\1\0\2\0\3")))
    assert list(next(blocks).samples) == [1, 2]
    with pytest.raises(AudioError, match="in the middle of a sample, after 5 bytes"):
        next(blocks)


# The queue


def block(*samples):
    return Block(samples=np.array(samples, dtype=np.int16), arrived_at=0.0)


def test_the_queue_drops_and_counts_what_it_cannot_hold():
    overflow = Overflow()
    queue = BlockQueue(overflow, sample_rate_hz=10, capacity=4)
    for number in range(5):
        queue.put(block(number, number))
    queue.close()
    assert [each.samples[0] for each in queue.blocks()] == [0, 1]
    assert (overflow.device, overflow.queue, overflow.total) == (0, 3, 3)
    assert overflow.queue_s == pytest.approx(0.6)


def test_the_queue_holds_two_seconds():
    overflow = Overflow()
    queue = BlockQueue(overflow, sample_rate_hz=RATE)
    for _ in range(101):
        queue.put(Block(samples=np.zeros(320, np.int16), arrived_at=0.0))
    assert overflow.queue == 1


def test_what_found_the_queue_full_is_told_with_the_next_block():
    queue = BlockQueue(Overflow(), sample_rate_hz=RATE, capacity=2)
    for number in (0, 1, 2):
        queue.put(block(number, number))
    blocks = queue.blocks()
    assert next(blocks).lost_samples == 0
    queue.put(block(3, 3))
    assert next(blocks).lost_samples == 4
    queue.put(block(4, 4))
    assert next(blocks).lost_samples == 0


def test_the_queue_gives_what_it_has_before_the_error():
    queue = BlockQueue(Overflow(), sample_rate_hz=RATE)
    queue.put(block(7))
    queue.close(AudioError("gone"))
    blocks = queue.blocks()
    assert next(blocks).samples[0] == 7
    with pytest.raises(AudioError, match="gone"):
        next(blocks)


def test_the_queue_waits_no_longer_than_it_is_told():
    with pytest.raises(TimeoutError):
        next(BlockQueue(Overflow(), sample_rate_hz=RATE).blocks(patience_s=0.01))


def test_the_queue_wakes_the_listener():
    queue = BlockQueue(Overflow(), sample_rate_hz=RATE)
    threading.Timer(0.05, queue.put, [block(1)]).start()
    assert next(queue.blocks(patience_s=10)).samples[0] == 1


# Real time


class Fixed(Source):
    """Blocks as given, then an error if one is given."""

    def __init__(self, *blocks, error=None):
        super().__init__("fixed")
        self._blocks = blocks
        self._error = error
        self.closed = False

    def __iter__(self):
        yield from self._blocks
        if self._error:
            raise self._error

    def close(self):
        self.closed = True


def silence(seconds):
    return Block(samples=np.zeros(round(seconds * RATE), np.int16), arrived_at=0.0)


def test_real_time_takes_as_long_as_the_sound():
    with RealTime(Fixed(silence(0.1), silence(0.1))) as source:
        started = time.monotonic()
        arrivals = [each.arrived_at - started for each in source]
    assert len(arrivals) == 2
    assert arrivals[0] >= 0.099  # never before it was spoken; how late depends on the machine
    assert arrivals[1] >= 0.199


def test_real_time_overflows_when_the_listener_is_too_slow(monkeypatch):
    monkeypatch.setattr("harken.edge.sound.sources.QUEUE_S", 0.02)
    blocks = [silence(0.0001) for _ in range(300)]
    with RealTime(Fixed(*blocks)) as source:
        iterator = iter(source)
        next(iterator)
        source._player.join()
        assert 1 + len(list(iterator)) + source.overflow.queue == 300
    assert source.overflow.queue > 0


def test_real_time_passes_on_the_end_and_the_error():
    with RealTime(Fixed(silence(0.01), error=AudioError("torn"))) as source:
        blocks = iter(source)
        assert len(next(blocks).samples) == 160
        with pytest.raises(AudioError, match="torn"):
            next(blocks)


def test_real_time_stops_at_once_when_it_is_closed():
    inner = Fixed(silence(0.01), silence(60))
    with RealTime(inner) as source:
        next(iter(source))
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert inner.closed
