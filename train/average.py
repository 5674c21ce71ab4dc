"""Finished runs in, one with the mean of their weights out.

Runs that started from the same weights end in the same valley of the loss. The mean of their
weights lies in its middle, where it is flat: what is new to the network changes its outputs less
(Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time", 2022). It is a network of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..edge.errors import RunError
from .corpus import Corpus
from .moments import Moments
from .network import Weights, is_moment
from .record import make_record
from .results import save_results
from .run import RunFolder, RunRecord
from .validation import Validation

_SAME = (
    "words",
    "model",
    "front_end",
    "step",
    "held_out_words",
    "held_out_speech",
    "left_out",
)  # of runs that are averaged; the last three tell what a network has heard


def load_finished(paths: Sequence[Path]) -> tuple[RunRecord, list[Weights]]:
    """Read runs that can be averaged.

    Returns
    -------
    The record of the first one, with the licences of all, and the weights of each.

    Raises
    ------
    RunError
        There are fewer than two, one is not finished, or they do not have the same words, network,
        front end and recordings that were held out.
    """
    if len(paths) < 2:
        raise RunError("one run has nothing to be averaged with; name two or more")
    runs = [RunFolder(path) for path in paths]
    records = [run.load_record() for run in runs]
    for path, record in zip(paths[1:], records[1:], strict=True):
        for name in _SAME:
            first, other = getattr(records[0].config, name), getattr(record.config, name)
            if first != other:
                raise RunError(
                    f"{paths[0]} and {path} cannot be averaged: their {name} differ ({first} and "
                    f"{other}); average runs that started from the same weights"
                )
    licences = {name: text for each in records for name, text in each.config.licences.items()}
    record = replace(records[0], config=replace(records[0].config, licences=licences))
    return record, [dict(run.load_arrays("weights.npz")) for run in runs]


def average(
    record: RunRecord,
    weights: Sequence[Weights],
    corpus: Corpus,
    out: RunFolder,
    *,
    recipe: str,
) -> dict[str, float]:
    """Write a run with the mean of weights; moments of the stem are measured anew.

    Parameters
    ----------
    record
        Record of one of the runs: configuration of the new one.
    weights
        Weights of the runs, by name.
    corpus
        The recordings they learned from.
    out
        Folder of the new run; it must not hold one.
    recipe
        The command line that repeats it, for the record.

    Returns
    -------
    Its figures on the validation split; see `harken.train.validation.Validation.measure`.

    Raises
    ------
    RunError
        The folder holds a run already, or cannot be written.
    """
    config = record.config
    mean: Weights = {
        name: np.asarray(np.mean([one[name] for one in weights], axis=0), np.float32)
        for name in weights[0]
    }
    if config.model.has_stem and not config.frozen_stem:
        without = {name: value for name, value in mean.items() if not is_moment(name)}
        mean = Moments(config, corpus).measure(without)
    validation = Validation(config, corpus)
    figures = validation.measure(mean)
    out.create()
    out.save_record(make_record(config, corpus, recipe))
    save_results(
        out,
        config=config,
        corpus=corpus,
        weights=mean,
        validation=validation,
        figures=figures,
    )
    return figures
