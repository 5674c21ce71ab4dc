// The microphone's samples in, words out, on the browser's audio thread. process() allocates only
// the message that carries a word; everything else is requested between its calls. It reads no clock,
// because the only one available here has millisecond resolution and allocates.
import { Engine } from "./engine.js";

class Listener extends AudioWorkletProcessor {
  #engine = null;
  #muted = false;
  #open = true;
  #frames = 0;

  constructor({ processorOptions: { model, sensitivity, thresholds, expecting, muted } }) {
    super();
    this.#muted = muted;
    this.port.onmessage = ({ data }) => this.#told(data);
    try {
      this.#engine = new Engine(new WebAssembly.Module(model), { rate: sampleRate });
      this.#engine.sensitivity = sensitivity;
      this.#engine.expecting = expecting;
      for (const [word, value] of thresholds) this.#engine.setThreshold(word, value);
      this.port.postMessage({ type: "ready" });
    } catch (problem) {
      this.#open = false;
      const { code, message, remedy } = problem;
      this.port.postMessage({ type: "failed", code, message, remedy });
    }
  }

  process(inputs) {
    const samples = inputs[0][0];
    if (!this.#open || !samples) return this.#open;
    const words = this.#engine.feedChunk(samples);
    this.#frames += samples.length;
    if (words && !this.#muted) {
      for (let index = 0; index < words; index++) {
        this.port.postMessage({ type: "word", word: this.#engine.word(index) });
      }
    }
    return true;
  }

  #reset() {
    this.#engine.reset();
    this.#frames = 0;
  }

  #told({ type, value, word, id, habit }) {
    const engine = this.#engine;
    if (type === "snapshot") {
      this.port.postMessage({
        type: "snapshot", id, ...engine.level(), posteriors: engine.posteriors(), frames: this.#frames,
      });
    } else if (type === "close") this.#open = false;
    else if (type === "muted") this.#muted = value;
    else if (type === "reset") this.#reset();
    else if (type === "forget") engine.forget();
    else if (type === "pending") engine.pending(value, habit);
    else if (type === "threshold") engine.setThreshold(word, value);
    else engine[type] = value; // sensitivity, expecting
  }
}

registerProcessor("harken", Listener);
