"""Measure models of one wake word: ``python bench/wake_words.py DATA PHRASE MODEL... [--json]``.

PHRASE is a folder of DATA/wake_words with recordings of the wake word. Each is played on its own,
at 26 dB below full scale, with a second of silence before and after it. False accepts are counted
in the validation split's speech and noise (`harken.train.scenes.negatives`), without that folder,
split as for `commands`. A model is measured with the threshold that it ships with, and with one for
each rate, set on these hours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harken.edge.spotting.manifest import Model, load_model
from harken.train import augment
from harken.train.batches import DataSource
from harken.train.corpus import Corpus
from harken.train.decode import SAMPLE_RATE_HZ
from harken.train.intervals import share_interval
from harken.train.operating import events
from harken.train.scenes.gather import open_corpus
from harken.train.scenes.negatives import negative_scenes
from harken.train.scenes.spoken import LEVEL_DB
from harken.train.scenes.sweep import Clock, Evidence, Listener

RATES = (0.5, 2.0, 10.0)
"""False accepts per hour."""
_RECIPES = Path(__file__).parents[1] / "models" / "recipes"
_SCALE = np.float32(1 / 32768)

Float32 = NDArray[np.float32]


class Ear:
    """A model, which tells the evidence of its words.

    Parameters
    ----------
    model
        The int8 model.
    """

    def __init__(self, model: Model) -> None:
        self.name, self._words = model.manifest.name, len(model.manifest.words)
        self._detector, self._clock = model.manifest.detector, Clock.of(model)
        self._listener = Listener(model, gate=False)
        self.threshold = min(self._detector.thresholds.values())

    def evidence(self, pcm: NDArray[np.int16]) -> Float32:
        """Return the evidence of the likeliest word where no other label is likelier, (steps,)."""
        posteriors = self._listener.posteriors(pcm)
        labels, most = Evidence(posteriors, self._detector, self._clock).leading
        return np.where(labels < self._words, most, np.float32(0))

    def alarms(self, pcm: NDArray[np.int16]) -> Float32:
        """Return the evidence of what it would detect, (events,)."""
        refractory = self._detector.refractory_steps(self._clock.step_samples, SAMPLE_RATE_HZ)
        return events(self.evidence(pcm)[np.newaxis], refractory)


def recordings_of(
    corpus: Corpus, phrase: str, without: frozenset[str]
) -> Iterator[NDArray[np.int16]]:
    """Yield what is played of each recording of a phrase: (samples,) int16 each."""
    rest = np.zeros(SAMPLE_RATE_HZ, np.float32)
    for recording in corpus.select("speech"):
        path = Path(recording.path)
        if path.parent == Path("wake_words", phrase) and path.stem not in without:
            audio = corpus.samples(recording) * _SCALE
            gain = np.float32(augment.decibels(LEVEL_DB) / augment.rms(audio))
            yield augment.to_pcm(np.concatenate((rest, audio * gain, rest)))


def measure(
    ears: Sequence[Ear], corpus: Corpus, phrase: str, without: frozenset[str]
) -> list[dict[str, Any]]:
    """Return each model's missed recordings at each rate of false accepts."""
    heights = np.array(
        [
            [ear.evidence(pcm).max() for ear in ears]
            for pcm in recordings_of(corpus, phrase, without)
        ]
    )
    if not len(heights):
        sys.exit(f"no recordings in wake_words/{phrase}; choose another phrase or data folder")
    scenes, _ = negative_scenes(corpus, (), "validation")
    others = [scene for scene in scenes if scene.conditions["source"] != phrase]
    alarms: list[list[Float32]] = [[] for _ in ears]
    for scene in others:
        pcm = scene.render()
        for ear, found in zip(ears, alarms, strict=True):
            found.append(ear.alarms(pcm))
    hours = sum(scene.seconds for scene in others) / 3600
    figures = []
    for ear, parts, own in zip(ears, alarms, heights.T, strict=True):
        heard = np.concatenate(parts)
        figures.append(
            {
                "model": ear.name,
                "phrase": phrase,
                "recordings": len(own),
                "hours": round(hours, 2),
                "shipped": point_of(ear.threshold, heard, hours, own),
                "points": [
                    {"rate": rate, **point_of(threshold_at(rate, heard, hours), heard, hours, own)}
                    for rate in RATES
                ],
            }
        )
    return figures


def threshold_at(rate: float, alarms: Float32, hours: float) -> float:
    """Return the lowest threshold that allows at most a rate."""
    ranked, allowed = np.sort(alarms)[::-1], int(rate * hours)
    loudest = ranked[allowed] if allowed < len(ranked) else np.float32(0)
    return float(np.nextafter(loudest, np.float32(1)))


def point_of(threshold: float, alarms: Float32, hours: float, heights: Float32) -> dict[str, Any]:
    """Return false accepts and what is missed with a threshold."""
    missed = int(np.count_nonzero(heights < threshold))
    return {
        "threshold": round(threshold, 4),
        "false_accepts_per_hour": round(np.count_nonzero(alarms >= threshold) / hours, 2),
        "missed": missed,
        "share": missed / len(heights),
        "interval": share_interval(missed, len(heights)),
    }


def main() -> None:
    """Read the command line, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("phrase")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--without", type=Path, help="file with a name per line: not to be played")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    without = frozenset(given.without.read_text("utf-8").split() if given.without else ())
    source = DataSource(root=given.data, additions=(_RECIPES,))
    corpus = open_corpus(source, load_model("commands").manifest)
    ears = [Ear(load_model(model)) for model in given.models]
    found = measure(ears, corpus, given.phrase, without)
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for each in found:
        print(f"{each['model']}: {each['recordings']} recordings, {each['hours']} h")
        for title, point in (
            ("as it ships", each["shipped"]),
            *((f"at {point['rate']:g} per hour", point) for point in each["points"]),
        ):
            low, high = point["interval"]
            print(
                f"  {title}: {point['missed']} missed, {point['share']:.1%} [{low:.1%}, "
                f"{high:.1%}], {point['false_accepts_per_hour']:g} false accepts per hour, "
                f"threshold {point['threshold']:.3f}"
            )


if __name__ == "__main__":
    main()
