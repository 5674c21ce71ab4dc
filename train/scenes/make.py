"""Recordings in, scenes out: minutes of running sound in which everything that is said is known.

**Scenes with words** are made in two steps. First it is drawn what is said, when and how loud, in
scenes of about a minute: clips of the keywords, among them other words, words that follow each
other in quick succession, and pieces of words, the first half or the second. Then these same scenes
are heard under every condition, so that conditions differ in nothing else:

* clean: with a hiss 60 dB below the words;
* over noise at 20, 10, 5 and 0 dB, which is the mean level of the words, 26 dB below full scale,
  over the root mean square of the noise;
* clean, with somebody talking in the background, 10 dB softer: all running speech of the part;
* clean, with a gain of -20, -10, +10 and +20 dB, clipped at full scale as by a microphone;
* clean, in each room of the part.

The level of a word is that of its active part, as `harken.edge.endpoints.find_word` sees it; of
the recording's silence around it 100 ms are kept. Noise is every noise recording of the part in
turn, each at the same level, without the padding of digital silence that some have. Sound is
dithered as by an analogue-to-digital converter, so that no pause is digital silence.

**Negative scenes** hold all the running speech of the part, each recording at 26 dB below full
scale, and all its noise as it was recorded. Every second is heard once, so that an hour is an hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...edge.endpoints import find_word
from ...edge.errors import DataError
from .. import augment
from ..data import SILENCE_FOLDER, Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from ..splits import Split, WordClip, guess_speaker
from .leaks import identity
from .truth import Scene, SceneSet, Utterance

SNR_DB = (20, 10, 5, 0)
"""Words over noise; "clean" comes on top."""

GAIN_DB = (-20, -10, 10, 20)
"""Gains of the whole scene; 0 comes on top."""

TALK_DB = 10
"""Words over one who talks in the background."""

CLEAN: Mapping[str, str] = {"snr": "clean", "talk": "none", "gain": "+0 dB", "room": "none"}
"""Conditions of a scene without noise, talk, gain and room: what all others are compared with."""

_LEVEL_DB = -26.0  # of words and running speech, root mean square against full scale
_LEVEL_SPREAD_DB = 3.0  # words are up to so much louder or softer
_HISS_DB = -60.0  # against the words
_MARGIN = SAMPLE_RATE_HZ // 10  # of a recording around its word: a stop is released late

_SCENE_S = 60.0
_LEAD_S = (0.5, 2.0)  # before the first word
_TAIL_S = 1.5  # after the last one, long enough to hear it
_PAUSE_S = (0.3, 2.0)
_QUICK_PAUSE_S = (0.05, 0.25)
_QUICK_SHARE = 0.15  # of the words that follow another
_UNKNOWN_SHARE = 0.15  # of all that is said
_PIECE_SHARE = 0.08
_PIECE_PART = (0.3, 0.5)  # of the word's length
_PIECE_HEAD_SHARE = 0.7  # the others are the end of a word

_NOISE_PIECE_S = 10.0  # noise recordings are heard so long at a time
_PADDING_DB = -80.0  # full scale; what is softer for 10 ms in a noise recording is padding
_PADDING_HOP = SAMPLE_RATE_HZ // 100
_NEGATIVE_S = 300.0
_MOST_GAIN_DB = 40.0  # for a faint recording of speech, so that its hiss does not become a roar
_FEW = 10  # recordings of a word, below which its figures tell little

_SCALE = np.float32(1 / 32768)
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placed:
    """A stretch of a recording where it stands in a scene; all in samples."""

    first: int  # in the corpus
    length: int
    at: int  # in the scene
    gain: float
    word_start: int  # in the scene
    word_end: int
    word: str
    whole: bool
    identity: str


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a recording that is heard in a negative scene."""

    recording: Recording
    first: int  # in the recording
    length: int


class _Deck:
    """Recordings by word, dealt one word after the other until all of them were heard."""

    def __init__(self, pools: Mapping[str, Sequence[Recording]], rng: np.random.Generator) -> None:
        self._pools, self._rng = pools, rng
        self._left: dict[str, list[Recording]] = {word: [] for word in pools}
        self.size = sum(len(pool) for pool in pools.values())

    def deal(self, count: int) -> list[Recording]:
        """Take the next recordings: of every word alike, as long as it has some left."""
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
    """Make scenes of the recordings of one part, by the rules of this module.

    Parameters
    ----------
    corpus
        The recordings.
    words
        The words of the model. All other word folders are unknown words.
    split
        The part; of speech and noise, too.
    words_per_condition
        How many keywords are said, whole, under each condition: as many of each keyword, as far as
        there are recordings. No recording is heard twice before all of them were.
    seed
        Of all that is drawn: the same gives the same scenes, sample by sample.

    Returns
    -------
    Scenes with words, one after another under the same condition, then negative ones. The notes say
    which conditions are missing because the part has no such recordings.

    Raises
    ------
    DataError
        The part has no recording of any of the words, all recordings are by one speaker, or a
        parameter is out of its range.
    """
    if words_per_condition < 1:
        raise DataError(f"words per condition is {words_per_condition}; it must be at least 1")
    if seed < 0:
        raise DataError(f"the seed is {seed}; it must be at least 0")
    notes = _check_speakers(corpus)
    bases = _draw_bases(
        corpus, words, split=split, count=words_per_condition, seed=seed, notes=notes
    )
    noise = NoiseTrack(corpus, noise_recordings(corpus, split), seed)
    talk = NoiseTrack(corpus, corpus.select("speech", split=split), seed)
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
    negatives = negative_scenes(corpus, split)
    for there, what in (
        (noise.length, "noise: it has no scenes over noise"),
        (rooms, "rooms: it has no scenes in rooms"),
        (corpus.select("speech", split=split), "running speech: none of its negatives is speech"),
        (negatives, "speech and noise: nothing tells how often nothing is taken for a word"),
    ):
        if not there:
            notes.append(f"the {split} part has no {what}")
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
            "seed": seed,
        },
    )


def _check_speakers(corpus: Corpus) -> list[str]:
    """Refuse recordings of one speaker; return a note where names tell no speakers."""
    clips = [r for r in corpus.select("word") if r.label != SILENCE_FOLDER]
    speakers = {r.speaker or guess_speaker(WordClip(label=r.label, path=r.path)) for r in clips}
    if len(speakers) > 1 or len(clips) < 2:
        return []
    (speaker,) = speakers
    if not speaker:
        return [
            "the names of the recordings tell no speakers: nobody knows whether scenes hold "
            "speakers that a model was trained on"
        ]
    raise DataError(
        f"all {len(clips)} recordings of words in {corpus.root} are by one speaker, as their names "
        f"tell ({speaker!r}), so no scene would tell how a model fares with others; add recordings "
        "of other people (yes/anna_01.wav, yes/ben_01.wav), or measure on your own recordings with "
        "labels: --scenes FOLDER"
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Spoken:
    """What is said in a scene, under whatever condition it is heard."""

    number: int
    first: int
    """Samples of the scenes before it."""
    samples: int
    said: tuple[Placed, ...]
    corpus: Corpus
    seed: int

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """What is said, and when."""
        return tuple(
            Utterance(
                start_s=said.word_start / SAMPLE_RATE_HZ,
                end_s=said.word_end / SAMPLE_RATE_HZ,
                word=said.word,
                whole=said.whole,
            )
            for said in self.said
        )

    @property
    def identities(self) -> tuple[str, ...]:
        """Whose recordings are heard."""
        return tuple(sorted({said.identity for said in self.said}))

    def render(
        self,
        *,
        snr_db: float = math.inf,
        noise: NoiseTrack | None = None,
        gain_db: float = 0.0,
        room: Array | None = None,
    ) -> NDArray[np.int16]:
        """Return the sound under a condition, (samples,)."""
        audio = np.zeros(self.samples, np.float32)
        for said in self.said:
            piece = self.corpus.audio[said.first : said.first + said.length] * _SCALE
            audio[said.at : said.at + said.length] += augment.faded(piece) * np.float32(said.gain)
        if room is not None:
            audio = augment.reverberate(audio, room, 1.0)
        rng = np.random.default_rng((self.seed, 1, self.number))  # the same for all conditions
        hiss = rng.standard_normal(self.samples, dtype=np.float32)
        audio += hiss * np.float32(augment.decibels(_LEVEL_DB + _HISS_DB))
        if noise is not None:
            level = np.float32(augment.decibels(_LEVEL_DB - snr_db))
            audio += noise.cut(self.first, self.samples) * level
        audio *= np.float32(augment.decibels(gain_db))
        dither = rng.random(self.samples, np.float32) - rng.random(self.samples, np.float32)
        return augment.to_pcm(audio + dither * _SCALE)


def _conditions(
    corpus: Corpus, noise: NoiseTrack, talk: NoiseTrack, rooms: Sequence[Recording]
) -> Iterator[tuple[str, dict[str, str], dict[str, Any], set[str]]]:
    """Yield each condition.

    Each is a part of the scenes' names, what it says of itself, how it is rendered, and whose
    recordings are heard besides those of the words.
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
    """Draw what is said, and lay it out in scenes of a minute; add to the notes what is amiss."""
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
        notes.append(f"the {split} part has no recordings of {', '.join(missing)}")
    few = [f"{w} ({len(pools[w])})" for w in words if w in pools and len(pools[w]) < _FEW]
    if few:
        notes.append(f"few recordings of {', '.join(few)}: their own figures tell little")
    if count > keywords.size:
        notes.append(
            f"the {split} part has {keywords.size} recordings of the words, so that some are heard "
            f"more than once among the {count} under each condition"
        )
    if not others.size:
        notes.append(f"the {split} part has no recordings of other words: none are said")
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
        # Two at a time: a third one after a short pause would be another task, of sentences.
        quick = bool(said) and not quick and bool(rng.random() < _QUICK_SHARE)
        pause = _LEAD_S if not said else _QUICK_PAUSE_S if quick else _PAUSE_S
        start = round((end_s + rng.uniform(*pause)) * SAMPLE_RATE_HZ)
        said.append(place_word(corpus, recording, whole, start, rng))
        end_s = said[-1].word_end / SAMPLE_RATE_HZ
        if end_s >= _SCENE_S - _TAIL_S or position == len(order) - 1:
            bases.append(
                Spoken(
                    number=len(bases),
                    first=bases[-1].first + bases[-1].samples if bases else 0,
                    samples=said[-1].word_end + round(_TAIL_S * SAMPLE_RATE_HZ),
                    said=tuple(said),
                    corpus=corpus,
                    seed=seed,
                )
            )
            said, end_s, quick = [], 0.0, False
    return bases


def place_word(
    corpus: Corpus, recording: Recording, whole: bool, start: int, rng: np.random.Generator
) -> Placed:
    """Place a word, or a piece of it, with its first sample at `start`."""
    samples = corpus.samples(recording)
    word_start, word_end = find_word(samples)
    first, last = max(0, word_start - _MARGIN), min(len(samples), word_end + _MARGIN)
    if not whole:
        kept = int((word_end - word_start) * rng.uniform(*_PIECE_PART))
        if rng.random() < _PIECE_HEAD_SHARE:
            last = word_end = word_start + kept
        else:
            first = word_start = word_end - kept
    level_db = _LEVEL_DB + rng.uniform(-_LEVEL_SPREAD_DB, _LEVEL_SPREAD_DB)
    active = samples[word_start:word_end] * _SCALE
    return Placed(
        first=recording.start + first,
        length=last - first,
        at=start - (word_start - first),
        gain=augment.decibels(level_db) / augment.rms(active),
        word_start=start,
        word_end=start + word_end - word_start,
        word=recording.label,
        whole=whole,
        identity=identity(recording),
    )


def noise_recordings(corpus: Corpus, split: Split) -> list[Recording]:
    """Return the noise of a part, its recordings of silence among it."""
    silence = corpus.select("word", split=split, label=SILENCE_FOLDER)
    return [*corpus.select("noise", split=split), *silence]


class NoiseTrack:
    """All noise or talk of a part, in pieces one after another, over and over in other orders.

    Every second is heard once in each round.
    """

    def __init__(self, corpus: Corpus, recordings: Sequence[Recording], seed: int) -> None:
        self._corpus, self._seed = corpus, seed
        self.identities = {identity(recording) for recording in recordings}
        """Whose recordings are heard."""
        self._pieces: list[tuple[NDArray[np.int16], float]] = []
        for recording in recordings:
            sound = _without_padding(corpus.samples(recording))
            parts = math.ceil(len(sound) / (_NOISE_PIECE_S * SAMPLE_RATE_HZ))
            for part in np.array_split(sound, parts) if parts else ():
                self._pieces.append((part, 1 / augment.rms(part * _SCALE)))
        self._lengths = np.array([len(sound) for sound, _ in self._pieces], np.int64)
        self.length = int(self._lengths.sum())
        """Samples of a round; 0 if there is no noise."""

    def cut(self, first: int, samples: int) -> Array:
        """Return the noise from one place of the endless track, (samples,), at unit level."""
        track = np.empty(samples, np.float32)
        done = 0
        while done < samples:
            lap, at = divmod(first + done, self.length)
            order = np.random.default_rng((self._seed, 2, lap)).permutation(len(self._pieces))
            ends = np.cumsum(self._lengths[order])
            begun = int(np.searchsorted(ends, at, side="right"))
            for index, end in zip(order[begun:], ends[begun:], strict=True):
                sound, gain = self._pieces[index]
                heard = (augment.faded(sound * _SCALE) * np.float32(gain))[at - int(end) :]
                heard = heard[: samples - done]
                track[done : done + len(heard)] = heard
                done, at = done + len(heard), int(end)
                if done == samples:
                    break
        return track


def _without_padding(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Leave the digital silence out, with which short recordings of noise are filled up."""
    frames = samples[: len(samples) // _PADDING_HOP * _PADDING_HOP].reshape(-1, _PADDING_HOP)
    level = np.sqrt(np.mean(np.square(frames, dtype=np.float32), axis=1)) * _SCALE
    sounding = np.repeat(level >= augment.decibels(_PADDING_DB), _PADDING_HOP)
    kept: NDArray[np.int16] = samples[: len(sounding)][sounding]
    return kept


def negative_scenes(corpus: Corpus, split: Split) -> list[Scene]:
    """Make scenes of all speech and noise of a part, source by source."""
    sources: dict[str, list[_Stretch]] = {}
    kinds: dict[str, bool] = {}
    speech = [(r.label, r) for r in corpus.select("speech", split=split)]
    noise = [(r.path.partition("/")[0], r) for r in noise_recordings(corpus, split)]
    for source, recording in speech + noise:
        kinds[source] = recording.kind == "speech"
        parts = math.ceil(recording.length / (_NEGATIVE_S * SAMPLE_RATE_HZ))
        bounds = [recording.length * part // parts for part in range(parts + 1)]
        sources.setdefault(source, []).extend(
            _Stretch(recording, first, last - first) for first, last in pairwise(bounds)
        )
    return [
        _negative(corpus, f"negative-{source}-{number:03}", source, stretches, kinds[source])
        for source, heard in sources.items()
        for number, stretches in enumerate(_scenes_of(heard))
    ]


def _scenes_of(stretches: Sequence[_Stretch]) -> Iterator[tuple[_Stretch, ...]]:
    """Group stretches, in their order, into scenes of five minutes at most."""
    group: list[_Stretch] = []
    for stretch in stretches:
        samples = sum(s.length for s in group) + stretch.length
        if group and samples > _NEGATIVE_S * SAMPLE_RATE_HZ:
            yield tuple(group)
            group = []
        group.append(stretch)
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
    """Return recordings one after another: speech at one level, noise as it was recorded."""
    heard = []
    for stretch in stretches:
        audio = corpus.samples(stretch.recording) * _SCALE
        if speech:
            gain = augment.decibels(_LEVEL_DB) / augment.rms(audio)
            audio *= np.float32(min(gain, augment.decibels(_MOST_GAIN_DB)))
        heard.append(augment.faded(audio)[stretch.first : stretch.first + stretch.length])
    return augment.to_pcm(np.concatenate(heard))
