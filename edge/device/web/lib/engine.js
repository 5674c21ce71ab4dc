// PCM in, words out: the C engine and its model in one WebAssembly file, run synchronously.
import { HarkenError } from "./errors.js";

const FORMAT = 2; // of the custom section that describes the model, and of words
const SECTION = "harken";
const CHUNK = 4096; // most samples per call of the engine
const WORD = 9; // numbers per word: label, confidence, acoustic, first and last sample, foreseen; faint word
const PAGE_TOGETHER = "Export the page and its model again, together.";

/** Read the description in a compiled model. */
export function describe(module) {
  const [section] = WebAssembly.Module.customSections(module, SECTION);
  if (!section) {
    throw new HarkenError(
      "bad-model", "This WebAssembly file is not a harken model.", "Make one with: harken export MODEL --target web",
    );
  }
  const text = Array.from(new Uint8Array(section), (byte) => String.fromCharCode(byte)).join("");
  const { format, ...info } = JSON.parse(text); // ASCII: other characters are escaped
  if (format !== FORMAT) {
    throw new HarkenError(
      "version", `The model has version ${format}; this library reads version ${FORMAT}.`, PAGE_TOGETHER,
    );
  }
  return info;
}

/** Compile a model: its bytes in, a module out. */
export async function compile(model) {
  try {
    return await WebAssembly.compile(model);
  } catch (problem) {
    if (!(problem instanceof WebAssembly.CompileError)) throw problem;
    throw new HarkenError(
      "bad-model", "The model is damaged or incomplete.", "Reload the page; if that does not help, export it again.",
    );
  }
}

export function checkThreshold({ words }, word, value) {
  if (!words.includes(word)) {
    throw new RangeError(`${word} is not a word of the model; its words are ${words.join(", ")}`);
  }
  if (value !== null && !(value > 0 && value <= 1)) {
    throw new RangeError(`the threshold of ${word} is ${value}; it must be more than 0 and at most 1`);
  }
}

export function checkSensitivity(factor) {
  if (factor >= 1 / 64 && factor <= 64) return factor;
  throw new RangeError(`the sensitivity is ${factor}; it must be between 1/64 and 64`);
}

export class Engine {
  #wasm;
  #floats; // both views share one buffer
  #integers;
  #words;
  #sensitivity = 1;
  #expecting = true;

  static async load(model, options) {
    return new Engine(model instanceof WebAssembly.Module ? model : await compile(model), options);
  }

  /** A compiled model; see Engine.load. */
  constructor(module, { rate } = {}) {
    this.info = describe(module);
    this.#wasm = new WebAssembly.Instance(module).exports;
    rate ??= this.info.rate;
    if (!Number.isInteger(rate) || this.#wasm.open(rate) < 0) {
      throw new HarkenError(
        "unsupported", `Audio at ${rate} Hz cannot be converted.`,
        "Use one of the usual rates, such as 16,000, 44,100 or 48,000.",
      );
    }
    const { buffer } = this.#wasm.memory; // does not grow any more
    this.#floats = new Float32Array(buffer, this.#wasm.samples(), CHUNK);
    this.#integers = new Int16Array(buffer, this.#wasm.samples(), CHUNK);
    this.#words = new Float64Array(buffer, this.#wasm.words(), 8 * WORD);
  }

  feed(samples) {
    const integers = samples instanceof Int16Array;
    if (!integers && !(samples instanceof Float32Array)) {
      throw new TypeError("samples must be a Float32Array or an Int16Array");
    }
    const place = integers ? this.#integers : this.#floats;
    const found = [];
    for (let from = 0; from < samples.length; from += CHUNK) {
      const chunk = samples.subarray(from, from + CHUNK);
      place.set(chunk);
      const count = this.#wasm.feed(chunk.length, integers);
      for (let index = 0; index < count; index++) found.push(this.word(index));
    }
    return found;
  }

  /** Process at most 4,096 float32 samples without allocating; return the number of words. */
  feedChunk(samples) {
    this.#floats.set(samples);
    return this.#wasm.feed(samples.length, 0);
  }

  /** A word that the last chunk completed. */
  word(index) {
    const [label, confidence, acoustic, startSample, endSample, foreseen, faint, faintConfidence, faintSample] =
      this.#words.subarray(index * WORD, (index + 1) * WORD);
    const { labels, rate } = this.info;
    return {
      word: labels[label], confidence, acoustic, foreseen,
      start: startSample / rate, end: endSample / rate, startSample, endSample,
      faint: faint in labels
        ? { word: labels[faint], confidence: faintConfidence, end: faintSample / rate, endSample: faintSample }
        : null,
    };
  }

  reset() {
    this.#wasm.reset();
  }

  setThreshold(word, value) {
    checkThreshold(this.info, word, value);
    // 0 restores the model's threshold; the smallest other value is 2^-24.
    this.#wasm.threshold(this.info.labels.indexOf(word), value === null ? 0 : Math.max(value, 2 ** -24));
  }

  get sensitivity() {
    return this.#sensitivity;
  }

  set sensitivity(factor) {
    this.#sensitivity = checkSensitivity(factor);
    this.#wasm.sensitivity(factor);
  }

  get expecting() {
    return this.#expecting;
  }

  set expecting(on) {
    this.#expecting = Boolean(on);
    this.#wasm.expecting(this.#expecting);
  }

  pending(name, habit) {
    const index = this.info.pending.indexOf(name);
    if (index < 0) return; // unknown to the prior: no effect
    if (habit) {
      const place = new Uint32Array(this.#wasm.memory.buffer, this.#wasm.share(), habit.length);
      habit.forEach((share, at) => (place[at] = Math.round(share * 2 ** 24)));
    }
    this.#wasm.pending(index, Boolean(habit));
  }

  forget() {
    this.#wasm.forget();
  }

  /** Peak and root mean square of the samples since the last call. */
  level() {
    const [peak, square] = new Float32Array(this.#wasm.memory.buffer, this.#wasm.level(), 2);
    return { peak, rms: Math.sqrt(square) };
  }

  posteriors() {
    const { labels } = this.info;
    const integers = new Uint32Array(this.#wasm.memory.buffer, this.#wasm.posteriors(), labels.length);
    return Float32Array.from(integers, (value) => value / 2 ** 28);
  }

  logits() {
    return new Int8Array(this.#wasm.memory.buffer, this.#wasm.logits(), this.info.labels.length).slice();
  }

  features() {
    return new Int8Array(this.#wasm.memory.buffer, this.#wasm.features(), this.info.features).slice();
  }

  get awake() {
    return this.#wasm.awake() === 1;
  }

  get steps() {
    return this.#wasm.steps();
  }
}
