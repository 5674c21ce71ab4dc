// Loads the files in site.json, listens after a click, and shows the results.
//
// Tests may rely on:
//   main[data-state]        loading, idle, starting, listening, interrupted, problem
//   #button                 Listen or Stop; disabled while it has no effect
//   #state                  the same as text, with the reason for an interruption
//   #words li[data-word]    the last words, faint ones too, newest first; data-confidence, data-start, data-end
//   #bars li[data-label]    data-level: "some" with much evidence, "over" from the mark on
//   #command                the last command as text; data-intent
//   #outcome                the remembered parts of the command, or why a word made none
//   #pending                hidden, or what is pending
//   [data-slot]             what is remembered, in data-text, by slot; also "follow-up" and "last"
//   #learned                what was learned about the speaker
//   #robot[aria-label]      where the robot is
//   #level[data-level]      "no sound", "quiet", "good", "clipping", or nothing
//   #advice                 what to do about it
//   #problem[data-code]     hidden, or the error: the code of a HarkenError, "grammar", "unexpected"
//   #problem-action         the button that resolves it
//   #notice                 hidden, or a message that is not an error
//   #offline                hidden until every file is cached
import { Bars } from "./bars.js";
import { byId, percent, say } from "./dom.js";
import { MemoryView } from "./memory.js";
import { Meter } from "./meter.js";
import { keepOffline, offerInstall } from "./offline.js";
import { blocked, hideProblem, showProblem } from "./problems.js";
import { RobotView } from "./robot.js";
import { Settings } from "./settings.js";
import { Store } from "./store.js";
import { clearWords, showWord, tell } from "./words.js";

const PULSE_MS = 250; // between updates of the memory
const REST_MS = 20; // between snapshots, in addition to the wait for the next animation frame
const FACTS_S = 1;
const AHEAD_S = 1; // a state saved in the future means that the clock was set back
const LONG_S = 0.5; // a longer gap between snapshots restarts the meter

const STATES = {
  idle: "Ready",
  starting: "Asking for the microphone …",
  listening: "Listening",
  interrupted: "Interrupted",
};

const now = () => Date.now() / 1000;

/** Load everything and get ready to listen. */
export async function run() {
  offerInstall();
  const [library, site] = await Promise.all([needed(import("../harken.js")), json("site.json")]);
  const grammar = site.grammar && (await json(site.grammar.file));
  const page = new Page(site, grammar, library);
  try {
    await page.load();
  } finally {
    // Even if this version fails, a new one can take its place.
    keepOffline(() => page.listening, notice);
  }
}

async function json(path) {
  const response = await needed(fetch(path));
  if (!response.ok) throw problem("network", `${path}: ${response.status}`);
  return needed(response.json());
}

/** Report a file that cannot be loaded or parsed as a network problem. */
function needed(file) {
  return file.catch(({ message }) => {
    throw problem("network", message);
  });
}

const problem = (code, message) => Object.assign(new Error(message), { code });

class Page {
  #site;
  #grammar;
  #library;
  #store = new Store(() => notice("This browser does not save data for this page: settings last until you close it."));
  #settings;
  #spotter = null;
  #loads = 0; // so that only the model chosen last is used
  #dialogue = null; // null without commands
  #memory = null;
  #origin = ""; // where the parts of the last command come from
  #robot = null;
  #bars = new Bars();
  #meter = new Meter();
  #looking = 0; // number of the drawing loop; others end
  #looked = 0;
  #facts = 0;
  #pulse = 0;

  constructor(site, grammar, library) {
    this.#site = site;
    this.#grammar = grammar;
    this.#library = library;
    this.#settings = new Settings(this.#store, site.models, {
      sensitivity: () => this.#tune(),
      model: () => this.load(),
      gain: () => this.load(),
      reset: () => this.#reset(),
    });
    byId("button").onclick = () => (this.listening ? this.#spotter.stop() : this.#listen());
    byId("forget").onclick = () => this.#forget();
    byId("notice-close").onclick = () => (byId("notice").hidden = true);
    document.addEventListener("visibilitychange", () => this.#look());
    this.#watchPermission();
  }

  get listening() {
    return this.#spotter !== null && this.#spotter.state !== "idle" && this.#spotter.state !== "destroyed";
  }

  /** Load the chosen model; keep listening if it was listening. */
  async load() {
    const load = ++this.#loads;
    const listening = this.listening;
    const { model, sensitivity, gain } = this.#settings;
    const chosen = this.#site.models.find(({ name }) => name === model);
    try {
      const { Spotter } = this.#library;
      const spotter = await Spotter.load(chosen.file, { sensitivity, autoGainControl: gain });
      const fits = same(spotter.info.digest, chosen.digest);
      if (load !== this.#loads || !fits) await spotter.destroy();
      if (load !== this.#loads) return;
      if (!fits) throw problem("mismatch", `${chosen.file} is not of ${chosen.digest}`);
      await this.#spotter?.destroy();
      this.#spotter = spotter;
    } catch (failure) {
      if (load === this.#loads) await this.#fail(failure);
      return;
    }
    hideProblem();
    this.#take(this.#spotter);
    if (listening) await this.#listen();
  }

  /** Use a loaded spotter. */
  #take(spotter) {
    const { info } = spotter;
    spotter.addEventListener("word", ({ detail }) => this.#hear(detail));
    spotter.addEventListener("state", ({ detail }) => this.#become(detail));
    spotter.addEventListener("notice", ({ detail }) => notice(detail.message));
    spotter.addEventListener("error", ({ detail }) => this.#fail(detail));
    this.#bars.show(info);
    this.#tune();
    clearWords();
    say(byId("model-name"), `model ${info.name} ${info.digest}`);
    say(byId("hint"), `Press Listen, then say ${phrase(this.#grammar, info.words)}.`);
    this.#converse(info);
    byId("button").disabled = false;
    this.#become({ state: "idle", reason: "" });
  }

  /** Set up commands, if there is a grammar that matches the model. */
  #converse(info) {
    const grammar = this.#grammar;
    this.#dialogue = null;
    if (grammar) {
      try {
        this.#dialogue = this.#dialogueFor(info);
      } catch (failure) {
        showProblem(problem("grammar", failure.message));
      }
    }
    byId("commands").hidden = byId("remembered").hidden = !this.#dialogue;
    if (!this.#dialogue) return;
    this.#memory ??= new MemoryView(grammar);
    if (grammar.name === "robot" && !this.#robot) {
      byId("robot").hidden = false;
      const { matches } = matchMedia("(prefers-reduced-motion: reduce)");
      this.#robot = new RobotView(byId("robot"), { reducedMotion: matches });
    }
    this.#showCommand(null);
    this.#remember();
  }

  /** The dialogue with its saved state; throws if grammar and model do not match. */
  #dialogueFor(info) {
    const { Dialogue, Memory } = this.#library;
    const { words, digest } = this.#grammar;
    const Kind = info.grammar ? Memory : Dialogue; // learning needs a prior
    const missing = words.filter((word) => !info.words.includes(word));
    if (missing.length) throw new Error(`the model has no word ${missing.join(", ")}`);
    if (!same(info.grammar ?? digest, digest)) throw new Error(`the model was made for grammar ${info.grammar}, not ${digest}`);
    const kept = this.#store.load("memory");
    try {
      if (kept?.digest === digest) {
        return new Kind(this.#grammar, kept.saved < now() + AHEAD_S ? kept.state : null, kept.learned);
      }
      if (kept) notice("The saved memory belongs to another grammar; starting fresh.");
    } catch (failure) {
      console.warn(failure.message);
      notice("The saved memory is damaged; starting fresh.");
    }
    return new Kind(this.#grammar);
  }

  async #listen() {
    if (blocked()) hideProblem();
    this.#still();
    try {
      await this.#spotter.start();
    } catch (failure) {
      await this.#fail(failure);
    }
  }

  #become({ state, reason }) {
    if (state === "idle" && blocked()) return; // the problem says more
    byId("main").dataset.state = state;
    say(byId("state"), reason || STATES[state]);
    say(byId("button"), state === "idle" ? "Listen" : "Stop");
    if (state === "listening") say(byId("hint"), `Say ${phrase(this.#grammar, this.#spotter.info.words)}.`);
    if (state === "idle") this.#still();
    this.#look();
  }

  #still() {
    this.#meter.reset();
    this.#bars.reset();
  }

  async #fail(failure) {
    if (this.listening) await this.#spotter.stop();
    this.#still();
    showProblem(failure, () => this.#listen());
  }

  /** Draw about 30 times a second while the page is visible and listening. */
  async #look() {
    const loop = ++this.#looking;
    while (loop === this.#looking && !document.hidden && this.#spotter?.state === "listening") {
      try {
        const snapshot = await this.#spotter.snapshot();
        if (loop !== this.#looking) return;
        this.#draw(snapshot);
      } catch {
        return; // it has just stopped
      }
      await new Promise((resolve) => setTimeout(() => requestAnimationFrame(resolve), REST_MS));
    }
  }

  #draw(snapshot) {
    const { seconds, sampleRate, lost } = snapshot;
    if (!(Math.abs(seconds - this.#looked) < LONG_S)) this.#meter.reset(seconds);
    this.#looked = seconds;
    this.#meter.draw(snapshot);
    this.#bars.draw(snapshot);
    if (Math.abs(seconds - this.#facts) < FACTS_S) return;
    this.#facts = seconds;
    const facts = [`${sampleRate / 1000} kHz`];
    if (Number.isFinite(lost)) facts.push(`${lost.toFixed(1)} s of audio lost`);
    say(byId("facts"), `Now: ${facts.join(", ")}.`);
  }

  #hear(heard) {
    const { word, confidence, faint } = heard;
    const words = faint ? `${faint.word} ${word}` : word;
    showWord(heard);
    if (!this.#dialogue) return tell(words);
    const { info, sensitivity } = this.#spotter;
    const alone = info.thresholds[word];
    const threshold = alone / (alone + (1 - alone) * sensitivity);
    const turn = this.#dialogue.hear(word, now(), confidence, { ...heard, threshold });
    const { pending, habit } = this.#dialogue;
    if (info.pending.includes(pending)) this.#spotter.pending(pending, habit);
    this.#show(turn);
    tell(turn.reason && turn.reason !== word ? `${words}: ${turn.reason}` : words);
  }

  /** Show the result of a word, or of time passing. */
  #show({ outcome, commands, reason }) {
    for (const command of commands) this.#carryOut(command);
    const told = outcome === "pending" || reason === commands.at(-1)?.text;
    say(byId("outcome"), told ? this.#origin : reason);
    this.#remember();
  }

  #carryOut(command) {
    this.#showCommand(command);
    if (!this.#robot) return;
    if (command.intent === "stop") this.#robot.stop();
    else this.#robot.run(command);
    byId("robot").setAttribute("aria-label", this.#robot.describe());
  }

  #showCommand(command) {
    const line = byId("command");
    line.classList.toggle("none", !command);
    line.dataset.intent = command?.intent ?? "";
    say(line, command?.text ?? "No command yet");
    this.#origin = command ? origin(command) : "";
    say(byId("outcome"), this.#origin);
  }

  /** Save what is remembered, and update its view until it has faded. */
  #remember() {
    const { state, learned } = this.#dialogue;
    this.#store.save("memory", { digest: this.#grammar.digest, saved: now(), state, learned });
    say(byId("learned"), learned ? inWords(learned) : "");
    clearInterval(this.#pulse);
    this.#pulse = setInterval(() => this.#fade(), PULSE_MS);
    this.#fade();
  }

  #fade() {
    const dialogue = this.#dialogue;
    if (!dialogue) return clearInterval(this.#pulse);
    const at = now();
    if (dialogue.due !== null && at >= dialogue.due) {
      const turn = dialogue.tick(at);
      if (turn) {
        tell(turn.reason);
        return this.#show(turn);
      }
      return this.#remember();
    }
    const { pending } = dialogue;
    const text = dialogue.pendingText();
    const { confirm, cancel } = dialogue.grammar.controls;
    const answers = `“${confirm}”${cancel ? ` or “${cancel}”` : ""}`;
    byId("pending").hidden = !pending;
    const question = pending === "confirm" ? `${text}: ${answers}?` : `${text} … which ${pending}?`;
    say(byId("pending"), pending && question);
    if (!this.#memory.draw(dialogue, at)) clearInterval(this.#pulse);
  }

  #forget() {
    this.#dialogue.forget();
    this.#spotter.forget();
    this.#showCommand(null);
    this.#remember();
    tell("Forgotten");
  }

  #tune() {
    const { sensitivity } = this.#settings;
    if (this.#spotter) this.#spotter.sensitivity = sensitivity;
    this.#bars.threshold(sensitivity);
  }

  async #reset() {
    if (this.#dialogue) this.#forget();
    this.#robot?.reset();
    if (this.#robot) byId("robot").setAttribute("aria-label", this.#robot.describe());
    this.#store.clear();
    await this.load();
  }

  /** Hide the problem once the user allows the microphone in the browser's settings. */
  async #watchPermission() {
    try {
      const permission = await navigator.permissions.query({ name: "microphone" });
      permission.onchange = () => {
        if (permission.state === "denied" || byId("problem").dataset.code !== "denied") return;
        hideProblem();
        if (!this.listening) this.#become({ state: "idle", reason: "" });
      };
    } catch {
      // This browser does not report it; "Try again" still works.
    }
  }
}

function notice(text) {
  say(byId("notice-text"), text);
  byId("notice").hidden = false;
}

/** Whether two digests match; one may have fewer digits. */
function same(one, other) {
  return one.startsWith(other) || other.startsWith(one);
}

/** What to say first. */
function phrase(grammar, words) {
  const [first, second] = grammar?.examples ?? [];
  const quoted = (said) => `“${said.join(" ")}”`;
  if (!first) return `“${words[0]}”`;
  return second ? `${quoted(first)}, then ${quoted(second)}` : quoted(first);
}

/** Where the parts of a command come from that were not just said. */
function origin({ remembered, slots, repeated }) {
  if (repeated) return "again";
  return Object.entries(remembered)
    .map(([slot, age]) => `${slots[slot]} from ${ago(age)}`)
    .join(", ");
}

/** What was learned: how much, and the most frequent pairs of words. */
function inWords({ trust, lessons, counts }) {
  if (!lessons) return "Nothing learned yet about your habits.";
  const pairs = Object.entries(counts).flatMap(([key, row]) => {
    const [, last] = key.split(":");
    return Object.entries(row).map(([word, count]) => [count, `“${last} ${word}”`, last]);
  });
  const most = pairs.filter(([, , last]) => last).sort(([one], [other]) => other - one).slice(0, 3);
  const often = most.length ? `; often: ${most.map(([, said]) => said).join(", ")}` : "";
  return `Learned from ${lessons} of your words, trust ${percent(trust)}${often}.`;
}

const ago = (age) => (age < 1 ? "a moment ago" : `${Math.round(age)} s ago`);
