"""A lamp at an MQTT broker that obeys what `harken listen --mqtt` publishes.

harken listen --mqtt mqtt://localhost/harken
python examples/mqtt_lamp.py mqtt://localhost/harken zigbee2mqtt/lamp/set

"go" publishes {"state": "ON"} to the topic of the lamp, "stop" {"state": "OFF"}: what Zigbee2MQTT,
Tasmota and others understand, perhaps with other names.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

STATES = {"go": "ON", "stop": "OFF"}


class Bridge:
    """Takes words from the topic PREFIX/word, and publishes states to the topic of a lamp."""

    def __init__(self, prefix: str, lamp: str) -> None:
        self.words = f"{prefix}/word"
        self.lamp = lamp

    def on_connect(self, client: Client, *_: Any) -> None:
        """Subscribe; after a lost connection once more."""
        client.subscribe(self.words, qos=1)
        print(f"{self.words} -> {self.lamp}", flush=True)

    def on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        """Switch the lamp if the word says so."""
        state = STATES.get(json.loads(message.payload).get("word", ""))
        if state is not None:
            client.publish(self.lamp, json.dumps({"state": state}), qos=1)
            print(f"lamp {state}", flush=True)


def main(url: str = "mqtt://localhost/harken", lamp: str = "zigbee2mqtt/lamp/set") -> None:
    """Connect, and obey until Ctrl-C."""
    broker = urlsplit(url)
    bridge = Bridge(broker.path.strip("/") or "harken", lamp)
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = bridge.on_connect
    client.on_message = bridge.on_message
    client.connect(broker.hostname or "localhost", broker.port or 1883)
    client.loop_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
