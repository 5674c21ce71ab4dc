"""Finished runs in, one with the mean of their weights out.

Runs that started from the same weights end in the same valley of the loss. The mean of their
weights lies in its middle, where it is flat: what is new to the network changes its outputs less
(Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time", 2022). It is a network of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .corpus import Corpus
from .moments import Moments
from .network import Weights
from .record import make_record
from .results import save_results
from .run import RunFolder, RunRecord
from .validation import Validation


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
    mean = Moments(config, corpus).measure(mean)
    validation = Validation(config, corpus)
    figures = validation.measure(mean)
    out.create()
    save_results(
        out,
        config=config,
        corpus=corpus,
        weights=mean,
        validation=validation,
        figures=figures,
    )
    out.save_record(make_record(config, corpus, recipe))
    return figures
