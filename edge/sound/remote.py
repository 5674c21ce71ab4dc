"""Raw samples over the network: TCP or UDP in, blocks out.

One sender is heard at a time. One that has sent nothing for `IDLE_S` makes room for the next. When
the sender changes or pauses, the audio in between counts as dropped, so that positions keep up with
the clock.

There is no encryption and no password: bind to an address of a network that you trust.
"""

from __future__ import annotations

import errno
import re
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from ..errors import AudioError
from .pcm import PcmDecoder, PcmFormat, container
from .sources import SAMPLE_RATE_HZ, Announcement, Block, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE_S = 2.0
"""A sender that has been silent for this long may be replaced; its next sample follows a gap."""

# [HOST]:PORT with a host of IPv6, HOST:PORT, PORT.
_ADDRESS = re.compile(r"(?:(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s/?#@:\[\]]*)):)?([0-9]{1,5})")

_POLL_S = 0.5  # how soon close() from another thread is noticed
_MOST_BYTES = 1 << 16  # of a datagram, or of one read
_KERNEL_BUFFER_BYTES = 1 << 20


def address(text: str) -> tuple[str, int]:
    """Parse ``[HOST:]PORT``; without a host only this machine can send.

    Raises
    ------
    AudioError
        It has another form.
    """
    form = _ADDRESS.fullmatch(text)
    if form is None or int(form[3]) > 65535:
        raise AudioError(f"{text!r} is no address; it must be PORT or HOST:PORT, as in 4000")
    return form[1] or form[2] or "127.0.0.1", int(form[3])


def _remedy(error: OSError, where: tuple[str, int]) -> str:
    if error.errno == errno.EADDRINUSE:
        return "choose another port, or end the program that uses it"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "choose a port from 1024 up"
    return f"{where[0]} must be an address of this machine: 0.0.0.0 for all that it has"


class _NetworkSource(Source):
    """What TCP and UDP have in common: the socket, and the positions of the samples.

    Parameters
    ----------
    where : tuple of str and int
        Host and port to bind; port 0 takes a free one, see ``where``.
    sample_rate_hz : int
        Rate of the blocks.
    form : PcmFormat, optional
        Format of what is sent; by default mono at the rate of the blocks.

    Raises
    ------
    AudioError
        The address cannot be bound.
    """

    _kind: ClassVar[str]

    def __init__(
        self,
        where: tuple[str, int],
        *,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        form: PcmFormat | None = None,
    ) -> None:
        self._form = PcmFormat(rate_hz=sample_rate_hz) if form is None else form
        self._sample_rate_hz = sample_rate_hz
        self._decoder = PcmDecoder(self._form, sample_rate_hz)
        self._closed = False
        self._silent_since: float | None = None  # the end of the last audio, if any came
        self._interrupted = False
        try:
            self._socket = self._bind(where)
        except OSError as error:
            raise AudioError(
                f"cannot listen on {self._kind}://{where[0]}:{where[1]}: "
                f"{error.strerror or error}; {_remedy(error, where)}"
            ) from None
        self.where: tuple[str, int] = self._socket.getsockname()[:2]
        """The bound host and port."""
        super().__init__(f"{self._kind}://{self.where[0]}:{self.where[1]} ({self._form})")

    def _bind(self, where: tuple[str, int]) -> socket.socket:
        raise NotImplementedError

    def close(self) -> None:
        """Stop; an iteration that waits in another thread ends."""
        self._closed = True
        self._socket.close()

    def _readable(self, *sockets: socket.socket) -> list[socket.socket]:
        """Wait a little; nothing is readable once the source is closed."""
        try:
            return select.select(sockets, [], [], _POLL_S)[0]
        except (OSError, ValueError):
            if self._closed:
                return []
            raise

    def _idle(self) -> bool:
        return self._silent_since is None or time.monotonic() - self._silent_since >= IDLE_S

    def _interrupt(self) -> None:
        """Note a gap: what comes next does not follow what came before."""
        self._decoder.reset()
        self._interrupted = True

    def _blocks(self, data: bytes) -> Iterator[Block]:
        now = time.monotonic()
        lost_samples = 0
        if self._silent_since is not None:
            if now - self._silent_since >= IDLE_S:
                self._interrupt()
            if self._interrupted:
                lost_samples = max(1, round((now - self._silent_since) * self._sample_rate_hz))
        self._silent_since = now
        samples = self._decoder.feed(data)
        if len(samples):
            self._interrupted = False
            yield Block(samples=samples, arrived_at=now, lost_samples=lost_samples)


class TcpPcm(_NetworkSource):
    """Raw samples from whoever connects, one after the other; see `_NetworkSource`."""

    _kind = "tcp"

    def _bind(self, where: tuple[str, int]) -> socket.socket:
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        return socket.create_server(where, family=family, backlog=1)

    def __iter__(self) -> Iterator[Block]:
        """Yield the audio of the senders, until the source is closed; see `Source`."""
        sender: socket.socket | None = None
        first = True  # of what it sends
        try:
            while not self._closed:
                if sender is None:
                    if self._readable(self._socket):
                        sender, first = self._accept(), True
                    continue
                ready = self._readable(sender, self._socket)
                if sender in ready:
                    data = self._receive(sender)
                    kind = container(data) if first else None
                    first = not data and first
                    if kind is not None:
                        self._end(sender, f"sends {kind}, not raw samples, and is not heard")
                        sender = None
                    elif data:
                        yield from self._blocks(data)
                    else:
                        self._end(sender, "has gone")
                        sender = None
                elif self._socket in ready and self._idle():
                    self._end(sender, f"has sent nothing for {IDLE_S:g} s and makes room")
                    sender, first = self._accept(), True
                elif self._socket in ready:
                    time.sleep(_POLL_S)  # the next one waits its turn
        finally:
            if sender is not None:
                sender.close()

    def _accept(self) -> socket.socket | None:
        try:
            sender, peer = self._socket.accept()
        except OSError:  # the next one has given up, or the source is closed
            return None
        self.on_notice(Announcement(f"{peer[0]}:{peer[1]} sends"))
        return sender

    def _receive(self, sender: socket.socket) -> bytes:
        with suppress(OSError):  # reset by the peer: as good as gone
            return sender.recv(_MOST_BYTES)
        return b""

    def _end(self, sender: socket.socket, what: str) -> None:
        rest = len(self._decoder.rest)
        cut = f", in the middle of a sample ({rest} bytes of it came)" if rest else ""
        self.on_notice(f"the sender {what}{cut}; waiting for the next")
        self._interrupt()
        sender.close()


class UdpPcm(_NetworkSource):
    """Raw samples in datagrams of whole samples; lost ones go unnoticed; see `_NetworkSource`."""

    _kind = "udp"

    def _bind(self, where: tuple[str, int]) -> socket.socket:
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER_BYTES)
            bound.bind(where)
        except OSError:
            bound.close()
            raise
        return bound

    def __iter__(self) -> Iterator[Block]:
        """Yield what one sender at a time sends, until the source is closed; see `Source`."""
        sender = None
        refused: set[object] = set()
        while not self._closed:
            if not self._readable(self._socket):
                continue
            try:
                data, peer = self._socket.recvfrom(_MOST_BYTES)
            except OSError:
                continue  # closed, or an error that an earlier answer caused
            if peer != sender and not self._idle():
                continue  # two senders in one stream would garble both
            kind = container(data) if peer != sender else None
            if kind is not None or len(data) % self._form.frame_bytes:
                if peer not in refused and len(refused) < 100:
                    refused.add(peer)
                    what = (
                        f"datagrams of {len(data)} bytes, which are no whole samples of "
                        f"{self._form.frame_bytes} bytes"
                        if kind is None
                        else f"{kind}, not raw samples"
                    )
                    self.on_notice(f"{peer[0]}:{peer[1]} sends {what}: they are dropped")
                continue
            if peer != sender:
                self.on_notice(Announcement(f"{peer[0]}:{peer[1]} sends"))
                self._interrupt()
                sender = peer
            yield from self._blocks(data)
