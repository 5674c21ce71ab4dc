"""Make recordings of one synthetic person, for bench/one_person.py.

    python bench/synthetic_person.py OUT --words W,… --voice VOICE --kokoro-model FILE
        --kokoro-voices DIR --room FILE [--takes N]

A voice of Kokoro says every word N times, at 0.8 to 1.2 times the usual speed, in styles that the
voice has for texts of up to 25 phonemes more (which changes the intonation) and with a pitch that
varies by half a semitone; all in one room (an impulse response), at one microphone with noise of
its own. OUT/speech_commands/WORD/VOICE_nohash_N.flac are the results.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from harken.train.augment import decibels
from harken.train.decode import SAMPLE_RATE_HZ
from harken.train.synth.engines import KokoroEngine

STYLES = 27
"""How many variants of the voice there are."""
_SILENT = 0.03  # of the peak


def variants(folder: Path, voice: str, into: Path) -> list[str]:
    """Write variants of a voice, whose styles are shifted by some phonemes; return their names."""
    styles = np.fromfile(folder / f"{voice}.bin", np.float32).reshape(510, 256)
    names = []
    for shift in range(STYLES):
        names.append(f"{voice}_{shift:02}")
        np.roll(styles, shift - 2, 0).tofile(into / f"{names[-1]}.bin")
    return names


def recorded(
    speech: NDArray[np.float32],
    room: NDArray[np.float64],
    level: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return speech as the microphone in the room records it: within ±1."""
    sound = np.convolve(speech, room)
    sound *= level * decibels(rng.normal(0, 3)) / np.abs(sound).max()
    loud = np.flatnonzero(np.abs(sound) > _SILENT * np.abs(sound).max())
    sound = sound[max(0, loud[0] - 800) : loud[-1] + 1600]
    before, after = (int(seconds * SAMPLE_RATE_HZ) for seconds in rng.uniform(0.1, 0.35, 2))
    sound = np.pad(sound, (before, after))
    sound += rng.normal(0, level * decibels(-48), len(sound))
    return np.asarray(np.clip(sound, -1, 1), np.float32)


def speak(
    out: Path, words: Sequence[str], voice: str, engine: KokoroEngine, room: Path, *, takes: int
) -> None:
    """Write all takes of all words."""
    rng = np.random.default_rng(0)
    response, rate_hz = soundfile.read(room)
    response = soxr.resample(response, rate_hz, SAMPLE_RATE_HZ)
    level = decibels(rng.uniform(-20, -8))
    for word in words:
        folder = out / "speech_commands" / word
        folder.mkdir(parents=True, exist_ok=True)
        for take in range(takes):
            variant = engine.voices[rng.integers(len(engine.voices))]
            speech, rate_hz = engine.say(word, variant, float(rng.uniform(0.8, 1.2)))
            speech = soxr.resample(speech, rate_hz, SAMPLE_RATE_HZ * 2 ** rng.normal(0, 0.04))
            sound = recorded(speech, response, level, rng)
            name = f"{voice.replace('_', '-')}_nohash_{take:02}.flac"
            soundfile.write(folder / name, sound, SAMPLE_RATE_HZ)
        print(f"{word}: {takes} recordings", flush=True)


def main() -> None:
    """Read the command line, and write the recordings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--words", required=True)
    parser.add_argument("--voice", required=True)
    parser.add_argument("--kokoro-model", type=Path, required=True)
    parser.add_argument("--kokoro-voices", type=Path, required=True)
    parser.add_argument("--room", type=Path, required=True, help="impulse response")
    parser.add_argument("--takes", type=int, default=20, metavar="N", help="of each word [20]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = variants(given.kokoro_voices, given.voice, Path(folder))
        engine = KokoroEngine(names, model=given.kokoro_model, styles=Path(folder))
        speak(given.out, given.words.split(","), given.voice, engine, given.room, takes=given.takes)


if __name__ == "__main__":
    main()
