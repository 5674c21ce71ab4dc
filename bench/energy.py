"""Measure the savings of the gate: ``python bench/energy.py [MODEL] [--data DIR] [--json]``.

For each of four kinds of audio: instructions per second of the whole C engine, on a Cortex-M4F and
on code for a Cortex-M0+ (counted by QEMU), with the gate and without; and the share of the frames
that are processed. Then the processor time of `harken listen` in a quiet room, the delay of words
after an hour of silence, and RAM. ``harken tune MODEL --gate`` measures which words a gate misses.

The audio is synthetic: white noise, a fan (noise that falls by 6 dB per octave, and hum), a kitchen
(a fan and clatter), and the demo recording as talk. With ``--data``, a folder as for `harken
train`, fan and kitchen are recordings of Speech Commands.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from harken.edge.app.listen_cli import DEMO
from harken.edge.spotting.gate import GateConfig
from harken.edge.spotting.manifest import Model, load_model
from harken.edge.spotting.spotter import Event, Spotter
from harken.export.device.bundle import engine_sources
from harken.export.device.golden import golden_source
from harken.export.device.source import EngineModel
from harken.export.device.targets import TARGETS, measure_sound

Int16 = NDArray[np.int16]

GATE = GateConfig(margin_db=12.0, hold_ms=1500, rise_db_per_s=3.0)
"""For models without a gate."""

RATE = 16_000
SETTLED_S = 5  # before counting starts: a room sounds the same all day
SOUND_S = 25
RECORDINGS = {
    "fan": ("background_noise/exercise_bike.flac",),
    "kitchen": ("background_noise/kitchen.opus", "background_noise/doing_the_dishes.flac"),
}


def int16(samples: NDArray[np.float64]) -> Int16:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def noise(seconds: float, dbfs: float, *, slope: float = 0.0) -> NDArray[np.float64]:
    """Noise whose amplitude falls as ``frequency ** -slope`` above 50 Hz, full scale 32,768."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(1).normal(size=count))
    spectrum /= np.maximum(np.fft.rfftfreq(count, 1 / RATE), 50) ** slope
    samples = np.fft.irfft(spectrum, count)
    level: NDArray[np.float64] = samples / samples.std() * 32768 * 10 ** (dbfs / 20)
    return level


def sounds(data: Path | None) -> dict[str, Int16]:
    """Return the four recordings by name, int16 at 16 kHz."""
    times = np.arange(SOUND_S * RATE) / RATE
    hum = sum(300 / order * np.sin(2 * np.pi * 100 * order * times) for order in (1, 2, 3))
    fan = noise(SOUND_S, -42, slope=1) + hum
    rng = np.random.default_rng(2)
    clatter = np.zeros(len(times))
    for start in rng.uniform(0, SOUND_S, SOUND_S // 2):
        since = times - start
        ring = np.sin(2 * np.pi * rng.uniform(1500, 5000) * since) * np.exp(-25 * since)
        clatter += np.where(since >= 0, rng.uniform(500, 6000) * ring, 0)
    demo = soundfile.read(DEMO, dtype="int16")[0]
    made = {
        "silent room": int16(noise(SOUND_S, -60)),
        "fan": int16(fan),
        "kitchen": int16(fan + clatter),
        "talk": np.tile(demo, 2)[: SOUND_S * RATE],
    }
    if data is not None:
        for name, files in RECORDINGS.items():
            parts = [soundfile.read(data / file, dtype="int16")[0] for file in files]
            made[name] = np.concatenate([part[: 60 * RATE] for part in parts])
    return made


def with_gate(model: Model, gate: GateConfig | None) -> Model:
    return dataclasses.replace(model, manifest=dataclasses.replace(model.manifest, gate=gate))


def instructions(model: Model, pcm: Int16, folder: Path) -> dict[str, dict[str, float]]:
    """Return instructions per second and the share of processed frames for each target."""
    engine = EngineModel.of(model)
    sources = engine_sources(engine)
    sources["model_golden.c"] = golden_source(engine.identifier, np.zeros(1, np.int8), {})
    for name, text in sources.items():
        (folder / name).write_text(text)
    sound = folder / "sound.s16"
    pcm.astype("<i2").tofile(sound)
    frames_a_second = RATE / model.manifest.front_end.hop_samples
    found = {}
    for target in TARGETS:
        if target.name not in ("Cortex-M4F", "Cortex-M0+"):
            continue
        if target.missing is not None:
            print(f"{target.name} left out: no {target.missing}", file=sys.stderr)
            continue
        heard = measure_sound(target, folder, sound, settled=round(SETTLED_S * frames_a_second))
        found[target.name] = {
            "instructions_a_second": round(heard.instructions * frames_a_second),
            "heard": heard.awake / heard.frames,
        }
    return found


def listening_s(model: Model, folder: Path, minutes: float) -> dict[str, float]:
    """Return processor seconds of `harken listen` in a quiet room, with the gate and without."""
    (folder / model.path.name).write_bytes(model.content)
    manifest = folder / f"{model.path.stem}.json"
    model.manifest.save(manifest)
    quiet = folder / "room.wav"
    soundfile.write(quiet, int16(noise(minutes * 60, -60)), RATE)
    found = {}
    for name, options in (("gated", []), ("ungated", ["--no-gate"])):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "harken", "listen", str(manifest), "--wav", str(quiet)]
        subprocess.run([*command, "--plain", "--quiet", *options], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found[name] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found


def wake_up(model: Model, minutes: float) -> dict[str, float]:
    """Compare the demo's words after this much silence, with and without the gate."""
    quiet = int16(noise(60, -60))
    demo = soundfile.read(DEMO, dtype="int16")[0] + quiet[:1]

    def words(gate: bool) -> list[Event]:
        spotter = Spotter(model, gate=gate)
        for _ in range(round(minutes)):
            spotter.feed(quiet)
        return spotter.feed(demo)

    gated, ungated = words(True), words(False)
    late = []
    for event in ungated:
        same = [each for each in gated if each.word == event.word]
        delays = [each.end_s - event.end_s for each in same]
        near = [delay for delay in delays if abs(delay) < 0.5]
        late += [min(near, key=abs)] if near else []
    return {
        "words": len(ungated),
        "lost": len(ungated) - len(late),
        "first_ms": round(1000 * late[0], 1) if late else float("nan"),
        "latest_ms": round(1000 * max(late), 1) if late else float("nan"),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("model", nargs="?", default="commands")
    arguments.add_argument("--data", type=Path, help="recordings, for fan and kitchen")
    arguments.add_argument("--minutes", type=float, default=60, help="of silence")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    given = arguments.parse_args()
    model = load_model(given.model)
    model = with_gate(model, model.manifest.gate or GATE)
    report: dict[str, object] = {"model": model.manifest.name}
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for sound, pcm in sounds(given.data).items():
            rows[sound] = {
                "gated": instructions(model, pcm, folder),
                "ungated": instructions(model.ungated, pcm, folder),
            }
        report["gate"] = dataclasses.asdict(model.manifest.gate or GATE)
        report["instructions"] = rows
        report["listening_s"] = listening_s(model, folder, given.minutes)
    report["wake_up"] = wake_up(model, given.minutes)
    bytes_of = [EngineModel.of(each).memory_bytes for each in (model, model.ungated)]
    report["memory_bytes"] = {"gated": bytes_of[0], "ungated": bytes_of[1]}
    if given.json:
        print(json.dumps(report, indent=2))
        return
    table = Table(title=f"{model.manifest.name}: millions of instructions per second")
    for heading in ("sound", "target", "ungated", "gated", "share", "frames heard"):
        table.add_column(heading)
    for sound, row in rows.items():
        for target, gated in row["gated"].items():
            ungated = row["ungated"][target]["instructions_a_second"]
            ours = gated["instructions_a_second"]
            table.add_row(
                sound,
                target,
                f"{ungated / 1e6:.2f}",
                f"{ours / 1e6:.2f}",
                f"{ours / ungated:.1%}",
                f"{gated['heard']:.0%}",
            )
    console = Console()
    console.print(table)
    for title in ("gate", "listening_s", "wake_up", "memory_bytes"):
        console.print(f"{title}: {report[title]}")


if __name__ == "__main__":
    main()
