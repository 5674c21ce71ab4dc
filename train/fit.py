"""A corpus and a configuration in, a run folder with trained weights out."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..edge.errors import DataError, RunError
from .base import Base, load_base, save_base
from .batches import Batches, DataSource
from .calibration import standardised
from .config import TrainConfig
from .corpus import Corpus
from .distill import Teacher
from .features import stack_steps
from .moments import Moments
from .network import (
    FIXED,
    Weights,
    drawn_weights,
    forward,
    fresh_state,
    is_moment,
    set_loss,
    soft_loss,
    zero_state,
)
from .plots import draw_curves
from .record import make_record, resumed_record
from .results import save_results
from .run import Arrays, RunFolder
from .store import StreamStore, settings_key
from .streams import Batch
from .validation import Validation, rank

_SAVE_EVERY_S = 120.0
_FIRST = "first.npz"
_TEACHER = "teacher.npz"
_STEM = ("conv", "svdf")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a training run, passed to the caller after every batch."""

    epoch: int
    """Epochs complete."""
    epochs: int
    step: int
    """Batches done, over all epochs."""
    steps: int
    """Batches of the whole run."""
    loss: float
    """Training loss of the current epoch so far, in nats per step."""
    history: list[dict[str, float]]
    """Figures of the complete epochs."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call of `train` ended."""

    finished: bool
    """False if it was interrupted; ``--resume`` continues from there."""
    epochs: int
    """Epochs complete."""
    best: dict[str, float] | None
    """Figures of the epoch whose weights were kept."""
    signal: int | None = None
    """What it was interrupted by, SIGINT or SIGTERM."""


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
    streams: Path | None = None,
    first: Weights | None = None,
    teacher: Base | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Outcome:
    """Train a model, or continue an interrupted run.

    Ctrl-C (SIGINT) and SIGTERM end it after the current batch, with a checkpoint; a second one ends
    it at once. The same configuration, data and versions draw the same batches, however often it
    was interrupted.

    Parameters
    ----------
    config
        What to train. With `resume`, it must equal the run's own, except `epochs`.
    source
        How worker processes open the recordings.
    corpus
        The same recordings, open in this process.
    run
        The run folder to write.
    recipe
        The command line that repeats the run, for the record.
    resume
        Continue from the run's checkpoint, or from the beginning if it was killed before the first
        one.
    on_progress
        Called after every batch.
    workers
        Processes that draw streams.
    streams
        Folder of drawn streams, shared with other runs.
    first
        Initial weights, by name; missing ones are drawn. A resumed run has its own.
    teacher
        A network that teaches this one; see `harken.train.distill`. A resumed run has its own.
    on_stage
        Called with a few words at the start of every stage.

    Returns
    -------
    Outcome
        Whether it finished, and the best epoch's figures.

    Raises
    ------
    DataError
        The corpus lacks what the configuration asks for, or the teacher cannot teach it.
    RunError
        The run folder cannot be written, holds another run or a damaged checkpoint; or training
        diverged.
    """
    _check_corpus(config, corpus)
    if teacher is not None:
        teacher.require_teaches(config)
    on_stage("preparing the training")
    if resume:
        record = resumed_record(run, config, corpus, recipe)
        run.remove_temporary()
    else:
        run.create()
        record = make_record(standardised(config, corpus), corpus, recipe)
    run.save_record(record)
    if not resume and first is not None:
        run.save_arrays(_FIRST, first)  # a run resumed before its first checkpoint starts with it
    elif run.has(_FIRST):
        first = dict(run.load_arrays(_FIRST))
    if not resume and teacher is not None:
        save_base(teacher, run.path / _TEACHER)
    if run.has(_TEACHER):  # always the saved one, whose weights are rounded
        teacher = load_base(run.path / _TEACHER)
    stop = _Stop()
    with _signals(stop.ask):  # from here on, since setting up takes a while, too
        fitting = _Fitting(record.config, corpus, run, stop, first=first, teacher=teacher)
        if resume and run.has("checkpoint.npz"):
            fitting.restore()
        store = None
        if streams is not None:
            key = settings_key(record.config, corpus.fingerprint, split_rule=source.split_rule)
            store = StreamStore(
                streams,
                key,
                steps_per_epoch=fitting.steps_per_epoch,
                labels=len(record.config.labels),
                stopped=lambda: stop.signal is not None,
            )
        batches = Batches(
            record.config,
            source,
            steps_per_epoch=fitting.steps_per_epoch,
            workers=workers,
            store=store,
        )
        on_stage("training")
        return fitting.go(batches, on_progress, on_stage)


def _bound(config: TrainConfig, name: str) -> float:
    """Return the bound that an array of weights is clipped to, ±; 0: no clipping."""
    if name.endswith("kernel"):
        return config.weight_clip
    if name.startswith(_STEM):
        return {"scale": config.scale_clip, "bias": config.bias_clip}.get(name.split("/")[1], 0.0)
    return 0.0


def _check_corpus(config: TrainConfig, corpus: Corpus) -> None:
    corpus.require_words(config.words, split="training")
    corpus.require_words(config.held_out_words)
    counts = corpus.report.word_counts
    if not any(counts[word]["validation"] for word in config.words):
        raise DataError(
            f"{corpus.root} has no clip of any of the words to validate with "
            f"({corpus.report.split_rule}); record three clips of each word at least, or split "
            "with --split-rule random"
        )


class _Stop:
    """A signal that asked to stop, if there was one."""

    signal: int | None = None

    def ask(self, number: int) -> None:
        self.signal = number


class _Fitting:
    """The state of a run: weights, optimizer, averages, history."""

    def __init__(
        self,
        config: TrainConfig,
        corpus: Corpus,
        run: RunFolder,
        stop: _Stop | None = None,
        *,
        first: Weights | None = None,
        teacher: Base | None = None,
    ) -> None:
        self.config, self.run, self.corpus = config, run, corpus
        self.steps_per_epoch = _steps_per_epoch(config, corpus)
        self.steps = self.steps_per_epoch * config.epochs
        first = {**drawn_weights(config), **(first or {})}
        self._frozen = {
            name: value
            for name, value in first.items()
            if name in FIXED or (config.frozen_stem and name.startswith(_STEM))
        }
        self.variables = {
            name: keras.Variable(value, name=name.replace("/", "_"))
            for name, value in first.items()
            if not is_moment(name) and name not in self._frozen
        }
        self.average = {name: first[name].copy() for name in self.variables}
        self._shapes = {name: value.shape for name, value in first.items()}
        self.best: Weights = {}
        self.history: list[dict[str, float]] = []
        self.step = 0
        self.loss_sum = 0.0
        self.state = zero_state(config.model, config.batch_streams)
        self._teacher = None if teacher is None else Teacher(teacher, config)
        self.optimizer = keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                1e-5,
                max(1, self.steps - self.steps // 20),
                alpha=0.003,
                warmup_target=config.learning_rate,
                warmup_steps=self.steps // 20,
            ),
            weight_decay=config.weight_decay,
            beta_2=0.99,
            global_clipnorm=1.0,
        )
        # Scale and bias of the stem decay, too: nothing else keeps some channels from becoming a
        # hundred times as large as others, and all channels of a layer share the 256 values of
        # int8.
        self.optimizer.exclude_from_weight_decay(var_names=[r"^(dense|lstm)\w*_bias$"])
        self.optimizer.build(list(self.variables.values()))
        self._gradient = tf.function(self._gradient_eagerly, jit_compile=True)
        self._apply = tf.function(self._apply_eagerly)
        self._moments = Moments(config, corpus)
        self._validation = Validation(config, corpus)
        self._stop = stop or _Stop()
        self._epoch_began = time.monotonic()

    def go(
        self,
        batches: Batches,
        on_progress: Callable[[Progress], None],
        on_stage: Callable[[str], None] = lambda stage: None,
    ) -> Outcome:
        """Train until the last epoch is done or a signal asks to stop."""
        if self._stop.signal is not None:  # while all this was set up
            return self._outcome(finished=False)
        with batches:
            saved_at = time.monotonic()
            for batch in self._until_stopped(batches):
                self._learn(batch)
                within = self.step % self.steps_per_epoch
                loss = self.loss_sum / (within or self.steps_per_epoch)
                if within == 0:
                    self._finish_epoch()
                on_progress(
                    Progress(
                        epoch=len(self.history),
                        epochs=self.config.epochs,
                        step=self.step,
                        steps=self.steps,
                        loss=loss,
                        history=self.history,
                    )
                )
                if (
                    within == 0
                    or self._stop.signal is not None
                    or time.monotonic() > saved_at + _SAVE_EVERY_S
                ):
                    self.save()
                    saved_at = time.monotonic()
                if self._stop.signal is not None:
                    break
        finished = self.step >= self.steps
        if finished:
            on_stage("writing the run")
            self._complete()
        return self._outcome(finished=finished)

    def _outcome(self, *, finished: bool) -> Outcome:
        return Outcome(
            finished=finished,
            epochs=len(self.history),
            best=max(self.history, key=rank, default=None),
            signal=self._stop.signal,
        )

    def _until_stopped(self, batches: Batches) -> Iterator[Batch]:
        """Yield the batches that are left; a signal to the workers, too, is no failure of them."""
        try:
            yield from batches.draw(self.step, self.steps)
        except RunError as problem:
            if self._stop.signal is None or not isinstance(problem.__cause__, BrokenProcessPool):
                raise
            self.save()

    def save(self) -> None:
        """Write the checkpoint: everything needed to continue as if uninterrupted."""
        arrays: Arrays = {
            "step": np.array(self.step),
            "loss_sum": np.array(self.loss_sum),
            "seconds": np.array(self._epoch_seconds),
        }
        for prefix, weights in (
            ("variable", {n: v.numpy() for n, v in self.variables.items()}),
            ("average", self.average),
            ("best", self.best),
        ):
            arrays |= {f"{prefix}/{name}": value for name, value in weights.items()}
        for index, variable in enumerate(self.optimizer.variables):
            arrays[f"optimizer/{index}"] = np.asarray(variable)
        arrays |= {f"state/{name}": value.numpy() for name, value in self.state.items()}
        if self._teacher is not None:
            its = self._teacher.state
            arrays |= {f"teacher/{name}": value.numpy() for name, value in its.items()}
        # In this order: a history ahead of its checkpoint can be cut, a missing part cannot be
        # restored.
        self.run.save_json("history.json", self.history)
        self.run.save_arrays("checkpoint.npz", arrays)

    def restore(self) -> None:
        """Read the checkpoint.

        Raises
        ------
        RunError
            It is damaged, or of another network.
        """
        file = self.run.path / "checkpoint.npz"
        arrays = self.run.load_arrays("checkpoint.npz")

        def take(name: str, shape: Sequence[int] = ()) -> NDArray[Any]:
            if name not in arrays:
                raise RunError(f"{file} is damaged: {name} is missing; train again")
            if arrays[name].shape != tuple(shape):
                raise RunError(
                    f"{file} does not fit this run: {name} has the shape {arrays[name].shape}, "
                    f"not {tuple(shape)}; train again"
                )
            return arrays[name]

        for name, variable in self.variables.items():
            variable.assign(take(f"variable/{name}", variable.shape))
        for name, value in self.average.items():
            self.average[name] = take(f"average/{name}", value.shape)
        for index, variable in enumerate(self.optimizer.variables):
            variable.assign(take(f"optimizer/{index}", variable.shape))
        self.state = {
            name: tf.constant(take(f"state/{name}", value.shape))
            for name, value in self.state.items()
        }
        if self._teacher is not None:
            its = self._teacher.state
            self._teacher.restore({n: take(f"teacher/{n}", v.shape) for n, v in its.items()})
        self.step = int(take("step"))
        self.loss_sum = float(take("loss_sum"))
        self._epoch_began = time.monotonic() - float(take("seconds"))
        epochs = self.step // self.steps_per_epoch
        self.history = self.run.load_json("history.json")[:epochs]
        if self.history:
            self.best = {name: take(f"best/{name}", shape) for name, shape in self._shapes.items()}

    def _learn(self, batch: Batch) -> None:
        """Take one optimizer step; the streams' state continues from the last batch."""
        inputs = tf.constant(stack_steps(self.config.step, batch.frames))
        fresh = tf.constant(batch.fresh)
        before = fresh_state(self.state, fresh)
        taught = None if self._teacher is None else self._teacher.posteriors(inputs, fresh)
        seed = tf.constant([self.config.seed, self.step])
        loss, gradients, self.state = self._gradient(
            inputs, tf.constant(batch.allowed), taught, before, seed
        )
        self._require_finite(float(loss))
        self._apply(gradients)
        self.step += 1
        self.loss_sum += float(loss)
        decay = min(self.config.averaging, self.step / (self.step + 10.0))
        for name, value in self.variables.items():
            self.average[name] += np.float32(1 - decay) * (value.numpy() - self.average[name])

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise RunError(
                f"training diverged: the loss is {loss} after {self.step} batches; train again "
                f"with a learning_rate below {self.config.learning_rate} in --config"
            )

    def _gradient_eagerly(
        self, inputs: Any, allowed: Any, taught: Any, state: Any, seed: Any
    ) -> Any:
        """Return the loss of the labels alone, the gradients, and the state after the batch."""
        values = {name: variable.value for name, variable in self.variables.items()}
        with tf.GradientTape() as tape:
            logits, after, _ = forward(
                {**values, **self._frozen},
                self.config.model,
                inputs,
                state,
                training=not self.config.frozen_stem,
                as_int8=True,
                dropout=self.config.dropout,
                seed=seed,
            )
            labelled = loss = set_loss(logits, allowed)
            if taught is not None:
                weight = self.config.teacher_weight
                loss = (1 - weight) * labelled + weight * soft_loss(logits, taught)
        return labelled, tape.gradient(loss, list(values.values())), after

    def _apply_eagerly(self, gradients: Any) -> None:
        self.optimizer.apply(gradients, list(self.variables.values()))
        for name, variable in self.variables.items():
            bound = _bound(self.config, name)
            if bound:
                variable.assign(tf.clip_by_value(variable.value, -bound, bound))

    def _finish_epoch(self) -> None:
        """Measure the averaged weights, and keep them if they are the best so far."""
        weights = self._moments.measure({**self._frozen, **self.average})
        measured = self._validation.measure(weights)
        self._require_finite(measured.get("stream_loss", 0.0))
        figures = {
            "epoch": float(len(self.history) + 1),
            "loss": self.loss_sum / self.steps_per_epoch,
            "seconds": round(self._epoch_seconds, 1),
            **measured,
        }
        if rank(figures) > max(map(rank, self.history), default=-math.inf):
            self.best = weights
        self.history.append(figures)
        self.loss_sum = 0.0
        self._epoch_began = time.monotonic()

    def _complete(self) -> None:
        """Write the files of a finished run."""
        run = self.run
        draw_curves(run.path / "curves.png", self.history)
        run.save_json("history.json", self.history)
        save_results(
            run,
            config=self.config,
            corpus=self.corpus,
            weights=self.best,
            validation=self._validation,
            figures=max(self.history, key=rank),
        )
        run.remove("checkpoint.npz")
        run.remove(_FIRST)
        run.remove(_TEACHER)

    @property
    def _epoch_seconds(self) -> float:
        """Duration of the current epoch so far, over all processes that worked on it."""
        return time.monotonic() - self._epoch_began


@contextmanager
def _signals(handler: Callable[[int], None]) -> Iterator[None]:
    """Call a handler with the first SIGINT or SIGTERM inside; a second one acts as usual."""
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    def handle(number: int, frame: object) -> None:
        restore()
        handler(number)

    for name in (signal.SIGINT, signal.SIGTERM):
        before[name] = signal.signal(name, handle)
    try:
        yield
    finally:
        restore()


def _steps_per_epoch(config: TrainConfig, corpus: Corpus) -> int:
    """Batches that hold as many spoken segments as there are training clips, or `min_steps`."""
    clips = sum(counts["training"] for counts in corpus.report.word_counts.values())
    segments_per_stream = config.streams.seconds / 1.35  # measured: a segment and its pause
    steps = round(clips / segments_per_stream / config.batch_streams)
    return max(config.min_steps, steps)
