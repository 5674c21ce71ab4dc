"""The library in a real browser does what harken.d.ts says: `Spotter`, from any page of a site."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from browser import Stage, needs_browser

from harken.edge import load_model

pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.live]

# Before each script; `next` is what an event brings that is yet to come.
LIBRARY = """
const { Spotter, HarkenError } = await import("/harken.js");
const MODEL = "/models/commands-tiny.wasm";
const next = (spotter, type, fits = () => true) => new Promise((done) => {
  const look = ({ detail }) => {
    if (!fits(detail)) return;
    spotter.removeEventListener(type, look);
    done(detail);
  };
  spotter.addEventListener(type, look);
});
const all = (spotter, type) => {
  const found = [];
  spotter.addEventListener(type, ({ detail }) => found.push(detail));
  return found;
};
const failure = (promise) => promise.then(() => "none", ({ name, code, message, remedy }) =>
  ({ name, code, message, remedy }));
const refused = (call) => {
  try { call(); } catch (problem) { return `${problem.name}: ${problem.message}`; }
};
"""


@pytest.fixture(scope="module")
def stage(web_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    pcm, rate = soundfile.read("models/demo.flac", dtype="int16")
    with Stage(web_site, tmp_path_factory.mktemp("stage")) as stage:
        # left at 0.3 s, three 1.4, five 2.9; and half a second of silence before
        stage.plays(pcm[round(0.9 * rate) : round(4.4 * rate)], rate)
        yield stage


@pytest.fixture
def run(stage: Stage) -> Iterator[Callable[[str], Any]]:
    """Run a script in a page of the site that is not its own."""
    page = stage.open(url=f"{stage.server.url}site.json", state="")
    yield lambda script: page.evaluate(f"async () => {{ {LIBRARY} {script} }}")
    stage.clear()


def test_events_tell_of_states_and_words(run: Callable[[str], Any]) -> None:
    found = run("""
        const spotter = await Spotter.load(MODEL);
        const before = spotter.state, states = all(spotter, "state"), words = all(spotter, "word");
        const starting = spotter.start();
        const during = spotter.state;
        await Promise.all([starting, spotter.start()]); // twice is once
        const listening = spotter.state;
        await next(spotter, "word", ({ word }) => word === "three");
        await spotter.stop();
        return { before, during, listening, after: spotter.state, states, words };
    """)
    assert [found[when] for when in ("before", "during", "listening", "after")] == [
        "idle",
        "starting",
        "listening",
        "idle",
    ]
    assert found["states"] == [
        {"state": state, "reason": ""} for state in ("starting", "listening", "idle")
    ]
    left, three = found["words"]
    assert (left["word"], three["word"]) == ("left", "three")
    assert left.keys() == {
        "word", "confidence", "acoustic", "start", "end", "startSample", "endSample", "foreseen",
        "faint",
    }  # fmt: skip
    threshold = load_model("commands-tiny").manifest.detector.thresholds["left"]
    assert threshold - 1e-4 < left["confidence"] <= 1
    assert left["end"] < three["start"]
    assert left["start"] == left["startSample"] / 16_000
    assert 1.0 < three["start"] - left["start"] < 1.2


def test_what_a_model_says_of_itself(run: Callable[[str], Any]) -> None:
    manifest = load_model("commands-tiny").manifest
    info = run("return (await Spotter.load(MODEL)).info;")
    assert info["name"] == "commands-tiny"
    assert manifest.model.sha256.startswith(info["digest"])
    assert info["labels"] == list(manifest.labels)
    assert info["words"] == list(manifest.words)
    assert info["thresholds"] == dict(manifest.detector.thresholds)
    assert (info["rate"], info["stepSamples"]) == (16_000, manifest.step_samples)


def test_a_model_can_be_given_as_an_address_or_as_bytes(run: Callable[[str], Any]) -> None:
    names = run("""
        const bytes = await (await fetch(MODEL)).arrayBuffer();
        const larger = new Uint8Array(bytes.byteLength + 10);
        larger.set(new Uint8Array(bytes), 7);
        const given = [MODEL, new URL(MODEL, location.href), bytes, new Uint8Array(bytes),
                       larger.subarray(7, 7 + bytes.byteLength), new DataView(bytes)];
        return Promise.all(given.map(async (model) => (await Spotter.load(model)).info.name));
    """)
    assert names == ["commands-tiny"] * 6


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ("Spotter.load('/nowhere.wasm')", "network", "/nowhere.wasm cannot be loaded: 404"),
        ("Spotter.load(new Uint8Array(8))", "bad-model", "The model is damaged"),
        (
            "Spotter.load(MODEL, { workletUrl: '/nowhere.js' }).then((s) => s.start())",
            "network",
            "worklet.js cannot be loaded",
        ),
        (
            "Spotter.load(MODEL, { deviceId: 'nobody has it' }).then((s) => s.start())",
            "no-microphone",
            "No microphone was found",
        ),
        (
            "Spotter.load(MODEL).then(async (s) => { await s.destroy(); await s.start(); })",
            "destroyed",
            "This spotter was destroyed",
        ),
    ],
)
def test_what_fails_says_what_to_do(
    run: Callable[[str], Any], call: str, code: str, said: str
) -> None:
    found = run(f"return failure({call});")
    assert (found["name"], found["code"]) == ("HarkenError", code)
    assert found["message"].startswith(said)
    assert found["remedy"].endswith(".")


def test_a_start_that_failed_can_be_tried_again(run: Callable[[str], Any]) -> None:
    found = run("""
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async () => {
          throw new DOMException("", "NotReadableError");
        };
        const spotter = await Spotter.load(MODEL);
        const { code } = await failure(spotter.start());
        const between = spotter.state;
        navigator.mediaDevices.getUserMedia = ask;
        await spotter.start();
        return [code, between, spotter.state];
    """)
    assert found == ["busy", "idle", "listening"]


def test_who_stops_while_it_starts_has_no_microphone_open(run: Callable[[str], Any]) -> None:
    found = run("""
        const streams = [];
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wishes) => {
          streams.push(await ask(wishes));
          return streams.at(-1);
        };
        const spotter = await Spotter.load(MODEL), states = all(spotter, "state");
        const starting = spotter.start();
        await spotter.stop();
        await starting;
        return [states.map(({ state }) => state), spotter.state,
                streams.map((stream) => stream.getTracks()[0].readyState)];
    """)
    assert found == [["starting", "idle"], "idle", ["ended"]]


def test_what_is_heard_right_now(run: Callable[[str], Any]) -> None:
    found = run("""
        const spotter = await Spotter.load(MODEL);
        const before = await failure(spotter.snapshot());
        await spotter.start();
        await next(spotter, "word");
        await spotter.snapshot();
        const second = new Promise((done) => setTimeout(done, 300)).then(() => spotter.snapshot());
        const snapshots = [await spotter.snapshot(), await second];
        const late = failure(spotter.snapshot());
        await spotter.stop();
        const after = [await late, await failure(spotter.snapshot())];
        return { before, snapshots, after };
    """)
    first, second = found["snapshots"]
    assert first.keys() == {"peak", "rms", "posteriors", "seconds", "lost", "sampleRate"}
    assert 0 < second["rms"] < second["peak"] <= 1
    assert first["seconds"] > 0.8
    assert 0.2 < second["seconds"] - first["seconds"] < 1
    posteriors = second["posteriors"]
    assert len(posteriors) == len(load_model("commands-tiny").manifest.labels)
    assert sum(posteriors) == pytest.approx(1, abs=1e-6)
    assert second["sampleRate"] in (44_100, 48_000)
    assert second["lost"] >= 0
    assert found["before"]["message"] == "not listening; call start() first"
    assert [each["message"] for each in found["after"]] == [
        "listening ended",
        "not listening; call start() first",
    ]


def test_a_word_can_be_made_to_need_more_evidence_and_less(run: Callable[[str], Any]) -> None:
    found = run("""
        const spotter = await Spotter.load(MODEL, { thresholds: { left: 0.99999 } });
        await spotter.start();
        const without = (await next(spotter, "word")).word;
        await spotter.stop();
        spotter.setThreshold("left", null);
        spotter.sensitivity = 1 / 4;
        await spotter.start();
        const sure = await next(spotter, "word");
        spotter.setThreshold("three", 1); // while it listens
        const after = (await next(spotter, "word")).word;
        await spotter.destroy();
        return [without, sure.word, sure.confidence, after, spotter.sensitivity];
    """)
    assert found[0] == "three"
    assert found[1] == "left"
    least = load_model("commands-tiny").manifest.detector.thresholds["left"]
    odds = 4 * least / (1 - least)
    assert found[2] >= odds / (1 + odds) - 1e-4  # as much as a quarter of the sensitivity asks for
    assert found[3] == "five"
    assert found[4] == 1 / 4


def test_settings_that_cannot_be(run: Callable[[str], Any]) -> None:
    found = run("""
        const spotter = await Spotter.load(MODEL);
        return [
          refused(() => spotter.setThreshold("lamp", 0.5)),
          refused(() => spotter.setThreshold("left", 0)),
          refused(() => (spotter.sensitivity = 0)),
          (await failure(Spotter.load(MODEL, { thresholds: { left: 2 } }))).message,
          (await failure(Spotter.load(MODEL, { sensitivity: 65 }))).message,
          spotter.sensitivity, spotter.expecting, spotter.muted,
        ];
    """)
    assert found[0].startswith("RangeError: lamp is not a word of the model; its words are yes")
    assert found[1].startswith("RangeError: the threshold of left is 0")
    assert found[2].startswith("RangeError: the sensitivity is 0")
    assert found[3].startswith("the threshold of left is 2")
    assert found[4].startswith("the sensitivity is 65")
    assert found[5:] == [1, True, False]


def test_while_it_is_muted_no_words_come(run: Callable[[str], Any]) -> None:
    found = run("""
        const spotter = await Spotter.load(MODEL), words = all(spotter, "word");
        spotter.muted = true;
        await spotter.start();
        const until = async (seconds) => {
          while ((await spotter.snapshot()).seconds < seconds) {
            await new Promise(requestAnimationFrame);
          }
        };
        await until(1.4); // left was at 0.8
        const whileMuted = words.map(({ word }) => word), { state } = spotter;
        spotter.muted = false;
        const { word } = await next(spotter, "word");
        return [whileMuted, state, word];
    """)
    assert found == [[], "listening", "three"]


def test_a_reset_begins_anew(run: Callable[[str], Any]) -> None:
    """Times count from there."""
    found = run("""
        const spotter = await Spotter.load(MODEL);
        await spotter.start();
        const left = await next(spotter, "word");
        spotter.reset();
        const { seconds } = await spotter.snapshot();
        const three = await next(spotter, "word");
        return [left, seconds, three];
    """)
    left, seconds, three = found
    assert (left["word"], three["word"]) == ("left", "three")
    assert left["start"] > 0.6
    assert seconds < 0.2
    assert three["start"] < left["start"] + 1


def test_what_was_said_before_counts_unless_it_shall_not(run: Callable[[str], Any]) -> None:
    """Beside the acoustic evidence, as odds: at most by a factor of e, for a word that is expected.

    After "left" a number is; after "three" another one is less so if the application says that it
    waits for a confirmation.
    """
    three, five, forgotten, without = run("""
        const spotter = await Spotter.load(MODEL), heard = [];
        await spotter.start();
        await next(spotter, "word");
        heard.push(await next(spotter, "word"));
        spotter.pending("confirm");
        heard.push(await next(spotter, "word"));
        await spotter.stop();
        await spotter.start();
        await next(spotter, "word");
        spotter.forget();
        heard.push(await next(spotter, "word"));
        spotter.expecting = false;
        heard.push(await next(spotter, "word"));
        return heard;
    """)
    assert [each["word"] for each in (three, five, forgotten, without)] == [
        "three",
        "five",
        "three",
        "five",
    ]
    assert gain(three) == pytest.approx(1, abs=0.02)
    assert -0.5 < gain(five) < 0.3  # without that it is 0.6
    assert gain(forgotten) == gain(without) == 0


def test_a_word_that_is_faint_comes_with_the_next(run: Callable[[str], Any]) -> None:
    """Left, if it needs all evidence; times count from the same moment."""
    three, five = run("""
        const spotter = await Spotter.load(MODEL, { thresholds: { left: 1 } });
        await spotter.start();
        return [await next(spotter, "word"), await next(spotter, "word")];
    """)
    assert (three["word"], five["word"], five["faint"]) == ("three", "five", None)
    faint = three["faint"]
    assert faint.keys() == {"word", "confidence", "end", "endSample"}
    assert faint["word"] == "left"
    assert 0.25 < faint["confidence"] < 1
    assert faint["end"] == faint["endSample"] / 16_000
    assert 0.8 < faint["end"] <= three["start"] + 0.04


def gain(word: dict[str, float]) -> float:
    """Return what a word gained by what was said before it, in log odds."""
    confidence, acoustic = (
        math.log(word[name] / (1 - word[name])) for name in ("confidence", "acoustic")
    )
    return confidence - acoustic


def test_one_that_is_destroyed_lets_go(run: Callable[[str], Any]) -> None:
    found = run("""
        const spotter = await Spotter.load(MODEL), words = all(spotter, "word");
        await spotter.start();
        await next(spotter, "word");
        await spotter.destroy();
        await spotter.destroy(); // once more does nothing
        return [spotter.state, (await failure(spotter.snapshot())).message, words.length];
    """)
    assert found == ["destroyed", "not listening; call start() first", 1]
