"""The page in Firefox and WebKitGTK: the words that Python hears, and what browsers differ in."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from browser import TOUCH, Server, assert_for_fingers, serve
from numpy.typing import NDArray
from other_browsers import FIREFOX, WEBKIT, Browser, Kind, pulse, wait_until, with_microphone
from test_web_sound import GAINS, Heard, assert_same, by_python, heard

LENGTH_S = 9.0
RATES = (44_100, 48_000)
ATTEMPTS = 3  # a machine that is too busy loses sound, and then words
AFTER_S = 1.0  # a word is decided by then

pytestmark = [pytest.mark.slow, pytest.mark.live]

STATE = "return document.getElementById('main').dataset.state;"
PROBLEM = "return document.getElementById('problem').dataset.code;"


@pytest.fixture(scope="module")
def pcm() -> NDArray[np.int16]:
    samples, rate = soundfile.read("models/demo.flac", dtype="int16")
    part: NDArray[np.int16] = samples[: round(LENGTH_S * rate)]
    return part


@pytest.fixture(scope="module")
def pythons(pcm: NDArray[np.int16]) -> list[Heard]:
    """What Python hears, wherever its steps fall, and a decibel louder and softer."""
    return [
        python
        for gain in GAINS
        for python in by_python("commands", (gain * pcm).clip(-32768, 32767).astype(np.int16))
    ]


@pytest.fixture(scope="module")
def site(web_site: Path, pcm: NDArray[np.int16], tmp_path_factory: pytest.TempPathFactory) -> Path:
    sounds = {rate: soxr.resample(pcm, 16_000, rate) for rate in RATES}
    return with_microphone(web_site, tmp_path_factory.mktemp("browsers") / "site", sounds)


@pytest.fixture(scope="module", params=[FIREFOX, WEBKIT], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    if request.param.missing:
        pytest.skip(request.param.missing)
    return request.param


@pytest.fixture(scope="module")
def sound_card(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with pulse(tmp_path_factory.mktemp("pulse")) as env:
        yield env


@pytest.fixture(scope="module")
def browser(
    kind: Kind, sound_card: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    with kind.start(tmp_path_factory.mktemp(kind.name), sound_card) as started:
        print(started.version)
        yield started


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[Server]:
    with serve(site) as serving:
        yield serving


def open_page(browser: Browser, url: str) -> None:
    browser.open(url)
    wait_until(lambda: browser.evaluate(STATE) == "idle", "idle page")


def hear_all(browser: Browser) -> Heard:
    """Wait for the end of the recording; return the words."""
    wait_until(lambda: browser.evaluate("return window.ended ?? null;"), "end of the recording")
    time.sleep(AFTER_S)
    assert browser.evaluate(STATE) == "listening"
    words = browser.evaluate("return window.heard;")
    numbers = [word | {name: float(word[name]) for name in ("start", "end")} for word in words]
    facts = browser.evaluate("return document.getElementById('facts').textContent;")
    return heard(numbers, facts=facts)


@pytest.mark.parametrize("rate", RATES)
def test_the_page_hears_what_python_hears(
    browser: Browser, server: Server, pythons: list[Heard], rate: int
) -> None:
    """Words in their order, and at their times; while nobody looks, too."""
    assert all(len(python.words) >= 4 for python in pythons)
    for attempt in range(1, ATTEMPTS + 1):
        open_page(browser, f"{server.url}?rate={rate}")
        browser.click("#button")
        try:
            if rate == RATES[-1]:
                wait_until(lambda: browser.evaluate("return heard.length;"), "word")
                with browser.hidden():
                    time.sleep(2)
            page = hear_all(browser)
            print(f"attempt {attempt}: {page.words}")
            assert_same(page, pythons)
        except AssertionError as problem:
            print(f"attempt {attempt}: {problem}")
            if attempt == ATTEMPTS:
                raise
            continue
        assert page.facts.startswith(f"Now: {rate / 1000:g} kHz")
        return


def test_a_page_that_was_hidden_listens_on(browser: Browser, server: Server) -> None:
    open_page(browser, server.url)
    browser.evaluate("""
        window.hidden = 0;
        document.addEventListener("visibilitychange", () => (hidden += document.hidden));
    """)
    browser.click("#button")
    wait_until(lambda: browser.evaluate(STATE) == "listening", "listening page")
    with browser.hidden():
        time.sleep(1)
    assert browser.evaluate("return window.hidden;") == 1
    assert browser.evaluate("return document.hidden;") is False
    browser.evaluate("document.getElementById('words').replaceChildren(); heard.length = 0;")
    wait_until(lambda: browser.evaluate("return heard.length;"), "word after it was shown again")
    assert browser.evaluate(STATE) == "listening"
    browser.click("#button")
    wait_until(lambda: browser.evaluate(STATE) == "idle", "end")


def test_the_microphone_is_refused(
    kind: Kind, sound_card: dict[str, str], server: Server, tmp_path: Path
) -> None:
    """By Firefox's settings; WebKitGTK has none that a test can reach, and is told by the test."""
    with kind.start(tmp_path, sound_card, allow=False) as refusing:
        open_page(refusing, f"{server.url}?{'really' if kind is FIREFOX else 'refused'}")
        refusing.click("#button")
        wait_until(lambda: refusing.evaluate(PROBLEM) == "denied", "refusal")
        assert refusing.evaluate(STATE) == "problem"


def test_its_own_microphone(kind: Kind, browser: Browser, server: Server) -> None:
    """Firefox has one that plays a tone; in WebKitGTK there is none."""
    open_page(browser, f"{server.url}?really")
    browser.click("#button")
    if kind is WEBKIT:
        wait_until(lambda: browser.evaluate(PROBLEM) == "no-microphone", "problem")
        return
    wait_until(lambda: browser.evaluate(STATE) == "listening", "listening page")
    level = "return Number(document.getElementById('level').getAttribute('aria-valuenow'));"
    wait_until(lambda: browser.evaluate(level) > -50, "sound")
    browser.click("#button")


def test_after_the_first_visit_it_needs_no_server(browser: Browser, site: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve(site))
        url = server.url
        open_page(browser, url)
        offline = "return !document.getElementById('offline').hidden;"
        wait_until(lambda: browser.evaluate(offline), "copy for offline use")
    open_page(browser, url)
    assert browser.evaluate("return !!document.getElementById('model-name').textContent;")


def test_a_finger_finds_everything_on_a_phone(browser: Browser, server: Server) -> None:
    """At 360 pixels nothing is wider than the screen, and all that can be pressed is large."""
    browser.open(f"{server.url}phone.html")
    inside = "const page = document.querySelector('iframe').contentDocument;"
    idle = f"{inside} return page.getElementById('main')?.dataset.state === 'idle';"
    wait_until(lambda: browser.evaluate(idle), "idle page")
    found = browser.evaluate(f"{inside} return ({TOUCH})(page);")
    assert_for_fingers(found)
