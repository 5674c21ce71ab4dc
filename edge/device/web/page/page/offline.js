// The service worker and the browser's offer to install in; what the page says of both out.
import { byId } from "./dom.js";

const NO_ROOM =
  "This page could not be kept for offline use; there may be no room on this device. Free some, then reload.";

/** Have the files kept for offline use; `busy` says whether a reload would disturb. */
export async function keepOffline(busy, notice) {
  if (!navigator.serviceWorker) return;
  try {
    const before = await navigator.serviceWorker.getRegistration();
    if (before?.active && before.waiting) takeUp(before.waiting, busy);
    const { installing } = await navigator.serviceWorker.register("sw.js");
    installing?.addEventListener("statechange", () => {
      if (installing.state === "redundant" && !before?.active) notice(NO_ROOM);
    });
    await navigator.serviceWorker.ready; // it is, as soon as every file is in its cache
    byId("offline").hidden = false;
  } catch (failure) {
    console.warn(`not kept for offline use: ${failure.message}`);
  }
}

/** A new version was fetched at the last visit: let it take over, and begin with it. */
function takeUp(worker, busy) {
  navigator.serviceWorker.addEventListener("controllerchange", () => busy() || location.reload(), {
    once: true,
  });
  worker.postMessage("take over");
}

export function offerInstall() {
  window.addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    byId("install").hidden = false;
    byId("install-button").onclick = () => {
      byId("install").hidden = true;
      event.prompt();
    };
  });
  window.addEventListener("appinstalled", () => {
    byId("install").hidden = true;
  });
  byId("install-ios").hidden = navigator.standalone !== false; // only there it is known
}
