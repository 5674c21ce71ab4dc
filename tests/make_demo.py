"""Make the recording that `make demo` plays: ``python tests/make_demo.py --data DIR --out models``.

Clips of single words from the validation part of Speech Commands, each by another speaker, are put
one after the other over faint noise: what a microphone in a quiet room would have heard. Written
are `demo.flac`, the words in it as an Audacity label track, `demo.txt`, and the credits, `demo.md`.

Clips are drawn among those that are cleanly recorded, and not by what any model makes of them: the
data set has clips that are cut off, silent or mislabelled, and a demonstration needs none of them.
It is therefore no measurement; `harken eval` is.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from harken.edge.files import write_atomic
from harken.edge.spotting.endpoints import find_word
from harken.train.splits import which_set

RATE_HZ = 16_000
WORDS = (
    "left", "three", "five", "go", "stop", "forward", "two",
    "backward", "one", "yes", "right", "zero", "up", "no",
)  # fmt: skip

# What makes a clip cleanly recorded.
MARGIN_S = 0.1  # at least so much on either side of the word, so that none of it is cut off
WORD_S = (0.3, 0.75)
MIN_SNR_DB = 28.0  # of the word over the rest of the clip
MAX_PEAK = 0.98  # of full scale: not clipped

# How the recording is put together.
LEAD_S = 1.0  # before the first word and after the last
PAUSE_S = (0.6, 1.2)
KEPT_S = 0.3  # of the clip's own silence, on either side of the word
FADE_S = 0.1
LEVEL_DBFS = -24.0
LEVEL_SPREAD_DB = 3.0
NOISE_DBFS = -68.0


@dataclass(frozen=True, kw_only=True)
class Clip:
    path: Path
    samples: np.ndarray  # (n,) float32, full scale is ±1
    word: slice  # where in them the word is

    @property
    def speaker(self) -> str:
        return self.path.stem.split("_nohash_")[0]


def draw_clips(folder: Path, words: tuple[str, ...], rng: np.random.Generator) -> list[Clip]:
    """A clean validation clip of each word, no two by the same speaker."""
    chosen: list[Clip] = []
    for word in words:
        files = sorted(
            path
            for path in (folder / word).iterdir()
            if "_nohash_" in path.stem
            and not path.stem.endswith("_alt")  # its name belongs to another recording, too
            and which_set(path.stem) == "validation"
        )
        speakers = {clip.speaker for clip in chosen}
        for index in rng.permutation(len(files)):
            clip = read_clean(files[index])
            if clip is not None and clip.speaker not in speakers:
                chosen.append(clip)
                break
        else:
            sys.exit(f"{folder / word}: no clean validation clip by a speaker not heard before")
    return chosen


def read_clean(path: Path) -> Clip | None:
    samples, rate_hz = soundfile.read(path, dtype="int16")
    start, end = find_word(samples)
    sound = samples.astype(np.float32) / 32768
    rest = np.concatenate((sound[:start], sound[end:]))
    margin = round(MARGIN_S * RATE_HZ)
    clean = (
        rate_hz == RATE_HZ
        and sound.ndim == 1
        and start >= margin
        and end <= len(sound) - margin
        and WORD_S[0] <= (end - start) / RATE_HZ <= WORD_S[1]
        and np.abs(sound).max() <= MAX_PEAK
        and decibels(sound[start:end]) - decibels(rest) >= MIN_SNR_DB
    )
    return Clip(path=path, samples=sound, word=slice(start, end)) if clean else None


def decibels(sound: np.ndarray) -> float:
    return 20 * float(np.log10(max(1e-6, np.sqrt(np.mean(np.square(sound))))))


def assemble(
    clips: list[Clip], rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """The recording, (n,) int16, and from when to when each word is in it, in seconds."""
    kept, fade = round(KEPT_S * RATE_HZ), round(FADE_S * RATE_HZ)
    rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32)) ** 2
    parts: list[tuple[int, np.ndarray]] = []
    times: list[tuple[float, float]] = []
    position = round(LEAD_S * RATE_HZ)  # of the next word's first sample
    for clip in clips:
        first = max(0, clip.word.start - kept)
        part = clip.samples[first : clip.word.stop + kept].copy()
        part[:fade] *= rise
        part[-fade:] *= rise[::-1]
        level = LEVEL_DBFS + rng.uniform(-LEVEL_SPREAD_DB, LEVEL_SPREAD_DB)
        part *= 10 ** ((level - decibels(clip.samples[clip.word])) / 20)
        parts.append((position - (clip.word.start - first), part))
        end = position + clip.word.stop - clip.word.start
        times.append((position / RATE_HZ, end / RATE_HZ))
        position = end + round(rng.uniform(*PAUSE_S) * RATE_HZ)
    length = round((times[-1][1] + LEAD_S) * RATE_HZ)
    sound = pink_noise(length, rng) * np.float32(10 ** (NOISE_DBFS / 20))
    for start, part in parts:
        sound[start : start + len(part)] += part
    return np.rint(np.clip(sound, -1, 1 - 1 / 32768) * 32768).astype(np.int16), times


def pink_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of power 1 with a spectrum of 1/f, (length,) float32."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, length)
    return (noise / noise.std()).astype(np.float32)


def credits_page(clips: list[Clip], seed: int, seconds: float) -> str:
    rows = "\n".join(f"| {clip.path.parent.name} | `{clip.path.stem}` |" for clip in clips)
    speakers = len({clip.speaker for clip in clips})
    return f"""# demo.flac

{len(clips)} words by {speakers} speakers in {seconds:.1f} s: what `make demo` and
`harken listen --demo` play if there is no microphone. `demo.txt` gives the start and end of each
word, as an Audacity label track; the times follow the energy, so faint consonants may lie outside.

**Source and licence.** Excerpts of Google's Speech Commands data set, recorded by volunteers and
published by Pete Warden, Google, under
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/): P. Warden, "Speech Commands: A Dataset
for Limited-Vocabulary Speech Recognition", 2018, [arXiv:1804.03209](https://arxiv.org/abs/1804.03209).
Changes: the clips were cut around the word, faded, set to similar levels and joined over faint
synthetic noise. The recording is under the same licence, CC BY 4.0.

**Made with** `python tests/make_demo.py --data DIR --out models --seed {seed}`. The clips are from
the validation split of the data, which no shipped model was trained on. They were drawn from the
clean recordings, so the demo shows how harken works, but not how accurate it is.

| word | clip |
|---|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the recording that `make demo` plays.")
    parser.add_argument(
        "--data", type=Path, required=True, help="Speech Commands, or a folder that holds it"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="of every draw")
    arguments = parser.parse_args()
    folder = arguments.data
    if (folder / "speech_commands").is_dir():
        folder /= "speech_commands"
    missing = [word for word in WORDS if not (folder / word).is_dir()]
    if missing:
        sys.exit(f"{folder}: no folder of the words {', '.join(missing)}; is this Speech Commands?")

    rng = np.random.default_rng(arguments.seed)
    clips = draw_clips(folder, WORDS, rng)
    sound, times = assemble(clips, rng)
    arguments.out.mkdir(parents=True, exist_ok=True)
    recording = arguments.out / "demo.flac"
    soundfile.write(recording, sound, RATE_HZ, subtype="PCM_16")
    labels = "".join(
        f"{start:.6f}\t{end:.6f}\t{word}\n" for word, (start, end) in zip(WORDS, times, strict=True)
    )
    write_atomic(arguments.out / "demo.txt", labels)
    write_atomic(
        arguments.out / "demo.md", credits_page(clips, arguments.seed, len(sound) / RATE_HZ)
    )
    print(f"{recording}: {len(sound) / RATE_HZ:.1f} s, {recording.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
