"""Clips in, files out, in a separate thread, so that listening never waits for the disk."""

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
"""Most clips waiting for the disk: 16 MB."""

_TRIMMED = 0.9  # share of the limit that is kept when space is freed, so that this is rare


class ClipWriter:
    """Writes clips in the background, and limits the size of their folder.

    When the folder is full, the oldest unreviewed clips are removed. Reviewed clips are never
    removed: when only these are left, no more clips are kept.

    Parameters
    ----------
    folder : ClipFolder
        Folder to write to.
    limit_bytes : int
        Maximum size of the folder.
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
        """Number of clips on disk."""
        self.missed = 0
        """Number of clips that could not be written."""
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
        """Return new problems, each kind once."""
        taken = []
        while self._warnings:
            taken.append(self._warnings.popleft())
        return taken

    def close(self) -> None:
        """Write the remaining clips; none may be added afterwards."""
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
                f"{self._folder.path} is full ({self._limit_bytes / 1e6:g} MB) of reviewed "
                "clips: no more are kept. Export them with `harken review DIR --export OUT` and "
                "remove the folder, or raise the limit with --capture-limit",
            )
            return False
        self._bytes += self._folder.save(clip, samples)
        if self._bytes > self._limit_bytes:
            self._make_room()
        return True

    def _make_room(self) -> bool:
        """Remove old clips; return whether there is space for one more."""
        self._bytes = self._folder.size()  # others may have changed it
        excess = self._bytes - round(self._limit_bytes * _TRIMMED)
        if self._bytes > self._limit_bytes:
            self._bytes -= self._folder.remove_oldest(excess)
        return self._bytes <= self._limit_bytes

    def _warn(self, kind: str, line: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._warnings.append(line)
