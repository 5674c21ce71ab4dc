// A dialogue and the time in; a view of what is pending and remembered out, fading with age.
import { byId, fill, make, mark, say } from "./dom.js";

export class MemoryView {
  #chips = new Map();

  /** Reserve space for everything a grammar can remember, so that nothing moves later. */
  constructor(grammar) {
    const slots = grammar.slots
      .map(([name]) => name)
      .filter((name) => grammar.commands.some((spec) => spec.remember.some(([slot]) => slot === name)));
    this.#add("follow-up", "listening on");
    for (const slot of slots) this.#add(slot, slot);
    if (grammar.controls.carryOut !== null) this.#add("last", `“${grammar.controls.carryOut}” repeats`);
    byId("memory").replaceChildren(...[...this.#chips.values()].map(({ item }) => item));
  }

  /** Draw what is remembered; return whether anything is. */
  draw(dialogue, at) {
    const found = new Map(dialogue.recalls(at).map((recall) => [recall.name, recall]));
    const last = dialogue.repeatable(at);
    if (last) found.set("last", last);
    const left = dialogue.followUp(at);
    if (left) {
      const { window } = dialogue.grammar;
      const text = dialogue.pending && dialogue.pending !== "confirm" ? dialogue.pending : "a follow-up";
      found.set("follow-up", { text: `for ${text}`, age: window - left, span: window });
    }
    for (const [name, chip] of this.#chips) {
      const { text = "", age = 0, span = 0 } = found.get(name) ?? {};
      const seconds = Math.ceil(span - age);
      mark(chip.item, "text", text);
      say(chip.text, text || "–");
      say(chip.left, text ? `${chip.label}, ${seconds} s` : chip.label);
      fill(chip.fill, text ? 1 - age / span : 0);
    }
    return found.size > 0;
  }

  #add(slot, label) {
    const left = make("small");
    const text = make("span");
    const bar = make("span", { className: "fill" });
    const item = make("li", {}, left, text, bar);
    item.dataset.slot = slot;
    this.#chips.set(slot, { label, item, left, text, fill: bar });
  }
}
