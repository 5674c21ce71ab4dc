"""Draw `listen.svg`, what ``harken listen`` looks like: ``python docs/make_screenshot.py``.

Nothing in it is drawn by hand: the command listens to the shipped recording in a terminal of tmux,
and what that terminal shows as soon as "right" was heard is the picture.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harken.edge.app.listen_cli import DEMO
from harken.edge.files import write_atomic

COLUMNS, LINES = 100, 28
ARGUMENTS = ("listen", "--grammar", "robot", "--wav", DEMO.name, "--realtime")
MOMENT = r"\bright +\d+%"
PATIENCE_S = 60.0


def main() -> None:
    if shutil.which("tmux") is None:
        sys.exit("tmux is not installed; on Debian: sudo apt-get install tmux")
    with terminal() as tmux:
        screen = wait_for(tmux, MOMENT)
    paper = Console(record=True, width=COLUMNS, file=io.StringIO())
    paper.print(Text.from_ansi(screen.rstrip("\n")))
    svg = paper.export_svg(title=f"harken {' '.join(ARGUMENTS)}", unique_id="harken")
    # The font is that of who looks at it: a picture fetches nothing.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    write_atomic(Path(__file__).with_name("listen.svg"), svg)


@contextmanager
def terminal() -> Iterator[list[str]]:
    """Run the command in a terminal of its own, and yield how to talk to that terminal."""
    tmux = ["tmux", "-f", "/dev/null", "-L", "harken-screenshot"]
    command = shlex.join([sys.executable, "-m", "harken", *ARGUMENTS])
    size = ("-x", str(COLUMNS), "-y", str(LINES))
    subprocess.run([*tmux, "new-session", "-d", *size, "-c", str(DEMO.parent), command], check=True)
    try:
        yield tmux
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def wait_for(tmux: list[str], pattern: str) -> str:
    """Return what the terminal shows, with its colours, as soon as a pattern is found in it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        shown = subprocess.run(
            [*tmux, "capture-pane", "-p", "-e"], check=True, capture_output=True, text=True
        ).stdout
        if re.search(pattern, Text.from_ansi(shown).plain):
            return shown
        time.sleep(0.05)
    sys.exit(f"the terminal never showed {pattern!r}; last it showed:\n{shown}")


if __name__ == "__main__":
    main()
