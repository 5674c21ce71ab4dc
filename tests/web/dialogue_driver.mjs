// Talks in as lines of JSON, what came of each step of them out as lines of JSON: what talks.py
// does, in JavaScript. The first line has the grammars, by name. The argument is the module.
import { createInterface } from "node:readline";

const { Dialogue } = await import(process.argv[2]);

const time = (value) => value ?? NaN; // JSON has no number that is none

const steps = {
  hear: (dialogue, word, at, confidence) => dialogue.hear(word, time(at), confidence),
  tick: (dialogue, at) => dialogue.tick(time(at)),
  mute: (dialogue, at) => dialogue.mute(time(at)),
  unmute: (dialogue, at, ...tail) => dialogue.unmute(time(at), ...tail),
  forget: (dialogue) => dialogue.forget(),
};

function step(dialogue, [name, ...given]) {
  try {
    return steps[name](dialogue, ...given) ?? null;
  } catch (problem) {
    if (!(problem instanceof RangeError)) throw problem;
    return "refused";
  }
}

function look(dialogue, at) {
  return {
    state: dialogue.state,
    due: dialogue.due,
    pending: dialogue.pending,
    pendingKind: dialogue.pendingKind,
    pendingText: dialogue.pendingText(),
    windowOpen: dialogue.windowOpen(at),
    followUp: dialogue.followUp(at),
    recalls: dialogue.recalls(at),
    repeatable: dialogue.repeatable(at),
    muted: dialogue.muted(at),
  };
}

let grammars;
for await (const line of createInterface({ input: process.stdin })) {
  const content = JSON.parse(line);
  if (grammars === undefined) {
    grammars = content;
    continue;
  }
  let dialogue = new Dialogue(grammars[content.grammar]);
  const results = content.steps.map(({ do: what, look: at }) => {
    let turn = null;
    if (what[0] === "resume") {
      const saved = JSON.stringify(dialogue.state);
      dialogue = new Dialogue(grammars[what[1]], JSON.parse(saved));
    } else {
      turn = step(dialogue, what);
    }
    return { turn, ...look(dialogue, at) };
  });
  console.log(JSON.stringify(results));
}
