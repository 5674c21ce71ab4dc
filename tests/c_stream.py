"""The stream and the resampler of the C engine, compiled for this machine and called by ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from c_engine import Event

from harken.export.web.wasm import STREAM

FULL_SCALE = 32768


class _Resampler(ctypes.Structure):
    _fields_ = (
        ("bank", ctypes.c_void_p),
        ("history", ctypes.c_void_p),
        ("up", ctypes.c_uint32),
        ("down", ctypes.c_uint32),
        ("taps", ctypes.c_uint32),
        ("phase", ctypes.c_uint32),
        ("filled", ctypes.c_uint32),
        ("skip", ctypes.c_uint32),
    )


def build_resampler(
    folder: Path, compiler: str = "cc", flags: Sequence[str] = ("-O2",)
) -> ctypes.CDLL:
    """Compile the resampler alone, as a library."""
    library = folder / f"resampler-{Path(compiler).name}{''.join(flags)}.so"
    subprocess.run(
        [
            compiler, "-std=c99", *flags, "-fPIC", "-shared",
            "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-Wno-unknown-pragmas",
            str(STREAM / "harken_resample.c"), "-o", str(library),
        ],
        check=True,
    )  # fmt: skip
    loaded = ctypes.CDLL(str(library))
    loaded.harken_resample_bytes.restype = ctypes.c_size_t
    loaded.harken_resample.restype = ctypes.c_size_t
    return loaded


def resample(
    library: ctypes.CDLL, samples: np.ndarray, from_hz: int, to_hz: int = 16_000, chunk: int = 128
) -> np.ndarray:
    """Return samples, float32 with full scale at 1, at another rate: int16."""
    memory = (ctypes.c_char * library.harken_resample_bytes(from_hz, to_hz))()
    resampler = _Resampler()
    library.harken_resample_init(ctypes.byref(resampler), memory, from_hz, to_hz)
    samples = np.ascontiguousarray(samples, np.float32)
    room = np.empty(2 * chunk + 1, np.int16)
    parts = []
    for start in range(0, len(samples), chunk):
        part = samples[start : start + chunk]
        count = library.harken_resample(
            ctypes.byref(resampler),
            part.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(len(part)),
            room.ctypes.data_as(ctypes.c_void_p),
        )
        parts.append(room[:count].copy())
    return np.concatenate(parts)


class CStream:
    """A stream of any rate, of the library that `build_stream` made."""

    def __init__(self, library: ctypes.CDLL, model: ctypes.Structure, rate_hz: int) -> None:
        self.library = library
        library.harken_stream_bytes.restype = ctypes.c_size_t
        library.harken_stream_engine.restype = ctypes.c_void_p
        size = library.harken_stream_bytes(ctypes.byref(model), rate_hz)
        assert size, rate_hz
        self.memory = (ctypes.c_uint64 * (size // 8 + 1))()
        self.handle = ctypes.c_void_p()
        status = library.harken_stream_init(
            ctypes.byref(self.handle),
            self.memory,
            ctypes.c_size_t(size),
            ctypes.byref(model),
            rate_hz,
        )
        assert status == 0, status

    def feed(self, samples: np.ndarray, room: int = 64) -> list[Event]:
        integers = samples.dtype == np.int16
        samples = np.ascontiguousarray(samples, np.int16 if integers else np.float32)
        events = (Event * room)()
        call = self.library.harken_stream_feed16 if integers else self.library.harken_stream_feed
        count = call(
            self.handle, samples.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(samples)),
            events, ctypes.c_size_t(room),
        )  # fmt: skip
        assert 0 <= count <= room, count
        return list(events[:count])

    def call(self, name: str, *arguments: object) -> int:
        return int(getattr(self.library, f"harken_stream_{name}")(self.handle, *arguments))

    def level(self) -> tuple[float, float]:
        peak, square = ctypes.c_float(), ctypes.c_float()
        self.call("level", ctypes.byref(peak), ctypes.byref(square))
        return peak.value, square.value


def compilers() -> list[str]:
    return [name for name in ("gcc", "clang") if shutil.which(name)]
