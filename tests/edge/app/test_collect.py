"""Clips around words and near misses: what is kept, how, and what happens when it cannot be."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tones
from hypothesis import given
from hypothesis import strategies as st

from harken.edge import Model, Spotter
from harken.edge.app.collect import clips as clips_module
from harken.edge.app.collect.clips import Clip, ClipFolder
from harken.edge.app.collect.journal import Journal
from harken.edge.app.collect.keep import AFTER_S, BEFORE_S, Keeper
from harken.edge.app.collect.marks import Mark
from harken.edge.app.collect.near import LONGEST_S, NEAR_LOG_ODDS, NearMisses
from harken.edge.app.collect.ring import Ring
from harken.edge.app.listen import Heard, Listener
from harken.edge.errors import DataError
from harken.edge.sound.pcm import Chunks
from harken.edge.sound.sources import Block, Source
from harken.edge.spotting.spotter import Event

RATE = tones.RATE


class Blocks(Source):
    """Blocks as they are given, with what was lost before each."""

    def __init__(self, *blocks: tuple[np.ndarray, int]) -> None:
        super().__init__("blocks")
        self._blocks = blocks

    def __iter__(self):
        for samples, lost in self._blocks:
            yield Block(samples=samples, arrived_at=0.0, lost_samples=lost)

    def close(self) -> None:
        pass


def in_blocks(samples: np.ndarray, length: int = 640) -> list[tuple[np.ndarray, int]]:
    return [(samples[at : at + length], 0) for at in range(0, len(samples), length)]


def keep(folder: Path, model: Model, source: Source, **options: object) -> list[str]:
    """Listen to a source and keep clips; return the warnings."""
    warnings: list[str] = []
    detector = options.pop("detector", None)
    spotter = Spotter(model, detector=detector)
    keeper = Keeper(folder, spotter, on_warning=warnings.append, **options)
    try:
        Listener(spotter, source, observers=[keeper]).run()
    finally:
        keeper.close()
    return warnings


def kept(folder: Path) -> list[Clip]:
    contents = ClipFolder(folder).read()
    assert contents.problems == ()
    return list(contents.clips)


def almost(model: Model, samples: np.ndarray, distance: float = 0.5):
    """A detector whose thresholds lie so far above what the samples come to, in log-odds."""
    spotter = Spotter(model)
    spotter.feed(samples)
    peak = spotter.evidence[:, : len(model.manifest.words)].max()
    odds = peak / (1 - peak) * np.exp(distance)
    thresholds = dict.fromkeys(model.manifest.words, float(odds / (1 + odds)))
    return dataclasses.replace(model.manifest.detector, thresholds=thresholds)


class TestRing:
    @given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 300), st.integers(0, 300))
    def test_any_stretch_of_the_last_samples_comes_back(self, lengths, first, last):
        ring, stream = Ring(40), np.zeros(0, np.int16)
        for length in lengths:
            new = np.arange(len(stream), len(stream) + length, dtype=np.int16)
            stream = np.concatenate((stream, new))
            ring.push(new)
        start, samples = ring.cut(first, last)
        oldest = max(0, len(stream) - 40)
        expected = stream[max(first, oldest) : max(last, oldest)] if last > first else stream[:0]
        assert np.array_equal(samples, expected)
        assert not len(samples) or start == samples[0]

    def test_nothing_reaches_across_a_gap(self):
        ring = Ring(100)
        ring.push(np.ones(50, np.int16))
        ring.restart(80)
        ring.push(np.full(10, 2, np.int16))
        start, samples = ring.cut(0, 100)
        assert (start, samples.tolist()) == (80, [2] * 10)


class TestWords:
    def test_each_has_two_seconds_of_its_own(self, tmp_path, tones_model):
        samples = tones.stream("low", "high", "low", pause_s=1.5)
        keep(tmp_path / "clips", tones_model, Blocks(*in_blocks(samples)))
        heard = kept(tmp_path / "clips")
        assert [(clip.kind, clip.word) for clip in heard] == [
            ("event", "low"), ("event", "high"), ("event", "low"),
        ]  # fmt: skip
        for clip, start in zip(heard, tones.starts(3, pause_s=1.5), strict=True):
            sound = ClipFolder(tmp_path / "clips").load(clip)
            assert len(sound) == round((BEFORE_S + AFTER_S) * RATE) == round(clip.seconds * RATE)
            assert np.array_equal(sound, samples[clip.position : clip.position + len(sound)])
            word_end = start + round(tones.BURST_S * RATE) - clip.position
            assert start > clip.position
            assert word_end < len(sound)
            assert abs(clip.end_sample - word_end) < 0.4 * RATE

    def test_are_told_of_in_a_line_each(self, tmp_path, tones_model):
        keep(tmp_path, tones_model, Blocks(*in_blocks(tones.stream("low"))))
        (line,) = (tmp_path / "clips.jsonl").read_text().splitlines()
        told = json.loads(line)
        assert soundfile.info(tmp_path / told["file"]).subtype == "PCM_16"
        assert soundfile.info(tmp_path / told["file"]).samplerate == RATE
        assert told["model"] == tones_model.manifest.name
        assert told["sha256"] == tones_model.manifest.model.sha256
        assert told["words"] == ["low", "high"]
        assert told["threshold"] == tones_model.manifest.detector.thresholds["low"]
        assert told["threshold"] <= told["confidence"] <= 1
        assert told["start_s"] == round(told["start_sample"] / RATE, 4)
        assert told["end_s"] == round(told["end_sample"] / RATE, 4)
        assert told["time"].endswith("+00:00")
        assert told["command"] is None

    def test_do_not_depend_on_how_sound_is_cut_into_blocks(self, tmp_path, tones_model):
        samples = tones.stream("low", "high", "high", pause_s=2.0)
        told = []
        for length in (100, 640, 5000, len(samples)):
            folder = tmp_path / str(length)
            keep(folder, tones_model, Blocks(*in_blocks(samples, length)))
            told.append(
                [
                    (c.word, c.position, c.start_sample, c.end_sample, c.seconds)
                    for c in kept(folder)
                ]
            )
        assert told[0] == told[1] == told[2] == told[3]
        assert len(told[0]) == 3

    def test_at_the_end_are_kept_with_what_there_is(self, tmp_path, tones_model):
        samples = tones.stream("low")[: -round(0.5 * RATE)]
        keep(tmp_path, tones_model, Blocks(*in_blocks(samples)))
        (clip,) = kept(tmp_path)
        assert clip.position + round(clip.seconds * RATE) == len(samples)

    def test_the_command_is_told(self, tmp_path, tones_model):
        from harken.edge.memory.grammar_file import parse_grammar
        from harken.edge.memory.memory import Memory

        memory = Memory.of(parse_grammar(tones.BEEPS), tones_model, now_s=0.0)
        spotter = Spotter(tones_model, context=memory)
        keeper = Keeper(tmp_path, spotter)
        source = Blocks(*in_blocks(tones.stream("low", "high")))
        Listener(spotter, source, observers=[keeper], memory=memory).run()
        keeper.close()
        assert [clip.command for clip in kept(tmp_path)] == [None, "beep low high"]

    def test_any_source_will_do(self, tmp_path, tones_model):
        keep(tmp_path, tones_model, Chunks([tones.stream("high")]))
        assert [clip.word for clip in kept(tmp_path)] == ["high"]


class TestLostSound:
    def test_a_clip_ends_where_sound_was_lost(self, tmp_path, tones_model):
        samples = tones.stream("low", pause_s=1.5)
        heard_until = round((1.5 + tones.BURST_S + 0.4) * RATE)
        before, after = samples[:heard_until], samples[heard_until:]
        keep(tmp_path, tones_model, Blocks(*in_blocks(before), (after, RATE)))
        (clip,) = kept(tmp_path)
        assert clip.position + round(clip.seconds * RATE) == heard_until
        sound = ClipFolder(tmp_path).load(clip)
        assert np.array_equal(sound, samples[clip.position : heard_until])

    def test_a_clip_begins_where_sound_was_lost(self, tmp_path, tones_model):
        quiet = tones.to_int16(tones.quiet(3.0))
        samples = tones.stream("low", pause_s=0.3)
        keep(tmp_path, tones_model, Blocks(*in_blocks(quiet), (samples, 1000)))
        (clip,) = kept(tmp_path)
        assert clip.position == len(quiet) + 1000
        assert np.array_equal(ClipFolder(tmp_path).load(clip), samples)


class TestNearMisses:
    def test_are_kept_with_the_evidence_that_was_not_enough(self, tmp_path, tones_model):
        samples = tones.stream("low", pause_s=1.5)
        detector = almost(tones_model, samples)
        keep(tmp_path, tones_model, Blocks(*in_blocks(samples)), detector=detector)
        (clip,) = kept(tmp_path)
        assert (clip.kind, clip.word) == ("near-miss", "low")
        assert clip.confidence < clip.threshold
        sound = ClipFolder(tmp_path).load(clip)
        assert np.array_equal(sound, samples[clip.position : clip.position + len(sound)])
        assert np.abs(sound).max() == np.abs(samples).max()

    def test_what_is_further_away_is_not_kept(self, tmp_path, tones_model):
        samples = tones.stream("low", pause_s=1.5)
        detector = almost(tones_model, samples, NEAR_LOG_ODDS + 0.3)
        keep(tmp_path, tones_model, Blocks(*in_blocks(samples)), detector=detector)
        assert kept(tmp_path) == []

    def test_silence_and_noise_are_not_kept(self, tmp_path, tones_model):
        samples = tones.to_int16(np.concatenate((tones.quiet(2), tones.hiss(2), tones.quiet(2))))
        keep(tmp_path, tones_model, Blocks(*in_blocks(samples)))
        assert kept(tmp_path) == []


def word_heard(end: int) -> Event:
    return Event(
        word="low", confidence=0.9, acoustic=0.9, start_sample=end - 1, end_sample=end,
        start_s=0.0, end_s=0.0, latency_s=0.0,
    )  # fmt: skip


class Steps:
    """Evidence for "low", step by step, as a detector would give it."""

    def __init__(self, model: Model) -> None:
        self.near = NearMisses(model.manifest, model.manifest.detector)
        self.threshold = model.manifest.detector.thresholds["low"]
        self.step = model.manifest.step_samples
        front_end = model.manifest.front_end
        self.heard = front_end.window_samples - front_end.hop_samples
        self.quiet_steps = -(-RATE * 2 // 5 // self.step) + 1

    def at(self, log_odds: float) -> float:
        odds = self.threshold / (1 - self.threshold) * np.exp(log_odds)
        return float(odds / (1 + odds))

    def feed(self, *log_odds: float, word_at: int | None = None) -> list:
        evidence = np.zeros((len(log_odds), 4), np.float32)
        evidence[:, 0] = [self.at(each) for each in log_odds]
        events = []
        if word_at is not None:
            end = self.heard + (word_at + 1) * self.step
            events = [word_heard(end)]
        self.heard += len(log_odds) * self.step
        return self.near.feed(evidence, events)

    def rest(self, steps: int | None = None) -> list:
        return self.feed(*[-9.0] * (steps or self.quiet_steps))


class TestBursts:
    @pytest.fixture
    def steps(self, tones_model) -> Steps:
        return Steps(tones_model)

    def test_one_burst_is_one_near_miss_at_its_peak(self, steps):
        assert steps.feed(-9, -1.2, -0.4, -1.0, -9, -1.3) == []
        peak = steps.heard - 3 * steps.step
        (near,) = steps.rest()
        assert near.word == "low"
        assert near.evidence == pytest.approx(steps.at(-0.4), abs=1e-6)
        assert near.end_sample == peak
        assert near.start_sample == peak - steps.step
        assert steps.rest() == []

    def test_two_bursts_are_two(self, steps):
        found = steps.feed(-1.0) + steps.rest() + steps.feed(-1.0) + steps.rest()
        assert len(found) == 2

    def test_one_that_becomes_a_word_is_the_word(self, steps):
        assert steps.feed(-1.0, -0.5, 0.5, 0.3, -0.5, word_at=2) + steps.rest() == []

    def test_what_follows_a_word_while_the_detector_rests_belongs_to_it(self, steps):
        assert steps.feed(0.5, -9, -9, -1.0, -9, word_at=0) + steps.rest() == []
        assert len(steps.feed(-1.0) + steps.rest()) == 1

    def test_one_that_goes_on_is_told_once(self, steps):
        long = [-1.0] * (2 * round(LONGEST_S * RATE) // steps.step)
        assert len(steps.feed(*long) + steps.rest()) == 1

    def test_the_end_tells_what_is_left(self, steps):
        steps.feed(-1.0)
        assert len(steps.near.end()) == 1
        assert steps.near.end() == []

    def test_a_threshold_of_one_has_near_misses_too(self, tones_model):
        manifest = tones_model.manifest
        detector = dataclasses.replace(
            manifest.detector, thresholds=dict.fromkeys(manifest.words, 1.0)
        )
        near = NearMisses(manifest, detector)
        evidence = np.zeros((1, 4), np.float32)
        evidence[0, 1] = 1.0
        near.feed(evidence, [])
        assert [each.word for each in near.end()] == ["high"]


class TestFolder:
    def test_only_its_owner_may_read_it(self, tmp_path, tones_model):
        folder = tmp_path / "new" / "clips"
        keep(folder, tones_model, Blocks(*in_blocks(tones.stream("low"))))
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        assert len(list(folder.iterdir())) == 3  # sound, labels, lock

    def test_names_sort_by_time_and_none_comes_twice(self, tmp_path, tones_model):
        for _ in range(3):
            samples = tones.stream("low", "high")
            keep(tmp_path, tones_model, Blocks(*in_blocks(samples)))
        names = [json.loads(s)["file"] for s in (tmp_path / "clips.jsonl").read_text().splitlines()]
        assert len(set(names)) == 6
        assert names == sorted(names)

    def test_a_last_line_that_was_cut_short_loses_nothing_else(self, tmp_path, tones_model):
        keep(tmp_path, tones_model, Blocks(*in_blocks(tones.stream("low"))))
        labels = tmp_path / "clips.jsonl"
        labels.write_bytes(labels.read_bytes() + labels.read_bytes()[:50])
        keep(tmp_path, tones_model, Blocks(*in_blocks(tones.stream("high"))))
        contents = ClipFolder(tmp_path).read()
        assert [clip.word for clip in contents.clips] == ["low", "high"]
        assert contents.problems == ("clips.jsonl:2: not a line of JSON; skipped",)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"file": "../../etc/passwd.flac"}, "be the name of a .flac file in this folder"),
            ({"kind": "guess"}, "be event or near-miss"),
            ({"words": "low"}, "be a JSON array"),
            ({"start_sample": 10**9}, "before end_sample"),
        ],
    )
    def test_a_line_that_makes_no_sense_is_passed_over(self, tmp_path, tones_model, change, said):
        keep(tmp_path, tones_model, Blocks(*in_blocks(tones.stream("low"))))
        labels = tmp_path / "clips.jsonl"
        labels.write_text(json.dumps({**json.loads(labels.read_text()), **change}) + "\n")
        contents = ClipFolder(tmp_path).read()
        assert contents.clips == ()
        assert said in contents.problems[0]

    @pytest.mark.parametrize("below", ["", "sub"])
    def test_a_file_in_its_place_is_refused(self, tmp_path, tones_model, below):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(DataError, match="it is a file, or inside one") as refused:
            Keeper(tmp_path / "file" / below, Spotter(tones_model))
        assert refused.value.exit_code == 5
        assert (tmp_path / "file").read_text() == "mine"

    def test_one_that_cannot_be_written_is_refused(self, tmp_path, tones_model, monkeypatch):
        def refuse(path, *args, **options):
            raise DataError(f"cannot write {path}: No space left on device")

        monkeypatch.setattr("harken.edge.app.collect.keep.write_atomic", refuse)
        with pytest.raises(DataError, match="No space left"):
            Keeper(tmp_path, Spotter(tones_model))
        monkeypatch.undo()
        Keeper(tmp_path, Spotter(tones_model)).close()  # the lock was let go

    def test_two_programs_do_not_share_it(self, tmp_path, tones_model):
        first = Keeper(tmp_path, Spotter(tones_model))
        with pytest.raises(DataError, match="another program keeps clips in"):
            Keeper(tmp_path, Spotter(tones_model))
        first.close()
        first.close()  # once more does no harm
        Keeper(tmp_path, Spotter(tones_model)).close()

    @pytest.mark.parametrize("limit_mb", [0, -1, float("nan")])
    def test_a_limit_without_room_is_refused(self, tmp_path, tones_model, limit_mb):
        with pytest.raises(DataError, match="is too small for clips; give 1 or more"):
            Keeper(tmp_path / "new", Spotter(tones_model), limit_mb=limit_mb)
        assert not (tmp_path / "new").exists()


class TestTrouble:
    def test_a_full_disk_is_told_once_and_listening_goes_on(
        self, tmp_path, tones_model, monkeypatch
    ):
        full = True

        def write(path, content, **options):
            if full:
                raise DataError(f"cannot write {path}: No space left on device")
            real(path, content, **options)

        real = clips_module.write_atomic
        monkeypatch.setattr(clips_module, "write_atomic", write)
        warnings: list[str] = []
        spotter = Spotter(tones_model)
        keeper = Keeper(tmp_path, spotter, on_warning=warnings.append)
        words: list[str] = []

        class Words:
            def heard(self, heard: Heard) -> None:
                words.extend(event.word for event in heard.events)

        blocks = in_blocks(tones.stream("low", "high", "low", "high"))
        Listener(spotter, Blocks(*blocks), observers=[keeper, Words()]).run()
        keeper.close()
        assert words == ["low", "high", "low", "high"]
        assert len(warnings) == 1
        assert "No space left on device. harken keeps listening" in warnings[0]
        assert keeper.summary() == (
            f"4 words and 0 near misses in {tmp_path}, except 4 that could not be written"
        )
        assert not list(tmp_path.glob("*.flac"))
        full = False
        keep(tmp_path, tones_model, Blocks(*blocks))
        assert len(kept(tmp_path)) == 4

    def test_a_line_that_cannot_be_written_leaves_no_sound_without_one(
        self, tmp_path, tones_model, monkeypatch
    ):
        def refuse(journal, entry):
            raise DataError("cannot write clips.jsonl: No space left on device")

        monkeypatch.setattr(Journal, "append", refuse)
        assert len(keep(tmp_path, tones_model, Blocks(*in_blocks(tones.stream("low"))))) == 1
        assert not list(tmp_path.glob("*.flac"))

    def test_a_slow_disk_holds_up_nobody(self, tmp_path, tones_model, monkeypatch):
        monkeypatch.setattr("harken.edge.app.collect.writer.QUEUE_CLIPS", 2)
        writing, go_on = threading.Event(), threading.Event()
        real = ClipFolder.save

        def save(folder, clip, samples):
            writing.set()
            assert go_on.wait(10)
            return real(folder, clip, samples)

        monkeypatch.setattr(ClipFolder, "save", save)
        warnings: list[str] = []
        spotter = Spotter(tones_model)
        keeper = Keeper(tmp_path, spotter, on_warning=warnings.append)
        first = in_blocks(tones.stream("low", "high", pause_s=1.5))
        Listener(spotter, Blocks(*first), observers=[keeper]).run()
        assert writing.wait(10)
        start = spotter.samples_heard
        samples = tones.stream("low", "high", "low", "high", pause_s=1.5)
        Listener(spotter, Blocks(*in_blocks(samples)), observers=[keeper]).run()
        assert spotter.samples_heard == start + len(samples)  # nobody waited
        go_on.set()
        keeper.close()
        assert len(warnings) == 1
        assert "too slow" in warnings[0]
        lost = 6 - len(kept(tmp_path))
        assert lost >= 1
        assert f"except {lost} that could not be written" in keeper.summary()

    def test_nothing_is_lost_at_the_end(self, tmp_path, tones_model, monkeypatch):
        real = ClipFolder.save

        def slow(folder, clip, samples):
            threading.Event().wait(0.05)
            return real(folder, clip, samples)

        monkeypatch.setattr(ClipFolder, "save", slow)
        keep(tmp_path, tones_model, Blocks(*in_blocks(tones.stream(*["low", "high"] * 4))))
        assert len(kept(tmp_path)) == 8


class TestLimit:
    """Noise cannot be packed, so 1 MB holds few clips of it."""

    SAMPLES = np.random.default_rng(0).integers(-9999, 9999, 2 * RATE).astype(np.int16)

    def fill(self, folder: Path, model: Model, count: int, warnings: list[str] | None = None):
        from harken.edge.app.collect.writer import ClipWriter

        keep(folder, model, Blocks(*in_blocks(tones.stream("low"))))
        (template,) = (json.loads(s) for s in (folder / "clips.jsonl").read_text().splitlines()[:1])
        writer = ClipWriter(ClipFolder(folder), limit_bytes=1_000_000)
        for number in range(count):
            values = {**template, "file": f"2030-{number:03}.flac", "words": ("low", "high")}
            writer.put(Clip(**values), self.SAMPLES)
        writer.close()
        if warnings is not None:
            warnings += writer.take_warnings()
        return writer

    def size(self, folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.iterdir())

    def test_the_oldest_that_nobody_reviewed_make_room(self, tmp_path, tones_model):
        self.fill(tmp_path, tones_model, 40)
        assert self.size(tmp_path) <= 1_000_000
        names = [clip.file for clip in kept(tmp_path)]  # labels and sound agree, or it would say
        assert names == [f"2030-{number:03}.flac" for number in range(40)][-len(names) :]
        assert len(names) >= 10

    def test_what_was_reviewed_stays(self, tmp_path, tones_model):
        self.fill(tmp_path, tones_model, 3)
        folder = ClipFolder(tmp_path)
        first, second, third, _ = kept(tmp_path)
        folder.mark(first.file, Mark("word", "low"), time="")
        folder.mark(second.file, Mark("skip"), time="")
        folder.mark(third.file, Mark("noise"), time="")
        self.fill(tmp_path, tones_model, 40)
        names = [clip.file for clip in kept(tmp_path)]
        assert first.file in names
        assert third.file in names
        assert second.file not in names

    def test_when_only_reviewed_clips_are_left_no_more_are_kept(self, tmp_path, tones_model):
        self.fill(tmp_path, tones_model, 12)
        folder = ClipFolder(tmp_path)
        before = kept(tmp_path)
        for clip in before:
            folder.mark(clip.file, Mark("wrong"), time="")
        big = tmp_path / "2029.flac"
        big.write_bytes(bytes(1_100_000))
        folder.mark(big.name, Mark("noise"), time="")
        warnings: list[str] = []
        # The clip of `fill` itself is written under the usual limit.
        writer = self.fill(tmp_path, tones_model, 5, warnings)
        assert writer.written == 0
        assert writer.missed == 5
        assert len(warnings) == 1
        assert "of reviewed clips: no more are kept" in warnings[0]
        assert {clip.file for clip in before} <= {
            clip.file for clip in ClipFolder(tmp_path).read().clips
        }


class TestJournal:
    def test_what_is_appended_comes_back(self, tmp_path):
        journal = Journal(tmp_path / "a.jsonl")
        assert journal.read() == ([], [])
        grown = journal.append({"a": "µ"}) + journal.append({"b": 1})
        assert journal.read() == ([{"a": "µ"}, {"b": 1}], [])
        assert (tmp_path / "a.jsonl").stat().st_size == grown

    def test_a_write_that_fails_half_way_leaves_the_file_as_it_was(self, tmp_path, monkeypatch):
        import errno
        import os

        journal = Journal(tmp_path / "a.jsonl")
        journal.append({"a": 1})
        real = os.write

        def write(descriptor, data):
            if len(data) > 4:
                return real(descriptor, data[:4])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(DataError, match="No space left on device"):
            journal.append({"b": "much more than four bytes", "c": 123})
        monkeypatch.undo()
        assert (tmp_path / "a.jsonl").read_text() == '{"a": 1}\n'

    def test_any_rubbish_is_told_by_its_line(self, tmp_path):
        path = tmp_path / "a.jsonl"
        path.write_bytes(b'{"a": 1}\n\xff\xfe\n[1]\n\n{"b": 2}\n' + b"[" * 100_000)
        entries, damaged = Journal(path).read()
        assert entries == [{"a": 1}, {"b": 2}]
        assert damaged == [2, 3, 6]
        Journal(path).append({"c": 3})
        assert Journal(path).read()[0][-1] == {"c": 3}


def test_whoever_listens_does_not_wait_for_it(tmp_path, tones_model):
    """A block of 40 ms takes a fraction of that, also when a clip is cut."""
    import time

    spotter = Spotter(tones_model)
    keeper = Keeper(tmp_path, spotter)
    spent: list[float] = []

    class Timed:
        def heard(self, heard: Heard) -> None:
            began = time.thread_time()
            keeper.heard(heard)
            spent.append(time.thread_time() - began)

    source = Blocks(*in_blocks(tones.stream(*["low", "high"] * 5)))
    Listener(spotter, source, observers=[Timed()]).run()
    keeper.close()
    assert len(kept(tmp_path)) == 10
    assert np.mean(spent) < 0.002
    assert max(spent) < 0.02
