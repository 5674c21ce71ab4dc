// An id or what an element is to be in, the element out; what has not changed is not touched.

export const byId = (id) => document.getElementById(id);

/** Make an element with classes, a text and children. */
export function make(tag, { className = "", text = "" } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set a data attribute; "" takes it away. */
export function mark(element, name, value) {
  if ((element.dataset[name] ?? "") === value) return;
  if (value) element.dataset[name] = value;
  else delete element.dataset[name];
}

/** How full a bar is, 0..1: by a transform, which moves nothing else on the page. */
export function fill(element, share) {
  element.style.transform = `scaleX(${share.toFixed(3)})`;
}

/** A ratio, for people. */
export const percent = (share) => `${Math.round(100 * share)} %`;
