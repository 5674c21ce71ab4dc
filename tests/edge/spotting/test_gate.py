"""The gate: what is no louder than the room is not heard, and no word is lost by that."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tones
from c_engine import compile_engine, needs_compiler, write_sources
from command import harken

from harken.edge import Detector, FrontEnd, FrontEndConfig, GateConfig, Model, ModelError, Spotter
from harken.edge.spotting.engine import Engine
from harken.edge.spotting.gate import FLOOR_BITS, WARM_UP_S, Gate, frame_energies, log2
from harken.edge.spotting.manifest import Manifest, load_model
from harken.edge.spotting.posteriors import PosteriorStream

CONFIG = GateConfig(margin_db=9.0, hold_ms=600, rise_db_per_s=3.0)
FRONT_END = FrontEndConfig(n_mels=20, n_mfcc=10)
RATE, HOP, WINDOW = 16_000, FRONT_END.hop_samples, FRONT_END.window_samples
DEMO = Path(__file__).parents[3] / "models" / "demo.flac"


def room(seconds: float, dbfs: float, *, seed: int = 0) -> np.ndarray:
    """White noise, (n,) float64 on the scale of int16."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 32768 * 10 ** (dbfs / 20), round(seconds * RATE))


def int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def words() -> np.ndarray:
    """The demo, (n,) int16: 14 words."""
    return np.asarray(soundfile.read(DEMO, dtype="int16")[0])


def decisions(samples: np.ndarray, config: GateConfig = CONFIG) -> np.ndarray:
    """Of each frame whether it is heard, (frames,) bool."""
    _, heard = FrontEnd(FRONT_END).feed_gated(samples, Gate(config, FRONT_END))
    return np.array(heard, bool)


def at(seconds: float) -> int:
    """The first frame that ends later."""
    return max(0, round((seconds * RATE - WINDOW) / HOP) + 1)


class TestDecisions:
    def test_a_quiet_room_is_not_heard_and_what_rises_out_of_it_is(self) -> None:
        sound = room(10, -60)
        sound[5 * RATE : 5 * RATE + RATE // 2] += room(0.5, -30, seed=1)
        heard = decisions(int16(sound))
        assert heard[: at(WARM_UP_S)].all()
        assert not heard[at(WARM_UP_S) + 2 : at(5) - 1].any()
        assert heard[at(5) + 1 : at(6)].all()  # the burst and the hold
        assert not heard[at(6.2) :].any()

    def test_chunks_make_no_difference(self) -> None:
        sound = int16(np.concatenate((room(2, -60), room(1, -25), room(2, -55))))
        whole = FrontEnd(FRONT_END).feed_gated(sound, Gate(CONFIG, FRONT_END))
        front_end, gate = FrontEnd(FRONT_END), Gate(CONFIG, FRONT_END)
        parts = np.split(sound, [1, 511, 512, 900, 5000, 40_000])
        fed = [front_end.feed_gated(part, gate) for part in parts]
        assert np.array_equal(np.concatenate([frames for frames, _ in fed]), whole[0])
        assert [each for _, heard in fed for each in heard] == whole[1]

    def test_frames_that_are_heard_are_those_of_the_front_end(self) -> None:
        sound = int16(np.concatenate((room(3, -60), room(1, -25), room(3, -60))))
        frames, heard = FrontEnd(FRONT_END).feed_gated(sound, Gate(CONFIG, FRONT_END))
        assert 0 < sum(heard) < len(heard)
        every = FrontEnd(FRONT_END).feed(sound)
        assert np.array_equal(frames[heard], every[heard])
        for index in np.flatnonzero(~np.array(heard)):
            assert np.array_equal(frames[index], frames[index - 1])

    def test_float_samples_are_decided_on_as_int16(self) -> None:
        sound = int16(np.concatenate((room(2, -60), room(1, -25), room(2, -60))))
        assert np.array_equal(decisions(sound), decisions(sound.astype(np.float32) / 32768))

    def test_a_reset_forgets_the_room(self) -> None:
        front_end, gate = FrontEnd(FRONT_END), Gate(CONFIG, FRONT_END)
        quiet = int16(room(3, -60))
        first = front_end.feed_gated(quiet, gate)[1]
        front_end.reset()
        gate.reset()
        assert front_end.feed_gated(quiet, gate)[1] == first

    def test_logarithms_and_energies_are_integers_that_are_exact(self) -> None:
        assert [log2(value) for value in (0, 1, 2, 3, 4, 511, 2**47)] == [
            0, 0, 256, 384, 512, 2303, 47 * 256
        ]  # fmt: skip
        extremes = np.where(np.arange(640) // 2 % 2, 32767.0, -32768.0)
        extremes[1::2] = -extremes[::2].clip(-32767)
        without_mean = 160 * 80 * (32767**2 + 32768**2) - 80**2
        differences = 80 * ((2 * 32767) ** 2 + 65535**2)
        assert frame_energies(extremes, 320) == [(without_mean, differences)] * 2
        assert frame_energies(np.array([3.0, 5.0, 9.0]), 3) == [(0, 4)]  # the last one has no pair


class TestOddRooms:
    """No room makes the gate lose what is loud, and none lets it stay open for no reason."""

    def test_digital_silence_and_a_word_after_it(self) -> None:
        sound = np.concatenate((np.zeros(5 * RATE), room(0.5, -45), np.zeros(2 * RATE)))
        heard = decisions(int16(sound))
        assert not heard[at(WARM_UP_S) + 2 : at(5) - 1].any()
        assert heard[at(5) + 1 : at(5.5)].all()

    def test_the_last_bit_of_a_converter_does_not_open_it(self) -> None:
        dither = np.random.default_rng(0).integers(-1, 2, 5 * RATE).astype(np.int16)
        assert not decisions(dither)[at(WARM_UP_S) + 2 :].any()

    @pytest.mark.parametrize("offset", [-20_000, 3_000])
    def test_the_offset_of_a_converter_changes_nothing(self, offset: int) -> None:
        sound = int16(np.concatenate((room(3, -60), room(0.5, -35), room(3, -60))))
        assert np.array_equal(decisions(sound), decisions(sound + np.int16(offset)))

    def test_a_floor_that_never_settles_leaves_it_open_to_words(self) -> None:
        """Music from the first second: notes that come and go, and a word above them."""
        time_s = np.arange(20 * RATE) / RATE
        music = 1500 * np.sin(2 * np.pi * 880 * time_s) * np.exp(-6 * (time_s % 0.5))
        music[10 * RATE : 10 * RATE + RATE // 2] += room(0.5, -25)
        heard = decisions(int16(music + room(20, -60)))
        assert heard.mean() > 0.9
        assert heard[at(10) + 1 : at(10.5)].all()

    def test_sound_that_is_loud_from_the_first_sample_on_is_heard(self) -> None:
        assert decisions(int16(room(0.9, -12)))[: at(0.9)].all()

    def test_a_microphone_with_automatic_gain(self) -> None:
        """It turns up a quiet room by 25 dB in ten seconds, and down again within a word."""
        parts = (np.linspace(0, 25, 10 * RATE), np.linspace(25, 5, RATE // 10), np.full(6400, 5.0))
        gain_db = np.concatenate(parts)
        speech = np.concatenate((np.zeros(10 * RATE), room(0.5, -45, seed=3)))
        sound = int16((room(10.5, -70) + speech) * 10 ** (gain_db / 20))
        heard = decisions(sound)
        assert heard[at(10) + 1 :].all()
        assert not heard[at(3) : at(9)].any()

    def test_a_fan_that_is_switched_on_is_the_room_after_a_while(self) -> None:
        sound = int16(np.concatenate((room(5, -70), room(15, -45))))
        heard = decisions(sound)
        assert heard[at(5) + 1 : at(8)].all()
        assert not heard[at(5 + 25 / CONFIG.rise_db_per_s + 1) :].any()

    def test_a_room_above_the_upper_bound_is_always_heard(self) -> None:
        gate = Gate(CONFIG, FRONT_END)
        loudest = 160 * 160 * 2**30, 160 * 65535**2
        assert all(gate.feed([loudest] * 10_000))
        assert gate.floors == gate.tables.most
        for floor, energy in zip(gate.floors, loudest, strict=True):
            assert floor < log2(energy) << (FLOOR_BITS - 8)


class TestNoise:
    """Words stand out of rumble and of hiss, though not by the same level."""

    @pytest.fixture
    def shape(self) -> GateConfig:
        return GateConfig(margin_db=12.0, hold_ms=100, rise_db_per_s=3.0)

    def test_a_voice_over_hiss(self, shape: GateConfig) -> None:
        """15 dB louder, and hardly anything of it in the differences."""
        sound = room(6, -45)
        time_s = np.arange(RATE // 2) / RATE
        voice = 32768 * 10 ** (-30 / 20) * np.sqrt(2) * np.sin(2 * np.pi * 200 * time_s)
        sound[4 * RATE : 4 * RATE + RATE // 2] += voice
        heard = decisions(int16(sound), shape)
        assert not heard[at(2) : at(4) - 1].any()
        assert heard[at(4) + 1 : at(4.5)].all()

    def test_a_fricative_over_rumble(self, shape: GateConfig) -> None:
        """15 dB softer than the rumble, and far louder in the differences."""
        time_s = np.arange(6 * RATE) / RATE
        sound = 32768 * 10 ** (-25 / 20) * np.sqrt(2) * np.sin(2 * np.pi * 50 * time_s)
        sound[4 * RATE : 4 * RATE + RATE // 2] += room(0.5, -40)
        heard = decisions(int16(sound + room(6, -70, seed=1)), shape)
        assert not heard[at(2) : at(4) - 1].any()
        assert heard[at(4) + 1 : at(4.5)].all()


class TestSpotter:
    """With the rest of the path."""

    @pytest.fixture
    def gated(self, tones_model: Model) -> Model:
        manifest = dataclasses.replace(tones_model.manifest, gate=CONFIG)
        return dataclasses.replace(tones_model, manifest=manifest)

    @pytest.fixture
    def sound(self) -> np.ndarray:
        """Words with seconds of a quiet room around each."""
        parts = []
        for index in range(6):
            word = tones.tone(tones.LABELS[index % 2], seconds=0.5, level=0.2)
            parts += [tones.quiet(3.0, seed=index), word + tones.quiet(0.5, seed=9)[: len(word)]]
        return tones.to_int16(np.concatenate((*parts, tones.quiet(2.0, seed=7))))

    def test_the_words_are_the_same(self, gated: Model, sound: np.ndarray) -> None:
        with_gate, without = Spotter(gated), Spotter(gated, gate=False)
        heard = [(event.word, event.end_sample) for event in with_gate.feed(sound)]
        expected = [(event.word, event.end_sample) for event in without.feed(sound)]
        assert [word for word, _ in heard] == [word for word, _ in expected]
        assert len(heard) == 6
        for (_, ours), (_, theirs) in zip(heard, expected, strict=True):
            assert abs(ours - theirs) <= 640  # a step of 40 ms
        assert with_gate.heard_share < 0.6
        assert without.heard_share == 1
        assert with_gate.gate == CONFIG
        assert without.gate is None

    def test_chunks_make_no_difference(self, gated: Model, sound: np.ndarray) -> None:
        whole = [event.to_dict() for event in Spotter(gated).feed(sound)]
        spotter, events = Spotter(gated), []
        for start in range(0, len(sound), 333):
            events += spotter.feed(sound[start : start + 333])
        for event in events:
            assert event.latency_s >= 0
        timeless = [{**event.to_dict(), "latency_s": 0} for event in events]
        assert timeless == [{**event, "latency_s": 0} for event in whole]

    def test_without_a_gate_in_the_manifest_all_is_as_ever(
        self, tones_model: Model, sound: np.ndarray
    ) -> None:
        stream = PosteriorStream(tones_model)
        posteriors, shut = stream.feed(sound)
        assert stream.gate is None
        assert not shut
        frames = FrontEnd(tones_model.manifest.front_end).feed(sound)
        assert np.array_equal(posteriors, Engine(tones_model).feed(frames))

    def test_the_network_waits_as_it_was(self, gated: Model) -> None:
        """A step that is not heard costs no invocation and changes no state; it is silence."""
        stream = PosteriorStream(gated)
        stream.feed(tones.to_int16(tones.quiet(3.0, seed=0)))
        invoked = []
        invoke = stream.engine.runtime.invoke
        stream.engine.runtime.invoke = lambda step: invoked.append(step) or invoke(step)
        posteriors, shut = stream.feed(tones.to_int16(tones.quiet(1.0, seed=1)))
        assert shut
        assert not invoked
        silence = np.eye(len(gated.manifest.labels), dtype=np.float32)[-1]
        assert (posteriors == silence).all()

    def test_a_reset_opens_it(self, gated: Model) -> None:
        spotter, quiet = Spotter(gated), tones.to_int16(tones.quiet(3.0, seed=0))
        spotter.feed(quiet)
        share = spotter.heard_share
        assert share < 1
        spotter.reset()
        assert spotter.heard_share == 1
        spotter.feed(quiet)
        assert spotter.heard_share == share

    def test_a_clip_is_classified_as_ever(self, gated: Model, tones_model: Model) -> None:
        clip = tones.to_int16(tones.tone(tones.LABELS[0], seconds=0.5, level=0.01))
        assert Spotter(gated).classify(clip) == Spotter(tones_model).classify(clip)


@pytest.mark.parametrize("smoothing_steps", [1, 4])
def test_to_rest_is_to_be_fed_with_silence(tones_model: Model, smoothing_steps: int) -> None:
    """Detections, evidence, talk, arming, onsets and what a context is asked are the same."""
    manifest = tones_model.manifest
    config = dataclasses.replace(
        manifest.detector, smoothing_steps=smoothing_steps, talk_penalty=6.0, refractory_ms=200
    )

    class Asked:
        def __init__(self) -> None:
            self.samples: list[int] = []

        def log_odds(self, sample: int) -> np.ndarray:
            self.samples.append(sample)
            return np.array([2.0, -1.0, *[0.0] * (len(manifest.labels) - 2)], np.float32)

        def accept(self, detection: object) -> None:
            self.samples.append(-1)

        def reset(self) -> None:
            pass

    one, other = Asked(), Asked()
    resting = Detector(config, manifest.labels, 640, context=one)
    feeding = Detector(config, manifest.labels, 640, context=other)
    rng = np.random.default_rng(0)
    for _ in range(300):
        steps = int(rng.integers(0, 12))
        if rng.random() < 0.5:
            silence = np.zeros((steps, len(manifest.labels)), np.float32)
            silence[:, -1] = 1
            assert resting.rest(steps) == feeding.feed(silence)
        else:
            posteriors = rng.dirichlet([0.2] * len(manifest.labels), steps).astype(np.float32)
            assert resting.feed(posteriors) == feeding.feed(posteriors)
        assert np.array_equal(resting.evidence, feeding.evidence)
    assert one.samples == other.samples
    assert -1 in one.samples


class TestManifest:
    def test_it_is_kept_and_left_out_where_there_is_none(self, tones_model: Model) -> None:
        assert "gate" not in tones_model.manifest.to_json()
        gated = dataclasses.replace(tones_model.manifest, gate=CONFIG)
        assert Manifest.from_json(gated.to_json()) == gated
        assert Manifest.from_json(tones_model.manifest.to_json()).gate is None

    def test_null_is_none(self, edit_manifest) -> None:
        assert Manifest.load(edit_manifest({"gate": None})).gate is None

    @pytest.mark.parametrize(
        ("field", "value", "must"),
        [
            ("margin_db", 2.9, "be at least 3 and at most 30"),
            ("margin_db", 31, "be at least 3 and at most 30"),
            ("hold_ms", 99, "be at least 100 and at most 10000"),
            ("hold_ms", 600.5, "be a whole number"),
            ("hold_ms", True, "be a whole number"),
            ("rise_db_per_s", 0, "be at least 0.1 and at most 20"),
            ("rise_db_per_s", "fast", "be a number"),
        ],
    )
    def test_values_out_of_range_are_named(self, edit_manifest, field, value, must) -> None:
        gate = {**dataclasses.asdict(CONFIG), field: value}
        with pytest.raises(ModelError, match=f"gate.{field} is .*; it must {must}"):
            Manifest.load(edit_manifest({"gate": gate}))

    def test_fields_are_all_there_and_no_others(self, edit_manifest) -> None:
        with pytest.raises(ModelError, match=r"gate\.hold_ms is missing"):
            Manifest.load(edit_manifest({"gate": {"margin_db": 9, "rise_db_per_s": 3}}))
        with pytest.raises(ModelError, match=r"gate\.floor is not a known field"):
            Manifest.load(edit_manifest({"gate": {**dataclasses.asdict(CONFIG), "floor": 1}}))
        with pytest.raises(ModelError, match="gate is 9; it must be a JSON object"):
            Manifest.load(edit_manifest({"gate": 9}))


class TestCommands:
    @pytest.fixture
    def gated(self, tones_model: Model, tmp_path: Path) -> Path:
        """The manifest of a model with a gate."""
        manifest = dataclasses.replace(tones_model.manifest, gate=CONFIG)
        manifest.save(tmp_path / "tones.json")
        (tmp_path / "tones.tflite").write_bytes(tones_model.content)
        return tmp_path / "tones.json"

    @pytest.fixture
    def wav(self, tmp_path: Path) -> Path:
        word = tones.tone(tones.LABELS[0], seconds=0.5, level=0.2)
        quiet = [tones.quiet(4.0, seed=seed) for seed in (0, 1)]
        sound = tones.to_int16(np.concatenate((quiet[0], word, quiet[1])))
        soundfile.write(tmp_path / "sound.wav", sound, RATE)
        return tmp_path / "sound.wav"

    def test_listen_says_how_much_was_heard(self, gated: Path, wav: Path) -> None:
        done = harken("listen", gated, "--wav", wav)
        assert done.exit_code == 0
        assert len(done.out.splitlines()) == 1
        assert re.search(r"the gate let [2-4]\d% of it pass", done.err)

    def test_no_gate_hears_everything(self, gated: Path, wav: Path) -> None:
        done = harken("listen", gated, "--wav", wav, "--no-gate")
        assert done.exit_code == 0
        assert len(done.out.splitlines()) == 1
        assert "the gate let" not in done.err

    def test_info_shows_it(self, gated: Path, tones_folder: Path) -> None:
        assert "opens 9 dB above the room, for 600 ms" in " ".join(
            harken("info", gated).out.split()
        )
        assert "none: everything is heard" in harken("info", tones_folder / "tones.json").out


@needs_compiler
@pytest.mark.parametrize("fixed", [False, True], ids=["float", "fixed"])
def test_the_engine_in_c_decides_the_same(fixed: bool, tmp_path: Path) -> None:
    """Of words, quiet rooms, digital silence and full scale; and it hears the same words."""
    model = load_model("commands-tiny")
    model = dataclasses.replace(model, manifest=dataclasses.replace(model.manifest, gate=CONFIG))
    demo = words()
    sound = np.concatenate(
        [
            int16(room(4, -60)), demo, np.zeros(3 * RATE, np.int16), int16(room(4, -50, seed=1)),
            np.full(RATE, -32768, np.int16), int16(room(2, 3)), demo // 16, int16(room(3, -75)),
        ]
    )  # fmt: skip
    front_end = model.manifest.front_end
    expected = FrontEnd(front_end).feed_gated(sound, Gate(CONFIG, front_end))[1]
    assert 0.3 < np.mean(expected) < 0.9
    engine = compile_engine(model, tmp_path, fixed=fixed)
    assert engine.bytes == engine.of.memory_bytes
    listener, awake, heard = engine.listener(), [], []
    for events in listener.frames(sound):
        awake.append(listener.awake())
        heard += [(engine.of.manifest.labels[event.label], event.end_sample) for event in events]
    assert awake == expected
    python = [(event.word, event.end_sample) for event in Spotter(model).feed(sound)]
    assert len(python) > 10
    if not fixed:
        assert len(set(heard) & set(python)) >= 0.9 * len(python)
    assert listener.library.harken_awake(None) == -1


@needs_compiler
@pytest.mark.slow
def test_exports_carry_the_decisions(tmp_path: Path) -> None:
    """On the golden recording: C with both front ends and WebAssembly decide as Python does."""
    from harken.edge.errors import DependencyError
    from harken.export.device.bundle import checked_engine, golden_files
    from harken.export.device.golden import recording
    from harken.export.web.bundle import export_web

    plain = load_model("commands-tiny").ungated
    model = dataclasses.replace(plain, manifest=dataclasses.replace(plain.manifest, gate=CONFIG))
    front_end = model.manifest.front_end
    expected = FrontEnd(front_end).feed_gated(recording(), Gate(CONFIG, front_end))[1]
    engine = checked_engine(model)
    files = golden_files(engine)
    assert files["float.awake"] == files["fixed.awake"] == bytes(expected)
    assert 0.5 < np.mean(expected) < 1
    assert engine.comparison.events > 20
    try:
        bundle = export_web([model], tmp_path / "web")
    except DependencyError as missing:
        pytest.skip(str(missing))
    assert not bundle.not_checked or "node" in bundle.not_checked.lower()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Cortex-M0+", "Cortex-M4F"])
def test_a_quiet_room_costs_a_board_hardly_any_instructions(name: str, tmp_path: Path) -> None:
    from harken.export.device.source import EngineModel
    from harken.export.device.targets import TARGETS, measure_sound

    target = next(target for target in TARGETS if target.name == name)
    if target.missing is not None:
        pytest.skip(f"{target.missing} is not installed")
    plain = load_model("commands-tiny").ungated
    model = dataclasses.replace(plain, manifest=dataclasses.replace(plain.manifest, gate=CONFIG))
    quiet = int16(room(4, -60))
    quiet.astype("<i2").tofile(tmp_path / "sound.s16")
    counted = {}
    for each in (model, plain):
        folder = tmp_path / str(each.manifest.gate is None)
        folder.mkdir()
        write_sources(EngineModel.of(each), folder)
        counted[each.manifest.gate is None] = measure_sound(
            target, folder, tmp_path / "sound.s16", settled=60
        )
    gated, ungated = counted[False], counted[True]
    assert gated.frames == ungated.frames == ungated.awake > 100
    assert gated.awake == 0
    assert gated.instructions < 0.35 * ungated.instructions
