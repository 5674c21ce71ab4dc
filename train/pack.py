"""A small file in; out come hours of other people's speech and of noise, as features.

To train a word of your own, you have recordings or synthetic voices of that word, but nothing to
distinguish it from all other audio. The pack that ships with harken replaces a collection: it holds
the MFCC of speech and noise, not the audio. Two sources are mixed in the mel bands, whose powers
add up, apart from phase; bands from 20 of 40 coefficients are smoothed, which is good enough for
background audio.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError
from ..edge.spotting.frontend import FrontEndConfig, dct_matrix
from .archive import write_arrays
from .config import StreamConfig
from .splits import Split
from .transcripts import tokens

Float32 = NDArray[np.float32]
PackKind = Literal["speech", "noise"]

VERSION = 1
LEVEL_DB = -26.0
"""Level of speech in a pack, in dB of full scale: the RMS of each recording."""

_LEVELS = 3.0  # quantization steps per standard deviation
_SPEECH_GAIN_DB = (-26.0, 16.0)
_NOISE_ALONE_DB = (-70.0, -20.0)  # in dB of full scale
_TALK_SHARE = 0.25  # share of talkers among the background noise
_TALK_SNR_DB = (3.0, 30.0)
_BEHIND_SPEECH = 0.5  # share of the speech with noise in the background
_LOUD = 0.9  # quantile of the frames that defines a stream's level
_FLOOR_DB = -100.0  # of a mel band, as in the front end
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A piece of one recording."""

    source: str
    """The collection that it comes from."""
    kind: PackKind
    split: Split
    start: int
    """First frame."""
    length: int
    """Frames."""
    text: str | None = None
    """Its text, if known."""

    def may_say(self, words: Collection[str]) -> bool:
        """Whether its text contains one of these words, or all parts of one."""
        if self.text is None:
            return False
        said = set(tokens(self.text))
        return any(said.issuperset(tokens(word.replace("_", " "))) for word in words)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pack:
    """Speech and noise, as features.

    Attributes
    ----------
    stored
        (n, n_mfcc) int8: coefficients less `offset`, divided by `scale`, rounded.
    offset, scale
        (n_mfcc,) float32, for coefficients that are not standardised.
    sections
        Sorted by `Section.start`.
    front_end
        Their front end; without mean and std.
    sources
        Licence of each source.
    """

    stored: NDArray[np.int8]
    offset: Float32
    scale: Float32
    sections: tuple[Section, ...]
    front_end: FrontEndConfig
    sources: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256(self.stored.tobytes())
        digest.update(json.dumps([asdict(section) for section in self.sections]).encode())
        return digest.hexdigest()

    def mfcc(self, section: Section) -> Float32:
        """Return a section's coefficients, not standardised: (length, n_mfcc) float32."""
        piece = self.stored[section.start : section.start + section.length]
        return piece * self.scale + self.offset

    def select(
        self, kind: PackKind, split: Split, words: Collection[str] = ()
    ) -> tuple[Section, ...]:
        """Return the sections of a kind and a split that contain none of the words."""
        return tuple(
            section
            for section in self.sections
            if section.kind == kind and section.split == split and not section.may_say(words)
        )

    def hours(self, sections: Sequence[Section]) -> float:
        """Return the total duration of sections."""
        hop_s = self.front_end.hop_samples / self.front_end.sample_rate_hz
        return sum(section.length for section in sections) * hop_s / 3600

    def require(self, front_end: FrontEndConfig) -> None:
        """Refuse a front end that does not match the features; raises DataError."""
        if dataclasses.replace(front_end, mean=(), std=()) != self.front_end:
            raise DataError(
                "the pack of speech and noise was made with another front end than this model's; "
                "train with recordings of speech and noise instead"
            )


def pack_of(
    pieces: Sequence[tuple[Section, Float32]],
    front_end: FrontEndConfig,
    sources: dict[str, str],
) -> Pack:
    """Make a pack.

    Parameters
    ----------
    pieces
        Sections, positions ignored, and their coefficients, (n, n_mfcc), not standardised.
    front_end
        Their front end.
    sources
        Licence of each source.
    """
    frames = np.concatenate([coefficients for _, coefficients in pieces])
    offset = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = (frames.std(axis=0, dtype=np.float64) / _LEVELS).astype(np.float32)
    stored = np.rint((frames - offset) / scale).clip(-127, 127).astype(np.int8)
    sections, start = [], 0
    for section, coefficients in pieces:
        length = len(coefficients)
        sections.append(dataclasses.replace(section, start=start, length=length))
        start += length
    return Pack(
        stored=stored,
        offset=offset,
        scale=scale,
        sections=tuple(sections),
        front_end=dataclasses.replace(front_end, mean=(), std=()),
        sources=sources,
    )


def save_pack(pack: Pack, path: Path) -> None:
    """Write a pack, completely or not at all; raises DataError if that fails."""
    description = {
        "harken_pack": VERSION,
        "front_end": {
            name: value
            for name, value in asdict(pack.front_end).items()
            if name not in ("mean", "std")
        },
        "sources": pack.sources,
        "sections": [asdict(section) for section in pack.sections],
    }
    # Neighbouring frames are similar, so their differences compress better.
    changes = np.diff(pack.stored.view(np.uint8), axis=0, prepend=np.uint8(0))
    arrays = {
        "changes": np.ascontiguousarray(changes.T),
        "offset": pack.offset,
        "scale": pack.scale,
    }
    write_arrays(path, arrays, description, compression=zipfile.ZIP_LZMA)


def load_pack(path: Path) -> Pack:
    """Read a pack.

    Raises
    ------
    DataError
        There is no such file, it is not a pack, or it is from a newer harken.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            description: dict[str, Any] = json.loads(file["description"].tobytes())
            if description["harken_pack"] != VERSION:
                raise DataError(
                    f"{path}: harken_pack is {description['harken_pack']}, but this harken reads "
                    f"{VERSION}; upgrade harken"
                )
            changes = np.ascontiguousarray(file["changes"].T)
            return Pack(
                stored=np.cumsum(changes, axis=0, dtype=np.uint8).view(np.int8),
                offset=file["offset"],
                scale=file["scale"],
                sections=tuple(Section(**section) for section in description["sections"]),
                front_end=FrontEndConfig(**description["front_end"]),
                sources=description["sources"],
            )
    except FileNotFoundError:
        raise DataError(f"{path} is missing: the pack of speech and noise") from None
    except _DAMAGE as problem:
        raise DataError(f"{path} is not a pack of speech and noise ({problem})") from None


class PackSounds:
    """Draws speech and noise from a pack, for streams of a corpus that has none itself.

    Parameters
    ----------
    pack
        The pack.
    words
        Words whose sections are left out.
    split
        The split to draw from.
    config
        How streams are drawn.
    speech, noise
        Whether to draw speech and noise.
    """

    def __init__(
        self,
        pack: Pack,
        words: Collection[str],
        split: Split,
        config: StreamConfig,
        *,
        speech: bool,
        noise: bool,
    ) -> None:
        self._pack, self._config = pack, config
        self._speech = pack.select("speech", split, words) if speech else ()
        self._noise = pack.select("noise", split, words) if noise else ()
        self._weights = {
            kind: np.cumsum([section.length for section in sections])
            for kind, sections in (("speech", self._speech), ("noise", self._noise))
        }
        self._bands = dct_matrix(pack.front_end).astype(np.float32)  # (n_mfcc, n_mels)

    def mix(
        self,
        rng: np.random.Generator,
        decibels: Float32,
        allowed: NDArray[np.bool_],
    ) -> None:
        """Replace some streams by speech, and add noise or talk behind others, in place.

        Parameters
        ----------
        rng
            The random generator.
        decibels
            Log mel power, (batch, n_mels, frames), changed in place.
        allowed
            Allowed labels at each step, (batch, steps, labels); the last two are "unknown"
            and "silence". Changed in place.
        """
        for stream, labels in zip(decibels, allowed, strict=True):
            count = stream.shape[1]
            if self._speech and rng.random() < self._config.speech_stream_share:
                stream[:] = self._draw(rng, "speech", count) + rng.uniform(*_SPEECH_GAIN_DB)
                labels[:] = False
                labels[:, -2:] = True
                if rng.random() < _BEHIND_SPEECH:
                    self._behind(rng, stream)
            elif rng.random() >= self._config.clean_share:
                self._behind(rng, stream)
            np.maximum(stream, np.float32(_FLOOR_DB), out=stream)

    def _behind(self, rng: np.random.Generator, stream: Float32) -> None:
        """Add noise or a talker to a stream, (n_mels, frames), in place."""
        low, high = self._config.snr_db
        snr_db = rng.uniform(low, high)
        if self._speech and rng.random() < _TALK_SHARE:
            noise = self._draw(rng, "speech", stream.shape[1])
            snr_db = rng.uniform(*_TALK_SNR_DB)
        elif self._noise:
            noise = self._draw(rng, "noise", stream.shape[1])
        else:
            return
        shift = _level_db(stream) - _level_db(noise) - snr_db
        stream[:] = 10 * np.log10(10 ** (stream / 10) + 10 ** ((noise + np.float32(shift)) / 10))

    def _draw(self, rng: np.random.Generator, kind: PackKind, frames: int) -> Float32:
        """Return this many frames of log mel power, (n_mels, frames): one section after another."""
        sections = self._speech if kind == "speech" else self._noise
        ends = self._weights[kind]
        pieces: list[Float32] = []
        missing = frames
        while missing > 0:
            place = int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))
            section = sections[place]
            first = int(rng.integers(0, section.length)) if not pieces else 0
            piece = self._pack.mfcc(section)[first : first + missing]
            pieces.append(piece)
            missing -= len(piece)
        bands: Float32 = self._bands.T @ np.concatenate(pieces).T
        return bands


def _level_db(decibels: Float32) -> float:
    """Return the approximate level of the loud frames of (n_mels, frames), in dB."""
    power = np.mean(10 ** (decibels / 10), axis=0)
    return float(10 * np.log10(np.quantile(power, _LOUD) + 1e-12))
