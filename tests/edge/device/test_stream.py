"""The stream: sound of any rate in, words out, with thresholds that move."""

from __future__ import annotations

import ctypes
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from c_engine import (
    ALIGNMENT,
    LENGTH,
    NO_WORD,
    NULL,
    RANGE,
    SIZE,
    CEngine,
    Event,
    compile_engine,
    needs_compiler,
)
from c_stream import CStream

from harken.edge import load_model
from harken.edge.memory.grammar_file import load_grammar
from harken.export.web.wasm import STREAM

pytestmark = needs_compiler

ONE = 2**24


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> CEngine:
    folder = tmp_path_factory.mktemp("stream")
    for path in STREAM.glob("*.[ch]"):
        shutil.copy(path, folder)
    return compile_engine(load_model("commands-tiny"), folder, grammar=load_grammar("robot"))


@pytest.fixture
def stream(engine: CEngine) -> CStream:
    return CStream(engine.library, engine.model, 16_000)


@pytest.fixture(scope="module")
def demo() -> np.ndarray:
    samples, _ = soundfile.read(str(files("harken.models").joinpath("demo.flac")), dtype="int16")
    return samples


def keys(events: list[Event]) -> list[tuple[int, ...]]:
    return [event.key() for event in events]


def test_at_the_rate_of_the_model_it_is_the_engine(
    engine: CEngine, stream: CStream, demo: np.ndarray
) -> None:
    """To the bit, whether the samples are int16 or float32."""
    alone = keys(engine.listener().feed(demo, room=64))
    assert len(alone) == 14
    assert keys(stream.feed(demo)) == alone
    stream.call("reset")
    assert keys(stream.feed(demo / np.float32(32768))) == alone


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_other_rates_give_the_same_words(
    engine: CEngine, stream: CStream, demo: np.ndarray, rate_hz: int
) -> None:
    """Within 60 ms; of telephone sound, which has nothing above 4 kHz, most of them.

    Without the last word, "no": `commands-tiny` takes it for "go" at 7 of 32 places where its steps
    may fall, and resampling moves it a little, too.
    """
    demo = demo[: 17 * 16_000]
    wanted = [(event.label, event.end_sample) for event in stream.feed(demo)]
    sound = soxr.resample(demo, 16_000, rate_hz)
    found = CStream(engine.library, engine.model, rate_hz).feed(sound)
    heard = [(event.label, event.end_sample) for event in found]
    if rate_hz == 8_000:
        assert len({label for label, _ in heard} & {label for label, _ in wanted}) >= 6
        return
    assert [label for label, _ in heard] == [label for label, _ in wanted]
    assert all(abs(a - b) <= 960 for (_, a), (_, b) in zip(heard, wanted, strict=True))


def test_chunks_make_no_difference(engine: CEngine, demo: np.ndarray) -> None:
    sound = soxr.resample(demo[:80_000], 16_000, 44_100)
    whole = keys(CStream(engine.library, engine.model, 44_100).feed(sound))
    stream, parts = CStream(engine.library, engine.model, 44_100), []
    for start in range(0, len(sound), 441):
        parts += stream.feed(sound[start : start + 441], room=1)
    assert keys(parts) == whole


def test_a_threshold_of_one_is_never_reached_and_zero_takes_it_back(
    stream: CStream, demo: np.ndarray
) -> None:
    before = stream.feed(demo)
    label = before[0].label
    stream.call("reset")
    assert stream.call("threshold", label, ONE) == 0
    assert label not in {event.label for event in stream.feed(demo)}
    stream.call("reset")
    assert stream.call("threshold", label, 0) == 0
    assert keys(stream.feed(demo)) == keys(before)


def test_sensitivity_moves_the_odds_of_all_words(stream: CStream, demo: np.ndarray) -> None:
    counts = []
    for factor in (2**10, 2**16, 2**22):
        stream.call("reset")
        assert stream.call("sensitivity", factor) == 0
        counts.append(len(stream.feed(demo)))
    assert counts[0] < counts[1] <= counts[2]


def test_without_expecting_it_is_the_model_without_a_memory(
    engine: CEngine, stream: CStream, demo: np.ndarray, tmp_path: Path
) -> None:
    alone = compile_engine(load_model("commands-tiny"), tmp_path / "alone").listener()
    stream.call("expecting", 0)
    assert keys(stream.feed(demo)) == keys(alone.feed(demo, room=64))
    stream.call("expecting", 1)
    stream.call("reset")
    assert keys(stream.feed(demo)) == keys(engine.listener().feed(demo, room=64))


def test_a_word_that_is_faint_is_told_unless_it_shall_not(
    engine: CEngine, demo: np.ndarray
) -> None:
    """At the model's rate too, whatever the rate of the microphone."""
    labels = engine.of.manifest.labels
    heard = []
    for rate_hz in (16_000, 44_100):
        stream = CStream(engine.library, engine.model, rate_hz)
        assert stream.call("threshold", labels.index("left"), ONE) == 0
        sound = soxr.resample(demo[:64_000], 16_000, rate_hz)
        [three, five] = stream.feed(sound)
        assert [labels[each.label] for each in (three, five)] == ["three", "five"]
        assert labels[three.faint] == "left"
        assert ONE // 2 <= three.faint_confidence < ONE
        assert five.faint == NO_WORD
        heard.append(three)
        stream.call("reset")
        stream.call("expecting", 0)
        quiet = {(e.faint, e.faint_confidence, e.faint_sample) for e in stream.feed(sound)}
        assert quiet == {(NO_WORD, 0, 0)}
    assert abs(heard[0].faint_sample - heard[1].faint_sample) <= 960
    assert 16_000 // 4 < heard[0].faint_sample < heard[0].start_sample + 1


def test_level(stream: CStream) -> None:
    """Of the samples since the last call."""
    stream.feed(np.array([0.5, -0.25, 0.0, 0.25], np.float32))
    peak, square = stream.level()
    assert (peak, square) == (0.5, np.float32((0.25 + 2 * 0.0625) / 4))
    assert stream.level() == (0.0, 0.0)


def test_what_is_not_finite_counts_as_zero(engine: CEngine, stream: CStream) -> None:
    sound = np.full(16_000, 0.1, np.float32)
    sound[::50] = 0
    wanted = stream.feed(sound), stream.level()
    sound[::50] = np.array([np.nan, np.inf, -np.inf, 1e30])[np.arange(320) % 4]
    other = CStream(engine.library, engine.model, 16_000)
    assert (other.feed(sound), other.level()) == wanted


class TestErrors:
    """Each is a number below 0, and nothing is changed."""

    @pytest.mark.parametrize("rate_hz", [0, 7_999, 192_001, 47_999])
    def test_rates(self, engine: CEngine, rate_hz: int) -> None:
        library, model = engine.library, ctypes.byref(engine.model)
        assert library.harken_stream_bytes(model, rate_hz) == 0
        memory, handle = (ctypes.c_uint64 * 65536)(), ctypes.c_void_p(1)
        out = ctypes.byref(handle)
        size = ctypes.c_size_t(ctypes.sizeof(memory))
        assert library.harken_stream_init(out, memory, size, model, rate_hz) == RANGE
        assert handle.value is None

    def test_memory(self, engine: CEngine) -> None:
        library, model = engine.library, ctypes.byref(engine.model)
        size = library.harken_stream_bytes(model, 16_000)
        memory, out = (ctypes.c_uint64 * (size // 8 + 2))(), ctypes.byref(ctypes.c_void_p())
        odd = ctypes.c_void_p(ctypes.addressof(memory) + 4)
        less, enough = ctypes.c_size_t(size - 8), ctypes.c_size_t(size)
        assert library.harken_stream_init(out, memory, less, model, 16_000) == SIZE
        assert library.harken_stream_init(out, odd, enough, model, 16_000) == ALIGNMENT
        assert library.harken_stream_init(out, None, enough, model, 16_000) == NULL
        assert library.harken_stream_init(None, memory, enough, model, 16_000) == NULL

    def test_settings(self, engine: CEngine, stream: CStream) -> None:
        unknown = list(load_model("commands-tiny").manifest.labels).index("unknown")
        assert stream.call("threshold", 99, ONE // 2) == RANGE
        assert stream.call("threshold", unknown, ONE // 2) == RANGE
        assert stream.call("threshold", 0, ONE + 1) == RANGE
        for factor in (0, 2**10 - 1, 2**22 + 1):
            assert stream.call("sensitivity", factor) == RANGE

    def test_samples(self, stream: CStream) -> None:
        feed = stream.library.harken_stream_feed
        assert feed(stream.handle, None, ctypes.c_size_t(1), None, ctypes.c_size_t(0)) == NULL
        assert feed(None, None, ctypes.c_size_t(0), None, ctypes.c_size_t(0)) == NULL
        one = (ctypes.c_float * 1)()
        assert feed(stream.handle, one, ctypes.c_size_t(2**25), None, ctypes.c_size_t(0)) == LENGTH
