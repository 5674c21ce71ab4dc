"""The C engine with a model, compiled for this machine and called through ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from harken.edge.memory.grammar import Grammar
from harken.edge.spotting.manifest import Model
from harken.export.device.bundle import engine_sources
from harken.export.device.golden import golden_source
from harken.export.device.graph import Rescale, SvdfLayer
from harken.export.device.source import EngineModel, blocks_of_four, rows_of_four, up4

NO_WORD = 0xFFFF
NULL, ALIGNMENT, SIZE, VERSION, LENGTH, MISMATCH, RANGE = range(-1, -8, -1)

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("cc", "gcc", "clang")), reason="there is no C compiler"
)


class Event(ctypes.Structure):
    _fields_ = (
        ("start_sample", ctypes.c_uint64),
        ("end_sample", ctypes.c_uint64),
        ("faint_sample", ctypes.c_uint64),
        ("confidence", ctypes.c_uint32),
        ("acoustic", ctypes.c_uint32),
        ("faint_confidence", ctypes.c_uint32),
        ("label", ctypes.c_uint16),
        ("faint", ctypes.c_uint16),
    )

    def key(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name, _ in self._fields_)


class CModel(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("labels", ctypes.POINTER(ctypes.c_char_p)),
        ("frontend", ctypes.c_void_p),
        ("network", ctypes.c_void_p),
        ("detector", ctypes.c_void_p),
        ("prior", ctypes.c_void_p),
        ("gate", ctypes.c_void_p),
        ("sample_rate_hz", ctypes.c_uint32),
        ("hop_samples", ctypes.c_uint16),
        ("stride_frames", ctypes.c_uint8),
        ("context_frames", ctypes.c_uint8),
        ("n_labels", ctypes.c_uint8),
    )


class CScale(ctypes.Structure):
    _fields_ = (
        ("multiplier", ctypes.c_int32),
        ("left", ctypes.c_int16),
        ("right", ctypes.c_int16),
    )

    @classmethod
    def of(cls, scale: Rescale) -> CScale:
        return cls(scale.multiplier, scale.left, scale.right)


class CAddition(ctypes.Structure):
    _fields_ = (
        ("scale", CScale * 3),
        ("zero_point", ctypes.c_int8 * 3),
        ("lowest", ctypes.c_int8),
        ("span", ctypes.c_int8),
    )


class CSvdf(ctypes.Structure):
    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("time", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("addition", ctypes.POINTER(CAddition)),
        ("scale", CScale * 2),
        ("inputs", ctypes.c_int16),
        ("units", ctypes.c_int16),
        ("memory", ctypes.c_int16),
        ("zero_point", ctypes.c_int8),
    )


PROBES = {
    "harken_network.c": """
/* For tests: one SVDF layer alone. */
void probe_svdf(const harken_svdf *layer, const int8_t *in, int16_t *kept, void *scratch,
                int8_t *out);
void probe_svdf(const harken_svdf *layer, const int8_t *in, int16_t *kept, void *scratch,
                int8_t *out) {
    (void)spread(in, layer->inputs, scratch);
    svdf(layer, scratch, out, kept, out); /* what is added lies where the outputs go */
}
""",
    "harken.c": """
/* For tests: the detector alone, on the posteriors of a step, [n_labels] Q28. */
int probe_detect(harken *h, const uint32_t *posteriors, harken_event *event);
int probe_detect(harken *h, const uint32_t *posteriors, harken_event *event) {
    const harken_model *model = h->of.model;
    layout l = places(model, h);
    h->row = (uint16_t)((h->row + 1) % model->detector->smoothing_steps);
    memcpy(l.posteriors + h->row * model->n_labels, posteriors, 4u * model->n_labels);
    return detect(h, &l, event);
}
""",
}


class CLayer:
    """One SVDF layer, with memory of its own: what it keeps."""

    def __init__(self, library: ctypes.CDLL, layer: SvdfLayer) -> None:
        self.library, self.layer = library, layer
        biases = np.stack((layer.bias, layer.time_bias), axis=1)
        self.arrays = (
            blocks_of_four(layer.weights).astype(np.int8),
            rows_of_four(layer.time_weights).astype(np.int16),
            rows_of_four(biases).astype(np.int32),
        )
        self.struct = CSvdf(
            *(array.ctypes.data for array in self.arrays),
            None,
            (CScale * 2)(CScale.of(layer.scale), CScale.of(layer.time_scale)),
            layer.inputs,
            layer.units,
            layer.memory,
            layer.zero_point,
        )
        if (added := layer.addition) is not None:
            scales = (CScale * 3)(*map(CScale.of, added.scales))
            zero_points = (ctypes.c_int8 * 3)(*added.zero_points)
            self.addition = CAddition(scales, zero_points, added.lowest, added.span)
            self.struct.addition = ctypes.pointer(self.addition)
        self.kept = np.zeros(layer.memory * up4(layer.units), np.int16)
        self.scratch = np.zeros(up4(layer.inputs) + 4, np.int16)

    def invoke(self, x: np.ndarray, added: np.ndarray | None = None) -> np.ndarray:
        """(inputs,) int8, and what is added, (units,) int8, to (units,) int8."""
        place = np.full(self.layer.units + 8, 99, np.int8)
        if added is not None:
            place[: self.layer.units] = added
        self.library.probe_svdf(
            ctypes.byref(self.struct),
            *(
                array.ctypes.data_as(ctypes.c_void_p)
                for array in (np.array(x, np.int8), self.kept, self.scratch, place)
            ),
        )
        assert (place[self.layer.units :] == 99).all()
        return place[: self.layer.units].copy()

    def state(self) -> np.ndarray:
        """Return (units, memory) int16, the oldest first."""
        return unpacked(self.kept, self.layer)


def unpacked(kept: np.ndarray, layer: SvdfLayer) -> np.ndarray:
    """(units4 / 4, memory, 4) to (units, memory)."""
    units = kept.reshape(-1, layer.memory, 4).transpose(0, 2, 1).reshape(-1, layer.memory)
    return units[: layer.units]


@dataclass
class CEngine:
    """A library of the engine with one model."""

    library: ctypes.CDLL
    of: EngineModel

    def __post_init__(self) -> None:
        library = self.library
        library.harken_bytes.restype = ctypes.c_size_t
        library.harken_steps.restype = ctypes.c_uint64
        library.harken_foreseen.restype = ctypes.c_uint32
        for name in ("harken_features", "harken_logits", "harken_network_step"):
            getattr(library, name).restype = ctypes.POINTER(ctypes.c_int8)
        library.harken_posteriors.restype = ctypes.POINTER(ctypes.c_uint32)
        for name in ("harken_sigmoid", "harken_tanh"):
            getattr(library, name).restype = ctypes.c_int16
        self.model = CModel.in_dll(library, f"harken_{self.of.identifier}")

    @property
    def bytes(self) -> int:
        return int(self.library.harken_bytes(ctypes.byref(self.model)))

    def listener(self) -> Listener:
        return Listener(self)

    def network(self) -> CNetwork:
        return CNetwork(self)


class Listener:
    """Somebody who listens, in memory of their own."""

    def __init__(self, engine: CEngine) -> None:
        self.engine, self.library = engine, engine.library
        self.memory = (ctypes.c_uint64 * (engine.bytes // 8))()
        self.handle = ctypes.c_void_p()
        status = self.library.harken_init(
            ctypes.byref(self.handle), self.memory, engine.bytes, ctypes.byref(engine.model)
        )
        assert status == 0

    def feed(self, pcm: np.ndarray, room: int = 8) -> list[Event]:
        events = (Event * max(room, 1))()
        pcm = np.ascontiguousarray(pcm, np.int16)
        count = self.library.harken_feed(
            self.handle, pcm.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(pcm)), events,
            ctypes.c_size_t(room),
        )  # fmt: skip
        assert 0 <= count <= room, count
        return list(events[:count])

    def detect(self, posteriors: np.ndarray) -> list[Event]:
        """Let the detector alone process posteriors, (m, n_labels)."""
        events, event = [], Event()
        for row in np.rint(posteriors.astype(np.float64) * 2**28).astype(np.uint32):
            pointer = row.ctypes.data_as(ctypes.c_void_p)
            if self.library.probe_detect(self.handle, pointer, ctypes.byref(event)):
                events.append(Event.from_buffer_copy(event))
        return events

    def frames(self, pcm: np.ndarray) -> Iterator[list[Event]]:
        """Feed so that each call completes a frame."""
        hop = self.engine.model.hop_samples
        at = 0
        for end in range(512, len(pcm) + 1, hop):
            yield self.feed(pcm[at:end], room=1)
            at = end

    def features(self) -> np.ndarray:
        size = self.engine.of.manifest.front_end.n_mfcc
        return np.ctypeslib.as_array(self.library.harken_features(self.handle), (size,)).copy()

    def logits(self) -> np.ndarray:
        size = self.engine.model.n_labels
        return np.ctypeslib.as_array(self.library.harken_logits(self.handle), (size,)).copy()

    def posteriors(self) -> np.ndarray:
        size = self.engine.model.n_labels
        return np.ctypeslib.as_array(self.library.harken_posteriors(self.handle), (size,)).copy()

    def foreseen(self) -> float:
        return float(self.library.harken_foreseen(self.handle) / 2**28)

    def awake(self) -> bool:
        return bool(self.library.harken_awake(self.handle))

    def steps(self) -> int:
        return int(self.library.harken_steps(self.handle))


class CNetwork:
    """The network alone, as a `harken.edge.spotting.engine.Runtime`, its state to be looked at."""

    def __init__(self, engine: CEngine) -> None:
        self.library = engine.library
        self.pointer = ctypes.c_void_p(engine.model.network)
        self.labels = engine.model.n_labels
        self.network = engine.of.network
        self.state = (ctypes.c_uint64 * 4096)()
        self.scratch = (ctypes.c_uint64 * 4096)()
        self.reset()

    def reset(self) -> None:
        self.library.harken_network_reset(self.pointer, self.state)

    def invoke(self, features: np.ndarray) -> np.ndarray:
        features = np.ascontiguousarray(features, np.int8)
        logits = self.library.harken_network_step(
            self.pointer, self.state, self.scratch, features.ctypes.data_as(ctypes.c_void_p)
        )
        return np.ctypeslib.as_array(logits, (self.labels,)).copy()

    def kept(self) -> list[np.ndarray]:
        """Return what each SVDF layer keeps, (units, memory) int16."""
        at, found = 0, []
        for layer in self.network.svdf:
            count = up4(layer.units) * layer.memory
            found.append(unpacked(np.frombuffer(self.state, np.int16, count, at), layer).copy())
            at += 2 * count
        return found

    def cells(self, index: int = 0) -> np.ndarray:
        """Return those of an LSTM layer, (units,) int16."""
        units = self.network.lstm[index].units
        return np.frombuffer(self.state, np.int16, units, self._lstm(index)).copy()

    def hidden(self, index: int = 0) -> np.ndarray:
        """Return the state h of an LSTM layer, (units,) int8."""
        units = self.network.lstm[index].units
        at = self._lstm(index) + 2 * up4(units)
        return np.frombuffer(self.state, np.int8, units, at).copy()

    def _lstm(self, index: int) -> int:
        kept = sum(2 * up4(layer.units) * layer.memory for layer in self.network.svdf)
        before = self.network.lstm[:index]
        return kept + sum((3 * up4(layer.units) + 7) // 8 * 8 for layer in before)


def write_sources(model: EngineModel, folder: Path) -> None:
    for name, text in engine_sources(model).items():
        (folder / name).write_text(text)
    golden = golden_source(model.identifier, np.zeros(1, np.int8), {})
    (folder / "model_golden.c").write_text(golden)


def compile_engine(
    model: Model | EngineModel,
    folder: Path,
    *,
    fixed: bool = False,
    grammar: Grammar | None = None,
    flags: tuple[str, ...] = (),
) -> CEngine:
    """Build the engine with a model as a library in a folder, and load it."""
    engine_model = model if isinstance(model, EngineModel) else EngineModel.of(model, grammar)
    folder.mkdir(parents=True, exist_ok=True)
    write_sources(engine_model, folder)
    for name, probe in PROBES.items():
        with (folder / name).open("a") as source:
            source.write(probe)
    compiler = next(path for name in ("cc", "gcc", "clang") if (path := shutil.which(name)))
    library = folder / "engine.so"
    subprocess.run(
        [
            compiler, "-std=c99", "-O2", "-fPIC", "-shared", *flags,
            "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-Wno-unknown-pragmas",
            f"-DHARKEN_FIXED_POINT={int(fixed)}",
            f"-I{folder}", *map(str, sorted(folder.glob("*.c"))), "-o", str(library),
        ],
        check=True,
    )  # fmt: skip
    return CEngine(ctypes.CDLL(str(library)), engine_model)
