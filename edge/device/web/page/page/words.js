// Words in, the last of them out: the newest large, and each told once to who cannot see it.
import { byId, make, percent, say } from "./dom.js";

const SHOWN = 8;

/** Add a word. */
export function showWord({ word, confidence, start, end }) {
  const item = make("li", { text: word }, make("small", { text: percent(confidence) }));
  Object.assign(item.dataset, { word, confidence: confidence.toFixed(3), start, end });
  const list = byId("words");
  list.prepend(item);
  while (list.children.length > SHOWN) list.lastElementChild.remove();
}

export function clearWords() {
  byId("words").replaceChildren();
  say(byId("spoken"), "");
}

/** Tell a screen reader; the same text again is told again. */
export function tell(text) {
  byId("spoken").replaceChildren(make("span", { text }));
}
