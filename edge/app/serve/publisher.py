"""Words and commands in, MQTT messages out, with the state of the listener.

| topic | payload | retained |
|---|---|---|
| ``PREFIX/word`` | JSON, a word | no |
| ``PREFIX/command`` | JSON, a command | no |
| ``PREFIX/last_command`` | the same, for later subscribers | yes |
| ``PREFIX/turn`` | JSON, any other outcome of a word: pending, cancelled, ignored | no |
| ``PREFIX/notice`` | JSON, a line for people, such as: the microphone is gone | no |
| ``PREFIX/state`` | ``online`` or ``offline`` | yes |
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...sound.sources import Announcement
from .connection import Connection, UnreachableError
from .home_assistant import discovery, discovery_topics
from .outbox import Message, Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...memory.turns import Command
    from ..listen import Heard
    from .broker import Broker

KEEP_S = 60.0
"""Default time to keep messages while the broker is away."""

ONLINE, OFFLINE = "online", "offline"

_OWN = "mqtt: "  # prefix of this module's warnings

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0  # between attempts to connect
_STEADY_S = 10.0  # a connection that lasted this long resets the wait before the next attempt
_CLOSE_S = 3.0  # to deliver the remaining messages at the end


class MqttPublisher:
    """An observer that publishes; see `harken.edge.app.listen.Observer` and this module.

    All network calls run in a separate thread. While the broker is away, messages are kept for a
    while (see `Outbox`), and connecting is retried.

    Parameters
    ----------
    broker : Broker
        Broker to publish to.
    words : sequence of str
        Words that can be detected.
    intents : sequence of str
        Intents of the grammar's commands; empty without a grammar.
    model : str
        Name of the model.
    discovery_root : str, optional
        Where Home Assistant looks for what there is, mostly ``homeassistant``; if not given it is
        not told.
    keep_s : float
        How long a message is kept while the broker is away, in seconds.
    on_warning : callable
        Called with a line for the user, from another thread.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        words: Sequence[str],
        intents: Sequence[str] = (),
        model: str = "",
        discovery_root: str | None = None,
        keep_s: float = KEEP_S,
        on_warning: Callable[[str], object],
    ) -> None:
        self._broker = broker
        self._discovery = (
            {}
            if discovery_root is None
            else discovery(discovery_root, broker.prefix, words=words, intents=intents, model=model)
        )
        self._warn = on_warning
        self._changed = threading.Condition()
        self._outbox = Outbox(self._changed, keep_s=keep_s)
        self._told: str | None = None  # the last reported reason why the broker cannot be reached
        self._dropped_told = 0
        self._give_up_at: float | None = None
        self._thread = threading.Thread(target=self._work, name="harken-mqtt", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Number of messages lost because the broker was away for too long."""
        return self._outbox.dropped

    def heard(self, heard: Heard) -> None:
        """Publish words and commands, and wake words as notices; see `Observer`."""
        for wake in heard.wakes:
            self._put("notice", _payload({"notice": f"{wake.word} – listening"}))
        for event in heard.events:
            self._put("word", _payload({"event_type": event.word, **event.to_dict()}))
        for turn in heard.turns:
            for command in turn.commands:
                payload = _payload(_values(command))
                self._put("command", payload)
                self._put("last_command", payload, retain=True)
            if not turn.commands or turn.outcome == "pending":
                values = {"turn": turn.outcome, "word": turn.word, "reason": turn.reason}
                self._put("turn", _payload(values))

    def notice(self, line: str) -> None:
        """Publish a line for people; see `Observer`."""
        if not line.startswith(_OWN):  # by the time it can be read there, it no longer holds
            self._put("notice", _payload({"notice": line}))

    def close(self) -> None:
        """Deliver remaining messages, within a few seconds, and disconnect; see `Observer`."""
        with self._changed:
            if self._give_up_at is not None:
                return
            self._give_up_at = time.monotonic() + _CLOSE_S
            self._changed.notify_all()
        # The thread may hang in a connection attempt; then it ends with the process.
        self._thread.join(_CLOSE_S + 1.0)
        left = len(self._outbox) + self._outbox.dropped - self._dropped_told
        if left:
            self._warn(f"{_OWN}{_counted(left)} not delivered to {self._broker}")

    def _put(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self._outbox.put(Message(topic=self._topic(topic), payload=payload, retain=retain))

    def _topic(self, name: str) -> str:
        return f"{self._broker.prefix}/{name}"

    def _work(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._finished():
            try:
                connection = Connection(
                    self._broker, changed=self._changed, will=(self._topic("state"), OFFLINE)
                )
            except UnreachableError as problem:
                self._tell_away(str(problem))
                self._pause(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                continue
            began = time.monotonic()
            self._deliver(connection)
            if connection.lost:
                self._tell_away(f"the connection to {self._broker} is lost")
                if time.monotonic() - began >= _STEADY_S:
                    wait_s = _FIRST_WAIT_S
                self._pause(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _deliver(self, connection: Connection) -> None:
        """Publish messages as they come, until the connection is lost or the publisher closes."""
        connection.publish(self._topic("state"), ONLINE, retain=True)
        for topic, values in self._discovery.items():
            payload = "" if values is None else json.dumps(values, ensure_ascii=False)
            connection.publish(topic, payload, retain=True)
        self._tell_back()
        while not connection.lost:
            message = self._outbox.first()
            if message is None:
                with self._changed:
                    if self._give_up_at is not None:
                        break
                    self._changed.wait_for(
                        lambda: connection.lost or self._outbox or self._give_up_at is not None
                    )
            elif connection.publish(message.topic, message.payload, retain=message.retain):
                self._outbox.done(message)
        if not connection.lost:
            connection.publish(self._topic("state"), OFFLINE, retain=True, patience_s=_CLOSE_S)
        connection.close()

    def _finished(self) -> bool:
        """Return whether to stop: closing, and nothing is left or the time is up."""
        with self._changed:
            return self._give_up_at is not None and (
                not self._outbox or time.monotonic() >= self._give_up_at
            )

    def _pause(self, wait_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._give_up_at is not None, wait_s)
            if self._give_up_at is not None:
                self._changed.wait(0.2)  # when closing, retry quickly

    def _tell_away(self, why: str) -> None:
        if why != self._told and self._give_up_at is None:
            self._told = why
            self._warn(f"{_OWN}{why}; harken keeps listening and will retry")

    def _tell_back(self) -> None:
        if self._told is None:
            return
        self._told = None
        self._outbox.first()  # drops old messages
        lost = self._outbox.dropped - self._dropped_told
        self._dropped_told = self._outbox.dropped
        line = f"{_OWN}connected to {self._broker} again"
        self._warn(f"{line}; {_counted(lost)} dropped meanwhile" if lost else Announcement(line))


def forget(
    broker: Broker, *, discovery_root: str, on_warning: Callable[[str], object]
) -> list[str]:
    """Remove the retained messages (state, last command, discovery); return their topics.

    Parameters
    ----------
    broker : Broker
        Broker to publish to.
    discovery_root : str
        Home Assistant's discovery prefix.
    on_warning : callable
        Called with a line if another program still publishes there, and so restores them.

    Raises
    ------
    MqttError
        The broker cannot be reached, or refuses.
    """
    topics = [f"{broker.prefix}/state", f"{broker.prefix}/last_command"]
    topics += discovery_topics(discovery_root, broker.prefix).values()
    connection = Connection(broker)
    try:
        kept = connection.retained(topics)
        if kept is not None and kept.get(topics[0]) == ONLINE:
            on_warning(
                f"{_OWN}another harken is publishing at {broker.prefix} and will restore it; "
                "stop it, then repeat this command"
            )
        for topic in topics:
            if not connection.publish(topic, "", retain=True, patience_s=_CLOSE_S):
                raise UnreachableError(f"{broker} did not accept the removal of {topic}")
    finally:
        connection.close()
    return topics if kept is None else [topic for topic in topics if topic in kept]


def _payload(values: dict[str, Any]) -> str:
    """Return JSON with the current time added."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({**values, "time": now}, ensure_ascii=False)


def _values(command: Command) -> dict[str, Any]:
    """Return a command without the states before and after it, which are long."""
    values = command.to_dict()
    return {"event_type": command.intent} | {
        name: value for name, value in values.items() if name not in ("before", "after")
    }


def _counted(messages: int) -> str:
    return "1 message was" if messages == 1 else f"{messages} messages were"
