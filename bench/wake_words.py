"""Measure models of one wake word: ``python bench/wake_words.py DATA PHRASE MODEL... [--json]``.

PHRASE is a folder of DATA/wake_words with recordings of the wake word. Each is played on its own,
at 26 dB below full scale, with a second of silence before and after it. False accepts are counted
in the validation split's speech and noise (`harken.train.scenes.negatives`), without that folder,
split as in the recipe of `commands`. A model has one threshold for each rate, set on these hours.
"""

from __future__ import annotations

import argparse
import json
import sys
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
from harken.train.scenes.negatives import negative_scenes
from harken.train.scenes.spoken import LEVEL_DB
from harken.train.scenes.sweep import Clock, Evidence, Listener

RATES = (0.5, 2.0, 10.0)
"""False accepts per hour."""
_RECIPES = Path(__file__).parents[1] / "models" / "recipes"
_SCALE = np.float32(1 / 32768)

Float32 = NDArray[np.float32]


def recordings_of(corpus: Corpus, phrase: str, without: frozenset[str]) -> list[NDArray[np.int16]]:
    """Return what is played of each recording of a phrase: (samples,) int16 each."""
    rest = np.zeros(SAMPLE_RATE_HZ, np.float32)
    played = []
    for recording in corpus.select("speech"):
        path = Path(recording.path)
        if path.parent == Path("wake_words", phrase) and path.stem not in without:
            audio = corpus.samples(recording) * _SCALE
            gain = np.float32(augment.decibels(LEVEL_DB) / augment.rms(audio))
            played.append(augment.to_pcm(np.concatenate((rest, audio * gain, rest))))
    return played


def measure(model: Model, corpus: Corpus, phrase: str, without: frozenset[str]) -> dict[str, Any]:
    """Return a model's missed recordings at each rate of false accepts."""
    detector, clock = model.manifest.detector, Clock.of(model)
    listener = Listener(model, gate=False)

    def evidence(pcm: NDArray[np.int16]) -> Float32:
        """Return the evidence of the words where it is the largest, (steps,)."""
        found = Evidence(listener.posteriors(pcm), detector, clock).without_events
        words = len(model.manifest.words)
        most = found[:, :words].max(axis=1)
        return np.where(most >= found.max(axis=1), most, np.float32(0))

    played = recordings_of(corpus, phrase, without)
    if not played:
        sys.exit(f"no recordings in wake_words/{phrase}; choose another phrase or data folder")
    heights = np.array([evidence(pcm).max() for pcm in played])
    refractory = detector.refractory_steps(clock.step_samples, SAMPLE_RATE_HZ)
    scenes, _ = negative_scenes(corpus, (), "validation")
    alarms, seconds = [], 0.0
    for scene in scenes:
        if scene.conditions["source"] != phrase:
            alarms.append(events(evidence(scene.render())[np.newaxis], refractory))
            seconds += scene.seconds
    ranked = np.sort(np.concatenate(alarms))[::-1]
    points = []
    for rate in RATES:
        allowed = int(rate * seconds / 3600)
        threshold = float(np.nextafter(ranked[allowed], np.float32(1)))
        missed = int(np.count_nonzero(heights < threshold))
        points.append(
            {
                "false_accepts_per_hour": rate,
                "threshold": round(threshold, 4),
                "missed": missed,
                "share": missed / len(heights),
                "interval": share_interval(missed, len(heights)),
            }
        )
    return {
        "model": model.manifest.name,
        "phrase": phrase,
        "recordings": len(heights),
        "hours": round(seconds / 3600, 2),
        "points": points,
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
    recipe = json.loads((_RECIPES / "commands.train.json").read_text("utf-8"))
    corpus = DataSource(
        root=given.data,
        additions=(_RECIPES,),
        held_out_speech=tuple(recipe["held_out_speech"]),
        left_out=tuple(recipe["left_out"]),
    ).open()
    found = [measure(load_model(model), corpus, given.phrase, without) for model in given.models]
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for each in found:
        print(f"{each['model']}: {each['recordings']} recordings, {each['hours']} h")
        for point in each["points"]:
            low, high = point["interval"]
            print(
                f"  {point['false_accepts_per_hour']:g} per hour: {point['missed']} missed, "
                f"{point['share']:.1%} [{low:.1%}, {high:.1%}], threshold {point['threshold']:.3f}"
            )


if __name__ == "__main__":
    main()
