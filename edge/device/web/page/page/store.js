// Saves settings and memory for the next visit; if the browser refuses, the user is told once.

/** This page's values in the browser's local storage, under the name of its folder. */
export class Store {
  #refused;

  /** @param refused called once, if something cannot be saved */
  constructor(refused) {
    this.#refused = refused;
  }

  /** The value saved under a name; null if there is none or it is damaged. */
  load(name) {
    try {
      return JSON.parse(localStorage.getItem(key(name)));
    } catch {
      return null;
    }
  }

  save(name, value) {
    try {
      localStorage.setItem(key(name), JSON.stringify(value));
    } catch {
      this.#refused();
      this.#refused = () => {};
    }
  }

  clear() {
    for (const name of ["settings", "memory"]) {
      try {
        localStorage.removeItem(key(name));
      } catch {
        // Without storage there is nothing to remove.
      }
    }
  }
}

const key = (name) => `harken ${new URL("./", location.href).pathname} ${name}`;
