"""Samples in, how loud they are out, and whether that is too loud, too quiet, or nothing at all.

Levels are in dBFS: 0 is full scale, so that a sine of full scale has an RMS of −3.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR_DBFS = -96.0
"""What digital silence is said to have; one bit of 16 is not far above."""

QUIET_DBFS = -45.0
"""Speech below it is too quiet: over the noise of a usual microphone, words get lost from there."""

_FRAME_MS = 50
_SHOWN_FRAMES = 4  # of which the level is shown: 0.2 s
_HOLD_FRAMES = 30  # of which the highest peak is held: 1.5 s
_ZERO_FRAMES = 20  # so long nothing but zeros, and there is no sound: 1 s
_CLIP_FRAMES = 60  # in which clipping is looked for: 3 s
_SPEECH_FRAMES = 200  # in which speech is looked for: 10 s

# A peak that was normalised to full scale touches it once or twice; a gain too high, again and
# again. The highest values of 16 bits are taken together: a resampler rounds them.
_CLIPPED = 32_700
_MOST_CLIPPED_SAMPLES = 9

# Speech stands out of the noise between the words, and lasts; a click does not.
_ABOVE_NOISE_DB = 10.0
_LEAST_SPEECH_FRAMES = 6
_LEAST_SPEECH_DBFS = -80.0  # below, it is the rounding to 16 bits that stands out
_HYSTERESIS_DB = 3.0


class Fault(enum.Enum):
    """What is wrong with the level: what it is called, what to do about it, and that in short."""

    NO_SOUND = (
        "no sound",
        "nothing but zeros: is the microphone muted, or not allowed?",
        "muted, or not allowed?",
    )
    CLIPPING = (
        "clipping",
        "lower the gain in your sound settings, or move away",
        "lower the gain",
    )
    TOO_QUIET = (
        "too quiet",
        "raise the gain in your sound settings, or come closer",
        "raise the gain",
    )

    def __init__(self, title: str, remedy: str, short_remedy: str) -> None:
        self.title = title
        self.remedy = remedy
        self.short_remedy = short_remedy


class _Frame(NamedTuple):
    rms_dbfs: float
    peak: int
    clipped: int


class LevelMeter:
    """Follows how loud a stream is.

    Parameters
    ----------
    sample_rate_hz : int
        Samples a second.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._frame_samples = sample_rate_hz * _FRAME_MS // 1000
        self._rest = np.zeros(0, np.int16)
        self._frames: deque[_Frame] = deque(maxlen=_SPEECH_FRAMES)
        self._too_quiet = False

    def feed(self, samples: NDArray[np.int16]) -> None:
        """Take in samples, shape ``(n,)``; any n."""
        joined = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        whole = len(joined) // self._frame_samples * self._frame_samples
        self._rest = joined[whole:]
        if not whole:
            return
        frames = joined[:whole].reshape(-1, self._frame_samples).astype(np.float32)
        magnitudes = np.abs(frames)
        self._frames.extend(
            _Frame(_dbfs(math.sqrt(power) / 32768), int(peak), int(clipped))
            for power, peak, clipped in zip(
                np.square(frames).mean(axis=1).tolist(),
                magnitudes.max(axis=1).tolist(),
                (magnitudes >= _CLIPPED).sum(axis=1).tolist(),
                strict=True,
            )
        )

    @property
    def rms_dbfs(self) -> float:
        """RMS of the last 0.2 s."""
        shown = self._last(_SHOWN_FRAMES)
        powers = [10 ** (frame.rms_dbfs / 10) for frame in shown]
        return 10 * math.log10(sum(powers) / len(powers)) if powers else FLOOR_DBFS

    @property
    def peak_dbfs(self) -> float:
        """The greatest magnitude of the last 1.5 s."""
        return _dbfs(max((frame.peak for frame in self._last(_HOLD_FRAMES)), default=0) / 32768)

    def fault(self) -> Fault | None:
        """Return what is wrong with the level, judged over some seconds; None if nothing is."""
        zeros = self._last(_ZERO_FRAMES)
        if len(zeros) == _ZERO_FRAMES and not any(frame.peak for frame in zeros):
            return Fault.NO_SOUND
        clipped = [frame.clipped for frame in self._last(_CLIP_FRAMES) if frame.clipped]
        if len(clipped) > 1 and sum(clipped) > _MOST_CLIPPED_SAMPLES:
            return Fault.CLIPPING
        speech_dbfs = self.speech_dbfs()
        # Speech near the bound shall not make the warning come and go.
        bound_dbfs = QUIET_DBFS + _HYSTERESIS_DB * self._too_quiet
        self._too_quiet = speech_dbfs is not None and speech_dbfs < bound_dbfs
        return Fault.TOO_QUIET if self._too_quiet else None

    def speech_dbfs(self) -> float | None:
        """Return how loud the speech of the last 10 s is; None if there was none.

        Speech is here whatever stands out of the quietest moments by 10 dB for 0.3 s in all.
        """
        levels = np.array([frame.rms_dbfs for frame in self._frames])
        if len(levels) < 2 * _ZERO_FRAMES:
            return None
        noise_dbfs = float(np.percentile(levels, 10))
        speech = levels[levels >= max(noise_dbfs + _ABOVE_NOISE_DB, _LEAST_SPEECH_DBFS)]
        if len(speech) < _LEAST_SPEECH_FRAMES:
            return None
        return float(np.percentile(speech, 80))

    def _last(self, count: int) -> list[_Frame]:
        return [self._frames[index] for index in range(-min(count, len(self._frames)), 0)]


def _dbfs(magnitude: float) -> float:
    """Return a magnitude, full scale 1, in dBFS."""
    return max(20 * math.log10(magnitude), FLOOR_DBFS) if magnitude else FLOOR_DBFS
