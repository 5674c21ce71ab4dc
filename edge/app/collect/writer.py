"""Clips in, files out, in a thread of its own, so that who listens never waits for a disk."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from ...errors import HarkenError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .clips import Clip, ClipFolder

QUEUE_CLIPS = 256
"""Clips that wait for the disk at most: 16 MB."""

_TRIMMED = 0.9  # share of the limit that is left when room was made, so that it is seldom made


class ClipWriter:
    """Writes clips in the background, and keeps their folder below a size.

    When the folder is full, the oldest clips that nobody has decided about make room. Clips that
    were reviewed are never removed: when there is nothing else left, no more are kept.

    Parameters
    ----------
    folder : ClipFolder
        Where to.
    limit_bytes : int
        Most that the folder may hold.
    """

    def __init__(self, folder: ClipFolder, *, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._bytes = folder.size()
        self._waiting: deque[tuple[Clip, NDArray[np.int16]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._told: set[str] = set()
        self._warnings: deque[str] = deque()
        self.written = 0
        """Clips on the disk."""
        self.missed = 0
        """Clips that could not be kept."""
        self._thread = threading.Thread(target=self._run, name="harken-capture", daemon=True)
        self._thread.start()

    def put(self, clip: Clip, samples: NDArray[np.int16]) -> None:
        """Hand over a clip, (n,) int16, without waiting."""
        with self._changed:
            if len(self._waiting) >= QUEUE_CLIPS:
                self.missed += 1
                self._warn("slow", f"{self._folder.path} is too slow: clips are lost")
            else:
                self._waiting.append((clip, samples))
                self._changed.notify()

    def take_warnings(self) -> list[str]:
        """Return what went wrong and was not returned yet: each kind of trouble once."""
        taken = []
        while self._warnings:
            taken.append(self._warnings.popleft())
        return taken

    def close(self) -> None:
        """Write all that was handed over; nothing may be handed over any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                clip, samples = self._waiting.popleft()
            try:
                kept = self._write(clip, samples)
            except HarkenError as problem:
                kept = False
                self._warn("refused", f"{problem}. harken keeps listening; clips are lost")
            with self._changed:
                self.written += kept
                self.missed += not kept

    def _write(self, clip: Clip, samples: NDArray[np.int16]) -> bool:
        if self._bytes > self._limit_bytes and not self._make_room():
            self._warn(
                "full",
                f"{self._folder.path} is full ({self._limit_bytes / 1e6:g} MB) of clips that were "
                "reviewed: no more are kept. Export them with `harken review DIR --export OUT` and "
                "remove the folder, or raise the limit with --capture-limit",
            )
            return False
        self._bytes += self._folder.save(clip, samples)
        if self._bytes > self._limit_bytes:
            self._make_room()
        return True

    def _make_room(self) -> bool:
        """Remove old clips; return whether there is room for one more."""
        self._bytes = self._folder.size()  # a review may have added to it, a person removed some
        excess = self._bytes - round(self._limit_bytes * _TRIMMED)
        if self._bytes > self._limit_bytes:
            self._bytes -= self._folder.remove_oldest(excess)
        return self._bytes <= self._limit_bytes

    def _warn(self, kind: str, line: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._warnings.append(line)
