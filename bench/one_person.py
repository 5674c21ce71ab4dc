"""Measure models of one person's own words: how many of the person's other clips they get right.

    python bench/one_person.py DATA OUT --base BASE --words W,… --speakers S,… [--train N]
        [--epochs N] [--json]

For each speaker of DATA/speech_commands (the part of a file's name before ``_nohash_``), the first
N clips of every word are the recordings, `make_model` makes a model of the words as `harken new
--recordings` does, and the other clips of the speaker are classified. BASE is a file of weights
(NAME.base.npz) that have not learned the words, or a base's name. Models stay in OUT/SPEAKER; a
second call only measures them. Synthetic clips are made once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harken.edge import Spotter, load_model
from harken.edge.errors import DataError
from harken.edge.files import write_atomic
from harken.train.base import Base, load_base
from harken.train.decode import AUDIO_SUFFIXES, decode
from harken.train.intervals import share_interval
from harken.train.own.material import STATE_FILE
from harken.train.own.new import Request, epochs_for, make_model
from harken.train.own.shipped import base_file, pack_file
from harken.train.own.voices import Speaker, speakers


def clips_of(data: Path, speaker: str, word: str) -> list[Path]:
    """Return a speaker's clips of a word."""
    folder = data / "speech_commands" / word
    return sorted(
        path for path in folder.glob(f"{speaker}_nohash_*") if path.suffix.lower() in AUDIO_SUFFIXES
    )


def record(data: Path, speaker: str, words: Sequence[str], count: int, folder: Path) -> list[str]:
    """Copy a speaker's first clips of each word, as ``WORD/SPEAKER/``; return the words."""
    found = []
    for word in words:
        clips = clips_of(data, speaker, word)
        if len(clips) > count:
            found.append(word)
            target = folder / word / speaker
            target.mkdir(parents=True, exist_ok=True)
            for clip in clips[:count]:
                shutil.copy(clip, target)
    return found


def make(
    out: Path,
    words: Sequence[str],
    base: Base,
    speaking: Sequence[Speaker],
    *,
    voices: Path,
    epochs: int,
) -> float:
    """Make a model of the recordings in a folder; return how many seconds it took."""
    request = Request(
        words=tuple(words),
        name="own",
        recordings=str(out / "recordings"),
        base=base.name,
        epochs=epochs,
    )
    made = out / "model"
    if not (made / STATE_FILE).exists() and voices.exists():
        shutil.copytree(voices, made / "voices")
        write_atomic(made / STATE_FILE, json.dumps({"request": request.to_dict()}), error=DataError)
    started = time.monotonic()
    make_model(
        request,
        made,
        base=base,
        pack=pack_file(),
        speakers=speaking,
        advice=(),
        on_stage=lambda stage: print(f"{out.name}: {stage} …", flush=True),
    )
    if not voices.exists():
        shutil.copytree(made / "voices", voices)
    return time.monotonic() - started


def main() -> None:
    """Read the command line, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", required=True)
    parser.add_argument("--words", required=True)
    parser.add_argument("--speakers", required=True)
    parser.add_argument("--train", type=int, default=3, metavar="N", help="clips per word [3]")
    parser.add_argument("--epochs", type=int, help="as of `harken new`")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    base = load_base(base_file(given.base))
    speaking = speakers()
    figures: list[dict[str, Any]] = []
    for speaker in given.speakers.split(","):
        out = given.out / speaker
        words = record(given.data, speaker, given.words.split(","), given.train, out / "recordings")
        model = out / "model" / "own.json"
        seconds, epochs = None, given.epochs or epochs_for(words)
        if not model.exists():
            seconds = make(out, words, base, speaking, voices=given.out / "voices", epochs=epochs)
        spotter = Spotter(load_model(str(model)))
        heard = Counter(
            (word, spotter.classify(decode(clip)))
            for word in words
            for clip in clips_of(given.data, speaker, word)[given.train :]
        )
        tested = sum(heard.values())
        right = sum(count for (word, label), count in heard.items() if word == label)
        figures.append(
            {
                "speaker": speaker,
                "words": len(words),
                "recordings": given.train,
                "tested": tested,
                "right": right,
                "wrong": [
                    {"said": word, "heard": label, "times": count}
                    for (word, label), count in heard.items()
                    if word != label
                ],
                "seconds": None if seconds is None else round(seconds),
            }
        )
    tested = sum(each["tested"] for each in figures)
    right = sum(each["right"] for each in figures)
    interval = share_interval(right, tested)
    if interval is None:
        sys.exit("nothing to test: no speaker has more clips of a word than --train")
    if given.json:
        print(json.dumps({"speakers": figures, "tested": tested, "right": right}, indent=1))
        return
    for each in figures:
        wrong = ", ".join(f"{one['said']} as {one['heard']}" for one in each["wrong"])
        print(
            f"{each['speaker']}: {each['words']} words, {each['recordings']} recordings of each, "
            f"{each['right']} of {each['tested']} right{': ' if wrong else ''}{wrong}"
        )
    low, high = interval
    print(f"all: {right} of {tested} right, {right / tested:.1%} [{low:.1%}, {high:.1%}]")


if __name__ == "__main__":
    main()
