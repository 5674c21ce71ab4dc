"""Bytes of the Wyoming protocol in, events out; safe with untrusted clients.

The reader of the ``wyoming`` package trusts the lengths that a message declares and waits for
them forever. This one reads the same messages, and rejects invalid, oversized and incomplete
ones.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from wyoming.event import Event

if TYPE_CHECKING:
    from .limits import Limits


class Rubbish(Exception):  # noqa: N818 - it names the input
    """The input is not a valid message. The text says why, for one line of a log."""


async def read_event(reader: asyncio.StreamReader, limits: Limits) -> Event | None:
    """Return the next event, or None if the stream ends between events.

    Raises
    ------
    Rubbish
        The message is invalid, too long, or did not arrive in time.
    """
    try:
        async with asyncio.timeout(limits.idle_s):
            first = await reader.read(1)
    except TimeoutError:
        raise Rubbish(f"was silent for {limits.idle_s:g} s") from None
    if not first:
        return None
    try:
        async with asyncio.timeout(limits.message_s):
            return await _message(first, reader, limits)
    except TimeoutError:
        raise Rubbish(f"sent half a message and nothing for {limits.message_s:g} s") from None
    except asyncio.IncompleteReadError:
        raise Rubbish("ended in the middle of a message") from None


async def _message(first: bytes, reader: asyncio.StreamReader, limits: Limits) -> Event:
    try:
        line = first + await reader.readline()
    except ValueError:
        raise Rubbish("sent a header without an end") from None
    if not line.endswith(b"\n"):
        raise asyncio.IncompleteReadError(line, None)
    header = _object(line, "header")
    kind = header.get("type")
    if not isinstance(kind, str):
        raise Rubbish("sent a header without a type")
    data_bytes = _length(header, "data_length", limits.data_bytes)
    payload_bytes = _length(header, "payload_length", limits.payload_bytes)
    data = header.get("data") or {}
    if not isinstance(data, dict):
        raise Rubbish("sent data that is not a JSON object")
    if data_bytes:
        data |= _object(await reader.readexactly(data_bytes), "data")
    payload = await reader.readexactly(payload_bytes) if payload_bytes else None
    return Event(type=kind, data=data, payload=payload)


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Rubbish(f"sent {what} that is not JSON: {_shown(text)}") from None
    if not isinstance(value, dict):
        raise Rubbish(f"sent {what} that is not a JSON object: {_shown(text)}")
    return value


def _length(header: dict[str, Any], name: str, most: int) -> int:
    value = header.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= most:
        raise Rubbish(f"declares a {name} of {_shown(value)}; it must be 0 to {most}")
    return value


def _shown(value: object) -> str:
    """Return received data for one line of a log: short and printable."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
