// The public API: see harken.d.ts.
export { Dialogue } from "./dialogue.js";
export { Engine } from "./engine.js";
export { HarkenError } from "./errors.js";
export { Memory } from "./memory.js";
export { Spotter } from "./spotter.js";
