"""A person in a quiet room who says words when they are asked for them, as a source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import tones

from harken.edge.sound.sources import BLOCK_MS, Block, Source

BLOCK = tones.RATE * BLOCK_MS // 1000


def voice(
    *, seconds: float = 0.45, level: float = 0.2, hertz: float = 700.0, seed: int = 0
) -> np.ndarray:
    """One word: a tone with harmonics, (n,) float32."""
    rng = np.random.default_rng(seed)
    pitch = hertz * rng.uniform(0.9, 1.1)
    word = sum(tones.sine(pitch * k, seconds, level=level / k) for k in (1, 2, 3))
    return np.asarray(word, np.float32)


class Speaker(Source):
    """Sound without end: quiet noise, and in it whatever was asked of `say`.

    Blocks come as fast as they are taken, or `paced` as a microphone delivers them.
    """

    def __init__(self, *, noise: float = 1e-3, paced: bool = False) -> None:
        super().__init__("a person")
        self.paced = paced
        self.closed = False
        self._rng = np.random.default_rng(0)
        self._noise = noise
        self._coming = np.zeros(0, np.float32)
        self.at_block: dict[int, Callable[[], object]] = {}
        """What happens before a block is delivered, by its number."""
        self._lost = 0
        self.blocks = 0

    def say(self, word: np.ndarray, *, after_s: float = 0.4) -> None:
        """Say a word so long from now."""
        pause = np.zeros(round(after_s * tones.RATE), np.float32)
        self._coming = np.concatenate((pause, word))

    def lose(self, samples: int) -> None:
        """Lose sound before the next block."""
        self._lost += samples

    def __iter__(self) -> Iterator[Block]:
        began = time.monotonic()
        while True:
            event = self.at_block.pop(self.blocks, None)
            if event is not None:
                event()
            spoken, self._coming = self._coming[:BLOCK], self._coming[BLOCK:]
            sound = self._noise * self._rng.normal(size=BLOCK).astype(np.float32)
            sound[: len(spoken)] += spoken
            self.blocks += 1
            if self.paced:
                due = began + self.blocks * BLOCK / tones.RATE
                time.sleep(max(0.0, due - time.monotonic()))
            lost, self._lost = self._lost, 0
            yield Block(
                samples=tones.to_int16(sound), arrived_at=time.monotonic(), lost_samples=lost
            )

    def close(self) -> None:
        self.closed = True
