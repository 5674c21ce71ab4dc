"""A model in, one WebAssembly file out: the engine, the model, and its description."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path

from ...edge.errors import DependencyError
from ..device.bundle import ENGINE, engine_sources
from ..device.compiler import build
from ..device.source import EngineModel

WEB = ENGINE.parent / "web"
"""Folder of the files around the engine for browsers."""

STREAM = ENGINE / "stream"
"""Sources of the stream that converts rates and moves thresholds."""

FORMAT = 2
"""Version of the file's description and of words; engine.js reads both."""

_SECTION = "harken"
_FLAGS = (
    "-std=c99",
    "-O2",
    "-nostdlib",
    "-ffreestanding",
    "-fno-builtin",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-Wl,--no-entry,--strip-all,-z,stack-size=16384",
)
_NOT_NEEDED = ("harken_selftest.c",)


def find_wasm_compiler() -> tuple[str, ...]:
    """Return the command that compiles for WebAssembly: clang with wasm-ld, or Zig's from PyPI.

    Raises
    ------
    DependencyError
        There is none.
    """
    if shutil.which("clang") and shutil.which("wasm-ld"):
        return ("clang", "--target=wasm32")
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding")
    raise DependencyError(
        "no compiler for WebAssembly was found; install one with `sudo apt-get install clang lld`, "
        "or, where there is no apt-get, `pip install ziglang`"
    )


def compile_wasm(model: EngineModel) -> bytes:
    """Compile the engine with a model.

    Raises
    ------
    DependencyError
        There is no compiler for WebAssembly.
    ExportError
        It fails.
    """
    compiler = find_wasm_compiler()
    with tempfile.TemporaryDirectory() as name:
        folder, module = Path(name), Path(name) / "model.wasm"
        for file, text in engine_sources(model).items():
            if file not in _NOT_NEEDED:
                (folder / file).write_text(text, "utf-8")
        sources = [*folder.glob("*.c"), *STREAM.glob("*.c"), *(WEB / "wasm").glob("*.c")]
        build(
            sorted(sources, key=lambda path: path.name),
            module,
            include=(folder, STREAM, WEB / "wasm"),
            flags=_FLAGS,
            compiler=compiler,
        )
        return module.read_bytes() + custom_section(_SECTION, description(model))


def description(model: EngineModel) -> bytes:
    """Return the file's description, as JSON in ASCII."""
    manifest, prior = model.manifest, model.prior
    content = {
        "format": FORMAT,
        "name": manifest.name,
        "digest": manifest.model.sha256[:12],
        "labels": manifest.labels,
        "words": manifest.words,
        "thresholds": dict(manifest.detector.thresholds),
        "rate": manifest.front_end.sample_rate_hz,
        "hopSamples": manifest.front_end.hop_samples,
        "stepSamples": manifest.step_samples,
        "features": manifest.front_end.n_mfcc,
        "grammar": None if prior is None else prior.grammar.digest,
        "pending": [] if prior is None else prior.tables.pending,
    }
    return json.dumps(content, separators=(",", ":")).encode("ascii")


def custom_section(name: str, content: bytes) -> bytes:
    """Return a custom section, to be appended to a WebAssembly file."""
    label = name.encode()
    body = _leb128(len(label)) + label + content
    return b"\0" + _leb128(len(body)) + body


def _leb128(number: int) -> bytes:
    """Return a number in LEB128: seven bits per byte, the lowest first."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*digits, number))
