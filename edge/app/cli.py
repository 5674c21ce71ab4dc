"""The commands for a device: arguments in, an exit code out.

`harken.cli` adds those of train and export.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated, Any

import typer
import typer.core

from ... import __version__
from ..errors import AudioError, HarkenError
from ..sound.microphone import input_devices
from ..spotting.manifest import load_model
from .benchmark import benchmark
from .collect.record_cli import record_command
from .collect.review_cli import review_command
from .display import benchmark_table, device_table, notes, output
from .doctor.cli import doctor_command
from .grammar_cli import grammar_app
from .info import model_table
from .listen_cli import listen_command
from .memory_cli import memory_app
from .options import JsonOption, ModelArgument, RuntimeOption
from .serve.cli import serve_app
from .streams import StreamError, guard_output, print_json, print_json_text


class _Commands(typer.core.TyperGroup):
    """The commands, and the one place where an expected error becomes an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HarkenError as error:
            _say_why(error)
            raise typer.Exit(error.exit_code) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    """Offline voice commands: listen for words, and make the models that recognize them."""


app.command("listen")(listen_command)
app.command("doctor")(doctor_command)


@app.command()
def devices(as_json: JsonOption = False) -> None:
    """List the microphones."""
    found = input_devices()
    if as_json:
        print_json([dataclasses.asdict(device) for device in found], indent=2)
    elif found:
        output().print(device_table(found))
        notes().print("* is the default; choose another one with: harken listen --device NUMBER")
    else:
        raise AudioError(
            "this machine has no microphone that PortAudio can see; plug one in, or use "
            "`harken listen --wav FILE` or `harken listen --stdin`"
        )


@app.command()
def info(model: ModelArgument = "commands", as_json: JsonOption = False) -> None:
    """Show a model: its words, front end, thresholds and origin."""
    loaded = load_model(model)
    if as_json:
        print_json_text(loaded.manifest.to_json().rstrip("\n"))
    else:
        output().print(model_table(loaded))


@app.command()
def bench(
    model: ModelArgument = "commands",
    runtime: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on this machine: size, speed, memory."""
    figures = benchmark(load_model(model), runtime=runtime)
    if as_json:
        print_json(dataclasses.asdict(figures), indent=2)
    else:
        output().print(benchmark_table(figures))


app.command("record")(record_command)
app.command("review")(review_command)
app.add_typer(grammar_app, name="grammar")
app.add_typer(memory_app, name="memory")
app.add_typer(serve_app, name="serve")


def main() -> None:
    """Run the command line."""
    guard_output()
    try:
        try:
            app(prog_name="harken")
        finally:
            sys.stdout.flush()  # not when Python ends, where errors could not be reported
    except StreamError as error:
        _say_why(error)
        sys.exit(error.exit_code)


def _say_why(error: HarkenError) -> None:
    """Print an error, unless it is only that the reader of a pipe has left."""
    if not (isinstance(error, StreamError) and error.reader_left):
        print(f"harken: error: {error}", file=sys.stderr)
