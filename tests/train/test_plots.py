"""The pictures of a run."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pictures need harken[train]")

from harken.edge.errors import RunError
from harken.train.plots import draw_confusion, draw_curves

EPOCHS = [
    {"epoch": float(epoch), "loss": 1 / epoch, "clip_accuracy": 1 - 1 / epoch, "seconds": 3.0}
    for epoch in range(1, 4)
]


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("stream_loss", [{}, {"stream_loss": 0.5}])
def test_curves(tmp_path: Path, epochs: int, stream_loss: dict[str, float]) -> None:
    draw_curves(tmp_path / "curves.png", [figures | stream_loss for figures in EPOCHS[:epochs]])
    assert min(size_of(tmp_path / "curves.png")) > 300


@pytest.mark.parametrize("noisy", [{}, {"missed_noisy": 0.2}])
def test_missed_words_have_a_picture_of_their_own(tmp_path: Path, noisy: dict[str, float]) -> None:
    draw_curves(tmp_path / "without.png", EPOCHS)
    draw_curves(tmp_path / "with.png", [figures | {"missed": 0.1} | noisy for figures in EPOCHS])
    draw_curves(tmp_path / "since.png", [*EPOCHS, EPOCHS[-1] | {"epoch": 4.0, "missed": 0.1}])
    width, height = size_of(tmp_path / "without.png")
    assert size_of(tmp_path / "with.png") == (width * 3 // 2, height)
    assert size_of(tmp_path / "since.png") == (width, height), "not of all epochs"


def test_a_confusion_matrix_grows_with_its_labels(tmp_path: Path) -> None:
    for count in (3, 20):
        confusion = np.diag(np.arange(count))  # the first label has no clips
        draw_confusion(tmp_path / f"{count}.png", confusion, [f"word {i}" for i in range(count)])
    assert size_of(tmp_path / "20.png") > size_of(tmp_path / "3.png")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("word", ["左右", "हाँ", "a$b$c", "$\\frac$", "x" * 100])
def test_any_word_can_be_drawn_without_a_warning(tmp_path: Path, word: str) -> None:
    draw_confusion(tmp_path / "x.png", np.eye(3, dtype=np.int64), [word, "_unknown", "silence"])
    assert min(size_of(tmp_path / "x.png")) > 200


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: draw_curves(path, EPOCHS),
        lambda path: draw_confusion(path, np.eye(2, dtype=np.int64), ["yes", "no"]),
    ],
    ids=["curves", "confusion"],
)
def test_a_full_disk_is_one_clear_error(tmp_path: Path, draw: Callable[[Path], None]) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        mock.patch("os.fsync", side_effect=full),
        pytest.raises(RunError, match=r"x\.png: No space left on device; free some space there"),
    ):
        draw(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
