"""Samples in, their level out, and whether it is too loud, too quiet, or digital silence.

Levels are in dBFS: 0 is full scale, so a full-scale sine has an RMS of −3.
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
"""Level shown for digital silence; one bit of 16 is slightly above."""

QUIET_DBFS = -45.0
"""Speech below this is too quiet: words start to drown in the noise of a typical microphone."""

_FRAME_MS = 50
_SHOWN_FRAMES = 4  # the displayed level covers 0.2 s
_HOLD_FRAMES = 30  # the peak is held for 1.5 s
_ZERO_FRAMES = 20  # nothing but zeros for 1 s means no sound
_CLIP_FRAMES = 60  # window for clipping: 3 s
_SPEECH_FRAMES = 200  # window for speech: 10 s

# Audio normalised to full scale reaches it once or twice; with too much gain, it does again and
# again. The highest 16-bit values count as full scale, since a resampler rounds them.
_CLIPPED = 32_700
_MOST_CLIPPED_SAMPLES = 9

# Speech is above the noise between words, and lasts; a click does not.
_ABOVE_NOISE_DB = 10.0
_LEAST_SPEECH_FRAMES = 6
_LEAST_SPEECH_DBFS = -80.0  # below this, it is only 16-bit rounding noise
_HYSTERESIS_DB = 3.0


class Fault(enum.Enum):
    """A problem with the level: its name, a remedy, and a short remedy."""

    NO_SOUND = (
        "no sound",
        "nothing but zeros: is the microphone muted or blocked?",
        "muted or blocked?",
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
    """Tracks the level of a stream.

    Parameters
    ----------
    sample_rate_hz : int
        Sample rate.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._frame_samples = sample_rate_hz * _FRAME_MS // 1000
        self._rest = np.zeros(0, np.int16)
        self._frames: deque[_Frame] = deque(maxlen=_SPEECH_FRAMES)
        self._too_quiet = False

    def feed(self, samples: NDArray[np.int16]) -> None:
        """Add samples, shape ``(n,)``; any n."""
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
        """Peak of the last 1.5 s."""
        return _dbfs(max((frame.peak for frame in self._last(_HOLD_FRAMES)), default=0) / 32768)

    def fault(self) -> Fault | None:
        """Return the problem with the level over the last seconds; None if there is none."""
        zeros = self._last(_ZERO_FRAMES)
        if len(zeros) == _ZERO_FRAMES and not any(frame.peak for frame in zeros):
            return Fault.NO_SOUND
        clipped = [frame.clipped for frame in self._last(_CLIP_FRAMES) if frame.clipped]
        if len(clipped) > 1 and sum(clipped) > _MOST_CLIPPED_SAMPLES:
            return Fault.CLIPPING
        speech_dbfs = self.speech_dbfs()
        # Hysteresis: the warning must not flicker when speech is near the limit.
        bound_dbfs = QUIET_DBFS + _HYSTERESIS_DB * self._too_quiet
        self._too_quiet = speech_dbfs is not None and speech_dbfs < bound_dbfs
        return Fault.TOO_QUIET if self._too_quiet else None

    def speech_dbfs(self) -> float | None:
        """Return the level of speech in the last 10 s; None if there was none.

        Speech is whatever exceeds the quietest moments by 10 dB for at least 0.3 s in total.
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
    """Return a magnitude (full scale 1) in dBFS."""
    return max(20 * math.log10(magnitude), FLOOR_DBFS) if magnitude else FLOOR_DBFS
