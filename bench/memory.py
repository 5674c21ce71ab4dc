"""Measure the cost of a memory on this machine: time per word and per step.

    python bench/memory.py [GRAMMAR]

A step is 40 ms of audio, and costs the network and the front end some 50 to 150 µs, see `harken
bench`; a word comes every second or so.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from harken.edge.memory.grammar_file import load_grammar
from harken.edge.memory.habits import User
from harken.edge.memory.memory import Memory, default_prior, ngram
from harken.edge.spotting.manifest import load_model

WORDS = 2000


def main() -> None:
    grammar = load_grammar(sys.argv[1] if len(sys.argv) > 1 else "robot")
    model = load_model("commands")
    rng = np.random.default_rng(0)
    user = User(grammar, rng)
    said = [word for _ in range(WORDS // 4) for word in user.session(rng)][:WORDS]
    for make in (default_prior, ngram):
        began = time.perf_counter()
        prior = make(grammar)
        made_s = time.perf_counter() - began
        memory = Memory.of(grammar, model, prior=prior, now_s=0.0)
        words, steps, now_s = [], [], 0.0
        for each in said:
            now_s += each.gap_s + 0.5
            began = time.perf_counter()
            memory.hear(each.word, now_s, acoustic=0.95)
            words.append(time.perf_counter() - began)
            began = time.perf_counter()
            memory.log_odds(round(now_s * 16_000) + 4000)
            steps.append(time.perf_counter() - began)
        print(
            f"{grammar.name}, {type(prior).__name__}: made in {1000 * made_s:.0f} ms; a word "
            f"{1e6 * statistics.median(words):.0f} µs (99 % below "
            f"{1e6 * np.quantile(words, 0.99):.0f}), a step {1e6 * statistics.median(steps):.1f} µs"
        )


if __name__ == "__main__":
    main()
