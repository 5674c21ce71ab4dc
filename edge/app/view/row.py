"""Texts and bars in, a terminal line out, as segments that rich writes unchanged.

`rich.text.Text` supports wrapping and justification, and takes several times as long,
which matters on a small computer that draws five times a second while listening.
"""

from __future__ import annotations

from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

DIM = Style(dim=True)
BOLD = Style(bold=True)
GOOD = Style(color="green")
GOOD_BOLD = Style(color="green", bold=True)
RECALLED = Style(color="cyan")
CAUTION = Style(color="yellow")
BAD = Style(color="red")
# Foreground and background colours, so that they are readable on light and dark terminals.
CAUTION_BADGE = Style(color="black", bgcolor="yellow")
BAD_BADGE = Style(color="white", bgcolor="red", bold=True)

_FULL, _HALF, _EMPTY, _MARK_PASSED, _MARK = "━", "╾", "─", "╋", "┼"

_ASCII = str.maketrans(
    {_FULL: "=", _HALF: "-", _EMPTY: ".", _MARK_PASSED: "#", _MARK: "|"}
    | {"−": "-", "·": "|", "…": "~", "“": '"', "”": '"', "×": "x"}
)


class Row:
    """A line, filled from left to right."""

    __slots__ = ("_segments", "cells")

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self.cells = 0
        """Its width so far."""

    def add(self, text: str, style: Style | None = None) -> Self:
        """Append a text without line ends or control characters."""
        if text:
            self._segments.append(Segment(text, style))
            self.cells += cell_len(text)
        return self

    def to(self, cell: int) -> Self:
        """Append spaces up to a cell."""
        return self.add(" " * (cell - self.cells))

    def indented(self, cells: int) -> Row:
        """Return the row indented by a number of spaces."""
        row = Row().to(cells)
        row._segments += self._segments
        row.cells += self.cells
        return row

    def bar(
        self,
        cells: int,
        share: float,
        style: Style | None = None,
        *,
        held: float = 0.0,
        mark: float | None = None,
    ) -> Self:
        """Append a bar.

        Parameters
        ----------
        cells : int
            Its length.
        share : float
            Filled share, in 0..1.
        style : Style, optional
            Style of the filled part.
        held : float
            Peak fill of the recent past, in 0..1.
        mark : float, optional
            Position of a mark, in 0..1; it is drawn as passed from exactly there on.
        """
        halves = _halves(share, cells)
        if mark is None:
            return self._run(0, cells, halves, style, held)
        at = min(int(mark * cells), cells - 1)
        passed = share >= mark
        halves = max(halves, 2 * at + 2) if passed else min(halves, 2 * at)
        self._run(0, at, halves, style, held)
        self.add(_MARK_PASSED if passed else _MARK, style if passed else DIM)
        return self._run(at + 1, cells, halves, style, held, of=cells)

    def _run(
        self,
        first: int,
        end: int,
        halves: int,
        style: Style | None,
        held: float,
        *,
        of: int | None = None,
    ) -> Self:
        """Append a range of a bar's cells; the bar is filled by `halves` half cells."""
        full = at = min(max(halves // 2, first), end)
        held_end = min(max(_halves(held, of or end) // 2, full), end)
        self.add(_FULL * (full - first), style)
        if halves % 2 and first <= halves // 2 < end:
            self.add(_HALF if held_end <= full + 1 else _FULL, style)
            at += 1
        held_end = max(held_end, at)
        self.add(_FULL * (held_end - at), DIM)
        return self.add(_EMPTY * (end - held_end), DIM)

    def fit(self, width: int, *, ascii_only: bool = False) -> list[Segment]:
        """Return the segments, cut to a width."""
        line = Segment.adjust_line_length(self._segments, width, pad=False)
        if ascii_only:
            # Foreign text, such as a word of the model, may not be printable.
            line = [
                Segment(text.translate(_ASCII).encode("ascii", "replace").decode("ascii"), style)
                for text, style, _ in line
            ]
        return line


def shortened(text: str, cells: int) -> str:
    """Return a text on one line, cut to a width with an ellipsis."""
    text = " ".join(text.split())
    if not text.isprintable():  # a device name may contain anything
        text = "".join(character for character in text if character.isprintable())
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, cells - 1).rstrip() + "…" if cells > 0 else ""


def _halves(share: float, cells: int) -> int:
    return round(2 * cells * min(max(share, 0.0), 1.0))
