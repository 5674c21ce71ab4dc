"""A report in, a plot out: errors over weight, noise and time, with and without a memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plots import save_figure
from .measure import GAPS_S
from .report import ContextEvaluation
from .sessions import SNR

_WITHOUT, _WITH = "tab:gray", "tab:blue"


def draw_context(path: Path, evaluation: ContextEvaluation) -> None:
    """Draw the curves; raises RunError if the plot cannot be written.

    Left: word errors of scripted sessions over the weight of the prior; below, false accepts per
    hour inside the window. Middle: word errors and commands by noise. Right: words missed at 5 dB
    by the time since the previous word.
    """
    data = evaluation.to_dict()
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    axes = figure.subplot_mosaic([["weight", "noise", "gap"], ["accepts", "commands", "learning"]])
    _weights(axes["weight"], axes["accepts"], data)
    _noise(axes["noise"], axes["commands"], data)
    _gaps(axes["gap"], data)
    _learning(axes["learning"], data)
    for each in axes.values():
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.3)
    figure.suptitle(
        f"{data['model']}, grammar {data['grammar']['name']}, {data['sessions']} sessions, "
        f"prior {data['prior']}, weight {data['weight']:g}",
        fontsize=10,
    )
    save_figure(figure, path)


def _weights(errors: Axes, accepts: Axes, data: dict[str, Any]) -> None:
    weights = [float(weight) for weight in data["weights"]]
    for index, snr in enumerate(SNR):
        rows = [each["snr"][snr]["word_errors_with"] for each in data["weights"].values()]
        _band(errors, weights, *_percent(rows), label=snr, colour=f"C{index}")
    errors.set(xlabel="weight of the prior", ylabel="word errors, %", title="scripted sessions")
    rows = [each["inside_window"] for each in data["weights"].values()]
    values = [row["per_hour"] for row in rows]
    bounds = [row["per_hour_95"] for row in rows]
    _band(accepts, weights, values, bounds, colour=_WITH, style="o-")
    accepts.set(
        xlabel="weight of the prior",
        ylabel="false accepts per hour",
        title="inside the window, no keyword spoken",
        ylim=(0, None),
    )


def _noise(errors: Axes, commands: Axes, data: dict[str, Any]) -> None:
    places = list(range(len(SNR)))
    for order, line in (("scripted", "-"), ("shuffled", "--"), ("adversarial", ":")):
        cells = [data["orders"][order][snr] for snr in SNR]
        for name, colour in (("without", _WITHOUT), ("with", _WITH)):
            rows = [cell[f"word_errors_{name}"] for cell in cells]
            label = f"{order}, {name} memory"
            _band(errors, places, *_percent(rows), label=label, colour=colour, style=line)
    cells = [data["orders"]["scripted"][snr] for snr in SNR]
    for name, label, colour in (
        ("commands_without_state", "each word by itself", "tab:gray"),
        ("commands_with_dialogue_only", "dialogue", "tab:orange"),
        ("commands_with_memory", "dialogue and prior", "tab:blue"),
    ):
        values = [100 * cell[name]["accuracy"] for cell in cells]
        bounds = [(100 * low, 100 * high) for low, high in (c[name]["accuracy_95"] for c in cells)]
        _band(commands, places, values, bounds, label=label, colour=colour, style="o-")
    for axes, what in ((errors, "word errors, %"), (commands, "commands understood, %")):
        axes.set_xticks(places, list(SNR))
        axes.set(ylabel=what)
    errors.set_title("by noise and order")
    commands.set_title("scripted sessions")


def _gaps(axes: Axes, data: dict[str, Any]) -> None:
    rows = data["by_gap"]["5 dB"]
    places = list(range(len(rows)))
    for name, colour in (("without", _WITHOUT), ("with", _WITH)):
        shown = [(place, row) for place, row in enumerate(rows) if row["said"]]
        values = [100 * row[f"missed_{name}"] for _, row in shown]
        bounds = [row[f"missed_{name}_95"] for _, row in shown]
        axes.errorbar(
            [place for place, _ in shown],
            values,
            [
                [v - 100 * low for v, (low, _) in zip(values, bounds, strict=True)],
                [100 * high - v for v, (_, high) in zip(values, bounds, strict=True)],
            ],
            fmt="o-",
            color=colour,
            capsize=3,
            label=f"{name} memory",
        )
    titles = [f"{a:g} to {b:g} s" for a, b in pairwise(GAPS_S)]
    axes.set_xticks(places, [*titles, "later, or first"], fontsize=7)
    axes.set(xlabel="since the previous word", ylabel="words missed, %", title="scripted, 5 dB")
    axes.legend(frameon=False, fontsize=7)


def _learning(axes: Axes, data: dict[str, Any]) -> None:
    for index, (name, figures) in enumerate(data["learning"].items()):
        points = figures["opposite_user"]
        commands = [point["commands"] for point in points]
        rows = [point["harm_bits"] for point in points]
        values = [row["mean"] for row in rows]
        bounds = [(row["95_low"], row["95_high"]) for row in rows]
        _band(axes, commands, values, bounds, label=name, colour=f"C{index}", style="o-")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(
        xlabel="commands of a user with opposite habits",
        ylabel="learned minus shipped, bits per word",
        title="does learning do harm?",
    )


def _percent(rows: list[dict[str, float]]) -> tuple[list[float], list[tuple[float, float]]]:
    """Return values and bounds of shares, in percent."""
    values = [100 * row["value"] for row in rows]
    return values, [(100 * row["95_low"], 100 * row["95_high"]) for row in rows]


def _band(
    axes: Axes,
    places: Sequence[float],
    values: Sequence[float],
    bounds: Sequence[tuple[float, float]],
    *,
    colour: str,
    label: str | None = None,
    style: str = "-",
) -> None:
    """Draw values, with their bounds as a band behind them."""
    axes.plot(places, values, style, color=colour, label=label)
    low, high = zip(*bounds, strict=True)
    axes.fill_between(places, low, high, color=colour, alpha=0.13, linewidth=0)
    if label is not None:
        axes.legend(frameon=False, fontsize=7)
