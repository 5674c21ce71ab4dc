// Registers the service worker for offline use, and offers to install the page as an app.
import { byId } from "./dom.js";

const NO_ROOM =
  "This page could not be saved for offline use. Storage may be full: free some space, then reload.";

/**
 * Cache the files for offline use; `busy` tells whether a reload would disturb.
 *
 * Call it once the page is loaded: a new version waits until the old service worker has answered
 * every request.
 */
export async function keepOffline(busy, notice) {
  if (!navigator.serviceWorker) return;
  try {
    const before = await navigator.serviceWorker.getRegistration();
    if (before?.active && before.waiting) takeUp(before.waiting, busy);
    const { installing } = await navigator.serviceWorker.register("sw.js");
    installing?.addEventListener("statechange", () => {
      if (installing.state === "redundant" && !before?.active) notice(NO_ROOM);
    });
    await navigator.serviceWorker.ready; // once every file is in its cache
    byId("offline").hidden = false;
  } catch (failure) {
    console.warn(`not kept for offline use: ${failure.message}`);
  }
}

/** A new version was fetched at the last visit: let it take over, and reload. */
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
  byId("install-ios").hidden = navigator.standalone !== false; // defined only on iOS
}
