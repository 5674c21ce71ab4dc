"""Clip accuracy: which clips count as what, how they are decided, and what is reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import soundfile
import tones
from command import harken
from conftest import DATA

from harken.edge.errors import DataError
from harken.edge.spotting.clip import classify_clip, clip_tail
from harken.edge.spotting.engine import Engine
from harken.edge.spotting.frontend import FrontEnd
from harken.edge.spotting.manifest import Model
from harken.edge.spotting.spotter import Spotter
from harken.train.corpus import Corpus
from harken.train.data import load_corpus
from harken.train.evaluate import Clip, Part, Score, evaluate, select_clips

MODEL = DATA / "tones.tflite"
WORDS = ("low", "high")


@pytest.fixture
def model(tones_model: Model) -> Model:
    return tones_model


def write(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, tones.RATE)


def clip(word: str, *, level: float, seed: int) -> np.ndarray:
    """One second with a word in it, int16."""
    return tones.stream(word, pause_s=0.3, level=level, seed=seed)


def make_data(folder: Path, *, noise: bool = True) -> Path:
    """Ten clips of either tone, ten of hiss, and noise."""
    for number in range(10):
        level = 0.02 * 1.5**number / 2
        write(folder / "low" / f"{number}.wav", clip("low", level=level, seed=number))
        write(folder / "high" / f"{number}.wav", clip("high", level=level, seed=number))
        write(folder / "bed" / f"{number}.wav", tones.to_int16(tones.hiss(1.0, seed=number)))
    if noise:
        write(folder / "_background_noise_" / "fan.wav", tones.to_int16(tones.quiet(40.0)))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_data(tmp_path / "data")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def corpus(data: Path, cache: Path) -> Corpus:
    return load_corpus(data, cache_dir=cache, keep_silent=True)


def counts(clips: tuple[Clip, ...], words: tuple[str, ...] = WORDS) -> dict[str, int]:
    labels = (*words, "unknown", "silence")
    found = [labels[clip.label] for clip in clips]
    return {label: found.count(label) for label in labels}


class TestWhichClips:
    def test_words_other_words_and_silence_from_noise(self, corpus: Corpus) -> None:
        clips = select_clips(corpus, WORDS, split="all")
        assert counts(clips) == {"low": 10, "high": 10, "unknown": 10, "silence": 2}
        validation = select_clips(corpus, WORDS, split="validation")
        assert counts(validation) == {"low": 1, "high": 1, "unknown": 1, "silence": 1}

    def test_a_subset_of_words_makes_the_others_unknown(self, corpus: Corpus) -> None:
        clips = select_clips(corpus, ("low",), split="all")
        assert counts(clips, ("low",)) == {"low": 10, "unknown": 20, "silence": 1}

    def test_balance_limits_unknown_to_a_tenth(self, corpus: Corpus) -> None:
        clips = select_clips(corpus, WORDS, split="all", balance=True)
        assert counts(clips) == {"low": 10, "high": 10, "unknown": 2, "silence": 2}

    def test_the_test_archive_brings_its_own_unknown_and_silence(
        self, data: Path, cache: Path
    ) -> None:
        for number in range(4):
            write(data / "_silence_" / f"{number}.wav", np.zeros(tones.RATE, np.int16))
            write(data / "_unknown_" / f"{number}.wav", tones.to_int16(tones.hiss(1.0)))
        corpus = load_corpus(data, cache_dir=cache, keep_silent=True)
        clips = select_clips(corpus, WORDS, split="all")
        assert counts(clips) == {"low": 10, "high": 10, "unknown": 14, "silence": 4}
        assert {clip.word for clip in clips if clip.label == 3} == {"_silence_"}

    @pytest.mark.parametrize("split", ["training", "validation", "testing"])
    def test_silence_comes_from_the_noise_of_the_part_that_was_asked_for(
        self, corpus: Corpus, split: Part
    ) -> None:
        (fan,) = (r for r in corpus.select("noise") if r.split == split)
        silence = [c for c in select_clips(corpus, WORDS, split=split) if c.label == 3]
        assert silence
        offset = fan.start - min(r.start for r in corpus.select("noise"))
        for piece in silence:
            path, _, first = piece.path.partition("@")
            assert path == "_background_noise_/fan.wav"
            assert len(piece.samples) == tones.RATE
            assert 0 <= int(first) <= fan.length - tones.RATE
            whole = tones.to_int16(tones.quiet(40.0))[offset:]
            np.testing.assert_array_equal(
                piece.samples, whole[int(first) : int(first) + tones.RATE]
            )

    def test_drawing_depends_on_the_seed_alone(self, corpus: Corpus) -> None:
        def paths(seed: int) -> list[str]:
            return [
                clip.path
                for clip in select_clips(corpus, WORDS, split="all", balance=True, seed=seed)
            ]

        assert paths(0) == paths(0)
        assert paths(0) != paths(1)

    def test_digital_zeros_are_not_drawn_as_silence(self, tmp_path: Path, cache: Path) -> None:
        data = make_data(tmp_path / "data", noise=False)
        mostly_zero = np.zeros(20 * tones.RATE, np.int16)
        mostly_zero[5 * tones.RATE : 8 * tones.RATE] = 500
        write(data / "_background_noise_" / "gated.wav", mostly_zero)
        corpus = load_corpus(data, cache_dir=cache)
        for seed in range(10):
            silence = [
                c for c in select_clips(corpus, WORDS, split="all", seed=seed) if c.label == 3
            ]
            assert len(silence) == 2
            assert all(c.samples.any() for c in silence)


class TestEvaluation:
    def test_what_a_working_model_reaches(self, model: Model, corpus: Corpus) -> None:
        calls: list[tuple[int, int]] = []
        result = evaluate(model, corpus, split="all", progress=lambda *call: calls.append(call))
        assert result.labels == model.manifest.labels
        assert result.confusion.sum(axis=1).tolist() == [10, 10, 10, 2]
        assert result.overall.accuracy is not None
        assert result.overall.accuracy >= 0.9
        assert result.unknown_words["bed"].clips == 10
        assert len(result.mistakes) == result.overall.clips - result.overall.right
        assert calls[-1] == (32, 32)

    def test_a_device_that_hears_sample_by_sample_decides_the_same(
        self, model: Model, corpus: Corpus
    ) -> None:
        result = evaluate(model, corpus, split="validation")
        assert result.confusion.sum(axis=1).tolist() == [1, 1, 1, 1]

        front_end, engine = FrontEnd(model.manifest.front_end), Engine(model)
        smoothing_steps = model.manifest.detector.smoothing_steps
        confusion = np.zeros_like(result.confusion)
        for clip in select_clips(corpus, WORDS, split="validation"):
            front_end.reset()
            engine.reset()
            heard = np.concatenate((clip.samples, clip_tail(clip.samples, 16_000)))
            posteriors = np.concatenate(
                [engine.feed(front_end.feed(sample)) for sample in heard[:, None]]
            )
            whole = Spotter(model).classify(clip.samples)
            decision = classify_clip(posteriors, smoothing_steps)
            assert model.manifest.labels[decision] == whole
            confusion[clip.label, decision] += 1
        np.testing.assert_array_equal(confusion, result.confusion)

    def test_the_order_of_clips_leaves_no_trace(self, model: Model, corpus: Corpus) -> None:
        once = evaluate(model, corpus, split="all")
        alone = evaluate(model, corpus, split="all", words=["low"])
        assert alone.by_label["low"] == once.by_label["low"]

    def test_words_that_were_not_asked_for_are_unknown_as_truth_and_as_answer(
        self, model: Model, corpus: Corpus
    ) -> None:
        both = evaluate(model, corpus, split="all")
        low = evaluate(model, corpus, split="all", words=["low"])
        assert low.labels == ("low", "unknown", "silence")
        assert low.unknown_words.keys() == {"high", "bed"}
        heard_high = both.confusion[1, 1] + both.confusion[1, 2]
        assert low.unknown_words["high"] == Score(clips=10, right=int(heard_high))
        assert heard_high >= 9

    def test_a_word_that_only_the_data_know_counts_as_unknown_and_is_noted(
        self, model: Model, corpus: Corpus
    ) -> None:
        result = evaluate(model, corpus, split="all", words=["low", "high", "bed"])
        assert result.labels == ("low", "high", "unknown", "silence")
        assert result.notes == ("the model does not know bed: their clips count as unknown",)

    def test_words_that_nobody_knows_are_an_error(self, model: Model, corpus: Corpus) -> None:
        with pytest.raises(DataError, match=r"'lwo' is neither .* the model knows low, high"):
            evaluate(model, corpus, split="all", words=["lwo"])
        with pytest.raises(DataError, match=r"the model knows none of bed; it knows low, high"):
            evaluate(model, corpus, split="all", words=["bed"])

    def test_data_without_noise_are_evaluated_without_silence(
        self, model: Model, tmp_path: Path, cache: Path
    ) -> None:
        data = make_data(tmp_path / "data", noise=False)
        result = evaluate(model, load_corpus(data, cache_dir=cache), split="all")
        assert result.by_label["silence"] == Score(clips=0, right=0)
        assert result.by_label["silence"].accuracy is None
        assert "no silence was evaluated" in result.notes[0]
        assert result.mean_label_accuracy >= 0.9, "labels without clips have no weight"

    def test_figures_as_json(self, model: Model, corpus: Corpus) -> None:
        result = evaluate(model, corpus, split="all")
        figures = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert figures["clips"] == 32
        assert figures["labels"]["low"]["clips"] == 10
        assert figures["confusion"]["counts"] == result.confusion.tolist()
        assert figures["provenance"]["model_sha256"] == model.manifest.model.sha256
        assert figures["provenance"]["data_fingerprint"] == corpus.fingerprint
        assert figures["provenance"]["runtime"]

    def test_tflm_decides_too(self, model: Model, corpus: Corpus) -> None:
        pytest.importorskip("tflite_micro")
        from harken.export.tflm import TflmRuntime

        litert = evaluate(model, corpus, split="all")
        tflm = evaluate(model, corpus, split="all", runtime=TflmRuntime(model))
        assert np.abs(tflm.confusion - litert.confusion).sum() <= 2
        assert "tflite-micro" in tflm.provenance["runtime"]

    @pytest.mark.parametrize(
        ("right", "clips", "low", "high"),
        [
            (8, 10, 0.4902, 0.9433),
            (0, 10, 0.0, 0.2775),
            (10, 10, 0.7225, 1.0),
            (930, 1000, 0.9125, 0.9442),
        ],
    )
    def test_wilson_intervals(self, right: int, clips: int, low: float, high: float) -> None:
        assert Score(clips=clips, right=right).interval == pytest.approx((low, high), abs=1e-4)

    def test_no_clips_no_interval(self) -> None:
        assert Score(clips=0, right=0).interval is None


class TestCommand:
    @pytest.fixture
    def arguments(self, data: Path, cache: Path) -> list[object]:
        return ["eval", MODEL, "--data", data, "--cache-dir", cache, "--split", "all"]

    def test_a_table_for_people(self, arguments: list[object]) -> None:
        outcome = harken(*arguments)
        assert outcome.exit_code == 0, outcome.err
        for text in ("low", "unknown", "silence", "all clips", "mean of labels", "95 % interval"):
            assert text in outcome.out
        assert "at random by word" in outcome.err, "the split is told"

    def test_json_for_programs_alone_on_standard_output(self, arguments: list[object]) -> None:
        outcome = harken(*arguments, "--json", "--words", "low, high", "--balance")
        assert outcome.exit_code == 0, outcome.err
        assert json.loads(outcome.out)["labels"]["unknown"]["clips"] == 2

    def test_a_report_and_a_picture(self, arguments: list[object], tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        out = tmp_path / "reports" / "today"
        assert harken(*arguments, "--out", out).exit_code == 0
        assert sorted(path.name for path in out.iterdir()) == ["confusion.png", "report.json"]
        assert json.loads((out / "report.json").read_text())["clips"] == 32
        assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")
        assert harken(*arguments, "--out", out).exit_code == 0  # its own may be replaced

    @pytest.mark.parametrize(
        ("name", "text"), [("report.json", '{"best": {}}'), ("confusion.png", "mine")]
    )
    def test_files_of_something_else_stay(
        self, arguments: list[object], tmp_path: Path, name: str, text: str
    ) -> None:
        (tmp_path / name).write_text(text)
        outcome = harken(*arguments, "--out", tmp_path)
        assert outcome.exit_code == 8
        assert f"holds {name}, which `harken eval` did not write and would replace" in outcome.error
        assert (tmp_path / name).read_text() == text

    @pytest.mark.parametrize(
        ("option", "value", "exit_code", "message"),
        [
            ("--data", "nowhere", 5, "the data folder nowhere does not exist"),
            ("--words", "lwo", 5, "'lwo' is neither a word of the model nor of the data"),
            ("--split-rule", "speaker", 5, "needs 3 speakers or more"),
            ("--runtime", "onnx", 6, "runtime is 'onnx', which is no interpreter"),
            ("--out", "/dev/null/reports", 8, "/dev/null is no folder; choose another --out"),
        ],
    )
    def test_mistakes_get_one_clear_line(
        self, arguments: list[object], option: str, value: str, exit_code: int, message: str
    ) -> None:
        outcome = harken(*arguments, option, value)
        assert outcome.exit_code == exit_code
        assert message in outcome.error

    @pytest.mark.parametrize(
        ("option", "value"), [("--words", ","), ("--split", "test"), ("--seed", "-1")]
    )
    def test_wrong_usage(self, arguments: list[object], option: str, value: str) -> None:
        outcome = harken(*arguments, option, value)
        assert outcome.exit_code == 2
        assert option in outcome.err

    def test_a_part_without_clips_is_an_error_that_says_what_there_is(
        self, tmp_path: Path, cache: Path
    ) -> None:
        write(tmp_path / "data/low/a69b9b3e_nohash_0.wav", clip("low", level=0.2, seed=0))
        outcome = harken(
            *("eval", MODEL, "--data", tmp_path / "data"),
            *("--cache-dir", cache, "--split", "testing"),
        )
        assert outcome.exit_code == 5
        assert "no clips in the testing split (there are: 1 validation" in outcome.error

    def test_it_needs_neither_tensorflow_nor_librosa(self, arguments: list[object]) -> None:
        script = """
            import sys
            from harken.cli import app
            app(sys.argv[1:], standalone_mode=False)
            heavy = {"tensorflow", "tf_keras", "librosa", "scipy", "matplotlib"}
            print(sorted(heavy & set(sys.modules)))
        """
        command = [sys.executable, "-c", dedent(script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "all clips" in done.stdout
        assert done.stdout.splitlines()[-1] == "[]"
