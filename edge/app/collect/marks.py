"""What a person says of a clip: typed text in, a mark out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .names import BadNameError, check_word

WORD, WRONG, SPEECH, NOISE, SKIP = "word", "wrong", "speech", "noise", "skip"
_VERDICTS = (WORD, WRONG, SPEECH, NOISE, SKIP)

RIGHT = "right"
"""What is typed for "it was the word that was heard, or almost heard"."""

_IS, _NEW = "word:", "new:"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a clip holds."""

    verdict: str
    """"word": that word is said; "speech": something else is said; "noise": nothing is; "wrong":
    not the word that was heard, whatever it was; "skip": nobody can tell."""
    word: str | None = None
    """What is said, where the verdict is "word"."""

    @classmethod
    def of(cls, verdict: object, word: object) -> Mark | None:
        """Return a mark from its parts; None where they are none."""
        if verdict == WORD and isinstance(word, str):
            return cls(WORD, word)
        if verdict in _VERDICTS and verdict != WORD:
            return cls(str(verdict))
        return None

    @property
    def decided(self) -> bool:
        """Whether it says what the clip holds."""
        return self.verdict != SKIP

    def __str__(self) -> str:
        return self.word if self.word is not None else self.verdict


def parse_mark(text: str, *, heard: str, known: Sequence[str]) -> Mark:
    """Read what was typed.

    Parameters
    ----------
    text
        ``right``, ``wrong``, ``speech``, ``noise`` or ``skip``; a word that is known, as it is or
        as ``word:WORD``, for one that is called like a verdict; ``new:WORD`` for any other word.
    heard
        The word that was heard, or almost heard, in the clip.
    known
        The words that need no ``new:``.

    Raises
    ------
    BadNameError
        It is none of these. The message says what would be right.
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
        f"{word!r} is no mark and none of the words, {', '.join(known)}; marks are {RIGHT}, "
        f"{', '.join(_VERDICTS[1:])}, a word, and {_NEW}WORD for a word that is not among them"
    )
