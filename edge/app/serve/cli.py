"""``harken serve``: models in, a local service that detects their words out."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import DependencyError
from ...files import packaged
from ...spotting.manifest import load_model
from ..display import notes
from ..lines import warn
from ..options import JsonOption, ThresholdOption
from ..streams import print_json
from .broker import parse_broker
from .limits import Limits
from .mqtt import (
    HOME_ASSISTANT,
    MqttCaOption,
    MqttCertOption,
    MqttDiscoveryOption,
    MqttInsecureOption,
    MqttKeyOption,
    MqttPasswordFileOption,
    forget,
)
from .offer import offers

if TYPE_CHECKING:
    from .wyoming import WyomingService

serve_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Serve words to other programs in the house.",
)


@serve_app.command("wyoming")
def wyoming_command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Each a .tflite file, its .json manifest, or the name of a shipped model. "
            "Default: commands. If several models have a word, the first is used.",
        ),
    ] = None,
    *,
    uri: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="Where to listen: tcp://HOST:PORT, or unix:///PATH. The default accepts this "
            "machine only; tcp://0.0.0.0:10400 accepts anybody on the network.",
        ),
    ] = "tcp://127.0.0.1:10400",
    word: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="Offer this word only; may be repeated. Default: all."),
    ] = None,
    threshold: ThresholdOption = None,
    refractory: Annotated[
        int | None,
        typer.Option(
            metavar="MS", min=0, help="Refractory time after a word. Default: from the manifest."
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(metavar="CODE", help="Language of the words, as reported to clients.")
    ] = "en",
    max_clients: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Maximum number of clients at a time.")
    ] = Limits.clients,
    idle_timeout: Annotated[
        float,
        typer.Option(
            metavar="S", min=1.0, help="Disconnect clients that are silent for this long."
        ),
    ] = Limits.idle_s,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log connections and detected words.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print address and words as JSON once the service runs.")
    ] = False,
) -> None:
    """Serve wake words to Home Assistant and other clients of the Wyoming protocol.

    There is no password and no encryption: use it in a network that you trust. Ctrl-C stops it.
    """
    offered = offers(
        [load_model(model) for model in models or ["commands"]],
        words=word or [],
        thresholds=threshold or [],
        refractory_ms=refractory,
    )
    try:
        from .wyoming import WyomingService
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "wyoming":
            raise
        raise DependencyError(
            "this needs the package wyoming; install it with `pip install 'harken[wyoming]'`"
        ) from None
    service = WyomingService(
        offered,
        uri,
        limits=Limits(clients=max_clients, idle_s=idle_timeout),
        language=language,
        warn=warn,
        tell=_tell if verbose else _silent,
    )
    import asyncio

    asyncio.run(_run(service, as_json=as_json))


@serve_app.command("mqtt-forget")
def mqtt_forget_command(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="URL as for `harken listen --mqtt`, with the same prefix."
        ),
    ],
    *,
    password_file: MqttPasswordFileOption = None,
    ca: MqttCaOption = None,
    cert: MqttCertOption = None,
    key: MqttKeyOption = None,
    insecure: MqttInsecureOption = False,
    discovery: MqttDiscoveryOption = HOME_ASSISTANT,
    as_json: JsonOption = False,
) -> None:
    """Remove what `harken listen --mqtt` left at a broker, and so from Home Assistant."""
    broker = parse_broker(
        url,
        password_file=password_file,
        ca_file=ca,
        cert_file=cert,
        key_file=key,
        insecure=insecure,
    )
    topics = forget(broker, discovery=HOME_ASSISTANT if discovery is None else discovery)
    if as_json:
        print_json({"broker": str(broker), "removed": topics})
    elif not topics:
        _tell(f"There was nothing to remove at {broker} with the prefix {broker.prefix}.")
    else:
        _tell(f"Removed from {broker}: {', '.join(topics)}")


@serve_app.command("unit")
def unit_command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="harken (listens and publishes) or harken-wyoming."),
    ],
) -> None:
    """Print a unit for systemd, as a file for /etc/systemd/system."""
    units = packaged("harken.edge.app.serve", "systemd", suffix=".service")
    if name.removesuffix(".service") not in units:
        raise typer.BadParameter(
            f"there is no unit {name!r}; there are {', '.join(units)}", param_hint="NAME"
        )
    print(units[name.removesuffix(".service")].read_text(encoding="utf-8"), end="")


async def _run(service: WyomingService, *, as_json: bool) -> None:
    """Serve until the user or the system ends it."""
    import asyncio

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":  # its event loops do not support signal handlers
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ended.set))
        else:
            loop.add_signal_handler(number, ended.set)
    await service.start()
    if as_json:
        print_json({"uri": service.uri, "words": service.words})
    else:
        _tell(f"Serving at {service.uri}; Ctrl-C ends it.")
        _tell(f"Words: {' '.join(service.words)}.")
    await ended.wait()
    await service.stop()


def _tell(line: str) -> None:
    notes().print(line, soft_wrap=True)


def _silent(line: str) -> None:
    """Say nothing."""
