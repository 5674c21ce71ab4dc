"""Draw `demo.svg`, what `make demo` shows, moving: ``python docs/make_demo_picture.py``.

Nothing in it is drawn by hand: the command listens to the shipped recording in a pseudo-terminal,
`pyte` reads what it writes there, and the picture shows that screen a few times a second. The
frames stand below one another, and one animation in CSS moves them past the window.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
import time
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path

import pyte
import pyte.screens

from harken.edge.app.listen_cli import DEMO
from harken.edge.files import write_atomic

COLUMNS, LINES = 80, 24
ARGUMENTS = ("listen", "--grammar", "robot", "--wav", DEMO.name, "--realtime")
TITLE = "harken listen --demo"
FRAME_S = 0.3  # between two frames; of the screens in between, nothing is shown
PAUSE_S = 3.0  # for which the last frame stays
STILL_S = 6.0  # the frame for those who want no motion: a command from memory is on it

CELL_W, CELL_H = 8.4, 18.0
MARGIN, BAR = 12.0, 28.0
GROUND, FRAME, TEXT = "#10151c", "#1b222c", "#d5dce5"
COLOURS = {
    "black": "#3b4452", "red": "#ff7b72", "green": "#5fd38d", "brown": "#e3b341",
    "blue": "#6cb6ff", "magenta": "#d2a8ff", "cyan": "#56d4dd", "white": TEXT,
    "brightblack": "#6b7685", "default": TEXT,
}  # fmt: skip

DIM, GREY = b"\x1b[2m", b"\x1b[90m"
"""Pyte knows no dim text; grey is what most terminals make of it."""

Row = tuple[tuple[str, str, bool], ...]
"""Runs of one colour from the left: text, colour, whether bold."""


def main() -> None:
    frames = list(sampled(screens()))
    write_atomic(Path(__file__).with_name("demo.svg"), svg(frames))


def screens() -> Iterator[tuple[float, list[Row]]]:
    """Run the command, and yield seconds and screen each time that it has written something."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(DEMO.parent)
        os.environ.update(TERM="xterm-256color", PYTHONPATH=os.pathsep.join(sys.path))
        os.execv(sys.executable, [sys.executable, "-m", "harken", *ARGUMENTS])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    began = None
    while True:
        try:
            written = os.read(terminal, 1 << 16)
        except OSError:  # how Linux says that the other side was closed
            written = b""
        if not written:
            break
        stream.feed(written.replace(DIM, GREY))
        began = began if began is not None else time.monotonic()
        yield time.monotonic() - began, [row(screen.buffer[line]) for line in range(LINES)]
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit("the command failed; last it showed:\n" + "\n".join(screen.display))


def row(line: pyte.screens.StaticDefaultDict[int, pyte.screens.Char]) -> Row:
    """Return a line of the terminal as runs of one colour, without what is blank at its end."""
    cells = [line[column] for column in range(COLUMNS)]
    while cells and cells[-1].data == " ":
        cells.pop()
    return tuple(
        ("".join(cell.data for cell in run), colour, bold)
        for (colour, bold), run in groupby(cells, key=lambda cell: (hue(cell.fg), cell.bold))
    )


def hue(colour: str) -> str:
    """Return a colour of the terminal as CSS has it."""
    return COLOURS.get(colour, f"#{colour}")


def sampled(screens: Iterator[tuple[float, list[Row]]]) -> Iterator[list[Row]]:
    """Yield the screen every `FRAME_S` seconds, and the last one."""
    shown: list[Row] = [()] * LINES
    count = 0
    for seconds, screen in screens:
        while count * FRAME_S < seconds:
            yield shown
            count += 1
        shown = screen
    yield shown


def svg(frames: list[list[Row]]) -> str:
    """Return the moving picture: each line that occurs once, and the frames that use them."""
    width, height = COLUMNS * CELL_W + 2 * MARGIN, LINES * CELL_H + MARGIN
    names = {line: f"r{number}" for number, line in enumerate({r: 0 for f in frames for r in f})}
    lines = "".join(
        f'<text id="{name}">{"".join(spans(line))}</text>\n' for line, name in names.items() if line
    )
    film = "".join(
        f'<g transform="translate(0 {number * height:g})">'
        + "".join(
            f'<use href="#{names[line]}" y="{(place + 1) * CELL_H - 5:g}"/>'
            for place, line in enumerate(frame)
            if line
        )
        + "</g>\n"
        for number, frame in enumerate(frames)
    )
    whole_s = (len(frames) - 1) * FRAME_S + PAUSE_S
    steps = "".join(
        f"{100 * number * FRAME_S / whole_s:.2f}%{{transform:translateY({-number * height:g}px)}}"
        for number in range(len(frames))
    )
    still = -round(STILL_S / FRAME_S) * height
    dots = "".join(
        f'<circle cx="{MARGIN + 6 + 18 * number:g}" cy="{BAR / 2:g}" r="5" fill="#46505e"/>'
        for number in range(3)
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height + BAR:g}">
<title>{TITLE}</title>
<style>
text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;\
fill:{TEXT};white-space:pre}}
.b{{font-weight:bold}}
.film{{transform:translateY({still:g}px);\
animation:film {whole_s:g}s step-end -{FRAME_S:g}s infinite}}
@keyframes film{{{steps}}}
@media(prefers-reduced-motion:reduce){{.film{{animation:none;transform:translateY({still:g}px)}}}}
</style>
<rect width="{width:g}" height="{height + BAR:g}" rx="8" fill="{GROUND}"/>
<path d="M0 {BAR:g}V8a8 8 0 0 1 8-8h{width - 16:g}a8 8 0 0 1 8 8v{BAR - 8:g}z" fill="{FRAME}"/>
{dots}
<text x="{width / 2:g}" y="{BAR / 2 + 5:g}" text-anchor="middle">{TITLE}</text>
<defs>
{lines}</defs>
<svg x="{MARGIN:g}" y="{BAR:g}" width="{COLUMNS * CELL_W:g}" height="{height:g}">
<g class="film">
{film}</g>
</svg>
</svg>
"""


def spans(line: Row) -> Iterator[str]:
    """Yield the parts of a line, each as wide as it is in a terminal, whatever the font."""
    column = 0
    for text, colour, bold in line:
        for blank, run in groupby(words(text), key=str.isspace):
            piece = "".join(run)
            if not blank:
                style = ("" if colour == TEXT else f' fill="{colour}"') + (
                    ' class="b"' if bold else ""
                )
                yield (
                    f'<tspan x="{column * CELL_W:g}" textLength="{len(piece) * CELL_W:g}"'
                    f"{style}>{escape(piece, quote=False)}</tspan>"
                )
            column += len(piece)


def words(text: str) -> Iterator[str]:
    """Yield a text cut where two blanks or more follow one another; one blank stays within."""
    pieces = text.split("  ")
    for number, piece in enumerate(pieces):
        if number:
            yield "  "
        if piece:
            inner = piece.strip(" ")
            before = len(piece) - len(piece.lstrip(" "))
            yield from ((" " * before, inner) if before else (inner,))
            if inner and (after := len(piece) - before - len(inner)):
                yield " " * after


if __name__ == "__main__":
    main()
