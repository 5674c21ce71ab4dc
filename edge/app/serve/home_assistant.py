"""A prefix of topics and words in, what makes Home Assistant find them out: discovery messages.

See https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. Words and commands are `event`
entities, since they happen and do not last; the last command is a sensor.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from .... import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


def node_of(prefix: str) -> str:
    """Return a name for a prefix of topics that may stand in a topic of discovery.

    Only letters, digits, ``_`` and ``-`` may; what else there is counts in a checksum, so that no
    two prefixes have the same name.
    """
    node = re.sub("[^A-Za-z0-9_-]", "_", prefix)
    if re.fullmatch("[A-Za-z0-9-]*", prefix.replace("/", "")):
        return node
    return f"{node}_{hashlib.sha256(prefix.encode()).hexdigest()[:8]}"


def discovery_topics(root: str, prefix: str) -> dict[str, str]:
    """Return the topics of discovery by what is discovered: word, command, last_command."""
    node = node_of(prefix)
    kinds = {"word": "event", "command": "event", "last_command": "sensor"}
    return {name: f"{root}/{kind}/{node}/{name}/config" for name, kind in kinds.items()}


def discovery(
    root: str, prefix: str, *, words: Sequence[str], intents: Sequence[str], model: str
) -> dict[str, dict[str, Any] | None]:
    """Return the message for each topic of discovery; None where there must be none.

    Parameters
    ----------
    root : str
        Where Home Assistant looks; ``homeassistant`` unless it was told otherwise.
    prefix : str
        Where words and commands are published.
    words : sequence of str
        Words that may be heard.
    intents : sequence of str
        Commands that may be made of them; none where there is no grammar.
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
