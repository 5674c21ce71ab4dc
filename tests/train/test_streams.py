"""Training streams: what is said in them, what may be named at each step, and who decides it."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tones
from synthetic_corpus import Sound, corpus_of, spoken

pytest.importorskip("librosa", reason="training needs harken[train]")

from harken.edge import FrontEnd, FrontEndConfig
from harken.edge.errors import DataError
from harken.train.config import StreamConfig
from harken.train.corpus import Corpus
from harken.train.streams import Batch, StreamMaker
from harken.train.transcripts import SpokenWord

RATE = tones.RATE
WORDS = ("left", "right", "stop")
LEFT, RIGHT, STOP, UNKNOWN, SILENCE = range(5)
HERTZ = {"left": 400.0, "right": 900.0, "stop": 2000.0, "house": 4500.0}
LEVEL = 0.05  # rms of a word before the stream's gain
FRONT_END = FrontEndConfig(n_mels=20, n_mfcc=10)

# Every effect off: words one after another, at one level, as they were recorded.
PLAIN = StreamConfig(
    unknown_share=0,
    cut_share=0,
    splice_share=0,
    speech_stream_share=0,
    fragment_share=0,
    noise_stream_share=0,
    level_db=0,
    gain_db=(0, 0),
    speed=0,
    clean_share=1,
    room_share=0,
    mask_mel_bands=0,
    mask_frames=0,
)

# find_word looks at 10 ms, smoothed over three, and adds a margin.
TOLERANCE = round(0.06 * RATE)


def word_sounds(*words: str, split: str = "training", clips: int = 3) -> Iterator[Sound]:
    for word in words:
        for number in range(clips):
            start_s = 0.2 + 0.05 * number
            yield "word", word, split, spoken(HERTZ[word], start_s=start_s, end_s=start_s + 0.4)


def full_sounds(seed: int = 0) -> Iterator[Sound]:
    """Something of every kind, in every part."""
    rng = np.random.default_rng(seed)
    for split in ("training", "validation", "testing"):
        yield from word_sounds(*HERTZ, split=split, clips=2)
        for kind, label, seconds in (("speech", "reading", 6), ("noise", "fan", 6)):
            yield kind, label, split, tones.to_int16(0.1 * rng.normal(size=seconds * RATE))
        yield "room", "hall", split, tones.to_int16(0.9 * np.exp(-np.arange(4000) / 800))


def make(corpus: Corpus, **options: object) -> StreamMaker:
    settings = {
        "config": StreamConfig(),
        "front_end": FRONT_END,
        "stride_frames": 2,
        "seed": 1,
        **options,
    }
    return StreamMaker(corpus, settings.pop("words", WORDS), **settings)


def plain(corpus: Corpus, *, stride_frames: int = 2, **changes: object) -> StreamMaker:
    config = dataclasses.replace(PLAIN, **changes)
    return make(corpus, config=config, stride_frames=stride_frames)


def streams(
    maker: StreamMaker, count: int, *, fresh: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    for _ in range(count):
        yield maker.stream(rng, fresh=fresh)


def digest(batch: Batch) -> str:
    parts = (batch.frames, batch.allowed, batch.fresh)
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def sounding(audio: np.ndarray) -> list[tuple[int, int]]:
    """Where something sounds, first and last sample, to 5 ms."""
    hop = 80
    level = np.sqrt(np.mean(audio[: len(audio) // hop * hop].reshape(-1, hop) ** 2, axis=1))
    active = np.flatnonzero(level > LEVEL / 5)
    if not len(active):
        return []
    runs = np.split(active, np.flatnonzero(np.diff(active) > 4) + 1)
    return [(int(run[0]) * hop, (int(run[-1]) + 1) * hop) for run in runs]


def heard_whole(audio: np.ndarray) -> list[tuple[int, int]]:
    """The same, without what the end of the stream may have cut off."""
    return [(start, end) for start, end in sounding(audio) if end < len(audio) - TOLERANCE]


def pitch_hz(audio: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(audio * np.hanning(len(audio))))) * RATE / len(audio))


def word_of(audio: np.ndarray) -> str:
    """The word whose tone it is."""
    return min(HERTZ, key=lambda word: abs(np.log(HERTZ[word] / pitch_hz(audio))))


def heard_samples(maker: StreamMaker, steps: int, stride_frames: int) -> np.ndarray:
    """Samples that each network step has heard, (steps,)."""
    last_frame = np.arange(1, steps + 1) * stride_frames - 1
    return last_frame * FRONT_END.hop_samples + FRONT_END.window_samples


def named(allowed: np.ndarray) -> set[frozenset[int]]:
    """The different sets of labels that occur in some steps."""
    return {frozenset(np.flatnonzero(row).tolist()) for row in allowed}


def sets_between(
    allowed: np.ndarray, heard: np.ndarray, first: int, last: int, *, before: int
) -> set[frozenset[int]]:
    """The sets of labels at the steps that surely lie between two samples, and before another."""
    times = (heard >= first + TOLERANCE) & (heard < min(last, before) - TOLERANCE)
    return named(allowed[times])


def demanded(allowed: np.ndarray) -> list[int]:
    """The labels that must be named, in order: one for each run of steps with a single one."""
    single = np.where(allowed.sum(axis=1) == 1, allowed.argmax(axis=1), SILENCE)
    changes = np.concatenate(([True], single[1:] != single[:-1]))
    return [int(label) for label in single[changes] if label != SILENCE]


class TestWhatMayBeNamed:
    """Silence, then any hedge, from the end of the word on its label alone, hedges, silence."""

    @pytest.mark.parametrize("stride_frames", [1, 2, 3])
    @pytest.mark.parametrize("speed", [0.0, 0.3])
    def test_a_word_is_demanded_when_it_is_complete(self, speed: float, stride_frames: int) -> None:
        maker = plain(
            corpus_of(*word_sounds(*WORDS)), speed=speed, max_gap_s=3.0, stride_frames=stride_frames
        )
        config = maker.config
        due, hold, linger = (
            round(s * RATE) for s in (config.due_s, config.hold_s, config.linger_s)
        )
        lengths = []
        for audio, allowed in streams(maker, 40):
            heard = heard_samples(maker, len(allowed), stride_frames)
            settled = 0  # when the word before may not be named any more
            followers = [start for start, _ in sounding(audio)[1:]] + [len(audio)]
            for (start, end), following in zip(heard_whole(audio), followers, strict=False):
                lengths.append(end - start)
                label = WORDS.index(word_of(audio[start:end]))
                at = partial(sets_between, allowed, heard, before=following)
                hedged = {frozenset({label, UNKNOWN, SILENCE})}
                silent = {frozenset({SILENCE})}
                assert at(settled, start) <= silent
                assert at(max(settled, start), end + due) <= hedged
                assert at(end + due, end + hold) <= {frozenset({label})}
                assert at(end + hold, end + hold + linger) <= hedged
                settled = end + hold + linger
                assert at(settled, len(audio)) <= silent
        # The times were there to be looked at, and the speed was changed.
        assert len(lengths) > 60
        spread = max(lengths) / min(lengths)
        assert spread > 1.4 if speed else spread < 1.1

    def test_every_word_that_is_heard_whole_is_demanded_and_nothing_else(self) -> None:
        maker = plain(corpus_of(*word_sounds(*WORDS)), max_gap_s=3.0)
        for audio, allowed in streams(maker, 40):
            said = [WORDS.index(word_of(audio[start:end])) for start, end in heard_whole(audio)]
            due = demanded(allowed)
            assert due[: len(said)] == said
            assert len(due) <= len(said) + 1, "the one at the end of the stream may be due"

    def test_another_word_is_unknown(self) -> None:
        maker = plain(corpus_of(*word_sounds(*HERTZ)), unknown_share=1.0)
        for audio, allowed in streams(maker, 10):
            assert {word_of(audio[start:end]) for start, end in sounding(audio)} == {"house"}
            assert set(demanded(allowed)) == {UNKNOWN}
            assert not allowed[:, :UNKNOWN].any()

    def test_a_piece_of_running_speech_is_unknown(self) -> None:
        speech = ("speech", "reading", "training", spoken(3000, seconds=10, start_s=0, end_s=10))
        maker = plain(corpus_of(*word_sounds(*WORDS), speech), unknown_share=1.0)
        for audio, allowed in streams(maker, 10):
            assert all(
                pitch_hz(audio[start:end]) == pytest.approx(3000, rel=0.05)
                for start, end in sounding(audio)
            )
            assert set(demanded(allowed)) == {UNKNOWN}
            assert not allowed[:, :UNKNOWN].any()

    def test_a_word_that_is_cut_off_is_never_to_be_named(self) -> None:
        maker = plain(corpus_of(*word_sounds(*WORDS)), cut_share=1.0)
        pieces = 0
        for audio, allowed in streams(maker, 20):
            pieces += len(sounding(audio))
            assert named(allowed) == {frozenset({SILENCE}), frozenset({UNKNOWN, SILENCE})}
        assert pieces > 40

    def test_a_word_that_is_cut_off_is_about_half_of_it(self) -> None:
        maker = plain(corpus_of(*word_sounds(*WORDS)), cut_share=1.0)
        lengths = [end - start for audio, _ in streams(maker, 20) for start, end in sounding(audio)]
        assert min(lengths) > 0.05 * RATE
        assert max(lengths) < 0.3 * RATE

    def test_half_of_one_word_and_half_of_another_are_an_unknown_word(self) -> None:
        maker = plain(corpus_of(*word_sounds(*WORDS)), splice_share=1.0)
        pairs = Counter()
        for audio, allowed in streams(maker, 20):
            assert set(demanded(allowed)) == {UNKNOWN}
            assert not allowed[:, :UNKNOWN].any()
            for start, end in heard_whole(audio):
                head = word_of(audio[start : start + (end - start) // 4])
                tail = word_of(audio[end - (end - start) // 4 : end])
                pairs[head, tail] += 1
        assert all(head != tail for head, tail in pairs)
        assert len(pairs) == 6

    def test_words_that_end_alike_are_not_spliced(self) -> None:
        sounds = [
            ("word", word, "training", spoken(hertz))
            for word, hertz in (("forward", 400.0), ("backward", 900.0))
        ]
        config = dataclasses.replace(PLAIN, splice_share=1.0)
        maker = make(corpus_of(*sounds), words=("forward", "backward"), config=config)
        for audio, _ in streams(maker, 10):
            for start, end in sounding(audio):
                half = (end - start) // 2
                assert word_of(audio[start : start + half]) == word_of(audio[start + half : end])

    def test_running_speech_may_be_unknown_or_silence_from_end_to_end(self) -> None:
        speech = ("speech", "reading", "training", spoken(3000, seconds=10, start_s=0, end_s=10))
        maker = plain(corpus_of(*word_sounds(*WORDS), speech), speech_stream_share=1.0)
        for audio, allowed in streams(maker, 5):
            assert named(allowed) == {frozenset({UNKNOWN, SILENCE})}
            assert pitch_hz(audio) == pytest.approx(3000, rel=0.05)

    def test_fragments_are_speech_of_word_recordings_that_holds_no_word(self) -> None:
        speech = ("speech", "reading", "training", spoken(3000, seconds=10, start_s=0, end_s=10))
        sounds = corpus_of(*word_sounds(*HERTZ), speech)
        maker = plain(sounds, speech_stream_share=1.0, fragment_share=1.0)
        heard = set()
        for audio, allowed in streams(maker, 20):
            assert named(allowed) == {frozenset({UNKNOWN, SILENCE})}
            heard |= {word_of(audio[start:end]) for start, end in sounding(audio)}
        assert heard == set(HERTZ), "of keywords and of others, and not of running speech"

    def test_where_nobody_speaks_there_is_silence(self) -> None:
        maker = plain(corpus_of(*word_sounds(*WORDS)), noise_stream_share=1.0)
        for audio, allowed in streams(maker, 5):
            assert named(allowed) == {frozenset({SILENCE})}
            assert audio.any(), "noise is there all the same"

    @pytest.mark.parametrize("missing", ["house", "speech", "noise", "room", None])
    def test_at_every_step_something_is_right(self, missing: str | None) -> None:
        sounds = [sound for sound in full_sounds() if missing not in sound[:2]]
        maker = make(corpus_of(*sounds))
        for audio, allowed in streams(maker, 40):
            assert allowed.any(axis=1).all()
            assert np.isfinite(audio).all()
            assert audio.any()


class TestTranscribedSpeech:
    """A keyword in the flow of speech may be named, and need not; elsewhere none may."""

    SAID = SpokenWord("left", 3 * RATE, round(3.4 * RATE), clear=True)

    def corpus(self, *said: SpokenWord, text: str = "then left and on") -> Corpus:
        speech = tones.to_int16(tones.hiss(10.0, level=0.1))
        corpus = corpus_of(*word_sounds(*WORDS), ("speech", "talk", "training", speech))
        return dataclasses.replace(
            corpus,
            recordings=tuple(
                dataclasses.replace(r, text=text, spoken=said) if r.kind == "speech" else r
                for r in corpus.recordings
            ),
        )

    def test_it_may_be_named(self) -> None:
        maker = plain(self.corpus(self.SAID), speech_stream_share=1)
        heard = [allowed for _, allowed in streams(maker, 40)]
        sets = [named(allowed) for allowed in heard]
        flow, word = frozenset({UNKNOWN, SILENCE}), frozenset({LEFT, UNKNOWN, SILENCE})
        assert set().union(*sets) == {flow, word}
        # Where it is, and a little more, since its time may be a little wrong.
        steps = max(int(np.sum(allowed[:, LEFT])) for allowed in heard)
        config = maker.config
        longest_s = 0.4 + 0.2 + config.hold_s + config.linger_s
        assert steps * 2 * FRONT_END.hop_samples / RATE == pytest.approx(longest_s, abs=0.1)

    def test_it_is_no_unknown_word(self) -> None:
        maker = plain(self.corpus(self.SAID), unknown_share=1)
        segments = [maker._other(np.random.default_rng(seed)) for seed in range(200)]
        labels = Counter((segment.label, segment.demanded) for segment in segments)
        assert set(labels) == {(UNKNOWN, True), (LEFT, False)}
        assert labels[LEFT, False] < labels[UNKNOWN, True]

    def test_where_nobody_knows_when_it_is_said_all_of_it_is_left_out(self) -> None:
        maker = plain(self.corpus(text="left or right?"), speech_stream_share=1)
        assert len(maker._speech) == 0

    def test_a_clear_one_is_cut_out_and_taught(self) -> None:
        maker = plain(self.corpus(self.SAID), cut_out_share=1)
        rng = np.random.default_rng(3)
        (word,) = maker._sayings(rng, LEFT)
        segment = maker._word(rng, [word], LEFT)
        assert segment.word_end - segment.word_start == self.SAID.end - self.SAID.start
        assert maker._sayings(rng, RIGHT) == maker._keywords[RIGHT]
        unclear = dataclasses.replace(self.SAID, clear=False)
        assert maker._keywords[LEFT] == plain(self.corpus(unclear), cut_out_share=1)._sayings(
            rng, LEFT
        )


class TestSyntheticSound:
    def test_synthetic_voices_say_keywords_and_other_words(self) -> None:
        corpus = corpus_of(
            *word_sounds(*WORDS),
            ("synthetic", "left", "training", spoken(500.0)),
            ("synthetic", "lest", "training", spoken(4500.0)),
        )
        maker = plain(corpus, synthetic_share=1)
        rng = np.random.default_rng(1)
        assert [r.kind for r in maker._sayings(rng, LEFT)] == ["synthetic"]
        assert maker._sayings(rng, STOP) == maker._keywords[STOP]
        assert [[r.label for r in clips] for clips in maker._others] == [["lest"]]

    def test_words_that_only_synthetic_voices_say_are_half_of_the_other_words(self) -> None:
        corpus = corpus_of(
            *word_sounds(*WORDS),
            ("word", "house", "training", spoken(4500.0)),
            *(("synthetic", f"other-{n}", "training", spoken(4500.0)) for n in range(9)),
        )
        rng = np.random.default_rng(0)
        drawn = [plain(corpus)._other_word(rng)[0].kind for _ in range(400)]
        assert drawn.count("word") == pytest.approx(200, abs=40)

    def test_simulated_rooms_stand_beside_real_ones(self) -> None:
        decay = tones.to_int16(0.9 * np.exp(-np.arange(4000) / 800))
        click = tones.to_int16(np.r_[0.9, np.zeros(99)])
        real = ("room", "hall", "training", click)
        simulated = ("simulated_room", "1", "training", decay)
        for share, rooms, echoes in (
            (0, (real, simulated), False),
            (1, (real, simulated), True),
            (0, (simulated,), True),
            (1, (real,), False),
        ):
            corpus = corpus_of(*word_sounds(*WORDS), *rooms)
            maker = plain(corpus, room_share=1, simulated_room_share=share)
            (audio, _), *_ = streams(maker, 1)
            (dry, _), *_ = streams(plain(corpus, simulated_room_share=share), 1)
            assert (np.abs(audio - dry).max() > 0.01) == echoes

    def test_mains_hum(self) -> None:
        corpus = corpus_of(*word_sounds(*WORDS))
        maker = plain(corpus, hum_share=1, noise_stream_share=1)
        low = []
        for audio, _ in streams(maker, 8):
            power = np.abs(np.fft.rfft(audio)) ** 2
            hertz = np.fft.rfftfreq(len(audio), 1 / RATE)
            low.append(power[hertz < 1300].sum() / power.sum())
        assert max(low) > 0.9


class TestShares:
    def test_unknown_words_get_the_share_that_was_asked_for(self) -> None:
        maker = plain(corpus_of(*word_sounds(*HERTZ)), unknown_share=0.3)
        labels = Counter(label for _, allowed in streams(maker, 400) for label in demanded(allowed))
        assert labels[UNKNOWN] / labels.total() == pytest.approx(0.3, abs=0.04)

    def test_every_keyword_is_drawn_as_often_however_many_recordings_it_has(self) -> None:
        sounds = [*word_sounds("left", clips=1), *word_sounds("right", "stop", clips=9)]
        labels = Counter(
            label
            for _, allowed in streams(plain(corpus_of(*sounds)), 400)
            for label in demanded(allowed)
        )
        for word in (LEFT, RIGHT, STOP):
            assert labels[word] / labels.total() == pytest.approx(1 / 3, abs=0.04)

    def test_a_rare_other_word_is_heard_less_often_but_heard(self) -> None:
        sounds = [
            *word_sounds(*WORDS),
            *(("word", "rare", "training", spoken(HERTZ["house"])) for _ in range(1)),
            *(("word", "often", "training", spoken(6500.0)) for _ in range(16)),
        ]
        maker = plain(corpus_of(*sounds), unknown_share=1.0)
        pitches = [
            pitch_hz(audio[start:end])
            for audio, _ in streams(maker, 200)
            for start, end in sounding(audio)
        ]
        rare = float(np.mean(np.array(pitches) < 5500))
        assert rare == pytest.approx(1 / (1 + 4), abs=0.05), "square roots of 1 and 16"

    def test_without_anything_unknown_to_say_there_are_words_instead(self) -> None:
        maker = plain(corpus_of(*word_sounds(*WORDS)), unknown_share=0.9, max_gap_s=3.0)
        labels = Counter()
        for audio, allowed in streams(maker, 40):
            labels.update(demanded(allowed))
            assert all(end - start > 0.35 * RATE for start, end in heard_whole(audio))
        assert set(labels) == {LEFT, RIGHT, STOP}

    @pytest.mark.parametrize("fresh", [False, True])
    def test_a_word_may_come_at_once_after_a_reset_only(self, fresh: bool) -> None:
        maker = plain(corpus_of(*word_sounds(*WORDS)))
        at_once = [
            bool(allowed[:10, :UNKNOWN].any()) for _, allowed in streams(maker, 100, fresh=fresh)
        ]
        assert np.mean(at_once) > 0.5 if fresh else np.mean(at_once) < 0.3


class TestEffects:
    def quiet_room(self) -> Corpus:
        return corpus_of(*word_sounds(*WORDS))

    @pytest.mark.parametrize("snr_db", [20.0, 35.0])
    def test_noise_lies_so_far_below_the_words(self, snr_db: float) -> None:
        fan = ("noise", "fan", "training", tones.to_int16(tones.hiss(6)))
        maker = plain(
            corpus_of(*word_sounds(*WORDS), fan), clean_share=0.0, snr_db=(snr_db, snr_db)
        )
        levels = []
        for audio, _ in streams(maker, 40):
            silent = np.ones(len(audio), bool)
            for start, end in sounding(audio):
                silent[max(0, start - 800) : end + 800] = False
            levels.append(20 * np.log10(np.sqrt(np.mean(audio[silent] ** 2)) / LEVEL))
        assert np.median(levels) == pytest.approx(-snr_db, abs=0.5)

    @pytest.mark.parametrize(("snr_db", "counts"), [(20.0, {0, 1, 2, 3}), (0.0, {0, 3})])
    def test_so_many_people_talk_behind_the_words(
        self, snr_db: float, counts: set[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Nearer than 6 dB nobody talks alone, who could be taken for whoever says the words.
        reading = ("speech", "reading", "training", tones.to_int16(tones.hiss(6)))
        fan = ("noise", "fan", "training", tones.to_int16(tones.hiss(6)))
        maker = plain(
            corpus_of(*word_sounds(*WORDS), reading, fan),
            clean_share=0.0,
            snr_db=(snr_db, snr_db),
            talk_share=0.5,
            talkers=(1, 3),
        )
        said: list[int] = []
        talk = maker._running_speech
        monkeypatch.setattr(
            maker, "_running_speech", lambda *given: (said.append(1), talk(*given))[1]
        )
        found = []
        for _ in streams(maker, 80):
            found.append(len(said))
            said.clear()
        found.append(len(said))
        assert set(found) == counts
        assert 0.3 < np.mean(np.array(found) > 0) < 0.7

    def test_noise_that_is_alone_is_of_any_level(self) -> None:
        maker = plain(self.quiet_room(), noise_stream_share=1.0)
        levels = [
            20 * np.log10(np.sqrt(np.mean(audio**2)) / LEVEL) for audio, _ in streams(maker, 100)
        ]
        assert -26 < min(levels) < -20
        assert 5 < max(levels) < 11

    def test_a_digital_silence_among_the_noise_does_no_harm(self) -> None:
        zeros = ("noise", "off", "training", np.zeros(2 * RATE, np.int16))
        maker = plain(corpus_of(*word_sounds(*WORDS), zeros), clean_share=0.0)
        assert all(np.isfinite(audio).all() for audio, _ in streams(maker, 20))

    def test_words_are_at_their_level_among_noise(self) -> None:
        maker = plain(self.quiet_room(), clean_share=0.0, snr_db=(40.0, 40.0))
        levels = [
            np.sqrt(np.mean(audio[start + 200 : end - 200] ** 2))
            for audio, _ in streams(maker, 20)
            for start, end in sounding(audio)
        ]
        # The ends that find_word includes, and the fades, bring the middle up a little.
        assert len(levels) > 20
        np.testing.assert_allclose(20 * np.log10(np.array(levels) / LEVEL), 0.5, atol=0.6)

    def test_levels_vary_by_so_many_decibels(self) -> None:
        maker = plain(self.quiet_room(), level_db=3.0, max_gap_s=0.5)
        levels = [
            20 * np.log10(np.sqrt(np.mean(audio[start + 200 : end - 200] ** 2)))
            for audio, _ in streams(maker, 100)
            for start, end in sounding(audio)
        ]
        assert np.std(levels) == pytest.approx(3.0, abs=0.5)

    @pytest.mark.parametrize("gain_db", [-20.0, 0.0, 6.0])
    def test_the_gain_is_the_whole_streams(self, gain_db: float) -> None:
        as_it_is = plain(self.quiet_room(), clean_share=0.0)
        changed = plain(self.quiet_room(), clean_share=0.0, gain_db=(gain_db, gain_db))
        for (before, _), (after, _) in zip(streams(as_it_is, 5), streams(changed, 5), strict=True):
            factor = 10 ** (gain_db / 20)
            rounding = 0.51 * (1 + factor) / 32768
            np.testing.assert_allclose(after, factor * before, rtol=0, atol=rounding)

    def test_a_stream_is_what_16_bits_can_hold(self) -> None:
        maker = plain(self.quiet_room(), clean_share=0.0, gain_db=(40.0, 40.0))
        for audio, _ in streams(maker, 3):
            pcm = audio * 32768
            np.testing.assert_array_equal(pcm, np.rint(pcm))
            assert audio.min() == -1.0
            assert audio.max() == np.float32(32767 / 32768)

    def test_in_a_room_words_echo(self) -> None:
        echo = np.zeros(3300, np.float32)
        echo[100], echo[3299] = 0.9, 0.9  # 0.2 s later, as loud
        corpus = corpus_of(*word_sounds(*WORDS), ("room", "hall", "training", tones.to_int16(echo)))
        longest = {}
        for share in (0.0, 1.0):
            maker = plain(corpus, room_share=share, max_gap_s=3.0)
            longest[share] = max(
                end - start for audio, _ in streams(maker, 20) for start, end in sounding(audio)
            )
        assert longest[1.0] - longest[0.0] == pytest.approx(0.2 * RATE, abs=0.02 * RATE)

    @pytest.mark.parametrize("margin_s", [0.0, 0.5])
    def test_a_word_brings_some_of_its_own_silence(self, margin_s: float) -> None:
        sounds = [
            ("word", word, "training", spoken(HERTZ[word], seconds=2, start_s=0.8, end_s=1.2))
            for word in WORDS
        ]
        maker = plain(corpus_of(*sounds), margin_s=margin_s, max_gap_s=0.0)
        gaps = [
            (following - end) / RATE
            for audio, _ in streams(maker, 40)
            for (_, end), (following, _) in pairwise(sounding(audio))
        ]
        longest = 2 * (max(margin_s, 0.05) + 0.06)
        assert min(gaps) >= 0.1
        assert longest / 2 < max(gaps) < longest

    def test_features_are_those_of_the_device(self) -> None:
        front_end = dataclasses.replace(
            FRONT_END, mean=(-200.0, *(3.0,) * 9), std=(90.0, *(12.0,) * 9)
        )
        maker = make(self.quiet_room(), front_end=front_end)
        audio = np.stack([audio for audio, _ in streams(maker, 3)])
        device = FrontEnd(front_end)
        for stream, features in zip(audio, maker.features(audio), strict=True):
            device.reset()
            np.testing.assert_allclose(features, device.feed(stream), atol=1e-3)

    def test_features_are_masked_in_batches_only(self) -> None:
        audio = np.stack([audio for audio, _ in streams(plain(self.quiet_room()), 3)])
        as_they_are = plain(self.quiet_room()).features(audio)
        for masked, bands in ((True, 5), (False, 0)):
            maker = plain(self.quiet_room(), mask_mel_bands=bands)
            features = maker.features(audio, np.random.default_rng(1))
            assert np.array_equal(features, as_they_are) is not masked


class TestBatches:
    def test_a_batch_has_frames_labels_and_fresh_streams(self) -> None:
        maker = make(corpus_of(*full_sounds()))
        batch = maker.batch(0, 0, 6)
        assert maker.frames_per_stream == 198, "4 s, in whole steps"
        assert batch.frames.shape == (6, 198, 10)
        assert batch.frames.dtype == np.float32
        assert batch.allowed.shape == (6, 99, 5)
        assert batch.allowed.dtype == np.bool_
        assert batch.fresh.shape == (6,)
        assert batch.fresh.dtype == np.bool_

    def test_about_half_of_the_streams_begin_afresh(self) -> None:
        maker = plain(corpus_of(*word_sounds(*WORDS)), seconds=2.0)
        fresh = np.concatenate([maker.batch(0, index, 16).fresh for index in range(8)])
        assert 0.35 < fresh.mean() < 0.65

    def test_the_order_in_which_batches_are_drawn_does_not_matter(self) -> None:
        corpus = corpus_of(*full_sounds())
        maker = make(corpus)
        forwards = [digest(maker.batch(2, index, 2)) for index in range(3)]
        backwards = [digest(make(corpus).batch(2, index, 2)) for index in reversed(range(3))]
        assert forwards == backwards[::-1]
        assert len(set(forwards)) == 3

    def test_seed_epoch_and_index_each_make_another_batch(self) -> None:
        corpus = corpus_of(*full_sounds())
        batches = {
            digest(make(corpus, seed=seed).batch(epoch, index, 2))
            for seed in (0, 1)
            for epoch in (0, 1)
            for index in (0, 1)
        }
        assert len(batches) == 8

    def test_another_process_draws_the_same(self) -> None:
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            "from test_streams import *\n"
            "print(digest(make(corpus_of(*full_sounds())).batch(3, 7, 4)))"
        )
        drawn = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        assert drawn.stdout.strip() == digest(make(corpus_of(*full_sounds())).batch(3, 7, 4))


class TestWhatIsNeverDrawn:
    """Recordings that must not be heard are changed: if that changes a batch, they were heard."""

    def drawn(self, sounds: list[Sound], **options: object) -> list[str]:
        maker = make(corpus_of(*sounds), **options)
        return [digest(maker.batch(0, index, 8)) for index in range(3)]

    def changed(self, *, split: str | None = None, label: str | None = None) -> list[Sound]:
        """All sounds, but those of a part or label played backwards."""
        return [
            (kind, name, part, sound[::-1] if split == part or label == name else sound)
            for kind, name, part, sound in full_sounds()
        ]

    @pytest.mark.parametrize("split", ["training", "validation"])
    def test_recordings_of_another_part(self, split: str) -> None:
        original = self.drawn(list(full_sounds()), split=split)
        for other in ("training", "validation", "testing"):
            same = self.drawn(self.changed(split=other), split=split) == original
            assert same is (other != split)

    def test_words_that_are_held_out(self) -> None:
        original = self.drawn(list(full_sounds()), exclude=("house",))
        assert self.drawn(self.changed(label="house"), exclude=("house",)) == original
        # The test can tell: a word that is not held out is heard.
        assert self.drawn(self.changed(label="house")) != self.drawn(list(full_sounds()))

    def test_a_folder_of_silence_is_noise_and_no_unknown_word(self) -> None:
        fan = tones.to_int16(tones.sine(6000, 1.0))
        silence = [("word", "_silence_", "training", fan)]
        maker = plain(corpus_of(*word_sounds(*WORDS), *silence), unknown_share=1.0)
        for _, allowed in streams(maker, 10):
            assert UNKNOWN not in demanded(allowed)
        noisy = plain(
            corpus_of(*word_sounds(*WORDS), *silence), noise_stream_share=1.0, clean_share=0.0
        )
        pitches = [pitch_hz(audio) for audio, _ in streams(noisy, 20)]
        assert np.isclose(pitches, 6000, rtol=0.01).mean() > 0.5


class TestMissingData:
    def test_a_keyword_without_recordings_is_named(self) -> None:
        with pytest.raises(DataError, match=r"'stop'.*training.*left, right"):
            make(corpus_of(*word_sounds("left", "right")))

    def test_in_the_part_that_was_asked_for(self) -> None:
        sounds = [*word_sounds(*WORDS), *word_sounds("left", "stop", split="validation")]
        with pytest.raises(DataError, match=r"'right'.*validation.*left, stop"):
            make(corpus_of(*sounds), split="validation")

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("samples", [1, 2, 100, 400])
    def test_a_recording_of_a_few_samples_does_no_harm(self, samples: int) -> None:
        click = np.full(samples, 3000, np.int16)
        sounds = [*word_sounds(*WORDS), ("word", "click", "training", click)]
        maker = plain(corpus_of(*sounds), unknown_share=1.0, speed=0.3, seconds=2.0)
        for audio, allowed in streams(maker, 10):
            assert np.isfinite(audio).all()
            assert allowed.any(axis=1).all()


class TestHardNegatives:
    """A tone in a minute of quiet stands for what a model takes for a word."""

    AT_S = 40.0

    def corpus(self, kind: str, split: str = "training") -> Corpus:
        minute = tones.quiet(60.0, level=1e-3)
        start = round((self.AT_S - 0.5) * RATE)
        tone = tones.sine(3000.0, 0.3)
        minute[start : start + len(tone)] += tone
        words = [sound for part in ("training", split) for sound in word_sounds(*WORDS, split=part)]
        corpus = corpus_of((kind, "rest", split, tones.to_int16(minute)), *words)
        path = next(r.path for r in corpus.recordings if r.kind == kind)
        return dataclasses.replace(corpus, hard_negatives={path: (self.AT_S,)})

    def share_with_tone(self, corpus: Corpus, **settings: object) -> float:
        split = settings.pop("split", "training")
        config = dataclasses.replace(PLAIN, **settings)
        maker = make(corpus, config=config, split=split)
        found = [
            abs(pitch_hz(audio[audio != 0]) - 3000.0) < 30.0 for audio, _ in streams(maker, 40)
        ]
        return sum(found) / len(found)

    def test_running_speech(self) -> None:
        corpus = self.corpus("speech")
        assert self.share_with_tone(corpus, speech_stream_share=1, hard_share=1) == 1.0
        assert 0.3 < self.share_with_tone(corpus, speech_stream_share=1, hard_share=0.5) < 0.8
        assert self.share_with_tone(corpus, speech_stream_share=1, hard_share=0) < 0.3

    def test_noise_without_speech(self) -> None:
        corpus = self.corpus("noise")
        # A fifth of the noises are synthetic.
        assert self.share_with_tone(corpus, noise_stream_share=1, hard_share=1) > 0.6
        assert self.share_with_tone(corpus, noise_stream_share=1, hard_share=0) < 0.3

    def test_a_piece_as_an_unknown_word(self) -> None:
        corpus = self.corpus("speech")
        maker = make(corpus, config=dataclasses.replace(PLAIN, unknown_share=1, hard_share=1))
        for audio, _ in streams(maker, 10):
            # Short pieces hold at least the end of it.
            assert any(
                abs(pitch_hz(audio[start:end]) - 3000.0) < 30.0 for start, end in sounding(audio)
            )

    def test_none_of_other_parts(self) -> None:
        corpus = self.corpus("speech", split="validation")
        share = self.share_with_tone(
            corpus, split="validation", speech_stream_share=1, hard_share=1
        )
        assert share < 0.3

    def test_without_any_the_share_changes_nothing(self) -> None:
        corpus = corpus_of(*full_sounds())
        first, second = (
            make(corpus, config=StreamConfig(hard_share=share)).batch(0, 0, 4) for share in (0, 1)
        )
        assert digest(first) == digest(second)
