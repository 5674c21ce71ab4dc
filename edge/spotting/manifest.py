"""The manifest, which says how to feed a model and read its outputs; and loading models."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import ModelError
from ..files import decode_text, packaged, write_atomic
from ..validation import decode, require
from .detector import CONTEXT_LIMIT, CONTEXT_WEIGHT, SILENCE, UNKNOWN, DetectorConfig
from .frontend import FrontEndConfig
from .gate import GateConfig, GateTables
from .tflite import MAGIC, Graph, read_graph

NON_WORDS = (UNKNOWN, SILENCE)
"""The last two labels of every model: other speech, and no speech."""

MOST_SVDF_MEMORY = 64
"""Most steps that a filter over time spans: 2.6 s at 40 ms a step."""

_SOUND_SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"))
_NUMBER_ARRAY = re.compile(r"\[\n([-+.\deE,\s]*)\]")
MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Allowed names of models."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFile:
    """The file that the manifest belongs to."""

    file: str
    """Name of the TFLite file, in the folder of the manifest."""
    bytes: int
    """Its length in bytes."""
    sha256: str
    """SHA-256 of its content, 64 lower-case hexadecimal digits."""

    def __post_init__(self) -> None:
        require(
            MODEL_NAME.fullmatch(self.file) is not None and self.file.endswith(".tflite"),
            "model.file",
            self.file,
            "be a file name without a folder that ends in .tflite, of letters, digits, '_', '-' "
            "and '.'; letters are A to Z and a to z",
        )
        require(self.bytes >= 1, "model.bytes", self.bytes, "be at least 1")
        require(
            re.fullmatch("[0-9a-f]{64}", self.sha256) is not None,
            "model.sha256",
            self.sha256,
            "be 64 lower-case hexadecimal digits",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepConfig:
    """How front-end frames become network steps.

    The network runs once every `stride_frames` frames, on the last `context_frames` frames, oldest
    first. Frames before the first one are zeros, the mean of standardised frames.
    """

    stride_frames: int
    """Frames from one step to the next."""
    context_frames: int
    """Frames that one step sees; at least `stride_frames`."""

    def __post_init__(self) -> None:
        require(self.stride_frames >= 1, "step.stride_frames", self.stride_frames, "be at least 1")
        require(
            self.context_frames >= self.stride_frames,
            "step.context_frames",
            self.context_frames,
            f"be at least stride_frames, {self.stride_frames}",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantization:
    """An int8 tensor: ``real = (int8 - zero_point) * scale``, the arithmetic in float32."""

    scale: float
    """Step between two int8 values."""
    zero_point: int
    """The int8 value that stands for 0, in -128..127."""
    shape: tuple[int, ...]
    """Shape of the tensor."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StateConfig:
    """What the network remembers between steps."""

    svdf_units: tuple[int, ...] = ()
    """Units of each SVDF layer, in the order of the data; empty where there is none."""
    svdf_memory: tuple[int, ...] = ()
    """Steps that each of them keeps, the current one included."""
    lstm_units: tuple[int, ...]
    """Units of each LSTM layer, in the order of the data."""
    cell_clip: float
    """Bound on the magnitude of the LSTM cells."""

    def __post_init__(self) -> None:
        for index, units in enumerate(self.svdf_units):
            require(units >= 1, f"state.svdf_units[{index}]", units, "be at least 1")
        layers = len(self.svdf_units)
        require(
            len(self.svdf_memory) == layers,
            "state.svdf_memory",
            list(self.svdf_memory),
            f"hold one number for each of the {layers} svdf_units",
        )
        for index, memory in enumerate(self.svdf_memory):
            require(
                1 <= memory <= MOST_SVDF_MEMORY,
                f"state.svdf_memory[{index}]",
                memory,
                f"be in 1..{MOST_SVDF_MEMORY}",
            )
        require(len(self.lstm_units) >= 1, "state.lstm_units", self.lstm_units, "not be empty")
        for index, units in enumerate(self.lstm_units):
            require(units >= 1, f"state.lstm_units[{index}]", units, "be at least 1")
        require(self.cell_clip > 0, "state.cell_clip", self.cell_clip, "be greater than 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """What the model needs on a microcontroller."""

    tflm_arena_bytes: int | None
    """Measured tensor arena of TensorFlow Lite Micro; None if not measured."""

    def __post_init__(self) -> None:
        require(
            self.tflm_arena_bytes is None or self.tflm_arena_bytes >= 1,
            "memory.tflm_arena_bytes",
            self.tflm_arena_bytes,
            "be at least 1, or null",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """``NAME.json`` beside ``NAME.tflite``: how to feed and read the model, and where it came from.

    The fields are those of the file; their order here is their order there.

    Raises
    ------
    ModelError
        A field is out of its range, or two fields do not agree. Names the field.
    """

    VERSION: ClassVar[int] = 4

    harken_manifest: int = VERSION
    """Version of the manifest's format."""
    name: str
    """Name of the model: letters, digits, ``_``, ``-`` and ``.``."""
    model: ModelFile
    front_end: FrontEndConfig
    step: StepConfig
    labels: tuple[str, ...]
    """What the outputs stand for: the words, then "unknown", then "silence"."""
    input: Quantization
    """One step's frames, (1, 1, context_frames * n_mfcc)."""
    output: Quantization
    """Logits, (1, len(labels)); softmax is taken outside, in float32."""
    state: StateConfig
    detector: DetectorConfig
    gate: GateConfig | None = None
    """Which frames to process; None, for which the file has no such section: all of them."""
    memory: MemoryConfig
    checks: Mapping[str, Any]
    """Results of the checks made at export."""
    operating_point: Mapping[str, Any] | None
    """What was measured with these thresholds; None if nothing was."""
    provenance: Mapping[str, Any]
    """Data, split, seed, recipe, versions, licences."""

    def __post_init__(self) -> None:
        require(
            self.harken_manifest == self.VERSION,
            "harken_manifest",
            self.harken_manifest,
            f"be {self.VERSION}",
        )
        require(
            MODEL_NAME.fullmatch(self.name) is not None,
            "name",
            self.name,
            "be made of letters, digits, '_', '-' and '.'; letters are A to Z and a to z, and the "
            "first is no '-' or '.'",
        )
        require(
            self.labels[-2:] == NON_WORDS and len(self.labels) >= 3,
            "labels",
            self.labels,
            'be at least one word, then "unknown", then "silence"',
        )
        for index, label in enumerate(self.labels):
            require(bool(label.strip()), f"labels[{index}]", label, "not be empty")
            require(label not in self.labels[:index], f"labels[{index}]", label, "not occur twice")
        features = self.step.context_frames * self.front_end.n_mfcc
        for side, tensor, shape in (
            ("input", self.input, (1, 1, features)),
            ("output", self.output, (1, len(self.labels))),
        ):
            require(tensor.scale > 0, f"{side}.scale", tensor.scale, "be greater than 0")
            require(
                -128 <= tensor.zero_point <= 127,
                f"{side}.zero_point",
                tensor.zero_point,
                "be in -128..127",
            )
            why = "context_frames * n_mfcc" if side == "input" else "the number of labels"
            require(
                tensor.shape == shape,
                f"{side}.shape",
                list(tensor.shape),
                f"be {list(shape)}, which ends in {why}",
            )
        if self.gate is not None:
            GateTables.of(self.gate, self.front_end)
        for word in self.words:
            if word not in self.detector.thresholds:
                raise ModelError(f"detector.thresholds.{word} is missing; each word needs one")
        for word in self.detector.thresholds:
            if word not in self.words:
                raise ModelError(
                    f"detector.thresholds.{word} is for no word of this model; "
                    f"the words are {', '.join(self.words)}"
                )

    @property
    def words(self) -> tuple[str, ...]:
        """The labels that are words: all but "unknown" and "silence"."""
        return self.labels[: -len(NON_WORDS)]

    @property
    def step_samples(self) -> int:
        """Samples from one network step to the next."""
        return self.step.stride_frames * self.front_end.hop_samples

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read and check a manifest.

        Raises
        ------
        ModelError
            The file cannot be read, or a field is missing, unknown or wrong.
        """
        path = Path(path)
        content = _read(path, "manifest")
        try:
            text = decode_text(content)
        except UnicodeDecodeError as problem:
            raise ModelError(
                f"{path.name} is not UTF-8 text (byte {problem.start}), so it is no manifest"
            ) from problem
        return cls.from_json(text, source=path.name)

    def save(self, path: str | Path) -> None:
        """Write the manifest, completely or not at all.

        Raises
        ------
        ModelError
            The file cannot be written.
        """
        write_atomic(path, self.to_json(), error=ModelError)

    def to_json(self) -> str:
        """Return the manifest as JSON text, each array of numbers on one line.

        Raises
        ------
        ModelError
            A free-form section holds NaN or an infinity, which JSON cannot express.
        """
        data = dataclasses.asdict(self)
        if self.gate is None:
            del data["gate"]
        try:
            text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        except ValueError as problem:
            raise ModelError(f"the manifest of {self.name} cannot be JSON: {problem}") from problem
        # Strings are not affected: line breaks in them are escaped.
        return _NUMBER_ARRAY.sub(lambda array: f"[{' '.join(array[1].split())}]", text) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "manifest") -> Manifest:
        """Parse and check a manifest.

        Parameters
        ----------
        text
            The JSON text.
        source
            Its name in errors; the file's name.

        Raises
        ------
        ModelError
            Starts with `source`, and names the field.
        """
        try:
            data = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
            _check_version(data)
            return decode(cls, _upgraded(data))
        except ModelError as problem:
            raise ModelError(f"{source}: {problem}") from None
        except (ValueError, RecursionError) as problem:
            raise ModelError(f"{source}: not valid JSON: {problem}") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A complete model: its manifest, and the bytes of the TFLite file that it describes.

    Raises
    ------
    ModelError
        The content does not agree with the manifest. Names the field.
    """

    manifest: Manifest
    content: bytes
    """The TFLite file."""
    path: Path
    """Where it was read from."""

    def __post_init__(self) -> None:
        try:
            _check_content(self.content, self.manifest.model)
            _check_graph(read_graph(self.content), self.manifest)
        except ModelError as problem:
            raise ModelError(f"{self.path.name}: {problem}") from None

    @property
    def ungated(self) -> Model:
        """The same model without a gate: it processes every frame."""
        if self.manifest.gate is None:
            return self
        return dataclasses.replace(self, manifest=dataclasses.replace(self.manifest, gate=None))


def load_model(ref: str | Path) -> Model:
    """Read a model and its manifest, and check that they belong together.

    Parameters
    ----------
    ref
        Path of the ``.tflite`` file or of its ``.json`` manifest, or the name of a model that
        ships with harken, such as ``commands``.

    Raises
    ------
    ModelError
        Either file is missing or damaged, or the two do not belong together.
    """
    path = _find(ref)
    if path.suffix == ".tflite":
        content = _read(path, "model")
        manifest_path = path.with_suffix(".json")
        if not manifest_path.exists():
            raise ModelError(
                f"{path} has no manifest: {manifest_path.name} is missing beside it; "
                "`harken export` writes the two, copy them together"
            )
        manifest = Manifest.load(manifest_path)
        if manifest.model.file != path.name:
            raise ModelError(
                f"{manifest_path.name}: model.file is {manifest.model.file!r}, so this is not the "
                f"manifest of {path.name}; copy both files together, under the names they had"
            )
    else:
        manifest = Manifest.load(path)
        path = path.with_name(manifest.model.file)
        content = _read(path, "model")
    return Model(manifest=manifest, content=content, path=path)


def shipped_models() -> dict[str, Path]:
    """Return the manifests of the models that ship with harken, by name."""
    return packaged("harken.models", suffix=".json")


def _find(ref: str | Path) -> Path:
    """Return the path of the .tflite or .json file that the user means; it may not exist."""
    path = Path(ref)
    if path.suffix in (".tflite", ".json"):
        return path
    shipped = shipped_models()
    if str(ref) in shipped:
        return shipped[str(ref)]
    if path.suffix.lower() in _SOUND_SUFFIXES:
        raise ModelError(f"{ref} is an audio file, not a model; to listen to it: --wav {ref}")
    what = "is a folder" if path.is_dir() else "is no model"
    raise ModelError(
        f"{ref} {what}; give the path of a .tflite file or of its .json manifest, "
        f"or the name of a shipped model ({', '.join(shipped) or 'there is none'})"
    )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(
            f"{what} {path} does not exist; check the path, or give the name of a shipped model "
            f"({', '.join(shipped_models()) or 'there is none'})"
        ) from None
    except OSError as problem:
        raise ModelError(f"cannot read {what} {path}: {problem.strerror}") from problem


def _check_content(content: bytes, expected: ModelFile) -> None:
    if len(content) >= 8 and content[4:8] != MAGIC:
        raise ModelError(f"not a TFLite model: bytes 4 to 8 are {content[4:8]!r}, not {MAGIC!r}")
    if len(content) != expected.bytes:
        raise ModelError(
            f"the file has {len(content)} bytes, but model.bytes in the manifest is "
            f"{expected.bytes}: it was cut short or replaced; copy model and manifest again"
        )
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != expected.sha256:
        raise ModelError(
            f"the file has the SHA-256 {sha256[:8]}…, but model.sha256 in the manifest is "
            f"{expected.sha256[:8]}…: it was changed or damaged; copy model and manifest again"
        )


def _check_graph(graph: Graph, manifest: Manifest) -> None:
    def check(field: str, stated: object, found: object) -> None:
        if stated != found:
            raise ModelError(
                f"the manifest says that {field} is {stated}, but in the model it is {found}; "
                "copy the model and the manifest that belong together, or export again"
            )

    for side, stated, tensors in (
        ("input", manifest.input, graph.inputs),
        ("output", manifest.output, graph.outputs),
    ):
        if len(tensors) != 1:
            raise ModelError(
                f"{side}: the model has {len(tensors)} {side}s; harken runs those of 1"
            )
        found = tensors[0]
        if found.dtype != "int8":
            raise ModelError(
                f"{side}: the model's {side} is {found.dtype}; harken runs models that are int8 "
                "throughout, as `harken export` makes them"
            )
        check(f"{side}.shape", list(stated.shape), list(found.shape))
        scale = None if found.scale is None else np.float32(found.scale)
        check(f"{side}.scale", np.float32(stated.scale), scale)
        check(f"{side}.zero_point", stated.zero_point, found.zero_point)
    if not graph.lstm_units:
        raise ModelError(
            "state.lstm_units: the model has no fused UNIDIRECTIONAL_SEQUENCE_LSTM, so it keeps no "
            "state between steps; export it again with `harken export`"
        )
    for field in ("svdf_units", "svdf_memory"):
        stated, found = getattr(manifest.state, field), getattr(graph, field)
        check(f"state.{field}", list(stated), list(found))
    check("state.lstm_units", list(manifest.state.lstm_units), list(graph.lstm_units))
    for clip in graph.cell_clips:
        check("state.cell_clip", np.float32(manifest.state.cell_clip), np.float32(clip))


def _check_version(data: object) -> None:
    """Refuse a newer format before its new fields are reported as mistakes."""
    version = data.get("harken_manifest") if isinstance(data, dict) else None
    if isinstance(version, int) and version > Manifest.VERSION:
        raise ModelError(
            f"harken_manifest is {version}, but this harken reads up to {Manifest.VERSION}; "
            "upgrade it with `pip install --upgrade harken`"
        )


def _upgraded(data: object) -> object:
    """Fill in what a file may lack: the gate, and what older formats lack.

    Format 1 had no talk, 2 no context, 3 no SVDF.
    """
    if not isinstance(data, dict):
        return data
    upgraded = {"gate": None, **data}
    version = data.get("harken_manifest")
    if version not in (1, 2, 3):
        return upgraded
    upgraded["harken_manifest"] = Manifest.VERSION
    detector, state = data.get("detector"), data.get("state")
    if isinstance(detector, dict) and version < 3:
        lacking = {"context_weight": CONTEXT_WEIGHT, "context_limit": CONTEXT_LIMIT}
        if version == 1:
            lacking["talk_penalty"] = 0.0
        upgraded["detector"] = {**lacking, **detector}
    if isinstance(state, dict):
        upgraded["state"] = {"svdf_units": [], "svdf_memory": [], **state}
    return upgraded


def _no_constant(constant: str) -> object:
    raise ModelError(f"{constant} stands where a number must; JSON knows no {constant}")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ModelError(f"{twice} occurs twice in one object; keep one of them")
    return data
