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
    from ..spotting.spotter import Event
    from .benchmark import Benchmark


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
    if turn.late_s:
        line.append(f"faint, {turn.late_s:.1f} s ago: {turn.word}  ", "yellow")
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
    if turn.late_s:
        faint = {"faint": turn.word, "late_s": round(turn.late_s, 2)}
        lines = [{**line, **faint} for line in lines]
    return lines


def memory_table(path: Path, content: Mapping[str, Any]) -> Table:
    """Return what is remembered, in plain words."""
    state, learned = content.get("state", {}), content.get("learned", {})
    table = two_columns()
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


def benchmark_table(figures: Benchmark) -> Table:
    """Return the figures of a benchmark as a table."""
    table = two_columns()
    table.add_row("model", f"{figures.model}, {figures.model_bytes:,} bytes")
    table.add_row("arena", arena(figures.tflm_arena_bytes))
    table.add_row(
        "network",
        f"{figures.macs_per_step:,} MACs (multiply-accumulate) per step of {figures.step_ms:g} ms, "
        f"{figures.macs_per_second / 1e6:.2f} million per second of audio",
    )
    table.add_row(
        "front end",
        f"{figures.front_end_us_per_frame:.0f} µs per frame of {figures.frame_ms:g} ms",
    )
    table.add_row(
        "engine", f"{figures.engine_us_per_step:.0f} µs per step of {figures.step_ms:g} ms"
    )
    table.add_row(
        "pipeline",
        f"real-time factor {figures.real_time_factor:.4f}: "
        f"{1000 * figures.real_time_factor:.1f} ms of one core for 1 s of audio, "
        f"from samples in blocks of {BLOCK_MS} ms to events",
    )
    table.add_row(
        "memory",
        f"{figures.peak_memory_bytes / 1e6:.0f} MB peak, for a process that listens"
        if figures.peak_memory_bytes
        else "unknown on this system",
    )
    table.add_row(
        "import",
        f"{figures.import_s:.2f} s elapsed, for `import harken.edge` in a new process",
    )
    table.add_row(
        "measured",
        f"speeds are processor time of all threads, median of {figures.repeats} runs over "
        f"{figures.sound_s:g} s of noise, on {figures.processor} with {figures.runtime}, "
        f"Python {figures.python}, numpy {figures.numpy}",
    )
    return table


def arena(tflm_arena_bytes: int | None) -> str:
    """Return the size of the TFLM arena as text."""
    if tflm_arena_bytes is None:
        return "not measured"
    return f"{tflm_arena_bytes:,} bytes of working memory in TFLM"


def two_columns() -> Table:
    """Return an empty table: names and texts."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table
