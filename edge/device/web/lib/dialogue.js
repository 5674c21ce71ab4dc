/**
 * Words in, commands out: combines words with each other and with what was said before.
 *
 * It has no clock: the caller passes the time in seconds. Results equal those of harken's dialogue in
 * Python, to the last digit. The grammar is JSON that `harken` makes from a .toml file.
 *
 * The first word, or the wake word, opens the follow-up window; each word extends it by `window`
 * seconds, up to `maxWindow` and `maxTurns`. When it closes, a pending command is dropped. After
 * these limits close it, it stays closed until there was no word for `window`. "Stop" always works.
 */

const FORMAT = 1;

export class Dialogue {
  constructor(grammar, state = null) {
    if (grammar?.format !== FORMAT) {
      throw new Error(
        `the grammar has the format ${grammar?.format}, and this library reads ${FORMAT}; ` +
          "export both with the same harken",
      );
    }
    this.grammar = grammar;
    this._mutedUntil = -Infinity;
    this._state = state === null ? FRESH : this._fitting(checked(state));
  }

  /** The complete state as plain JSON; a new value after each change. */
  get state() {
    return this._state;
  }

  hear(word, at, confidence = 1) {
    const settled = this.tick(at);
    const turn = this._hear(word, at, confidence);
    return settled === null ? turn : { ...turn, commands: [...settled.commands, ...turn.commands] };
  }

  tick(at) {
    this._moveTo(at, false);
    const state = this._state;
    const due = this._due;
    if (due === null || at < due) return null;
    const { pending } = state;
    if (pending?.waits === "slot" && at >= state.lastWord + this.grammar.settle) {
      // It settles before it can expire: `settle` is shorter than `window`.
      const completed = this._completed(pending, at);
      if (completed) return this._carryOut(null, pending.intent, completed, at, state);
    }
    if (!this.windowOpen(at)) {
      this._close(this._cappedAt(at));
      if (pending) {
        const what = pending.waits === "confirm" ? "an answer" : this._missing(pending);
        return turnOf(null, at, "expired", `nobody said ${what} in time`);
      }
    }
    return null;
  }

  get due() {
    return this._due;
  }

  get _due() {
    const { pending, lastWord } = this._state;
    const closes = this._closes;
    if (closes === null || pending?.waits !== "slot") return closes;
    const settled = lastWord + this.grammar.settle;
    return this._completed(pending, settled) ? Math.min(closes, settled) : closes;
  }

  get pending() {
    const { pending } = this._state;
    if (!pending) return "";
    return pending.waits === "confirm" ? "confirm" : this._missing(pending);
  }

  get pendingKind() {
    return this._state.pending?.waits ?? "none";
  }

  windowOpen(at) {
    const closes = this._closes;
    return closes !== null && at < closes;
  }

  followUp(at) {
    const closes = this._closes;
    return closes === null ? 0 : Math.max(0, closes - at);
  }

  recalls(at) {
    const found = [];
    for (const [name] of this.grammar.slots) {
      const spans = this.grammar.commands.map((spec) => valueOf(spec.remember, name) ?? 0);
      const span = Math.max(...spans);
      const heard = named(this._state.memory, name);
      const age = heard ? at - heard.at : -1;
      if (age >= 0 && age < span) found.push({ name, text: heard.word, age, span });
    }
    return found;
  }

  repeatable(at) {
    const { last } = this._state;
    const span = this.grammar.repeat;
    if (!last || this.grammar.controls.carryOut === null) return null;
    const age = at - last.at;
    if (!(age >= 0 && age < span)) return null;
    return { name: last.intent, text: this._inWords(last), age, span };
  }

  pendingText() {
    const { pending } = this._state;
    return pending ? this._inWords(pending) : "";
  }

  mute(at) {
    this._mutedUntil = Infinity;
    this._moveTo(at);
  }

  unmute(at, tail = 0.5) {
    this._mutedUntil = at + tail;
  }

  muted(at) {
    return at < this._mutedUntil;
  }

  forget() {
    this._state = FRESH;
  }

  _hear(word, at, confidence) {
    this._moveTo(at);
    const { stop, wake } = this.grammar.controls;
    if (this.muted(at)) return turnOf(word, at, "ignored", "muted");
    const before = this._state;
    if (word === stop) return this._stop(word, at, confidence, before);
    if (!this.grammar.words.includes(word)) {
      return turnOf(word, at, "ignored", "not in the grammar");
    }
    if (!this._enter(word, at)) {
      const why = this._state.capped ? "waiting for quiet" : `say ${quoted(wake)} first`;
      return turnOf(word, at, "ignored", why);
    }
    const turn = this._turn({ word, at, confidence, recalled: false }, before);
    if (this._state.turns >= this.grammar.maxTurns) this._close(true);
    return turn;
  }

  /** Interpret a word inside the window. */
  _turn(heard, before) {
    const { word, at } = heard;
    const { wake, cancel, confirm, carryOut } = this.grammar.controls;
    if (word === wake) return turnOf(word, at, "woken", "listening");
    const { pending } = this._state;
    if (!pending) return this._withoutPending(heard, before);
    if (word === cancel) {
      this._change({ pending: null });
      return turnOf(word, at, "cancelled", "dropped");
    }
    if (pending.waits === "confirm") {
      if (word === confirm || word === carryOut) {
        const parts = put(pending.parts, "", heard); // the answer counts towards the confidence
        return this._carryOut(word, pending.intent, parts, at, before, { sure: true });
      }
      this._change({ pending: null });
      return this._withoutPending(heard, before);
    }
    if (word === carryOut) {
      const completed = this._completed(pending, at);
      if (!completed) return turnOf(word, at, "asks", `which ${this._missing(pending)}?`);
      return this._carryOut(word, pending.intent, put(completed, "", heard), at, before);
    }
    return this._withPending(pending, heard, before);
  }

  /** Add a word to the pending command, correct it, or begin a new one. */
  _withPending(pending, heard, before) {
    const spec = this._spec(pending.intent);
    const said = (part) => named(pending.parts, part.name) !== undefined;
    const fits = (part) => this._takes(part, heard.word);
    const done = this._completed(pending, heard.at);
    const onlyOptional = done && spec.pattern.every((part) => said(part) || part.optional);
    const part =
      spec.pattern.find((part) => !said(part) && fits(part)) ??
      (onlyOptional ? undefined : spec.pattern.find((part) => said(part) && fits(part)));
    if (part) return this._fill(spec, put(pending.parts, part.name, heard), heard, before);
    this._change({ pending: null });
    const earlier = onlyOptional
      ? this._carryOut(null, pending.intent, done, heard.at, before).commands
      : [];
    const turn = this._withoutPending(heard, this._state);
    const ignored = turn.outcome === "ignored";
    if (earlier.length === 0) {
      if (ignored) this._change({ pending }); // an ignored word changes nothing
      return turn;
    }
    const outcome = ignored ? "command" : turn.outcome;
    return { ...turn, outcome, commands: [...earlier, ...turn.commands] };
  }

  /** Begin a command, repeat the last one, or take it back. */
  _withoutPending(heard, before) {
    const { word, at } = heard;
    const { commands, controls, repeat, window } = this.grammar;
    const { last } = this._state;
    const begun = commands.find((spec) => this._takes(spec.pattern[0], word));
    if (begun) return this._fill(begun, put([], begun.pattern[0].name, heard), heard, before);
    if (word === controls.carryOut) {
      if (last && at - last.at < repeat) {
        const parts = put(last.parts, "", heard); // "go" counts towards the confidence, too
        const how = { sure: true, repeated: true };
        return this._carryOut(word, last.intent, parts, at, before, how);
      }
      return turnOf(word, at, "ignored", "nothing to carry out");
    }
    if (word === controls.cancel) {
      if (last && at - last.at < window) {
        this._change({ last: null });
        return turnOf(word, at, "cancelled", "taken back");
      }
      return turnOf(word, at, "ignored", "nothing to cancel");
    }
    if (word === controls.confirm) return turnOf(word, at, "ignored", "nothing to confirm");
    for (const spec of commands) {
      for (const [index, part] of spec.pattern.entries()) {
        const recalled = this._takes(part, word) ? this._recalled(spec, index, at) : null;
        if (recalled) return this._fill(spec, put(recalled, part.name, heard), heard, before);
      }
    }
    return turnOf(word, at, "ignored", "nothing remembered that it belongs to");
  }

  /** Carry out a complete command; let an incomplete one wait. */
  _fill(spec, parts, heard, before) {
    const { word, at } = heard;
    if (spec.pattern.every((part) => named(parts, part.name))) {
      return this._carryOut(word, spec.intent, parts, at, before);
    }
    const pending = { intent: spec.intent, parts, waits: "slot", since: at };
    this._change({ pending });
    return turnOf(word, at, "pending", `waiting for ${this._missing(pending)}`);
  }

  /** Carry out a command, or ask first. */
  _carryOut(word, intent, filled, at, before, { sure = false, repeated = false } = {}) {
    const spec = this._spec(intent);
    const confidence = filled.reduce((product, heard) => product * heard.confidence, 1);
    const parts = filled.filter((heard) => heard.name);
    const slots = slotsOf(spec, parts);
    const text = inWords(spec, slots);
    if (!sure && needsConfirmation(spec, slots)) {
      this._change({ pending: { intent, parts, waits: "confirm", since: at } });
      return turnOf(word, at, "pending", `${text}: ${this.grammar.controls.confirm}?`);
    }
    const now = parts.map((heard) => ({ ...heard, at, recalled: false }));
    const remembered = slots
      .map(([name]) => named(parts, name))
      .filter((heard) => repeated || heard.recalled)
      .map((heard) => [heard.name, at - heard.at]);
    this._change({
      pending: null,
      last: { intent, parts: now, at },
      memory: slots.reduce((memory, [name]) => put(memory, name, named(now, name)), this._state.memory),
    });
    const values = slots.map(([name, word]) => [
      name,
      valueOf(valueOf(this.grammar.slots, name), word),
    ]);
    const command = {
      intent,
      slots: Object.fromEntries(slots),
      values: Object.fromEntries(values),
      remembered: Object.fromEntries(remembered),
      confidence,
      repeated,
      text,
      at,
      before: compact(before),
      after: compact(this._state),
    };
    return turnOf(word, at, "command", text, [command]);
  }

  _stop(word, at, confidence, before) {
    this._change({ pending: null, last: null });
    if (this._enter(word, at) && this._state.turns >= this.grammar.maxTurns) this._close(true);
    const command = {
      intent: "stop",
      slots: {},
      values: {},
      remembered: {},
      confidence,
      repeated: false,
      text: "stop",
      at,
      before: compact(before),
      after: compact(this._state),
    };
    const reason = before.pending ? "stop; what was pending is dropped" : "stop";
    return turnOf(word, at, "stopped", reason, [command]);
  }

  /** Return the parts before `index` from memory; null if a required one is missing. */
  _recalled(spec, index, at) {
    const recalled = [];
    for (const part of spec.pattern.slice(0, index)) {
      const known = this._remembered(spec, part, at);
      if (known) recalled.push({ ...known, recalled: true });
      else if (!part.optional) return null;
    }
    return recalled;
  }

  _remembered(spec, part, at) {
    const known = part.slot ? named(this._state.memory, part.name) : undefined;
    return known && at - known.at < (valueOf(spec.remember, part.name) ?? 0) ? known : undefined;
  }

  /**
   * Return all parts of a pending command; null if one is still missing. Parts that were not said
   * come from the last command if it is repeated, from memory, or from the defaults.
   */
  _completed(pending, at) {
    const spec = this._spec(pending.intent);
    const { last } = this._state;
    const first = spec.pattern[0].name;
    const word = named(pending.parts, first)?.word;
    const again =
      spec.again &&
      last?.intent === spec.intent &&
      word !== undefined &&
      named(last.parts, first).word === word &&
      pending.since - last.at < this.grammar.window;
    let parts = pending.parts;
    for (const part of spec.pattern) {
      if (named(parts, part.name)) continue;
      const known =
        (again && named(last.parts, part.name)) || this._remembered(spec, part, at);
      const usual = part.slot ? valueOf(spec.defaults, part.name) : undefined;
      if (known) parts = put(parts, part.name, { ...known, recalled: true });
      else if (usual !== undefined) {
        parts = put(parts, part.name, { word: usual, at, confidence: 1, recalled: false });
      } else if (!part.optional) return null;
    }
    return parts;
  }

  _missing(pending) {
    const { pattern } = this._spec(pending.intent);
    return pattern.find((part) => !named(pending.parts, part.name)).name;
  }

  _spec(intent) {
    return this.grammar.commands.find((spec) => spec.intent === intent);
  }

  _inWords({ intent, parts }) {
    const spec = this._spec(intent);
    return inWords(spec, slotsOf(spec, parts));
  }

  /** Whether a part of a pattern can be a word. */
  _takes(part, word) {
    if (!part.slot) return part.name === word;
    return valueOf(this.grammar.slots, part.name).some(([each]) => each === word);
  }

  /** When the window closes, or closed, without another word; null while it is closed. */
  get _closes() {
    const { opened, lastWord } = this._state;
    if (opened === null || lastWord === null) return null;
    return Math.min(lastWord + this.grammar.window, opened + this.grammar.maxWindow);
  }

  /** Count a word in the window, which it may open; return whether the word is accepted. */
  _enter(word, at) {
    const { turns, lastWord, capped } = this._state;
    const { wake } = this.grammar.controls;
    if (this.windowOpen(at)) {
      this._change({ turns: turns + 1, lastWord: at });
      return true;
    }
    const quiet = lastWord === null || at - lastWord >= this.grammar.window;
    const opens = wake === null ? quiet || !capped : word === wake;
    if (opens) {
      this._change({ opened: at, turns: 1, lastWord: at, capped: false, pending: null });
    } else if (wake === null) {
      this._change({ lastWord: at }); // not quiet yet
    }
    return opens;
  }

  /** Advance to a time. */
  _moveTo(at, settle = true) {
    if (!Number.isFinite(at)) throw new RangeError(`the time is ${at}; it must be finite`);
    const { now } = this._state;
    if (now !== null && at < now) this._state = FRESH; // the clock was set back
    this._change({ now: at });
    if (settle && this._state.opened !== null && !this.windowOpen(at)) {
      this._close(this._cappedAt(at));
    }
  }

  /** Whether a limit, rather than silence, has closed the window by now. */
  _cappedAt(at) {
    const { lastWord } = this._state;
    return lastWord !== null && at < lastWord + this.grammar.window;
  }

  _close(capped) {
    this._change({ pending: null, opened: null, turns: 0, capped });
  }

  _change(changes) {
    this._state = { ...this._state, ...changes };
  }

  /** Return a state without entries unknown to this grammar. */
  _fitting(state) {
    const known = (part, heard) => part && this._takes(part, heard.word);
    const fits = (given) => {
      const pattern = given && this._spec(given.intent)?.pattern;
      if (!pattern?.length) return false;
      const open = pattern.filter((part) => !named(given.parts, part.name));
      return (
        given.parts.every((heard) => known(named(pattern, heard.name), heard)) &&
        (given.waits === "slot" ? open.length > 0 : open.every((part) => part.optional))
      );
    };
    const foreign = ({ name, word }) => {
      const words = valueOf(this.grammar.slots, name);
      return words !== undefined && valueOf(words, word) === undefined;
    };
    return {
      ...state,
      pending: fits(state.pending) ? state.pending : null,
      last: fits(state.last) ? state.last : null,
      memory: state.memory.filter((heard) => !foreign(heard)),
    };
  }
}

const FRESH = {
  pending: null,
  last: null,
  memory: [],
  opened: null,
  turns: 0,
  lastWord: null,
  capped: false,
  now: null,
};

function turnOf(word, at, outcome, reason, commands = []) {
  return { word, at, outcome, commands, reason };
}

/** Return the value of a key in a list of pairs. */
function valueOf(pairs, key) {
  return pairs.find(([each]) => each === key)?.[1];
}

function named(things, name) {
  return things.find((thing) => thing.name === name);
}

/** Return a list with a word under a name; an existing entry is replaced in place. */
function put(parts, name, heard) {
  const part = { name, ...heard };
  return named(parts, name)
    ? parts.map((each) => (each.name === name ? part : each))
    : [...parts, part];
}

/** Return the filled slots as pairs of slot and word. */
function slotsOf(spec, parts) {
  return spec.pattern
    .filter((part) => part.slot && named(parts, part.name))
    .map(({ name }) => [name, named(parts, name).word]);
}

function needsConfirmation({ confirm }, slots) {
  if (typeof confirm === "boolean") return confirm;
  return confirm.some(([slot, words]) => words.includes(valueOf(slots, slot)));
}

/** Return a command as text, without unfilled placeholders. */
function inWords(spec, slots) {
  const fill = (blank, name) =>
    valueOf(slots, name) ?? (named(spec.pattern, name)?.slot ? "" : blank);
  const pieces = spec.says.split(" ").map((piece) => piece.replace(/\{([^{}]+)\}/g, fill));
  return pieces.filter(Boolean).join(" ");
}

/** Quote a word as Python's repr does. */
function quoted(word) {
  return word.includes("'") ? `"${word}"` : `'${word}'`;
}

/** Return the part of a state that matters to a program that reads commands. */
function compact({ pending, memory, turns }) {
  return {
    pending: pending && {
      intent: pending.intent,
      words: pending.parts.map((heard) => heard.word),
      waits: pending.waits,
    },
    memory: Object.fromEntries(memory.map(({ name, word }) => [name, word])),
    turns,
  };
}

/** Validate a saved state; throw an error if it is damaged. */
function checked(state) {
  const must = (value, fine) => {
    if (!fine) throw new Error("the state of the dialogue is damaged");
    return value;
  };
  const object = (value) => must(value, typeof value === "object" && value !== null);
  const text = (value) => must(value, typeof value === "string");
  const number = (value) => must(value, Number.isFinite(value));
  const truth = (value) => must(value, typeof value === "boolean");
  const optional = (value, read) => (value === null ? null : read(value));
  const parts = (value) =>
    must(value, Array.isArray(value)).map((part) => ({
      name: text(object(part).name),
      word: text(part.word),
      at: number(part.at),
      confidence: number(part.confidence),
      recalled: truth(part.recalled),
    }));
  return {
    pending: optional(object(state).pending, (pending) => ({
      intent: text(object(pending).intent),
      parts: parts(pending.parts),
      waits: must(pending.waits, pending.waits === "slot" || pending.waits === "confirm"),
      since: number(pending.since),
    })),
    last: optional(state.last, (last) => ({
      intent: text(object(last).intent),
      parts: parts(last.parts),
      at: number(last.at),
    })),
    memory: parts(state.memory),
    opened: optional(state.opened, number),
    turns: number(state.turns),
    lastWord: optional(state.lastWord, number),
    capped: truth(state.capped),
    now: optional(state.now, number),
  };
}
