"""The ``harken`` command: arguments in, one of harken's parts at work, an exit code out."""

from __future__ import annotations

import dataclasses
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from .. import __version__
from ..export.cli import export_command
from ..train.cli import train_command
from ..train.eval_cli import eval_command
from ..train.tune_cli import tune_command
from .benchmark import benchmark
from .detector import DetectorConfig
from .display import (
    benchmark_table,
    device_table,
    event_line,
    model_table,
    notes,
    output,
    turn_line,
    turn_lines,
)
from .engine import RUNTIMES
from .errors import AudioError, HarkenError, ModelError
from .listen import Listener
from .manifest import Model, load_model
from .memory.action import Action
from .memory.cli import memory_app
from .memory.dialogue import Turn
from .memory.grammar import load_grammar
from .memory.grammar_cli import grammar_app
from .memory.memory import Memory
from .memory.store import Store, default_path
from .microphone import Microphone, input_devices
from .sources import AudioFile, RealTime, Source, standard_input
from .spotter import Event, Spotter

DEMO = Path(str(files("harken.models"))) / "demo.flac"
"""The recording that ``harken listen --demo`` plays where there is no microphone."""


_DEMO_GRAMMAR = "robot"


class _Commands(typer.core.TyperGroup):
    """The commands, and the one place where an error that was foreseen becomes an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HarkenError as error:
            print(f"harken: error: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .tflite file, its .json manifest, or the name of a model that ships.",
    ),
]
_RuntimeOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"Interpreter: {', '.join(RUNTIMES)}; the first there is."),
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"harken {__version__}")
        raise typer.Exit


@app.callback()
def _harken(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Offline voice commands: listen for words, and make the models that hear them."""


@app.command()
def listen(
    model: _ModelArgument = "commands",
    *,
    wav: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Hear a sound file: wav, flac, ogg, opus."),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play that file as fast as it was spoken.")
    ] = False,
    stdin: Annotated[
        bool,
        typer.Option(
            "--stdin", help="Hear standard input: raw 16-bit samples, mono, at the model's rate."
        ),
    ] = False,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo", help="Hear the microphone if there is one, else a recording that ships."
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="Microphone: its number or a part of its name."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[WORD=]P",
            help="Posterior from which a word, or every word, counts; may be repeated.",
        ),
    ] = None,
    grammar: Annotated[
        str | None,
        typer.Option(
            metavar="GRAMMAR",
            help="Make commands of the words, and remember: a grammar's name (robot, media), or "
            "its file.",
        ),
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to remember from one time to the next. Default: in the user's folder of "
            "states for the microphone, nowhere for other sources.",
        ),
    ] = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Keep nothing from one time to the next.")
    ] = False,
    context_weight: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            help="How far what was said before changes what is heard; 0: not at all. "
            "Default: what the manifest says.",
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
    runtime: _RuntimeOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object a line for each word and command."),
    ] = False,
) -> None:
    """Listen for words: live, in a file, or on standard input.

    Words and commands go to standard output, everything else to standard error. Ctrl-C ends it.
    """
    given = {"--wav": wav, "--stdin": stdin, "--demo": demo, "--device": device}
    chosen = [name for name, value in given.items() if value]
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen)} exclude each other; choose one source")
    if realtime and wav is None:
        raise typer.BadParameter("--realtime goes with --wav; the other sources are live anyway")
    if grammar is None and not demo:
        needy = {"--memory": memory, "--exec": execute, "--context-weight": context_weight}
        for option, value in needy.items():
            if value is not None:
                raise typer.BadParameter("it needs --grammar", param_hint=option)

    loaded = load_model(model)
    if (
        demo
        and grammar is None
        and {*load_grammar(_DEMO_GRAMMAR).words} <= {*loaded.manifest.words}
    ):
        grammar = _DEMO_GRAMMAR
    detector = _with_thresholds(loaded.manifest.detector, threshold or [])
    if context_weight is not None:
        try:
            detector = dataclasses.replace(detector, context_weight=context_weight)
        except ModelError as problem:
            raise typer.BadParameter(str(problem), param_hint="--context-weight") from None
    remembers = None
    if grammar is not None:
        live = chosen in ([], ["--device"])
        kept = not no_memory and (live or memory is not None)
        remembers = _memory(grammar, loaded, detector, file=memory, kept=kept)
    action = Action(execute, remembers.grammar, on_warning=_warn) if execute and remembers else None
    spotter = Spotter(loaded, runtime=runtime, detector=detector, context=remembers)
    rate_hz = loaded.manifest.front_end.sample_rate_hz
    source: Source
    if wav is not None:
        source = AudioFile(wav, sample_rate_hz=rate_hz)
        if realtime:
            source = RealTime(source, sample_rate_hz=rate_hz)
    elif stdin:
        source = standard_input(sample_rate_hz=rate_hz)
    elif demo:
        source = _demo_source(rate_hz)
    else:
        source = Microphone(
            int(device) if device and device.isdecimal() else device, sample_rate_hz=rate_hz
        )
    with source:
        _listen(source, spotter, remembers, action, as_json=as_json)


def _memory(
    grammar: str, model: Model, detector: DetectorConfig, *, file: Path | None, kept: bool
) -> Memory:
    """Return the memory of a grammar, kept in a file if it is to be."""
    loaded = load_grammar(grammar)
    store = Store(file or default_path(loaded.name), on_warning=_warn) if kept else None
    return Memory.of(loaded, model, thresholds=detector.thresholds, store=store)


def _warn(line: str) -> None:
    notes().print(f"harken: warning: {line}", soft_wrap=True)


def _listen(
    source: Source,
    spotter: Spotter,
    memory: Memory | None,
    action: Action | None,
    *,
    as_json: bool,
) -> None:
    """Print what is heard until the source or the user ends it, and then the summary."""
    results, say = output(), notes().print

    def show(event: Event) -> None:
        if as_json:
            print(json.dumps(event.to_dict()), flush=True)
        else:
            results.print(event_line(event))

    def understood(turn: Turn) -> None:
        if as_json:
            for line in turn_lines(turn):
                print(json.dumps(line), flush=True)
        else:
            results.print(turn_line(turn))
        if action is not None:
            for command in turn.commands:
                action.run(command)

    words = spotter.model.manifest.words
    say(f"Listening to {source.description}; Ctrl-C ends it.", soft_wrap=True)
    say(f"The {len(words)} words: {' '.join(words)}.")
    if memory is not None:
        say(f"Commands: {memory.grammar.description or memory.grammar.name}", soft_wrap=True)
    listener = Listener(
        spotter, source, on_event=show, on_warning=_warn, memory=memory, on_turn=understood
    )
    try:
        listener.run()
    except KeyboardInterrupt:
        say()  # the terminal shows ^C on this line
    finally:
        if memory is not None:
            memory.close()
        if action is not None:
            action.close()
        say(str(listener.summary()))


def _demo_source(rate_hz: int) -> Source:
    """Return the microphone, or where there is none, the shipped recording as if spoken live."""
    try:
        return Microphone(sample_rate_hz=rate_hz)
    except AudioError as error:
        say = notes().print
        say(f"No microphone: {error}.", soft_wrap=True)
        say("Instead, a recording of real voices is played at the speed of real time.")
        return RealTime(AudioFile(DEMO, sample_rate_hz=rate_hz), sample_rate_hz=rate_hz)


def _with_thresholds(config: DetectorConfig, settings: list[str]) -> DetectorConfig:
    """Return the detector's configuration as the settings, each ``P`` or ``WORD=P``, change it."""
    for setting in settings:
        word, equals, text = setting.rpartition("=")
        if equals and word not in config.thresholds:
            words = ", ".join(config.thresholds)
            raise typer.BadParameter(
                f"{setting!r}: the model has no word {word!r}; it has {words}",
                param_hint="--threshold",
            )
        try:
            changed = dict.fromkeys([word] if equals else config.thresholds, float(text))
            config = dataclasses.replace(config, thresholds={**config.thresholds, **changed})
        except (ValueError, ModelError):
            raise typer.BadParameter(
                f"{setting!r}: a threshold is above 0 and at most 1, as in 0.8 or left=0.8",
                param_hint="--threshold",
            ) from None
    return config


@app.command()
def devices(as_json: _JsonOption = False) -> None:
    """List the microphones."""
    found = input_devices()
    if as_json:
        print(json.dumps([dataclasses.asdict(device) for device in found], indent=2))
    elif found:
        output().print(device_table(found))
        notes().print("* is the default; choose another one with: harken listen --device NUMBER")
    else:
        raise AudioError(
            "this machine has no microphone that PortAudio can see; plug one in, or use "
            "`harken listen --wav FILE` or `harken listen --stdin`"
        )


@app.command()
def info(model: _ModelArgument = "commands", as_json: _JsonOption = False) -> None:
    """Show a model: its words, how it is fed, where it came from."""
    loaded = load_model(model)
    if as_json:
        print(loaded.manifest.to_json(), end="")
    else:
        output().print(model_table(loaded))


@app.command()
def bench(
    model: _ModelArgument = "commands",
    runtime: _RuntimeOption = None,
    as_json: _JsonOption = False,
) -> None:
    """Measure a model on this machine: size, speed, memory."""
    figures = benchmark(load_model(model), runtime=runtime)
    if as_json:
        print(json.dumps(dataclasses.asdict(figures), indent=2))
    else:
        output().print(benchmark_table(figures))


app.command("train")(train_command)
app.command("eval")(eval_command)
app.command("tune")(tune_command)
app.command("export")(export_command)
app.add_typer(grammar_app, name="grammar")
app.add_typer(memory_app, name="memory")


def main() -> None:
    """Run the command line."""
    app(prog_name="harken")
