"""Check an installed harken, outside a checkout: ``python check_installed.py [--run RUN]``.

Listens to the demo recording and makes every export of a model, in a folder that goes away. Needs a
C compiler, and clang and lld for the page. With ``--run`` a run folder, and the form for TensorFlow
Lite Micro, are exported instead, which need ``harken[train,tflm]``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import harken

MODEL = "commands-tiny"
WRITTEN = {  # of what each target writes, a file that comes from a template or from the model
    "c": "harken.c",
    "web": "site.json",
    "lib": "Package.swift",
    "litert": "listen.py",
}


def call(*arguments: object, cwd: Path) -> str:
    """Run the command line of the package that is installed; end when it fails."""
    command = [sys.executable, "-P", "-m", "harken", *map(str, arguments)]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=cwd, check=False, capture_output=True, encoding="utf-8", errors="replace"
    )
    print(f"{time.monotonic() - began:5.1f} s  harken {' '.join(map(str, arguments))}", flush=True)
    if done.returncode or "Traceback" in done.stderr:
        sys.exit(f"it ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Run the checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="run folder to export")
    wanted = parser.parse_args()
    package = Path(harken.__file__).parent
    if (package / "edge").is_symlink():
        sys.exit(f"{package} is a checkout; install the wheel")
    print(f"harken {harken.__version__} in {package}; HOME={os.environ.get('HOME')}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if wanted.run is not None:
            call("export", wanted.run, "--out", "made", cwd=folder)
            assert list((folder / "made").glob("*.tflite"))
            if importlib.util.find_spec("tflite_micro") is None:
                print("Left out: --target tflm, for want of tflite-micro")
                return
            call("export", MODEL, "--target", "tflm", "--out", "tflm", cwd=folder)
            assert (folder / "tflm" / "README.md").is_file()
            return
        heard = call("listen", "--wav", files("harken.models") / "demo.flac", "--json", cwd=folder)
        assert len(heard.splitlines()) >= 12, heard
        for target, written in WRITTEN.items():
            call("export", MODEL, "--target", target, "--out", target, cwd=folder)
            assert list((folder / target).rglob(written)), f"{target}: no {written}"


if __name__ == "__main__":
    main()
