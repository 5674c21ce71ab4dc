"""A site and a recording in; the page in Firefox and in WebKitGTK, which hear the recording, out.

    with pulse(folder) as env, FIREFOX.start(folder, env) as browser:
        browser.open(url)
        browser.click("#button")
        browser.evaluate("return document.title;")

Neither has a microphone that plays a file: `with_microphone` puts a script into a copy of the site
whose getUserMedia plays `sound-RATE.wav` from when somebody listens. Firefox is driven over
WebDriver BiDi, which it speaks by itself; WebKitGTK's MiniBrowser, the nearest to Safari that runs
here, over WebDriver. Both get a PulseAudio server with a null sink, without which they play nothing
and let no time pass in an AudioContext.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

LEAD_S, TAIL_S = 0.3, 0.3
TIMEOUT_S = 30

# ?rate=HZ: of the sound card and the recording. ?refused: by whoever sits there, where the
# browser's settings cannot say so.
MICROPHONE = """
const wishes = new URLSearchParams(location.search);
const sampleRate = Number(wishes.get("rate") ?? 48000);
window.heard = [];
window.playing = null;
const Context = window.AudioContext;
window.AudioContext = class extends Context {
  constructor(options) {
    super({ ...options, sampleRate });
  }
  createMediaStreamSource(stream) {
    window.playing?.start(window.playing.context.currentTime + 0.2);
    return super.createMediaStreamSource(stream);
  }
};
const sound = fetch(`sound-${sampleRate}.wav`).then((answer) => answer.arrayBuffer());
async function microphone() {
  if (wishes.has("refused")) throw new DOMException("by the test", "NotAllowedError");
  const context = new AudioContext();
  const running = context.resume(); // while it is known that somebody has clicked
  const buffer = await context.decodeAudioData((await sound).slice());
  const source = new AudioBufferSourceNode(context, { buffer });
  const out = context.createMediaStreamDestination();
  source.connect(out);
  source.onended = () => (window.ended = performance.now());
  await running;
  window.playing = source;
  return out.stream;
}
// On the prototype: WebKit forgets what is set on navigator.mediaDevices when it collects garbage.
if (!wishes.has("really")) MediaDevices.prototype.getUserMedia = microphone;
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const { dataset, parentElement } of addedNodes) {
      if (parentElement?.id === "words") heard.push({ ...dataset, at: performance.now() / 1000 });
    }
  }
}).observe(document, { childList: true, subtree: true });
"""


def with_microphone(site: Path, copy: Path, sounds: Mapping[int, NDArray[np.int16]]) -> Path:
    """Copy a site; whoever listens there hears a recording, given at each rate."""
    shutil.copytree(site, copy)
    page = copy / "index.html"
    script = (
        '<script src="microphone-of-test.js"></script>\n<script type="module" src="page/start.js">'
    )
    text = page.read_text().replace('<script type="module" src="page/start.js">', script)
    assert script in text
    page.write_text(text)
    (copy / "microphone-of-test.js").write_text(MICROPHONE)
    for rate, sound in sounds.items():
        lead, tail = (np.zeros(round(seconds * rate), np.int16) for seconds in (LEAD_S, TAIL_S))
        soundfile.write(copy / f"sound-{rate}.wav", np.concatenate([lead, sound, tail]), rate)
    # For a page as narrow as a phone's in a window that cannot be.
    (copy / "phone.html").write_text('<iframe src="./" width="360" height="720"></iframe>')
    return copy


@contextlib.contextmanager
def pulse(folder: Path) -> Iterator[dict[str, str]]:
    """Start a PulseAudio server with a null sink; yield the environment of who plays to it."""
    home = folder / "home"
    home.mkdir(parents=True)
    socket = home / "socket"
    env = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home),
           "XDG_CONFIG_HOME": str(home / "config")}  # fmt: skip
    server = subprocess.Popen(
        [
            *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
            *("--disable-shm=yes", "--log-target=stderr", "--log-level=error"),
            f"--load=module-native-protocol-unix socket={socket} auth-anonymous=1",
            "--load=module-null-sink sink_name=card rate=48000",
        ],
        env=env,
    )
    try:
        wait_until(socket.exists, "pulseaudio")
        yield {**env, "PULSE_SERVER": f"unix:{socket}"}
    finally:
        server.terminate()
        server.wait(10)


def wait_until(ready: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Wait for something, and return it."""
    end = time.monotonic() + timeout_s
    while not (found := ready()):
        assert time.monotonic() < end, f"no {what} in {timeout_s:g} s"
        time.sleep(0.05)
    return found


class Browser(Protocol):
    """A window with one page."""

    version: str

    def open(self, url: str) -> None: ...

    def evaluate(self, body: str) -> Any:
        """Run the body of an async function in the page; return what it does."""

    def click(self, selector: str) -> None:
        """Click, as a person does: browsers let only a person start sound."""

    def hidden(self) -> contextlib.AbstractContextManager[None]:
        """Look at another tab, or at none: the page is not seen."""


class Firefox:
    """A Firefox without a window, over WebDriver BiDi."""

    def __init__(self, address: str) -> None:
        import websocket

        self._socket = websocket.create_connection(
            f"{address}/session", timeout=TIMEOUT_S, suppress_origin=True
        )
        self._numbers = itertools.count()
        capabilities = self._call("session.new", capabilities={})["capabilities"]
        self.version = f"Firefox {capabilities['browserVersion']}"
        [first] = self._call("browsingContext.getTree")["contexts"]
        self._tab = first["context"]

    def _call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def open(self, url: str) -> None:
        self._call("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def evaluate(self, body: str) -> Any:
        answer = self._call(
            "script.evaluate",
            expression=f"(async () => {{ {body} }})().then((all) => JSON.stringify(all) ?? null)",
            target={"context": self._tab},
            awaitPromise=True,
            userActivation=True,
        )
        assert answer["type"] == "success", answer
        value = answer["result"].get("value")
        return None if value is None else json.loads(value)

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click();")

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        other = self._call("browsingContext.create", type="tab")["context"]
        self._call("browsingContext.activate", context=other)
        yield
        self._call("browsingContext.close", context=other)
        self._call("browsingContext.activate", context=self._tab)

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def start_firefox(folder: Path, env: Mapping[str, str], *, allow: bool = True) -> Iterator[Browser]:
    """Start it; `allow` is what it answers to who asks for a microphone."""
    profile = folder / "profile"
    profile.mkdir(parents=True)
    settings = {
        "media.autoplay.default": 0,
        "media.navigator.streams.fake": True,
        "permissions.default.microphone": 1 if allow else 2,
        "datareporting.policy.dataSubmissionEnabled": False,
        "app.normandy.enabled": False,
    }
    lines = (f'user_pref("{name}", {json.dumps(value)});\n' for name, value in settings.items())
    (profile / "user.js").write_text("".join(lines))
    log = folder / "log.txt"
    process = subprocess.Popen(
        [FIREFOX.program, "--headless", "--no-remote", "--profile", profile,
         "--remote-debugging-port=0", "about:blank"],
        env=dict(env), stdout=subprocess.DEVNULL, stderr=log.open("w"),
    )  # fmt: skip
    listening = re.compile(r"BiDi listening on (ws://\S+)")
    try:
        found = wait_until(lambda: listening.search(log.read_text()), "Firefox")
        browser = Firefox(found[1])
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.terminate()
        process.wait(20)


class WebKit:
    """WebKitGTK's MiniBrowser, over WebDriver."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        driver.set_script_timeout(TIMEOUT_S)
        self.version = f"WebKitGTK {driver.capabilities['browserVersion']}"

    def open(self, url: str) -> None:
        self._driver.get(url)

    def evaluate(self, body: str) -> Any:
        answer = self._driver.execute_async_script(
            "const done = arguments[0];"
            f"(async () => {{ {body} }})().then((all) => done([JSON.stringify(all) ?? null, '']),"
            "(problem) => done([null, String(problem)]));"
        )
        assert not answer[1], answer[1]
        return None if answer[0] is None else json.loads(answer[0])

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        self._driver.find_element(By.CSS_SELECTOR, selector).click()

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        place = self._driver.get_window_rect()
        self._driver.minimize_window()
        yield
        self._driver.set_window_rect(**place)


@contextlib.contextmanager
def start_webkit(folder: Path, env: Mapping[str, str], *, allow: bool = True) -> Iterator[Browser]:
    """Start it on a screen of its own."""
    del folder, allow  # it keeps nothing, and cannot be told
    from selenium import webdriver
    from selenium.webdriver.webkitgtk.options import Options
    from selenium.webdriver.webkitgtk.service import Service

    reading, writing = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
        pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            display = f":{numbers.readline().strip()}"
        service = Service(WEBKIT.program, env={**env, "DISPLAY": display, "GDK_BACKEND": "x11"})
        driver = webdriver.WebKitGTK(options=Options(), service=service)
        try:
            yield WebKit(driver)
        finally:
            driver.quit()
    finally:
        screen.terminate()
        screen.wait(10)


@dataclass(frozen=True)
class Kind:
    """A browser that can be started, if it is here."""

    name: str
    program: str
    needs: tuple[str, ...]
    module: str
    packages: str
    start: Callable[..., contextlib.AbstractContextManager[Browser]]

    @property
    def missing(self) -> str:
        """What is not installed; nothing where all of it is."""
        absent = [name for name in (self.program, *self.needs) if shutil.which(name) is None]
        if absent:
            return f"{', '.join(absent)}: apt-get install {self.packages}"
        if importlib.util.find_spec(self.module) is None:
            return f"{self.module} is not installed: pip install selenium websocket-client"
        return ""


FIREFOX = Kind(
    "Firefox",
    next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), "firefox-esr"),
    ("pulseaudio",),
    "websocket",
    "firefox-esr pulseaudio",
    start_firefox,
)
WEBKIT = Kind(
    "WebKitGTK",
    shutil.which("WebKitWebDriver") or "WebKitWebDriver",
    ("Xvfb", "pulseaudio"),
    "selenium",
    "webkit2gtk-driver xvfb pulseaudio gstreamer1.0-plugins-good gstreamer1.0-pulseaudio",
    start_webkit,
)
