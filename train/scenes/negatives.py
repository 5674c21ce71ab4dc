"""Recordings of speech and noise in, negative scenes out: hours without any keyword.

They contain all running speech of a split, each recording at 26 dB below full scale, and all its
noise as it was recorded. Every second is used once, so that an hour is an hour.

Where a keyword occurs in speech, it is cut out with its surroundings, from 0.3 s before it to 0.5 s
after it; where its times are uncertain, from 1 s before to 1 s after. Less than a second between
two cuts is left out, too, and so is a recording that contains a keyword at an unknown time.

A source is a folder: that of the corpus in ``speech/``, ``negatives/`` and ``wake_words/``; for
noise ``background_noise``, ``esc10``, or ``noise/music`` and its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .. import augment
from ..corpus import Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from ..scan import NOISE_COLLECTION
from ..splits import Split
from .leaks import identity
from .noise import noise_recordings
from .spoken import LEVEL_DB
from .truth import Scene

_SCENE_S = 300.0
_MOST_GAIN_DB = 40.0  # for a faint recording of speech, so that its hiss does not become a roar

_CUT_S = (0.3, 0.5)  # before and after a keyword: automatic alignments may be 0.2 s off
WIDE_CUT_S = (1.0, 1.0)  # the same for less certain times
_SHORTEST_S = 1.0  # of what is left between cuts

_SCALE = np.float32(1 / 32768)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A continuous stretch of audio in a negative scene."""

    recording: Recording
    """The whole recording, which determines the level."""
    piece: Recording
    """The part of it between two cuts."""
    first: int
    """In the piece."""
    length: int


def negative_scenes(
    corpus: Corpus, words: Collection[str], split: Split
) -> tuple[list[Scene], list[str]]:
    """Make scenes of all speech and noise of a split, source by source.

    Parameters
    ----------
    corpus
        The recordings.
    words
        The keywords, which are cut out.
    split
        The split.

    Returns
    -------
    The scenes, and notes on what was cut or left out.
    """
    sources: dict[str, list[_Stretch]] = {}
    kinds: dict[str, bool] = {}
    lost_s, cut_s, cuts = 0.0, 0.0, 0
    speech = [(r.label, r) for r in corpus.select("speech", split=split)]
    noise = [(noise_source(r), r) for r in noise_recordings(corpus, split)]
    for source, recording in speech + noise:
        pieces = without_words(recording, words)
        if pieces is None:
            lost_s += recording.length / SAMPLE_RATE_HZ
            continue
        cuts += len(recording.says(words) or ())
        left = sum(piece.length for piece in pieces)
        cut_s += (recording.length - left) / SAMPLE_RATE_HZ
        kinds[source] = recording.kind == "speech"
        for piece in pieces:
            parts = math.ceil(piece.length / (_SCENE_S * SAMPLE_RATE_HZ))
            bounds = [piece.length * part // parts for part in range(parts + 1)]
            sources.setdefault(source, []).extend(
                _Stretch(recording, piece, first, last - first) for first, last in pairwise(bounds)
            )
    notes = []
    if cuts:
        notes.append(
            f"{cut_s / 60:.1f} min of the negatives are cut out: they contain {cuts} words of the "
            "model"
        )
    if lost_s:
        notes.append(
            f"{lost_s / 60:.1f} min of running speech are left out of the negatives: they contain "
            "words of the model at unknown times"
        )
    scenes = [
        _negative(corpus, _name(source, number), source, stretches, kinds[source])
        for source, heard in sources.items()
        for number, stretches in enumerate(_scenes_of(heard))
    ]
    return scenes, notes


def without_words(recording: Recording, words: Collection[str]) -> list[Recording] | None:
    """Cut keywords out of a recording.

    Parameters
    ----------
    recording
        Any recording.
    words
        The keywords.

    Returns
    -------
    The rest of it, in order of time: the recording itself if it contains no keyword. None if it
    contains one at an unknown time.
    """
    said = recording.says(words)
    if said is None:
        return None
    if not said:
        return [recording]
    pieces = []
    begin = 0
    for word in said:  # their ends are not sorted
        before_s, after_s = _CUT_S if word.clear else WIDE_CUT_S
        end = word.start - round(before_s * SAMPLE_RATE_HZ)
        pieces.append((begin, end))
        begin = max(begin, word.end + round(after_s * SAMPLE_RATE_HZ))
    pieces.append((begin, recording.length))
    return [
        replace(recording, start=recording.start + first, length=last - first, text=None, spoken=())
        for first, last in pieces
        if last - first >= _SHORTEST_S * SAMPLE_RATE_HZ
    ]


def speech_gain(audio: NDArray[np.float32]) -> np.float32:
    """Return the factor that brings speech to `LEVEL_DB`, or nearer to it if it is faint."""
    gain = augment.decibels(LEVEL_DB) / augment.rms(audio)
    return np.float32(min(gain, augment.decibels(_MOST_GAIN_DB)))


def noise_source(recording: Recording) -> str:
    """Return the folder that noise comes from."""
    folder, _, rest = recording.path.partition("/")
    inner, slash, _ = rest.partition("/")
    return f"{folder}/{inner}" if folder == NOISE_COLLECTION and slash else folder


def _name(source: str, number: int) -> str:
    return f"negative-{source.replace('/', '-')}-{number:03}"


def _scenes_of(stretches: Sequence[_Stretch]) -> Iterator[tuple[_Stretch, ...]]:
    """Group consecutive stretches into scenes of at most five minutes."""
    group: list[_Stretch] = []
    samples = 0
    for stretch in stretches:
        if group and samples + stretch.length > _SCENE_S * SAMPLE_RATE_HZ:
            yield tuple(group)
            group, samples = [], 0
        group.append(stretch)
        samples += stretch.length
    if group:
        yield tuple(group)


def _negative(
    corpus: Corpus, name: str, source: str, stretches: tuple[_Stretch, ...], speech: bool
) -> Scene:
    recordings = {identity(stretch.recording) for stretch in stretches} if speech else set()
    return Scene(
        name=name,
        seconds=sum(stretch.length for stretch in stretches) / SAMPLE_RATE_HZ,
        utterances=(),
        negative=True,
        conditions={"source": source},
        recordings=tuple(sorted(recordings)),
        render=partial(_render_negative, corpus, stretches, speech),
    )


def _render_negative(
    corpus: Corpus, stretches: tuple[_Stretch, ...], speech: bool
) -> NDArray[np.int16]:
    """Concatenate recordings: speech at one level, noise as it was recorded."""
    heard = []
    for stretch in stretches:
        audio = corpus.samples(stretch.piece) * _SCALE
        if speech:
            audio *= speech_gain(corpus.samples(stretch.recording) * _SCALE)
        heard.append(augment.faded(audio)[stretch.first : stretch.first + stretch.length])
    return augment.to_pcm(np.concatenate(heard))
