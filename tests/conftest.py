"""What tests share: the model that hears tones (see `tones.py`), the page, and the recordings."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harken.edge import Model, load_model
from harken.edge.errors import DependencyError

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def tones_model() -> Model:
    """The small int8 model whose words are tones."""
    return load_model(DATA / "tones.tflite")


@pytest.fixture
def tones_folder(tmp_path: Path) -> Path:
    """A folder of one's own with `tones.tflite` and `tones.json`, to damage."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("tones.tflite", "tones.json"):
        shutil.copy(DATA / name, folder)
    return folder


@pytest.fixture
def edit_manifest(tones_folder: Path) -> Callable[..., Path]:
    """Change the manifest in `tones_folder`: ``edit_manifest({"step.stride_frames": 0})``."""

    def edit(changes: dict[str, Any] | None = None, *, remove: str | None = None) -> Path:
        path = tones_folder / "tones.json"
        data = json.loads(path.read_text())

        def parent_of(field: str) -> dict[str, Any]:
            section = data
            for name in field.split(".")[:-1]:
                section = section[name]
            return section

        for field, value in (changes or {}).items():
            parent_of(field)[field.split(".")[-1]] = value
        if remove is not None:
            del parent_of(remove)[remove.split(".")[-1]]
        path.write_text(json.dumps(data))
        return path

    return edit


@pytest.fixture(scope="session")
def web_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is exported for browsers: both models, with the grammar of the robot. Only to be read.

    Without the compilers the test is skipped.
    """
    from harken.edge.memory.grammar_file import load_grammar
    from harken.export.web.bundle import export_web

    models = [load_model("commands"), load_model("commands-tiny")]
    folder = tmp_path_factory.mktemp("web") / "site"
    try:
        return export_web(models, folder, grammar=load_grammar("robot")).folder
    except DependencyError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def harken_data() -> Path:
    """The folder of recordings that HARKEN_DATA names; without it the test is skipped."""
    folder = os.environ.get("HARKEN_DATA")
    if not folder:
        pytest.skip("needs recordings: set HARKEN_DATA to their folder")
    path = Path(folder)
    assert path.is_dir(), f"HARKEN_DATA is {folder}, which is no folder"
    return path
