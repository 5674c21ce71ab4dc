"""Output for people: events, models, devices and figures in, lines for a terminal out.

Plain text if the output is not a terminal. Programs read JSON instead.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..sound.sources import BLOCK_MS, Announcement, kilohertz

if TYPE_CHECKING:
    from ..memory.turns import Turn
    from ..sound.microphone import InputDevice
    from ..spotting.gate import GateConfig
    from ..spotting.manifest import Manifest, Model
    from ..spotting.spotter import Event
    from .benchmark import Benchmark

_LONGEST_TEXT = 200  # longest free field of a manifest to show


def output() -> Console:
    """Return a console for results: standard output."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)


def notes() -> Console:
    """Return a console for everything else: standard error."""
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False)


def event_line(event: Event) -> Text:
    """Return an event as a line: time, word, confidence, latency."""
    return Text.assemble(
        (f"{event.start_s:9.2f} s  ", "dim"),
        (f"{event.word:<12}", "bold green"),
        f"  {event.confidence:4.0%}",
        (f"  {event.latency_s * 1000:5.0f} ms later", "dim"),
    )


def wake_line(event: Event) -> Text:
    """Return a wake word as a line: time, word, and that the command model listens now."""
    return Text(f"{event.start_s:9.2f} s  {event.word} – listening", "dim")


def wake_dict(event: Event) -> dict[str, str | int | float]:
    """Return a wake word for a line of JSON: the fields of an event, `wake` in place of `word`."""
    fields = event.to_dict()
    return {"wake": fields.pop("word"), **fields}


def notice_line(line: str) -> Text:
    """Return a line for the user: a warning, unless it is an `Announcement`."""
    if isinstance(line, Announcement):
        return Text(line, "dim")
    return Text(f"harken: warning: {line}")


def turn_line(turn: Turn) -> Text:
    """Return a turn as a line: the command, and which parts came from memory."""
    line = Text("             ")
    for command in turn.commands:
        line.append("⇒ ", "dim").append(command.text, "bold cyan")
        line.append(f"  {command.confidence:4.0%}", "dim")
        if command.repeated:
            line.append("  again", "yellow")
        elif command.remembered:
            recalled = ", ".join(
                f"{command.slots[slot]} from {age_s:.1f} s ago"
                for slot, age_s in command.remembered.items()
            )
            line.append(f"  remembered: {recalled}", "yellow")
        line.append(" ")
    if not turn.commands or turn.outcome == "pending":
        line.append(f"· {turn.outcome}: {turn.reason}", "dim")
    return line


def turn_lines(turn: Turn) -> list[dict[str, Any]]:
    """Return a turn for lines of JSON: its commands, else the turn itself."""
    lines: list[dict[str, Any]] = [
        {"command": command.intent, **command.to_dict()} for command in turn.commands
    ]
    if not turn.commands or turn.outcome == "pending":
        lines.append({"turn": turn.outcome, "reason": turn.reason, "at_s": round(turn.at_s, 3)})
    return lines


def memory_table(path: Path, content: Mapping[str, Any]) -> Table:
    """Return what is remembered, in plain words."""
    state, learned = content.get("state", {}), content.get("learned", {})
    table = _two_columns()
    table.add_row("memory", str(path))
    table.add_row("grammar", str(content.get("grammar", {}).get("name")))
    saved = datetime.fromtimestamp(float(content.get("saved_s", 0.0))).astimezone()
    table.add_row("last used", saved.isoformat(sep=" ", timespec="seconds"))
    recent = [entry[0] for entry in content.get("recent", [])]
    table.add_row("last words", " ".join(recent) or "none")
    pending = state.get("pending")
    table.add_row("pending", pending["intent"] if pending else "nothing")
    slots = {name: heard["word"] for name, heard in state.get("memory", {}).items()}
    table.add_row("slots", ", ".join(f"{n} = {w}" for n, w in slots.items()) or "none")
    table.add_row(
        "learned",
        f"from {learned.get('lessons', 0)} words; trusted to {learned.get('trust', 0.0):.0%}",
    )
    for context, counts in sorted(learned.get("counts", {}).items()):
        pending_, _, last = context.partition(":")
        after = f"after “{last}”" if last else f"waiting for {pending_}" if pending_ else "anywhere"
        most = sorted(counts.items(), key=lambda item: -item[1])[:5]
        table.add_row("", f"{after}: " + ", ".join(f"{word} {count:.1f}" for word, count in most))
    return table


def device_table(devices: list[InputDevice]) -> Table:
    """Return the devices as a table; the default one has a star."""
    table = Table(box=None, pad_edge=False)
    for title in ("device", "channels", "rate"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("name")
    for device in devices:
        table.add_row(
            str(device.index),
            str(device.channels),
            kilohertz(device.sample_rate_hz),
            "*" if device.default else "",
            f"{device.name}, {device.host_api}",
        )
    return table


def model_table(model: Model) -> Table:
    """Return the content of a manifest, in plain words; of nested records, the names."""
    manifest = model.manifest
    front_end, step, detector = manifest.front_end, manifest.step, manifest.detector
    milliseconds = 1000 / front_end.sample_rate_hz
    step_ms = manifest.step_samples * milliseconds
    table = _two_columns()
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
    state = manifest.state
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
    table.add_row(
        "detector",
        f"mean of {detector.smoothing_steps} steps ({detector.smoothing_steps * step_ms:g} ms), "
        f"then {detector.refractory_ms} ms of rest; talk costs words up to "
        f"{detector.talk_penalty:g} in log-odds; context weighs {detector.context_weight:g}, moves "
        f"them by at most {detector.context_limit:g}",
    )
    table.add_row("gate", _gate(manifest.gate))
    table.add_row("thresholds", _thresholds(manifest))
    table.add_row("arena", _arena(manifest.memory.tflm_arena_bytes))
    for title, section in (
        ("checks", manifest.checks),
        ("measured", manifest.operating_point),
        ("provenance", manifest.provenance),
    ):
        table.add_row(title, _free_form(section) or "nothing recorded")
    table.add_row("", "all of it: harken info MODEL --json")
    return table


def benchmark_table(figures: Benchmark) -> Table:
    """Return the figures of a benchmark as a table."""
    table = _two_columns()
    table.add_row("model", f"{figures.model}, {figures.model_bytes:,} bytes")
    table.add_row("arena", _arena(figures.tflm_arena_bytes))
    table.add_row(
        "network",
        f"{figures.macs_per_step:,} MACs (multiply and add) a step of {figures.step_ms:g} ms, "
        f"{figures.macs_per_second / 1e6:.2f} million a second of sound",
    )
    table.add_row(
        "front end",
        f"{figures.front_end_us_per_frame:.0f} µs a frame of {figures.frame_ms:g} ms",
    )
    table.add_row("engine", f"{figures.engine_us_per_step:.0f} µs a step of {figures.step_ms:g} ms")
    table.add_row(
        "whole path",
        f"real-time factor {figures.real_time_factor:.4f}: "
        f"{1000 * figures.real_time_factor:.1f} ms of one core for 1 s of sound, "
        f"from samples in blocks of {BLOCK_MS} ms to events",
    )
    table.add_row(
        "memory",
        f"{figures.peak_memory_bytes / 1e6:.0f} MB at most, of a process that listens"
        if figures.peak_memory_bytes
        else "not known on this system",
    )
    table.add_row(
        "import",
        f"{figures.import_s:.2f} s on the clock, of `import harken.edge` in a new process",
    )
    table.add_row(
        "measured",
        f"speeds as processor time of all threads, median of {figures.repeats} runs over "
        f"{figures.sound_s:g} s of noise, on {figures.processor} with {figures.runtime}, "
        f"Python {figures.python}, numpy {figures.numpy}",
    )
    return table


def _arena(tflm_arena_bytes: int | None) -> str:
    if tflm_arena_bytes is None:
        return "not measured"
    return f"{tflm_arena_bytes:,} bytes of working memory in TFLM"


def _gate(gate: GateConfig | None) -> str:
    if gate is None:
        return "none: everything is heard"
    return (
        f"opens {gate.margin_db:g} dB above the room, for {gate.hold_ms} ms; follows a room that "
        f"gets louder by up to {gate.rise_db_per_s:g} dB a second"
    )


def _thresholds(manifest: Manifest) -> str:
    thresholds = manifest.detector.thresholds
    if len(set(thresholds.values())) == 1:
        return f"{thresholds[manifest.words[0]]:g} for every word"
    return ", ".join(f"{word} {thresholds[word]:g}" for word in manifest.words)


def _free_form(section: Mapping[str, Any] | None) -> str:
    lines = []
    for key, value in (section or {}).items():
        if isinstance(value, Mapping):
            text = f"({', '.join(map(str, value))})"
        elif isinstance(value, list | tuple):
            text = ", ".join(map(str, value))
        elif isinstance(value, float):
            text = f"{value:g}"
        else:
            text = str(value)
        if len(text) > _LONGEST_TEXT:
            parts = len(value) if isinstance(value, Mapping | list | tuple) else 0
            text = f"{parts} entries" if parts else f"{len(text):,} characters, see the manifest"
        lines.append(f"{key}: {text}")
    return "\n".join(lines)


def _two_columns() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table
