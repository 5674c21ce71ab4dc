"""A folder and a sound in; pages of it in the system's Chromium, which hears the sound, out.

    with Stage(folder, scratch) as stage:
        stage.plays(pcm)
        page = stage.open()
        page.locator("#button").click()

Each time that a page opens the microphone it hears the sound from its beginning, then silence.
One page hears all of it. Of several at once, on a machine that is busy, each may lose some: audio
is no more urgent here than anything else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
LEAD_S = 0.5  # of silence: the first of a file is lost while a page opens the microphone
TAIL_S = 0.5  # and at its end: its last few milliseconds go on for ever


def _missing() -> str:
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install playwright"
    if CHROMIUM is None:
        return "chromium is not installed: apt-get install chromium"
    return ""


# A document in; its width, how wide its content is, and the size of all that can be pressed, out.
TOUCH = """(page) => {
  page.getElementById("settings").open = true;
  const all = page.querySelectorAll("button, summary, select, [type=range], label.switch");
  const shown = [...all].filter((each) => each.getClientRects().length);
  const { clientWidth, scrollWidth } = page.documentElement;
  return [clientWidth, scrollWidth, shown.map((each) => {
    const { width, height } = each.getBoundingClientRect();
    return [each.id || each.tagName, width, height];
  })];
}"""
LEAST_TARGET = 44  # CSS pixels

needs_browser = pytest.mark.skipif(bool(_missing()), reason=_missing() or "there is a browser")


class Server(ThreadingHTTPServer):
    """Serves a folder, and knows what was asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    def handle_error(self, *request: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # who asked has gone away
            super().handle_error(*request)  # type: ignore[arg-type]

    def stop(self) -> None:
        """Answer nobody any more; each connection was for one answer."""
        self.shutdown()
        self.server_close()


class _Handler(SimpleHTTPRequestHandler):
    server: Server
    extensions_map = {  # noqa: RUF012
        "": "application/octet-stream",
        ".css": "text/css",
        ".html": "text/html",
        ".js": "text/javascript",
        ".json": "application/json",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def send_head(self):  # type: ignore[no-untyped-def]
        self.server.requests.append(self.path)
        return super().send_head()

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Serve a folder at a free port of this machine."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def microphone_file(
    path: Path, pcm: NDArray[np.int16], rate: int = 16_000, *, lead_s: float = LEAD_S
) -> Path:
    """Write int16 PCM, (samples,) or (samples, channels), as a microphone's file, WAV."""
    lead, tail = (
        np.zeros((round(seconds * rate), *pcm.shape[1:]), np.int16) for seconds in (lead_s, TAIL_S)
    )
    soundfile.write(path, np.concatenate([lead, pcm, tail]), rate, subtype="PCM_16")
    return path


@contextlib.contextmanager
def start_chromium(
    playwright: Playwright,
    *,
    sound: Path | None = None,
    microphone: bool = True,
    allow: bool | None = True,
    options: Sequence[str] = (),
) -> Iterator[Browser]:
    """Start Chromium without a window.

    `sound` is what its microphone hears; `microphone` whether it has one; `allow` what is answered
    when a page asks for it, None: what the permissions of its context say.
    """
    given = []
    if allow is not None:
        given.append("--use-fake-ui-for-media-stream" if allow else "--deny-permission-prompts")
    if microphone:
        given.append("--use-fake-device-for-media-stream")
    if sound is not None:
        given.append(f"--use-file-for-fake-audio-capture={sound}%noloop")
    if os.geteuid() == 0:
        given.append("--no-sandbox")
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*given, *options])
    try:
        yield browser
    finally:
        browser.close()


def assert_for_fingers(found: Any) -> None:
    """Of what `TOUCH` finds at 360 pixels: nothing is wider, and all can be hit."""
    width, content, targets = found
    assert 340 <= width <= 360
    assert content <= width
    names = {name for name, _, _ in targets}
    assert names >= {"button", "SUMMARY", "sensitivity", "forget", "reset", "model"}
    small = [each for each in targets if min(each[1:]) < LEAST_TARGET]
    assert not small, small


def at_rate(rate: int) -> str:
    """Return a script that has a page listen at a rate, as another sound card would."""
    return f"""
        const Context = window.AudioContext;
        window.AudioContext = class extends Context {{
          constructor(options) {{ super({{ ...options, sampleRate: {rate} }}); }}
        }};
    """


class Stage:
    """A site that is served, and a Chromium that opens it. One at a time, in a process."""

    def __init__(self, site: Path, scratch: Path) -> None:
        self.sound = scratch / "microphone.wav"
        self.complaints: list[str] = []
        self._site = site
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        from playwright.sync_api import sync_playwright

        with contextlib.ExitStack() as stack:
            self.server = stack.enter_context(serve(self._site))
            self._playwright = stack.enter_context(sync_playwright())
            self.plays(np.zeros(0, np.int16))
            self.browser = stack.enter_context(start_chromium(self._playwright, sound=self.sound))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()

    def plays(self, pcm: NDArray[np.int16], rate: int = 16_000) -> None:
        """Let pages that open the microphone from now on hear this, int16 of any shape."""
        microphone_file(self.sound, pcm, rate)

    def open(
        self,
        *,
        url: str = "",
        state: str = "idle",
        scripts: Sequence[str] = (),
        **context: Any,
    ) -> Page:
        """Open the page, as somebody who was never there, and wait for a state of it.

        `url` is another address than the site's; `scripts` run before the page's own; `context` are
        options of a Playwright context.
        """
        opened = self.browser.new_context(**context)
        opened.set_default_timeout(15_000)
        opened.on("weberror", lambda failure: self.complaints.append(str(failure.error)))
        opened.on("console", lambda message: self._listen_for_csp(message.text))
        for script in scripts:
            # Not on the empty page that comes first.
            opened.add_init_script(f'if (location.protocol !== "about:") {{ {script} }}')
        page = opened.new_page()
        page.goto(url or self.server.url)
        if state:
            page.locator(f"main[data-state={state}]").wait_for()
        return page

    @contextlib.contextmanager
    def other_chromium(self, **options: Any) -> Iterator[None]:
        """Open pages in another Chromium, with other options of `start_chromium`."""
        before = self.browser
        with start_chromium(self._playwright, **{"sound": self.sound, **options}) as browser:
            self.browser = browser
            try:
                yield
                self.clear()
            finally:
                self.browser = before

    def clear(self) -> None:
        """Close all pages; fail if one met an error that it did not catch, or broke its policy."""
        for context in self.browser.contexts:
            context.close()
        complaints, self.complaints = self.complaints, []
        assert not complaints, complaints

    def _listen_for_csp(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.complaints.append(text)
