"""Command-line options for MQTT in, a publisher out. Imports the MQTT package only when used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import DependencyError
from ..lines import warn
from .broker import PASSWORD_VARIABLE, MqttError, parse_broker

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...memory.grammar import Grammar
    from ...spotting.manifest import Model
    from .broker import Broker
    from .publisher import MqttPublisher

HOME_ASSISTANT = "homeassistant"
"""Home Assistant's default discovery prefix."""

MqttOption = Annotated[
    str | None,
    typer.Option(
        "--mqtt",
        metavar="URL",
        help="Publish words and commands: mqtt[s]://[USER@]HOST[:PORT][/PREFIX]. The password "
        f"comes from {PASSWORD_VARIABLE}, or from a file.",
    ),
]
MqttPasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--mqtt-password-file",
        metavar="FILE",
        help="File whose first line is the broker's password.",
    ),
]
MqttCaOption = Annotated[
    Path | None,
    typer.Option(
        "--mqtt-ca",
        metavar="FILE",
        help="CA certificate of the broker. Default: those of the system.",
    ),
]
MqttCertOption = Annotated[
    Path | None,
    typer.Option("--mqtt-cert", metavar="FILE", help="Client certificate."),
]
MqttKeyOption = Annotated[
    Path | None,
    typer.Option("--mqtt-key", metavar="FILE", help="Key of the client certificate."),
]
MqttInsecureOption = Annotated[
    bool,
    typer.Option(
        "--mqtt-insecure",
        help="Encrypt, but do not check the broker's certificate: for tests only.",
    ),
]
MqttDiscoveryOption = Annotated[
    str | None,
    typer.Option(
        "--mqtt-discovery",
        metavar="PREFIX",
        help=f"Announce harken to Home Assistant under this prefix, usually {HOME_ASSISTANT}.",
    ),
]
MqttKeepOption = Annotated[
    float | None,
    typer.Option(
        "--mqtt-keep",
        metavar="S",
        min=0.0,
        help="How long to keep messages while the broker is away. Default: 60 seconds.",
    ),
]


def mqtt_publisher(
    url: str | None,
    *,
    model: Model,
    grammar: Grammar | None = None,
    password_file: Path | None = None,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    insecure: bool = False,
    discovery: str | None = None,
    keep_s: float | None = None,
    on_warning: Callable[[str], object] = warn,
) -> MqttPublisher | None:
    """Return a started publisher; None without a URL.

    Parameters
    ----------
    url : str, optional
        See `parse_broker`, also for the files.
    model : Model
        The model whose words are published.
    grammar : Grammar, optional
        The grammar of the commands.
    discovery : str, optional
        Home Assistant's discovery prefix; None announces nothing.
    keep_s : float, optional
        How long messages are kept while the broker is away, in seconds.
    on_warning : callable
        Called with a line for the user, from another thread.

    Raises
    ------
    MqttError
        The options conflict, or a file cannot be used.
    DependencyError
        ``paho-mqtt`` is not installed.
    """
    options = {
        "--mqtt-password-file": password_file,
        "--mqtt-ca": ca_file,
        "--mqtt-cert": cert_file,
        "--mqtt-key": key_file,
        "--mqtt-insecure": insecure or None,
        "--mqtt-discovery": discovery,
        "--mqtt-keep": keep_s,
    }
    if url is None:
        for option, value in options.items():
            if value is not None:
                raise MqttError(f"{option} needs --mqtt")
        return None
    broker = parse_broker(
        url,
        password_file=password_file,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        insecure=insecure,
    )
    root = None if discovery is None else discovery_root(discovery)
    require_paho()
    from .publisher import KEEP_S, MqttPublisher

    intents = []
    if grammar is not None:
        intents = [spec.intent for spec in grammar.commands]
        intents += ["stop"] * bool(grammar.controls.stop)
    return MqttPublisher(
        broker,
        words=model.manifest.words,
        intents=intents,
        model=model.manifest.name,
        discovery_root=root,
        keep_s=KEEP_S if keep_s is None else keep_s,
        on_warning=on_warning,
    )


def forget(broker: Broker, *, discovery: str) -> list[str]:
    """Remove retained messages; return their topics. See `publisher.forget`."""
    root = discovery_root(discovery)
    require_paho()
    from . import publisher

    return publisher.forget(broker, discovery_root=root, on_warning=warn)


def discovery_root(text: str) -> str:
    """Return a discovery prefix, or raise MqttError if it cannot begin a topic."""
    root = text.strip("/")
    if not root or not root.isprintable() or any(letter in root for letter in "+#") or "//" in root:
        raise MqttError(
            f"{text!r} cannot begin a topic for --mqtt-discovery; usually it is {HOME_ASSISTANT}"
        )
    return root


def require_paho() -> None:
    """Raise DependencyError if the package is not installed."""
    try:
        import paho.mqtt.client  # noqa: F401
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "paho":
            raise
        raise DependencyError(
            "this needs the package paho-mqtt; install it with `pip install 'harken[mqtt]'`"
        ) from None
