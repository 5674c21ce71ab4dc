"""A manifest in, the constants of the C engine's front end and detector out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...edge.device.limits import (
    LEAST_THRESHOLD,
    MEL_BANDS,
    MOST_FRAMES,
    MOST_LABELS,
    MOST_REFRACTORY_MS,
    MOST_SMOOTHING_STEPS,
    WINDOW_SAMPLES,
)
from ...edge.errors import ExportError
from ...edge.memory.grammar import Grammar
from ...edge.memory.lstm import LstmPriorFile
from ...edge.memory.prior import GAP_EDGES_S, N_GAPS, Context, Learner
from ...edge.spotting.detector import FAINT_S, UNKNOWN, talk_share
from ...edge.spotting.frontend import FrontEndConfig, dct_matrix
from ...edge.spotting.manifest import Manifest

Array = NDArray[np.float64]

WINDOW = WINDOW_SAMPLES
"""Samples of the engine's window."""

_MOST_LIMIT = 5.0
_ANY = 255  # HARKEN_ANY
_DECIBELS = 10 * math.log10(2)  # per doubling
# Factor of the engine's powers over those of the definition; see harken_frontend.c.
_FLOAT_BITS = 34
_FIXED_BITS = 49
_LEVEL_BITS = 19


@dataclass(frozen=True, kw_only=True)
class FrontEndTables:
    """Values of both front ends of the engine, before they are rounded to their types."""

    first_bin: int
    bins: tuple[int, ...]
    """(n_mels + 1,) bins from each edge to the next."""
    rise: Array
    """(n_bins,) position of a bin between its two edges, 0..1."""
    floor: Array
    """(n_mels,) least power of a band, before division by its area; full scale is 1."""
    matrix: Array
    """(n_mfcc, n_mels): log2 of the bands to quantized features."""
    offset: Array
    """(n_mfcc,) offsets added to them, without the zero point."""
    zero_point: int

    @property
    def half(self) -> Array:
        """(n_mfcc, columns): the matrix's left half; the right one mirrors it."""
        return self.matrix[:, : (self.matrix.shape[1] + 1) // 2]


def front_end_tables(manifest: Manifest) -> FrontEndTables:
    """Compute the tables of the front end.

    Raises
    ------
    ExportError
        The engine's front end does not support it. Names the field.
    """
    config = manifest.front_end
    if config.window_samples != WINDOW:
        raise ExportError(
            f"front_end.window_samples is {config.window_samples}; the C engine supports "
            f"{WINDOW} samples"
        )
    fewest, most = MEL_BANDS
    if not fewest <= config.n_mels <= most:
        raise ExportError(
            f"front_end.n_mels is {config.n_mels}; the C engine supports {fewest} to {most}"
        )
    for name in ("stride_frames", "context_frames"):
        frames = getattr(manifest.step, name)
        if frames > MOST_FRAMES:
            raise ExportError(f"step.{name} is {frames}; the C engine supports up to {MOST_FRAMES}")
    edges = mel_edges(config)
    frequencies = np.arange(WINDOW // 2 + 1) * config.sample_rate_hz / WINDOW
    # At least one of the bins strictly between two edges has a weight; bins 0 and 256 never do.
    interval = np.searchsorted(edges, frequencies, side="right") - 1
    inside = np.flatnonzero((frequencies > edges[0]) & (frequencies < edges[-1]))
    bins = np.bincount(interval[inside], minlength=config.n_mels + 1)
    below = edges[interval[inside]]
    rise = (frequencies[inside] - below) / (edges[interval[inside] + 1] - below)
    if not len(inside):
        raise ExportError(
            f"front_end.f_min_hz and f_max_hz, {config.f_min_hz:g} and {config.f_max_hz:g}, span "
            "no frequency of the C engine's spectrum; move them apart"
        )
    area = 2 / (edges[2:] - edges[:-2])
    scale = manifest.input.scale
    std = np.array(config.std)
    matrix = _DECIBELS * dct_matrix(config) / (std * scale)[:, None]
    return FrontEndTables(
        first_bin=int(inside[0]),
        bins=tuple(int(count) for count in bins),
        rise=rise,
        floor=config.amin / area,
        matrix=matrix,
        offset=matrix @ np.log2(area) - np.array(config.mean) / (std * scale),
        zero_point=manifest.input.zero_point,
    )


def mel_edges(config: FrontEndConfig) -> Array:
    """Return the edges of the bands, (n_mels + 2,) in Hz."""
    from ...edge.spotting.frontend import _hz_to_mel, _mel_to_hz

    return np.asarray(
        _mel_to_hz(
            np.linspace(_hz_to_mel(config.f_min_hz), _hz_to_mel(config.f_max_hz), config.n_mels + 2)
        )
    )


@dataclass(frozen=True, kw_only=True)
class FloatFrontEnd:
    """``harken_frontend`` in float32."""

    cosine: Array
    rise: Array
    floor: Array
    dct: Array
    offset: Array


def float_front_end(tables: FrontEndTables) -> FloatFrontEnd:
    """Scale the tables for the float front end."""
    return FloatFrontEnd(
        cosine=_cosine(),
        rise=tables.rise,
        floor=tables.floor * 2.0**_FLOAT_BITS,
        dct=tables.half,
        offset=tables.offset - _FLOAT_BITS * tables.matrix.sum(axis=1),
    )


@dataclass(frozen=True, kw_only=True)
class FixedFrontEnd:
    """``harken_frontend`` in integers."""

    cosine: NDArray[np.int64]
    rise: NDArray[np.int64]
    floor: NDArray[np.int64]
    dct: NDArray[np.int64]
    offset: NDArray[np.int64]
    row_shift: NDArray[np.int64]


def fixed_front_end(tables: FrontEndTables) -> FixedFrontEnd:
    """Scale and round the tables for the integer front end.

    Raises
    ------
    ExportError
        The weights in a row of the transform are too large.
    """
    peak = np.abs(tables.half).max(axis=1)
    row_shift = np.maximum(0, np.floor(np.log2(np.maximum(peak, 1e-9))) + 1).astype(np.int64)
    scaled = tables.half / 2.0 ** row_shift[:, None]
    offset = tables.offset - _FIXED_BITS * tables.matrix.sum(axis=1)
    offset *= 2.0 ** (_LEVEL_BITS - row_shift)
    if row_shift.max() > 10 or np.abs(offset).max() >= 2**30:
        raise ExportError(
            "front_end.std is so small that the features do not fit in the C engine's integers"
        )
    return FixedFrontEnd(
        cosine=_q(_cosine(), 15).clip(-32767, 32767),
        rise=_q(tables.rise, 15),
        floor=_q(np.log2(tables.floor) + _FIXED_BITS, 15),
        dct=_q(scaled, 15).clip(-32767, 32767),
        offset=np.rint(offset).astype(np.int64),
        row_shift=row_shift,
    )


@dataclass(frozen=True, kw_only=True)
class DetectorTables:
    """``harken_detector``."""

    exponentials: tuple[int, ...]
    threshold: tuple[int, ...]
    negligible: int
    talk_share: int
    talk_penalty: int
    refractory_steps: int
    smoothing_steps: int
    unknown: int


def detector_tables(manifest: Manifest) -> DetectorTables:
    """Compute the tables of the detector.

    Raises
    ------
    ExportError
        The engine does not support it. Names the field.
    """
    config, labels = manifest.detector, manifest.labels
    if config.smoothing_steps > MOST_SMOOTHING_STEPS:
        raise ExportError(
            f"detector.smoothing_steps is {config.smoothing_steps}; the C engine supports up to "
            f"{MOST_SMOOTHING_STEPS}"
        )
    if len(labels) > MOST_LABELS:
        raise ExportError(f"{len(labels)} labels; the C engine supports up to {MOST_LABELS}")
    if config.refractory_ms > MOST_REFRACTORY_MS:
        raise ExportError(
            f"detector.refractory_ms is {config.refractory_ms}; the C engine supports up to "
            f"{MOST_REFRACTORY_MS:,}"
        )
    for word, threshold in config.thresholds.items():
        if threshold < LEAST_THRESHOLD:
            raise ExportError(
                f"detector.thresholds.{word} is {threshold:g}; the C engine supports them from "
                f"{LEAST_THRESHOLD:g} on"
            )
    front_end = manifest.front_end
    step_s = manifest.step_samples / front_end.sample_rate_hz
    return DetectorTables(
        exponentials=exponentials(manifest.output.scale),
        threshold=tuple(
            round(float(np.float32(config.thresholds[label])) * 2**24)
            if label in config.thresholds
            else 2**32 - 1
            for label in labels
        ),
        # Ten times smaller than any threshold, even after the context has raised it.
        negligible=int(
            min(config.thresholds.values()) / 10 / math.exp(config.context_limit) * 2**28
        ),
        talk_share=round(talk_share(step_s) * 2**31),
        talk_penalty=round(config.talk_penalty / math.log(2) * 2**24) if UNKNOWN in labels else 0,
        refractory_steps=config.refractory_steps(manifest.step_samples, front_end.sample_rate_hz),
        smoothing_steps=config.smoothing_steps,
        unknown=labels.index(UNKNOWN) if UNKNOWN in labels else 0,
    )


@dataclass(frozen=True, kw_only=True)
class PriorTables:
    """``harken_prior``."""

    exponentials: tuple[int, ...]
    labels: tuple[int, ...]
    gap_samples: tuple[int, ...]
    gap_share: tuple[int, ...]
    window_samples: int
    faint_steps: int
    least: int
    most: int
    zero: int
    one: int
    pending: tuple[str, ...]


def prior_tables(manifest: Manifest, grammar: Grammar, file: LstmPriorFile) -> PriorTables:
    """Compute the tables of an LSTM prior; see `harken.edge.memory.memory.log_ratios`.

    Raises
    ------
    ExportError
        The engine does not support how the detector uses it. Names the field.
    """
    config, rate = manifest.detector, manifest.front_end.sample_rate_hz
    if config.context_weight != 1:
        raise ExportError(
            f"detector.context_weight is {config.context_weight:g}; with a grammar, the C engine "
            "only supports a weight of 1"
        )
    if config.context_limit > _MOST_LIMIT:
        raise ExportError(
            f"detector.context_limit is {config.context_limit:g}; the C engine supports up to "
            f"{_MOST_LIMIT:g}"
        )
    edges = np.minimum((0.0, *GAP_EDGES_S, np.inf), grammar.window_s)
    share = np.diff(edges) / grammar.window_s
    inverse = np.divide(1, share, out=np.zeros(N_GAPS), where=share > 0)
    if inverse.max() * 2**16 * len(file.words) >= 2**29:
        raise ExportError(f"the grammar's window_s, {grammar.window_s:g}, is too long")
    quantized = [
        int(
            np.clip(
                np.rint(value / np.float32(file.input_scale)) + file.input_zero_point, -128, 127
            )
        )
        for value in (0, 1)
    ]
    return PriorTables(
        exponentials=exponentials(file.output_scale),
        labels=tuple(manifest.labels.index(word) for word in file.words),
        gap_samples=tuple(math.ceil(edge * rate) for edge in GAP_EDGES_S),
        gap_share=tuple(round(float(value) * 2**16) for value in inverse),
        window_samples=math.ceil(grammar.window_s * rate),
        faint_steps=int(FAINT_S * rate) // manifest.step_samples,
        least=round(math.exp(-config.context_limit) * 2**24),
        most=round(math.exp(config.context_limit) * 2**24),
        zero=quantized[0],
        one=quantized[1],
        pending=file.pending,
    )


@dataclass(frozen=True, kw_only=True)
class Habit:
    """``harken_habit``."""

    pending: int
    word: int
    share: tuple[int, ...]


def habits(learner: Learner, file: LstmPriorFile) -> tuple[Habit, ...]:
    """Convert what a memory has learned, for the contexts of a prior: narrower ones first."""
    narrow, wide = [], {}
    for (waits, pending), (word, last) in product(enumerate(file.pending), enumerate(file.words)):
        context = Context(pending=pending, last=last)
        share = learner.habit(context)
        if share is None:
            continue
        known = learner.knows(context)
        habit = Habit(
            pending=waits,
            word=word if known else _ANY,
            share=tuple(np.rint(share * 2**24).astype(int).tolist()),
        )
        if known:
            narrow.append(habit)
        else:
            wide[waits] = habit
    return (*narrow, *wide.values())


def exponentials(scale: float) -> tuple[int, ...]:
    """Return exp(-d * scale) for d = 0..255, Q28."""
    return tuple(round(math.exp(-difference * scale) * 2**28) for difference in range(256))


def _cosine() -> Array:
    return np.asarray(np.cos(2 * np.pi * np.arange(WINDOW // 2 + 1) / WINDOW))


def _q(values: Array, bits: int) -> NDArray[np.int64]:
    return np.rint(values * 2.0**bits).astype(np.int64)
