"""``harken synth``: words in, recordings by synthetic voices out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...edge.app.options import JsonOption, path_of
from ...edge.app.streams import print_json
from ...edge.sound.sources import SAMPLE_RATE_HZ as RATE_HZ
from ..display import progress_bar
from ..ending import exit_code, terminable
from ..options import SeedOption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .make import Listener

KokoroModelOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Kokoro's ONNX file, if no package provides it."),
]
KokoroVoicesOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Kokoro's voices: VOICE.bin files, or one file of all."),
]


def synth_command(
    words: Annotated[
        list[str],
        typer.Argument(metavar="WORD…", help="Words to say; _ stands for a space."),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            parser=path_of,
            help="Folder to write WORD/VOICE_nohash_K.flac to.",
        ),
    ],
    engine: Annotated[
        str,
        typer.Option(
            metavar="ENGINE",
            help="kokoro, piper, or a command line with {wav}, and either {text} or the text on "
            "standard input; {voice}, {speed}, {stretch} (1/speed) and {wpm} are filled in, too.",
        ),
    ] = "kokoro",
    voices: Annotated[
        str | None,
        typer.Option(
            metavar="VOICE,…",
            help="Voices to use. Default for kokoro: 15 English ones. For piper: its files, "
            "NAME.onnx.",
        ),
    ] = None,
    per_voice: Annotated[
        int, typer.Option(min=1, metavar="N", help="Takes per word and voice.")
    ] = 4,
    kokoro_model: KokoroModelOption = None,
    kokoro_voices: KokoroVoicesOption = None,
    teachers: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep only clips in which these teachers recognize the word."
        ),
    ] = None,
    least: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, metavar="P", help="How confident the teachers must be."),
    ] = 0.5,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Have synthetic voices say words, for training.

    Speed, pitch, level and punctuation vary between takes. Ctrl-C keeps finished work, and the
    same command continues from there: existing files are not made again.
    """
    from ...edge.app.display import notes
    from ..options import listed
    from .engines import engine_of
    from .make import RECORD_FILE, Collection, folder_of, make, summary

    for word in words:
        folder_of(word)  # report bad words before loading anything
    chosen = engine_of(
        engine,
        listed(voices, "--voices") or (),
        kokoro_model=kokoro_model,
        kokoro_voices=kokoro_voices,
    )
    collection = Collection(out)
    try:
        with terminable(), progress_bar("speaking") as progress:
            names = make(
                words,
                chosen,
                collection,
                per_voice=per_voice,
                seed=seed,
                listener=None if teachers is None else listener_of(teachers),
                least=least,
                progress=progress,
            )
    except KeyboardInterrupt as problem:
        notes().print(
            f"stopped; {out} keeps finished work, and the same command continues from there",
            soft_wrap=True,
        )
        raise typer.Exit(exit_code(problem)) from None
    found = summary(collection, names)
    others = len(words) * len(chosen.voices) * per_voice - len(names)
    if others:
        notes().print(
            f"existing files that are not in {out / RECORD_FILE}: {others}; they were left alone "
            "and not checked",
            soft_wrap=True,
        )
    if as_json:
        print_json({"out": str(out), "engine": chosen.name, **found}, indent=2)
        return
    for voice, tally in found["voices"].items():
        made = sum(tally.values())
        if tally["kept"] < made:
            notes().print(
                f"{voice}: {tally['kept']} of {made} kept, {tally['unheard']} not recognized as "
                f"the word, {tally['silent']} silent",
                soft_wrap=True,
            )
    for word, tally in found["words"].items():
        if not tally["kept"]:
            notes().print(f"no voice said {word!r} intelligibly", soft_wrap=True)
    print(f"{out}: {found['kept']} of {found['clips']} clips kept, engine {chosen.name}")


def listener_of(folder: Path) -> Listener:
    """Return a listener made of the teachers in a folder; see `open_teachers` for the errors.

    Of clips longer than the one second that teachers process, the middle is used.
    """
    from ..teachers import open_teachers, probability_of

    teachers = open_teachers(folder)

    def hear(audio: list[NDArray[np.int16]], word: str) -> Sequence[float]:
        middles = [clip[max(0, len(clip) - RATE_HZ) // 2 :][:RATE_HZ] for clip in audio]
        return [float(value) for value in probability_of(teachers, middles, word)]

    return hear
