"""Recordings, folders and negatives in, the scenes to measure a model on out."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from pathlib import Path

from ...edge.spotting.manifest import Manifest
from ..batches import DataSource
from ..cache import Progress
from ..corpus import Corpus
from ..splits import Split
from .folder import read_negatives, read_scenes
from .leaks import check_leaks
from .make import make_scenes
from .truth import SceneSet, check_words


def open_corpus(
    source: DataSource, manifest: Manifest | None, progress: Progress | None = None
) -> Corpus:
    """Open recordings with the same speech held out and left out as in a model's training.

    Parameters
    ----------
    source
        The recordings. Its own `held_out_speech` and `left_out` override the manifest's.
    manifest
        The model's. Names in it that these recordings lack are ignored: the model may have been
        trained on other data.
    progress
        See `harken.train.data.load_corpus`, whose errors it raises.
    """
    corpus = source.open(progress)
    if manifest is None:
        return corpus
    paths = {kind: [r.path for r in corpus.select(kind)] for kind in ("word", "speech", "noise")}

    def named(setting: str, among: Sequence[str]) -> tuple[str, ...]:
        patterns = map(str, manifest.provenance.get(setting, ()))
        return tuple(pattern for pattern in patterns if fnmatch.filter(among, pattern))

    chosen = dataclasses.replace(
        source,
        held_out_speech=source.held_out_speech or named("held_out_speech", paths["speech"]),
        left_out=source.left_out or named("left_out", [p for kind in paths.values() for p in kind]),
    )
    return corpus if chosen == source else chosen.open(progress)


def gather(
    words: Sequence[str],
    manifest: Manifest | None,
    *,
    corpus: Corpus | None = None,
    split: Split = "validation",
    words_per_condition: int = 500,
    seed: int = 0,
    folder: Path | None = None,
    negatives: Sequence[Path] = (),
) -> SceneSet:
    """Make and read scenes, and check that a model may be measured on them.

    Parameters
    ----------
    words
        The words to spot.
    manifest
        The manifest of the model: its training must not have used the recordings of the scenes.
        None for other programs, whose training data is unknown.
    corpus
        Recordings to make scenes of, if any.
    split, words_per_condition, seed
        See `harken.train.scenes.make.make_scenes`.
    folder
        Folder of scenes with labels, if any.
    negatives
        Recordings that contain none of the model's words, or folders of them.

    Raises
    ------
    DataError
        There are no recordings or scenes, something is wrong with them, or the model was trained
        on them.
    """
    parts: dict[str, SceneSet] = {}
    if corpus is not None:
        parts["data"] = make_scenes(
            corpus, words, split=split, words_per_condition=words_per_condition, seed=seed
        )
    if folder is not None:
        parts["folder"] = read_scenes(folder)
    if negatives:
        parts["negatives"] = read_negatives(negatives)
    scenes = tuple(scene for part in parts.values() for scene in part.scenes)
    notes = [note for part in parts.values() for note in part.notes]
    unknown = check_words(scenes, words)
    if folder is not None and unknown:
        notes.append(f"not words of the model, so they must not be detected: {', '.join(unknown)}")
    if manifest is not None:
        notes += check_leaks(scenes, manifest)
    return SceneSet(
        scenes=scenes,
        notes=tuple(notes),
        provenance={name: dict(part.provenance) for name, part in parts.items()},
    )
