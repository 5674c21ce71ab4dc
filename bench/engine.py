"""Measure the C engine: ``python bench/engine.py [--json]``.

For each model and target: instructions per frame, in all and per multiplication by a weight, flash,
in all and beyond the weights and biases, and RAM with the stack. In addition to the models that
ship, it measures those that harken's aims are stated for: an LSTM of 64 units on 40 MFCC at each
frame, and two hybrids of SVDF layers and an LSTM, without convolutions. Their weights are random:
they show the cost of a shape, and detect nothing.

Boards are emulated by QEMU, which counts instructions; callgrind counts those of this machine, and
the time of a frame is measured as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from harken.edge.device.limits import CELL_CLIP
from harken.edge.spotting.manifest import StateConfig, load_model
from harken.export.device.bundle import engine_sources
from harken.export.device.compiler import build
from harken.export.device.golden import ask_engine, boot_recording, golden_source, recording
from harken.export.device.graph import EngineNetwork, engine_network, read_network
from harken.export.device.source import EngineModel
from harken.export.device.tables import detector_tables, front_end_tables
from harken.export.device.targets import TARGETS, measure
from harken.export.quantize import quantize
from harken.export.reference import Dense, Lstm, Network, Svdf
from harken.train.config import ModelConfig

BUNDLE = Path(__file__).parents[1] / "edge" / "device" / "c" / "bundle"
UNITS, FEATURES = 64, 40
HYBRIDS = {"large": (88, 72), "tiny": (44, 40)}
"""Units of their SVDF layers and of their LSTM."""
HYBRID_FRAMES = 3


def reference() -> EngineModel:
    """Return the shape that the aims are stated for."""
    model = load_model("commands")
    manifest, rng = model.manifest, np.random.default_rng(0)
    front_end = dataclasses.replace(
        manifest.front_end,
        n_mfcc=FEATURES,
        mean=(*manifest.front_end.mean, *[0.0] * 20),
        std=(*manifest.front_end.std, *[4.0] * 20),
    )
    manifest = dataclasses.replace(
        manifest,
        name="reference",
        front_end=front_end,
        step=dataclasses.replace(manifest.step, stride_frames=1, context_frames=1),
        input=dataclasses.replace(manifest.input, shape=(1, 1, FEATURES)),
        state=dataclasses.replace(manifest.state, lstm_units=(UNITS,)),
    )

    def weights(*shape: int) -> np.ndarray:
        return np.clip(np.rint(rng.normal(0, 30, shape)), -127, 127).astype(np.int8)

    shipped = read_network(model.content)
    lstm = dataclasses.replace(
        shipped.lstm[0],
        input_weights=weights(4, UNITS, FEATURES),
        state_weights=weights(4, UNITS, UNITS),
        input_bias=rng.integers(-3000, 3000, (4, UNITS)),
        state_bias=rng.integers(-3000, 3000, (4, UNITS)),
    )
    last = dataclasses.replace(shipped.last, weights=weights(len(manifest.labels), UNITS))
    return EngineModel(
        manifest=manifest,
        network=EngineNetwork(svdf=(), lstm=(lstm,), last=last),
        front_end=front_end_tables(manifest),
        detector=detector_tables(manifest),
    )


def hybrid(size: str) -> EngineModel:
    """Return a hybrid on the MFCC of `commands`, three frames of them at each step."""
    manifest, rng = load_model("commands").manifest, np.random.default_rng(0)
    svdf_units, lstm_units = HYBRIDS[size]
    memory = (3, 5, 5, 5, 5)
    config = ModelConfig(
        svdf_units=(svdf_units,) * len(memory), svdf_memory=memory, lstm_units=(lstm_units,)
    )
    inputs, labels = HYBRID_FRAMES * manifest.front_end.n_mfcc, len(manifest.labels)

    def weights(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    stem, lstm, width = [], [], inputs
    for layer, (units, memory) in enumerate(config.svdf):
        stem.append(
            Svdf(
                kernel=weights(width, units),
                time_kernel=weights(memory, units),
                bias=weights(units),
                adds=config.adds(layer),
            )
        )
        width = units
    for units in config.lstm_units:
        kernels = {"kernel": weights(width, 4 * units)}
        kernels["recurrent_kernel"] = weights(units, 4 * units)
        lstm.append(Lstm(**kernels, bias=weights(4 * units)))
        width = units
    network = quantize(
        Network(
            dense_in=None,
            svdf=tuple(stem),
            lstm=tuple(lstm),
            dense_out=Dense(kernel=weights(width, labels), bias=weights(labels)),
            cell_clip=CELL_CLIP,
        ),
        rng.normal(size=(500, inputs)).astype(np.float32),
    )
    source, output = network.source, network.last.output
    manifest = dataclasses.replace(
        manifest,
        name=f"hybrid-{size}",
        step=dataclasses.replace(manifest.step, context_frames=HYBRID_FRAMES),
        input=dataclasses.replace(
            manifest.input,
            shape=(1, 1, inputs),
            scale=float(source.scale),
            zero_point=source.zero_point,
        ),
        output=dataclasses.replace(
            manifest.output, scale=float(output.scale), zero_point=output.zero_point
        ),
        state=StateConfig(
            svdf_units=config.svdf_units,
            svdf_memory=config.svdf_memory,
            lstm_units=config.lstm_units,
            cell_clip=CELL_CLIP,
        ),
    )
    return EngineModel(
        manifest=manifest,
        network=engine_network(network),
        front_end=front_end_tables(manifest),
        detector=detector_tables(manifest),
    )


def weight_bytes(network: EngineNetwork) -> int:
    """Count the bytes of weights and biases."""
    dense = [*(layer.dense for layer in network.conv), network.last]
    arrays = [part for layer in dense for part in (layer.weights, layer.bias)]
    for stem in network.svdf:
        arrays += [stem.weights, stem.time_weights, stem.bias, stem.time_bias]
    for layer in network.lstm:
        arrays += [layer.input_weights, layer.state_weights, layer.input_bias, layer.state_bias]
    # Biases are int64 here, int32 in the engine.
    return sum(array.size * min(array.itemsize, 4) for array in arrays)


def write(model: EngineModel, folder: Path) -> None:
    """Write the sources, with golden values from this machine's engine."""
    sources = engine_sources(model)
    boot = boot_recording(load_model("commands"))
    sources["model_golden.c"] = golden_source(model.identifier, boot, {})
    sources["main_stdin.c"] = (BUNDLE / "main_stdin.c").read_text()
    answers = ask_engine(sources, recording()[:16_000])
    values = {kind: answer.boot for kind, answer in answers.items()}
    sources["model_golden.c"] = golden_source(model.identifier, boot, values)
    main = sources.pop("main_stdin.c")
    for name, text in sources.items():
        (folder / name).write_text(text)
    (folder.parent / "main_stdin.c").write_text(main)


def host(folder: Path, *, fixed: bool) -> dict[str, object]:
    """Count this machine's instructions and measure the time of a frame."""
    program = folder.parent / "listen"
    build(
        [folder.parent / "main_stdin.c", *sorted(folder.glob("*.c"))],
        program,
        include=[folder],
        flags=("-std=c99", "-O3", "-ffp-contract=off", f"-DHARKEN_FIXED_POINT={int(fixed)}"),
    )
    short, long = recording()[:80_000], recording()
    frames = (len(long) - len(short)) / 320
    best = []
    for pcm in (short, np.tile(long, 10)):
        sound, times = pcm.astype("<i2").tobytes(), []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([program], input=sound, capture_output=True, check=True)
            times.append(time.perf_counter() - start)
        best.append(min(times))
    micros = (best[1] - best[0]) / ((10 * len(long) - len(short)) / 320) * 1e6
    found: dict[str, object] = {
        "target": "here, -O3",
        "fixed": fixed,
        "microseconds": round(micros, 2),
        "share_of_real_time": round(micros / 20_000, 6),
    }
    if shutil.which("valgrind"):
        counts = [_callgrind(program, pcm) for pcm in (short, long)]
        found["instructions"] = round((counts[1] - counts[0]) / frames)
    return found


def _callgrind(program: Path, pcm: np.ndarray) -> int:
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program],
        input=pcm.astype("<i2").tobytes(),
        capture_output=True,
        check=True,
    )
    count = re.search(rb"Collected : (\d+)", done.stderr)
    assert count is not None
    return int(count[1])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--json", action="store_true", help="print JSON")
    as_json = arguments.parse_args().json
    models = [
        reference(),
        *(hybrid(size) for size in ("large", "tiny")),
        *(EngineModel.of(load_model(name)) for name in ("commands", "commands-tiny")),
    ]
    report = []
    for model in models:
        per_frame = model.network.multiplications / model.manifest.step.stride_frames
        rows: list[dict[str, object]] = []
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "src"
            folder.mkdir()
            write(model, folder)
            there = [target for target in TARGETS if target.missing is None]
            for target in TARGETS:
                if target.missing is not None:
                    print(f"{target.name} left out: no {target.missing}", file=sys.stderr)
            # Counts of instructions do not depend on what else runs; the time here does.
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                counted = list(pool.map(partial(measure, sources=folder), there))
            for target, measured in zip(there, counted, strict=True):
                if not measured.passed:
                    sys.exit(f"{target.name}: the self-test of {model.manifest.name} fails")
                rows.append(
                    {
                        **measured.to_dict(),
                        "beyond_weights": measured.flash - weight_bytes(model.network),
                        "ram": model.memory_bytes + measured.data + measured.stack,
                        "per_multiplication": round(measured.instructions / per_frame, 2),
                    }
                )
            rows += [host(folder, fixed=fixed) for fixed in (False, True)]
        report.append(
            {
                "model": model.manifest.name,
                "multiplications_a_frame": per_frame,
                "memory_bytes": model.memory_bytes,
                "targets": rows,
            }
        )
    if as_json:
        print(json.dumps(report, indent=2))
        return
    console = Console()
    for entry in report:
        table = Table(
            title=f"{entry['model']}: {entry['multiplications_a_frame']:,.0f} multiplications per "
            f"frame of 20 ms, {entry['memory_bytes']:,} bytes for harken_init"
        )
        table.add_column("target", no_wrap=True)
        table.add_column("front end")
        for heading in ("instructions", "per MAC", "flash", "but weights", "RAM", "µs"):
            table.add_column(heading, justify="right")
        for row in entry["targets"]:
            table.add_row(
                str(row["target"]),
                "integers" if row["fixed"] else "float32",
                *(
                    f"{row[key]:,}" if key in row else ""
                    for key in (
                        "instructions",
                        "per_multiplication",
                        "flash",
                        "beyond_weights",
                        "ram",
                    )
                ),
                str(row.get("microseconds", "")),
            )
        console.print(table)


if __name__ == "__main__":
    main()
