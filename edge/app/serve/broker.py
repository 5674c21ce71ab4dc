"""The URL of an MQTT broker and the options for files in; how to connect to the broker out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from ...errors import HarkenError

if TYPE_CHECKING:
    import ssl

PASSWORD_VARIABLE = "HARKEN_MQTT_PASSWORD"
"""Environment variable that holds the password, unless a file does."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_PREFIX = "harken"
_MOST_BYTES = 200  # of a prefix; some brokers limit topics to 255
_MOST_PASSWORD_BYTES = 65_535  # the protocol's limit


class MqttError(HarkenError):
    """The URL or an option for a broker cannot be used."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Broker:
    """How to reach a broker, and where to publish.

    Attributes
    ----------
    host : str
        Name or address.
    port : int
        TCP port.
    user : str, optional
        User name; None logs in without one.
    password : str, optional
        Never shown.
    prefix : str
        Prefix of all topics, before a slash.
    tls : ssl.SSLContext, optional
        TLS settings; None means no encryption.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    prefix: str = _PREFIX
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


def parse_broker(
    url: str,
    *,
    password_file: Path | None = None,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    insecure: bool = False,
) -> Broker:
    """Return the broker for a URL and options.

    Parameters
    ----------
    url : str
        ``mqtt[s]://[USER@]HOST[:PORT][/PREFIX]``.
    password_file : Path, optional
        File whose first line is the password. Default: the variable `PASSWORD_VARIABLE`.
    ca_file : Path, optional
        CA certificates (PEM) to verify the broker's with. Default: those of the system.
    cert_file, key_file : Path, optional
        Certificate and key (PEM) of this client, for a broker that requires them.
    insecure : bool
        Whether to encrypt without checking the broker's certificate.

    Raises
    ------
    MqttError
        The URL is invalid, contains a password or conflicts with an option, or a file cannot be
        used.
    """
    address = _split(url)
    secure = address.scheme == "mqtts"
    given = {
        "--mqtt-ca": ca_file,
        "--mqtt-cert": cert_file,
        "--mqtt-key": key_file,
        "--mqtt-insecure": insecure,
    }
    for option, value in given.items():
        if value and not secure:
            raise MqttError(f"{option} needs TLS; write mqtts:// instead of mqtt://")
    if insecure and ca_file:
        raise MqttError("--mqtt-insecure and --mqtt-ca exclude each other; leave one out")
    if key_file and not cert_file:
        raise MqttError("--mqtt-key needs --mqtt-cert, the certificate that belongs to it")
    user = unquote(address.username) if address.username else None
    password = _password(password_file)
    if password is not None and user is None:
        raise MqttError(
            "there is a password, but no user; name one before the host, as in "
            f"--mqtt {address.scheme}://USER@{address.hostname}"
        )
    return Broker(
        host=address.hostname or "",
        port=address.port or _PORTS[address.scheme],
        user=user,
        password=password,
        prefix=_prefix(unquote(address.path)),
        tls=_tls(ca_file, cert_file, key_file, insecure=insecure) if secure else None,
    )


def _split(url: str) -> SplitResult:
    form = "it must be mqtt[s]://[USER@]HOST[:PORT][/PREFIX], as in mqtt://localhost/harken"
    # Also if the URL cannot be parsed, for example because the password contains a slash.
    has_password = re.search("//.*:.*@", url) is not None
    try:
        address = urlsplit(url)
        fits = (
            address.scheme in _PORTS
            and bool(address.hostname)
            and address.port != 0  # raises ValueError for an invalid port
            and address.username != ""
        )
        (address.hostname or "").encode("idna")
    except ValueError:
        fits = False
    if has_password:
        # The URL is not repeated here, since messages may end up in a log.
        raise MqttError(
            "a URL for --mqtt must not contain a password, which others can see in the list of "
            f"processes: write USER@HOST, and put the password into {PASSWORD_VARIABLE} or a file "
            "for --mqtt-password-file"
        )
    if not fits or re.search(r"[\s\x00-\x1f\x7f]", url):  # urlsplit drops some of these
        raise MqttError(f"{url!r} is not a broker; {form}")
    for mark, why in (("#", "no topic may contain"), ("?", "must be written %3F in a URL")):
        if mark in url:
            raise MqttError(f"{url!r} is not a broker; {form}, and has a {mark}, which {why}")
    return address


def _prefix(path: str) -> str:
    prefix = path.removeprefix("/").removesuffix("/")
    if not prefix:
        return _PREFIX
    if (
        re.search(r"[+#\x00-\x1f\x7f]|//|^[$/]|/$", prefix)
        or len(prefix.encode("utf-8", "replace")) > _MOST_BYTES
    ):
        raise MqttError(
            f"{prefix!r} cannot begin a topic: no +, no #, no $ at its beginning, no empty level, "
            f"{_MOST_BYTES} bytes at most"
        )
    return prefix


def _password(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(PASSWORD_VARIABLE) or None
    try:
        with file.open("rb") as opened:
            line = opened.read(_MOST_PASSWORD_BYTES + 2).split(b"\n", 1)[0].rstrip(b"\r")
        password = line.decode("utf-8-sig")
    except OSError as problem:
        raise MqttError(f"cannot read the password from {file}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise MqttError(f"{file} does not contain a password: it is not UTF-8") from None
    if not password or len(line) > _MOST_PASSWORD_BYTES:
        raise MqttError(
            f"{file} does not contain a password: its first line must have 1 to "
            f"{_MOST_PASSWORD_BYTES} bytes"
        )
    return password


def _tls(
    ca_file: Path | None, cert_file: Path | None, key_file: Path | None, *, insecure: bool
) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    if ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's certificates
        try:
            context.load_verify_locations(ca_file)
        except OSError as problem:  # SSLError is one
            raise MqttError(f"--mqtt-ca {ca_file}: {_unusable(problem)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert_file is not None:
        try:
            # A key with a password is an error: nobody is there to type it.
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
        except OSError as problem:
            named = f"--mqtt-cert {cert_file}" + (f", --mqtt-key {key_file}" if key_file else "")
            raise MqttError(f"{named}: {_unusable(problem)}") from None
    return context


def _unusable(problem: OSError) -> str:
    import ssl

    if isinstance(problem, ssl.SSLError):
        reason = (problem.reason or "damaged").replace("_", " ").lower()
        return f"cannot be used ({reason}); it must be a PEM file without a password"
    return f"{problem.strerror}; name a PEM file that can be read"
