"""The recording that ships: what it holds, and that the shipped model hears it."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import pytest
import soundfile

from harken.edge import Spotter
from harken.edge.app.listen_cli import DEMO
from harken.edge.spotting.manifest import shipped_models
from harken.train.splits import which_set

MODEL = "commands"


@dataclass(frozen=True)
class Spoken:
    start_s: float
    end_s: float
    word: str


@pytest.fixture(scope="module")
def spoken() -> list[Spoken]:
    rows = [line.split("\t") for line in DEMO.with_suffix(".txt").read_text().splitlines()]
    return [Spoken(float(start), float(end), word) for start, end, word in rows]


def test_it_is_what_a_microphone_delivers():
    sound = soundfile.info(DEMO)
    assert (sound.samplerate, sound.channels, sound.subtype) == (16_000, 1, "PCM_16")
    assert 15 <= sound.duration <= 25


def test_its_labels_name_different_words_one_after_the_other(spoken):
    assert len(spoken) == len({label.word for label in spoken}) == 14
    assert all(label.start_s < label.end_s for label in spoken)
    assert all(a.end_s + 0.5 < b.start_s for a, b in itertools.pairwise(spoken))
    assert spoken[-1].end_s < soundfile.info(DEMO).duration


def test_each_word_has_a_credited_speaker_whom_training_does_not_hear(spoken):
    credited = re.findall(r"\| (\w+) \| `(\w+)` \|", DEMO.with_suffix(".md").read_text())
    assert [word for word, _ in credited] == [label.word for label in spoken]
    assert {which_set(clip) for _, clip in credited} == {"validation"}
    assert len({clip.split("_nohash_")[0] for _, clip in credited}) == len(spoken)


def test_the_shipped_model_hears_its_words(spoken):
    if MODEL not in shipped_models():
        pytest.skip(f"no model {MODEL} ships")
    samples, _ = soundfile.read(DEMO, dtype="int16")
    unheard, unspoken = list(spoken), []
    for event in Spotter(MODEL).feed(samples):
        for label in unheard:
            if event.word == label.word and label.start_s < event.end_s < label.end_s + 0.5:
                unheard.remove(label)
                break
        else:
            unspoken.append(event)
    assert len(unheard) <= 2, unheard
    assert len(unspoken) <= 1, unspoken
