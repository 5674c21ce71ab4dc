"""`harken doctor` says what is wrong and what to do, whatever breaks, and nothing private."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tones
from command import harken
from conftest import DATA
from fake_sounddevice import Device, FakeSounddevice, remove_portaudio

from harken.edge import Spotter, load_model
from harken.edge.app.doctor import golden, level, live, model_check, program, sound_system
from harken.edge.app.doctor.finding import Finding, Findings, State
from harken.edge.app.doctor.golden import Golden, compare, demo_recording, golden_of
from harken.edge.app.doctor.privacy import Privacy
from harken.edge.app.doctor.sound_system import Surroundings
from harken.edge.errors import AudioError, DependencyError, ModelError
from harken.edge.sound.microphone import InputDevice
from harken.edge.spotting.engine import TfliteRuntime
from harken.edge.spotting.manifest import shipped_models

MODEL = DATA / "tones.tflite"
RATE = 16_000
OK, WARNING, PROBLEM, SKIPPED = State
MODEL_ERROR, AUDIO_ERROR, DEPENDENCY_ERROR = 3, 4, 6


# The command as a whole: a quiet Linux computer with one microphone, into which somebody speaks.


@pytest.fixture
def linux(monkeypatch, tmp_path):
    """What the system says about sound; to be replaced."""
    around = Surroundings(system="Linux", sound_cards=tmp_path / "snd", proc=tmp_path / "proc")
    around.sound_cards.mkdir()
    (around.sound_cards / "pcmC1D0c").touch()
    monkeypatch.setattr(sound_system, "surroundings", lambda: around)
    return around


@pytest.fixture
def interpreter(monkeypatch):
    """Spare the process of its own in which the interpreter is tried."""
    monkeypatch.setattr(
        program,
        "check_interpreter",
        lambda model, runtime: Finding(check="model.interpreter", state=OK, text="runs"),
    )


def plug_in(monkeypatch, *devices, sound=None):
    """Plug in microphones that deliver some sound each time they are opened."""
    monkeypatch.setattr(
        "harken.edge.sound.sources.QUEUE_S", 60
    )  # it comes faster than in real time
    samples = tones.stream("low", "high") if sound is None else sound

    def play(stream):
        for start in range(0, len(samples), 640):
            block = samples[start : start + 640]
            if block.ndim == 1:
                block = np.repeat(block[:, None], stream.channels, axis=1)
            stream.deliver(block)

    return FakeSounddevice(list(devices or [Device()]), script=play).install(monkeypatch)


def examine(*arguments, model=MODEL):
    """Run the command; return its exit code, and the checks by their names."""
    ran = harken("doctor", model, "--json", "--seconds", "1.5", *arguments)
    assert "Traceback" not in ran.err
    report = json.loads(ran.out)
    assert report["exit_code"] == ran.exit_code
    return ran.exit_code, {check["check"]: check for check in report["checks"]}


pytestmark = pytest.mark.usefixtures("linux")


def test_where_all_is_well_all_is_ok(monkeypatch):
    plug_in(monkeypatch)
    code, checks = examine()
    assert code == 0
    # The first word of the model is asked for and said.
    assert {name for name, check in checks.items() if check["state"] == "ok"} == {
        *("program.harken", "program.packages", "program.extras"),
        *("model.file", "model.interpreter", "model.stream", "speed.real_time"),
        *("sound.portaudio", "sound.devices", "sound.server", "sound.permissions"),
        *("microphone.device", "microphone.level", "microphone.noise", "microphone.hum"),
        *("microphone.offset", "microphone.gaps", "microphone.words"),
    }
    assert checks["model.golden"]["state"] == "skipped"
    assert "low (" in checks["microphone.words"]["text"]
    assert checks["model.interpreter"]["figures"]["used"] in checks["model.interpreter"]["text"]


def test_the_keys_of_the_json_report_stay(monkeypatch, interpreter):
    plug_in(monkeypatch)
    report = json.loads(harken("doctor", MODEL, "--json", "--seconds", "1").out)
    assert set(report) == {
        *("harken_doctor", "harken", "exit_code", "problems", "warnings", "checks")
    }
    assert report["harken_doctor"] == 1
    for check in report["checks"]:
        assert set(check) == {"check", "state", "text", "remedy", "exit_code", "figures"}
        assert check["state"] in {"ok", "warning", "problem", "skipped"}


def test_people_get_a_checklist_of_80_columns_with_a_remedy_for_each_complaint(
    monkeypatch, interpreter
):
    plug_in(monkeypatch, Device(name="A microphone with a name that is very long " * 3, busy=True))
    ran = harken("doctor", MODEL)
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    assert {"Program", "Model", "Speed", "Sound system", "Microphone"} <= {*lines}
    complaints = [line for line in lines if line.startswith(("  problem", "  warning"))]
    assert complaints
    assert sum(line.strip().startswith("-> ") for line in lines) >= len(complaints)
    assert "1 problem." in lines
    assert ran.exit_code == AUDIO_ERROR


def test_a_word_is_asked_for_on_standard_error(monkeypatch, interpreter):
    plug_in(monkeypatch)
    ran = harken("doctor", MODEL, "--json", "--seconds", "2")
    assert ran.err.splitlines() == [
        'Listening to microphone "USB mic" (16 kHz, mono) for 2 s: be quiet at first.',
        'Now say "low".',
    ]


def test_without_portaudio(monkeypatch, interpreter):
    remove_portaudio(monkeypatch)
    code, checks = examine()
    assert code == AUDIO_ERROR
    assert "PortAudio library" in checks["sound.portaudio"]["text"]
    assert "apt-get install libportaudio2" in checks["sound.portaudio"]["remedy"]
    assert checks["microphone.level"]["state"] == "skipped"


def test_without_a_microphone(monkeypatch, interpreter):
    FakeSounddevice([Device(name="Speaker", max_input_channels=0)]).install(monkeypatch)
    code, checks = examine()
    assert code == AUDIO_ERROR
    assert checks["sound.devices"]["state"] == "problem"
    assert checks["sound.devices"]["exit_code"] == AUDIO_ERROR
    assert "plug one in" in checks["sound.devices"]["remedy"]
    assert checks["microphone.level"]["state"] == "skipped"


@pytest.mark.parametrize("missing", ["microphone", "portaudio"])
def test_a_machine_that_needs_no_microphone_is_well_without(monkeypatch, interpreter, missing):
    if missing == "microphone":
        FakeSounddevice([]).install(monkeypatch)
    else:
        remove_portaudio(monkeypatch)
    code, checks = examine("--no-microphone")
    assert code == 0
    assert {check["state"] for check in checks.values()} == {"ok", "warning", "skipped"}


def test_a_microphone_that_is_there_is_left_alone_if_so_asked(monkeypatch, interpreter):
    sound = plug_in(monkeypatch)
    code, _ = examine("--no-microphone")
    assert code == 0
    assert sound.streams == []


def test_a_microphone_that_another_program_has(monkeypatch, interpreter, linux):
    plug_in(monkeypatch, Device(name="Webcam", busy=True))
    record_with(linux.proc, pid=77, name="obs")
    code, checks = examine()
    assert code == AUDIO_ERROR
    assert "Device unavailable" in checks["microphone.device"]["text"]
    assert checks["microphone.holder"]["text"] == "obs records at the moment"
    assert "microphone.level" not in checks


def test_a_microphone_that_may_not_be_used(monkeypatch, interpreter, linux):
    FakeSounddevice([]).install(monkeypatch)
    forbidden = dataclasses.replace(linux, may_use=lambda path: False)
    monkeypatch.setattr(sound_system, "surroundings", lambda: forbidden)
    code, checks = examine()
    assert code == AUDIO_ERROR
    assert checks["sound.permissions"]["state"] == "problem"
    assert "usermod -aG audio" in checks["sound.permissions"]["remedy"]


@pytest.mark.parametrize("device", ["7", "nothing like it"])
def test_a_microphone_that_is_not_there(monkeypatch, interpreter, device):
    plug_in(monkeypatch)
    code, checks = examine("--device", device)
    assert code == AUDIO_ERROR
    assert f"--device {device}" in checks["microphone.device"]["text"]
    assert "harken devices" in checks["microphone.device"]["remedy"]


def test_a_channel_that_is_not_there(monkeypatch, interpreter):
    plug_in(monkeypatch)
    code, checks = examine("--channel", "3")
    assert code == AUDIO_ERROR
    assert "has no channel 3" in checks["microphone.device"]["text"]


def test_a_muted_microphone(monkeypatch, interpreter):
    plug_in(monkeypatch, sound=np.zeros(2 * RATE, np.int16))
    code, checks = examine()
    assert code == AUDIO_ERROR
    assert "nothing but zeros" in checks["microphone.level"]["text"]
    assert "alsamixer" in checks["microphone.level"]["remedy"]
    assert checks["microphone.words"]["state"] == "skipped"


def test_a_microphone_that_clips(monkeypatch, interpreter):
    loud = np.clip(tones.stream("low", "high").astype(int) * 50, -32768, 32767).astype(np.int16)
    plug_in(monkeypatch, sound=loud)
    code, checks = examine()
    assert code == 0
    assert checks["microphone.level"]["state"] == "warning"
    assert "lower the input level" in checks["microphone.level"]["remedy"]


def test_a_word_that_is_not_said(monkeypatch, interpreter):
    plug_in(monkeypatch, sound=tones.to_int16(tones.quiet(2.0)))
    code, checks = examine()
    assert code == 0
    assert checks["microphone.words"]["text"] == 'asked for "low", detected no word'
    assert checks["microphone.words"]["figures"] == {"asked": "low", "heard": []}


def test_one_dead_channel_of_two(monkeypatch, interpreter):
    said = tones.stream("low", "high")
    plug_in(
        monkeypatch,
        Device(max_input_channels=2, accepts=((RATE, 2),)),
        sound=np.stack((np.zeros_like(said), said), axis=1),
    )
    code, checks = examine()
    assert code == 0
    assert "only 1 of 2 alive" in checks["microphone.channels"]["text"]
    assert "--channel 2" in checks["microphone.channels"]["remedy"]
    _, checks = examine("--channel", "2")
    assert "microphone.channels" not in checks


def test_sound_that_is_lost_on_the_way(monkeypatch, interpreter):
    sound = plug_in(monkeypatch)
    play = sound.script

    def lose(stream):
        stream.deliver(np.ones(640))
        stream.deliver(np.ones(640), overflow=True)
        play(stream)

    sound.script = lose
    _, checks = examine()
    assert checks["microphone.gaps"]["state"] == "warning"
    assert "0.04 s of audio were dropped" in checks["microphone.gaps"]["text"]


def test_a_microphone_that_is_unplugged_meanwhile(monkeypatch, interpreter):
    sound = plug_in(monkeypatch, sound=np.ones(640, np.int16))
    play = sound.script
    sound.script = lambda stream: (play(stream), stream.finish())
    code, checks = examine()
    assert code == AUDIO_ERROR
    assert "was it unplugged" in checks["microphone.level"]["text"]


def test_ctrl_c_ends_the_listening_and_not_the_report(monkeypatch, interpreter):
    def interrupt(stream):
        raise KeyboardInterrupt

    plug_in(monkeypatch).script = interrupt
    code, checks = examine()
    assert code == 0
    assert checks["microphone.level"]["text"] == "was interrupted"


def test_a_damaged_model(monkeypatch, interpreter, tones_folder):
    plug_in(monkeypatch)
    path = tones_folder / "tones.tflite"
    path.write_bytes(path.read_bytes()[:-9])
    code, checks = examine(model=path)
    assert code == MODEL_ERROR
    assert "cut short or replaced" in checks["model.file"]["text"]
    assert checks["model.golden"]["state"] == "skipped"
    # The microphone is looked at all the same, without anybody who hears.
    assert checks["microphone.level"]["state"] == "ok"
    assert checks["microphone.words"]["state"] == "skipped"


def test_a_manifest_at_odds_with_its_model(monkeypatch, interpreter, edit_manifest):
    plug_in(monkeypatch)
    code, checks = examine(model=edit_manifest({"input.zero_point": 7}))
    assert code == MODEL_ERROR
    assert "input.zero_point" in checks["model.file"]["text"]


def test_a_model_that_is_missing(monkeypatch, interpreter):
    code, checks = examine("--no-microphone", model="comands")
    assert code == MODEL_ERROR
    assert "comands is no model" in checks["model.file"]["text"]


def test_a_missing_interpreter(monkeypatch):
    plug_in(monkeypatch)
    monkeypatch.setenv("HARKEN_RUNTIME", "tflite-runtime")
    if program.installed_version("tflite-runtime"):
        pytest.skip("tflite-runtime is installed")
    code, checks = examine()
    assert code == DEPENDENCY_ERROR
    assert "no TFLite interpreter can be imported" in checks["model.interpreter"]["text"]
    assert "pip install tflite-runtime" in checks["model.interpreter"]["remedy"]
    assert checks["speed.real_time"]["state"] == "skipped"
    assert checks["microphone.level"]["state"] == "ok"


def test_an_interpreter_that_ends_the_process(monkeypatch):
    plug_in(monkeypatch)
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(program, "_PROBE", crash)
    code, checks = examine()
    assert code == DEPENDENCY_ERROR
    assert "crashes (SIGSEGV)" in checks["model.interpreter"]["text"]
    assert "HARKEN_RUNTIME" in checks["model.interpreter"]["remedy"]


def test_the_first_problem_decides_the_exit_code(monkeypatch, interpreter):
    remove_portaudio(monkeypatch)
    code, checks = examine(model="comands")
    assert checks["sound.portaudio"]["exit_code"] == AUDIO_ERROR
    assert code == MODEL_ERROR


@pytest.mark.parametrize(
    ("broken", "check", "expected"),
    [
        ("program.check_packages", "program.packages", DEPENDENCY_ERROR),
        ("program.check_interpreter", "model.interpreter", DEPENDENCY_ERROR),
        ("model_check.check_golden", "model.golden", MODEL_ERROR),
        ("model_check.check_speed", "speed.real_time", MODEL_ERROR),
        ("sound_system.check_server", "sound.server", AUDIO_ERROR),
        ("live.check_heard", "microphone.level", AUDIO_ERROR),
        ("level.measure", "microphone.level", AUDIO_ERROR),
    ],
)
def test_whatever_breaks_is_a_problem_with_its_type_and_the_rest_goes_on(
    monkeypatch, interpreter, broken, check, expected
):
    def breaks(*_, **__):
        raise ZeroDivisionError("by  a\nmicrobe")

    plug_in(monkeypatch)
    monkeypatch.setattr(f"harken.edge.app.doctor.{broken}", breaks)
    ran = harken("doctor", MODEL, "--json", "--seconds", "1.5")
    problems = [each for each in json.loads(ran.out)["checks"] if each["state"] == "problem"]
    assert [(each["check"], each["text"]) for each in problems] == [
        (check, "ZeroDivisionError: by a microbe")
    ]
    assert "open an issue" in problems[0]["remedy"]
    assert ran.exit_code == expected


def test_a_terminal_that_lacks_letters_gets_other_ones(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "harken", "doctor", tmp_path / "möwe.tflite", "--no-microphone"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert ran.returncode == MODEL_ERROR
    assert b"m?we.tflite" in ran.stdout
    assert ran.stderr == b""


@pytest.mark.parametrize("seconds", ["0.5", "61", "long"])
def test_seconds_have_bounds(seconds):
    assert harken("doctor", "--seconds", seconds).exit_code == 2


# Findings


def test_problems_where_they_do_not_matter_are_warnings():
    shown = []
    findings = Findings(Privacy(), shown.append, lenient=("sound",))
    findings.add(
        Finding(check="sound.devices", state=PROBLEM, text="none"),
        Finding(check="model.file", state=WARNING, text="odd"),
    )
    assert [finding.state for finding in shown] == [WARNING, WARNING]
    assert findings.exit_code == 0


def test_an_error_that_was_foreseen_keeps_its_line_and_its_code():
    findings = Findings(Privacy(), lambda finding: None)
    with findings.isolated("model.golden", ModelError):
        raise DependencyError("it is missing; install it; then try again")
    [finding] = findings.all
    assert (finding.text, finding.remedy) == ("it is missing", "install it; then try again")
    assert findings.exit_code == DEPENDENCY_ERROR


# Nothing private


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Anna's AirPods", "<owner>'s AirPods"),
        ("Anna’s iPhone Microphone", "<owner>'s iPhone Microphone"),
        ("Anna Maria Weber's AirPods Pro", "<owner>'s AirPods Pro"),
        ("James' AirPods", "<owner>'s AirPods"),
        ("Headset (Anna's AirPods Hands-Free)", "Headset (<owner>'s AirPods Hands-Free)"),
        ("AirPods von Anna", "AirPods von <owner>"),
        ("AirPods Pro de José María", "AirPods Pro de <owner>"),
        ("AirPods d’Anne", "AirPods d <owner>"),
        ("bluez_source.F4_0E_11_AA_BB_CC.handsfree", "bluez_source.<address>.handsfree"),
        ("Headset 00:1B:66:AA:BB:CC", "Headset <address>"),
        ("Yeti: Blue_797_2019_05_06_34567", "Yeti: <serial>"),
        # What is nobody's stays.
        ("USB Audio: - (hw:1,0)", "USB Audio: - (hw:1,0)"),
        ("HDA Intel PCH: ALC892 Analog (hw:0,0)", "HDA Intel PCH: ALC892 Analog (hw:0,0)"),
        ("seeed: bcm2835-i2s-wm8960-hifi (hw:2,0)", "seeed: bcm2835-i2s-wm8960-hifi (hw:2,0)"),
        ("ReSpeaker 4 Mic Array (UAC1.0)", "ReSpeaker 4 Mic Array (UAC1.0)"),
        ("MacBook Pro Microphone", "MacBook Pro Microphone"),
    ],
)
def test_a_devices_name_is_shown_without_its_owner(name, shown):
    privacy = Privacy()
    assert privacy.device(name) == shown
    assert privacy.clean(f'the microphone "{name}" is busy') == f'the microphone "{shown}" is busy'


def test_what_the_user_calls_a_device_may_be_its_owner():
    privacy = Privacy()
    privacy.device("Anna's AirPods")
    privacy.typed_device("anna")
    privacy.typed_device("AirPods")
    assert privacy.clean("--device anna: not AirPods") == "--device <owner>: not AirPods"


def test_names_and_homes_are_replaced_wherever_they_are():
    privacy = Privacy(home=Path("/srv/people/aweber"), names=["aweber", "Weber", "blackbox"])
    cleaned = privacy.clean(
        {
            "paths": ("/srv/people/aweber/m.tflite", "/srv/people/aweber2/x", "/home/eva/b.tflite"),
            "windows": r"C:\Users\Eva\models",
            "text": "aweber@blackbox, of Weber, at 192.168.1.20, not at 127.0.0.1",
            "number": 5,
            "nothing": None,
        }
    )
    assert cleaned == {
        "paths": ["~/m.tflite", "/srv/people/aweber2/x", "~/b.tflite"],
        "windows": r"~\models",
        "text": "<name>@<name>, of <name>, at <address>, not at 127.0.0.1",
        "number": 5,
        "nothing": None,
    }


def test_names_that_anybody_could_have_spoil_nothing():
    assert Privacy(home=Path("/"), names=["pi", "root", ""]).clean("/etc/pi root") == "/etc/pi root"


def test_this_users_names_are_known(monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "blackbox.example.org")
    monkeypatch.setattr("getpass.getuser", lambda: "aweber")
    privacy = Privacy.here()
    assert privacy.clean("aweber blackbox blackbox.example.org") == "<name> <name> <name>"
    assert privacy.clean(str(Path.home() / "a")) in {"~/a", "/a"}


def test_the_report_holds_none_of_it(monkeypatch, interpreter, tmp_path):
    monkeypatch.setattr("platform.node", lambda: "blackbox")
    monkeypatch.setattr("getpass.getuser", lambda: "aweber")
    monkeypatch.setenv("HOME", str(tmp_path / "aweber"))
    folder = tmp_path / "aweber" / "blackbox"
    folder.mkdir(parents=True)
    for name in ("tones.tflite", "tones.json"):
        shutil.copy(DATA / name, folder)
    plug_in(monkeypatch, Device(name="Anna's AirPods"), Device(name="AA:BB:CC:00:11:22"))
    outputs = [
        harken("doctor", folder / "tones.tflite", "--seconds", "1", *options)
        for options in ([], ["--json"], ["--device", "Anna"], ["--device", "Eva"])
    ]
    for ran in outputs:
        assert "tones.tflite" in ran.out
        for private in ("Anna", "aweber", "blackbox", "AA:BB", str(tmp_path)):
            assert private not in ran.out.replace("\n" + " " * 24, "")
            assert private not in ran.err


# The program


def test_requirements_are_read_as_metadata_hold_them():
    lines = [
        "numpy>=2.0",
        "ai-edge-litert",
        "tensorflow<2.22,>=2.20; extra == 'train'",
        'tflite-micro; (sys_platform == "linux" and platform_machine == "x86_64") and '
        'extra == "tflm"',
        'wyoming>=1.7 ; extra == "wyoming"',
    ]
    read = [(each.name, each.at_least, each.extra) for each in program.requirements(lines)]
    assert read == [
        ("numpy", "2.0", ""),
        ("ai-edge-litert", "", ""),
        ("tensorflow", "2.20", "train"),
        ("tflite-micro", "", "tflm"),
        ("wyoming", "1.7", "wyoming"),
    ]


@pytest.fixture
def installed(monkeypatch):
    """Packages with their versions; nothing else is installed."""
    packages = {"numpy": "2.4.6", "soxr": "1.0.0", "wyoming": "1.10", "keras": "3.10"}
    monkeypatch.setattr(program, "installed_version", packages.get)
    return packages


WANTED = program.requirements(
    [
        *("numpy>=2.0", "soxr>=0.5", "ai-edge-litert>=2.1"),
        *(
            "numpy>=2.2; extra == 'train'",
            "keras>=3.10; extra == 'train'",
            "librosa>=0.11; extra == 'train'",
        ),
        *("wyoming>=1.7; extra == 'wyoming'", "paho-mqtt>=2.1; extra == 'mqtt'"),
        "pytest>=8; extra == 'dev'",
    ]
)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"numpy": None}, "numpy is not installed"),
        ({"numpy": "1.26.4"}, "numpy is 1.26.4, it must be 2.0 or newer"),
        ({"soxr": "0.4.1rc1"}, "soxr is 0.4.1rc1, it must be 0.5 or newer"),
    ],
)
def test_a_package_that_is_missing_or_too_old(installed, change, complaint):
    assert program.check_packages(WANTED).state is OK
    installed |= change
    finding = program.check_packages(WANTED)
    assert (finding.state, finding.kind) == (PROBLEM, DependencyError)
    assert complaint in finding.text
    assert "pip install" in finding.remedy


def test_a_libsndfile_that_cannot_be_loaded(monkeypatch):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "soundfile":
                raise OSError("sndfile library not found")

    monkeypatch.delitem(sys.modules, "soundfile", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    finding = program.check_packages([])
    assert finding.state is PROBLEM
    assert "soundfile does not work: sndfile library not found" in finding.text


def test_extras_are_there_in_part_or_not(installed):
    finding = program.check_extras(WANTED)
    assert finding.state is OK
    assert finding.text == "train partly (without librosa); wyoming (wyoming 1.10); no mqtt"


def test_what_is_not_installed_as_a_package_is_said_to_be_unknown():
    assert program.check_extras([]).text == "none is known"


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ("import sys; sys.exit('no such thing')", "fails with exit code 1: no such thing"),
        ("pass", "fails with exit code 0: no message"),
        ("import time; time.sleep(9)", "did not finish a step within 0.2 s"),
        ("import os; os.kill(os.getpid(), 9)", "crashes (SIGKILL)"),
    ],
)
def test_an_interpreter_that_fails_otherwise(monkeypatch, probe, said):
    monkeypatch.setattr(program, "_PROBE", probe)
    if "sleep" in probe:
        monkeypatch.setattr(program, "_PROBE_S", 0.2)
    finding = program.check_interpreter("commands", None)
    assert (finding.state, finding.kind) == (PROBLEM, DependencyError)
    assert said in finding.text


def test_only_the_interpreter_that_is_chosen_is_imported():
    asked = (
        "import sys, json\n"
        "from harken.edge.app.doctor import program\n"
        "found = program.installed_interpreters()\n"
        "used = [name for name in sys.modules if 'lite' in name or 'tensorflow' in name]\n"
        "print(json.dumps([list(found), used]))"
    )
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)
    found, imported = json.loads(ran.stdout)
    assert "ai-edge-litert" in found
    assert imported == ["harken.edge.spotting.tflite"]


# The sound system


def record_with(proc, *, pid, name):
    """Let a program record."""
    status = proc / "asound" / "card1" / "pcm0c" / "sub0" / "status"
    status.parent.mkdir(parents=True)
    status.write_text(f"state: RUNNING\nowner_pid   : {pid}\ntrigger_time: 1.5\n")
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "comm").write_text(f"{name}\n")


def test_who_records_is_found_out(linux):
    assert sound_system.holders(linux.proc) == []
    record_with(linux.proc, pid=4711, name="zoom")
    assert sound_system.holders(linux.proc) == ["zoom"]


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, PROBLEM, "usermod -aG audio"),
        ({"groups": frozenset({"audio"})}, PROBLEM, "already in the group audio"),
        ({"enrolled": frozenset({"audio"})}, PROBLEM, "log in again"),
        ({"may_use": lambda path: True}, OK, ""),
    ],
)
def test_permissions_of_a_user(linux, change, state, words):
    around = dataclasses.replace(linux, **{"may_use": lambda path: False, **change})
    finding = sound_system.check_permissions(around, served=False)
    assert finding.state is state
    assert words in (finding.remedy or "")
    # A sound server has them for all users.
    assert sound_system.check_permissions(around, served=True).state is OK


def test_a_system_without_a_sound_card(linux):
    (linux.sound_cards / "pcmC1D0c").unlink()
    finding = sound_system.check_permissions(linux, served=False)
    assert (finding.state, finding.text) == (WARNING, "the system has no sound card")


def test_a_container_without_the_sound_cards(linux):
    shutil.rmtree(linux.sound_cards)
    (linux.proc / "asound").mkdir(parents=True)
    (linux.proc / "asound" / "cards").write_text(
        " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n"
    )
    finding = sound_system.check_permissions(linux, served=False)
    assert finding.state is WARNING
    assert "container" in finding.text
    assert "--device /dev/snd" in finding.remedy


@pytest.mark.parametrize(
    ("system", "where"), [("Darwin", "System Settings"), ("Windows", "Settings")]
)
def test_what_cannot_be_asked_is_not_said_to_be_checked(system, where):
    around = Surroundings(system=system)
    finding = sound_system.check_permissions(around, served=False)
    assert finding.state is SKIPPED
    assert "not checked" in finding.text
    assert where in finding.text
    assert sound_system.check_server(around, []) is None


@pytest.fixture
def runtime_dir():
    """A folder with a short path, as that of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="harken") as name:
        yield Path(name)


def listen_at(path):
    path.parent.mkdir(exist_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


def microphone(name, host_api="ALSA", **changes):
    values = {"index": 0, "channels": 1, "sample_rate_hz": 48_000.0, "default": True, **changes}
    return InputDevice(name=name, host_api=host_api, **values)


def test_a_sound_server_that_answers_and_is_reached(linux, runtime_dir):
    around = dataclasses.replace(linux, runtime_dir=runtime_dir)
    assert "no sound server is running" in sound_system.check_server(around, []).text
    with listen_at(runtime_dir / "pulse" / "native"):
        finding = sound_system.check_server(around, [microphone("pulse")])
        assert (finding.state, finding.text) == (OK, "PulseAudio answers")
        assert sound_system.serves(finding)
        # It may be named by the environment, too.
        named = dataclasses.replace(linux, pulse_server=f"unix:{runtime_dir}/pulse/native")
        assert sound_system.check_server(named, None).text == "PulseAudio answers"


@pytest.mark.parametrize(
    ("sockets", "package"),
    [
        (["pulse/native"], "libasound2-plugins"),
        (["pulse/native", "pipewire-0"], "pipewire-alsa"),
    ],
)
def test_a_sound_server_that_portaudio_does_not_reach(linux, runtime_dir, sockets, package):
    around = dataclasses.replace(linux, runtime_dir=runtime_dir)
    servers = [listen_at(runtime_dir / each) for each in sockets]
    finding = sound_system.check_server(around, [microphone("USB Audio (hw:1,0)")])
    for server in servers:
        server.close()
    assert finding.state is WARNING
    assert package in finding.remedy


def test_a_sound_server_that_is_gone(linux, runtime_dir):
    listen_at(runtime_dir / "pulse" / "native").close()
    around = dataclasses.replace(linux, runtime_dir=runtime_dir)
    finding = sound_system.check_server(around, [])
    assert finding.state is WARNING
    assert "does not answer" in finding.text
    assert not sound_system.serves(finding)


def test_a_sound_server_on_the_network_is_not_asked(linux):
    around = dataclasses.replace(linux, pulse_server="tcp:music.example.org:4713")
    finding = sound_system.check_server(around, [])
    assert finding.state is SKIPPED
    assert "example" not in finding.text


def test_no_default_among_the_devices_is_a_warning():
    finding = sound_system.check_devices([microphone("USB mic", default=False)], Privacy())
    assert finding.state is WARNING
    assert "--device" in finding.remedy


def test_a_device_is_found_as_the_microphone_finds_it():
    devices = [microphone("Webcam", default=False), microphone("USB mic", index=1)]
    choices = [(None, "USB mic"), (0, "Webcam"), ("usb", "USB mic"), ("m", None), (5, None)]
    for choice, name in choices:
        found = live.chosen_device(devices, choice)
        assert (found and found.name) == name


# Golden vectors


@pytest.fixture(scope="module", params=["commands", "commands-tiny"])
def shipped(request):
    if request.param not in shipped_models():
        pytest.skip(f"no model {request.param} ships")
    return load_model(request.param)


@pytest.fixture(scope="module")
def recording():
    return demo_recording(RATE)


def test_each_shipped_model_has_golden_vectors_of_its_own(shipped, recording):
    """Whoever makes a model or the demo recording anew runs tests/make_golden.py."""
    stored, made = golden_of(shipped), Golden.of(shipped, recording)
    assert stored is not None
    assert stored.model_sha256 == made.model_sha256
    assert stored.recording_sha256 == made.recording_sha256
    assert stored.detector == made.detector
    assert stored.words == made.words
    np.testing.assert_allclose(stored.features, made.features, atol=1)
    assert np.mean(stored.features == made.features) >= 0.999
    np.testing.assert_allclose(stored.logits.astype(int), made.logits.astype(int), atol=3)
    assert len(set(stored.words)) >= 12


def test_golden_files_are_small():
    folder = Path(golden.__file__).parents[3] / "models" / "golden"
    sizes = {path.stem: path.stat().st_size for path in folder.iterdir()}
    assert set(sizes) == set(shipped_models())
    assert max(sizes.values()) < 32_000


def test_this_machine_agrees_with_them(shipped):
    findings = model_check.check_golden(shipped)
    assert [finding.check for finding in findings] == [
        *("model.front_end", "model.network", "model.words")
    ]
    assert {finding.state for finding in findings} == {OK}


def test_the_reference_kernels_are_within_the_tolerance(shipped, recording):
    pytest.importorskip("tflite_micro", reason="needs the wheel of TensorFlow Lite Micro")
    from harken.export.tflm import TflmRuntime

    found = compare(shipped, golden_of(shipped), recording, runtime=TflmRuntime(shipped))
    assert 0 < found.logits_apart <= 3  # another arithmetic, and well all the same
    assert found.network_is_well
    assert found.words == found.expected


class Forgetful(TfliteRuntime):
    """Loses its state at each step, as some builds for microcontrollers do."""

    def invoke(self, features):
        self.reset()
        return super().invoke(features)


def test_an_interpreter_that_loses_its_state_is_found_out(shipped, recording):
    found = compare(shipped, golden_of(shipped), recording, runtime=Forgetful(shipped))
    assert found.features_equal == 1
    assert found.logits_apart > 100
    states = {finding.check: finding.state for finding in model_check.judge(found)}
    assert states["model.front_end"] is OK
    assert states["model.network"] is PROBLEM
    assert states["model.words"] is PROBLEM


def tampered(monkeypatch, **changes):
    """Let doctor compare with golden vectors that are somewhat different."""
    model = load_model("commands")
    changed = dataclasses.replace(golden_of(model), **changes)
    monkeypatch.setattr(model_check, "golden_of", lambda model: changed)
    return {finding.check: finding for finding in model_check.check_golden(model)}


def moved(values, by, share=1.0):
    """Move some int8 values, within their bounds."""
    values = values.astype(int)
    some = np.zeros(values.size, bool)
    some[: max(1, round(share * values.size))] = True
    away = np.where(values > 0, -by, by)
    return np.where(some.reshape(values.shape), values + away, values).astype(np.int8)


@pytest.mark.parametrize(
    ("by", "share", "state"),
    [(1, 0.0005, OK), (1, 0.002, PROBLEM), (2, 0.0, PROBLEM)],
)
def test_features_may_be_one_off_now_and_then(monkeypatch, by, share, state):
    features = moved(golden_of(load_model("commands")).features, by, share)
    checks = tampered(monkeypatch, features=features)
    assert checks["model.front_end"].state is state
    assert checks["model.front_end"].figures["apart"] == by
    assert f"off by up to {by}" in checks["model.front_end"].text


@pytest.mark.parametrize(("by", "state"), [(3, OK), (4, PROBLEM)])
def test_logits_may_be_three_off(monkeypatch, by, state):
    checks = tampered(monkeypatch, logits=moved(golden_of(load_model("commands")).logits, by))
    finding = checks["model.network"]
    assert (finding.state, finding.kind) == (state, ModelError)
    assert f"off by up to {by}" in finding.text


def test_words_must_be_the_same_in_the_same_order(monkeypatch):
    stored = golden_of(load_model("commands"))
    checks = tampered(monkeypatch, words=stored.words[::-1])
    assert checks["model.words"].state is PROBLEM
    assert "instead of" in checks["model.words"].text


def test_a_golden_mismatch_is_a_problem_of_the_model(monkeypatch, interpreter):
    stored = golden_of(load_model("commands"))
    wrong = dataclasses.replace(stored, logits=moved(stored.logits, 9))
    monkeypatch.setattr(model_check, "golden_of", lambda model: wrong)
    code, checks = examine("--no-microphone", model="commands")
    assert code == MODEL_ERROR
    assert checks["model.network"]["exit_code"] == MODEL_ERROR
    assert checks["model.network"]["figures"]["apart"] == 9
    assert "open an issue" in checks["model.network"]["remedy"]


def test_another_recording_is_not_compared(recording):
    model = load_model("commands")
    with pytest.raises(ModelError, match="the demo recording does not belong to"):
        compare(model, golden_of(model), recording + 1)


def test_features_of_another_shape_are_not_compared(recording):
    model = load_model("commands")
    stored = golden_of(model)
    cut = dataclasses.replace(stored, features=stored.features[1:])
    with pytest.raises(ModelError, match="features have the shape"):
        compare(model, cut, recording)


def test_a_manifest_with_another_front_end_is_found_out(tmp_path):
    """The file of the model is the golden one, but it is fed with something else."""
    manifest = json.loads(shipped_models()["commands"].read_text())
    manifest["front_end"]["amin"] = 1e-5
    (tmp_path / "mine.json").write_text(json.dumps(manifest))
    shutil.copy(load_model("commands").path, tmp_path / "commands.tflite")
    findings = {
        each.check: each for each in model_check.check_golden(load_model(tmp_path / "mine.json"))
    }
    assert findings["model.front_end"].state is PROBLEM
    assert findings["model.network"].state is OK


def test_a_copy_with_other_thresholds_is_compared_as_well(tmp_path):
    manifest = json.loads(shipped_models()["commands"].read_text())
    manifest["name"] = "mine"
    manifest["detector"]["thresholds"] = dict.fromkeys(manifest["detector"]["thresholds"], 1.0)
    (tmp_path / "mine.json").write_text(json.dumps(manifest))
    shutil.copy(load_model("commands").path, tmp_path / "commands.tflite")
    model = load_model(tmp_path / "mine.json")
    assert not Spotter(model).feed(demo_recording(RATE))
    assert {finding.state for finding in model_check.check_golden(model)} == {OK}


def test_golden_vectors_come_back_as_they_were_saved(tmp_path, tones_model):
    made = Golden.of(tones_model, tones.stream("low", "high"))
    made.save(tmp_path / "tones.npz")
    read = Golden.load(tmp_path / "tones.npz")
    assert made.words == ("low", "high")
    for name in Golden.__slots__:
        np.testing.assert_equal(getattr(read, name), getattr(made, name))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        np.lib.format.magic(1, 0),
        pytest.param(None, id="cut off"),
        pytest.param(slice(4000, 4100), id="changed"),
    ],
)
def test_damaged_golden_data(monkeypatch, tmp_path, content):
    whole = golden.packaged("harken.models", "golden", suffix=".npz")["commands"].read_bytes()
    if content is None:
        content = whole[:-2000]
    elif isinstance(content, slice):
        content = whole[: content.start] + bytes(100) + whole[content.stop :]
    path = tmp_path / "commands.npz"
    path.write_bytes(content)
    monkeypatch.setattr(golden, "packaged", lambda *_, **__: {"commands": path})
    with pytest.raises(ModelError, match=r"commands\.npz is damaged.*pip install"):
        golden_of(load_model("commands"))


def test_missing_golden_data(monkeypatch, tones_model):
    def missing(*_, **__):
        raise FileNotFoundError("golden")

    monkeypatch.setattr(golden, "packaged", missing)
    with pytest.raises(ModelError, match=r"is missing.*pip install"):
        golden_of(tones_model)


# Streaming and speed


def test_a_model_of_ones_own_has_no_golden_vectors(tones_model):
    [finding] = model_check.check_golden(tones_model)
    assert finding.state is SKIPPED
    assert "is not shipped" in finding.text
    assert model_check.check_stream(tones_model).state is OK


class Moody(TfliteRuntime):
    """Answers something else each time."""

    calls = 0

    def invoke(self, features):
        self.calls += 1
        return np.roll(super().invoke(features), self.calls // 3)


def test_a_stream_that_is_not_repeatable(tones_model):
    finding = model_check.check_stream(tones_model, runtime=Moody(tones_model))
    assert (finding.state, finding.kind) == (PROBLEM, ModelError)
    assert "the second run gives different results" in finding.text


def test_a_stream_that_depends_on_its_chunks(monkeypatch, tones_model):
    feed = model_check.FrontEnd.feed

    def forgets(self, samples):
        self.reset()
        return feed(self, samples)

    monkeypatch.setattr(model_check.FrontEnd, "feed", forgets)
    finding = model_check.check_stream(tones_model)
    assert finding.figures["wrong"] == ["results depend on the chunk size"]


def test_a_stream_of_what_is_no_posterior(monkeypatch, tones_model):
    posteriors = model_check.Engine.posteriors
    for factor, complaint in [(2, "do not sum to one"), (np.nan, "are not numbers")]:
        monkeypatch.setattr(
            model_check.Engine, "posteriors", lambda *each, by=factor: by * posteriors(*each)
        )
        finding = model_check.check_stream(tones_model)
        assert finding.state is PROBLEM
        assert complaint in finding.text


def test_speed_is_measured_on_this_machine(tones_model):
    finding = model_check.check_speed(tones_model)
    assert 0 < finding.figures["real_time_factor"] < 5


@pytest.mark.parametrize(
    ("factor", "clock", "state", "words"),
    [
        (0.01, 0.02, OK, ""),
        (0.5, 0.5, OK, ""),
        (0.51, 0.6, WARNING, "commands-tiny"),
        (0.1, 0.9, WARNING, "stop programs that keep this computer busy"),
    ],
)
def test_advice_for_slow_machines(factor, clock, state, words):
    finding = model_check.judge_speed(factor, clock)
    assert finding.state is state
    assert words in (finding.remedy or "")


# Level: what is measured


def noise(seconds=3.0, dbfs=-60.0, seed=0):
    """White noise, (n,) float, full scale is 1."""
    size = round(seconds * RATE)
    return 10 ** (dbfs / 20) * np.random.default_rng(seed).normal(size=size)


def spoken(dbfs=-20.0, noise_dbfs=-60.0):
    """Noise, in it half a second of something as loud as a word."""
    sound = noise(dbfs=noise_dbfs)
    sound[RATE : RATE * 3 // 2] += noise(0.5, dbfs, seed=1)
    return sound


def measured(sound):
    return level.measure(tones.to_int16(sound), RATE)


def judged(sound, **options):
    return {
        finding.check.partition(".")[2]: finding
        for finding in level.judge(measured(sound), **options)
    }


def test_levels_are_those_that_the_sound_was_made_with():
    found = measured(spoken(dbfs=-20, noise_dbfs=-60))
    assert found.noise_dbfs == pytest.approx(-60, abs=1)
    assert found.speech_dbfs == pytest.approx(-20, abs=1)
    assert found.contrast_db == pytest.approx(40, abs=2)
    assert found.seconds == 3
    assert (found.clipped, found.gaps) == (0, 0)


def test_the_peak_of_full_scale_is_zero():
    sound = noise()
    sound[5] = -1
    found = measured(sound)
    assert found.peak_dbfs == 0
    assert found.clipped == 1


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_hum_is_told_from_noise_by_its_frequency(mains_hz):
    time = np.arange(3 * RATE) / RATE
    hum = sum(np.sin(2 * np.pi * mains_hz * n * time) / n for n in (1, 2, 3))
    hum *= 10 ** (-40 / 20) / np.sqrt(np.mean(hum**2))
    found = measured(spoken(noise_dbfs=-55) + hum)
    assert found.hum_hz == mains_hz
    assert found.hum_share == pytest.approx(1 / (1 + 10**-1.5), abs=0.02)
    assert found.hum_dbfs == pytest.approx(-40, abs=0.5)


def test_noise_is_no_hum():
    spectrum = np.fft.rfft(noise())
    frequencies = np.maximum(np.fft.rfftfreq(3 * RATE, 1 / RATE), 1)
    for exponent in (0, 0.5, 1):  # white, pink, brown
        colored = np.fft.irfft(spectrum / frequencies**exponent)
        assert measured(0.01 * colored / colored.std()).hum_share < 0.2


def test_an_offset_changes_no_level():
    plain, moved_ = measured(spoken()), measured(spoken() + 0.1)
    assert moved_.offset == pytest.approx(0.1, abs=0.001)
    assert moved_.speech_dbfs == pytest.approx(plain.speech_dbfs, abs=0.1)
    assert moved_.noise_dbfs == pytest.approx(plain.noise_dbfs, abs=0.1)
    assert moved_.hum_share == pytest.approx(plain.hum_share, abs=0.01)


def test_gaps_are_counted_and_flat_tops_are_none():
    sound = spoken()
    sound[1000:1160] = sound[1000]  # 10 ms
    sound[5000:5070] = sound[5000]  # 4 ms: may be chance
    sound[9000:9400] = 1.0  # 25 ms, clipped
    found = measured(sound)
    assert (found.gaps, found.gaps_s) == (1, pytest.approx(0.01, abs=0.001))
    assert found.clipped >= 400


def test_too_little_sound_cannot_be_judged():
    with pytest.raises(AudioError, match=r"only 0\.25 s of audio arrived"):
        measured(noise(0.25))


# Level: what is said about it


def test_good_sound_gets_no_advice():
    findings = judged(spoken())
    assert set(findings) == {"level", "noise", "hum", "offset", "gaps"}
    assert {finding.state for finding in findings.values()} == {OK}
    assert all(finding.remedy is None for finding in findings.values())


def test_silence_is_a_problem_and_all_there_is_to_say():
    findings = judged(np.zeros(RATE))
    assert set(findings) == {"level"}
    assert (findings["level"].state, findings["level"].kind) == (PROBLEM, AudioError)


@pytest.mark.parametrize(
    ("sound", "check", "text", "remedy"),
    [
        (spoken(-60, -85), "level", "too quiet", "raise the input level in the mixer"),
        (3 * spoken(-6), "level", "too loud", "lower the input level in the mixer"),
        (spoken(-40, -48), "noise", "by 9 dB", "come closer"),
        (noise(), "noise", "nobody spoke", "run it again"),
        (spoken(noise_dbfs=-80) + 0.06, "offset", "of full scale", "clip sooner"),
    ],
)
def test_advice_names_figure_and_remedy(sound, check, text, remedy):
    findings = judged(sound, mixer="the mixer")
    assert [name for name, each in findings.items() if each.state is WARNING] == [check]
    assert text in findings[check].text
    assert remedy in findings[check].remedy


def test_hum_matters_from_a_level_on():
    time = np.arange(3 * RATE) / RATE
    for dbfs, state in [(-70, OK), (-40, WARNING)]:
        hum = np.sqrt(2) * 10 ** (dbfs / 20) * np.sin(2 * np.pi * 50 * time)
        finding = judged(spoken(noise_dbfs=-80) + hum)["hum"]
        assert finding.state is state
        assert "50 Hz" in finding.text


def test_gaps_and_lost_sound_get_advice():
    sound = spoken()
    assert judged(sound, lost_s=0.2)["gaps"].text == "0.20 s of audio were dropped"
    sound[1000:1160] = 0.01
    assert "1 gap (10 ms)" in judged(sound)["gaps"].text
    sound[:RATE] = 0
    gated = judged(sound)["gaps"]
    assert "exactly zero" in gated.text
    assert "noise suppression" in gated.remedy


def test_the_limits_are_where_the_shipped_models_still_hear(shipped, recording):
    """Each sound lies at its limit, on the side that gets no warning."""
    sound = recording / 32768
    found = measured(sound)
    softest = sound * 10 ** ((level.QUIET_DBFS - found.speech_dbfs) / 20)
    time = np.arange(len(sound)) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * n * time) / n for n in range(1, 8))
    hum *= 10 ** (level.HUM_DBFS / 20) / np.sqrt(np.mean(hum**2))
    heard = {"as it is": sound, "soft": softest, "hum": sound + hum}
    heard["offset"] = np.clip(sound + level.MOST_OFFSET, -1, 1)
    heard["loud"] = sound * 10 ** (9 / 20)
    assert 0 < measured(heard["loud"]).clipped_share <= level.MOST_CLIPPED
    white = np.random.default_rng(0).normal(size=len(sound))
    heard["noise"] = sound + 10 ** ((found.speech_dbfs - level.CLEAR_DB) / 20) * white
    for case, samples in heard.items():
        words = {event.word for event in Spotter(shipped).feed(tones.to_int16(samples))}
        assert len(words & set(golden_of(shipped).words)) >= 12, case


# Channels


@pytest.mark.parametrize(
    ("peaks", "state", "alive"),
    [
        ([0.1, 0.2], OK, [1, 2]),
        ([0.0, 0.2], WARNING, [2]),
        ([0.2, 0.0001, 0.1], WARNING, [1, 3]),
        ([0.0, 0.0], OK, []),  # silent altogether, as the level says
    ],
)
def test_channels_that_are_dead(peaks, state, alive):
    finding = level.judge_channels(peaks)
    assert finding.state is state
    assert finding.figures["alive"] == alive
    if state is WARNING:
        assert f"--channel {alive[0]}" in finding.remedy


def test_a_microphone_that_delivers_far_too_slowly(monkeypatch):
    blocks = iter(tones.stream("low").reshape(-1, 100))
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))

    class Slow:
        description = "slow"

        def __iter__(self):
            return (live_block(block) for block in blocks)

    with pytest.raises(AudioError, match=r"in 12 s only 0\.0 s of audio arrived.*--device"):
        live.record(Slow(), None, rate_hz=RATE, seconds=2.0, ask=lambda: None)


def live_block(samples):
    from harken.edge.sound.sources import Block

    return Block(samples=samples, arrived_at=0.0)
