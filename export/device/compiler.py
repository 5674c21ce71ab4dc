"""The C compiler of this machine: sources in, a program out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...edge.errors import DependencyError, ExportError

FLAGS = ("-std=c99", "-O2", "-ffp-contract=off")
"""Default compiler flags for the engine."""


def find_compiler() -> str:
    """Return the command of the C compiler: the environment variable CC, or one on the path.

    Raises
    ------
    DependencyError
        There is none.
    """
    wanted = os.environ.get("CC")
    for command in (wanted,) if wanted else ("cc", "gcc", "clang"):
        found = shutil.which(command or "")
        if found:
            return found
    what = f"CC is {wanted!r}, which is not a program" if wanted else "no C compiler was found"
    raise DependencyError(
        f"{what}; the golden values are the output of the compiled engine: install one with "
        "`sudo apt-get install gcc`, or say where it is with CC=/path/to/cc"
    )


def build(
    sources: Iterable[Path],
    program: Path,
    *,
    include: Sequence[Path] = (),
    flags: Sequence[str] = FLAGS,
    compiler: str | Sequence[str] | None = None,
) -> None:
    """Compile and link; the compiler is a command, or a program with its first arguments.

    Raises
    ------
    DependencyError
        There is no compiler.
    ExportError
        It rejects the sources.
    """
    compiler = compiler or find_compiler()
    command = [
        *([compiler] if isinstance(compiler, str) else compiler),
        *flags,
        *(f"-I{folder}" for folder in include),
        *(str(source) for source in sources),
        "-o",
        str(program),
    ]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise ExportError(f"the C compiler {command[0]} fails: {(errors or ['no message'])[0]}")
