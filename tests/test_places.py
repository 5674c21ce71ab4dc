"""A place that takes nothing is refused before the work, not after it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from command import harken
from conftest import DATA

from harken.edge.errors import HarkenError
from harken.edge.files import require_writable

NOWHERE = Path("/proc/harken")  # whoever may write there: nothing can be made

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.mark.parametrize("target", ["c", "web", "lib", "litert"])
def test_of_an_export(target: str) -> None:
    ended = harken("export", "commands-tiny", "--target", target, "--out", NOWHERE)
    assert ended.exit_code != 0
    assert "/proc may not be written to" in ended.error


@pytest.mark.parametrize(
    "line",
    [
        ["eval", "commands-tiny", "--data", "DATA", "--out", "NOWHERE"],
        ["eval", "commands-tiny", "--data", "DATA", "--stream", "--out", "NOWHERE"],
        ["eval", "commands-tiny", "--data", "DATA", "--context", "--out", "NOWHERE"],
        ["tune", "MODEL", "--data", "DATA", "--out", "/proc/new.json"],
        ["teach", "DATA", "--outputs", "OUTPUTS", "--suspects", "NOWHERE/wrong.tsv"],
        ["grammar", "train", "robot", "--out", "NOWHERE"],
    ],
    ids=lambda line: " ".join(line[:5:4]),
)
def test_of_what_is_measured_or_learned(line: list[str], tmp_path: Path) -> None:
    """Data there are none: whoever looked at them first would say so."""
    for module in ("matplotlib", "scipy", "tensorflow"):
        pytest.importorskip(module, reason="needs harken[train]")
    from harken.train.teachers.outputs import TeacherOutputs

    outputs = tmp_path / "outputs.npz"
    TeacherOutputs(clips=(), log_probabilities={}, labels={}).write(outputs)
    for suffix in (".tflite", ".json"):
        shutil.copy(DATA / f"tones{suffix}", tmp_path)
    places = {
        "DATA": tmp_path,
        "MODEL": tmp_path / "tones.tflite",
        "OUTPUTS": outputs,
        "NOWHERE": NOWHERE,
        "NOWHERE/wrong.tsv": NOWHERE / "wrong.tsv",
    }
    ended = harken(*(places.get(part, part) for part in line))
    assert ended.exit_code != 0
    assert "/proc may not be written to" in ended.error


def test_a_file_above_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HarkenError, match=r"file is no folder; choose another --out"):
        require_writable(tmp_path / "file" / "folder" / "deeper")


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []
