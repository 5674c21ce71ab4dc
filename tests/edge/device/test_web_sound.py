"""What the page hears in a real browser is what harken hears in Python, at the same times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from browser import Stage, at_rate, needs_browser
from command import harken
from numpy.typing import NDArray

from harken.edge import load_model

MODELS = ("commands", "commands-tiny")
# Pages that listen at once, each with its model and rate. Of more at once each loses some.
OF_DEMO = [("commands", 44_100), ("commands-tiny", 48_000)]
OF_CLIPS = [("commands", 48_000), ("commands-tiny", 44_100)]
WITHIN_S = 0.06
LOST_SHARE = 0.02  # of the sound, at most: less than a wrong rate would make of it
PHASES = np.arange(0, 0.04, 0.005)  # seconds, of one step
GAINS = (1.0, 0.89, 1.12)
SLOT_S = 1.4  # for each clip of the file of clips
N_MORE, N_OTHERS = 5, 3

# All words, in their order, and when they came: the list on the page has only the last ones.
COLLECT = """
window.heard = [];
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const { dataset, parentElement } of addedNodes) {
      if (parentElement?.id === "words") heard.push({ ...dataset, at: performance.now() / 1000 });
    }
  }
}).observe(document, { childList: true, subtree: true });
"""

pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.live]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Words and their times in seconds, of shape (words, 2): first, last."""

    words: tuple[str, ...]
    times: NDArray[np.float64]
    at: NDArray[np.float64]
    """When the page showed them, by the clock."""
    facts: str = ""


def heard(words: Sequence[dict[str, Any]], *, facts: str = "") -> Heard:
    times = np.array([(word["start"], word["end"]) for word in words], float)
    at = np.array([word.get("at", 0) for word in words])
    return Heard(words=tuple(word["word"] for word in words), times=times, at=at, facts=facts)


def by_python(model: str, pcm: NDArray[np.int16], rate: int = 16_000) -> list[Heard]:
    """Hear PCM once for each of `PHASES`: beginning later, by a part of a step of the network.

    Nobody knows where its steps fall in a browser, and it decides a little by that. All times are
    those in `pcm`.
    """
    found = []
    for phase in PHASES:
        lead = np.zeros((round(phase * rate), *pcm.shape[1:]), np.int16)
        channels = pcm.shape[1] if pcm.ndim == 2 else 1
        outcome = harken(
            "listen", model, "--grammar", "robot", "--json", "--stdin", "--rate", rate,
            "--channels", channels, stdin=np.concatenate([lead, pcm]).astype("<i2").tobytes(),
        )  # fmt: skip
        assert outcome.exit_code == 0, outcome.err
        words: list[dict[str, Any]] = []
        faint = None
        for line in map(json.loads, outcome.out.splitlines()):
            if "word" in line:
                words.append(line)
                faint = None
            elif "faint" in line and faint is None:  # said before the last word; the page lists it
                faint = line["faint"]
                then = words[-1]["end_s"] - line["late_s"]
                words.insert(-1, {"word": faint, "start_s": then, "end_s": then})
        times = [{"start": word["start_s"] - phase, "end": word["end_s"] - phase} for word in words]
        found.append(heard([word | time for word, time in zip(words, times, strict=True)]))
    return found


def by_pages(stage: Stage, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Heard]:
    """Let pages listen at once, each with its model and rate, until nothing more comes."""
    pages = {}
    for model, rate in keys:
        pages[model, rate] = page = stage.open(scripts=[at_rate(rate), COLLECT])
        page.locator("#settings summary").click()
        page.locator("#model").select_option(model)
        page.locator("#model-name", has_text=f"model {model} ").wait_for()
    for page in pages.values():
        page.locator("#button").click()
    results = {}
    for key, page in pages.items():
        # Zeros come at the end of the sound, and nowhere before for as long as that.
        page.locator("#level[data-level='no sound']").wait_for(timeout=90_000)
        facts = page.locator("#facts").text_content() or ""
        results[key] = heard(page.evaluate("heard"), facts=facts)
    stage.clear()
    return results


def assert_same(page: Heard, pythons: Sequence[Heard]) -> None:
    """The same words in the same order, each at a time at which Python hears it as well.

    That is, but for when listening began, which is the same for all of them.
    A machine that is too busy for the browser's audio loses some, and all that is later comes
    earlier by that, as the clock shows: by no more than that the times may be off, too.
    """
    same = [python.times for python in pythons if python.words == page.words]
    assert same, f"{page.words}\n{pythons[0].words}"
    away = page.times - np.array(same)
    away -= np.median(away, axis=1, keepdims=True)
    apart = float(np.abs(away).min(axis=0).max())
    late = page.at - page.times[:, 1]
    lost = max(0.0, float(np.min(late[-4:]) - np.min(late[:4])))
    print(f"{len(page.words)} words, {apart:.3f} s apart, {lost:.3f} s lost")
    assert apart <= WITHIN_S + lost
    assert lost <= LOST_SHARE * np.ptp(page.at)


def validation_clips(data: Path) -> list[NDArray[np.int16]]:
    """Draw clips: one of each of the models' words, a few more, and some of other words."""
    from harken.train.data import load_corpus

    corpus = load_corpus(data)
    words = load_model("commands").manifest.words
    others = [word for word in corpus.words if word not in words]
    rng = np.random.default_rng(7)
    labels = [*words, *rng.choice(words, N_MORE), *rng.choice(others, N_OTHERS)]
    drawn = []
    for label in rng.permutation(labels):
        clips = corpus.select("word", split="validation", label=label)
        drawn.append(corpus.samples(clips[rng.integers(len(clips))]))
    return drawn


def one_after_another(clips: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    """Put clips into slots, over a little noise."""
    slot = round(SLOT_S * 16_000)
    pcm = np.random.default_rng(3).normal(0, 20, slot * len(clips))
    for index, clip in enumerate(clips):
        pcm[slot * index :][: len(clip)] += clip
    return pcm.clip(-32768, 32767).astype(np.int16)


def steady(clips: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
    """Leave out clips that Python hears in one way or in another, by where its steps fall.

    Or by a decibel: a browser resamples as it likes, which is enough for a word at its threshold.
    Those that are missed or mistaken whatever happens are kept.
    """
    kept = list(clips)
    while True:
        unsure = set()
        pcm = one_after_another(kept)
        for model in MODELS:
            pythons = [
                python
                for gain in GAINS
                for python in by_python(model, (gain * pcm).clip(-32768, 32767).astype(np.int16))
            ]
            first, *others = [by_clip(python, len(kept)) for python in pythons]
            unsure |= {at for other in others for at in range(len(kept)) if other[at] != first[at]}
        if not unsure:
            return kept
        kept = [clip for at, clip in enumerate(kept) if at not in unsure]


def by_clip(python: Heard, count: int) -> list[list[str]]:
    """Return the words that were heard in each clip."""
    found: list[list[str]] = [[] for _ in range(count)]
    for word, (start, _) in zip(python.words, python.times, strict=True):
        found[min(int(start / SLOT_S), count - 1)].append(word)
    return found


@pytest.fixture(scope="module")
def stage(web_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(web_site, tmp_path_factory.mktemp("stage")) as stage:
        yield stage


Found = dict[tuple[str, int], Heard]


@pytest.fixture(scope="module")
def demo(stage: Stage) -> tuple[NDArray[np.int16], Found]:
    """The recording that ships, and what each page hears in it.

    Without its last word, "no", which `commands-tiny` takes for "go" in a few of the places where
    its steps may fall: in 7 of 32, in Python.
    """
    pcm, rate = soundfile.read("models/demo.flac", frames=17 * 16_000, dtype="int16")
    stage.plays(pcm, rate)
    return pcm, by_pages(stage, OF_DEMO)


@pytest.fixture(scope="module")
def clips(stage: Stage, harken_data: Path) -> tuple[NDArray[np.int16], Found]:
    """Words of people who were not heard in training, from a stereo microphone at 44.1 kHz."""
    pcm = one_after_another(steady(validation_clips(harken_data)))
    loud = soxr.resample(pcm.astype(np.float64), 16_000, 44_100)
    stereo = np.stack([1.25 * loud, 0.75 * loud], axis=1).clip(-32768, 32767).astype(np.int16)
    stage.plays(stereo, 44_100)
    return stereo, by_pages(stage, OF_CLIPS)


@pytest.mark.parametrize(("model", "rate"), OF_DEMO)
def test_the_page_hears_the_demo_as_python_does(
    demo: tuple[NDArray[np.int16], Found], model: str, rate: int
) -> None:
    pcm, pages = demo
    pythons = by_python(model, pcm)
    assert all(python.words[:3] == ("left", "three", "five") for python in pythons)
    assert all(len(python.words) == 13 for python in pythons)
    assert_same(pages[model, rate], pythons)


@pytest.mark.data
@pytest.mark.parametrize(("model", "rate"), OF_CLIPS)
def test_the_page_hears_recordings_of_people_as_python_does(
    clips: tuple[NDArray[np.int16], Found], model: str, rate: int
) -> None:
    pcm, pages = clips
    pythons = by_python(model, pcm, 44_100)
    assert all(len(python.words) >= 14 for python in pythons)
    assert_same(pages[model, rate], pythons)


@pytest.mark.parametrize(("model", "rate"), OF_DEMO)
def test_the_worklet_had_the_rate_of_the_device_and_the_microphone_lost_nothing(
    demo: tuple[NDArray[np.int16], Found], model: str, rate: int
) -> None:
    _, pages = demo
    assert pages[model, rate].facts == f"Now: {rate / 1000:g} kHz, 0.0 s of audio lost."
