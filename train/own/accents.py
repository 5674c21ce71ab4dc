"""A word in, its pronunciation with a foreign accent out, for espeak-ng.

Synthetic English voices are those of native speakers, but people who learned English later may say
"wiew glass" or "charvis". They replace sounds that their first language lacks; here one or two
phonemes of a word are changed in this way.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..synth.engines import CommandEngine, Engine
from .near import Phones, pronunciations

INSTEAD: dict[str, tuple[str, ...]] = {
    **{"V": ("W", "F", "B"), "W": ("V",), "B": ("P",), "P": ("B",), "D": ("T",), "G": ("K",)},
    **{"TH": ("S", "T", "F"), "DH": ("D", "Z"), "Z": ("S",), "ZH": ("SH",), "S": ("TH", "SH")},
    **{"JH": ("CH", "Y", "Z"), "CH": ("SH",), "HH": ("",), "R": ("L", ""), "L": ("R",)},
    **{"N": ("NG",), "NG": ("N",), "IH": ("IY",), "IY": ("IH",), "UH": ("UW",), "UW": ("UH",)},
    **{"AE": ("EH", "AA"), "AH": ("AA", "EH", "IH"), "AA": ("AO", "ER"), "AO": ("OW",)},
    **{"OW": ("AO",), "EH": ("EY", "AE"), "EY": ("EH",), "ER": ("AA", "EH"), "K": ("G",)},
}
"""Phonemes and their replacements; "" drops the phoneme."""

_MOST_CHANGES = 2
_ESPEAK = {
    **{"AA": "A:", "AE": "a", "AH": "V", "AO": "O:", "AW": "aU", "AY": "aI", "EH": "E"},
    **{"ER": "3:", "EY": "eI", "IH": "I", "IY": "i:", "OW": "oU", "OY": "OI", "UH": "U"},
    **{"UW": "u:", "B": "b", "CH": "tS", "D": "d", "DH": "D", "F": "f", "G": "g", "HH": "h"},
    **{"JH": "dZ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "N", "P": "p", "R": "r"},
    **{"S": "s", "SH": "S", "T": "t", "TH": "T", "V": "v", "W": "w", "Y": "j", "Z": "z"},
    "ZH": "Z",
}


def with_accent(phones: Phones, rng: np.random.Generator) -> Phones:
    """Return a pronunciation with one or two phonemes changed, if possible."""
    said = list(phones)
    places = rng.permutation([place for place, phone in enumerate(said) if phone in INSTEAD])
    for place in places[: int(rng.integers(1, _MOST_CHANGES + 1))].astype(int):
        choices = INSTEAD[said[place]]
        said[place] = choices[int(rng.integers(len(choices)))]
    return tuple(phone for phone in said if phone)


def espeak_phonemes(phones: Phones) -> str:
    """Return a pronunciation in espeak-ng's notation, with the stress on the first syllable."""
    return f"[['{''.join(_ESPEAK[phone] for phone in phones)}]]"


class Accented:
    """espeak-ng with foreign accents, a new one each time; unknown words stay as they are.

    Parameters
    ----------
    command, voices
        See `CommandEngine`; a command line of espeak-ng.
    """

    name = "espeak-ng-accents"

    def __init__(self, command: str, voices: Sequence[str]) -> None:
        self._engine: Engine = CommandEngine(command, voices)
        self.voices = self._engine.voices

    def say(self, text: str, voice: str, speed: float) -> tuple[NDArray[np.float32], int]:
        """Let a voice say a text; see `Engine.say`."""
        ways = pronunciations(text.strip(".!?"))
        if ways:
            rng = np.random.default_rng(zlib.crc32(f"{text}/{voice}/{speed}".encode()))
            text = espeak_phonemes(with_accent(ways[int(rng.integers(len(ways)))], rng))
        return self._engine.say(text, voice, speed)
