"""A collection of recordings in, the pack of speech and noise that ships with harken out.

``python -m harken.train.own.make_pack DATA --add models/recipes --config
models/recipes/commands.train.json --out models/pack.npz``

From each source, as many minutes as `MINUTES` says, drawn by recording with a fixed seed. Held-out
data of the shipped models is validation here, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from ...edge.spotting.frontend import FrontEndConfig
from .. import augment
from ..batches import DataSource
from ..corpus import Corpus, Recording
from ..decode import SAMPLE_RATE_HZ
from ..features import mfcc
from ..pack import LEVEL_DB, PackKind, Section, pack_of, save_pack
from ..splits import SPLITS, Split

MINUTES: dict[str, tuple[float, float]] = {
    "speech/librispeech": (25, 15),
    "speech/common_voice": (25, 20),
    "speech/speechocean762": (20, 15),
    "speech/alphanumeric": (6, 4),
    "speech/ami": (3, 2),
    "negatives/french_reading": (10, 10),
    "speech_commands": (15, 0),
    "noise/kitchen20": (8, 4),
    "esc10": (8, 4),
    "background_noise": (5, 1),
}
"""Minutes of training and of validation, by the start of the path."""

SOURCES = {
    "speech/librispeech": "LibriSpeech (Panayotov et al., 2015): CC BY 4.0",
    "speech/common_voice": "Mozilla Common Voice: CC0",
    "speech/speechocean762": "speechocean762 (Zhang et al., 2021): CC BY 4.0",
    "speech/alphanumeric": "Alphanumeric audio (Dialpad, 2022): MIT",
    "speech/ami": "AMI Meeting Corpus: CC BY 4.0",
    "negatives/french_reading": "LibriVox, French poetry: public domain",
    "speech_commands": "Google Speech Commands (Warden, 2018): CC BY 4.0",
    "noise/kitchen20": "Kitchen20 (Moreaux et al., 2019): Apache-2.0",
    "esc10": "ESC-10 (Piczak, 2015): CC BY 3.0",
    "background_noise": "Google Speech Commands, background noise: CC BY 4.0",
}

_SEED = 19
_PIECE_S = 12.0
_MOST_GAIN_DB = 40.0
_SCALE = np.float32(1 / 32768)
_LEVEL = augment.decibels(LEVEL_DB)


def main() -> None:
    """Read the command line, and write the pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--add", type=Path, action="append", default=[])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    config = json.loads(options.config.read_text("utf-8"))
    corpus = DataSource(
        root=options.data,
        additions=tuple(options.add),
        held_out_speech=tuple(config["held_out_speech"]),
        left_out=tuple(config["left_out"]),
    ).open()
    front_end = FrontEndConfig(n_mfcc=20)
    pieces = []
    for source in MINUTES:
        for split in SPLITS[:2]:
            for recording, first, last in _drawn(corpus, source, split):
                audio = corpus.samples(recording) * _SCALE
                gain = min(_LEVEL / augment.rms(audio), augment.decibels(_MOST_GAIN_DB))
                sound = augment.to_pcm(audio[first:last] * np.float32(gain)) * _SCALE
                kind: PackKind = "noise" if recording.kind == "noise" else "speech"
                section = Section(
                    source=source,
                    kind=kind,
                    split=split,
                    start=0,
                    length=0,
                    text=recording.label if recording.kind == "word" else recording.text,
                )
                pieces.append((section, mfcc(front_end, sound[None])[0]))
    pack = pack_of(pieces, front_end, SOURCES)
    save_pack(pack, options.out)
    for kind in get_args(PackKind):
        for split in SPLITS[:2]:
            hours = pack.hours(pack.select(kind, split))
            print(f"{kind}, {split}: {hours:.2f} h")
    print(f"{options.out}: {options.out.stat().st_size} bytes")


def _drawn(corpus: Corpus, source: str, split: Split) -> Iterator[tuple[Recording, int, int]]:
    """Draw pieces of a source's recordings until its minutes are full."""
    minutes = MINUTES[source][0 if split == "training" else 1]
    wanted = minutes * 60 * SAMPLE_RATE_HZ
    there = [
        recording
        for recording in corpus.recordings
        if recording.path.startswith(source + "/")
        and recording.split == split
        and recording.kind in ("word", "speech", "noise")
    ]
    for index in np.random.default_rng(_SEED).permutation(len(there)):
        if wanted <= 0:
            return
        recording = there[index]
        count = (
            1
            if recording.text is not None
            else -(-recording.length // round(_PIECE_S * SAMPLE_RATE_HZ))
        )
        for part in range(min(count, 4)):
            first, last = (recording.length * end // count for end in (part, part + 1))
            if last - first > SAMPLE_RATE_HZ // 4 and wanted > 0:
                yield recording, first, last
                wanted -= last - first


if __name__ == "__main__":
    main()
