"""Teachers: what they take, what they refuse, and which labels they contradict."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from synthetic_corpus import corpus_of
from typer.testing import CliRunner

from harken.cli import app
from harken.edge.errors import DataError
from harken.edge.spotting.tflite import Graph, Tensor
from harken.train.corpus import Corpus
from harken.train.decode import decode
from harken.train.teachers import (
    Suspect,
    TeacherOutputs,
    one_second,
    open_teacher,
    open_teachers,
    probability_of,
    run_teachers,
    word_clips,
    wrong_labels,
)
from harken.train.teachers import kwt as kwt_module
from harken.train.teachers.bc_resnet import SPEECH_COMMANDS_WORDS, expected_shapes
from harken.train.teachers.run import partial_path
from harken.train.teachers.suspects import write_suspects
from harken.train.teachers.teacher import as_float, log_softmax, teacher_name

RATE = 16_000
DATA = Path(__file__).parents[1] / "data"


def write_bc_resnet(path: Path, outputs: int = 35, **changes: Any) -> Path:
    """Write a BC-ResNet-1 of random weights; a change to None leaves an array out."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name, shape in expected_shapes(1, outputs).items():
        values = rng.normal(0, 0.3, shape)
        arrays[name] = (np.abs(values) + 0.5 if "running_var" in name else values).astype("f4")
    for name, value in changes.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


@dataclass
class Fake:
    """A teacher that hears what the peak of a clip says, or is interrupted."""

    name: str
    labels: tuple[str, ...]
    rate_hz: int = RATE
    heard: list[int] = field(default_factory=list)
    interrupt_at: int | None = None

    def log_probabilities(self, audio: np.ndarray) -> np.ndarray:
        if self.interrupt_at is not None and len(self.heard) >= self.interrupt_at:
            raise KeyboardInterrupt
        self.heard.append(len(audio))
        logits = np.zeros((len(audio), len(self.labels)), np.float32)
        peaks = np.rint(np.abs(as_float(audio)).max(axis=1) * 32768).astype(int)
        logits[np.arange(len(audio)), peaks % len(self.labels)] = 3.0
        return log_softmax(logits)


class TestBcResNet:
    def test_hears_any_number_of_seconds(self, tmp_path: Path) -> None:
        teacher = open_teacher(write_bc_resnet(tmp_path / "net_1.npz"))
        assert (teacher.name, teacher.rate_hz) == ("net_1", RATE)
        assert teacher.labels == SPEECH_COMMANDS_WORDS
        audio = np.random.default_rng(1).integers(-3000, 3000, (70, RATE)).astype(np.int16)
        heard = teacher.log_probabilities(audio)
        assert heard.shape == (70, 35)
        assert heard.dtype == np.float32
        np.testing.assert_allclose(np.exp(heard).sum(axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(teacher.log_probabilities(audio[66:67])[0], heard[66], atol=1e-3)
        floats = (audio[:3] / 32768).astype(np.float32)
        np.testing.assert_allclose(teacher.log_probabilities(floats), heard[:3], atol=1e-3)
        assert teacher.log_probabilities(audio[:0]).shape == (0, 35)

    def test_silence_is_finite(self, tmp_path: Path) -> None:
        teacher = open_teacher(write_bc_resnet(tmp_path / "net.npz"))
        assert np.isfinite(teacher.log_probabilities(np.zeros((1, RATE), np.int16))).all()

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"t1.f2.0.weight": None}, "not a BC-ResNet: it lacks t1.f2.0.weight; it holds"),
            ({"t1.f2.0.weight": None, "input_conv.weight": None}, "input_conv.weight, t1.f2.0"),
            ({"n41.f1.0.bias": np.zeros(3, "f4")}, r"n41.f1.0.bias is float32 of shape \(3,\)"),
            ({"head_conv.bias": np.zeros(35, "i4")}, r"head_conv.bias is int32 of shape"),
            ({"dw_conv.bias": np.full(20, np.nan, "f4")}, "dw_conv.bias holds NaN"),
        ],
    )
    def test_refuses(self, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
        path = write_bc_resnet(tmp_path / "net.npz", **changes)
        with pytest.raises(DataError, match=says):
            open_teacher(path)

    def test_refuses_what_is_no_npz(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is missing; give an npz file"):
            open_teacher(tmp_path / "net.npz")
        (tmp_path / "net.npz").write_bytes(b"PK nothing")
        with pytest.raises(DataError, match="is not a readable npz file"):
            open_teacher(tmp_path / "net.npz")
        whole = write_bc_resnet(tmp_path / "net.npz").read_bytes()
        (tmp_path / "net.npz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="is not a readable npz file"):
            open_teacher(tmp_path / "net.npz")
        np.savez(tmp_path / "net.npz")
        with pytest.raises(DataError, match="and 195 more arrays; it holds nothing"):
            open_teacher(tmp_path / "net.npz")


class TestLabels:
    def test_lie_in_a_file_beside_it(self, tmp_path: Path) -> None:
        path = write_bc_resnet(tmp_path / "net.npz", outputs=3)
        (tmp_path / "net.labels.txt").write_text("ja\nnein\n_unknown_\n")
        assert open_teacher(path).labels == ("ja", "nein", "_unknown_")

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (None, "has 3 outputs, and without a list of labels 35 are expected; write its labels"),
            (b"ja\nnein\n", "holds 2 labels, but net.npz has 3 outputs"),
            (b"ja\nja\nnein\n", "names ja more than once"),
            (b"j\xe4\n", "is not UTF-8 text"),
        ],
    )
    def test_refuses(self, tmp_path: Path, content: bytes | None, says: str) -> None:
        path = write_bc_resnet(tmp_path / "net.npz", outputs=3)
        if content is not None:
            (tmp_path / "net.labels.txt").write_bytes(content)
        with pytest.raises(DataError, match=says):
            open_teacher(path)


def graph(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Graph:
    return Graph(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        svdf_units=(),
        svdf_memory=(),
        lstm_units=(),
        cell_clips=(),
        multiplications=0,
    )


def tensor(*shape: int, dtype: str = "float32") -> Tensor:
    return Tensor(dtype=dtype, shape=shape, scale=None, zero_point=None)


class TestTflite:
    @pytest.mark.parametrize(
        ("inputs", "outputs", "says"),
        [
            ([], [tensor(1, 12)], "has 0 inputs; it must have one"),
            ([tensor(1, RATE)] * 2, [tensor(1, 12)], "has 2 inputs"),
            ([tensor(1, 8000)], [tensor(1, 12)], r"float32 of shape \(1, 8000\); it must be"),
            ([tensor(RATE)], [tensor(1, 12)], r"the input .* of shape \(16000,\)"),
            ([tensor(1, RATE, dtype="int8")], [tensor(1, 12)], "the input .* is int8"),
            ([tensor(1, RATE)], [tensor(1, 12)] * 2, "has 2 outputs"),
            ([tensor(1, RATE)], [tensor()], "the output .* of shape"),
            ([tensor(1, RATE)], [tensor(1, 12, dtype="int8")], "the output .* is int8"),
            ([tensor(1, RATE)], [tensor(1, 5)], "has 5 outputs, and without a list of labels 12"),
        ],
    )
    def test_refuses(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        inputs: list[Tensor],
        outputs: list[Tensor],
        says: str,
    ) -> None:
        (tmp_path / "kwt1.tflite").write_bytes(b"")
        monkeypatch.setattr(kwt_module, "read_graph", lambda content: graph(inputs, outputs))
        with pytest.raises(DataError, match=says):
            open_teacher(tmp_path / "kwt1.tflite")

    def test_refuses_another_model(self) -> None:
        with pytest.raises(DataError, match=r"the input of the teacher .*tones.tflite is int8"):
            open_teacher(DATA / "tones.tflite")

    def test_refuses_what_is_no_tflite(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be read: No such file"):
            open_teacher(tmp_path / "kwt1.tflite")
        (tmp_path / "kwt1.tflite").write_bytes(b"\0" * 40)
        with pytest.raises(DataError, match=r"is not a TFLite model: .*get the file again"):
            open_teacher(tmp_path / "kwt1.tflite")
        (tmp_path / "kwt1.tflite").write_bytes(struct.pack("<I", 4000) + b"TFL3")
        with pytest.raises(DataError, match="its structure is damaged"):
            open_teacher(tmp_path / "kwt1.tflite")

    @pytest.mark.slow
    def test_runs_a_network(self, tmp_path: Path) -> None:
        tf = pytest.importorskip("tensorflow")

        class Net(tf.Module):  # type: ignore[misc]
            @tf.function(input_signature=[tf.TensorSpec((1, RATE), tf.float32)])  # type: ignore[misc]
            def __call__(self, samples: Any) -> Any:
                return tf.reduce_max(tf.reshape(samples, (1, 4, 4000)), axis=2)

        net = Net()
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [net.__call__.get_concrete_function()], net
        )
        (tmp_path / "quarter2.tflite").write_bytes(converter.convert())
        (tmp_path / "quarter2.labels.txt").write_text("a\nb\nc\nd\n")
        teacher = open_teacher(tmp_path / "quarter2.tflite")
        audio = np.zeros((2, RATE), np.int16)
        audio[0, 5000], audio[1, 15_000] = 16_384, -16_384
        heard = teacher.log_probabilities(audio)
        assert teacher.name == "quarter_2"
        np.testing.assert_allclose(heard[0], log_softmax(np.array([[0, 0.5, 0, 0]]))[0], atol=1e-6)
        np.testing.assert_allclose(heard[1], np.log(0.25), atol=1e-6)


class TestOpening:
    def test_passes_outputs_over(self, tmp_path: Path) -> None:
        write_bc_resnet(tmp_path / "net.npz")
        outputs_of({"a/1.wav": "a"}).write(tmp_path / "outputs.npz")
        (tmp_path / "LICENSE").write_text("free")
        assert [teacher.name for teacher in open_teachers(tmp_path)] == ["net"]

    def test_refuses(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"ends with '.onnx'; it must be .tflite or .npz"):
            open_teacher("net.onnx")
        with pytest.raises(DataError, match="does not exist"):
            open_teachers(tmp_path / "nowhere")
        with pytest.raises(DataError, match="holds no teachers"):
            open_teachers(tmp_path)
        write_bc_resnet(tmp_path / "net1.npz")
        with pytest.raises(DataError, match="is a file, not a folder"):
            open_teachers(tmp_path / "net1.npz")
        write_bc_resnet(tmp_path / "net_1.npz")
        with pytest.raises(DataError, match="holds two teachers named net_1"):
            open_teachers(tmp_path)

    @pytest.mark.parametrize(
        ("file", "name"),
        [("kwt1.tflite", "kwt_1"), ("bc_resnet_2.npz", "bc_resnet_2"), ("a.npz", "a")],
    )
    def test_names(self, file: str, name: str) -> None:
        assert teacher_name(Path(file)) == name


class TestSeconds:
    def test_a_short_clip_is_filled_up(self) -> None:
        clip = np.ones(1001, np.int16)
        assert one_second(clip)[:1001].all()
        assert not one_second(clip)[1001:].any()
        middle = one_second(clip, place="middle")
        assert np.flatnonzero(middle)[[0, -1]].tolist() == [7499, 8499]
        assert middle.dtype == np.int16

    def test_of_a_long_one_the_loudest_second_is_taken(self) -> None:
        clip = np.ones(3 * RATE, np.int16)
        clip[20_000:36_000] = 20_000
        np.testing.assert_array_equal(one_second(clip), np.full(RATE, 20_000))

    @pytest.mark.parametrize(
        ("audio", "says"),
        [
            (np.zeros(RATE, np.int16), r"shape \(16000,\); it must be \(n, 16000\)"),
            (np.zeros((1, 8000), np.int16), r"shape \(1, 8000\)"),
            (np.zeros((1, RATE)), "is float64; it must be int16 or float32"),
            (np.full((1, RATE), 900, np.float32), "a peak of 900; full scale must be ±1"),
            (np.full((1, RATE), np.nan, np.float32), "a peak of nan"),
        ],
    )
    def test_other_audio_is_refused(self, audio: np.ndarray, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            as_float(audio)

    def test_probability_of_a_word(self) -> None:
        both = [Fake("one", ("yes", "no")), Fake("two", ("_unknown_", "no", "go"))]
        clips = [np.full(4000, 1, np.int16), np.full(RATE, 2, np.int16)]
        sure, other_of_2, other_of_3 = (
            np.exp(3) / (np.exp(3) + 1),
            1 / (np.exp(3) + 1),
            1 / (np.exp(3) + 2),
        )
        probability = probability_of(both, clips, "no")
        assert probability.dtype == np.float32
        of_two = np.exp(3) / (np.exp(3) + 2)
        expected = [(sure + of_two) / 2, (other_of_2 + other_of_3) / 2]
        np.testing.assert_allclose(probability, expected, rtol=1e-5)
        np.testing.assert_allclose(probability_of(both, clips, "yes"), [1 - sure, sure], rtol=1e-4)
        assert probability_of(both, [], "no").shape == (0,)

    def test_probability_of_what_nobody_knows(self) -> None:
        teachers = [Fake("two", ("_unknown_", "no", "go"))]
        for word in ("maybe", "_unknown_"):
            with pytest.raises(DataError, match=rf"no teacher knows the word '{word}'.*: go, no"):
                probability_of(teachers, [], word)
        with pytest.raises(
            DataError, match=r"a clip of 'no' lasts 1.25 s; teachers take up to 1 s"
        ):
            probability_of(teachers, [np.zeros(20_000, np.int16)], "no")


LABELS = {"wide": ("go", "left", "no", "yes"), "narrow": ("_silence_", "_unknown_", "no", "yes")}


def outputs_of(clips: dict[str, str], **rows: Sequence[Sequence[float]]) -> TeacherOutputs:
    """Return outputs with the probabilities of each teacher, even ones where none are given."""
    chosen = rows or {"wide": [[0.25] * 4] * len(clips)}
    return TeacherOutputs(
        clips=tuple(clips),
        labels={name: LABELS[name] for name in chosen},
        log_probabilities={
            name: np.log(np.array(values, np.float32)) for name, values in chosen.items()
        },
    )


class TestOutputs:
    def test_come_back(self, tmp_path: Path) -> None:
        outputs = outputs_of(
            {"yes/a.wav": "yes", "no/é.wav": "no"},
            wide=[[0.1, 0.2, 0.3, 0.4], [0.97, 0.01, 0.01, 0.01]],
            narrow=[[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]],
        )
        outputs.write(tmp_path / "outputs.npz")
        back = TeacherOutputs.read(tmp_path / "outputs.npz")
        assert back.clips == outputs.clips
        assert back.labels == outputs.labels
        assert back.names == ("narrow", "wide")
        for name in back.names:
            np.testing.assert_allclose(
                back.log_probabilities[name], outputs.log_probabilities[name], atol=2e-3
            )
        assert [path.name for path in tmp_path.iterdir()] == ["outputs.npz"]
        first = (tmp_path / "outputs.npz").read_bytes()
        outputs.write(tmp_path / "outputs.npz")
        assert (tmp_path / "outputs.npz").read_bytes() == first

    def test_logits_become_log_probabilities(self, tmp_path: Path) -> None:
        np.savez(
            tmp_path / "outputs.npz",
            clips=np.array(["a/1.wav"]),
            net=np.array([[5.0, 5.0]], np.float16),
            net_labels=np.array(["a", "b"]),
        )
        values = TeacherOutputs.read(tmp_path / "outputs.npz").log_probabilities["net"]
        np.testing.assert_allclose(np.exp(values), [[0.5, 0.5]])

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"clips": None}, "its array clips is missing"),
            ({"clips": np.zeros(2)}, "its array clips is float64"),
            ({"clips": np.array(["a/1.wav", "a/1.wav"])}, "list the clip a/1.wav twice"),
            ({"net": None}, "holds clips, but no outputs of teachers|the labels of net_labels"),
            ({"net_labels": None}, "the labels of net are missing; they belong in net_labels"),
            ({"net": np.zeros((1, 2))}, r"net is float64 of shape \(1, 2\); for 2 clips"),
            ({"net": np.zeros((2, 3))}, r"shape \(2, 3\); for 2 clips and 2 labels"),
            ({"net": np.zeros((2, 2), int)}, "net is int64"),
            ({"net": np.full((2, 2), np.nan)}, "net holds NaN or infinite values"),
        ],
    )
    def test_refuses(self, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
        arrays: dict[str, Any] = {
            "clips": np.array(["a/1.wav", "a/2.wav"]),
            "net": np.zeros((2, 2)),
            "net_labels": np.array(["a", "b"]),
            **changes,
        }
        path = tmp_path / "outputs.npz"
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
        with pytest.raises(DataError, match=says):
            TeacherOutputs.read(path)

    def test_refuses_what_is_no_npz(self, tmp_path: Path) -> None:
        path = tmp_path / "outputs.npz"
        with pytest.raises(DataError, match=r"no file .*make it again with `harken teach`"):
            TeacherOutputs.read(path)
        outputs_of({"a/1.wav": "a"}).write(path)
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(DataError, match="is not a readable npz file"):
            TeacherOutputs.read(path)

    def test_clips_that_are_not_there(self) -> None:
        outputs = outputs_of({"a/1.wav": "a", "a/2.wav": "a"})
        assert outputs.select(["a/2.wav"]).clips == ("a/2.wav",)
        with pytest.raises(DataError, match=r"lack 1 of 2 clips, the first: a/9.wav; also give"):
            outputs.select(["a/2.wav", "a/9.wav"])

    def test_other_teachers(self) -> None:
        outputs = outputs_of({"a/1.wav": "a"})
        outputs.require_teachers({"wide": LABELS["wide"]})
        with pytest.raises(DataError, match="are from wide, but the teachers are narrow, wide"):
            outputs.require_teachers(LABELS)
        with pytest.raises(DataError, match="have the labels go, left, no, yes; the teacher has a"):
            outputs.require_teachers({"wide": ("a",)})

    def test_other_shapes(self) -> None:
        with pytest.raises(DataError, match=r"have shape \(1, 4\); for 2 clips and 4 labels"):
            outputs_of({"a/1.wav": "a", "a/2.wav": "a"}, wide=[[0.25] * 4])

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"cannot write .*create the folder first"):
            outputs_of({"a/1.wav": "a"}).write(tmp_path / "no" / "outputs.npz")


class TestWrongLabels:
    """`wide` gives go, left, no, yes; `narrow` gives silence, unknown, no, yes."""

    @pytest.mark.parametrize(
        ("label", "wide", "narrow", "taken_for", "probability"),
        [
            # Known to one: it must be sure, and the other must not deny.
            ("left", [0.90, 0.02, 0.04, 0.04], [0.1, 0.8, 0.05, 0.05], "go", 0.9),
            ("left", [0.06, 0.02, 0.90, 0.02], [0.1, 0.1, 0.7, 0.1], "no", 0.8),
            ("left", [0.06, 0.02, 0.90, 0.02], [0.0, 1.0, 0.0, 0.0], None, 0),
            ("left", [0.38, 0.02, 0.30, 0.30], [0.1, 0.8, 0.05, 0.05], None, 0),
            ("left", [0.80, 0.06, 0.07, 0.07], [0.1, 0.8, 0.05, 0.05], None, 0),
            # Known to both: both must contradict it.
            ("yes", [0.02, 0.02, 0.94, 0.02], [0.0, 0.1, 0.88, 0.02], "no", 0.91),
            ("yes", [0.02, 0.02, 0.94, 0.02], [0.0, 0.1, 0.70, 0.20], None, 0),
            ("yes", [0.40, 0.40, 0.18, 0.02], [0.3, 0.3, 0.38, 0.02], "go", 0.4),
            # Neither hears anything.
            ("yes", [0.03, 0.03, 0.03, 0.01], [0.9, 0.0, 0.10, 0.01], "_silence_", 0.9),
            ("left", [0.03, 0.01, 0.03, 0.03], [0.0, 0.0, 0.90, 0.00], "_silence_", 0.97),
            # Known to nobody.
            ("maybe", [0.97, 0.01, 0.01, 0.01], [0.1, 0.8, 0.05, 0.05], None, 0),
            ("_unknown_", [0.97, 0.01, 0.01, 0.01], [0.99, 0.01, 0.0, 0.0], None, 0),
        ],
    )
    @pytest.mark.filterwarnings("ignore:divide by zero")
    def test_rule(
        self,
        label: str,
        wide: list[float],
        narrow: list[float],
        taken_for: str | None,
        probability: float,
    ) -> None:
        outputs = outputs_of({"x/1.wav": label}, wide=[wide], narrow=[narrow])
        found = wrong_labels(outputs, [("x/1.wav", label)])
        assert [one.taken_for for one in found] == ([] if taken_for is None else [taken_for])
        for one in found:
            assert (one.path, one.label) == ("x/1.wav", label)
            assert one.probability == pytest.approx(probability, abs=1e-6)

    def test_order_and_file(self, tmp_path: Path) -> None:
        clips = {"yes/1.wav": "yes", "left/1.wav": "left", "left/2.wav": "left"}
        outputs = outputs_of(
            clips, wide=[[0.01, 0.01, 0.97, 0.01], [0.8, 0.01, 0.09, 0.1], [0.97, 0.01, 0.01, 0.01]]
        )
        found = wrong_labels(outputs, clips.items())
        assert [one.path for one in found] == ["left/2.wav", "left/1.wav", "yes/1.wav"]
        write_suspects(found, tmp_path / "wrong_labels.tsv")
        assert (tmp_path / "wrong_labels.tsv").read_text().splitlines() == [
            "left/2.wav\tleft\tgo\t0.97",
            "left/1.wav\tleft\tgo\t0.80",
            "yes/1.wav\tyes\tno\t0.97",
        ]

    def test_no_clips(self) -> None:
        assert wrong_labels(outputs_of({"a/1.wav": "a"}), []) == ()


@pytest.fixture
def corpus() -> Corpus:
    return corpus_of(
        *(
            ("word", label, "training", np.full(length, number, np.int16))
            for number in range(100)
            for label, length in (("yes", 9000), ("no", 20_000))
        ),
        ("noise", "hum", "training", np.ones(RATE, np.int16)),
    )


class TestRun:
    def test_hears_all_words(self, corpus: Corpus) -> None:
        teachers = [Fake("one", ("yes", "no")), Fake("two", ("no", "go", "yes"))]
        calls: list[tuple[int, int]] = []
        outputs = run_teachers(corpus, teachers, progress=lambda *done: calls.append(done))
        assert outputs.clips == tuple(word_clips(corpus))
        assert calls[-1] == (200, 200)
        assert sum(teachers[0].heard) == 200
        clip = next(index for index, path in enumerate(outputs.clips) if path.endswith("/10.wav"))
        assert outputs.log_probabilities["two"][clip].argmax() == 5 % 3  # the sixth of "yes"

    def test_goes_on_after_an_interruption(self, corpus: Corpus, tmp_path: Path) -> None:
        partial = partial_path(tmp_path / "outputs.npz")
        assert partial.name == "outputs.part.npz"
        labels = ("yes", "no")
        with pytest.raises(KeyboardInterrupt):
            run_teachers(corpus, [Fake("one", labels, interrupt_at=2)], partial=partial)
        assert len(TeacherOutputs.read(partial).clips) == 128
        teacher = Fake("one", labels)
        outputs = run_teachers(corpus, [teacher], partial=partial)
        assert sum(teacher.heard) == 72
        whole = run_teachers(corpus, [Fake("one", labels)])
        np.testing.assert_allclose(
            outputs.log_probabilities["one"], whole.log_probabilities["one"], atol=2e-3
        )
        again = Fake("one", labels)
        run_teachers(corpus, [again], known=whole)
        assert again.heard == []
        with pytest.raises(DataError, match="are from one, but the teachers are two"):
            run_teachers(corpus, [Fake("two", labels)], partial=partial)

    def test_keeps_what_is_done_every_minute(self, corpus: Corpus, tmp_path: Path) -> None:
        partial = tmp_path / "outputs.part.npz"
        run_teachers(corpus, [Fake("one", ("a", "b"))], partial=partial, keep_s=0)
        assert len(TeacherOutputs.read(partial).clips) == 200


class TestCommand:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        for word in ("yes", "no"):
            for number in range(4):
                path = tmp_path / f"data/speech_commands/{word}/{number}_nohash_0.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, 0.1 * rng.normal(size=12_000), RATE)
        return tmp_path / "data"

    def run(self, data: Path, *options: str | Path) -> Any:
        line = ["teach", str(data), *map(str, options), "--cache-dir", str(data.parent / "cache")]
        return CliRunner().invoke(app, line)

    def test_from_recordings_to_suspects(self, data: Path, tmp_path: Path) -> None:
        write_bc_resnet(tmp_path / "teachers/net.npz")
        out, suspects = tmp_path / "outputs.npz", tmp_path / "suspects.tsv"
        options = ("--teachers", tmp_path / "teachers", "--out", out, "--suspects", suspects)
        result = self.run(data, *options)
        assert result.exit_code == 0, result.output
        assert "all words" in result.stdout
        outputs = TeacherOutputs.read(out)
        assert outputs.clips[0] == "no/0_nohash_0.wav"
        found = wrong_labels(outputs, [(clip, clip.split("/")[0]) for clip in outputs.clips])
        assert len(suspects.read_text().splitlines()) == len(found)
        assert not list(tmp_path.glob("*.part.npz"))

        again = self.run(data, "--outputs", out, "--json")
        figures = json.loads(again.stdout)
        assert (figures["teachers"], figures["clips"]) == (["net"], 8)
        assert figures["by_word"]["yes"]["clips"] == 4
        assert [Suspect(**one) for one in figures["suspects"]] == [
            Suspect(path=s.path, label=s.label, taken_for=s.taken_for, probability=s.probability)
            for s in found
        ]

    def test_interrupted(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_bc_resnet(tmp_path / "teachers/net.npz")

        def interrupted(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(
            "harken.train.teachers.bc_resnet.BcResNet.log_probabilities", interrupted
        )
        options = ("--teachers", tmp_path / "teachers", "--out", tmp_path / "outputs.npz")
        result = self.run(data, *options)
        assert result.exit_code == 130
        assert "the same command continues" in result.output

    def test_options_that_do_not_fit(self, data: Path, tmp_path: Path) -> None:
        assert "give teachers, or earlier --outputs" in self.run(data).output
        assert "belong together" in self.run(data, "--teachers", tmp_path).output
        outputs_of({"yes/0_nohash_0.wav": "yes"}).write(tmp_path / "outputs.npz")
        result = self.run(data, "--outputs", tmp_path / "outputs.npz")
        assert result.exit_code == 5


@pytest.mark.data
class TestParity:
    """The teachers beside the recordings make of them what is written there."""

    @pytest.fixture
    def outputs(self, harken_data: Path) -> TeacherOutputs:
        folder = harken_data / "teachers"
        if not (folder / "outputs.npz").exists():
            pytest.skip(f"{folder} holds no outputs of teachers")
        return TeacherOutputs.read(folder / "outputs.npz")

    @pytest.mark.parametrize(
        ("file", "clips", "most"),
        # Half the distance of float16 values: at 32 to 64, and at 2 to 4 with two roundings.
        [("bc_resnet_2.npz", 200, 0.017), ("kwt1.tflite", 60, 0.003)],
    )
    def test_equals_the_outputs(
        self, harken_data: Path, outputs: TeacherOutputs, file: str, clips: int, most: float
    ) -> None:
        chosen = outputs.select(outputs.clips[:: len(outputs.clips) // clips])
        files = [harken_data / "speech_commands" / clip for clip in chosen.clips]
        teacher = open_teacher(harken_data / "teachers" / file)
        assert teacher.labels == outputs.labels[teacher.name]
        expected = chosen.log_probabilities[teacher.name]

        floats = np.stack([one_second(soundfile.read(path, dtype="float32")[0]) for path in files])
        heard = teacher.log_probabilities(floats)
        np.testing.assert_allclose(heard, expected, atol=most)
        np.testing.assert_array_equal(heard.argmax(axis=1), expected.argmax(axis=1))

        # Rounded to 16 bits, as everywhere else here: less exact only where a clip is silent.
        rounded = teacher.log_probabilities(np.stack([one_second(decode(path)) for path in files]))
        assert (rounded.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.99
        np.testing.assert_allclose(np.exp(rounded), np.exp(expected), atol=0.1)

    def test_few_labels_are_suspected(self, outputs: TeacherOutputs) -> None:
        found = wrong_labels(outputs, [(clip, clip.split("/")[0]) for clip in outputs.clips])
        assert 200 < len(found) < 500
