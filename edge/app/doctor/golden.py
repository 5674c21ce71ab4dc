"""Golden vectors: a model's expected results on the demo recording, compared with this machine's.

For each shipped model, ``models/golden/NAME.npz`` holds the Python results for
``demo.flac``: the int8 features of all steps, the int8 logits, and the words. It is bound to the
model by its SHA-256, so that a copy under another name, with other thresholds, is compared as well.
``python tests/make_golden.py`` writes it.

Tolerances:

* **Features.** The front end computes in double precision, whose last bit may depend on the
  processor's FFT and on BLAS; a value midway between two int8 values may be rounded to
  either one. At least 99.9 % must be equal, and none more than 1 apart: the same tolerance as
  against librosa.
* **Logits.** The interpreter gets the golden features, so that the front end has no influence.
  The fused LSTM operator is not defined to the last bit: LiteRT and the reference kernels of
  TensorFlow Lite Micro are up to 3 apart, over thousands of steps with the state kept, and detect
  the same words. Errors accumulate in the state: an interpreter that loses it is off by more than
  100.
* **Words**: the same in the same order.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ModelError
from ...files import packaged, write_atomic
from ...sound.sources import AudioFile
from ...spotting.detector import DetectorConfig
from ...spotting.engine import Engine
from ...spotting.frontend import FrontEnd
from ...spotting.spotter import Spotter
from ...validation import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...spotting.engine import Runtime
    from ...spotting.manifest import Model
    from ...spotting.spotter import Event

LEAST_FEATURES_EQUAL = 0.999
MOST_FEATURES_APART = 1
MOST_LOGITS_APART = 3

# Raised by NumPy for a file that is truncated, modified, or of another kind.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)

_REINSTALL = "pip install --force-reinstall harken"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Golden:
    """A model's results on a recording.

    Attributes
    ----------
    model_sha256 : str
        SHA-256 of the TFLite file.
    recording_sha256 : str
        SHA-256 of the samples, int16, little endian.
    features : numpy.ndarray
        Shape ``(steps, inputs)``, int8: the network's inputs.
    logits : numpy.ndarray
        Shape ``(steps, n_labels)``, int8: its outputs, with the state kept from the first step.
    detector : DetectorConfig
        Detector settings for the words.
    words : tuple of str
        Detected words, in order.
    end_samples : tuple of int
        Position at which each was decided.
    """

    model_sha256: str
    recording_sha256: str
    features: NDArray[np.int8]
    logits: NDArray[np.int8]
    detector: DetectorConfig
    words: tuple[str, ...]
    end_samples: tuple[int, ...]

    @classmethod
    def of(
        cls,
        model: Model,
        recording: NDArray[np.int16],
        *,
        runtime: str | Runtime | None = None,
    ) -> Golden:
        """Run a model on a recording, (n,) int16 at the model's rate, from a fresh state."""
        features = _features(model, recording, runtime)
        events = _events(model, recording, runtime, model.manifest.detector)
        return cls(
            model_sha256=model.manifest.model.sha256,
            recording_sha256=_sha256(recording),
            features=features,
            logits=_logits(model, features, runtime),
            detector=model.manifest.detector,
            words=tuple(event.word for event in events),
            end_samples=tuple(event.end_sample for event in events),
        )

    def save(self, path: Path) -> None:
        """Write the file atomically.

        Raises
        ------
        ModelError
            The file cannot be written.
        """
        content = io.BytesIO()
        np.savez_compressed(
            content,
            model_sha256=np.array(self.model_sha256),
            recording_sha256=np.array(self.recording_sha256),
            features=self.features,
            logits=self.logits,
            detector=np.array(json.dumps(dataclasses.asdict(self.detector))),
            words=np.array(self.words, dtype=np.str_),
            end_samples=np.array(self.end_samples, dtype=np.int64),
        )
        write_atomic(path, content.getvalue(), error=ModelError)

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read a file.

        Raises
        ------
        ModelError
            The file cannot be read, or is damaged.
        """
        try:
            with np.load(path) as stored:
                return cls(
                    model_sha256=str(stored["model_sha256"]),
                    recording_sha256=str(stored["recording_sha256"]),
                    features=stored["features"],
                    logits=stored["logits"],
                    detector=decode(DetectorConfig, json.loads(str(stored["detector"]))),
                    words=tuple(map(str, stored["words"])),
                    end_samples=tuple(map(int, stored["end_samples"])),
                )
        except (*_UNREADABLE, ModelError) as problem:
            reason = " ".join(str(problem).split())
            raise ModelError(
                f"the golden data {path.name} is damaged ({reason}); {_REINSTALL}"
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """The differences between this machine's results and the golden vectors.

    Attributes
    ----------
    features_equal : float
        Share of equal features.
    features_apart : int
        Largest difference of a feature.
    logits_equal, logits_apart
        The same for logits, computed from the golden features.
    labels_equal : float
        Share of the steps with the same most likely label.
    words, expected : tuple of str
        Detected words, and golden words.
    late_samples : int or None
        Largest difference between the decision times of a word; None if the words differ.
    """

    features_equal: float
    features_apart: int
    logits_equal: float
    logits_apart: int
    labels_equal: float
    words: tuple[str, ...]
    expected: tuple[str, ...]
    late_samples: int | None

    @property
    def front_end_is_well(self) -> bool:
        """Whether the features are within tolerance."""
        return (
            self.features_equal >= LEAST_FEATURES_EQUAL
            and self.features_apart <= MOST_FEATURES_APART
        )

    @property
    def network_is_well(self) -> bool:
        """Whether the logits are within tolerance."""
        return self.logits_apart <= MOST_LOGITS_APART


def golden_of(model: Model) -> Golden | None:
    """Return the shipped golden vectors for a model's content; None if there are none.

    Raises
    ------
    ModelError
        Golden data that may be the model's is missing or damaged.
    """
    damaged: ModelError | None = None
    try:
        files = packaged("harken.models", "golden", suffix=".npz")
    except OSError:
        raise ModelError(f"harken's golden data is missing; {_REINSTALL}") from None
    for path in files.values():
        try:
            golden = Golden.load(path)
        except ModelError as problem:
            damaged = problem
        else:
            if golden.model_sha256 == model.manifest.model.sha256:
                return golden
    if damaged is not None:
        raise damaged
    return None


def demo_recording(rate_hz: int) -> NDArray[np.int16]:
    """Return the demo recording, (n,) int16 at a model's rate.

    Raises
    ------
    AudioError
        It cannot be read.
    """
    path = packaged("harken.models", suffix=".flac").get("demo", Path("demo.flac"))
    with AudioFile(path, sample_rate_hz=rate_hz) as source:
        return np.concatenate([block.samples for block in source])


def compare(
    model: Model,
    golden: Golden,
    recording: NDArray[np.int16],
    *,
    runtime: str | Runtime | None = None,
) -> Deviation:
    """Run the model on the recording on this machine.

    The words come from the whole pipeline, with the detector settings of the golden vectors.

    Raises
    ------
    ModelError
        The recording is not that of the golden vectors, or features or logits have another
        shape: a file was changed after installation.
    """
    if _sha256(recording) != golden.recording_sha256:
        raise ModelError(
            "the demo recording does not belong to the golden data: it was changed, or is "
            f"from another version; {_REINSTALL}"
        )
    features = _features(model, recording, runtime)
    if features.shape != golden.features.shape:
        raise ModelError(
            f"the features have the shape {features.shape}, those of the golden data "
            f"{golden.features.shape}: the manifest was changed; {_REINSTALL}"
        )
    logits = _logits(model, golden.features, runtime)
    if logits.shape != golden.logits.shape:
        raise ModelError(
            f"the logits have the shape {logits.shape}, those of the golden data "
            f"{golden.logits.shape}; {_REINSTALL}"
        )
    events = _events(model, recording, runtime, golden.detector)
    words = tuple(event.word for event in events)
    late_samples = None
    if words == golden.words:
        late_samples = max(
            (
                abs(event.end_sample - end)
                for event, end in zip(events, golden.end_samples, strict=True)
            ),
            default=0,
        )
    feature_distance = np.abs(features.astype(np.int16) - golden.features)
    logit_distance = np.abs(logits.astype(np.int16) - golden.logits)
    # Of equal logits either may be the first: what counts is that the golden label is a largest.
    labels = np.take_along_axis(logits, golden.logits.argmax(axis=1)[:, None], axis=1)[:, 0]
    return Deviation(
        features_equal=float(np.mean(feature_distance == 0)),
        features_apart=int(feature_distance.max(initial=0)),
        logits_equal=float(np.mean(logit_distance == 0)),
        logits_apart=int(logit_distance.max(initial=0)),
        labels_equal=float(np.mean(labels == logits.max(axis=1))),
        words=words,
        expected=golden.words,
        late_samples=late_samples,
    )


def _features(
    model: Model, recording: NDArray[np.int16], runtime: str | Runtime | None
) -> NDArray[np.int8]:
    """Return what the network gets, (steps, inputs)."""
    frames = FrontEnd(model.manifest.front_end).feed(recording)
    steps = Engine(model, runtime=runtime).quantize(frames)
    return steps.reshape(len(steps), steps.shape[-1])


def _logits(
    model: Model, features: NDArray[np.int8], runtime: str | Runtime | None
) -> NDArray[np.int8]:
    """Return what the network answers from a fresh state, (steps, n_labels)."""
    engine = Engine(model, runtime=runtime)
    engine.reset()
    logits = np.empty((len(features), len(model.manifest.labels)), np.int8)
    for step, feature in enumerate(features):
        logits[step] = engine.step_quantized(feature.reshape(1, 1, -1))
    return logits


def _events(
    model: Model,
    recording: NDArray[np.int16],
    runtime: str | Runtime | None,
    detector: DetectorConfig,
) -> list[Event]:
    """Return what the whole path hears, from a fresh state."""
    spotter = Spotter(model, runtime=runtime, detector=detector)
    spotter.reset()  # a runtime that was passed as an object has heard something already
    return spotter.feed(recording)


def _sha256(recording: NDArray[np.int16]) -> str:
    return hashlib.sha256(recording.astype("<i2").tobytes()).hexdigest()
