"""The machine's sound system in; findings on PortAudio, devices, permissions and servers out.

Some checks are possible only on Linux; on other systems, a hint takes their place.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import AudioError, DependencyError
from ...sound.microphone import input_devices
from ...sound.sources import kilohertz
from .finding import Finding, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...sound.microphone import InputDevice
    from .privacy import Privacy

_ANSWER_S = 1.0  # timeout for a sound server; a working one answers at once

_PLUGINS = {"PulseAudio": "libasound2-plugins", "PipeWire": "pipewire-alsa"}
"""Debian packages through which ALSA, and so PortAudio, reaches a sound server."""

_OWNER = re.compile(r"^owner_pid\s*:\s*(\d+)", re.MULTILINE)

# ALSA's names for a sound server.
_SERVER_DEVICES = ("pulse", "pipewire", "default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The system's state as far as it concerns sound; tests provide their own.

    Attributes
    ----------
    system : str
        ``Linux``, ``Darwin`` (macOS) or ``Windows``.
    sound_cards : Path
        Folder of sound card devices.
    proc : Path
        The kernel's ``/proc``.
    runtime_dir : Path, optional
        Folder of the user's sound server sockets; None if no user is logged in.
    pulse_server : str
        The environment variable PULSE_SERVER.
    groups : frozenset of str
        Groups of this process.
    enrolled : frozenset of str
        Groups of the user, effective from the next login at the latest.
    may_use : callable
        Whether this process may read and write a device.
    """

    system: str
    sound_cards: Path = Path("/dev/snd")
    proc: Path = Path("/proc")
    runtime_dir: Path | None = None
    pulse_server: str = ""
    groups: frozenset[str] = frozenset()
    enrolled: frozenset[str] = frozenset()
    may_use: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)


def surroundings() -> Surroundings:
    """Return this system's state."""
    groups, enrolled = _groups()
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
    return Surroundings(
        system=platform.system(),
        runtime_dir=Path(runtime_dir) if runtime_dir else None,
        pulse_server=os.environ.get("PULSE_SERVER", ""),
        groups=groups,
        enrolled=enrolled,
    )


def check_portaudio() -> Finding:
    """Check that PortAudio is present; report its version and the sound systems it reaches.

    Raises
    ------
    AudioError
        The library is missing.
    """
    try:
        input_devices()
        import sounddevice
    except ImportError as problem:
        return Finding(
            check="sound.portaudio",
            state=State.PROBLEM,
            text=f"sounddevice cannot be imported: {problem}",
            remedy="pip install --force-reinstall sounddevice",
            kind=DependencyError,
        )
    version = sounddevice.get_portaudio_version()[1].partition(", revision")[0]
    host_apis = [api["name"] for api in sounddevice.query_hostapis()]
    return Finding(
        check="sound.portaudio",
        state=State.OK,
        text=f"{version}; reaches {', '.join(host_apis) or 'no sound system'}",
        figures={"version": version, "host_apis": host_apis},
    )


def check_devices(devices: list[InputDevice], privacy: Privacy) -> Finding:
    """List the input devices; having none is a problem."""
    if not devices:
        return Finding(
            check="sound.devices",
            state=State.PROBLEM,
            text="PortAudio sees no microphone",
            remedy=(
                "plug one in; see the results on permissions and the sound server; "
                "harken listen --wav FILE and --stdin work without one; --no-microphone skips this"
            ),
            kind=AudioError,
            figures={"devices": []},
        )
    lines = [
        f"{device.index}{'*' if device.default else ''} {privacy.device(device.name)} "
        f"({device.host_api}, {device.channels} ch, {kilohertz(device.sample_rate_hz)})"
        for device in devices
    ]
    has_default = any(device.default for device in devices)
    return Finding(
        check="sound.devices",
        state=State.OK if has_default else State.WARNING,
        text="\n".join(lines) + ("" if has_default else "\nnone of them is the default"),
        remedy=None if has_default else "choose one with --device NUMBER",
        figures={
            "devices": [
                {**asdict(device), "name": privacy.device(device.name)} for device in devices
            ]
        },
    )


def check_permissions(around: Surroundings, *, served: bool) -> Finding:
    """Check that this user may record.

    Parameters
    ----------
    around : Surroundings
        The system.
    served : bool
        Whether a sound server answers: then only the server needs access to the sound cards.
    """
    if around.system != "Linux":
        return _privacy_settings(around.system)
    nodes = sorted(around.sound_cards.glob("pcmC*c"))
    forbidden = [node for node in nodes if not around.may_use(node)]
    figures = {
        "recorders": len(nodes),
        "forbidden": len(forbidden),
        "group_audio": "audio" in around.groups,
    }

    def found(state: State, text: str, remedy: str | None = None) -> Finding:
        return Finding(
            check="sound.permissions",
            state=state,
            text=text,
            remedy=remedy,
            kind=AudioError,
            figures=figures,
        )

    known = _cards(around.proc)
    if nodes and not forbidden:
        return found(State.OK, f"may use {_some(len(nodes), 'recording device')}")
    if served:
        return found(State.OK, "the sound server records; this user needs no access")
    if not nodes and known and not around.sound_cards.exists():
        return found(
            State.WARNING,
            f"the kernel has {_some(len(known), 'sound card')}, but {around.sound_cards} is not "
            "there: is this a container?",
            "start the container with: docker run --device /dev/snd --group-add audio …",
        )
    if not nodes:
        what = "no sound card" if not known else "no sound card that records"
        return found(
            State.WARNING,
            f"the system has {what}",
            "plug a microphone in; in a virtual machine, pass it through; a sound board on a "
            "Raspberry Pi needs its overlay in /boot/firmware/config.txt",
        )
    text = f"{_some(len(forbidden), 'recording device')} in {around.sound_cards} not accessible"
    if "audio" in around.groups:
        remedy = f"this user is already in the group audio; check: ls -l {around.sound_cards}"
    elif "audio" in around.enrolled:
        remedy = "this user is in the group audio, but not yet in this session: log in again"
    else:
        remedy = (
            "sudo usermod -aG audio $USER, and log in again; in a systemd unit: "
            "SupplementaryGroups=audio"
        )
    return found(State.PROBLEM, text, remedy)


def check_server(around: Surroundings, devices: list[InputDevice] | None) -> Finding | None:
    """Check whether PulseAudio or PipeWire answers; having neither is fine. None outside Linux.

    Parameters
    ----------
    around : Surroundings
        The system.
    devices : list of InputDevice, optional
        Devices that PortAudio sees; None if it does not work.
    """
    if around.system != "Linux":
        return None
    servers = {name: _answers(path) for name, path in _sockets(around).items()}
    running = [name for name, answers in servers.items() if answers]
    refusing = [name for name, answers in servers.items() if answers is False]
    figures = {"servers": {name: bool(answers) for name, answers in servers.items()}}

    def found(state: State, text: str, remedy: str | None = None) -> Finding:
        return Finding(check="sound.server", state=state, text=text, remedy=remedy, figures=figures)

    if running:
        reached = devices is None or any(
            device.host_api in running or device.name.lower().startswith(_SERVER_DEVICES)
            for device in devices
        )
        text = f"{' and '.join(running)} answer{'s' if len(running) == 1 else ''}"
        # PipeWire in place of PulseAudio has both sockets; its own plugin is the right one.
        plugin = _PLUGINS["PipeWire" if "PipeWire" in running else running[0]]
        if reached:
            return found(State.OK, text)
        return found(
            State.WARNING,
            f"{text}, but PortAudio does not reach it",
            f"sudo apt-get install {plugin}",
        )
    if refusing:
        return found(
            State.WARNING,
            f"{' and '.join(refusing)} left a socket, but does not answer",
            "systemctl --user restart pipewire pipewire-pulse, or pulseaudio --start",
        )
    if around.pulse_server and not around.pulse_server.startswith(("unix:", "/")):
        return found(
            State.SKIPPED, "PULSE_SERVER names a server on the network, which was not checked"
        )
    if around.runtime_dir is None:
        return found(
            State.OK,
            "sound servers were not checked: XDG_RUNTIME_DIR is not set, as with sudo and in a "
            "system service; PortAudio then uses the sound cards directly",
        )
    return found(State.OK, "no sound server is running; PortAudio uses the sound cards directly")


def serves(finding: Finding | None) -> bool:
    """Return whether `check_server` found one that answers."""
    return finding is not None and any(finding.figures["servers"].values())


def holders(proc: Path) -> list[str]:
    """Return the names of programs that are recording from a sound card (Linux)."""
    found = []
    for status in sorted(proc.glob("asound/card*/pcm*c/sub*/status")):
        with suppress(OSError):  # closed meanwhile, or another user's
            owner = _OWNER.search(status.read_text("utf-8"))
            if owner is not None:
                found.append((proc / owner[1] / "comm").read_text("utf-8", "replace").strip())
    return sorted(set(found))


def _privacy_settings(system: str) -> Finding:
    where = {
        "Darwin": "System Settings, Privacy & Security, Microphone, must allow the terminal",
        "Windows": "Settings, Privacy & security, Microphone, must allow desktop apps",
    }.get(system, "the system must allow this program to use the microphone")
    return Finding(
        check="sound.permissions",
        state=State.SKIPPED,
        text=f"not checked: programs cannot query it. {where}; otherwise there is only silence",
    )


def _sockets(around: Surroundings) -> dict[str, Path]:
    """Return the sockets of the sound servers, by server name."""
    sockets = {}
    if around.runtime_dir is not None:
        sockets["PipeWire"] = around.runtime_dir / "pipewire-0"
        sockets["PulseAudio"] = around.runtime_dir / "pulse" / "native"
    address = around.pulse_server.removeprefix("unix:")
    if address.startswith("/"):
        sockets["PulseAudio"] = Path(address)
    return sockets


def _answers(path: Path) -> bool | None:
    """Return whether a socket accepts connections; None if it does not exist."""
    if sys.platform == "win32":  # no Unix sockets
        return None
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_ANSWER_S)
        try:
            client.connect(str(path))
        except FileNotFoundError:
            return None
        except OSError:  # stale, or another user's
            return False
    return True


def _cards(proc: Path) -> list[str]:
    """Return the sound cards that the kernel knows."""
    try:
        lines = (proc / "asound" / "cards").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if "]:" in line]


def _groups() -> tuple[frozenset[str], frozenset[str]]:
    """Return the groups of this process, and those of the user."""
    try:
        import grp
        import pwd
    except ImportError:  # Windows
        return frozenset(), frozenset()
    groups, enrolled = set(), set()
    for number in {*os.getgroups(), os.getgid()}:
        with suppress(KeyError):  # a group without a name
            groups.add(grp.getgrgid(number).gr_name)
    with suppress(KeyError):
        user = pwd.getpwuid(os.getuid()).pw_name
        enrolled = {entry.gr_name for entry in grp.getgrall() if user in entry.gr_mem}
    return frozenset(groups), frozenset(groups | enrolled)


def _some(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
