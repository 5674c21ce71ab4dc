"""Weights in, the files of a finished run out: what `harken export` needs, and their scores."""

from __future__ import annotations

from .calibration import long_stream
from .config import TrainConfig
from .corpus import Corpus
from .network import Weights
from .plots import draw_confusion
from .run import RunFolder
from .validation import Validation


def save_results(
    run: RunFolder,
    *,
    config: TrainConfig,
    corpus: Corpus,
    weights: Weights,
    validation: Validation,
    figures: dict[str, float],
) -> None:
    """Write weights, calibration, confusion matrix and report, once all are computed.

    Parameters
    ----------
    run
        The folder.
    config
        With the front end's mean and std.
    corpus
        The recordings that the calibration is drawn from.
    weights
        The weights to export.
    validation
        What scores them.
    figures
        Their figures, for the report.

    Raises
    ------
    RunError
        A file cannot be written.
    """
    scores = validation.scores(weights)
    calibration = {
        "frames": long_stream(config, corpus, "training"),
        "check_frames": long_stream(config, corpus, "validation"),
    }
    run.save_arrays("weights.npz", weights)
    run.save_arrays("calibration.npz", calibration)
    draw_confusion(run.path / "confusion.png", scores.confusion, config.labels)
    run.save_json(
        "report.json",
        {
            "best": figures,
            "validation": scores.to_dict(config.labels),
            "data": corpus.report.to_dict(),
        },
    )
