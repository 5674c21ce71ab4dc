"""Results of checks in, a list of findings and an exit code out, even if a check crashes."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ...errors import HarkenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .privacy import Privacy


class State(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    check : str
        Section and name, such as ``microphone.level``; stable across versions.
    state : State
        The outcome.
    text : str
        The result, with figures.
    remedy : str, optional
        What to do about it.
    kind : type of HarkenError
        Error class whose exit code a problem has.
    figures : mapping
        The same for programs: JSON types.
    """

    check: str
    state: State
    text: str
    remedy: str | None = None
    kind: type[HarkenError] = HarkenError
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def section(self) -> str:
        """The part before the dot."""
        return self.check.partition(".")[0]

    @property
    def name(self) -> str:
        """The part after the dot, for display."""
        return self.check.partition(".")[2].replace("_", " ")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "check": self.check,
            "state": self.state.value,
            "text": self.text,
            "remedy": self.remedy,
            "exit_code": self.kind.exit_code if self.state is State.PROBLEM else None,
            "figures": dict(self.figures),
        }


class Findings:
    """Collects findings, removes private data, and passes them on as they come.

    Parameters
    ----------
    privacy : Privacy
        Filter for every finding.
    show : callable
        Called with each finding.
    lenient : collection of str
        Sections in which a problem is only a warning.
    """

    def __init__(
        self,
        privacy: Privacy,
        show: Callable[[Finding], object],
        *,
        lenient: tuple[str, ...] = (),
    ) -> None:
        self._privacy = privacy
        self._show = show
        self._lenient = lenient
        self.all: list[Finding] = []
        """All findings so far, as shown."""

    def add(self, *findings: Finding) -> None:
        """Add findings."""
        for finding in findings:
            shown = dataclasses.replace(
                finding,
                text=self._privacy.clean(finding.text),
                remedy=self._privacy.clean(finding.remedy),
                figures=self._privacy.clean(finding.figures),
            )
            if shown.state is State.PROBLEM and shown.section in self._lenient:
                shown = dataclasses.replace(shown, state=State.WARNING)
            self.all.append(shown)
            self._show(shown)

    @contextmanager
    def isolated(self, check: str, kind: type[HarkenError]) -> Iterator[None]:
        """Turn any exception inside into a problem, and continue after it.

        Parameters
        ----------
        check : str
            The check.
        kind : type of HarkenError
            Error class whose exit code an unexpected exception has.
        """
        try:
            yield
        except HarkenError as error:
            text, _, remedy = str(error).partition("; ")
            self.add(
                Finding(
                    check=check,
                    state=State.PROBLEM,
                    text=text,
                    remedy=remedy or None,
                    kind=type(error),
                )
            )
        except Exception as error:
            reason = " ".join(str(error).split())
            self.add(
                Finding(
                    check=check,
                    state=State.PROBLEM,
                    text=f"{type(error).__name__}{': ' if reason else ''}{reason}",
                    remedy="this should not happen; please open an issue with this report",
                    kind=kind,
                )
            )

    def count(self, state: State) -> int:
        """Return the number of findings in a state."""
        return sum(finding.state is state for finding in self.all)

    @property
    def exit_code(self) -> int:
        """The exit code of the first problem; 0 if there is none."""
        for finding in self.all:
            if finding.state is State.PROBLEM:
                return finding.kind.exit_code
        return 0
