"""The speech engines on this machine, and their voices."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ...edge.errors import DataError, DependencyError
from ..synth.engines import KOKORO, PIPER, CommandEngine, Engine, KokoroEngine, engine_of
from .accents import Accented

ESPEAK = "espeak-ng -v {voice} -s {wpm} -w {wav} -- {text}"
FLITE = "flite -voice {voice} --setf duration_stretch={stretch} -t {text} -o {wav}"

ENGLISH = (
    *("af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole"),
    *("af_nova", "af_river", "af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir"),
    *("am_liam", "am_michael", "am_onyx", "am_puck", "am_santa", "bf_alice", "bf_emma"),
    *("bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george", "bm_lewis"),
)
"""All English voices of Kokoro that can be understood in longer words."""

_ACCENTS = {"en": ("en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp")}
_THROATS = ("m1", "m3", "m7", "f2", "f4", "f5")
_HEARD = ("en-us", "en-gb")  # base voices for foreign accents
_OTHER_THROATS = ("m2", "m4", "m5", "m6", "m8", "f1", "f3")
_FLITE_VOICES = ("awb", "kal16", "rms", "slt")

_TAKES = 48  # fewest takes of a word by an engine
_FEW = 3

INSTALL = (
    "install one: on Debian, Ubuntu and Raspberry Pi OS `apt-get install espeak-ng flite`, on "
    "Fedora `dnf install espeak-ng flite`, on macOS `brew install espeak-ng`, on Windows "
    "`winget install espeak-ng`; better voices come with `pip install 'harken[synth]'` "
    "(--kokoro-voices) or `pip install piper-tts` (--engine piper); any other program can be named "
    "with --engine"
)


ENGLISH_CODE = "en"
_CODE = re.compile(r"[a-z]{2,3}(-[a-z0-9]+)*")  # language code of espeak-ng


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """An engine, and how often it speaks."""

    engine: Engine
    takes: int
    """Takes of each keyword by each voice."""
    others: int | None = None
    """Voices that say the other words, in turn; None: all of them, a third as often. A slow engine
    uses only a few."""


def speakers(
    *,
    command: str | None = None,
    voices: Sequence[str] = (),
    kokoro_model: Path | None = None,
    kokoro_voices: Path | None = None,
    languages: Sequence[str] = (ENGLISH_CODE,),
) -> list[Speaker]:
    """Return all engines on this machine that can speak some languages.

    Parameters
    ----------
    command, voices
        A program of the user's, see `CommandEngine`, and its voices, or the name of an engine;
        only this one is used then.
    kokoro_model, kokoro_voices
        See `KokoroEngine`; without voices it is left out.
    languages
        Language codes of espeak-ng, ``en`` or ``pt-br``. Flite, Kokoro and foreign accents are for
        English only.

    Raises
    ------
    DependencyError
        No engine is found. Says what to install.
    DataError
        espeak-ng does not speak a language.
    """
    english = ENGLISH_CODE in languages
    found: list[Speaker] = []
    if command is not None and command != KOKORO:
        engine = engine_of(command, voices)
        takes = max(2, -(-_TAKES // len(engine.voices)))
        return [Speaker(engine=engine, takes=takes, others=_FEW if command == PIPER else None)]
    if (kokoro_voices is not None and english) or command == KOKORO:
        kokoro = KokoroEngine(voices or ENGLISH, model=kokoro_model, styles=kokoro_voices)
        found.append(Speaker(engine=kokoro, takes=3, others=_FEW))
        if command == KOKORO:
            return found
    if shutil.which("flite") and english:
        found.append(Speaker(engine=CommandEngine(FLITE, _FLITE_VOICES), takes=8))
    if shutil.which("espeak-ng"):
        found += _espeak(languages)
    if not found:
        raise DependencyError(f"no speech engine found on this machine; {INSTALL}")
    return found


def _espeak(languages: Sequence[str]) -> list[Speaker]:
    """Return espeak-ng in some languages; in English with its own accents and with foreign ones."""
    known = _espeak_languages()
    for language in languages:
        if not _CODE.fullmatch(language) or (known and language not in known):
            raise DataError(
                f"--language {language!r} is not a language of espeak-ng; `espeak-ng --voices` "
                "lists them: en, de, fr, es …"
            )
    spoken = [accent for code in languages for accent in _ACCENTS.get(code, (code,))]
    names = [f"{accent}+{throat}" for accent, throat in product(spoken, _THROATS)]
    found = [Speaker(engine=CommandEngine(ESPEAK, names), takes=max(2, -(-_TAKES // len(names))))]
    if ENGLISH_CODE in languages:
        foreign = [f"{accent}+{throat}" for accent, throat in product(_HEARD, _OTHER_THROATS)]
        found.append(Speaker(engine=Accented(ESPEAK, foreign), takes=4, others=_FEW))
    return found


def _espeak_languages() -> frozenset[str]:
    """Return all language codes of espeak-ng; none if it does not list them."""
    try:
        listed = subprocess.run(
            ["espeak-ng", "--voices"], capture_output=True, timeout=10, check=True
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    rows = [line.split() for line in listed.splitlines()[1:]]
    codes = {row[1] for row in rows if len(row) > 1}
    return frozenset({*codes, ENGLISH_CODE})
