"""Audio from clients of the Wyoming protocol in, the words in it out: a wake word service.

Home Assistant is such a client. Each client has its own spotter; models are loaded once. It
runs in one thread: a chunk of 64 ms takes 0.2 ms, less than handing it to another thread and
back; longer chunks are processed in pieces, between which other clients get their turn.

The protocol has no passwords and no encryption: bind only to addresses of networks you trust.
"""

from __future__ import annotations

import asyncio
import errno
import re
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, urlsplit

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.info import Attribution, Describe, Info, WakeModel, WakeProgram
from wyoming.ping import Ping, Pong
from wyoming.server import AsyncEventHandler, AsyncServer
from wyoming.wake import Detect, Detection, NotDetected

from .... import __version__
from ...errors import AudioError
from .hearing import ChunkFormat, Hearing
from .limits import Limits
from .wire import Rubbish, read_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wyoming.event import Event

    from .hearing import Found
    from .offer import Offer

    Say = Callable[[str], object]

_FAREWELL_S = 2.0  # to flush sent data when a connection is closed


def describe(offered: Sequence[Offer], *, language: str) -> Info:
    """Return the service description for clients: one wake model per word."""
    maker = Attribution(name="harken", url="")
    return Info(
        wake=[
            WakeProgram(
                name="harken",
                description="spoken words, heard offline",
                attribution=maker,
                installed=True,
                version=__version__,
                models=[
                    WakeModel(
                        name=word,
                        description=f"{word} ({offer.model.manifest.name})",
                        phrase=word,
                        attribution=maker,
                        installed=True,
                        version=offer.model.manifest.model.sha256[:12],
                        languages=[language],
                    )
                    for offer in offered
                    for word in offer.words
                ],
            )
        ]
    )


class WyomingService:
    """A server that detects words for its clients.

    Parameters
    ----------
    offered : sequence of Offer
        The models and words to detect.
    uri : str
        ``tcp://HOST:PORT`` or ``unix:///PATH``; port 0 takes a free one.
    limits : Limits
        Limits for each client.
    language : str
        Language of the words, as in Home Assistant: ``en``.
    warn : callable
        Called with a line for each rejected client.
    tell : callable
        Called with a line for everything else.

    Raises
    ------
    AudioError
        The address is invalid, or names a file that is not a socket, or a socket in use.
    """

    def __init__(
        self,
        offered: Sequence[Offer],
        uri: str,
        *,
        limits: Limits | None = None,
        language: str = "en",
        warn: Say = lambda line: None,
        tell: Say = lambda line: None,
    ) -> None:
        self.offered = tuple(offered)
        self.limits = Limits() if limits is None else limits
        self.warn = warn
        self.tell = tell
        self.words = tuple(word for offer in offered for word in offer.words)
        """All offered words."""
        self.info = describe(self.offered, language=language).event()
        """The service description for clients."""
        self.clients: set[_Client] = set()
        """The connected clients."""
        self.uri = uri
        """The address it listens on; after `start`, with the actual port."""
        self._address = _address(uri)
        self._server = AsyncServer.from_uri(uri)
        self._count = 0

    async def start(self) -> None:
        """Start listening, and return.

        Raises
        ------
        AudioError
            The address is in use or not available.
        """
        if self._address.scheme == "unix":
            await asyncio.to_thread(_make_room, Path(self._address.path))
        try:
            await self._server.start(self._client)
        except OSError as problem:
            remedy = "choose another address with --uri"
            if problem.errno == errno.EADDRINUSE:
                remedy += ", or end the program that uses it"
            raise AudioError(
                f"cannot listen on {self.uri}: {problem.strerror or problem}; {remedy}"
            ) from None
        if self._address.port == 0:
            # The package does not expose its sockets, and there is no other way to get the port.
            sockets = cast(Any, self._server)._server.sockets
            host = self._address.netloc.rpartition(":")[0]
            self.uri = f"tcp://{host}:{sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close all connections, and stop listening."""
        await self._server.stop()
        until = time.monotonic() + 2 * _FAREWELL_S
        while self.clients and time.monotonic() < until:
            await asyncio.sleep(0.01)

    def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Client:
        self._count += 1
        peer = writer.get_extra_info("peername")
        where = f" ({peer[0]}:{peer[1]})" if isinstance(peer, tuple) else ""
        return _Client(self, reader, writer, name=f"client {self._count}{where}")


class _Client(AsyncEventHandler):
    """One connection."""

    def __init__(
        self,
        service: WyomingService,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        name: str,
    ) -> None:
        super().__init__(reader, writer)
        self._service = service
        self._name = name
        self._hearing = Hearing(service.offered)
        self._found = 0  # since the audio began

    async def run(self) -> None:
        """Serve until either side closes the connection."""
        service = self._service
        self._is_running = True
        try:
            if len(service.clients) >= service.limits.clients:
                raise Rubbish(f"is one too many; at most {service.limits.clients} are served")
            service.clients.add(self)
            service.tell(f"{self._name} is connected")
            while self._is_running:
                event = await read_event(self.reader, service.limits)
                if event is None or not await self.handle_event(event):
                    break
            service.tell(f"{self._name} is gone")
        except (Rubbish, AudioError) as problem:
            if self._is_running:
                service.warn(f"{self._name} {problem}; rejected")
                await self._refuse(str(problem))
        except OSError as problem:
            service.tell(f"{self._name} is gone: {problem.strerror or problem}")
        finally:
            await self._hang_up()
            service.clients.discard(self)

    async def handle_event(self, event: Event) -> bool:
        """Answer an event; events unrelated to wake words are ignored."""
        if AudioChunk.is_type(event.type):
            form = ChunkFormat(*(_whole(event, name) for name in ("rate", "width", "channels")))
            chunk = self._hearing.feed(event.payload or b"", form, _timestamp_ms(event))
            await self._report(chunk)
        elif Describe.is_type(event.type):
            await self.write_event(self._service.info)
        elif Detect.is_type(event.type):
            await self._want(event.data.get("names"))
        elif AudioStart.is_type(event.type):
            self._hearing.begin(_timestamp_ms(event))
            self._found = 0
        elif AudioStop.is_type(event.type):
            await self._report(self._hearing.end())
            if not self._found:
                await self.write_event(NotDetected().event())
            self._hearing.begin()
            self._found = 0
        elif Ping.is_type(event.type):
            await self.write_event(Pong(text=Ping.from_event(event).text).event())
        return True

    async def write_event(self, event: Event) -> None:
        """Send an event.

        Raises
        ------
        Rubbish
            The client does not accept it in time.
        """
        limit_s = self._service.limits.message_s
        try:
            async with asyncio.timeout(limit_s):
                await super().write_event(event)
        except TimeoutError:
            raise Rubbish(f"accepted no answer for {limit_s:g} s") from None

    async def _want(self, names: Any) -> None:
        if names is None:
            self._hearing.want(None)
            return
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Rubbish("asks for words with something that is not a list of names")
        words = self._service.words
        unknown = [name for name in names if name not in words]
        # An empty list means all words, as in other servers of this protocol.
        self._hearing.want(frozenset(names) if names else None)
        if unknown:
            shown = ", ".join(ascii(name)[:60] for name in unknown[:5])
            line = f"asks for {shown}; there are {', '.join(words)}"
            self._service.warn(f"{self._name} {line}")
            await self.write_event(Error(text=line, code="unknown-name").event())

    async def _report(self, pieces: Iterable[list[Found]]) -> None:
        for found in pieces:
            for each in found:
                self._found += 1
                self._service.tell(
                    f"{self._name}: {each.word} {each.confidence:.0%} at {each.timestamp_ms} ms"
                )
                detection = Detection(name=each.word, timestamp=each.timestamp_ms)
                await self.write_event(detection.event())
            await asyncio.sleep(0)  # let other clients run

    async def _refuse(self, reason: str) -> None:
        with suppress(OSError, Rubbish):
            await self.write_event(Error(text=reason, code="refused").event())

    async def _hang_up(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(min(_FAREWELL_S, self._service.limits.message_s)):
                await self.writer.wait_closed()
        except OSError:  # already gone, or not reading (TimeoutError)
            self.writer.transport.abort()


def _whole(event: Event, name: str) -> int:
    value = event.data.get(name)
    if type(value) is not int:
        raise Rubbish(f"sends sound without a {name}")
    return value


def _timestamp_ms(event: Event) -> float | None:
    """Return the client's timestamp; None unless it is a number within 300,000 years."""
    value = event.data.get("timestamp")
    if not isinstance(value, int | float) or not -1e16 < value < 1e16:
        return None
    return float(value)


def _address(uri: str) -> SplitResult:
    try:
        address = urlsplit(uri)
        fits = (
            address.port is not None
            and bool(address.hostname)
            and address.path in ("", "/")
            and address.username is None
            and not re.search(r"[?#\s]", uri)
            if address.scheme == "tcp"
            # Any file name is allowed, but urlsplit would cut this one short.
            else address.scheme == "unix"
            and not address.netloc
            and len(address.path) > 1
            and uri == f"unix://{address.path}"
        )
    except ValueError:
        fits = False
    if not fits:
        raise AudioError(
            f"{uri!r} is not an address to listen on; use tcp://HOST:PORT or unix:///PATH, as "
            "in tcp://127.0.0.1:10400"
        )
    if address.scheme == "unix" and sys.platform == "win32":
        raise AudioError(f"{uri!r}: Windows has no Unix sockets; use tcp://HOST:PORT instead")
    return address


def _make_room(path: Path) -> None:
    """Refuse a path that is in use: the package would remove whatever is there."""
    import socket

    if sys.platform == "win32":  # refused already
        return
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # nothing is there, or binding will report the reason
    if not stat.S_ISSOCK(mode):
        raise AudioError(f"cannot listen on unix://{path}: it exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.settimeout(1.0)
        probe.connect(str(path))
        raise AudioError(
            f"cannot listen on unix://{path}: it is in use; choose another address with --uri, or "
            "end the program that uses it"
        )
