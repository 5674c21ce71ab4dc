"""Figures in, plots out: learning curves and confusion matrices as PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from ..edge.errors import RunError
from ..edge.files import write_atomic
from .operating import FALSE_ACCEPTS_PER_HOUR


def draw_curves(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Draw the figures of every epoch; raises RunError if the plot cannot be written.

    They are the losses, the accuracy on clips, and the miss rate if it was measured.
    """
    has_missed = all("missed" in figures for figures in history)
    panels = 3 if has_missed else 2
    figure = Figure(figsize=(4.5 * panels, 3.6), layout="constrained")
    losses, accuracy, *others = figure.subplots(1, panels)
    epochs = [int(figures["epoch"]) for figures in history]
    losses.plot(epochs, [f["loss"] for f in history], label="training streams")
    if all("stream_loss" in figures for figures in history):
        losses.plot(epochs, [f["stream_loss"] for f in history], label="validation streams")
    losses.set(xlabel="epoch", ylabel="loss, nats per step", ylim=(0, None))
    losses.legend(frameon=False)
    values = [100 * figures["clip_accuracy"] for figures in history]
    accuracy.plot(epochs, values, color="tab:green")
    best = int(np.argmax(values))
    accuracy.annotate(
        f"{values[best]:.2f} %",
        (epochs[best], values[best]),
        xytext=(0, -16),
        textcoords="offset points",
        ha="center",
    )
    accuracy.plot(epochs[best], values[best], "o", color="tab:green")
    accuracy.set(xlabel="epoch", ylabel="validation clips, % correct")
    for missed in others:
        for name, label in (("missed", "alone"), ("missed_noisy", "over noise")):
            if all(name in figures for figures in history):
                missed.plot(epochs, [100 * figures[name] for figures in history], label=label)
        missed.set(xlabel="epoch", ylabel="missed words, %", ylim=(0, None))
        low, high = min(FALSE_ACCEPTS_PER_HOUR), max(FALSE_ACCEPTS_PER_HOUR)
        title = f"at {low:g} to {high:g} false accepts per hour"
        missed.set_title(title, fontsize="medium")
        missed.legend(frameon=False)
    for axes in (losses, accuracy, *others):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def draw_confusion(path: Path, confusion: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Draw a confusion matrix, rows normalized to their truth; raises RunError if that fails.

    Parameters
    ----------
    path
        The PNG file.
    confusion
        Counts, shape (labels, labels): rows are the truth, columns the decision.
    labels
        Names of rows and columns.
    """
    count = len(labels)
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    size = 2.2 + 0.36 * count
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    # The square root makes the few mistakes visible beside the many correct decisions.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for row in range(count):
        for column in range(count):
            if confusion[row, column]:
                axes.text(
                    column,
                    row,
                    str(confusion[row, column]),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if shares[row, column] > 0.3 else "black",
                )
    axes.set_xticks(range(count), labels, rotation=90)
    axes.set_yticks(range(count), labels)
    axes.set(xlabel="decision", ylabel="truth")
    right = np.trace(confusion) / max(1, confusion.sum())
    axes.set_title(f"{100 * right:.2f} % of {confusion.sum()} clips")
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, completely or not at all; raises RunError if it cannot be written.

    Words are drawn as plain text, not as formulas; a letter without a glyph becomes a box.
    """
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
    with warnings.catch_warnings(), rc_context({"text.parse_math": False}):
        # About missing glyphs, and layouts with little room: neither can be helped.
        warnings.filterwarnings("ignore", category=UserWarning)
        figure.savefig(buffer, format="png")
    write_atomic(path, buffer.getvalue(), error=RunError)
