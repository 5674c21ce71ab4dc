"""The command line: what it hears, where it says it, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import tones
from command import harken, start_harken
from conftest import DATA
from fake_sounddevice import Device, FakeSounddevice, remove_portaudio

from harken.edge import Spotter
from harken.edge.app import benchmark, listen_cli
from harken.edge.spotting.manifest import load_model

MODEL = DATA / "tones.tflite"
WORDS = ["low", "high", "low"]


@pytest.fixture(scope="module")
def spoken():
    """Three words, and silence until the last is decided, (n,) int16."""
    return tones.stream(*WORDS)


@pytest.fixture
def recording(tmp_path, spoken):
    path = tmp_path / "spoken.wav"
    soundfile.write(path, spoken, tones.RATE)
    return path


def events(text):
    """The events of `--json` output, after a check that there is nothing else."""
    return [json.loads(line) for line in text.splitlines()]


def words(text):
    return [event["word"] for event in events(text)]


def play_blocks(samples, *, then=None):
    """A sound card that delivers samples in blocks of 20 ms."""

    def play(stream):
        for start in range(0, len(samples), 320):
            stream.deliver(samples[start : start + 320])
        if then is not None:
            then(stream)

    return play


# listen: what is heard


def test_words_in_a_file_are_printed_a_line_each(recording):
    heard = harken("listen", MODEL, "--wav", recording)
    assert heard.exit_code == 0
    assert [line.split()[2] for line in heard.out.splitlines()] == WORDS
    starts = [float(line.split()[0]) for line in heard.out.splitlines()]
    assert starts == pytest.approx([each / tones.RATE for each in tones.starts(3)], abs=0.1)


def test_json_is_one_event_a_line_as_the_spotter_returns_it(recording, spoken, tones_model):
    heard = harken("listen", MODEL, "--wav", recording, "--json")
    expected = [event.to_dict() for event in Spotter(tones_model).feed(spoken)]
    found = events(heard.out)
    assert [event.pop("latency_s") < 1 for event in found] == [True] * 3
    for event in expected:
        del event["latency_s"]
    assert found == expected


def test_raw_samples_on_standard_input_are_heard_as_the_file_is(recording, spoken):
    heard = harken("listen", MODEL, "--stdin", "--json", stdin=spoken.tobytes())
    assert heard.exit_code == 0
    assert words(heard.out) == WORDS


def test_a_file_of_any_rate_and_any_channels_is_heard(tmp_path, spoken):
    stereo = np.repeat(np.repeat(spoken, 3)[:, None], 2, axis=1)
    soundfile.write(tmp_path / "a.flac", stereo, 3 * tones.RATE)
    assert words(harken("listen", MODEL, "--wav", tmp_path / "a.flac", "--json").out) == WORDS


def test_realtime_takes_as_long_as_the_sound(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones.stream("low", pause_s=0.3), tones.RATE)
    started = time.monotonic()
    heard = harken("listen", MODEL, "--wav", tmp_path / "a.wav", "--realtime", "--json")
    assert time.monotonic() - started >= 1.0
    assert words(heard.out) == ["low"]


def ctrl_c(*_):
    raise KeyboardInterrupt


def test_the_microphone_is_waited_for_when_it_is_lost(monkeypatch, spoken):
    unplug = play_blocks(spoken, then=lambda stream: stream.finish())
    FakeSounddevice([Device()], script=unplug, on_initialize=ctrl_c).install(monkeypatch)
    monkeypatch.setattr(
        "harken.edge.sound.sources.QUEUE_S", 60
    )  # the card plays faster than real time
    monkeypatch.setattr("harken.edge.sound.microphone.RETRY_S", 0.01)
    heard = harken("listen", MODEL, "--json")
    assert words(heard.out) == WORDS
    assert "3 words heard" in heard.err
    assert "has stopped: was it unplugged" in heard.err
    assert "Waiting for it" in heard.err
    assert heard.exit_code == 0


def test_a_microphone_that_is_not_there_yet_can_be_waited_for(monkeypatch, spoken):
    once = play_blocks(spoken, then=lambda stream: stream.finish())
    sound = FakeSounddevice([], script=once).install(monkeypatch)
    sound.on_initialize = lambda: ctrl_c() if sound.devices else sound.devices.append(Device())
    monkeypatch.setattr("harken.edge.sound.sources.QUEUE_S", 60)
    monkeypatch.setattr("harken.edge.sound.microphone.RETRY_S", 0.01)
    assert harken("listen", MODEL, "--json").exit_code == 4
    heard = harken("listen", MODEL, "--json", "--wait")
    assert "no microphone that PortAudio can see" in heard.err
    assert 'listening to microphone "USB mic"' in heard.err
    assert words(heard.out) == WORDS
    assert heard.exit_code == 0


def test_quiet_says_nothing_but_words(recording):
    heard = harken("listen", MODEL, "--wav", recording, "--json", "--quiet")
    assert words(heard.out) == WORDS
    assert heard.err == ""


def test_raw_samples_of_another_form_are_heard(recording, spoken):
    import soxr

    stereo = np.stack([np.zeros(3 * len(spoken)), soxr.resample(spoken, 1, 3)], axis=1)
    raw = stereo.astype("<i2").tobytes()
    options = ("--stdin", "--rate", 3 * tones.RATE, "--channels", 2, "--channel", 2)
    heard = harken("listen", MODEL, *options, "--json", stdin=raw)
    assert words(heard.out) == WORDS


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--rate", "8000"), "goes with raw samples"),
        (("--wav", "a.wav", "--channels", "2"), "goes with raw samples"),
        (("--demo", "--channel", "1"), "goes with a microphone"),
        (("--stdin", "--wait"), "goes with a microphone"),
        (("--stdin", "--tcp", "4000"), "exclude each other"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, says):
    heard = harken("listen", MODEL, *options)
    assert heard.exit_code == 2
    assert says in " ".join(heard.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--stdin", "--rate", "1"), "a rate of 1 samples"),
        (("--stdin", "--channels", "99"), "99 channels are not possible"),
        (("--stdin", "--channels", "0"), "0 channels are not possible"),
        (("--stdin", "--rate", "0"), "a rate of 0 samples"),
        (("--tcp", ""), "'' is no address"),
        (("--udp", ""), "'' is no address"),
        (("--tcp", "203.0.113.1:4000"), "203.0.113.1 must be an address of this machine"),
        (("--wav", ""), "Is a directory; name one sound file"),
        (("--stdin", "--channels", "2", "--channel", "3"), "no channel 3 of 2"),
        (("--tcp", "nonsense"), "'nonsense' is no address"),
        (("--udp", "127.0.0.1:99999"), "'127.0.0.1:99999' is no address"),
        (("--tcp", "192.0.2.1:4000"), "cannot listen on tcp://192.0.2.1:4000"),
    ],
)
def test_raw_samples_that_cannot_be_are_an_error_of_sound(options, says):
    heard = harken("listen", MODEL, *options, stdin=b"\0\0")
    assert heard.exit_code == 4
    assert says in heard.error


def test_an_empty_device_is_refused():
    heard = harken("listen", MODEL, "--device", "")
    assert heard.exit_code == 2
    assert "it is empty" in heard.err


def test_a_sound_file_in_the_place_of_the_model_is_no_riddle(recording):
    heard = harken("listen", recording)
    assert heard.exit_code == 3
    assert f"--wav {recording}" in heard.error


def test_a_file_whose_name_is_not_utf8_is_heard(tmp_path, recording):
    odd = tmp_path / os.fsdecode(b"m\xfcller.wav")
    odd.write_bytes(recording.read_bytes())
    heard = harken("listen", MODEL, "--wav", odd)
    assert heard.exit_code == 0
    assert len(heard.out.splitlines()) == len(WORDS)


def test_channels_that_cancel_out_are_noticed(tmp_path, spoken):
    path = tmp_path / "inverted.wav"
    soundfile.write(path, np.stack((spoken, -spoken), axis=1), tones.RATE)
    heard = harken("listen", MODEL, "--wav", path)
    assert heard.exit_code == 0
    assert heard.err.count("cancel each other out") == 1


def test_a_device_is_chosen_by_number_or_name(monkeypatch):
    sound = FakeSounddevice([Device(name="Webcam"), Device(name="USB mic")], script=ctrl_c).install(
        monkeypatch
    )
    for choice, index in [("1", 1), ("Webcam", 0)]:
        harken("listen", MODEL, "--device", choice)
        assert sound.streams[-1].device == index


# listen: thresholds


def test_a_threshold_can_be_set_for_one_word(recording):
    heard = harken("listen", MODEL, "--wav", recording, "--threshold", "low=1", "--json")
    assert words(heard.out) == ["high"]


def test_a_threshold_can_be_set_for_all_words_and_then_for_one(recording):
    heard = harken(
        "listen", MODEL, "--wav", recording, "--threshold", "1", "--threshold", "low=0.5", "--json"
    )
    assert words(heard.out) == ["low", "low"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("lo=0.5", "the model has no word 'lo'; it has low, high"),
        ("low=1.5", "a threshold is above 0 and at most 1"),
        ("0", "a threshold is above 0 and at most 1"),
        ("loud", "a threshold is above 0 and at most 1"),
    ],
)
def test_a_wrong_threshold_is_a_usage_error(recording, setting, said):
    heard = harken("listen", MODEL, "--wav", recording, "--threshold", setting)
    assert heard.exit_code == 2
    assert said in " ".join(heard.err.split())


# listen: where things are said


def test_only_words_go_to_standard_output(recording):
    for option in ([], ["--json"]):
        heard = harken("listen", MODEL, "--wav", recording, *option)
        assert len(heard.out.splitlines()) == 3
        assert heard.err.splitlines()[0] == (
            f"Listening to {recording} (16 kHz, mono); Ctrl-C ends it."
        )
        assert "The 2 words: low high." in heard.err
        assert "3.60 s of sound, 3 words heard, nothing lost" in heard.err


def test_the_summary_gives_level_and_speed(recording):
    summary = harken("listen", MODEL, "--wav", recording).err.splitlines()[-1]
    assert summary.startswith("peak -14 dBFS, real-time factor 0.0")


def test_output_is_plain_and_fits_80_columns_where_it_is_no_terminal(recording, monkeypatch):
    FakeSounddevice([Device(name="A microphone with a long name " * 4)]).install(monkeypatch)
    for command in (
        ["listen", MODEL, "--wav", recording],
        ["info", MODEL],
        ["devices"],
        ["--help"],
        ["listen", "--help"],
    ):
        said = harken(*command)
        assert said.exit_code == 0
        assert "\x1b" not in said.out + said.err
        assert max(map(len, said.out.splitlines())) <= 80


def test_lost_sound_is_reported_while_listening_and_in_the_summary(monkeypatch):
    def play(stream):
        stream.deliver(np.ones(320), overflow=True)
        play_blocks(np.ones(320 * 149, np.int16))(stream)  # 150 blocks for a queue of 100
        stream.finish()

    FakeSounddevice([Device()], script=play, on_initialize=ctrl_c).install(monkeypatch)
    heard = harken("listen", MODEL)
    lost = (
        "overflow: 1 × lost by the sound system, 1.00 s dropped because this computer was too slow"
    )
    assert heard.err.count(f"harken: warning: at 0.02 s {lost}") == 1
    assert f"2.00 s of sound, 0 words heard, {lost}" in " ".join(heard.err.split())


def test_an_overflow_that_goes_on_is_reported_again_but_not_with_every_block(monkeypatch):
    def play(stream):
        for _ in range(50):
            stream.deliver(np.ones(320), overflow=True)
        stream.finish()

    FakeSounddevice([Device()], script=play, on_initialize=ctrl_c).install(monkeypatch)
    lines = harken("listen", MODEL).err.splitlines()
    assert sum("harken: warning:" in line and "overflow" in line for line in lines) == 1


def test_a_muted_microphone_is_noticed(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(5 * tones.RATE), tones.RATE)
    heard = harken("listen", MODEL, "--wav", tmp_path / "a.wav")
    assert heard.err.count("nothing but zeros for 3 s: is the microphone muted") == 1
    assert "peak digital silence" in heard.err


# listen: one source


def test_sources_exclude_each_other(recording):
    heard = harken("listen", MODEL, "--wav", recording, "--stdin")
    assert heard.exit_code == 2
    assert "--wav and --stdin exclude each other" in heard.err


def test_realtime_is_for_files():
    heard = harken("listen", MODEL, "--stdin", "--realtime")
    assert heard.exit_code == 2
    assert "--realtime goes with --wav" in heard.err


# listen --demo


@pytest.fixture
def short_demo(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "demo.flac", tones.stream("high", pause_s=0.3), tones.RATE)
    monkeypatch.setattr(listen_cli, "DEMO", tmp_path / "demo.flac")


@pytest.mark.usefixtures("short_demo")
def test_the_demo_plays_a_recording_where_portaudio_is_missing(monkeypatch):
    remove_portaudio(monkeypatch)
    started = time.monotonic()
    heard = harken("listen", MODEL, "--demo", "--json")
    assert heard.exit_code == 0
    assert words(heard.out) == ["high"]
    assert time.monotonic() - started >= 1.0
    assert "No microphone: the microphone needs the PortAudio library" in heard.err
    assert "Instead, a recording of real voices is played in real time." in heard.err


@pytest.mark.usefixtures("short_demo")
def test_the_demo_plays_a_recording_where_there_is_no_microphone(monkeypatch):
    FakeSounddevice().install(monkeypatch)
    heard = harken("listen", MODEL, "--demo", "--json")
    assert words(heard.out) == ["high"]
    assert "No microphone: this machine has no microphone" in heard.err


@pytest.mark.usefixtures("short_demo")
def test_the_demo_listens_to_the_microphone_where_there_is_one(monkeypatch):
    stream = tones.stream("low", pause_s=0.3)
    unplug = play_blocks(stream, then=lambda stream: stream.finish())
    FakeSounddevice([Device()], script=unplug, on_initialize=ctrl_c).install(monkeypatch)
    heard = harken("listen", MODEL, "--demo", "--json")
    assert words(heard.out) == ["low"]
    assert 'Listening to microphone "USB mic"' in heard.err


# listen: its end


def test_ctrl_c_ends_listening_with_a_summary_and_success(spoken):
    listener = start_harken("listen", MODEL, "--stdin", "--json")
    listener.stdin.write(spoken.tobytes())
    listener.stdin.flush()
    # Each event can be read at once, though neither end of the pipes is closed.
    heard = [json.loads(listener.stdout.readline())["word"] for _ in WORDS]
    listener.send_signal(signal.SIGINT)
    _, err = listener.communicate(timeout=30)
    assert heard == WORDS
    assert listener.returncode == 0
    assert b"3 words heard, nothing lost" in err
    assert b"Traceback" not in err


def test_a_reader_that_goes_away_ends_listening_without_a_traceback(spoken):
    listener = start_harken("listen", MODEL, "--stdin", "--json")
    listener.stdout.close()
    _, err = listener.communicate(spoken.tobytes(), timeout=30)
    assert b"Traceback" not in err
    assert b"Exception" not in err


# Without PortAudio


def test_a_file_is_heard_without_portaudio(monkeypatch, recording):
    remove_portaudio(monkeypatch)
    assert words(harken("listen", MODEL, "--wav", recording, "--json").out) == WORDS


# devices


def test_devices_lists_microphones(monkeypatch):
    speaker = Device(name="Speaker", max_input_channels=0)
    FakeSounddevice([speaker, Device(name="Mic", max_input_channels=2)], 1).install(monkeypatch)
    said = harken("devices")
    assert said.out.splitlines()[1].split() == ["1", "2", "44.1", "kHz", "*", "Mic,", "ALSA"]
    assert "Speaker" not in said.out
    assert json.loads(harken("devices", "--json").out) == [
        {
            "index": 1,
            "name": "Mic",
            "host_api": "ALSA",
            "channels": 2,
            "sample_rate_hz": 44100.0,
            "default": True,
        }
    ]


# info


def test_info_says_how_the_model_is_fed_and_read():
    said = " ".join(harken("info", MODEL).out.split())
    for fact in (
        "words 2: low high",
        "windows of 32 ms every 20 ms",
        "step every 40 ms, on the last 3 frames",
        "LSTM of 8 units",
        "mean of 4 steps (160 ms)",
        "thresholds 0.7 for every word",
    ):
        assert fact in said


def test_info_leaves_out_what_is_too_long_to_read(edit_manifest):
    manifest = edit_manifest({"provenance.training_speakers": "QUJD" * 500})
    said = harken("info", manifest).out
    assert "training_speakers 2,000 characters, see the manifest" in " ".join(said.split())
    assert "QUJD" not in said


def test_info_shows_the_detector_and_the_operating_point_with_their_values():
    said = " ".join(harken("info", "commands-tiny").out.split())
    manifest = load_model("commands-tiny").manifest
    point = manifest.operating_point
    for fact in (
        f"smoothing mean of {manifest.detector.smoothing_steps} steps",
        f"refractory {manifest.detector.refractory_ms} ms after each word",
        f"talk penalty up to {manifest.detector.talk_penalty:g} in log-odds",
        f"yes {manifest.detector.thresholds['yes']:.3g}",
        f"misses {point['miss_rate']:.1%} of {point['said']:,} words (95% CI",
        f"false accepts {point['false_accepts_per_hour']:.2f} per hour",
        "target at most 1 false accepts per hour",
        f"clean {point['snr']['clean']['miss_rate']:.1%}, 20 dB",
        f"latency median {1000 * point['latency_median_s']:.0f} ms",
    ):
        assert fact in said


def test_info_shows_a_threshold_once_if_all_words_have_it(edit_manifest):
    manifest = edit_manifest({"detector.thresholds": {"low": 0.25, "high": 0.25}})
    said = " ".join(harken("info", manifest).out.split())
    assert "thresholds 0.25 for every word" in said


def test_info_shows_records_within_records_or_their_size(edit_manifest):
    manifest = edit_manifest(
        {
            "provenance.counts": {"low": {"clips": 7171}, "high": {}},
            "provenance.files": ["a.wav"] * 99,
            "provenance.versions": {
                "training": {f"package{i}": "1.0" for i in range(30)},
                "export": {"numpy": "2.4"},
            },
        }
    )
    said = " ".join(harken("info", manifest).out.split())
    assert "counts low (clips 7171), high ()" in said
    assert "files 99 entries" in said
    assert "versions training (30 entries), export (numpy 2.4)" in said
    assert "all of it: harken info MODEL --json" in said


@pytest.mark.parametrize(
    "point",
    [
        {},
        {"expected": {"misses": 0.1}},
        {"miss_rate": "low", "snr": 3, "wrong_among_words": [], "cross_validated": None},
        {"miss_rate": 0.1, "latency_median_s": None, "false_accepts_per_hour": 10**300},
    ],
)
def test_info_shows_an_operating_point_of_any_form(edit_manifest, point):
    shown = harken("info", edit_manifest({"operating_point": point}))
    assert shown.exit_code == 0
    said = " ".join(shown.out.split())
    assert all(key in said or "misses 10.0%" in said for key in point)


def test_info_of_a_shipped_model_can_be_overlooked():
    assert len(harken("info", "commands").out.splitlines()) < 80


def test_info_as_json_is_the_manifest():
    said = harken("info", MODEL, "--json").out
    assert json.loads(said) == json.loads(MODEL.with_suffix(".json").read_text())


# bench


@pytest.fixture
def quick_bench(monkeypatch):
    monkeypatch.setattr(benchmark, "SOUND_S", 1.0)
    monkeypatch.setattr(benchmark, "REPEATS", 1)


def test_macs_are_those_of_the_matrices_and_the_cells(tones_model):
    # 30 features into 4 gates of 8 units each, 8 units into the same, 8 into 4 labels; 3 a cell.
    assert benchmark.count_macs(tones_model) == 4 * 8 * (30 + 8) + 8 * 4 + 3 * 8


@pytest.mark.usefixtures("quick_bench")
def test_bench_measures_the_model():
    figures = json.loads(harken("bench", MODEL, "--json").out)
    assert figures["model_bytes"] == MODEL.stat().st_size
    assert figures["macs_per_second"] == 25 * figures["macs_per_step"]
    assert (figures["frame_ms"], figures["step_ms"]) == (20, 40)
    for name in ("front_end_us_per_frame", "engine_us_per_step", "real_time_factor", "import_s"):
        assert figures[name] > 0
    # The whole path is at least its parts: 50 frames and 25 steps a second.
    parts_us = 50 * figures["front_end_us_per_frame"] + 25 * figures["engine_us_per_step"]
    assert figures["real_time_factor"] > 0.5e-6 * parts_us
    assert 10e6 < figures["peak_memory_bytes"] < 500e6


@pytest.mark.usefixtures("quick_bench")
def test_bench_says_what_each_figure_was_measured_against():
    said = " ".join(harken("bench", MODEL).out.split())
    for fact in (
        "per step of 40 ms",
        "per frame of 20 ms",
        "for 1 s of audio",
        "runs over 1 s of noise",
    ):
        assert fact in said


# The command as such


COMMANDS = [
    "listen",
    "doctor",
    "devices",
    "info",
    "bench",
    "record",
    "review",
    "train",
    "average",
    "eval",
    "tune",
    "teach",
    "mine",
    "export",
    "rooms",
    "synth",
    "new",
    "grammar",
    "memory",
    "serve",
]


def test_help_lists_every_command():
    listed = harken("--help").out.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    said = harken(command, "--help")
    assert said.exit_code == 0
    assert f"Usage: harken {command}" in said.out


def test_version():
    assert harken("--version").out.startswith("harken 0.")


def test_the_module_runs_as_the_command_does():
    shown = subprocess.run(
        [sys.executable, "-m", "harken", "--version"], capture_output=True, check=True, text=True
    )
    assert shown.stdout == harken("--version").out


def test_help_loads_nothing_heavy():
    program = (
        "import sys\n"
        "from harken.cli import main\n"
        "sys.argv = ['harken', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, env=os.environ
    )
    loaded = {name.partition(".")[0] for name in ran.stderr.split()}
    assert "harken" in loaded
    heavy = {"tensorflow", "tf_keras", "keras", "librosa", "scipy", "matplotlib", "ai_edge_litert"}
    assert not loaded & (heavy | {"sounddevice", "soundfile", "soxr"})
