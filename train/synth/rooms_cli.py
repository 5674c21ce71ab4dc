"""``harken rooms``: a number of rooms in, a folder of their impulse responses out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ...edge.app.options import JsonOption, path_of
from ...edge.app.streams import print_json
from ..display import progress_bar
from ..options import SeedOption


def rooms_command(
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", parser=path_of, help="Folder to write to; must be new or empty."
        ),
    ],
    count: Annotated[int, typer.Option(min=1, max=100_000, help="Number of rooms.")] = 100,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Simulate rooms: impulse responses for training.

    The rooms are boxes of 2 × 2 × 2.2 to 10 × 8 × 4 m with a reverberation time of 0.15 to 0.9 s,
    and 0.3 to 5 m from source to microphone. The same seed gives the same files.
    """
    from .folder import RECORD_FILE, write_rooms

    with progress_bar("simulating") as progress:
        written = write_rooms(out, count=count, seed=seed, progress=progress)
    if as_json:
        rooms = [file.to_dict() for file in written]
        print_json({"out": str(out), "seed": seed, "rooms": rooms}, indent=2)
        return
    print(f"{out}: {len(written)} rooms; {shlex.quote(str(out / RECORD_FILE))} describes them")
