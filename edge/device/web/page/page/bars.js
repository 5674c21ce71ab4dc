// Posteriors in, a bar for each word and for other speech out, with a mark at the word's threshold.
import { byId, fill, make, mark, percent } from "./dom.js";

const OTHER = "unknown";
const HOLD_S = 1; // a word's peak fades in this time
const TOP = 3; // at most this many bars are highlighted …
const WORTH = 0.1; // … if they have at least this much evidence
const STEP = 0.004; // smaller changes are less than a pixel

export class Bars {
  #bars = [];
  #thresholds = {};
  #at = 0;

  /** Draw the words of a model. */
  show({ labels, words, thresholds }) {
    this.#thresholds = thresholds;
    this.#bars = labels
      .map((label, column) => ({ label, column, held: 0, drawn: 0 }))
      .filter(({ label }) => words.includes(label) || label === OTHER);
    for (const bar of this.#bars) {
      const name = bar.label === OTHER ? "other" : bar.label;
      bar.fill = make("span", { className: "fill" });
      bar.track = make("span", { className: "track" }, bar.fill);
      bar.track.ariaHidden = "true";
      bar.item = make("li", {}, make("span", { className: "name", text: name }), bar.track);
      bar.item.dataset.label = bar.label;
      if (bar.label !== OTHER) {
        bar.mark = make("span", { className: "mark" });
        bar.track.append(bar.mark);
      }
    }
    byId("bars").replaceChildren(...this.#bars.map(({ item }) => item));
    this.threshold(1);
  }

  /** Move the marks: the odds that a word needs are divided by the sensitivity. */
  threshold(sensitivity) {
    for (const bar of this.#bars) {
      if (!bar.mark) continue;
      const least = this.#thresholds[bar.label];
      bar.least = least / (least + sensitivity * (1 - least));
      bar.mark.style.transform = `translateX(${(100 * bar.least).toFixed(1)}%)`;
      bar.mark.title = percent(bar.least);
    }
  }

  draw({ posteriors, seconds }) {
    const fade = Math.max(0, seconds - this.#at) / HOLD_S;
    this.#at = seconds;
    for (const bar of this.#bars) bar.held = Math.max(bar.held - fade, posteriors[bar.column]);
    const top = [...this.#bars].sort((a, b) => b.held - a.held).slice(0, TOP);
    for (const bar of this.#bars) {
      const lit = bar.held >= WORTH && top.includes(bar);
      mark(bar.item, "level", bar.held >= bar.least ? "over" : lit ? "some" : "");
      if (Math.abs(bar.held - bar.drawn) < STEP) continue;
      bar.drawn = bar.held;
      fill(bar.fill, bar.held);
    }
  }

  /** Clear all bars. */
  reset() {
    this.#at = 0;
    for (const bar of this.#bars) {
      bar.held = bar.drawn = 0;
      fill(bar.fill, 0);
      mark(bar.item, "level", "");
    }
  }
}
