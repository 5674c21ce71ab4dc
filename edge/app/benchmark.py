"""A model in, its size, operations, speed and memory on this machine out.

Speeds are in processor time of the whole process, summed over its threads, so that neither a busy
machine nor a second core distorts them. The audio is noise, and all of it is processed, even if the
model has a gate: so its content changes neither the operations nor, measurably, the time.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sound.sources import BLOCK_MS
from ..spotting.engine import Engine, TfliteRuntime
from ..spotting.frontend import FrontEnd
from ..spotting.manifest import Model
from ..spotting.spotter import Spotter
from ..spotting.tflite import read_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

SOUND_S = 20.0
"""Seconds of audio per measurement."""

REPEATS = 5
"""Number of measurements; the median counts."""

# Program of a process that only listens; its arguments are a model and a runtime.
_LISTENING = """
import sys
from harken.edge import Spotter
from harken.edge.app.benchmark import noise, peak_memory_bytes
path, runtime = sys.argv[1:]
spotter = Spotter(path, runtime=runtime, gate=False)
for block in noise(spotter.model.manifest.front_end.sample_rate_hz):
    spotter.feed(block)
print(peak_memory_bytes())
"""

_IMPORTING = """
import time
start = time.perf_counter()
import harken.edge
print(time.perf_counter() - start)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What a model costs.

    Attributes
    ----------
    model : str
        Its name.
    model_bytes : int
        Length of the TFLite file.
    tflm_arena_bytes : int or None
        Working memory on a microcontroller, from the manifest; None if not measured.
    frame_ms, step_ms : float
        Time from one front-end frame, and from one network step, to the next.
    macs_per_step, macs_per_second : int
        Multiply-accumulates of the network, per step and per second of audio. The front end is not
        included.
    front_end_us_per_frame, engine_us_per_step : float
        Processor time in microseconds.
    real_time_factor : float
        Processor time per duration of the audio, from samples to events, in blocks of `BLOCK_MS`.
    import_s : float
        Wall time of ``import harken.edge`` in a new process, numpy included.
    peak_memory_bytes : int
        Peak resident memory of a new process that listens, Python and numpy included.
    sound_s : float
        Seconds of audio per measurement.
    repeats : int
        Number of measurements; the figures are their medians.
    runtime, processor, python, numpy : str
        What it was measured with.
    """

    model: str
    model_bytes: int
    tflm_arena_bytes: int | None
    frame_ms: float
    step_ms: float
    macs_per_step: int
    macs_per_second: int
    front_end_us_per_frame: float
    engine_us_per_step: float
    real_time_factor: float
    import_s: float
    peak_memory_bytes: int
    sound_s: float
    repeats: int
    runtime: str
    processor: str
    python: str
    numpy: str


def benchmark(model: Model, *, runtime: str | None = None) -> Benchmark:
    """Measure a model on this machine; takes a few seconds.

    Parameters
    ----------
    model : Model
        The model.
    runtime : str, optional
        Which interpreter; see `load_interpreter_class`.

    Raises
    ------
    DependencyError
        The interpreter is missing.
    ModelError
        The interpreter refuses the model.
    """
    manifest = model.manifest
    rate_hz = manifest.front_end.sample_rate_hz
    interpreter = TfliteRuntime(model, runtime)
    front_end = FrontEnd(manifest.front_end)
    engine = Engine(model, runtime=interpreter)
    spotter = Spotter(model, runtime=interpreter, gate=False)
    blocks = list(noise(rate_hz))
    frames = front_end.feed(np.concatenate(blocks))
    stride = manifest.step.stride_frames
    steps = [frames[start : start + stride] for start in range(0, len(frames), stride)]
    macs = count_macs(model)
    return Benchmark(
        model=manifest.name,
        model_bytes=len(model.content),
        tflm_arena_bytes=manifest.memory.tflm_arena_bytes,
        frame_ms=1000 * manifest.front_end.hop_samples / rate_hz,
        step_ms=1000 * manifest.step_samples / rate_hz,
        macs_per_step=macs,
        macs_per_second=round(macs * rate_hz / manifest.step_samples),
        front_end_us_per_frame=1e6 * _processor_time(front_end.feed, blocks) / len(frames),
        engine_us_per_step=1e6 * _processor_time(engine.feed, steps) / len(steps),
        real_time_factor=_processor_time(spotter.feed, blocks) / SOUND_S,
        import_s=statistics.median(float(_python(_IMPORTING)) for _ in range(REPEATS)),
        peak_memory_bytes=int(_python(_LISTENING, str(model.path), interpreter.name)),
        sound_s=SOUND_S,
        repeats=REPEATS,
        runtime=interpreter.name,
        processor=processor_name(),
        python=platform.python_version(),
        numpy=np.__version__,
    )


def count_macs(model: Model) -> int:
    """Return the multiply-accumulates of one network step.

    One for each weight of a matrix, and of a convolution at each of its places; three for each LSTM
    cell: two that update it (forget times cell, input times candidate) and one for its output.
    Biases and activations are not counted.
    """
    graph = read_graph(model.content)
    return graph.multiplications + 3 * sum(graph.lstm_units)


def noise(sample_rate_hz: int) -> Iterator[NDArray[np.int16]]:
    """Yield `SOUND_S` of white noise at -20 dBFS, the same each time, block by block."""
    random = np.random.default_rng(0)
    length = sample_rate_hz * BLOCK_MS // 1000
    for _ in range(round(SOUND_S * 1000 / BLOCK_MS)):
        yield np.clip(random.normal(0, 3277, length), -32768, 32767).astype(np.int16)


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process.

    On Linux not from ``getrusage``, which counts what the parent held when it started the process.
    0 on Windows, where Python cannot tell.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(
            line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM")
        )
        return 1024 * int(line.split()[1])
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def _processor_time(work: Callable[[Any], object], chunks: Iterable[Any]) -> float:
    """Return the processor time of the work on all chunks, in seconds."""

    def once() -> float:
        start = time.process_time()
        for chunk in chunks:
            work(chunk)
        return time.process_time() - start

    return statistics.median(once() for _ in range(REPEATS))


def _python(program: str, *arguments: str) -> str:
    """Run a program in a new Python process and return what it prints."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def processor_name() -> str:
    """Return the name of the processor, as far as the system knows."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text("utf-8").splitlines() if info.exists() else []:
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()
