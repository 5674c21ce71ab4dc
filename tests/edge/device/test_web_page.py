"""The page in a real browser: what is seen and done on it, and what it asks of the network."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from browser import TOUCH, Stage, assert_for_fingers, needs_browser, serve
from numpy.typing import NDArray

from harken.edge import load_model
from harken.edge.memory.grammar_file import load_grammar
from harken.export.web.bundle import export_web

PHONE = {"width": 360, "height": 720}
LATER = """
const now = Date.now;
window.later = 0; // milliseconds
Date.now = () => now.call(Date) + later;
"""

# The labels of all bars that ever reached their mark.
OVER = """
window.over = [];
new MutationObserver((changes) => {
  for (const { target } of changes) {
    if (target.dataset.level === "over") over.push(target.dataset.label);
  }
}).observe(document, { attributes: true, subtree: true });
"""

pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.live]


def demo(first_s: float, last_s: float) -> NDArray[np.int16]:
    """Return a part of the recording that ships.

    In it are left at 1.2 s, three 2.3, five 3.8, go 4.8, stop 6.1, forward 7.4, two 8.7, backward
    10.1, one 11.4, yes 12.4.
    """
    pcm, rate = soundfile.read("models/demo.flac", dtype="int16")
    return pcm[round(first_s * rate) : round(last_s * rate)]


@pytest.fixture(scope="module")
def whole_stage(web_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(web_site, tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def stage(whole_stage: Stage) -> Iterator[Stage]:
    whole_stage.plays(np.zeros(0, np.int16))
    yield whole_stage
    whole_stage.clear()


class TestListening:
    def test_one_button_starts_and_stops(self, stage: Stage) -> None:
        page = stage.open(scripts=["""
            window.streams = [];
            const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (wishes) => {
              streams.push(await ask(wishes));
              return streams.at(-1);
            };
        """])  # fmt: skip
        live = "streams.map((stream) => stream.getTracks()[0].readyState)"
        button, state = page.locator("#button"), page.locator("#state")
        assert (button.text_content(), state.text_content()) == ("Listen", "Ready")
        assert page.evaluate(live) == []
        button.click()
        page.locator("main[data-state=listening]").wait_for()
        assert (button.text_content(), state.text_content()) == ("Stop", "Listening")
        assert page.evaluate(live) == ["live"]
        button.click()
        page.locator("main[data-state=idle]").wait_for()
        assert (button.text_content(), state.text_content()) == ("Listen", "Ready")
        assert page.evaluate(live) == ["ended"]

    def test_what_is_said_is_seen_becomes_commands_and_moves_the_robot(self, stage: Stage) -> None:
        """Left, three, five, go, stop."""
        stage.plays(demo(0.9, 6.6))
        page = stage.open(scripts=[OVER])
        robot = page.locator("#robot")
        assert robot.get_attribute("aria-label") == "A robot that has not moved yet"
        before = robot.evaluate("(canvas) => canvas.toDataURL()")
        page.locator("#button").click()
        page.locator("#command[data-intent=move]", has_text="move left by three").wait_for()
        page.locator("#command[data-intent=move]", has_text="move left by five").wait_for()
        page.locator("#robot[aria-label='The robot is 13 to the left from its start.']").wait_for()
        page.locator("#command[data-intent=stop]").wait_for()
        assert page.locator("[data-slot=direction]").get_attribute("data-text") == "left"
        assert page.locator("#spoken").text_content() == "stop"
        words = page.locator("#words li").evaluate_all("(all) => all.map((li) => li.dataset.word)")
        assert words == ["stop", "go", "five", "three", "left"]
        assert set(page.evaluate("over")) >= set(words)
        page.locator("#level[data-level=good]").wait_for()
        assert robot.evaluate("(canvas) => canvas.toDataURL()") != before

    def test_what_is_waited_for_is_said(self, stage: Stage) -> None:
        stage.plays(demo(0.9, 1.9))
        page = stage.open(scripts=[LATER])
        page.locator("#button").click()
        page.locator("#pending", has_text="move left by … which number?").wait_for()
        assert page.locator("[data-slot=follow-up]").get_attribute("data-text") == "for number"
        page.evaluate("later = 9_000")
        page.locator("#outcome", has_text="nobody said number in time").wait_for()
        assert not page.locator("#pending").is_visible()

    def test_where_a_command_comes_from_is_said(self, stage: Stage) -> None:
        """Left, three, five: the direction is remembered."""
        stage.plays(demo(0.9, 4.4))
        page = stage.open()
        page.locator("#button").click()
        page.locator("#command", has_text="move left by five").wait_for()
        assert re.fullmatch(r"left from [123] s ago", page.locator("#outcome").text_content() or "")
        last = page.locator("[data-slot=last]")
        assert last.get_attribute("data-text") == "move left by five"

    def test_a_faint_word_is_seen_and_part_of_the_command(self, stage: Stage) -> None:
        """Left, which needs all evidence here, and three."""
        stage.plays(demo(0.9, 2.9))
        page = stage.open(scripts=["""
            const Node = window.AudioWorkletNode;
            window.AudioWorkletNode = class extends Node {
              constructor(context, name, options) {
                options.processorOptions.thresholds.push(["left", 1]);
                super(context, name, options);
              }
            };
        """])  # fmt: skip
        page.locator("#button").click()
        page.locator("#command", has_text="move left by three").wait_for()
        words = page.locator("#words li")
        assert words.evaluate_all("(all) => all.map((li) => li.dataset.word)") == ["three", "left"]
        ends = words.evaluate_all("(all) => all.map((li) => Number(li.dataset.end))")
        assert 0.5 < ends[0] - ends[1] < 1.5
        assert page.locator("#spoken").text_content() == "left three: move left by three"

    def test_what_cannot_be_seen_from_there_is_confirmed(self, stage: Stage) -> None:
        stage.plays(demo(9.5, 13.1))
        page = stage.open()
        page.locator("#button").click()
        question = "move backward by one: “yes” or “no”?"
        page.locator("#pending", has_text=question).wait_for()
        assert page.locator("#command").text_content() == "No command yet"
        page.locator("#robot[aria-label='The robot is 1 backward from its start.']").wait_for()
        assert page.locator("#command").text_content() == "move backward by one"

    def test_what_is_remembered_fades(self, stage: Stage) -> None:
        stage.plays(demo(0.9, 3.2))
        page = stage.open(scripts=[LATER])
        page.locator("#button").click()
        page.locator("#command", has_text="move left by three").wait_for()
        direction = page.locator("[data-slot=direction]")
        share = "(item) => Number(/[\\d.]+/.exec(item.querySelector('.fill').style.transform)[0])"
        assert direction.get_attribute("data-text") == "left"
        assert direction.evaluate(share) > 0.8
        page.evaluate("later = 15_000")
        page.locator("[data-slot=direction]", has_text=re.compile("1[0-5] s")).wait_for()
        assert 0.3 < direction.evaluate(share) < 0.6
        page.evaluate("later = 31_000")
        page.locator("[data-slot=direction]:not([data-text])").wait_for()
        assert direction.evaluate(share) == 0

    def test_what_is_remembered_outlasts_a_reload_and_can_be_forgotten(self, stage: Stage) -> None:
        stage.plays(demo(0.9, 3.2))
        page = stage.open()
        page.locator("#button").click()
        page.locator("#command", has_text="move left by three").wait_for()
        page.reload()
        page.locator("[data-slot=direction][data-text=left]").wait_for()
        page.locator("#forget").click()
        page.locator("[data-slot=direction]:not([data-text])").wait_for()
        page.reload()
        page.locator("main[data-state=idle]").wait_for()
        assert page.locator("[data-slot=direction]").get_attribute("data-text") is None

    def test_what_was_learned_is_seen_kept_and_forgotten(self, stage: Stage) -> None:
        """Five seconds after a command; and the engine is told of it.

        From words that needed no help of what was said before: these are far beyond what a page
        asks for that is set to hear more.
        """
        stage.plays(demo(0.9, 3.2))
        page = stage.open(scripts=[LATER])
        learned = page.locator("#learned")
        assert learned.text_content() == "Nothing learned yet about your habits."
        page.locator("#settings summary").click()
        page.locator("#sensitivity").fill("4")
        page.locator("#button").click()
        page.locator("#command", has_text="move left by three").wait_for()
        page.evaluate("later = 5_100")
        page.locator("#learned", has_text="Learned from 2 of your words").wait_for()
        assert (learned.text_content() or "").endswith("often: “left three”.")
        page.reload()
        page.locator("#learned", has_text="Learned from 2 of your words").wait_for()
        page.locator("#forget").click()
        page.locator("#learned", has_text="Nothing learned yet").wait_for()
        page.reload()
        page.locator("#learned", has_text="Nothing learned yet").wait_for()

    @pytest.mark.parametrize(
        ("kept", "said"),
        [
            ({"digest": "0" * 12, "saved": 0, "state": {}}, "belongs to another grammar"),
            ({"saved": 0, "state": {}, "learned": {}}, "is damaged"),
            ({"saved": 0, "state": None, "learned": {"trust": 2}}, "is damaged"),
            ({"saved": 0, "state": None}, ""),  # as it was kept before anything was learned
        ],
        ids=["another grammar", "the state", "what was learned", "older"],
    )
    def test_what_is_remembered_but_cannot_be_used(
        self, stage: Stage, kept: dict[str, object], said: str
    ) -> None:
        kept = {"digest": load_grammar("robot").digest, **kept}
        page = stage.open(scripts=[
            f"localStorage.setItem('harken / memory', JSON.stringify({json.dumps(kept)}));"
        ])  # fmt: skip
        assert page.locator("#notice").is_visible() == bool(said)
        assert said in (page.locator("#notice-text").text_content() or "")
        assert page.locator("#learned").text_content() == "Nothing learned yet about your habits."
        assert not page.locator("#problem").is_visible()

    @pytest.mark.parametrize(
        ("gain", "verdict", "advice"),
        [(0.02, "quiet", "come closer"), (100, "clipping", "lower the gain")],
    )
    def test_a_level_that_is_wrong_is_said(
        self, stage: Stage, gain: float, verdict: str, advice: str
    ) -> None:
        stage.plays((gain * demo(0.9, 6.6)).clip(-32768, 32767).astype(np.int16))
        page = stage.open()
        page.locator("#button").click()
        page.locator(f"#level[data-level={verdict}]").wait_for()
        assert advice in (page.locator("#advice").text_content() or "")


class TestSettings:
    def test_the_sensitivity_moves_the_marks_and_is_kept(self, stage: Stage) -> None:
        page = stage.open()
        page.locator("#settings summary").click()
        mark = page.locator("#bars li[data-label=left] .mark")
        text = page.locator("#sensitivity-text")
        least = load_model("commands").manifest.detector.thresholds["left"]
        assert mark.get_attribute("title") == f"{round(100 * least)} %"
        page.locator("#sensitivity").fill("-2")
        assert (text.text_content() or "").startswith("Words need more evidence (odds × 4)")
        odds = 4 * least / (1 - least)
        assert mark.get_attribute("title") == f"{round(100 * odds / (1 + odds))} %"
        page.reload()
        page.locator("main[data-state=idle]").wait_for()
        assert page.locator("#sensitivity").input_value() == "-2"
        assert mark.get_attribute("title") == f"{round(100 * odds / (1 + odds))} %"

    def test_the_sensitivity_decides_how_much_evidence_a_word_needs(self, stage: Stage) -> None:
        stage.plays(demo(0.9, 2.0))
        page = stage.open()
        page.locator("#settings summary").click()
        left = page.locator("#words li[data-word=left]")
        evidence = []
        for sensitivity in ("-2", "4"):
            page.locator("#sensitivity").fill(sensitivity)
            page.locator("#button").click()
            page.locator(
                f"#words li[data-word=left]:nth-last-child({len(evidence) + 1})"
            ).wait_for()
            evidence.append(float(left.first.get_attribute("data-confidence") or ""))
            page.locator("#button").click()
        assert evidence[1] < evidence[0]  # how much less depends on when a step begins

    def test_another_model_is_used_from_now_on(self, stage: Stage) -> None:
        stage.plays(demo(0.9, 2.0))
        page = stage.open()
        names = page.locator("#model option").evaluate_all("(all) => all.map((o) => o.value)")
        assert names == ["commands", "commands-tiny"]
        page.locator("#button").click()
        page.locator("#words li[data-word=left]").wait_for()
        page.locator("#settings summary").click()
        page.locator("#model").select_option("commands-tiny")
        page.locator("#model-name", has_text="model commands-tiny ").wait_for()
        page.locator("main[data-state=listening]").wait_for()  # as before
        page.locator("#words li[data-word=left]").wait_for()
        page.reload()
        page.locator("#model-name", has_text="model commands-tiny ").wait_for(state="attached")
        assert page.locator("#model").input_value() == "commands-tiny"

    def test_all_can_be_reset(self, stage: Stage) -> None:
        page = stage.open()
        page.locator("#settings summary").click()
        page.locator("#sensitivity").fill("3")
        page.locator("#gain").check()
        page.locator("#model").select_option("commands-tiny")
        page.locator("#model-name", has_text="model commands-tiny ").wait_for()
        page.locator("#reset").click()
        page.locator("#model-name", has_text="model commands ").wait_for()
        page.reload()
        page.locator("main[data-state=idle]").wait_for()
        assert page.locator("#sensitivity").input_value() == "0"
        assert not page.locator("#gain").is_checked()

    @pytest.mark.parametrize(
        "kept", ["{", "7", '{"model": 3, "sensitivity": "x", "gain": 1}', '{"model": "gone"}']
    )
    def test_settings_that_were_damaged_are_those_of_the_beginning(
        self, stage: Stage, kept: str
    ) -> None:
        page = stage.open(scripts=[f"localStorage.setItem('harken / settings', {kept!r})"])
        assert page.locator("#sensitivity").input_value() == "0"
        assert page.locator("#model").input_value() == "commands"


@pytest.fixture(scope="module")
def axe() -> str:
    return pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT


class TestReadable:
    @pytest.mark.parametrize("width", [360, 1280])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_no_rule_of_accessibility_is_broken(
        self, stage: Stage, axe: str, scheme: str, width: int
    ) -> None:
        """By axe, in every state of the page."""
        stage.plays(demo(0.9, 3))
        page = stage.open(
            bypass_csp=True,  # for axe, which is put into the page
            color_scheme=scheme,
            viewport={"width": width, "height": 900},
            reduced_motion="reduce",
        )
        page.evaluate(axe)

        def assert_fine(state: str) -> None:
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            assert len(found["passes"]) > 20
            broken = [
                f"{each['id']}: {node['target']}: {node['failureSummary']}"
                for each in found["violations"]
                for node in each["nodes"]
            ]
            assert not broken, state
            # It cannot tell what lies behind the names of bars that the box of another one touches;
            # the rest of the names, of the same colours, it can.
            unsure = {node["html"] for each in found["incomplete"] for node in each["nodes"]}
            assert all(html.startswith('<span class="name">') for html in unsure), unsure
            assert len(unsure) < page.locator("#bars .name").count()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state

        page.locator("#settings summary").click()
        assert_fine("idle")
        page.locator("#button").click()
        page.locator("#command", has_text="move left by three").wait_for()
        assert_fine("listening")
        page.evaluate("""async () => {
            const { showProblem } = await import("/page/problems.js");
            showProblem({ code: "denied" });
            document.getElementById("notice-text").textContent = "Something that is no problem.";
            document.getElementById("notice").hidden = false;
        }""")
        page.locator("main[data-state=problem]").wait_for()
        assert_fine("problem")

    def test_a_finger_finds_everything_on_a_phone(self, stage: Stage) -> None:
        page = stage.open(viewport=PHONE)
        assert_for_fingers(page.evaluate(f"({TOUCH})(document)"))

    def test_dark_and_light(self, stage: Stage) -> None:
        colours = {}
        for scheme in ("light", "dark"):
            page = stage.open(color_scheme=scheme)
            colours[scheme] = page.evaluate("""() => {
                const of = (text) => Math.max(...text.match(/\\d+/g).slice(0, 3).map(Number));
                const { color, backgroundColor } = getComputedStyle(document.body);
                return [of(color), of(backgroundColor)];
            }""")
        ink, paper = colours["light"]
        assert ink < 100
        assert paper > 200
        ink, paper = colours["dark"]
        assert ink > 200
        assert paper < 100

    def test_it_can_be_used_by_keyboard_alone(self, stage: Stage) -> None:
        page = stage.open(viewport=PHONE)

        def focused() -> str:
            return page.evaluate("document.activeElement.id || document.activeElement.tagName")

        def go_to(element: str) -> list[str]:
            passed = []
            while not passed or passed[-1] != element:
                page.keyboard.press("Tab")
                passed.append(focused())
                assert len(passed) < 20, passed
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", passed
            return passed

        assert go_to("SUMMARY") == ["forget", "button", "SUMMARY"]
        page.keyboard.press("Enter")
        assert go_to("reset") == ["sensitivity", "model", "gain", "reset"]
        for _ in range(3):
            page.keyboard.press("Shift+Tab")
        assert focused() == "sensitivity"
        page.keyboard.press("ArrowRight")
        assert page.locator("#sensitivity").input_value() == "0.25"
        while focused() != "button":
            page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        page.locator("main[data-state=listening]").wait_for()
        assert focused() == "button"
        page.keyboard.press("Enter")
        page.locator("main[data-state=idle]").wait_for()

    def test_a_screen_reader_is_told(self, stage: Stage) -> None:
        """Of states and words, politely; of problems, at once."""
        page = stage.open()
        told = {"#state": "status", "#spoken": "status", "#advice": "status", "#problem": "alert"}
        shown = {"#robot": "img", "#level": "meter"}
        for name, role in (told | shown).items():
            assert page.locator(name).get_attribute("role") == role


class TestNetwork:
    def test_nothing_is_asked_of_anybody_and_nothing_at_all_while_it_listens(
        self, stage: Stage, web_site: Path
    ) -> None:
        stage.plays(demo(0.9, 4.5))
        page = stage.open(state="")
        asked: list[str] = []
        page.context.on("request", lambda request: asked.append(request.url))
        page.reload()
        page.locator("#offline:not([hidden])").wait_for()
        assert asked
        paths = [urlsplit(url).path.removeprefix("/") for url in asked]
        assert {url[: len(stage.server.url)] for url in asked} == {stage.server.url}
        assert all(path == "" or (web_site / path).is_file() for path in paths)
        page.locator("#button").click()
        page.locator("main[data-state=listening]").wait_for()
        asked.clear()
        stage.server.requests.clear()
        page.locator("#robot[aria-label*='3 to the left']").wait_for()
        page.locator("#button").click()
        page.locator("main[data-state=idle]").wait_for()
        assert asked == stage.server.requests == []

    def test_the_policy_lets_nothing_out_and_nothing_foreign_in(
        self, stage: Stage, web_site: Path
    ) -> None:
        page = stage.open()
        policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
        rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
        assert rules.pop("default-src") == "'none'"
        assert rules.pop("script-src") == "'self' 'wasm-unsafe-eval'"
        assert set(rules.values()) <= {"'self'", "'none'"}
        assert not stage.complaints  # of all that the page does
        broken = page.evaluate("""async (elsewhere) => {
            const broken = [];
            addEventListener("securitypolicyviolation", (e) => broken.push(e.effectiveDirective));
            const told = () => new Promise((done) =>
              addEventListener("securitypolicyviolation", done, { once: true }));
            for (const attempt of [
              () => fetch(elsewhere).catch(() => {}),
              () => document.body.append(Object.assign(new Image(), { src: elsewhere })),
              () => document.body.append(
                Object.assign(document.createElement("script"), { textContent: "window.in = 1" })),
            ]) {
              const waiting = told();
              attempt();
              await waiting;
            }
            return [...broken, "in" in window];
        }""", stage.server.url.replace("localhost", "127.0.0.1"))  # fmt: skip
        assert broken == ["connect-src", "img-src", "script-src-elem", False]
        assert len(stage.complaints) >= len(broken[:-1])
        stage.complaints.clear()


class TestOffline:
    def test_after_the_first_visit_it_listens_without_a_server(
        self, stage: Stage, web_site: Path
    ) -> None:
        stage.plays(demo(0.9, 2.0))
        with serve(web_site) as server:
            page = stage.open(url=server.url)
            page.locator("#offline:not([hidden])").wait_for()
        page.context.set_offline(True)
        page.reload()
        page.locator("main[data-state=idle]").wait_for()
        assert page.evaluate("navigator.onLine") is False
        page.locator("#button").click()
        page.locator("#words li[data-word=left]").wait_for()
        page.locator("#settings summary").click()
        page.locator("#model").select_option("commands-tiny")  # every model is kept
        page.locator("#model-name", has_text="model commands-tiny ").wait_for()

    def test_a_new_version_takes_the_place_of_the_old_one(
        self, stage: Stage, web_site: Path, tmp_path: Path
    ) -> None:
        """Whole, when the page is next loaded."""
        site = shutil.copytree(web_site, tmp_path / "site")
        models = "Array.from(document.getElementById('model').options, ({ value }) => value)"
        with serve(site) as server:
            page = stage.open(url=server.url)
            page.locator("#offline:not([hidden])").wait_for()
            export_web([load_model("commands-tiny")], site, grammar=load_grammar("robot"))
            page.reload()
            page.locator("main[data-state=idle]").wait_for()
            assert page.evaluate(models) == ["commands", "commands-tiny"]
            page.evaluate("""() => new Promise((done) => {
                const look = async () => {
                  const { waiting } = await navigator.serviceWorker.getRegistration();
                  waiting ? done() : setTimeout(look, 50);
                };
                look();
            })""")
            page.reload()
            page.locator("#model-name", has_text="model commands-tiny ").wait_for(state="attached")
            assert page.evaluate(models) == ["commands-tiny"]
            digest = json.loads((site / "site.json").read_text())["digest"]
            page.locator("#offline:not([hidden])").wait_for()
            assert page.evaluate("caches.keys()") == [f"harken / {digest}"]
