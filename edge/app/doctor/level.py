"""Samples of a microphone in; level, noise, hum, offset and gaps, and what to do about them, out.

The limits were chosen by what the shipped models hear of the demo recording when it is played
softer, louder, over noise, or over hum (`tests/edge/app/test_doctor.py` holds them to it). They
hear all of it 40 dB softer than it was spoken, and with any offset; what they do not forgive is
noise within 18 dB of the words, hum as loud as that, and words of which a tenth is clipped.
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
"""What digital silence reads as; the softest that 16 bits can hold is -90 dBFS."""

QUIET_DBFS = -50.0
"""Softer words are in danger of drowning in the hiss of most sound cards."""

CLEAR_DB = 18.0
"""Words must be so much louder than the noise."""

SPOKEN_DB = 6.0
"""What varies by less over the recording is noise, and nobody spoke."""

MOST_CLIPPED = 0.001
"""Share of all samples: some more, and a tenth of a word's are."""

HUM_SHARE = 0.5
HUM_DBFS = -45.0
"""Hum is worth a warning from this level on, if it is that share of the noise."""

MOST_OFFSET = 0.05
"""Share of full scale."""

DEAD_DB = 40.0
"""A channel so much softer than the loudest is not connected."""

GATED = 0.3
"""Share of exact zeros from which on something is cutting the pauses out."""

_FRAME_S = 0.02
_QUIET_S = 1.0  # window for hum: resolves 1 Hz
_LOWEST_HZ = 20.0  # what lies below is offset that drifts, not noise
_MAINS_HZ = (50, 60)
_HARMONICS = 6
_LINE_HZ = 2.0  # half the width of a line behind a Hann window of `_QUIET_S`
_FULL_SCALE = 32_700  # what is rounded after it was clipped does not reach 32,767
_GAP_S = 0.005  # a value that stays exactly the same for so long was not recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What a stretch of sound is like. Levels are root mean squares in dB of full scale.

    Attributes
    ----------
    seconds : float
        Its length.
    peak_dbfs : float
        The greatest magnitude; -120 where there are only zeros.
    noise_dbfs, speech_dbfs : float
        The 10th and the 95th percentile of the levels of frames of 20 ms, without the offset.
    clipped, clipped_share
        Samples at full scale, and their share.
    offset : float
        The mean, as a share of full scale, with its sign.
    hum_hz : int
        50 or 60: whose multiples there is more of.
    hum_share, hum_dbfs : float
        Share of the power of the quietest second that is at those multiples, and its level.
    zeros : float
        Share of the samples that are exactly 0.
    gaps : int
        Stretches of 5 ms and more in which no sample differs from the one before.
    gaps_s : float
        Their length together.
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
        """Whether there is nothing but zeros."""
        return self.peak_dbfs <= FLOOR_DBFS

    @property
    def contrast_db(self) -> float:
        """By how much the loudest stands out of the noise."""
        return self.speech_dbfs - self.noise_dbfs


def measure(samples: NDArray[np.int16], rate_hz: int) -> Level:
    """Measure a stretch of sound.

    Parameters
    ----------
    samples : numpy.ndarray
        Shape ``(n,)``, int16; half a second or more.
    rate_hz : int
        Their rate.

    Raises
    ------
    AudioError
        It is shorter.
    """
    if 2 * len(samples) < rate_hz:
        raise AudioError(
            f"only {len(samples) / rate_hz:.2f} s of sound came; half a second is the least to "
            "judge it by"
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
    """Return a magnitude as a level, full scale being 1; `FLOOR_DBFS` at least."""
    return max(FLOOR_DBFS, 20 * float(np.log10(max(magnitude, 1e-9))))


def judge(level: Level, *, lost_s: float = 0.0, mixer: str = "") -> list[Finding]:
    """Say what is well with the sound of a microphone, and what to do about the rest.

    Parameters
    ----------
    level : Level
        What was measured, while somebody was asked to say a word.
    lost_s : float
        Sound that was lost on the way, in seconds.
    mixer : str
        Where this system sets the level of a microphone, to be read after "in".

    Returns
    -------
    list of Finding
        ``microphone.level``; where there is any sound also its noise, hum, offset and gaps.
    """
    where = f" in {mixer}" if mixer else ""
    if level.silent:
        return [
            Finding(
                check="microphone.level",
                state=State.PROBLEM,
                text=f"digital silence: nothing but zeros for {level.seconds:.1f} s",
                remedy=(
                    f"muted, or this program may not use it: look for a switch at the microphone, "
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
            f"raise the input level{where}, or speak from nearer, {QUIET_DBFS:.0f} dBFS at least"
        )
    return Finding(
        check="microphone.level", state=state, text=text, remedy=remedy, figures=asdict(level)
    )


def _judge_noise(level: Level) -> Finding:
    text = (
        f"noise {level.noise_dbfs:.0f} dBFS; the loudest stands out of it by "
        f"{level.contrast_db:.0f} dB"
    )
    state, remedy = State.OK, None
    if level.contrast_db < SPOKEN_DB:
        state = State.WARNING
        text += ": nobody spoke, or not loud enough"
        remedy = (
            "run it again and say the word when asked; if you did, come nearer, or raise the level"
        )
    elif level.contrast_db < CLEAR_DB:
        state = State.WARNING
        remedy = (
            f"{CLEAR_DB:.0f} dB is the least for words to be heard well: come nearer, put the "
            "microphone away from fans and loudspeakers, or use one that points at you"
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
            "mains hum: another power supply, a shielded or shorter cable, no extension lead side "
            "by side with it; a USB microphone has none"
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
        remedy="words are heard all the same, but clip sooner: the sound card is a poor one",
    )


def _judge_gaps(level: Level, lost_s: float) -> Finding:
    texts, remedies = [], []
    if lost_s:
        texts.append(f"{lost_s:.2f} s of audio were dropped")
        remedies.append(
            "end what keeps this computer busy; try another USB port or a shorter cable"
        )
    if level.zeros >= GATED:
        texts.append(
            f"{level.zeros:.0%} of the samples are exactly zero: pauses are cut out, or "
            "hardly anything comes in"
        )
        remedies.append(
            "switch off noise suppression and noise gates of the device or sound server"
        )
    elif level.gaps:
        texts.append(
            f"{level.gaps} gap{'' if level.gaps == 1 else 's'} ({1000 * level.gaps_s:.0f} ms) in "
            "which nothing moves"
        )
        remedies.append("dropouts: try another USB port, cable or, of a radio, a nearer place")
    return Finding(
        check="microphone.gaps",
        state=State.WARNING if texts else State.OK,
        text="; ".join(texts) or "nothing lost, no gaps",
        remedy="; ".join(remedies) or None,
        figures={"lost_s": lost_s},
    )


def _hum(sound: NDArray[np.float64], rate_hz: int) -> tuple[int, float, float]:
    """Return 50 or 60, the share of its multiples in the quietest second, and that one's power."""
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
    """Return the lengths, from `least` samples on, of stretches of one value below full scale."""
    changes = np.flatnonzero(np.diff(samples)) + 1
    bounds = np.concatenate(([0], changes, [len(samples)]))
    lengths = np.diff(bounds)
    values = np.abs(samples[bounds[:-1]].astype(np.int32))
    stretches: NDArray[np.int64] = lengths[(lengths >= least) & (values < _FULL_SCALE)]
    return stretches


def judge_channels(peaks: list[float]) -> Finding:
    """Say which channels of a microphone are alive.

    Parameters
    ----------
    peaks : list of float
        Greatest deviation of each channel from its mean, full scale being 1; recorded one after the
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
        remedy = f"--channel {alive[0]} uses that one alone; a dead channel makes the mean softer"
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
