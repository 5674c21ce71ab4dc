"""Who was heard in training and who is heard in scenes: nobody may be in both.

A recording's identity is its speaker, or its path below the data folder where no speaker is known.
A training run keeps the identities that it may have heard, of words and of running speech, and the
export carries them into the manifest as ``provenance.training_speakers``: the first four bytes of
the SHA-256 of each, sorted, each once, all together in base64. Of 1,500 identities in scenes, one
is mistaken for one of 6,000 in training with a probability of 1 in 480.

A word that training cuts out of somebody's speech is heard with that speech. What is synthetic or
simulated is nobody's, and no scene holds it.
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
"""Where the identities are kept, in a run's data and in a manifest's provenance."""

_BYTES = 4
_SHOWN = 5


def identity(recording: Recording) -> str:
    """Return whose recording it is: its speaker, or its path where no speaker is known."""
    return recording.speaker or recording.path


def heard_in_training(corpus: Corpus, config: TrainConfig) -> str:
    """Return the identities that a training run may hear, as a manifest keeps them.

    Parameters
    ----------
    corpus
        The recordings.
    config
        The run; words that it holds out are not heard.
    """
    return encode_identities(
        identity(recording)
        for recording in corpus.recordings
        if recording.split == "training"
        and recording.kind in ("word", "speech")
        and recording.label not in (SILENCE_FOLDER, *config.held_out_words)
    )


def encode_identities(identities: Iterable[str]) -> str:
    """Encode identities as this module describes it."""
    prefixes = sorted({_prefix(name) for name in identities})
    return base64.b64encode(b"".join(prefixes)).decode()


def check_leaks(scenes: Iterable[Scene], manifest: Manifest) -> tuple[str, ...]:
    """Check that no scene holds a recording of somebody whom the model heard in training.

    Parameters
    ----------
    scenes
        What is to be heard.
    manifest
        The model's.

    Returns
    -------
    Notes on what cannot be checked, for whoever reads the figures.

    Raises
    ------
    DataError
        A scene holds such a recording. Names the first few.
    ModelError
        The manifest's field is damaged.
    """
    scenes = tuple(scenes)
    if PROVENANCE_FIELD not in manifest.provenance:
        return (
            f"leaks cannot be checked: the manifest of {manifest.name} does not say whom it heard "
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
            f"leaks cannot be checked in {unknown} of {len(scenes)} scenes: nobody knows whose "
            "recordings they hold",
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
