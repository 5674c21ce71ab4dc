"""Draw the page, `web-phone.png` and `web-desktop.png`: ``python docs/make_web_pictures.py``.

Nothing in them is drawn by hand: the page, with the models that ship, hears in Chromium the
recording that ships, and what it shows in a moment of that is the picture. With a folder that
`harken export --target web` wrote, as an argument, it is the page in there.
"""

from __future__ import annotations

import dataclasses
import io
import sys
import tempfile
from pathlib import Path

import soundfile
from PIL import Image
from playwright.sync_api import Playwright, ViewportSize, sync_playwright

from harken.edge.app.listen_cli import DEMO
from harken.edge.files import write_atomic
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.spotting.manifest import load_model
from harken.export.web.bundle import export_web

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from browser import microphone_file, serve, start_chromium

COLOURS = 128  # of a picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moment:
    """When a picture is taken, and of what."""

    name: str
    size: ViewportSize
    scale: float
    scheme: str
    awaited: str
    """What the page shows, as Playwright has it."""
    after_ms: float


MOMENTS = (
    Moment(
        name="web-phone",
        size={"width": 390, "height": 844},
        scale=2,
        scheme="dark",
        awaited="#command:text('move left by five')",
        after_ms=300,
    ),
    Moment(
        name="web-desktop",
        size={"width": 1280, "height": 800},
        scale=1,
        scheme="light",
        awaited="#pending:text('move backward by one')",
        after_ms=100,
    ),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        if len(sys.argv) > 1:
            folder = Path(sys.argv[1])
        else:
            models = [load_model("commands"), load_model("commands-tiny")]
            folder = export_web(models, Path(name) / "site", grammar=load_grammar("robot")).folder
        pcm, _ = soundfile.read(DEMO, dtype="int16")
        sound = microphone_file(Path(name) / "sound.wav", pcm)
        for moment in MOMENTS:
            picture = taken(playwright, folder, sound, moment)
            write_atomic(Path(__file__).with_name(f"{moment.name}.png"), smaller(picture))


def taken(playwright: Playwright, folder: Path, sound: Path, moment: Moment) -> bytes:
    """Return the screen in a moment, as PNG."""
    with serve(folder) as site, start_chromium(playwright, sound=sound) as browser:
        page = browser.new_page(
            viewport=moment.size, device_scale_factor=moment.scale, color_scheme=moment.scheme
        )
        page.goto(site.url)
        page.click("#button")
        page.wait_for_selector(moment.awaited)
        page.wait_for_timeout(moment.after_ms)
        return page.screenshot()


def smaller(picture: bytes) -> bytes:
    file = io.BytesIO()
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
