"""``harken listen``: a microphone, a file or raw samples in, words and commands out."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import AudioError, ModelError
from ..memory.action import Action
from ..memory.grammar_file import load_grammar
from ..memory.memory import Memory
from ..memory.store import Store, default_path
from ..memory.woken import WINDOW_S, WokenSpotter, memory_of
from ..sound.microphone import Microphone
from ..sound.pcm import PcmFormat, standard_input
from ..sound.remote import TcpPcm, UdpPcm, address
from ..sound.sources import AudioFile, RealTime, Source
from ..spotting.detector import DetectorConfig
from ..spotting.manifest import Model, load_model
from ..spotting.spotter import Spotter
from .collect.keep import LIMIT_MB, Keeper
from .display import notes, output
from .lines import JsonLines, PlainLines, WithoutOutput, warn
from .listen import Listener, Observer
from .options import (
    ChannelOption,
    DeviceOption,
    ModelArgument,
    RuntimeOption,
    ThresholdOption,
    device_of,
    file_of,
    path_of,
    with_thresholds,
)
from .serve.mqtt import (
    MqttCaOption,
    MqttCertOption,
    MqttDiscoveryOption,
    MqttInsecureOption,
    MqttKeepOption,
    MqttKeyOption,
    MqttOption,
    MqttPasswordFileOption,
    mqtt_publisher,
)
from .streams import StreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

DEMO = Path(str(files("harken.models"))) / "demo.flac"
"""The recording that ``harken listen --demo`` plays if there is no microphone."""

_DEMO_GRAMMAR = "robot"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SourceOptions:
    """The audio source, from the command line."""

    wav: Path | None
    realtime: bool
    stdin: bool
    tcp: str | None
    udp: str | None
    demo: bool
    device: str | None
    wait: bool
    rate_hz: int | None
    channels: int | None
    channel: int | None

    def __post_init__(self) -> None:
        chosen = self.chosen
        if len(chosen) > 1:
            raise typer.BadParameter(
                f"{' and '.join(chosen)} exclude each other; choose one source"
            )
        if self.realtime and self.wav is None:
            raise typer.BadParameter(
                "--realtime goes with --wav; the other sources are live anyway"
            )
        raw = self.stdin or self.tcp is not None or self.udp is not None
        for option, value in (("--rate", self.rate_hz), ("--channels", self.channels)):
            if value is not None and not raw:
                raise typer.BadParameter(
                    "it goes with raw samples (--stdin, --tcp, --udp); other sources know theirs",
                    param_hint=option,
                )
        if self.channel is not None and (self.wav is not None or self.demo):
            raise typer.BadParameter(
                "it goes with a microphone or with raw samples", param_hint="--channel"
            )
        if self.wait and not self.live:
            raise typer.BadParameter("it goes with a microphone", param_hint="--wait")

    @property
    def chosen(self) -> list[str]:
        """The given options, among those that exclude each other."""
        given = {
            "--wav": self.wav,
            "--stdin": self.stdin,
            "--tcp": self.tcp,
            "--udp": self.udp,
            "--demo": self.demo,
            "--device": self.device,
        }
        return [name for name, value in given.items() if value not in (None, False)]

    @property
    def live(self) -> bool:
        """Whether it is only the microphone."""
        return self.chosen in ([], ["--device"])

    def open(self, rate_hz: int) -> Source:
        """Open the source for a model with this sample rate."""
        if self.wav is not None:
            file = AudioFile(self.wav, sample_rate_hz=rate_hz)
            return RealTime(file, sample_rate_hz=rate_hz) if self.realtime else file
        if self.stdin:
            return standard_input(sample_rate_hz=rate_hz, form=self._form(rate_hz))
        if self.tcp is not None:
            return TcpPcm(address(self.tcp), sample_rate_hz=rate_hz, form=self._form(rate_hz))
        if self.udp is not None:
            return UdpPcm(address(self.udp), sample_rate_hz=rate_hz, form=self._form(rate_hz))
        if self.demo:
            return _demo_source(rate_hz)
        return Microphone(
            device_of(self.device),
            channel=self.channel,
            sample_rate_hz=rate_hz,
            recover=True,
            wait=self.wait,
        )

    def _form(self, rate_hz: int) -> PcmFormat:
        return PcmFormat(
            rate_hz=rate_hz if self.rate_hz is None else self.rate_hz,
            channels=(self.channel or 1) if self.channels is None else self.channels,
            channel=self.channel,
        )


def listen_command(
    model: ModelArgument = "commands",
    *,
    wav: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read an audio file: wav, flac, ogg, opus."),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play that file in real time.")
    ] = False,
    stdin: Annotated[
        bool,
        typer.Option(
            "--stdin",
            help="Read raw 16-bit samples from standard input; by default mono, at the model's "
            "rate.",
        ),
    ] = False,
    tcp: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Accept raw samples from a client; without a host, from this machine only.",
        ),
    ] = None,
    udp: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT", help="Accept raw samples as datagrams.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(metavar="HZ", help="Sample rate of raw samples. Default: the model's."),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(metavar="N", help="Number of channels of raw samples. Default: 1.")
    ] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Use the microphone if there is one, else the demo recording."),
    ] = False,
    device: DeviceOption = None,
    channel: ChannelOption = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="If there is no microphone at the start, wait for it."),
    ] = False,
    threshold: ThresholdOption = None,
    grammar: Annotated[
        str | None,
        typer.Option(
            metavar="GRAMMAR",
            help="Turn words into commands, with a memory: a grammar's name (robot, media), or "
            "its file.",
        ),
    ] = None,
    wake: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Wait for a word of this wake model, then for words of the main model: for the "
            "grammar's window_s after each, else for 8 s.",
        ),
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=file_of,
            help="Where to keep the memory between runs. Default: in the user's state folder for"
            " the microphone, nowhere for other sources.",
        ),
    ] = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Keep no memory between runs.")
    ] = False,
    context_weight: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            help="How strongly the context changes what is detected; 0: not at all. Default: "
            "from the manifest.",
        ),
    ] = None,
    execute: Annotated[
        str | None,
        typer.Option(
            "--exec",
            metavar="COMMAND",
            help="Run this for each command, without a shell: 'drive {direction} {number}'.",
        ),
    ] = None,
    no_gate: Annotated[
        bool,
        typer.Option(
            "--no-gate",
            help="Switch off the model's gate, which skips audio that is no louder than the room.",
        ),
    ] = False,
    runtime: RuntimeOption = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print only lines, even on a terminal; no live view.")
    ] = False,
    capture: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=path_of,
            help="Keep two seconds of audio around each word and each near miss, on this "
            "machine, for `harken review`.",
        ),
    ] = None,
    capture_limit: Annotated[
        float | None,
        typer.Option(metavar="MB", help=f"Limit for the size of DIR. Default: {LIMIT_MB:g}."),
    ] = None,
    mqtt: MqttOption = None,
    mqtt_password_file: MqttPasswordFileOption = None,
    mqtt_ca: MqttCaOption = None,
    mqtt_cert: MqttCertOption = None,
    mqtt_key: MqttKeyOption = None,
    mqtt_insecure: MqttInsecureOption = False,
    mqtt_discovery: MqttDiscoveryOption = None,
    mqtt_keep: MqttKeepOption = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print words, commands and errors only.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print each word and command as one line of JSON."),
    ] = False,
) -> None:
    """Listen for words: live, in a file, on standard input, or from the network.

    Words and commands go to standard output, everything else to standard error. Ctrl-C stops it.
    """
    where = _SourceOptions(
        wav=wav,
        realtime=realtime,
        stdin=stdin,
        tcp=tcp,
        udp=udp,
        demo=demo,
        device=device,
        wait=wait,
        rate_hz=rate,
        channels=channels,
        channel=channel,
    )
    if grammar is None and not demo:
        needy = {"--memory": memory, "--exec": execute, "--context-weight": context_weight}
        for option, value in needy.items():
            if value is not None:
                raise typer.BadParameter("it needs --grammar", param_hint=option)

    if capture is None and capture_limit is not None:
        raise typer.BadParameter("it needs --capture", param_hint="--capture-limit")

    loaded = load_model(model)
    waking = None if wake is None else load_model(wake)
    if (
        demo
        and grammar is None
        and {*load_grammar(_DEMO_GRAMMAR).words} <= {*loaded.manifest.words}
    ):
        grammar = _DEMO_GRAMMAR
    detector = with_thresholds(loaded.manifest.detector, threshold or [])
    if context_weight is not None:
        try:
            detector = dataclasses.replace(detector, context_weight=context_weight)
        except ModelError as problem:
            raise typer.BadParameter(str(problem), param_hint="--context-weight") from None
    signal.signal(signal.SIGTERM, _end)
    warnings = _Warnings()
    with contextlib.ExitStack() as stack:
        remembers = None
        if grammar is not None:
            kept = not no_memory and (where.live or memory is not None)
            told = warnings if kept else None
            remembers = _memory(grammar, loaded, detector, memory, told, waking=waking)
            stack.callback(remembers.close)
        if waking is None:
            spotter = Spotter(
                loaded, runtime=runtime, detector=detector, context=remembers, gate=not no_gate
            )
        else:
            spotter = WokenSpotter(
                loaded,
                Spotter(waking, runtime=runtime, gate=not no_gate),
                window_s=WINDOW_S if remembers is None else remembers.grammar.window_s,
                runtime=runtime,
                detector=detector,
                gate=not no_gate,
                memory=remembers,
            )
        action = None
        if execute is not None and remembers is not None:
            action = Action(execute, remembers.grammar, on_warning=warnings)
            stack.callback(action.close)
        publisher = mqtt_publisher(
            mqtt,
            model=loaded,
            grammar=None if remembers is None else remembers.grammar,
            password_file=mqtt_password_file,
            ca_file=mqtt_ca,
            cert_file=mqtt_cert,
            key_file=mqtt_key,
            insecure=mqtt_insecure,
            discovery=mqtt_discovery,
            keep_s=mqtt_keep,
            on_warning=warnings,
        )
        if publisher is not None:
            stack.callback(publisher.close)
        source = stack.enter_context(where.open(loaded.manifest.front_end.sample_rate_hz))
        failure = _OutputFailure({"--exec": action, "--mqtt": publisher, "--capture": capture})
        printing = WithoutOutput(
            _lines(spotter, source, remembers, plain=plain, quiet=quiet, as_json=as_json),
            on_failure=failure,
            quiet=quiet,
        )
        observers: list[Observer] = [printing]
        stack.callback(printing.close)
        if capture is not None:
            limit_mb = LIMIT_MB if capture_limit is None else capture_limit
            keeper = Keeper(capture, spotter, limit_mb=limit_mb, on_warning=warnings)
            if not quiet:
                stack.callback(lambda: notes().print(f"Kept {keeper.summary()}", soft_wrap=True))
            stack.callback(keeper.close)
            observers.append(keeper)
        if publisher is not None:
            observers.append(publisher)
        listener = Listener(spotter, source, observers=observers, memory=remembers)
        if action is not None:
            listener.on()(action.run)
        failure.listener = listener
        _listen(listener, source, spotter, remembers, warnings, quiet=quiet)
    failure.end()


class _Warnings:
    """Passes warnings from any thread to the observers while listening; else prints them."""

    def __init__(self) -> None:
        self.listener: Listener | None = None

    def __call__(self, line: str) -> None:
        if self.listener is None:
            warn(line)
        else:
            self.listener.warn(line)


class _OutputFailure:
    """When standard output fails: keep listening for other outputs, or stop if there are none.

    Parameters
    ----------
    takers
        Other outputs of words and commands, by option; None for those not in use.
    """

    def __init__(self, takers: Mapping[str, object]) -> None:
        self.listener: Listener | None = None
        self._takers = [option for option, taker in takers.items() if taker is not None]
        self._problem: StreamError | None = None

    def __call__(self, problem: StreamError) -> None:
        self._problem = problem
        if self._takers:
            warn(f"{problem}; still listening for {' and '.join(self._takers)}")
        elif self.listener is not None:
            self.listener.stop()

    def end(self) -> None:
        """Exit with the code of the failure, if any; report it unless that was done."""
        if self._problem is not None and self._takers:
            raise typer.Exit(self._problem.exit_code)
        if self._problem is not None:
            raise self._problem


def _memory(
    grammar: str,
    model: Model,
    detector: DetectorConfig,
    file: Path | None,
    on_warning: Callable[[str], None] | None,
    *,
    waking: Model | None,
) -> Memory:
    """Return the memory of a grammar, saved in a file if warnings can be shown."""
    loaded = load_grammar(grammar)
    store = None
    if on_warning is not None:
        store = Store(default_path(loaded.name) if file is None else file, on_warning=on_warning)
    if waking is not None:
        thresholds = dict(detector.thresholds)
        return memory_of(loaded, model, waking, thresholds=thresholds, store=store)
    return Memory.of(loaded, model, thresholds=detector.thresholds, store=store)


def _lines(
    spotter: Spotter,
    source: Source,
    memory: Memory | None,
    *,
    plain: bool,
    quiet: bool,
    as_json: bool,
) -> Observer:
    """Return the observer that prints: for programs, for a terminal, or for a file."""
    if as_json:
        return JsonLines(quiet=quiet)
    if plain or not output().is_terminal:
        return PlainLines(quiet=quiet)
    from .view import LiveView

    return LiveView(spotter, source, memory=memory, console=output(), quiet=quiet)


def _listen(
    listener: Listener,
    source: Source,
    spotter: Spotter,
    memory: Memory | None,
    warnings: _Warnings,
    *,
    quiet: bool,
) -> None:
    """Listen until the source or the user ends it, then print a summary."""

    def say(line: str) -> None:
        if not quiet:
            notes().print(line, soft_wrap=True)

    words = spotter.model.manifest.words
    say(f"Listening to {source.description}; Ctrl-C ends it.")
    if isinstance(spotter, WokenSpotter):
        say(f"Say {' or '.join(map(repr, spotter.wake_words))} first.")
    say(f"The {len(words)} words: {' '.join(words)}.")
    if memory is not None:
        say(f"Commands: {memory.grammar.description or memory.grammar.name}")
    warnings.listener = listener
    try:
        listener.run()
    except KeyboardInterrupt:
        listener.close()
        say("")  # the terminal shows ^C on this line
    finally:
        warnings.listener = None
        listener.close()
        say(str(listener.summary()))


def _end(number: int, frame: FrameType | None) -> None:
    """On a signal to terminate, end as with Ctrl-C, so that the memory is saved."""
    raise KeyboardInterrupt


def _demo_source(rate_hz: int) -> Source:
    """Return the microphone or, if there is none, the demo recording in real time."""
    try:
        return Microphone(sample_rate_hz=rate_hz, recover=True)
    except AudioError as error:
        say = notes().print
        say(f"No microphone: {error}.", soft_wrap=True)
        say("Instead, a recording of real voices is played in real time.")
        return RealTime(AudioFile(DEMO, sample_rate_hz=rate_hz), sample_rate_hz=rate_hz)
