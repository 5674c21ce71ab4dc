"""An observer that writes down what was heard."""

from __future__ import annotations

from harken.edge.app.listen import Heard


class Notes:
    """`heard`, `words`, `turns` and `notices`, in their order."""

    def __init__(self) -> None:
        self.blocks: list[Heard] = []
        self.words: list[str] = []
        self.events: list[object] = []
        self.turns: list[object] = []
        self.notices: list[str] = []
        self.closed = False

    def heard(self, heard: Heard) -> None:
        self.blocks.append(heard)
        self.events += heard.events
        self.words += [event.word for event in heard.events]
        self.turns += heard.turns

    def notice(self, line: str) -> None:
        self.notices.append(line)

    def close(self) -> None:
        self.closed = True
