"""Audio and detections in, clips out: two seconds around each word and near miss, stored locally.

A clip begins `BEFORE_S` before its word was decided, and ends `AFTER_S` after that; it is shorter
where audio was lost, since no clip spans a gap, and where listening ends.
does the clip.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ...errors import DataError
from ...files import lock, write_atomic
from ..lines import warn
from .clips import EVENT, NEAR_MISS, SUFFIX, Clip, ClipFolder
from .near import LONGEST_S, QUIET_S, NearMisses
from .ring import Ring
from .writer import ClipWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ...spotting.spotter import Event, Spotter
    from ..listen import Heard
    from .near import NearMiss

BEFORE_S = 1.25
"""Enough for the word, which lasts less than a second and is decided about 0.1 s after its end."""

AFTER_S = 0.75

LIMIT_MB = 200.0
"""Default limit for a folder of clips: about 8,000 clips of a quiet room."""

_PIECE_S = 1.0  # longer blocks are processed in pieces
_RING_S = BEFORE_S + LONGEST_S + QUIET_S + AFTER_S + _PIECE_S  # a near miss may come this late
_LEAST_MB = 1.0
_PROBE_BYTES = 1 << 16  # of a clip that would fit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A clip whose audio is not complete yet."""

    kind: str
    word: str
    confidence: float
    threshold: float
    start_sample: int
    end_sample: int
    command: str | None

    def bounds(self, rate_hz: int) -> tuple[int, int]:
        """Return its first position and the one after its last."""
        before, after = round(BEFORE_S * rate_hz), round(AFTER_S * rate_hz)
        return self.end_sample - before, self.end_sample + after


class Keeper:
    """An observer that keeps a clip of each word and each near miss (see `harken.edge.app.listen`).

    Parameters
    ----------
    folder : str or Path
        Folder of clips; created, readable by its owner only, if missing.
    spotter : Spotter
        The spotter, in its initial state.
    limit_mb : float
        Maximum size of the folder, in megabytes; see `ClipWriter`.
    on_warning : callable
        Called with a line for the user, once for each kind of problem, in the listening thread.
        Listening continues.

    Raises
    ------
    DataError
        The folder is not writable, is used by another program, or the limit is too small.
    """

    def __init__(
        self,
        folder: str | Path,
        spotter: Spotter,
        *,
        limit_mb: float = LIMIT_MB,
        on_warning: Callable[[str], object] = warn,
    ) -> None:
        if not limit_mb >= _LEAST_MB:
            raise DataError(
                f"a limit of {limit_mb:g} MB is too small for clips; give {_LEAST_MB:g} or more"
            )
        self._folder = ClipFolder(folder)
        self._lock: int | None = _open_folder(self._folder.path)
        self._model = spotter.model
        self._thresholds = spotter.detector.thresholds
        self._rate_hz = spotter.model.manifest.front_end.sample_rate_hz
        self._near = NearMisses(spotter.model.manifest, spotter.detector)
        self._ring = Ring(round(_RING_S * self._rate_hz))
        self._heard = 0  # current position
        self._wanted: list[_Wanted] = []
        self._warn = on_warning
        self._session = os.urandom(4).hex()
        self._clips = 0
        self._last_time = datetime.min.replace(tzinfo=UTC)
        self._kinds = {EVENT: 0, NEAR_MISS: 0}
        self._writer = ClipWriter(self._folder, limit_bytes=round(limit_mb * 1e6))

    def heard(self, heard: Heard) -> None:
        """Process a block; see `harken.edge.app.listen.Observer`."""
        if heard.lost_samples or heard.start_sample != self._ring.end:
            # A word that was complete when audio was lost is decided within the gap.
            self._want_events(heard, (event for event in heard.events if _in_gap(event, heard)))
            self._want_near(self._near.restart(heard.start_sample))
            self._cut(to_the_end=True)
            self._ring.restart(heard.start_sample)
        self._want_events(heard, (event for event in heard.events if not _in_gap(event, heard)))
        self._want_near(self._near.feed(heard.evidence, heard.events))
        self._heard = heard.start_sample + len(heard.samples)
        piece = round(_PIECE_S * self._rate_hz)
        for first in range(0, len(heard.samples), piece):
            self._ring.push(heard.samples[first : first + piece])
            self._cut()
        self._pass_on_warnings()

    def notice(self, line: str) -> None:
        """Ignore a notice."""

    def close(self) -> None:
        """Write remaining clips, and unlock the folder."""
        if self._lock is None:
            return
        self._want_near(self._near.end())
        self._cut(to_the_end=True)
        self._writer.close()
        self._pass_on_warnings()
        os.close(self._lock)
        self._lock = None

    def summary(self) -> str:
        """Return a summary of the kept clips; it is final after `close`."""
        words, near = self._kinds[EVENT], self._kinds[NEAR_MISS]
        text = f"{words} words and {near} near misses in {self._folder.path}"
        if self._writer.missed:
            text += f", except {self._writer.missed} that could not be written"
        return text

    def _want_events(self, heard: Heard, events: Iterable[Event]) -> None:
        for event in events:
            commands = [c.text for t in heard.turns if t.word == event.word for c in t.commands]
            self._wanted.append(
                _Wanted(
                    kind=EVENT,
                    word=event.word,
                    confidence=event.confidence,
                    threshold=self._thresholds[event.word],
                    start_sample=event.start_sample,
                    end_sample=event.end_sample,
                    command=commands[-1] if commands else None,
                )
            )

    def _want_near(self, found: list[NearMiss]) -> None:
        self._wanted += [
            _Wanted(
                kind=NEAR_MISS,
                word=near.word,
                confidence=near.evidence,
                threshold=near.threshold,
                start_sample=near.start_sample,
                end_sample=near.end_sample,
                command=None,
            )
            for near in found
        ]

    def _cut(self, *, to_the_end: bool = False) -> None:
        """Hand complete clips, or all clips, to the writer."""
        left = []
        for wanted in self._wanted:
            first, last = wanted.bounds(self._rate_hz)
            if to_the_end or last <= self._ring.end:
                self._hand_over(wanted, *self._ring.cut(first, last))
            else:
                left.append(wanted)
        self._wanted = left

    def _hand_over(self, wanted: _Wanted, position: int, samples: NDArray[np.int16]) -> None:
        if not len(samples):
            return
        # A step's end is inside its window; the window's last samples may not be in the clip.
        end = min(max(wanted.end_sample - position, 0), len(samples))
        start = min(max(wanted.start_sample - position, 0), end)
        ago_s = (self._heard - wanted.end_sample) / self._rate_hz
        # A file is processed faster than real time; the order is still that of the audio.
        time = max(self._last_time, datetime.now(UTC) - timedelta(seconds=ago_s))
        self._last_time = time
        self._clips += 1
        self._kinds[wanted.kind] += 1
        clip = Clip(
            # By time, then by session and number, so names are unique.
            file=f"{time:%Y%m%dT%H%M%S}-{time.microsecond // 1000:03}"
            f"-{self._session}-{self._clips:05}{SUFFIX}",
            kind=wanted.kind,
            word=wanted.word,
            confidence=wanted.confidence,
            threshold=wanted.threshold,
            start_s=start / self._rate_hz,
            end_s=end / self._rate_hz,
            start_sample=start,
            end_sample=end,
            seconds=len(samples) / self._rate_hz,
            session=self._session,
            position=position,
            time=time.isoformat(timespec="milliseconds"),
            model=self._model.manifest.name,
            sha256=self._model.manifest.model.sha256,
            words=self._model.manifest.words,
            command=wanted.command,
        )
        self._writer.put(clip, samples)

    def _pass_on_warnings(self) -> None:
        for line in self._writer.take_warnings():
            self._warn(line)


def _in_gap(event: Event, heard: Heard) -> bool:
    return event.end_sample <= heard.start_sample


def _open_folder(path: Path) -> int:
    """Create a folder, check that it is writable, and lock it; return the lock."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as problem:
        if problem.errno in (errno.EEXIST, errno.ENOTDIR):
            reason = "it is a file, or inside one"
        else:
            reason = str(problem.strerror)
        raise DataError(
            f"cannot keep clips in {path}: {reason}; choose a folder that you can write to"
        ) from None
    try:
        lock(descriptor)
    except OSError:
        os.close(descriptor)
        raise DataError(
            f"another program keeps clips in {path}; choose another folder for this one"
        ) from None
    try:
        write_atomic(path / ".probe", bytes(_PROBE_BYTES), private=True, error=DataError)
        (path / ".probe").unlink()
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
