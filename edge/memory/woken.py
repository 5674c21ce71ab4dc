"""A wake model and a command model in turn: samples in, words after a wake word out.

Only one of the two runs at a time, so that both cost no more than one. Until the wake word, the
command model does not run, and nothing can be a command; then it listens until none of its words
has come for a while.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GrammarError, ModelError
from ..spotting.detector import Detection, DetectorConfig
from ..spotting.engine import Runtime
from ..spotting.manifest import Model
from ..spotting.spotter import Event, Spotter
from .grammar import Grammar
from .memory import Memory
from .store import Store

WINDOW_S = 8.0
"""How long the command model listens after a wake word or a command, unless a grammar says."""


class WokenSpotter(Spotter):
    """Detects the words of a model while awake, and otherwise only wake words.

    Parameters
    ----------
    model
        The command model.
    wake
        Detects the wake words: all words of its model, or the one that the memory's grammar names.
    window_s
        How long after a wake word, and after each word, the model listens, in seconds.
    runtime, detector, gate
        For the command model; see `Spotter`.
    memory
        The context, of `memory_of`; its grammar names the wake word.
    on_wake
        Called with each detected wake word.

    Raises
    ------
    ModelError, DependencyError
        See `Spotter`; or the two models have different sample rates.

    Examples
    --------
    >>> spotter = WokenSpotter(load_model("commands"), Spotter("house/house.json"))
    >>> for event in spotter.feed(samples):
    ...     print(event.word)
    """

    def __init__(
        self,
        model: Model,
        wake: Spotter,
        *,
        window_s: float = WINDOW_S,
        runtime: str | Runtime | None = None,
        detector: DetectorConfig | None = None,
        gate: bool = True,
        memory: Memory | None = None,
        on_wake: Callable[[str], None] = lambda word: None,
    ) -> None:
        labels = len(model.manifest.labels)
        context = None if memory is None else _OwnLabels(memory, labels)
        super().__init__(model, runtime=runtime, detector=detector, context=context, gate=gate)
        rate_hz, other = self._sample_rate_hz, wake.model.manifest.front_end.sample_rate_hz
        if rate_hz != other:
            raise ModelError(
                f"{wake.model.manifest.name} listens at {other} Hz, {model.manifest.name} at "
                f"{rate_hz} Hz; take two models of one rate"
            )
        self.on_wake = on_wake
        self._wake, self._memory = wake, memory
        word = None if memory is None else memory.grammar.controls.wake
        self.wake_words = wake.model.manifest.words if word is None else (word,)
        """The wake words."""
        self._window = round(window_s * rate_hz)
        self._asleep_from = 0  # where the wake model started listening
        self._until: int | None = None  # where the command model stops listening; None: asleep
        self._heard_evidence = np.zeros((0, labels), np.float32)
        self._wakes: list[Event] = []

    @property
    def awake(self) -> bool:
        """Whether the command model listens."""
        return self._until is not None

    def reset(self) -> None:
        """Start anew, asleep; the next sample is sample 0 again."""
        super().reset()
        self._wake.reset()
        self._asleep_from, self._until = 0, None
        self._wakes = []

    def skip(self, samples: int) -> list[Event]:
        """Continue after dropped audio; see `Spotter.skip`."""
        if self.awake:
            events = super().skip(samples)
            if not self.awake:
                self._fall_asleep()  # behind all of the gap
            return events
        self._wake.skip(samples)
        self._sleep_on(samples)
        return []

    def feed(self, samples: npt.NDArray[Any], *, arrived_at: float | None = None) -> list[Event]:
        """Process samples, and return the words that they complete; see `Spotter.feed`."""
        arrived_at = time.monotonic() if arrived_at is None else arrived_at
        self._wakes = []
        events: list[Event] = []
        evidence = [self._heard_evidence[:0]]
        rest = samples
        while len(rest):
            if self._until is None:
                rest = self._listen_for_wake(rest)
                continue
            count = max(1, self._until - self.samples_heard)
            heard = super().feed(rest[:count], arrived_at=arrived_at)
            evidence.append(super().evidence)
            rest = rest[count:]
            events += heard
            if heard:
                self._until = heard[-1].end_sample + self._window
            if self.samples_heard >= self._until:
                self._fall_asleep()
        self._heard_evidence = np.concatenate(evidence)
        return events

    @property
    def evidence(self) -> npt.NDArray[np.float32]:
        """(m, n_labels) float32, as in `Spotter`; empty while asleep."""
        return self._heard_evidence

    @property
    def wakes(self) -> tuple[Event, ...]:
        """Wake words that the last `feed` detected; positions count from the last reset."""
        return tuple(self._wakes)

    def _listen_for_wake(self, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Feed the wake model; return the samples after a wake word."""
        for event in self._wake.feed(samples):
            if event.word in self.wake_words:
                slept = self._asleep_from + event.end_sample - self.samples_heard
                self._sleep_on(slept)
                self._wake_up(event)
                return samples[slept:]
        self._sleep_on(len(samples))
        return samples[:0]

    def _sleep_on(self, samples: int) -> None:
        self.samples_heard += samples
        if self._memory is not None:
            self._memory.log_odds(self.samples_heard)  # time passes

    def _wake_up(self, event: Event) -> None:
        self._restart()
        self._until = self.samples_heard + self._window
        start = self._asleep_from + event.start_sample
        self._wakes.append(
            dataclasses.replace(
                event,
                start_sample=start,
                end_sample=self.samples_heard,
                start_s=start / self._sample_rate_hz,
                end_s=self.samples_heard / self._sample_rate_hz,
            )
        )
        if self._memory is not None and self._memory.grammar.controls.wake == event.word:
            self._memory.accept(
                Detection(
                    word=event.word,
                    confidence=event.confidence,
                    start_sample=start,
                    end_sample=self.samples_heard,
                    step=0,
                    acoustic=event.acoustic,
                )
            )
        self.on_wake(event.word)

    def _fall_asleep(self) -> None:
        self._wake.reset()
        self._asleep_from, self._until = self.samples_heard, None
        self.posteriors = np.zeros_like(self.posteriors)

    def _restart(self) -> None:
        """Start the command model at the current sample; the context keeps what was said before."""
        self._stream.reset()
        self._detector.restart(self.samples_heard)
        self._forget_recent()


class _OwnLabels:
    """A memory whose grammar has the wake word, as the context of a detector that lacks it."""

    def __init__(self, memory: Memory, labels: int) -> None:
        self._memory, self._labels = memory, labels

    def log_odds(self, sample: int) -> npt.NDArray[np.float32] | None:
        found = self._memory.log_odds(sample)
        return None if found is None else found[: self._labels]

    def accept(self, detection: Detection) -> None:
        self._memory.accept(detection)

    def reset(self) -> None:
        self._memory.reset()


def memory_of(
    grammar: Grammar,
    model: Model,
    wake: Model,
    *,
    thresholds: dict[str, float] | None = None,
    store: Store | None = None,
    now_s: float | None = None,
) -> Memory:
    """Return a memory of a grammar whose wake word one model detects, and all else another.

    Parameters
    ----------
    grammar
        Its ``wake``, if it has one, is a word of the wake model.
    model, wake
        The command model and the wake model.
    thresholds, store, now_s
        See `Memory`; thresholds of the command model.

    Raises
    ------
    GrammarError
        The models lack a word.
    """
    word, manifest = grammar.controls.wake, model.manifest
    known = dict(manifest.detector.thresholds if thresholds is None else thresholds)
    labels = manifest.labels
    if word is not None:
        if word not in wake.manifest.words:
            raise GrammarError(
                f"{grammar.source}: the wake word is {word!r}, but {wake.manifest.name} hears "
                f"{', '.join(wake.manifest.words)}; name one of these as `wake`"
            )
        if word not in labels:
            labels = (*labels, word)
        known[word] = wake.manifest.detector.thresholds[word]
    return Memory(
        grammar,
        labels,
        thresholds=known,
        sample_rate_hz=manifest.front_end.sample_rate_hz,
        store=store,
        now_s=now_s,
    )
