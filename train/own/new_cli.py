"""``harken new``: words in, a model of them out."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...edge.app.options import JsonOption, path_of
from ...edge.app.streams import print_json
from ...edge.errors import DataError
from ...edge.files import require_writable
from ...edge.spotting.manifest import MODEL_NAME
from ..display import Stages
from ..ending import exit_code, terminable
from ..options import SeedOption
from ..synth.synth_cli import KokoroModelOption, KokoroVoicesOption

if TYPE_CHECKING:
    from .material import Material
    from .new import NewModel, Request
    from .voices import Speaker

_FEW_RECORDINGS = 5


def new_command(
    words: Annotated[
        list[str],
        typer.Argument(metavar="WORD…", help="Words to recognize; put a phrase in quotes."),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            parser=path_of,
            help="Folder for the model and all intermediate files.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model. [the folder's name]")
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Recordings of people, one folder per word, as `harken record` makes them; five"
            " of each word help, twenty help more.",
        ),
    ] = None,
    spelling: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD=TEXT",
            help="What voices should read if they mispronounce a word; may be given several times, "
            "also for the same word.",
        ),
    ] = None,
    language: Annotated[
        str,
        typer.Option(
            metavar="CODE,…",
            help="Languages of espeak-ng's voices; `espeak-ng --voices` lists them.",
        ),
    ] = "en",
    unchecked: Annotated[
        bool,
        typer.Option("--unchecked", help="Use clips that sound like another word as they are."),
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Weights to start from: phrases, commands, commands-tiny, or a file of them "
            "(NAME.base.npz). [commands if a word has fewer than four sounds, else phrases]",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Use only this engine: kokoro, piper, or a program with {wav}, {text} and "
            "optionally {voice}, {speed}, {stretch}, {wpm}; see `harken synth`. [espeak-ng, flite "
            "and Kokoro, as far as installed]",
        ),
    ] = None,
    voices: Annotated[
        str | None, typer.Option(metavar="VOICE,…", help="With --engine: voices to use.")
    ] = None,
    kokoro_model: KokoroModelOption = None,
    kokoro_voices: KokoroVoicesOption = None,
    fa_per_hour: Annotated[
        float,
        typer.Option(
            min=0.01, metavar="RATE", help="False accepts per hour of speech that are allowed."
        ),
    ] = 0.5,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Training epochs. [4; more for more than five words, 24 for ten]",
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Make a model of words for which there are no recordings, or only a few.

    Synthetic voices speak the words and words that sound similar; training starts from a shipped
    model. This takes some minutes on two cores. Ctrl-C keeps finished work, and the same command
    continues from there.
    """
    from ..cli import _require_train, _start_tensorflow
    from ..options import listed
    from .material import checked_spellings, checked_words
    from .voices import speakers

    _require_train()
    chosen_name = out.resolve().name if name is None else name
    if not MODEL_NAME.fullmatch(chosen_name):
        raise typer.BadParameter(
            f"{chosen_name!r} cannot be a model's name; it must be made of letters, digits, '_', "
            "'-' and '.'",
            param_hint="--name",
        )
    languages = tuple(listed(language, "--language") or ())
    stages = Stages()
    try:
        with terminable(), stages:
            named = checked_words(words)
            read = checked_spellings(spelling or (), named)
            require_writable(out, error=DataError)
            stages.stage("looking for voices")
            speaking = speakers(
                command=engine,
                voices=listed(voices, "--voices") or (),
                kokoro_model=kokoro_model,
                kokoro_voices=kokoro_voices,
                languages=languages,
            )
            stages.stage("starting TensorFlow")
            _start_tensorflow()
            from .new import Request, epochs_for, expectation_lines

            request = Request(
                words=named,
                name=chosen_name,
                epochs=epochs or epochs_for(named),
                seed=seed,
                fa_per_hour=fa_per_hour,
                recordings=None if recordings is None else str(recordings),
                languages=languages,
                spellings=read,
                checked=not unchecked,
                voices=_voices(speaking),
            )
            found = _make(request, base, out, speaking, stages)
    except KeyboardInterrupt as problem:
        _tell_stopped(out, stages.where)
        raise typer.Exit(exit_code(problem)) from None
    if as_json:
        print_json(found.to_dict(), indent=2)
        return
    for line in expectation_lines(found)[2:]:
        if line:
            print(line)
    manifest = found.model.path.with_suffix(".json")
    print(f"{found.model.path}: {found.model.manifest.model.bytes:,} bytes")
    print(f"Next: harken listen {shlex.quote(str(manifest))}")


def _make(
    request: Request, base: str | None, out: Path, speaking: list[Speaker], stages: Stages
) -> NewModel:
    """Say what is hard about the words, then make a model of them from the base that suits."""
    from ...edge.app.display import notes
    from ..base import load_base
    from .new import advice_on, known_already, make_model
    from .shipped import PHRASES, SHORT_WORDS, base_file, pack_file

    stages.stage("looking at the words")
    pack = pack_file()
    advice = advice_on(request.words, pack)
    short = any(each.problem == "short" for each in advice)
    request = replace(request, base=base or (SHORT_WORDS if short else PHRASES))
    start = load_base(base_file(request.base))
    for each in advice:
        notes().print(each.text, soft_wrap=True)
    for word in known_already(request.words, start):
        notes().print(
            f"{word!r} is a word of {start.name}, trained on thousands of recordings: `harken "
            f"listen {start.name}` detects it better; this model keeps what {start.name} learned, "
            "and adds voices",
            soft_wrap=True,
        )
    return make_model(
        request,
        out,
        base=start,
        pack=pack,
        speakers=speaking,
        advice=advice,
        on_stage=stages.stage,
        on_count=stages.count,
        on_material=_tell,
        on_batch=stages.batch,
    )


def _tell_stopped(out: Path, where: str) -> None:
    """Say what is kept of the work, and how to go on."""
    from ...edge.app.display import notes
    from .material import STATE_FILE

    if (out / STATE_FILE).exists():
        kept = f"{out} keeps finished work, and the same command continues from there"
    else:
        kept = "nothing was made yet; the same command begins anew"
    notes().print(f"stopped at: {where}; {kept}", soft_wrap=True)


def _tell(material: Material) -> None:
    """Say which clips and recordings are not used."""
    from ...edge.app.display import notes

    for word, tally in material.spoken.items():
        if tally.kept < tally.made:
            notes().print(
                f"{word.replace('_', ' ')}: {tally.kept} of {tally.made} synthetic clips kept, "
                f"{tally.unheard} sound like another word, {tally.silent} are silent",
                soft_wrap=True,
            )
    for path, other in material.left_out.items():
        sounds = f"it sounds like {other.replace('_', ' ')!r}" if other else "it holds no word"
        notes().print(f"{path} is left out: {sounds}", soft_wrap=True)
    for folder, other in material.accents.items():
        notes().print(
            f"{folder}: its recordings sound like {other.replace('_', ' ')!r}, and are used as an "
            "accent, because another speaker's sound like the word; remove them if they are not",
            soft_wrap=True,
        )
    for word, count in material.recorded.items():
        if count < _FEW_RECORDINGS:
            notes().print(
                f"{word.replace('_', ' ')}: {count} recording{'s' * (count != 1)}; it is learned "
                f"mostly from voices, and {_FEW_RECORDINGS} recordings of each word help far more",
                soft_wrap=True,
            )


def _voices(speaking: list[Speaker]) -> tuple[str, ...]:
    return tuple(
        f"{speaker.engine.name}: {len(speaker.engine.voices)} voices, {speaker.takes} takes"
        for speaker in speaking
    )
