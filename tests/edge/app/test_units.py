"""The units for systemd: systemd understands them, and they give away little."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command import harken

UNITS = ("harken", "harken-wyoming")
PROGRAM = "/opt/harken/bin/harken"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)"
)
each_unit = pytest.mark.parametrize("name", UNITS)


def unit(name: str) -> str:
    outcome = harken("serve", "unit", name)
    assert outcome.exit_code == 0, outcome.err
    return outcome.out


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the units as systemd has them, of a program that is there."""
    for name in UNITS:
        content = unit(name).replace(PROGRAM, "/bin/true")
        (tmp_path / f"{name}.service").write_text(content)
    return tmp_path


@each_unit
def test_what_it_starts_is_a_command_of_harken(name: str) -> None:
    (line,) = re.findall(rf"^ExecStart={PROGRAM} (.*)$", unit(name), re.MULTILINE)
    command = [word for word in line.split() if not word.startswith(("-", "$"))]
    shown = harken(*command, "--help")
    assert shown.exit_code == 0
    for option in re.findall(r"--\w+", line):
        assert option in shown.out


@needs_systemd
@each_unit
def test_systemd_understands_it(installed: Path, name: str) -> None:
    outcome = analyze("verify", installed / f"{name}.service")
    assert outcome.returncode == 0
    assert name not in outcome.stderr


@needs_systemd
def test_systemd_does_not_understand_everything(installed: Path) -> None:
    path = installed / "harken.service"
    path.write_text(path.read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
    assert "NoNewPrivilege" in analyze("verify", path).stderr


@needs_systemd
@each_unit
def test_it_gives_away_little(installed: Path, name: str) -> None:
    path = installed / f"{name}.service"
    outcome = analyze("security", "--offline=yes", "--threshold=20", path)
    if "unrecognized option" in outcome.stderr:
        pytest.skip("this systemd-analyze cannot look at a unit that is not loaded")
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", outcome.stdout)
    assert float(exposure) <= 1.6  # of 10; 1.4 and 1.0 were measured with systemd 252


def test_a_unit_that_is_not_there() -> None:
    outcome = harken("serve", "unit", "apache2")
    assert outcome.exit_code == 2
    assert "harken-wyoming" in outcome.err
