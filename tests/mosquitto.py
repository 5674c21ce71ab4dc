"""A real broker for tests: Mosquitto on a free port of this machine, and who listens to it."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE_S = 15.0

PROGRAM = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
"""Where the broker is; None where it is not installed."""


def wait_until(true: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Mosquitto:
    """A broker that keeps sessions and retained messages while it is stopped.

    Lines of configuration come last; `anonymous` lets everybody in.
    """

    def __init__(self, folder: Path, *lines: str, anonymous: bool = True) -> None:
        self.port = free_port()
        self._folder = folder
        self._config = folder / "mosquitto.conf"
        settings = [
            f"user {getpass.getuser()}",
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(anonymous).lower()}",
            "persistence true",
            f"persistence_location {folder}/",
            *lines,
        ]
        self._config.write_text("\n".join(settings) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert PROGRAM is not None
        self.process = subprocess.Popen(
            [PROGRAM, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers, "the broker answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            finally:
                self.process.kill()
                self.process.wait()
            self.process = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the broker does not start"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True


@dataclass(frozen=True, kw_only=True)
class Message:
    topic: str
    payload: str
    retained: bool
    """Whether the broker had kept it for who came later."""
    qos: int


class Subscriber:
    """Notes all that is published. Its session outlives its connection, so it misses nothing."""

    def __init__(
        self, broker: Mosquitto, topics: str = "#", *, setup: Callable[[Client], object] = id
    ) -> None:
        self.messages: list[Message] = []
        self._ready = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"test-{id(self)}", clean_session=False
        )
        setup(self._client)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_connect = lambda client, *_: client.subscribe(topics, qos=1)
        self._client.connect("127.0.0.1", broker.port, keepalive=10)
        self._client.loop_start()
        assert self._ready.wait(PATIENCE_S)

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        self.messages.append(
            Message(
                topic=message.topic,
                payload=message.payload.decode(),
                retained=message.retain,
                qos=message.qos,
            )
        )

    def of(self, topic: str) -> list[Message]:
        return [message for message in self.messages if message.topic == topic]

    def await_of(self, topic: str, count: int = 1) -> list[Message]:
        """Wait until there are so many messages of a topic."""
        wait_until(lambda: len(self.of(topic)) >= count, f"{count} messages of {topic}")
        return self.of(topic)

    def await_payload(self, topic: str, payload: str) -> Message:
        """Wait until that is the last message of a topic."""
        wait_until(
            lambda: self.of(topic) and self.of(topic)[-1].payload == payload,
            f"{payload} at {topic}",
        )
        return self.of(topic)[-1]
