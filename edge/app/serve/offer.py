"""Models in, the words that are on offer out: each with the model that hears it."""

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
    """Words of one model.

    Attributes
    ----------
    model : Model
        Hears them.
    words : tuple of str
        Those of its words that are on offer; at least one.
    detector : DetectorConfig
        When they are heard.
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
    """Return what is on offer; a word that several models have is heard by the first of them.

    Parameters
    ----------
    models : sequence of Model
        At least one.
    words : sequence of str
        Only these; all if there are none.
    thresholds : sequence of str
        ``P`` for all words, or ``WORD=P`` for one.
    refractory_ms : int, optional
        Rest after a word, in place of what the manifests say.

    Raises
    ------
    typer.BadParameter
        No model has such a word, a model has no word that is on offer, or it is no threshold.
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
                f"of {model.manifest.name} no word is on offer; leave it out, or name one of its "
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
    """Tell whether a threshold is for a model: for one of its words, for all, or for none's."""
    word, equals, _ = threshold.rpartition("=")
    return not equals or word in own or word not in known
