"""Recordings in, scenes out: minutes of running audio in which every spoken word is known.

**Scenes with words** are made in two steps. First the words are drawn, with their times and levels,
for scenes of about a minute: clips of the keywords and, among them, other words, words in quick
succession, and pieces of words (the first or the second half). Then the same scenes are rendered
under every condition, so that conditions differ in nothing else:

* clean: with a hiss 60 dB below the words;
* with noise at an SNR of 20, 10, 5 and 0 dB: the mean level of the words, 26 dB below full scale,
  over the root mean square of the noise;
* clean, with somebody talking in the background, 10 dB softer: all running speech of the split
  except recordings that contain a keyword;
* clean, with a gain of -20, -10, +10 and +20 dB, clipped at full scale as by a microphone;
* clean, in each room of the split.

The level of a word is that of its active part, as found by
`harken.edge.spotting.endpoints.find_word`; 100 ms of the recording are kept around it. The noise is
every noise recording of the split in turn, each at the same level, without the digital silence that
pads some of them. The audio is dithered as by an analogue-to-digital converter, so that no pause is
digital silence.

**Scenes of connected speech** contain keywords as they occur in it, see
`harken.train.scenes.flow`.

**Negative scenes** contain all speech and noise of the split without its keywords, see
`harken.train.scenes.negatives`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ... import __version__
from ...edge.errors import DataError
from ..corpus import SILENCE_FOLDER, Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from ..splits import Split, WordClip, guess_speaker
from .flow import flowing_speech
from .negatives import negative_scenes, noise_source
from .noise import NoiseTrack, noise_recordings, talk_recordings
from .spoken import Placed, Spoken, place_word
from .truth import Scene, SceneSet

SNR_DB = (20, 10, 5, 0)
"""SNRs of words in noise; "clean" comes on top."""

GAIN_DB = (-20, -10, 10, 20)
"""Gains of the whole scene; 0 dB comes on top."""

TALK_DB = 10
"""SNRs of words against a background talker."""

CLEAN: Mapping[str, str] = {
    "snr": "clean",
    "talk": "none",
    "gain": "+0 dB",
    "room": "none",
    "flow": "one by one",
}
"""Conditions of a scene of single words without noise, talk, gain and room: the baseline for all
other conditions."""

_SCENE_S = 60.0
_LEAD_S = (0.5, 2.0)  # before the first word
_TAIL_S = 1.5  # after the last one, long enough to detect it
_PAUSE_S = (0.3, 2.0)
_QUICK_PAUSE_S = (0.05, 0.25)
_QUICK_SHARE = 0.15  # of the words after the first
_UNKNOWN_SHARE = 0.15  # of all words
_PIECE_SHARE = 0.08
_FEW = 10  # recordings of a word; with fewer, its figures mean little

_SCALE = np.float32(1 / 32768)


class _Deck:
    """Recordings by word, dealt one word after another until all have been used."""

    def __init__(self, pools: Mapping[str, Sequence[Recording]], rng: np.random.Generator) -> None:
        self._pools, self._rng = pools, rng
        self._left: dict[str, list[Recording]] = {word: [] for word in pools}
        self.size = sum(len(pool) for pool in pools.values())

    def deal(self, count: int) -> list[Recording]:
        """Take the next recordings: the same number of every word, as long as it has some left."""
        dealt: list[Recording] = []
        while len(dealt) < count:
            if not any(self._left.values()):
                for word, pool in self._pools.items():
                    self._left[word] = [pool[i] for i in self._rng.permutation(len(pool))]
            words = [word for word, left in self._left.items() if left]
            for index in self._rng.permutation(len(words))[: count - len(dealt)]:
                dealt.append(self._left[words[index]].pop())
        return dealt


def make_scenes(
    corpus: Corpus,
    words: Sequence[str],
    *,
    split: Split = "validation",
    words_per_condition: int = 500,
    seed: int = 0,
) -> SceneSet:
    """Make scenes of the recordings of one split, by the rules of this module.

    Parameters
    ----------
    corpus
        The recordings.
    words
        The words of the model. All other word folders are unknown words.
    split
        The split, also of speech and noise.
    words_per_condition
        Whole keywords under each condition: the same number of each keyword, as far as there are
        recordings. No recording is used twice before all have been used once. In
        connected speech about this number, as far as there are any.
    seed
        Seed of all random draws: the same seed gives the same scenes, sample for sample.

    Returns
    -------
    Scenes with words, grouped by condition, then negative ones. The notes say which conditions are
    missing because the split has no such recordings, and which speech is left out.

    Raises
    ------
    DataError
        The split has no recording of any of the words, all recordings are by one speaker, or a
        parameter is out of range.
    """
    if words_per_condition < 1:
        raise DataError(f"words per condition is {words_per_condition}; it must be at least 1")
    if seed < 0:
        raise DataError(f"the seed is {seed}; it must be at least 0")
    notes = _check_speakers(corpus)
    bases = _draw_bases(
        corpus, words, split=split, count=words_per_condition, seed=seed, notes=notes
    )
    noises = noise_recordings(corpus, split)
    talkers = talk_recordings(corpus, words, split)
    noise, talk = NoiseTrack(corpus, noises, seed), NoiseTrack(corpus, talkers, seed)
    rooms = corpus.select("room", split=split)
    scenes = [
        Scene(
            name=f"words-{name}-{base.number:03}",
            seconds=base.samples / SAMPLE_RATE_HZ,
            utterances=base.utterances,
            negative=False,
            conditions={**CLEAN, **conditions},
            recordings=tuple(sorted({*base.identities, *also})),
            render=partial(base.render, **heard),
        )
        for name, conditions, heard, also in _conditions(corpus, noise, talk, rooms)
        for base in bases
    ]
    flow = _flow_scenes(corpus, words, split=split, count=words_per_condition, seed=seed)
    scenes += flow
    notes += _unknown_speakers(corpus, flow)
    negatives, lost = negative_scenes(corpus, words, split)
    notes += lost
    for there, what in (
        (noise.length, "noise: it has no scenes with noise"),
        (rooms, "rooms: it has no scenes in rooms"),
        (corpus.select("speech", split=split), "running speech: none of its negatives is speech"),
        (negatives, "speech and noise: false accepts cannot be measured"),
    ):
        if not there:
            notes.append(f"the {split} split has no {what}")
    return SceneSet(
        scenes=(*scenes, *negatives),
        notes=tuple(notes),
        provenance={
            "harken": __version__,
            "data_fingerprint": corpus.fingerprint,
            "split": split,
            "split_rule": corpus.report.split_rule,
            "words": list(words),
            "words_per_condition": words_per_condition,
            "noise": sorted({noise_source(recording) for recording in noises}),
            "talk": sorted({recording.label for recording in talkers}),
            "seed": seed,
        },
    )


def _check_speakers(corpus: Corpus) -> list[str]:
    """Refuse recordings of a single speaker; return a note if the names show no speakers."""
    clips = [r for r in corpus.select("word") if r.label != SILENCE_FOLDER]
    speakers = {r.speaker or guess_speaker(WordClip(label=r.label, path=r.path)) for r in clips}
    if len(speakers) > 1 or len(clips) < 2:
        return []
    (speaker,) = speakers
    if not speaker:
        return [
            "the names of the recordings show no speakers: scenes may contain speakers that a "
            "model was trained on"
        ]
    raise DataError(
        f"all {len(clips)} recordings of words in {corpus.root} are by one speaker, by their names "
        f"({speaker!r}), so no scene can show how a model does with other people; add recordings "
        "of other people (yes/anna_01.wav, yes/ben_01.wav), or measure on your own recordings with "
        "labels: --scenes FOLDER"
    )


def _flow_scenes(
    corpus: Corpus, words: Sequence[str], *, split: Split, count: int, seed: int
) -> list[Scene]:
    """Make scenes of keywords in connected speech."""
    drawn = flowing_speech(corpus, words, split=split, count=count, seed=seed)
    return [
        Scene(
            name=f"words-{flow.replace(' ', '-')}-{base.number:03}",
            seconds=base.samples / SAMPLE_RATE_HZ,
            utterances=base.utterances,
            negative=False,
            conditions={**CLEAN, "flow": flow},
            recordings=base.identities,
            render=base.render,
        )
        for flow, bases in drawn.items()
        for base in bases
    ]


def _unknown_speakers(corpus: Corpus, flow: Sequence[Scene]) -> list[str]:
    """Say how many recordings of connected speech have an unknown speaker."""
    heard = {name for scene in flow for name in scene.recordings or ()}
    unknown = {r.path for r in corpus.select("speech") if r.speaker is None} & heard
    if not unknown:
        return []
    return [
        f"words in connected speech: {len(unknown)} recordings name no speaker, so a model may "
        "have been trained on the same voices"
    ]


def _conditions(
    corpus: Corpus, noise: NoiseTrack, talk: NoiseTrack, rooms: Sequence[Recording]
) -> Iterator[tuple[str, dict[str, str], dict[str, Any], set[str]]]:
    """Yield each condition.

    Each is a part of the scenes' names, the scenes' own conditions, how they are rendered, and the
    identities heard in addition to those of the words.
    """
    yield "clean", {}, {}, set()
    if noise.length:
        for snr_db in SNR_DB:
            over = {"snr_db": float(snr_db), "noise": noise}
            yield f"snr{snr_db}", {"snr": f"{snr_db} dB"}, over, set()
    if talk.length:
        over = {"snr_db": float(TALK_DB), "noise": talk}
        yield f"talk{TALK_DB}", {"talk": f"{TALK_DB} dB"}, over, talk.identities
    for gain_db in GAIN_DB:
        yield f"gain{gain_db:+}", {"gain": f"{gain_db:+} dB"}, {"gain_db": float(gain_db)}, set()
    for room in rooms:
        heard = {"room": corpus.samples(room) * _SCALE}
        yield f"room-{room.label}", {"room": room.label}, heard, set()


def _draw_bases(
    corpus: Corpus,
    words: Sequence[str],
    *,
    split: Split,
    count: int,
    seed: int,
    notes: list[str],
) -> list[Spoken]:
    """Draw the words and lay them out in scenes of a minute; add to the notes what is missing."""
    rng = np.random.default_rng((seed, 0))
    pools: dict[str, list[Recording]] = {}
    for recording in corpus.select("word", split=split):
        if recording.label != SILENCE_FOLDER:
            pools.setdefault(recording.label, []).append(recording)
    keywords = _Deck({word: pools[word] for word in words if word in pools}, rng)
    others = _Deck({word: pool for word, pool in pools.items() if word not in words}, rng)
    if not keywords.size:
        corpus.require_words(words, split=split)
    missing = [word for word in words if word not in pools]
    if missing:
        notes.append(f"the {split} split has no recordings of {', '.join(missing)}")
    few = [f"{w} ({len(pools[w])})" for w in words if w in pools and len(pools[w]) < _FEW]
    if few:
        notes.append(f"few recordings of {', '.join(few)}: the figures of these words mean little")
    if count > keywords.size:
        notes.append(
            f"the {split} split has {keywords.size} recordings of the words, so some are used more "
            f"than once among the {count} under each condition"
        )
    if not others.size:
        notes.append(f"the {split} split has no recordings of other words: none are used")
    keyword_share = 1.0 - _PIECE_SHARE - (_UNKNOWN_SHARE if others.size else 0.0)
    unknown = round(count * _UNKNOWN_SHARE / keyword_share) if others.size else 0
    pieces = round(count * _PIECE_SHARE / keyword_share)
    draws = [(recording, True) for recording in keywords.deal(count) + others.deal(unknown)]
    draws += [(recording, False) for recording in keywords.deal(pieces)]

    bases: list[Spoken] = []
    said: list[Placed] = []
    end_s, quick = 0.0, False
    order = rng.permutation(len(draws))
    for position, index in enumerate(order):
        recording, whole = draws[index]
        # Two at a time: a third one after a short pause would be another task, that of sentences.
        quick = bool(said) and not quick and bool(rng.random() < _QUICK_SHARE)
        pause = _LEAD_S if not said else _QUICK_PAUSE_S if quick else _PAUSE_S
        start = round((end_s + rng.uniform(*pause)) * SAMPLE_RATE_HZ)
        said.append(place_word(corpus, recording, whole, start, rng))
        end_s = said[-1].end / SAMPLE_RATE_HZ
        if end_s >= _SCENE_S - _TAIL_S or position == len(order) - 1:
            bases.append(
                Spoken(
                    number=len(bases),
                    first=bases[-1].first + bases[-1].samples if bases else 0,
                    samples=said[-1].end + round(_TAIL_S * SAMPLE_RATE_HZ),
                    said=tuple(said),
                    corpus=corpus,
                    seed=seed,
                )
            )
            said, end_s, quick = [], 0.0, False
    return bases
