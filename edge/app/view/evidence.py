"""The detector's evidence in, a bar for each word out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len

from ...spotting.detector import UNKNOWN
from .row import DIM, GOOD, GOOD_BOLD, Row, shortened

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGEST_WORD = 14  # cells; longer names are cut
_LEAST_BAR, _MOST_BAR = 5, 40  # cells
_USUAL_ROWS = 6  # if all words fit
_GAP = 3  # cells between two columns
_NUMBER = 4  # cells of the percentage, with the space before it

_HOLD_S = 1.0  # a word's peak fades in this time
_LIT_S = 1.5  # a detected word is highlighted for this long

# If there are more words than bars, a word replaces another only if it has this much
# evidence, and this much more than the other; otherwise they would swap all the time.
_WORTH_A_BAR = 0.1


class EvidenceBars:
    """The evidence of each word, and of other speech.

    Parameters
    ----------
    labels : sequence of str
        Labels of the evidence.
    thresholds : mapping
        For each word the evidence at which it fires.
    step_s : float
        Seconds from one row of evidence to the next.
    """

    def __init__(
        self, labels: Sequence[str], thresholds: Mapping[str, float], step_s: float
    ) -> None:
        self._names = [label for label in labels if label in thresholds]
        self._thresholds = [thresholds[name] for name in self._names]
        if UNKNOWN in labels:
            self._names.append(UNKNOWN)
        self._columns = [list(labels).index(name) for name in self._names]
        self._words = len(self._thresholds)
        self._step_s = step_s
        self._now = np.zeros(len(self._names), np.float32)
        self._held = np.zeros(len(self._names), np.float32)
        self._lit_s = dict.fromkeys(self._names, 0.0)
        self._drawn = False
        self._shown = list(range(self._words))  # visible words, best first if too many

    def feed(self, evidence: NDArray[np.float32]) -> None:
        """Add the evidence of steps, shape ``(m, n_labels)``; m may be 0."""
        if not len(evidence):
            return
        most = evidence[:, self._columns].max(axis=0)
        # Peaks between two frames stay visible, however short.
        self._now = most if self._drawn else np.maximum(self._now, most)
        self._drawn = False
        passed_s = len(evidence) * self._step_s
        self._held = np.maximum(self._held - np.float32(passed_s / _HOLD_S), self._now)
        for name, lit_s in self._lit_s.items():
            if lit_s:
                self._lit_s[name] = max(0.0, lit_s - passed_s)

    def heard(self, word: str) -> None:
        """Highlight a detected word."""
        self._lit_s[word] = _LIT_S

    def rows(self, width: int, most_rows: int) -> list[Row]:
        """Draw the bars.

        Parameters
        ----------
        width : int
            Cells of a line.
        most_rows : int
            Most lines, at least 1; if not all words fit, those with the most evidence
            are drawn.
        """
        name_cells = min(max(cell_len(name) for name in self._names), _LONGEST_WORD)
        least = name_cells + 1 + _LEAST_BAR + _NUMBER
        most_columns = max(1, (width + _GAP) // (least + _GAP))
        drawn = self._chosen(min(len(self._names), most_columns * most_rows))
        if len(drawn) <= most_columns * _USUAL_ROWS:
            most_rows = min(most_rows, _USUAL_ROWS)
        # As few columns as possible, so that bars are long.
        columns = -(-len(drawn) // most_rows)
        n_rows = -(-len(drawn) // columns)
        bar_cells = (width + _GAP) // columns - _GAP - name_cells - 1 - _NUMBER
        bar_cells = max(1, min(bar_cells, _MOST_BAR))
        rows = [Row() for _ in range(n_rows)]
        for place, index in enumerate(drawn):
            column, line = divmod(place, n_rows)
            row = rows[line].to(column * (name_cells + 1 + bar_cells + _NUMBER + _GAP))
            self._draw(row, index, name_cells, bar_cells)
        self._drawn = True
        return rows

    def _draw(self, row: Row, index: int, name_cells: int, bar_cells: int) -> None:
        name, share = self._names[index], float(self._now[index])
        is_word = index < self._words
        threshold = self._thresholds[index] if is_word else None
        over = threshold is not None and share >= threshold
        lit = self._lit_s[name] > 0
        begin = row.cells
        row.add(shortened(name, name_cells), GOOD_BOLD if lit else None if is_word else DIM)
        row.to(begin + name_cells + 1).bar(
            bar_cells,
            share,
            GOOD if over else None if is_word else DIM,
            held=float(self._held[index]),
            mark=threshold,
        )
        percent = round(100 * share)
        row.add(f"{percent or '':>{_NUMBER}}", GOOD_BOLD if over else DIM)

    def _chosen(self, count: int) -> list[int]:
        """Return the words to draw, in order; other speech is always included."""
        others = list(range(self._words, len(self._names)))
        count = max(1, count - len(others))
        if count >= self._words:
            return [*range(self._words), *others]
        held = self._held
        shown, hidden = self._shown[:count], self._shown[count:]
        hidden.sort(key=lambda index: -held[index])
        for place, candidate in enumerate(hidden):
            weakest = min(shown, key=lambda index: held[index])
            if held[candidate] < held[weakest] + _WORTH_A_BAR:
                break
            shown[shown.index(weakest)], hidden[place] = candidate, weakest
        self._shown = [*shown, *hidden]
        return [*sorted(shown), *others]
