"""Call a function for each word: from the microphone, or from a recording.

python examples/callback.py
python examples/callback.py models/demo.flac
"""

from __future__ import annotations

import contextlib
import queue
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from harken.edge import Event, Spotter

Samples = npt.NDArray[np.int16]

RATE_HZ = 16_000
BLOCK = 320  # samples; 20 ms


def on_word(event: Event) -> None:
    """Do what you like; this prints the word and when it was said."""
    print(f"{event.end_s:8.2f} s  {event.word}  {event.confidence:.0%}", flush=True)


def listen(blocks: Iterable[Samples], callback: Callable[[Event], None]) -> None:
    """Feed blocks of mono samples at 16 kHz, and call back for each word."""
    spotter = Spotter("commands")
    for block in blocks:
        for event in spotter.feed(block):
            callback(event)


def recording(path: str) -> Iterator[Samples]:
    """Yield a recording in blocks; it must be mono at 16 kHz."""
    yield from soundfile.blocks(path, blocksize=BLOCK, dtype="int16")


def microphone() -> Iterator[Samples]:
    """Yield what the microphone hears; the sound card's thread only puts it into a queue."""
    import sounddevice

    waiting: queue.Queue[Samples] = queue.Queue()

    def put(block: Samples, *_: Any) -> None:
        waiting.put(block[:, 0].copy())

    with sounddevice.InputStream(
        samplerate=RATE_HZ, blocksize=BLOCK, channels=1, dtype="int16", callback=put
    ):
        print("Listening; Ctrl-C ends it.", file=sys.stderr)
        while True:
            yield waiting.get()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        listen(recording(sys.argv[1]) if len(sys.argv) > 1 else microphone(), on_word)
