// The settings form: saves the user's choices for the next visit, and reports changes to the page.
import { byId, make, say } from "./dom.js";

const DEFAULTS = { model: "", sensitivity: 1, gain: false };

export class Settings {
  #store;
  #values;

  /**
   * @param models as in site.json
   * @param changed callbacks for each kind of change: model, sensitivity, gain, reset
   */
  constructor(store, models, changed) {
    this.#store = store;
    this.#values = { ...DEFAULTS, ...checked(store.load("settings")) };
    if (!models.some(({ name }) => name === this.model)) this.#values.model = models[0].name;
    byId("model").replaceChildren(
      ...models.map(({ name, words, bytes }) => {
        const text = `${name}: ${words.length} words, ${Math.round(bytes / 1000)} kB`;
        return Object.assign(make("option", { text }), { value: name });
      }),
    );
    byId("model-field").hidden = models.length < 2;
    byId("sensitivity").oninput = ({ target }) => {
      this.#change({ sensitivity: 2 ** Number(target.value) });
      changed.sensitivity();
    };
    byId("model").onchange = ({ target }) => {
      this.#change({ model: target.value });
      changed.model();
    };
    byId("gain").onchange = ({ target }) => {
      this.#change({ gain: target.checked });
      changed.gain();
    };
    byId("reset").onclick = () => {
      this.#values = { ...DEFAULTS, model: models[0].name };
      this.#store.clear();
      this.#show();
      changed.reset();
    };
    this.#show();
  }

  get model() {
    return this.#values.model;
  }

  get sensitivity() {
    return this.#values.sensitivity;
  }

  get gain() {
    return this.#values.gain;
  }

  #change(values) {
    Object.assign(this.#values, values);
    this.#store.save("settings", this.#values);
    this.#show();
  }

  #show() {
    const { model, sensitivity, gain } = this.#values;
    byId("model").value = model;
    byId("gain").checked = gain;
    byId("sensitivity").value = Math.log2(sensitivity);
    const text = inWords(sensitivity);
    byId("sensitivity").setAttribute("aria-valuetext", text);
    say(byId("sensitivity-text"), text);
  }
}

function inWords(sensitivity) {
  const odds = sensitivity < 1 ? 1 / sensitivity : sensitivity;
  const times = odds < 9.95 ? odds.toFixed(1).replace(".0", "") : odds.toFixed(0);
  if (sensitivity === 1) return "Default: the model's own thresholds.";
  return sensitivity > 1
    ? `Words need less evidence (odds ÷ ${times}): fewer misses, more false accepts.`
    : `Words need more evidence (odds × ${times}): fewer false accepts, more misses.`;
}

/** Saved settings without invalid values. */
function checked(kept) {
  const { model, sensitivity, gain } = kept ?? {};
  return {
    ...(typeof model === "string" && { model }),
    ...(sensitivity >= 1 / 16 && sensitivity <= 16 && { sensitivity }),
    ...(typeof gain === "boolean" && { gain }),
  };
}
