"""Lines in, the lowest lines of a terminal out: drawn in place, while other lines scroll above.

Why not `rich.live.Live`: it leaves the cursor below what it drew and finds the top again by
counting lines. If the terminal becomes narrower, or a program of ``--exec`` prints something,
the count is wrong, and parts of earlier drawings remain. Here the cursor waits above, at the
beginning of an empty line: other output lands there and remains readable, and the drawing
is below it, however the terminal rewraps lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderHook
from rich.control import Control
from rich.segment import ControlType, Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import ConsoleOptions, ConsoleRenderable, RenderResult

    Draw = Callable[[int, int], list[list[Segment]]]

_RETURN = Control(ControlType.CARRIAGE_RETURN)
_ERASE_RIGHT = Control((ControlType.ERASE_IN_LINE, 0))
# ECMA-48's ED: erase to the end of the screen. Rich has no name for it; this control code makes
# rich treat the text as zero cells wide.
_ERASE_BELOW = Control()
_ERASE_BELOW.segment = Segment("\x1b[J", None, [(ControlType.CLEAR,)])


class Footer(RenderHook):
    """The live area of a console; the cursor waits at its top.

    Parameters
    ----------
    console : Console
        A terminal. Everything printed through it scrolls above the area.
    draw : callable
        Takes the terminal's width and height, returns the lines of the area: segments without line
        ends, no wider than that, and fewer lines.
    """

    def __init__(self, console: Console, draw: Draw) -> None:
        self._console = console
        self._draw = draw
        self._can_draw = console.is_terminal and not console.is_dumb_terminal
        self._drawn = False

    def show(self, above: Sequence[ConsoleRenderable] = ()) -> None:
        """Draw or redraw the area, and print something above it.

        On a terminal that cannot move its cursor, only the latter is printed.
        """
        if self._can_draw and not self._drawn:
            self._drawn = True
            self._console.show_cursor(False)
            self._console.push_render_hook(self)
        if above or self._drawn:
            self._console.print(Group(*above) if above else Control())

    def close(self, above: Sequence[ConsoleRenderable] = ()) -> None:
        """Remove the area, leave a few last lines in its place, and show the cursor."""
        with self._console:
            if self._drawn:
                self._drawn = False
                self._console.pop_render_hook()
                self._console.control(_RETURN, _ERASE_BELOW)
                self._console.show_cursor(True)
            if above:
                self._console.print(Group(*above))

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Append the area to printed output; called by rich."""
        if all(isinstance(each, Control) for each in renderables):
            return [_RETURN, *renderables, self]
        return [_RETURN, _ERASE_BELOW, *renderables, self]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.size
        # Not the last column: after a character there, terminals differ in where the cursor is.
        lines = self._draw(width - 1, height)[: height - 1]
        # Each line overwrites the previous one, so nothing flickers.
        yield _ERASE_RIGHT.segment
        for line in lines:
            yield Segment.line()
            yield from line
            yield _ERASE_RIGHT.segment
        yield _ERASE_BELOW.segment
        if lines:
            yield Control((ControlType.CURSOR_UP, len(lines))).segment
        yield _RETURN.segment
