"""Recording words: order, takes and their faults, what is written, and how it goes on."""

from __future__ import annotations

import json
import re
import sys
import time
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile
import tones
from command import Outcome, harken
from fake_sounddevice import Device, FakeSounddevice, remove_portaudio
from hypothesis import given
from hypothesis import strategies as st
from speaking import Speaker, voice

from harken.edge.app.collect.names import SALT_FILE, BadNameError, check_word, speaker_folder
from harken.edge.app.collect.record import Plan, Progress, record, record_noise
from harken.edge.app.collect.schedule import interleave
from harken.edge.app.collect.takes import MARGIN_S, BadTakeError, Tape, take_word
from harken.edge.errors import AudioError, DataError
from harken.edge.spotting.endpoints import find_word

RATE = tones.RATE
USAGE, AUDIO_ERROR, DATA_ERROR, INTERRUPTED = 2, 4, 5, 130


class TestOrder:
    @given(
        st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 9)),
        st.integers(0, 99),
    )
    def test_each_word_comes_as_often_as_it_is_missing(self, missing, seed):
        order = interleave(missing, Random(seed))
        assert {word: order.count(word) for word in missing} == missing

    @given(st.integers(2, 5), st.integers(1, 9), st.integers(0, 99))
    def test_no_word_comes_twice_in_a_row(self, words, count, seed):
        order = interleave({str(word): count for word in range(words)}, Random(seed))
        assert all(one != two for one, two in pairwise(order))

    def test_what_is_missing_most_is_spread_out(self):
        order = interleave({"a": 3, "b": 1, "c": 1}, Random(0))
        assert order[0] == order[2] == order[4] == "a"

    def test_a_word_alone_is_said_again_and_again(self):
        assert interleave({"a": 3}, Random(0)) == ["a"] * 3


class TestNames:
    @pytest.mark.parametrize(
        ("name", "folder"),
        [
            ("Anna", "anna"),
            (" anna ", "anna"),
            ("Anna B.", "anna_b"),
            ("../../etc", "etc"),
            ("a/b\\c", "a_b_c"),
            ("Jürgen", "jürgen"),
            ("Ju\u0308rgen", "jürgen"),  # the same in two characters
            ("ＡＮＮＡ", "anna"),
            ("李雷", "李雷"),
            ("_anna_nohash_", "anna_nohash"),
        ],
    )
    def test_of_speakers_are_one_however_they_are_written(self, name, folder):
        assert speaker_folder(name) == folder

    @pytest.mark.parametrize("name", ["", "   ", "//", "..", "—", "x" * 101, "\0"])
    def test_of_speakers_that_are_none_are_refused(self, name):
        with pytest.raises(BadNameError):
            speaker_folder(name)

    @pytest.mark.parametrize("word", ["left", "turn on", "grüß", "左", "o'clock"])
    def test_of_words_stay_as_they_are(self, word):
        assert check_word(word) == word

    def test_of_words_have_one_form_of_unicode(self):
        assert check_word("tu\u0308r") == "tür"

    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("", "is no word"),
            (" left", "no space around it"),
            ("a/b", "'/'"),
            ("..", "begins with '.'"),
            ("_unknown_", "begins with '_'"),
            ("a,b", "','"),
            ("a\nb", "cannot have"),
            ('rock"n"roll', "cannot have"),
            ("<b>", "cannot have"),
            ("$HOME", "cannot have"),
            ("a*/", "cannot have"),
            ("{x}", "cannot have"),
            ("\U0001f600", "cannot have"),
            ("'n", "begins with"),
            ("etc.", "ends with"),
            ("Unknown", "a label that every model has"),
            ("unknown", "a label that every model has"),
            ("silence", "a label that every model has"),
            ("x" * 101, "more than 100 bytes"),
        ],
    )
    def test_of_words_that_no_folder_can_have_are_refused(self, word, said):
        with pytest.raises(BadNameError, match=re.escape(said)):
            check_word(word)


class TestTakes:
    @pytest.fixture
    def speaker(self) -> Speaker:
        return Speaker()

    def take(self, speaker: Speaker, word: np.ndarray | None, *, after_s=0.4, seconds=1.0):
        tape = Tape(iter(speaker))
        tape.read(1.0)

        def prompt() -> None:
            if word is not None:
                speaker.say(word, after_s=after_s)

        return take_word(tape, seconds=seconds, prompt=prompt)

    @pytest.mark.parametrize("seconds", [0.2, 0.45, 0.7])
    def test_a_word_is_in_the_middle_of_a_second(self, speaker, seconds):
        take = self.take(speaker, voice(seconds=seconds))
        assert len(take.samples) == RATE
        first, last = find_word(take.samples)
        assert (last - first) / RATE == pytest.approx(seconds, abs=0.08)
        assert (first + last) / 2 / RATE == pytest.approx(0.5, abs=0.03)
        assert take.snr_db > 20
        assert -15 < take.peak_dbfs < -8

    def test_all_of_it_is_what_the_microphone_heard(self, speaker):
        """No zeros are put around it, and no fades."""
        samples = self.take(speaker, voice(seconds=0.2)).samples
        for edge in (samples[:1600], samples[-1600:]):
            assert 10 < edge.astype(float).std() < 100  # the noise of the room

    def test_a_longer_word_makes_it_longer(self, speaker):
        take = self.take(speaker, voice(seconds=1.3))
        first, last = find_word(take.samples)
        assert len(take.samples) > 1.5 * RATE
        assert first >= (MARGIN_S - 0.01) * RATE
        assert len(take.samples) - last >= (MARGIN_S - 0.01) * RATE

    def test_the_length_can_be_chosen(self, speaker):
        assert len(self.take(speaker, voice(), seconds=1.5).samples) == 1.5 * RATE

    def test_it_is_over_soon_after_the_word(self, speaker):
        self.take(speaker, voice(seconds=0.5), after_s=0.3)
        assert speaker.blocks * 0.02 < 1.0 + 0.3 + 0.5 + 0.6

    @pytest.mark.parametrize("noise", [1e-4, 1e-3, 5e-3])
    def test_noise_is_no_word(self, noise):
        with pytest.raises(BadTakeError, match=r"too quiet|nothing stood out"):
            self.take(Speaker(noise=noise), None)

    def test_a_word_that_drowns_in_noise(self):
        with pytest.raises(BadTakeError, match="speak up, come closer, or make the room quieter"):
            self.take(Speaker(noise=0.1), voice(level=0.08))

    def test_a_word_that_is_too_quiet(self):
        with pytest.raises(BadTakeError, match=r"too quiet, a peak of -4. dBFS: come closer"):
            self.take(Speaker(noise=1e-4), voice(level=0.004))

    def test_a_word_that_is_clipped(self, speaker):
        with pytest.raises(BadTakeError, match="too loud, it is clipped: move away"):
            self.take(speaker, voice(level=2.0))

    def test_digital_silence(self):
        with pytest.raises(BadTakeError, match="nothing but zeros came: is the microphone muted"):
            self.take(Speaker(noise=0.0), None)

    def test_a_click(self, speaker):
        with pytest.raises(BadTakeError, match="only a click"):
            self.take(speaker, voice(seconds=0.01))

    def test_a_word_that_came_before_the_prompt(self, speaker):
        tape = Tape(iter(speaker))
        tape.read(1.0)
        speaker.say(voice(seconds=0.3), after_s=0.0)
        tape.read(0.35)
        with pytest.raises(BadTakeError, match="too early"):
            take_word(tape, seconds=1.0, prompt=lambda: None)

    def test_talk_that_does_not_end(self, speaker):
        with pytest.raises(BadTakeError, match="it did not end"):
            self.take(speaker, voice(seconds=6.0))
        assert speaker.blocks * 0.02 < 1.0 + 4.2

    def test_sound_that_was_lost(self, speaker):
        speaker.at_block[80] = lambda: speaker.lose(RATE)
        with pytest.raises(BadTakeError, match="audio was dropped"):
            self.take(speaker, voice())

    def test_a_source_that_ends(self):
        with pytest.raises(AudioError, match="ended before everything was recorded"):
            Tape(iter([])).read(1.0)


class Room:
    """A speaker who answers the prompts, and what is printed."""

    def __init__(self, **options: object) -> None:
        self.speaker = Speaker(**options)
        self.said: list[str] = []
        self.faults: dict[int, np.ndarray] = {}
        """What is said to a prompt instead of a word, by the prompt's number."""
        self.prompts = 0

    def say(self, text: object = "", end: str = "\n") -> None:
        self.said.append(f"{text}{end}")
        if str(text).strip() == "now":
            word = voice(seconds=0.4 + 0.02 * (self.prompts % 8), seed=self.prompts)
            self.speaker.say(self.faults.get(self.prompts, word), after_s=0.5)
            self.prompts += 1

    @property
    def text(self) -> str:
        return "".join(self.said)

    def record(self, plan: Plan, *, noise_s: float = 0.0) -> Progress:
        progress = Progress(todo=sum(plan.missing().values()))
        tape = Tape(iter(self.speaker))
        if noise_s:
            record_noise(plan, tape, progress, noise_s, say=self.say)
        record(plan, tape, progress, say=self.say, seed=0)
        return progress


def plan_of(out: Path, *words: str, clips: int = 3, speaker: str = "anna") -> Plan:
    return Plan(out=out, speaker=speaker, words=words, clips=clips, seconds=1.0)


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


class TestRecordings:
    def test_are_a_folder_a_word_and_in_it_one_a_speaker(self, tmp_path):
        progress = Room().record(plan_of(tmp_path, "lights", "fan"))
        assert names(tmp_path) == [
            f"{word}/anna/000{number}.wav" for word in ("fan", "lights") for number in (1, 2, 3)
        ]
        assert (progress.done, progress.todo, progress.repeated) == (6, 6, 0)
        for name in names(tmp_path):
            info = soundfile.info(tmp_path / name)
            assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
            assert info.frames == RATE

    def test_show_how_far_it_is(self, tmp_path):
        room = Room()
        room.record(plan_of(tmp_path, "fan"))
        assert "1/3  10 s left   say 'fan'" in room.text
        assert "3/3" in room.text
        assert room.text.count("3 2 1 now") == 3

    def test_go_on_with_what_is_missing(self, tmp_path):
        plan = plan_of(tmp_path, "lights", "fan")
        Room().record(plan)
        (tmp_path / "fan/anna/0002.wav").unlink()
        before = (tmp_path / "fan/anna/0003.wav").read_bytes()
        assert plan.missing() == {"lights": 0, "fan": 1}
        assert Room().record(plan).done == 1
        assert names(tmp_path)[:3] == [f"fan/anna/000{number}.wav" for number in (1, 3, 4)]
        assert (tmp_path / "fan/anna/0003.wav").read_bytes() == before

    def test_of_others_do_not_count(self, tmp_path):
        Room().record(plan_of(tmp_path, "fan"))
        assert plan_of(tmp_path, "fan", speaker="bert").missing() == {"fan": 3}

    def test_that_went_wrong_are_asked_for_again(self, tmp_path):
        room = Room()
        room.faults = {1: voice(level=2.0), 2: voice(seconds=0.01)}
        progress = room.record(plan_of(tmp_path, "fan"))
        assert (progress.done, progress.repeated) == (3, 2)
        assert "too loud, it is clipped: move away" in room.text
        assert "only a click" in room.text
        assert len(names(tmp_path)) == 3

    def test_that_go_wrong_again_and_again_end_it(self, tmp_path):
        room = Room()
        room.faults = {number: voice(level=2.0) for number in range(1, 99)}
        with pytest.raises(AudioError, match="'fan' failed 5 times in a row, the last time: too"):
            room.record(plan_of(tmp_path, "fan"))
        assert names(tmp_path) == ["fan/anna/0001.wav"]

    def test_that_cannot_be_written_leave_those_before(self, tmp_path, monkeypatch):
        from harken.edge.app.collect import record as module

        real = module.write_atomic

        def full(path, content, **options):
            if path.name == "0002.wav":
                raise DataError(f"cannot write {path}: No space left on device")
            real(path, content, **options)

        monkeypatch.setattr(module, "write_atomic", full)
        with pytest.raises(DataError, match="No space left"):
            Room().record(plan_of(tmp_path, "fan"))
        assert names(tmp_path) == ["fan/anna/0001.wav"]

    def test_of_noise_lie_where_training_looks_for_it(self, tmp_path):
        room = Room()
        progress = room.record(plan_of(tmp_path), noise_s=3.0)
        (name,) = names(tmp_path)
        assert name.startswith("_background_noise_/noise_")
        assert soundfile.info(tmp_path / name).frames == 3 * RATE
        assert progress.noise_s == 3.0

    def test_of_noise_begin_anew_where_sound_was_lost(self, tmp_path):
        room = Room()
        room.speaker.at_block[80] = lambda: room.speaker.lose(100)
        room.record(plan_of(tmp_path), noise_s=3.0)
        assert "starting over" in room.text
        (name,) = names(tmp_path)
        assert soundfile.info(tmp_path / name).frames == 3 * RATE

    def test_of_digital_silence_are_no_noise(self, tmp_path):
        with pytest.raises(AudioError, match="nothing but zeros"):
            Room(noise=0.0).record(plan_of(tmp_path), noise_s=2.0)
        assert names(tmp_path) == []

    @pytest.mark.slow
    def test_ten_take_less_than_a_minute(self, tmp_path):
        """At the pace of somebody who begins half a second after the prompt, in real time."""
        began = time.monotonic()
        progress = Room(paced=True).record(plan_of(tmp_path, "lights", "fan", clips=2))
        assert progress.done == 4
        assert (time.monotonic() - began) / 4 < 6
        assert 1 < progress.clip_s < 6


class TestTraining:
    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip("scipy", reason="training needs harken[train]")

    def test_reads_them(self, tmp_path):
        from harken.train.data import load_corpus

        out = tmp_path / "out"
        Room().record(plan_of(out, "lights", "fan", clips=5), noise_s=3.0)
        corpus = load_corpus(out, cache_dir=tmp_path / "cache")
        counts = {word: sum(parts.values()) for word, parts in corpus.report.word_counts.items()}
        assert counts == {"lights": 5, "fan": 5}
        assert corpus.report.skipped == ()
        assert {recording.speaker for recording in corpus.select("word")} == {"anna"}
        assert len(corpus.select("noise")) == 1
        corpus.require_words(("lights", "fan"), split="training")
        corpus.require_words(("lights", "fan"), split="validation")

    def test_keeps_three_speakers_apart(self, tmp_path):
        from harken.train.data import load_corpus

        out = tmp_path / "out"
        for speaker in ("anna", "bert", "carl", "dora"):
            Room().record(plan_of(out, "lights", "fan", speaker=speaker))
        corpus = load_corpus(out, cache_dir=tmp_path / "cache")
        assert "no speaker in two parts" in corpus.report.split_rule
        parts: dict[str | None, set[str]] = {}
        for recording in corpus.select("word"):
            parts.setdefault(recording.speaker, set()).add(recording.split)
        assert parts.keys() == {"anna", "bert", "carl", "dora"}
        assert all(len(each) == 1 for each in parts.values())
        assert {part for each in parts.values() for part in each} == {
            "training", "validation", "testing",
        }  # fmt: skip


class TestCommand:
    @pytest.fixture
    def room(self, monkeypatch) -> Room:
        """A room in the place of the microphone; `harken record` prints, and somebody answers."""
        room = Room()
        monkeypatch.setattr(
            "harken.edge.app.collect.record_cli.Microphone", lambda *args, **options: room.speaker
        )

        class Console:
            def print(self, text: object = "", *, end: str = "\n", soft_wrap: bool = False):
                print(text, end=end, file=sys.stderr)
                room.say(text, end=end)

        monkeypatch.setattr("harken.edge.app.collect.record_cli.notes", Console)
        return room

    def record(self, out: Path, *arguments: object) -> Outcome:
        return harken("record", "lights", "fan", "--out", out, "--clips", 2, *arguments)

    def test_records_what_is_asked_for(self, room, tmp_path):
        done = self.record(tmp_path, "--speaker", "Anna")
        assert done.exit_code == 0
        assert names(tmp_path) == [
            f"{word}/anna/000{number}.wav" for word in ("fan", "lights") for number in (1, 2)
        ]
        assert "complete; train with: harken train" in done.err
        assert "--words lights,fan --out RUN" in done.err
        assert room.speaker.closed

    def test_programs_get_json(self, room, tmp_path):
        done = self.record(tmp_path, "--speaker", "Anna", "--json")
        data = json.loads(done.out)
        assert data["recorded"] == 4
        assert data["there"] == {"lights": 2, "fan": 2}
        assert data["missing"] == {"lights": 0, "fan": 0}
        assert data["finished"] is True
        assert data["seconds_per_clip"] >= 0

    def test_records_no_more_than_is_missing(self, room, tmp_path):
        self.record(tmp_path, "--speaker", "Anna")
        prompts = room.prompts
        done = self.record(tmp_path, "--speaker", "ANNA")
        assert done.exit_code == 0
        assert room.prompts == prompts
        assert "0 recorded" in done.err

    def test_noise_needs_no_speaker(self, room, tmp_path):
        done = harken("record", "--noise", "--noise-seconds", 2, "--out", tmp_path, "--json")
        assert done.exit_code == 0
        assert json.loads(done.out)["noise_s"] == 2.0
        assert names(tmp_path)[0].startswith("_background_noise_/")

    def test_a_pseudonym_is_the_same_at_the_next_time(self, room, tmp_path):
        self.record(tmp_path, "--speaker", "Anna", "--anonymous", "--json")
        done = self.record(tmp_path, "--speaker", "anna", "--anonymous", "--json")
        assert json.loads(done.out)["recorded"] == 0
        assert "anna" not in " ".join(names(tmp_path))
        assert (tmp_path / SALT_FILE).stat().st_mode & 0o777 == 0o600
        other = tmp_path / "other"
        again = self.record(other, "--speaker", "anna", "--anonymous", "--json")
        assert json.loads(again.out)["speaker"] != json.loads(done.out)["speaker"]

    def test_what_was_recorded_stays_when_it_is_interrupted(self, room, tmp_path):
        def interrupt() -> None:
            raise KeyboardInterrupt

        room.speaker.at_block[350] = interrupt
        done = self.record(tmp_path, "--speaker", "anna", "--json")
        assert done.exit_code == INTERRUPTED
        kept = len(names(tmp_path))
        assert 1 <= kept < 4
        data = json.loads(done.out)
        assert (data["recorded"], data["finished"]) == (kept, False)
        assert "run the same command to continue with what is missing" in done.err
        assert self.record(tmp_path, "--speaker", "anna").exit_code == 0
        assert len(names(tmp_path)) == 4

    def test_what_was_recorded_stays_when_the_microphone_is_lost(self, room, tmp_path):
        def lose() -> None:
            raise AudioError('the microphone "USB mic" has stopped: was it unplugged?')

        room.speaker.at_block[350] = lose
        done = self.record(tmp_path, "--speaker", "anna")
        assert done.exit_code == AUDIO_ERROR
        assert "has stopped" in done.error
        assert "run the same command to continue" in done.err
        assert 1 <= len(names(tmp_path)) < 4

    def test_digital_silence_ends_it(self, room, tmp_path):
        room.speaker = Speaker(noise=0.0)
        room.faults = {number: np.zeros(1, np.float32) for number in range(9)}
        done = self.record(tmp_path, "--speaker", "anna")
        assert done.exit_code == AUDIO_ERROR
        assert "nothing but zeros came: is the microphone muted" in done.error
        assert names(tmp_path) == []

    def test_recordings_are_played_back(self, room, tmp_path, monkeypatch):
        played = []

        class Player:
            def __init__(self, rate_hz: int) -> None:
                assert rate_hz == RATE

            def play(self, samples: np.ndarray) -> None:
                played.append(samples)

        monkeypatch.setattr("harken.edge.app.collect.record_cli.Player", Player)
        self.record(tmp_path, "--speaker", "anna", "--play")
        sounds = [soundfile.read(tmp_path / name, dtype="int16")[0] for name in names(tmp_path)]
        assert len(played) == 4
        for sound in played:
            assert any(np.array_equal(sound, other) for other in sounds)

    def test_without_a_loudspeaker_nothing_is_played_back(self, room, tmp_path, monkeypatch):
        remove_portaudio(monkeypatch)
        done = self.record(tmp_path, "--speaker", "anna", "--play")
        assert done.exit_code == 0
        assert "nothing is played back" in done.err
        assert len(names(tmp_path)) == 4


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["fan"], "say who speaks, as in --speaker anna"),
            ([], "give words to record, or --noise"),
            (["a/b", "--speaker", "anna"], "'a/b' holds '/'"),
            (["", "--speaker", "anna"], "is no word"),
            (["fan", "--speaker", ""], "is not a name; it needs a letter"),
            (["fan", "--speaker", "//"], "is not a name"),
            (["fan", "--speaker", "anna", "--clips", "0"], "--clips"),
            (["fan", "--speaker", "anna", "--seconds", "9"], "--seconds"),
        ],
    )
    def test_at_the_command_line(self, tmp_path, arguments, said):
        done = harken("record", *arguments, "--out", tmp_path / "out")
        assert done.exit_code == USAGE
        assert said in done.err
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("place", ["file", "file/below"])
    @pytest.mark.parametrize("more", [[], ["--anonymous"]])
    def test_a_file_in_the_folders_place(self, tmp_path, place, more):
        (tmp_path / "file").write_text("mine")
        done = harken("record", "fan", "--speaker", "anna", "--out", tmp_path / place, *more)
        assert done.exit_code == DATA_ERROR
        assert f"cannot record into {tmp_path / place}" in done.error
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_file_in_the_place_of_a_word(self, tmp_path):
        (tmp_path / "fan").write_text("mine")
        done = harken("record", "fan", "--speaker", "anna", "--out", tmp_path)
        assert done.exit_code == DATA_ERROR
        assert "fan/anna: Not a directory" in done.error

    def test_no_microphone(self, tmp_path, monkeypatch):
        FakeSounddevice([Device(name="Speaker", max_input_channels=0)]).install(monkeypatch)
        done = harken("record", "fan", "--speaker", "anna", "--out", tmp_path)
        assert done.exit_code == AUDIO_ERROR
        assert "no microphone" in done.error

    def test_no_portaudio(self, tmp_path, monkeypatch):
        remove_portaudio(monkeypatch)
        done = harken("record", "fan", "--speaker", "anna", "--out", tmp_path)
        assert done.exit_code == AUDIO_ERROR
        assert "PortAudio" in done.error

    def test_a_microphone_that_is_unplugged(self, tmp_path, monkeypatch):
        """With the microphone itself, and a sound card that is pulled after two seconds."""

        def script(stream) -> None:
            for _ in range(50):
                stream.deliver(tones.to_int16(tones.quiet(0.04)))
            stream.finish()

        FakeSounddevice([Device()], script=script).install(monkeypatch)
        done = harken("record", "fan", "--speaker", "anna", "--out", tmp_path, "--json")
        assert done.exit_code == AUDIO_ERROR
        assert '"USB mic" has stopped' in done.error
        assert json.loads(done.out)["finished"] is False
