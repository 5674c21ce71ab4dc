"""Messages in, the same messages out in their order: few enough, and none that is too old."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from threading import Condition

MOST = 1000
"""Messages that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """What is to be published.

    Attributes
    ----------
    topic, payload : str
        Where, and what.
    retain : bool
        Whether it is kept for who subscribes later.
    put_at : float
        `time.monotonic` of when it came.
    """

    topic: str
    payload: str
    retain: bool = False
    put_at: float = field(default_factory=time.monotonic)


class Outbox:
    """A queue that never makes anybody wait who puts something in.

    When it is full, or a message is too old, the oldest is dropped and counted: a command that is
    carried out long after it was said is worse than one that is not.

    Parameters
    ----------
    changed : threading.Condition
        Notified when a message came.
    keep_s : float
        Age from which on a message is dropped.
    most : int
        Messages that are kept.
    """

    def __init__(self, changed: Condition, *, keep_s: float, most: int = MOST) -> None:
        self._changed = changed
        self._keep_s = keep_s
        self._most = most
        self._messages: deque[Message] = deque()
        self.dropped = 0
        """Messages that were dropped."""

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> None:
        """Add a message."""
        with self._changed:
            self._messages.append(message)
            while len(self._messages) > self._most:
                self._drop()
            self._changed.notify_all()

    def first(self) -> Message | None:
        """Return the oldest message that is not too old, if there is one; it stays."""
        with self._changed:
            while self._messages:
                if time.monotonic() - self._messages[0].put_at <= self._keep_s:
                    return self._messages[0]
                self._drop()
            return None

    def done(self, message: Message) -> None:
        """Remove a message that was delivered; it may have been dropped meanwhile."""
        with self._changed:
            if self._messages and self._messages[0] is message:
                self._messages.popleft()

    def _drop(self) -> None:
        self._messages.popleft()
        self.dropped += 1
