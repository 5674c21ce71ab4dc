"""A person's verdict on a clip: typed text in, a mark out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .names import BadNameError, check_word

WORD, WRONG, SPEECH, NOISE, SKIP = "word", "wrong", "speech", "noise", "skip"
_VERDICTS = (WORD, WRONG, SPEECH, NOISE, SKIP)

RIGHT = "right"
"""Typed for "it was the word that was detected, or almost detected"."""

_IS, _NEW = "word:", "new:"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a clip contains."""

    verdict: str
    """"word": that word; "speech": other speech; "noise": no speech; "wrong": anything but the
    detected word; "skip": undecidable."""
    word: str | None = None
    """The word, if the verdict is "word"."""

    @classmethod
    def of(cls, verdict: object, word: object) -> Mark | None:
        """Return a mark from its parts; None if they are invalid."""
        if verdict == WORD and isinstance(word, str):
            return cls(WORD, word)
        if verdict in _VERDICTS and verdict != WORD:
            return cls(str(verdict))
        return None

    @property
    def decided(self) -> bool:
        """Whether it says what the clip contains."""
        return self.verdict != SKIP

    def __str__(self) -> str:
        return self.word if self.word is not None else self.verdict


def parse_mark(text: str, *, heard: str, known: Sequence[str]) -> Mark:
    """Parse a typed mark.

    Parameters
    ----------
    text
        ``right``, ``wrong``, ``speech``, ``noise`` or ``skip``; a known word, by itself or, if it
        has the name of a verdict, as ``word:WORD``; ``new:WORD`` for any other word.
    heard
        The word that was detected, or almost detected, in the clip.
    known
        Words that need no ``new:``.

    Raises
    ------
    BadNameError
        It is none of these. The message says what is allowed.
    """
    text = text.strip()
    if text == RIGHT:
        return Mark(WORD, heard)
    if text in _VERDICTS and text != WORD:
        return Mark(text)
    if text.startswith(_NEW):
        return Mark(WORD, check_word(text.removeprefix(_NEW)))
    word = text.removeprefix(_IS)
    if word in known:
        return Mark(WORD, word)
    raise BadNameError(
        f"{word!r} is neither a mark nor one of the words {', '.join(known)}; marks are {RIGHT}, "
        f"{', '.join(_VERDICTS[1:])}, a word, or {_NEW}WORD for any other word"
    )
