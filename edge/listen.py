"""The listening loop: a source and a spotter in, words and commands to callbacks, a summary out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from .memory.dialogue import Command, Turn
    from .memory.memory import Memory
    from .sources import Block, Overflow, Source
    from .spotter import Event, Spotter

    Handler = Callable[[Command], object]

# An overflow that goes on is reported so often, and not with every block.
_REPORT_EVERY_S = 1.0

# Sound of nothing but zeros gets a warning after so long; a live microphone always has some noise.
_MUTED_AFTER_S = 3.0

# When the clock on the wall runs so far from the one that only counts, it was set, or the computer
# slept.
_JUMP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What happened while listening.

    Attributes
    ----------
    sound_s : float
        Seconds of sound heard; what was lost is not in it.
    events : int
        Words heard.
    overflow : Overflow
        Sound lost.
    compute_s : float
        Processor time of the thread that listens: from blocks to what was done about the events.
    process_s : float
        Processor time of the whole process, with the threads of the sound system.
    peak : float
        Greatest magnitude of a sample; full scale is 1.
    """

    sound_s: float
    events: int
    overflow: Overflow
    compute_s: float
    process_s: float
    peak: float

    def __str__(self) -> str:
        words = "1 word" if self.events == 1 else f"{self.events} words"
        text = f"{self.sound_s:.2f} s of sound, {words} heard, {describe(self.overflow)}"
        if self.sound_s:
            peak = f"{20 * math.log10(self.peak):.0f} dBFS" if self.peak else "digital silence"
            text += (
                f"\npeak {peak}, real-time factor {self.compute_s / self.sound_s:.4f} "
                f"(whole process {self.process_s / self.sound_s:.4f} of one core)"
            )
        return text


def describe(overflow: Overflow) -> str:
    """Return what was lost, in words."""
    if not overflow.total:
        return "nothing lost"
    parts = []
    if overflow.device:
        parts.append(f"{overflow.device} × lost by the sound system")
    if overflow.queue:
        parts.append(f"{overflow.queue_s:.2f} s dropped because this computer was too slow")
    return "overflow: " + ", ".join(parts)


def _clock_offset_s() -> float:
    """Return the time of day less that of the clock which neither jumps nor runs in sleep."""
    return time.time() - time.monotonic()


class Listener:
    """Feeds a source to a spotter, block by block, and keeps count.

    Parameters
    ----------
    spotter : Spotter
        Hears the words.
    source : Source
        Where the sound comes from, at the spotter's rate.
    on_event : callable
        Gets each `Event` as it is heard.
    on_warning : callable
        Gets a line for the person who listens, when sound was lost or there is none.
    memory : Memory, optional
        The spotter's context, which makes commands of the words. While it is muted, no words are
        passed on.
    on_turn : callable, optional
        Gets each `Turn`: what the memory made of a word, or of nothing more being said.

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
        on_event: Callable[[Event], object] = lambda event: None,
        on_warning: Callable[[str], object] = lambda line: None,
        memory: Memory | None = None,
        on_turn: Callable[[Turn], object] = lambda turn: None,
    ) -> None:
        self._spotter = spotter
        self._source = source
        self._on_event = on_event
        self._on_warning = on_warning
        self._memory = memory
        self._on_turn = on_turn
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
        """Decorate a function that gets each command of an intent, or each one of any.

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

    def run(self) -> None:
        """Listen until the source ends, or an exception such as `KeyboardInterrupt` ends it.

        Raises
        ------
        AudioError
            The source failed. What came before that was heard, and is in the summary.
        """
        for block in self._source:
            self._hear(block)
            self._report_overflow()
            self._report_muted()

    def summary(self) -> Summary:
        """Return what was heard so far; to be called in the thread that listens."""
        return Summary(
            sound_s=self._samples / self._sample_rate_hz,
            events=self._events,
            overflow=self._source.overflow,
            compute_s=time.thread_time() - self._thread_s_before,
            process_s=time.process_time() - self._process_s_before,
            peak=self._peak / 32768,
        )

    def _hear(self, block: Block) -> None:
        self._adjust_clock()
        muted = self._memory is not None and self._memory.muted
        for event in self._spotter.feed(block.samples, arrived_at=block.arrived_at):
            if not muted:
                self._events += 1
                self._on_event(event)
        self._take_turns()
        self._samples += len(block.samples)
        self._peak = max(self._peak, int(np.abs(block.samples.astype(np.int32)).max()))

    def _take_turns(self) -> None:
        if self._memory is None:
            return
        for turn in self._memory.take_turns():
            self._on_turn(turn)
            for command in turn.commands:
                for intent in (command.intent, None):
                    for handler in self._handlers.get(intent, []):
                        handler(command)

    def _adjust_clock(self) -> None:
        """Tell the memory of time that passed, or did not, without any sound."""
        if self._memory is None:
            return
        offset_s = _clock_offset_s()
        jump_s = offset_s - self._clock_offset_s
        if abs(jump_s) >= _JUMP_S:
            self._clock_offset_s = offset_s
            self._memory.adjust_clock(jump_s)

    def _report_overflow(self) -> None:
        overflow = self._source.overflow
        now = time.monotonic()
        if (
            overflow.total > self._overflows_reported
            and now >= self._overflow_reported_at + _REPORT_EVERY_S
        ):
            self._on_warning(
                f"at {self._samples / self._sample_rate_hz:.2f} s {describe(overflow)}"
            )
            self._overflows_reported = overflow.total
            self._overflow_reported_at = now

    def _report_muted(self) -> None:
        if self._peak or self._muted_reported:
            return
        if self._samples >= _MUTED_AFTER_S * self._sample_rate_hz:
            self._on_warning(
                f"nothing but zeros for {_MUTED_AFTER_S:g} s: is the microphone muted, "
                "or may this program not use it?"
            )
            self._muted_reported = True
