"""The rooms of edge import only what lies below them, and nothing of train or export.

Export may import train. The other way round, only a few modules of train may use a finished export.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import harken

EDGE = Path(harken.__file__).parent / "edge"
BASE = {"errors", "files", "folders", "validation", "words"}  # modules at the root of edge/
BELOW = {  # what a room may import, besides itself
    "base": set(),
    "sound": {"base"},
    "spotting": {"base"},
    "memory": {"base", "spotting"},
    "device": {"base", "sound", "spotting"},
    "app": {"base", "sound", "spotting", "memory"},
}
ROOMS = {*BASE, *BELOW, "train", "export"}


def room_of(module: str) -> str:
    """Return the room of a module; ``harken.edge`` itself hands out what is in spotting."""
    head = [*module.split("."), ""][2]
    return "base" if head in BASE else head or "spotting"


def imported(source: str, module: str) -> Iterator[str]:
    """Yield what a module imports of harken, anywhere in it and for its types too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("harken."))
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            name = ".".join([*above, *filter(None, [node.module])])
            if name in ("harken", "harken.edge"):  # what is imported from there may be a room
                inside = {f"{name}.{each.name}" for each in node.names if each.name in ROOMS}
                yield from inside or {name} - {"harken"}
            elif name.startswith("harken."):
                yield name


def upward(source: str, module: str) -> list[str]:
    """Return the imports of a module that do not run downwards."""
    own = room_of(module)
    return [
        name
        for name in imported(source, module)
        if not (name.startswith("harken.edge") and room_of(name) in BELOW[own] | {own})
    ]


def modules(room: str) -> dict[str, str]:
    """Return the source of each module of a room, by name."""
    if room == "base":
        paths = [path for path in EDGE.glob("*.py") if path.stem != "__init__"]
    else:
        paths = list((EDGE / room).rglob("*.py"))
    names = {
        p: ".".join(["harken", "edge", *p.relative_to(EDGE).with_suffix("").parts]) for p in paths
    }
    return {name: path.read_text("utf-8") for path, name in names.items()}


@pytest.mark.parametrize("room", BELOW)
def test_no_import_runs_upwards(room):
    found = modules(room)
    assert found
    assert {name: up for name, source in found.items() if (up := upward(source, name))} == {}


def test_an_upward_import_is_found_wherever_it_stands():
    source = (
        "from ..errors import ModelError\n"
        "from ..app.display import notes\n"
        "from .. import memory\n"
        "def later():\n"
        "    from ...train import data\n"
        "    import harken.export.cli\n"
    )
    assert upward(source, "harken.edge.spotting.engine") == [
        "harken.edge.app.display",
        "harken.edge.memory",
        "harken.train",
        "harken.export.cli",
    ]


def test_edge_holds_its_rooms_and_the_base_alone():
    assert {path.stem for path in EDGE.glob("*.py")} == BASE | {"__init__"}
    folders = {path.name for path in EDGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == set(BELOW) - {"base"}


ALLOWED_EXPORT = {  # what train may import of export, by module; every other import is refused
    "harken.train.context.lstm": {
        "harken.export.fused",
        "harken.export.quantize",
        "harken.export.reference",
    },  # a prior is quantized like any network
    "harken.train.eval_ways": {"harken.export.tflm"},  # --runtime tflm
    "harken.train.own.new": {"harken.export.bundle"},  # `harken new` ends with an export
    "harken.train.scenes.tuned": {"harken.export.card"},  # tuning updates the card
}


def sources(package: str) -> dict[str, str]:
    """Return the source of each module of train or export, by name."""
    top = EDGE.parent
    return {
        ".".join(["harken", *path.relative_to(top).with_suffix("").parts]): path.read_text("utf-8")
        for path in (top / package).rglob("*.py")
    }


def imports_of(package: str, other: str) -> dict[str, set[str]]:
    """Return what each module of a package imports of another one."""
    found = {
        module: {name for name in imported(source, module) if name.startswith(f"harken.{other}")}
        for module, source in sources(package).items()
    }
    return {module: names for module, names in found.items() if names}


def test_train_imports_of_export_only_what_is_listed():
    assert imports_of("train", "export") == ALLOWED_EXPORT


def test_export_imports_no_module_of_train_that_imports_export():
    used = set().union(*imports_of("export", "train").values())
    assert used
    assert used.isdisjoint(ALLOWED_EXPORT)


PACKAGES = {
    str(path.parent.relative_to(EDGE.parent)): path
    for top in ("edge", "train", "export")
    for path in sorted((EDGE.parent / top).rglob("__init__.py"))
}


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_folder_says_what_comes_in_and_what_goes_out(folder):
    said = ast.get_docstring(ast.parse(PACKAGES[folder].read_text("utf-8")))
    assert said is not None
    first = said.split(".")[0]
    assert " in" in first
    assert " out" in first


def test_all_rooms_are_among_these_folders():
    assert {f"edge/{room}" for room in set(BELOW) - {"base"}} < set(PACKAGES)
