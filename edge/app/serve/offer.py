"""Models in, the offered words out, each with the model that detects it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import typer

from ..options import with_thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...spotting.detector import DetectorConfig
    from ...spotting.manifest import Model


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The offered words of one model.

    Attributes
    ----------
    model : Model
        Detects them.
    words : tuple of str
        The words of the model that are offered; at least one.
    detector : DetectorConfig
        Detector settings for them.
    """

    model: Model
    words: tuple[str, ...]
    detector: DetectorConfig


def offers(
    models: Sequence[Model],
    *,
    words: Sequence[str] = (),
    thresholds: Sequence[str] = (),
    refractory_ms: int | None = None,
) -> tuple[Offer, ...]:
    """Return the offers; if several models have a word, the first one detects it.

    Parameters
    ----------
    models : sequence of Model
        At least one.
    words : sequence of str
        Only these; empty means all.
    thresholds : sequence of str
        ``P`` for all words, or ``WORD=P`` for one.
    refractory_ms : int, optional
        Refractory time, instead of the manifests'.

    Raises
    ------
    typer.BadParameter
        No model has a word, a model has no offered word, or a threshold is invalid.
    """
    known = {word for model in models for word in model.manifest.words}
    for word in words:
        if word not in known:
            raise typer.BadParameter(
                f"no model has a word {word!r}; there are {', '.join(sorted(known))}",
                param_hint="--word",
            )
    taken: set[str] = set()
    made = []
    for model in models:
        own = model.manifest.words
        offered = tuple(w for w in own if w not in taken and (not words or w in words))
        if not offered:
            raise typer.BadParameter(
                f"no word of {model.manifest.name} is offered; leave it out, or name one of its "
                f"words with --word: {', '.join(own)}",
                param_hint="MODEL",
            )
        taken.update(offered)
        detector = with_thresholds(
            model.manifest.detector, [each for each in thresholds if _meant(each, own, known)]
        )
        if refractory_ms is not None:
            detector = dataclasses.replace(detector, refractory_ms=refractory_ms)
        made.append(Offer(model=model, words=offered, detector=detector))
    return tuple(made)


def _meant(threshold: str, own: Sequence[str], known: set[str]) -> bool:
    """Return whether a threshold is for a model: for its word, for all, or for no known word."""
    word, equals, _ = threshold.rpartition("=")
    return not equals or word in own or word not in known
