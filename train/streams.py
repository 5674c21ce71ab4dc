"""Recordings in, minutes of continuous audio with a set of allowed labels per step out.

A keyword spotter hears a stream, so it is trained on streams: words one after another in noise, in
rooms, at any level, among other speech, halves of words and silence. The correct output is rarely a
single label. In the middle of "forward" it may still become "four", so the target there is a *set*:
"forward", "unknown" and "silence" are all correct, any other word is wrong. Once the word is
complete, only its own label is correct. The loss of a step is the negative logarithm of the
probability inside its set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.spotting.endpoints import find_word
from ..edge.spotting.frontend import FrontEndConfig
from . import augment
from .config import StreamConfig
from .corpus import SILENCE_FOLDER, Corpus, Recording
from .decode import SAMPLE_RATE_HZ
from .features import log_mel, mfcc_from_log_mel, standardise
from .pack import PackSounds
from .splits import Split

_ACTIVE_RMS = 0.05  # level of a word before the stream's gain, full scale 1: -26 dB
_SCALE = np.float32(1 / 32768)  # of 16-bit samples
_NOISE_ALONE_DB = (-10.0, 25.0)  # SNR relative to the usual word level, in streams without words
_MADE_NOISE = 0.2  # share of synthetic noises
_FEWER_TALKERS_DB = 6.0  # they are at least this much softer than the words
_BACKWARDS = 0.25  # share of running speech that is reversed
_FRAGMENT_S = (0.08, 0.3)
_HUM_DB = (-30.0, 15.0)  # over the words
_LOOSE = SAMPLE_RATE_HZ // 10  # largest timing error of a word in running speech
_CUT_OUT_MARGIN = SAMPLE_RATE_HZ // 20  # margin to keep around a word cut out of running speech
_NOTHING = np.zeros(0, np.float32)
_FRAGMENT_OF_WORD = 0.4  # the longest fragment of a word, as a share of it
# Least time from a hard negative to the end of its piece, and from the start of the piece to it.
_AFTER_HARD, _BEFORE_HARD = SAMPLE_RATE_HZ // 10, SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Batch:
    """Streams for one training step."""

    frames: NDArray[np.floating[Any]]
    """Standardised features, shape (batch, frames, n_mfcc), float32 or float16."""
    allowed: NDArray[np.bool_]
    """The allowed labels at each step, shape (batch, steps, labels)."""
    fresh: NDArray[np.bool_]
    """Which streams start from a reset state, shape (batch,); the others continue a previous
    one."""


@dataclass(frozen=True)
class _Segment:
    audio: NDArray[np.float32]
    word_start: int
    word_end: int
    label: int | None  # None: a fragment of a keyword, which must not be detected
    demanded: bool = True  # False: it may be detected, or not


class _Sounds:
    """Recordings in which every second is equally likely to be drawn.

    Parameters
    ----------
    recordings
        The recordings.
    hard
        By path, times in seconds at which a model takes them for a word.
    """

    def __init__(self, recordings: list[Recording], hard: Mapping[str, Sequence[float]]) -> None:
        self.recordings = recordings
        self._ends = np.cumsum([recording.length for recording in recordings])
        self._hard: list[tuple[Recording, int | None]] = [
            (recording, sample)
            for recording in recordings
            for sample in (round(s * SAMPLE_RATE_HZ) for s in hard.get(recording.path, ()))
            if 0 <= sample <= recording.length
        ]

    def __len__(self) -> int:
        return len(self.recordings)

    def pick(
        self, rng: np.random.Generator, *, hard_share: float = 0.0
    ) -> tuple[Recording, int | None]:
        """Draw a recording, with a probability proportional to its length, or a hard negative.

        Parameters
        ----------
        rng
            Source of the draws.
        hard_share
            How often a hard negative is drawn, if there are any: all are equally likely.

        Returns
        -------
        The recording, and the sample of the hard negative in it; None if it was not drawn as one.
        """
        if self._hard and rng.random() < hard_share:
            return self._hard[int(rng.integers(len(self._hard)))]
        place = rng.integers(self._ends[-1])
        return self.recordings[int(np.searchsorted(self._ends, place, side="right"))], None


class StreamMaker:
    """Draws streams from a corpus; the same (seed, epoch, index) gives the same batch anywhere.

    Parameters
    ----------
    corpus
        The recordings; only those of ``split`` are used.
    words
        The keywords; labels are their positions, then unknown, then silence.
    exclude
        Words that are never drawn, not even as unknown ones.
    config
        How streams are drawn.
    front_end
        Front end whose mean and std the features are standardised with.
    stride_frames
        Frames per network step.
    split, seed
        The split to draw from, and the seed of every draw.

    Raises
    ------
    DataError
        A keyword has no recording in the split.
    """

    def __init__(
        self,
        corpus: Corpus,
        words: tuple[str, ...],
        *,
        exclude: tuple[str, ...] = (),
        config: StreamConfig,
        front_end: FrontEndConfig,
        stride_frames: int,
        split: Split = "training",
        seed: int = 0,
    ) -> None:
        self.config, self.front_end, self.stride = config, front_end, stride_frames
        self.words, self.seed = words, seed
        self.n_labels = len(words) + 2
        self._label = {word.lower(): label for label, word in enumerate(words)}
        self._unknown, self._silence = len(words), len(words) + 1
        self._audio = corpus.audio
        corpus.require_words(words, split=split)
        mine = [r for r in corpus.recordings if r.split == split and r.label not in exclude]
        by_word: dict[str, list[Recording]] = {}
        for recording in mine:
            if recording.kind == "word":
                by_word.setdefault(recording.label, []).append(recording)
        silence = by_word.pop(SILENCE_FOLDER, [])
        self._synthetic = {
            word: [r for r in mine if r.kind == "synthetic" and r.label == word] for word in words
        }
        for recording in mine:
            if recording.kind == "synthetic" and recording.label not in words:
                by_word.setdefault(recording.label, []).append(recording)
        self._keywords = [by_word[word] for word in words]
        self._others = [by_word[word] for word in sorted(set(by_word) - set(words))]
        # The square root is a compromise between equal words and equal recordings: a word with
        # eight recordings is used, but less often than one with a thousand.
        weights = np.sqrt([len(clips) for clips in self._others]) if self._others else np.zeros(0)
        # Words that only synthetic voices say are many, and no more than half of what is heard.
        made = np.array([clips[0].kind == "synthetic" for clips in self._others], np.bool_)
        real, synthetic = weights[~made].sum(), weights[made].sum()
        if 0 < real < synthetic:
            weights[made] *= real / synthetic
        self._other_weights = weights / weights.sum() if len(weights) else weights
        said = {r.start: r.says(words) for r in mine if r.kind == "speech"}
        hard = corpus.hard_negatives if split == "training" else {}
        self._speech = _Sounds([r for r in mine if said.get(r.start) is not None], hard)
        self._said = {start: words for start, words in said.items() if words}
        self._noise = _Sounds([r for r in mine if r.kind == "noise"] + silence, hard)
        self._rooms, self._simulated_rooms = (
            [self._samples(r) for r in mine if r.kind == kind]
            for kind in ("room", "simulated_room")
        )
        self._ends: dict[int, tuple[int, int]] = {}
        self._cut_out = self._cut_words_out()
        self.samples_per_stream = round(config.seconds * SAMPLE_RATE_HZ)
        self._pack = None
        if corpus.pack is not None:
            corpus.pack.require(front_end)
            self._pack = PackSounds(
                corpus.pack,
                words,
                split,
                config,
                speech=not self._speech,
                noise=not self._noise,
            )

    @property
    def frames_per_stream(self) -> int:
        """Feature frames of a stream, a multiple of the stride."""
        front_end = self.front_end
        frames = 1 + (self.samples_per_stream - front_end.window_samples) // front_end.hop_samples
        return frames // self.stride * self.stride

    def batch(self, epoch: int, index: int, size: int) -> Batch:
        """Draw the streams of one training step.

        Parameters
        ----------
        epoch, index
            Identify the batch; with the seed they determine every draw.
        size
            Number of streams.

        Returns
        -------
        Batch
            Features, allowed labels, and which streams start from a reset state.
        """
        rng = np.random.default_rng((self.seed, epoch, index))
        audio = np.empty((size, self.samples_per_stream), np.float32)
        allowed = np.empty((size, self.frames_per_stream // self.stride, self.n_labels), np.bool_)
        fresh = rng.random(size) < 0.5
        for i in range(size):
            audio[i], allowed[i] = self.stream(rng, fresh=bool(fresh[i]))
        frames = self.features(audio, rng, allowed)[:, : self.frames_per_stream]
        return Batch(frames, allowed, fresh)

    def features(
        self,
        audio: NDArray[np.float32],
        rng: np.random.Generator | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Convert audio to standardised features (batch, frames, n_mfcc), masked if given an rng.

        Given the allowed labels, which are changed in place, it also mixes in a pack.
        """
        spectrum = log_mel(self.front_end, audio)
        if rng is not None and allowed is not None and self._pack is not None:
            self._pack.mix(rng, spectrum, allowed)
        if rng is not None:
            augment.mask_spectrum(
                rng, spectrum, mel_bands=self.config.mask_mel_bands, frames=self.config.mask_frames
            )
        return standardise(self.front_end, mfcc_from_log_mel(self.front_end, spectrum))

    def stream(
        self, rng: np.random.Generator, *, fresh: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Draw one stream: its samples (n,) and the allowed labels at each step (steps, labels)."""
        config, total = self.config, self.samples_per_stream
        kind = rng.random()
        segments: list[tuple[int, _Segment]] = []
        background = [self._silence]
        if self._speech and kind < config.speech_stream_share:
            if rng.random() < config.fragment_share:
                voice = self._fragments(rng, total)
            else:
                voice, segments = self._running_speech(rng, total)
            background = [self._unknown, self._silence]
        elif kind > 1.0 - config.noise_stream_share:
            voice = np.zeros(total, np.float32)
        else:
            voice, segments = self._say_words(rng, fresh=fresh)
        mixed = self._place(rng, voice)
        return mixed, self._allowed(segments, background)

    def _say_words(
        self, rng: np.random.Generator, *, fresh: bool
    ) -> tuple[NDArray[np.float32], list[tuple[int, _Segment]]]:
        """Place segments one after another until the stream is full; return them with positions."""
        total = self.samples_per_stream
        voice = np.zeros(total, np.float32)
        segments: list[tuple[int, _Segment]] = []
        at = 0 if fresh and rng.random() < 0.7 else int(rng.integers(0, SAMPLE_RATE_HZ))
        while at < total - SAMPLE_RATE_HZ // 2:
            segment = self._segment(rng)
            piece = segment.audio[: total - at]
            voice[at : at + len(piece)] += piece
            segments.append((at, segment))
            gap_s = rng.exponential(self.config.max_gap_s / 3)
            at += len(segment.audio) + int(gap_s * SAMPLE_RATE_HZ)
        return voice, segments

    def _segment(self, rng: np.random.Generator) -> _Segment:
        config, draw = self.config, rng.random()
        unknown_share = config.unknown_share if self._others or self._speech else 0.0
        if draw < unknown_share:
            return self._other(rng)
        label = int(rng.integers(len(self.words)))
        if draw < unknown_share + config.splice_share:
            return self._splice(rng, label)
        segment = self._word(rng, self._sayings(rng, label), label)
        if draw < unknown_share + config.splice_share + config.cut_share:
            return self._cut(rng, segment)
        return segment

    def _sayings(self, rng: np.random.Generator, label: int) -> list[Recording]:
        """Draw the source of a keyword: its recordings, running speech, or synthetic voices."""
        config, draw = self.config, rng.random()
        cut_out, synthetic = self._cut_out[label], self._synthetic[self.words[label]]
        if cut_out and draw < config.cut_out_share:
            return cut_out
        if synthetic and draw > 1.0 - config.synthetic_share:
            return synthetic
        return self._keywords[label]

    def _cut_words_out(self) -> list[list[Recording]]:
        """Return the keywords cut out of running speech, by label, as recordings."""
        cut_out: list[list[Recording]] = [[] for _ in self.words]
        for recording in self._speech.recordings:
            for said in self._said.get(recording.start, ()):
                if said.clear:
                    first = max(0, said.start - _CUT_OUT_MARGIN)
                    last = min(recording.length, said.end + _CUT_OUT_MARGIN)
                    start = recording.start + first
                    word = replace(recording, start=start, length=last - first, spoken=())
                    cut_out[self._label[said.word]].append(word)
                    self._ends[start] = (said.start - first, said.end - first)
        return cut_out

    def _word(self, rng: np.random.Generator, clips: list[Recording], label: int) -> _Segment:
        """Return one recording, with some of its own silence around the word."""
        clip = clips[int(rng.integers(len(clips)))]
        if clip.start not in self._ends:
            self._ends[clip.start] = find_word(self._audio[clip.start : clip.start + clip.length])
        start, end = self._ends[clip.start]
        least = 0.05 * SAMPLE_RATE_HZ
        most = max(least, self.config.margin_s * SAMPLE_RATE_HZ)
        first = max(0, start - int(rng.uniform(least, most)))
        last = min(clip.length, end + int(rng.uniform(least, most)))
        audio = self._samples(clip)[first:last]
        return self._voiced(rng, audio, start - first, end - first, label)

    def _other(self, rng: np.random.Generator) -> _Segment:
        """Return another word, or up to a second of running speech."""
        if self._others and (not self._speech or rng.random() < 0.4):
            return self._word(rng, self._other_word(rng), self._unknown)
        clip, hard = self._speech.pick(rng, hard_share=self.config.hard_share)
        first, piece = self._piece(rng, clip, int(rng.uniform(0.3, 1.2) * SAMPLE_RATE_HZ), hard)
        start, end = find_word(piece)
        segment = self._voiced(rng, piece * _SCALE, start, end, self._unknown)
        keywords = self._said_in(clip, first, len(piece))
        # The labels cover the whole short piece: where its keyword is, "unknown" is not required.
        return replace(segment, label=keywords[0].label, demanded=False) if keywords else segment

    def _other_word(self, rng: np.random.Generator) -> list[Recording]:
        """Draw a word that is not a keyword: all its recordings."""
        return self._others[int(rng.choice(len(self._others), p=self._other_weights))]

    def _cut(self, rng: np.random.Generator, segment: _Segment) -> _Segment:
        """Keep only the beginning or the end of a word, which must not be detected."""
        length = segment.word_end - segment.word_start
        if rng.random() < 0.7:
            end = segment.word_start + int(length * rng.uniform(0.25, 0.55))
            audio = augment.faded(segment.audio[:end])
            return _Segment(audio, segment.word_start, end, None)
        start = segment.word_end - int(length * rng.uniform(0.25, 0.5))
        audio = augment.faded(segment.audio[start:])
        return _Segment(audio, 0, segment.word_end - start, None)

    def _splice(self, rng: np.random.Generator, label: int) -> _Segment:
        """Join half a word and half another one: like speech, but not a word."""
        ending = self.words[label][-3:]
        choices = [i for i, word in enumerate(self.words) if i != label and word[-3:] != ending]
        if not choices:
            return self._cut(rng, self._word(rng, self._keywords[label], label))
        other = choices[int(rng.integers(len(choices)))]
        head = self._word(rng, self._keywords[label], label)
        tail = self._word(rng, self._keywords[other], other)
        cut = head.word_start + int((head.word_end - head.word_start) * rng.uniform(0.35, 0.6))
        resume = tail.word_start + int((tail.word_end - tail.word_start) * rng.uniform(0.4, 0.65))
        audio = np.concatenate(
            [augment.faded(head.audio[:cut]), augment.faded(tail.audio[resume:])]
        )
        return _Segment(audio, head.word_start, cut + tail.word_end - resume, self._unknown)

    def _voiced(
        self, rng: np.random.Generator, audio: NDArray[np.float32], start: int, end: int, label: int
    ) -> _Segment:
        """Change the speed and the level of a recording, and fade its edges."""
        factor = 1.0 + float(rng.uniform(-1, 1)) * self.config.speed
        audio = augment.change_speed(audio, factor)
        start = min(int(start / factor), len(audio) - 1)
        end = min(max(int(end / factor), start + 1), len(audio))
        level = _ACTIVE_RMS * augment.decibels(float(rng.normal(0.0, self.config.level_db)))
        audio = audio * np.float32(level / augment.rms(audio[start:end]))
        return _Segment(augment.faded(audio), start, end, label)

    def _running_speech(
        self, rng: np.random.Generator, total: int
    ) -> tuple[NDArray[np.float32], list[tuple[int, _Segment]]]:
        """Return pieces of running speech that fill the time, and the keywords in them.

        Some are reversed. A keyword in connected speech may be detected, or not.
        """
        pieces: list[NDArray[np.float32]] = []
        segments: list[tuple[int, _Segment]] = []
        missing = total
        while missing > 0:
            clip, hard = self._speech.pick(rng, hard_share=self.config.hard_share)
            factor = 1.0 + float(rng.uniform(-2, 2)) * self.config.speed
            first, recorded = self._piece(rng, clip, math.ceil(missing * factor), hard)
            piece = augment.change_speed(recorded * _SCALE, factor)[:missing]
            if rng.random() < _BACKWARDS:
                piece = piece[::-1]
            else:
                segments += [
                    (total - missing, segment)
                    for segment in self._said_in(clip, first, len(recorded), factor)
                ]
            pieces.append(augment.faded(piece * np.float32(_ACTIVE_RMS / augment.rms(piece))))
            missing -= len(piece)
        return np.concatenate(pieces), segments

    def _said_in(
        self, clip: Recording, first: int, count: int, factor: float = 1.0
    ) -> list[_Segment]:
        """Return the keywords in a piece of running speech, even partly in it."""
        return [
            _Segment(
                _NOTHING,
                max(0, int((word.start - first - _LOOSE) / factor)),
                int((word.end - first + _LOOSE) / factor),
                self._label[word.word],
                demanded=False,
            )
            for word in self._said.get(clip.start, ())
            if word.start < first + count and word.end > first
        ]

    def _fragments(self, rng: np.random.Generator, total: int) -> NDArray[np.float32]:
        """Return meaningless speech: fragments too short to be words."""
        pieces, missing = [], total
        while missing > 0:
            words = self._keywords[int(rng.integers(len(self._keywords)))]
            if self._others and rng.random() < 0.5:
                words = self._other_word(rng)
            segment = self._word(rng, words, self._unknown)
            length = segment.word_end - segment.word_start
            most = min(_FRAGMENT_S[1] * SAMPLE_RATE_HZ, length * _FRAGMENT_OF_WORD)
            count = int(rng.uniform(min(_FRAGMENT_S[0] * SAMPLE_RATE_HZ, most), most)) + 1
            at = segment.word_start + int(rng.integers(max(1, length - count)))
            pause = int(max(0.0, rng.normal(-0.1, 0.15)) * SAMPLE_RATE_HZ)
            piece = np.pad(augment.faded(segment.audio[at : at + count]), (0, pause))[:missing]
            pieces.append(piece)
            missing -= len(piece)
        return np.concatenate(pieces)

    def _place(self, rng: np.random.Generator, voice: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put a voice in a room, among noise, at a microphone with some gain and 16 bits."""
        config = self.config
        if (self._rooms or self._simulated_rooms) and rng.random() < config.room_share:
            simulated = rng.random() < config.simulated_room_share
            rooms = (simulated and self._simulated_rooms) or self._rooms or self._simulated_rooms
            room = rooms[int(rng.integers(len(rooms)))]
            voice = augment.reverberate(voice, room, float(rng.uniform(0.2, 1.0)))
        spoken = bool(np.any(voice))
        if rng.random() >= config.clean_share or not spoken:
            snr = _between(rng, config.snr_db if spoken else _NOISE_ALONE_DB)
            talkers = 0
            if spoken and self._speech:
                fewest, talkers = config.talkers
                if snr >= _FEWER_TALKERS_DB and fewest < talkers:
                    talkers = int(rng.integers(fewest, talkers + 1))
            hard_share = 0.0 if spoken else config.hard_share
            noise = self._noise_of_unit_level(
                rng, len(voice), talkers=talkers, hard_share=hard_share
            )
            voice = voice + noise * np.float32(_ACTIVE_RMS * augment.decibels(-snr))
        elif rng.random() < 0.7:
            hiss = augment.tilted_noise(rng, len(voice), float(rng.uniform(0, 6)))
            voice = voice + hiss * np.float32(
                _ACTIVE_RMS * augment.decibels(float(rng.uniform(-60, -30)))
            )
        if rng.random() < config.hum_share:
            hum = augment.mains_hum(rng, len(voice), SAMPLE_RATE_HZ)
            level_db = float(rng.uniform(*_HUM_DB))
            voice = voice + hum * np.float32(_ACTIVE_RMS * augment.decibels(level_db))
        gain = augment.decibels(_between(rng, config.gain_db))
        return augment.to_pcm(voice * np.float32(gain)) * _SCALE

    def _noise_of_unit_level(
        self, rng: np.random.Generator, total: int, *, talkers: int, hard_share: float
    ) -> NDArray[np.float32]:
        """Draw noise: synthetic, recorded, or, unless ``talkers`` is 0, this many talkers."""
        draw = rng.random()
        if not self._noise or draw < _MADE_NOISE:
            return augment.tilted_noise(rng, total, float(rng.uniform(-2, 9)))
        if talkers and draw < _MADE_NOISE + self.config.talk_share:
            talk = sum(self._running_speech(rng, total)[0] for _ in range(talkers))
            return np.asarray(talk / augment.rms(np.asarray(talk)), np.float32)
        noise = self._recorded_noise(rng, total, hard_share)
        if draw > 0.7:  # two sources at once: there are few recordings, and many pairs of them
            other = self._recorded_noise(rng, total)
            noise = noise + other * np.float32(augment.decibels(float(rng.uniform(-12, 0))))
            noise /= np.float32(augment.rms(noise))
        return noise

    def _recorded_noise(
        self, rng: np.random.Generator, total: int, hard_share: float = 0.0
    ) -> NDArray[np.float32]:
        """Return a piece of a recording at unit level, played faster or slower."""
        clip, hard = self._noise.pick(rng, hard_share=hard_share)
        factor = 1.0 + float(rng.uniform(-1, 2)) * self.config.speed
        _, recorded = self._piece(rng, clip, int(total * factor) + 1, hard)
        piece = augment.change_speed(recorded * _SCALE, factor)
        noise = np.tile(piece, -(-total // len(piece)))[:total]
        return np.asarray(noise / max(augment.rms(noise), 1e-4), np.float32)

    def _allowed(
        self, segments: list[tuple[int, _Segment]], background: list[int]
    ) -> NDArray[np.bool_]:
        """Return the set of allowed labels at every step."""
        config, front_end = self.config, self.front_end
        steps = self.frames_per_stream // self.stride
        ends = ((np.arange(steps) + 1) * self.stride - 1) * front_end.hop_samples
        heard = ends + front_end.window_samples  # samples that each step has processed
        allowed = np.zeros((steps, self.n_labels), np.bool_)
        allowed[:, background] = True
        due, hold, linger = (
            round(s * SAMPLE_RATE_HZ) for s in (config.due_s, config.hold_s, config.linger_s)
        )
        for at, segment in segments:
            begun = heard >= at + segment.word_start
            during = begun & (heard < at + segment.word_end + hold + linger)
            allowed[during, self._unknown] = True
            allowed[during, self._silence] = True
            if segment.label is not None:
                allowed[during, segment.label] = True
        for at, segment in segments:  # the next word may have started already
            if segment.label is not None and segment.demanded:
                begun = heard >= at + segment.word_start
                end = at + segment.word_end
                demanded = begun & (heard >= end + due) & (heard < end + hold)
                allowed[demanded] = False
                allowed[demanded, segment.label] = True
        return allowed

    def _piece(
        self, rng: np.random.Generator, recording: Recording, most: int, hard: int | None
    ) -> tuple[int, NDArray[np.int16]]:
        """Return `most` samples from anywhere in a recording, or all of a shorter one.

        Given the sample of a hard negative, the piece holds what leads to it.

        Returns
        -------
        Start of the piece in the recording, and its samples.
        """
        length = min(recording.length, most)
        if hard is None:
            first = int(rng.integers(0, recording.length - length + 1))
        else:
            after = int(rng.integers(_AFTER_HARD, max(_AFTER_HARD, length - _BEFORE_HARD) + 1))
            first = min(max(hard + after - length, 0), recording.length - length)
        at = recording.start + first
        return first, self._audio[at : at + length]

    def _samples(self, recording: Recording) -> NDArray[np.float32]:
        piece = self._audio[recording.start : recording.start + recording.length]
        return piece * _SCALE


def _between(rng: np.random.Generator, bounds: tuple[float, ...]) -> float:
    """Draw uniformly between a lower and an upper bound."""
    low, high = bounds
    return float(rng.uniform(low, high))
