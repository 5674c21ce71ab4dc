"""Words in, commands out: what words mean together and in the light of earlier ones.

Pure logic without a clock: the caller passes the time. The state is a value that can be inspected,
saved and restored.

**The window.** The first word, or the wake word if there is one, opens the follow-up window; each
word keeps it open for another `Grammar.window_s`, up to `Grammar.max_window_s` and
`Grammar.max_turns`. When it closes, a pending command is dropped. If one of these limits closed it,
it stays closed until no word has come for `Grammar.window_s`, so that two machines cannot keep each
other talking. "Stop" works at any time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from .grammar import CommandSpec, Grammar
from .turns import Command, Heard, Last, Pending, Recall, State, Turn


class Dialogue:
    """Turns words into commands; see this module.

    Parameters
    ----------
    grammar
        Defines the commands.
    state
        State to continue from; by default the initial one.
    """

    def __init__(self, grammar: Grammar, state: State | None = None) -> None:
        self.grammar = grammar
        self._specs = {spec.intent: spec for spec in grammar.commands}
        self._muted_until_s = -math.inf
        self.state = State() if state is None else self._fitting(state)
        """Everything that is remembered."""

    def hear(self, word: str, at_s: float, confidence: float = 1.0) -> Turn:
        """Process a word.

        Parameters
        ----------
        word
            Any word; one that the grammar lacks is ignored.
        at_s
            Time in seconds. If it is earlier than the last one, the clock was set back and
            everything is forgotten.
        confidence
            Its confidence, in 0..1.

        Raises
        ------
        ValueError
            The time is not finite.
        """
        settled = self.tick(at_s)
        turn = self._hear(word, at_s, confidence)
        if settled is not None and settled.commands:
            turn = dataclasses.replace(turn, commands=(*settled.commands, *turn.commands))
        return turn

    def _hear(self, word: str, at_s: float, confidence: float) -> Turn:
        self._move_to(at_s)
        controls = self.grammar.controls
        if self.muted(at_s):
            return Turn(word=word, at_s=at_s, outcome="ignored", reason="muted")
        before = self.state
        if word == controls.stop:
            return self._stop(word, at_s, confidence, before)
        if word not in self.grammar.words:
            return Turn(word=word, at_s=at_s, outcome="ignored", reason="not in the grammar")
        if not self._enter(word, at_s):
            why = "waiting for quiet" if self.state.capped else f"say {controls.wake!r} first"
            return Turn(word=word, at_s=at_s, outcome="ignored", reason=why)
        heard = Heard(word=word, at_s=at_s, confidence=confidence)
        turn = self._turn(heard, before)
        if self.state.turns >= self.grammar.max_turns:
            self._close(capped=True)
        return turn

    def tick(self, at_s: float) -> Turn | None:
        """Let time pass; return a turn only if something happened.

        Raises
        ------
        ValueError
            The time is not finite.
        """
        self._move_to(at_s, settle=False)
        state = self.state
        due_s = self.due_s
        if due_s is None or at_s < due_s:
            return None
        pending = state.pending
        settled_s = (state.last_word_s or 0.0) + self.grammar.settle_s
        if pending is not None and pending.waits == "slot" and at_s >= settled_s:
            # It settles before it can expire: settling takes less time than a window.
            completed = self._completed(pending, at_s)
            if completed is not None:
                return self._carry_out(None, pending.intent, completed, at_s, state)
        if not self.window_open(at_s):
            # Otherwise only the window closes, which is not worth a turn.
            self._close(capped=self._capped_at(at_s))
            if pending is not None:
                what = "an answer" if pending.waits == "confirm" else self._missing(pending)
                return Turn(
                    word=None, at_s=at_s, outcome="expired", reason=f"nobody said {what} in time"
                )
        return None

    @property
    def due_s(self) -> float | None:
        """When the next `tick` matters; None if never."""
        state, due_s = self.state, self._closes_s
        if due_s is None or state.last_word_s is None:
            return None
        pending = state.pending
        if pending is not None and pending.waits == "slot":
            settled_s = state.last_word_s + self.grammar.settle_s
            if self._completed(pending, settled_s) is not None:
                due_s = min(due_s, settled_s)
        return due_s

    @property
    def pending(self) -> str:
        """What the dialogue waits for: the name of a part, "confirm", or nothing."""
        pending = self.state.pending
        if pending is None:
            return ""
        return "confirm" if pending.waits == "confirm" else self._missing(pending)

    @property
    def pending_kind(self) -> Literal["none", "slot", "confirm"]:
        """The kind of what the dialogue waits for."""
        return "none" if self.state.pending is None else self.state.pending.waits

    def window_open(self, at_s: float) -> bool:
        """Whether a follow-up is expected."""
        closes_s = self._closes_s
        return closes_s is not None and at_s < closes_s

    def follow_up_s(self, at_s: float) -> float:
        """Return how much longer a follow-up is expected, in seconds; 0 if none is."""
        closes_s = self._closes_s
        return 0.0 if closes_s is None else max(0.0, closes_s - at_s)

    def recalls(self, at_s: float) -> tuple[Recall, ...]:
        """Return the slots that may be left out now, in the order of the grammar.

        A slot that several commands remember stays as long as any of them remembers it.
        """
        found = []
        for slot in self.grammar.slots:
            span_s = max(spec.remember.get(slot, 0.0) for spec in self.grammar.commands)
            heard = self.state.memory.get(slot)
            if heard is not None and 0 <= at_s - heard.at_s < span_s:
                age_s = at_s - heard.at_s
                found.append(Recall(name=slot, text=heard.word, age_s=age_s, span_s=span_s))
        return tuple(found)

    def repeatable(self, at_s: float) -> Recall | None:
        """Return the command that would be repeated now, if the grammar has a word for it."""
        last, span_s = self.state.last, self.grammar.repeat_s
        if last is None or self.grammar.controls.carry_out is None:
            return None
        age_s = at_s - last.at_s
        if not 0 <= age_s < span_s:
            return None
        text = self._in_words(last.intent, last.parts)
        return Recall(name=last.intent, text=text, age_s=age_s, span_s=span_s)

    def pending_text(self) -> str:
        """Return the pending command in words, as far as it was said; empty if there is none."""
        pending = self.state.pending
        return "" if pending is None else self._in_words(pending.intent, pending.parts)

    def mute(self, at_s: float) -> None:
        """Ignore every word from now on."""
        self._muted_until_s = math.inf
        self._move_to(at_s)

    def unmute(self, at_s: float, tail_s: float = 0.5) -> None:
        """Process words again, `tail_s` from now."""
        self._muted_until_s = at_s + tail_s

    def muted(self, at_s: float) -> bool:
        """Whether words are ignored."""
        return at_s < self._muted_until_s

    def forget(self) -> None:
        """Return to the initial state."""
        self.state = State()

    def _turn(self, heard: Heard, before: State) -> Turn:
        """Return the turn for a word that counts."""
        word, at_s, controls = heard.word, heard.at_s, self.grammar.controls
        if word == controls.wake:
            return Turn(word=word, at_s=at_s, outcome="woken", reason="listening")
        pending = self.state.pending
        if pending is None:
            return self._without_pending(heard, before)
        if word == controls.cancel:
            self._change(pending=None)
            return Turn(word=word, at_s=at_s, outcome="cancelled", reason="dropped")
        if pending.waits == "confirm":
            if word in (controls.confirm, controls.carry_out):
                parts = {**pending.parts, "": heard}  # the answer counts for the confidence
                return self._carry_out(word, pending.intent, parts, at_s, before, sure=True)
            self._change(pending=None)
            return self._without_pending(heard, before)
        if word == controls.carry_out:
            completed = self._completed(pending, at_s)
            if completed is not None:
                parts = {**completed, "": heard}
                return self._carry_out(word, pending.intent, parts, at_s, before)
            return Turn(
                word=word, at_s=at_s, outcome="asks", reason=f"which {self._missing(pending)}?"
            )
        return self._with_pending(pending, heard, before)

    def _with_pending(self, pending: Pending, heard: Heard, before: State) -> Turn:
        """Add a word to what is pending, correct it, or begin something new."""
        spec, word = self._specs[pending.intent], heard.word
        for part in spec.pattern:
            if part.name not in pending.parts and word in self.grammar.part_words(part):
                return self._fill(spec, {**pending.parts, part.name: heard}, heard, before)
        done = self._completed(pending, heard.at_s)
        optional_only = done is not None and all(
            part.optional for part in spec.pattern if part.name not in pending.parts
        )
        if not optional_only:
            for part in spec.pattern:
                if part.name in pending.parts and word in self.grammar.part_words(part):
                    return self._fill(spec, {**pending.parts, part.name: heard}, heard, before)
        self._change(pending=None)
        earlier: tuple[Command, ...] = ()
        if optional_only and done is not None:
            earlier = self._carry_out(None, pending.intent, done, heard.at_s, before).commands
        turn = self._without_pending(heard, self.state)
        if turn.outcome == "ignored" and not earlier:
            self._change(pending=pending)  # it means nothing here and changes nothing
        if not earlier:
            return turn
        outcome = "command" if turn.outcome == "ignored" else turn.outcome
        return dataclasses.replace(turn, outcome=outcome, commands=(*earlier, *turn.commands))

    def _without_pending(self, heard: Heard, before: State) -> Turn:
        """Begin a command, repeat the last one, or take it back."""
        word, at_s, controls, last = heard.word, heard.at_s, self.grammar.controls, self.state.last
        for spec in self.grammar.commands:
            first = spec.pattern[0]
            if word in self.grammar.part_words(first):
                return self._fill(spec, {first.name: heard}, heard, before)
        if word == controls.carry_out:
            if last is not None and at_s - last.at_s < self.grammar.repeat_s:
                parts = {**last.parts, "": heard}  # "go" counts for the confidence, too
                return self._carry_out(
                    word, last.intent, parts, at_s, before, sure=True, repeated=True
                )
            return Turn(word=word, at_s=at_s, outcome="ignored", reason="nothing to carry out")
        if word == controls.cancel:
            if last is not None and at_s - last.at_s < self.grammar.window_s:
                self._change(last=None)
                return Turn(word=word, at_s=at_s, outcome="cancelled", reason="taken back")
            return Turn(word=word, at_s=at_s, outcome="ignored", reason="nothing to cancel")
        if word == controls.confirm:
            return Turn(word=word, at_s=at_s, outcome="ignored", reason="nothing to confirm")
        for spec in self.grammar.commands:
            for index, part in enumerate(spec.pattern):
                if word in self.grammar.part_words(part):
                    recalled = self._recalled(spec, index, at_s)
                    if recalled is not None:
                        return self._fill(spec, {**recalled, part.name: heard}, heard, before)
        return Turn(
            word=word, at_s=at_s, outcome="ignored", reason="nothing remembered that it belongs to"
        )

    def _fill(
        self, spec: CommandSpec, parts: Mapping[str, Heard], heard: Heard, before: State
    ) -> Turn:
        """Carry out a complete command; let an incomplete one wait."""
        at_s = heard.at_s
        if all(part.name in parts for part in spec.pattern):
            return self._carry_out(heard.word, spec.intent, parts, at_s, before)
        pending = Pending(intent=spec.intent, parts=parts, waits="slot", since_s=at_s)
        self._change(pending=pending)
        reason = f"waiting for {self._missing(pending)}"
        return Turn(word=heard.word, at_s=at_s, outcome="pending", reason=reason)

    def _carry_out(
        self,
        word: str | None,
        intent: str,
        parts: Mapping[str, Heard],
        at_s: float,
        before: State,
        *,
        sure: bool = False,
        repeated: bool = False,
    ) -> Turn:
        """Carry out a command, or ask first."""
        spec = self._specs[intent]
        confidence = math.prod(heard.confidence for heard in parts.values())
        parts = {name: heard for name, heard in parts.items() if name}
        slots = _slots(spec, parts)
        if not sure and spec.needs_confirmation(slots):
            pending = Pending(intent=intent, parts=parts, waits="confirm", since_s=at_s)
            self._change(pending=pending)
            reason = f"{spec.text(slots)}: {self.grammar.controls.confirm}?"
            return Turn(word=word, at_s=at_s, outcome="pending", reason=reason)
        now = {
            name: dataclasses.replace(heard, at_s=at_s, recalled=False)
            for name, heard in parts.items()
        }
        remembered = {
            part.slot: at_s - parts[part.name].at_s
            for part in spec.pattern
            if part.slot is not None
            and part.name in parts
            and (repeated or parts[part.name].recalled)
        }
        self._change(
            pending=None,
            last=Last(intent=intent, parts=now, at_s=at_s),
            memory={
                **self.state.memory,
                **{p.slot: now[p.name] for p in spec.pattern if p.slot and p.name in now},
            },
        )
        command = Command(
            intent=intent,
            slots=slots,
            values={name: self.grammar.slots[name].words[slots[name]] for name in slots},
            remembered=remembered,
            confidence=confidence,
            repeated=repeated,
            text=spec.text(slots),
            at_s=at_s,
            before=before,
            after=self.state,
        )
        return Turn(
            word=word, at_s=at_s, outcome="command", commands=(command,), reason=command.text
        )

    def _stop(self, word: str, at_s: float, confidence: float, before: State) -> Turn:
        dropped = before.pending is not None
        self._change(pending=None, last=None)
        if self._enter(word, at_s) and self.state.turns >= self.grammar.max_turns:
            self._close(capped=True)
        command = Command(
            intent="stop",
            slots={},
            values={},
            remembered={},
            confidence=confidence,
            repeated=False,
            text="stop",
            at_s=at_s,
            before=before,
            after=self.state,
        )
        reason = "stop; what was pending is dropped" if dropped else "stop"
        return Turn(word=word, at_s=at_s, outcome="stopped", commands=(command,), reason=reason)

    def _recalled(self, spec: CommandSpec, index: int, at_s: float) -> dict[str, Heard] | None:
        """Return the parts of a pattern before a given one, from memory; None if one is missing."""
        recalled = {}
        for part in spec.pattern[:index]:
            known = self._remembered(spec, part.slot, at_s)
            if known is not None:
                recalled[part.name] = dataclasses.replace(known, recalled=True)
            elif not part.optional:
                return None
        return recalled

    def _remembered(self, spec: CommandSpec, slot: str | None, at_s: float) -> Heard | None:
        known = None if slot is None else self.state.memory.get(slot)
        if known is None or slot is None or at_s - known.at_s >= spec.remember.get(slot, 0.0):
            return None
        return known

    def _completed(self, pending: Pending, at_s: float) -> dict[str, Heard] | None:
        """Return all parts of what is pending; None if one is still missing.

        Parts that were not said come from the last command (for a repeat), from memory, or from the
        defaults.
        """
        spec, last = self._specs[pending.intent], self.state.last
        parts = dict(pending.parts)
        first = spec.pattern[0].name
        again: Mapping[str, Heard] = {}
        if (
            spec.on_repeat == "again"
            and last is not None
            and last.intent == spec.intent
            and first in parts
            and last.parts[first].word == parts[first].word
            and pending.since_s - last.at_s < self.grammar.window_s
        ):
            again = last.parts
        for part in spec.pattern:
            if part.name in parts:
                continue
            known = again.get(part.name) or self._remembered(spec, part.slot, at_s)
            default = None if part.slot is None else spec.defaults.get(part.slot)
            if known is not None:
                parts[part.name] = dataclasses.replace(known, recalled=True)
            elif default is not None:
                parts[part.name] = Heard(word=default, at_s=at_s, confidence=1.0)
            elif not part.optional:
                return None
        return parts

    def _missing(self, pending: Pending) -> str:
        spec = self._specs[pending.intent]
        return next(part.name for part in spec.pattern if part.name not in pending.parts)

    def _in_words(self, intent: str, parts: Mapping[str, Heard]) -> str:
        spec = self._specs[intent]
        return spec.text(_slots(spec, parts))

    @property
    def _closes_s(self) -> float | None:
        """When the window closes, or has closed, if nobody speaks; None while it is closed."""
        state = self.state
        if state.opened_s is None or state.last_word_s is None:
            return None
        return min(
            state.last_word_s + self.grammar.window_s, state.opened_s + self.grammar.max_window_s
        )

    def _enter(self, word: str, at_s: float) -> bool:
        """Count a word in the window, which it may open; return whether the word counts."""
        state, wake = self.state, self.grammar.controls.wake
        quiet = state.last_word_s is None or at_s - state.last_word_s >= self.grammar.window_s
        if self.window_open(at_s):
            self._change(turns=state.turns + 1, last_word_s=at_s)
            return True
        opens = word == wake if wake is not None else quiet or not state.capped
        if opens:
            self._change(opened_s=at_s, turns=1, last_word_s=at_s, capped=False, pending=None)
        elif wake is None:
            self._change(last_word_s=at_s)  # not quiet yet
        return opens

    def _move_to(self, at_s: float, *, settle: bool = True) -> None:
        """Move to a later time."""
        if not math.isfinite(at_s):
            raise ValueError(f"the time is {at_s}; it must be finite")
        state = self.state
        if state.now_s is not None and at_s < state.now_s:
            self.state = State()
        self._change(now_s=at_s)
        if settle and self.state.opened_s is not None and not self.window_open(at_s):
            self._close(capped=self._capped_at(at_s))

    def _capped_at(self, at_s: float) -> bool:
        """Whether a limit, not a pause, has closed the window by now."""
        last_s = self.state.last_word_s
        return last_s is not None and at_s < last_s + self.grammar.window_s

    def _close(self, *, capped: bool) -> None:
        self._change(pending=None, opened_s=None, turns=0, capped=capped)

    def _change(self, **changes: Any) -> None:
        self.state = dataclasses.replace(self.state, **changes)

    def _fitting(self, state: State) -> State:
        """Return a state without anything that this grammar does not know."""
        known = self._specs
        pending, last = state.pending, state.last
        if pending is not None and pending.intent not in known:
            pending = None
        if last is not None and last.intent not in known:
            last = None
        return dataclasses.replace(state, pending=pending, last=last)


def _slots(spec: CommandSpec, parts: Mapping[str, Heard]) -> dict[str, str]:
    """Return the filled slots, each with its word."""
    return {
        part.slot: parts[part.name].word
        for part in spec.pattern
        if part.slot is not None and part.name in parts
    }
