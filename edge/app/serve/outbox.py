"""Messages in, the same messages out in order; bounded in number and age."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from threading import Condition

MOST = 1000
"""Most messages to keep."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """A message to publish.

    Attributes
    ----------
    topic, payload : str
        Topic and payload.
    retain : bool
        Whether the broker keeps it for later subscribers.
    put_at : float
        Time of arrival (`time.monotonic`).
    """

    topic: str
    payload: str
    retain: bool = False
    put_at: float = field(default_factory=time.monotonic)


class Outbox:
    """A queue whose `put` never blocks.

    When it is full, or a message is too old, the oldest is dropped and counted: carrying out a
    command long after it was said is worse than losing it.

    Parameters
    ----------
    changed : threading.Condition
        Notified when a message arrives.
    keep_s : float
        Age at which a message is dropped, in seconds.
    most : int
        Most messages to keep.
    """

    def __init__(self, changed: Condition, *, keep_s: float, most: int = MOST) -> None:
        self._changed = changed
        self._keep_s = keep_s
        self._most = most
        self._messages: deque[Message] = deque()
        self.dropped = 0
        """Number of dropped messages."""

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
        """Return the oldest message that is not too old, if any, without removing it."""
        with self._changed:
            while self._messages:
                if time.monotonic() - self._messages[0].put_at <= self._keep_s:
                    return self._messages[0]
                self._drop()
            return None

    def done(self, message: Message) -> None:
        """Remove a delivered message; it may have been dropped meanwhile."""
        with self._changed:
            if self._messages and self._messages[0] is message:
                self._messages.popleft()

    def _drop(self) -> None:
        self._messages.popleft()
        self.dropped += 1
