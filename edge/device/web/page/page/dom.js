// Helpers to find, make and update elements; unchanged values are not written.

export const byId = (id) => document.getElementById(id);

/** Make an element with classes, text and children. */
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

/** Set a data attribute; "" removes it. */
export function mark(element, name, value) {
  if ((element.dataset[name] ?? "") === value) return;
  if (value) element.dataset[name] = value;
  else delete element.dataset[name];
}

/** Fill a bar to a share of 0..1, with a transform, so that nothing else on the page moves. */
export function fill(element, share) {
  element.style.transform = `scaleX(${share.toFixed(3)})`;
}

/** A ratio as text. */
export const percent = (share) => `${Math.round(100 * share)} %`;
