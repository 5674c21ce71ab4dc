"""Measure how many single words of held-out speakers a model misses, by corpus.

    python bench/accents.py DATA RECIPE [MODEL ...]

RECIPE is a training configuration such as models/recipes/commands.train.json; the folder speech/
beside it holds the times of words (see docs/recordings.md). Words are cut out of recordings that
were not used for training, if the pretrained teachers recognize them; for Speech Commands, clips of
the validation split are used. Each word is set to 26 dB below full scale, with a hiss 40 dB below
it and 0.75 s of only hiss before and after it. All words except those of Speech Commands come from
connected speech, so the figures reflect that as well as the accent.

Then all validation clips of Speech Commands, by the pitch of the voice. It stands in for age, which
the recordings do not state: few adults speak above 255 Hz.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from harken.edge import Spotter, load_model
from harken.edge.spotting.manifest import Model
from harken.train.decode import SAMPLE_RATE_HZ, decode
from harken.train.splits import which_set
from harken.train.transcripts import WORDS_FILE

_LEVEL, _HISS = 10 ** (-26 / 20), 10 ** (-66 / 20)
_PAUSE_S, _BEFORE_S, _AFTER_S, _FADE_S = 0.75, 0.05, 0.08, 0.01
_MOST, _MOST_CLIPS = 400, 25  # words per corpus, clips per word

_PITCH_HZ = (65.0, 500.0)  # the range to search
_BANDS_HZ = ((0.0, 165.0), (165.0, 255.0), (255.0, 500.0))

Said = tuple[Path, str, float, float]  # the file, the word, its start and end


def spoken(data: Path, recipe: Path, words: frozenset[str]) -> dict[str, list[Said]]:
    """Return the words to use, by corpus."""
    held_out = json.loads(recipe.read_text("utf-8"))["held_out_speech"]
    found: dict[str, list[Said]] = {"speech_commands": list(_clips(data, words, _MOST_CLIPS))}
    for file in sorted((recipe.parent / "speech").glob(f"*/{WORDS_FILE}")):
        corpus = file.parent.name
        for line in file.read_text("utf-8").splitlines():
            path, word, *times, clear = (*line.split("\t"), "")[:5]
            place = f"speech/{corpus}/{path}"
            if clear and word in words and any(fnmatch.fnmatch(place, one) for one in held_out):
                start_s, end_s = map(float, times)
                found.setdefault(corpus, []).append(
                    (data / place, word, max(0.0, start_s - _BEFORE_S), end_s + _AFTER_S)
                )
    return found


def _clips(data: Path, words: frozenset[str], most: int | None = None) -> Iterator[Said]:
    rng = np.random.default_rng(1)
    for word in sorted(words):
        files = [
            file
            for file in sorted((data / "speech_commands" / word).iterdir())
            if which_set(file.name) == "validation"
        ]
        for index in rng.permutation(len(files))[:most]:
            yield files[index], word, 0.0, np.inf


def is_heard(model: Model, said: Said) -> bool:
    """Whether a model detects the word."""
    file, word, start_s, end_s = said
    samples = decode(file).astype(np.float64) / 32768
    last = len(samples) if np.isinf(end_s) else round(end_s * SAMPLE_RATE_HZ)
    events = Spotter(model).feed(_alone(samples[round(start_s * SAMPLE_RATE_HZ) : last]))
    return any(event.word == word for event in events)


@functools.cache  # the same for every model
def pitch_hz(said: Said) -> float:
    """Return the median fundamental frequency of a clip's loud frames (YIN)."""
    samples = decode(said[0]).astype(np.float64) / 32768
    low, high = _PITCH_HZ
    pitch = librosa.yin(samples, fmin=low, fmax=high, sr=SAMPLE_RATE_HZ, frame_length=1024)
    level = librosa.feature.rms(y=samples, frame_length=1024, hop_length=256)[0]
    return float(np.median(pitch[level > 0.3 * level.max()]))


def _alone(samples: NDArray[np.float64]) -> NDArray[np.int16]:
    samples = samples * (_LEVEL / max(float(np.sqrt(np.mean(samples**2))), 1e-5))
    fade = np.linspace(0, 1, round(_FADE_S * SAMPLE_RATE_HZ))
    samples[: len(fade)] *= fade
    samples[-len(fade) :] *= fade[::-1]
    padded = np.pad(samples, round(_PAUSE_S * SAMPLE_RATE_HZ))
    padded += _HISS * np.random.default_rng(3).standard_normal(len(padded))
    return (padded.clip(-1, 1) * 32767).astype(np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("models", nargs="*", default=["commands", "commands-tiny"])
    given = parser.parse_args()
    for name in given.models:
        model = load_model(name)
        for corpus, said in spoken(
            given.data, given.recipe, frozenset(model.manifest.words)
        ).items():
            order = np.random.default_rng(2).permutation(len(said))[:_MOST]
            missed = sum(not is_heard(model, said[index]) for index in order)
            print(f"{name}, {corpus}: {missed} of {len(order)} missed, {missed / len(order):.0%}")
        clips = list(_clips(given.data, frozenset(model.manifest.words)))
        heard = np.array([is_heard(model, clip) for clip in clips])
        pitch = np.array([pitch_hz(clip) for clip in clips])
        for low, high in _BANDS_HZ:
            there = heard[(low <= pitch) & (pitch < high)]
            print(
                f"{name}, voices of {low:.0f} to {high:.0f} Hz: {np.sum(~there)} of {len(there)} "
                f"missed, {np.mean(~there):.0%}"
            )


if __name__ == "__main__":
    main()
