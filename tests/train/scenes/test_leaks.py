"""Nobody who was heard in training may be heard in scenes."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from synthetic_corpus import corpus_of

pytest.importorskip("librosa", reason="training needs harken[train]")

from harken.edge import Model
from harken.edge.errors import DataError, ModelError
from harken.edge.spotting.manifest import Manifest
from harken.train.config import TrainConfig
from harken.train.corpus import Corpus
from harken.train.data import load_corpus
from harken.train.record import make_record
from harken.train.scenes.leaks import (
    check_leaks,
    encode_identities,
    heard_in_training,
    identity,
)
from harken.train.scenes.make import make_scenes
from harken.train.scenes.truth import Scene

SOUND = np.ones(100, np.int16)


def scene(*recordings: str, name: str = "a", known: bool = True) -> Scene:
    return Scene(
        name=name,
        seconds=1.0,
        utterances=(),
        negative=True,
        conditions={},
        recordings=recordings if known else None,
        render=lambda: np.zeros(16_000, np.int16),
    )


def trained_on(model: Model, field: object) -> Manifest:
    provenance = {**model.manifest.provenance, "training_speakers": field}
    return dataclasses.replace(model.manifest, provenance=provenance)


def with_speaker(corpus: Corpus, speaker: str) -> Corpus:
    recordings = tuple(dataclasses.replace(r, speaker=speaker) for r in corpus.recordings)
    return dataclasses.replace(corpus, recordings=recordings)


class TestIdentity:
    def test_is_the_speaker_or_else_the_path(self) -> None:
        corpus = corpus_of(("word", "left", "training", SOUND))
        assert identity(corpus.recordings[0]) == "word/left/0.wav"
        assert identity(with_speaker(corpus, "anna").recordings[0]) == "anna"

    def test_many_are_encoded_as_prefixes_of_their_hashes(self) -> None:
        prefixes = sorted(hashlib.sha256(name).digest()[:4] for name in (b"anna", b"ben"))
        encoded = encode_identities(["ben", "anna", "ben"])
        assert base64.b64decode(encoded) == b"".join(prefixes)

    def test_training_hears_words_and_speech_of_its_part_alone(self) -> None:
        corpus = corpus_of(
            ("word", "left", "training", SOUND),
            ("word", "left", "validation", SOUND),
            ("word", "house", "training", SOUND),
            ("word", "_silence_", "training", SOUND),
            ("speech", "reading", "training", SOUND),
            ("speech", "reading", "testing", SOUND),
            ("noise", "fan", "training", SOUND),
            ("room", "hall", "training", SOUND),
        )
        config = TrainConfig(words=("left",), held_out_words=("house",))
        heard = heard_in_training(corpus, config)
        assert heard == encode_identities(["word/left/0.wav", "speech/reading/4.wav"])

    def test_a_run_records_them(self) -> None:
        corpus = corpus_of(("word", "left", "training", SOUND))
        config = TrainConfig(words=("left",))
        data = make_record(config, corpus, "a recipe").data
        assert data["training_speakers"] == encode_identities(["word/left/0.wav"])


class TestCheck:
    def test_scenes_of_others_pass_without_a_note(self, tones_model: Model) -> None:
        manifest = trained_on(tones_model, encode_identities(["anna", "ben"]))
        assert check_leaks([scene("carl"), scene("dora"), scene()], manifest) == ()

    def test_speakers_of_the_training_are_named(self, tones_model: Model) -> None:
        manifest = trained_on(tones_model, encode_identities(["anna", "ben"]))
        scenes = [scene("carl"), scene("ben", "carl", name="b"), scene("ben", name="c")]
        with pytest.raises(DataError, match=r"recordings of 1 of the 2 speakers.*: ben \(in b\)\."):
            check_leaks(scenes, manifest)

    def test_many_are_counted(self, tones_model: Model) -> None:
        names = [f"s{number}" for number in range(9)]
        manifest = trained_on(tones_model, encode_identities(names))
        with pytest.raises(DataError, match=r"of 9 of the 10 .*: s0 \(in a\), .* s4 .* and 4 more"):
            check_leaks([scene(*names, "anna")], manifest)

    def test_nobody_can_be_named_where_nobody_is_known(self, tones_model: Model) -> None:
        manifest = trained_on(tones_model, encode_identities(["anna"]))
        (note,) = check_leaks([scene("carl"), scene(known=False)], manifest)
        assert "cannot be checked in 1 of 2 scenes" in note

    def test_unknown_scenes_do_not_hide_the_others(self, tones_model: Model) -> None:
        manifest = trained_on(tones_model, encode_identities(["anna"]))
        with pytest.raises(DataError, match="anna"):
            check_leaks([scene(known=False), scene("anna")], manifest)

    def test_a_manifest_may_not_say(self, tones_model: Model) -> None:
        (note,) = check_leaks([scene("carl")], tones_model.manifest)
        assert "the manifest of tones does not list" in note

    @pytest.mark.parametrize("field", ["abc", "YWJj", "é", 3, None, ["anna"]])
    def test_a_damaged_manifest_is_named(self, tones_model: Model, field: object) -> None:
        with pytest.raises(ModelError, match=r"tones: provenance\.training_speakers is damaged"):
            check_leaks([scene("carl")], trained_on(tones_model, field))


class TestEndToEnd:
    WORDS = ("left", "right")

    def corpus(self) -> Corpus:
        rng = np.random.default_rng(0)
        sounds = (
            (kind, label, split, rng.integers(-3000, 3000, 16_000).astype(np.int16))
            for split in ("training", "validation")
            for kind, label in (("word", "left"), ("word", "right"), ("speech", "reading"))
        )
        return corpus_of(*sounds)

    def manifest(self, model: Model, corpus: Corpus) -> Manifest:
        data = make_record(TrainConfig(words=self.WORDS), corpus, "a recipe").data
        return trained_on(model, data["training_speakers"])

    def test_other_parts_do_not_leak(self, tones_model: Model) -> None:
        corpus = self.corpus()
        scenes = make_scenes(corpus, self.WORDS, words_per_condition=4).scenes
        assert all(scene.recordings for scene in scenes)
        assert check_leaks(scenes, self.manifest(tones_model, corpus)) == ()

    def test_the_part_that_was_trained_on_does(self, tones_model: Model) -> None:
        corpus = self.corpus()
        scenes = make_scenes(corpus, self.WORDS, words_per_condition=4, split="training").scenes
        with pytest.raises(DataError, match="of 3 of the 3 speakers or files"):
            check_leaks(scenes, self.manifest(tones_model, corpus))

    def test_a_speaker_in_two_parts_does(self, tones_model: Model) -> None:
        corpus = self.corpus()
        names = ["anna", "ben", "carl", "dora", "anna", "emil"]
        recordings = tuple(
            dataclasses.replace(recording, speaker=name)
            for recording, name in zip(corpus.recordings, names, strict=True)
        )
        corpus = dataclasses.replace(corpus, recordings=recordings)
        scenes = make_scenes(corpus, self.WORDS, words_per_condition=4).scenes
        with pytest.raises(DataError, match=r"of 1 of the 3 .*: anna \(in words-clean-000\)"):
            check_leaks(scenes, self.manifest(tones_model, corpus))


@pytest.mark.data
def test_the_parts_of_the_recordings_do_not_leak(harken_data: Path, tones_model: Model) -> None:
    held_out = ("negatives/french_reading/*",)
    corpus = load_corpus(harken_data, held_out_speech=held_out)
    words = ("yes", "no", "left", "right")
    config = TrainConfig(words=words, held_out_speech=held_out)
    manifest = trained_on(tones_model, heard_in_training(corpus, config))
    assert check_leaks(make_scenes(corpus, words).scenes, manifest) == ()
    with pytest.raises(DataError, match="was trained on recordings of"):
        check_leaks(make_scenes(corpus, words, split="training").scenes, manifest)
    # Another choice of held-out speech is another split.
    heard = heard_in_training(load_corpus(harken_data), TrainConfig(words=words))
    scenes = make_scenes(corpus, words).scenes
    with pytest.raises(DataError, match="french_reading"):
        check_leaks(scenes, trained_on(tones_model, heard))
