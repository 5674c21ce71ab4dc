"""The listening loop: what is lost, clocks that jump, and the end, as observers see them."""

from __future__ import annotations

import json
import signal
import threading
import time

import numpy as np
import pytest
import soundfile
import tones
from command import harken, start_harken
from conftest import DATA
from observing import Notes

from harken.edge import Spotter
from harken.edge.app.listen import Listener
from harken.edge.sound.sources import Block, Source

MODEL = DATA / "tones.tflite"
LOST = 3 * tones.RATE


def words(text):
    return [json.loads(line)["word"] for line in text.splitlines()]


class Interrupted(Source):
    """Sound that is cut at a sample, and goes on after some was lost."""

    def __init__(self, samples, at=None):
        super().__init__("interrupted sound")
        self.samples, self.at = samples, at

    def __iter__(self):
        for start in range(0, len(self.samples), 640):
            if start == self.at:
                self.on_notice("it is gone")
            yield Block(
                samples=self.samples[start : start + 640],
                arrived_at=time.monotonic(),
                lost_samples=LOST if start == self.at else 0,
            )

    def close(self):
        pass


def listen(source):
    notes = Notes()
    listener = Listener(Spotter(MODEL), source, observers=[notes])
    listener.run()
    listener.close()
    return notes, listener.summary()


def test_positions_go_on_after_a_gap_as_those_of_a_clock():
    samples = tones.stream("low", "high")
    at = (tones.starts(2)[1] - 4800) // 640 * 640
    whole, _ = listen(Interrupted(samples))
    notes, summary = listen(Interrupted(samples, at))
    assert notes.words == ["low", "high"]
    assert notes.events[0].end_sample == whole.events[0].end_sample
    later = notes.events[1].end_sample - whole.events[1].end_sample
    assert abs(later - LOST) <= 1280
    assert notes.notices == ["it is gone"]
    starts = [block.start_sample for block in notes.blocks]
    assert starts == [n * 640 + (LOST if n * 640 >= at else 0) for n in range(len(starts))]
    assert summary.sound_s == len(samples) / tones.RATE  # what was lost was not heard


def test_a_word_is_not_made_of_two_halves_with_a_gap_between():
    half = tones.to_int16(tones.sine(400.0, 0.08))
    quiet = tones.to_int16(tones.quiet(0.96))
    samples = np.concatenate([quiet, half, half, quiet])
    at = (len(quiet) + len(half)) // 640 * 640
    assert listen(Interrupted(samples))[0].words == ["low"]
    assert listen(Interrupted(samples, at))[0].words == []


def test_a_word_is_not_made_of_what_was_before_a_sleep_and_after_it(monkeypatch):
    half = tones.to_int16(tones.sine(400.0, 0.08))
    quiet = tones.to_int16(tones.quiet(0.96))
    samples = np.concatenate([quiet, half, half, quiet])
    awake = (len(quiet) + len(half)) // 640
    calls = []

    def offset_s():
        calls.append(None)
        return 0.0 if len(calls) <= awake + 1 else 3600.0

    monkeypatch.setattr("harken.edge.app.listen._clock_offset_s", offset_s)
    assert listen(Interrupted(samples))[0].words == []


def test_warnings_of_other_threads_come_with_the_next_block():
    notes = Notes()
    listener = Listener(Spotter(MODEL), Interrupted(tones.stream("low")), observers=[notes])
    thread = threading.Thread(target=listener.warn, args=["the broker is away"])
    thread.start()
    thread.join()
    assert notes.notices == []
    listener.run()
    assert notes.notices == ["the broker is away"]
    listener.warn("it is back")
    listener.close()
    assert notes.notices == ["the broker is away", "it is back"]
    assert notes.closed


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_listening_with_a_summary_and_success(number):
    listener = start_harken("listen", MODEL, "--stdin", "--json")
    listener.stdin.write(tones.stream("low").tobytes())
    listener.stdin.flush()
    first = listener.stdout.readline()
    listener.send_signal(number)
    out, err = listener.communicate(timeout=20)
    assert listener.returncode == 0
    assert words(first + out) == ["low"]
    assert b"1 word heard" in err


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_listening_without_a_traceback(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones.stream("low", "high", "low"), tones.RATE)
    listener = start_harken("listen", MODEL, "--json", "--wav", tmp_path / "a.wav")
    listener.stdout.close()
    err = listener.stderr.read()
    assert listener.wait(30) == 1
    assert b"Traceback" not in err


def test_what_is_captured_can_be_reviewed(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones.stream("low", "high"), tones.RATE)
    options = ("--wav", tmp_path / "a.wav", "--capture", tmp_path / "kept")
    heard = harken("listen", MODEL, *options, "--json")
    assert words(heard.out) == ["low", "high"]
    assert "Kept 2 words and 0 near misses" in heard.err
    assert harken("review", tmp_path / "kept", "--list").exit_code == 0
    assert harken("listen", MODEL, "--wav", tmp_path / "a.wav", "--capture-limit", 1).exit_code == 2
