// Words in, a list of the latest out, the newest in large type; each is announced to screen readers.
import { byId, make, percent, say } from "./dom.js";

const SHOWN = 8;

/** Add a word. */
export function showWord({ word, confidence, start, end, faint }) {
  if (faint) showWord({ ...faint, start: faint.end });
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

/** Announce a text to screen readers, even if it is the same as before. */
export function tell(text) {
  byId("spoken").replaceChildren(make("span", { text }));
}
