"""A report in, a DET plot out: misses against false accepts over the whole range of thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ..plots import save_figure
from .report import StreamEvaluation
from .scoring import FalseAccepts, Misses

Float64 = NDArray[np.float64]

_SHARES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)
_RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_LIMIT = 1e-4  # of miss rates: the axis cannot show 0 and 1


def draw_det(path: Path, evaluation: StreamEvaluation) -> None:
    """Draw detection error tradeoff curves: by noise and way of speaking, and by word.

    The axis of misses is in normal deviates (Martin et al., 1997), on which two normal
    distributions give a straight line; that of false accepts per hour is logarithmic. Points
    without a false accept, which a logarithmic axis cannot show, lie on its left edge.

    Raises
    ------
    RunError
        The plot cannot be written.
    """
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    by_noise, by_word = figure.subplots(1, 2, sharey=True)
    counts = evaluation.counts
    accepts = [each.negatives.accepts() for each in counts]
    values = evaluation.shipped.conditions.get("snr", {})
    shown = [
        (value, [each.conditions["snr"][value].misses() for each in counts]) for value in values
    ]
    colours = matplotlib.colormaps["viridis"](np.linspace(0.05, 0.85, max(1, len(shown))))
    if len(shown) > 1:
        for (value, misses), colour in zip(shown, colours, strict=True):
            _draw(by_noise, misses, accepts, label=value, color=colour, linewidth=1.4)
    flows = list(evaluation.shipped.conditions.get("flow", {}))[1:]
    for value, style in zip(flows, ("--", ":"), strict=False):
        misses = [each.conditions["flow"][value].misses() for each in counts]
        _draw(by_noise, misses, accepts, label=value, color="C3", linestyle=style, linewidth=1.4)
    everything = [each.words.misses() for each in counts]
    _draw(by_noise, everything, accepts, label="all", color="black", linewidth=2.2)
    shipped = evaluation.points[0].setting
    if shipped is not None:
        _draw(
            by_noise,
            everything[shipped : shipped + 1],
            accepts[shipped : shipped + 1],
            label="as shipped",
            color="black",
            marker="o",
            linestyle="none",
        )
    by_noise.set_title(f"{evaluation.subject}: all words together", fontsize=10)

    words = [word for word in evaluation.words if evaluation.shipped.words.misses(word).said]
    styles = ("-", "--", ":")
    for index, word in enumerate(words):
        _draw(
            by_word,
            [each.words.misses(word) for each in counts],
            [each.negatives.accepts(word=word) for each in counts],
            label=word,
            color=f"C{index % 10}",
            linestyle=styles[index // 10 % len(styles)],
            linewidth=1.2,
        )
    by_word.set_title("word by word", fontsize=10)
    for axes, columns in ((by_noise, 1), (by_word, 2)):
        _axes(axes, evaluation.negative_hours)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8, ncols=columns, loc="best")
        else:
            nothing = "needs words, and negative hours"
            axes.text(0.5, 0.5, nothing, ha="center", transform=axes.transAxes)
    by_noise.set_ylabel("missed words")
    save_figure(figure, path)


def _draw(
    axes: Axes, misses: Sequence[Misses], accepts: Sequence[FalseAccepts], **style: Any
) -> None:
    """Draw a curve; what the axes cannot show lies on their edges."""
    if not accepts[0].hours or not misses[0].said:
        return
    rates = np.array([each.count for each in accepts], np.float64)
    rates[rates == 0] = 0.5
    shares = np.array([each.rate for each in misses], np.float64)
    axes.plot(
        rates / accepts[0].hours,
        np.clip(shares, 0.5 / misses[0].said, 1 - 0.5 / misses[0].said),
        **style,
    )


def _axes(axes: Axes, hours: float) -> None:
    axes.set_xscale("log")
    axes.set_yscale("function", functions=(_deviate, ndtr))
    axes.yaxis.set_major_locator(FixedLocator(_SHARES))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0.004, 0.99)
    axes.set_xlabel("false accepts per hour")
    axes.xaxis.set_major_locator(FixedLocator(_RATES))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if hours:
        axes.axvspan(axes.get_xlim()[0], 1 / hours, color="black", alpha=0.06, linewidth=0)
        axes.set_xlim(0.45 / hours, None)
        axes.annotate(
            f"none in {hours:.3g} h",
            (0.5 / hours, 0.005),
            xytext=(4, 4),
            textcoords="offset points",
            rotation=90,
            fontsize=7,
            color="0.4",
        )


def _deviate(shares: Float64) -> Float64:
    deviates: Float64 = ndtri(np.clip(shares, _LIMIT, 1 - _LIMIT))
    return deviates
