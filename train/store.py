"""Training streams in, the same ones out for another run: epochs of streams on disk.

Making a stream takes longer than training on it. Networks that are trained on the same streams, one
after another or in parallel, can share them: a folder for all runs, in it a folder for each set of
settings that streams depend on, and in that one folder per epoch:

``epoch_000/frames.npy``
    Features, (batches, streams, frames, n_mfcc) float16.
``epoch_000/allowed.npy``
    Allowed labels, (batches, streams, steps, labels), as bits, packed along the last axis.
``epoch_000/fresh.npy``
    Which streams start from a reset state, (batches, streams).

An epoch is written under a temporary name and renamed when it is complete, under a lock that the
operating system releases with the process: of two runs, one makes it and the other waits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError
from .cache import try_lock
from .config import TrainConfig
from .streams import Batch

_FORMAT = 1  # part of the key: increase it if the same settings give other streams
_POLL_S = 0.5
_ARRAYS = ("frames", "allowed", "fresh")


def settings_key(config: TrainConfig, fingerprint: str, **others: Any) -> str:
    """Return a key that identifies the settings of streams: hexadecimal.

    Parameters
    ----------
    config
        The run's configuration, with the front end's mean and std.
    fingerprint
        Of the corpus.
    others
        Other values that streams depend on, as JSON types.
    """
    depends_on = {
        "format": _FORMAT,
        "fingerprint": fingerprint,
        "streams": dataclasses.asdict(config.streams),
        "front_end": dataclasses.asdict(config.front_end),
        "stride_frames": config.step.stride_frames,
        **{
            name: getattr(config, name)
            for name in (
                "words",
                "held_out_words",
                "held_out_speech",
                "left_out",
                "batch_streams",
                "seed",
            )
        },
        **others,
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]


class StreamStore:
    """Epochs of streams in a folder; a context manager that discards unfinished ones.

    Parameters
    ----------
    folder
        The folder of all stores.
    key
        See `settings_key`.
    steps_per_epoch
        Batches in an epoch.
    labels
        Labels of a step.
    stopped
        Whether to end, and so to wait for other processes no longer.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        *,
        steps_per_epoch: int,
        labels: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder = folder / f"streams-{key}"
        self._steps_per_epoch, self._labels = steps_per_epoch, labels
        self._stopped = stopped
        self._open: dict[int, tuple[NDArray[Any], ...]] = {}
        self._claimed: dict[int, _Unfinished] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"the streams cannot be kept in {folder}: {error.strerror}") from error

    def __enter__(self) -> StreamStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Discard unfinished epochs, so that other processes can make them."""
        while self._claimed:
            self._claimed.popitem()[1].give_up()

    def has(self, epoch: int) -> bool:
        """Whether an epoch can be read; if not, this process must make it.

        Waits while another process makes it. After a False, the other processes wait for this
        one.
        """
        if epoch in self._open:
            return True
        if epoch in self._claimed:
            return False
        folder = self._folder / f"epoch_{epoch:03}"
        with_lock = _lock(folder.with_suffix(".lock"), self._stopped)
        if with_lock is None:
            return False
        if folder.exists():
            with_lock.close()
            self._open[epoch] = tuple(
                np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS
            )
            return True
        self._claimed[epoch] = _Unfinished(folder, with_lock)
        return False

    def read(self, epoch: int, index: int) -> Batch:
        """Return a batch of an epoch for which `has` returned True."""
        frames, allowed, fresh = (array[index] for array in self._open[epoch])
        unpacked = np.unpackbits(allowed, axis=-1, count=self._labels)
        return Batch(np.asarray(frames), unpacked.astype(np.bool_), np.asarray(fresh))

    def write(self, epoch: int, index: int, batch: Batch) -> None:
        """Store a batch of an epoch that this process makes, in order.

        Raises
        ------
        DataError
            The disk is full.
        """
        unfinished = self._claimed.get(epoch)
        if unfinished is None:
            return
        if index != unfinished.written:  # resumed in the middle: another process may make it
            self._claimed.pop(epoch).give_up()
            return
        try:
            unfinished.write(batch, self._steps_per_epoch)
            if unfinished.written == self._steps_per_epoch:
                del self._claimed[epoch]
                unfinished.complete()
        except OSError as error:
            raise DataError(
                f"the streams cannot be kept in {self._folder} ({error.strerror}); free some "
                "space, or continue without --streams"
            ) from error


class _Unfinished:
    """An epoch that is being written."""

    def __init__(self, folder: Path, lock: IO[str]) -> None:
        self._folder, self._temporary = folder, folder.with_suffix(".part")
        self._lock = lock
        self._arrays: list[NDArray[Any]] = []
        self.written = 0

    def write(self, batch: Batch, batches: int) -> None:
        """Write the next batch."""
        packed = np.packbits(batch.allowed, axis=-1)
        frames = batch.frames.astype(np.float16, copy=False)
        values: tuple[NDArray[Any], ...] = (frames, packed, batch.fresh)
        if not self._arrays:
            shutil.rmtree(self._temporary, ignore_errors=True)  # left by a killed process
            self._temporary.mkdir()
            self._arrays = [
                np.lib.format.open_memmap(
                    self._temporary / f"{name}.npy",
                    mode="w+",
                    dtype=value.dtype,
                    shape=(batches, *value.shape),
                )
                for name, value in zip(_ARRAYS, values, strict=True)
            ]
        for array, value in zip(self._arrays, values, strict=True):
            array[self.written] = value
        self.written += 1

    def complete(self) -> None:
        """Give the epoch its final name, and let others read it."""
        self._arrays.clear()
        self._temporary.rename(self._folder)
        self._lock.close()

    def give_up(self) -> None:
        """Remove the unfinished epoch, and let others make it."""
        self._arrays.clear()
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._lock.close()


def _lock(path: Path, stopped: Callable[[], bool]) -> IO[str] | None:
    """Wait for the lock of an epoch, which closing it releases; None if stopped before."""
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise DataError(f"the streams cannot be kept in {path.parent}: {error.strerror}") from error
    while not try_lock(file):
        if stopped():
            file.close()
            return None
        time.sleep(_POLL_S)
    return file
