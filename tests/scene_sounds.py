"""Scenes of tone words on disk, with their label tracks, and minutes without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import tones


def write_scene(folder: Path, name: str, words: tuple[str, ...], *, seed: int) -> None:
    soundfile.write(folder / f"{name}.wav", tones.stream(*words, level=0.05, seed=seed), tones.RATE)
    starts = [start / tones.RATE for start in tones.starts(len(words))]
    labels = (
        f"{at:.3f}\t{at + tones.BURST_S:.3f}\t{word}\n"
        for at, word in zip(starts, words, strict=True)
    )
    (folder / f"{name}.txt").write_text("".join(labels))


def write_sound(folder: Path) -> Path:
    """Write scenes/, with 40 words, and negatives/, four minutes without one."""
    (folder / "scenes").mkdir()
    (folder / "negatives").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        words = tuple(tones.LABELS[index] for index in rng.integers(0, 2, 10))
        write_scene(folder / "scenes", f"scene-{number}", words, seed=number)
        rest = [
            part
            for seed in range(60)
            for part in (tones.hiss(0.3, seed=60 * number + seed), tones.quiet(0.7, seed=seed))
        ]
        samples = tones.to_int16(np.concatenate(rest))
        soundfile.write(folder / "negatives" / f"hiss-{number}.wav", samples, tones.RATE)
    return folder
