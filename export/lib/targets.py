"""A folder with the library in; compiled for phones, and run where possible, out."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...edge.errors import ExportError
from ..device.compiler import build, find_compiler

LIB = Path(__file__).parents[2] / "edge" / "device" / "lib"
"""Folder of the files around the engine that an app needs."""

_COMMON = ("-std=c99", "-O2", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden")
_DECLARED = ("-nostdlib", "-nostdlibinc", f"-I{LIB / 'declared'}", "-fuse-ld=lld")
_ANDROID_API = 23
_TIMEOUT_S = 300


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a library can run: this machine, or an emulated one."""

    compiler: tuple[str, ...]
    """The compiler and its options."""
    libc: str | None = None
    """A header that must exist, because a compiler may come without a C library."""
    emulator: tuple[str, ...] = ()

    @property
    def missing(self) -> str | None:
        """The program or header missing for compiling, if any."""
        return _first_missing(self.compiler[:1]) or (
            self.libc if self.libc and not Path(self.libc).is_file() else None
        )

    @property
    def missing_to_run(self) -> str | None:
        """The program or header missing for running, if any."""
        return self.missing or _first_missing(self.emulator[:1])


@dataclass(frozen=True, kw_only=True)
class Target:
    """A system that apps run on, with its own headers or with declarations instead."""

    name: str
    machine: Machine | None = None
    """Where it can run."""
    declared: tuple[str, ...] | None = None
    """clang's options for compiling against ``edge/device/lib/declared``; if empty, the machine's
    own compiler is used."""
    kotlin: bool = False
    """Whether it includes the functions that Kotlin calls, if there is a JDK."""

    @property
    def command(self) -> tuple[str, ...]:
        """The compiler of the library, with its options."""
        if self.declared is not None:
            return ("clang", *_DECLARED, *self.declared)
        assert self.machine is not None
        return (*self.machine.compiler, "-shared", "-Wl,-s")

    @property
    def missing(self) -> str | None:
        """The program or header missing for compiling here, if any."""
        if self.declared is not None:
            return _first_missing(("clang", "ld.lld"))
        assert self.machine is not None
        return self.machine.missing

    @property
    def how(self) -> str:
        """How it is run, if there is something to add."""
        emulator = self.machine.emulator[:1] if self.machine else ()
        libc = ["with glibc in place of Android's C library"] if self.kotlin else []
        return ", ".join([*(f"in {program}" for program in emulator), *libc])


def _first_missing(programs: Sequence[str]) -> str | None:
    return next((program for program in programs if shutil.which(program) is None), None)


def _android(abi: str, triple: str, machine: Machine | None) -> Target:
    link = "-Wl,-s,-soname,libharken.so,-z,max-page-size=16384"
    declared = (f"--target={triple}{_ANDROID_API}", "-shared", link)
    return Target(name=f"Android {abi}", declared=declared, machine=machine, kotlin=True)


def _apple(name: str, triple: str) -> Target:
    link = ("-dynamiclib", "-Wl,-undefined,dynamic_lookup,-x")
    return Target(name=name, declared=(f"--target={triple}", *link))


def library_targets() -> tuple[Target, ...]:
    """Return all targets; the first is this machine.

    Raises
    ------
    DependencyError
        This machine has no C compiler.
    """
    here = Machine(compiler=(find_compiler(),))
    arm64 = Machine(
        compiler=("aarch64-linux-gnu-gcc",),
        libc="/usr/aarch64-linux-gnu/include/stdlib.h",
        emulator=("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
    )
    arm32 = Machine(
        compiler=("arm-linux-gnueabi-gcc", "-shared-libgcc"),  # for integer division
        libc="/usr/arm-linux-gnueabi/include/stdlib.h",
        emulator=("qemu-arm", "-L", "/usr/arm-linux-gnueabi"),
    )
    x86_64 = here if (platform.system(), platform.machine()) == ("Linux", "x86_64") else None
    return (
        Target(name=f"{platform.system()} {platform.machine()}", machine=here),
        Target(name="Linux arm64", machine=arm64),
        _android("arm64-v8a", "aarch64-linux-android", arm64),
        _android("armeabi-v7a", "armv7a-linux-androideabi", arm32),
        _android("x86_64", "x86_64-linux-android", x86_64),
        _apple("iOS arm64", "arm64-apple-ios13"),
        _apple("macOS arm64", "arm64-apple-macos11"),
    )


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A file of ``golden``, and the output that every library must give for it."""

    file: str
    content: bytes
    options: tuple[str, ...]
    """Sample rate and type, for the listening program."""
    answers: Mapping[str, bytes]
    """By kind of output: features, logits, json."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """The result for a target."""

    target: str
    compiler: str
    bytes: int
    """Size of the shared library, stripped."""
    declared: bool
    """Whether declarations replaced the headers and libraries of the system."""
    kotlin: bool
    """Whether it includes the functions that Kotlin calls."""
    run: bool
    """Whether it was run, with the expected output; else it was only compiled."""
    how: str
    """How it was run, or why it was not."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return asdict(self)


def find_jni() -> tuple[Path, ...]:
    """Return the folders of jni.h of an installed Java development kit, if any."""
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
    """Compile for a target: the library and, if it can run here, the listening program.

    Parameters
    ----------
    target
        One with nothing missing here.
    project
        The exported folder.
    folder
        Existing folder for the results.

    Returns
    -------
    built : Built
        The result, provided that the output will be as expected.
    program : Path or None
        The listening program; None if it cannot run here.

    Raises
    ------
    ExportError
        It cannot be compiled, or the program cannot be linked with the library.
    """
    source = project / "src"
    sources, include = sorted(source.glob("*.c")), [source / "include", source]
    jni = find_jni() if target.kotlin else ()
    if jni:
        sources.append(project / "android" / "src" / "main" / "cpp" / "harken_jni.c")
        include += jni
    library = folder / "libharken.so"
    flags = (*_COMMON, "-include", str(source / "harken_public.h"))
    build(sources, library, include=include, flags=flags, compiler=target.command)
    machine, program = target.machine, None
    missing = machine.missing_to_run if machine else None
    if machine and not missing:
        program = folder / "listen"
        build(
            [project / "desk" / "listen.c", library],
            program,
            include=[source / "include"],
            flags=("-std=c99", "-O2", "-Wl,-rpath,$ORIGIN"),
            compiler=machine.compiler,
        )
    built = Built(
        target=target.name,
        compiler=f"{Path(target.command[0]).name} {_version(target.command[0])}",
        bytes=library.stat().st_size,
        declared=target.declared is not None,
        kotlin=bool(jni),
        run=program is not None,
        how=f"{missing} is missing" if missing else target.how if program else "",
    )
    return built, program


def ask(target: Target, program: Path, sound: Sound, part: str) -> bytes:
    """Return the listening program's output for a sound: features, logits or json.

    Raises
    ------
    ExportError
        It fails.
    """
    emulator = target.machine.emulator if target.machine else ()
    command = [*emulator, str(program), *sound.options, f"--{part}"]
    try:
        done = subprocess.run(
            command, input=sound.content, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"{target.name}: no output within {_TIMEOUT_S} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ExportError(
            f"{target.name}: the library failed (code {done.returncode}): "
            f"{said[0] if said else 'no message'}"
        )
    return done.stdout


def check_answers(target: Target, program: Path, sounds: Sequence[Sound]) -> None:
    """Compare a target's output with what it must be.

    Raises
    ------
    ExportError
        It fails, or differs.
    """
    asked = [(sound, part) for sound in sounds for part in sound.answers]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # emulators are slow
        answers = pool.map(lambda each: ask(target, program, *each), asked)
        for (sound, part), answer in zip(asked, answers, strict=True):
            if answer != sound.answers[part]:
                raise ExportError(
                    f"library check: on {target.name} the {part} of {sound.file} differ from those "
                    "of the engine here; the compiler does not follow the standard"
                )


def _version(compiler: str) -> str:
    done = subprocess.run(
        [compiler, "-dumpversion"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.stdout.strip()
