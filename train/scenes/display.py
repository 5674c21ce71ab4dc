"""A report in; out comes what a terminal of 80 columns shows of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .scoring import REASONS

if TYPE_CHECKING:
    from .report import Counts, StreamEvaluation
    from .scoring import FalseAccepts, Misses, Tally

_TITLES = {"snr": "noise", "talk": "talk", "gain": "gain", "room": "room", "flow": "words"}


def stream_tables(evaluation: StreamEvaluation) -> RenderableType:
    """Lay out the figures for a terminal: operating points, then the details as shipped."""
    counts = evaluation.shipped
    parts: list[RenderableType] = [Text(_headline(evaluation), style="bold")]
    parts += [Text(), _points_table(evaluation)]
    if len(counts.conditions.get("flow", {})) > 1:
        parts += [Text(), _flow_table(evaluation)]
    parts += [Text(line) for line in _missing_points(evaluation)]
    details: list[RenderableType] = []
    if any(len(values) > 1 for values in counts.conditions.values()):
        details.append(_conditions_table(counts))
    if counts.words.misses().said:
        details.append(_words_table(evaluation))
    if len(counts.sources) > 1:
        details.append(_sources_table(counts))
    details += [Text(line) for line in _lines(counts)]
    if details:
        parts += [Text(), Text("As shipped", style="bold")]
        for detail in details:
            parts += [Text(), detail] if isinstance(detail, Table) else [detail]
    parts.append(Text("false/h: false accepts per hour", style="dim"))
    return Group(*parts)


def _headline(evaluation: StreamEvaluation) -> str:
    said = evaluation.shipped.words.misses().said
    return (
        f"{evaluation.subject}: {said:,} words in {evaluation.shipped.words.hours:.2f} h, and "
        f"{evaluation.negative_hours:.2f} negative hours"
    )


def _points_table(evaluation: StreamEvaluation) -> Table:
    """Return misses against false accepts at each operating point that exists."""
    snr = evaluation.shipped.conditions.get("snr", {})
    columns = list(snr) if len(snr) > 1 else []
    table = _table()
    table.add_column("false/h\nat most", no_wrap=True)
    for title in ("actual", "95 %"):
        table.add_column(f"\n{title}", justify="right", no_wrap=True)
    for title in ("missed\nall", *(f"\n{value}" for value in columns)):
        table.add_column(title, justify="right", no_wrap=True)
    for point in evaluation.points:
        if point.setting is None:
            continue
        counts = evaluation.counts[point.setting]
        accepts = counts.negatives.accepts()
        table.add_row(
            point.name if point.rate_per_hour is None else f"{point.rate_per_hour:g}",
            _rate(accepts),
            _rate_interval(accepts),
            _share(counts.words.misses()),
            *(_share(counts.conditions["snr"][value].misses()) for value in columns),
            style="bold" if point.rate_per_hour is None else None,
        )
    return table


def _flow_table(evaluation: StreamEvaluation) -> Table:
    """Return misses by how words are spoken, at each operating point that exists."""
    table = _table()
    table.add_column("missed, false/h at most")
    points = [point for point in evaluation.points if point.setting is not None]
    table.add_column("said", justify="right", no_wrap=True)
    for point in points:
        title = point.name if point.rate_per_hour is None else f"{point.rate_per_hour:g}"
        table.add_column(title, justify="right", no_wrap=True)
    for value, tally in evaluation.shipped.conditions["flow"].items():
        table.add_row(
            f"words {value}",
            f"{tally.misses().said:,}",
            *(
                _share(evaluation.counts[point.setting].conditions["flow"][value].misses())
                for point in points
                if point.setting is not None
            ),
        )
    return table


def _missing_points(evaluation: StreamEvaluation) -> Iterator[str]:
    """Say which operating points do not exist, and why."""
    rates: dict[str, list[str]] = {}
    for point in evaluation.points:
        if point.problem is not None:
            rates.setdefault(point.problem, []).append(f"{point.rate_per_hour:g}")
    for problem, names in rates.items():
        yield f"No figures at {', '.join(names)} false/h: {problem}."


def _conditions_table(counts: Counts) -> Table:
    table = _table()
    table.add_column("\ncondition")
    for title in ("said", "missed", "95 %", "median", "95 %", "false/h"):
        above = "latency" if title == "median" else ""
        table.add_column(f"{above}\n{title}", justify="right", no_wrap=True)
    for name, values in counts.conditions.items():
        if len(values) == 1:
            continue
        for value, tally in values.items():
            misses = tally.misses()
            table.add_row(
                f"{_TITLES[name]} {value}",
                f"{misses.said:,}",
                _share(misses),
                _share_interval(misses),
                *_latency(tally),
                _rate(tally.accepts()),
            )
    return table


def _words_table(evaluation: StreamEvaluation) -> Table:
    counts = evaluation.shipped
    table = _table()
    table.add_column("word")
    for title in ("said", "missed", "95 %", "false/h"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("taken for")
    for word in evaluation.words:
        misses = counts.words.misses(word)
        taken = Counter(
            {heard: n for (said, heard), n in counts.words.instead.items() if said == word}
        )
        table.add_row(
            word,
            f"{misses.said:,}",
            _share(misses),
            _share_interval(misses),
            _rate(counts.negatives.accepts(word=word)),
            ", ".join(f"{heard} {number}" for heard, number in taken.most_common(3)),
        )
    return table


def _sources_table(counts: Counts) -> Table:
    table = _table()
    table.add_column("negative hours")
    for title in ("hours", "false accepts", "false/h", "95 %"):
        table.add_column(title, justify="right", no_wrap=True)
    for source, tally in counts.sources.items():
        accepts = tally.accepts()
        table.add_row(
            source,
            f"{accepts.hours:.2f}",
            str(accepts.count),
            _rate(accepts),
            _rate_interval(accepts),
        )
    return table


def _lines(counts: Counts) -> Iterator[str]:
    """Say in sentences what needs no table."""
    latency = counts.words.latency_quantiles_s(0.5, 0.95)
    if latency:
        yield ""
        yield (
            f"An event comes {1000 * latency[0]:.0f} ms after the end of its word (median), "
            f"95 % within {1000 * latency[1]:.0f} ms."
        )
    if counts.words.hours:
        accepts = counts.words.accepts()
        reasons = ", ".join(
            f"{reason} {number}"
            for reason in REASONS
            if (number := counts.words.accepts(reason=reason).count)
        )
        yield (
            f"{accepts.count:,} false accepts among the words, {_rate(accepts)} per hour"
            + (f": {reasons}." if reasons else ".")
        )


def _table() -> Table:
    return Table(box=None, pad_edge=False)


def _share(misses: Misses) -> str:
    return "–" if misses.rate is None else f"{misses.rate:.1%}"


def _share_interval(misses: Misses) -> str:
    if misses.interval is None:
        return "–"
    low, high = misses.interval
    return f"{100 * low:.1f} – {100 * high:.1f}"


def _rate(accepts: FalseAccepts) -> str:
    rate = accepts.per_hour
    return "–" if rate is None else _number(rate)


def _rate_interval(accepts: FalseAccepts) -> str:
    if accepts.interval is None:
        return "–"
    return " – ".join(map(_number, accepts.interval))


def _number(rate: float) -> str:
    """Return a rate with its significant digits."""
    return f"{rate:.2f}" if rate < 9.995 else f"{rate:.1f}" if rate < 99.95 else f"{rate:.0f}"


def _latency(tally: Tally) -> tuple[str, str]:
    latency = tally.latency_quantiles_s(0.5, 0.95)
    if latency is None:
        return "–", "–"
    return f"{1000 * latency[0]:.0f} ms", f"{1000 * latency[1]:.0f} ms"
