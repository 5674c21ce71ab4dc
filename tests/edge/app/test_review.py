"""Reviewing clips: marks by keys and by options, and what training and tuning make of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import tones
from command import Outcome, harken
from fake_sounddevice import PortAudioError, remove_portaudio

from harken.edge import Model, Spotter
from harken.edge.app.collect.clips import Clip, ClipFolder, flac
from harken.edge.app.collect.export import export
from harken.edge.app.collect.keep import Keeper
from harken.edge.app.collect.marks import Mark, parse_mark
from harken.edge.app.collect.names import BadNameError
from harken.edge.app.listen import Listener
from harken.edge.errors import DataError
from harken.edge.sound.pcm import Chunks

RATE = tones.RATE
USAGE, DATA_ERROR = 2, 5


def capture(folder: Path, model: Model, *words: str, pause_s: float = 2.0) -> list[str]:
    """Listen to words and keep them; return the names of the clips."""
    spotter = Spotter(model)
    keeper = Keeper(folder, spotter)
    Listener(spotter, Chunks([tones.stream(*words, pause_s=pause_s)]), observers=[keeper]).run()
    keeper.close()
    return [clip.file for clip in ClipFolder(folder).read().clips]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "clips"


@pytest.fixture
def files(folder: Path, tones_model: Model) -> list[str]:
    """Clips of four words, far enough apart that none overlaps another."""
    return capture(folder, tones_model, "low", "high", "high", "low")


def marks(folder: Path) -> list[str | None]:
    contents = ClipFolder(folder).read()
    return [
        str(contents.marks[clip.file]) if clip.file in contents.marks else None
        for clip in contents.clips
    ]


class Loudspeaker:
    """What `import sounddevice` gives on a machine that can play."""

    PortAudioError = PortAudioError

    def __init__(self, *, accepts: tuple[int, ...] = (16000,), refuses: bool = False) -> None:
        self.accepts, self.refuses = accepts, refuses
        self.played: list[tuple[np.ndarray, int]] = []

    def query_devices(self, device: object, kind: str) -> dict[str, object]:
        assert (device, kind) == (None, "output")
        if self.refuses:
            raise PortAudioError("Error querying device -1")
        return {"default_samplerate": 48000.0}

    def play(self, samples: np.ndarray, samplerate: int) -> None:
        if samplerate not in self.accepts:
            raise PortAudioError("Invalid sample rate", -9997)
        self.played.append((samples, samplerate))

    def stop(self) -> None:
        pass


@pytest.fixture
def loudspeaker(monkeypatch: pytest.MonkeyPatch) -> Loudspeaker:
    device = Loudspeaker()
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", device)
    return device


def press(folder: Path, *keys: str, **options: object) -> Outcome:
    """Review with keys, a line each."""
    return harken("review", folder, *options.get("more", ()), stdin="\n".join(keys).encode())


class TestMarks:
    KNOWN = ("left", "right", "noise")

    @pytest.mark.parametrize(
        ("text", "mark"),
        [
            ("right", Mark("word", "left")),  # as it was heard
            ("word:right", Mark("word", "right")),
            ("left", Mark("word", "left")),
            ("noise", Mark("noise")),
            ("word:noise", Mark("word", "noise")),
            ("new:tree", Mark("word", "tree")),
            (" wrong ", Mark("wrong")),
            ("speech", Mark("speech")),
            ("skip", Mark("skip")),
        ],
    )
    def test_can_be_typed(self, text, mark):
        assert parse_mark(text, heard="left", known=self.KNOWN) == mark

    @pytest.mark.parametrize("text", ["lefft", "", "word", "word:tree", "new:", "new:a/b", "Left"])
    def test_that_are_none_are_refused(self, text):
        with pytest.raises(BadNameError):
            parse_mark(text, heard="left", known=self.KNOWN)


class TestOptions:
    def test_marks_are_kept(self, folder, files):
        done = harken(
            "review", folder, "--mark", f"{files[0]}=right", "--mark",
            f"{files[1].removesuffix('.flac')}=speech", "--mark", f"{folder / files[2]}=low",
        )  # fmt: skip
        assert done.exit_code == 0
        assert marks(folder) == ["low", "speech", "low", None]
        assert "4 clips, 1 without a mark, 2 a word, 1 speech" in done.err

    def test_a_later_mark_goes_before_an_earlier_one(self, folder, files):
        for mark in ("right", "noise"):
            harken("review", folder, "--mark", f"{files[0]}={mark}")
        assert marks(folder)[0] == "noise"

    @pytest.mark.parametrize(
        ("mark", "said"),
        [
            ("{0}=lwo", "'lwo' is neither a mark nor one of the words low, high;"),
            ("{0}=new:", "is no word"),
            ("{0}=new:../x", "cannot have"),
            ("nothing.flac=right", "there is no clip 'nothing.flac'"),
            ("{0}", "must be FILE=MARK"),
        ],
    )
    def test_a_mistake_marks_nothing(self, folder, files, mark, said):
        done = harken(
            "review", folder, "--mark", f"{files[1]}=right", "--mark", mark.format(files[0])
        )
        assert done.exit_code == USAGE
        assert said in done.err
        assert marks(folder) == [None] * 4

    def test_a_new_word_is_known_from_then_on(self, folder, files):
        assert harken("review", folder, "--mark", f"{files[0]}=new:mid").exit_code == 0
        assert harken("review", folder, "--mark", f"{files[1]}=mid").exit_code == 0
        assert marks(folder) == ["mid", "mid", None, None]

    def test_the_list_shows_what_was_heard_and_what_it_was(self, folder, files):
        harken("review", folder, "--mark", f"{files[1]}=noise")
        lines = harken("review", folder, "--list").out.splitlines()
        assert len(lines) == 5
        assert lines[1].split()[:3] == [files[0].removesuffix(".flac"), "event", "low"]
        assert lines[2].split()[-1] == "noise"

    def test_programs_get_json(self, folder, files):
        harken("review", folder, "--mark", f"{files[1]}=low")
        data = json.loads(harken("review", folder, "--list", "--json").out)
        assert [clip["file"] for clip in data["clips"]] == files
        assert [clip["mark"] for clip in data["clips"]] == [None, "word", None, None]
        assert data["clips"][1]["marked_word"] == "low"
        assert data["exported"] is None

    def test_marks_are_private(self, folder, files):
        harken("review", folder, "--mark", f"{files[0]}=right")
        assert (folder / "marks.jsonl").stat().st_mode & 0o777 == 0o600


class TestKeys:
    def test_mark_one_clip_after_the_other(self, folder, files):
        done = press(folder, "r", "w", "n", "s")
        assert done.exit_code == 0
        assert marks(folder) == ["low", "wrong", "noise", "speech"]
        assert "continue with" not in done.err

    def test_quitting_keeps_what_was_marked_and_the_next_time_goes_on(self, folder, files):
        done = press(folder, "r", "q")
        assert "1 of 4 marked; continue with: harken review" in done.err
        assert marks(folder) == ["low", None, None, None]
        press(folder, "k")  # and then nothing more comes
        assert marks(folder) == ["low", "skip", None, None]

    def test_another_word_is_asked_for(self, folder, files):
        press(folder, "o", "high", "o", "mistyped", "o", "new:right", "o", "", "o", "right")
        assert marks(folder) == ["high", "right", "right", None]

    def test_undo_takes_back_and_goes_back(self, folder, files):
        done = press(folder, "u", "r", "w", "u", "n", "q")
        assert "nothing to undo" in done.err
        assert marks(folder) == ["low", "noise", None, None]
        assert "2 of 4 marked" in done.err

    def test_undo_brings_back_the_mark_before(self, folder, files):
        harken("review", folder, "--mark", f"{files[0]}=noise")
        press(folder, "w", "u", "q", more=["--again"])
        assert marks(folder)[0] == "noise"

    def test_any_other_key_explains(self, folder, files):
        assert press(folder, "x", "", "q").err.count("r right · w wrong") == 3

    def test_a_mark_is_on_the_disk_before_the_next_question(self, folder, files):
        seen = []

        class Stdin(io.StringIO):
            def readline(self) -> str:
                seen.append(marks(folder).count("low"))
                if len(seen) == 3:
                    raise KeyboardInterrupt
                return "r\n"

        done = harken("review", folder, stdin=Stdin())
        assert done.exit_code == 130
        assert "2 of 4 marked; continue with" in done.err
        assert seen == [0, 1, 1]  # the second is "high"
        assert marks(folder) == ["low", "high", None, None]

    def test_nothing_is_asked_when_all_is_marked(self, folder, files):
        press(folder, "r", "r", "r", "r")
        done = press(folder)
        assert done.exit_code == 0
        assert "4 clips, 0 without a mark" in done.err

    def test_of_a_terminal_need_no_return(self, folder, files, monkeypatch):
        pressed = iter("rw")
        monkeypatch.setattr("typer.getchar", lambda: next(pressed, "\x04"))
        stdin = io.StringIO()
        stdin.isatty = lambda: True
        assert harken("review", folder, stdin=stdin).exit_code == 0
        assert marks(folder) == ["low", "wrong", None, None]


class TestPlaying:
    def test_each_clip_is_heard_as_it_was(self, folder, files, loudspeaker):
        press(folder, "r", "p", "q")
        sounds = [soundfile.read(folder / name, dtype="int16")[0] for name in files]
        assert len(loudspeaker.played) == 3
        for (played, rate_hz), sound in zip(
            loudspeaker.played, [sounds[0], sounds[1], sounds[1]], strict=True
        ):
            assert rate_hz == RATE
            assert np.array_equal(played, sound)

    def test_a_device_of_another_rate_gets_that(self, folder, files, loudspeaker):
        loudspeaker.accepts = (48000,)
        press(folder, "q")
        ((played, rate_hz),) = loudspeaker.played
        assert rate_hz == 48000
        assert len(played) == pytest.approx(2 * 48000, abs=10)

    def test_mute_plays_nothing(self, folder, files, loudspeaker):
        press(folder, "r", "q", more=["--mute"])
        assert loudspeaker.played == []

    def test_without_a_loudspeaker_the_rest_is_shown(self, folder, files, loudspeaker):
        loudspeaker.refuses = True
        done = press(folder, "r", "q")
        assert "Nothing is played: this machine has no loudspeaker" in done.err
        assert "heard low" in done.err
        assert marks(folder)[0] == "low"

    def test_without_portaudio_the_rest_is_shown(self, folder, files, monkeypatch):
        remove_portaudio(monkeypatch)
        done = press(folder, "r", "q")
        assert "Nothing is played: playing needs the PortAudio library" in done.err
        assert marks(folder)[0] == "low"

    def test_a_clip_that_cannot_be_read_can_be_marked(self, folder, files, loudspeaker):
        (folder / files[0]).write_bytes(b"no flac")
        done = press(folder, "k", "q")
        assert "cannot be decoded" in done.err
        assert marks(folder)[0] == "skip"


class TestBadFolders:
    def test_that_are_missing(self, tmp_path):
        done = harken("review", tmp_path / "gone")
        assert done.exit_code == DATA_ERROR
        assert "gone does not exist; `harken listen --capture DIR`" in done.error

    def test_that_are_files(self, tmp_path):
        (tmp_path / "file").touch()
        done = harken("review", tmp_path / "file")
        assert done.exit_code == DATA_ERROR
        assert "is a file, not a folder" in done.error

    def test_without_clips(self, tmp_path):
        done = harken("review", tmp_path)
        assert done.exit_code == DATA_ERROR
        assert "has no clips: there is no clips.jsonl" in done.error

    def test_with_damaged_lines_are_reviewed_all_the_same(self, folder, files):
        labels = folder / "clips.jsonl"
        lines = labels.read_text().splitlines()
        labels.write_text("\n".join([lines[0], "{", *lines[2:], lines[3][:40]]))
        (folder / "marks.jsonl").write_text('{"file": "' + files[0] + '", "mark": "noi\n[]\n')
        done = harken("review", folder, "--mark", f"{files[0]}=right")
        assert done.exit_code == 0
        assert "clips.jsonl:2: not a line of JSON" in done.err
        assert "clips.jsonl:5: not a line of JSON" in done.err
        assert f"1 sound files, such as {files[1]}, have no line" in done.err
        assert "marks.jsonl:1: not a mark" in done.err
        assert marks(folder) == ["low", None, None]

    def test_that_cannot_be_written_lose_no_mark(self, folder, files, monkeypatch):
        real = ClipFolder.mark

        def full(self, file, mark, *, time):
            if file == files[1]:
                raise DataError("cannot write marks.jsonl: No space left on device")
            real(self, file, mark, time=time)

        monkeypatch.setattr(ClipFolder, "mark", full)
        done = press(folder, "r", "r", "r")
        assert done.exit_code == DATA_ERROR
        assert "No space left" in done.error
        assert marks(folder) == ["low", None, None, None]


def files_below(folder: Path) -> dict[str, int]:
    """Count the files of each folder."""
    counts: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).parent.as_posix()
            counts[name] = counts.get(name, 0) + 1
    return counts


def loudness(path: Path) -> tuple[float, float]:
    """Power of a file near the frequencies of "low" and of "high"."""
    samples, _ = soundfile.read(path)
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    low, high = (spectrum[np.abs(hertz - middle) < 50].sum() for middle in (400.0, 2500.0))
    return float(low), float(high)


class TestExport:
    def marked(self, folder: Path, files: list[str], *given: str) -> None:
        for file, mark in zip(files, given, strict=False):
            assert harken("review", folder, "--mark", f"{file}={mark}").exit_code == 0

    def test_is_a_folder_of_recordings_and_scenes(self, folder, files, tmp_path):
        self.marked(folder, files, "right", "speech", "noise")
        out = tmp_path / "out"
        done = harken("review", folder, "--export", out, "--speaker", "Anna B.")
        assert done.exit_code == 0
        assert files_below(out) == {
            "low/anna_b": 1, "_unknown_/anna_b": 1, "_background_noise_": 1, "_scenes_": 6,
        }  # fmt: skip
        assert "low 1; 1 of other speech, 1 of noise; 3 scenes" in done.out
        assert "1 clips have no mark yet" in done.err
        assert "harken train" in done.err
        assert "--words low --out RUN" in done.err

    def test_is_private(self, folder, files, tmp_path):
        self.marked(folder, files, "right")
        harken("review", folder, "--export", tmp_path / "out")
        assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
        written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in written} == {0o600}

    def test_a_recording_is_a_second_with_the_word_in_it(self, folder, files, tmp_path):
        self.marked(folder, files, "right")
        harken("review", folder, "--export", tmp_path / "out")
        (path,) = (tmp_path / "out" / "low").rglob("*.flac")
        samples, rate_hz = soundfile.read(path, dtype="int16")
        assert (len(samples), rate_hz) == (RATE, RATE)
        loud = np.flatnonzero(np.abs(samples) > 1000)
        assert (loud[-1] - loud[0]) / RATE == pytest.approx(tones.BURST_S, abs=0.03)
        assert (loud[-1] + loud[0]) / 2 / RATE == pytest.approx(0.5, abs=0.05)

    def test_follows_marks_that_changed(self, folder, files, tmp_path):
        self.marked(folder, files, "right", "right")
        mine = tmp_path / "out" / "low" / "bert" / "mine.flac"
        mine.parent.mkdir(parents=True)
        mine.write_bytes(b"mine")
        harken("review", folder, "--export", tmp_path / "out")
        assert files_below(tmp_path / "out")["low/captured"] == 1
        self.marked(folder, files, "high", "noise")
        harken("review", folder, "--export", tmp_path / "out")
        counts = files_below(tmp_path / "out")
        assert "low/captured" not in counts
        assert counts["high/captured"] == 1
        assert counts["_background_noise_"] == 1
        assert counts["low/bert"] == 1

    def test_one_utterance_is_one_recording(self, folder, tones_model, tmp_path):
        """A near miss, and the word itself, in clips that overlap."""
        (file,) = capture(folder, tones_model, "low", pause_s=2.0)
        clips = ClipFolder(folder)
        (clip,) = clips.read().clips
        twin = Clip(**{**clip.to_dict(), "file": "2099.flac", "words": clip.words,
                       "kind": "near-miss"})  # fmt: skip
        clips.save(twin, clips.load(clip))
        self.marked(folder, [file, "2099.flac"], "right", "right")
        exported = export(clips, tmp_path / "out", speaker="a")
        assert exported.words == {"low": 1}
        assert exported.scenes == 1
        self.marked(folder, ["2099.flac"], "high")
        exported = export(clips, tmp_path / "out", speaker="a")
        assert exported.scenes == 0
        assert "is at the place of another clip's word" in exported.left_out[0]

    def test_a_scene_ends_where_nobody_said_what_is_heard(self, folder, tones_model, tmp_path):
        files = capture(folder, tones_model, "low", "high", "low", pause_s=1.0)
        self.marked(folder, files, "right", "skip", "right")
        out = tmp_path / "out"
        exported = export(ClipFolder(folder), out, speaker="a")
        assert exported.scenes == 2
        assert exported.waiting == 1
        for path in (out / "_scenes_").glob("*.flac"):
            low, high = loudness(path)
            assert low > 1000 * high  # the word in between is in neither of them

    def test_what_is_no_word_has_scenes_without_one(self, folder, tones_model, tmp_path):
        """As false accepts are counted in these only."""
        files = capture(folder, tones_model, "low", "high", "low", pause_s=1.0)
        self.marked(folder, files, "right", "speech", "right")
        out = tmp_path / "out"
        export(ClipFolder(folder), out, speaker="a")
        tracks = {path.stem: path.read_text() for path in (out / "_scenes_").glob("*.txt")}
        assert len(tracks) == 3
        (empty,) = (stem for stem, track in tracks.items() if not track)
        assert empty == files[1].removesuffix(".flac")
        low, high = loudness(out / "_scenes_" / files[1])
        assert high > 1000 * low

    def test_words_that_overlap_are_one_scene(self, folder, tones_model, tmp_path):
        files = capture(folder, tones_model, "low", "high", "low", pause_s=0.6)
        self.marked(folder, files, "right", "right", "right")
        exported = export(ClipFolder(folder), tmp_path / "out", speaker="a")
        assert exported.scenes == 1
        (track,) = (tmp_path / "out" / "_scenes_").glob("*.txt")
        assert [line.split("\t")[2] for line in track.read_text().splitlines()] == [
            "low", "high", "low",
        ]  # fmt: skip

    def test_without_marks_says_so(self, folder, files, tmp_path):
        done = harken("review", folder, "--export", tmp_path / "out")
        assert done.exit_code == 0
        assert "no words; 0 of other speech, 0 of noise; 0 scenes" in done.out
        assert "4 clips have no mark yet" in done.err

    def test_programs_get_counts(self, folder, files, tmp_path):
        self.marked(folder, files, "right")
        out = tmp_path / "out"
        data = json.loads(harken("review", folder, "--export", out, "--json").out)
        assert data["exported"] == {
            "words": {"low": 1}, "unknown": 0, "noise": 0, "scenes": 1, "waiting": 3,
            "left_out": [],
        }  # fmt: skip

    def test_never_to_where_the_clips_are(self, folder, files, tmp_path):
        self.marked(folder, files, "right", "wrong")
        for place in (folder, tmp_path):
            done = harken("review", folder, "--export", place)
            assert done.exit_code == DATA_ERROR
            assert "the clips are in" in done.error
        assert len(ClipFolder(folder).read().clips) == 4

    @pytest.mark.parametrize("place", ["file", "file/below"])
    def test_to_an_impossible_place_is_refused(self, folder, files, tmp_path, place):
        (tmp_path / "file").touch()
        self.marked(folder, files, "right")
        done = harken("review", folder, "--export", tmp_path / place)
        assert done.exit_code == DATA_ERROR
        assert place.split("/", maxsplit=1)[0] in done.error

    @pytest.mark.parametrize("speaker", ["", "///", "..", "x" * 200])
    def test_a_speaker_without_a_name_is_refused(self, folder, files, tmp_path, speaker):
        done = harken("review", folder, "--export", tmp_path / "out", "--speaker", speaker)
        assert done.exit_code == USAGE
        assert not (tmp_path / "out").exists()

    def test_a_clip_that_cannot_be_read_is_left_out(self, folder, files, tmp_path):
        self.marked(folder, files, "right", "right", "right", "right")
        (folder / files[1]).write_bytes(b"no flac")
        (folder / files[2]).write_bytes(flac(np.zeros(100, np.int16)))
        done = harken("review", folder, "--export", tmp_path / "out")
        assert done.exit_code == 0
        assert "low 2;" in done.out
        assert "cannot be decoded" in done.err
        assert "its audio does not match clips.jsonl" in done.err


class TestWhatItIsFor:
    """The commands that take it are asked themselves; they need harken[train]."""

    @pytest.fixture
    def out(self, folder: Path, tones_model: Model, tmp_path: Path) -> SimpleNamespace:
        pytest.importorskip("scipy", reason="training needs harken[train]")
        words = ["low", "high"] * 6
        files = capture(folder, tones_model, *words, pause_s=1.1)
        assert len(files) == 12
        given = ["right"] * 8 + ["speech", "wrong", "noise", "new:mid"]
        pairs = [f"--mark={file}={mark}" for file, mark in zip(files, given, strict=True)]
        out = tmp_path / "out"
        assert harken("review", folder, *pairs, "--export", out).exit_code == 0
        return SimpleNamespace(path=out, cache=tmp_path / "cache")

    def test_training_reads_words_other_speech_and_noise(self, out):
        from harken.train.cli import _all_words
        from harken.train.data import load_corpus

        corpus = load_corpus(out.path, cache_dir=out.cache)
        counts = {word: sum(parts.values()) for word, parts in corpus.report.word_counts.items()}
        assert counts == {"low": 4, "high": 4, "_unknown_": 2, "mid": 1}
        assert corpus.report.skipped == ()
        assert corpus.report.ignored_folders == ("_scenes_",)
        assert len(corpus.select("noise")) == 1
        assert _all_words(corpus, ()) == ("high", "low", "mid")  # nothing else becomes a keyword
        assert {r.speaker for r in corpus.select("word")} == {"captured"}

    def test_training_draws_streams_from_it(self, out):
        from harken.edge.spotting.frontend import FrontEndConfig
        from harken.train.config import StreamConfig
        from harken.train.data import load_corpus
        from harken.train.streams import StreamMaker

        maker = StreamMaker(
            load_corpus(out.path, cache_dir=out.cache),
            ("low", "high"),
            config=StreamConfig(seconds=4.0),
            front_end=FrontEndConfig(mean=(0.0,) * 10, std=(1.0,) * 10, n_mfcc=10),
            stride_frames=2,
        )
        batch = maker.batch(0, 0, 2)
        assert np.isfinite(batch.frames).all()

    def test_tuning_reads_scenes_with_their_words(self, out):
        from harken.edge import load_model
        from harken.train.scenes.gather import gather
        from harken.train.scenes.tune import check_scenes

        model = load_model(Path(__file__).parents[2] / "data" / "tones.tflite")
        scenes = gather(("low", "high"), model.manifest, folder=out.path / "_scenes_")
        said = [utterance.word for scene in scenes.scenes for utterance in scene.utterances]
        assert said == ["low", "high"] * 4 + ["mid"]
        assert sum(scene.negative for scene in scenes.scenes) == 1  # three clips that overlap
        assert any("not words of the model" in note and "mid" in note for note in scenes.notes)
        spotter = Spotter(model)
        for scene in scenes.scenes:
            spotter.reset()
            events = spotter.feed(scene.render())
            for word in (u for u in scene.utterances if u.word != "mid"):
                assert any(
                    event.word == word.word and word.start_s <= event.end_s <= word.end_s + 0.6
                    for event in events
                )
        check_scenes(scenes.scenes, model.manifest.words, fa_per_hour=1e9)

    def test_a_clip_without_a_word_is_a_scene_without_one(self, folder, files, tmp_path):
        pytest.importorskip("scipy", reason="tuning needs harken[train]")
        from harken.train.scenes.folder import read_scenes

        harken("review", folder, "--mark", f"{files[0]}=wrong", "--export", tmp_path / "out")
        (scene,) = read_scenes(tmp_path / "out" / "_scenes_").scenes
        assert scene.negative
        assert scene.seconds == 2.0
