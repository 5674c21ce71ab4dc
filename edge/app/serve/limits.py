"""Limits for each client of a service, so that it cannot harm the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits for a client.

    Attributes
    ----------
    clients : int
        Most clients at a time.
    idle_s : float
        Longest silence between two messages.
    message_s : float
        Longest time to receive a message from its first byte, and to send an answer.
    data_bytes : int
        Largest data of a message; its header may have 64 KiB.
    payload_bytes : int
        Largest audio in a message.
    """

    clients: int = 32
    idle_s: float = 300.0
    message_s: float = 10.0
    data_bytes: int = 1 << 16
    payload_bytes: int = 1 << 20
