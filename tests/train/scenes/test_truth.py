"""What is said in scenes: label tracks as Audacity writes them, and the ground truth of a set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harken.edge.errors import DataError
from harken.train.scenes.truth import (
    Scene,
    SceneSet,
    Utterance,
    check_words,
    read_labels,
    read_truth,
    write_labels,
    write_truth,
)

LEFT = Utterance(start_s=1.0, end_s=1.5, word="left")
PIECE = Utterance(start_s=2.0, end_s=2.25, word="right", whole=False)
UNSURE = Utterance(start_s=3.0, end_s=3.5, word="left", sure=False)


def scene(*utterances: Utterance, name: str = "a", seconds: float = 10.0) -> Scene:
    return Scene(
        name=name,
        seconds=seconds,
        utterances=utterances,
        negative=not utterances,
        conditions={"snr": "clean"},
        recordings=("anna",),
        render=lambda: np.zeros(round(seconds * 16_000), np.int16),
    )


def said(*words: str) -> Scene:
    return scene(*(Utterance(start_s=i, end_s=i + 0.5, word=word) for i, word in enumerate(words)))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return tmp_path / "a.txt"


class TestLabelTracks:
    def test_are_lines_of_start_end_and_word(self, labels: Path) -> None:
        labels.write_text("1.000000\t1.500000\tleft\n2.0\t2.25\t(right)\n")
        assert read_labels(labels, seconds=10) == (LEFT, PIECE)

    def test_come_back_as_they_were_written(self, labels: Path) -> None:
        write_labels(labels, (LEFT, PIECE, UNSURE))
        assert read_labels(labels, seconds=10) == (LEFT, PIECE, UNSURE)

    def test_a_question_mark_is_a_word_that_nobody_is_sure_of(self, labels: Path) -> None:
        labels.write_text("3.0\t3.5\tleft?\n")
        assert read_labels(labels, seconds=10) == (UNSURE,)

    def test_may_be_empty(self, labels: Path) -> None:
        write_labels(labels, ())
        assert labels.read_text() == ""
        assert read_labels(labels, seconds=10) == ()

    def test_as_windows_and_spectral_selections_leave_them(self, labels: Path) -> None:
        labels.write_bytes(b"\xef\xbb\xbf1\t1.5\tleft\r\n\\\t100.0\t4000.0\r\n\r\n2\t2.25\t(right)")
        assert read_labels(labels, seconds=10) == (LEFT, PIECE)

    def test_words_may_hold_spaces_and_other_letters(self, labels: Path) -> None:
        labels.write_text("0\t1\t Hallo Küche \n", "utf-8")
        assert read_labels(labels, seconds=10)[0].word == "Hallo Küche"

    def test_one_may_begin_where_the_one_before_ends_and_end_with_the_sound(
        self, labels: Path
    ) -> None:
        labels.write_text("0\t5.0000004\ta\n5\t10.0000004\tb\n")
        assert [u.word for u in read_labels(labels, seconds=10)] == ["a", "b"]

    @pytest.mark.parametrize(
        ("lines", "line", "what"),
        [
            ("1\t2\tleft\n1.5\t3\tright", 2, "'right' starts at 1.5 s, while 'left' lasts until"),
            ("9\t10.1\tleft", 1, "ends at 10.1 s, but the sound ends at 10 s"),
            ("2\t1\tleft", 1, "ends at 1 s, before it starts at 2 s"),
            ("5\t6\tleft\n1\t2\tright", 2, "starts at 1 s, but 'left' before it starts at 5 s"),
            ("-1\t1\tleft", 1, "starts at -1 s; times count from 0"),
            ("1\t1\tleft", 1, "has no length"),
            ("nan\t1\tleft", 1, "must be finite"),
            ("1\tinf\tleft", 1, "must be finite"),
            ("one\t2\tleft", 1, "the start is 'one', which is not a number"),
            ("1,5\t2\tleft", 1, "the start is '1,5', which is not a number"),
            ("1\tleft", 1, "the end is 'left', which is not a number"),
            ("1 2 left", 1, "with tabs between them"),
            ("0\t1\ta\n1\t2", 2, "has no word"),
            ("1\t2\t  ", 1, "has no word"),
            ("1\t2\t()", 1, "has no word"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_line(
        self, labels: Path, lines: str, line: int, what: str
    ) -> None:
        labels.write_text(lines)
        with pytest.raises(DataError) as caught:
            read_labels(labels, seconds=10)
        assert str(caught.value).startswith(f"{labels}:{line}: ")
        assert what in str(caught.value)

    def test_no_text(self, labels: Path) -> None:
        labels.write_bytes(b"1\t2\t\xff\xfe")
        with pytest.raises(DataError, match=r"a\.txt: byte 4 is not UTF-8 text"):
            read_labels(labels, seconds=10)

    def test_no_file(self, labels: Path) -> None:
        with pytest.raises(DataError, match=r"a\.txt: .* No such file"):
            read_labels(labels, seconds=10)

    def test_no_folder_to_write_to(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="create the folder first"):
            write_labels(tmp_path / "no" / "a.txt", (LEFT,))


class TestScenes:
    def test_cannot_hold_what_labels_cannot_say(self) -> None:
        with pytest.raises(DataError, match=r"scene a: 'left' starts .* must not overlap"):
            scene(Utterance(start_s=0.5, end_s=1.2, word="right"), LEFT)
        with pytest.raises(DataError, match=r"scene a: 'left' ends at 1\.5 s, but"):
            scene(LEFT, seconds=1.2)

    def test_only_the_negative_ones_count_as_hours(self) -> None:
        scenes = (scene(seconds=1800), scene(LEFT, seconds=3600), scene(seconds=900))
        scene_set = SceneSet(scenes=scenes, notes=(), provenance={})
        assert scene_set.negative_hours == 0.75


class TestWords:
    def test_those_that_the_model_does_not_know_are_returned(self) -> None:
        scenes = (said("left", "wow"), said("house", "left"), scene())
        assert check_words(scenes, ("left", "right")) == ("house", "wow")

    def test_some_must_be_known(self) -> None:
        with pytest.raises(DataError, match=r"labels name Left, wow; the model knows left, right"):
            check_words((said("Left", "wow"),), ("left", "right"))

    def test_nothing_needs_to_be_said(self) -> None:
        assert check_words((scene(),), ("left",)) == ()

    def test_a_long_list_is_cut(self) -> None:
        scenes = [said(f"w{number:02}") for number in range(30)]
        with pytest.raises(DataError, match=r"w00, w01, .*, w19 and 10 more; the model"):
            check_words(scenes, ("left",))


class TestGroundTruth:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "scenes.json"
        scenes = (scene(LEFT, PIECE), scene(name="b"))
        write_truth(
            path, SceneSet(scenes=scenes, notes=("a note",), provenance={"seed": 1}), complete=True
        )
        return path

    def test_tells_all_but_the_sound(self, path: Path) -> None:
        truth = read_truth(path)
        assert truth.complete
        assert truth.notes == ("a note",)
        assert truth.provenance == {"seed": 1}
        first, second = truth.scenes
        assert first.utterances == (LEFT, PIECE)
        assert (first.name, first.seconds, first.negative) == ("a", 10.0, False)
        assert (first.conditions, first.recordings) == ({"snr": "clean"}, ("anna",))
        assert (second.name, second.utterances, second.negative) == ("b", (), True)

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"harken_scenes": 3}, "harken_scenes is 3, but this harken reads 2; upgrade harken"),
            ({"harken_scenes": 0}, "harken_scenes is 0, .* keep the scenes again"),
            ({"harken_scenes": None}, "not a description of scenes"),
            ({"complete": 1}, "complete is 1; it must be true or false"),
            ({"notes": 1}, "notes is 1; it must be a JSON array"),
            ({"mood": 1}, "mood is not a known field"),
            ({"scenes": [{}]}, r"scenes\[0\].name is missing"),
        ],
    )
    def test_damage_is_named(self, path: Path, change: dict[str, object], what: str) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(DataError, match=rf"scenes\.json.*{what}"):
            read_truth(path)

    def test_the_first_version_is_read(self, path: Path) -> None:
        data = json.loads(path.read_text())
        for each in data["scenes"]:
            for utterance in each["utterances"]:
                del utterance["sure"]
        path.write_text(json.dumps({**data, "harken_scenes": 1}))
        assert read_truth(path).scenes[0].utterances == (LEFT, PIECE)

    @pytest.mark.parametrize("scenes", [1, [1], [{"utterances": 1}], [{"utterances": [1]}]])
    def test_damage_of_the_first_version_is_named(self, path: Path, scenes: object) -> None:
        damaged = {"harken_scenes": 1, "scenes": scenes}
        path.write_text(json.dumps(json.loads(path.read_text()) | damaged))
        with pytest.raises(DataError, match=r"scenes\.json.*scenes"):
            read_truth(path)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff"])
    def test_other_text_is_refused(self, path: Path, text: str) -> None:
        path.write_text(text, "latin-1")
        with pytest.raises(DataError, match=r"scenes\.json (is|cannot)"):
            read_truth(path)
