"""Measure training on this machine: decoding and caching all recordings, and epochs over them.

    python bench/epoch.py DATA [--config FILE] [--workers N] [--scratch DIR]

Everything is written to a temporary folder, which is removed at the end: 115 MB for an hour of
recordings. Run nothing else on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

from harken.train.batches import DataSource
from harken.train.fit import train
from harken.train.run import RunFolder
from harken.train.settings import settings

EPOCHS, DISTINCT_EPOCHS = 3, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, help="folder of recordings")
    parser.add_argument("--config", type=Path, help="settings of the run; default: all words")
    parser.add_argument("--workers", type=int, default=2, help="processes that make streams")
    parser.add_argument("--scratch", type=Path, help="where to write; default: the system's")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch, prefix="harken-bench-") as folder:
        measure(given.data, given.config, given.workers, Path(folder))


def measure(data: Path, file: Path | None, workers: int, folder: Path) -> None:
    source = DataSource(root=data, cache_dir=folder / "cache")
    began = time.perf_counter()
    corpus = source.open()
    report(
        f"decode and cache {corpus.report.files:,} files",
        time.perf_counter() - began,
        sum(sum(parts.values()) for parts in corpus.report.seconds.values()),
    )
    began = time.perf_counter()
    source.open()
    report("open the cache", time.perf_counter() - began)

    config = settings(None, words=corpus.words) if file is None else settings(None, file)
    config = dataclasses.replace(config, epochs=EPOCHS, distinct_epochs=DISTINCT_EPOCHS)
    steps = 0

    def count(progress: object) -> None:
        nonlocal steps
        steps += 1

    run = RunFolder(folder / "run")
    train(config, source, corpus, run, recipe="", on_progress=count, workers=workers)
    streamed_s = steps / EPOCHS * config.batch_streams * config.streams.seconds
    epochs = [figures["seconds"] for figures in run.load_json("history.json")]
    report("epoch 1: worker start, compilation, new streams", epochs[0], streamed_s)
    report("epoch 2: new streams", epochs[1], streamed_s)
    report("epoch 3: repeated streams", epochs[2], streamed_s)


def report(what: str, seconds: float, audio_s: float | None = None) -> None:
    line = f"{what}: {seconds:.1f} s"
    if audio_s is not None:
        line += f" for {audio_s / 3600:.1f} h of audio, {audio_s / seconds:,.0f} times real time"
    print(line, flush=True)


if __name__ == "__main__":
    main()
