"""``harken eval --context``: options in, a report on the benefit of a memory out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ... import __version__
from ...edge.memory.grammar import Grammar
from ...edge.memory.lstm import LstmPrior, LstmPriorFile
from ...edge.memory.memory import ngram, shipped_prior
from ...edge.memory.prior import Prior
from ...edge.spotting.manifest import Model
from ..corpus import Corpus
from ..reports import write_report
from ..scenes.leaks import check_leaks
from ..scenes.negatives import negative_scenes
from ..scenes.responses import model_posteriors
from ..scenes.sweep import Listener
from ..splits import Split
from .report import Bar, ContextEvaluation, evaluate_context
from .sessions import spoken_sessions


def measure_context(
    listens: Listener,
    corpus: Corpus,
    grammar: Grammar,
    priors: Mapping[str, Prior],
    *,
    split: Split,
    sessions: int,
    seed: int,
    weight: float | None,
    bar: Bar,
) -> ContextEvaluation:
    """Run a model on sessions and negative hours, and score it with and without a memory.

    Raises
    ------
    DataError
        No sessions can be made of the recordings, or the model was trained on them.
    GrammarError
        The model lacks words of the grammar.
    """
    model: Model = listens.model
    grammar.require_words(model.manifest.words)
    shipped = next(iter(priors.values()))
    scenes = spoken_sessions(corpus, grammar, shipped, split=split, count=sessions, seed=seed)
    negatives, lost = negative_scenes(corpus, model.manifest.words, split)
    scenes += negatives
    notes = (*lost, *check_leaks(scenes, model.manifest))
    with bar("listening, s") as progress:
        posteriors = model_posteriors(listens, scenes, progress=progress)
    return evaluate_context(
        model,
        grammar,
        priors,
        scenes,
        posteriors,
        weight=weight,
        seed=seed,
        bar=bar,
        notes=notes,
        provenance={
            "harken": __version__,
            "model_sha256": model.manifest.model.sha256,
            "runtime": listens.runtime,
            "data_fingerprint": corpus.fingerprint,
            "split": split,
            "seed": seed,
        },
    )


def priors_of(grammar: Grammar, lstm: Path | None) -> dict[str, Prior]:
    """Return the priors of a grammar by name, the default one first.

    Parameters
    ----------
    grammar
        Defines the commands.
    lstm
        An LSTM in place of the shipped one, if any.
    """
    file = shipped_prior(grammar) if lstm is None else LstmPriorFile.load(lstm)
    networks: dict[str, Prior] = {} if file is None else {"LSTM": LstmPrior(file)}
    return {**networks, "n-gram": ngram(grammar)}


def save(evaluation: ContextEvaluation, folder: Path) -> None:
    """Write ``report.json`` and ``context.png``; raises RunError if they cannot be written."""
    from .plots import draw_context

    write_report(folder, evaluation.to_dict(), indent=1, allow_nan=False)
    draw_context(folder / "context.png", evaluation)
