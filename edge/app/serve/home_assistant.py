"""A topic prefix and words in, Home Assistant's discovery messages for them out.

See https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. Words and commands are `event`
entities, since they are momentary; the last command is a sensor.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from .... import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


def node_of(prefix: str) -> str:
    """Return a name for a topic prefix that is allowed in a discovery topic.

    It has only letters, digits, ``_`` and ``-``; a checksum stands for other characters, so that no
    two prefixes have the same name.
    """
    node = re.sub("[^A-Za-z0-9_-]", "_", prefix)
    if re.fullmatch("[A-Za-z0-9-]*", prefix.replace("/", "")):
        return node
    return f"{node}_{hashlib.sha256(prefix.encode()).hexdigest()[:8]}"


def discovery_topics(root: str, prefix: str) -> dict[str, str]:
    """Return the discovery topics by entity: word, command, last_command."""
    node = node_of(prefix)
    kinds = {"word": "event", "command": "event", "last_command": "sensor"}
    return {name: f"{root}/{kind}/{node}/{name}/config" for name, kind in kinds.items()}


def discovery(
    root: str, prefix: str, *, words: Sequence[str], intents: Sequence[str], model: str
) -> dict[str, dict[str, Any] | None]:
    """Return the message for each discovery topic; None for entities that must not exist.

    Parameters
    ----------
    root : str
        Home Assistant's discovery prefix, by default ``homeassistant``.
    prefix : str
        Topic prefix of words and commands.
    words : sequence of str
        Words that can be detected.
    intents : sequence of str
        Intents of the grammar's commands; empty without a grammar.
    model : str
        Name of the model.
    """
    node = node_of(prefix)
    common = {
        "availability_topic": f"{prefix}/state",
        "qos": 1,
        "device": {
            "identifiers": [node],
            "name": prefix.replace("/", " "),
            "manufacturer": "harken",
            "model": model,
            "sw_version": __version__,
        },
        "origin": {"name": "harken", "sw_version": __version__},
    }
    word = {
        "name": "Word",
        "unique_id": f"{node}_word",
        "state_topic": f"{prefix}/word",
        "event_types": list(words),
        "icon": "mdi:microphone-message",
        **common,
    }
    command = {
        "name": "Command",
        "unique_id": f"{node}_command",
        "state_topic": f"{prefix}/command",
        "event_types": list(intents),
        "icon": "mdi:account-voice",
        **common,
    }
    last_command = {
        "name": "Last command",
        "unique_id": f"{node}_last_command",
        "state_topic": f"{prefix}/last_command",
        "value_template": "{{ value_json.text }}",
        "json_attributes_topic": f"{prefix}/last_command",
        "icon": "mdi:account-voice",
        **common,
    }
    topics = discovery_topics(root, prefix)
    return {
        topics["word"]: word,
        topics["command"]: command if intents else None,
        topics["last_command"]: last_command if intents else None,
    }
