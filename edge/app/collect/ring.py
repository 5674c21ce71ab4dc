"""A ring buffer: blocks of audio in, any stretch of the last seconds out, never across a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ring:
    """The last samples of a stream, addressed by position.

    Parameters
    ----------
    capacity : int
        Size in samples.
    """

    def __init__(self, capacity: int) -> None:
        self._samples = np.zeros(capacity, np.int16)
        self.start = 0
        """Position of the oldest sample."""
        self.end = 0
        """Position after the newest sample."""

    def restart(self, at_sample: int) -> None:
        """Clear it after a gap; the next sample has this position."""
        self.start = self.end = at_sample

    def push(self, samples: NDArray[np.int16]) -> None:
        """Append samples, (n,) int16, dropping the oldest."""
        capacity = len(self._samples)
        kept = samples[-capacity:]
        self.end += len(samples)
        at = (self.end - len(kept)) % capacity
        first = min(len(kept), capacity - at)
        self._samples[at : at + first] = kept[:first]
        self._samples[: len(kept) - first] = kept[first:]
        self.start = max(self.start, self.end - capacity)

    def cut(self, first: int, last: int) -> tuple[int, NDArray[np.int16]]:
        """Return a copy of the available part of a stretch.

        Parameters
        ----------
        first, last
            Its first position and the one after its last.

        Returns
        -------
        Position of the first sample returned, and the samples, (n,) int16; n may be 0.
        """
        first = min(max(first, self.start), self.end)
        last = max(first, min(last, self.end))
        places = np.arange(first, last) % len(self._samples)
        return first, self._samples[places]
