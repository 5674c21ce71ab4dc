// An error in; a sentence, a remedy and a button on the page out.
import { byId, say } from "./dom.js";

const RELOAD = "Reload";
const AGAIN = "Try again";

// For each code of a HarkenError, and for problems that only the page can detect: the sentence, the
// remedy, and the action of the button. Harmless ones leave the page usable.
const PROBLEMS = {
  insecure: {
    sentence: "Browsers allow the microphone only on pages loaded over https.",
    remedy: "Open this page over https, or on the computer that serves it as http://localhost.",
    action: "Open over https",
  },
  unsupported: {
    sentence: "This browser cannot listen.",
    remedy:
      "Any current Chrome, Edge, Firefox or Safari can. If this page is open inside another app, " +
      "open it in the browser.",
  },
  denied: {
    sentence: "Access to the microphone was denied.",
    action: AGAIN,
  },
  "no-microphone": {
    sentence: "No microphone was found.",
    remedy: "Plug one in, or enable it in the system settings.",
    action: AGAIN,
  },
  busy: {
    sentence: "The microphone cannot be opened: something else may be using it.",
    remedy: "End any calls and recordings.",
    action: AGAIN,
  },
  network: {
    sentence: "A file of this page cannot be loaded.",
    remedy: "Check the connection, then reload. If that does not help, upload the site again.",
    action: RELOAD,
  },
  "bad-model": {
    sentence: "The model is damaged or incomplete.",
    remedy: "Reload. If that does not help, upload the site again.",
    action: RELOAD,
  },
  version: {
    sentence: "The model is for another version of this page.",
    remedy: "Reload. If that does not help, export the site again.",
    action: RELOAD,
  },
  mismatch: {
    sentence: "The page and the model are from different versions.",
    remedy: "Reload. If that does not help, export the site again.",
    action: RELOAD,
  },
  grammar: {
    sentence: "The model does not match the commands: words are detected, but not turned into commands.",
    remedy: "Choose another model in the settings, if there is one, or reload the page.",
    action: RELOAD,
    harmless: true,
  },
  destroyed: {
    sentence: "Listening has ended and cannot be resumed.",
    remedy: "Reload the page.",
    action: RELOAD,
  },
  unexpected: {
    sentence: "Something went wrong on this page.",
    remedy: "Reload it.",
    action: RELOAD,
  },
};

/** Why this browser cannot listen, as the code of a problem; "" if it can. */
export function hindrance() {
  if (!window.isSecureContext) return "insecure";
  const able = window.WebAssembly && window.AudioWorkletNode && navigator.mediaDevices?.getUserMedia;
  return able ? "" : "unsupported";
}

/**
 * Show a problem.
 *
 * @param failure anything with the code of a problem, or any other error
 * @param again the action of "Try again"
 */
export function showProblem(failure, again = () => location.reload()) {
  const code = failure.code in PROBLEMS ? failure.code : "unexpected";
  if (failure instanceof Error) console.error(failure);
  const { sentence, remedy = permission(), action, harmless } = PROBLEMS[code];
  byId("problem").dataset.code = code;
  say(byId("problem-text"), sentence);
  say(byId("problem-remedy"), code === "unsupported" ? unsupported(failure, remedy) : remedy);
  const button = byId("problem-action");
  button.hidden = !action;
  say(button, action ?? "");
  button.onclick = { [AGAIN]: again, [RELOAD]: fetchAnew }[action] ?? overHttps;
  byId("problem").hidden = false;
  if (harmless) return;
  byId("main").dataset.state = "problem";
  say(byId("state"), "Not listening");
  say(byId("button"), "Listen");
  byId("button").disabled = action !== AGAIN;
}

/** Whether a problem keeps the page from listening. */
export function blocked() {
  const { hidden, dataset } = byId("problem");
  return !hidden && !PROBLEMS[dataset.code].harmless;
}

export function hideProblem() {
  byId("problem").hidden = true;
}

/** The features that the browser lacks; if none, the library's message. */
function unsupported(failure, remedy) {
  const lacks = lacking();
  return lacks ? `${lacks}${remedy}` : `${failure.message} ${failure.remedy}`;
}

function lacking() {
  const lacks = [
    ["WebAssembly", window.WebAssembly],
    ["AudioWorklet", window.AudioWorkletNode],
    ["access to microphones", navigator.mediaDevices?.getUserMedia],
  ];
  const names = lacks.filter(([, has]) => !has).map(([name]) => name);
  return names.length ? `It has no ${names.join(", no ")}. ` : "";
}

/** Where to find the permission in this browser. */
function permission() {
  const { userAgent, maxTouchPoints } = navigator;
  const phone = /Android|iPhone|iPad/.test(userAgent) || maxTouchPoints > 2;
  if (/Firefox/.test(userAgent)) {
    return "In Firefox: click the crossed-out microphone beside the address, then remove “Blocked”.";
  }
  if (/Chrome|CriOS/.test(userAgent)) {
    return "In Chrome: click the icon left of the address, then Permissions, Microphone, Allow.";
  }
  if (/Safari/.test(userAgent)) {
    return phone
      ? "In Safari: tap the icon in the address bar, then Website Settings, Microphone, Allow."
      : "In Safari: open the menu Safari, Settings for this website, Microphone, Allow.";
  }
  return "Allow it for this page in the browser's settings, beside the address.";
}

/** Reload everything from the server, bypassing all caches on this device. */
async function fetchAnew() {
  try {
    const folder = new URL("./", location.href);
    const registration = await navigator.serviceWorker?.getRegistration();
    await registration?.unregister();
    for (const name of (await window.caches?.keys()) ?? []) {
      if (name.startsWith(`harken ${folder.pathname} `)) await caches.delete(name);
    }
    const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
    const ours = loaded.filter((name) => name.startsWith(folder.href));
    await Promise.all(ours.map((name) => fetch(name, { cache: "reload" })));
  } finally {
    location.reload();
  }
}

function overHttps() {
  location.protocol = "https:";
}
