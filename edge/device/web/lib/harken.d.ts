/**
 * harken: voice commands in a browser, or wherever JavaScript runs, offline.
 *
 *     const spotter = await Spotter.load("models/commands.wasm");
 *     spotter.addEventListener("word", (event) => console.log(event.detail.word));
 *     button.onclick = () => spotter.start();   // asks for the microphone
 */

import { Dialogue, type Grammar, type State, type Turn } from "./dialogue.js";

/** A detected word. */
export interface Word {
  word: string;
  /** The evidence that decided it, in 0..1. */
  confidence: number;
  /** The same without the context (what was said before). */
  acoustic: number;
  /** Start and end of the evidence, in seconds since listening began or was reset. */
  start: number;
  end: number;
  /** The same in samples at the model's rate. */
  startSample: number;
  endSample: number;
  /** The probability that the prior gave it, without anything learned, in 0..1; 0 without a prior. */
  foreseen: number;
  /** The clearest faint word before it, after the last word; null without one, or without a prior. */
  faint: Faint | null;
}

/** A word that almost fired: its evidence rose to half of what it needs or more, and fell. */
export interface Faint {
  word: string;
  /** Its highest evidence, in 0..1. */
  confidence: number;
  /** When that was, in seconds since listening began or was reset, ... */
  end: number;
  /** ... and in samples at the model's rate. */
  endSample: number;
}

/** What a model file contains. */
export interface ModelInfo {
  name: string;
  /** First digits of the SHA-256 of the TensorFlow Lite file that it was made from. */
  digest: string;
  /** The labels of the posteriors; the last two are "unknown" and "silence". */
  labels: string[];
  /** The labels that can be detected. */
  words: string[];
  /** The evidence that each word needs, in (0, 1]. */
  thresholds: Record<string, number>;
  /** The model's sample rate in Hz; other rates are converted. */
  rate: number;
  /** Samples per step of the network. */
  stepSamples: number;
  /** Digest of the grammar of the built-in prior; null without one. */
  grammar: string | null;
  /** The names that `pending` accepts. */
  pending: string[];
}

/** An error: `message` is a sentence, `remedy` another that says what to do. */
export class HarkenError extends Error {
  readonly code:
    | "insecure" // the page was loaded over http: from another machine
    | "unsupported" // no WebAssembly, AudioWorklet or getUserMedia
    | "denied" // the microphone was refused
    | "no-microphone"
    | "busy" // another program is using it, or the system refused
    | "network" // a file of the page cannot be loaded
    | "bad-model" // not a model, or truncated
    | "version" // a model for another version of this library
    | "mismatch" // the model does not match the page or the grammar
    | "destroyed";
  readonly remedy: string;
}

export interface EngineOptions {
  /** Rate of the samples in Hz, 8,000 to 192,000; default: the model's. */
  rate?: number;
}

/** PCM in, words out, synchronously on this thread: for files, Node.js and workers. */
export class Engine {
  static load(
    model: BufferSource | WebAssembly.Module,
    options?: EngineOptions,
  ): Promise<Engine>;
  readonly info: ModelInfo;
  /**
   * Process samples, mono: float32 with full scale at ±1, or int16. Any number per call; chunk
   * sizes do not affect the results.
   */
  feed(samples: Float32Array | Int16Array): Word[];
  /** Start over: the next sample is sample 0. */
  reset(): void;
  /** Set the evidence that a word needs, in (0, 1]; null: the model's threshold. */
  setThreshold(word: string, value: number | null): void;
  /** Divides the odds that every word needs, 1/64 to 64; 1 keeps the model's thresholds. */
  sensitivity: number;
  /** Whether the context (what was said before) affects detection, for a model with a prior. */
  expecting: boolean;
  /**
   * Set what the application waits for after the last word, one of `info.pending`, and what its
   * user tends to say there, if known: `Memory.habit`.
   */
  pending(name: string, habit?: number[]): void;
  /** Forget the words said so far, and nothing else. */
  forget(): void;
  /** Of the last step, in the order of `info.labels`. */
  posteriors(): Float32Array;
  logits(): Int8Array;
  /** Of the last frame. */
  features(): Int8Array;
  /** Whether the last frame was processed; false while the model's gate is shut in a quiet room. */
  readonly awake: boolean;
  /** Steps of the network since the reset. */
  readonly steps: number;
}

/** The current state of listening, for display. */
export interface Snapshot {
  /** Peak magnitude and root mean square since the last snapshot; full scale is 1. */
  peak: number;
  rms: number;
  /** Of the last step, in the order of `info.labels`. */
  posteriors: Float32Array;
  /** Seconds of audio processed since listening began. */
  seconds: number;
  /** Seconds of audio that the browser dropped; NaN if it does not report this. */
  lost: number;
  /** Rate of the microphone's samples, in Hz. */
  sampleRate: number;
}

export type SpotterState = "idle" | "starting" | "listening" | "interrupted" | "destroyed";

export interface StateChange {
  state: SpotterState;
  /** Why, as a sentence; may be empty. */
  reason: string;
}

export interface SpotterOptions {
  thresholds?: Record<string, number>;
  sensitivity?: number;
  /** See Engine.expecting; true by default. */
  expecting?: boolean;
  /** The browser's automatic gain control; false by default. */
  autoGainControl?: boolean;
  /** The microphone; by default the system's. */
  deviceId?: string;
  /** URL of worklet.js; by default beside this module. */
  workletUrl?: string | URL;
}

interface SpotterEvents {
  word: CustomEvent<Word>;
  state: CustomEvent<StateChange>;
  /** A message for the user, such as that the microphone gives only silence. */
  notice: CustomEvent<{ message: string }>;
  /** Listening ended and cannot resume by itself. */
  error: CustomEvent<HarkenError>;
}

/** The microphone in, events out. */
export class Spotter extends EventTarget {
  /** Load a model from its URL or its bytes. */
  static load(model: string | URL | BufferSource, options?: SpotterOptions): Promise<Spotter>;
  readonly info: ModelInfo;
  readonly state: SpotterState;
  /** Start listening. Call it from a click handler: the browser asks for the microphone. */
  start(): Promise<void>;
  /** Release the microphone. `start` listens again from a reset state. */
  stop(): Promise<void>;
  /** Start over. */
  reset(): void;
  setThreshold(word: string, value: number | null): void;
  sensitivity: number;
  expecting: boolean;
  /** While muted, no words are reported; the microphone stays open. */
  muted: boolean;
  pending(name: string, habit?: number[]): void;
  forget(): void;
  /** The current level, posteriors and so on; rejects while not listening. */
  snapshot(): Promise<Snapshot>;
  /** Release all resources. */
  destroy(): Promise<void>;
  addEventListener<K extends keyof SpotterEvents>(
    type: K,
    listener: (event: SpotterEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof SpotterEvents>(
    type: K,
    listener: (event: SpotterEvents[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** What was learned about a user: plain JSON, as in a memory file of `harken listen`. */
export interface Learned {
  /** How far it is trusted, in 0..1. */
  trust: number;
  /** Total number of words learned from. */
  lessons: number;
  /** For each context, "pending:last word", how often each word was said; old counts fade. */
  counts: Record<string, Record<string, number>>;
}

/** Details of a word besides its confidence; a `Word` has all but `threshold`. */
export interface Evidence {
  /** The evidence without the context; nothing is learned unless it reaches `threshold`. */
  acoustic?: number;
  /** The evidence that the word needs. */
  threshold?: number;
  foreseen?: number;
  /** A faint word before it, which is heard first. */
  faint?: Faint | null;
  /** When the word itself ended, to tell how long before `at` the faint one did. */
  end?: number;
}

/**
 * A dialogue that learns what its user says, as `harken listen` does, for a model with the prior of
 * this grammar. A command that is not taken back within five seconds is learned by `tick`.
 */
export class Memory extends Dialogue {
  /**
   * @param learned What was learned earlier; by default what the grammar contains.
   * @throws Error As Dialogue does, or if `learned` is damaged.
   */
  constructor(grammar: Grammar, state?: State | null, learned?: Learned | null);
  hear(word: string, at: number, confidence?: number, evidence?: Evidence): Turn;
  /** A new value each time. */
  readonly learned: Learned;
  /** For `pending`, after each word: the prior's share of a word's probability, then a term to add for each word. */
  readonly habit: number[];
  /** Reset the dialogue, and unlearn everything. */
  forget(): void;
}

export { Dialogue, type Grammar, type Turn, type Command, type Recall } from "./dialogue.js";
