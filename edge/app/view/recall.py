"""The memory's content in, rows with bars that shrink as it fades out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .row import BOLD, DIM, RECALLED, Row, shortened

if TYPE_CHECKING:
    from rich.style import Style

    from ...memory.memory import Memory
    from ...memory.turns import Recall

_MOST_BAR = 30  # cells
_SECONDS = 7  # cells of the remaining time, with the space before it


def memory_rows(memory: Memory, width: int, label_cells: int, most_rows: int) -> list[Row]:
    """Draw the follow-up window, the remembered slots, and the repeatable command.

    The number of rows is constant: everything a grammar can remember has its place even while
    empty, so that nothing moves.

    Parameters
    ----------
    memory
        The memory, at its current time.
    width
        Cells of a line.
    label_cells
        Where the bars begin.
    most_rows
        Most lines.
    """
    grammar, dialogue, now_s = memory.grammar, memory.dialogue, memory.now_s
    bar_cells = max(4, min((width - label_cells) // 4, _MOST_BAR))
    rows: list[Row] = []

    def add(label: str, share: float, left_s: float, text: str, style: Style | None) -> None:
        row = Row().add(shortened(label, label_cells - 1), BOLD if left_s else DIM).to(label_cells)
        row.bar(bar_cells, share, RECALLED)
        row.add(f"{f'{left_s:.1f} s' if left_s else '':>{_SECONDS}}  ", DIM)
        rows.append(row.add(shortened(text, width - row.cells), style))

    def add_recall(label: str, recall: Recall | None, hint: str = "") -> None:
        if recall is None:
            add(label, 0.0, 0.0, "", None)
        else:
            left_s = recall.span_s - recall.age_s
            text = f"{recall.text}, {recall.age_s:.0f} s ago{hint}"
            add(label, left_s / recall.span_s, left_s, text, None)

    left_s = dialogue.follow_up_s(now_s)
    text, style = _expected(memory, left_s)
    add("follow-up", left_s / grammar.window_s, left_s, text, style)
    recalls = {recall.name: recall for recall in dialogue.recalls(now_s)}
    for slot in grammar.slots:
        if any(spec.remember.get(slot) for spec in grammar.commands):
            add_recall(slot, recalls.get(slot))
    if grammar.controls.carry_out is not None:
        hint = f"; “{grammar.controls.carry_out}”: again"
        add_recall("last", dialogue.repeatable(now_s), hint)
    return rows[:most_rows]


def _expected(memory: Memory, left_s: float) -> tuple[str, Style | None]:
    """Return what is pending, as text."""
    dialogue, controls = memory.dialogue, memory.grammar.controls
    if left_s and dialogue.pending_kind == "confirm":
        return f"“{controls.confirm}”? {dialogue.pending_text()}", None
    if left_s and dialogue.pending_kind == "slot":
        return f"waiting for {dialogue.pending}: {dialogue.pending_text()} …", None
    if left_s:
        return "nothing is pending", DIM
    if dialogue.state.capped:
        return "waiting for quiet", None
    if controls.wake is not None:
        return f"say “{controls.wake}” first", DIM
    return "closed", DIM
