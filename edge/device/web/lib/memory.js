// Words in, commands out, as in dialogue.js. Also learns what the user tends to say, exactly as
// harken's memory in Python does, for the engine's prior.
import { Dialogue } from "./dialogue.js";

const HALF_LIFE = 150; // words after which a count has half its weight
const SHARE = 0.02; // of the trust, redistributed after each word
const STRENGTH = 6; // words in a context that weigh as much as the estimate without it
const REGRET = 5; // seconds in which a command can be taken back; then it is learned
const MOST = 1e6;

export class Memory extends Dialogue {
  #last = null; // the last word; null if forgotten
  #heard = 0; // when it was heard
  #waited = ""; // what was pending after it
  #lessons = []; // from the command being given
  #meant = []; // from complete commands: [when to learn, lessons]
  #trust;
  #counts; // by context, by word
  #learnedFrom;
  #movedOn = -Infinity; // when time last carried out or ended what was pending

  constructor(grammar, state = null, learned = grammar?.learned ?? null) {
    super(grammar, state);
    if (learned === null) this.#unlearn();
    else this.#takeUp(learned);
  }

  hear(word, at, confidence = 1, evidence = {}) {
    const { acoustic = 1, threshold = 0, foreseen = 0, faint = null, end = faint?.end } = evidence;
    const earlier = [this.tick(at), faint && this.#hearLate(faint, at - (end - faint.end), at)];
    this.#forgetOld(at);
    const { words } = this.grammar;
    const known = words.includes(word);
    const lesson = known && acoustic >= threshold ? this.#lesson(word, foreseen || 1 / words.length) : null;
    const turn = super.hear(word, at, confidence);
    if (!this.muted(at)) {
      this.#note(turn, lesson, at);
      if (known) [this.#last, this.#heard, this.#waited] = [word, at, this.pending];
    }
    return { ...turn, commands: [...earlier, turn].flatMap((each) => each?.commands ?? []) };
  }

  tick(at) {
    const turn = super.tick(at);
    if (turn) {
      this.#movedOn = at;
      this.#note(turn, null, at);
    }
    while (this.#meant.length && at >= this.#meant[0][0]) this.#meant.shift()[1].forEach((each) => this.#learn(each));
    return turn;
  }

  get due() {
    const [meant] = this.#meant;
    return meant ? Math.min(meant[0], super.due ?? Infinity) : super.due;
  }

  get habit() {
    const share = this.#share(this.#keys()).map((part) => part * this.#trust);
    share[0] += 1 - this.#trust;
    return share;
  }

  get learned() {
    const rounded = (counts) => Object.fromEntries([...counts].map(([word, count]) => [word, Number(count.toFixed(4))]));
    return {
      trust: Number(this.#trust.toFixed(6)),
      lessons: this.#learnedFrom,
      counts: Object.fromEntries([...this.#counts].map(([key, counts]) => [key, rounded(counts)])),
    };
  }

  /** Forget the session and everything learned. */
  forget() {
    super.forget();
    this.#last = null;
    this.#lessons = this.#meant = [];
    this.#unlearn();
  }

  /**
   * Process a word that is known only now; nothing is learned from it. The dialogue leaves it out if
   * what was pending when it was said was carried out or expired meanwhile, and while it waits for
   * "yes", which takes a clear word: return null then.
   */
  #hearLate({ word, confidence }, said, at) {
    if (this.muted(said)) return null;
    this.#forgetOld(said);
    const taken = said >= this.#movedOn && this.pendingKind !== "confirm";
    const turn = taken ? super.hear(word, at, confidence) : null;
    if (turn) this.#note(turn, null, at);
    if (this.grammar.words.includes(word)) [this.#last, this.#heard, this.#waited] = [word, said, ""];
    return turn;
  }

  /** Forget the last word if nothing follows it at this time. */
  #forgetOld(at) {
    const gap = at - this.#heard;
    if (this.#last === null || !(gap >= 0 && gap < this.grammar.window)) [this.#last, this.#waited] = [null, ""];
  }

  #keys() {
    return [`${this.#waited}:`, `${this.#waited}:${this.#last ?? ""}`];
  }

  /** The learned shares of a word's probability: the prior's, then one for each word. */
  #share(keys) {
    const { words } = this.grammar;
    let share = [1, ...words.map(() => 0)];
    for (const key of keys) {
      const counts = words.map((word) => this.#counts.get(key)?.get(word) ?? 0);
      const all = counts.reduce((sum, count) => sum + count, STRENGTH);
      share = share.map((part, index) => (STRENGTH * part + (index && counts[index - 1])) / all);
    }
    return share;
  }

  #lesson(word, base) {
    const keys = this.#keys();
    const share = this.#share(keys);
    return { word, keys, base, learned: share[0] * base + share[1 + this.grammar.words.indexOf(word)] };
  }

  #note({ outcome, commands }, lesson, at) {
    if (lesson && outcome !== "ignored") this.#lessons = [...this.#lessons, lesson];
    if (["stopped", "cancelled", "expired"].includes(outcome)) {
      this.#lessons = [];
      if (!this.state.last) this.#meant = []; // stopped, or taken back
    } else if (commands.length) {
      this.#meant.push([at + REGRET, this.#lessons]);
      this.#lessons = [];
    }
  }

  #learn({ word, keys, base, learned }) {
    const trusted = this.#trust * learned;
    this.#trust = (1 - SHARE) * (trusted / (trusted + (1 - this.#trust) * base)) + SHARE / 2;
    for (const counts of this.#counts.values()) {
      for (const [each, count] of counts) counts.set(each, count * 0.5 ** (1 / HALF_LIFE));
    }
    for (const key of keys) {
      if (!this.#counts.has(key)) this.#counts.set(key, new Map());
      const counts = this.#counts.get(key);
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    this.#learnedFrom++;
  }

  #unlearn() {
    this.#takeUp({ trust: 0.5, lessons: 0, counts: {} });
  }

  #takeUp({ trust, lessons, counts }) {
    const fine = (number) => typeof number === "number" && number >= 0 && number < MOST;
    const rows = Object.entries(counts ?? 0);
    const whole = [counts, ...rows.map(([, row]) => row)].every((each) => each && typeof each === "object");
    if (!whole || !rows.every(([, row]) => Object.values(row).every(fine)) || !fine(lessons) || !(trust > 0 && trust < 1)) {
      throw new Error("what was learned is damaged");
    }
    this.#counts = new Map(rows.map(([key, row]) => [key, new Map(Object.entries(row))]));
    [this.#trust, this.#learnedFrom] = [trust, lessons];
  }
}
