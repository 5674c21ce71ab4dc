"""A run's configuration and data in, their record for ``config.json`` out; compared on resume."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import fields, replace

from ..edge.errors import RunError
from .calibration import without_standardisation
from .config import TrainConfig
from .corpus import Corpus
from .run import RunFolder, RunRecord
from .scenes.leaks import PROVENANCE_FIELD, heard_in_training

_PACKAGES = ("harken", "tensorflow", "keras", "librosa", "numpy", "scipy", "soundfile", "soxr")


def make_record(config: TrainConfig, corpus: Corpus, recipe: str) -> RunRecord:
    """Describe a run for its ``config.json``."""
    report = corpus.report
    return RunRecord(
        config=config,
        recipe=recipe,
        data={
            "licences": dict(config.licences),
            "fingerprint": corpus.fingerprint,
            "split_rule": report.split_rule,
            "word_counts": report.word_counts,
            "seconds": report.seconds,
            "skipped": len(report.skipped),
            PROVENANCE_FIELD: heard_in_training(corpus, config),
        },
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
    )


def resumed_record(run: RunFolder, config: TrainConfig, corpus: Corpus, recipe: str) -> RunRecord:
    """Return the record of a resumed run.

    Parameters
    ----------
    run
        Its folder.
    config
        The current configuration: the same as before, except for the number of epochs.
    corpus
        The recordings: the same as before.
    recipe
        The current command line.

    Raises
    ------
    RunError
        The run is complete, or was started with other recordings or settings.
    """
    record = run.load_record()
    if run.has("weights.npz") and not run.has("checkpoint.npz"):
        raise RunError(
            f"the run in {run.path} is complete; make a model of it with `harken export`, or train "
            "another one in a new folder"
        )
    began = record.data.get("fingerprint")
    if began != corpus.fingerprint:
        raise RunError(
            f"{run.path} was started with other recordings (fingerprint {began}, now "
            f"{corpus.fingerprint}); use the same, or start a new run in another folder"
        )
    rule = record.data.get("split_rule")
    if rule != corpus.report.split_rule:
        raise RunError(
            f"{run.path} was started with words split {rule}, now they are split "
            f"{corpus.report.split_rule}; give the --split-rule that it was started with"
        )
    changed = _differences(record.config, config)
    if changed:
        raise RunError(
            f"{run.path} was started with other settings ({', '.join(changed)}); repeat its "
            "command line (recipe in config.json), or start a new run in another folder"
        )
    if config.epochs == record.config.epochs:
        return record
    return replace(
        record,
        config=replace(record.config, epochs=config.epochs),
        recipe=f"{record.recipe}; interrupted, and resumed with: {recipe} --resume",
    )


def _differences(began: TrainConfig, now: TrainConfig) -> list[str]:
    """Name the fields that differ, except for the epochs, and a measured mean and std."""
    if now.front_end == without_standardisation(now.front_end):
        began = replace(began, front_end=without_standardisation(began.front_end))
    return [
        field.name
        for field in fields(TrainConfig)
        if field.name != "epochs" and getattr(began, field.name) != getattr(now, field.name)
    ]
