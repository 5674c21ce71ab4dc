"""Users made up in; what Python's memory learns of them, and its file, out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harken.edge.memory.grammar import Grammar
from harken.edge.memory.habits import WORD_S, User
from harken.edge.memory.memory import Memory
from harken.edge.memory.prior import Learner
from harken.edge.memory.store import Store

PAUSE_S = 20.0  # after a session


class Taught(Memory):
    """A memory that notes what the prior that ships thought of each word."""

    def __init__(self, grammar: Grammar, store: Store | None = None) -> None:
        labels = (*grammar.words, "unknown", "silence")
        thresholds = dict.fromkeys(grammar.words, 0.7)
        super().__init__(grammar, labels, thresholds=thresholds, store=store, now_s=0.0)
        self.foreseen = 0.5
        lesson = self.prior.lesson

        def noted(word: str, gap_s: float) -> Any:
            made = lesson(word, gap_s)
            self.foreseen = made.base
            return made

        self.prior.lesson = noted  # type: ignore[method-assign]


def spoken(grammar: Grammar, sessions: int, seed: int = 0) -> Iterator[tuple[str, float, float]]:
    """What one user says: words, times, and their evidence without a memory, 0.6 to 1."""
    rng = np.random.default_rng(seed)
    user, now_s = User(grammar, rng), 0.0
    for _ in range(sessions):
        for said in user.session(rng):
            now_s += said.gap_s + WORD_S
            yield said.word, round(now_s, 3), round(float(rng.uniform(0.6, 1)), 3)
        now_s += PAUSE_S


def taught(grammar: Grammar, path: Path, sessions: int = 30) -> Learner:
    """Keep what is learned in some sessions in a file, and return it."""
    store = Store(path, on_warning=lambda warning: None)
    memory, now_s = Taught(grammar, store), 0.0
    for word, now_s, acoustic in spoken(grammar, sessions):
        memory.hear(word, now_s, 0.9, acoustic=acoustic)
    memory.log_odds(round((now_s + PAUSE_S) * 16_000))
    memory.close()
    assert memory.prior.lessons >= 3 * sessions
    return memory.prior
