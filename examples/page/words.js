// A button in, words out: the whole use of the library in a page of your own.
import { Spotter } from "./harken.js";

const button = document.getElementById("listen");
const state = document.getElementById("state");
const words = document.getElementById("words");

const say = (text) => { state.textContent = text; };

const spotter = await Spotter.load("models/commands.wasm");

spotter.addEventListener("word", ({ detail }) => {
  const item = document.createElement("li");
  item.textContent = `${detail.word} (${Math.round(100 * detail.confidence)} %)`;
  words.append(item);
});
spotter.addEventListener("state", ({ detail }) => {
  button.textContent = detail.state === "idle" ? "Listen" : "Stop";
  say(detail.reason || detail.state);
});
spotter.addEventListener("notice", ({ detail }) => say(detail.message));
spotter.addEventListener("error", ({ detail }) => say(`${detail.message} ${detail.remedy}`));

button.onclick = async () => {
  try {
    await (spotter.state === "idle" ? spotter.start() : spotter.stop());
  } catch (error) {
    say(`${error.message} ${error.remedy ?? ""}`);
  }
};
