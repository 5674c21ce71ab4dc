// Snapshots of the microphone in, a level meter with advice out.
import { byId, fill, mark, say } from "./dom.js";
import { FAULTS, Level } from "./level.js";

const LOWEST_DBFS = -60; // left end of the meter; page.css draws its marks
const JUDGE_S = 0.25;

export class Meter {
  #level = new Level();
  #meter = byId("level");
  #fill = this.#meter.querySelector(".fill");
  #peak = this.#meter.querySelector(".peak");
  #judged = 0;

  draw(snapshot) {
    const { seconds } = snapshot;
    this.#level.feed(snapshot);
    fill(this.#fill, place(this.#level.rms));
    this.#peak.style.transform = `translateX(${(100 * place(this.#level.peak) - 100).toFixed(1)}%)`;
    if (Math.abs(seconds - this.#judged) < JUDGE_S) return;
    this.#judged = seconds;
    const { verdict } = this.#level;
    mark(this.#meter, "level", verdict);
    say(byId("advice"), FAULTS[verdict] ?? "");
    this.#meter.setAttribute("aria-valuenow", Math.max(LOWEST_DBFS, Math.round(this.#level.rms)));
  }

  /** Start over: listening began, or the page was hidden for a while. */
  reset(seconds = 0) {
    this.#level.reset(seconds);
    this.#judged = seconds;
    fill(this.#fill, 0);
    this.#peak.style.transform = "";
    mark(this.#meter, "level", "");
    say(byId("advice"), "");
  }
}

const place = (dbfs) => Math.min(1, Math.max(0, 1 - dbfs / LOWEST_DBFS));
