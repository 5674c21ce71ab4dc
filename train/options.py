"""Options that training's commands share: command-line values in, checked values out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..edge.app.options import path_of

if TYPE_CHECKING:
    from .batches import DataSource


class SplitRuleChoice(StrEnum):
    """What ``--split-rule`` takes; see `harken.train.splits.SplitRule`."""

    auto = "auto"
    lists = "lists"
    hash = "hash"
    speaker = "speaker"
    random = "random"


DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Folder of recordings: one folder per word, or a collection with speech_commands/.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Random seed.")]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=path_of,
        help="Cache for decoded audio. Default: the user's cache.",
    ),
]
AddOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--add",
        metavar="DIR",
        help="Another folder of recordings other than words, or of their transcripts: noise/, "
        "speech/, synthetic/ … May be repeated.",
    ),
]
SplitRuleOption = Annotated[
    SplitRuleChoice,
    typer.Option(
        help="How to split words into training, validation and test; auto takes the first rule "
        "that fits."
    ),
]


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """Options for opening recordings, as typed."""

    additions: tuple[Path, ...]
    split_rule: SplitRuleChoice
    cache_dir: Path | None
    held_out_speech: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def source(self, root: Path) -> DataSource:
        """Return the source of recordings, `root` and its additions; opens nothing."""
        from .batches import DataSource

        return DataSource(
            root=root,
            additions=self.additions,
            cache_dir=self.cache_dir,
            split_rule=self.split_rule.value,
            held_out_speech=self.held_out_speech,
            left_out=self.left_out,
        )


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options for reports, as typed."""

    out: Path | None
    """Folder for a report; None: no report."""
    as_json: bool


def listed(text: str | None, option: str) -> tuple[str, ...] | None:
    """Split ``a,b,c``; None stays None."""
    if text is None:
        return None
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise typer.BadParameter("give words with commas between, as in yes,no", param_hint=option)
    return words
