"""Let a model listen for hours without a reset, and compare its last hour with its first.

    python bench/hours.py MODEL DATA [--hours N] [--seed N] [--json]

The same hour is played over and over: scenes with words, clean and in noise, and running speech,
from the validation split. A state that drifts, or forgets ever more slowly, would show as a
different posterior, event or figure in the last hour. Exits with 1 if any figure differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harken.edge.spotting.detector import Detector
from harken.edge.spotting.engine import Engine
from harken.edge.spotting.frontend import FrontEnd
from harken.edge.spotting.manifest import Model, load_model
from harken.train.batches import DataSource
from harken.train.scenes.gather import open_corpus
from harken.train.scenes.make import make_scenes
from harken.train.scenes.scoring import Heard, Tally, match
from harken.train.scenes.truth import Scene

RATE_HZ = 16_000
BLOCK = 1600  # samples fed at a time
SETTLING_S = 10.0  # at the start of the first hour, which follows a reset and not another hour


@dataclasses.dataclass(frozen=True)
class Hour:
    """A model's output in an hour."""

    posteriors: NDArray[np.float32]
    events: tuple[tuple[str, float], ...]
    """Words and when they were detected, in seconds from the start of the hour."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("model", help="a model file, its manifest, or the name of one that ships")
    parser.add_argument("data", type=Path, help="folder of recordings")
    parser.add_argument("--hours", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    model = load_model(given.model)
    corpus = open_corpus(DataSource(root=given.data), model.manifest)
    words = model.manifest.words
    scenes = programme(make_scenes(corpus, words, seed=given.seed).scenes)
    hours = listen(model, scenes, given.hours)
    settled = int(SETTLING_S * RATE_HZ / model.manifest.step_samples)
    scored = [score(hour, scenes, words) for hour in hours]
    figures: dict[str, Any] = {
        "model": model.manifest.name,
        "hours": given.hours,
        "seconds_an_hour": sum(scene.seconds for scene in scenes),
        "missed_by_hour": [tally.misses().missed for tally in scored],
        "false_accepts_by_hour": [tally.accepts().count for tally in scored],
        "difference_from_the_first_by_hour": [
            float(np.abs(hour.posteriors - hours[0].posteriors)[settled:].mean()) for hour in hours
        ],
        "difference_from_the_first_at_most": max(
            float(np.abs(hour.posteriors - hours[0].posteriors)[settled:].max()) for hour in hours
        ),
        "first": figures_of(scored[0]),
        "last": figures_of(scored[-1]),
    }
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' ')}: {value}")
    sys.exit(0 if figures["first"] == figures["last"] else 1)


def programme(scenes: Sequence[Scene]) -> list[Scene]:
    """Choose scenes for an hour, of each kind in turn."""
    kinds = [
        [s for s in scenes if not s.negative and s.conditions["snr"] == snr]
        for snr in ("clean", "10 dB", "0 dB")
    ]
    kinds.append([scene for scene in scenes if scene.negative])
    chosen: list[Scene] = []
    while any(kinds) and sum(scene.seconds for scene in chosen) < 3600:
        for kind in kinds:
            if kind:
                chosen.append(kind.pop(0))
    return chosen


def listen(model: Model, scenes: Sequence[Scene], hours: int) -> list[Hour]:
    """Play the programme this many times, from one reset at the start."""
    manifest = model.manifest
    front_end, engine = FrontEnd(manifest.front_end), Engine(model)
    detector = Detector(
        manifest.detector,
        manifest.labels,
        manifest.step_samples,
        overhang_samples=manifest.front_end.window_samples - manifest.front_end.hop_samples,
    )
    sound = np.concatenate([scene.render() for scene in scenes])
    # A whole number of steps, so that every hour starts at the same position in the model's window.
    sound = sound[: len(sound) // manifest.step_samples * manifest.step_samples]
    steps = len(sound) // manifest.step_samples
    rows: list[NDArray[np.float32]] = []
    events: list[list[tuple[str, float]]] = []
    for hour in range(hours):
        events.append([])
        for at in range(0, len(sound), BLOCK):
            rows.append(engine.feed(front_end.feed(sound[at : at + BLOCK])))
            events[-1] += [
                (event.word, (event.end_sample - hour * len(sound)) / RATE_HZ)
                for event in detector.feed(rows[-1])
            ]
        print(f"hour {hour + 1} of {hours}: {len(events[-1])} events", file=sys.stderr)
    posteriors = np.concatenate(rows)
    # The last window of the last hour extends beyond its end: that step is left out everywhere.
    return [
        Hour(posteriors[hour * steps : (hour + 1) * steps - 1], tuple(heard))
        for hour, heard in enumerate(events)
    ]


def score(hour: Hour, scenes: Sequence[Scene], words: Sequence[str]) -> Tally:
    """Count misses and false accepts."""
    begins_s, matched = 0.0, []
    for scene in scenes:
        ends_s = begins_s + scene.seconds
        heard = [
            Heard(word=word, time_s=time_s - begins_s, confidence=None)
            for word, time_s in hour.events
            if begins_s <= time_s < ends_s
        ]
        matched.append((scene, match(scene, heard, words)))
        begins_s = ends_s
    return Tally.of(matched)


def figures_of(tally: Tally) -> dict[str, Any]:
    """Return misses and false accepts with their intervals as plain JSON types."""
    return {"misses": tally.misses().to_dict(), "false_accepts": tally.accepts().to_dict()}


if __name__ == "__main__":
    main()
