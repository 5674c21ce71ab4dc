// Settings and memory in, the same out at the next visit; where nothing can be kept, that is said once.

/** Values of this page, kept in the browser under its folder's name. */
export class Store {
  #refused;

  /** @param refused called once, if something cannot be kept */
  constructor(refused) {
    this.#refused = refused;
  }

  /** What was kept under a name; null if nothing was, or it is damaged. */
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
        // Where nothing can be kept there is nothing to take away.
      }
    }
  }
}

const key = (name) => `harken ${new URL("./", location.href).pathname} ${name}`;
