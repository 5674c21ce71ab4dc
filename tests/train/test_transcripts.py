"""Texts and times beside recordings of speech: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from harken.edge.errors import DataError
from harken.train.corpus import Corpus, Recording
from harken.train.data import load_corpus
from harken.train.splits import which_set
from harken.train.transcripts import SpokenWord, keywords_said, tokens

RATE = 16_000
SPEAKERS = [
    next(name for name in map(str, range(first, 1000)) if which_set(name) == part)
    for first, part in ((0, "training"), (100, "training"), (0, "validation"))
]


def sound(path: Path, seconds: float = 1.0, hertz: float = 300.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * time_s), RATE)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for speaker in SPEAKERS:
        sound(root / f"speech_commands/yes/{speaker}_nohash_0.wav")
    sound(root / "speech/meeting/ann/one.flac", seconds=2.0)
    sound(root / "speech/meeting/ben/two.flac", seconds=3.0)
    texts(root, "ann/one.flac\tOh yes, we did.\nben/two.flac\tNothing at all\n")
    return root


def texts(root: Path, text: str, corpus: str = "meeting") -> None:
    (root / "speech" / corpus).mkdir(parents=True, exist_ok=True)
    (root / "speech" / corpus / "transcripts.tsv").write_text(text, encoding="utf-8")


def times(root: Path, text: str, corpus: str = "meeting") -> None:
    (root / "speech" / corpus).mkdir(parents=True, exist_ok=True)
    (root / "speech" / corpus / "words.tsv").write_text(text, encoding="utf-8")


def load(data: Path, *additions: Path) -> Corpus:
    return load_corpus(data, cache_dir=data.parent / "cache", additions=additions)


def speech(corpus: Corpus) -> dict[str, Recording]:
    return {recording.path: recording for recording in corpus.select("speech")}


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("Don’t stop, Ann-Marie!", ["don’t", "stop", "ann", "marie"]),
            ("flat 327", ["flat", "three", "two", "seven"]),
            ("ÜBER uns", ["über", "uns"]),
            ("", []),
        ],
    )
    def test_words_of_a_text(self, text: str, said: list[str]) -> None:
        assert tokens(text) == said

    def test_times_answer_for_a_text(self) -> None:
        once = SpokenWord("yes", 0, 10)
        assert keywords_said(["yes"], "yes, I said", [once]) == (once,)
        assert keywords_said(["Yes"], "YES", [once]) == (once,)
        assert keywords_said(["yes"], "yes, I said yes", [once]) is None
        assert keywords_said(["no"], "yes, I said", [once]) == ()
        assert keywords_said(["three"], "at 13:30", []) is None
        assert keywords_said(["yes"], None, []) == ()


class TestReading:
    def test_transcribed_speech(self, data: Path) -> None:
        times(data, "ann/one.flac\tYes\t0.25\t0.75\tclear\n")
        found = speech(load(data))
        one, two = found["speech/meeting/ann/one.flac"], found["speech/meeting/ben/two.flac"]
        assert one.text == "Oh yes, we did."
        assert one.spoken == (SpokenWord("yes", 4000, 12_000, clear=True),)
        assert one.speaker == "meeting/ann"
        assert one.label == "meeting"
        assert one.split == which_set("meeting/ann")
        assert one.says(["yes"]) == one.spoken
        assert two.says(["yes", "no"]) == ()

    def test_without_a_text_it_is_left_out(self, data: Path) -> None:
        texts(data, "ben/two.flac\t\n")
        corpus = load(data)
        assert speech(corpus) == {}
        reasons = {file.path: file.reason for file in corpus.report.skipped}
        assert "no text" in reasons["speech/meeting/ann/one.flac"]
        assert "no text" in reasons["speech/meeting/ben/two.flac"]

    def test_a_word_that_is_called_speech_needs_no_text(self, tmp_path: Path) -> None:
        for speaker in SPEAKERS:
            for word in ("speech", "noise"):
                sound(tmp_path / f"words/{word}/{speaker}_nohash_0.wav")
        corpus = load_corpus(tmp_path / "words", cache_dir=tmp_path / "cache")
        assert corpus.report.skipped == ()
        assert len(corpus.select("word", label="speech")) == len(SPEAKERS)

    def test_an_addition_brings_texts_and_recordings(self, data: Path, tmp_path: Path) -> None:
        more = tmp_path / "more"
        times(more, "ann/one.flac\tyes\t0.1\t0.5\n")
        texts(more, "ben/two.flac\tyes\n")
        sound(more / "synthetic/yes/voice_nohash_0.wav")
        sound(more / "simulated_rooms/small.wav")
        sound(more / "noise/music/song.wav", seconds=40)
        before, corpus = load(data), load(data, more)
        assert speech(corpus)["speech/meeting/ann/one.flac"].says(["yes"])
        assert speech(corpus)["speech/meeting/ben/two.flac"].says(["yes"]) is None
        assert {r.kind: (r.label, r.split) for r in corpus.recordings} | {} == {
            "word": ("yes", corpus.select("word")[-1].split),
            "speech": ("meeting", corpus.select("speech")[-1].split),
            "synthetic": ("yes", "training"),
            "simulated_room": ("small", "training"),
            "noise": ("music", "training"),
        }
        assert corpus.words == ("yes",)
        assert before.fingerprint != corpus.fingerprint

    def test_texts_are_part_of_the_fingerprint(self, data: Path) -> None:
        before = load(data).fingerprint
        times(data, "ann/one.flac\tyes\t0.25\t0.75\n")
        assert load(data).fingerprint != before

    def test_wrong_labels_are_left_out_of_training_alone(self, data: Path, tmp_path: Path) -> None:
        clips = {r.path: r.split for r in load(data).select("word")}
        more = tmp_path / "more"
        more.mkdir()
        names = "".join(f"{path.removeprefix('speech_commands/')}\tyes\n" for path in clips)
        (more / "wrong_labels.tsv").write_text(names + "yes/of_another_release.wav\tyes\n")
        left = {r.path: r.split for r in load(data, more).select("word")}
        assert left == {path: split for path, split in clips.items() if split != "training"}

    def test_hard_negatives(self, data: Path, tmp_path: Path) -> None:
        before = load(data)
        more = tmp_path / "more"
        more.mkdir()
        path = "speech/meeting/ann/one.flac"
        elsewhere = f"esc10/dog/1.wav\t0.5\nspeech_commands/yes/{SPEAKERS[0]}_nohash_0.wav\t0.5\n"
        (more / "hard_negatives.tsv").write_text(
            f"{path}\t1.5\tyes\t0.9\n{path}\t0.25\n\n" + elsewhere
        )
        after = load(data, more)
        assert before.hard_negatives == {}
        assert after.hard_negatives == {path: (0.25, 1.5)}
        assert after.recordings == before.recordings
        assert after.fingerprint != before.fingerprint


class TestBadInput:
    @pytest.mark.parametrize(
        ("lines", "complaint"),
        [
            ("ann/one.flac\tyes\t0.5\n", "line 1: 3 columns with tabs between, where 4 belong"),
            ("ann/one.flac\tyes\t0.5\tlate\n", "line 1: 'late' is not a time in seconds"),
            ("ann/one.flac\tyes\t0.5\tnan\n", "line 1: 'nan' is not a time"),
            ("ann/one.flac\tyes\t0.9\t0.5\n", "line 1: 'yes' from 0.9 to 0.5 s is not a word"),
            ("ann/one.flac\tyes\t-1\t0.5\n", "line 1: 'yes' from -1 to 0.5 s is not a word"),
            ("\nann/one.flac\tyes\t1.5\t2.5\n", "line 2: 'yes' ends at 2.5 s, but the rec"),
            ("ann/three.flac\tyes\t0\t1\n", "line 1 names ann/three.flac, which does not exist"),
        ],
    )
    def test_times(self, data: Path, lines: str, complaint: str) -> None:
        times(data, lines)
        with pytest.raises(DataError, match="words") as error:
            load(data)
        assert complaint in str(error.value)

    def test_texts_of_recordings_that_are_not_there(self, data: Path) -> None:
        texts(data, "ann/one.flac\tyes\ncat/three.flac\tno\n")
        with pytest.raises(DataError, match=r"transcripts.tsv, line 2 names cat/three.flac, which"):
            load(data)

    def test_another_encoding(self, data: Path) -> None:
        file = data / "speech/meeting/transcripts.tsv"
        file.write_bytes("ann/one.flac\tüber\n".encode("latin-1"))
        with pytest.raises(DataError, match=r"transcripts.tsv is not UTF-8 text \(byte 13\)"):
            load(data)

    def test_no_tab(self, data: Path) -> None:
        texts(data, "ann/one.flac yes\n")
        with pytest.raises(DataError, match="line 1: 1 columns with tabs between, where 2 belong"):
            load(data)

    def test_additions_that_add_nothing(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="nowhere does not exist"):
            load(data, tmp_path / "nowhere")
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="empty adds nothing; it must hold one of"):
            load(data, tmp_path / "empty")

    def test_additions_that_hold_the_same(self, data: Path, tmp_path: Path) -> None:
        sound(tmp_path / "more/speech/meeting/ann/one.flac")
        with pytest.raises(DataError, match=r"one\.flac is also in the data folder; rename one"):
            load(data, tmp_path / "more")

    @pytest.mark.parametrize(
        ("lines", "complaint"),
        [
            ("speech/meeting/ann/one.flac\n", "line 1: 1 columns with tabs between, where 2"),
            ("speech/meeting/ann/one.flac\tsoon\n", "line 1: 'soon' is not a time in seconds"),
        ],
    )
    def test_hard_negatives(self, data: Path, tmp_path: Path, lines: str, complaint: str) -> None:
        more = tmp_path / "more"
        more.mkdir()
        (more / "hard_negatives.tsv").write_text(lines)
        with pytest.raises(DataError, match="hard_negatives") as error:
            load(data, more)
        assert complaint in str(error.value)
