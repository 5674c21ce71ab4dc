"""A model in, its manifest as a table for people out: `harken info`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.table import Table

from ..sound.sources import kilohertz
from .display import arena, two_columns

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..spotting.gate import GateConfig
    from ..spotting.manifest import Manifest, Model

_LONGEST_TEXT = 200  # of a free-form value, in characters
_LONGEST_PART = 70  # of a value inside a record
_DEPTH = 3  # levels of nested records to show
_LONGEST_LIST = 5  # of a list inside a record, in entries


def model_table(model: Model) -> Table:
    """Return the content of a manifest; of values too long to read, only the size."""
    manifest = model.manifest
    front_end, step, state = manifest.front_end, manifest.step, manifest.state
    milliseconds = 1000 / front_end.sample_rate_hz
    step_ms = manifest.step_samples * milliseconds
    table = two_columns()
    table.add_row("model", f"{manifest.name}, {model.path}")
    table.add_row("size", f"{len(model.content):,} bytes")
    table.add_row("words", f"{len(manifest.words)}: {' '.join(manifest.words)}")
    table.add_row(
        "front end",
        f"{kilohertz(front_end.sample_rate_hz)}, windows of "
        f"{front_end.window_samples * milliseconds:g} ms every "
        f"{front_end.hop_samples * milliseconds:g} ms, {front_end.n_mfcc} MFCC of "
        f"{front_end.n_mels} mel bands, {front_end.f_min_hz:g} to {front_end.f_max_hz:g} Hz",
    )
    table.add_row("step", f"every {step_ms:g} ms, on the last {step.context_frames} frames")
    stem = ", ".join(
        f"{units} × {memory}"
        for units, memory in zip(state.svdf_units, state.svdf_memory, strict=True)
    )
    table.add_row(
        "state",
        (f"SVDF of {stem} steps, " if stem else "")
        + f"LSTM of {', '.join(map(str, state.lstm_units))} units, "
        f"cells within ±{state.cell_clip:g}",
    )
    for side, tensor in (("input", manifest.input), ("output", manifest.output)):
        table.add_row(
            side,
            f"int8 {list(tensor.shape)}, scale {tensor.scale:g}, zero point {tensor.zero_point}",
        )
    table.add_row("arena", arena(manifest.memory.tflm_arena_bytes))
    table.add_row("detector", _rows(_detector(manifest, step_ms)))
    table.add_row("thresholds", _thresholds(manifest))
    table.add_row("gate", _gate(manifest.gate))
    for title, rows in (
        ("measured", _operating_point(manifest.operating_point or {})),
        ("checks", _free_form(manifest.checks)),
        ("provenance", _free_form(manifest.provenance)),
    ):
        table.add_row(title, _rows(rows))
    table.add_row("", "all of it: harken info MODEL --json")
    return table


def _rows(rows: Iterable[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, text in rows:
        table.add_row(name, text)
    return table if table.row_count else "nothing recorded"


def _detector(manifest: Manifest, step_ms: float) -> Iterator[tuple[str, str]]:
    detector = manifest.detector
    steps = detector.smoothing_steps
    yield "smoothing", f"mean of {steps} steps ({steps * step_ms:g} ms)"
    yield "refractory", f"{detector.refractory_ms} ms after each word"
    if detector.talk_penalty:
        yield "talk penalty", f"up to {detector.talk_penalty:g} in log-odds"
    else:
        yield "talk penalty", "none"
    yield (
        "context",
        f"weight {detector.context_weight:g}, moves log-odds by at most {detector.context_limit:g}",
    )


def _thresholds(manifest: Manifest) -> RenderableType:
    thresholds = manifest.detector.thresholds
    if len(set(thresholds.values())) == 1:
        return f"{thresholds[manifest.words[0]]:g} for every word"
    texts = [f"{word} {thresholds[word]:.3g}" for word in manifest.words]
    return Columns(texts, padding=(0, 2), equal=True)


def _gate(gate: GateConfig | None) -> str:
    if gate is None:
        return "none: everything is heard"
    return (
        f"opens {gate.margin_db:g} dB above the room, for {gate.hold_ms} ms; follows a room that "
        f"gets louder by up to {gate.rise_db_per_s:g} dB per second"
    )


def _operating_point(point: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the figures of `harken tune`, as far as they are there, then all others."""
    known = {
        "misses": (_misses(point), _MISSES),
        "false accepts": (_accepts(point), _ACCEPTS),
        "target": (_target(point), {"wanted_false_accepts_per_hour"}),
        "cross-validated": (_both(point.get("cross_validated")), {"cross_validated"}),
        "misses by SNR": (_by_snr(point.get("snr")), {"snr"}),
        "wrong words": (_accepts(point.get("wrong_among_words")), {"wrong_among_words"}),
        "latency": (_latency(point), {"latency_median_s", "latency_95_percent_s"}),
    }
    shown: set[str] = set()
    for name, (text, keys) in known.items():
        if text:
            yield name, text
            shown |= keys
    yield from _free_form({key: value for key, value in point.items() if key not in shown})


_MISSES = {"missed", "said", "miss_rate", "miss_rate_95_low", "miss_rate_95_high"}
_ACCEPTS = {
    "false_accepts",
    "hours",
    "false_accepts_per_hour",
    "false_accepts_per_hour_95_low",
    "false_accepts_per_hour_95_high",
}


def _numbers(record: object, *keys: str) -> tuple[float, ...] | None:
    """Return numbers of a free-form record; None if it lacks one."""
    if not isinstance(record, Mapping):
        return None
    values: list[Any] = [record.get(key) for key in keys]
    if not all(type(value) in (int, float) and abs(value) < 1e15 for value in values):
        return None
    return tuple(map(float, values))


def _misses(record: object) -> str:
    rate = _numbers(record, "miss_rate")
    if rate is None:
        return ""
    text = f"{rate[0]:.1%}"
    if said := _numbers(record, "said"):
        text += f" of {said[0]:,.0f} words"
    if bounds := _numbers(record, "miss_rate_95_low", "miss_rate_95_high"):
        text += f" (95% CI {bounds[0]:.1%} to {bounds[1]:.1%})"
    return text


def _accepts(record: object) -> str:
    rate = _numbers(record, "false_accepts_per_hour")
    if rate is None:
        return ""
    text = f"{rate[0]:.2f} per hour"
    if counts := _numbers(record, "false_accepts", "hours"):
        text += f", {counts[0]:,.0f} in {counts[1]:,.1f} hours"
    low, high = "false_accepts_per_hour_95_low", "false_accepts_per_hour_95_high"
    if bounds := _numbers(record, low, high):
        text += f" (95% CI {bounds[0]:.2f} to {bounds[1]:.2f})"
    return text


def _target(point: Mapping[str, Any]) -> str:
    wanted = _numbers(point, "wanted_false_accepts_per_hour")
    return f"at most {wanted[0]:g} false accepts per hour" if wanted else ""


def _both(record: object) -> str:
    figures = _numbers(record, "miss_rate", "false_accepts_per_hour")
    if figures is None:
        return ""
    return f"misses {figures[0]:.1%}, false accepts {figures[1]:.2f} per hour"


def _by_snr(record: object) -> str:
    if not isinstance(record, Mapping):
        return ""
    rates = {name: _numbers(each, "miss_rate") for name, each in record.items()}
    return ", ".join(f"{name} {rate[0]:.1%}" for name, rate in rates.items() if rate)


def _latency(point: Mapping[str, Any]) -> str:
    times = _numbers(point, "latency_median_s", "latency_95_percent_s")
    return f"median {1000 * times[0]:.0f} ms, 95% within {1000 * times[1]:.0f} ms" if times else ""


def _free_form(section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        yield key, _text(value)


def _text(value: object) -> str:
    """Return a free-form value; of one that is too long, its short parts or its size."""
    text = _whole(value, _DEPTH)
    if len(text) <= _LONGEST_TEXT:
        return text
    if isinstance(value, Mapping):
        text = ", ".join(f"{key} {_part(each)}" for key, each in value.items())
        if len(text) <= 2 * _LONGEST_TEXT:
            return text
    if isinstance(value, Mapping | list | tuple):
        return f"{len(value):,} entries"
    return f"{len(text):,} characters, see the manifest"


def _part(value: object) -> str:
    text = _whole(value, 1)
    if isinstance(value, Mapping | list | tuple):
        return f"({text})" if len(text) <= _LONGEST_PART else f"({len(value):,} entries)"
    return text if len(text) <= _LONGEST_PART else f"{text[: _LONGEST_PART - 1]}…"


def _whole(value: object, depth: int) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    if not isinstance(value, Mapping | list | tuple):
        return str(value)
    if depth == 0:
        return f"{len(value):,} entries"
    nested = isinstance(value, Mapping)
    texts = []
    for each in value:
        part = value[each] if isinstance(value, Mapping) else each
        long = isinstance(part, list | tuple) and len(part) > _LONGEST_LIST
        text = _whole(part, 0 if long else depth - 1)
        text = f"({text})" if isinstance(part, Mapping | list | tuple) else text
        texts.append(f"{each} {text}" if nested else text)
    return ", ".join(texts)
