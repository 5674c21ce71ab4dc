"""What the README and the pages promise: links lead somewhere, commands exist, and quick ones run.

A block of commands that only people can run is marked above it: `<!-- not run: WHY -->`. Its lines
are still held against the program's own commands and options; all other blocks are run here.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main

from harken.cli import app


def root_of(path: Path) -> Path:
    """Return the checkout that a file lies in, or the folder of the tests where there is none."""
    for folder in path.parents:
        if (folder / "pyproject.toml").is_file():
            return folder
    return path.parent


ROOT = root_of(Path(__file__))
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CODE_OF_CONDUCT", "SECURITY")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / ".github").rglob("*.md")),
]
BLOB = "https://github.com/harken/harken/blob/main/"
"""Where a page of the site leads to a file that is no page."""

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<kind>[\w-]*)\n(?P<code>.*?)^```$", re.M | re.S
)
SHELL = ("sh", "bash", "console")

needs_checkout = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="needs the documentation of a checkout"
)
pytestmark = needs_checkout


@dataclass(frozen=True)
class Block:
    """What stands between two fences, and why it is not run if it is not."""

    page: Path
    number: int
    kind: str
    code: str
    why: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        if page.exists():
            text = page.read_text("utf-8")
            for found in BLOCK.finditer(text):
                line = text.count("\n", 0, found.start("code")) + 1
                yield Block(page, line, found["kind"], found["code"], found["why"])


BLOCKS = list(blocks())
LONG = ("own-words.md", "energy.md", "experiments.md")
"""Pages whose commands train or measure: for minutes to hours."""

REMEMBER = "harken listen --wav models/demo.flac --grammar robot"
RUN = [
    block
    for block in BLOCKS
    if block.kind in SHELL and block.why is None and block.page.name not in LONG
]


def commands(code: str) -> Iterator[list[str]]:
    """Yield the words of each `harken` in a script; comments, pipes and other programs left out."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()")
        lexer.whitespace_split = True
        part: list[str] = []
        for word in [*lexer, "|"]:
            if set(word) <= set("|&;()"):
                if part and Path(part[0]).name == "harken":
                    yield part[1:]
                part = []
            else:
                part.append(word)


def check(words: list[str]) -> None:
    """Parse a command as the program does, without running it."""
    command: Any = typer.main.get_command(app)
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    if not hasattr(command, "commands"):
        command.make_context("harken", list(words)).close()


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    text = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)}


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text("utf-8"), flags=re.M | re.S)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r'<img[^>]* src="([^"]+)"', text)


def test_pages_are_found():
    assert len(PAGES) > 15
    assert len(RUN) > 3
    assert sum(block.kind in SHELL for block in BLOCKS) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    wrong = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        if target.startswith(BLOB):
            place = ROOT / target.removeprefix(BLOB)
        elif re.match(r"\w+:", target):
            continue
        else:
            place = page.parent / target if target else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_left_to_be_filled_in(page):
    lines = page.read_text("utf-8").splitlines()
    assert [line for line in lines if re.fullmatch(r"[A-Z]+_[A-Z_]+|TODO.*|FIXME.*", line)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_in_python_exist(page):
    """Such as `harken.edge.memory.Memory`: each part is a folder, a module or stands in one."""
    text = page.read_text("utf-8")
    names = set(re.findall(r"\bharken\.(?:edge|train|export|models)(?:\.\w+)*", text))
    assert [name for name in sorted(names) if not is_there(name)] == []


def is_there(name: str) -> bool:
    """Tell whether a dotted name leads to a module, or to something that a module names."""
    place, rest = ROOT / "src", name.split(".")
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    if rest and (place / f"{rest[0]}.py").is_file():
        place /= f"{rest.pop(0)}.py"
    else:
        place /= "__init__.py"
    words = set(re.findall(r"\w+", place.read_text("utf-8"))) if place.is_file() else set()
    return place.is_file() and words.issuperset(rest)


def test_a_name_that_is_not_there_would_be_found():
    assert is_there("harken.edge.memory.woken.WokenSpotter")
    assert is_there("harken.edge.Spotter")
    assert not is_there("harken.edge.woken.WokenSpotter")
    assert not is_there("harken.edge.memory.woken.Waker")


def test_every_page_is_in_the_navigation():
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in settings]
    assert missing == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 180


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind in SHELL], ids=str)
def test_commands_exist(block):
    for words in commands(block.code):
        check(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_exist(page):
    """Their arguments may be placeholders there; commands and options are not."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for line in re.findall(r"`harken ([^`]+)`", text):
        command: Any = typer.main.get_command(app)
        for word in re.sub(r"[\[\]]", "", line).split():
            below = getattr(command, "commands", {})
            if word.startswith("--"):
                known = {name for each in command.params for name in each.opts} | {"--help"}
                assert word.partition("=")[0] in known, line
            elif below and word.islower():
                assert word in below, line
                command = below[word]


@pytest.mark.parametrize(
    "words",
    [["lisen"], ["listen", "--treshold", "0.9"], ["memory", "remember"], ["train", "recordings"]],
    ids=" ".join,
)
def test_a_mistake_would_be_found(words):
    with pytest.raises(Exception, match=r"no command|No such option|Missing (option|parameter)"):
        check(words)


def test_what_is_a_command():
    script = "a | harken info x # harken no\n/opt/bin/harken bench \\\n  y && harken-like z\n"
    assert list(commands(script)) == [["info", "x"], ["bench", "y"]]


@pytest.fixture
def beside_models(tmp_path):
    """A folder of one's own with the shipped models in it, and `harken` first on the path."""
    if not (ROOT / "models").is_dir():
        pytest.skip("needs a checkout")
    for name in ("models", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    python = shlex.quote(sys.executable)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, line in (("harken", f"{python} -m harken"), ("python", python)):
        (programs / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        (programs / name).chmod(0o755)
    return {
        "cwd": tmp_path,
        "env": {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        },
    }


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("block", RUN, ids=str)
def test_commands_run(block, beside_models):
    script = block.code
    if "harken memory show" in script:  # there is something to show
        state = beside_models["env"]["XDG_STATE_HOME"]
        script = f"{REMEMBER} --memory {shlex.quote(state)}/harken/robot.json\n{script}"
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        **beside_models,
    )
    assert done.returncode == 0, done.stderr


PYTHON = [block for block in BLOCKS if block.kind == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_imports_what_there_is(block):
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harken"):
            module = importlib.import_module(str(node.module))
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("block", [b for b in PYTHON if b.why is None], ids=str)
def test_python_runs(block, beside_models):
    done = subprocess.run(
        [sys.executable, "-c", block.code],
        check=False,
        capture_output=True,
        text=True,
        **beside_models,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_reference_has_every_command_and_option():
    place = ROOT / "docs" / "site_hooks.py"
    spec = importlib.util.spec_from_file_location("site_hooks", place)
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    page = hooks.on_page_markdown(f"# X\n\n{hooks.COMMANDS}\n")

    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, f"{path} {name}")

    for path, command in walk(typer.main.get_command(app), "harken"):
        assert path == "harken" or f"# `{path}`\n" in page
        section = page.split(f"# `{path}`\n")[-1]
        for parameter in command.params if path != "harken" else []:
            assert parameter.opts[-1] in section or parameter.param_type_name == "argument"
    marked = hooks.on_page_markdown("<!-- not run: why -->\n```sh\nx\n```\n")
    assert "Not run by the tests: why." in marked


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    cited = dict(
        line.split(": ", 1)
        for line in (ROOT / "CITATION.cff").read_text("utf-8").splitlines()
        if re.match(r"\w[\w-]*: ", line)
    )
    assert cited["version"] == project["version"]
    assert cited["repository-code"] == project["urls"]["Homepage"]
