"""The words of the test model: two tones, so that tests know what must be heard.

`make_tones_model.py` trains the model in `data/` on streams from here.
"""

from __future__ import annotations

import numpy as np

RATE = 16_000
LABELS = ("low", "high", "unknown", "silence")
BURST_S = 0.4

_HERTZ = {"low": 400.0, "high": 2500.0}

BEEPS = """
name = "beeps"
[slots]
first = ["low"]
second = ["high"]

[commands.beep]
say = "{first} {second}"
remember = { first = 30 }
"""


def tone(word: str, *, seconds: float = BURST_S, level: float = 0.2) -> np.ndarray:
    """One word: a tone with faded ends, (n,) float32."""
    return sine(_HERTZ[word], seconds, level=level)


def sine(hertz: float, seconds: float, *, level: float = 0.2) -> np.ndarray:
    """A tone with faded ends, (n,) float32."""
    time = np.arange(round(seconds * RATE)) / RATE
    return _faded(level * np.sin(2 * np.pi * hertz * time))


def hiss(seconds: float, *, level: float = 0.05, seed: int = 0) -> np.ndarray:
    """No word but loud: white noise, (n,) float32."""
    return _faded(level * np.random.default_rng(seed).normal(size=round(seconds * RATE)))


def quiet(seconds: float, *, level: float = 3e-4, seed: int = 0) -> np.ndarray:
    """Near silence: noise at -70 dB of full scale, (n,) float32."""
    noise = np.random.default_rng(seed).normal(size=round(seconds * RATE))
    return (level * noise).astype(np.float32)


def stream(*words: str, pause_s: float = 0.6, level: float = 0.2, seed: int = 0) -> np.ndarray:
    """Words with pauses before, between and after them, (n,) int16."""
    rest = round(pause_s * RATE)
    length = rest + len(words) * (rest + round(BURST_S * RATE))
    samples = quiet(length / RATE, seed=seed)
    for index, start in enumerate(starts(len(words), pause_s=pause_s)):
        burst = tone(words[index], level=level)
        samples[start : start + len(burst)] += burst
    return to_int16(samples)


def starts(count: int, *, pause_s: float = 0.6) -> list[int]:
    """Where the words of `stream` start, in samples."""
    rest, burst = round(pause_s * RATE), round(BURST_S * RATE)
    return [rest + index * (rest + burst) for index in range(count)]


def to_int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def _faded(samples: np.ndarray) -> np.ndarray:
    fade = min(160, len(samples) // 2)
    ramp = np.linspace(0, 1, fade)
    samples = samples.copy()
    samples[:fade] *= ramp
    samples[len(samples) - fade :] *= ramp[::-1]
    return samples.astype(np.float32)
