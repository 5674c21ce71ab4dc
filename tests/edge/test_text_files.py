"""Files that a person has edited: whatever their editor left in them, they are read."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
from command import harken
from conftest import DATA

from harken.edge.files import decode_text, utf8, write_atomic
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.memory.store import read
from harken.edge.spotting.manifest import load_model

GRAMMAR = '[words]\nstop = "stop"\n\n[commands.go]\nsay = "go"\n'

EDITORS = {
    "byte-order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "UTF-16, little endian": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "NULs at the end": lambda text: text.encode() + bytes(20),
    "spaces that do not break": lambda text: text.replace(" ", "\u00a0").encode(),
    "characters of no width": lambda text: text.replace("go", "go\u200b").encode(),
}


@pytest.mark.parametrize("editor", EDITORS.values(), ids=list(EDITORS))
def test_a_grammar_is_read_from_any_editor(editor, tmp_path):
    path = tmp_path / "go.toml"
    path.write_bytes(editor(GRAMMAR))
    checked = harken("grammar", "check", path, "--json")
    assert checked.exit_code == 0, checked.err
    assert json.loads(checked.out)["words"] == ["go", "stop"]


@pytest.mark.parametrize("editor", list(EDITORS.values())[:6], ids=list(EDITORS)[:6])
def test_json_is_read_from_any_editor(editor, tmp_path):
    (tmp_path / "tones.tflite").write_bytes((DATA / "tones.tflite").read_bytes())
    manifest = tmp_path / "tones.json"
    manifest.write_bytes(editor((DATA / "tones.json").read_text("utf-8")))
    assert load_model(manifest).manifest.words == ("low", "high")
    kept = tmp_path / "kept.json"
    kept.write_bytes(editor('{"harken_memory": 1, "learned": 2}\n'))
    assert read(kept) == {"learned": 2}


def test_what_is_no_text_is_still_refused(tmp_path):
    path = tmp_path / "go.toml"
    path.write_bytes(GRAMMAR.replace("go", "größe").encode("latin-1"))
    assert "it is not UTF-8 text" in harken("grammar", "check", path).error
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"\xff\xfe\x00")


def test_a_grammar_without_a_name_has_that_of_its_file(tmp_path):
    path = tmp_path / "my lamp.v2.toml"
    path.write_text(GRAMMAR)
    assert load_grammar(path).name == "my-lamp-v2"
    path.write_text(f'name = "lamp"\n{GRAMMAR}')
    assert load_grammar(path).name == "lamp"


def test_a_name_that_is_no_utf8_can_be_written_and_comes_back(tmp_path):
    name = "caf\udce9.wav"
    assert json.loads(utf8(json.dumps([name], ensure_ascii=False))) == [name]
    write_atomic(tmp_path / "report.json", json.dumps({"file": name}, ensure_ascii=False))
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == {"file": name}


def test_a_device_is_written_to_and_not_replaced():
    write_atomic("/dev/null", "text")
    assert Path("/dev/null").is_char_device()


def test_what_never_ends_is_no_memory_and_no_grammar(monkeypatch):
    monkeypatch.setattr("harken.edge.files._MOST_TEXT_BYTES", 1000)
    assert "File too large" in harken("grammar", "check", "/dev/zero").error
    shown = harken("memory", "show", "robot", "--memory", "/dev/zero")
    assert "it is no regular file" in shown.error
