"""A run folder in, everything that export needs of it out, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.device.limits import CELL_CLIP
from ..edge.errors import RunError
from ..train.calibration import MIN_STEPS
from ..train.features import stack_steps
from ..train.run import Arrays, RunFolder, RunRecord
from ..train.scenes.leaks import PROVENANCE_FIELD
from .reference import Array, Network


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun:
    """A finished training run."""

    folder: Path
    record: RunRecord
    """Configuration, recipe, data, versions; without `training_speakers`."""
    training_speakers: str | None
    """Identities in training (see `harken.train.scenes.leaks`); None in older records."""
    validation: Mapping[str, Any] | None
    """Figures of the float weights on the validation clips: ``accuracy``, ``clips``, and under
    ``labels`` for each label ``clips`` and ``right``; None if the run has no ``report.json``."""
    network: Network
    """The best weights."""
    calibration_frames: Array
    """Standardised front-end frames, (n, n_mfcc): one long stream of training audio."""
    check_frames: Array
    """The same for validation audio."""

    def steps(self, frames: Array) -> Array:
        """Stack a stream's frames as network inputs: (n, n_mfcc) to (steps, inputs)."""
        (steps,) = stack_steps(self.record.config.step, frames[None])
        return np.asarray(steps)


def load_run(path: str | Path) -> TrainedRun:
    """Read a run folder.

    Raises
    ------
    RunError
        A file is missing, damaged, or inconsistent with ``config.json``. Names the file.
    """
    folder = RunFolder(path)
    if not folder.path.is_dir():
        raise RunError(
            f"{path} is not a folder; give a run folder, as made by `harken train DATA --out RUN`"
        )
    record = folder.load_record()
    config = record.config
    if config.model.cell_clip != CELL_CLIP:
        raise RunError(
            f"{folder.path / 'config.json'}: model.cell_clip is {config.model.cell_clip}, but the "
            f"cells of an exported model are clipped at {CELL_CLIP}; train again with that"
        )
    network = Network.from_weights(
        folder.load_arrays("weights.npz"),
        config.model,
        inputs=config.step.context_frames * config.front_end.n_mfcc,
        labels=len(config.labels),
        source=str(folder.path / "weights.npz"),
    )
    streams = folder.load_arrays("calibration.npz")
    data = dict(record.data)
    training_speakers = data.pop(PROVENANCE_FIELD, None)
    return TrainedRun(
        folder=folder.path,
        record=replace(record, data=data),
        training_speakers=training_speakers,
        validation=_validation(folder),
        network=network,
        calibration_frames=_frames(folder, streams, "frames", record),
        check_frames=_frames(folder, streams, "check_frames", record),
    )


def _validation(folder: RunFolder) -> dict[str, Any] | None:
    if not folder.has("report.json"):
        return None
    report = folder.load_json("report.json")
    try:
        validation = report["validation"]
        return {name: validation[name] for name in ("accuracy", "clips", "labels")}
    except (KeyError, TypeError) as problem:
        raise RunError(
            f"{folder.path / 'report.json'} is damaged ({problem}); train again, or remove it to "
            "export without the figures of the training"
        ) from None


def _frames(folder: RunFolder, streams: Arrays, name: str, record: RunRecord) -> Array:
    file = folder.path / "calibration.npz"
    if name not in streams:
        raise RunError(f"{file}: {name} is missing; the run folder is incomplete, train again")
    frames, config = streams[name], record.config
    if frames.ndim != 2 or frames.shape[1] != config.front_end.n_mfcc:
        raise RunError(
            f"{file}: {name} has the shape {frames.shape}, "
            f"but front_end.n_mfcc in config.json requires (n, {config.front_end.n_mfcc})"
        )
    needed = MIN_STEPS * config.step.stride_frames
    if len(frames) < needed:
        raise RunError(
            f"{file}: {name} holds {len(frames)} frames; the checks of an export need at least "
            f"{needed}, which is {MIN_STEPS} steps of the network"
        )
    if not np.isfinite(frames).all():
        raise RunError(f"{file}: {name} holds NaN or infinite values; train again")
    return np.asarray(frames, np.float32)
