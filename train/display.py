"""Reports and progress in, output for a terminal out.

Nothing heavy is imported before something is shown, so that the light installation can show help.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.table import Table

    from .cache import Progress
    from .corpus import DataReport, Skipped
    from .evaluate import Evaluation
    from .fit import Progress as TrainingProgress

_ESTIMATE_AFTER_S, _WORTH_TELLING_S = 5.0, 10.0
_REASONS = 4  # for leaving out files that are listed one by one
_EXAMPLES = 3  # of those, where files are left out for several reasons of a kind


def data_notes(report: DataReport) -> list[str]:
    """Return lines on what was read, how it was split, and what was left out."""
    lines = [f"{report.files:,} files; words split {report.split_rule}"]
    if report.ignored_folders:
        lines.append(f"folders left out: {', '.join(report.ignored_folders)}")
    if report.odd_words:
        lines.append(
            f"taken for words, as all folders are: {', '.join(report.odd_words)}; noise belongs "
            "into _background_noise_, other words and speech into _unknown_"
        )
    if report.long_clips:
        count = len(report.long_clips)
        lines.append(
            f"{count} {'recording is' if count == 1 else 'recordings are'} too long for a word, "
            f"the longest: {report.long_clips[0]}; each counts as one clip of its word, so cut it "
            "into clips that hold the word once"
        )
    reasons: dict[str, list[Skipped]] = {}
    for file in report.skipped:
        reasons.setdefault(file.reason.partition(":")[0], []).append(file)
    groups = sorted(reasons.values(), key=len, reverse=True)
    for files in groups[:_REASONS]:
        kinds = {re.sub(r"\d+", "", file.reason): file for file in reversed(files)}
        examples = [f"{file.path} ({file.reason})" for file in list(kinds.values())[::-1]]
        shown = "; ".join(examples[:_EXAMPLES])
        more = len(examples) - _EXAMPLES
        lines.append(
            f"{len(files)} files left out, the first: {shown}"
            + (f"; and for {more} further reasons" if more > 0 else "")
        )
    others = sum(map(len, groups[_REASONS:]))
    if others:
        lines.append(f"{others} more files left out for other reasons")
    return lines


def evaluation_table(evaluation: Evaluation) -> Table:
    """Lay out the figures for a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("label")
    for title in ("clips", "right", "accuracy", "95 % interval"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("taken for")
    rows = list(evaluation.by_label.items())
    for index, (label, score) in enumerate([*rows, ("all clips", evaluation.overall)]):
        if score.accuracy is None or score.interval is None:
            table.add_row(label, "0", "", "", "", "")
            continue
        low, high = score.interval
        table.add_row(
            label,
            f"{score.clips:,}",
            f"{score.right:,}",
            f"{score.accuracy:.2%}",
            f"{low:.1%} – {high:.1%}",
            _confusions(evaluation, index) if index < len(rows) else "",
            style="bold" if index == len(rows) else None,
        )
    table.add_row("mean of labels", "", "", f"{evaluation.mean_label_accuracy:.2%}", "", "")
    return table


def _confusions(evaluation: Evaluation, label: int) -> str:
    """Return the wrong decisions for a label, most frequent first, three at most."""
    row = evaluation.confusion[label]
    order = [int(index) for index in (-row).argsort(kind="stable") if index != label and row[index]]
    return ", ".join(f"{evaluation.labels[index]} {row[index]}" for index in order[:3])


@contextmanager
def progress_bar(description: str) -> Iterator[Progress]:
    """Show a bar on standard error, if a terminal, from the first call of the yielded function."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from ..edge.app.display import notes

    console = notes()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(description, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


class Stages:
    """Says which stage some work is in, on standard error, and how far that is.

    If that is a terminal, a bar shows it; else a line says once how long it will take, if that is
    long. A context manager.
    """

    def __init__(self) -> None:
        self._shown = ExitStack()
        self._stage, self._count = "the start", ""
        self._began: tuple[float, int] | None = None
        self._on_count: Progress | None = None
        self._on_batch: Callable[[TrainingProgress], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._shown.close()

    @property
    def where(self) -> str:
        """The stage, and how far it is."""
        return f"{self._stage} ({self._count})" if self._count else self._stage

    def stage(self, stage: str) -> None:
        """Begin a stage."""
        from ..edge.app.display import notes

        self._shown.close()
        self._stage, self._count, self._began = stage, "", None
        self._on_count = self._on_batch = None
        notes().print(f"{stage} …", soft_wrap=True)

    def count(self, done: int, total: int) -> None:
        """Show that so much is done."""
        if self._on_count is None:
            self._on_count = self._shown.enter_context(progress_bar(self._stage))
        self._on_count(done, total)
        self._tell(done, total, f"{done} of {total}")

    def batch(self, progress: TrainingProgress) -> None:
        """Show how far a training is."""
        if self._on_batch is None:
            self._on_batch = self._shown.enter_context(training_bar())
        self._on_batch(progress)
        self._tell(
            progress.step, progress.steps, f"{progress.epoch} of {progress.epochs} epochs done"
        )

    def _tell(self, done: int, total: int, count: str) -> None:
        """Say how long it takes, where no bar does."""
        from ..edge.app.display import notes

        now = time.monotonic()
        if not self._count:
            self._began = now, done
        self._count = count
        if self._began is None or done <= self._began[1] or notes().is_terminal:
            return
        passed_s = now - self._began[0]
        left_s = passed_s * (total - done) / (done - self._began[1])
        if passed_s >= _ESTIMATE_AFTER_S:
            self._began = None
            if left_s >= _WORTH_TELLING_S:
                notes().print(f"  about {_duration(left_s)} to go", soft_wrap=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


@contextmanager
def training_bar() -> Iterator[Callable[[TrainingProgress], None]]:
    """Print a line per epoch to standard error; if that is a terminal, show a bar below them."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from ..edge.app.display import notes

    console = notes()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("so far,"),
        TimeRemainingColumn(),
        TextColumn("to go"),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("first epoch", total=None)
        shown = 0

        def update(progress: TrainingProgress) -> None:
            nonlocal shown
            epoch = min(progress.epoch + 1, progress.epochs)
            bar.update(
                task,
                completed=progress.step,
                total=progress.steps,
                description=f"epoch {epoch}/{progress.epochs} loss {progress.loss:.3f}",
            )
            if len(progress.history) > shown:
                shown = len(progress.history)
                console.print(_epoch_line(progress.history[-1]), highlight=False, soft_wrap=True)

        yield update


def _epoch_line(figures: dict[str, float]) -> str:
    streams = f", streams {figures['stream_loss']:.4f}" if "stream_loss" in figures else ""
    missed = f", missed {figures['missed']:.1%}" if "missed" in figures else ""
    noisy = f" ({figures['missed_noisy']:.1%} in noise)" if "missed_noisy" in figures else ""
    return (
        f"epoch {figures['epoch']:3.0f}: loss {figures['loss']:.4f}, validation: "
        f"clips {figures['clip_accuracy']:.2%}{streams}{missed}{noisy}, {figures['seconds']:.0f} s"
    )
