"""One connection to an MQTT broker: messages in, acknowledged or not out."""

from __future__ import annotations

import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from .broker import PASSWORD_VARIABLE, MqttError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from .broker import Broker

QOS = 1
"""Quality of service: delivered at least once."""

_CONNECT_S = 5.0  # for the network, and the same again for the broker
_RETAINED_S = 0.5  # for retained messages, after the subscription was accepted
_KEEP_ALIVE_S = 30  # a broker that disappears silently is noticed after 1.5 times this


class UnreachableError(MqttError):
    """The broker cannot be reached or refuses the connection; the message says why."""

    exit_code = 1


class Connection:
    """A single connection: once lost, it is not renewed, and its state is discarded.

    Parameters
    ----------
    broker : Broker
        Broker to connect to.
    changed : threading.Condition
        Notified when a message is acknowledged, and when the connection is lost.
    will : tuple of str and str, optional
        Topic and payload of the last will: the broker publishes it, retained, when the connection
        is lost.

    Raises
    ------
    UnreachableError
        The broker cannot be reached, or refuses.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        changed: threading.Condition | None = None,
        will: tuple[str, str] | None = None,
    ) -> None:
        self._broker = broker
        self._changed = threading.Condition() if changed is None else changed
        self._acknowledged: set[int] = set()
        self._answer: ReasonCode | None = None
        self.lost = False
        """Whether the connection has ended."""
        self._client = Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTv311, reconnect_on_failure=False
        )
        self._client.connect_timeout = _CONNECT_S
        if broker.tls is not None:
            self._client.tls_set_context(broker.tls)
        if broker.user is not None:
            self._client.username_pw_set(broker.user, broker.password)
        if will is not None:
            self._client.will_set(*will, qos=QOS, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect
        self._open()

    def publish(
        self, topic: str, payload: str, *, retain: bool = False, patience_s: float | None = None
    ) -> bool:
        """Publish, and wait for the broker's acknowledgement; return whether it came.

        Parameters
        ----------
        topic, payload : str
            What to publish.
        retain : bool
            Whether the broker keeps it for later subscribers.
        patience_s : float, optional
            Longest wait; by default until the connection is lost.
        """
        message = self._client.publish(topic, payload, qos=QOS, retain=retain).mid
        with self._changed:
            self._changed.wait_for(lambda: message in self._acknowledged or self.lost, patience_s)
            acknowledged = message in self._acknowledged
            self._acknowledged.discard(message)
        return acknowledged

    def retained(self, topics: Sequence[str]) -> dict[str, str] | None:
        """Return the retained payloads of some topics; None if the broker does not tell."""
        kept: dict[str, str] = {}
        granted: list[bool] = []

        def on_subscribe(client: Client, data: Any, message: int, codes: Any, more: Any) -> None:
            with self._changed:
                granted.append(not any(code.is_failure for code in codes))
                self._changed.notify_all()

        def on_message(client: Client, data: Any, message: Any) -> None:
            if message.retain and message.payload:
                kept[message.topic] = message.payload.decode("utf-8", "replace")

        self._client.on_subscribe, self._client.on_message = on_subscribe, on_message
        self._client.subscribe([(topic, QOS) for topic in topics])
        with self._changed:
            self._changed.wait_for(lambda: granted or self.lost, _CONNECT_S)
        if granted != [True]:
            return None
        time.sleep(_RETAINED_S)
        return kept

    def close(self) -> None:
        """Disconnect cleanly: the broker does not publish the will."""
        self._client.disconnect()
        self._client.loop_stop()

    def _open(self) -> None:
        broker = self._broker
        try:
            self._client.connect(broker.host, broker.port, keepalive=_KEEP_ALIVE_S)
        except OSError as problem:
            raise UnreachableError(f"cannot reach {broker}: {_reason(problem)}") from None
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None or self.lost, _CONNECT_S)
            answer = self._answer
        if answer is not None and not answer.is_failure:
            return
        self.close()
        if answer is None:
            wants = (
                "a client certificate, give --mqtt-cert and --mqtt-key"
                if broker.tls
                else "TLS, write mqtts://"
            )
            raise UnreachableError(
                f"{broker} accepts connections, but does not answer in MQTT; if it requires {wants}"
            )
        who = "a client without a user" if broker.user is None else f"the user {broker.user!r}"
        raise UnreachableError(
            f"{broker} refuses {who} ({answer}); check the user in --mqtt and the password in "
            f"--mqtt-password-file or {PASSWORD_VARIABLE}"
        )

    # Called by the network thread, which holds its own locks meanwhile, so `_changed` must not be
    # held while calling the client.

    def _on_connect(
        self, client: Client, data: Any, flags: Any, answer: ReasonCode, properties: Any
    ) -> None:
        with self._changed:
            self._answer = answer
            self._changed.notify_all()

    def _on_publish(
        self, client: Client, data: Any, message: int, answer: Any, properties: Any
    ) -> None:
        with self._changed:
            self._acknowledged.add(message)
            self._changed.notify_all()

    def _on_disconnect(
        self, client: Client, data: Any, flags: Any, answer: Any, properties: Any
    ) -> None:
        with self._changed:
            self.lost = True
            self._changed.notify_all()


def _reason(problem: OSError) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({problem.verify_message.rstrip('.')}); name the "
            "certificate of its CA with --mqtt-ca"
        )
    if isinstance(problem, ssl.SSLError):
        return f"{(problem.reason or 'TLS failed').replace('_', ' ').lower()}; does it speak TLS?"
    if isinstance(problem, TimeoutError):
        return "no answer"
    return problem.strerror or str(problem)
