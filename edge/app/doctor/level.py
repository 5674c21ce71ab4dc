"""Samples from a microphone in; level, noise, hum, offset and gaps, with remedies, out.

The limits were chosen by what the shipped models detect in the demo recording when it is played
softer, louder, over noise, or over hum (`tests/edge/app/test_doctor.py` checks them). They
detect all words at 40 dB less, and with any offset; what they do not tolerate is
noise or hum within 18 dB of the words, and words with a tenth of their samples clipped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AudioError
from .finding import Finding, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR_DBFS = -120.0
"""Reading for digital silence; the lowest level of 16 bits is -90 dBFS."""

QUIET_DBFS = -50.0
"""Softer words may drown in the noise of most sound cards."""

CLEAR_DB = 18.0
"""Words must be this much louder than the noise."""

SPOKEN_DB = 6.0
"""With less variation than this, the recording is only noise: nobody spoke."""

MOST_CLIPPED = 0.001
"""Share of all samples; slightly above it, a tenth of a word's samples are clipped."""

HUM_SHARE = 0.5
HUM_DBFS = -45.0
"""Hum causes a warning from this level on, if it is at least this share of the noise."""

MOST_OFFSET = 0.05
"""DC offset, as a share of full scale."""

DEAD_DB = 40.0
"""A channel this much softer than the loudest is not connected."""

GATED = 0.3
"""Share of exact zeros from which on pauses must have been muted."""

_FRAME_S = 0.02
_QUIET_S = 1.0  # window for hum: resolves 1 Hz
_LOWEST_HZ = 20.0  # below this is offset drift, not noise
_MAINS_HZ = (50, 60)
_HARMONICS = 6
_LINE_HZ = 2.0  # half the width of a spectral line after a Hann window of `_QUIET_S`
_FULL_SCALE = 32_700  # samples rounded after clipping do not reach 32,767
_GAP_S = 0.005  # a value that stays exactly the same for this long was not recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Measurements of a recording. Levels are RMS in dBFS.

    Attributes
    ----------
    seconds : float
        Its length.
    peak_dbfs : float
        Largest magnitude; -120 for only zeros.
    noise_dbfs, speech_dbfs : float
        The 10th and the 95th percentile of the levels of frames of 20 ms, without the offset.
    clipped, clipped_share
        Number of samples at full scale, and their share.
    offset : float
        Signed mean, as a share of full scale.
    hum_hz : int
        50 or 60, whichever has stronger harmonics.
    hum_share, hum_dbfs : float
        Share of the power of the quietest second at those harmonics, and its level.
    zeros : float
        Share of samples that are exactly 0.
    gaps : int
        Number of stretches of at least 5 ms in which the value does not change.
    gaps_s : float
        Their total length.
    """

    seconds: float
    peak_dbfs: float
    noise_dbfs: float
    speech_dbfs: float
    clipped: int
    clipped_share: float
    offset: float
    hum_hz: int
    hum_share: float
    hum_dbfs: float
    zeros: float
    gaps: int
    gaps_s: float

    @property
    def silent(self) -> bool:
        """Whether there are only zeros."""
        return self.peak_dbfs <= FLOOR_DBFS

    @property
    def contrast_db(self) -> float:
        """Level of the loudest parts above the noise."""
        return self.speech_dbfs - self.noise_dbfs


def measure(samples: NDArray[np.int16], rate_hz: int) -> Level:
    """Measure a recording.

    Parameters
    ----------
    samples : numpy.ndarray
        Shape ``(n,)``, int16; half a second or more.
    rate_hz : int
        Their rate.

    Raises
    ------
    AudioError
        The recording is shorter.
    """
    if 2 * len(samples) < rate_hz:
        raise AudioError(
            f"only {len(samples) / rate_hz:.2f} s of audio arrived; at least half a second is "
            "needed"
        )
    magnitude = np.abs(samples.astype(np.int32))
    clipped = int(np.count_nonzero(magnitude >= _FULL_SCALE))
    sound = samples / 32768
    offset = float(sound.mean())
    sound -= offset
    length = round(_FRAME_S * rate_hz)
    frames = sound[: len(sound) // length * length].reshape(-1, length)
    levels = np.sqrt(np.mean(frames**2, axis=1))
    hum_hz, hum_share, quiet_power = _hum(sound, rate_hz)
    gaps = _constant_stretches(samples, round(_GAP_S * rate_hz))
    return Level(
        seconds=len(samples) / rate_hz,
        peak_dbfs=decibels(float(magnitude.max()) / 32768),
        noise_dbfs=decibels(float(np.percentile(levels, 10))),
        speech_dbfs=decibels(float(np.percentile(levels, 95))),
        clipped=clipped,
        clipped_share=clipped / len(samples),
        offset=offset,
        hum_hz=hum_hz,
        hum_share=hum_share,
        hum_dbfs=decibels(float(np.sqrt(hum_share * quiet_power))),
        zeros=float(np.mean(samples == 0)),
        gaps=len(gaps),
        gaps_s=float(gaps.sum()) / rate_hz,
    )


def decibels(magnitude: float) -> float:
    """Return a magnitude (full scale 1) as a level, at least `FLOOR_DBFS`."""
    return max(FLOOR_DBFS, 20 * float(np.log10(max(magnitude, 1e-9))))


def judge(level: Level, *, lost_s: float = 0.0, mixer: str = "") -> list[Finding]:
    """Judge a microphone's audio, with remedies for problems.

    Parameters
    ----------
    level : Level
        Measurements of a recording in which the user was asked to say a word.
    lost_s : float
        Lost audio, in seconds.
    mixer : str
        Where this system's microphone level is set; completes a sentence after "in".

    Returns
    -------
    list of Finding
        ``microphone.level``; unless there is only silence, also noise, hum, offset and gaps.
    """
    where = f" in {mixer}" if mixer else ""
    if level.silent:
        return [
            Finding(
                check="microphone.level",
                state=State.PROBLEM,
                text=f"digital silence: nothing but zeros for {level.seconds:.1f} s",
                remedy=(
                    f"muted, or this program may not use it: look for a switch on the microphone, "
                    f"and unmute it{where}"
                ),
                kind=AudioError,
                figures=asdict(level),
            )
        ]
    return [
        _judge_level(level, where),
        _judge_noise(level),
        _judge_hum(level),
        _judge_offset(level),
        _judge_gaps(level, lost_s),
    ]


def _judge_level(level: Level, where: str) -> Finding:
    text = (
        f"peak {level.peak_dbfs:.0f} dBFS, loud parts {level.speech_dbfs:.0f} dBFS; "
        f"{level.clipped} samples clipped ({level.clipped_share:.2%})"
    )
    state, remedy = State.OK, None
    if level.clipped_share > MOST_CLIPPED:
        state = State.WARNING
        text = f"too loud: {text}"
        remedy = f"lower the input level{where}, or speak from further away"
    elif level.contrast_db >= SPOKEN_DB and level.speech_dbfs < QUIET_DBFS:  # else nobody spoke
        state = State.WARNING
        text = f"too quiet: {text}"
        remedy = (
            f"raise the input level{where}, or come closer: loud parts need {QUIET_DBFS:.0f} dBFS"
        )
    return Finding(
        check="microphone.level", state=state, text=text, remedy=remedy, figures=asdict(level)
    )


def _judge_noise(level: Level) -> Finding:
    text = (
        f"noise {level.noise_dbfs:.0f} dBFS; the loudest parts exceed it by "
        f"{level.contrast_db:.0f} dB"
    )
    state, remedy = State.OK, None
    if level.contrast_db < SPOKEN_DB:
        state = State.WARNING
        text += ": nobody spoke, or not loud enough"
        remedy = (
            "run it again and say the word when asked; if you did, come closer, or raise the level"
        )
    elif level.contrast_db < CLEAR_DB:
        state = State.WARNING
        remedy = (
            f"{CLEAR_DB:.0f} dB is the least for reliable detection: come closer, move the "
            "microphone away from fans and loudspeakers, or use a directional one"
        )
    return Finding(check="microphone.noise", state=state, text=text, remedy=remedy)


def _judge_hum(level: Level) -> Finding:
    text = (
        f"{level.hum_share:.0%} of the noise is at multiples of {level.hum_hz} Hz, "
        f"{level.hum_dbfs:.0f} dBFS"
    )
    if level.hum_share < HUM_SHARE or level.hum_dbfs < HUM_DBFS:
        return Finding(check="microphone.hum", state=State.OK, text=text)
    return Finding(
        check="microphone.hum",
        state=State.WARNING,
        text=text,
        remedy=(
            "mains hum: try another power supply, a shielded or shorter cable away from mains "
            "cables, or a USB microphone, which picks up none"
        ),
    )


def _judge_offset(level: Level) -> Finding:
    text = f"{level.offset:+.2%} of full scale"
    if abs(level.offset) <= MOST_OFFSET:
        return Finding(check="microphone.offset", state=State.OK, text=text)
    return Finding(
        check="microphone.offset",
        state=State.WARNING,
        text=text,
        remedy="words are still detected, but clip sooner: the sound card is of poor quality",
    )


def _judge_gaps(level: Level, lost_s: float) -> Finding:
    texts, remedies = [], []
    if lost_s:
        texts.append(f"{lost_s:.2f} s of audio were dropped")
        remedies.append(
            "stop programs that keep this computer busy; try another USB port or a shorter cable"
        )
    if level.zeros >= GATED:
        texts.append(
            f"{level.zeros:.0%} of the samples are exactly zero: pauses are muted, or "
            "there is hardly any signal"
        )
        remedies.append("turn off noise suppression and noise gates in the device or sound server")
    elif level.gaps:
        texts.append(
            f"{level.gaps} gap{'' if level.gaps == 1 else 's'} ({1000 * level.gaps_s:.0f} ms) in "
            "which the signal is constant"
        )
        remedies.append("dropouts: try another USB port or cable or, if wireless, come closer")
    return Finding(
        check="microphone.gaps",
        state=State.WARNING if texts else State.OK,
        text="; ".join(texts) or "nothing lost, no gaps",
        remedy="; ".join(remedies) or None,
        figures={"lost_s": lost_s},
    )


def _hum(sound: NDArray[np.float64], rate_hz: int) -> tuple[int, float, float]:
    """Return 50 or 60, its harmonics' share of the quietest second's power, and that power."""
    length = min(len(sound), round(_QUIET_S * rate_hz))
    starts = range(0, len(sound) - length + 1, max(1, length // 4))
    windows = [sound[start : start + length] for start in starts]
    powers = [float(np.mean((window - window.mean()) ** 2)) for window in windows]
    audible = [index for index, power in enumerate(powers) if power > 0]
    if not audible:
        return _MAINS_HZ[0], 0.0, 0.0
    quietest = min(audible, key=powers.__getitem__)
    window = windows[quietest] - windows[quietest].mean()
    spectrum = np.abs(np.fft.rfft(window * np.hanning(length))) ** 2
    frequencies = np.fft.rfftfreq(length, 1 / rate_hz)
    total = spectrum[frequencies >= _LOWEST_HZ].sum()
    if total == 0:
        return _MAINS_HZ[0], 0.0, powers[quietest]
    shares = {}
    for mains_hz in _MAINS_HZ:
        lines = mains_hz * np.arange(1, _HARMONICS + 1)
        near = (np.abs(frequencies[:, None] - lines) <= _LINE_HZ).any(axis=1)
        shares[mains_hz] = float(spectrum[near].sum() / total)
    hum_hz = max(shares, key=shares.__getitem__)
    return hum_hz, shares[hum_hz], powers[quietest]


def _constant_stretches(samples: NDArray[np.int16], least: int) -> NDArray[np.int64]:
    """Return the lengths of constant stretches below full scale of at least `least` samples."""
    changes = np.flatnonzero(np.diff(samples)) + 1
    bounds = np.concatenate(([0], changes, [len(samples)]))
    lengths = np.diff(bounds)
    values = np.abs(samples[bounds[:-1]].astype(np.int32))
    stretches: NDArray[np.int64] = lengths[(lengths >= least) & (values < _FULL_SCALE)]
    return stretches


def judge_channels(peaks: list[float]) -> Finding:
    """Report which channels of a microphone are alive.

    Parameters
    ----------
    peaks : list of float
        Largest deviation of each channel from its mean (full scale 1); recorded one after the
        other.
    """
    levels = [decibels(peak) for peak in peaks]
    loudest = max(levels)
    alive = [
        number
        for number, level in enumerate(levels, 1)
        if level > FLOOR_DBFS and level > loudest - DEAD_DB
    ]
    text = ", ".join(f"{number}: {_peak(level)}" for number, level in enumerate(levels, 1))
    state, remedy = State.OK, None
    if alive and len(alive) < len(peaks):
        state = State.WARNING
        text = f"only {len(alive)} of {len(peaks)} alive; peaks of {text}"
        remedy = f"--channel {alive[0]} uses only that one; dead channels lower the mean"
    else:
        text = f"peaks of {text}"
    return Finding(
        check="microphone.channels",
        state=state,
        text=text,
        remedy=remedy,
        figures={"peaks_dbfs": levels, "alive": alive},
    )


def _peak(level_dbfs: float) -> str:
    return "silence" if level_dbfs <= FLOOR_DBFS else f"{level_dbfs:.0f} dBFS"
