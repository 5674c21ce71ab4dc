// Before the page's own scripts: its clicks, its microphone and its audio in, what web.py reads out.
const bench = (globalThis.bench = { words: [], states: [] });

const Context = AudioContext;
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/** Sound without harken in it: what the sound card does not ask for, it lacks as well. */
async function startOther() {
  const other = new Context();
  const source = new ConstantSourceNode(other, { offset: 0 });
  source.connect(other.destination);
  source.start();
  await other.resume();
  await pause(5); // opening it may disturb what is open
  return other;
}

bench.mark = async () => {
  const { context, track } = bench;
  bench.other ??= await startOther();
  bench.behind = bench.lag = bench.otherLag = Infinity;
  await pause(2);
  const { totalFrames, deliveredFrames } = track.stats;
  return {
    frames: bench.frames, // that process() has heard
    behind: bench.behind, // frames that were rendered, and that it has not heard: the fewest in 2 s
    lag: bench.lag, // seconds by which the sound is behind the clock: the least in 2 s
    other_lag: bench.otherLag,
    undelivered: totalFrames - deliveredFrames, // by the microphone
    underruns: context.playbackStats?.underrunEvents ?? NaN, // quanta came too late
    rate: context.sampleRate,
    words: bench.words,
    states: bench.states,
  };
};

const devices = MediaDevices.prototype;
const ask = devices.getUserMedia;
devices.getUserMedia = async function (wanted) {
  const stream = await ask.call(this, wanted);
  bench.permitted = performance.now();
  [bench.track] = stream.getAudioTracks();
  return stream;
};

globalThis.AudioContext = class extends Context {
  constructor(options) {
    super(options);
    bench.context = this;
  }
};

globalThis.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(context, name, options) {
    super(context, name, options);
    this.port.addEventListener("message", ({ data }) => {
      if (data.type === "word") bench.words.push(data.word.word);
      if (data.type !== "snapshot") return;
      const { currentTime, sampleRate } = context;
      bench.frames = data.frames;
      bench.behind = Math.min(bench.behind, currentTime * sampleRate - data.frames);
      const now = performance.now() / 1000;
      bench.lag = Math.min(bench.lag, now - currentTime);
      bench.otherLag = Math.min(bench.otherLag, now - bench.other?.currentTime);
    });
  }
};

addEventListener("click", (event) => (bench.clicked = event.timeStamp), true);
addEventListener("DOMContentLoaded", () => {
  const main = document.querySelector("main");
  new MutationObserver(() => {
    bench.states.push(main.dataset.state);
    if (main.dataset.state === "listening") bench.listening ??= performance.now();
  }).observe(main, { attributeFilter: ["data-state"] });
});
