"""Folders of recordings become a corpus: layouts, splits, decoding, and the cache."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from harken.edge.errors import DataError
from harken.train.cache import default_cache_dir
from harken.train.corpus import Corpus, Kind
from harken.train.data import SILENT_PEAK, load_corpus
from harken.train.decode import decode
from harken.train.display import data_notes
from harken.train.splits import SPLITS, Split, WordClip, split_ranked, split_words, which_set

RATE = 16_000


def tone(
    seconds: float = 0.2, frequency_hz: float = 440.0, rate_hz: int = RATE, amplitude: float = 0.5
) -> npt.NDArray[np.float64]:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return amplitude * np.sin(2 * np.pi * frequency_hz * time_s)


def write(path: Path, samples: npt.ArrayLike | None = None, rate_hz: int = RATE, **kw: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".opus":
        kw |= {"format": "OGG", "subtype": "OPUS"}
    soundfile.write(path, tone() if samples is None else np.asarray(samples), rate_hz, **kw)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def by_path(corpus: Corpus) -> dict[str, Split]:
    return {recording.path: recording.split for recording in corpus.recordings}


def reasons(corpus: Corpus) -> dict[str, str]:
    return {file.path: file.reason for file in corpus.report.skipped}


class TestLayouts:
    def test_speech_commands_as_it_is_downloaded(self, data: Path, cache: Path) -> None:
        for word in ("yes", "no"):
            for name in ("0a7c2a8d_nohash_0", "a69b9b3e_nohash_0", "bb05582b_nohash_3"):
                write(data / word / f"{name}.wav")
        write(data / "_background_noise_" / "pink_noise.wav", tone(31))
        (data / "_background_noise_" / "README.md").write_text("noise")
        (data / "validation_list.txt").write_text("yes/a69b9b3e_nohash_0.wav\n")
        (data / "testing_list.txt").write_text("yes/bb05582b_nohash_3.wav\n")
        (data / "LICENSE").write_text("CC BY 4.0")

        corpus = load_corpus(data, cache_dir=cache)

        assert corpus.words == ("no", "yes")
        assert corpus.report.layout == "a folder a word"
        assert corpus.report.word_counts["yes"] == {"training": 1, "validation": 1, "testing": 1}
        assert corpus.report.word_counts["no"] == corpus.report.word_counts["yes"]
        assert "official speaker hash" in corpus.report.split_rule
        assert "validation_list.txt, testing_list.txt" in corpus.report.split_rule
        assert {r.label for r in corpus.select("noise")} == {"pink_noise"}
        assert corpus.report.skipped == ()
        assert {r.speaker for r in corpus.select("word")} == {"0a7c2a8d", "a69b9b3e", "bb05582b"}

    def test_collection_with_noise_speech_and_rooms(self, data: Path, cache: Path) -> None:
        write(data / "speech_commands/yes/0a7c2a8d_nohash_0.opus")
        write(data / "speech_commands/yes/a69b9b3e_nohash_0_alt.opus")
        write(data / "background_noise/pink_noise.flac")
        write(data / "esc10/rain/1-100-A.opus")
        write(data / "esc10/rain/4-100-A.opus")
        write(data / "esc10/rain/5-100-A.opus")
        write(data / "negatives/english/some-order.opus")
        write(data / "wake_words/jarvis/a1.opus")
        write(data / "rooms/hall.flac")
        write(data / "drafts/yes.wav")
        (data / "lists").mkdir()
        (data / "lists/v0.02_validation_list.txt").write_text("yes/a69b9b3e_nohash_0.wav\n")

        corpus = load_corpus(data, cache_dir=cache)

        found = {(r.kind, r.label, r.path.rsplit("/", 1)[1]) for r in corpus.recordings}
        assert found == {
            ("word", "yes", "0a7c2a8d_nohash_0.opus"),
            ("word", "yes", "a69b9b3e_nohash_0_alt.opus"),
            ("noise", "pink_noise", "pink_noise.flac"),
            ("noise", "rain", "1-100-A.opus"),
            ("noise", "rain", "4-100-A.opus"),
            ("noise", "rain", "5-100-A.opus"),
            ("speech", "english", "some-order.opus"),
            ("speech", "jarvis", "a1.opus"),
            ("room", "hall", "hall.flac"),
        }
        split = by_path(corpus)
        assert split["speech_commands/yes/a69b9b3e_nohash_0_alt.opus"] == "validation"
        assert split["esc10/rain/1-100-A.opus"] == "training"
        assert split["esc10/rain/4-100-A.opus"] == "validation"
        assert split["esc10/rain/5-100-A.opus"] == "testing"
        assert split["negatives/english/some-order.opus"] == which_set("some-order")
        assert corpus.report.layout == "collection"
        assert corpus.report.ignored_folders == ("drafts",)

    def test_official_test_archive_keeps_silence_and_unknown(self, data: Path, cache: Path) -> None:
        for folder in ("yes", "off", "_silence_", "_unknown_"):
            write(data / folder / "clip_0.wav")
        write(data / "_silence_" / "zeros.wav", np.zeros(RATE))

        corpus = load_corpus(data, cache_dir=cache)

        assert corpus.words == ("_silence_", "_unknown_", "off", "yes")
        assert len(corpus.select("word", label="_silence_")) == 2, "silence may be silent"

    def test_own_recordings_with_a_folder_a_speaker(self, data: Path, cache: Path) -> None:
        for speaker in ("anna", "ben", "cleo", "dora"):
            for number in range(3):
                write(data / "lamp" / speaker / f"take{number}.wav")

        corpus = load_corpus(data, cache_dir=cache)

        assert {r.speaker for r in corpus.recordings} == {"anna", "ben", "cleo", "dora"}
        parts: dict[str | None, set[Split]] = {r.speaker: set() for r in corpus.recordings}
        for recording in corpus.recordings:
            parts[recording.speaker].add(recording.split)
        assert all(len(split) == 1 for split in parts.values()), "a speaker is in one part only"
        assert {split for (split,) in parts.values()} == set(SPLITS)
        assert "by speaker" in corpus.report.split_rule

    def test_what_is_not_a_recording_is_passed_over_or_reported(
        self, data: Path, cache: Path
    ) -> None:
        write(data / "yes/a.wav")
        write(data / "yes/.hidden.wav")
        (data / "yes/._a.wav").write_bytes(b"resource fork")
        (data / "yes/notes.txt").write_text("spoken in the kitchen")
        (data / "yes/phone.m4a").write_bytes(b"....ftypM4A ")
        (data / "yes/gone.wav").symlink_to(data / "nowhere.wav")
        write(data / "stray.wav")
        write(data / "__MACOSX/yes/a.wav")
        write(data / ".git/yes/a.wav")

        corpus = load_corpus(data, cache_dir=cache)

        assert [r.path for r in corpus.recordings] == ["yes/a.wav"]
        assert set(reasons(corpus)) == {"yes/phone.m4a", "yes/gone.wav", "stray.wav"}
        assert "convert it to wav or flac" in reasons(corpus)["yes/phone.m4a"]
        assert "outside the word folders" in reasons(corpus)["stray.wav"]
        assert corpus.report.ignored_folders == ("__MACOSX",)

    def test_the_folder_above_a_data_set_is_refused(self, data: Path, cache: Path) -> None:
        inner = data / "speech_commands_v0.02"
        write(inner / "yes/0a7c2a8d_nohash_0.wav")
        write(inner / "_background_noise_/hum.wav")
        with pytest.raises(DataError, match=f"give {inner} as the data folder"):
            load_corpus(data, cache_dir=cache)

    def test_a_link_that_leads_back_up_ends(self, data: Path, cache: Path) -> None:
        write(data / "yes/a.wav")
        write(data / "no/b.wav")
        outside = data.parent / "outside"
        outside.mkdir()
        write(outside / "c.wav")
        (data / "yes/loop").symlink_to(data / "yes")
        (data / "no/all").symlink_to(data.parent)
        (data / "no/more").symlink_to(outside)
        (outside / "back").symlink_to(data / "no")
        corpus = load_corpus(data, cache_dir=cache)
        assert [r.path for r in corpus.recordings] == ["no/b.wav", "no/more/c.wav", "yes/a.wav"]
        assert reasons(corpus) == dict.fromkeys(
            ("no/all", "no/more/back", "yes/loop"), "a link to a folder above it"
        )

    def test_words_in_one_form_of_unicode(self, data: Path, cache: Path) -> None:
        write(data / "tu\u0308r/a.wav")
        assert load_corpus(data, cache_dir=cache).words == ("t\u00fcr",)
        write(data / "t\u00fcr/b.wav")
        with pytest.raises(DataError, match="differ only in the form of Unicode; put the"):
            load_corpus(data, cache_dir=cache)

    def test_folders_that_differ_in_capitals_alone_are_refused(
        self, data: Path, cache: Path
    ) -> None:
        write(data / "Yes/a.wav")
        write(data / "yes/a.wav")
        if len(list(data.iterdir())) == 2:  # where the file system tells them apart
            with pytest.raises(DataError, match=r"'Yes' and 'yes' of .* differ only in capi"):
                load_corpus(data, cache_dir=cache)

    def test_what_is_too_long_for_a_word_is_reported(self, data: Path, cache: Path) -> None:
        write(data / "yes/all.wav", tone(12.0, 400.0, RATE))
        write(data / "yes/more.wav", tone(6.0, 400.0, RATE))
        write(data / "yes/a.wav")
        write(data / "_unknown_/long.wav", tone(12.0, 400.0, RATE))
        report = load_corpus(data, cache_dir=cache).report
        assert report.long_clips == ("yes/all.wav", "yes/more.wav")
        (line,) = [line for line in data_notes(report) if "too long for a word" in line]
        assert line.startswith("2 recordings are too long for a word, the longest: yes/all.wav; ")

    def test_folders_that_may_hold_no_word_are_reported(self, data: Path, cache: Path) -> None:
        for word in ("yes", "noise", "Background_Noise", "train"):
            write(data / word / "a.wav")
        report = load_corpus(data, cache_dir=cache).report
        assert report.odd_words == ("Background_Noise", "noise", "train")
        assert any("taken for words, as all folders are" in line for line in data_notes(report))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda data: None, "does not exist"),
            (lambda data: data.write_text("x"), "is a file, not a folder"),
            (lambda data: data.mkdir(), "holds no word folders"),
            (lambda data: write(data / "yes.wav"), "holds no word folders"),
        ],
    )
    def test_a_folder_without_words_is_an_error(
        self, data: Path, cache: Path, make: object, message: str
    ) -> None:
        assert callable(make)
        make(data)
        with pytest.raises(DataError, match=message):
            load_corpus(data, cache_dir=cache)


class TestDecoding:
    @pytest.mark.parametrize(
        ("suffix", "rate_hz", "channels", "subtype"),
        [
            ("wav", 8_000, 1, "PCM_U8"),
            ("wav", 16_000, 8, "PCM_16"),
            ("wav", 44_100, 2, "PCM_24"),
            ("wav", 48_000, 1, "FLOAT"),
            ("wav", 192_000, 1, "DOUBLE"),
            ("flac", 22_050, 1, "PCM_16"),
            ("ogg", 16_000, 1, "VORBIS"),
            ("opus", 48_000, 2, "OPUS"),
        ],
    )
    def test_any_rate_width_and_channels_become_16_khz_mono(
        self, tmp_path: Path, suffix: str, rate_hz: int, channels: int, subtype: str
    ) -> None:
        one = tone(1.0, 1_000.0, rate_hz)
        path = tmp_path / f"a.{suffix}"
        write(path, np.repeat(one[:, None], channels, axis=1), rate_hz, subtype=subtype)

        samples = decode(path)

        assert samples.dtype == np.int16
        assert abs(len(samples) - RATE) <= 2
        spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples))))
        assert abs(np.argmax(spectrum) * RATE / len(samples) - 1_000) <= 2
        assert np.abs(samples[2_000:-2_000].astype(int)).max() == pytest.approx(16_384, rel=0.05)

    def test_16_bit_samples_arrive_as_they_are(self, data: Path, cache: Path) -> None:
        rng = np.random.default_rng(0)
        samples = rng.integers(-32768, 32768, RATE, dtype=np.int16)
        write(data / "yes/a.wav", samples)
        corpus = load_corpus(data, cache_dir=cache)
        np.testing.assert_array_equal(corpus.samples(corpus.recordings[0]), samples)

    def test_channels_are_averaged_and_overload_is_clipped(self, data: Path, cache: Path) -> None:
        stereo = np.stack([np.full(800, 0.5), np.full(800, -0.25)], axis=1)
        write(data / "yes/a.wav", stereo, subtype="FLOAT")
        write(data / "yes/b.wav", np.array([2.0, -2.0] * 400), subtype="FLOAT")
        corpus = load_corpus(data, cache_dir=cache)
        averaged, loud = (corpus.samples(recording) for recording in corpus.recordings)
        assert set(averaged.tolist()) == {4096}
        assert set(loud.tolist()) == {32767, -32768}

    def test_floats_of_another_scale_are_left_out(self, data: Path, cache: Path) -> None:
        write(data / "yes/good.wav")
        write(data / "yes/int16.wav", tone(1.0, 400.0, RATE) * 20_000.0, subtype="FLOAT")
        (said,) = reasons(load_corpus(data, cache_dir=cache)).values()
        assert "where full scale is 1: they have another scale, perhaps that of int16" in said

    def test_each_reason_for_leaving_files_out_is_said(self, data: Path, cache: Path) -> None:
        write(data / "yes/good.wav")
        for index in range(9):
            write(data / f"yes/silent{index}.wav", np.full(RATE, index, np.int16))
        (data / "yes/text.wav").write_text("this is no audio")
        (data / "yes/link.wav").symlink_to("nowhere")
        lines = data_notes(load_corpus(data, cache_dir=cache).report)
        (silent,) = [line for line in lines if "silent" in line]
        assert silent.startswith("9 files left out, the first: yes/silent0.wav (silent: peak ")
        (unreadable,) = [line for line in lines if "unreadable" in line]
        assert "yes/text.wav (unreadable: " in unreadable
        assert "yes/link.wav (unreadable: " in unreadable

    def test_unusable_files_are_counted_listed_and_left_out(self, data: Path, cache: Path) -> None:
        write(data / "yes/good.wav")
        write(data / "yes/empty.wav", np.zeros(0))
        write(data / "yes/silent.wav", np.full(RATE, SILENT_PEAK - 1, np.int16))
        write(data / "yes/quiet.wav", np.full(RATE, SILENT_PEAK, np.int16))
        write(data / "yes/nan.wav", np.array([0.1, np.nan]), subtype="FLOAT")
        (data / "yes/text.wav").write_text("this is no audio")
        (data / "yes/cut.flac").write_bytes(b"fLaC\0\0")
        (data / "yes/zero.opus").write_bytes(b"")

        corpus = load_corpus(data, cache_dir=cache)

        assert [r.path for r in corpus.recordings] == ["yes/good.wav", "yes/quiet.wav"]
        assert corpus.report.files == 8
        listed = reasons(corpus)
        assert listed.keys() == {
            f"yes/{name}"
            for name in ("empty.wav", "silent.wav", "nan.wav", "text.wav", "cut.flac", "zero.opus")
        }
        assert listed["yes/empty.wav"] == "holds no samples"
        assert listed["yes/silent.wav"] == "silent: peak 31 of 32768"
        assert "NaN" in listed["yes/nan.wav"]
        for name in ("text.wav", "cut.flac", "zero.opus"):
            assert listed[f"yes/{name}"].startswith("unreadable: ")
            assert str(data) not in listed[f"yes/{name}"]

    def test_evaluation_may_keep_silent_clips(self, data: Path, cache: Path) -> None:
        write(data / "yes/good.wav")
        write(data / "yes/silent.wav", np.zeros(RATE))
        assert len(load_corpus(data, cache_dir=cache).recordings) == 1
        assert len(load_corpus(data, cache_dir=cache, keep_silent=True).recordings) == 2

    def test_a_word_without_a_usable_recording_is_an_error_that_names_it(
        self, data: Path, cache: Path
    ) -> None:
        write(data / "yes/good.wav")
        write(data / "no/silent.wav", np.zeros(RATE))
        with pytest.raises(DataError, match=r"no recordings of 'no'.*silent.*there are.*: yes"):
            load_corpus(data, cache_dir=cache)
        shutil.rmtree(data / "no")
        (data / "follow").mkdir()
        with pytest.raises(DataError, match=r"no recordings of 'follow'.*holds no audio files"):
            load_corpus(data, cache_dir=cache)

    def test_a_word_that_was_asked_for_must_be_there(self, data: Path, cache: Path) -> None:
        write(data / "yes/only.wav")
        corpus = load_corpus(data, cache_dir=cache)
        corpus.require_words(["yes"])
        with pytest.raises(DataError, match=r"no recordings of 'learn' in .*there are: yes"):
            corpus.require_words(["yes", "learn"])
        with pytest.raises(DataError, match=r"no recordings of 'yes' in the testing split"):
            corpus.require_words(["yes"], split="testing")


class TestSplits:
    # From the official lists of version 0.02.
    @pytest.mark.parametrize(
        ("name", "split"),
        [
            ("a69b9b3e_nohash_0.wav", "validation"),
            ("439c84f4_nohash_1", "validation"),
            ("409c962a_nohash_1.opus", "validation"),
            ("bb05582b_nohash_3.wav", "testing"),
            ("97f4c236_nohash_2", "testing"),
            ("f2e59fea_nohash_3_alt.opus", "testing"),
        ],
    )
    def test_official_hash(self, name: str, split: Split) -> None:
        assert which_set(name) == split

    @staticmethod
    def read_list(data: Path, part: str, *lines: str) -> None:
        (data / f"{part}_list.txt").write_text("".join(f"{line}\n" for line in lines))

    def test_lists_that_differ_from_the_hash_win_and_take_the_speaker_along(
        self, data: Path, cache: Path
    ) -> None:
        for name in ("a69b9b3e_nohash_0", "0a7c2a8d_nohash_0", "0a7c2a8d_nohash_1"):
            write(data / "yes" / f"{name}.wav")
        write(data / "no/0a7c2a8d_nohash_5.wav")
        assert which_set("0a7c2a8d_nohash_0") == "training"
        self.read_list(data, "validation", "yes/0a7c2a8d_nohash_1.wav")

        corpus = load_corpus(data, cache_dir=cache)

        assert by_path(corpus) == {
            "no/0a7c2a8d_nohash_5.wav": "validation",
            "yes/0a7c2a8d_nohash_0.wav": "validation",
            "yes/0a7c2a8d_nohash_1.wav": "validation",
            "yes/a69b9b3e_nohash_0.wav": "training",
        }
        assert "lists that come with the data (validation_list.txt)" in corpus.report.split_rule

    def test_lists_of_another_data_set_are_not_used(self, data: Path, cache: Path) -> None:
        write(data / "yes/a69b9b3e_nohash_0.wav")
        self.read_list(data, "testing", "tree/one.wav")
        corpus = load_corpus(data, cache_dir=cache)
        assert by_path(corpus) == {"yes/a69b9b3e_nohash_0.wav": "validation"}
        assert "lists" not in corpus.report.split_rule

    @pytest.mark.parametrize(
        "name", ["{speaker}_{n}", "{word}-{speaker}-{n:02}", "{word}_{speaker}", "{speaker} ({n})"]
    )
    def test_speakers_are_seen_in_names(self, name: str) -> None:
        speakers = [f"speaker{chr(97 + i)}" for i in range(20)]
        clips = [
            WordClip(label=word, path=name.format(speaker=speaker, word=word, n=n) + ".wav")
            for word in ("yes", "no")
            for speaker in speakers
            for n in range(2)
        ]
        split = split_words(clips)
        assert set(split.speakers) == set(speakers)
        where = dict(zip(split.speakers, split.splits, strict=True))
        assert [where[speaker] for speaker in split.speakers] == list(split.splits)
        assert [split.splits.count(part) for part in SPLITS] == [64, 8, 8]

    @pytest.mark.parametrize("name", ["recording_{n}", "{word}{n}", "{n}", "{word}_take_{n}"])
    def test_names_without_a_speaker_are_split_at_random_by_word(self, name: str) -> None:
        clips = [
            WordClip(label=word, path=name.format(word=word, n=n) + ".wav")
            for word in ("yes", "no")
            for n in range(20)
        ]
        split = split_words(clips)
        assert split.speakers == (None,) * 40
        assert "at random by word" in split.description
        for word in range(2):
            parts = split.splits[20 * word : 20 * word + 20]
            assert [parts.count(part) for part in SPLITS] == [16, 2, 2]

    def test_a_speaker_with_most_clips_trains(self) -> None:
        paths = [f"me_{n}.wav" for n in range(90)] + [
            f"guest{c}_{n}.wav" for c in "abcd" for n in (1, 2)
        ]
        clips = [WordClip(label=word, path=path) for word in ("yes", "no") for path in paths]
        split = split_words(clips)
        assert dict(zip(split.speakers, split.splits, strict=True))["me"] == "training"
        assert set(split.splits) == set(SPLITS)

    def test_clips_of_both_kinds_each_get_their_rule(self) -> None:
        clips = [WordClip(label="yes", path="a69b9b3e_nohash_0.wav")] + [
            WordClip(label="yes", path=f"{n}.wav") for n in range(10)
        ]
        split = split_words(clips)
        assert split.splits[0] == "validation"
        assert split.description.count("clips") == 2
        assert "hash" in split.description
        assert "random" in split.description

    def test_a_split_does_not_depend_on_the_order_of_the_files(self) -> None:
        clips = [WordClip(label=w, path=f"{n}.wav") for w in ("yes", "no") for n in range(30)]
        forward = dict(zip(clips, split_words(clips).splits, strict=True))
        backward = dict(zip(clips[::-1], split_words(clips[::-1]).splits, strict=True))
        assert forward == backward

    def test_few_recordings_still_reach_each_part(self) -> None:
        assert split_ranked(["only"]) == ["training"]
        assert sorted(split_ranked(["a", "b"])) == ["training", "validation"]
        assert sorted(split_ranked(["a", "b", "c"])) == ["testing", "training", "validation"]

    def test_a_rule_that_does_not_fit_is_refused(self, data: Path, cache: Path) -> None:
        write(data / "yes/1.wav")
        with pytest.raises(DataError, match=r"'lists' needs validation_list\.txt"):
            load_corpus(data, cache_dir=cache, split_rule="lists")
        with pytest.raises(DataError, match="'speaker' needs 3 speakers or more"):
            load_corpus(data, cache_dir=cache, split_rule="speaker")
        with pytest.raises(DataError, match="'best' does not exist; choose one of auto, lists"):
            load_corpus(data, cache_dir=cache, split_rule="best")  # type: ignore[arg-type]

    def test_long_noise_is_cut_by_time(self, data: Path, cache: Path) -> None:
        write(data / "speech_commands/yes/a.wav")
        write(data / "background_noise/hum.wav", tone(40))
        write(data / "rooms/cave.wav", tone(31))

        corpus = load_corpus(data, cache_dir=cache)

        parts = corpus.select("noise")
        assert [part.split for part in parts] == list(SPLITS)
        assert [part.length / (40 * RATE) for part in parts] == pytest.approx([0.8, 0.1, 0.1])
        for part, following in pairwise(parts):
            assert part.start + part.length == following.start
        assert [room.length for room in corpus.select("room")] == [31 * RATE]

    def test_speech_is_split_by_speaker_where_names_say_it(self, data: Path, cache: Path) -> None:
        write(data / "speech_commands/yes/a.wav")
        for speaker in range(40):
            for line in range(3):
                write(data / f"negatives/reading/{speaker}-1-000{line}.wav", tone(0.1))
        write(data / "negatives/reading/page.wav", tone(31))

        corpus = load_corpus(data, cache_dir=cache)

        splits: dict[str | None, set[str]] = {}
        for part in corpus.select("speech"):
            splits.setdefault(part.speaker, set()).add(part.split)
        assert len(splits.pop(None)) == 1  # a long recording stays in one piece
        assert all(len(parts) == 1 for parts in splits.values())
        assert {part for parts in splits.values() for part in parts} == set(SPLITS)

    def test_held_out_speech_is_validation(self, data: Path, cache: Path) -> None:
        write(data / "speech_commands/yes/a.wav")
        for name in ("radio/1", "radio/2", "reading/1", "reading/2"):
            write(data / f"negatives/{name}.wav", tone(0.1))

        corpus = load_corpus(data, cache_dir=cache, held_out_speech=["negatives/radio/*"])

        assert {r.split for r in corpus.select("speech") if r.label == "radio"} == {"validation"}
        assert load_corpus(data, cache_dir=cache, held_out_speech=["wake_words/jarvis/*"])
        with pytest.raises(DataError, match=r"nothing matches 'negatives/tv/\*'; there is neg"):
            load_corpus(data, cache_dir=cache, held_out_speech=["negatives/tv/*"])

    def test_what_is_left_out_is_reported(self, data: Path, cache: Path) -> None:
        write(data / "yes/a.wav")
        write(data / "yes/b.wav", tone(0.1))

        corpus = load_corpus(data, cache_dir=cache, left_out=["yes/b.*"])

        assert [recording.path for recording in corpus.recordings] == ["yes/a.wav"]
        assert [file.path for file in corpus.report.skipped] == ["yes/b.wav"]
        with pytest.raises(DataError, match=r"left_out: nothing matches 'yes/c'; there is yes/\*"):
            load_corpus(data, cache_dir=cache, left_out=["yes/c"])


class TestCache:
    @pytest.fixture
    def words(self, data: Path) -> Path:
        for number in range(100):
            write(data / "yes" / f"{number}.wav", tone(0.1, 300 + number))
        return data

    def test_a_second_start_decodes_nothing(self, words: Path, cache: Path) -> None:
        calls: list[tuple[int, int]] = []
        first = load_corpus(words, cache_dir=cache, progress=lambda *call: calls.append(call))
        assert calls[-1] == (100, 100)
        assert calls == sorted(calls)
        calls.clear()
        second = load_corpus(words, cache_dir=cache, progress=lambda *call: calls.append(call))
        assert calls == []
        assert second.recordings == first.recordings
        assert isinstance(second.audio, np.memmap)
        np.testing.assert_array_equal(first.audio, second.audio)
        with pytest.raises(ValueError, match="read-only"):
            second.audio[0] = 1

    def test_changed_data_are_decoded_anew_and_the_old_cache_goes(
        self, words: Path, cache: Path
    ) -> None:
        before = load_corpus(words, cache_dir=cache)
        write(words / "yes/0.wav", tone(0.3))
        after = load_corpus(words, cache_dir=cache)
        assert len(after.audio) == len(before.audio) + round(0.2 * RATE)
        assert after.fingerprint != before.fingerprint
        assert len(list(cache.glob("corpus-*"))) == 1

    def test_other_data_do_not_disturb_a_cache(self, words: Path, cache: Path) -> None:
        load_corpus(words, cache_dir=cache)
        write(words.parent / "other/no/1.wav")
        load_corpus(words.parent / "other", cache_dir=cache)
        assert len(list(cache.glob("corpus-*"))) == 2

    def test_the_fingerprint_is_of_the_content(self, words: Path, cache: Path) -> None:
        copy = words.parent / "copy"
        shutil.copytree(words, copy, copy_function=shutil.copyfile)
        os.utime(copy / "yes/0.wav", (1, 1))
        assert (
            load_corpus(copy, cache_dir=cache).fingerprint
            == load_corpus(words, cache_dir=cache).fingerprint
        )

    def test_an_interrupted_decode_leaves_nothing(self, words: Path, cache: Path) -> None:
        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            load_corpus(words, cache_dir=cache, progress=interrupt)
        assert list(cache.glob("corpus-*")) == []
        assert len(load_corpus(words, cache_dir=cache).recordings) == 100

    def test_what_a_killed_process_left_is_cleaned_up(self, words: Path, cache: Path) -> None:
        script = """
            import os, signal, sys
            from harken.train.data import load_corpus
            load_corpus(sys.argv[1], cache_dir=sys.argv[2],
                        progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))
        """
        command = [sys.executable, "-c", dedent(script), str(words), str(cache)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert [folder.suffix for folder in cache.glob("corpus-*")] == [".tmp"]

        write(words / "yes/new.wav")  # so that the next start's cache has another name
        assert len(load_corpus(words, cache_dir=cache).recordings) == 101
        assert [folder.suffix for folder in cache.glob("corpus-*")] == [""]

    def test_starts_at_the_same_time_share_one_decode(self, words: Path, cache: Path) -> None:
        script = """
            import sys, time
            from harken.train.data import load_corpus
            def slow(done, total):
                if done:
                    print("decoding", done)
                    time.sleep(0.2)
            corpus = load_corpus(sys.argv[1], cache_dir=sys.argv[2], progress=slow)
            print("sum", int(corpus.audio.astype("int64").sum()))
        """
        command = [sys.executable, "-c", dedent(script), str(words), str(cache)]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        outputs = [process.communicate(timeout=60)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        assert len({output.splitlines()[-1] for output in outputs}) == 1
        assert sum("decoding" in output for output in outputs) == 1
        assert len(list(cache.glob("corpus-*"))) == 1

    @pytest.fixture
    def full_disk(self) -> Iterator[None]:
        # The system refuses any file beyond 100 kB, as it refuses a write to a full disk.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    @pytest.mark.usefixtures("full_disk")
    def test_a_full_disk_is_one_clear_error(self, words: Path, cache: Path) -> None:
        decoded_bytes = 100 * 2 * round(0.1 * RATE)
        with pytest.raises(DataError, match=f"{cache}.*about {decoded_bytes:,} bytes.*--cache-dir"):
            load_corpus(words, cache_dir=cache)
        assert list(cache.glob("corpus-*")) == []

    def test_a_damaged_cache_is_made_again(self, words: Path, cache: Path) -> None:
        good = load_corpus(words, cache_dir=cache)
        expected = np.array(good.audio)
        (folder,) = cache.glob("corpus-*")
        for name, content in (("audio.i16", b"\0" * 100), ("index.json", b'{"files": [')):
            (folder / name).write_bytes(content)
            np.testing.assert_array_equal(load_corpus(words, cache_dir=cache).audio, expected)

    def test_a_cache_folder_that_cannot_be_made_is_an_error(self, words: Path, cache: Path) -> None:
        cache.write_text("a file")
        with pytest.raises(DataError, match=r"cannot be made .*--cache-dir"):
            load_corpus(words, cache_dir=cache)

    def test_the_default_place_is_the_users_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert default_cache_dir() == Path("/somewhere/harken")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert default_cache_dir().is_relative_to(Path.home())


@pytest.mark.data
class TestRealRecordings:
    def test_the_hash_is_the_one_the_official_lists_were_made_with(self, harken_data: Path) -> None:
        for part, count in (("validation", 9981), ("testing", 11005)):
            lines = (harken_data / f"lists/v0.02_{part}_list.txt").read_text().split()
            assert len(lines) == count
            assert {which_set(line.split("/")[1]) for line in lines} == {part}

    @pytest.mark.slow
    def test_the_whole_collection(self, harken_data: Path) -> None:
        corpus = load_corpus(harken_data, keep_silent=True)
        decoded: list[tuple[int, int]] = []
        load_corpus(harken_data, keep_silent=True, progress=lambda *call: decoded.append(call))
        assert not decoded, "a second start decodes nothing"

        counts = corpus.report.word_counts
        assert counts["yes"] == {"training": 790, "validation": 116, "testing": 0}
        assert counts["left"] == {"training": 2340, "validation": 295, "testing": 0}
        assert counts["bed"] == {"training": 1337, "validation": 197, "testing": 0}
        assert sum(sum(parts.values()) for parts in counts.values()) == 34_227
        speakers: dict[str, set[str]] = {}
        for recording in corpus.select("word"):
            speakers.setdefault(recording.speaker or "", set()).add(recording.split)
        assert all(len(parts) == 1 for parts in speakers.values())
        skipped = {file.path: file.reason for file in corpus.report.skipped}
        untold = {path for path, reason in skipped.items() if reason.endswith("no text")}
        assert all(path.startswith("speech/") for path in untold)
        others = skipped.keys() - untold
        assert 0 < len(others) < 200
        assert all(path.startswith(("esc10/", "noise/", "speech/")) for path in others)
        kinds: tuple[Kind, ...] = ("speech", "noise", "room")
        for kind in kinds:
            assert all(corpus.select(kind, split=split) for split in SPLITS)
        for recording in corpus.select("speech"):
            if recording.path.startswith("speech/"):
                assert recording.text


LATIN_1 = os.fsdecode(b"m\xfcller")  # a name from an old archive


class TestNamesThatAreNotUtf8:
    def test_recordings_are_read(self, data: Path, cache: Path) -> None:
        for number in range(3):
            place = data / "yes" / LATIN_1 / f"{LATIN_1}_nohash_{number}.wav"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(write(data.parent / f"{number}.wav").read_bytes())
        corpus = load_corpus(data, cache_dir=cache)
        assert len(corpus.recordings) == 3
        assert reasons(corpus) == {}
        assert load_corpus(data, cache_dir=cache).fingerprint == corpus.fingerprint

    def test_the_folder_of_a_word_is_left_out_and_reported(self, data: Path, cache: Path) -> None:
        write(data / "yes" / "1.wav")
        (data / LATIN_1).mkdir()
        corpus = load_corpus(data, cache_dir=cache)
        assert corpus.words == ("yes",)
        assert corpus.report.ignored_folders == (LATIN_1,)


def test_channels_that_cancel_out_are_no_silence(data: Path, cache: Path) -> None:
    write(data / "yes" / "1.wav")
    write(data / "yes" / "2.wav", np.stack((tone(), -tone()), axis=1))
    assert "cancel each other out" in reasons(load_corpus(data, cache_dir=cache))["yes/2.wav"]
