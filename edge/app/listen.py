"""The listening loop: a source and a spotter in, what was heard to observers, a summary out."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..spotting.spotter import FILL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ..memory.memory import Memory
    from ..memory.turns import Command, Turn
    from ..sound.sources import Block, Overflow, Source
    from ..spotting.spotter import Event, Spotter

    Handler = Callable[[Command], object]

# How often a continuing overflow is reported.
_REPORT_EVERY_S = 1.0

# Audio of zeros only gets a warning after this time; a live microphone always has some noise.
_MUTED_AFTER_S = 3.0

# If the wall clock drifts this far from the monotonic clock, it was set, or the computer slept.
_JUMP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The result of one block.

    Attributes
    ----------
    samples : numpy.ndarray
        Shape ``(n,)``, int16: the block, mono, at the model's rate.
    start_sample : int
        Position of its first sample since listening began; dropped audio counts.
    lost_samples : int
        Samples dropped right before it.
    evidence : numpy.ndarray
        Shape ``(m, n_labels)``, float32: what was compared with the thresholds in the steps that
        the block completed; m may be 0.
    events : tuple of Event
        Words.
    turns : tuple of Turn
        The memory's turns for these words, or for a pause.
    wakes : tuple of Event
        Wake words, where there is a wake model.
    """

    samples: NDArray[np.int16]
    start_sample: int
    lost_samples: int
    evidence: NDArray[np.float32]
    events: tuple[Event, ...]
    turns: tuple[Turn, ...]
    wakes: tuple[Event, ...] = ()


class Observer(Protocol):
    """Follows along, in the thread that listens: returns quickly and does not raise."""

    def heard(self, heard: Heard) -> None:
        """Handle the result of a block, whether or not there is a word in it."""

    def notice(self, line: str) -> None:
        """Handle a line for the user: audio was dropped, or there is none."""

    def close(self) -> None:
        """Finish: nothing more will come. What came before must not be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What happened while listening.

    Attributes
    ----------
    sound_s : float
        Seconds of audio processed, without dropped audio.
    events : int
        Number of words detected.
    overflow : Overflow
        Sound lost.
    compute_s : float
        Processor time of the listening thread, from blocks to the handling of events.
    process_s : float
        Processor time of the whole process, including threads of the sound system.
    peak : float
        Peak magnitude of a sample; full scale is 1.
    heard_share : float or None
        Share of the audio that the network processed, in 0..1; None without a gate.
    """

    sound_s: float
    events: int
    overflow: Overflow
    compute_s: float
    process_s: float
    peak: float
    heard_share: float | None = None

    def __str__(self) -> str:
        words = "1 word" if self.events == 1 else f"{self.events} words"
        text = f"{self.sound_s:.2f} s of sound, {words} heard, {describe(self.overflow)}"
        if self.sound_s:
            peak = f"{20 * math.log10(self.peak):.0f} dBFS" if self.peak else "digital silence"
            text += (
                f"\npeak {peak}, real-time factor {self.compute_s / self.sound_s:.4f} "
                f"(whole process {self.process_s / self.sound_s:.4f} of one core)"
            )
            if self.heard_share is not None:
                text += f"; the gate let {self.heard_share:.0%} of it pass"
        return text


def describe(overflow: Overflow) -> str:
    """Return what was dropped, in words."""
    if not overflow.total:
        return "nothing lost"
    parts = []
    if overflow.device:
        parts.append(f"{overflow.device} × lost by the sound system")
    if overflow.queue:
        parts.append(f"{overflow.queue_s:.2f} s dropped because this computer was too slow")
    return "overflow: " + ", ".join(parts)


def _clock_offset_s() -> float:
    """Return the wall clock less the monotonic clock, which stops in sleep; seconds."""
    return time.time() - time.monotonic()


class Listener:
    """Feeds a source to a spotter, block by block, and keeps count.

    Parameters
    ----------
    spotter : Spotter
        Detects the words.
    source : Source
        Source of the audio, at the spotter's rate.
    observers : sequence of Observer
        Observers to notify.
    memory : Memory, optional
        The spotter's context, which turns words into commands. While it is muted, no words are
        passed on.

    Examples
    --------
    >>> model = load_model("commands")
    >>> memory = Memory.of("robot", model)
    >>> listener = Listener(Spotter(model, context=memory), Microphone(), memory=memory)
    >>> @listener.on("move")
    ... def move(command):
    ...     drive(command.values["direction"], command.values["number"])
    >>> listener.run()
    """

    def __init__(
        self,
        spotter: Spotter,
        source: Source,
        *,
        observers: Sequence[Observer] = (),
        memory: Memory | None = None,
    ) -> None:
        self._spotter = spotter
        self._source = source
        self._observers = tuple(observers)
        self._warnings: deque[str] = deque()
        self._stopped = False
        self._memory = memory
        source.on_notice = self._notice
        self._handlers: dict[str | None, list[Handler]] = {}
        self._clock_offset_s = _clock_offset_s()
        self._sample_rate_hz = spotter.model.manifest.front_end.sample_rate_hz
        self._samples = 0
        self._events = 0
        self._peak = 0
        self._muted_reported = False
        self._overflows_reported = 0
        self._overflow_reported_at = -math.inf
        self._thread_s_before = time.thread_time()
        self._process_s_before = time.process_time()

    def on(self, intent: str | None = None) -> Callable[[Handler], Handler]:
        """Decorate a function to be called with each command of an intent, or of any.

        Raises
        ------
        GrammarError
            The memory's grammar has no such intent.
        """
        if intent is not None and self._memory is not None:
            self._memory.grammar.require_intent(intent)

        def register(handler: Handler) -> Handler:
            self._handlers.setdefault(intent, []).append(handler)
            return handler

        return register

    def warn(self, line: str) -> None:
        """Pass a line on to the observers as a notice, with the next block; from any thread."""
        self._warnings.append(line)

    def stop(self) -> None:
        """Let `run` end after the current block; observers and handlers may call it, too."""
        self._stopped = True

    def run(self) -> None:
        """Listen until the source ends, `stop` is called, or an exception ends it, as Ctrl-C does.

        Raises
        ------
        AudioError
            The source failed. Everything before that was processed, and is in the summary.
        """
        for block in self._source:
            self._hear(block)
            self._pass_on_warnings()
            self._report_overflow()
            self._report_muted()
            if self._stopped:
                break

    def close(self) -> None:
        """Tell the observers that nothing more will come, and pass on what is still pending."""
        self._pass_on_warnings()
        for observer in self._observers:
            observer.close()

    def summary(self) -> Summary:
        """Return the summary so far; call it in the listening thread."""
        return Summary(
            sound_s=self._samples / self._sample_rate_hz,
            events=self._events,
            overflow=self._source.overflow,
            compute_s=time.thread_time() - self._thread_s_before,
            process_s=time.process_time() - self._process_s_before,
            peak=self._peak / 32768,
            heard_share=None if self._spotter.gate is None else self._spotter.heard_share,
        )

    def _pass_on_warnings(self) -> None:
        while self._warnings:
            self._notice(self._warnings.popleft())

    def _notice(self, line: str) -> None:
        for observer in self._observers:
            observer.notice(line)

    def _hear(self, block: Block) -> None:
        muted = self._memory is not None and self._memory.muted
        lost_samples = self._slept_samples() + block.lost_samples
        events = self._spotter.skip(lost_samples) if lost_samples else []
        start_sample = self._spotter.samples_heard
        events += self._spotter.feed(block.samples, arrived_at=block.arrived_at)
        if muted:
            events = []
        self._events += len(events)
        self._samples += len(block.samples)
        self._peak = max(self._peak, int(block.samples.max()), -int(block.samples.min()))
        turns = [] if self._memory is None else self._memory.take_turns()
        heard = Heard(
            samples=block.samples,
            start_sample=start_sample,
            lost_samples=lost_samples,
            evidence=self._spotter.evidence,
            events=tuple(events),
            turns=tuple(turns),
            wakes=self._spotter.wakes,
        )
        for observer in self._observers:
            observer.heard(heard)
        self._handle(turns)

    def _handle(self, turns: list[Turn]) -> None:
        for turn in turns:
            for command in turn.commands:
                for intent in (command.intent, None):
                    for handler in self._handlers.get(intent, []):
                        handler(command)

    def _slept_samples(self) -> int:
        """Detect a jump of the clock, tell the memory, and return how many samples it stands for.

        After sleep, only as many as the network needs to settle: no audio was dropped.
        """
        offset_s = _clock_offset_s()
        jump_s = offset_s - self._clock_offset_s
        if abs(jump_s) < _JUMP_S:
            return 0
        self._clock_offset_s = offset_s
        slept_s = FILL_S if jump_s > 0 else 0.0
        if self._memory is not None:
            self._memory.adjust_clock(jump_s - slept_s)
        return round(slept_s * self._sample_rate_hz)

    def _report_overflow(self) -> None:
        overflow = self._source.overflow
        now = time.monotonic()
        if (
            overflow.total > self._overflows_reported
            and now >= self._overflow_reported_at + _REPORT_EVERY_S
        ):
            self._notice(
                f"at {self._spotter.samples_heard / self._sample_rate_hz:.2f} s "
                f"{describe(overflow)}"
            )
            self._overflows_reported = overflow.total
            self._overflow_reported_at = now

    def _report_muted(self) -> None:
        if self._peak or self._muted_reported:
            return
        if self._samples >= _MUTED_AFTER_S * self._sample_rate_hz:
            self._notice(
                f"nothing but zeros for {_MUTED_AFTER_S:g} s: is the microphone muted, "
                "or may this program not use it?"
            )
            self._muted_reported = True
