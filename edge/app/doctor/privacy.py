"""Text of a report in, the same without personal data out.

Removed are names of users and hosts, home folders, network and Bluetooth addresses, serial numbers
in the names of devices, and the owner's part of such a name: “Anna's AirPods”.
"""

from __future__ import annotations

import getpass
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

T = TypeVar("T")

# They identify nobody, and replacing them would garble the report.
_ANYBODYS = {
    *("admin", "audio", "debian", "harken", "linux", "localhost", "pi", "raspberrypi", "root"),
    *("runner", "ubuntu", "user"),
}

_ADDRESS = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}[:_-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f])")
_IP_ADDRESS = re.compile(r"(?<![\d.])(?!127\.)(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_HOME = re.compile(r"(?:[A-Za-z]:)?[\\/](?:home|Users)[\\/][^\\/\s:;,'\"]+")

# A serial number: at least eight letters and digits, at least four of them digits. With hyphens it
# is the name of a driver, such as bcm2835-i2s-wm8960-hifi.
_SERIAL = re.compile(r"(?<![A-Za-z0-9])(?=(?:[A-Za-z_]*\d){4})\w{8,}(?!\w)", re.ASCII)

# “Anna Maria's AirPods”, “James' AirPods”, “Headset (Anna's AirPods)”.
_OWNER_BEFORE = re.compile(r"(^|[(\[:,]\s*)[^()\[\]:,]*?\w(?:['’]s|s['’])\s+(?=\S)")
# “AirPods von Anna”, “AirPods de Anna”, “AirPods d’Anna”.
_OWNER_AFTER = re.compile(
    r"\s(von|van|vom|de|di|da|do|af|av|od)\s+[^()\[\]:,\s][^()\[\]:,]*|\s(d)['’][^()\[\]:,]+"
)


class Privacy:
    """Removes this machine's private data from texts.

    Parameters
    ----------
    home : Path, optional
        The user's home folder, which becomes ``~``.
    names : iterable of str
        The user's names and the host's: whole words, replaced everywhere.
    """

    def __init__(self, *, home: Path | None = None, names: Iterable[str] = ()) -> None:
        self._homes: list[str] = []
        if home is not None and home != home.parent:  # not the root folder
            self._homes = sorted({str(home), str(home.resolve())}, key=len, reverse=True)
        chosen = {name for name in names if len(name) > 1 and name.lower() not in _ANYBODYS}
        alternatives = "|".join(sorted(map(re.escape, chosen), key=len, reverse=True))
        self._names = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)") if chosen else None
        self._devices: dict[str, str] = {}

    @classmethod
    def here(cls) -> Privacy:
        """Return one for this user and machine."""
        names: set[str] = set()
        host = platform.node()
        names |= {host, host.partition(".")[0]}
        with suppress(OSError, KeyError, ImportError):  # no such user: a container
            names.add(getpass.getuser())
        if sys.platform != "win32":
            import os
            import pwd

            with suppress(KeyError):
                entry = pwd.getpwuid(os.getuid())
                full_name = entry.pw_gecos.partition(",")[0]
                # Each part of "Debian Exim" or "Anna Weber"; an initial identifies nobody.
                names |= {entry.pw_name, *(part for part in full_name.split() if len(part) > 2)}
        home = None
        with suppress(RuntimeError):
            home = Path.home()
        return cls(home=home, names=names)

    def device(self, name: str) -> str:
        """Return a device name without owner, addresses and serial number, and remember it.

        From then on `clean` replaces it wherever it occurs.
        """
        shown = _ADDRESS.sub("<address>", name)
        shown = _SERIAL.sub("<serial>", shown)
        shown = _OWNER_BEFORE.sub(r"\1<owner>'s ", shown)
        shown = _OWNER_AFTER.sub(lambda found: f" {found[1] or found[2]} <owner>", shown)
        shown = self._text(" ".join(shown.split()))
        if shown != name:
            self._devices[name] = shown
        return shown

    def typed_device(self, text: str) -> None:
        """Remember the part of a device name that the user typed: it may be the owner's name."""
        if len(text) < 3:
            return  # too short for a name, and part of too many other words
        for name, shown in self._devices.items():
            if text.lower() in name.lower() and text.lower() not in shown.lower():
                self._devices[text] = "<owner>"
                return

    def clean(self, value: T) -> T:
        """Return a text, or JSON data with texts, without private data."""
        if isinstance(value, str):
            return cast("T", self._text(value))
        if isinstance(value, Mapping):
            return cast("T", {key: self.clean(item) for key, item in value.items()})
        if isinstance(value, list | tuple):
            return cast("T", [self.clean(item) for item in value])
        return value

    def _text(self, text: str) -> str:
        for name in sorted(self._devices, key=len, reverse=True):
            text = text.replace(name, self._devices[name])
        for home in self._homes:
            text = re.sub(rf"{re.escape(home)}(?![\w-])", "~", text)
        text = _HOME.sub("~", text)
        text = _ADDRESS.sub("<address>", text)
        text = _IP_ADDRESS.sub("<address>", text)
        return self._names.sub("<name>", text) if self._names is not None else text
