"""A finished run in, its float weights in one small file out, and such a file read again.

A network starts from such weights (`harken train --from`, `harken new`) or learns from their
posteriors (`--teacher`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.errors import DataError, HarkenError
from ..edge.spotting.frontend import FrontEndConfig
from ..edge.spotting.manifest import NON_WORDS, StepConfig
from ..edge.validation import decode
from .archive import write_arrays
from .calibration import without_standardisation
from .config import ModelConfig, TrainConfig
from .network import Weights, drawn_weights
from .run import RunFolder, with_convolutions

VERSION = 1
SUFFIX = ".base.npz"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What must be the same in a model that starts from these weights."""

    model: ModelConfig
    front_end: FrontEndConfig
    step: StepConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """Float weights of a trained network."""

    name: str
    """Name of their model."""
    words: tuple[str, ...]
    shape: Shape
    weights: Weights
    licences: dict[str, str]
    """Licences of its training data."""

    def fitted(self, config: TrainConfig) -> TrainConfig:
        """Return a configuration with the mean and std of the features from the weights' training.

        Raises
        ------
        DataError
            It has another network or other features.
        """
        for part, there, wanted in self._differences(config, "model", "front_end", "step"):
            raise DataError(
                f"cannot start from {self.name}: its {part} is {there}, but {wanted} is needed; "
                "use the same --size or --config"
            )
        return replace(config, front_end=self.shape.front_end)

    def require_teaches(self, config: TrainConfig) -> None:
        """Check that this network can teach what a configuration asks for.

        Raises
        ------
        DataError
            It has other features or steps, or does not know one of the words.
        """
        missing = [word for word in config.words if word not in self.words]
        if missing:
            raise DataError(
                f"{self.name} cannot teach {', '.join(missing)}: it knows "
                f"{', '.join(self.words)}; choose another --teacher"
            )
        for part, there, wanted in self._differences(config, "front_end", "step"):
            raise DataError(
                f"{self.name} cannot teach this network: its {part} is {there}, but {wanted} is "
                "needed; choose another --teacher, or the same in --config"
            )

    def _differences(self, config: TrainConfig, *parts: str) -> Iterator[tuple[str, Any, Any]]:
        """Yield the parts of the shape that are not the configuration's: name, own, wanted."""
        wanted = Shape(model=config.model, front_end=config.front_end, step=config.step)
        own, wanted = (
            replace(shape, front_end=without_standardisation(shape.front_end))
            for shape in (self.shape, wanted)
        )
        for part in parts:
            if getattr(own, part) != getattr(wanted, part):
                yield part, getattr(own, part), getattr(wanted, part)

    def first_weights(self, config: TrainConfig) -> Weights:
        """Return the initial weights for a model of other words."""
        first = drawn_weights(config)
        kernel, bias = first["dense_out/kernel"], first["dense_out/bias"]
        known = {label: place for place, label in enumerate((*self.words, *NON_WORDS))}
        # A new word starts as something that is never detected.
        kernel *= 0.1
        bias[:] = self.weights["dense_out/bias"].min()
        for place, label in enumerate(config.labels):
            if label in known:
                kernel[:, place] = self.weights["dense_out/kernel"][:, known[label]]
                bias[place] = self.weights["dense_out/bias"][known[label]]
        return {**self.weights, "dense_out/kernel": kernel, "dense_out/bias": bias}


def base_of(run: Path, name: str) -> Base:
    """Return the weights of a finished run; raises RunError if it is not one."""
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
    """Read initial weights.

    Raises
    ------
    DataError
        The file does not exist, holds something else, or is from a newer harken.
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
            shape=decode(Shape, with_convolutions(description["shape"])),
            weights={name: value.astype(np.float32) for name, value in arrays.items()},
            licences=description["licences"],
        )
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing: the weights that a model of new words starts from"
        ) from None
    except (HarkenError, *_DAMAGE) as problem:
        if isinstance(problem, DataError):
            raise
        raise DataError(f"{path} holds no weights to start from ({problem})") from None
