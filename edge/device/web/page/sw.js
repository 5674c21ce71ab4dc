/**
 * Requests of the page in, files of one version out: the page works offline, and never from two
 * versions at once.
 *
 * The cache is named after the digest of all files. A new version is fetched whole beside the old
 * one and waits; the page takes it up when it is next loaded.
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
  // Past the browser's own cache, which may hold files of the version before. The page itself goes
  // by its folder: many servers answer "index.html" with a redirection, which nothing may be.
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
