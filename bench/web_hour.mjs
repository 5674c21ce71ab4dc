// A folder of the page, a model and hours in; what listening so long allocated in worklet.js out, as JSON:
//
//     node --expose-gc web_hour.mjs FOLDER MODEL HOURS < SAMPLES
//
// The samples, float32 at 48,000 Hz, are heard over and over in quanta, as a browser hands them to
// process(). No word is told of, since the message would be an allocation that is meant.
import { readFileSync } from "node:fs";
import { PerformanceObserver, performance } from "node:perf_hooks";
import { pathToFileURL } from "node:url";

const QUANTUM = 128;
const [folder, model, hours] = process.argv.slice(2);

let Listener;
globalThis.sampleRate = 48000;
globalThis.AudioWorkletProcessor = class {
  port = { postMessage() {} };
};
globalThis.registerProcessor = (name, processor) => (Listener = processor);
const memories = [];
WebAssembly.Instance = class extends WebAssembly.Instance {
  constructor(...of) {
    super(...of);
    memories.push(this.exports.memory);
  }
};
await import(pathToFileURL(`${folder}/worklet.js`));

const listener = new Listener({
  processorOptions: {
    model: readFileSync(`${folder}/${model}`), sensitivity: 1, expecting: true, muted: true, thresholds: [],
  },
});
const bytes = readFileSync(0);
const sound = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const inputs = [];
for (let at = 0; at + QUANTUM <= sound.length; at += QUANTUM) inputs.push([[sound.subarray(at, at + QUANTUM)]]);

const collections = []; // by when they began
new PerformanceObserver((list) => {
  for (const { startTime } of list.getEntries()) collections.push(startTime);
}).observe({ entryTypes: ["gc"] });
const pause = () => new Promise((resolve) => setTimeout(resolve, 100));

function listen(hours) {
  const quanta = Math.round((hours * 3600 * sampleRate) / QUANTUM);
  for (let count = 0; count < quanta; count++) listener.process(inputs[count % inputs.length]);
  return quanta;
}

const heap = () => process.memoryUsage().heapUsed;
const wasm = () => memories[0].buffer.byteLength;

listen(0.1); // until it is compiled as well as it will be
heap();
await pause();
globalThis.gc();
listen(0.01); // what a collection threw away comes back
const before = { heap: heap(), wasm: wasm() }, begun = performance.now();
const quanta = listen(Number(hours));
const ended = performance.now(), after = { heap: heap(), wasm: wasm() };
await pause(); // until collections are told of
console.log(JSON.stringify({
  hours: Number(hours), seconds: (ended - begun) / 1000, quanta,
  heap_before: before.heap, heap_grew: after.heap - before.heap,
  wasm_before: before.wasm, wasm_grew: after.wasm - before.wasm,
  collections: collections.filter((at) => at >= begun && at <= ended).length,
}));
