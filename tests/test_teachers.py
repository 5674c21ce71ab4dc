"""Teachers: what they take sound for, which labels they contradict, and files that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import harken

pytest.importorskip("tensorflow", reason="training needs harken[train]")

import tensorflow as tf

from harken.edge.errors import DataError
from harken.train.teachers import (
    TeacherOutputs,
    one_second,
    open_teacher,
    open_teachers,
    probability_of,
    wrong_labels,
)
from harken.train.teachers.bc_resnet import SPEECH_COMMANDS_WORDS, BcResNet, expected_shapes
from harken.train.teachers.kwt import KWT_LABELS
from harken.train.teachers.suspects import write_suspects
from harken.train.teachers.teacher import WINDOW

DATA = os.environ.get("HARKEN_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="needs recordings: set HARKEN_DATA")


def weights() -> dict[str, np.ndarray]:
    """Random weights of a BC-ResNet-1, with the names of a state dict."""
    rng = np.random.default_rng(0)

    def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("running_var"):
            return np.ones(shape, np.float32)
        return rng.normal(0, 0.2, shape).astype(np.float32)

    shapes = expected_shapes(1, len(SPEECH_COMMANDS_WORDS))
    return {name: drawn(name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A TFLite file of a second in, twelve logits out: the means of twelve stretches."""

    class Means(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, WINDOW), tf.float32)])
        def __call__(self, audio: tf.Tensor) -> tf.Tensor:
            stretches = tf.reshape(tf.abs(audio[:, : WINDOW // 12 * 12]), (1, 12, -1))
            return 100 * tf.reduce_mean(stretches, axis=-1)

    module = Means()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.__call__.get_concrete_function()], module
    )
    return bytes(converter.convert())


@pytest.fixture
def folder(tmp_path: Path, network: bytes) -> Path:
    place = tmp_path / "teachers"
    place.mkdir()
    (place / "means.tflite").write_bytes(network)
    np.savez(place / "narrow.npz", **weights())
    return place


class TestHearing:
    def test_a_folder_of_teachers(self, folder: Path) -> None:
        outputs = TeacherOutputs(
            clips=("yes/a.wav",),
            labels={"means": KWT_LABELS},
            log_probabilities={"means": np.zeros((1, 12), np.float32)},
        )
        outputs.write(folder / "outputs.npz")  # beside them, and none of them
        teachers = open_teachers(folder)
        assert [(t.name, t.labels) for t in teachers] == [
            ("means", KWT_LABELS),
            ("narrow", SPEECH_COMMANDS_WORDS),
        ]
        audio = np.random.default_rng(1).normal(0, 0.1, (3, WINDOW)).astype(np.float32)
        for teacher in teachers:
            found = teacher.log_probabilities(audio)
            assert found.shape == (3, len(teacher.labels))
            np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-5)

    def test_how_sure_they_are_of_a_word(self, folder: Path) -> None:
        means = open_teacher(folder / "means.tflite")
        clip = np.zeros(WINDOW, np.int16)
        clip[WINDOW // 12 * 2 : WINDOW // 12 * 3] = 16_000  # the third label
        (yes,) = probability_of([means], [clip], KWT_LABELS[2])
        (no,) = probability_of([means], [clip], KWT_LABELS[3])
        assert yes > 0.99
        assert no < 0.01
        assert len(probability_of([means], [], "yes")) == 0
        with pytest.raises(
            DataError, match=r"no teacher knows the word 'house'; they know: down, go"
        ):
            probability_of([means], [clip], "house")

    @pytest.mark.parametrize("length", [1, 15_999, WINDOW])
    def test_a_short_clip_gets_silence_on_both_sides(self, length: int) -> None:
        audio = one_second(np.full(length, 16_384, np.int16), place="middle")
        sounding = np.flatnonzero(audio)
        assert len(audio) == WINDOW
        assert len(sounding) == length
        assert abs(int(sounding[0]) - (WINDOW - 1 - int(sounding[-1]))) <= 1
        assert audio.max() == 16_384

    def test_of_a_long_one_the_loudest_second_is_heard(self) -> None:
        clip = np.zeros(40_000, np.int16)
        clip[21_000:37_000] = 1_000
        assert np.all(one_second(clip) > 0)

    @needs_data
    def test_they_repeat_what_they_made_of_the_recordings(self) -> None:
        data = Path(str(DATA))
        known = TeacherOutputs.read(data / "teachers" / "outputs.npz")
        chosen = np.random.default_rng(3).choice(len(known.clips), 24, replace=False)
        audio = []
        for index in chosen:
            samples, _ = soundfile.read(
                data / "speech_commands" / known.clips[index], dtype="int16"
            )
            audio.append(one_second(samples))
        for file, name in (("bc_resnet_2.npz", "bc_resnet_2"), ("kwt1.tflite", "kwt_1")):
            teacher = open_teacher(data / "teachers" / file)
            before = known.log_probabilities[name][chosen]
            now = teacher.log_probabilities(np.stack(audio))
            assert tuple(teacher.labels) == known.labels[name]
            whole = [len(a) == WINDOW for a in audio]
            assert np.mean(now.argmax(axis=1) == before.argmax(axis=1)) > 0.95
            assert np.quantile(np.abs(np.exp(now) - np.exp(before))[whole], 0.98) < 0.02


class TestFilesThatAreNone:
    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"nobody\.tflite cannot be read: No such file"):
            open_teacher(tmp_path / "nobody.tflite")
        with pytest.raises(DataError, match="holds no teachers"):
            open_teachers(tmp_path)
        (tmp_path / "teacher.onnx").write_bytes(b"onnx")
        with pytest.raises(DataError, match=r"ends in '\.onnx'; it must be \.tflite or \.npz"):
            open_teacher(tmp_path / "teacher.onnx")

    def test_no_tflite(self, tmp_path: Path, network: bytes) -> None:
        file = tmp_path / "teacher.tflite"
        for content in (b"", b"something else entirely", network[:400]):
            file.write_bytes(content)
            with pytest.raises(DataError, match=r"teacher\.tflite is not a TFLite model"):
                open_teacher(file)

    def test_another_rate(self) -> None:
        with pytest.raises(DataError, match=r"input.* int8 .*\(1, 16000\), one second at 16000 Hz"):
            open_teacher(Path(__file__).parents[1] / "models" / "commands-tiny.tflite")

    def test_other_labels(self, folder: Path) -> None:
        (folder / "means.labels.txt").write_text("yes\nno\n")
        with pytest.raises(
            DataError, match=r"labels\.txt holds 2 labels, but means\.tflite has 12 outputs"
        ):
            open_teacher(folder / "means.tflite")
        (folder / "means.labels.txt").write_text("\n".join("abcdefghijkl"))
        assert open_teacher(folder / "means.tflite").labels == tuple("abcdefghijkl")

    def test_other_arrays(self, tmp_path: Path) -> None:
        file = tmp_path / "teacher.npz"
        arrays = weights()
        np.savez(file, **{name: a for name, a in arrays.items() if name != "t2.f1.0.weight"})
        with pytest.raises(DataError, match=r"is no BC-ResNet: it lacks t2\.f1\.0\.weight"):
            BcResNet(file)
        np.savez(file, **{**arrays, "head_conv.weight": np.zeros((35, 9, 1, 1), np.float32)})
        with pytest.raises(DataError, match=r"head_conv\.weight is float32 of the shape \(35, 9"):
            BcResNet(file)
        head = {
            "head_conv.weight": np.zeros((12, 32, 1, 1), np.float32),
            "head_conv.bias": np.zeros(12, np.float32),
        }
        np.savez(file, **{**arrays, **head})
        with pytest.raises(DataError, match="has 12 outputs, and without a list of labels 35 are"):
            BcResNet(file)
        file.write_bytes(b"no zip")
        with pytest.raises(DataError, match="is no npz file that can be read"):
            BcResNet(file)


def made(*rows: tuple[str, float, float]) -> TeacherOutputs:
    """Outputs of two teachers, who know "yes" and "no", and one of them "go": for each clip, how
    probable the label is for one, and for the other."""
    labels = {"one": ("yes", "no", "_unknown_"), "two": ("yes", "no", "go")}
    values: dict[str, list[np.ndarray]] = {name: [] for name in labels}
    for clip, *sure in rows:
        word = clip.partition("/")[0]
        for (name, known), p in zip(labels.items(), sure, strict=True):
            other = next(label for label in known if label != word)
            values[name].append(np.array([{word: p, other: 1 - p}.get(k, 1e-9) for k in known]))
    return TeacherOutputs(
        clips=tuple(row[0] for row in rows),
        labels=labels,
        log_probabilities={n: np.log(np.array(v, np.float32) + 1e-9) for n, v in values.items()},
    )


def suspected(outputs: TeacherOutputs) -> list[tuple[str, str]]:
    clips = [(clip, clip.partition("/")[0]) for clip in outputs.clips]
    return [(found.path, found.taken_for) for found in wrong_labels(outputs, clips)]


class TestWrongLabels:
    def test_all_who_know_the_word_must_contradict(self) -> None:
        found = suspected(
            made(
                ("yes/right.wav", 0.9, 0.8),
                ("yes/doubted.wav", 0.01, 0.3),
                ("yes/wrong.wav", 0.01, 0.02),
                ("go/wrong.wav", 0.0, 0.01),
                ("house/unknown.wav", 0.0, 0.0),
            )
        )
        assert found == [("go/wrong.wav", "yes"), ("yes/wrong.wav", "no")]

    def test_the_list_is_what_a_data_folder_reads(self, tmp_path: Path) -> None:
        outputs = made(("yes/wrong.wav", 0.01, 0.02))
        write_suspects(wrong_labels(outputs, [("yes/wrong.wav", "yes")]), tmp_path / "w.tsv")
        assert (tmp_path / "w.tsv").read_text().split("\t")[:3] == ["yes/wrong.wav", "yes", "no"]

    def test_outputs_come_back(self, tmp_path: Path) -> None:
        before = made(("yes/a.wav", 0.9, 0.8), ("no/b.wav", 0.2, 0.1))
        before.write(tmp_path / "o.npz")
        after = TeacherOutputs.read(tmp_path / "o.npz")
        assert after.clips == before.clips
        assert after.labels == before.labels
        for name, values in before.log_probabilities.items():
            found = np.exp(after.log_probabilities[name])
            np.testing.assert_allclose(found, np.exp(values), atol=0.01)

    def test_a_file_that_holds_none(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="there is no file"):
            TeacherOutputs.read(tmp_path / "nothing.npz")
        (tmp_path / "text.npz").write_text("text")
        with pytest.raises(DataError, match="is no npz file that can be read"):
            TeacherOutputs.read(tmp_path / "text.npz")
        np.savez(tmp_path / "w.npz", **weights())
        with pytest.raises(DataError, match="holds no outputs of teachers"):
            TeacherOutputs.read(tmp_path / "w.npz")
        np.savez(tmp_path / "s.npz", clips=["a"], one=np.zeros((2, 2)), one_labels=["yes", "no"])
        with pytest.raises(DataError, match=r"one is float64 of the shape \(2, 2\); for 1 clips"):
            TeacherOutputs.read(tmp_path / "s.npz")


def test_command(folder: Path, tmp_path: Path) -> None:
    (folder / "narrow.npz").unlink()
    data = tmp_path / "data"
    third = WINDOW // 12
    for word in ("yes", "no"):  # both sound like the third label, "yes"
        for speaker in ("ann", "ben", "cat"):
            samples = np.zeros(WINDOW, np.int16)
            samples[2 * third : 3 * third] = 16_000
            (data / word).mkdir(parents=True, exist_ok=True)
            soundfile.write(data / word / f"{speaker}_nohash_0.wav", samples, WINDOW)
    out, wrong, cache = tmp_path / "o.npz", tmp_path / "w.tsv", tmp_path / "cache"
    given = ("teach", data, "--suspects", wrong, "--cache-dir", cache, "--json")
    done = harken(*given, "--teachers", folder, "--out", out)
    assert done.exit_code == 0, done.err
    assert [line.split("\t")[0] for line in wrong.read_text().splitlines()] == [
        f"no/{speaker}_nohash_0.wav" for speaker in ("ann", "ben", "cat")
    ]
    again = harken(*given, "--outputs", out)  # without teachers
    assert json.loads(again.out) == json.loads(done.out)
    assert harken("teach", data, "--teachers", folder).exit_code == 2
    assert harken("teach", data, "--cache-dir", cache).exit_code == 2
    assert (
        "holds no teachers"
        in harken(
            "teach", data, "--teachers", data / "yes", "--out", out, "--cache-dir", cache
        ).error
    )
