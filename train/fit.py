"""A corpus and a configuration in, a run folder with trained weights out."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..edge.errors import RunError
from ..edge.frontend import FrontEndConfig
from .clips import ClipScores, ClipSet
from .config import TrainConfig
from .data import Corpus, load_corpus
from .features import stack
from .network import Weights, forward, initial_weights, set_loss, zero_state
from .run import Arrays, RunFolder, RunRecord
from .splits import Split, SplitRule
from .streams import Batch, StreamMaker

_AHEAD = 8  # batches drawn in advance by each worker
_MEASURE_BATCHES = 16  # streams for mean and std: 16 batches, about an hour of audio
_VALIDATION_BATCHES = 6
_CALIBRATION_STREAMS = 60  # four minutes in one piece
_SAVE_EVERY_S = 120.0
_MEASURE_EPOCH, _CALIBRATION_EPOCH = 1_000_000, 1_000_001  # epochs that no training reaches


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training run stands; given to the caller after every batch."""

    epoch: int
    epochs: int
    step: int
    """Batches done, over all epochs."""
    steps: int
    """Batches of the whole run."""
    loss: float
    """Training loss of this epoch so far, nats a step."""
    history: list[dict[str, float]]
    """Figures of the epochs that are complete."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call of `train` ended."""

    finished: bool
    """False when it was interrupted; ``--resume`` goes on from there."""
    epochs: int
    """Epochs complete."""
    best: dict[str, float] | None
    """Figures of the epoch whose weights were kept."""


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """How to open the corpus, in this process and in the workers."""

    root: Path
    cache_dir: Path | None = None
    split_rule: SplitRule = "auto"

    def open(self) -> Corpus:
        """Open it; see `harken.train.data.load_corpus` for the errors."""
        return load_corpus(self.root, cache_dir=self.cache_dir, split_rule=self.split_rule)


def train(
    config: TrainConfig,
    source: DataSource,
    corpus: Corpus,
    run: RunFolder,
    *,
    recipe: str,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    workers: int = 2,
) -> Outcome:
    """Train a model, or go on with a run that was interrupted.

    Ctrl-C (SIGINT) and SIGTERM end it after the batch at hand, with a checkpoint. The same
    configuration, data and versions draw the same batches, however often it was interrupted.

    Parameters
    ----------
    config
        What to train. With `resume`, it must equal the run's own, but for `epochs`.
    source
        How worker processes open the recordings.
    corpus
        The same recordings, open in this process.
    run
        Where everything is written.
    recipe
        The command line that repeats the run, for the record.
    resume
        Go on from the run's checkpoint.
    on_progress
        Called after every batch.
    workers
        Processes that draw streams.

    Returns
    -------
    Outcome
        Whether it finished, and the best epoch's figures.

    Raises
    ------
    DataError
        The corpus lacks what the configuration asks for.
    RunError
        The run folder cannot be written, holds another run, or its checkpoint is damaged.
    """
    if not resume and run.has("config.json"):
        raise RunError(
            f"{run.path} holds a run already; choose another --out, or go on with it by --resume"
        )
    corpus.require_words(config.words, split="training")
    run.create()
    if resume:
        record = run.load_record()
        _check_same(run, record, config, corpus)
        config = replace(record.config, epochs=config.epochs)
    else:
        config = replace(config, front_end=_measured(config, corpus))
        record = RunRecord(
            config=config, recipe=recipe, data=_described(config, corpus), versions=_versions()
        )
        run.save_record(record)
    fitting = _Fitting(config, corpus, run)
    if resume:
        fitting.restore()
    return fitting.go(_Batches(config, source, fitting.steps_per_epoch, workers), on_progress)


class _Fitting:
    """The state of a run: weights, optimizer, averages, history."""

    def __init__(self, config: TrainConfig, corpus: Corpus, run: RunFolder) -> None:
        self.config, self.run, self.corpus = config, run, corpus
        self.steps_per_epoch = _steps_per_epoch(config, corpus)
        inputs = config.step.context_frames * config.front_end.n_mfcc
        first = initial_weights(
            config.model, inputs=inputs, labels=len(config.labels), seed=config.seed
        )
        self.variables = {
            name: keras.Variable(value, name=name.replace("/", "_"))
            for name, value in first.items()
        }
        self.average = {name: value.copy() for name, value in first.items()}
        self.best: Weights = {}
        self.history: list[dict[str, float]] = []
        self.step = 0
        self.loss_sum = 0.0
        self.seconds = 0.0
        self.state = zero_state(config.model, config.batch_streams)
        steps = self.steps_per_epoch * config.epochs
        self.optimizer = keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                1e-5,
                max(1, steps - steps // 20),
                alpha=0.003,
                warmup_target=config.learning_rate,
                warmup_steps=steps // 20,
            ),
            weight_decay=config.weight_decay,
            beta_2=0.99,
            global_clipnorm=1.0,
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias"])
        self.optimizer.build(list(self.variables.values()))
        self._gradient = tf.function(self._gradient_eager, jit_compile=True)
        self._apply = tf.function(self._apply_eager)
        self._stop = False

    def go(self, batches: _Batches, on_progress: Callable[[Progress], None]) -> Outcome:
        """Train until the last epoch is done or a signal asks to stop."""
        config, saved_at = self.config, time.monotonic()
        total = self.steps_per_epoch * config.epochs
        validation = _Validation(config, self.corpus)
        with _signals(self._ask_to_stop), batches:
            at = time.monotonic()
            for batch in batches.draw(self.step, total):
                self._learn(batch)
                self.seconds += time.monotonic() - at
                at = time.monotonic()
                epoch, within = divmod(self.step, self.steps_per_epoch)
                if within == 0:
                    self._finish_epoch(validation)
                on_progress(
                    Progress(
                        epoch=epoch,
                        epochs=config.epochs,
                        step=self.step,
                        steps=total,
                        loss=self.loss_sum / max(1, within),
                        history=self.history,
                    )
                )
                if within == 0 or self._stop or time.monotonic() > saved_at + _SAVE_EVERY_S:
                    self.save()
                    saved_at = time.monotonic()
                if self._stop:
                    break
        finished = self.step >= total
        if finished:
            self._complete(validation)
        return Outcome(
            finished=finished,
            epochs=len(self.history),
            best=max(self.history, key=_score) if self.history else None,
        )

    def save(self) -> None:
        """Write the checkpoint: all that is needed to go on as if nothing had happened."""
        arrays: Arrays = {
            "step": np.array(self.step),
            "loss_sum": np.array(self.loss_sum),
            "seconds": np.array(self.seconds),
        }
        for prefix, weights in (
            ("variable", {n: v.numpy() for n, v in self.variables.items()}),
            ("average", self.average),
            ("best", self.best),
        ):
            arrays |= {f"{prefix}/{name}": value for name, value in weights.items()}
        for index, variable in enumerate(self.optimizer.variables):
            arrays[f"optimizer/{index}"] = np.asarray(variable)
        for layer, (h, c) in enumerate(self.state):
            arrays[f"state/{layer}/h"], arrays[f"state/{layer}/c"] = h.numpy(), c.numpy()
        self.run.save_json("history.json", self.history)
        self.run.save_arrays("checkpoint.npz", arrays)

    def restore(self) -> None:
        """Read the checkpoint.

        Raises
        ------
        RunError
            It is missing, damaged, or of another network.
        """
        arrays = self.run.load_arrays("checkpoint.npz")
        try:
            for name, variable in self.variables.items():
                variable.assign(arrays[f"variable/{name}"])
                self.average[name] = arrays[f"average/{name}"]
                if f"best/{name}" in arrays:
                    self.best[name] = arrays[f"best/{name}"]
            for index, variable in enumerate(self.optimizer.variables):
                variable.assign(arrays[f"optimizer/{index}"])
            self.state = [
                (tf.constant(arrays[f"state/{n}/h"]), tf.constant(arrays[f"state/{n}/c"]))
                for n in range(len(self.state))
            ]
            self.step = int(arrays["step"])
            self.loss_sum, self.seconds = float(arrays["loss_sum"]), float(arrays["seconds"])
        except (KeyError, ValueError) as problem:
            raise RunError(
                f"{self.run.path / 'checkpoint.npz'} does not fit this run ({problem}); train again"
            ) from problem
        self.history = self.run.load_json("history.json")[: self.step // self.steps_per_epoch]

    def _learn(self, batch: Batch) -> None:
        """Take one optimizer step; the streams' state goes on where the last batch left it."""
        step = self.config.step
        inputs = stack(
            batch.frames, context_frames=step.context_frames, stride_frames=step.stride_frames
        )
        keep = tf.constant(~batch.fresh[:, None], tf.float32)
        before = [(h * keep, c * keep) for h, c in self.state]
        seed = tf.constant([self.config.seed, self.step])
        loss, gradients, self.state = self._gradient(
            tf.constant(inputs), tf.constant(batch.allowed), before, seed
        )
        self._apply(gradients)
        self.step += 1
        self.loss_sum += float(loss)
        decay = min(self.config.averaging, self.step / (self.step + 10.0))
        for name, variable in self.variables.items():
            self.average[name] += np.float32(1 - decay) * (variable.numpy() - self.average[name])

    def _gradient_eager(self, inputs: Any, allowed: Any, state: Any, seed: Any) -> Any:
        values = {name: variable.value for name, variable in self.variables.items()}
        with tf.GradientTape() as tape:
            logits, after = forward(
                values,
                self.config.model,
                inputs,
                state,
                dropout=self.config.dropout,
                seed=seed,
            )
            loss = set_loss(logits, allowed)
        return loss, tape.gradient(loss, list(values.values())), after

    def _apply_eager(self, gradients: Any) -> None:
        self.optimizer.apply(gradients, list(self.variables.values()))

    def _finish_epoch(self, validation: _Validation) -> None:
        """Measure the averaged weights, and keep them if they are the best so far."""
        figures = {
            "epoch": float(len(self.history) + 1),
            "loss": self.loss_sum / self.steps_per_epoch,
            "seconds": round(self.seconds, 1),
            **validation.measure(self.average),
        }
        if not self.history or _score(figures) > max(map(_score, self.history)):
            self.best = {name: value.copy() for name, value in self.average.items()}
        self.history.append(figures)
        self.loss_sum = self.seconds = 0.0

    def _complete(self, validation: _Validation) -> None:
        """Write what a finished run leaves."""
        from .plots import draw_confusion, draw_curves

        config, run = self.config, self.run
        run.save_arrays("weights.npz", self.best)
        run.save_arrays(
            "calibration.npz",
            {
                "frames": _long_stream(config, self.corpus, "training"),
                "check_frames": _long_stream(config, self.corpus, "validation"),
            },
        )
        scores = validation.scores(self.best)
        draw_curves(run.path / "curves.png", self.history)
        draw_confusion(run.path / "confusion.png", scores.confusion, config.labels)
        run.save_json("history.json", self.history)
        run.save_json(
            "report.json",
            {
                "best": max(self.history, key=_score),
                "validation": scores.to_dict(config.labels),
                "data": self.corpus.report.to_dict(),
            },
        )
        run.remove("checkpoint.npz")

    def _ask_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self._stop = True


class _Validation:
    """The validation split, ready to be measured: single clips, and streams drawn once."""

    def __init__(self, config: TrainConfig, corpus: Corpus) -> None:
        self._config = config
        self._clips = ClipSet(corpus, config)
        self._batches: list[Batch] = []
        counts = corpus.report.word_counts
        if all(counts[word].get("validation", 0) for word in config.words):
            maker = _maker(config, corpus, "validation")
            self._batches = [
                maker.batch(0, i, config.batch_streams) for i in range(_VALIDATION_BATCHES)
            ]
        self._infer = tf.function(self._infer_eager, jit_compile=True)

    def measure(self, weights: Weights) -> dict[str, float]:
        """Return ``clip_accuracy`` and ``stream_loss`` (nats a step) of some weights."""
        figures = {"clip_accuracy": self.scores(weights).accuracy}
        step = self._config.step
        losses = []
        for batch in self._batches:
            inputs = stack(
                batch.frames, context_frames=step.context_frames, stride_frames=step.stride_frames
            )
            logits = self._logits(weights, inputs)
            losses.append(float(set_loss(tf.constant(logits), tf.constant(batch.allowed))))
        if losses:
            figures["stream_loss"] = float(np.mean(losses))
        return figures

    def scores(self, weights: Weights) -> ClipScores:
        """Return the decisions on the clips."""
        return self._clips.score(lambda inputs: self._logits(weights, inputs))

    def _logits(self, weights: Weights, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        state = zero_state(self._config.model, len(inputs))
        constants = {name: tf.constant(value) for name, value in weights.items()}
        logits: NDArray[np.float32] = self._infer(constants, tf.constant(inputs), state).numpy()
        return logits

    def _infer_eager(self, weights: Any, inputs: Any, state: Any) -> Any:
        return forward(weights, self._config.model, inputs, state)[0]


class _Batches:
    """Batches of streams, drawn ahead by worker processes; also a context that ends them."""

    def __init__(
        self, config: TrainConfig, source: DataSource, steps_per_epoch: int, workers: int
    ) -> None:
        self._config, self._steps_per_epoch, self._workers = config, steps_per_epoch, workers
        self._kept: dict[tuple[int, int], Batch] = {}
        self._pool = ProcessPoolExecutor(
            workers,
            # TensorFlow's threads do not survive a fork.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(config, source),
        )

    def __enter__(self) -> _Batches:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def draw(self, first: int, end: int) -> Iterator[Batch]:
        """Yield the batches of steps first to end, in order."""
        ahead: deque[tuple[tuple[int, int], Future[Batch] | None]] = deque()
        for step in range(first, end):
            place = self._place(step)
            drawn = None if place in self._kept else self._pool.submit(_draw, *place)
            ahead.append((place, drawn))
            if len(ahead) > _AHEAD * self._workers:
                yield self._take(*ahead.popleft())
        while ahead:
            yield self._take(*ahead.popleft())

    def _place(self, step: int) -> tuple[int, int]:
        """Return which batch is heard at a step: the epoch that it is drawn for, and its index."""
        epoch, index = divmod(step, self._steps_per_epoch)
        if epoch >= self._config.distinct_epochs:
            rng = np.random.default_rng((self._config.seed, epoch))
            index = int(rng.permutation(self._steps_per_epoch)[index])
        return epoch % self._config.distinct_epochs, index

    def _take(self, place: tuple[int, int], drawn: Future[Batch] | None) -> Batch:
        if drawn is None:
            return self._kept[place]
        batch = drawn.result()
        if self._config.epochs > self._config.distinct_epochs:
            self._kept[place] = batch
        return batch


_worker: tuple[TrainConfig, StreamMaker] | None = None


def _start_worker(config: TrainConfig, source: DataSource) -> None:
    global _worker  # noqa: PLW0603 (a worker process is its own world)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _worker = config, _maker(config, source.open(), "training")


def _draw(epoch: int, index: int) -> Batch:
    assert _worker is not None
    config, maker = _worker
    batch = maker.batch(epoch, index, config.batch_streams)
    # Half precision, 0.001 of a standard deviation, halves what has to be sent and kept.
    return replace(batch, frames=batch.frames.astype(np.float16))


class _signals:  # noqa: N801 (used like a function)
    """While inside, SIGINT and SIGTERM call a handler."""

    def __init__(self, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handler = handler
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):
            self._before[name] = signal.signal(name, self._handler)

    def __exit__(self, *exc: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)


def _maker(config: TrainConfig, corpus: Corpus, split: Split) -> StreamMaker:
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


def _measured(config: TrainConfig, corpus: Corpus) -> FrontEndConfig:
    """Return the front end with the mean and std of each coefficient over training streams."""
    n_mfcc = config.front_end.n_mfcc
    plain = replace(config.front_end, mean=(), std=())
    if config.front_end != plain:
        return config.front_end  # given in the settings
    maker = _maker(config, corpus, "training")
    frames = np.concatenate(
        [
            maker.batch(_MEASURE_EPOCH, index, 32).frames.reshape(-1, n_mfcc)
            for index in range(_MEASURE_BATCHES)
        ]
    )
    mean = frames.mean(axis=0, dtype=np.float64)
    std = frames.std(axis=0, dtype=np.float64)
    return replace(
        plain,
        mean=tuple(round(float(value), 4) for value in mean),
        std=tuple(round(float(value), 4) for value in std),
    )


def _long_stream(config: TrainConfig, corpus: Corpus, split: Split) -> NDArray[np.float32]:
    """Draw some minutes of audio in one piece; return standardised frames (n, n_mfcc)."""
    maker = _maker(config, corpus, split)
    rng = np.random.default_rng((config.seed, _CALIBRATION_EPOCH))
    audio = [maker.stream(rng, fresh=False)[0] for _ in range(_CALIBRATION_STREAMS)]
    frames: NDArray[np.float32] = maker.features(np.concatenate(audio)[None])[0]
    return frames


def _steps_per_epoch(config: TrainConfig, corpus: Corpus) -> int:
    """Batches in which as many segments are spoken as there are training clips of words."""
    clips = sum(counts.get("training", 0) for counts in corpus.report.word_counts.values())
    segments_per_stream = config.streams.seconds / 1.35  # measured: a segment and its pause
    return max(1, round(clips / segments_per_stream / config.batch_streams))


def _score(figures: dict[str, float]) -> float:
    """Rank an epoch: the accuracy on clips counts, the loss on streams breaks ties."""
    return figures["clip_accuracy"] - 0.01 * figures.get("stream_loss", 0.0)


def _described(config: TrainConfig, corpus: Corpus) -> dict[str, Any]:
    return {
        "licences": dict(config.licences),
        "fingerprint": corpus.fingerprint,
        "split_rule": corpus.report.split_rule,
        "word_counts": corpus.report.word_counts,
        "seconds": corpus.report.seconds,
        "skipped": len(corpus.report.skipped),
    }


def _versions() -> dict[str, str]:
    packages = ("harken", "tensorflow", "keras", "librosa", "numpy", "scipy", "soundfile", "soxr")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **versions}


def _check_same(run: RunFolder, record: RunRecord, config: TrainConfig, corpus: Corpus) -> None:
    """Refuse to go on with another configuration or other data than the run began with."""
    if record.data.get("fingerprint") != corpus.fingerprint:
        raise RunError(
            f"{run.path} was begun with other recordings (fingerprint "
            f"{record.data.get('fingerprint')}, now {corpus.fingerprint}); "
            "use the same, or start anew in another folder"
        )
    began = replace(record.config, epochs=config.epochs)
    if config != replace(began, front_end=config.front_end):
        raise RunError(
            f"{run.path} was begun with other settings than these; "
            "repeat its command line (recipe in config.json), or start anew in another folder"
        )
