"""Measure the page for browsers: bytes, time to start, load, losses, memory, and speed.

    python bench/web.py [FOLDER] [--minutes N] [--hours N] [--starts N] [--json]

FOLDER is the output of `harken export --target web` for models that ship; without it, the page with
both is made. Headless Chromium plays the recording that ships as its microphone, repeatedly. If
other programs keep the processors busy, its simulated sound card stalls.

Time in process() comes from Chromium's own trace. The processor time of its thread is given as
well, and is higher: it includes the browser's own work on the audio. Startup time is that of a
freshly started browser, which grants the microphone without asking.

A quantum is 128 samples. Lost quanta are those that the microphone did not deliver, those rendered
but not processed by process(), those that came too late, and those not rendered while audio in the
same page without harken was. Rendering falls behind the clock only if the sound card stalls; then
words are lost, too. Both are known to within a buffer of the card, some 10 ms.

Allocations by process() are counted in Node.js, where worklet.js itself processes hours of audio.
The engine in WebAssembly, in Chromium, and the one compiled for this machine process the same audio
alternately.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.progress import track
from rich.table import Table

from harken.edge.app.listen_cli import DEMO
from harken.edge.memory.grammar import Grammar
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.spotting.manifest import load_model
from harken.export.web.bundle import export_web
from harken.export.web.wasm import STREAM

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from browser import microphone_file, serve, start_chromium
from c_engine import compile_engine
from c_stream import CStream

HERE = Path(__file__).parent
MODELS = ("commands", "commands-tiny")
QUANTUM = 128
RATE_HZ, MICROPHONE_HZ = 16_000, 48_000
SETTLING_S = 5  # after the start, before measuring
SHARE_S = 30
ROUNDS = 15  # of WebAssembly and C alternately
THREAD = "Realtime AudioW"  # Chromium's thread for worklets; names are cut to 15 letters
TRACED = "AudioWorkletProcessor::Process (author script execution)"

err = Console(stderr=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """A file that a browser keeps."""

    name: str
    size: int
    compressed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A measured figure."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="of listening in real time")
    parser.add_argument("--hours", type=float, default=1.0, help="of audio, as fast as possible")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = given.folder or exported(scratch / "site")
        offered = json.loads((folder / "site.json").read_text())
        grammar = load_grammar(offered["grammar"]["name"]) if offered["grammar"] else None
        pcm, _ = soundfile.read(DEMO, dtype="int16")
        sound = microphone_file(scratch / "sound.wav", pcm, lead_s=0)
        kept = files(folder)
        figures = sizes(kept, offered)
        for model in offered["models"]:
            figures += hours(folder, model, pcm, given.hours)
            figures += against_c(folder, model, grammar, pcm)
        figures += starts(folder, sound, given.starts)
        loads.append(os.getloadavg()[0])
        figures += listening(folder, sound, given.minutes)
        loads.append(os.getloadavg()[0])
    figures += [
        Figure(name=f"the machine's load, {when}", value=load)
        for when, load in zip(("at first", "before listening", "at the end"), loads, strict=True)
    ]
    if given.json:
        report = {
            "files": [dataclasses.asdict(file) for file in kept],
            "figures": [dataclasses.asdict(figure) for figure in figures],
        }
        print(json.dumps(report, indent=2))
    else:
        show(kept, figures)


def show(kept: list[File], figures: list[Figure]) -> None:
    table = Table("file", title="What a browser keeps")
    for heading in ("bytes", "compressed"):
        table.add_column(heading, justify="right")
    for file in kept:
        table.add_row(file.name, f"{file.size:,}", f"{file.compressed:,}")
    Console().print(table)
    table = Table("", title="The page for browsers")
    for heading in ("measured", "limit", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:,.6g}"
        table.add_row(figure.name, f"{figure.value:,.6g}", limit, figure.unit)
    Console().print(table)


def exported(folder: Path) -> Path:
    with err.status("exporting"):
        models = [load_model(name) for name in MODELS]
        return export_web(models, folder, grammar=load_grammar("robot")).folder


def files(folder: Path) -> list[File]:
    """Return the files kept for offline use, and the file that keeps them."""
    listed = re.search(r"FILES = (\[.*?\]);", (folder / "sw.js").read_text(), re.DOTALL)
    assert listed is not None
    contents = {name: (folder / name).read_bytes() for name in (*json.loads(listed[1]), "sw.js")}
    return [
        File(name=name, size=len(content), compressed=len(gzip.compress(content, 9, mtime=0)))
        for name, content in contents.items()
    ]


def sizes(kept: list[File], offered: dict[str, Any]) -> list[Figure]:
    packed = {file.name: file.compressed / 1024 for file in kept}
    models = {model["name"]: packed[model["file"]] for model in offered["models"]}
    total = sum(packed.values())
    page = total - sum(models.values())
    loaded = [
        Figure(name=f"page with {name}, compressed", value=page + size, unit="KB", limit=150)
        for name, size in models.items()
    ]
    return [*loaded, Figure(name="page with all models, compressed", value=total, unit="KB")]


def hours(
    folder: Path, model: dict[str, Any], pcm: NDArray[np.int16], count: float
) -> list[Figure]:
    """Run worklet.js in Node.js."""
    sound = soxr.resample(pcm.astype(np.float32) / 32768, RATE_HZ, MICROPHONE_HZ)
    with err.status(f"{count:g} h of sound with {model['name']}"):
        done = subprocess.run(
            ["node", "--expose-gc", HERE / "web_hour.mjs", folder, model["file"], str(count)],
            input=sound.astype("<f4").tobytes(),
            stdout=subprocess.PIPE,
            check=True,
        )
    found = json.loads(done.stdout)
    name, growth = model["name"], f"growth in {count:g} h"
    wasm_kb = found["wasm_before"] / 1024
    wasm_grew, collections = found["wasm_grew"], found["collections"]
    return [
        Figure(name=f"{name}: quanta in {count:g} h of audio", value=found["quanta"]),
        Figure(name=f"{name}: garbage collections", value=collections, limit=0),
        Figure(name=f"{name}: heap, {growth}", value=found["heap_grew"], unit="bytes"),
        Figure(name=f"{name}: WebAssembly's memory", value=wasm_kb, unit="KB"),
        Figure(name=f"{name}: the same, {growth}", value=wasm_grew, unit="bytes", limit=0),
    ]


def against_c(
    folder: Path, model: dict[str, Any], grammar: Grammar | None, pcm: NDArray[np.int16]
) -> list[Figure]:
    """Time the engine in WebAssembly and compiled for this machine, alternately."""
    name = model["name"]
    with (
        err.status(f"WebAssembly against C with {name}"),
        tempfile.TemporaryDirectory() as scratch,
        opened(folder) as (_, page),
    ):
        for source in STREAM.iterdir():
            shutil.copy(source, scratch)
        engine = compile_engine(load_model(name), Path(scratch), grammar=grammar)
        stream = CStream(engine.library, engine.model, RATE_HZ)
        page.evaluate(
            """async ({ file, pcm }) => {
                const { Engine } = await import("./harken.js");
                const engine = await Engine.load(await (await fetch(file)).arrayBuffer());
                const samples = Int16Array.from(pcm);
                bench.feed = () => {
                    const begun = performance.now();
                    const { length } = engine.feed(samples);
                    return [(performance.now() - begun) / 1000, length];
                };
            }""",
            {"file": model["file"], "pcm": pcm.tolist()},
        )
        turns = []
        for _ in range(ROUNDS):
            wasm_s, words = page.evaluate("bench.feed()")
            begun = time.perf_counter()
            events = stream.feed(pcm)
            turns.append((wasm_s, time.perf_counter() - begun))
            assert words == len(events)
    turns = turns[2:]  # in the first, the engine is still being compiled
    ratio = statistics.median(wasm_s / c_s for wasm_s, c_s in turns)
    wasm, c = 100 * np.median(turns, axis=0) * RATE_HZ / len(pcm)
    return [
        Figure(name=f"{name}: time in C, share of audio", value=c, unit="%"),
        Figure(name=f"{name}: time in WebAssembly, share of audio", value=wasm, unit="%"),
        Figure(name=f"{name}: time in WebAssembly, relative to C", value=ratio, unit="times"),
    ]


def starts(folder: Path, sound: Path, count: int) -> list[Figure]:
    """Start the browser several times, and listen."""
    clicked, permitted = [], []
    for _ in track(range(count), "starting", console=err, transient=True):
        with opened(folder, sound) as (_, page):
            listen(page)
            at = page.evaluate("bench")
        clicked.append(at["listening"] - at["clicked"])
        permitted.append(at["listening"] - at["permitted"])
    median = statistics.median
    return [
        Figure(name="permission to listening, median", value=median(permitted), unit="ms"),
        Figure(name="permission to listening, maximum", value=max(permitted), unit="ms", limit=500),
        Figure(name="click to listening, median", value=median(clicked), unit="ms"),
        Figure(name="click to listening, maximum", value=max(clicked), unit="ms"),
    ]


def listening(folder: Path, sound: Path, minutes: float) -> list[Figure]:
    """Listen in real time: first the load, then losses and memory."""
    with opened(folder, sound) as (browser, page):
        listen(page)
        time.sleep(SETTLING_S)
        renderer = renderer_of(browser)
        thread, process = processor_shares(renderer)
        traced = traced_share(browser, page)
        before, memory, heap = page.evaluate("bench.mark()"), memory_mb(renderer), heap_mb(page)
        seconds = range(round(60 * minutes))
        for _ in track(seconds, "listening", console=err, transient=True):
            time.sleep(1)
        after, growth = page.evaluate("bench.mark()"), memory_mb(renderer) - memory
        heap_growth = heap_mb(page) - heap

    def more(name: str) -> float:
        return after[name] - before[name]

    quanta = round(more("frames") / QUANTUM)
    undelivered, unheard = (round(more(name) / QUANTUM) for name in ("undelivered", "behind"))
    unrendered = round((more("lag") - more("other_lag")) * after["rate"] / QUANTUM)
    words = Counter(after["words"][len(before["words"]) :])
    said = DEMO.with_suffix(".txt").read_text().split()[2::3]
    times = [words[word] for word in said]
    interruptions = after["states"].count("interrupted")
    return [
        Figure(name="time in process(), share of audio", value=100 * traced, unit="%", limit=3),
        Figure(name="processor time of its thread", value=100 * thread, unit="%", limit=3),
        Figure(name="the same for the page, which draws", value=100 * process, unit="%"),
        Figure(name="microphone", value=after["rate"], unit="Hz"),
        Figure(name=f"quanta in {minutes:g} min", value=quanta),
        Figure(name="lost: not delivered by the microphone", value=undelivered, limit=0),
        Figure(name="lost: not rendered while other audio was", value=unrendered, limit=0),
        Figure(name="lost: rendered but not processed", value=unheard, limit=0),
        Figure(name="lost: too late for the loudspeaker", value=more("underruns"), limit=0),
        Figure(name="the sound card's stalls", value=1000 * more("other_lag"), unit="ms"),
        Figure(name="interruptions", value=interruptions, limit=0),
        Figure(name="each word detected at least", value=min(times), unit="times"),
        Figure(name="each word detected at most", value=max(times), unit="times"),
        Figure(name="memory of the page", value=memory, unit="MB"),
        Figure(name=f"memory of the page, growth in {minutes:g} min", value=growth, unit="MB"),
        Figure(name="… of that JavaScript, without garbage", value=heap, unit="MB"),
        Figure(name=f"… the same, growth in {minutes:g} min", value=heap_growth, unit="MB"),
    ]


@contextmanager
def opened(folder: Path, sound: Path | None = None) -> Iterator[tuple[Browser, Page]]:
    """Open the page in a separate browser, which plays a sound repeatedly."""
    options = [] if sound is None else [f"--use-file-for-fake-audio-capture={sound}"]
    with (
        serve(folder) as site,
        sync_playwright() as playwright,
        start_chromium(playwright, options=options) as browser,
    ):
        page = browser.new_page()
        page.add_init_script(path=HERE / "web_probe.js")
        page.goto(site.url)
        page.wait_for_selector("main[data-state=idle]")
        yield browser, page


def listen(page: Page) -> None:
    page.click("#button")
    page.wait_for_selector("main[data-state=listening]")


def renderer_of(browser: Browser) -> Path:
    """Return the folder in /proc of the listening process."""
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    processes = [Path(f"/proc/{process['id']}") for process in told["processInfo"]]
    return next(process for process in processes if any(audio_threads(process)))


def audio_threads(process: Path) -> Iterator[Path]:
    for task in process.glob("task/*"):
        if (task / "comm").read_text().strip() == THREAD:
            yield task


def processor_shares(process: Path) -> tuple[float, float]:
    """Return the share of a core that the audio thread takes, and the whole process."""
    audio = list(audio_threads(process))
    begun, before = time.monotonic(), processor_s(process)
    time.sleep(SHARE_S)
    elapsed_s, after = time.monotonic() - begun, processor_s(process)
    share = {task: (used - before.get(task, 0)) / elapsed_s for task, used in after.items()}
    return sum(share[task] for task in audio), sum(share.values())


def processor_s(process: Path) -> dict[Path, float]:
    """Return the processor time of each thread."""
    found = {}
    for task in process.glob("task/*"):
        with suppress(FileNotFoundError):  # it has just ended
            # Not from stat: it counts ticks of 10 ms for whichever thread happens to run then.
            found[task] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def traced_share(browser: Browser, page: Page) -> float:
    """Return the ratio of time in process() to audio time, from the browser's trace."""
    rate = page.evaluate("bench.context.sampleRate")
    browser.start_tracing(categories=["disabled-by-default-audio-worklet"])
    time.sleep(SHARE_S)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    took = [event["dur"] / 1e6 for event in events if event["name"] == TRACED]
    return sum(took) / (len(took) * QUANTUM / rate)


def heap_mb(page: Page) -> float:
    """Return the memory of JavaScript's objects, after garbage collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return used / 1024**2


def memory_mb(process: Path) -> float:
    """Return the memory that belongs to a process alone."""
    found = re.search(r"RssAnon:\s*(\d+)", (process / "status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
