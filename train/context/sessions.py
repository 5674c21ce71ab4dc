"""Recordings and a grammar in, spoken sessions out: in each, one speaker gives commands.

Each session comes in three orders. **Scripted**: the words of a simulated user with favourite
commands (`harken.edge.memory.habits`), as far as the speaker has recorded them. **Shuffled**: the
same words in random order. **Adversarial**: the same words, each being the one that the shipped
prior expects least. Pauses stay where they were.

Each word is one of the speaker's recordings, drawn at random; none is repeated before all have been
used. Levels, noise and hiss are those of `harken.train.scenes.make`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...edge.errors import DataError
from ...edge.memory.dialogue import Dialogue
from ...edge.memory.grammar import Grammar
from ...edge.memory.habits import WORD_S, Said, User
from ...edge.memory.prior import Prior, gap_class
from ..corpus import Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from ..scenes.noise import NoiseTrack, noise_recordings
from ..scenes.spoken import Spoken, place_word
from ..scenes.truth import Scene
from ..splits import Split

ORDERS = ("scripted", "shuffled", "adversarial")
"""Orders of the words of a session."""

SNR: Mapping[str, float | None] = {"clean": None, "10 dB": 10.0, "5 dB": 5.0, "0 dB": 0.0}
"""Conditions of each order: signal-to-noise ratio of the words."""

_LEAD_S = 1.0
_TAIL_S = 2.0
_FEWEST_WORDS = 4  # of a session


def spoken_sessions(
    corpus: Corpus,
    grammar: Grammar,
    prior: Prior,
    *,
    split: Split = "validation",
    count: int = 500,
    seed: int = 0,
) -> list[Scene]:
    """Make sessions of the recordings of one split.

    Parameters
    ----------
    corpus
        The recordings.
    grammar
        Defines the commands.
    prior
        The shipped prior, for adversarial order.
    split
        The split: "training", "validation" or "testing".
    count
        Number of sessions, each in every order and under every condition.
    seed
        Seed of all random draws.

    Returns
    -------
    Scenes by order, condition and session, in this order, as their ``conditions`` say.

    Raises
    ------
    DataError
        No speaker of the split has recorded the words of a command, or there is no noise.
    """
    rng = np.random.default_rng((seed, 7))
    noise = NoiseTrack(corpus, noise_recordings(corpus, split), seed)
    if not noise.length:
        raise DataError(f"the {split} split has no noise to mix into the sessions")
    speakers = _speakers(corpus, grammar, split)
    if not speakers:
        raise DataError(
            f"no speaker of the {split} split has recorded all words of a command of {grammar.name}"
        )
    scripts: list[tuple[dict[str, list[Recording]], list[Said]]] = []
    while len(scripts) < count:
        for index in rng.permutation(len(speakers)):
            pools = speakers[index]
            said = User(grammar, rng, pools).session(rng)
            if len(said) >= _FEWEST_WORDS:
                scripts.append((pools, said))
    scripts = scripts[:count]
    scenes = []
    for order in ORDERS:
        spoken: list[Spoken] = []
        for number, (pools, said) in enumerate(scripts):
            draw = np.random.default_rng((seed, 8, number))
            ordered = reorder(said, order, grammar, prior, draw)
            spoken.append(_speak(corpus, pools, ordered, before=spoken, seed=seed, rng=draw))
        for name, snr_db in SNR.items():
            heard: dict[str, Any] = {} if snr_db is None else {"snr_db": snr_db, "noise": noise}
            scenes += [
                Scene(
                    name=f"session-{order}-{name.replace(' ', '')}-{each.number:04}",
                    seconds=each.samples / SAMPLE_RATE_HZ,
                    utterances=each.utterances,
                    negative=False,
                    conditions={"order": order, "snr": name},
                    recordings=each.identities,
                    render=partial(each.render, **heard),
                )
                for each in spoken
            ]
    return scenes


def reorder(
    said: Sequence[Said], order: str, grammar: Grammar, prior: Prior, rng: np.random.Generator
) -> list[tuple[str, float]]:
    """Return words, and the pauses before them, in one of `ORDERS`."""
    words = [each.word for each in said]
    gaps = [each.gap_s for each in said]
    if order == "shuffled":
        words = [words[i] for i in rng.permutation(len(words))]
    elif order == "adversarial":
        words = _least_expected(words, gaps, grammar, prior)
    return list(zip(words, gaps, strict=True))


def _least_expected(
    words: Sequence[str], gaps: Sequence[float], grammar: Grammar, prior: Prior
) -> list[str]:
    left, ordered = sorted(words), []
    dialogue, now_s = Dialogue(grammar), 0.0
    prior.reset()
    for gap_s in gaps:
        elapsed_s = gap_s + WORD_S
        row = prior.expect()[gap_class(elapsed_s)]
        word = min(left, key=lambda word: row[prior.words.index(word)])
        left.remove(word)
        ordered.append(word)
        now_s += elapsed_s
        dialogue.hear(word, now_s)
        prior.hear(word, elapsed_s, dialogue.pending)
    prior.reset()
    return ordered


def _speakers(corpus: Corpus, grammar: Grammar, split: Split) -> list[dict[str, list[Recording]]]:
    """Return the recordings by word of each speaker who can give a command."""
    found: dict[str, dict[str, list[Recording]]] = {}
    for recording in corpus.select("word", split=split):
        if recording.speaker and recording.label in grammar.words:
            words = found.setdefault(recording.speaker, {})
            words.setdefault(recording.label, []).append(recording)
    rng = np.random.default_rng(0)  # draws ranks that are not used
    return [pools for _, pools in sorted(found.items()) if User(grammar, rng, pools)]


def _speak(
    corpus: Corpus,
    pools: Mapping[str, Sequence[Recording]],
    words: Sequence[tuple[str, float]],
    *,
    before: Sequence[Spoken],
    seed: int,
    rng: np.random.Generator,
) -> Spoken:
    left: dict[str, list[Recording]] = {}
    said = []
    end_s = _LEAD_S
    for index, (word, gap_s) in enumerate(words):
        if not left.get(word):
            pool = pools[word]
            left[word] = [pool[i] for i in rng.permutation(len(pool))]
        start_s = end_s + (gap_s if index else 0.0)
        recording = left[word].pop()
        said.append(place_word(corpus, recording, True, round(start_s * SAMPLE_RATE_HZ), rng))
        end_s = said[-1].end / SAMPLE_RATE_HZ
    return Spoken(
        number=len(before),
        first=before[-1].first + before[-1].samples if before else 0,
        samples=round((end_s + _TAIL_S) * SAMPLE_RATE_HZ),
        said=tuple(said),
        corpus=corpus,
        seed=seed,
    )


def stateless(grammar: Grammar) -> Grammar:
    """Return a grammar that remembers nothing: neither slots nor the last command."""
    return dataclasses.replace(
        grammar,
        commands=tuple(dataclasses.replace(spec, remember={}) for spec in grammar.commands),
        repeat_s=0.0,
    )
