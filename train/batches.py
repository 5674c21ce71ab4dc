"""A configuration in, training batches in a fixed order out, drawn ahead by worker processes.

Nothing here imports tensorflow: every worker process imports this module anew.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..edge.errors import RunError
from . import augment
from .cache import Progress
from .config import TrainConfig
from .corpus import Corpus
from .data import load_corpus
from .pack import load_pack
from .splits import Split, SplitRule
from .store import StreamStore
from .streams import Batch, StreamMaker

_CHANNELS = 2_000_000  # a stream of random numbers beside those of epochs
_AHEAD = 8  # batches drawn in advance for each worker


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """How to open the corpus, in this process and in the workers."""

    root: Path
    cache_dir: Path | None = None
    split_rule: SplitRule = "auto"
    held_out_speech: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    additions: tuple[Path, ...] = ()
    pack: Path | None = None
    """A pack of speech and noise (see `harken.train.pack`), for a corpus that has none."""

    def open(self, progress: Progress | None = None) -> Corpus:
        """Open it; see `harken.train.data.load_corpus` for the errors."""
        corpus = load_corpus(
            self.root,
            additions=self.additions,
            cache_dir=self.cache_dir,
            split_rule=self.split_rule,
            held_out_speech=self.held_out_speech,
            left_out=self.left_out,
            progress=progress,
        )
        if self.pack is None:
            return corpus
        pack = load_pack(self.pack)
        both = hashlib.sha256(f"{corpus.fingerprint} {pack.fingerprint}".encode())
        return replace(corpus, pack=pack, fingerprint=both.hexdigest())


def stream_maker(config: TrainConfig, corpus: Corpus, split: Split) -> StreamMaker:
    """Return the maker of a run's streams; held-out words occur in all parts but training."""
    return StreamMaker(
        corpus,
        config.words,
        exclude=config.held_out_words if split == "training" else (),
        config=config.streams,
        front_end=config.front_end,
        stride_frames=config.step.stride_frames,
        split=split,
        seed=config.seed,
    )


def another_microphone(config: TrainConfig, step: int, batch: Batch) -> Batch:
    """Pass a batch through microphones that are different at every step."""
    response_db, front_end = config.streams.channel_db, config.front_end
    if not response_db:
        return batch
    offsets = augment.draw_channels(
        np.random.default_rng((config.seed, _CHANNELS, step)),
        len(batch.frames),
        n_mfcc=front_end.n_mfcc,
        n_mels=front_end.n_mels,
        response_db=response_db,
    )
    offsets /= np.asarray(front_end.std, np.float32)
    return replace(batch, frames=np.add(batch.frames, offsets[:, None, :], dtype=np.float32))


class Batches:
    """The batches of a run, for any of its steps; a context manager that ends the workers.

    The streams of the first `TrainConfig.distinct_epochs` epochs are drawn; later epochs reuse
    them, each in its own order. The batch of a step depends only on the configuration and the data.

    Parameters
    ----------
    config
        The run's configuration, with the front end's mean and std.
    source
        How the workers open the recordings.
    steps_per_epoch
        Batches in an epoch.
    workers
        Number of processes.
    store
        Store for drawn streams, shared with other runs. By default they are kept in memory.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: DataSource,
        *,
        steps_per_epoch: int,
        workers: int,
        store: StreamStore | None = None,
    ) -> None:
        self._store = store
        self._config, self._steps_per_epoch, self._workers = config, steps_per_epoch, workers
        self._kept: dict[tuple[int, int], Batch] = {}
        self._pool = ProcessPoolExecutor(
            workers,
            # TensorFlow's threads do not survive a fork.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(config, source),
        )

    def __enter__(self) -> Batches:
        # Ctrl-C in a terminal reaches all processes, but this one handles it: the workers, which
        # start with their first tasks, inherit the blocked signal.
        with _interrupt_blocked():
            for _ in range(self._workers):
                self._pool.submit(os.getpid)
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._store is not None:
            self._store.close()

    def draw(self, first: int, end: int) -> Iterator[Batch]:
        """Yield the batches of the steps `first` to `end`, in order.

        Raises
        ------
        RunError
            A worker has died.
        """
        ahead: deque[tuple[tuple[int, int], Future[Batch] | None]] = deque()
        try:
            for step in range(first, end):
                place = self._place(step)
                drawn = None if self._is_kept(place) else self._pool.submit(_draw, *place)
                ahead.append((place, drawn))
                if len(ahead) > _AHEAD * self._workers:
                    yield self._next(step - len(ahead) + 1, *ahead.popleft())
            while ahead:
                yield self._next(end - len(ahead), *ahead.popleft())
        except BrokenProcessPool as problem:
            raise RunError(
                "a process that draws training streams has died, for lack of memory perhaps; "
                "close other programs and continue with --resume"
            ) from problem

    def _next(self, step: int, place: tuple[int, int], drawn: Future[Batch] | None) -> Batch:
        return another_microphone(self._config, step, self._take(place, drawn))

    def _place(self, step: int) -> tuple[int, int]:
        """Return the batch of a step: the epoch that it was drawn for, and its index."""
        epoch, index = divmod(step, self._steps_per_epoch)
        if epoch >= self._config.distinct_epochs:
            rng = np.random.default_rng((self._config.seed, epoch))
            index = int(rng.permutation(self._steps_per_epoch)[index])
        return epoch % self._config.distinct_epochs, index

    def _is_kept(self, place: tuple[int, int]) -> bool:
        return place in self._kept if self._store is None else self._store.has(place[0])

    def _take(self, place: tuple[int, int], drawn: Future[Batch] | None) -> Batch:
        if drawn is None:
            return self._kept[place] if self._store is None else self._store.read(*place)
        batch = drawn.result()
        if self._store is not None:
            self._store.write(*place, batch)
        elif self._config.epochs > self._config.distinct_epochs:
            self._kept[place] = batch
        return batch


@contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Block Ctrl-C for processes started inside; on Windows it still reaches them."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker: tuple[TrainConfig, StreamMaker] | None = None


def _start_worker(config: TrainConfig, source: DataSource) -> None:
    global _worker  # noqa: PLW0603 (a worker process is its own world)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = config, stream_maker(config, source.open(), "training")


def _end_with_parent() -> None:
    """Exit when the training process is gone: a killed one cannot stop its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _draw(epoch: int, index: int) -> Batch:
    assert _worker is not None
    config, maker = _worker
    batch = maker.batch(epoch, index, config.batch_streams)
    # Half precision, 0.001 of a standard deviation, halves what is sent and kept.
    return replace(batch, frames=batch.frames.astype(np.float16))
