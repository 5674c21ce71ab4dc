/**
 * harken: voice commands in a browser, or wherever JavaScript runs, offline.
 *
 *     const spotter = await Spotter.load("models/commands.wasm");
 *     spotter.addEventListener("word", (event) => console.log(event.detail.word));
 *     button.onclick = () => spotter.start();   // asks for the microphone
 */

import { Dialogue, type Grammar, type State, type Turn } from "./dialogue.js";

/** A word that was heard. */
export interface Word {
  word: string;
  /** The evidence that decided it, in 0..1. */
  confidence: number;
  /** The same without what was said before. */
  acoustic: number;
  /** First and last of what was heard of it, in seconds since listening began or was reset. */
  start: number;
  end: number;
  /** The same in samples at the rate of the model. */
  startSample: number;
  endSample: number;
  /** How likely the prior held it, with nothing learned, in 0..1; 0 where the model has none. */
  foreseen: number;
}

/** What a model file says of itself. */
export interface ModelInfo {
  name: string;
  /** Digits of the SHA-256 of the TensorFlow Lite file that it was made of. */
  digest: string;
  /** What the posteriors stand for; the last two: "unknown" and "silence". */
  labels: string[];
  /** Those of them that are heard. */
  words: string[];
  /** For each word the evidence, in (0, 1], from which it is heard. */
  thresholds: Record<string, number>;
  /** Samples a second that the model hears; other rates are converted. */
  rate: number;
  /** Samples from one step of the network to the next. */
  stepSamples: number;
  /** Digest of the grammar whose prior is part of it; null where none is. */
  grammar: string | null;
  /** What `pending` takes. */
  pending: string[];
}

/** What went wrong: `message` is a sentence, `remedy` another one on what to do. */
export class HarkenError extends Error {
  readonly code:
    | "insecure" // the page came over http: from another machine
    | "unsupported" // no WebAssembly, AudioWorklet or getUserMedia
    | "denied" // the microphone was refused
    | "no-microphone"
    | "busy" // another program has it, or the system refused
    | "network" // a file of the page cannot be loaded
    | "bad-model" // not a model, or cut short
    | "version" // a model for another version of this library
    | "mismatch" // a model at odds with the page or the grammar
    | "destroyed";
  readonly remedy: string;
}

export interface EngineOptions {
  /** Samples a second of what is fed, 8,000 to 192,000; by default the model's. */
  rate?: number;
}

/** PCM in, words out, at once and on this thread: for files, Node.js and workers. */
export class Engine {
  static load(
    model: BufferSource | WebAssembly.Module,
    options?: EngineOptions,
  ): Promise<Engine>;
  readonly info: ModelInfo;
  /**
   * Take in samples, mono: float32 with full scale at ±1, or int16. Any number at once; how they
   * are divided among calls makes no difference.
   */
  feed(samples: Float32Array | Int16Array): Word[];
  /** Forget everything heard: the next sample is sample 0. */
  reset(): void;
  /** The evidence, in (0, 1], from which a word is heard; null: as the model has it. */
  setThreshold(word: string, value: number | null): void;
  /** Odds that a word needs are divided by this, 1/64 to 64; 1: as the model has it. */
  sensitivity: number;
  /** Whether what was said before changes what is heard; without a prior it never does. */
  expecting: boolean;
  /**
   * Tell what the application waits for since the last word, one of `info.pending`; and what its
   * user tends to say there, if that is known: `Memory.habit`.
   */
  pending(name: string, habit?: number[]): void;
  /** Forget the words that were said, and nothing else. */
  forget(): void;
  /** Of the last step, in the order of `info.labels`. */
  posteriors(): Float32Array;
  logits(): Int8Array;
  /** Of the last frame. */
  features(): Int8Array;
  /** Whether the last frame was heard; false while the gate of the model is shut, since the room is quiet. */
  readonly awake: boolean;
  /** Steps of the network since the reset. */
  readonly steps: number;
}

/** What the microphone's page is told many times a second. */
export interface Snapshot {
  /** Greatest magnitude, and root mean square, since the last snapshot; full scale is 1. */
  peak: number;
  rms: number;
  /** Of the last step, in the order of `info.labels`. */
  posteriors: Float32Array;
  /** Seconds of sound heard since listening began. */
  seconds: number;
  /** Seconds of sound that the browser lost; NaN where it does not say. */
  lost: number;
  /** Rate of the microphone's samples, in Hz. */
  sampleRate: number;
}

export type SpotterState = "idle" | "starting" | "listening" | "interrupted" | "destroyed";

export interface StateChange {
  state: SpotterState;
  /** Why, as a sentence; empty where there is nothing to say. */
  reason: string;
}

export interface SpotterOptions {
  thresholds?: Record<string, number>;
  sensitivity?: number;
  /** See Engine.expecting; true by default. */
  expecting?: boolean;
  /** Let the browser even out the level; false by default. */
  autoGainControl?: boolean;
  /** Of the microphone; by default the one that the system prefers. */
  deviceId?: string;
  /** Where worklet.js lies; by default beside this module. */
  workletUrl?: string | URL;
}

interface SpotterEvents {
  word: CustomEvent<Word>;
  state: CustomEvent<StateChange>;
  /** Something for the person who listens: there is only silence, another microphone is used … */
  notice: CustomEvent<{ message: string }>;
  /** Listening ended, and cannot go on by itself. */
  error: CustomEvent<HarkenError>;
}

/** The microphone in, events out. */
export class Spotter extends EventTarget {
  /** Load a model: its address, or its bytes. */
  static load(model: string | URL | BufferSource, options?: SpotterOptions): Promise<Spotter>;
  readonly info: ModelInfo;
  readonly state: SpotterState;
  /** Listen. To be called when somebody clicks: the browser asks for the microphone. */
  start(): Promise<void>;
  /** Let go of the microphone. `start` listens again, from the beginning. */
  stop(): Promise<void>;
  /** Forget everything heard. */
  reset(): void;
  setThreshold(word: string, value: number | null): void;
  sensitivity: number;
  expecting: boolean;
  /** While it is muted no words come, and the microphone stays open. */
  muted: boolean;
  pending(name: string, habit?: number[]): void;
  forget(): void;
  /** What is heard right now; rejects while nobody listens. */
  snapshot(): Promise<Snapshot>;
  /** Let go of everything. */
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

/** What was learned of a user: plain JSON, as in the file of a memory of `harken listen`. */
export interface Learned {
  /** How far it is trusted, in 0..1. */
  trust: number;
  /** Words learned from, ever. */
  lessons: number;
  /** For each context, "waiting for:last word", how often each word was said; old ones fade. */
  counts: Record<string, Record<string, number>>;
}

/** Of a word, besides its confidence; a `Word` has the first and the last. */
export interface Evidence {
  /** The evidence without what was said before, and that which the word needs: else nothing is learned. */
  acoustic?: number;
  threshold?: number;
  foreseen?: number;
}

/**
 * A dialogue that learns what its user says, as `harken listen` does, for a model with the prior of
 * this grammar. Each command that nobody takes back for five seconds counts; `tick` takes it in.
 */
export class Memory extends Dialogue {
  /**
   * @param learned What was learned earlier; by default what the grammar came with.
   * @throws Error As Dialogue does, or what was learned is damaged.
   */
  constructor(grammar: Grammar, state?: State | null, learned?: Learned | null);
  hear(word: string, at: number, confidence?: number, evidence?: Evidence): Turn;
  /** A new value each time. */
  readonly learned: Learned;
  /** For `pending`, after each word: the prior's share of a word's probability, then what is added to each word's. */
  readonly habit: number[];
  /** Go back to the beginning, and unlearn everything. */
  forget(): void;
}

export { Dialogue, type Grammar, type Turn, type Command, type Recall } from "./dialogue.js";
