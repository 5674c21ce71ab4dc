"""A finished run in, its float weights in one small file out, and such a file read again.

A model of new words begins with what another one has learned: what speech is made of, and what is
no word. Only the layer of logits is new, and even of that the labels that both have stay. The
weights that ship for `commands` are those of a longer training of the same recipe (240 epochs),
which lose less when they are rounded; of `commands-tiny`, those of the model itself.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...edge.errors import DataError, HarkenError
from ...edge.spotting.frontend import FrontEndConfig
from ...edge.spotting.manifest import NON_WORDS, StepConfig
from ...edge.validation import decode
from ..archive import write_arrays
from ..calibration import without_standardisation
from ..config import ModelConfig, TrainConfig
from ..network import Weights, initial_weights
from ..run import RunFolder

VERSION = 1
SUFFIX = ".base.npz"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What has to be the same in a model that begins with these weights."""

    model: ModelConfig
    front_end: FrontEndConfig
    step: StepConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """Float weights of a trained network."""

    name: str
    """Of the model that they are of."""
    words: tuple[str, ...]
    shape: Shape
    weights: Weights
    licences: dict[str, str]
    """Of what it was trained with."""

    def fitted(self, config: TrainConfig) -> TrainConfig:
        """Return a configuration with the mean and std of the features that the weights know.

        Raises
        ------
        DataError
            It asks for another network, or for other features.
        """
        wanted = Shape(
            model=config.model,
            front_end=without_standardisation(config.front_end),
            step=config.step,
        )
        there = replace(self.shape, front_end=without_standardisation(self.shape.front_end))
        for part in ("model", "front_end", "step"):
            if getattr(wanted, part) != getattr(there, part):
                raise DataError(
                    f"{self.name} cannot be begun with: its {part} is {getattr(there, part)}, and "
                    f"{getattr(wanted, part)} is asked for; take the same --size or --config"
                )
        return replace(config, front_end=self.shape.front_end)

    def first_weights(self, config: TrainConfig) -> Weights:
        """Return the weights that a model of other words begins with."""
        inputs = config.step.context_frames * config.front_end.n_mfcc
        first = initial_weights(
            config.model, inputs=inputs, labels=len(config.labels), seed=config.seed
        )
        kernel, bias = first["dense_out/kernel"], first["dense_out/bias"]
        known = {label: place for place, label in enumerate((*self.words, *NON_WORDS))}
        # A new word begins as something that has never been heard.
        kernel *= 0.1
        bias[:] = self.weights["dense_out/bias"].min()
        for place, label in enumerate(config.labels):
            if label in known:
                kernel[:, place] = self.weights["dense_out/kernel"][:, known[label]]
                bias[place] = self.weights["dense_out/bias"][known[label]]
        return {**self.weights, "dense_out/kernel": kernel, "dense_out/bias": bias}


def base_file(name: str) -> Path:
    """Return the file with the weights of a model that ships; raises DataError if it has none."""
    folder = _models()
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        there = ", ".join(sorted(p.name.removesuffix(SUFFIX) for p in folder.glob(f"*{SUFFIX}")))
        raise DataError(f"there are no weights of {name!r} to begin with; there are: {there}")
    return path


def pack_file() -> Path:
    """Return the file of speech and noise that ships."""
    return _models() / "pack.npz"


def _models() -> Path:
    spec = find_spec("harken.models")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def base_of(run: Path, name: str) -> Base:
    """Return the weights of a finished run; raises RunError if it is none."""
    folder = RunFolder(run)
    record = folder.load_record()
    config = record.config
    return Base(
        name=name,
        words=config.words,
        shape=Shape(model=config.model, front_end=config.front_end, step=config.step),
        weights=dict(folder.load_arrays("weights.npz")),
        licences=dict(config.licences),
    )


def save_base(base: Base, path: Path) -> None:
    """Write weights as float16, completely or not at all; raises DataError if that cannot be."""
    description = {
        "harken_base": VERSION,
        "name": base.name,
        "words": base.words,
        "licences": base.licences,
        "shape": asdict(base.shape),
    }
    arrays = {name: value.astype(np.float16) for name, value in base.weights.items()}
    write_arrays(path, arrays, description)


def load_base(path: Path) -> Base:
    """Read weights to begin with.

    Raises
    ------
    DataError
        There is no such file, or it holds something else, or is of a newer harken.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        description = json.loads(arrays.pop("description").tobytes())
        if description["harken_base"] != VERSION:
            raise DataError(
                f"{path}: harken_base is {description['harken_base']}, but this harken reads "
                f"{VERSION}; upgrade harken"
            )
        return Base(
            name=description["name"],
            words=tuple(description["words"]),
            shape=decode(Shape, description["shape"]),
            weights={name: value.astype(np.float32) for name, value in arrays.items()},
            licences=description["licences"],
        )
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing: the weights that a model of new words begins with"
        ) from None
    except (HarkenError, *_DAMAGE) as problem:
        if isinstance(problem, DataError):
            raise
        raise DataError(f"{path} holds no weights to begin with ({problem})") from None
