// Settings in, an open microphone connected to worklet.js out, or the reason why it cannot be opened.
import { HarkenError } from "./errors.js";

const PROBLEMS = {
  insecure: [
    "Browsers allow the microphone only on secure pages; this one was loaded over http.",
    "Open it over https, or on this machine as http://localhost.",
  ],
  unsupported: [
    "This browser lacks WebAssembly, AudioWorklet or access to the microphone.",
    "Use a current Chrome, Edge, Firefox or Safari (15.4 or later).",
  ],
  denied: [
    "Access to the microphone was denied.",
    "Allow it for this page in the browser's settings, beside the address, then try again.",
  ],
  "no-microphone": ["No microphone was found.", "Plug one in, then try again."],
  busy: [
    "The microphone cannot be opened; another program may be using it.",
    "End any calls and recordings, then try again.",
  ],
};

const CODES = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "no-microphone",
  OverconstrainedError: "no-microphone",
  NotReadableError: "busy",
  AbortError: "busy",
};

const problem = (code) => new HarkenError(code, ...PROBLEMS[code]);

/** Why this page cannot listen, checked before the user is asked; null if it can. */
export function obstacle() {
  if (globalThis.isSecureContext === false) return problem("insecure");
  const able =
    globalThis.WebAssembly && globalThis.AudioWorkletNode && globalThis.navigator?.mediaDevices?.getUserMedia;
  return able ? null : problem("unsupported");
}

/** A microphone and its audio worklet. */
export class Microphone {
  /**
   * Open it: the browser asks the user for permission.
   *
   * @param processorOptions passed to worklet.js
   */
  static async open({ deviceId, autoGainControl = false, workletUrl, processorOptions }) {
    const hindrance = obstacle();
    if (hindrance) throw hindrance;
    const context = new AudioContext({ latencyHint: "interactive" });
    const asked = navigator.mediaDevices.getUserMedia({
      audio: {
        channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl,
        ...(deviceId && { deviceId: { exact: deviceId } }),
      },
    });
    try {
      const [stream] = await Promise.all([asked, load(context, workletUrl)]);
      const node = new AudioWorkletNode(context, "harken", {
        numberOfInputs: 1, numberOfOutputs: 1, channelCount: 1, channelCountMode: "explicit", processorOptions,
      });
      await ready(node);
      // The output is silence; some browsers do not run nodes that are not connected to it.
      context.createMediaStreamSource(stream).connect(node).connect(context.destination);
      await context.resume();
      return new Microphone(context, stream, node);
    } catch (failure) {
      asked.then(stopTracks, () => {});
      context.close();
      const code = CODES[failure.name];
      throw code ? problem(code) : failure;
    }
  }

  constructor(context, stream, node) {
    this.context = context;
    this.stream = stream;
    [this.track] = stream.getAudioTracks();
    this.node = node;
  }

  tell(message) {
    this.node.port.postMessage(message);
  }

  /** Whether audio flows: neither the page nor the microphone is paused. */
  get runs() {
    return this.context.state === "running" && !this.track.muted && this.track.readyState === "live";
  }

  /** Seconds of audio that the browser dropped; NaN if it does not report this. */
  get lost() {
    const { totalFramesDuration, deliveredFramesDuration } = this.track.stats ?? {};
    return (totalFramesDuration - deliveredFramesDuration) / 1000;
  }

  async close() {
    this.tell({ type: "close" });
    this.node.port.onmessage = this.node.onprocessorerror = null;
    this.node.disconnect();
    this.track.onended = this.track.onmute = this.track.onunmute = null;
    stopTracks(this.stream);
    this.context.onstatechange = null;
    if (this.context.state !== "closed") await this.context.close();
  }
}

function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}

async function load(context, workletUrl) {
  try {
    await context.audioWorklet.addModule(workletUrl);
  } catch (failure) {
    throw new HarkenError(
      "network", `worklet.js cannot be loaded: ${failure.message}`, "Check the connection, then reload the page.",
    );
  }
}

/** Wait until the worklet's engine is ready. */
function ready(node) {
  return new Promise((resolve, reject) => {
    node.onprocessorerror = () => reject(problem("unsupported"));
    node.port.onmessage = ({ data }) => {
      if (data.type === "ready") resolve();
      else reject(new HarkenError(data.code ?? "unsupported", data.message, data.remedy ?? ""));
    };
  });
}
