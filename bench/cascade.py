"""Measure a cascade: ``python bench/cascade.py DATA [--words-per-condition N]``.

A small model listens all the time; the large one runs only where the small one gives any word at
least a given posterior: from `BEFORE_STEPS` steps earlier, which it catches up on, until
`AFTER_STEPS` later. It prints the share of the steps in which the large model runs, its misses, and
its false accepts, compared with listening all the time. The large model's state is taken to be as
if it had heard everything, so a real cascade can only do worse.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from harken.edge.spotting.manifest import load_model
from harken.train.batches import DataSource
from harken.train.scenes.gather import gather, open_corpus
from harken.train.scenes.scoring import Tally, match
from harken.train.scenes.sweep import Clock, Float32, HeardScene, Listener

SMALL, LARGE = "commands-tiny", "commands"
LEVELS = (0.01, 0.03, 0.1, 0.3)
BEFORE_STEPS, AFTER_STEPS = 15, 15


def let_through(posteriors: Float32, level: float, words: int) -> NDArray[np.bool_]:
    """Return in which steps the large model runs, (m,) bool."""
    likely = posteriors[:, :words].max(axis=1) >= level
    around = np.ones(BEFORE_STEPS + AFTER_STEPS + 1)
    spread = np.convolve(likely, around)[BEFORE_STEPS : BEFORE_STEPS + len(likely)]
    open_steps: NDArray[np.bool_] = spread > 0.5
    return open_steps


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--words-per-condition", type=int, default=200)
    given = arguments.parse_args()
    small, large = load_model(SMALL), load_model(LARGE)
    manifest, clock = large.manifest, Clock.of(large)
    corpus = open_corpus(DataSource(root=given.data), manifest)
    made = gather(
        manifest.words, manifest, corpus=corpus, words_per_condition=given.words_per_condition
    )
    listeners = Listener(small, gate=False), Listener(large, gate=False)
    heard = []
    for scene in made.scenes:
        pcm = scene.render()
        heard.append(tuple(listener.posteriors(pcm) for listener in listeners))
    table = Table(title=f"{SMALL} guarding {LARGE}")
    for heading in ("posterior", "steps, words", "steps, others", "missed", "false accepts"):
        table.add_column(heading, justify="right")
    words = frozenset(manifest.words)
    for level in (0.0, *LEVELS):
        matched, shares = [], {False: [0, 0], True: [0, 0]}
        for scene, (first, second) in zip(made.scenes, heard, strict=True):
            runs = let_through(first, level, len(words))
            rows = second.copy()
            rows[~runs] = np.eye(len(manifest.labels), dtype=np.float32)[-1]
            events = HeardScene(rows, manifest.detector, clock).heard(manifest.detector.thresholds)
            matched.append((scene, match(scene, events, words)))
            shares[scene.negative][0] += int(runs.sum())
            shares[scene.negative][1] += len(runs)
        misses = Tally.of(each for each in matched if not each[0].negative).misses()
        accepts = Tally.of(each for each in matched if each[0].negative).accepts()
        table.add_row(
            f"{level:g}",
            *(f"{ran / max(steps, 1):.1%}" for ran, steps in shares.values()),
            f"{misses.missed} of {misses.said}",
            f"{accepts.count} in {accepts.hours:.1f} h",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
