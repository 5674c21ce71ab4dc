"""``harken record``: words and a name in, recordings for ``harken train`` out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import AudioError, DataError, HarkenError
from ...sound.microphone import Microphone
from ..display import notes
from ..lines import warn
from ..options import ChannelOption, DeviceOption, JsonOption, device_of, path_of
from ..streams import print_json
from .clips import RATE_HZ
from .names import BadNameError, check_word, pseudonym, speaker_folder
from .player import Player
from .record import Plan, Progress, duration, record, record_noise
from .takes import Tape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...sound.sources import Source

_NOISE_S = 40.0  # longer than 30 s, so that training can split it into three parts


def record_command(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD…", help="The words to record.")
    ] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            parser=path_of,
            help="Folder of recordings; existing ones are kept.",
        ),
    ],
    speaker: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who speaks: the name of the folder inside each word's folder, in lower case. "
            "Use the same name for the same person, so that training can keep speakers "
            "apart.",
        ),
    ] = None,
    anonymous: Annotated[
        bool,
        typer.Option(
            "--anonymous",
            help="Write eight digits instead of the name. They stay the same the next time, and "
            "nobody can compute them without the hidden file .speaker-salt in DIR.",
        ),
    ] = False,
    clips: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of recordings per word.")
    ] = 10,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=3.0,
            metavar="S",
            help="Length of a recording, with the word in the middle.",
        ),
    ] = 1.0,
    noise: Annotated[
        bool,
        typer.Option("--noise", help="Record background noise first, into _background_noise_."),
    ] = False,
    noise_s: Annotated[
        float,
        typer.Option(
            "--noise-seconds",
            min=1.0,
            max=3600.0,
            metavar="S",
            help="Length of the noise recording.",
        ),
    ] = _NOISE_S,
    play: Annotated[bool, typer.Option("--play", help="Play each recording back.")] = False,
    device: DeviceOption = None,
    channel: ChannelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record words for training: one second each, ten in less than a minute.

    harken asks for each word with a countdown, finds it, checks its level, and saves it at once.
    Ctrl-C stops at any time; the same command continues with what is missing.
    """
    named = _named(words or [], speaker, noise=noise)
    plan = Plan(
        out=out,
        speaker=_speaker(speaker, out, anonymous=anonymous) if named else "",
        words=named,
        clips=clips,
        seconds=seconds,
    )
    _require_folder(out)
    progress = Progress(todo=sum(plan.missing().values()))
    if progress.todo or noise:
        _record(plan, progress, device, channel, noise_s=noise_s if noise else 0.0, play=play,
                as_json=as_json)  # fmt: skip
    _finish(plan, progress, as_json=as_json)


def _record(
    plan: Plan,
    progress: Progress,
    device: str | None,
    channel: int | None,
    *,
    noise_s: float,
    play: bool,
    as_json: bool,
) -> None:
    """Record from the microphone; if interrupted, say how to continue."""
    say = notes().print
    player = _player() if play else None
    with Microphone(device_of(device), channel=channel, sample_rate_hz=RATE_HZ) as source:
        source.on_notice = warn
        say(f"From {source.description}, into {plan.out}; Ctrl-C ends it.", soft_wrap=True)
        try:
            _run(plan, progress, source, player, noise_s=noise_s)
        except KeyboardInterrupt:
            say()  # the terminal shows ^C on this line
            _finish(plan, progress, as_json=as_json)
            raise typer.Exit(130) from None
        except HarkenError:
            _finish(plan, progress, as_json=as_json)
            raise


def _run(
    plan: Plan, progress: Progress, source: Source, player: Player | None, *, noise_s: float
) -> None:
    say = notes().print
    tape = Tape(iter(source))
    if noise_s:
        record_noise(plan, tape, progress, noise_s, say=say)
    if progress.todo:
        who = f"{progress.todo} recordings by {plan.speaker}"
        say(f"{who}, about {duration(progress.left_s)}. Say each word after “now”.")
        record(plan, tape, progress, say=say, player=player)


def _player() -> Player | None:
    try:
        return Player(RATE_HZ)
    except AudioError as problem:
        warn(f"{problem}; nothing is played back")
        return None


def _finish(plan: Plan, progress: Progress, *, as_json: bool) -> None:
    """Report the recordings, and the next step."""
    if as_json:
        print_json(progress.to_dict(plan), indent=2)
    say = notes().print
    pace = "" if progress.clip_s is None else f", {progress.clip_s:.1f} s each"
    say(f"{progress.done} recorded{pace}, {progress.repeated} repeated", soft_wrap=True)
    there = ", ".join(f"{word} {count}" for word, count in plan.there().items())
    if there:
        say(f"{plan.out} has from {plan.speaker}: {there}", soft_wrap=True)
    if any(plan.missing().values()):
        say("run the same command to continue with what is missing")
    elif plan.words:
        words = ",".join(plan.words)
        train = ["harken", "train", str(plan.out), "--words", words, "--out", "RUN"]
        say(f"complete; train with: {shlex.join(train)}", soft_wrap=True)


def _named(words: Sequence[str], speaker: str | None, *, noise: bool) -> tuple[str, ...]:
    """Check the words and the speaker."""
    if not words and not noise:
        raise typer.BadParameter("give words to record, or --noise", param_hint="WORD")
    if words and speaker is None:
        raise typer.BadParameter("say who speaks, as in --speaker anna", param_hint="--speaker")
    try:
        return tuple(dict.fromkeys(check_word(word) for word in words))
    except BadNameError as problem:
        raise typer.BadParameter(str(problem), param_hint="WORD") from None


def _speaker(name: str | None, out: Path, *, anonymous: bool) -> str:
    try:
        slug = speaker_folder("" if name is None else name)
        if not anonymous:
            return slug
        _require_folder(out)
        return pseudonym(slug, out)
    except BadNameError as problem:
        raise typer.BadParameter(str(problem), param_hint="--speaker") from None


def _require_folder(out: Path) -> None:
    """Create the folder of recordings."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        reason = "it is a file, or inside one" if out.exists() else problem.strerror
        raise DataError(
            f"cannot record into {out}: {reason}; choose a folder that you can write to"
        ) from None
