// A model and the microphone in, words out. Interruptions are detected and reported, and listening
// resumes after them.
import { checkSensitivity, checkThreshold, compile, describe } from "./engine.js";
import { HarkenError } from "./errors.js";
import { Microphone } from "./microphone.js";

const SILENT_S = 3; // of nothing but zeros before a notice
const STALLED_S = 3; // without a sample before the microphone is reopened
const RETRY_S = 2; // between attempts

const seconds = () => performance.now() / 1000;

export class Spotter extends EventTarget {
  #model; // bytes
  #options;
  #thresholds;
  #sensitivity;
  #expecting;
  #muted = false;
  #state = "idle";
  #wanted = 0; // number of the current start(); 0: none
  #starts = 0;
  #microphone = null;
  #recovering = false;
  #snapshots = new Map(); // requested snapshots: resolve functions by number
  #asked = 0;
  #begun = 0; // when listening began
  #offset = 0; // seconds from then to the engine's first sample
  #lost = 0; // seconds dropped by microphones that are closed now
  #told = { at: 0, frames: 0, heardAt: 0, loudAt: 0 }; // from the last snapshot, and its time
  #silent = false; // whether the silence was reported
  #default = ""; // the system's default microphone
  #timer = 0;
  #wake = null; // ends the wait before the next attempt

  static async load(model, options) {
    const bytes = await bytesOf(model);
    return new Spotter(bytes, describe(await compile(bytes)), options);
  }

  /** See Spotter.load. */
  constructor(bytes, info, options = {}) {
    super();
    this.#model = bytes;
    this.info = info;
    this.#options = options;
    this.#thresholds = new Map(Object.entries(options.thresholds ?? {}));
    for (const [word, value] of this.#thresholds) checkThreshold(info, word, value);
    this.#sensitivity = checkSensitivity(options.sensitivity ?? 1);
    this.#expecting = options.expecting ?? true;
  }

  get state() {
    return this.#state;
  }

  async start() {
    if (this.#state === "destroyed") {
      throw new HarkenError("destroyed", "This spotter was destroyed.", "Load another one.");
    }
    if (this.#wanted) return;
    const mine = (this.#wanted = ++this.#starts);
    this.#become("starting");
    this.#lost = 0;
    try {
      const microphone = await this.#open();
      if (this.#wanted !== mine) {
        await microphone.close();
        return;
      }
      this.#begun = seconds();
      this.#listenTo(microphone);
      this.#watch();
      this.#become("listening");
    } catch (failure) {
      if (this.#wanted === mine) await this.stop();
      throw failure;
    }
  }

  async stop() {
    this.#wanted = 0;
    clearInterval(this.#timer);
    globalThis.document?.removeEventListener("visibilitychange", this.#visible);
    globalThis.navigator?.mediaDevices?.removeEventListener("devicechange", this.#devices);
    this.#wake?.();
    const microphone = this.#leave();
    if (this.#state !== "destroyed") this.#become("idle");
    await microphone?.close();
  }

  async destroy() {
    await this.stop();
    this.#state = "destroyed";
    this.#model = null;
  }

  reset() {
    this.#begun = seconds();
    this.#offset = 0;
    this.#tell("reset");
  }

  setThreshold(word, value) {
    checkThreshold(this.info, word, value);
    if (value === null) this.#thresholds.delete(word);
    else this.#thresholds.set(word, value);
    this.#microphone?.tell({ type: "threshold", word, value });
  }

  get sensitivity() {
    return this.#sensitivity;
  }

  set sensitivity(factor) {
    this.#sensitivity = checkSensitivity(factor);
    this.#tell("sensitivity", factor);
  }

  get expecting() {
    return this.#expecting;
  }

  set expecting(on) {
    this.#expecting = Boolean(on);
    this.#tell("expecting", this.#expecting);
  }

  get muted() {
    return this.#muted;
  }

  set muted(on) {
    this.#muted = Boolean(on);
    this.#tell("muted", this.#muted);
  }

  pending(name, habit) {
    this.#microphone?.tell({ type: "pending", value: name, habit });
  }

  forget() {
    this.#tell("forget");
  }

  async snapshot() {
    const microphone = this.#microphone;
    if (!microphone) throw new Error("not listening; call start() first");
    const id = ++this.#asked;
    const { promise, resolve } = withResolvers();
    this.#snapshots.set(id, resolve);
    microphone.tell({ type: "snapshot", id });
    const told = await promise;
    if (!told) throw new Error("listening ended");
    const { peak, rms, posteriors, frames } = told;
    const { sampleRate } = microphone.context;
    return {
      peak, rms, posteriors, sampleRate,
      seconds: this.#offset + frames / sampleRate,
      lost: this.#lost + microphone.lost,
    };
  }

  /** Detach from the microphone, and return it. */
  #leave() {
    const microphone = this.#microphone;
    this.#microphone = null;
    for (const resolve of this.#snapshots.values()) resolve(null);
    this.#snapshots.clear();
    return microphone;
  }

  #open() {
    const { deviceId, autoGainControl, workletUrl = new URL("worklet.js", import.meta.url) } = this.#options;
    return Microphone.open({
      deviceId, autoGainControl, workletUrl,
      processorOptions: {
        model: this.#model, sensitivity: this.#sensitivity, expecting: this.#expecting, muted: this.#muted,
        thresholds: [...this.#thresholds],
      },
    });
  }

  #listenTo(microphone) {
    this.#microphone = microphone;
    this.#offset = seconds() - this.#begun;
    this.#told = { at: seconds(), frames: 0, heardAt: seconds(), loudAt: seconds() };
    this.#silent = false;
    const { context, node, track } = microphone;
    node.port.onmessage = ({ data }) => this.#hear(data);
    node.onprocessorerror = () => this.#recover("Listening failed; trying again.");
    track.onended = () => this.#recover("The microphone was disconnected; waiting for one.");
    track.onmute = () => this.#pause("Something else is using the microphone.");
    track.onunmute = () => this.#resume();
    context.onstatechange = () => {
      if (context.state === "running") this.#resume();
      else this.#pause("The browser paused listening.");
    };
    this.#defaultDevice().then((name) => (this.#default = name));
  }

  #hear({ type, word, id, ...told }) {
    if (type === "word") {
      const shift = Math.round(this.#offset * this.info.rate);
      for (const [each, place] of [[word, "start"], [word, "end"], [word.faint ?? {}, "end"]]) {
        each[`${place}Sample`] += shift;
        each[place] = each[`${place}Sample`] / this.info.rate;
      }
      this.#emit("word", word);
      return;
    }
    const last = this.#told, at = seconds();
    this.#told = {
      at,
      frames: told.frames,
      heardAt: told.frames === last.frames ? last.heardAt : at,
      loudAt: told.peak > 0 ? at : last.loudAt,
    };
    this.#snapshots.get(id)(told);
    this.#snapshots.delete(id);
  }

  /** Watch for what has no event of its own: a stalled microphone, silence, a new default device. */
  #watch() {
    document.addEventListener("visibilitychange", this.#visible);
    navigator.mediaDevices.addEventListener("devicechange", this.#devices);
    this.#timer = setInterval(() => this.#check(), 1000);
  }

  #check() {
    if (!this.#microphone || this.#recovering || document.hidden) return;
    const now = seconds(), { at, heardAt, loudAt } = this.#told;
    if (this.#state === "interrupted") {
      if (this.#microphone.runs) this.#resume();
      else this.#microphone.context.resume().catch(() => {});
      return;
    }
    if (now - at > 0.9) this.snapshot().catch(() => {}); // only for #hear
    if (at > heardAt + STALLED_S) this.#recover("The microphone stopped sending audio; reopening it.");
    const silent = at > loudAt + SILENT_S;
    if (silent && !this.#silent) {
      this.#notice("The microphone sends only silence: it may be muted or switched off.");
    }
    this.#silent = silent;
  }

  #visible = () => {
    if (document.hidden) return;
    this.#told = { ...this.#told, heardAt: seconds(), loudAt: seconds() };
    this.#check();
  };

  #devices = async () => {
    this.#wake?.();
    const name = await this.#defaultDevice();
    if (this.#state !== "listening" || this.#options.deviceId || name === this.#default) return;
    this.#recover("A microphone was plugged in or unplugged.");
  };

  /** Identifies the system's default microphone. */
  async #defaultDevice() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const first = devices.find((device) => device.kind === "audioinput");
    return first ? `${first.groupId} ${first.label}` : "";
  }

  #pause(reason) {
    if (this.#state === "listening") this.#become("interrupted", reason);
  }

  #resume() {
    if (this.#state !== "interrupted" || this.#recovering || !this.#microphone.runs) return;
    this.#offset = seconds() - this.#begun; // audio from before the interruption is dropped
    this.#tell("reset");
    this.#become("listening", "Listening again.");
  }

  /** Reopen the microphone, retrying until it works. */
  async #recover(reason) {
    if (this.#recovering || !this.#microphone) return;
    const mine = this.#wanted, before = this.#leave();
    this.#recovering = true;
    this.#lost += before.lost;
    this.#become("interrupted", reason);
    await before.close();
    try {
      while (this.#wanted === mine) {
        try {
          const microphone = await this.#open();
          if (this.#wanted !== mine) {
            await microphone.close();
            return;
          }
          this.#listenTo(microphone);
          this.#become("listening", `Listening again, with ${microphone.track.label || "the microphone"}.`);
          return;
        } catch (failure) {
          if (!["no-microphone", "busy"].includes(failure.code) && !document.hidden) throw failure;
          if (this.#wanted === mine) this.#become("interrupted", `${failure.message} Waiting for one.`);
        }
        await this.#wait();
      }
    } catch (failure) {
      if (this.#wanted === mine) {
        await this.stop();
        this.#emit("error", failure);
      }
    } finally {
      this.#recovering = false;
    }
  }

  async #wait() {
    await new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, 1000 * RETRY_S);
    });
    this.#wake = null;
  }

  #tell(type, value) {
    this.#microphone?.tell({ type, value });
  }

  #become(state, reason = "") {
    this.#state = state;
    this.#emit("state", { state, reason });
  }

  #notice(message) {
    this.#emit("notice", { message });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function withResolvers() {
  let resolve;
  const promise = new Promise((given) => (resolve = given));
  return { promise, resolve };
}

async function bytesOf(model) {
  if (model instanceof ArrayBuffer) return model;
  if (ArrayBuffer.isView(model)) {
    return model.buffer.slice(model.byteOffset, model.byteOffset + model.byteLength);
  }
  let reason;
  try {
    const response = await fetch(model);
    if (response.ok) return await response.arrayBuffer();
    reason = `${response.status} ${response.statusText}`.trim();
  } catch (failure) {
    reason = failure.message;
  }
  throw new HarkenError("network", `${model} cannot be loaded: ${reason}`, "Check the connection, then reload the page.");
}
