// What went wrong in; one sentence and a way on out, on the page.
import { byId, say } from "./dom.js";

const RELOAD = "Reload";
const AGAIN = "Try again";

// For each code of a HarkenError, and for what only the page can notice: the sentence, what to do,
// and what the button does. Those that are not fatal leave the page as useful as it was.
const PROBLEMS = {
  insecure: {
    sentence: "A browser lends its microphone only to a page that came over https.",
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
    sentence: "The microphone was refused.",
    action: AGAIN,
  },
  "no-microphone": {
    sentence: "There is no microphone.",
    remedy: "Plug one in, or switch it on in the settings of the system.",
    action: AGAIN,
  },
  busy: {
    sentence: "The microphone cannot be opened: something else may be using it.",
    remedy: "End calls and recordings.",
    action: AGAIN,
  },
  network: {
    sentence: "A file of this page cannot be loaded.",
    remedy: "Check the connection. If that changes nothing, the site has to be uploaded again.",
    action: RELOAD,
  },
  "bad-model": {
    sentence: "The model is damaged, or was cut short on its way.",
    remedy: "Fetch it anew. If that changes nothing, the site has to be uploaded again.",
    action: RELOAD,
  },
  version: {
    sentence: "The model is for another version of this page.",
    remedy: "Fetch both anew. If that changes nothing, the site has to be exported again.",
    action: RELOAD,
  },
  mismatch: {
    sentence: "The page and the model are of different versions.",
    remedy: "Fetch both anew. If that changes nothing, the site has to be exported again.",
    action: RELOAD,
  },
  grammar: {
    sentence: "The model and the commands do not fit together: words are heard, commands are not made.",
    remedy: "Choose another model, if the settings offer one, or fetch the page anew.",
    action: RELOAD,
    harmless: true,
  },
  destroyed: {
    sentence: "Listening has ended for good.",
    remedy: "Load the page again.",
    action: RELOAD,
  },
  unexpected: {
    sentence: "Something in this page failed.",
    remedy: "Load it again.",
    action: RELOAD,
  },
};

/** What keeps this browser from listening, as the code of a problem; "" if nothing does. */
export function hindrance() {
  if (!window.isSecureContext) return "insecure";
  const able = window.WebAssembly && window.AudioWorkletNode && navigator.mediaDevices?.getUserMedia;
  return able ? "" : "unsupported";
}

/**
 * Show what went wrong.
 *
 * @param failure anything with the code of a problem, or any other error
 * @param again what "Try again" does
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

/** Whether there is a problem that keeps the page from listening. */
export function blocked() {
  const { hidden, dataset } = byId("problem");
  return !hidden && !PROBLEMS[dataset.code].harmless;
}

export function hideProblem() {
  byId("problem").hidden = true;
}

/** What the browser lacks; or, if it has all of it, what the library says. */
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

/** Where this browser keeps the permission. */
function permission() {
  const { userAgent, maxTouchPoints } = navigator;
  const phone = /Android|iPhone|iPad/.test(userAgent) || maxTouchPoints > 2;
  if (/Firefox/.test(userAgent)) {
    return "In Firefox: the crossed-out microphone beside the address, then take away “Blocked”.";
  }
  if (/Chrome|CriOS/.test(userAgent)) {
    return "In Chrome: the icon left of the address, then Permissions, Microphone, Allow.";
  }
  if (/Safari/.test(userAgent)) {
    return phone
      ? "In Safari: the icon in the address bar, then Website Settings, Microphone, Allow."
      : "In Safari: the menu Safari, Settings for this website, Microphone, Allow.";
  }
  return "Allow it for this page in the settings of the browser, beside the address.";
}

/** Load everything from the server, past whatever is kept on this device. */
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
