"""The engine: one network step a stride, its state kept until a reset, on whichever interpreter."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types

import numpy as np
import pytest
import tones
from conftest import DATA

import harken.edge.spotting.engine
from harken.edge import DependencyError, Engine, FrontEnd, ModelError
from harken.edge.spotting.engine import RUNTIMES, load_interpreter_class

INSTALLED = [
    name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])
]
# tensorflow takes seconds to import.
EACH_INSTALLED = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "tensorflow" else [])
    for name in INSTALLED
]


@pytest.fixture(scope="module")
def frames(tones_model) -> np.ndarray:
    """Five seconds of words, as the front end gives them."""
    samples = tones.stream("low", "high", "high", "low", "high")
    return FrontEnd(tones_model.manifest.front_end).feed(samples)


@pytest.fixture
def engine(tones_model) -> Engine:
    return Engine(tones_model)


class EchoRuntime:
    """In the place of a network: remembers what it was asked, answers with a count of steps."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []
        self.resets = 0

    def invoke(self, features: np.ndarray) -> np.ndarray:
        self.asked.append(features.copy())
        return np.full(4, len(self.asked) % 100, np.int8)

    def reset(self) -> None:
        self.resets += 1


# Steps


def test_there_is_a_posterior_for_each_stride_of_frames(engine, frames):
    posteriors = engine.feed(frames)
    assert posteriors.shape == (len(frames) // 2, 4)
    assert posteriors.dtype == np.float32
    np.testing.assert_allclose(posteriors.sum(axis=1), 1, rtol=1e-6)


def test_labels_and_step_are_those_of_the_manifest(engine):
    assert engine.labels == ("low", "high", "unknown", "silence")
    assert engine.step_samples == 2 * 320


@pytest.mark.parametrize("sizes", [[1], [2], [3], [1, 5, 0, 2], [100]], ids=str)
def test_how_frames_are_chunked_makes_no_difference(tones_model, frames, sizes):
    whole = Engine(tones_model).feed(frames)
    engine, pieces, start = Engine(tones_model), [], 0
    while start < len(frames):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(engine.feed(frames[start : start + size]))
        start += size
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_a_step_sees_the_context_oldest_first_and_zeros_before_the_start(tones_model):
    runtime = EchoRuntime()
    engine = Engine(tones_model, runtime=runtime)
    scale, zero_point = tones_model.manifest.input.scale, tones_model.manifest.input.zero_point
    # Frame i holds 10 * i steps of the quantizer everywhere. Stride 2, context 3.
    ramp = np.repeat(10 * scale * np.arange(1, 6, dtype=np.float32)[:, None], 10, axis=1)
    engine.feed(ramp)
    seen = [features.reshape(3, 10)[:, 0].astype(int) - zero_point for features in runtime.asked]
    assert [list(step) for step in seen] == [[0, 10, 20], [20, 30, 40]]
    assert runtime.asked[0].shape == (1, 1, 30)
    assert runtime.asked[0].dtype == np.int8


def test_features_are_rounded_to_the_nearest_and_clipped(tones_model):
    engine = Engine(tones_model, runtime=EchoRuntime())
    scale, zero_point = tones_model.manifest.input.scale, tones_model.manifest.input.zero_point
    steps = np.array([0.4, 0.6, -0.4, -0.6, 1000, -1000, 0, 1, 2, 3], np.float32)
    features = engine.quantize(np.tile(steps * np.float32(scale), (2, 1)))
    assert features.shape == (1, 1, 1, 30)
    expected = [zero_point + k for k in (0, 1, 0, -1)] + [127, -128]
    assert features[0, 0, 0, -10:-4].tolist() == expected


def test_posteriors_are_the_softmax_of_the_logits(tones_model, engine):
    logits = np.array([[0, 10, -128, 127], [5, 5, 5, 5]], np.int8)
    output = tones_model.manifest.output
    real = (logits.astype(float) - output.zero_point) * output.scale
    expected = np.exp(real) / np.exp(real).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(engine.posteriors(logits), expected, rtol=1e-5)
    np.testing.assert_allclose(engine.posteriors(logits)[1], 0.25)


def test_no_frames_give_no_posteriors(engine, frames):
    assert engine.feed(frames[:0]).shape == (0, 4)
    assert engine.feed(frames[:1]).shape == (0, 4)
    assert engine.feed(frames[1:2]).shape == (1, 4)


# State


def lstm_state(interpreter) -> list[np.ndarray]:
    """The int8 output state and the int16 cell state of the LSTM, each minus its zero point."""
    details = [
        d
        for d in interpreter.get_tensor_details()
        if tuple(d["shape"]) == (1, 8) and d["quantization"][0] > 0  # else it is scratch
    ]
    assert [d["dtype"] for d in details] == [np.int8, np.int16]
    assert details[0]["quantization"][1] != 0, "this model cannot show a reset to the wrong value"
    return [interpreter.get_tensor(d["index"]).astype(int) - d["quantization"][1] for d in details]


@pytest.mark.parametrize("runtime", EACH_INSTALLED)
def test_state_is_kept_between_steps_and_a_reset_clears_it(tones_model, frames, runtime):
    engine = Engine(tones_model, runtime=runtime)
    features = engine.quantize(frames)
    engine.reset()
    first = [engine.step_quantized(step) for step in features]
    again = [engine.step_quantized(step) for step in features]
    assert not np.array_equal(first, again), "the second pass starts where the first one ended"
    engine.reset()
    np.testing.assert_array_equal([engine.step_quantized(step) for step in features], first)


@pytest.mark.parametrize("runtime", EACH_INSTALLED)
def test_a_reset_sets_the_state_to_its_zero_point(tones_model, frames, runtime):
    engine = Engine(tones_model, runtime=runtime)
    interpreter = engine.runtime._interpreter
    assert not any(part.any() for part in lstm_state(interpreter))
    engine.feed(frames)
    assert all(part.any() for part in lstm_state(interpreter))
    engine.reset()
    assert not any(part.any() for part in lstm_state(interpreter))


def test_a_reset_forgets_frames_that_wait_for_a_step(engine, frames):
    first = engine.feed(frames)
    engine.feed(frames[:1])
    engine.reset()
    np.testing.assert_array_equal(engine.feed(frames), first)


def test_two_engines_do_not_share_state(tones_model, frames):
    one, other = Engine(tones_model), Engine(tones_model)
    first = one.feed(frames)
    np.testing.assert_array_equal(other.feed(frames), first)


def test_the_answer_of_a_step_is_a_copy(engine, frames):
    features = engine.quantize(frames)
    answer = engine.step_quantized(features[0])
    kept = answer.copy()
    for step in features[1:]:
        engine.step_quantized(step)
    np.testing.assert_array_equal(answer, kept)
    assert answer.shape == (4,)
    assert answer.dtype == np.int8


def test_a_runtime_made_elsewhere_takes_the_place_of_the_interpreter(tones_model, frames):
    runtime = EchoRuntime()
    engine = Engine(tones_model, runtime=runtime)
    posteriors = engine.feed(frames)
    assert len(runtime.asked) == len(posteriors) == len(frames) // 2
    np.testing.assert_allclose(posteriors, 0.25)
    engine.reset()
    assert runtime.resets == 1


# Which interpreter


def interpreter_module(name: str) -> types.ModuleType:
    module = types.ModuleType(RUNTIMES[name])
    module.Interpreter = type("Interpreter", (), {"made_by": name})
    return module


@pytest.fixture
def installed(monkeypatch):
    """Pretend that only these interpreters are installed, and note which are imported."""
    monkeypatch.delenv("HARKEN_RUNTIME", raising=False)

    def install(*names: str) -> list[str]:
        imported = []

        def import_module(module: str) -> types.ModuleType:
            name = next(name for name, path in RUNTIMES.items() if path == module)
            imported.append(name)
            if name not in names:
                raise ModuleNotFoundError(f"No module named {module!r}")
            return interpreter_module(name)

        fake = types.SimpleNamespace(import_module=import_module)
        monkeypatch.setattr(harken.edge.spotting.engine, "importlib", fake)
        return imported

    return install


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        (("ai-edge-litert", "tflite-runtime", "tensorflow"), "ai-edge-litert"),
        (("tflite-runtime", "tensorflow"), "tflite-runtime"),
        (("tensorflow",), "tensorflow"),
    ],
)
def test_the_first_interpreter_installed_is_used_and_no_other_imported(installed, present, chosen):
    imported = installed(*present)
    assert load_interpreter_class().made_by == chosen
    assert imported == list(RUNTIMES)[: list(RUNTIMES).index(chosen) + 1]


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_interpreter_asked_for_is_the_only_one_tried(installed, monkeypatch, name):
    imported = installed(*RUNTIMES)
    assert load_interpreter_class(name).made_by == name
    monkeypatch.setenv("HARKEN_RUNTIME", name)
    assert load_interpreter_class().made_by == name
    assert imported == [name, name]


def test_an_argument_outranks_the_environment(installed, monkeypatch):
    installed(*RUNTIMES)
    monkeypatch.setenv("HARKEN_RUNTIME", "tensorflow")
    assert load_interpreter_class("tflite-runtime").made_by == "tflite-runtime"


def test_without_any_interpreter_the_error_says_what_to_install(installed):
    installed()
    with pytest.raises(DependencyError, match="pip install ai-edge-litert") as caught:
        load_interpreter_class()
    assert caught.value.exit_code == 6
    for name in RUNTIMES:
        assert name in str(caught.value)


def test_a_missing_interpreter_that_was_asked_for_is_not_replaced(installed):
    installed("ai-edge-litert")
    with pytest.raises(DependencyError, match="pip install tflite-runtime"):
        load_interpreter_class("tflite-runtime")


def test_an_unknown_interpreter_is_refused_with_the_known_ones(installed, monkeypatch):
    installed(*RUNTIMES)
    with pytest.raises(DependencyError, match=r"runtime is 'litert'.*ai-edge-litert, tflite"):
        load_interpreter_class("litert")
    monkeypatch.setenv("HARKEN_RUNTIME", "torch")
    with pytest.raises(DependencyError, match="HARKEN_RUNTIME is 'torch'"):
        load_interpreter_class()


FALLBACK = """
import sys
for package in sys.argv[3:]:
    sys.modules[package] = None  # an import of it raises ImportError
import numpy as np
from harken.edge import Engine, load_model
model = load_model(sys.argv[1])
engine = Engine(model)
frames = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
np.save(sys.argv[2], engine.feed(frames))
print(engine.runtime.name)
"""


@pytest.mark.slow
@pytest.mark.skipif("tensorflow" not in INSTALLED, reason="needs tensorflow")
def test_tensorflow_stands_in_where_nothing_else_is_installed(tones_model, tmp_path):
    output = tmp_path / "posteriors.npy"
    missing = ["ai_edge_litert", "tflite_runtime"]
    ran = subprocess.run(
        [sys.executable, "-c", FALLBACK, str(DATA / "tones.tflite"), str(output), *missing],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.split() == ["tensorflow"]
    frames = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    # Two builds of the same kernels; a logit may differ by an LSB.
    np.testing.assert_allclose(np.load(output), Engine(tones_model).feed(frames), atol=0.05)


# What an interpreter may refuse


@pytest.fixture
def refusing(monkeypatch):
    """Put an interpreter in place that refuses every model with an error."""

    def install(error: Exception) -> None:
        class Refusing:
            def __init__(self, **options: object) -> None:
                raise error

        module = types.SimpleNamespace(
            Interpreter=Refusing,
            OpResolverType=types.SimpleNamespace(BUILTIN_REF=1),
        )
        fake = types.SimpleNamespace(import_module=lambda name: module)
        monkeypatch.setattr(harken.edge.spotting.engine, "importlib", fake)

    return install


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_a_model_that_the_interpreter_refuses_is_an_error_with_its_reason(
    tones_model, refusing, kind
):
    refusing(kind("Didn't find op for builtin opcode 'X'\nRegistration failed.\n"))
    with pytest.raises(ModelError) as caught:
        Engine(tones_model, runtime="ai-edge-litert")
    assert str(caught.value) == (
        "tones.tflite: the interpreter ai-edge-litert refuses the model: "
        "Didn't find op for builtin opcode 'X' Registration failed."
    )


def test_an_interpreter_built_for_another_numpy_is_an_error_that_says_so(tones_model, refusing):
    refusing(SystemError("CreateWrapperFromBuffer returned a result with an exception set"))
    with pytest.raises(DependencyError, match=r"not built for NumPy 2.*pip install ai-edge-litert"):
        Engine(tones_model, runtime="tflite-runtime")
