"""An installation in; versions, missing packages, and whether the interpreter runs, out."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .... import __version__
from ...errors import DependencyError, HarkenError, ModelError
from ...spotting.engine import RUNTIME_VARIABLE, RUNTIMES
from ..benchmark import processor_name
from .finding import Finding, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_AT_LEAST = re.compile(r">=\s*([0-9.]+)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")

# Run in its own process: an interpreter built for another processor crashes it.
_PROBE = """
import json, sys
import numpy as np
from harken.edge.spotting.engine import TfliteRuntime
from harken.edge.errors import HarkenError
from harken.edge.spotting.manifest import load_model
reference, runtime = sys.argv[1:]
try:
    model = load_model(reference)
    interpreter = TfliteRuntime(model, runtime or None)
    interpreter.invoke(np.zeros(model.manifest.input.shape, np.int8))
    print(json.dumps({"name": interpreter.name}))
except HarkenError as error:
    print(json.dumps({"error": str(error), "exit_code": error.exit_code}))
"""
_PROBE_S = 120.0  # TensorFlow starts slowly on a small computer


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A package that harken requires.

    Attributes
    ----------
    name : str
        Its name on PyPI.
    at_least : str
        Oldest supported version; empty for any.
    extra : str
        The extra that it belongs to; empty for the base installation.
    """

    name: str
    at_least: str
    extra: str


def requirements(lines: Iterable[str]) -> list[Requirement]:
    """Parse requirements from package metadata: ``keras>=3.10; extra == "train"``."""
    found = []
    for line in lines:
        package, _, marker = line.partition(";")
        name, at_least = _NAME.match(package), _AT_LEAST.search(package)
        extra = _EXTRA.search(marker)
        found.append(
            Requirement(
                name=name[0] if name else package.strip(),
                at_least=at_least[1] if at_least else "",
                extra=extra[1] if extra else "",
            )
        )
    return found


def own_requirements() -> list[Requirement]:
    """Return harken's requirements; empty if it runs from a folder without installation."""
    try:
        return requirements(metadata.requires("harken") or [])
    except metadata.PackageNotFoundError:
        return []


def installed_version(package: str) -> str | None:
    """Return a package's version without importing it; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def describe_program() -> Finding:
    """Describe harken, Python, and the system."""
    system = platform.system()
    with suppress(OSError):  # no os-release: not Linux, or a minimal container
        system = platform.freedesktop_os_release().get("PRETTY_NAME", system)
    if sys.platform == "darwin":
        system = f"macOS {platform.mac_ver()[0]}"
    bits = 64 if sys.maxsize > 2**32 else 32
    environment = "a virtual environment" if sys.prefix != sys.base_prefix else "no environment"
    processor = processor_name()
    return Finding(
        check="program.harken",
        state=State.OK,
        text=(
            f"harken {__version__} on {platform.python_implementation()} "
            f"{platform.python_version()} ({bits} bits, in {environment}), {system}, kernel "
            f"{platform.release()}, {platform.machine()}: {processor}"
        ),
        figures={
            "harken": __version__,
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "bits": bits,
            "system": system,
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "processor": processor,
            "virtual_environment": sys.prefix != sys.base_prefix,
        },
    )


def check_packages(wanted: Iterable[Requirement]) -> Finding:
    """Check that the packages of the base installation are present and new enough.

    The interpreter is checked separately, since there are three: see `check_interpreter`.
    """
    versions: dict[str, str | None] = {}
    wrong = []
    for each in wanted:
        if each.extra or each.name in RUNTIMES:
            continue
        version = versions[each.name] = installed_version(each.name)
        if version is None:
            wrong.append(f"{each.name} is not installed")
        elif _numbers(version) < _numbers(each.at_least):
            wrong.append(f"{each.name} is {version}, it must be {each.at_least} or newer")
    libsndfile = _libsndfile()
    if isinstance(libsndfile, Exception):
        wrong.append(f"soundfile does not work: {' '.join(str(libsndfile).split())}")
    there = [f"{name} {version}" for name, version in versions.items() if version]
    if isinstance(libsndfile, str):
        there.append(f"libsndfile {libsndfile}")
    return Finding(
        check="program.packages",
        state=State.PROBLEM if wrong else State.OK,
        text="; ".join([*wrong, ", ".join(there) or "none is known"]),
        remedy="pip install --upgrade --force-reinstall harken" if wrong else None,
        kind=DependencyError,
        figures={
            **versions,
            "libsndfile": libsndfile if isinstance(libsndfile, str) else None,
        },
    )


def check_extras(wanted: Iterable[Requirement]) -> Finding:
    """Report which extras are installed; all are optional."""
    wanted = list(wanted)
    base = {each.name for each in wanted if not each.extra}  # implies nothing about an extra
    extras: dict[str, dict[str, str | None]] = {}
    for each in wanted:
        if each.extra and each.extra != "dev" and each.name not in {"harken", *base}:
            extras.setdefault(each.extra, {})[each.name] = installed_version(each.name)
    texts = []
    for extra, versions in extras.items():
        missing = [name for name, version in versions.items() if version is None]
        if not missing:
            what = ", ".join(f"{name} {version}" for name, version in versions.items())
            texts.append(f"{extra} ({what})")
        elif len(missing) < len(versions):
            texts.append(f"{extra} partly (without {', '.join(missing)})")
        else:
            texts.append(f"no {extra}")
    return Finding(
        check="program.extras",
        state=State.OK,
        text="; ".join(texts) or "none is known",
        figures=extras,
    )


def installed_interpreters() -> dict[str, str]:
    """Return the installed interpreters with versions, without importing any."""
    found = {}
    for package, module in RUNTIMES.items():
        if importlib.util.find_spec(module.partition(".")[0]) is not None:
            found[package] = installed_version(package) or "of an unknown version"
    return found


def check_interpreter(model: str, runtime: str | None) -> Finding:
    """Run one step with the interpreter that would be used, in its own process.

    Parameters
    ----------
    model : str
        An intact model, as for `load_model`.
    runtime : str, optional
        The interpreter, as for `harken.edge.spotting.engine.load_interpreter_class`.

    Raises
    ------
    DependencyError
        There is none, it cannot be imported, or it crashes.
    ModelError
        It refuses the model.
    """
    installed = installed_interpreters()
    listed = ", ".join(f"{name} {version}" for name, version in installed.items()) or "none"
    answer = _ask(_PROBE, [model, runtime or ""])
    if isinstance(answer, str):
        name = runtime or os.environ.get(RUNTIME_VARIABLE) or next(iter(installed), "it")
        return Finding(
            check="model.interpreter",
            state=State.PROBLEM,
            text=f"{name} {installed.get(name, '')} {answer}; installed: {listed}",
            remedy=(
                f"pip install --force-reinstall {name}; if that does not help, an older version of "
                f"it, or another interpreter, chosen with --runtime or {RUNTIME_VARIABLE}"
            ),
            kind=DependencyError,
            figures={"installed": installed, "used": None},
        )
    if "error" in answer:
        kinds = {kind.exit_code: kind for kind in (DependencyError, ModelError)}
        raise kinds.get(answer["exit_code"], HarkenError)(answer["error"])
    used = answer["name"]
    return Finding(
        check="model.interpreter",
        state=State.OK,
        text=f"{used} {installed.get(used, '')} runs the model; installed: {listed}",
        figures={"installed": installed, "used": used},
    )


def _ask(program: str, arguments: list[str]) -> Mapping[str, Any] | str:
    """Run a Python program that prints one line of JSON; return that, or its failure."""
    # -P: files in the current folder must not shadow modules.
    command = [sys.executable, "-P", "-c", program, *arguments]
    try:
        ran = subprocess.run(
            command,
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return f"did not finish a step within {_PROBE_S:g} s"
    if ran.returncode < 0:
        try:
            name = signal.Signals(-ran.returncode).name
        except ValueError:
            name = f"signal {-ran.returncode}"
        return f"crashes ({name}): it was built for another processor, or is damaged"
    lines = ran.stdout.splitlines()
    if ran.returncode or not lines:
        said = ran.stderr.strip().splitlines()
        return f"fails with exit code {ran.returncode}: {said[-1] if said else 'no message'}"
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def _libsndfile() -> str | Exception:
    """Return the version of libsndfile, or the error that hides it."""
    try:
        import soundfile
    except (ImportError, OSError) as problem:
        return problem
    return str(soundfile.__libsndfile_version__)


def _numbers(version: str) -> list[int]:
    """Return the first three numbers of a version, for comparison."""
    return [*map(int, re.findall(r"\d+", version)), 0, 0, 0][:3]
