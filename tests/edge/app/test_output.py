"""Standard output and standard error: no character and no full disk ends a run with a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DATA

from harken.models import __path__ as models

DEMO = Path(models[0]) / "demo.flac"
LISTEN = ["listen", "--wav", DEMO, "--grammar", "robot"]

full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


def run(*arguments, encoding=None, shell="", **options):
    """Run harken in a process of its own, for its real streams; `shell` is what follows it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUTF8"}
    if encoding is not None:
        environment["PYTHONIOENCODING"] = encoding
    command = [sys.executable, "-m", "harken", *map(str, arguments)]
    if shell:
        command = ["bash", "-o", "pipefail", "-c", f'"$@" {shell}', "bash", *command]
    return subprocess.run(
        command, capture_output=True, env={**environment, **options}, timeout=300, check=False
    )


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_listening_outlives_an_encoding_without_its_characters(encoding):
    heard = run(*LISTEN, encoding=encoding)
    assert heard.returncode == 0, heard.stderr
    assert "=> " in heard.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_json_is_the_same_in_any_encoding(encoding, tmp_path):
    grammar = tmp_path / "lamp.toml"
    grammar.write_text('[words]\nstop = "stop"\n[commands.grow]\nsay = "größer"\n', "utf-8")
    printed = run("grammar", "check", grammar, "--json", encoding=encoding)
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout.decode(encoding))["words"] == ["größer", "stop"]


@full
@pytest.mark.parametrize(
    "command",
    [
        LISTEN,
        [*LISTEN, "--json"],
        ["grammar", "check", "robot"],
        ["grammar", "list", "--json"],
        ["info", "commands"],
        ["info", "commands", "--json"],
        ["serve", "unit", "harken"],
        ["--version"],
        ["listen", "--help"],
    ],
    ids=lambda command: " ".join(map(str, command[:2])),
)
def test_a_full_disk_is_one_line(command):
    ended = run(*command, shell="> /dev/full")
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if line.startswith(b"harken: error: ")]
    assert errors == ended.stderr.splitlines()[-1:]
    assert b"No space left on device" in errors[0]
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [LISTEN, ["grammar", "check", "robot"], ["listen", "--help"]])
def test_who_reads_no_further_ends_it_quietly(command):
    ended = run(*command, shell="| true")
    assert ended.returncode in (0, 1)  # 0: all was in the pipe before it was closed
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr
    assert b"error" not in ended.stderr


@full
def test_commands_reach_their_program_when_the_output_fails(tmp_path):
    script = tmp_path / "note.sh"
    script.write_text(f'#!/bin/sh\necho "$1" >> "{tmp_path}/commands.txt"\n')
    script.chmod(0o755)
    ended = run(*LISTEN, "--exec", f"{script} {{intent}}", shell="> /dev/full")
    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert ended.stderr.count(b"cannot write to standard output") == 1
    assert b"still listening for --exec" in ended.stderr
    assert len((tmp_path / "commands.txt").read_text().splitlines()) > 3


@full
@pytest.mark.parametrize("redirected", ["2> /dev/full", "2>&-"])
def test_notes_that_cannot_be_written_are_lost_and_words_are_not(redirected):
    heard = run("listen", DATA / "tones.tflite", "--wav", DEMO, shell=redirected)
    assert heard.returncode == 0


def test_closed_streams_lead_nowhere():
    assert run(*LISTEN, shell="<&- >&- 2>&-").returncode == 0
