"""Sources and the targets to measure them on in, instructions and bytes out.

Boards are emulated by QEMU, which counts instructions exactly; cycles are not measured.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...edge.errors import ExportError

BOARDS = Path(__file__).parents[2] / "edge" / "device" / "c" / "boards"
"""Folder of files that turn the engine into a program for an emulated board."""

_TIMEOUT_S = 300
_WARNINGS = ("-Wl,--no-warn-rwx-segments",)
_COMMON = ("-std=gnu99", "-O2", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections")
_ENGINE = ("harken.c", "harken_network.c", "harken_frontend.c", "model_data.c")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A processor on an emulated board."""

    name: str
    prefix: str
    """Prefix of its tools' names, such as ``arm-none-eabi-``."""
    flags: tuple[str, ...]
    link: tuple[str, ...]
    emulator: tuple[str, ...]
    fixed: bool
    """Whether the engine uses only integers there."""

    @property
    def missing(self) -> str | None:
        """The missing program, if any."""
        programs = (f"{self.prefix}gcc", f"{self.prefix}size", self.emulator[0])
        return next((program for program in programs if shutil.which(program) is None), None)


def _arm(name: str, machine: str, *flags: str, hz: int = 25_000_000, fixed: bool = False) -> Target:
    return Target(
        name=name,
        prefix="arm-none-eabi-",
        flags=("-mthumb", *flags, f"-DCLOCK_HZ={hz}u"),
        link=("-T", str(BOARDS / "cortex-m.ld")),
        emulator=("qemu-system-arm", "-M", machine),
        fixed=fixed,
    )


def _riscv(name: str, arch: str, abi: str, *, fixed: bool = False) -> Target:
    return Target(
        name=name,
        prefix="riscv64-unknown-elf-",
        flags=(f"-march={arch}", f"-mabi={abi}", "-mcmodel=medany", "--specs=picolibc.specs"),
        link=("-T", str(BOARDS / "riscv.ld")),
        emulator=("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
        fixed=fixed,
    )


TARGETS = (
    # QEMU has no board with a Cortex-M0+; a Cortex-M3 runs code compiled for it.
    _arm("Cortex-M0+", "mps2-an385", "-mcpu=cortex-m0plus", fixed=True),
    _arm("Cortex-M3", "mps2-an385", "-mcpu=cortex-m3", fixed=True),
    _arm("Cortex-M4F", "mps2-an386", "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    _arm("Cortex-M7", "mps2-an500", "-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"),
    _arm("Cortex-M55", "mps3-an547", "-mcpu=cortex-m55", "-mfloat-abi=hard", hz=32_000_000),
    _riscv("RV32IMAFC", "rv32imafc", "ilp32f"),
    _riscv("RV32IMC", "rv32imc", "ilp32", fixed=True),
)
"""All of them, the smallest first."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a model needs on a target, and whether it passed its self-test there."""

    target: str
    fixed: bool
    passed: bool
    features: int
    """CRC-32, as in `harken_golden`."""
    logits: int
    events: int
    instructions: int
    """Per frame, the mean over 200 of them."""
    most_instructions: int
    flash: int
    """Bytes: code, tables, weights, and the parts of the compiler's library."""
    data: int
    """Bytes of .data and .bss: none except the memory for harken_init."""
    stack: int
    """Most bytes below the caller of harken_feed."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return asdict(self)


def measure(target: Target, sources: Path) -> Measured:
    """Build the self-test for a target, run it, and count.

    Parameters
    ----------
    target
        One whose tools are installed.
    sources
        The folder ``src`` of an export.

    Raises
    ------
    ExportError
        It cannot be built, or ends without a result.
    """
    with tempfile.TemporaryDirectory() as name:
        program, objects = _build(target, sources, Path(name))
        size = [f"{target.prefix}size"]
        whole, *rest = _sizes([*size, str(program), *(str(made) for made in objects)])
        parts = dict(zip((made.stem for made in objects), rest, strict=True))
        ours = [parts[Path(name).stem] for name in _ENGINE]
        others = sum(text for name, (text, _) in parts.items() if f"{name}.c" not in _ENGINE)
        got = _emulate(target, program)
    return Measured(
        target=target.name,
        fixed=target.fixed,
        passed=got["status"] == 0,
        features=got["features"],
        logits=got["logits"],
        events=got["events"],
        instructions=got["instructions"],
        most_instructions=got["most_instructions"],
        flash=whole[0] - others,
        data=sum(data for _, data in ours),
        stack=got["stack"],
    )


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """The cost of a sound file on a target."""

    frames: int
    """Counted frames."""
    awake: int
    """Those of them that were processed: all, if the model has no gate."""
    n_events: int
    """Words in the whole file."""
    instructions: int
    """Per frame, the mean."""


def measure_sound(target: Target, sources: Path, sound: Path, *, settled: int = 0) -> Hearing:
    """Run the engine on a sound file on a target, and count.

    Parameters
    ----------
    target, sources
        As for `measure`.
    sound
        Samples, int16 little-endian, mono, at the model's rate. An Arm target's emulator reads it.
    settled
        Frames at the start that are processed but not counted.

    Raises
    ------
    ExportError
        As for `measure`; or the file is shorter than that.
    """
    with tempfile.TemporaryDirectory() as name:
        flags = (f'-DSOUND="{sound.resolve()}"', f"-DSETTLED={settled}u")
        program, _ = _build(target, sources, Path(name), flags)
        return Hearing(**_emulate(target, program))


def _build(
    target: Target, sources: Path, folder: Path, flags: Sequence[str] = ()
) -> tuple[Path, list[Path]]:
    """Return the program for the board, and the files it was linked from."""
    objects = []
    for source in (*sorted(sources.glob("*.c")), BOARDS / "board.c"):
        made = folder / f"{source.stem}.o"
        _run([*_compile(target), *flags, f"-I{sources}", "-c", str(source), "-o", str(made)])
        objects.append(made)
    program = folder / "board.elf"
    _run(
        [
            *_compile(target),
            "-nostartfiles",
            "-Wl,--gc-sections",
            *_WARNINGS,
            *target.link,
            *(str(made) for made in objects),
            "-o",
            str(program),
        ]
    )
    return program, objects


def _emulate(target: Target, program: Path) -> dict[str, int]:
    """Return the board's output."""
    answer = _run(
        [
            *target.emulator,
            "-nographic",
            "-semihosting-config",
            "enable=on,target=native",
            "-icount",
            "shift=0",
            "-kernel",
            str(program),
        ],
        codes=(0, 1),
    )
    try:
        got: dict[str, int] = json.loads(answer)
    except ValueError:
        raise ExportError(f"{target.name}: unexpected output: {answer[:80]!r}") from None
    return got


def _compile(target: Target) -> tuple[str, ...]:
    return (f"{target.prefix}gcc", *_COMMON, *target.flags)


def _run(command: Sequence[str], codes: tuple[int, ...] = (0,)) -> str:
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # QEMU writes the board's output there
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"{command[0]} did not finish within {_TIMEOUT_S} s") from None
    if done.returncode not in codes:
        said = done.stdout.strip().splitlines()
        raise ExportError(f"{command[0]} failed: {said[0] if said else 'no message'}")
    return done.stdout


def _sizes(command: Sequence[str]) -> list[tuple[int, int]]:
    """Return .text with .rodata, and .data with .bss, of each file."""
    rows = [line.split() for line in _run(command).splitlines()[1:]]
    return [(int(row[0]), int(row[1]) + int(row[2])) for row in rows]
