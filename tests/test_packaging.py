"""What is packaged, and what would keep the sources from running on other systems than Linux."""

from __future__ import annotations

import ast
import errno
import glob
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from check_archives import (
    ROOT,
    differences,
    expected_in_sdist,
    expected_in_wheel,
    tag_faults,
    tracked,
)

import harken
from harken.edge.files import lock

SOURCES = Path(harken.__file__).parent
ROOMS = ("edge", "export", "train")
POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
TEXT_CALLS = {"read_text": 0, "write_text": 1}  # place of the encoding among the arguments

needs_checkout = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout")


def sources() -> Iterator[tuple[Path, ast.Module]]:
    paths = [path for room in ROOMS for path in sorted((SOURCES / room).rglob("*.py"))]
    assert len(paths) > 100
    for path in paths:
        yield path, ast.parse(path.read_text("utf-8"))


def _encoding_is_missing(call: ast.Call) -> bool:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in keywords:
        return False
    if any(
        getattr(keywords.get(name), "value", False) is True
        for name in ("text", "universal_newlines")
    ):
        return True
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in TEXT_CALLS:
        return len(call.args) <= TEXT_CALLS[name]
    if name in ("open", "fdopen"):
        known = [*call.args, *keywords.values()]
        modes = [each.value for each in known if isinstance(each, ast.Constant)]
        return any(isinstance(m, str) and re.fullmatch("[rwxa][+t]*", m) for m in modes)
    return False


@needs_checkout
class TestPackage:
    def test_every_file_of_the_folders_is_packaged(self):
        configuration = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        found = set()
        for package, patterns in configuration["tool"]["setuptools"]["package-data"].items():
            folders = [package.replace(".", "/")]
            if package == "*":
                folders = [str(path.parent) for path in Path("harken").glob("*/__init__.py")]
                folders.append("harken")
            for folder in folders:
                for pattern in patterns:
                    where = f"{folder}/{pattern}"  # as setuptools reads it, not as pathlib does
                    found |= set(glob.glob(where, root_dir=ROOT / "src", recursive=True))  # noqa: PTH207
        wanted = {
            path
            for path in expected_in_wheel(tracked())
            if not path.endswith(".py")
            or not (ROOT / "src" / path).with_name("__init__.py").exists()
        }
        assert sorted(wanted - found) == []

    def test_recipes_stay_with_the_sources(self):
        recipe = {"models/recipes/wrong_labels.tsv"}
        assert expected_in_wheel(recipe) == set()
        assert expected_in_sdist(recipe) == {"src/harken/models/recipes/wrong_labels.tsv"}

    def test_neither_tests_nor_pictures_are_packaged(self):
        files = tracked()
        assert not [path for path in expected_in_wheel(files) if not path.startswith("harken/")]
        assert not [path for path in expected_in_sdist(files) if path.startswith("docs/web-")]

    def test_what_differs_is_named(self):
        assert differences("wheel", {"a", "b"}, {"b", "c"}) == [
            "wheel: a is missing",
            "wheel: c should not be there",
        ]

    def test_the_tag_is_the_version(self):
        assert tag_faults("v1.2.0", "1.2.0", "# Changelog\n\n## [1.2.0]: 2030-01-01\n") == []
        assert tag_faults("v1.2", "1.2.0", "## [Unreleased]: 1.2.0\n") == [
            "the tag is v1.2 and the version 1.2.0; the tag must be v1.2.0",
            "CHANGELOG.md has no '## [1.2.0]'",
        ]

    def test_names_of_files_fit_windows(self):
        files = tracked()
        assert [path for path in files if re.search(r'[:*?"<>|\\]|[. ](/|$)', path)] == []
        assert len({path.lower() for path in files}) == len(files)


class TestOtherSystems:
    def test_nothing_that_only_posix_has_is_imported_with_a_module(self):
        found = [
            f"{path}:{statement.lineno}"
            for path, module in sources()
            for statement in module.body
            if isinstance(statement, ast.Import | ast.ImportFrom)
            for name in (
                [statement.module or ""]
                if isinstance(statement, ast.ImportFrom)
                else [each.name for each in statement.names]
            )
            if name in POSIX_ONLY
        ]
        assert found == []

    def test_text_has_an_encoding(self):
        found = [
            f"{path}:{node.lineno}"
            for path, module in sources()
            for node in ast.walk(module)
            if isinstance(node, ast.Call) and _encoding_is_missing(node)
        ]
        assert found == []

    def test_the_lock_of_windows(self, tmp_path, monkeypatch):
        asked = []
        locking = SimpleNamespace(LK_NBLCK=2, locking=lambda *what: asked.append(what))
        monkeypatch.setitem(sys.modules, "msvcrt", locking)
        monkeypatch.setattr("harken.edge.files.sys", SimpleNamespace(platform="win32"))
        descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
        try:
            lock(descriptor)
        finally:
            os.close(descriptor)
        assert asked == [(descriptor, 2, 1)]

    def test_the_lock_of_windows_that_another_holds(self, tmp_path, monkeypatch):
        def refuse(*what):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=refuse))
        monkeypatch.setattr("harken.edge.files.sys", SimpleNamespace(platform="win32"))
        with (tmp_path / "lock").open("wb") as file, pytest.raises(BlockingIOError):
            lock(file.fileno())
