#!/usr/bin/env node
// PCM from standard input (16 bits, little-endian, mono), words to standard output, one line of JSON each:
//
//     arecord -q -f S16_LE -r 16000 -c 1 -t raw | node listen.mjs models/@NAME@.wasm
//
// --rate HZ   sample rate of the input; default: the model's
// --features  instead of words, the raw int8 features of every frame
// --logits    instead of words, the raw int8 logits of every step
// --awake     instead of words, one byte per frame: 1 if processed, 0 if the gate was shut
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import { Engine } from "./harken.js";

const WINDOW = 512;

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rate: { type: "string" }, features: { type: "boolean" }, logits: { type: "boolean" }, awake: { type: "boolean" },
    },
  });
  if (positionals.length !== 1) throw new TypeError("give one model, such as models/@NAME@.wasm");
  const rate = values.rate === undefined ? undefined : Number(values.rate);
  const engine = await Engine.load(await readFile(positionals[0]), { rate });
  let waiting = Buffer.alloc(0);
  let wanted = WINDOW; // samples that complete the next frame, at the model's rate
  let steps = 0;
  for await (const bytes of process.stdin) {
    waiting = Buffer.concat([waiting, bytes]);
    let at = 0;
    for (; waiting.length - at >= 2 * wanted; wanted = engine.info.hopSamples) {
      const pcm = new Int16Array(wanted);
      for (let index = 0; index < wanted; index++, at += 2) pcm[index] = waiting.readInt16LE(at);
      const words = engine.feed(pcm);
      if (values.awake) process.stdout.write(Buffer.of(engine.awake));
      else if (values.features) process.stdout.write(engine.features());
      else if (values.logits) {
        if (engine.steps !== steps) process.stdout.write(engine.logits());
        steps = engine.steps;
      } else for (const word of words) process.stdout.write(`${JSON.stringify(word)}\n`);
    }
    waiting = waiting.subarray(at);
  }
}

process.stdout.on("error", (problem) => {
  // A reader that stops early, such as `head`, is not an error.
  if (problem.code !== "EPIPE") process.stderr.write(`error: cannot write: ${problem.message}\n`);
  process.exit(problem.code === "EPIPE" ? 0 : 1);
});

main().catch((problem) => {
  process.stderr.write(`error: ${problem.message} ${problem.remedy ?? ""}\n`.trimEnd() + "\n");
  process.exitCode = 1;
});
