"""A folder and a sound in; the system's Chromium out, with the folder at an address and the sound
at its microphone.

    with serve(folder) as site, sync_playwright() as playwright:
        with start_chromium(playwright, sound=microphone_file(tmp / "sound.wav", pcm)) as browser:
            page = browser.new_page()
            page.goto(site.url)

Each time that a page opens the microphone it hears the file from its beginning, then silence; so
a file may be written anew between two pages.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
LEAD_S = 0.5  # of silence: the first of a file is lost while a page opens the microphone


def _missing() -> str:
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install playwright"
    if CHROMIUM is None:
        return "chromium is not installed: apt-get install chromium"
    return ""


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


class _Handler(SimpleHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
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
        server.shutdown()
        server.server_close()
        thread.join()


def microphone_file(
    path: Path, pcm: NDArray[np.int16], rate: int = 16_000, *, lead_s: float = LEAD_S
) -> Path:
    """Write int16 PCM, (samples,) or (samples, channels), as a microphone's file."""
    lead = np.zeros((round(lead_s * rate), *pcm.shape[1:]), np.int16)
    soundfile.write(path, np.concatenate([lead, pcm]), rate, subtype="PCM_16")
    return path


@contextlib.contextmanager
def start_chromium(
    playwright: Playwright,
    *,
    sound: Path | None = None,
    microphone: bool = True,
    allow: bool = True,
    options: Sequence[str] = (),
) -> Iterator[Browser]:
    """Start Chromium without a window.

    `sound` is what its microphone hears; `microphone` whether it has one; `allow` what is answered
    when a page asks for it.
    """
    given = ["--use-fake-ui-for-media-stream" if allow else "--deny-permission-prompts"]
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
