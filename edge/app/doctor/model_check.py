"""A model in; whether it is intact, gives the expected results here, and how fast, out."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ModelError
from ...sound.sources import BLOCK_MS, kilohertz
from ...spotting.engine import Engine
from ...spotting.frontend import FrontEnd
from ...spotting.spotter import Spotter
from .finding import Finding, State
from .golden import (
    LEAST_FEATURES_EQUAL,
    MOST_FEATURES_APART,
    MOST_LOGITS_APART,
    Deviation,
    compare,
    demo_recording,
    golden_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ...spotting.engine import Runtime
    from ...spotting.manifest import Model

SLOW = 0.5
"""Real-time factor from which on a remedy is suggested: live, with cold caches, it is several
times as high as on a recording."""

_STREAM_S = 4.0  # of the demo recording: for models without golden vectors, and for speed
_CHUNKS = (1, 7, 160, 321, 1000, 4096)  # samples; not multiples of hops or windows

_REMEDY = (
    "try another interpreter (--runtime), then pip install --force-reinstall harken; if that does "
    "not help, please open an issue with this report"
)


def describe_model(model: Model) -> Finding:
    """Describe a loaded model; loading has already checked it against its manifest."""
    manifest = model.manifest
    return Finding(
        check="model.file",
        state=State.OK,
        text=(
            f"{model.path}: {len(model.content):,} bytes, agrees with its manifest; "
            f"{kilohertz(manifest.front_end.sample_rate_hz)}; the {len(manifest.words)} words "
            f"{' '.join(manifest.words)}"
        ),
        figures={
            "name": manifest.name,
            "path": str(model.path),
            "bytes": len(model.content),
            "sha256": manifest.model.sha256,
            "sample_rate_hz": manifest.front_end.sample_rate_hz,
            "words": list(manifest.words),
        },
    )


def check_golden(model: Model, *, runtime: str | Runtime | None = None) -> list[Finding]:
    """Compare features, logits and words with the golden vectors of the model, if it has some.

    Raises
    ------
    ModelError
        The golden vectors are damaged, or do not match the model.
    AudioError
        The demo recording cannot be read.
    """
    golden = golden_of(model)
    if golden is None:
        return [
            Finding(
                check="model.golden",
                state=State.SKIPPED,
                text=(
                    "no golden data: this model is not shipped with harken. Its streaming is "
                    "checked, but not its accuracy; harken eval measures that"
                ),
            )
        ]
    recording = demo_recording(model.manifest.front_end.sample_rate_hz)
    return judge(compare(model, golden, recording, runtime=runtime))


def judge(found: Deviation) -> list[Finding]:
    """Judge each stage, with its differences."""

    def finding(check: str, well: bool, text: str, **figures: object) -> Finding:
        return Finding(
            check=check,
            state=State.OK if well else State.PROBLEM,
            text=text,
            remedy=None if well else _REMEDY,
            kind=ModelError,
            figures=figures,
        )

    late = "" if not found.late_samples else f", decided {found.late_samples} samples apart at most"
    heard = f"all {len(found.expected)} golden words, in order{late}"
    if found.words != found.expected:
        words = " ".join(found.words) or "nothing"
        heard = f"detects {words} instead of {' '.join(found.expected)}"
    return [
        finding(
            "model.front_end",
            found.front_end_is_well,
            _distance(
                found.features_equal, found.features_apart, "features", LEAST_FEATURES_EQUAL,
                MOST_FEATURES_APART,
            ),
            equal=found.features_equal,
            apart=found.features_apart,
        ),
        finding(
            "model.network",
            found.network_is_well,
            _distance(found.logits_equal, found.logits_apart, "logits", None, MOST_LOGITS_APART)
            + f"; the same label in {found.labels_equal:.2%} of the steps",
            equal=found.logits_equal,
            apart=found.logits_apart,
            labels_equal=found.labels_equal,
        ),
        finding(
            "model.words",
            found.words == found.expected,
            heard,
            heard=list(found.words),
            expected=list(found.expected),
            late_samples=found.late_samples,
        ),
    ]  # fmt: skip


def check_stream(model: Model, *, runtime: str | Runtime | None = None) -> Finding:
    """Check that results are valid, repeatable, and independent of chunk sizes.

    Raises
    ------
    AudioError
        The demo recording, which it hears, cannot be read.
    """
    recording = _beginning(model)
    whole = _posteriors(model, [recording], runtime)
    wrong = []
    if not np.isfinite(whole).all():
        wrong.append("some posteriors are not numbers")
    elif np.abs(whole.sum(axis=1) - 1).max(initial=0) > 1e-4:
        wrong.append("the posteriors of a step do not sum to one")
    if not np.array_equal(_posteriors(model, [recording], runtime), whole, equal_nan=True):
        wrong.append("the second run gives different results")
    if not np.array_equal(_posteriors(model, _cut(recording), runtime), whole, equal_nan=True):
        wrong.append("results depend on the chunk size")
    return Finding(
        check="model.stream",
        state=State.PROBLEM if wrong else State.OK,
        text="; ".join(wrong)
        or f"{len(whole)} steps: repeatable, independent of chunk sizes; posteriors sum to one",
        remedy=_REMEDY if wrong else None,
        kind=ModelError,
        figures={"steps": len(whole), "wrong": wrong},
    )


def check_speed(model: Model, *, runtime: str | Runtime | None = None) -> Finding:
    """Measure the model's processor time, from samples to events.

    Raises
    ------
    AudioError
        The demo recording, which it hears, cannot be read.
    """
    rate_hz = model.manifest.front_end.sample_rate_hz
    recording = _beginning(model)
    length = rate_hz * BLOCK_MS // 1000
    spotter = Spotter(model, runtime=runtime)
    spotter.feed(recording[:rate_hz])  # the first second warms up
    started_s, processor_s = time.monotonic(), time.process_time()
    for start in range(0, len(recording), length):
        spotter.feed(recording[start : start + length])
    processor_s = time.process_time() - processor_s
    return judge_speed(processor_s / _STREAM_S, (time.monotonic() - started_s) / _STREAM_S)


def judge_speed(factor: float, clock_factor: float) -> Finding:
    """Judge whether this machine is fast enough.

    Parameters
    ----------
    factor : float
        Processor time per second of audio.
    clock_factor : float
        Elapsed time per second of audio.
    """
    text = f"real-time factor {factor:.4f}: {1000 * factor:.1f} ms of one core for 1 s of audio"
    slow = factor > SLOW
    busy = not slow and clock_factor > SLOW
    if busy:
        text += f", but {1000 * clock_factor:.0f} ms on the clock: other programs take the rest"
    remedy = None
    if slow:
        remedy = (
            "too slow to listen live: choose a smaller model (commands-tiny), ai-edge-litert as "
            "interpreter or a 64-bit system, and check whether the processor is throttled"
        )
    elif busy:
        remedy = "stop programs that keep this computer busy, or audio will be lost"
    return Finding(
        check="speed.real_time",
        state=State.WARNING if slow or busy else State.OK,
        text=text,
        remedy=remedy,
        figures={"real_time_factor": factor, "clock_factor": clock_factor},
    )


def _distance(equal: float, apart: int, what: str, least: float | None, most: int) -> str:
    """Describe the differences from the golden values, and the limits."""
    if not apart:
        return f"all {what} match the golden ones"
    limits = f"allowed: {most}" if least is None else f"required: {least:.1%} and at most {most}"
    return (
        f"{equal:.2%} of the {what} match the golden ones, the others are off by up to {apart} "
        f"({limits})"
    )


def _cut(recording: NDArray[np.int16]) -> Iterable[NDArray[np.int16]]:
    """Yield a recording in chunks of varying length."""
    start = 0
    for length in itertools.cycle(_CHUNKS):
        if start >= len(recording):
            return
        yield recording[start : start + length]
        start += length


def _posteriors(
    model: Model, chunks: Iterable[NDArray[np.int16]], runtime: str | Runtime | None
) -> NDArray[np.float32]:
    """Return the network's outputs from a fresh state, (steps, n_labels)."""
    front_end = FrontEnd(model.manifest.front_end)
    engine = Engine(model, runtime=runtime)
    engine.reset()
    return np.concatenate([engine.feed(front_end.feed(chunk)) for chunk in chunks])


def _beginning(model: Model) -> NDArray[np.int16]:
    """Return the part of the demo recording used to check streaming, at the model's rate."""
    rate_hz = model.manifest.front_end.sample_rate_hz
    return demo_recording(rate_hz)[: round(_STREAM_S * rate_hz)]
