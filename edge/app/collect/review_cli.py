"""``harken review``: a folder of clips in, their marks out, for training and tuning."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import AudioError
from ..display import notes, output
from ..lines import warn
from ..options import JsonOption, path_of
from ..streams import print_json
from .clips import RATE_HZ, SUFFIX, Clip, ClipFolder, Contents
from .export import SCENES_FOLDER, Exported, export
from .marks import RIGHT, Mark, parse_mark
from .names import BadNameError, speaker_folder
from .player import Player
from .review import HELP, Review, clip_table, now

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENDED = "\x03\x04"  # Ctrl-C and Ctrl-D, from a terminal in raw mode


def review_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Clips that `harken listen --capture DIR` kept.")
    ],
    *,
    listed: Annotated[
        bool, typer.Option("--list", help="List the clips and their marks; ask nothing.")
    ] = False,
    mark: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE=MARK",
            help="Mark a clip without asking: right, wrong, speech, noise, skip, or the word "
            "that it was (word:right for a word with the name of a mark, new:WORD for one "
            "that the model lacks). May be repeated.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also ask about clips that are already marked.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="OUT",
            parser=path_of,
            help="Write reviewed clips as recordings and scenes for `harken train` and "
            "`harken tune`.",
        ),
    ] = None,
    speaker: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Speaker of the exported recordings: the name given to `harken record`, if it "
            "is the same person.",
        ),
    ] = "captured",
    mute: Annotated[bool, typer.Option("--mute", help="Play nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Listen to captured clips, and mark what they are; nothing leaves this machine.

    Each clip is played, and you press a key to mark it. Marks are saved at once: quit at any
    time, and the next review continues with the clips that have none.
    """
    clips = ClipFolder(folder)
    clips.require()
    contents = clips.read()
    for line in contents.problems:
        warn(line)
    try:
        slug = speaker_folder(speaker)
    except BadNameError as problem:
        raise typer.BadParameter(str(problem), param_hint="--speaker") from None
    for clip, given in _parsed(contents, mark or []):
        clips.mark(clip.file, given, time=now())
        notes().print(f"{clip.file}: {given}", soft_wrap=True)
    asks = not (listed or mark or out is not None or as_json)
    if asks:
        _ask(clips, contents, again=again, mute=mute)
    exported = None if out is None else export(clips, out, speaker=slug)
    contents = clips.read()
    if as_json:
        print_json(_to_dict(clips, contents, exported), indent=2)
        return
    if listed:
        output().print(clip_table(contents, contents.clips))
    if exported is not None and out is not None:
        _tell(exported, out)
    if exported is None:
        notes().print(_counts(contents), soft_wrap=True)


class _Terminal:
    """Single keys from a terminal; from any other input, the first character of each line."""

    def key(self) -> str | None:
        if not sys.stdin.isatty():
            line = sys.stdin.readline()
            return line.strip()[:1] or " " if line else None
        pressed = typer.getchar()
        return None if not pressed or pressed in _ENDED else pressed

    def line(self, question: str) -> str | None:
        notes().print(question, end="")
        return sys.stdin.readline() or None


def _ask(clips: ClipFolder, contents: Contents, *, again: bool, mute: bool) -> None:
    waiting = [clip for clip in contents.clips if again or clip.file not in contents.marks]
    if not waiting:
        return
    player = None
    if not mute:
        try:
            player = Player(RATE_HZ)
        except AudioError as problem:
            notes().print(f"Nothing is played: {problem}.", soft_wrap=True)
    notes().print(HELP)
    review = Review(
        clips,
        contents,
        keys=_Terminal(),
        say=lambda line: notes().print(line, soft_wrap=True),
        player=player,
    )
    try:
        review.run(waiting)
    except KeyboardInterrupt:
        notes().print()
        raise typer.Exit(130) from None
    finally:
        if review.marked < len(waiting):
            again_line = shlex.join(["harken", "review", str(clips.path)])
            notes().print(
                f"{review.marked} of {len(waiting)} marked; continue with: {again_line}",
                soft_wrap=True,
            )


def _parsed(contents: Contents, texts: Sequence[str]) -> list[tuple[Clip, Mark]]:
    """Return the marks to set, all checked first: either all are set or none."""
    by_file = {clip.file: clip for clip in contents.clips}
    known = contents.known_words()
    parsed = []
    for text in texts:
        file, equals, mark = text.rpartition("=")
        if not equals:
            raise typer.BadParameter(
                f"{text!r} must be FILE=MARK, as in 20260105T123456-789-0badcafe-00001=wrong",
                param_hint="--mark",
            )
        name = Path(file).name
        clip = by_file.get(name) or by_file.get(name + SUFFIX)
        if clip is None:
            raise typer.BadParameter(
                f"there is no clip {file!r}; `harken review DIR --list` shows them",
                param_hint="--mark",
            )
        try:
            parsed.append((clip, parse_mark(mark, heard=clip.word, known=known)))
        except BadNameError as problem:
            raise typer.BadParameter(str(problem), param_hint="--mark") from None
    typed_right = any(text.endswith(f"={RIGHT}") for text in texts)
    if typed_right and RIGHT in known:
        notes().print(
            f"harken: note: {RIGHT} means a clip was detected correctly; the word {RIGHT!r} is "
            f"word:{RIGHT}",
            soft_wrap=True,
        )
    return parsed


def _to_dict(clips: ClipFolder, contents: Contents, exported: Exported | None) -> dict[str, Any]:
    listed = []
    for clip in contents.clips:
        mark = contents.marks.get(clip.file)
        listed.append(
            {
                **clip.to_dict(),
                "mark": None if mark is None else mark.verdict,
                "marked_word": None if mark is None else mark.word,
            }
        )
    return {
        "folder": str(clips.path),
        "clips": listed,
        "problems": list(contents.problems),
        "exported": None if exported is None else dataclasses.asdict(exported),
    }


def _counts(contents: Contents) -> str:
    marks = [contents.marks.get(clip.file) for clip in contents.clips]
    said = Counter("a word" if m.word is not None else m.verdict for m in marks if m is not None)
    text = f"{len(marks)} clips, {sum(m is None for m in marks)} without a mark"
    return text + "".join(f", {count} {verdict}" for verdict, count in sorted(said.items()))


def _tell(exported: Exported, out: Path) -> None:
    for line in exported.left_out:
        warn(line)
    words = ", ".join(f"{word} {count}" for word, count in exported.words.items()) or "no words"
    say = notes().print
    output().print(
        f"{out}: {words}; {exported.unknown} of other speech, {exported.noise} of noise; "
        f"{exported.scenes} scenes",
        soft_wrap=True,
    )
    if exported.waiting:
        say(f"{exported.waiting} clips have no mark yet, and were skipped", soft_wrap=True)
    if exported.words:
        train = ["harken", "train", str(out), "--words", ",".join(exported.words), "--out", "RUN"]
        say(f"train with: {shlex.join(train)}", soft_wrap=True)
    if exported.scenes:
        tune = ["harken", "tune", "MODEL", "--scenes", str(out / SCENES_FOLDER), "--negatives"]
        say(
            f"tune with: {shlex.join(tune)} PATH, where PATH has as many hours of audio as were "
            "listened to: clips alone contain only detections and give no rate",
            soft_wrap=True,
        )
