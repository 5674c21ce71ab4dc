"""Corpora for tests: in memory, and folders whose words are tones."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import soundfile
import tones

from harken.train.corpus import Corpus, DataReport, Kind, Recording
from harken.train.splits import SPLITS, Split

Sound = tuple[Kind, str, Split, np.ndarray]
"""Kind, label and part of a recording, and its samples (n,) int16."""


def corpus_of(*sounds: Sound) -> Corpus:
    """Return a corpus that lies in memory."""
    recordings = []
    start = 0
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for number, (kind, label, split, samples) in enumerate(sounds):
        recordings.append(
            Recording(
                path=f"{kind}/{label}/{number}.wav",
                kind=kind,
                label=label,
                speaker=None,
                split=split,
                start=start,
                length=len(samples),
            )
        )
        start += len(samples)
        if kind == "word":
            counts[label][split] += 1
    return Corpus(
        root=Path("memory"),
        fingerprint="of memory",
        audio=np.concatenate([samples for *_, samples in sounds]),
        recordings=tuple(recordings),
        report=DataReport(
            layout="memory",
            split_rule="as given",
            files=len(recordings),
            skipped=(),
            ignored_folders=(),
            word_counts={word: {s: counts[word][s] for s in SPLITS} for word in sorted(counts)},
            seconds={},
            speakers=0,
        ),
    )


def spoken(
    hertz: float,
    *,
    seconds: float = 1.0,
    start_s: float = 0.3,
    end_s: float = 0.7,
    level: float = 0.2,
    floor: float = 1e-4,
    seed: int = 0,
) -> np.ndarray:
    """A recording of a word that is a tone, (n,) int16."""
    samples = tones.quiet(seconds, level=floor, seed=seed)
    start, length = round(start_s * tones.RATE), round((end_s - start_s) * tones.RATE)
    samples[start : start + length] += tones.sine(hertz, length / tones.RATE, level=level)
    return tones.to_int16(samples)


def write_tone_words(
    folder: Path,
    *,
    words: dict[str, float],
    clips: int = 20,
    noise_s: float = 40.0,
) -> Path:
    """Write a folder a word, of tones of these frequencies in Hz, and noise; return `folder`.

    Clips differ in level, length and pitch, as words do.
    """
    rng = np.random.default_rng(1)
    for word, hertz in words.items():
        (folder / word).mkdir(parents=True)
        for number in range(clips):
            start_s = rng.uniform(0.1, 0.4)
            clip = spoken(
                hertz * rng.uniform(0.95, 1.05),
                start_s=start_s,
                end_s=start_s + rng.uniform(0.3, 0.5),
                level=10 ** rng.uniform(-1.5, -0.3),
                floor=3e-4,
                seed=number,
            )
            soundfile.write(folder / word / f"speaker{number:02}_1.wav", clip, tones.RATE)
    if noise_s:
        (folder / "_background_noise_").mkdir()
        hiss = tones.to_int16(tones.hiss(noise_s, level=0.02))
        soundfile.write(folder / "_background_noise_" / "hiss.wav", hiss, tones.RATE)
    return folder
