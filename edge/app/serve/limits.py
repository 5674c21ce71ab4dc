"""What one client of a service may do, so that it cannot harm the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may do.

    Attributes
    ----------
    clients : int
        How many there may be at a time.
    idle_s : float
        Longest silence between two messages.
    message_s : float
        Longest time from the first byte of a message to its last, and for an answer to be taken.
    data_bytes : int
        Longest data of a message; its header may have 64 KiB.
    payload_bytes : int
        Longest sound in a message.
    """

    clients: int = 32
    idle_s: float = 300.0
    message_s: float = 10.0
    data_bytes: int = 1 << 16
    payload_bytes: int = 1 << 20
