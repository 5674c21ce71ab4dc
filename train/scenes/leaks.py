"""Speakers in training and speakers in scenes: no one may be in both.

A recording's identity is its speaker, or its path below the data folder if the speaker is unknown.
A training run records the identities that it may have used, of words and of running speech, and the
export stores them in the manifest as ``provenance.training_speakers``: the first four bytes of the
SHA-256 of each, sorted, without duplicates, concatenated, in base64. With 1,500 identities in
scenes and 6,000 in training, the probability of one false match is 1 in 480.

A word that training cuts out of somebody's speech counts as that speech. Synthetic and simulated
recordings belong to no one, and no scene contains them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...edge.errors import DataError, ModelError
from ...edge.files import name_bytes
from ...edge.spotting.manifest import Manifest
from ..corpus import SILENCE_FOLDER, Corpus, Recording
from .truth import Scene

if TYPE_CHECKING:
    from ..config import TrainConfig

PROVENANCE_FIELD = "training_speakers"
"""Field that holds the identities, in a run's data and in a manifest's provenance."""

_BYTES = 4
_SHOWN = 5


def identity(recording: Recording) -> str:
    """Return the identity of a recording: its speaker, or its path if the speaker is unknown."""
    return recording.speaker or recording.path


def heard_in_training(corpus: Corpus, config: TrainConfig) -> str:
    """Return the identities that a training run may use, as a manifest stores them.

    Parameters
    ----------
    corpus
        The recordings.
    config
        The run; speech that it holds out is not used.
    """
    return encode_identities(
        identity(recording)
        for recording in corpus.recordings
        if recording.split == "training"
        and recording.kind in ("word", "speech")
        and recording.label not in (SILENCE_FOLDER, *config.held_out_words)
    )


def encode_identities(identities: Iterable[str]) -> str:
    """Encode identities as described in this module."""
    prefixes = sorted({_prefix(name) for name in identities})
    return base64.b64encode(b"".join(prefixes)).decode()


def check_leaks(scenes: Iterable[Scene], manifest: Manifest) -> tuple[str, ...]:
    """Check that no scene contains a recording of somebody the model was trained on.

    Parameters
    ----------
    scenes
        The scenes to check.
    manifest
        The manifest of the model.

    Returns
    -------
    Notes on what cannot be checked, for readers of the figures.

    Raises
    ------
    DataError
        A scene contains such a recording. Names the first few.
    ModelError
        The manifest's field is damaged.
    """
    scenes = tuple(scenes)
    if PROVENANCE_FIELD not in manifest.provenance:
        return (
            f"leaks cannot be checked: the manifest of {manifest.name} does not list the speakers "
            "in training",
        )
    heard = _decode(manifest)
    places: dict[str, str] = {}
    for scene in scenes:
        for name in scene.recordings or ():
            places.setdefault(name, scene.name)
    leaked = [name for name in sorted(places) if _prefix(name) in heard]
    if leaked:
        shown = ", ".join(f"{name} (in {places[name]})" for name in leaked[:_SHOWN])
        more = "" if len(leaked) <= _SHOWN else f" and {len(leaked) - _SHOWN} more"
        raise DataError(
            f"{manifest.name} was trained on recordings of {len(leaked)} of the {len(places)} "
            f"speakers or files in these scenes: {shown}{more}. Its figures would be too good: "
            "choose another --split, hold the same speech out as the training did "
            "(--held-out-speech), or use other recordings"
        )
    unknown = sum(scene.recordings is None for scene in scenes)
    if unknown:
        return (
            f"leaks cannot be checked in {unknown} of {len(scenes)} scenes: the speakers in their "
            "recordings are unknown",
        )
    return ()


def _prefix(name: str) -> bytes:
    return hashlib.sha256(name_bytes(name)).digest()[:_BYTES]


def _decode(manifest: Manifest) -> frozenset[bytes]:
    field = manifest.provenance[PROVENANCE_FIELD]
    try:
        data = base64.b64decode(field, validate=True)
    except (binascii.Error, ValueError, TypeError):
        data = b"?"
    if len(data) % _BYTES:
        raise ModelError(
            f"{manifest.name}: provenance.{PROVENANCE_FIELD} is damaged: it must be base64 of "
            f"{_BYTES} bytes for each speaker; export the model again"
        )
    return frozenset(data[first : first + _BYTES] for first in range(0, len(data), _BYTES))
