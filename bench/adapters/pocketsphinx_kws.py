"""Let PocketSphinx spot words, so that harken can measure it on its own scenes.

    pip install pocketsphinx            # builds with a C compiler and CMake
    harken eval --stream --data DATA --words yes,no,left \
        --adapter 'python bench/adapters/pocketsphinx_kws.py'

PocketSphinx 5 spots keyphrases with its own acoustic model and dictionary for US English. This
file needs neither harken nor numpy: it is also an example of an adapter; any other program can be
measured in the same way.

An adapter reads raw samples (16-bit, little-endian, mono, 16 kHz) from standard input, finds the
words to spot in the environment variable HARKEN_WORDS, and prints one line of JSON for each word
that it detects:

    {"word": "left", "end_s": 1.24, "confidence": -3.1}

``end_s`` is how much audio had been processed at the detection. ``confidence`` is the base-10
logarithm of the likelihood ratio of the word to any other sounds, the scale of PocketSphinx's own
thresholds (1e-5 is -5). The threshold here is low, so that a whole range of thresholds can be
measured in one run; --threshold sets another.

Of overlapping detections, such as "four" in "forward", the likeliest counts.

Keyphrase spotting is made for phrases of several syllables; on words as short as "up" it has many
false accepts at any threshold.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pocketsphinx import Decoder, get_model_path

RATE_HZ = 16_000
FRAMES_PER_S = 100
BLOCK_SAMPLES = RATE_HZ // 20

# How long a detection waits for a likelier one that overlaps it.
HOLD_S = 0.2

# How long a reported detection is remembered, so that no less likely one repeats it.
RECENT_S = 2.0

# From src/kws_search.c: what it subtracts from a score, and the bits by which scores are shifted.
KWS_MAX, SCORE_SHIFT = 1500, 10
LOG_BASE = 1.0001


@dataclass
class Detection:
    word: str
    start_s: float
    end_s: float
    confidence: float

    def overlaps(self, other: Detection) -> bool:
        return self.start_s < other.end_s and other.start_s < self.end_s


def main() -> None:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=1e-5,
        help="lowest likelihood ratio at which a word counts (%(default)g)",
    )
    given = parser.parse_args()
    if given.threshold <= 0:
        parser.error("--threshold is a likelihood ratio: it must be greater than 0, such as 1e-5")
    words = [word for word in os.environ.get("HARKEN_WORDS", "").split(",") if word]
    if not words:
        parser.error("HARKEN_WORDS names no words; set it to some, such as yes,no,left")
    listen(spotter(words, given.threshold))


def spotter(words: list[str], threshold: float) -> Decoder:
    with tempfile.TemporaryDirectory() as folder:
        phrases = Path(folder) / "words.kws"
        phrases.write_text("".join(f"{word} /{threshold:g}/\n" for word in words))
        decoder = Decoder(
            hmm=get_model_path("en-us/en-us"),
            dict=get_model_path("en-us/cmudict-en-us.dict"),
            kws=str(phrases),
            lm=None,
            loglevel="FATAL",
        )
    missing = [word for word in words if decoder.lookup_word(word) is None]
    if missing:
        sys.exit(f"the dictionary of PocketSphinx lacks {', '.join(missing)}")
    return decoder


def listen(decoder: Decoder) -> None:
    known, heard_samples = 0, 0
    waiting: list[Detection] = []
    said: list[Detection] = []
    decoder.start_utt()
    while block := sys.stdin.buffer.read(2 * BLOCK_SAMPLES):
        decoder.process_raw(block[: len(block) // 2 * 2])
        heard_samples += len(block) // 2
        now_s = heard_samples / RATE_HZ
        found = list(decoder.seg() or ())
        waiting += [detection(segment) for segment in found[known:]]
        known = max(known, len(found))
        waiting = report(waiting, said, now_s, now_s - HOLD_S)
    decoder.end_utt()
    report(waiting, said, heard_samples / RATE_HZ, math.inf)


def report(
    waiting: list[Detection], said: list[Detection], now_s: float, until_s: float
) -> list[Detection]:
    """Print detections that ended before a time and are the likeliest there; return the rest."""
    left = []
    said[:] = [other for other in said if other.end_s > now_s - RECENT_S]
    for one in waiting:
        if any(one.overlaps(other) and other.confidence > one.confidence for other in waiting):
            continue
        if one.end_s > until_s:
            left.append(one)
        elif not any(one.overlaps(other) and other.confidence > one.confidence for other in said):
            said.append(one)
            event = {"word": one.word, "end_s": now_s, "confidence": round(one.confidence, 3)}
            print(json.dumps(event), flush=True)
    return left


def detection(segment) -> Detection:
    score = math.log(segment.prob) / math.log(LOG_BASE) + KWS_MAX
    return Detection(
        word=segment.word.strip(),
        start_s=segment.start_frame / FRAMES_PER_S,
        end_s=(segment.end_frame + 1) / FRAMES_PER_S,
        confidence=score * 2**SCORE_SHIFT * math.log10(LOG_BASE),
    )


if __name__ == "__main__":
    main()
