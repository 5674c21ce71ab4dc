"""Transcribed speech in; out come scenes of the keywords in it, as they occur in connected speech.

In the other scenes, keywords are spoken one by one. Here they are left where they were recorded:

* **digits in a row**: a recording that contains nothing but digits, with two or more keywords in
  direct succession;
* **in sentences**: any other recording that contains a keyword.

Only recordings with time-aligned keywords are used: complete, one after another with pauses, clean.
The keywords of each are as loud as words in the other scenes. Uncertain times tell where a word is,
but not how clearly it is spoken: such a word counts neither as heard nor as missed. Where two words
overlap, by their times, the boundary is put in the middle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from .. import augment
from ..corpus import Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from ..splits import Split
from ..transcripts import DIGITS as DIGIT_WORDS
from ..transcripts import SpokenWord, tokens
from .leaks import identity
from .spoken import Placed, Spoken, drawn_level_db
from .truth import Utterance

DIGITS, SENTENCES = "digits in a row", "in sentences"
"""How keywords are spoken in connected speech."""

_SCENE_S = 60.0
_LEAD_S = 0.5
_TAIL_S = 1.5
_PAUSE_S = (0.3, 2.0)
_SHORTEST_S = 0.05  # of a word
_MOST_GAIN_DB = 40.0

_SCALE = np.float32(1 / 32768)
_Said = tuple[Recording, tuple[SpokenWord, ...]]  # a recording and its keywords


def flowing_speech(
    corpus: Corpus, words: Collection[str], *, split: Split, count: int, seed: int
) -> dict[str, list[Spoken]]:
    """Draw recordings that contain keywords, and lay them out in scenes of about a minute.

    Parameters
    ----------
    corpus
        The recordings.
    words
        The keywords.
    split
        The split: "training", "validation" or "testing".
    count
        About how many keywords with certain times to use for each way of speaking; all of them if
        there are fewer. No recording is used twice.
    seed
        Seed of all random draws.

    Returns
    -------
    The recordings by way of speaking, `DIGITS` and `SENTENCES`; only those that exist.
    """
    names = {word.lower(): word for word in words}
    pools: dict[str, list[_Said]] = {DIGITS: [], SENTENCES: []}
    for recording in corpus.select("speech", split=split):
        said = _apart(recording.says(words) or ())
        if recording.text is not None and said and any(word.clear for word in said):
            digits = _is_row(tokens(recording.text), names)
            pools[DIGITS if digits else SENTENCES].append((recording, said))
    drawn = {}
    for number, (flow, pool) in enumerate(pools.items()):
        rng = np.random.default_rng((seed, 3, number))
        chosen: list[_Said] = []
        left = count
        for index in rng.permutation(len(pool)):
            if left <= 0:
                break
            chosen.append(pool[index])
            left -= sum(word.clear for word in pool[index][1])
        if chosen:
            drawn[flow] = list(_lay_out(corpus, chosen, names, seed=seed, rng=rng))
    return drawn


def _is_row(said: Sequence[str], words: Collection[str]) -> bool:
    """Whether only digits are spoken, and two in succession are keywords."""
    return all(word in DIGIT_WORDS for word in said) and any(
        one in words and other in words for one, other in pairwise(said)
    )


def _apart(said: Sequence[SpokenWord]) -> tuple[SpokenWord, ...] | None:
    """Move the boundary of overlapping words to the middle; None if nothing is left of a word."""
    starts, ends = [word.start for word in said], [word.end for word in said]
    for index in range(len(said) - 1):
        if ends[index] > starts[index + 1]:
            ends[index] = starts[index + 1] = (ends[index] + starts[index + 1]) // 2
    apart = tuple(
        SpokenWord(word.word, start, end, word.clear)
        for word, start, end in zip(said, starts, ends, strict=True)
    )
    if any(word.end - word.start < _SHORTEST_S * SAMPLE_RATE_HZ for word in apart):
        return None
    return apart


def _lay_out(
    corpus: Corpus,
    chosen: Sequence[_Said],
    names: Mapping[str, str],
    *,
    seed: int,
    rng: np.random.Generator,
) -> Iterator[Spoken]:
    """Yield scenes that play these recordings in order."""
    placed: list[Placed] = []
    number = first = 0
    for position, (recording, said) in enumerate(chosen, 1):
        pause_s = rng.uniform(*_PAUSE_S) if placed else _LEAD_S
        at = (placed[-1].end if placed else 0) + round(pause_s * SAMPLE_RATE_HZ)
        placed.append(_place(corpus, recording, said, names, at=at, rng=rng))
        if placed[-1].end >= (_SCENE_S - _TAIL_S) * SAMPLE_RATE_HZ or position == len(chosen):
            samples = placed[-1].end + round(_TAIL_S * SAMPLE_RATE_HZ)
            yield Spoken(
                number=number,
                first=first,
                samples=samples,
                said=tuple(placed),
                corpus=corpus,
                seed=seed,
            )
            placed, number, first = [], number + 1, first + samples


def _place(
    corpus: Corpus,
    recording: Recording,
    said: Sequence[SpokenWord],
    names: Mapping[str, str],
    *,
    at: int,
    rng: np.random.Generator,
) -> Placed:
    """Place a recording so that it starts at sample `at`, with its keywords at the usual level."""
    samples = corpus.samples(recording)
    active = np.concatenate([samples[word.start : word.end] for word in said if word.clear])
    gain = augment.decibels(drawn_level_db(rng)) / augment.rms(active * _SCALE)
    return Placed(
        first=recording.start,
        length=recording.length,
        at=at,
        gain=min(gain, augment.decibels(_MOST_GAIN_DB)),
        end=at + recording.length,
        utterances=tuple(
            Utterance(
                start_s=(at + word.start) / SAMPLE_RATE_HZ,
                end_s=(at + word.end) / SAMPLE_RATE_HZ,
                word=names[word.word],
                sure=word.clear,
            )
            for word in said
        ),
        identity=identity(recording),
    )
