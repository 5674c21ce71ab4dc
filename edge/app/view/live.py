"""Blocks of audio and the words in them in, a live view in a terminal out.

Words and commands scroll above, as lines from `harken.edge.app.display`. Below, in
place, is the live area: level, evidence, memory, and how well this computer keeps up.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Self

from rich.text import Text

from ..display import event_line, notice_line, turn_line, wake_line
from .evidence import EvidenceBars
from .footer import Footer
from .level import FLOOR_DBFS, Fault, LevelMeter
from .recall import memory_rows
from .row import BAD_BADGE, BOLD, CAUTION, CAUTION_BADGE, DIM, GOOD, Row, shortened

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.segment import Segment
    from rich.style import Style

    from ...memory.memory import Memory
    from ...sound.sources import Source
    from ...spotting.spotter import Spotter
    from ..listen import Heard

REFRESH_S = 0.2
"""Minimum time between frames."""

COST = 0.01
"""Maximum share of a core for drawing; a slow computer draws fewer frames."""

_LINES_S = 0.05  # the same if there are words to print

_NOTICE_S = 5.0  # a notice is removed after this much audio

_LEAST_MISSING_S = 0.005  # less is rounding, and would show as 0.00

_LINES_LEFT = 8  # of the terminal, for words and commands
_LEAST_LINES = 6  # for the live area; on a small terminal, fewer other lines remain visible
_LEAST_BAR_ROWS = 2
_MARGIN = 1
_LABEL_CELLS = 11

_METER_CELLS = 50
_METER_TEXT_CELLS = 20
_METER_FROM_DBFS = -60.0
_LOUD_DBFS = -3.0


class LiveView:
    """An `harken.edge.app.listen.Observer` for a user at a terminal.

    On a terminal that cannot move its cursor, only the lines are printed.

    Parameters
    ----------
    spotter : Spotter
        The spotter; its model's words and current thresholds are drawn.
    source : Source
        The audio source, and how much audio it lost.
    memory : Memory, optional
        The spotter's context.
    console : Console
        The terminal; nothing is drawn before there is something to show.
    quiet : bool
        Show notices only in the live area, not as lines.

    Examples
    --------
    >>> with LiveView(spotter, source, memory=None, console=output()) as view:
    ...     Listener(spotter, source, observers=[view]).run()
    """

    def __init__(
        self,
        spotter: Spotter,
        source: Source,
        *,
        memory: Memory | None,
        console: Console,
        quiet: bool = False,
    ) -> None:
        manifest = spotter.model.manifest
        self._rate_hz = manifest.front_end.sample_rate_hz
        self._source = source
        self._memory = memory
        self._quiet = quiet
        self._ascii_only = console.options.ascii_only
        self._title = manifest.name + (f" · {memory.grammar.name}" if memory is not None else "")
        self._level = LevelMeter(self._rate_hz)
        self._bars = EvidenceBars(
            manifest.labels, spotter.detector.thresholds, manifest.step_samples / self._rate_hz
        )
        self._samples = 0
        self._lost_samples = 0
        self._words = 0
        self._commands = 0
        self._notice = ""
        self._notice_until = 0  # samples processed
        self._lines: list[Text] = []  # to be printed
        self._thread_s_before: float | None = None
        self._drawn_at = -math.inf
        self._refresh_s = REFRESH_S
        self._footer = Footer(console, self._draw)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def heard(self, heard: Heard) -> None:
        """Handle the result of a block, and draw a frame if it is time."""
        if self._thread_s_before is None:
            self._thread_s_before = time.thread_time()
        self._samples += len(heard.samples)
        self._lost_samples += heard.lost_samples
        self._words += len(heard.events)
        self._commands += sum(len(turn.commands) for turn in heard.turns)
        self._level.feed(heard.samples)
        self._bars.feed(heard.evidence)
        self._lines += map(wake_line, heard.wakes)
        for event in heard.events:
            self._bars.heard(event.word)
            self._lines.append(event_line(event))
        self._lines += map(turn_line, heard.turns)
        wait_s = _LINES_S if self._lines else self._refresh_s
        if time.monotonic() >= self._drawn_at + wait_s:
            self._refresh()

    def notice(self, line: str) -> None:
        """Show a line at once, and in the live area until audio has come for a while."""
        if not self._quiet:
            self._lines.append(notice_line(line))
        self._notice = line
        self._notice_until = self._samples + round(_NOTICE_S * self._rate_hz)
        self._refresh()

    def close(self) -> None:
        """Remove the live area; the lines stay. May be called more than once."""
        self._footer.close(self._lines)
        self._lines = []

    def _refresh(self) -> None:
        """Print new lines, and draw the live area."""
        before_s = time.thread_time()
        self._footer.show(self._lines)
        self._lines = []
        cost_s = time.thread_time() - before_s
        self._drawn_at = time.monotonic()
        self._refresh_s = max(REFRESH_S, cost_s / COST)

    def _draw(self, width: int, height: int) -> list[list[Segment]]:
        """Return the live area, for `Footer`."""
        room = max(height - _LINES_LEFT, min(_LEAST_LINES, height - 1))
        rows = [row.fit(width, ascii_only=self._ascii_only) for row in self._rows(width, room)]
        return rows[:room]

    def _rows(self, width: int, room: int) -> list[Row]:
        """Return the rows of the live area, about as many as fit."""
        inner = width - 2 * _MARGIN
        head = [self._header(width), self._meter(inner), self._state(inner)]
        foot = [self._status(inner)]
        remembered: list[Row] = []
        if self._memory is not None:
            most = max(1, room - len(head) - len(foot) - _LEAST_BAR_ROWS)
            remembered = memory_rows(self._memory, inner, _LABEL_CELLS, most)
        left = room - len(head) - len(foot) - len(remembered)
        bars = self._bars.rows(inner, max(1, left))
        left -= len(bars)
        sections = [head, bars, remembered, foot]
        rows = []
        for number, section in enumerate(filter(None, sections)):
            if number and left > 0:
                rows.append(Row())
                left -= 1
            rows += section
        return [rows[0], *(row.indented(_MARGIN) for row in rows[1:])]

    def _header(self, width: int) -> Row:
        row = Row().add("── ", DIM).add(self._title, BOLD).add(" ── ", DIM)
        row.add(shortened(self._source.description, width - row.cells - 4), DIM).add(" ")
        return row.add("─" * (width - row.cells), DIM)

    def _meter(self, width: int) -> Row:
        rms_dbfs, peak_dbfs = self._level.rms_dbfs, self._level.peak_dbfs
        row = Row().add("level", BOLD).to(_LABEL_CELLS)
        cells = max(4, min(_METER_CELLS, width - _LABEL_CELLS - _METER_TEXT_CELLS))
        row.bar(
            cells,
            1 - rms_dbfs / _METER_FROM_DBFS,
            GOOD if peak_dbfs < _LOUD_DBFS else CAUTION,
            held=1 - peak_dbfs / _METER_FROM_DBFS,
        )
        return row.add(f"{_decibels(rms_dbfs):>5} dBFS").add(f"  peak {_decibels(peak_dbfs)}", DIM)

    def _state(self, width: int) -> Row:
        """Return the most important message."""
        if self._notice and self._samples < self._notice_until:
            return _badge("notice", CAUTION_BADGE, self._notice, width)
        self._notice = ""
        fault = self._level.fault()
        if fault is not None:
            style = CAUTION_BADGE if fault is Fault.TOO_QUIET else BAD_BADGE
            remedy = fault.remedy
            if len(fault.title) + len(remedy) + 4 > width:
                remedy = fault.short_remedy
            return _badge(fault.title, style, remedy, width)
        if self._memory is not None and self._memory.muted:
            return _badge("muted", CAUTION_BADGE, "words are ignored", width)
        if not self._samples:
            return Row().add("waiting for sound", DIM)
        return Row().add("listening", GOOD)

    def _status(self, width: int) -> Row:
        """Return how much was processed, how much was lost, and the load on this computer."""
        heard_s = self._samples / self._rate_hz
        losses = self._losses()
        parts = [
            (f"{_clock(heard_s)} heard", DIM),
            (losses or "nothing lost", CAUTION if losses else DIM),
        ]
        if self._thread_s_before is not None and heard_s:
            busy_s = time.thread_time() - self._thread_s_before
            parts.append((f"real-time factor {busy_s / heard_s:.3f}", DIM))
        counts = [_count(self._words, "word")]
        if self._memory is not None:
            counts.append(_count(self._commands, "command"))
        parts.append((", ".join(counts), DIM))
        row = Row()
        for text, style in parts:
            if row.cells + len(text) + 3 > width:
                break  # a truncated number would be wrong
            row.add(" · " if row.cells else "", DIM).add(text, style)
        return row

    def _losses(self) -> str:
        overflow = self._source.overflow
        parts = []
        if overflow.device:
            parts.append(_count(overflow.device, "xrun"))
        if overflow.queue:
            parts.append(f"{overflow.queue_s:.2f} s too slow")
        # Lost audio includes what the queue dropped; the rest never arrived.
        missing_s = self._lost_samples / self._rate_hz - overflow.queue_s
        if missing_s > _LEAST_MISSING_S:
            parts.append(f"{missing_s:.2f} s missing")
        return ", ".join(parts)


def _badge(title: str, style: Style, text: str, width: int) -> Row:
    row = Row().add(f" {title} ", style).add("  ")
    return row.add(shortened(text, width - row.cells))


def _decibels(level_dbfs: float) -> str:
    return f"{level_dbfs:.0f}".replace("-", "−") if level_dbfs > FLOOR_DBFS else "−∞"


def _clock(seconds: float) -> str:
    minutes, whole_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole_s:02}" if hours else f"{minutes}:{whole_s:02}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
