"""What ``harken eval --stream`` does: options in, a report on running speech out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from ... import __version__
from ..cache import Progress
from ..reports import write_report
from .report import StreamEvaluation, evaluate_stream
from .responses import EventResponses, ModelResponses, Responses, model_posteriors, subject_events
from .subjects import AdapterSubject
from .sweep import Listener
from .truth import SceneSet

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Shows progress on something, given its name."""


def measure(listens: Listener | AdapterSubject, scenes: SceneSet, *, bar: Bar) -> StreamEvaluation:
    """Run a model or another program on scenes, and score it.

    Parameters
    ----------
    listens
        A model with its interpreter, or the adapter of another program; see `AdapterSubject.hear`
        for the errors.
    scenes
        The scenes to run it on.
    bar
        Shows the progress.
    """
    with bar("listening, s") as progress:
        responses: Responses
        if isinstance(listens, Listener):
            manifest = listens.model.manifest
            posteriors = model_posteriors(listens, scenes.scenes, progress=progress)
            responses = ModelResponses(listens.model, posteriors)
            name, notes = manifest.name, []
            origin: dict[str, object] = {
                "model_sha256": manifest.model.sha256,
                "model_bytes": manifest.model.bytes,
                "runtime": listens.runtime,
            }
        else:
            events = subject_events(listens, scenes.scenes, progress=progress)
            responses = EventResponses(listens.words, events)
            name, notes = listens.name, listens.notes()
            origin = {"adapter": listens.name}
    with bar("scoring") as progress:
        return evaluate_stream(
            name,
            responses,
            scenes.scenes,
            notes=(*scenes.notes, *notes),
            provenance={"harken": __version__, **origin, "scenes": dict(scenes.provenance)},
            progress=progress,
        )


def save(evaluation: StreamEvaluation, folder: Path) -> None:
    """Write ``report.json`` and ``det.png``; raises RunError if they cannot be written."""
    from .plots import draw_det

    write_report(folder, evaluation.to_dict(), indent=1, allow_nan=False)
    draw_det(folder / "det.png", evaluation)
