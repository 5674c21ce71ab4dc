"""Scenes of transcribed speech: hours without its keywords, and the keywords in its flow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import tones
from synthetic_corpus import Sound, corpus_of, spoken

pytest.importorskip("scipy", reason="training needs harken[train]")

from harken.edge import Model
from harken.edge.errors import DataError
from harken.train.config import TrainConfig
from harken.train.corpus import Corpus
from harken.train.scenes.flow import DIGITS, SENTENCES
from harken.train.scenes.leaks import check_leaks, heard_in_training
from harken.train.scenes.make import CLEAN, make_scenes
from harken.train.scenes.negatives import negative_scenes, without_words
from harken.train.scenes.noise import talk_recordings
from harken.train.scenes.truth import Scene, SceneSet
from harken.train.transcripts import SpokenWord

RATE = tones.RATE
WORDS = ("two", "three", "Go")
HERTZ = 1000.0
LEVEL_DB = -26.0
Times = tuple[tuple[str, float, float, bool], ...]


def speech(seconds: float, times: Times, seed: int = 0) -> np.ndarray:
    """Hiss, with a tone wherever a keyword is said."""
    sound = 0.01 * np.random.default_rng(seed).normal(size=round(seconds * RATE))
    for _, start_s, end_s, _ in times:
        first, last = round(start_s * RATE), round(end_s * RATE)
        sound[first:last] += tones.sine(HERTZ, (last - first) / RATE, level=0.1)
    return tones.to_int16(sound)


SENTENCE = (("go", 3.0, 3.4, True), ("house", 4.0, 4.4, True))
ROW = (("two", 1.0, 1.5, True), ("three", 1.4, 1.9, False), ("two", 2.0, 2.4, True))
TALKS: tuple[tuple[str, str, float, Times], ...] = (
    ("validation", "She said Go, the house", 8.0, SENTENCE),
    ("validation", "Go on", 5.0, ()),
    ("validation", "nothing of that kind", 6.0, ()),
    ("validation", "2 3, 7 two", 4.0, ROW),
    ("training", "go go", 3.0, (("go", 0.5, 0.9, True), ("go", 1.5, 1.9, True))),
)


def sounds() -> Iterator[Sound]:
    for split in ("validation", "training"):
        for word, hertz in zip((*WORDS, "tree"), (400.0, 600.0, 900.0, 3000.0), strict=True):
            for number in range(3):
                yield "word", word, split, spoken(hertz, seed=number)
    for number, (split, _, seconds, times) in enumerate(TALKS):
        yield "speech", "reading", split, speech(seconds, times, number)
    yield "noise", "hum", "validation", speech(3, ())
    yield "synthetic", "two", "training", spoken(400.0)
    yield "simulated_room", "cave", "training", spoken(300.0)


def transcribed(corpus: Corpus, talks: tuple[tuple[str, str, float, Times], ...]) -> Corpus:
    """Say what is said in its recordings of speech, each by a speaker of its own."""
    known = iter(talks)
    recordings = []
    for recording in corpus.recordings:
        if recording.kind == "speech":
            _, text, _, times = next(known)
            said = tuple(
                SpokenWord(word, round(start_s * RATE), round(end_s * RATE), clear)
                for word, start_s, end_s, clear in times
            )
            speaker = f"reading/{len(recordings)}"
            recordings.append(
                dataclasses.replace(recording, text=text, spoken=said, speaker=speaker)
            )
        else:
            recordings.append(recording)
    return dataclasses.replace(corpus, recordings=tuple(recordings))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return transcribed(corpus_of(*sounds()), TALKS)


@pytest.fixture(scope="module")
def scenes(corpus: Corpus) -> SceneSet:
    return make_scenes(corpus, WORDS, words_per_condition=9)


def flowing(scenes: SceneSet, flow: str) -> list[Scene]:
    return [s for s in scenes.scenes if s.conditions == {**CLEAN, "flow": flow}]


def level_db(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(audio / 32768), dtype=np.float64)))


def tones_in(audio: np.ndarray) -> np.ndarray:
    """Of each tenth of a second, how much of its power lies at the keywords' pitch."""
    frames = audio[: len(audio) // 1600 * 1600].reshape(-1, 1600).astype(float)
    power = np.abs(np.fft.rfft(frames)) ** 2
    return power[:, 98:103].sum(axis=1) / power.sum(axis=1)


class TestWithoutKeywords:
    def test_a_keyword_is_cut_out_with_what_is_around_it(self, corpus: Corpus) -> None:
        recording = corpus.select("speech", split="validation")[0]
        pieces = without_words(recording, WORDS)
        assert pieces is not None
        bounds = [
            ((p.start - recording.start) / RATE, (p.start - recording.start + p.length) / RATE)
            for p in pieces
        ]
        assert bounds == [(0.0, 2.7), (3.9, 8.0)]

    def test_more_is_cut_out_where_the_time_is_not_sure(self, corpus: Corpus) -> None:
        recording = corpus.select("speech", split="validation")[0]
        said = (dataclasses.replace(recording.spoken[0], clear=False),)
        pieces = without_words(dataclasses.replace(recording, spoken=said), WORDS)
        assert [p.length / RATE for p in pieces or ()] == [2.0, 3.6]

    def test_what_is_short_between_two_cuts_is_left_out(self, corpus: Corpus) -> None:
        recording = corpus.select("speech", split="validation")[3]
        assert [p.length / RATE for p in without_words(recording, WORDS) or ()] == [1.1]

    def test_other_words_are_not_cut_out(self, corpus: Corpus) -> None:
        recording = corpus.select("speech", split="validation")[0]
        assert without_words(recording, ("left",)) == [recording]

    def test_a_recording_is_left_out_where_nobody_knows_when(self, corpus: Corpus) -> None:
        assert without_words(corpus.select("speech", split="validation")[1], WORDS) is None


class TestNegatives:
    def test_hold_no_keyword(self, scenes: SceneSet) -> None:
        (scene,) = (s for s in scenes.scenes if s.conditions.get("source") == "reading")
        audio = scene.render()
        assert len(audio) == round(scene.seconds * RATE)
        assert scene.seconds == pytest.approx(2.7 + 4.1 + 6.0 + 1.1)
        # "house", no keyword here, is a tone like the others: it alone is left.
        assert 4 <= np.count_nonzero(tones_in(audio) > 0.3) <= 5

    def test_speech_is_as_loud_as_all_of_its_recording_would_be(
        self, corpus: Corpus, scenes: SceneSet
    ) -> None:
        (scene,) = (s for s in scenes.scenes if s.conditions.get("source") == "reading")
        recording = corpus.select("speech", split="validation")[0]
        samples = corpus.samples(recording)
        heard, original = scene.render()[1600:32000], samples[1600:32000]
        gain_db = LEVEL_DB - level_db(samples)
        assert level_db(heard) == pytest.approx(level_db(original) + gain_db, abs=0.1)

    def test_notes_say_what_is_cut_out_and_left_out(self, scenes: SceneSet) -> None:
        notes = "\n".join(scenes.notes)
        cut_s = (8 - 2.7 - 4.1) + (4 - 1.1)
        assert f"{cut_s / 60:.1f} min of the negatives are cut out" in notes
        assert "they contain 4 words of the model" in notes
        assert f"{5 / 60:.1f} min of running speech are left out" in notes

    def test_without_keywords_there_are_no_notes(self, corpus: Corpus) -> None:
        scenes, notes = negative_scenes(corpus, ("left",), "validation")
        assert notes == []
        assert sum(scene.seconds for scene in scenes) == pytest.approx(8 + 5 + 6 + 4 + 3)

    @pytest.mark.parametrize(
        ("path", "source"),
        [
            ("noise/music/piano/1.opus", "noise/music"),
            ("noise/one.wav", "noise"),
            ("background_noise/tap.wav", "background_noise"),
            ("esc10/rain/1-1.wav", "esc10"),
        ],
    )
    def test_noise_is_told_apart_by_its_folder(self, path: str, source: str) -> None:
        corpus = corpus_of(("noise", "any", "validation", speech(2, ())))
        recordings = tuple(dataclasses.replace(r, path=path) for r in corpus.recordings)
        corpus = dataclasses.replace(corpus, recordings=recordings)
        ((scene,), _) = negative_scenes(corpus, WORDS, "validation")
        assert scene.conditions == {"source": source}
        assert scene.name == f"negative-{source.replace('/', '-')}-000"

    def test_nobody_says_a_keyword_in_the_background(self, corpus: Corpus) -> None:
        talk = talk_recordings(corpus, WORDS, "validation")
        assert [recording.text for recording in talk] == ["nothing of that kind"]


class TestFlow:
    def test_digits_in_a_row_and_sentences_are_told_apart(self, scenes: SceneSet) -> None:
        said = {
            flow: [u.word for s in flowing(scenes, flow) for u in s.utterances]
            for flow in (DIGITS, SENTENCES)
        }
        assert said == {DIGITS: ["two", "three", "two"], SENTENCES: ["Go"]}

    @pytest.mark.parametrize(
        ("text", "words", "flow"),
        [
            ("two two", WORDS, DIGITS),
            ("22", WORDS, DIGITS),
            ("two seven two", WORDS, SENTENCES),
            ("two and two", WORDS, SENTENCES),
            ("the two two", WORDS, SENTENCES),
        ],
    )
    def test_a_row_is_nothing_but_digits(
        self, text: str, words: tuple[str, ...], flow: str
    ) -> None:
        times = (("two", 1.0, 1.4, True), ("two", 2.0, 2.4, True))
        one = (("validation", text, 4.0, times),)
        sound: Sound = ("speech", "reading", "validation", speech(4, times))
        words_said = [s for s in sounds() if s[0] == "word"]
        scenes = make_scenes(transcribed(corpus_of(*words_said, sound), one), words)
        assert len(flowing(scenes, flow)) == 1
        assert sum(len(flowing(scenes, each)) for each in (DIGITS, SENTENCES)) == 1

    def test_times_are_those_of_the_sound(self, scenes: SceneSet) -> None:
        (scene,) = flowing(scenes, SENTENCES)
        (said,) = scene.utterances
        audio = scene.render()
        first, last = round(said.start_s * RATE), round(said.end_s * RATE)
        assert last - first == round(0.4 * RATE)
        assert tones_in(audio[first:last]).min() > 0.9
        assert tones_in(audio[first - 4000 : first]).max() < 0.2
        assert len(audio) == round(scene.seconds * RATE)

    def test_keywords_are_as_loud_as_elsewhere(self, scenes: SceneSet) -> None:
        for flow in (DIGITS, SENTENCES):
            for scene in flowing(scenes, flow):
                audio = scene.render()
                spans = [
                    audio[round(u.start_s * RATE) : round(u.end_s * RATE)]
                    for u in scene.utterances
                    if u.sure
                ]
                assert level_db(np.concatenate(spans)) == pytest.approx(LEVEL_DB, abs=3.2)

    def test_words_that_overlap_meet_in_the_middle(self, scenes: SceneSet) -> None:
        (scene,) = flowing(scenes, DIGITS)
        one, two, three = scene.utterances
        assert one.end_s == two.start_s == pytest.approx(one.start_s + 0.45)
        assert [u.sure for u in (one, two, three)] == [True, False, True]

    def test_about_as_many_keywords_as_asked_for(self) -> None:
        times = (("go", 1.0, 1.4, True),)
        talks = tuple(("validation", "now go there", 3.0, times) for _ in range(30))
        said: list[Sound] = [
            ("speech", "reading", "validation", speech(3, times, n)) for n in range(30)
        ]
        words_said = [s for s in sounds() if s[0] == "word"]
        corpus = transcribed(corpus_of(*words_said, *said), talks)
        for count, heard in ((20, 20), (40, 30)):
            scenes = flowing(make_scenes(corpus, WORDS, words_per_condition=count), SENTENCES)
            assert sum(len(s.utterances) for s in scenes) == heard
            assert len({name for s in scenes for name in s.recordings or ()}) == heard
            assert all(s.seconds < 66 for s in scenes)
        again = flowing(make_scenes(corpus, WORDS, words_per_condition=40), SENTENCES)
        assert [s.utterances for s in again] == [s.utterances for s in scenes]
        other = flowing(make_scenes(corpus, WORDS, words_per_condition=40, seed=1), SENTENCES)
        assert [s.utterances for s in other] != [s.utterances for s in scenes]

    def test_other_scenes_stay_as_they_are(self, corpus: Corpus, scenes: SceneSet) -> None:
        # Without a word of them in its texts, the same corpus gives the same scenes of words.
        silent = dataclasses.replace(
            corpus,
            recordings=tuple(
                dataclasses.replace(r, text="nothing" if r.text else None, spoken=())
                for r in corpus.recordings
            ),
        )
        plain = make_scenes(silent, WORDS, words_per_condition=9)
        ours = {s.name: s for s in scenes.scenes}
        for scene in plain.scenes:
            if not scene.negative and scene.conditions["talk"] == "none":
                assert scene.utterances == ours[scene.name].utterances
                assert np.array_equal(scene.render(), ours[scene.name].render())


class TestLeaks:
    def manifest(self, model: Model, corpus: Corpus, **options: object) -> object:
        heard = heard_in_training(corpus, TrainConfig(words=WORDS, **options))
        provenance = {**model.manifest.provenance, "training_speakers": heard}
        return dataclasses.replace(model.manifest, provenance=provenance)

    def test_whoever_is_heard_is_named(self, corpus: Corpus, scenes: SceneSet) -> None:
        speakers = [r.speaker for r in corpus.select("speech", split="validation")]
        (row,), (sentence,) = flowing(scenes, DIGITS), flowing(scenes, SENTENCES)
        assert row.recordings == (speakers[3],)
        assert sentence.recordings == (speakers[0],)
        (negative,) = (s for s in scenes.scenes if s.conditions.get("source") == "reading")
        assert set(negative.recordings or ()) == {speakers[0], speakers[2], speakers[3]}

    def test_a_note_tells_of_recordings_that_name_no_speaker(
        self, corpus: Corpus, scenes: SceneSet
    ) -> None:
        assert not any("name no speaker" in note for note in scenes.notes)
        nameless = tuple(dataclasses.replace(r, speaker=None) for r in corpus.recordings)
        notes = make_scenes(
            dataclasses.replace(corpus, recordings=nameless), WORDS, words_per_condition=9
        ).notes
        assert any("connected speech: 2 recordings name no speaker" in note for note in notes)

    def test_what_is_made_by_machines_is_not_heard(self, corpus: Corpus, scenes: SceneSet) -> None:
        named = {name for scene in scenes.scenes for name in scene.recordings or ()}
        assert not any(name.startswith(("synthetic", "simulated")) for name in named)
        for scene in scenes.scenes:
            assert scene.conditions.get("room", "none") == "none"

    def test_the_parts_do_not_leak(
        self, corpus: Corpus, scenes: SceneSet, tones_model: Model
    ) -> None:
        assert check_leaks(scenes.scenes, self.manifest(tones_model, corpus)) == ()

    def test_words_cut_out_of_a_speaker_s_speech_are_heard_in_training(
        self, corpus: Corpus, scenes: SceneSet, tones_model: Model
    ) -> None:
        (talker,) = corpus.select("speech", split="training")
        (row,) = flowing(scenes, DIGITS)
        (name,) = row.recordings or ()
        recordings = tuple(
            dataclasses.replace(r, speaker=name) if r is talker else r for r in corpus.recordings
        )
        same = dataclasses.replace(corpus, recordings=recordings)
        with pytest.raises(DataError, match=f"of 1 of the .* files in these scenes: {name}"):
            check_leaks(scenes.scenes, self.manifest(tones_model, same))
