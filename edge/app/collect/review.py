"""Clips and keys in, marks out: a person listens to each clip, and marks it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from rich.table import Table
from rich.text import Text

from ...errors import AudioError
from .clips import EVENT
from .marks import NOISE, RIGHT, SKIP, SPEECH, WRONG, Mark, parse_mark
from .names import BadNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .clips import Clip, ClipFolder, Contents
    from .player import Player

_KEYS = {"r": RIGHT, "w": WRONG, "s": SPEECH, "n": NOISE, "k": SKIP}
_OTHER, _AGAIN, _UNDO, _QUIT, _HELP = "o", "p", "u", "q", "?"

HELP = (
    "r right · w wrong · o another word · s other speech · n noise · k skip · "
    "p play again · u undo · q quit"
)


class _Wish(Enum):
    """Actions other than marking a clip."""

    UNDO = auto()
    QUIT = auto()


class Keys(Protocol):
    """The source of a person's answers."""

    def key(self) -> str | None:
        """Return the pressed key; None at the end of input."""

    def line(self, question: str) -> str | None:
        """Return the typed answer to a question; None at the end of input."""


class Review:
    """Goes through clips one by one; each mark is on disk before the next clip is played.

    Parameters
    ----------
    folder
        The clips.
    contents
        Its content.
    keys
        The source of answers.
    say
        Prints a line.
    player
        Plays the clips, if there is a loudspeaker.
    """

    def __init__(
        self,
        folder: ClipFolder,
        contents: Contents,
        *,
        keys: Keys,
        say: Callable[[str | Text], object],
        player: Player | None,
    ) -> None:
        self._folder = folder
        self._known = list(contents.known_words())
        self._marks = dict(contents.marks)
        self._keys = keys
        self._say = say
        self._player = player
        self.marked = 0
        """Number of marked clips, not counting undone ones."""

    def run(self, clips: Sequence[Clip]) -> None:
        """Ask about clips, in order, until the person quits.

        Raises
        ------
        DataError
            A mark cannot be saved. Earlier ones are saved.
        """
        at = 0
        undo: list[tuple[int, Mark | None]] = []
        while at < len(clips):
            clip = clips[at]
            self._say(clip_line(clip, f"{at + 1}/{len(clips)}"))
            self._play(clip)
            mark = self._ask(clip)
            if mark is _Wish.QUIT:
                break
            if mark is _Wish.UNDO:
                if not undo:
                    self._say("there is nothing to undo")
                    continue
                at, before = undo.pop()
                self._keep(clips[at], before)
                self.marked -= 1
                continue
            undo.append((at, self._marks.get(clip.file)))
            self._keep(clip, mark)
            self.marked += 1
            self._say(f"  {mark}")
            at += 1
        if self._player is not None:
            self._player.stop()

    def _ask(self, clip: Clip) -> Mark | _Wish:
        """Return a mark, or another action."""
        while True:
            key = self._keys.key()
            if key is None or key == _QUIT:
                return _Wish.QUIT
            if key == _UNDO:
                return _Wish.UNDO
            if key == _AGAIN:
                self._play(clip)
            elif key == _OTHER:
                mark = self._other(clip)
                if mark is not None:
                    return mark
            elif key in _KEYS:
                return parse_mark(_KEYS[key], heard=clip.word, known=self._known)
            else:
                self._say(HELP)

    def _other(self, clip: Clip) -> Mark | None:
        """Ask for the word; None if none was typed."""
        text = self._keys.line("  which word? (new:WORD for one that the model lacks) ")
        if not text or not text.strip():
            return None
        typed = text.strip()
        try:
            # This asks for a word, so "right" is the word.
            prefix = "" if typed.startswith(("new:", "word:")) else "word:"
            mark = parse_mark(prefix + typed, heard=clip.word, known=self._known)
        except BadNameError as problem:
            self._say(f"  {problem}")
            return None
        if mark.word is not None and mark.word not in self._known:
            self._known.append(mark.word)
        return mark

    def _keep(self, clip: Clip, mark: Mark | None) -> None:
        self._folder.mark(clip.file, mark, time=now())
        if mark is None:
            self._marks.pop(clip.file, None)
        else:
            self._marks[clip.file] = mark

    def _play(self, clip: Clip) -> None:
        if self._player is None:
            return
        try:
            self._player.play(self._folder.load(clip))
        except AudioError as problem:
            self._say(f"  {problem}")


def now() -> str:
    """Return the time for a mark: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def clip_line(clip: Clip, number: str) -> Text:
    """Return a clip's detection as a line."""
    heard = "heard" if clip.kind == EVENT else "almost heard"
    line = Text.assemble(
        (f"{number:>9}  ", "dim"),
        f"{heard} ",
        (clip.word, "bold green" if clip.kind == EVENT else "bold yellow"),
        f"  {clip.confidence:.0%}, threshold {clip.threshold:.0%}",
        (f"  {clip.time[:19].replace('T', ' ')}", "dim"),
    )
    if clip.command:
        line.append(f"  ⇒ {clip.command}", "cyan")
    return line


def clip_table(contents: Contents, clips: Sequence[Clip]) -> Table:
    """Return clips as a table, with their marks."""
    table = Table(box=None, pad_edge=False)
    for title in ("clip", "", "word"):
        table.add_column(title, overflow="fold")
    for title in ("evidence", "takes"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("it was", overflow="fold")
    for clip in clips:
        mark = contents.marks.get(clip.file)
        table.add_row(
            clip.name,
            clip.kind,
            clip.word,
            f"{clip.confidence:.0%}",
            f"{clip.threshold:.0%}",
            "" if mark is None else str(mark),
        )
    return table
