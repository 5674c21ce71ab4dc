// How loud the last moments were in, what is wrong with that out: by the limits of edge/app/view/level.py.

const QUIET_DBFS = -45; // speech below it is too quiet
const FLOOR_DBFS = -96;
const FRAME_S = 0.05;
const SHOWN_S = 0.2; // of which the level is shown
const HOLD_S = 1.5; // of which the highest peak is held
const ZERO_S = 1; // so long nothing but zeros, and there is no sound
const CLIP_S = 3; // in which clipping is looked for
const SPEECH_S = 10; // in which speech is looked for
const ABOVE_NOISE_DB = 10; // speech stands out of the noise by so much …
const LEAST_SPEECH_S = 0.3; // … for so long
const LEAST_SPEECH_DBFS = -80;
const HYSTERESIS_DB = 3;
// Here only the peak of a moment is known, not how many samples touch full scale: three moments of
// 3 s do, where a peak that was normalised has one or two.
const CLIPPED = 32700 / 32768;
const LEAST_CLIPPED = 3;

export const FAULTS = {
  "no sound": "No sound: is the microphone muted, or not allowed?",
  clipping: "Clipping: lower the gain in your sound settings, or move away.",
  quiet: "Too quiet: raise the gain in your sound settings, or come closer.",
};

/** A magnitude, full scale 1, in dBFS. */
export function dbfs(magnitude) {
  return magnitude > 0 ? Math.max(20 * Math.log10(magnitude), FLOOR_DBFS) : FLOOR_DBFS;
}

/** Follows how loud a microphone is, told by snapshots of any rhythm. */
export class Level {
  #frames = []; // { end, seconds, power, peak }, the oldest first
  #open = null; // the frame that is being filled
  #now = 0;
  #tooQuiet = false;

  feed({ peak, rms, seconds }) {
    const passed = seconds - this.#now;
    this.#now = seconds;
    if (!(passed > 0)) return;
    const open = (this.#open ??= { seconds: 0, energy: 0, peak: 0 });
    open.seconds += passed;
    open.energy += rms * rms * passed;
    open.peak = Math.max(open.peak, peak);
    if (open.seconds < FRAME_S) return;
    const { energy } = open;
    this.#frames.push({ end: seconds, seconds: open.seconds, power: energy / open.seconds, peak: open.peak });
    this.#open = null;
    while (this.#frames[0].end <= seconds - SPEECH_S) this.#frames.shift();
  }

  /** Begin anew: nobody looked for a while, or listening began. */
  reset(seconds = 0) {
    this.#frames = [];
    this.#open = null;
    this.#now = seconds;
    this.#tooQuiet = false;
  }

  /** RMS of the last 0.2 s, in dBFS. */
  get rms() {
    const frames = this.#last(SHOWN_S);
    return dbfs(Math.sqrt(frames.reduce((sum, { power }) => sum + power, 0) / (frames.length || 1)));
  }

  /** The greatest magnitude of the last 1.5 s, in dBFS. */
  get peak() {
    return dbfs(Math.max(0, ...this.#last(HOLD_S).map(({ peak }) => peak)));
  }

  /** What is wrong: one of FAULTS, or "good" where speech is as it should be, or "" if nobody knows. */
  get verdict() {
    const zeros = this.#last(ZERO_S);
    if (lasting(zeros) >= ZERO_S - 2 * FRAME_S && !zeros.some(({ peak }) => peak)) return "no sound";
    const clipped = this.#last(CLIP_S).filter(({ peak }) => peak >= CLIPPED);
    if (clipped.length >= LEAST_CLIPPED) return "clipping";
    const speech = this.#speech();
    // Speech near the bound shall not make the advice come and go.
    this.#tooQuiet = speech !== null && speech < QUIET_DBFS + (this.#tooQuiet ? HYSTERESIS_DB : 0);
    if (this.#tooQuiet) return "quiet";
    return speech === null ? "" : "good";
  }

  /** How loud the speech of the last 10 s is, in dBFS; null if there was none. */
  #speech() {
    if (lasting(this.#frames) < 2 * ZERO_S) return null;
    // The zeros that a microphone begins with are no room to stand out of.
    const sound = this.#frames.filter(({ peak }) => peak);
    if (lasting(sound) < ZERO_S) return null;
    const levels = sound.map(({ power }) => dbfs(Math.sqrt(power))).sort((a, b) => a - b);
    const least = Math.max(quantile(levels, 0.1) + ABOVE_NOISE_DB, LEAST_SPEECH_DBFS);
    const speech = levels.filter((level) => level >= least);
    const seconds = (speech.length / levels.length) * lasting(sound);
    return seconds < LEAST_SPEECH_S ? null : quantile(speech, 0.8);
  }

  #last(seconds) {
    return this.#frames.filter(({ end }) => end > this.#now - seconds);
  }
}

const lasting = (frames) => frames.reduce((sum, { seconds }) => sum + seconds, 0);

/** Of sorted values, between the two nearest. */
function quantile(values, share) {
  const place = (values.length - 1) * share;
  const below = Math.floor(place);
  const above = values[Math.ceil(place)];
  return values[below] + (above - values[below]) * (place - below);
}
