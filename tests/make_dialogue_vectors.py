"""Write what Python and JavaScript are held against: ``python tests/make_dialogue_vectors.py``.

To be run after the dialogue was made to behave differently on purpose; read what changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from talks import PICKED, play, random_talk, talk

PATH = Path(__file__).parent / "data" / "dialogue.json"


def outcomes(results: list[dict[str, Any]]) -> list[Any]:
    """Return of each step what came of it: words, commands with their numbers, what is pending."""
    found = []
    for result in results:
        turn = result["turn"]
        if isinstance(turn, dict):
            commands = [
                [c["text"], c["values"], c["remembered"], c["confidence"], c["after"]]
                for c in turn["commands"]
            ]
            turn = [turn["outcome"], turn["reason"], *commands]
        found.append([turn, result["pendingText"], result["due"]])
    return found


def talks() -> Iterator[dict[str, Any]]:
    for grammar, text in PICKED:
        yield {"grammar": grammar, "steps": talk(text)}
    for seed in range(12):
        grammar, steps, _ = random_talk(seed, n_steps=16)
        yield {"grammar": grammar, "steps": steps}


def main() -> None:
    lines = []
    for each in talks():
        results = outcomes(play(each["grammar"], each["steps"]))
        content = each | {"outcomes": results}
        lines.append(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
    PATH.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
    print(f"{PATH}: {PATH.stat().st_size:,} bytes, {len(lines)} talks")


if __name__ == "__main__":
    main()
