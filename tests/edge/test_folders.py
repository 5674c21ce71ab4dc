"""Folders that harken writes into: its own files are replaced, those of somebody else stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from harken.edge.errors import HarkenError, OutputError
from harken.edge.folders import RECORD_FILE, require_own, write_own


def write(folder: Path, **content: str) -> None:
    files = {name.replace("_", "."): text.encode() for name, text in content.items()}
    write_own(folder, files, error=OutputError)


def test_what_harken_wrote_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    write(folder, a_txt="1", b_txt="1")
    write(folder, a_txt="2", c_txt="2")
    assert {path.name: path.read_text() for path in folder.glob("*.txt")} == {
        "a.txt": "2", "b.txt": "1", "c.txt": "2"
    }  # fmt: skip
    write(folder, b_txt="3")
    assert (folder / "b.txt").read_text() == "3"


def test_what_somebody_else_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"harken did not write, and that .*: a\.txt; choose"):
        write(tmp_path, a_txt="1", b_txt="1")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_what_somebody_changed_stays(tmp_path: Path) -> None:
    write(tmp_path, a_txt="1", b_txt="1")
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"were changed since, and that would be .*: a\.txt; "):
        write(tmp_path, a_txt="2", b_txt="2")
    assert (tmp_path / "b.txt").read_text() == "1"


def test_what_is_the_same_is_anybodys(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1")
    write(tmp_path, a_txt="1")
    write(tmp_path, a_txt="2")
    assert (tmp_path / "a.txt").read_text() == "2"


def test_a_folder_a_link_into_nowhere_and_many_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    (tmp_path / "b.txt").symlink_to("nowhere")
    for name in "cd":
        (tmp_path / f"{name}.txt").write_text("mine")
    with pytest.raises(HarkenError, match=r": a\.txt, b\.txt, c\.txt …; choose another --out"):
        require_own(tmp_path, [f"{name}.txt" for name in "abcde"], error=HarkenError)


def test_a_damaged_record_owns_nothing(tmp_path: Path) -> None:
    write(tmp_path, a_txt="1")
    (tmp_path / RECORD_FILE).write_text("[]")
    with pytest.raises(OutputError, match="harken did not write"):
        write(tmp_path, a_txt="2")
