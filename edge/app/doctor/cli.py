"""``harken doctor``: an installation in, a report with remedies out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import AudioError, DependencyError, ModelError
from ...sound.microphone import Microphone, input_devices
from ...sound.sources import SAMPLE_RATE_HZ
from ...spotting.manifest import load_model
from ...spotting.spotter import Spotter
from ..display import notes, output
from ..options import (
    ChannelOption,
    DeviceOption,
    JsonOption,
    ModelArgument,
    RuntimeOption,
    device_of,
)
from ..streams import print_json_text
from . import level, live, model_check, program, sound_system
from .finding import Finding, Findings, State
from .privacy import Privacy
from .report import Checklist, to_json

if TYPE_CHECKING:
    from ...sound.microphone import InputDevice
    from ...spotting.manifest import Model

_WORD = "yes"
"""The word to ask for; if a model lacks it, its first word."""

_SPARE_MODEL = "commands-tiny"
"""Used to test the interpreter if the model cannot be read."""


def doctor_command(
    model: ModelArgument = "commands",
    *,
    device: DeviceOption = None,
    channel: ChannelOption = None,
    seconds: Annotated[
        float,
        typer.Option(metavar="S", help="How long to listen to the microphone.", min=1, max=60),
    ] = 5.0,
    no_microphone: Annotated[
        bool, typer.Option("--no-microphone", help="Skip the microphone: this machine needs none.")
    ] = False,
    runtime: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this installation, and suggest a remedy for each problem.

    Checks versions, the model, its results on a known recording, speed, PortAudio,
    permissions, and the audio of the microphone. The report contains nothing private. The exit
    code is that of the first problem; it stays 0 if there are only warnings.
    """
    checklist = Checklist(output())
    privacy = Privacy.here()
    findings = Findings(
        privacy,
        (lambda finding: None) if as_json else checklist.show,
        lenient=("sound",) if no_microphone else (),
    )
    listening = _Listening(device=device_of(device), channel=channel, seconds=seconds)
    doctor = _Doctor(findings, privacy, runtime)
    doctor.look_at_program()
    doctor.look_at_model(model)
    devices = doctor.look_at_sound_system()
    if no_microphone:
        doctor.skip("microphone.level", "not checked: --no-microphone")
    elif not devices:
        doctor.skip("microphone.level", "there is none")
    else:
        doctor.listen(devices, listening)
    if as_json:
        print_json_text(to_json(findings))
    else:
        checklist.end(findings)
    if findings.exit_code:
        raise typer.Exit(findings.exit_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listening:
    """Which microphone to listen to, and for how long."""

    device: int | str | None
    channel: int | None
    seconds: float


class _Doctor:
    """Runs the checks; later ones use the results of earlier ones."""

    def __init__(self, findings: Findings, privacy: Privacy, runtime: str | None) -> None:
        self._findings = findings
        self._privacy = privacy
        self._runtime = runtime
        self._around = sound_system.surroundings()
        self._model: Model | None = None  # if it is intact and runs

    def skip(self, check: str, why: str) -> None:
        """Report a check as skipped."""
        self._findings.add(Finding(check=check, state=State.SKIPPED, text=why))

    def look_at_program(self) -> None:
        """Check the installed packages."""
        wanted = program.own_requirements()
        with self._findings.isolated("program.harken", DependencyError):
            self._findings.add(program.describe_program())
        with self._findings.isolated("program.packages", DependencyError):
            self._findings.add(program.check_packages(wanted))
        with self._findings.isolated("program.extras", DependencyError):
            self._findings.add(program.check_extras(wanted))

    def look_at_model(self, reference: str) -> None:
        """Check the model, its interpreter, its results, and its speed."""
        findings, runtime = self._findings, self._runtime
        model: Model | None = None
        with findings.isolated("model.file", ModelError):
            model = load_model(reference)
            findings.add(model_check.describe_model(model))
        runs = False
        with findings.isolated("model.interpreter", DependencyError):
            found = program.check_interpreter(_SPARE_MODEL if model is None else reference, runtime)
            findings.add(found)
            runs = found.state is State.OK
        if model is None or not runs:
            why = "the model cannot be read" if model is None else "no interpreter runs it"
            self.skip("model.golden", why)
            self.skip("speed.real_time", why)
            return
        with findings.isolated("model.golden", ModelError):
            findings.add(*model_check.check_golden(model, runtime=runtime))
        with findings.isolated("model.stream", ModelError):
            findings.add(model_check.check_stream(model, runtime=runtime))
        with findings.isolated("speed.real_time", ModelError):
            findings.add(model_check.check_speed(model, runtime=runtime))
        self._model = model

    def look_at_sound_system(self) -> list[InputDevice]:
        """Check PortAudio and what it needs; return the input devices."""
        findings, around = self._findings, self._around
        devices: list[InputDevice] = []
        works = served = False
        with findings.isolated("sound.portaudio", AudioError):
            found = sound_system.check_portaudio()
            findings.add(found)
            works = found.state is State.OK
        if works:
            with findings.isolated("sound.devices", AudioError):
                devices = input_devices()
                findings.add(sound_system.check_devices(devices, self._privacy))
        with findings.isolated("sound.server", AudioError):
            server = sound_system.check_server(around, devices if works else None)
            served = sound_system.serves(server)
            if server is not None:
                findings.add(server)
        with findings.isolated("sound.permissions", AudioError):
            findings.add(sound_system.check_permissions(around, served=served))
        return devices

    def listen(self, devices: list[InputDevice], listening: _Listening) -> None:
        """Check the microphone's audio, and the words that the model detects in it."""
        if isinstance(listening.device, str):
            self._privacy.typed_device(listening.device)
        try:
            description = ""
            with self._findings.isolated("microphone.device", AudioError):
                with self._open(listening) as source:
                    description = source.description
                self._findings.add(
                    Finding(check="microphone.device", state=State.OK, text=description)
                )
            if not description:
                self._name_holders()
                return
            chosen = live.chosen_device(devices, listening.device)
            if chosen is not None and listening.channel is None:
                with self._findings.isolated("microphone.channels", AudioError):
                    channels = live.check_channels(chosen)
                    if channels is not None:
                        self._findings.add(channels)
            with self._findings.isolated("microphone.level", AudioError):
                self._record(listening, self._privacy.clean(description))
        except KeyboardInterrupt:
            notes().print()  # the terminal shows ^C on this line
            self.skip("microphone.level", "was interrupted")

    def _open(self, listening: _Listening) -> Microphone:
        return Microphone(listening.device, channel=listening.channel, sample_rate_hz=self._rate_hz)

    @property
    def _rate_hz(self) -> int:
        if self._model is None:
            return SAMPLE_RATE_HZ
        return self._model.manifest.front_end.sample_rate_hz

    def _record(self, listening: _Listening, description: str) -> None:
        spotter = word = None
        if self._model is not None:
            spotter = Spotter(self._model, runtime=self._runtime)
            words = self._model.manifest.words
            word = _WORD if _WORD in words else words[0]
        say = notes().print
        say(f"Listening to {description} for {listening.seconds:g} s: be quiet at first.")
        with self._open(listening) as source:
            recording = live.record(
                source,
                spotter,
                rate_hz=self._rate_hz,
                seconds=listening.seconds,
                ask=lambda: say(f'Now say "{word}".' if word else "Now say something."),
            )
        measured = level.measure(recording.samples, recording.rate_hz)
        self._findings.add(
            *level.judge(measured, lost_s=recording.lost_s, mixer=live.mixer(self._around.system))
        )
        if spotter is None or word is None:
            self.skip("microphone.words", "there is no usable model")
        elif measured.silent:
            self.skip("microphone.words", "there was only silence")
        else:
            threshold = spotter.detector.thresholds[word]
            self._findings.add(live.check_heard(recording.events, word, threshold))

    def _name_holders(self) -> None:
        """Report the programs that are using the sound card, if that can be determined."""
        with self._findings.isolated("microphone.holder", AudioError):
            found = sound_system.holders(self._around.proc)
            if found:
                self._findings.add(
                    Finding(
                        check="microphone.holder",
                        state=State.WARNING,
                        text=f"{' and '.join(found)} record{'s' * (len(found) == 1)} at the moment",
                        remedy=(
                            "end it; or record through the sound server: --device pulse, or "
                            "--device pipewire"
                        ),
                        figures={"programs": found},
                    )
                )
