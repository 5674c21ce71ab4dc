/**
 * Words in, commands out, according to a grammar.
 *
 *     const dialogue = new Dialogue(await (await fetch("robot.json")).json());
 *     spotter.addEventListener("word", ({ detail }) => {
 *       const turn = dialogue.hear(detail.word, performance.now() / 1000, detail.confidence);
 *       for (const command of turn.commands) console.log(command.text);
 *     });
 *
 * Call `tick` at the time `due`: a command may be complete, or a pending one may have expired. All
 * times are seconds of one clock that you choose; if you save `state`, use one that survives a
 * reload, such as `Date.now() / 1000`.
 */

import type { Learned } from "./harken.js";

/** A word or a slot of a command, in spoken order. */
export interface Part {
  /** The slot, or the word itself. */
  name: string;
  slot: boolean;
  optional: boolean;
}

export interface CommandSpec {
  intent: string;
  pattern: Part[];
  /** Slots that may come from memory, and for how many seconds. */
  remember: [slot: string, seconds: number][];
  /** The word that fills a slot if none is said. */
  defaults: [slot: string, word: string][];
  /** Whether it must be confirmed: always, never, or for certain words in a slot. */
  confirm: boolean | [slot: string, words: string[]][];
  /** Whether saying its first word again right afterwards repeats it. */
  again: boolean;
  /** The command as text, with placeholders such as {number}. */
  says: string;
}

/** The available commands; harken makes this from a .toml file. */
export interface Grammar {
  format: number;
  name: string;
  description: string;
  /** Identifies this grammar. */
  digest: string;
  /** Follow-up window: seconds after a word in which another is expected; and its total limit. */
  window: number;
  maxWindow: number;
  /** Most words in one window. */
  maxTurns: number;
  /** Seconds after which a command is carried out without its optional parts. */
  settle: number;
  /** Seconds in which a command can be repeated. */
  repeat: number;
  /** All words that the grammar uses. */
  words: string[];
  /** Slots, each with its words and their values. */
  slots: [name: string, words: [word: string, value: string | number][]][];
  /** If several match, the first one wins. */
  commands: CommandSpec[];
  /** Control words; null if there is none. */
  controls: {
    stop: string | null;
    confirm: string | null;
    cancel: string | null;
    carryOut: string | null;
    wake: string | null;
  };
  /** Example phrases: each is a command when said after the previous one. */
  examples: string[][];
  /** What the exported memory had learned; see Memory. */
  learned?: Learned;
}

/** A word that fills a part of a command or is remembered for a slot. */
export interface Heard {
  /** Name of the part or the slot. */
  name: string;
  word: string;
  /** When it was said, or last used. */
  at: number;
  confidence: number;
  /** Whether it comes from memory. */
  recalled: boolean;
}

/** A command that is not complete, or not confirmed. */
export interface Pending {
  intent: string;
  /** The parts filled so far. */
  parts: Heard[];
  waits: "slot" | "confirm";
  since: number;
}

/** The complete state of a dialogue: plain JSON, read-only. Save it together with `Grammar.digest`. */
export interface State {
  pending: Pending | null;
  /** The command that was carried out last. */
  last: { intent: string; parts: Heard[]; at: number } | null;
  /** The last word for each slot. */
  memory: Heard[];
  /** When the window opened; null while it is closed. */
  opened: number | null;
  /** Words in this window. */
  turns: number;
  lastWord: number | null;
  /** A limit closed the window, and it has not been quiet since. */
  capped: boolean;
  /** The latest time passed in. */
  now: number | null;
}

/** The part of a state that matters to a program that reads commands. */
export interface Glance {
  pending: { intent: string; words: string[]; waits: "slot" | "confirm" } | null;
  /** The last word for each slot. */
  memory: Record<string, string>;
  turns: number;
}

/** A command to carry out. */
export interface Command {
  intent: string;
  /** The word in each filled slot, and that word's value. */
  slots: Record<string, string>;
  values: Record<string, string | number>;
  /** Slots filled from memory, with the age of each in seconds. */
  remembered: Record<string, number>;
  /** Product of the confidences of its words. */
  confidence: number;
  /** Whether it repeats the last command. */
  repeated: boolean;
  /** The command as text. */
  text: string;
  at: number;
  /** The state before the word that completed it, and after it. */
  before: Glance;
  after: Glance;
}

/**
 * The outcome of a word, in this order: a complete command; an incomplete one that waits for more;
 * one that cannot be completed yet; one dropped or taken back; a stop; the word was ignored; a
 * pending command expired; the wake word opened the window.
 */
export type Outcome =
  | "command"
  | "pending"
  | "asks"
  | "cancelled"
  | "stopped"
  | "ignored"
  | "expired"
  | "woken";

/** The result of a word, or of time passing. */
export interface Turn {
  /** null if time passed. */
  word: string | null;
  at: number;
  outcome: Outcome;
  /** Commands to carry out, in this order; usually one or none. */
  commands: Command[];
  /** The outcome as text. */
  reason: string;
}

/** A remembered word or command, which fades. */
export interface Recall {
  /** The slot; for the last command its intent. */
  name: string;
  /** The word in the slot, or the command as text. */
  text: string;
  /** Seconds since it was said or last used; at `span` it is forgotten. */
  age: number;
  span: number;
}

/** Turns words into commands. Methods that take a time throw a RangeError if it is not finite. */
export class Dialogue {
  /**
   * @param state A saved `state` to continue from. Entries unknown to the grammar are dropped.
   * @throws Error The grammar has another format, or the state is damaged.
   */
  constructor(grammar: Grammar, state?: State | null);
  readonly grammar: Grammar;
  /** A new value after each change. */
  readonly state: State;
  /** Process a word. If time goes back, the clock was changed, and everything is forgotten. */
  hear(word: string, at: number, confidence?: number): Turn;
  /** Advance time; returns null if nothing happened. */
  tick(at: number): Turn | null;
  /** When to call `tick` next; null if never. */
  readonly due: number | null;
  /** What the dialogue waits for: the name of a part, "confirm", or "". */
  readonly pending: string;
  readonly pendingKind: "none" | "slot" | "confirm";
  /** Whether the follow-up window is open, and for how many more seconds. */
  windowOpen(at: number): boolean;
  followUp(at: number): number;
  /** The slots that can be filled from memory now, in grammar order. */
  recalls(at: number): Recall[];
  /** The command that would be repeated now, if the grammar has a word for repeating. */
  repeatable(at: number): Recall | null;
  /** The pending command as text, as far as it was said. */
  pendingText(): string;
  /** `mute` ignores all words; `unmute` accepts them again after `tail` seconds (default 0.5). */
  mute(at: number): void;
  unmute(at: number, tail?: number): void;
  muted(at: number): boolean;
  /** Reset the dialogue. */
  forget(): void;
}
