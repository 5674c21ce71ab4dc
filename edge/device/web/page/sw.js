/**
 * The service worker: the page works offline, and never mixes files of two versions.
 *
 * The cache is named after the digest of all files. A new version is fetched completely beside the
 * old one and waits; the page switches to it when it is next loaded.
 */

const FILES = @FILES@;
const OURS = `harken ${new URL("./", self.location).pathname} `;
const CACHE = `${OURS}@DIGEST@`;

self.addEventListener("install", (event) => {
  event.waitUntil(store());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(removeOlder());
});

self.addEventListener("message", (event) => {
  if (event.data === "take over") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(self.registration.scope)) {
    event.respondWith(answer(event.request));
  }
});

async function store() {
  const cache = await caches.open(CACHE);
  // Bypass the browser's own cache, which may hold files of the previous version. The page itself is
  // stored as its folder: many servers redirect "index.html", and redirects must not be cached.
  const paths = FILES.map((path) => (path === "index.html" ? "./" : path));
  await cache.addAll(paths.map((path) => new Request(path, { cache: "reload" })));
}

async function removeOlder() {
  for (const name of await caches.keys()) {
    if (name.startsWith(OURS) && name !== CACHE) await caches.delete(name);
  }
}

async function answer(request) {
  const { scope } = self.registration;
  const [address] = request.url.split(/[?#]/);
  const cache = await caches.open(CACHE);
  return (await cache.match(address === `${scope}index.html` ? scope : address)) ?? fetch(request);
}
