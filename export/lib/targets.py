"""A folder with the library in; what comes of compiling it for phones, and running it, out."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...edge.errors import ExportError
from ..device.compiler import build, find_compiler

LIB = Path(__file__).parents[2] / "edge" / "lib"
"""Folder of what an app needs around the engine."""

DECLARED = ("Android", "iOS", "macOS")
"""How the names of systems begin for whose headers ``edge/lib/declared`` stands."""

_COMMON = ("-std=c99", "-O2", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden")
_FREESTANDING = ("-nostdlib", "-nostdlibinc", f"-I{LIB / 'declared'}", "-fuse-ld=lld")
_ANDROID_API = 23
_TIMEOUT_S = 300


@dataclass(frozen=True, kw_only=True)
class Target:
    """A system that apps run on."""

    name: str
    compiler: tuple[str, ...]
    """The program, and what it must be told."""
    link: tuple[str, ...] = ("-shared", "-Wl,-s")
    linker: str | None = None
    """A program that the compiler needs besides."""
    kotlin: bool = False
    """Whether the functions that Kotlin calls are part of it, where there is a JDK."""
    desk: tuple[str, ...] | None = None
    """What compiles the program that listens; None: it cannot be run here."""
    emulator: tuple[str, ...] = ()
    how: str = ""
    """In what way it is run, if that is not plain."""

    @property
    def missing(self) -> str | None:
        """The program that is not installed here and without which nothing is compiled, if any."""
        needed = [self.compiler[0], *([self.linker] if self.linker else [])]
        return _first_missing(needed)

    @property
    def missing_to_run(self) -> str | None:
        """The program that is not installed here and without which it is not run, if any."""
        return _first_missing([*(self.desk or ())[:1], *self.emulator[:1]])


def _first_missing(programs: Sequence[str]) -> str | None:
    return next((program for program in programs if shutil.which(program) is None), None)


def _android(
    abi: str,
    triple: str,
    *,
    desk: tuple[str, ...] | None = None,
    emulator: tuple[str, ...] = (),
) -> Target:
    within = f"in {emulator[0]}, " if emulator else ""
    return Target(
        name=f"Android {abi}",
        compiler=("clang", f"--target={triple}{_ANDROID_API}", *_FREESTANDING),
        link=("-shared", "-Wl,-s,-soname,libharken.so,-z,max-page-size=16384"),
        linker="ld.lld",
        kotlin=True,
        desk=desk,
        emulator=emulator,
        how=f"{within}with glibc in place of Android's C library",
    )


def _apple(system: str, triple: str) -> Target:
    return Target(
        name=f"{system} arm64",
        compiler=("clang", f"--target={triple}", *_FREESTANDING),
        link=("-dynamiclib", "-Wl,-undefined,dynamic_lookup,-x"),
        linker="ld.lld",  # ld64.lld comes with it, under a name that differs
    )


_QEMU_ARM64 = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
_ARM64 = ("aarch64-linux-gnu-gcc",)


def library_targets() -> tuple[Target, ...]:
    """Return all of them; the first is this machine.

    Raises
    ------
    DependencyError
        This machine has no C compiler.
    """
    here = (find_compiler(),)
    machine = platform.machine()
    return (
        Target(name=f"{platform.system()} {machine}", compiler=here, desk=here),
        Target(
            name="Linux arm64",
            compiler=_ARM64,
            desk=_ARM64,
            emulator=_QEMU_ARM64,
            how="in qemu-aarch64",
        ),
        _android("arm64-v8a", "aarch64-linux-android", desk=_ARM64, emulator=_QEMU_ARM64),
        _android("armeabi-v7a", "armv7a-linux-androideabi"),
        _android("x86_64", "x86_64-linux-android", desk=here if machine == "x86_64" else None),
        _apple("iOS", "arm64-apple-ios13"),
        _apple("macOS", "arm64-apple-macos11"),
    )


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A file of ``golden``, and what every library must answer to it."""

    file: str
    content: bytes
    options: tuple[str, ...]
    """Of the program that listens: rate and type."""
    answers: Mapping[str, bytes]
    """By what is asked for: features, logits, json."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What came of a target."""

    target: str
    compiler: str
    bytes: int
    """Of the shared library, stripped."""
    kotlin: bool
    """Whether the functions that Kotlin calls are part of it."""
    run: bool
    """Whether it was run, and answered as it must; else it was only compiled."""
    how: str
    """In what way it was run, or why it was not."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return asdict(self)


def find_jni() -> tuple[Path, ...]:
    """Return the folders of jni.h of the Java development kit that is installed, if one is."""
    home = os.environ.get("JAVA_HOME")
    compiler = shutil.which("javac")
    homes = [Path(home)] if home else []
    homes += [Path(compiler).resolve().parents[1]] if compiler else []
    for include in (home / "include" for home in homes):
        if (include / "jni.h").is_file():
            systems = (include / name for name in ("linux", "darwin"))
            return (include, *(folder for folder in systems if folder.is_dir()))
    return ()


def build_target(target: Target, project: Path, folder: Path) -> tuple[Built, Path | None]:
    """Compile for a target: the library and, where it can be run here, the program that listens.

    Parameters
    ----------
    target
        Whose compiler is installed.
    project
        The folder that was exported.
    folder
        For what is made; it exists.

    Returns
    -------
    built : Built
        What there is to say of it, once it has answered as it must.
    program : Path or None
        The program that listens; None where it cannot be run.

    Raises
    ------
    ExportError
        It cannot be compiled, or the program not linked with the library.
    """
    source = project / "src"
    sources, include = sorted(source.glob("*.c")), [source / "include", source]
    jni = find_jni() if target.kotlin else ()
    if jni:
        sources.append(project / "android" / "src" / "main" / "cpp" / "harken_jni.c")
        include += jni
    library = folder / "libharken.so"
    flags = (*_COMMON, "-include", str(source / "harken_public.h"), *target.link)
    build(sources, library, include=include, flags=flags, compiler=target.compiler)
    missing, program = target.missing_to_run, None
    if target.desk is not None and missing is None:
        program = folder / "listen"
        build(
            [project / "desk" / "listen.c", library],
            program,
            include=[source / "include"],
            flags=("-std=c99", "-O2", "-Wl,-rpath,$ORIGIN"),
            compiler=target.desk,
        )
    built = Built(
        target=target.name,
        compiler=f"{Path(target.compiler[0]).name} {_version(target.compiler[0])}",
        bytes=library.stat().st_size,
        kotlin=bool(jni),
        run=program is not None,
        how=f"{missing} is missing" if missing else target.how if program else "",
    )
    return built, program


def ask(target: Target, program: Path, sound: Sound, part: str) -> bytes:
    """Return what the program that listens answers to a sound: features, logits or json.

    Raises
    ------
    ExportError
        It fails.
    """
    command = [*target.emulator, str(program), *sound.options, f"--{part}"]
    try:
        done = subprocess.run(
            command, input=sound.content, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"{target.name}: no answer within {_TIMEOUT_S} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ExportError(
            f"{target.name}: the library fails (code {done.returncode}): "
            f"{said[0] if said else 'it says nothing'}"
        )
    return done.stdout


def check_answers(target: Target, program: Path, sounds: Sequence[Sound]) -> None:
    """Hold what a target answers against what it must.

    Raises
    ------
    ExportError
        It fails, or answers otherwise.
    """
    for sound in sounds:
        for part, expected in sound.answers.items():
            if ask(target, program, sound, part) != expected:
                raise ExportError(
                    f"library check: on {target.name} the {part} of {sound.file} differ from those "
                    "that the engine gives here; the compiler does not follow the standard"
                )


def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
