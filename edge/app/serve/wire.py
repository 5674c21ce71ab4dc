"""Bytes of the Wyoming protocol in, events out: whatever a stranger sends, within bounds.

The reader of the ``wyoming`` package believes the lengths that a message declares and waits for
them without end. This one reads the same messages, and refuses what is no message, what is too
long, and what does not come.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from wyoming.event import Event

if TYPE_CHECKING:
    from .limits import Limits


class Rubbish(Exception):  # noqa: N818 - it is what was received
    """What came is no message. The text says why, for one line of a log."""


async def read_event(reader: asyncio.StreamReader, limits: Limits) -> Event | None:
    """Return the next event, or None where the stream ends between two of them.

    Raises
    ------
    Rubbish
        What came is no message, is too long, or did not come in time.
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
        raise Rubbish("sent data that are no JSON object")
    if data_bytes:
        data |= _object(await reader.readexactly(data_bytes), "data")
    payload = await reader.readexactly(payload_bytes) if payload_bytes else None
    return Event(type=kind, data=data, payload=payload)


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Rubbish(f"sent {what} that is no JSON: {_shown(text)}") from None
    if not isinstance(value, dict):
        raise Rubbish(f"sent {what} that is no JSON object: {_shown(text)}")
    return value


def _length(header: dict[str, Any], name: str, most: int) -> int:
    value = header.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= most:
        raise Rubbish(f"declares a {name} of {_shown(value)}; 0 to {most} are taken")
    return value


def _shown(value: object) -> str:
    """Return something that was sent for one line of a log: short, and nothing in it unprinted."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
