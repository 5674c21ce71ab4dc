"""What a browser can do to the page: refuse, lack, lose, damage or interrupt something.

Whatever it is, the page says it in one sentence and shows a way on, or goes on by itself.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from browser import Stage, at_rate, needs_browser, serve
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.live]

# What the page opens, for a test to interfere with, and all states it goes through.
PROBES = """
const Context = window.AudioContext;
window.AudioContext = class extends Context {
  constructor(options) {
    super(options);
    window.context = this;
  }
  createMediaStreamSource(stream) {
    window.track = stream.getTracks()[0];
    return window.source = super.createMediaStreamSource(stream);
  }
};
const Node = window.AudioWorkletNode;
window.AudioWorkletNode = class extends Node {
  constructor(...given) {
    super(...given);
    window.node = this;
  }
};
window.states = [];
new MutationObserver(() => {
  const { state } = document.getElementById("main").dataset;
  const now = `${state}: ${document.getElementById("state").textContent}`;
  if (states.at(-1) !== now) states.push(now);
}).observe(document, { attributes: true, attributeFilter: ["data-state"], subtree: true });
"""

# A getUserMedia that fails as `window.failure` says, where that is set.
FAILING = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
window.asked = 0;
navigator.mediaDevices.getUserMedia = async (wishes) => {
  asked++;
  if (window.failure) throw new DOMException("by the test", failure);
  return ask(wishes);
};
"""

# No attempt but those that something has asked for.
NEVER_LATER = "window.setTimeout = () => 0;"


def demo(first_s: float, last_s: float) -> NDArray[np.int16]:
    """Return a part of the recording that ships: left is at 1.2 s, three 2.3, five 3.8, go 4.8."""
    pcm, rate = soundfile.read("models/demo.flac", dtype="int16")
    return pcm[round(first_s * rate) : round(last_s * rate)]


@pytest.fixture(scope="module")
def whole_stage(web_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(web_site, tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def stage(whole_stage: Stage) -> Iterator[Stage]:
    whole_stage.plays(demo(0.9, 6.6))
    yield whole_stage
    whole_stage.clear()


def assert_problem(page: Page, code: str, sentence: str, action: str | None) -> str:
    """One sentence, and a button or at least words on what to do, which are returned."""
    page.locator(f"#problem[data-code={code}]").wait_for()
    text = page.locator("#problem-text").text_content() or ""
    assert sentence in text
    assert re.fullmatch(r"[A-Z][^.]*\.", text)
    assert page.locator("#problem-action").is_visible() == (action is not None)
    if action is not None:
        assert page.locator("#problem-action").text_content() == action
    remedy = page.locator("#problem-remedy").text_content() or ""
    assert re.fullmatch(r"[A-Z].*[.]", remedy)
    return remedy


class TestMicrophone:
    def test_there_is_none(self, stage: Stage) -> None:
        with stage.other_chromium(microphone=False):
            page = stage.open()
            kinds = (
                "navigator.mediaDevices.enumerateDevices().then((all) => all.map((d) => d.kind))"
            )
            if "audioinput" in page.evaluate(kinds):
                pytest.skip("this machine has a microphone")
            page.locator("#button").click()
            remedy = assert_problem(page, "no-microphone", "No microphone was found", "Try again")
            assert "Plug one in" in remedy
            page.locator("#problem-action").click()
            assert_problem(page, "no-microphone", "No microphone was found", "Try again")

    def test_it_is_refused(self, stage: Stage) -> None:
        with stage.other_chromium(allow=False):
            page = stage.open()
            page.locator("#button").click()
            remedy = assert_problem(
                page, "denied", "Access to the microphone was denied", "Try again"
            )
            assert "icon left of the address" in remedy
            assert page.locator("#state").text_content() == "Not listening"
            assert page.locator("#button").is_enabled()

    def test_it_is_allowed_after_all_and_taken_away_again(self, stage: Stage) -> None:
        with stage.other_chromium(allow=None):
            page = stage.open()
            page.context.grant_permissions([])  # nothing is allowed
            page.locator("#button").click()
            assert_problem(page, "denied", "Access to the microphone was denied", "Try again")
            page.locator("#problem-action").click()
            assert_problem(page, "denied", "Access to the microphone was denied", "Try again")
            page.context.grant_permissions(["microphone"])
            page.locator("main[data-state=idle]").wait_for()
            assert not page.locator("#problem").is_visible()
            page.locator("#button").click()
            page.locator("#words li[data-word=left]").wait_for()
            page.context.clear_permissions()  # and the browser ends the track
            assert_problem(page, "denied", "Access to the microphone was denied", "Try again")
            page.context.grant_permissions(["microphone"])
            page.locator("main[data-state=idle]").wait_for()

    @pytest.mark.parametrize("name", ["NotReadableError", "AbortError"])
    def test_another_program_has_it(self, stage: Stage, name: str) -> None:
        page = stage.open(scripts=[FAILING, f"window.failure = '{name}';"])
        page.locator("#button").click()
        remedy = assert_problem(page, "busy", "something else may be using it", "Try again")
        assert "End any calls" in remedy
        page.evaluate("failure = ''")
        page.locator("#problem-action").click()
        page.locator("#words li[data-word=left]").wait_for()
        assert not page.locator("#problem").is_visible()

    def test_it_has_a_rate_that_cannot_be_converted(self, stage: Stage) -> None:
        page = stage.open(scripts=[at_rate(44_056)])
        page.locator("#button").click()
        remedy = assert_problem(page, "unsupported", "This browser cannot listen", None)
        assert remedy.startswith("Audio at 44056 Hz cannot be converted. Use one of")

    def test_nothing_but_silence_comes_from_it(self, stage: Stage) -> None:
        stage.plays(np.zeros(0, np.int16))
        page = stage.open()
        page.locator("#button").click()
        page.locator("#level[data-level='no sound']").wait_for()
        assert "is the microphone muted" in (page.locator("#advice").text_content() or "")
        page.locator("#notice", has_text="sends only silence").wait_for()
        page.locator("#notice-close").click()
        assert not page.locator("#notice").is_visible()


class TestBrowser:
    def test_the_page_came_over_http_from_another_machine(self, stage: Stage) -> None:
        rules = "--host-resolver-rules=MAP phone.test 127.0.0.1"
        with stage.other_chromium(options=[rules]):
            page = stage.open(url=f"http://phone.test:{stage.server.port}/", state="problem")
            remedy = assert_problem(page, "insecure", "loaded over https", "Open over https")
            assert "http://localhost" in remedy
            assert page.locator("#button").is_disabled()
            with page.expect_request(f"https://phone.test:{stage.server.port}/"):
                page.locator("#problem-action").click()

    def test_it_has_no_webassembly(self, stage: Stage) -> None:
        with stage.other_chromium(options=["--js-flags=--jitless"]):  # as where security is strict
            page = stage.open(state="problem")
            remedy = assert_problem(page, "unsupported", "This browser cannot listen", None)
            assert remedy.startswith("It has no WebAssembly. Any current Chrome")
            assert page.locator("#button").is_disabled()

    @pytest.mark.parametrize(
        ("script", "lack"),
        [
            ("delete window.AudioWorkletNode;", "AudioWorklet"),
            (
                "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });",
                "access to microphones",
            ),
        ],
    )
    def test_it_lacks_something_else(self, stage: Stage, script: str, lack: str) -> None:
        page = stage.open(scripts=[script], state="problem")
        remedy = assert_problem(page, "unsupported", "This browser cannot listen", None)
        assert remedy.startswith(f"It has no {lack}. Any current Chrome")

    def test_it_runs_no_javascript(self, stage: Stage) -> None:
        with stage.other_chromium(options=["--blink-settings=scriptEnabled=false"]):
            page = stage.open(state="loading")
            said = page.locator("noscript p")
            assert said.is_visible()
            assert "JavaScript, which is turned off" in (said.text_content() or "")

    @pytest.mark.parametrize(
        "script",
        [
            # Full, to the last character.
            """
            localStorage.clear();
            for (let size = 1 << 23, key = 0; size; size >>= 1) {
              try {
                for (;;) localStorage.setItem(key++, "x".repeat(size));
              } catch {}
            }
            """,
            """
            Object.defineProperty(window, "localStorage", {
              get() { throw new DOMException("not for this page", "SecurityError"); },
            });
            """,
        ],
        ids=["full", "forbidden"],
    )
    def test_it_keeps_no_settings(self, stage: Stage, script: str) -> None:
        page = stage.open(scripts=[script])
        page.locator("#notice", has_text="This browser does not save data for this page").wait_for()
        page.locator("#notice-close").click()
        page.locator("#settings summary").click()
        page.locator("#sensitivity").fill("1")  # that is said once
        page.locator("#button").click()
        page.locator("#command", has_text="move left by three").wait_for()
        assert not page.locator("#notice").is_visible()
        assert not page.locator("#problem").is_visible()

    def test_it_has_no_room_for_the_files(self, stage: Stage) -> None:
        """Then it does not work offline, and says so; all else works."""
        page = stage.open(url=f"{stage.server.url}site.json", state="")
        session = page.context.new_cdp_session(page)
        quota = {"origin": stage.server.url, "quotaSize": 1000}
        session.send("Storage.overrideQuotaForOrigin", quota)
        page.goto(stage.server.url)
        page.locator("#notice", has_text="could not be saved for offline use").wait_for()
        page.locator("#button").click()
        page.locator("#words li[data-word=left]").wait_for()
        assert not page.locator("#offline").is_visible()


def missing(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def of_another_version(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b'{"format":2,') == 1
    path.write_bytes(content.replace(b'{"format":2,', b'{"format":9,'))


def the_other_model(path: Path) -> None:
    shutil.copy(path.with_name("commands-tiny.wasm"), path)


def no_model(path: Path) -> None:
    path.write_bytes(b"\0asm\1\0\0\0")


MODEL = "models/commands.wasm"
DAMAGED = {
    (MODEL, cut): "bad-model",
    (MODEL, no_model): "bad-model",
    (MODEL, of_another_version): "version",
    (MODEL, the_other_model): "mismatch",
    (MODEL, missing): "network",
    ("site.json", missing): "network",
    ("site.json", cut): "network",
    ("models/robot.json", missing): "network",
    ("harken.js", missing): "network",
    ("harken.js", cut): "network",
    ("page/page.js", missing): "network",
    ("page/robot.js", missing): "network",
}
SENTENCES = {
    "bad-model": "The model is damaged",
    "version": "The model is for another version of this page",
    "mismatch": "The page and the model are from different versions",
    "network": "A file of this page cannot be loaded",
}


class TestFiles:
    @pytest.fixture
    def site(self, web_site: Path, tmp_path: Path) -> Path:
        return shutil.copytree(web_site, tmp_path / "site")

    @pytest.mark.parametrize(
        ("name", "damage"), DAMAGED, ids=[f"{name} {how.__name__}" for name, how in DAMAGED]
    )
    def test_one_is_damaged_or_missing(
        self, stage: Stage, site: Path, name: str, damage: Callable[[Path], None]
    ) -> None:
        """As soon as it is there, "Reload" finds it."""
        code = DAMAGED[name, damage]
        whole = (site / name).read_bytes()
        damage(site / name)
        with serve(site) as server:
            page = stage.open(url=server.url, state="problem")
            assert_problem(page, code, SENTENCES[code], "Reload")
            assert page.locator("#button").is_disabled()
            (site / name).write_bytes(whole)
            page.locator("#problem-action").click()
            page.locator("main[data-state=idle]").wait_for()
            assert not page.locator("#problem").is_visible()

    def test_the_worklet_is_missing_when_it_is_needed(self, stage: Stage, site: Path) -> None:
        worklet = (site / "worklet.js").read_bytes()
        (site / "worklet.js").unlink()
        with serve(site) as server:
            page = stage.open(url=server.url)
            page.locator("#button").click()
            assert_problem(page, "network", "A file of this page cannot be loaded", "Reload")
            (site / "worklet.js").write_bytes(worklet)
            page.locator("#problem-action").click()
            page.locator("main[data-state=idle]").wait_for()
            page.locator("#button").click()
            page.locator("#words li[data-word=left]").wait_for()

    def test_a_damaged_file_that_is_kept_for_offline_use_is_fetched_anew(
        self, stage: Stage, site: Path
    ) -> None:
        whole = (site / MODEL).read_bytes()
        cut(site / MODEL)
        with serve(site) as server:
            page = stage.open(url=server.url, state="problem")
            page.locator("#offline:not([hidden])").wait_for()
            page.reload()
            assert_problem(page, "bad-model", "The model is damaged", "Reload")
            (site / MODEL).write_bytes(whole)
            page.reload()  # nothing but what is kept
            assert_problem(page, "bad-model", "The model is damaged", "Reload")
            page.locator("#problem-action").click()
            page.locator("main[data-state=idle]").wait_for()

    @pytest.mark.parametrize("change", ["word", "format", "digest"])
    def test_a_grammar_at_odds_with_the_model(self, stage: Stage, site: Path, change: str) -> None:
        """Words are heard all the same."""
        grammar = json.loads((site / "models/robot.json").read_text())
        if change == "word":
            grammar["words"].append("lamp")
        elif change == "format":
            grammar["format"] = 9
        else:
            grammar["digest"] = "0" * 12
        (site / "models/robot.json").write_text(json.dumps(grammar))
        with serve(site) as server:
            page = stage.open(url=server.url)
            assert_problem(page, "grammar", "does not match the commands", "Reload")
            assert not page.locator("#commands").is_visible()
            page.locator("#button").click()
            page.locator("#words li[data-word=left]").wait_for()
            assert page.locator("#problem").is_visible()


class TestInterruptions:
    def test_the_browser_pauses(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES])
        page.locator("#button").click()
        page.locator("#words li[data-word=left]").wait_for()
        page.evaluate("context.suspend()")
        page.locator("main[data-state=interrupted]").wait_for()
        page.locator("#state", has_text="Listening again.").wait_for()
        assert page.evaluate("states").count("interrupted: The browser paused listening.") == 1
        assert page.evaluate("context.state") == "running"
        word = page.locator("#words li:nth-last-child(2)")
        word.wait_for()
        left = page.locator("#words li:last-child")
        assert float(word.get_attribute("data-start") or "") > float(
            left.get_attribute("data-end") or ""
        )

    def test_the_track_ends_and_there_is_another_microphone(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES])
        page.locator("#button").click()
        page.locator("#words li[data-word=left]").wait_for()
        page.evaluate("track.before = true; track.dispatchEvent(new Event('ended'))")
        page.locator("#state", has_text="Listening again, with Fake Default Audio Input").wait_for()
        said = page.evaluate("states")
        assert "interrupted: The microphone was disconnected; waiting for one." in said
        assert page.evaluate("'before' in track") is False
        page.locator("#words li[data-word=left]:nth-last-child(2)").wait_for()

    def test_the_track_ends_and_there_is_none_until_one_is_plugged_in(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES, FAILING, NEVER_LATER])
        page.locator("#button").click()
        page.locator("main[data-state=listening]").wait_for()
        page.evaluate("failure = 'NotFoundError'; track.dispatchEvent(new Event('ended'))")
        page.locator("#state", has_text="No microphone was found. Waiting for one.").wait_for()
        assert page.locator("#button").text_content() == "Stop"
        asked = page.evaluate("""() => {
            failure = "";
            navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
            return asked;
        }""")  # fmt: skip
        page.locator("#state", has_text="Listening again, with").wait_for()
        assert page.evaluate("asked") == asked + 1

    def test_it_tries_again_where_nothing_tells_of_another(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES, FAILING])
        page.locator("#button").click()
        page.locator("main[data-state=listening]").wait_for()
        page.evaluate("failure = 'NotReadableError'; track.dispatchEvent(new Event('ended'))")
        page.locator("#state", has_text="cannot be opened; another program").wait_for()
        page.evaluate("failure = ''")
        page.locator("#state", has_text="Listening again, with").wait_for()

    def test_somebody_who_waits_no_longer_stops(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES, FAILING])
        page.locator("#button").click()
        page.locator("main[data-state=listening]").wait_for()
        page.evaluate("failure = 'NotFoundError'; track.dispatchEvent(new Event('ended'))")
        page.locator("#state", has_text="No microphone was found. Waiting for one.").wait_for()
        page.locator("#button").click()
        page.locator("main[data-state=idle]").wait_for()
        page.evaluate("failure = ''; asked = 0")
        page.locator("#button").click()
        page.locator("#words li[data-word=five]").wait_for()  # longer than to a second attempt
        assert page.evaluate("asked") == 1

    def test_a_headset_is_plugged_in(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES])
        page.locator("#button").click()
        page.locator("#words li[data-word=left]").wait_for()
        page.evaluate("""() => {
            const before = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
            navigator.mediaDevices.enumerateDevices = async () =>
              [{ kind: "audioinput", groupId: "7", label: "Headset" }, ...(await before())];
            navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
        }""")
        page.locator("#state", has_text="Listening again, with").wait_for()
        reason = "interrupted: A microphone was plugged in or unplugged."
        assert reason in page.evaluate("states")
        page.locator("#words li[data-word=left]:nth-last-child(2)").wait_for()

    def test_a_change_of_other_devices_changes_nothing(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES])
        page.locator("#button").click()
        page.locator("#words li[data-word=left]").wait_for()
        page.evaluate("navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
        page.locator("#words li[data-word=three]").wait_for()
        assert not [state for state in page.evaluate("states") if "interrupted" in state]

    def test_a_call_comes_in_and_ends(self, stage: Stage) -> None:
        """The system mutes the track for as long as that."""
        page = stage.open(scripts=[PROBES])
        page.locator("#button").click()
        page.locator("main[data-state=listening]").wait_for()
        page.evaluate("""() => {
            window.muted = true;
            Object.defineProperty(track, "muted", { get: () => muted });
            track.dispatchEvent(new Event("mute"));
        }""")
        page.locator("#state", has_text="Something else is using the microphone.").wait_for()
        page.evaluate("muted = false; track.dispatchEvent(new Event('unmute'))")
        page.locator("#state", has_text="Listening again.").wait_for()
        page.locator("#words li").first.wait_for()

    def test_samples_stop_coming(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES])
        page.locator("#button").click()
        page.locator("main[data-state=listening]").wait_for()
        page.evaluate("source.disconnect()")
        page.locator("#state", has_text="Listening again, with").wait_for()
        reason = "interrupted: The microphone stopped sending audio; reopening it."
        assert reason in page.evaluate("states")
        page.locator("#words li[data-word=left]").wait_for()

    def test_the_worklet_fails(self, stage: Stage) -> None:
        page = stage.open(scripts=[PROBES])
        page.locator("#button").click()
        page.locator("main[data-state=listening]").wait_for()
        page.evaluate("node.port.postMessage({ type: 'feedChunk', value: 'no function' })")
        page.locator("#state", has_text="Listening again, with").wait_for()
        assert "interrupted: Listening failed; trying again." in page.evaluate("states")
        page.locator("#words li[data-word=left]").wait_for()

    def test_nobody_looks_for_a_while(self, stage: Stage) -> None:
        """Words are heard meanwhile, nothing is drawn, and nothing is taken for an interruption."""
        page = stage.open(scripts=[PROBES])
        page.locator("#button").click()
        page.locator("main[data-state=listening]").wait_for()
        looks = """(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        page.evaluate(looks, arg=True)
        page.locator("#words li[data-word=three]").wait_for()
        assert page.locator("#bars li[data-level]").count() == 0
        page.evaluate(looks, arg=False)
        page.locator("#bars li[data-level=over]").first.wait_for()
        states = page.evaluate("states")
        assert states[-1] == "listening: Listening"
        assert not [state for state in states if "interrupted" in state]
