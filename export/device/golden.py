"""Sources in; the compiled engine's results on a recording, and checks of them, out."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from ...edge.errors import DependencyError, ExportError
from ...edge.memory.grammar import Grammar
from ...edge.memory.lstm import LstmPrior, LstmPriorFile
from ...edge.memory.memory import log_ratios
from ...edge.memory.prior import N_GAPS, Learner, Prior, gap_class
from ...edge.spotting.detector import Context, Detection, Detector
from ...edge.spotting.engine import Engine, Runtime, TfliteRuntime
from ...edge.spotting.frontend import FrontEnd
from ...edge.spotting.gate import Gate
from ...edge.spotting.manifest import Model
from ...edge.spotting.spotter import Spotter
from ..tflm import TflmRuntime
from .compiler import build, find_compiler

Int8 = NDArray[np.int8]
Int16 = NDArray[np.int16]

FRONT_ENDS = ("float", "fixed")
"""Both front ends of the engine; the position is HARKEN_FIXED_POINT."""

# Required shares of features that agree with Python's.
_MIN_EQUAL = {"float": 0.999, "fixed": 0.97}
_MIN_WITHIN_ONE = {"float": 0.9999, "fixed": 0.99}

_BOOT_SAMPLES = 16_000  # of the self-test: one second
BOOT_REPEATS = 64
"""How often the self-test repeats its second of audio."""


def recording() -> Int16:
    """Return the golden recording, (n,) int16 at 16 kHz, a minute and thousands of frames.

    Spoken words unchanged, quiet, and far too loud; full-scale noise; silence.
    """
    words, _ = soundfile.read(str(files("harken.models").joinpath("demo.flac")), dtype="int16")
    noise = np.random.default_rng(0).integers(-32768, 32768, 3 * 16_000)
    soft = np.rint(words * 0.02)
    loud = np.clip(words.astype(np.int64) * 6, -32768, 32767)
    silence = np.zeros(2 * 16_000)
    parts = (words, silence, noise, soft, np.where(np.arange(16_000) // 40 % 2, 32767, -32768))
    return np.concatenate((*parts, loud)).astype(np.int16)


def long_recording(samples: int) -> Int16:
    """Return a stream of at least this many samples, int16 at 16 kHz, the same for every call.

    It starts with the golden recording; then its words repeat at levels from -30 to +12 dB, in
    noise 0 to 40 dB below them.
    """
    rng = np.random.default_rng(0)
    golden = recording()
    words = golden[: 19 * 16_000].astype(np.float64)
    rms = np.sqrt(np.mean(words**2))
    parts, length = [golden], len(golden)
    while length < samples:
        level, noise = 10 ** (rng.uniform(-30, 12) / 20), 10 ** (rng.uniform(-40, 0) / 20)
        noisy = level * (words + rng.normal(0, rms * noise, len(words)))
        parts.append(np.rint(noisy).clip(-32768, 32767).astype(np.int16))
        length += len(words)
    return np.concatenate(parts)


def boot_recording(model: Model) -> Int8:
    """Return the audio of a board's self-test, (n,) int8: a second, with a known word if any."""
    words = recording()[: 20 * 16_000]
    heard = Spotter(model).feed(words)
    start = max(0, heard[0].end_sample - _BOOT_SAMPLES * 3 // 4) if heard else 0
    return np.rint(words[start : start + _BOOT_SAMPLES] / 256).clip(-128, 127).astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The engine's results with one of its front ends."""

    features: Int8
    """(frames, n_mfcc)."""
    logits: Int8
    """(steps, n_labels)."""
    awake: Int8
    """(frames,): 1 if the frame was processed, 0 if the gate was shut."""
    events: bytes
    """A line of JSON for each word."""
    boot: Mapping[str, int]
    """Checksums and counts of the self-test."""

    @property
    def vectors(self) -> dict[str, bytes]:
        """The program's outputs, by the name of the option, without the dashes."""
        return {
            "features": self.features.tobytes(),
            "logits": self.logits.tobytes(),
            "awake": self.awake.tobytes(),
        }


def golden_source(identifier: str, pcm: Int8, boot: Mapping[str, Mapping[str, int]]) -> str:
    """Return ``model_golden.c``: the self-test's samples, and its checksums for both front ends."""
    from .source import array

    names = ("features", "logits", "events", "n_frames", "n_steps", "n_events")
    values = {
        kind: ", ".join(f"{boot[kind][name] if kind in boot else 0}u" for name in names)
        for kind in FRONT_ENDS
    }
    return (
        "/* What harken_selftest hears, and what the engine answers. */\n"
        '#include "model_data.h"\n\n'
        + array("int8_t", "pcm", pcm)
        + f"""
const harken_golden harken_{identifier}_golden = {{
    pcm, {len(pcm)}u, {BOOT_REPEATS}u,
#if HARKEN_FIXED_POINT
    {values["fixed"]}
#else
    {values["float"]}
#endif
}};
"""
    )


def ask_engine(sources: Mapping[str, str], pcm: Int16) -> dict[str, Answers]:
    """Compile the engine with its model, for both front ends, and run it.

    Parameters
    ----------
    sources
        Text by the name of the file: all of ``src``, and ``main_stdin.c``.
    pcm
        The audio.

    Raises
    ------
    DependencyError
        There is no C compiler.
    ExportError
        The compiler or the program fails.
    """
    compiler = find_compiler()
    answers = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in sources.items():
            (folder / file).write_text(text, "utf-8")
        for fixed, kind in enumerate(FRONT_ENDS):
            program = folder / kind
            build(
                sorted(folder.glob("*.c")),
                program,
                include=[folder],
                flags=("-std=c99", "-O2", "-ffp-contract=off", f"-DHARKEN_FIXED_POINT={fixed}"),
                compiler=compiler,
            )
            sound = pcm.astype("<i2").tobytes()
            boot = json.loads(_run(program, "--selftest", b"", codes=(0, 1)))
            answers[kind] = Answers(
                features=np.frombuffer(_run(program, "--features", sound), np.int8),
                logits=np.frombuffer(_run(program, "--logits", sound), np.int8),
                awake=np.frombuffer(_run(program, "--awake", sound), np.int8),
                events=_run(program, "--json", sound),
                boot={key: value for key, value in boot.items() if key != "status"},
            )
    return answers


def _run(program: Path, option: str, sound: bytes, *, codes: tuple[int, ...] = (0,)) -> bytes:
    done = subprocess.run([program, option], input=sound, capture_output=True, check=False)
    if done.returncode not in codes:
        raise ExportError(
            f"the compiled engine failed ({program.name} {option}, code {done.returncode}): "
            f"{done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the engine's results compare with Python's, on the golden recording."""

    frames: int
    steps: int
    float_features_equal: float
    """Share of the features that equal Python's; the others are off by one."""
    fixed_features_equal: float
    fixed_features_within_one: float
    tflm: str
    """The wheel that the logits were compared with, or why there was no comparison."""
    tflm_differences: int | None
    """Logits from the float front end's features that differ from TensorFlow Lite Micro's."""
    litert_same: float
    """Share of the logits that equal LiteRT's."""
    litert_max_lsb: int
    events: int
    """Words with the float front end; Python's detector finds the same in its logits."""
    python_events: int
    """Words that Python detects, with its own front end and LiteRT."""
    python_events_same: int
    """Those that the engine detects, too, at the same sample."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types, six digits of each share."""
        return {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


class WordsAlone:
    """The engine's own context: an LSTM prior that receives words, without a dialogue.

    Parameters
    ----------
    grammar
        The grammar of the prior.
    file
        Its LSTM.
    labels, sample_rate_hz
        The model's.
    runtime
        The runtime of the LSTM; see `harken.edge.spotting.engine.Engine`.
    learned
        What a memory has learned on top of it; no further learning happens.
    """

    def __init__(
        self,
        grammar: Grammar,
        file: LstmPriorFile,
        labels: Sequence[str],
        sample_rate_hz: int,
        *,
        runtime: Runtime | None = None,
        learned: Learner | None = None,
    ) -> None:
        self.pending: Callable[[str], str] = lambda word: ""
        """What is pending after a word."""
        self._window_s = grammar.window_s
        self._rate_hz = sample_rate_hz
        self._prior: Prior = LstmPrior(file, runtime=runtime)
        if learned is not None:
            learner = self._prior = Learner(self._prior)
            learner.from_dict(learned.to_dict())
        self._n_labels = len(labels)
        self._columns = [labels.index(word) for word in file.words]
        self.reset()

    def reset(self) -> None:
        """Forget the words."""
        self._prior.reset()
        self._ratios: NDArray[np.float32] | None = None
        self._last = 0

    def log_odds(self, sample: int) -> NDArray[np.float32] | None:
        """See `harken.edge.spotting.detector.Context`."""
        gap_s = (sample - self._last) / self._rate_hz
        if self._ratios is None or gap_s >= self._window_s:
            return None
        row: NDArray[np.float32] = self._ratios[gap_class(gap_s)]
        return row

    def accept(self, detection: Detection) -> None:
        """See `harken.edge.spotting.detector.Context`."""
        if detection.faint is not None:
            self._hear(detection.faint.word, detection.faint.end_sample, lambda word: "")
        self._hear(detection.word, detection.end_sample, self.pending)

    def _hear(self, word: str, sample: int, pending: Callable[[str], str]) -> None:
        gap_s = (sample - self._last) / self._rate_hz
        if self._ratios is None or gap_s >= self._window_s:
            self.reset()
            gap_s = 0.0
        prior = self._prior
        if word not in prior.words:
            return
        prior.hear(word, gap_s, pending(word))
        self._last = sample
        self._ratios = np.zeros((N_GAPS, self._n_labels), np.float32)
        self._ratios[:, self._columns] = log_ratios(prior.expect(), prior.when(), self._window_s)


def compare(
    model: Model,
    pcm: Int16,
    answers: Mapping[str, Answers],
    *,
    context: Callable[[bool], Context] | None = None,
) -> Comparison:
    """Compare the engine with its references.

    Parameters
    ----------
    model
        The model.
    pcm
        The audio.
    answers
        The engine's results.
    context
        Makes the engine's context, if it has one: True asks for TensorFlow Lite Micro as its
        runtime.

    Raises
    ------
    ExportError
        The gate's decisions or the features differ from Python's, or the logits from TFLM's.
    """
    manifest = model.manifest
    engine = Engine(model)
    front_end = FrontEnd(manifest.front_end)
    if manifest.gate is None:
        frames = front_end.feed(pcm)
        awake = np.ones(len(frames), np.int8)
    else:
        frames, heard_frames = front_end.feed_gated(pcm, Gate(manifest.gate, manifest.front_end))
        awake = np.array(heard_frames, np.int8)
    for kind in FRONT_ENDS:
        if answers[kind].awake.tobytes() != awake.tobytes():
            raise ExportError(f"gate check: the {kind} engine processes other frames than Python")
    scaled = np.rint(frames / np.float32(manifest.input.scale)) + manifest.input.zero_point
    expected = scaled.clip(-128, 127).astype(np.int16)
    equal, within = {}, {}
    for kind in FRONT_ENDS:
        off = np.abs(answers[kind].features.reshape(expected.shape) - expected)
        equal[kind], within[kind] = float(np.mean(off == 0)), float(np.mean(off <= 1))
        if equal[kind] < _MIN_EQUAL[kind] or within[kind] < _MIN_WITHIN_ONE[kind]:
            raise ExportError(
                f"front-end check: of the {kind} features {equal[kind]:.2%} equal Python's and "
                f"{within[kind]:.2%} within 1 (at least {_MIN_EQUAL[kind]:.1%} and "
                f"{_MIN_WITHIN_ONE[kind]:.2%} are required)"
            )
    inputs = step_inputs(model, answers["float"].features)
    every = answers["float"].logits.reshape(len(inputs), -1)
    stride = manifest.step.stride_frames
    heard_steps = awake[: len(inputs) * stride].reshape(-1, stride).any(axis=1)
    inputs, logits = inputs[heard_steps], every[heard_steps]
    litert = _logits(TfliteRuntime(model), inputs)
    try:
        tflm = TflmRuntime(model)
    except DependencyError as problem:
        name, differences = f"not compared: {problem}", None
    else:
        name, differences = tflm.name, int((_logits(tflm, inputs) != logits).sum())
    if differences:
        raise ExportError(
            f"parity check: {differences} of {logits.size} logits differ from those of {name}"
        )
    heard = _places(json.loads(line) for line in answers["float"].events.splitlines())
    posteriors = np.zeros(every.shape, np.float32)
    posteriors[:, -1] = 1  # silence while the gate is shut
    posteriors[heard_steps] = engine.posteriors(logits)
    _check_events(model, posteriors, heard, context and context(True))
    spotter = Spotter(model, context=context and context(False))
    python = [(event.word, event.start_sample, event.end_sample) for event in spotter.feed(pcm)]
    return Comparison(
        frames=len(expected),
        steps=len(inputs),
        float_features_equal=equal["float"],
        fixed_features_equal=equal["fixed"],
        fixed_features_within_one=within["fixed"],
        tflm=name,
        tflm_differences=differences,
        litert_same=float(np.mean(litert == logits)),
        litert_max_lsb=int(np.abs(litert.astype(np.int16) - logits).max()),
        events=len(heard),
        python_events=len(python),
        python_events_same=len(set(python) & set(heard)),
    )


def step_inputs(model: Model, features: Int8) -> Int8:
    """Stack the engine's features to the network's inputs, (steps, 1, 1, inputs)."""
    manifest = model.manifest
    stride, context = manifest.step.stride_frames, manifest.step.context_frames
    n_mfcc = manifest.front_end.n_mfcc
    frames = features.reshape(-1, n_mfcc)
    before = np.full((context - stride, n_mfcc), manifest.input.zero_point, np.int8)
    padded = np.concatenate((before, frames))
    steps = len(frames) // stride
    return np.array(
        [padded[step * stride : step * stride + context].reshape(1, 1, -1) for step in range(steps)]
    )


def _logits(runtime: Runtime, inputs: Int8) -> Int8:
    return np.array([runtime.invoke(step) for step in inputs])


def _places(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    return [(event["word"], event["start_sample"], event["end_sample"]) for event in events]


def _check_events(
    model: Model,
    posteriors: NDArray[np.float32],
    heard: list[tuple[str, int, int]],
    context: Context | None,
) -> None:
    """Check that Python's detector gives the same words for the same logits."""
    manifest = model.manifest
    detector = Detector(
        manifest.detector,
        manifest.labels,
        manifest.step_samples,
        sample_rate_hz=manifest.front_end.sample_rate_hz,
        overhang_samples=manifest.front_end.window_samples - manifest.front_end.hop_samples,
        context=context,
    )
    expected = [
        (detection.word, detection.start_sample, detection.end_sample)
        for detection in detector.feed(posteriors)
    ]
    if heard != expected:
        odd = sorted(set(heard) ^ set(expected), key=lambda place: place[2])[0]
        raise ExportError(
            f"detector check: from the same logits, the engine detects {len(heard)} words, Python "
            f"{len(expected)}; only one of them has {odd}"
        )
