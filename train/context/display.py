"""A report in, tables for a terminal of 80 columns out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .sessions import ORDERS, SNR

if TYPE_CHECKING:
    from .report import ContextEvaluation


def context_tables(evaluation: ContextEvaluation) -> RenderableType:
    """Lay out the figures for a terminal."""
    data = evaluation.to_dict()
    headline = (
        f"{data['model']} with {data['grammar']['name']}: {data['sessions']} sessions, prior "
        f"{data['prior']}, weight {data['weight']:g}"
    )
    parts: list[RenderableType] = [Text(headline, style="bold"), Text(), _orders(data)]
    parts += [Text(), _weights(data), Text(), _accepts(data)]
    for name, figures in data["priors"].items():
        fewer = ", ".join(f"{snr} {_percent(figures[snr]['fewer'])}" for snr in SNR)
        parts.append(Text(f"\nReduction of word errors with the prior {name}: {fewer}"))
    for name, figures in data["learning"].items():
        gain, harm = figures["gain_bits"], figures["opposite_user"]
        parts.append(
            Text(
                f"\nLearning ({name}): after {figures['commands_taught']} commands "
                f"{figures['bits_per_word_learned']['mean']:.2f} bits per word instead of "
                f"{figures['bits_per_word_shipped']['mean']:.2f} "
                f"({gain['95_low']:.2f} to {gain['95_high']:.2f} fewer); then, with opposite "
                "habits, more by "
                + ", ".join(
                    f"{point['harm_bits']['mean']:+.2f} up to the {point['commands']}th"
                    for point in harm
                )
            )
        )
    return Group(*parts)


def _orders(data: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("order", "noise"):
        table.add_column(title)
    for title in ("word errors\nwithout", "\nwith", "\nfewer", "commands\nstateless", "\nwith"):
        table.add_column(title, justify="right", no_wrap=True)
    for order in ORDERS:
        for snr in SNR:
            cell = data["orders"][order][snr]
            table.add_row(
                order if snr == "clean" else "",
                snr,
                _percent(cell["word_errors_without"]),
                _percent(cell["word_errors_with"]),
                _percent(cell["fewer"]),
                f"{100 * cell['commands_without_state']['accuracy']:.1f} %",
                f"{100 * cell['commands_with_memory']['accuracy']:.1f} %",
            )
    return table


def _weights(data: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("weight")
    for snr in SNR:
        table.add_column(f"fewer,\n{snr}", justify="right")
    table.add_column("false/h\nin the window", justify="right")
    for weight, row in data["weights"].items():
        inside = row["inside_window"]
        table.add_row(
            weight,
            *(_percent(row["snr"][snr]["fewer"]) for snr in SNR),
            f"{inside['per_hour']:.2f}",
        )
    return table


def _accepts(data: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("false accepts")
    for title in ("number", "hours", "per hour", "95 %"):
        table.add_column(title, justify="right")
    for name, row in data["false_accepts"].items():
        low, high = row["per_hour_95"] or (0.0, 0.0)
        table.add_row(
            name.replace("_", ", "),
            str(row["false_accepts"]),
            f"{row['hours']:.2f}",
            f"{row['per_hour']:.2f}",
            f"{low:.2f} to {high:.2f}",
        )
    return table


def _percent(figure: dict[str, float]) -> str:
    return f"{100 * figure['value']:.1f} %"
