"""What the checks say in, a list that goes on whatever breaks, and an exit code, out."""

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
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    check : str
        Section and name, such as ``microphone.level``; stays the same from version to version.
    state : State
        How it went.
    text : str
        What was found, with figures.
    remedy : str, optional
        What to do about it.
    kind : type of HarkenError
        Whose exit code a problem has.
    figures : mapping
        The same for programs: what JSON can hold.
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
        """The part after the dot, for people."""
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
    """Collects findings, free of private data, and passes them on as they come.

    Parameters
    ----------
    privacy : Privacy
        What every finding goes through.
    show : callable
        Gets each finding.
    lenient : collection of str
        Sections in which a problem is only worth a warning.
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
        """Those that were added, as they were shown."""

    def add(self, *findings: Finding) -> None:
        """Take in findings."""
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
        """Turn whatever goes wrong inside into a problem, and go on after it.

        Parameters
        ----------
        check : str
            Which check it is.
        kind : type of HarkenError
            Whose exit code it has when nobody foresaw it.
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
        """Return how many are in a state."""
        return sum(finding.state is state for finding in self.all)

    @property
    def exit_code(self) -> int:
        """That of the first problem; 0 where there is none."""
        for finding in self.all:
            if finding.state is State.PROBLEM:
                return finding.kind.exit_code
        return 0
