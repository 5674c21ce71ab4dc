"""One truth: a manifest is read strictly, and a model that is not what it says does not load."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
from pathlib import Path

import pytest
from conftest import DATA
from hybrids import drawn_model

import harken.edge.spotting.manifest
from harken.edge import FrontEndConfig, Manifest, ModelError, load_model
from harken.edge.errors import RunError
from harken.edge.files import write_atomic, write_together
from harken.edge.spotting.manifest import StateConfig


def refusal(path) -> str:
    """The one line with which a model is refused."""
    with pytest.raises(ModelError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 3
    return message


def fields_of(section: dict, prefix: str = "") -> list[str]:
    """The paths of all fields below `section` that the format prescribes."""
    free_form = ("thresholds", "checks", "operating_point", "provenance")
    paths = []
    for name, value in section.items():
        paths.append(prefix + name)
        if isinstance(value, dict) and name not in free_form:
            paths += fields_of(value, f"{prefix}{name}.")
    return paths


FIELDS = fields_of(json.loads((DATA / "tones.json").read_text()))


# A good manifest


def test_a_saved_manifest_is_read_back_as_it_was(tones_model, tmp_path):
    manifest = dataclasses.replace(
        tones_model.manifest,
        checks={"figures": [1, 2.5], "text": "[ left\n 1 ] as it is", "none": None},
        operating_point={"false_accepts_per_hour": 0.5},
    )
    manifest.save(tmp_path / "tones.json")
    assert Manifest.load(tmp_path / "tones.json") == manifest


def test_an_array_of_numbers_takes_one_line(tones_model):
    text = tones_model.manifest.to_json()
    assert re.search(r'"mean": \[-?\d+\.\d+(, -?\d+\.\d+){9}\],\n', text)


def test_what_is_not_json_cannot_be_saved(tones_model, tmp_path):
    manifest = dataclasses.replace(tones_model.manifest, checks={"drop": float("nan")})
    with pytest.raises(ModelError, match="tones cannot be JSON"):
        manifest.save(tmp_path / "tones.json")
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_of_version_1_knew_no_talk(tones_model):
    data = json.loads(tones_model.manifest.to_json())
    del data["detector"]["talk_penalty"]
    read = Manifest.from_json(json.dumps({**data, "harken_manifest": 1}))
    assert read == tones_model.manifest
    assert read.detector.talk_penalty == 0.0


def test_a_manifest_of_version_2_knew_no_context(tones_model):
    data = json.loads(tones_model.manifest.to_json())
    del data["detector"]["context_weight"], data["detector"]["context_limit"]
    read = Manifest.from_json(json.dumps({**data, "harken_manifest": 2}))
    assert read == tones_model.manifest


def test_a_manifest_of_version_3_knew_no_stem(tones_model):
    data = json.loads(tones_model.manifest.to_json())
    del data["state"]["svdf_units"], data["state"]["svdf_memory"]
    read = Manifest.from_json(json.dumps({**data, "harken_manifest": 3}))
    assert read == tones_model.manifest
    assert read.state.svdf_units == ()


def test_words_are_the_labels_but_the_last_two(tones_model):
    assert tones_model.manifest.words == ("low", "high")
    assert tones_model.manifest.labels == ("low", "high", "unknown", "silence")


# A manifest that is not what it should be


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(edit_manifest, field):
    message = refusal(edit_manifest(remove=field))
    assert message.startswith(f"tones.json: {field} is missing")


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_another_type_is_named_with_its_value(edit_manifest, field):
    wrong = 7 if field in ("name", "model.file", "model.sha256") else "seven"
    message = refusal(edit_manifest({field: wrong}))
    assert message.startswith(f"tones.json: {field} is {wrong!r}; it must be ")


@pytest.mark.parametrize(
    "section", ["", "model.", "front_end.", "step.", "input.", "state.", "detector.", "memory."]
)
def test_an_unknown_field_is_named_with_the_known_ones(edit_manifest, section):
    message = refusal(edit_manifest({f"{section}hop_sample": 320}))
    assert f"{section}hop_sample is not a known field; the fields here are " in message


@pytest.mark.parametrize(
    ("field", "value", "requirement"),
    [
        ("name", "../tones", "letters, digits"),
        ("model.file", "../tones.tflite", "without a folder"),
        ("model.file", "tones.bin", "ends in .tflite"),
        ("model.bytes", 0, "at least 1"),
        ("model.sha256", "A" * 64, "64 lower-case"),
        ("front_end.sample_rate_hz", 0, "at least 1"),
        ("front_end.sample_rate_hz", True, "a whole number"),
        ("front_end.window_samples", 511, "be even"),
        ("front_end.hop_samples", 0, "at least 1"),
        ("front_end.hop_samples", 320.5, "a whole number"),
        ("front_end.hop_samples", 513, "at most window_samples, 512"),
        ("front_end.n_mels", 0, "at least 1"),
        ("front_end.n_mfcc", 21, "at most n_mels, 20"),
        ("front_end.f_min_hz", -1.0, "at least 0"),
        ("front_end.f_max_hz", 50.0, "greater than f_min_hz"),
        ("front_end.f_max_hz", 8000.5, "at most half the sample rate, 8000"),
        ("front_end.amin", 0.0, "greater than 0"),
        ("step.stride_frames", 0, "at least 1"),
        ("step.context_frames", 1, "at least stride_frames, 2"),
        ("labels", ["low", "high", "silence", "unknown"], 'then "unknown", then "silence"'),
        ("labels", ["unknown", "silence"], "at least one word"),
        ("input.scale", 0.0, "greater than 0"),
        ("input.scale", 10**400, "finite"),
        ("input.zero_point", 128, "-128..127"),
        ("input.shape", [1, 1, 20], "[1, 1, 30]"),
        ("output.shape", [1, 5], "[1, 4]"),
        ("state.svdf_memory", [5], "hold one number for each of the 0 svdf_units"),
        ("state.lstm_units", [], "not be empty"),
        ("state.cell_clip", 0.0, "greater than 0"),
        ("detector.smoothing_steps", 0, "at least 1"),
        ("detector.refractory_ms", -1, "at least 0"),
        ("detector.talk_penalty", -0.5, "at least 0 and at most 30"),
        ("detector.talk_penalty", 31, "at least 0 and at most 30"),
        ("detector.context_weight", -1, "at least 0 and at most 10"),
        ("detector.context_limit", 31, "at least 0 and at most 30"),
        ("detector.thresholds.low", 1.5, "greater than 0 and at most 1"),
        ("detector.thresholds.low", 0, "greater than 0 and at most 1"),
        ("memory.tflm_arena_bytes", 0, "at least 1, or null"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_would_be_right(
    edit_manifest, field, value, requirement
):
    message = refusal(edit_manifest({field: value}))
    assert message.startswith(f"tones.json: {field} is ")
    assert requirement in message


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"labels": ["low", "low", "unknown", "silence"]}, "labels[1] is 'low'; it must not occur"),
        ({"labels": ["low", " ", "unknown", "silence"]}, "labels[1] is ' '; it must not be empty"),
        ({"labels": ["low", 2, "unknown", "silence"]}, "labels[1] is 2; it must be a text"),
        ({"front_end.mean": [0.0] * 9}, "the length of front_end.mean is 9; it must be n_mfcc, 10"),
        ({"front_end.std": [1.0] * 9 + [0.0]}, "front_end.std[9] is 0.0; it must be greater"),
        ({"front_end.mean": [None] * 10}, "front_end.mean[0] is None; it must be a number"),
        ({"detector.thresholds": {"low": 0.5}}, "detector.thresholds.high is missing"),
        ({"detector.thresholds.on": 0.5}, "detector.thresholds.on is for no word of this model"),
        ({"detector.thresholds.unknown": 0.5}, "detector.thresholds.unknown is for no word"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_named(edit_manifest, changes, complaint):
    assert complaint in refusal(edit_manifest(changes))


def test_a_newer_manifest_asks_for_an_upgrade(edit_manifest):
    message = refusal(edit_manifest({"harken_manifest": 5, "invented_later": 1}))
    assert "harken_manifest is 5, but this harken reads up to 4" in message
    assert "pip install --upgrade harken" in message


def test_a_manifest_of_version_0_never_was(edit_manifest):
    assert "harken_manifest is 0; it must be 4" in refusal(edit_manifest({"harken_manifest": 0}))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "the manifest is []; it must be a JSON object"),
        (b"\xff{}", "is not UTF-8"),
        (b"\xff\xfe{}", "not valid JSON"),  # UTF-16, which is read
        (b"[" * 100_000, "not valid JSON"),
        (b'{"harken_manifest": NaN}', "JSON knows no NaN"),
        (b'{"name": "a", "name": "b"}', "name occurs twice"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tones_folder, content, complaint):
    path = tones_folder / "tones.json"
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith("tones.json")
    assert complaint in message


def test_front_end_parameters_are_checked_in_code_as_in_files():
    with pytest.raises(ModelError, match=re.escape("front_end.hop_samples is 0; it must be")):
        FrontEndConfig(hop_samples=0)


# Loading


@pytest.mark.parametrize("name", ["tones.tflite", "tones.json"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_is_loaded_by_either_of_its_files(tones_folder, name, kind):
    model = load_model(kind(tones_folder / name))
    assert model.path == tones_folder / "tones.tflite"
    assert model.content == model.path.read_bytes()
    assert model.manifest.name == "tones"


def test_a_shipped_model_is_loaded_by_its_name(tones_folder, monkeypatch):
    shipped = {"tones": tones_folder / "tones.json"}
    monkeypatch.setattr(harken.edge.spotting.manifest, "shipped_models", lambda: shipped)
    assert load_model("tones").path == tones_folder / "tones.tflite"
    assert "a shipped model (tones)" in refusal("tnoes")
    assert "a shipped model (tones)" in refusal("tnoes.tflite")


def test_every_shipped_model_loads():
    shipped = harken.edge.spotting.manifest.shipped_models()
    if not shipped:
        pytest.skip("no model ships")
    for name in shipped:
        assert load_model(name).manifest.name == name


def test_a_missing_model_is_named(tones_folder):
    (tones_folder / "tones.tflite").unlink()
    for name in ("tones.tflite", "tones.json"):
        message = refusal(tones_folder / name)
        assert message.startswith(f"model {tones_folder / 'tones.tflite'} does not exist")


def test_a_missing_manifest_is_named(tones_folder):
    (tones_folder / "tones.json").unlink()
    assert "tones.json is missing beside it" in refusal(tones_folder / "tones.tflite")
    assert "tones.json does not exist" in refusal(tones_folder / "tones.json")


def test_a_folder_is_no_model(tones_folder):
    assert f"{tones_folder} is a folder; give the path" in refusal(tones_folder)


def test_a_folder_named_like_a_model_is_no_model(tmp_path):
    (tmp_path / "a.tflite").mkdir()
    assert "cannot read model" in refusal(tmp_path / "a.tflite")


def test_a_renamed_model_is_refused(tones_folder):
    (tones_folder / "tones.tflite").rename(tones_folder / "other.tflite")
    (tones_folder / "tones.json").rename(tones_folder / "other.json")
    message = refusal(tones_folder / "other.tflite")
    assert "model.file is 'tones.tflite', so this is not the manifest of other.tflite" in message


# Damage. The interpreter may crash on a damaged file, so none may get that far.


def test_a_truncated_model_is_refused(tones_folder):
    path = tones_folder / "tones.tflite"
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        message = refusal(path)
        assert f"the file has {length} bytes, but model.bytes in the manifest is 5064" in message
        assert "cut short" in message


def test_a_changed_byte_is_noticed(tones_folder):
    path = tones_folder / "tones.tflite"
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    message = refusal(path)
    assert "model.sha256" in message
    assert "changed or damaged" in message


def test_another_kind_of_file_is_refused(tones_folder):
    path = tones_folder / "tones.tflite"
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    assert "tones.tflite: not a TFLite model" in refusal(path)


def replace_model(folder: Path, edit_manifest, content: bytes) -> Path:
    """Put other content in the place of the model, with a manifest that vouches for it."""
    (folder / "tones.tflite").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return edit_manifest({"model.bytes": len(content), "model.sha256": sha256})


@pytest.mark.parametrize("seed", range(20))
def test_garbage_is_refused_though_the_manifest_vouches_for_it(tones_folder, edit_manifest, seed):
    garbage = b"\x1c\0\0\0TFL3" + hashlib.shake_128(bytes([seed])).digest(4000)
    path = replace_model(tones_folder, edit_manifest, garbage)
    assert "tones.tflite: " in refusal(path)


@pytest.mark.parametrize("length", [8, 12, 32, 500, 2000, 4000])
def test_a_stump_is_refused_though_the_manifest_vouches_for_it(tones_folder, edit_manifest, length):
    stump = (tones_folder / "tones.tflite").read_bytes()[:length]
    path = replace_model(tones_folder, edit_manifest, stump)
    assert "tones.tflite: not a TFLite model that can be read" in refusal(path)


def test_zeros_are_refused_though_the_manifest_vouches_for_them(tones_folder, edit_manifest):
    path = replace_model(tones_folder, edit_manifest, bytes(5064))
    assert "not a TFLite model" in refusal(path)


def test_a_float_model_is_refused(tones_folder, edit_manifest):
    content = (DATA / "tones_float.tflite").read_bytes()
    path = replace_model(tones_folder, edit_manifest, content)
    assert "input: the model's input is float32; harken runs models that are int8" in refusal(path)


# A manifest at odds with the tensors of its model


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("input.shape", {"step.context_frames": 2, "input.shape": [1, 1, 20]}),
        ("input.scale", {"input.scale": 0.0247}),
        ("input.zero_point", {"input.zero_point": 8}),
        (
            "output.shape",
            {
                "labels": ["low", "high", "higher", "unknown", "silence"],
                "output.shape": [1, 5],
                "detector.thresholds.higher": 0.5,
            },
        ),
        ("output.scale", {"output.scale": 1.0}),
        ("output.zero_point", {"output.zero_point": 0}),
        ("state.svdf_units", {"state.svdf_units": [8], "state.svdf_memory": [5]}),
        ("state.lstm_units", {"state.lstm_units": [64]}),
        ("state.lstm_units", {"state.lstm_units": [8, 8]}),
        ("state.cell_clip", {"state.cell_clip": 9.0}),
    ],
)
def test_a_manifest_at_odds_with_its_model_is_refused(edit_manifest, field, changes):
    message = refusal(edit_manifest(changes))
    assert f"tones.tflite: the manifest says that {field} is " in message
    assert "but in the model it is " in message


# Writing


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device; free some space") as caught:
        write_atomic(path, "new", error=RunError)
    assert str(path) in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "old"


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "model.tflite", b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ModelError, match="create the folder first"):
        write_atomic(tmp_path / "none" / "a.json", "{}", error=ModelError)


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    write_atomic(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_text_is_written_as_utf_8_with_its_line_ends(tmp_path):
    write_atomic(tmp_path / "text", "µs\n")
    assert (tmp_path / "text").read_bytes() == b"\xc2\xb5s\n"


def test_files_that_belong_together_are_written_and_replaced(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    write_together({tmp_path / "a": b"new", tmp_path / "folder" / "b": b"too"})
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "folder" / "b").read_bytes() == b"too"
    assert len(list(tmp_path.rglob("*"))) == 3


def test_a_full_disk_leaves_all_of_them_as_they_were(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    calls = 0

    def full_at_the_second(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_at_the_second)
    with pytest.raises(RunError, match=r"cannot write .*b: No space left on device; free some"):
        write_together({tmp_path / "a": b"new", tmp_path / "b": b"too"}, error=RunError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("field", "value"), [("svdf_units", (24, 20)), ("svdf_memory", (3, 4)), ("lstm_units", (21,))]
)
def test_a_stem_at_odds_with_its_manifest_is_refused(field, value):
    model = drawn_model(((24, 3), (24, 5)), (20,))
    state = dataclasses.replace(model.manifest.state, **{field: value})
    manifest = dataclasses.replace(model.manifest, state=state)
    match = rf"drawn\.tflite: the manifest says that state\.{field} is .*, but in the model it is "
    with pytest.raises(ModelError, match=match):
        dataclasses.replace(model, manifest=manifest)


def test_what_is_kept_must_be_said_of_every_layer():
    with pytest.raises(ModelError, match=r"state\.svdf_memory\[1\] is 65; it must be in 1\.\.64"):
        StateConfig(svdf_units=(8, 8), svdf_memory=(3, 65), lstm_units=(4,), cell_clip=10.0)
    with pytest.raises(ModelError, match=r"state\.svdf_units\[0\] is 0; it must be at least 1"):
        StateConfig(svdf_units=(0,), svdf_memory=(3,), lstm_units=(4,), cell_clip=10.0)
