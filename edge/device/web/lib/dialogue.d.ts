/**
 * Words in, commands out, as harken's grammars say.
 *
 *     const dialogue = new Dialogue(await (await fetch("robot.json")).json());
 *     spotter.addEventListener("word", ({ detail }) => {
 *       const turn = dialogue.hear(detail.word, performance.now() / 1000, detail.confidence);
 *       for (const command of turn.commands) console.log(command.text);
 *     });
 *
 * Call `tick` when `due` has come: a command may be complete, or what was pending has expired. All
 * times are seconds of one clock of the caller's; where `state` is kept, one that goes on, such as
 * `Date.now() / 1000`.
 */

import type { Learned } from "./harken.js";

/** A word or a slot of a command, in the order in which it is said. */
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
  /** The word that fills a slot when nobody says one. */
  defaults: [slot: string, word: string][];
  /** Whether it has to be confirmed: always, never, or with some words in a slot. */
  confirm: boolean | [slot: string, words: string[]][];
  /** Whether its first word, said again right after, does the same again. */
  again: boolean;
  /** The command in words, with blanks such as {number}. */
  says: string;
}

/** What commands there are; harken makes it of a .toml file. */
export interface Grammar {
  format: number;
  name: string;
  description: string;
  /** Tells this grammar from others. */
  digest: string;
  /** Seconds after a word in which another one is expected; and after the first one, at most. */
  window: number;
  maxWindow: number;
  /** Words in one window, at most. */
  maxTurns: number;
  /** Seconds after which a command is carried out without its optional parts. */
  settle: number;
  /** Seconds in which a command can be repeated. */
  repeat: number;
  /** All words that mean something. */
  words: string[];
  /** Slots, each with its words and what they stand for. */
  slots: [name: string, words: [word: string, value: string | number][]][];
  /** Of several that fit, the first is meant. */
  commands: CommandSpec[];
  /** Words with a meaning of their own; null where there is none. */
  controls: {
    stop: string | null;
    confirm: string | null;
    cancel: string | null;
    carryOut: string | null;
    wake: string | null;
  };
  /** Phrases to begin with: each is a command when it is said after the one before it. */
  examples: string[][];
  /** What a memory had learned when it was exported; see Memory. */
  learned?: Learned;
}

/** A word that fills a part of a command, or that is remembered for a slot. */
export interface Heard {
  /** Of the part, or of the slot. */
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
  /** What fills it so far. */
  parts: Heard[];
  waits: "slot" | "confirm";
  since: number;
}

/** All that a dialogue remembers: plain JSON. Only ever read it; keep it beside `Grammar.digest`. */
export interface State {
  pending: Pending | null;
  /** The command that was carried out last. */
  last: { intent: string; parts: Heard[]; at: number } | null;
  /** What was last said for each slot. */
  memory: Heard[];
  /** When the window was opened; null while it is closed. */
  opened: number | null;
  /** Words in this window. */
  turns: number;
  lastWord: number | null;
  /** A cap closed the window, and it has not been quiet since. */
  capped: boolean;
  /** The latest time that was heard of. */
  now: number | null;
}

/** What of a state matters to a program that reads commands. */
export interface Glance {
  pending: { intent: string; words: string[]; waits: "slot" | "confirm" } | null;
  /** Each slot with the word that was last said for it. */
  memory: Record<string, string>;
  turns: number;
}

/** What is to be done. */
export interface Command {
  intent: string;
  /** Each slot that is filled, with its word; and with what the word stands for. */
  slots: Record<string, string>;
  values: Record<string, string | number>;
  /** Slots that nobody said now, with how many seconds ago they were said. */
  remembered: Record<string, number>;
  /** Product of those of all words in it. */
  confidence: number;
  /** Whether it is the last command again. */
  repeated: boolean;
  /** It in words. */
  text: string;
  at: number;
  /** The state before the word that completed it, and after it. */
  before: Glance;
  after: Glance;
}

/**
 * What came of a word: a command; something that waits for more; something that cannot be
 * completed; a command that was dropped or taken back; a stop; nothing; something that waited too
 * long; the window was opened.
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

/** What came of a word, or of time that passed. */
export interface Turn {
  /** null where it is time that passed. */
  word: string | null;
  at: number;
  outcome: Outcome;
  /** What is to be done, in this order; mostly one command or none. */
  commands: Command[];
  /** The outcome in words. */
  reason: string;
}

/** Something that is remembered, and fades. */
export interface Recall {
  /** The slot; for the last command its intent. */
  name: string;
  /** The word that fills the slot, or the command in words. */
  text: string;
  /** So many seconds ago it was said, or last used; at `span` it is forgotten. */
  age: number;
  span: number;
}

/** Makes commands of words. Methods that take a time throw a RangeError where it is not finite. */
export class Dialogue {
  /**
   * @param state Where to go on: what `state` was. What the grammar does not know is dropped.
   * @throws Error The grammar has another format, or the state is damaged.
   */
  constructor(grammar: Grammar, state?: State | null);
  readonly grammar: Grammar;
  /** A new value after each change. */
  readonly state: State;
  /** Take in a word. If time went back, the clock was set, and all is forgotten. */
  hear(word: string, at: number, confidence?: number): Turn;
  /** Let time pass; null if nothing came of it. */
  tick(at: number): Turn | null;
  /** When the next `tick` matters; null if never. */
  readonly due: number | null;
  /** What is waited for: the name of a part, "confirm", or "". */
  readonly pending: string;
  readonly pendingKind: "none" | "slot" | "confirm";
  /** Whether a follow-up is expected, and for how many seconds more. */
  windowOpen(at: number): boolean;
  followUp(at: number): number;
  /** The slots that may be left out now, in the order of the grammar. */
  recalls(at: number): Recall[];
  /** The command that would be repeated now, if there is a word for that. */
  repeatable(at: number): Recall | null;
  /** What is pending in words, as far as it was said. */
  pendingText(): string;
  /** Ignore every word from now on; take words again, `tail` seconds (0.5) from now. */
  mute(at: number): void;
  unmute(at: number, tail?: number): void;
  muted(at: number): boolean;
  /** Go back to the beginning. */
  forget(): void;
}
