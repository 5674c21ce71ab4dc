"""Whatever is wrong with what harken is given: one line that says what to do, and an exit code."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
import soundfile
import tones
from command import Terminal, harken
from conftest import DATA
from fake_sounddevice import Device, FakeSounddevice, remove_portaudio

MODEL = DATA / "tones.tflite"
WORDS = ["low", "high"]

MODEL_ERROR = 3
AUDIO_ERROR = 4


def assert_refused(outcome, exit_code, *facts):
    assert outcome.exit_code == exit_code
    for fact in facts:
        assert fact in outcome.error
    assert outcome.out == ""


# Models. Every command reads them in the same way; `info` needs no interpreter, `listen` has one.


@pytest.fixture(params=["info", "listen", "bench"])
def use(request, tmp_path):
    """Give a model to a command that reads one."""
    soundfile.write(tmp_path / "quiet.wav", np.zeros(1600), tones.RATE)
    options = ["--wav", tmp_path / "quiet.wav"] if request.param == "listen" else []
    return lambda model: harken(request.param, model, *options)


def replace_model(folder, content):
    """Put other bytes in the model's place, with a manifest that vouches for them."""
    (folder / "tones.tflite").write_bytes(content)
    manifest = json.loads((folder / "tones.json").read_text())
    manifest["model"]["bytes"] = len(content)
    manifest["model"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "tones.json").write_text(json.dumps(manifest))
    return folder / "tones.tflite"


def test_a_model_that_is_missing(use, tmp_path):
    assert_refused(use(tmp_path / "gone.tflite"), MODEL_ERROR, "gone.tflite does not exist")


def test_a_name_that_no_model_has(use):
    assert_refused(use("comands"), MODEL_ERROR, "comands is no model", "a shipped model")


def test_a_folder_in_a_models_place(use, tones_folder):
    assert_refused(use(tones_folder), MODEL_ERROR, "is a folder", "the path of a .tflite file")


def test_a_model_without_its_manifest(use, tones_folder):
    (tones_folder / "tones.json").unlink()
    assert_refused(use(tones_folder / "tones.tflite"), MODEL_ERROR, "tones.json is missing")


def test_a_manifest_without_its_model(use, tones_folder):
    (tones_folder / "tones.tflite").unlink()
    assert_refused(use(tones_folder / "tones.json"), MODEL_ERROR, "tones.tflite does not exist")


def test_a_model_that_was_cut_short(use, tones_folder):
    path = tones_folder / "tones.tflite"
    path.write_bytes(path.read_bytes()[:3000])
    assert_refused(use(path), MODEL_ERROR, "tones.tflite", "3000 bytes", "cut short")


def test_a_model_that_was_changed(use, tones_folder):
    path = tones_folder / "tones.tflite"
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    assert_refused(use(path), MODEL_ERROR, "model.sha256", "copy model and manifest again")


def test_a_model_that_was_cut_short_before_its_manifest_was_made(use, tones_folder):
    path = replace_model(tones_folder, MODEL.read_bytes()[:3000])
    assert_refused(use(path), MODEL_ERROR, "tones.tflite", "structure is damaged")


def test_a_model_that_is_no_tflite_file(use, tones_folder):
    path = replace_model(tones_folder, b"PK\3\4 something else altogether")
    assert_refused(use(path), MODEL_ERROR, "tones.tflite: not a TFLite model")


def test_a_model_that_is_empty(use, tones_folder):
    path = tones_folder / "tones.tflite"
    path.write_bytes(b"")
    assert_refused(use(path), MODEL_ERROR, "tones.tflite", "has 0 bytes")


def test_a_float_model(use, tones_folder):
    path = replace_model(tones_folder, (DATA / "tones_float.tflite").read_bytes())
    assert_refused(use(path), MODEL_ERROR, "float32", "int8", "harken export")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("input.scale", 0.5, "input.scale is 0.5, but in the model it is 0.0247"),
        ("input.zero_point", 1, "input.zero_point is 1, but in the model it is -8"),
        ("output.scale", 0.5, "output.scale is 0.5, but in the model"),
        ("output.zero_point", 1, "output.zero_point is 1, but in the model"),
        ("state.lstm_units", [16], "state.lstm_units is [16], but in the model it is [8]"),
        ("state.cell_clip", 1.0, "state.cell_clip is 1.0, but in the model it is 10.0"),
        ("step.context_frames", 4, "input.shape is [1, 1, 30]; it must be [1, 1, 40]"),
        ("labels", ["low", "unknown", "silence"], "output.shape is [1, 4]; it must be [1, 3]"),
    ],
)
def test_a_manifest_that_is_at_odds_with_its_model(use, edit_manifest, field, value, said):
    assert_refused(use(edit_manifest({field: value})), MODEL_ERROR, said)


def test_a_manifest_that_lacks_a_field(use, edit_manifest):
    path = edit_manifest(remove="front_end.hop_samples")
    assert_refused(use(path), MODEL_ERROR, "tones.json: front_end.hop_samples is missing")


def test_a_manifest_of_a_newer_version(use, edit_manifest):
    path = edit_manifest({"harken_manifest": 5})
    assert_refused(use(path), MODEL_ERROR, "harken_manifest is 5", "pip install --upgrade harken")


def test_a_manifest_that_is_no_json(use, tones_folder):
    (tones_folder / "tones.json").write_text("{")
    assert_refused(use(tones_folder / "tones.json"), MODEL_ERROR, "tones.json: not valid JSON")


# Sound files


@pytest.fixture
def listen_to(tmp_path):
    """Write a file by this content, samples or bytes, and listen to it."""

    def listen(content, name="a.wav", **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            options = {"samplerate": tones.RATE, **options}
            soundfile.write(path, content, **options)
        return harken("listen", MODEL, "--wav", path, "--json")

    return listen


def words(text):
    return [json.loads(line)["word"] for line in text.splitlines()]


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_unusual_sample_formats_are_fine(listen_to, subtype):
    heard = listen_to(tones.stream(*WORDS) / 32768, subtype=subtype)
    assert (heard.exit_code, words(heard.out)) == (0, WORDS)


def test_eight_channels_at_192_khz_are_fine(listen_to):
    samples = np.repeat(tones.stream(*WORDS), 12)
    heard = listen_to(np.repeat(samples[:, None], 8, axis=1), samplerate=192_000)
    assert (heard.exit_code, words(heard.out)) == (0, WORDS)


def test_a_file_shorter_than_a_window_is_fine_and_says_nothing(listen_to):
    heard = listen_to(np.zeros(1))
    assert (heard.exit_code, heard.out) == (0, "")
    assert "0.00 s of sound, 0 words heard" in heard.err


def test_a_file_of_no_samples(listen_to):
    assert_refused(listen_to(np.zeros(0)), AUDIO_ERROR, "a.wav: holds no samples")


def wav_bytes(tmp_path):
    soundfile.write(tmp_path / "whole.wav", tones.stream("low"), tones.RATE)
    return (tmp_path / "whole.wav").read_bytes()


@pytest.mark.parametrize("length", [3, 12, 30, 40])
def test_a_header_that_was_cut_short(listen_to, tmp_path, length):
    assert_refused(
        listen_to(wav_bytes(tmp_path)[:length]), AUDIO_ERROR, "a.wav: is not a sound file"
    )


def test_a_header_with_nothing_after_it(listen_to, tmp_path):
    assert_refused(listen_to(wav_bytes(tmp_path)[:44]), AUDIO_ERROR, "a.wav: holds no samples")


def test_a_header_with_an_absurd_rate(listen_to, tmp_path):
    header = bytearray(wav_bytes(tmp_path))
    header[24:28] = (2_000_000_000).to_bytes(4, "little")
    assert_refused(listen_to(bytes(header)), AUDIO_ERROR, "2000000000 samples a second", "damaged")


def test_text_that_is_named_wav(listen_to):
    assert_refused(
        listen_to(b"yes no up down\n" * 100), AUDIO_ERROR, "a.wav: is not a sound file", "flac"
    )


def test_an_empty_file(listen_to):
    assert_refused(listen_to(b""), AUDIO_ERROR, "a.wav: is not a sound file")


def test_raw_samples_in_a_file(listen_to):
    assert_refused(
        listen_to(bytes(1000), name="a.raw"), AUDIO_ERROR, "harken listen --stdin < ", "a.raw"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_after_the_words_before_them(listen_to, value):
    samples = np.concatenate((tones.stream("low") / 32768, [value]))
    heard = listen_to(samples, subtype="FLOAT")
    assert heard.exit_code == AUDIO_ERROR
    assert words(heard.out) == ["low"]
    assert "1.60 s into the file there are samples that are no number" in heard.error


def test_a_flac_file_that_was_cut_off_after_the_words_before_that(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tones.stream("low", *["high"] * 10), tones.RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    heard = harken("listen", MODEL, "--wav", path, "--json")
    assert heard.exit_code == AUDIO_ERROR
    assert words(heard.out)[:2] == ["low", "high"]
    assert "a.flac: cannot be decoded any further than the first" in heard.error


def test_a_file_that_is_missing(tmp_path):
    heard = harken("listen", MODEL, "--wav", tmp_path / "gone.wav")
    assert_refused(heard, AUDIO_ERROR, "gone.wav: No such file or directory")


def test_a_folder_in_a_files_place(tmp_path):
    assert_refused(harken("listen", MODEL, "--wav", tmp_path), AUDIO_ERROR, "Is a directory")


# Standard input


def test_input_that_ends_in_the_middle_of_a_sample_after_the_words_before_it():
    data = tones.stream(*WORDS).tobytes() + b"\0"
    heard = harken("listen", MODEL, "--stdin", "--json", stdin=data)
    assert heard.exit_code == AUDIO_ERROR
    assert words(heard.out) == WORDS
    assert "2 words heard" in heard.err
    assert f"in the middle of a sample, after {len(data)} bytes" in heard.error


def test_input_that_never_begins():
    assert_refused(harken("listen", MODEL, "--stdin"), AUDIO_ERROR, "before the first sample")


def test_input_that_is_a_file_with_a_header(tmp_path):
    heard = harken("listen", MODEL, "--stdin", stdin=wav_bytes(tmp_path))
    assert_refused(heard, AUDIO_ERROR, "a WAV file", "harken listen --wav FILE")


@pytest.mark.parametrize(("stdin", "what"), [(Terminal(), "a terminal"), (None, "closed")])
def test_input_that_nobody_pipes(stdin, what):
    heard = harken("listen", MODEL, "--stdin", stdin=stdin)
    assert_refused(heard, AUDIO_ERROR, f"standard input is {what}", "arecord")


# The microphone


@pytest.mark.parametrize("command", ["listen", "devices"])
def test_no_portaudio_library(monkeypatch, command):
    remove_portaudio(monkeypatch)
    monkeypatch.setattr("sys.platform", "linux")
    model = [MODEL] if command == "listen" else []
    assert_refused(
        harken(command, *model), AUDIO_ERROR, "sudo apt-get install libportaudio2", "--wav FILE"
    )


@pytest.mark.parametrize("command", ["listen", "devices"])
def test_no_microphone(monkeypatch, command):
    FakeSounddevice([Device(name="Speaker", max_input_channels=0)]).install(monkeypatch)
    model = [MODEL] if command == "listen" else []
    assert_refused(harken(command, *model), AUDIO_ERROR, "no microphone", "--wav FILE")


@pytest.mark.parametrize("device", ["7", "Studio", "mic"])
def test_a_microphone_that_is_not_there_or_not_clear(monkeypatch, device):
    FakeSounddevice([Device(name="USB mic"), Device(name="Webcam mic")]).install(monkeypatch)
    heard = harken("listen", MODEL, "--device", device)
    assert_refused(heard, AUDIO_ERROR, f"--device {device}: ", "`harken devices` lists")


def test_a_microphone_that_cannot_be_opened(monkeypatch):
    FakeSounddevice([Device(name="Busy mic", accepts=())]).install(monkeypatch)
    heard = harken("listen", MODEL)
    assert_refused(heard, AUDIO_ERROR, '"Busy mic" cannot be opened', "another program")


# The interpreter


def test_an_interpreter_that_does_not_exist():
    heard = harken("bench", MODEL, "--runtime", "torch")
    assert_refused(heard, 6, "'torch'", "ai-edge-litert, tflite-runtime, tensorflow")


def test_a_copy_of_the_model_is_fine(tmp_path):
    """What the other tests damage is accepted as it is."""
    for name in ("tones.tflite", "tones.json"):
        shutil.copy(DATA / name, tmp_path)
    assert harken("info", tmp_path / "tones.tflite").exit_code == 0
