"""Measure `harken listen` in use: latency, processor, memory, losses, and after a stall.

    python bench/live.py [MODEL] [--passes N] [--hours N] [--json]

The audio is the recording that ships, repeated, each time shifted by some milliseconds. For
latency, processor and memory, `harken listen --stdin --json` runs in a separate process, which
receives 40 ms at a time in real time, as from a microphone. Latency runs from a word's last sample,
by the recording's label track, to the line on standard output; missed words have no latency, and
are counted. A processor that sleeps between the blocks wakes up slow, so its load is measured a
second time while it is kept awake. Then the same program processes hours of audio as fast as it
can. Losses are measured with a player that does not wait, at ten times the speed, and while the
listener sleeps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from harken.edge import Spotter
from harken.edge.app.listen import Heard, Listener
from harken.edge.app.listen_cli import DEMO
from harken.edge.sound.microphone import BLOCK_MS
from harken.edge.sound.pcm import Chunks
from harken.edge.sound.sources import RealTime

RATE_HZ = 16_000
BLOCK = RATE_HZ * BLOCK_MS // 1000
SHIFT_S = 0.04  # a step of the network: words end anywhere within it
STALLS_S = (2.0, 3.0)
SPEED_UP = 10.0
LATE_S = 1.5  # a later detection is not that of the word

AIMS = {
    "latency_ms_median": 200,
    "latency_ms_99": 350,
    "cpu_share": 0.02,
    "memory_mb": 80,
    "lost_at_speed_up": 0,
}


@dataclasses.dataclass(frozen=True)
class Sound:
    """The recording, repeated, and the ends of its words."""

    samples: NDArray[np.int16]
    words: list[tuple[str, float]]
    """Each word, and the second at which it ends."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("model", nargs="?", default="commands")
    parser.add_argument("--passes", type=int, default=8, help="of the recording, in real time")
    parser.add_argument("--hours", type=float, default=10.0, help="of audio, as fast as possible")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    heard = sound(given.passes)
    with awake():
        share_awake = live(given.model, heard)["cpu_share"]
    figures = {
        **live(given.model, heard),
        "cpu_share_awake": share_awake,
        **hours(given.model, given.hours),
        **sped_up(given.model, sound(10)),
        "stalls": [stalled(given.model, sound(2), stall_s) for stall_s in STALLS_S],
    }
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        aim = f"   (aim: at most {AIMS[name]:g})" if name in AIMS else ""
        if isinstance(value, list):
            for each in value:
                print(f"{name}: " + ", ".join(f"{key} {one:g}" for key, one in each.items()))
        else:
            print(f"{name}: {value:g}{aim}")


def sound(passes: int) -> Sound:
    recording, _ = soundfile.read(DEMO, dtype="int16")
    labels = [line.split("\t") for line in DEMO.with_suffix(".txt").read_text().splitlines()]
    random = np.random.default_rng(0)
    pieces, words, at = [], [], 0
    for _ in range(passes):
        shift = int(random.integers(0, round(SHIFT_S * RATE_HZ)))
        pieces += [np.zeros(shift, np.int16), recording]
        at += shift
        words += [(word, at / RATE_HZ + float(end)) for _, end, word in labels]
        at += len(recording)
    return Sound(samples=np.concatenate([*pieces, np.zeros(2 * RATE_HZ, np.int16)]), words=words)


@contextmanager
def awake() -> Iterator[None]:
    """Keep all processors from dozing off, by programs that give way to any other."""
    idle = "import os\nos.nice(19)\nwhile True: pass"
    programs = [subprocess.Popen([sys.executable, "-c", idle]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


class Process:
    """`harken listen --stdin --json`, and when each of its lines came."""

    def __init__(self, model: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harken", "listen", model, "--stdin", "--json", "--quiet"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.lines: list[tuple[float, str]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.lines.append((time.monotonic(), json.loads(line)["word"]))

    def write(self, samples: NDArray[np.int16]) -> None:
        self._process.stdin.write(samples.tobytes())
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._reader.join(60)

    @property
    def cpu_s(self) -> float:
        # Not utime and stime: they are counted in ticks of 10 ms, whoever happens to run then.
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    @property
    def memory_mb(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1000


def live(model: str, heard: Sound) -> dict[str, float]:
    """Latency, processor and memory in real time."""
    process = Process(model)
    process.write(np.zeros(RATE_HZ, np.int16))
    time.sleep(3)  # it has started, and waits
    cpu_s, began = process.cpu_s, time.monotonic()
    for start in range(0, len(heard.samples), BLOCK):
        block = heard.samples[start : start + BLOCK]
        time.sleep(max(0.0, began + (start + len(block)) / RATE_HZ - time.monotonic()))
        process.write(block)
    elapsed_s = time.monotonic() - began
    share, memory_mb = (process.cpu_s - cpu_s) / elapsed_s, process.memory_mb
    process.end()
    latencies = []
    for word, end_s in heard.words:
        came = [at - began - end_s for at, other in process.lines if other == word]
        latencies += [late for late in came if -0.5 <= late < LATE_S][:1]
    latencies.sort()
    return {
        "sound_s": len(heard.samples) / RATE_HZ,
        "words": len(heard.words),
        "words_heard": len(latencies),
        "latency_ms_median": 1000 * statistics.median(latencies),
        "latency_ms_99": 1000 * latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))],
        "latency_ms_most": 1000 * latencies[-1],
        "cpu_share": share,
        "memory_mb": memory_mb,
    }


def hours(model: str, count: float) -> dict[str, float]:
    """Return the resident memory after a tenth of many hours, and after all of them."""
    process = Process(model)
    samples = sound(1).samples
    passes = round(count * 3600 * RATE_HZ / len(samples))
    memory_mb = []
    began = time.monotonic()
    for number in range(passes):
        process.write(samples)
        if number in (passes // 10, passes - 1):
            memory_mb.append(process.memory_mb)
    process.end()
    return {
        "hours": count,
        "hours_took_s": time.monotonic() - began,
        "hours_words": len(process.lines),
        "memory_mb_after_a_tenth": memory_mb[0],
        "memory_mb_at_the_end": memory_mb[-1],
    }


class Watch:
    """An observer that counts, and sleeps once if asked to."""

    def __init__(self, *, stall_at_s: float = np.inf, stall_s: float = 0.0) -> None:
        self.words = 0
        self.lost_samples = 0
        self.late_s: list[float] = []
        self._stall_at, self._stall_s = stall_at_s * RATE_HZ, stall_s

    def heard(self, heard: Heard) -> None:
        self.words += len(heard.events)
        self.lost_samples += heard.lost_samples
        self.late_s += [event.latency_s for event in heard.events]
        if heard.start_sample >= self._stall_at:
            self._stall_at = np.inf
            time.sleep(self._stall_s)

    def notice(self, line: str) -> None:
        pass

    def close(self) -> None:
        pass


def played(heard: Sound, speed: float) -> RealTime:
    def pieces() -> Iterator[NDArray[np.int16]]:
        for start in range(0, len(heard.samples), BLOCK):
            yield heard.samples[start : start + BLOCK]

    return RealTime(Chunks(pieces()), speed=speed)


def sped_up(model: str, heard: Sound) -> dict[str, float]:
    """Return the blocks lost when the audio comes ten times as fast."""
    watch, source = Watch(), played(heard, SPEED_UP)
    with source:
        Listener(Spotter(model), source, observers=[watch]).run()
    return {"lost_at_speed_up": source.overflow.queue, "words_at_speed_up": watch.words}


def stalled(model: str, heard: Sound, stall_s: float) -> dict[str, float]:
    """Return the losses of a listener that sleeps, and whether it recovers."""
    calm, tired = Watch(), Watch(stall_at_s=5.0, stall_s=stall_s)
    for watch in (calm, tired):
        with played(heard, 1.0 if watch is tired else SPEED_UP) as source:
            Listener(Spotter(model), source, observers=[watch]).run()
    return {
        "stall_s": stall_s,
        "lost_s": tired.lost_samples / RATE_HZ,
        "words": tired.words,
        "words_without": calm.words,
        "late_ms_most": 1000 * max(tired.late_s),
        "late_ms_last": 1000 * tired.late_s[-1],
    }


if __name__ == "__main__":
    main()
