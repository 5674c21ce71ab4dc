// Recent levels in, a verdict on them out. The limits are those of edge/app/view/level.py.

const QUIET_DBFS = -45; // speech below it is too quiet
const FLOOR_DBFS = -96;
const FRAME_S = 0.05;
const SHOWN_S = 0.2; // the displayed level covers this time
const HOLD_S = 1.5; // the peak is held for this time
const ZERO_S = 1; // nothing but zeros for this long means no sound
const CLIP_S = 3; // window for clipping
const SPEECH_S = 10; // window for speech
const ABOVE_NOISE_DB = 10; // speech is above the noise by at least this much …
const LEAST_SPEECH_S = 0.3; // … for at least this long
const LEAST_SPEECH_DBFS = -80;
const HYSTERESIS_DB = 3;
// Only the peak of each frame is known here, not how many samples reach full scale. Three frames
// within 3 s count as clipping; audio normalised to full scale has one or two.
const CLIPPED = 32700 / 32768;
const LEAST_CLIPPED = 3;

export const FAULTS = {
  "no sound": "No sound: is the microphone muted or blocked?",
  clipping: "Clipping: lower the gain in your sound settings, or move away from the microphone.",
  quiet: "Too quiet: raise the gain in your sound settings, or come closer.",
};

/** A magnitude, full scale 1, in dBFS. */
export function dbfs(magnitude) {
  return magnitude > 0 ? Math.max(20 * Math.log10(magnitude), FLOOR_DBFS) : FLOOR_DBFS;
}

/** Tracks a microphone's level from snapshots at irregular intervals. */
export class Level {
  #frames = []; // { end, seconds, power, peak }, oldest first
  #open = null; // the frame being filled
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

  /** Start over: listening began, or the page was hidden for a while. */
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

  /** Peak of the last 1.5 s, in dBFS. */
  get peak() {
    return dbfs(Math.max(0, ...this.#last(HOLD_S).map(({ peak }) => peak)));
  }

  /** One of FAULTS, "good" if the speech level is right, or "" if unknown. */
  get verdict() {
    const zeros = this.#last(ZERO_S);
    if (lasting(zeros) >= ZERO_S - 2 * FRAME_S && !zeros.some(({ peak }) => peak)) return "no sound";
    const clipped = this.#last(CLIP_S).filter(({ peak }) => peak >= CLIPPED);
    if (clipped.length >= LEAST_CLIPPED) return "clipping";
    const speech = this.#speech();
    // Hysteresis: the advice must not flicker when speech is near the limit.
    this.#tooQuiet = speech !== null && speech < QUIET_DBFS + (this.#tooQuiet ? HYSTERESIS_DB : 0);
    if (this.#tooQuiet) return "quiet";
    return speech === null ? "" : "good";
  }

  /** Speech level of the last 10 s, in dBFS; null if there was no speech. */
  #speech() {
    if (lasting(this.#frames) < 2 * ZERO_S) return null;
    // The zeros that a microphone starts with are not the room's noise.
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

/** A quantile of sorted values, interpolated linearly. */
function quantile(values, share) {
  const place = (values.length - 1) * share;
  const below = Math.floor(place);
  const above = values[Math.ceil(place)];
  return values[below] + (above - values[below]) * (place - below);
}
