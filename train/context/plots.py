"""A report in, a picture out: errors over weight, noise and time, with and without a memory."""

from __future__ import annotations

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
    """Draw the curves; raises RunError if the picture cannot be written.

    Left: word errors of scripted sessions over the weight of the prior, and below false accepts an
    hour inside of the window. Middle: word errors and commands by noise. Right: words missed at
    5 dB by the time since the word before.
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
        _band(errors, weights, rows, snr, colour=f"C{index}")
    errors.set(xlabel="weight of the prior", ylabel="word errors, %", title="scripted sessions")
    rows = [each["inside_window"] for each in data["weights"].values()]
    values = [row["per_hour"] for row in rows]
    accepts.plot(weights, values, "o-", color=_WITH)
    low, high = zip(*(row["per_hour_95"] for row in rows), strict=True)
    accepts.fill_between(weights, low, high, color=_WITH, alpha=0.15, linewidth=0)
    accepts.set(
        xlabel="weight of the prior",
        ylabel="false accepts an hour",
        title="inside of the window, where nobody says a word",
        ylim=(0, None),
    )


def _noise(errors: Axes, commands: Axes, data: dict[str, Any]) -> None:
    places = list(range(len(SNR)))
    for order, line in (("scripted", "-"), ("shuffled", "--"), ("adversarial", ":")):
        cells = [data["orders"][order][snr] for snr in SNR]
        for name, colour in (("without", _WITHOUT), ("with", _WITH)):
            rows = [cell[f"word_errors_{name}"] for cell in cells]
            _band(errors, places, rows, f"{order}, {name} memory", colour=colour, line=line)
    cells = [data["orders"]["scripted"][snr] for snr in SNR]
    for name, label, colour in (
        ("commands_without_state", "each word for itself", "tab:gray"),
        ("commands_with_dialogue_only", "dialogue", "tab:orange"),
        ("commands_with_memory", "dialogue and prior", "tab:blue"),
    ):
        values = [100 * cell[name]["accuracy"] for cell in cells]
        bounds = [cell[name]["accuracy_95"] for cell in cells]
        commands.plot(places, values, "o-", color=colour, label=label)
        commands.fill_between(
            places,
            [100 * low for low, _ in bounds],
            [100 * high for _, high in bounds],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
    for axes, what in ((errors, "word errors, %"), (commands, "commands understood, %")):
        axes.set_xticks(places, list(SNR))
        axes.set(ylabel=what)
        axes.legend(frameon=False, fontsize=7)
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
    axes.set(xlabel="since the word before", ylabel="words missed, %", title="scripted, 5 dB")
    axes.legend(frameon=False, fontsize=7)


def _learning(axes: Axes, data: dict[str, Any]) -> None:
    for index, (name, figures) in enumerate(data["learning"].items()):
        points = figures["opposite_user"]
        commands = [point["commands"] for point in points]
        rows = [point["harm_bits"] for point in points]
        axes.plot(commands, [row["mean"] for row in rows], "o-", color=f"C{index}", label=name)
        axes.fill_between(
            commands,
            [row["95_low"] for row in rows],
            [row["95_high"] for row in rows],
            color=f"C{index}",
            alpha=0.15,
            linewidth=0,
        )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(
        xlabel="commands of a user with opposite habits",
        ylabel="learned less shipped, bits a word",
        title="does what was learned do harm?",
    )
    axes.legend(frameon=False, fontsize=7)


def _band(
    axes: Axes,
    places: list[Any],
    rows: list[dict[str, float]],
    label: str,
    *,
    colour: str,
    line: str = "-",
) -> None:
    axes.plot(places, [100 * row["value"] for row in rows], line, color=colour, label=label)
    axes.fill_between(
        places,
        [100 * row["95_low"] for row in rows],
        [100 * row["95_high"] for row in rows],
        color=colour,
        alpha=0.12,
        linewidth=0,
    )
    axes.legend(frameon=False, fontsize=7)
