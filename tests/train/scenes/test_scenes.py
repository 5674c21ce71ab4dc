"""Scenes of recordings: what is said in them, how loud, over what; and all of it repeatable."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tones
from synthetic_corpus import Sound, corpus_of, spoken

pytest.importorskip("scipy", reason="training needs harken[train]")

from harken.edge.errors import DataError
from harken.train.corpus import Corpus
from harken.train.data import load_corpus
from harken.train.scenes.leaks import identity
from harken.train.scenes.make import CLEAN, GAIN_DB, SNR_DB, TALK_DB, make_scenes
from harken.train.scenes.truth import Scene, SceneSet

RATE = tones.RATE
WORDS = ("left", "right")
HERTZ = {"left": 400.0, "right": 900.0, "house": 4500.0, "wow": 6000.0}
LEVEL_DB = -26.0


def word_sounds(*words: str, split: str = "validation", clips: int = 6) -> Iterator[Sound]:
    for word in words:
        for number in range(clips):
            start_s, level = 0.2 + 0.05 * (number % 6), 0.02 * (1 + number % 6)
            clip = spoken(HERTZ[word], start_s=start_s, end_s=start_s + 0.4, level=level)
            yield "word", word, split, clip


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return tones.to_int16(level * rng.normal(size=round(seconds * RATE)))


def full_sounds() -> Iterator[Sound]:
    """Something of every kind, of each more than one."""
    yield from word_sounds(*HERTZ)
    yield from word_sounds(*WORDS, split="training", clips=2)
    for number in range(3):
        yield "speech", "reading", "validation", noise(4 + number, 0.01 * (number + 1), number)
    yield "speech", "orders", "validation", noise(400, 0.02, 7)
    yield "speech", "orders", "training", noise(5)
    yield "noise", "fan", "validation", noise(6, 0.3, 3)
    yield "noise", "tap", "validation", noise(3, 0.001, 4)
    yield "noise", "tap", "training", noise(9)
    for name in ("hall", "attic"):
        room = np.zeros(4000)
        room[200:] = (
            0.9 * np.exp(-np.arange(3800) / 800) * np.random.default_rng(1).normal(size=3800)
        )
        room[200] = 4.0
        yield "room", name, "validation", tones.to_int16(room / 8)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(*full_sounds())


@pytest.fixture(scope="module")
def scenes(corpus: Corpus) -> SceneSet:
    return make_scenes(corpus, WORDS, words_per_condition=60)


def under(scenes: SceneSet, **conditions: str) -> list[Scene]:
    wanted = {**CLEAN, **conditions}
    return [scene for scene in scenes.scenes if scene.conditions == wanted]


def negatives(scenes: SceneSet, source: str) -> list[Scene]:
    return [scene for scene in scenes.scenes if scene.conditions.get("source") == source]


@functools.lru_cache(maxsize=30)
def heard(scene: Scene) -> np.ndarray:
    """What a scene sounds like, full scale 1; rendered once for a few tests."""
    return scene.render().astype(np.float32) / np.float32(32768)


def level_db(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(audio), dtype=np.float64)))


def spans(scene: Scene) -> list[tuple[int, int]]:
    return [(round(u.start_s * RATE), round(u.end_s * RATE)) for u in scene.utterances]


def pauses(scene: Scene) -> np.ndarray:
    """Where nobody speaks, 110 ms from words and more."""
    silent = np.ones(round(scene.seconds * RATE), np.bool_)
    for start, end in spans(scene):
        silent[max(0, start - 1760) : end + 1760] = False
    return silent


class TestWhatIsSaid:
    def test_as_many_whole_keywords_as_asked_for_and_of_each_alike(self, scenes: SceneSet) -> None:
        said = Counter(u.word for s in under(scenes) for u in s.utterances if u.whole)
        assert said["left"] == said["right"] == 30

    def test_a_word_of_few_recordings_is_not_repeated_until_all_are_heard(self) -> None:
        sounds = (*word_sounds("left", clips=2), *word_sounds("right", clips=18))
        scenes = make_scenes(corpus_of(*sounds), WORDS, words_per_condition=20)
        said = [u for s in under(scenes) for u in s.utterances if u.whole]
        assert Counter(u.word for u in said) == {"left": 2, "right": 18}
        assert any("few recordings of left (2)" in note for note in scenes.notes)
        assert not any("more than once" in note for note in scenes.notes)

    def test_every_recording_is_heard_once_before_any_is_heard_twice(self) -> None:
        corpus = corpus_of(*word_sounds("left", clips=12))
        for count, notes in ((12, 0), (13, 1)):
            scenes = make_scenes(corpus, ("left",), words_per_condition=count)
            assert sum("more than once among" in note for note in scenes.notes) == notes
        (scene,) = under(make_scenes(corpus, ("left",), words_per_condition=12))
        assert scene.recordings == tuple(sorted(r.path for r in corpus.recordings))

    def test_among_them_are_other_words_and_pieces(self, scenes: SceneSet) -> None:
        said = [u for s in under(scenes) for u in s.utterances]
        others = [u for u in said if u.word in ("house", "wow")]
        pieces = [u for u in said if not u.whole]
        assert len(others) / len(said) == pytest.approx(0.15, abs=0.02)
        assert len(pieces) / len(said) == pytest.approx(0.08, abs=0.02)
        assert all(u.whole for u in others)
        assert {u.word for u in pieces} <= set(WORDS)

    def test_pieces_are_halves_at_most(self, scenes: SceneSet) -> None:
        for scene in under(scenes):
            for u in scene.utterances:
                seconds = u.end_s - u.start_s
                assert 0.38 < seconds < 0.5 if u.whole else 0.1 < seconds < 0.25

    def test_some_words_follow_others_quickly_and_never_three(self) -> None:
        corpus = corpus_of(*word_sounds(*HERTZ))
        scenes = make_scenes(corpus, WORDS, words_per_condition=400)
        gaps = [
            [after.start_s - before.end_s for before, after in pairwise(scene.utterances)]
            for scene in under(scenes)
        ]
        quick = [[gap <= 0.25 for gap in scene] for scene in gaps]
        assert np.mean(np.concatenate(quick)) == pytest.approx(0.15 / 1.15, abs=0.04)
        assert not any(one and two for scene in quick for one, two in pairwise(scene))
        every = np.concatenate(gaps)
        assert every.min() > 0.049
        assert every.max() < 2.001
        assert not np.any((every > 0.2501) & (every < 0.2999))

    def test_scenes_last_about_a_minute_and_end_after_the_last_word(self, scenes: SceneSet) -> None:
        *whole, last = under(scenes)
        assert all(57 < scene.seconds < 65 for scene in whole)
        assert whole
        for scene in (*whole, last):
            assert scene.seconds - scene.utterances[-1].end_s == pytest.approx(1.5, abs=1e-3)
            assert 0.5 <= scene.utterances[0].start_s <= 2

    def test_every_recording_that_is_heard_is_named_and_no_other_part_is(
        self, corpus: Corpus, scenes: SceneSet
    ) -> None:
        parts = {r.path: r.split for r in corpus.recordings}
        named = {name for scene in scenes.scenes for name in scene.recordings or ()}
        assert {parts[name] for name in named} == {"validation"}
        mine = [r.path for kind in ("word", "speech") for r in corpus.select(kind)]
        assert named == {path for path in mine if parts[path] == "validation"}

    def test_times_are_those_of_the_sound(self, scenes: SceneSet) -> None:
        # The tones are pure, so that the band around one tells when it sounds, to 10 ms or so.
        for scene in under(scenes):
            audio = heard(scene)
            for u, (start, end) in zip(scene.utterances, spans(scene), strict=True):
                spectrum = np.abs(np.fft.rfft(audio[start:end] * np.hanning(end - start)))
                hertz = np.argmax(spectrum) * RATE / (end - start)
                assert hertz == pytest.approx(HERTZ[u.word], rel=0.03)
            silent = pauses(scene)
            assert level_db(audio[silent]) < LEVEL_DB - 40


class TestConditions:
    def test_all_are_there(self, scenes: SceneSet) -> None:
        conditions = {tuple(s.conditions.items()) for s in scenes.scenes if not s.negative}
        assert len(conditions) == 1 + len(SNR_DB) + 1 + len(GAIN_DB) + 2
        assert not any("has no" in note for note in scenes.notes)

    def test_the_same_is_said_under_each(self, scenes: SceneSet) -> None:
        clean = under(scenes)
        for conditions in (
            *({"snr": f"{snr} dB"} for snr in SNR_DB),
            *({"gain": f"{gain:+} dB"} for gain in GAIN_DB),
            {"room": "hall"},
            {"room": "attic"},
        ):
            same = under(scenes, **conditions)
            assert [s.utterances for s in same] == [s.utterances for s in clean]
            assert [s.seconds for s in same] == [s.seconds for s in clean]
            assert [s.recordings for s in same] == [s.recordings for s in clean]

    def test_words_lie_26_db_below_full_scale_give_or_take_three(self, scenes: SceneSet) -> None:
        levels = [
            level_db(heard(scene)[start:end])
            for scene in under(scenes)
            for start, end in spans(scene)
        ]
        assert np.mean(levels) == pytest.approx(LEVEL_DB, abs=0.5)
        assert np.max(np.abs(np.array(levels) - LEVEL_DB)) < 3.5
        assert np.std(levels) > 1

    def test_clean_is_a_hiss_far_below_and_never_digital_silence(self, scenes: SceneSet) -> None:
        for scene in under(scenes):
            audio = heard(scene)[pauses(scene)]
            assert level_db(audio) == pytest.approx(LEVEL_DB - 60, abs=1.5)
        for scene in under(scenes, gain="-20 dB"):
            quiet = scene.render()[pauses(scene)]
            assert np.mean(quiet != 0) > 0.05

    @pytest.mark.parametrize("snr", SNR_DB)
    def test_noise_is_as_loud_as_said(self, scenes: SceneSet, snr: int) -> None:
        for scene in under(scenes, snr=f"{snr} dB"):
            audio = heard(scene)[pauses(scene)]
            assert level_db(audio) == pytest.approx(LEVEL_DB - snr, abs=0.2)

    def test_talk_is_all_running_speech_in_the_background(
        self, corpus: Corpus, scenes: SceneSet
    ) -> None:
        talkers = {identity(r) for r in corpus.select("speech", split="validation")}
        assert talkers
        clean, talk = under(scenes), under(scenes, talk=f"{TALK_DB} dB")
        assert [s.utterances for s in talk] == [s.utterances for s in clean]
        for one, other in zip(clean, talk, strict=True):
            assert set(other.recordings or ()) == {*(one.recordings or ()), *talkers}
            added = heard(other) - heard(one)
            assert level_db(added) == pytest.approx(LEVEL_DB - TALK_DB, abs=0.5)

    def test_noise_is_the_same_at_each_level_and_runs_on(self, scenes: SceneSet) -> None:
        (first, *_), (clean, *_) = under(scenes, snr="0 dB"), under(scenes)
        louder = heard(first) - heard(clean)
        softer = heard(under(scenes, snr="10 dB")[0]) - heard(clean)
        assert np.corrcoef(louder, softer)[0, 1] > 0.999
        seconds = louder[: len(louder) // RATE * RATE].reshape(-1, RATE)
        assert all(level_db(second) == pytest.approx(LEVEL_DB, abs=0.5) for second in seconds)

    def test_every_second_of_noise_is_heard_as_often(self) -> None:
        # Two recordings of noise that tell themselves apart by their pitch: 9 s and 3 s.
        hum = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(9 * RATE) / RATE)
        whistle = 0.01 * np.sin(2 * np.pi * 3000 * np.arange(3 * RATE) / RATE)
        corpus = corpus_of(
            *word_sounds("left", clips=12),
            ("noise", "hum", "validation", tones.to_int16(hum)),
            ("noise", "whistle", "validation", tones.to_int16(whistle)),
        )
        scenes = make_scenes(corpus, ("left",), words_per_condition=150)
        noisy, clean = under(scenes, snr="0 dB"), under(scenes)
        audio = np.concatenate([heard(a) - heard(b) for a, b in zip(noisy, clean, strict=True)])
        frames = audio[: len(audio) // 512 * 512].reshape(-1, 512)
        power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0)
        hertz = np.fft.rfftfreq(512, 1 / RATE)
        shares = [power[np.abs(hertz - f) < 200].sum() for f in (1000, 3000)]
        assert shares[0] / shares[1] == pytest.approx(3, rel=0.1)

    def test_padding_is_no_noise(self) -> None:
        padded = np.concatenate([noise(1, 0.1), np.zeros(4 * RATE, np.int16)])
        corpus = corpus_of(*word_sounds("left", clips=12), ("noise", "bark", "validation", padded))
        (scene,) = under(make_scenes(corpus, ("left",), words_per_condition=10), snr="0 dB")
        audio = heard(scene)
        seconds = audio[: len(audio) // RATE * RATE].reshape(-1, RATE)
        assert min(map(level_db, seconds)) > LEVEL_DB - 1

    @pytest.mark.parametrize("gain", GAIN_DB)
    def test_gain_changes_the_level_and_clips(self, scenes: SceneSet, gain: int) -> None:
        for scene, clean in zip(under(scenes, gain=f"{gain:+} dB"), under(scenes), strict=True):
            expected = np.clip(heard(clean) * 10 ** (gain / 20), -1, 32767 / 32768)
            lsb = 32768 * np.abs(heard(scene) - expected)
            assert lsb.max() < 2 * (1 + 10 ** (gain / 20))
            assert np.any(np.abs(scene.render().astype(int)) >= 32767) == (gain == 20)

    def test_a_room_rings_after_the_words_and_not_before(self, scenes: SceneSet) -> None:
        for scene, clean in zip(under(scenes, room="hall"), under(scenes), strict=True):
            audio, dry = heard(scene), heard(clean)
            last = spans(scene)[-1][1]
            assert level_db(audio) == pytest.approx(level_db(dry), abs=0.3)
            ring = slice(last + 1760, last + 2560)
            assert level_db(audio[ring]) > level_db(dry[ring]) + 10
            first = spans(scene)[0][0]
            assert level_db(audio[: first - 1760]) == pytest.approx(LEVEL_DB - 60, abs=1.5)

    def test_without_noise_rooms_speech_and_other_words_there_are_notes(self) -> None:
        scenes = make_scenes(corpus_of(*word_sounds(*WORDS)), WORDS, words_per_condition=5)
        kinds = {tuple(s.conditions.items()) for s in scenes.scenes}
        assert len(kinds) == 1 + len(GAIN_DB)
        notes = "\n".join(scenes.notes)
        for what in ("noise: ", "rooms: ", "running speech", "speech and noise", "other words"):
            assert what in notes
        assert scenes.negative_hours == 0


class TestNegatives:
    def test_every_second_is_heard_once(self, corpus: Corpus, scenes: SceneSet) -> None:
        for source, seconds in (("reading", 4 + 5 + 6), ("orders", 400), ("noise/fan", 6)):
            mine = negatives(scenes, source)
            assert sum(s.seconds for s in mine) == seconds
            assert sum(len(s.render()) for s in mine) == seconds * RATE
        assert scenes.negative_hours == pytest.approx(424 / 3600)
        assert all(s.negative and not s.utterances for s in negatives(scenes, "orders"))

    def test_speech_is_as_recorded_but_for_its_level(
        self, corpus: Corpus, scenes: SceneSet
    ) -> None:
        (scene,) = negatives(scenes, "reading")
        audio, at = heard(scene), 0
        for recording in corpus.select("speech", split="validation", label="reading"):
            piece = audio[at : at + recording.length]
            assert level_db(piece) == pytest.approx(LEVEL_DB, abs=0.05)
            original = corpus.samples(recording)[160:-160]
            assert np.corrcoef(piece[160:-160], original)[0, 1] > 0.9999
            at += recording.length
        assert scene.recordings is not None
        assert len(scene.recordings) == 3

    def test_a_long_recording_is_cut_and_nothing_is_lost(
        self, corpus: Corpus, scenes: SceneSet
    ) -> None:
        mine = negatives(scenes, "orders")
        assert [s.seconds for s in mine] == [200, 200]
        (recording,) = corpus.select("speech", split="validation", label="orders")
        audio = np.concatenate([heard(s) for s in mine])
        whole = corpus.samples(recording)
        assert np.corrcoef(audio[160:-160], whole[160:-160])[0, 1] > 0.9999

    def test_noise_is_as_loud_as_recorded(self, corpus: Corpus, scenes: SceneSet) -> None:
        for recording in corpus.select("noise", split="validation"):
            (scene,) = negatives(scenes, f"noise/{recording.label}")
            difference = scene.render() - corpus.samples(recording)
            assert np.count_nonzero(difference) <= 2 * 160
            assert scene.recordings == ()

    def test_a_faint_recording_does_not_become_a_roar(self) -> None:
        faint = noise(5, 10 ** (-80 / 20))
        corpus = corpus_of(*word_sounds("left"), ("speech", "room tone", "validation", faint))
        scenes = make_scenes(corpus, ("left",), words_per_condition=5)
        (scene,) = negatives(scenes, "room tone")
        assert level_db(heard(scene)) < -38


class TestSeed:
    def test_the_same_scenes_again(self, corpus: Corpus, scenes: SceneSet) -> None:
        again = make_scenes(corpus, WORDS, words_per_condition=60)
        for one, two in zip(scenes.scenes, again.scenes, strict=True):
            assert (one.name, one.utterances, one.recordings) == (
                two.name,
                two.utterances,
                two.recordings,
            )
        for name in ("words-snr5-001", "words-room-hall-000", "negative-orders-001"):
            sounds = [s.render() for x in (scenes, again) for s in x.scenes if s.name == name]
            sounds += [s.render() for s in scenes.scenes if s.name == name]
            assert len(sounds) == 3
            assert all(np.array_equal(sounds[0], sound) for sound in sounds)

    def test_others_with_another_one(self, corpus: Corpus, scenes: SceneSet) -> None:
        other = make_scenes(corpus, WORDS, words_per_condition=60, seed=1)
        assert under(other)[0].utterances != under(scenes)[0].utterances
        assert other.provenance["seed"] == 1

    def test_names_are_unique(self, scenes: SceneSet) -> None:
        names = [scene.name for scene in scenes.scenes]
        assert len(set(names)) == len(names)


class TestRefused:
    def refuse(self, *sounds: Sound, says: str, **options: object) -> None:
        with pytest.raises(DataError, match=says):
            make_scenes(corpus_of(*sounds), WORDS, **options)

    def test_a_part_without_keywords(self) -> None:
        self.refuse(
            *word_sounds("left", split="training"),
            *word_sounds("house"),
            says="no recordings of 'left', 'right' in the validation split .* there are: house",
        )

    def test_a_keyword_alone_may_be_missing(self) -> None:
        scenes = make_scenes(corpus_of(*word_sounds("left", clips=12)), WORDS)
        assert any("has no recordings of right" in note for note in scenes.notes)

    @pytest.mark.parametrize("stated", [True, False])
    def test_recordings_of_one_speaker(self, stated: bool) -> None:
        corpus = corpus_of(*word_sounds(*WORDS), *word_sounds(*WORDS, split="training"))
        recordings = tuple(
            dataclasses.replace(
                recording,
                path=f"{recording.label}/{recording.label}_anna_{number}.wav",
                speaker="anna" if stated else None,
            )
            for number, recording in enumerate(corpus.recordings)
        )
        with pytest.raises(DataError, match=r"all 24 recordings .* one speaker.*\('anna'\)"):
            make_scenes(dataclasses.replace(corpus, recordings=recordings), WORDS)

    def test_names_without_speakers_are_noted(self, scenes: SceneSet) -> None:
        assert any("names of the recordings show no speakers" in note for note in scenes.notes)

    def test_no_words_at_all(self) -> None:
        self.refuse(*word_sounds("left"), says="words per condition is 0", words_per_condition=0)

    def test_a_seed_below_0(self) -> None:
        self.refuse(*word_sounds("left"), says="seed is -1; it must be at least 0", seed=-1)


REAL_WORDS = ("yes", "no", "left", "right", "stop", "go", "up", "down", "on", "off")


@pytest.fixture(scope="module")
def real_scenes(harken_data: Path) -> SceneSet:
    corpus = load_corpus(harken_data, held_out_speech=("negatives/french_reading/*",))
    return make_scenes(corpus, REAL_WORDS, words_per_condition=60)


@pytest.mark.data
class TestRecordings:
    def test_levels_are_as_said(self, real_scenes: SceneSet) -> None:
        clean, noisy = under(real_scenes), under(real_scenes, snr="5 dB")
        levels = [
            level_db(heard(scene)[start:end]) for scene in clean for start, end in spans(scene)
        ]
        assert np.mean(levels) == pytest.approx(LEVEL_DB, abs=0.7)
        noise_levels = [
            level_db(heard(over) - heard(alone)) for over, alone in zip(noisy, clean, strict=True)
        ]
        assert noise_levels == pytest.approx([LEVEL_DB - 5] * len(noisy), abs=0.3)

    def test_there_are_hours_without_a_word(self, real_scenes: SceneSet) -> None:
        sources = {s.conditions["source"] for s in real_scenes.scenes if s.negative}
        assert sources >= {"english_commands", "french_reading", "esc10", "background_noise"}
        assert real_scenes.negative_hours > 2
        assert max(scene.seconds for scene in real_scenes.scenes) <= 300

    def test_words_with_few_recordings_are_named(self, real_scenes: SceneSet) -> None:
        assert any("few recordings of on (2), off (2)" in note for note in real_scenes.notes)
