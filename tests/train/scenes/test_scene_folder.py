"""Folders of scenes: kept for other programs and read again; people's own recordings, with labels
or as negatives."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tones
from synthetic_corpus import corpus_of, spoken

pytest.importorskip("scipy", reason="training needs harken[train]")

from harken.edge.errors import AudioError, DataError
from harken.train.scenes.folder import read_negatives, read_scenes
from harken.train.scenes.keep import keep_scenes
from harken.train.scenes.make import make_scenes
from harken.train.scenes.truth import Scene, SceneSet, Utterance, read_truth

RATE = tones.RATE


def write(
    path: Path, seconds: float, *, rate_hz: int = RATE, channels: int = 1, seed: int = 0
) -> Path:
    """Write noise to a sound file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = 0.1 * rng.standard_normal((round(seconds * rate_hz), channels)).clip(-3, 3)
    soundfile.write(path, samples, rate_hz)
    return path


def label(path: Path, *lines: tuple[float, float, str]) -> None:
    path.write_text("".join(f"{start}\t{end}\t{text}\n" for start, end, text in lines))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def scene_of(name: str, samples: np.ndarray, *utterances: Utterance) -> Scene:
    return Scene(
        name=name,
        seconds=len(samples) / RATE,
        utterances=utterances,
        negative=not utterances,
        conditions={"snr": "clean"},
        recordings=("anna",),
        render=lambda: samples,
    )


def set_of(*scenes: Scene) -> SceneSet:
    return SceneSet(scenes=scenes, notes=("a note",), provenance={"seed": 3})


def a_set(*names: str) -> SceneSet:
    rng = np.random.default_rng(0)
    word = Utterance(start_s=0.25, end_s=0.5, word="left")
    return set_of(
        *(scene_of(name, rng.integers(-9999, 9999, RATE).astype(np.int16), word) for name in names)
    )


class TestKept:
    def test_are_sound_labels_and_the_truth(self, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "scenes"
        keep_scenes(a_set("a", "b"), folder)
        assert files_in(folder) == ["a.txt", "a.wav", "b.txt", "b.wav", "scenes.json"]
        info = soundfile.info(folder / "a.wav")
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
        assert (folder / "a.txt").read_text() == "0.250000\t0.500000\tleft\n"

    def test_come_back_as_they_were(self, tmp_path: Path) -> None:
        sounds = [
            ("word", word, "validation", spoken(hertz))
            for word, hertz in (("left", 400.0), ("house", 900.0), ("left", 410.0))
        ]
        rng = np.random.default_rng(0)
        sounds.append(("noise", "fan", "validation", rng.integers(-99, 99, 9999).astype(np.int16)))
        scenes = make_scenes(corpus_of(*sounds), ("left",), words_per_condition=4)
        keep_scenes(scenes, tmp_path)
        read = read_scenes(tmp_path)
        by_name = {scene.name: scene for scene in read.scenes}
        assert by_name.keys() == {scene.name for scene in scenes.scenes}
        assert any(not u.whole or u.word == "house" for s in read.scenes for u in s.utterances)
        for scene in scenes.scenes:
            again = by_name[scene.name]
            assert (again.seconds, again.negative) == (scene.seconds, scene.negative)
            assert (again.conditions, again.recordings) == (scene.conditions, scene.recordings)
            assert np.array_equal(again.render(), scene.render())
            assert [(u.word, u.whole) for u in again.utterances] == [
                (u.word, u.whole) for u in scene.utterances
            ]
            for one, two in zip(again.utterances, scene.utterances, strict=True):
                assert one.start_s == pytest.approx(two.start_s, abs=1e-6)
                assert one.end_s == pytest.approx(two.end_s, abs=1e-6)
        assert read.notes == scenes.notes
        assert read.provenance["kept"] == scenes.provenance
        assert read.negative_hours == scenes.negative_hours > 0

    def test_the_truth_alone(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a", "b"), tmp_path, sound=False)
        assert files_in(tmp_path) == ["scenes.json"]
        assert [scene.name for scene in read_truth(tmp_path / "scenes.json").scenes] == ["a", "b"]
        with pytest.raises(DataError, match="holds no sound files"):
            read_scenes(tmp_path)

    def test_the_truth_alone_does_not_pass_for_that_of_older_sound(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a", "b"), tmp_path)
        keep_scenes(a_set("a"), tmp_path, sound=False)
        with pytest.raises(DataError, match="does not hold the sound of all its scenes"):
            read_scenes(tmp_path)

    def test_replace_those_of_before(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a", "b"), tmp_path)
        (tmp_path / ".a.wav.123-abc.tmp").touch()  # of a process that was killed
        keep_scenes(a_set("b", "c"), tmp_path)
        assert files_in(tmp_path) == ["b.txt", "b.wav", "c.txt", "c.wav", "scenes.json"]

    def test_may_be_kept_where_they_are_read_from(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a", "b"), tmp_path)
        before = (tmp_path / "a.wav").read_bytes()
        keep_scenes(read_scenes(tmp_path), tmp_path)
        assert (tmp_path / "a.wav").read_bytes() == before
        assert len(read_scenes(tmp_path).scenes) == 2

    def test_show_how_far_it_is(self, tmp_path: Path) -> None:
        calls: list[tuple[int, int]] = []
        keep_scenes(a_set("a", "b"), tmp_path, progress=lambda done, of: calls.append((done, of)))
        assert calls == [(1, 2), (2, 2)]

    def test_never_take_the_place_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(
            DataError, match=r"something other than kept scenes, such as thesis\.txt"
        ):
            keep_scenes(a_set("thesis"), tmp_path)
        assert files_in(tmp_path) == ["thesis.txt"]

    def test_leave_a_folder_to_which_something_was_added(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a"), tmp_path)
        (tmp_path / "kitchen.wav").touch()
        with pytest.raises(DataError, match=r"such as kitchen\.wav; give a new folder"):
            keep_scenes(a_set("b"), tmp_path)
        assert "a.wav" in files_in(tmp_path)

    def test_an_interruption_is_noticed_and_mended(self, tmp_path: Path) -> None:
        def interrupt(done: int, of: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            keep_scenes(a_set("a", "b"), tmp_path, progress=interrupt)
        with pytest.raises(
            DataError, match=r"does not hold the sound of all .* keep the scenes again"
        ):
            read_scenes(tmp_path)
        keep_scenes(a_set("a", "b"), tmp_path)
        assert len(read_scenes(tmp_path).scenes) == 2

    def test_need_names_of_their_own(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="scenes of the same name, such as a; keep"):
            keep_scenes(a_set("a", "b", "a"), tmp_path / "new")
        assert not (tmp_path / "new").exists()

    def test_need_a_folder(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.touch()
        with pytest.raises(DataError, match=r"scenes cannot be kept in .*file: File exists"):
            keep_scenes(a_set("a"), file)


class TestFolders:
    def test_of_anybodys_sound_with_labels(self, tmp_path: Path) -> None:
        write(tmp_path / "kitchen.flac", 3, rate_hz=44_100, channels=2)
        label(tmp_path / "kitchen.txt", (0.5, 1.0, "left"), (1.5, 1.75, "(right)"))
        write(tmp_path / "living room.wav", 2)
        label(tmp_path / "living room.txt")
        kitchen, living_room = read_scenes(tmp_path).scenes
        assert kitchen.name == "kitchen"
        assert kitchen.seconds == 3
        assert kitchen.utterances == (
            Utterance(start_s=0.5, end_s=1.0, word="left"),
            Utterance(start_s=1.5, end_s=1.75, word="right", whole=False),
        )
        assert not kitchen.negative
        assert living_room.negative
        for scene in (kitchen, living_room):
            assert scene.recordings is None
            assert scene.conditions == {}
            samples = scene.render()
            assert samples.dtype == np.int16
            assert len(samples) == scene.seconds * RATE

    def test_corrected_labels_count(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a"), tmp_path)
        label(tmp_path / "a.txt", (0.1, 0.6, "right"))
        (scene,) = read_scenes(tmp_path).scenes
        assert scene.utterances == (Utterance(start_s=0.1, end_s=0.6, word="right"),)
        assert scene.conditions == {"snr": "clean"}

    def test_sound_that_was_added_to_kept_scenes(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a"), tmp_path)
        write(tmp_path / "b.wav", 1)
        label(tmp_path / "b.txt")
        a, b = read_scenes(tmp_path).scenes
        assert a.recordings == ("anna",)
        assert b.recordings is None

    def test_text_without_sound_is_noted(self, tmp_path: Path) -> None:
        write(tmp_path / "a.wav", 1)
        label(tmp_path / "a.txt")
        label(tmp_path / "b.txt", (0, 1, "left"))
        (note,) = read_scenes(tmp_path).notes
        assert "1 text files, such as b.txt, have no sound" in note

    @pytest.mark.parametrize(
        ("lines", "what"),
        [
            ([(0.2, 0.6, "left"), (0.4, 0.8, "right")], r"a\.txt:2: .* must not overlap"),
            ([(0.2, 1.5, "left")], r"a\.txt:1: .* the sound ends at 1 s"),
            ([(0.6, 0.2, "left")], r"a\.txt:1: .* before it starts"),
            ([(0.6, 0.8, "left"), (0.1, 0.2, "right")], r"a\.txt:2: .* sort the labels"),
        ],
    )
    def test_wrong_labels(
        self, tmp_path: Path, lines: list[tuple[float, float, str]], what: str
    ) -> None:
        write(tmp_path / "a.wav", 1)
        label(tmp_path / "a.txt", *lines)
        with pytest.raises(DataError, match=what):
            read_scenes(tmp_path)

    def test_sound_without_labels(self, tmp_path: Path) -> None:
        write(tmp_path / "a.wav", 1)
        with pytest.raises(DataError, match=r"a\.wav has no labels: a\.txt is missing\. Label"):
            read_scenes(tmp_path)

    def test_two_sounds_with_one_label_track(self, tmp_path: Path) -> None:
        write(tmp_path / "a.wav", 1)
        write(tmp_path / "a.flac", 1)
        label(tmp_path / "a.txt")
        with pytest.raises(DataError, match=r"a\.flac and a\.wav share the label track a\.txt"):
            read_scenes(tmp_path)

    def test_without_sound(self, tmp_path: Path) -> None:
        label(tmp_path / "a.txt")
        with pytest.raises(DataError, match="holds no sound files"):
            read_scenes(tmp_path)
        with pytest.raises(DataError, match="none does not exist; give a folder"):
            read_scenes(tmp_path / "none")
        with pytest.raises(DataError, match=r"a\.txt is not a folder"):
            read_scenes(tmp_path / "a.txt")

    def test_no_sound_in_a_sound_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_text("not a wav")
        label(tmp_path / "a.txt")
        with pytest.raises(AudioError, match=r"a\.wav: is not a sound file"):
            read_scenes(tmp_path)

    def test_a_kept_scene_is_gone(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a", "b"), tmp_path)
        (tmp_path / "b.wav").unlink()
        with pytest.raises(DataError, match=r"lists b, but there is no .* \(1 of 2 are missing"):
            read_scenes(tmp_path)

    def test_a_kept_scene_has_another_length(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a"), tmp_path)
        write(tmp_path / "a.wav", 2)
        with pytest.raises(DataError, match=r"a\.wav is 2 s long, but scenes\.json says 1 s"):
            read_scenes(tmp_path)

    def test_a_damaged_truth(self, tmp_path: Path) -> None:
        keep_scenes(a_set("a"), tmp_path)
        truth = json.loads((tmp_path / "scenes.json").read_text())
        truth["scenes"][0]["utterances"][0]["whole"] = "yes"
        (tmp_path / "scenes.json").write_text(json.dumps(truth))
        with pytest.raises(DataError, match=r"utterances\[0\]\.whole is 'yes'; it must be true or"):
            read_scenes(tmp_path)


class TestNegatives:
    def test_are_any_sound_files_and_folders(self, tmp_path: Path) -> None:
        radio = write(tmp_path / "radio.ogg", 4, rate_hz=48_000, channels=2)
        write(tmp_path / "house" / "hall.wav", 2, rate_hz=8_000)
        write(tmp_path / "house" / "up" / "attic.flac", 3)
        (tmp_path / "house" / "notes.txt").touch()
        scenes = read_negatives([radio, tmp_path / "house"])
        assert [s.conditions["source"] for s in scenes.scenes] == ["radio", "house", "house"]
        assert [s.seconds for s in scenes.scenes] == [4, 2, 3]
        assert all(s.negative and s.recordings is None for s in scenes.scenes)
        assert scenes.negative_hours == pytest.approx(9 / 3600)
        assert len({s.name for s in scenes.scenes}) == 3
        for scene in scenes.scenes:
            assert len(scene.render()) == scene.seconds * RATE

    def test_what_is_named_twice_is_heard_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.wav", 1)
        assert len(read_negatives([path, tmp_path, tmp_path / "." / "a.wav"]).scenes) == 1

    def test_long_ones_are_cut_and_nothing_is_lost(self, tmp_path: Path) -> None:
        path = write(tmp_path / "night.wav", 1234.5)
        scenes = read_negatives([path]).scenes
        assert len(scenes) == 3
        assert all(scene.seconds <= 600 for scene in scenes)
        assert len({scene.name for scene in scenes}) == 3
        heard = np.concatenate([scene.render() for scene in scenes])
        expected, _ = soundfile.read(path, dtype="int16")
        assert np.array_equal(heard, expected)

    def test_cuts_do_not_change_what_is_resampled(self, tmp_path: Path) -> None:
        path = tmp_path / "night.wav"
        time_s = np.arange(601 * 11_025) / 11_025
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * time_s), 11_025)
        heard = np.concatenate([scene.render() for scene in read_negatives([path]).scenes])
        expected = 16384 * np.sin(2 * np.pi * 440 * np.arange(601 * RATE) / RATE)
        inner = slice(RATE, -RATE)
        assert len(heard) == 601 * RATE
        # Ten samples beside a cut may miss what follows it.
        error = np.abs(heard - expected)[inner]
        assert np.sort(error)[-200] < 3
        assert error.max() < 2000

    def test_are_the_same_at_every_call(self, tmp_path: Path) -> None:
        (scene,) = read_negatives([write(tmp_path / "a.wav", 2, rate_hz=22_050)]).scenes
        assert np.array_equal(scene.render(), scene.render())

    def test_shorter_than_a_window(self, tmp_path: Path) -> None:
        assert read_negatives([write(tmp_path / "a.wav", 512 / RATE)]).scenes
        path = write(tmp_path / "b.wav", 511 / RATE)
        with pytest.raises(DataError, match=r"b\.wav is 511 samples long.* at least 512 \(32 ms\)"):
            read_negatives([path])
        path = write(tmp_path / "c.wav", 0.03, rate_hz=48_000)
        with pytest.raises(DataError, match=r"c\.wav is 480 samples long at 16 kHz"):
            read_negatives([path])

    def test_no_sound(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_text("not a wav")
        with pytest.raises(AudioError, match=r"a\.wav: is not a sound file"):
            read_negatives([tmp_path / "a.wav"])
        with pytest.raises(AudioError, match=r"none\.wav: No such file"):
            read_negatives([tmp_path / "none.wav"])
        (tmp_path / "a.m4a").touch()
        with pytest.raises(AudioError, match=r"a\.m4a: \.m4a cannot be read; convert"):
            read_negatives([tmp_path / "a.m4a"])
        (tmp_path / "folder").mkdir()
        with pytest.raises(DataError, match="folder holds no sound files"):
            read_negatives([tmp_path / "folder"])

    def test_no_samples(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
        with pytest.raises(AudioError, match="holds no samples"):
            read_negatives([tmp_path / "a.wav"])

    def test_samples_that_are_no_number(self, tmp_path: Path) -> None:
        samples = np.zeros(RATE, np.float32)
        samples[5000] = np.nan
        soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
        (scene,) = read_negatives([tmp_path / "a.wav"]).scenes
        with pytest.raises(AudioError, match=r"a\.wav: holds samples that are not numbers"):
            scene.render()

    def test_a_file_that_ends_early(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.flac", 20)
        (scene,) = read_negatives([path]).scenes
        path.write_bytes(path.read_bytes()[:200_000])
        with pytest.raises(AudioError, match=r"a\.flac: (ends before|cannot be decoded)"):
            scene.render()


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    name = os.fsdecode(b"m\xfcller")
    soundfile.write(tmp_path / "plain.wav", np.zeros(RATE, np.int16), RATE)
    (tmp_path / "plain.wav").rename(tmp_path / f"{name}.wav")
    (tmp_path / f"{name}.txt").touch()
    scene = read_scenes(tmp_path).scenes[0]
    assert scene.name == name
    assert len(scene.render()) == RATE
    negative = read_negatives([tmp_path]).scenes[0]
    assert len(negative.render()) == RATE
