"""Measure the cost of lost audio, and of ways to handle it.

    python bench/gaps.py DATA [MODEL] [--words N] [--seed N] [--json]

Words of the validation split at random times, in white noise 20 dB below them, lose a stretch of
audio every few seconds. The ways to handle it: the model continues as in `Spotter.skip`, is reset,
gets zeros, or gets the following audio as if nothing had been lost. It counts the detected words,
both those whose recordings touch a gap and the others, and the false accepts.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harken.edge import Spotter
from harken.train.batches import DataSource
from harken.train.scenes.gather import open_corpus

RATE_HZ = 16_000
LOST_S = (0.04, 0.2, 0.5, 1.0)
BETWEEN_S = (1.5, 3.0)
PAUSE_S = (0.3, 1.2)
LEVEL, SNR_DB = 0.05, 20
LATE = RATE_HZ // 2  # a word must be detected by then

Heard = list[tuple[str, int]]


def go_on(spotter: Spotter, lost: int) -> Heard:
    return [(event.word, event.end_sample) for event in spotter.skip(lost)]


def begin_anew(spotter: Spotter, lost: int) -> Heard:
    at = spotter.samples_heard + lost
    spotter.reset()
    spotter.samples_heard = at
    spotter._detector.jump(at)
    return []


def hear_zeros(spotter: Spotter, lost: int) -> Heard:
    return [(event.word, event.end_sample) for event in spotter.feed(np.zeros(lost, np.int16))]


def join(spotter: Spotter, lost: int) -> Heard:
    spotter.samples_heard += lost
    spotter._detector.jump(lost)
    return []


WAYS: dict[str, Callable[[Spotter, int], Heard]] = {
    "noise": go_on,
    "reset": begin_anew,
    "zeros": hear_zeros,
    "joined": join,
}


@dataclasses.dataclass(frozen=True)
class Stream:
    """Words one after another, and their positions."""

    samples: NDArray[np.int16]
    words: list[tuple[str, int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, help="folder of recordings")
    parser.add_argument("model", nargs="?", default="commands")
    parser.add_argument("--words", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    spotter = Spotter(given.model)
    stream = speak(spotter, given.data, given.words, np.random.default_rng(given.seed))
    rows = []
    for lost_s in LOST_S:
        gaps = draw(len(stream.samples), lost_s, np.random.default_rng(given.seed))
        for name, way in WAYS.items():
            heard = listen(spotter, stream.samples, gaps, way)
            rows.append({"lost_s": lost_s, "way": name, **count(stream, gaps, heard)})
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))


def speak(spotter: Spotter, data: Path, count: int, random: np.random.Generator) -> Stream:
    manifest = spotter.model.manifest
    corpus = open_corpus(DataSource(root=data), manifest)
    spoken = [r for r in corpus.select("word", split="validation") if r.label in manifest.words]
    pieces, words, at = [], [], 0
    for index in random.permutation(len(spoken))[:count]:
        clip = corpus.samples(spoken[index]).astype(np.float32) / 32768
        clip *= LEVEL / (np.sqrt(np.square(clip).mean()) + 1e-6)
        pause = round(random.uniform(*PAUSE_S) * RATE_HZ)
        pieces += [np.zeros(pause, np.float32), clip]
        words.append((spoken[index].label, at + pause, at + pause + len(clip)))
        at += pause + len(clip)
    sound = np.concatenate(pieces)
    sound += random.normal(0, LEVEL * 10 ** (-SNR_DB / 20), len(sound))
    return Stream(np.clip(sound * 32768, -32768, 32767).astype(np.int16), words)


def draw(length: int, lost_s: float, random: np.random.Generator) -> list[tuple[int, int]]:
    """Return start and end of gaps, at whole blocks of 40 ms."""
    gaps, at = [], 0
    while True:
        at += round(random.uniform(*BETWEEN_S) * RATE_HZ) // 640 * 640
        end = at + round(lost_s * RATE_HZ)
        if end >= length:
            return gaps
        gaps.append((at, end))
        at = end


def listen(
    spotter: Spotter,
    samples: NDArray[np.int16],
    gaps: list[tuple[int, int]],
    way: Callable[[Spotter, int], Heard],
) -> Heard:
    spotter.reset()
    heard: Heard = []
    at = 0
    for start, end in [*gaps, (len(samples), len(samples))]:
        heard += [(event.word, event.end_sample) for event in spotter.feed(samples[at:start])]
        if end > start:
            heard += way(spotter, end - start)
        at = end
    return heard


def count(stream: Stream, gaps: list[tuple[int, int]], heard: Heard) -> dict[str, int]:
    figures = {"touched": 0, "touched_heard": 0, "others": 0, "others_heard": 0}
    used: set[int] = set()
    for word, start, end in stream.words:
        kind = "touched" if any(a < end and start < b for a, b in gaps) else "others"
        figures[kind] += 1
        for index, (other, at) in enumerate(heard):
            if index not in used and other == word and start < at < end + LATE:
                used.add(index)
                figures[f"{kind}_heard"] += 1
                break
    return {**figures, "wrong": len(heard) - len(used)}


if __name__ == "__main__":
    main()
