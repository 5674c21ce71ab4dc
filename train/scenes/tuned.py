"""A model and what `tune` chose for it in; its updated manifest and card, on disk, out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import __version__
from ...edge.errors import ModelError
from ...edge.files import read_text, require_writable, utf8, write_together
from ...edge.spotting.manifest import Manifest, Model, shipped_models
from ...export.card import gated_card, tuned_card
from .gate import GateChoice
from .tune import Tuning

_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tuned model is written."""

    manifest: Path
    copy: bool
    """Not the model itself: a copy of it goes beside the manifest, both under a new name.
    """


def choose_place(ref: str, model: Model, out: Path | None) -> Place:
    """Choose where to write, and refuse early what could not be written at the end.

    Parameters
    ----------
    ref
        How the model was named on the command line.
    model
        The model.
    out
        Path of a new manifest, ``NAME.json``, beside which a copy of the model is written; None to
        update the model's own.

    Raises
    ------
    ModelError
        Without `out`: the model was installed with harken. With it: the path is not a manifest with
        a valid model name, its folder is missing, or another model is there.
    """
    own = Path(ref) if ref.endswith(".json") else model.path.with_suffix(".json")
    if out is None:
        if ref in shipped_models() or _INSTALLED.intersection(own.resolve().parts):
            raise ModelError(
                f"{ref} is installed with harken and stays as it is; write a copy with other "
                f"thresholds: --out {model.manifest.name}.json"
            )
        require_writable(own.parent, error=ModelError)
        return Place(manifest=own, copy=False)
    if out.suffix != ".json":
        raise ModelError(f"--out is {out}; it must be the path of a manifest, as in my-model.json")
    if not out.parent.is_dir():
        raise ModelError(f"--out is {out}, but {out.parent} is not a folder; create it first")
    require_writable(out.parent, error=ModelError)
    if out.resolve() == own.resolve():
        return choose_place(ref, model, None)
    try:
        _renamed(model.manifest, out.stem)
    except ModelError as problem:
        raise ModelError(f"--out is {out}, but no model can be called that: {problem}") from None
    there = out.with_suffix(".tflite")
    if there.exists() and there.read_bytes() != model.content:
        raise ModelError(
            f"{there} is another model, which a copy of {model.path.name} would replace; choose "
            "another --out"
        )
    for path in (out, out.with_suffix(".md")):
        if path.exists() and not _is_of_a_model(out):
            raise ModelError(f"{path} exists, and is not a model's; choose another --out")
    return Place(manifest=out, copy=True)


def _is_of_a_model(manifest: Path) -> bool:
    """Whether a model's manifest is there, so that its files may be replaced."""
    try:
        Manifest.load(manifest)
    except ModelError:
        return False
    return True


def _renamed(manifest: Manifest, name: str) -> Manifest:
    """Return the manifest of a copy of the model.

    Raises
    ------
    ModelError
        The name is not valid.
    """
    file = dataclasses.replace(manifest.model, file=f"{name}.tflite")
    return dataclasses.replace(manifest, name=name, model=file)


def write_tuned(
    model: Model,
    tuning: Tuning,
    place: Place,
    *,
    fa_per_hour: float,
    runtime: str,
    scenes: Mapping[str, Any],
    notes: tuple[str, ...],
) -> Manifest:
    """Write the manifest, and the card if there is one; also the model, if it is a copy.

    On any failure, none of them is written. In the card, only the section on the operating point
    changes.

    Parameters
    ----------
    model
        The model before tuning.
    tuning
        What was chosen.
    place
        Where to write.
    fa_per_hour
        False accepts per hour that it was chosen for.
    runtime
        The interpreter.
    scenes
        Where the scenes come from, as plain JSON types.
    notes
        What a reader of the figures needs to know.

    Returns
    -------
    The manifest that was written.

    Raises
    ------
    ModelError
        The system refuses.
    """
    manifest = dataclasses.replace(
        _placed(model, place),
        detector=tuning.detector,
        operating_point={
            "harken": __version__,
            "wanted_false_accepts_per_hour": fa_per_hour,
            **tuning.operating_point(),
            "runtime": runtime,
            "scenes": _without_words(scenes),
            "notes": [*notes, *tuning.notes],
        },
    )
    _write(model, manifest, place, tuned_card)
    return manifest


def write_gated(
    model: Model, choice: GateChoice, place: Place, *, runtime: str, scenes: Mapping[str, Any]
) -> Manifest:
    """Write the manifest with a gate, and the card if there is one; see `write_tuned`.

    The figures with the gate and without it go into the manifest's checks.
    """
    figures = {
        "harken": __version__,
        **choice.to_dict(),
        "runtime": runtime,
        "scenes": _without_words(scenes),
    }
    manifest = dataclasses.replace(
        _placed(model, place),
        gate=choice.gate,
        checks={**model.manifest.checks, "gate": figures},
    )
    _write(model, manifest, place, gated_card)
    return manifest


def _placed(model: Model, place: Place) -> Manifest:
    return _renamed(model.manifest, place.manifest.stem) if place.copy else model.manifest


def _write(
    model: Model,
    manifest: Manifest,
    place: Place,
    card_of: Callable[[str, Manifest, Manifest], str],
) -> None:
    files = {place.manifest.with_suffix(".tflite"): model.content} if place.copy else {}
    card = model.path.with_suffix(".md")
    if card.exists():
        target = place.manifest.with_suffix(".md") if place.copy else card
        files[target] = utf8(card_of(_read(card), model.manifest, manifest))
    files[place.manifest] = utf8(manifest.to_json())
    write_together(files, error=ModelError)


def _without_words(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the words that scenes were made for: the manifest has them."""
    return {
        name: _without_words(value) if isinstance(value, Mapping) else value
        for name, value in provenance.items()
        if name != "words"
    }


def _read(card: Path) -> str:
    try:
        return read_text(card)
    except OSError as problem:
        raise ModelError(f"cannot read the model's card {card}: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        raise ModelError(
            f"the model's card {card} is not UTF-8 text (byte {problem.start}); save it as UTF-8 "
            "or move it away"
        ) from None
