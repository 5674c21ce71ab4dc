"""Audio samples in, standardised MFCC frames out: librosa's numbers, streaming, with numpy only."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import AudioError
from ..validation import require
from .gate import Gate, frame_energies

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Frames computed in one pass over long inputs: enough to amortise the calls, and small enough that
# the scratch (0.3 MB) stays in a cache.
_BLOCK_FRAMES = 32

# A chunk with a larger sum of squares is not audio (NaN fails the comparison too). Below it,
# nothing downstream comes near an overflow.
_MAX_CHUNK_ENERGY = 1e30


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrontEndConfig:
    """Every parameter of the MFCC front end; the manifest's ``front_end`` section.

    Everything else is fixed: periodic Hann window, no centring, power spectrum, Slaney mel scale
    and normalisation, ``power_to_db(ref=1.0, top_db=None)``, orthonormal DCT-II.

    Raises
    ------
    ModelError
        A value is out of its range.
    """

    sample_rate_hz: int = 16_000
    """Sample rate of the input, Hz."""
    window_samples: int = 512
    """Length of the analysis window and of the FFT."""
    hop_samples: int = 320
    """Distance between the starts of two frames; at most `window_samples`."""
    n_mels: int = 40
    """Number of mel bands."""
    n_mfcc: int = 40
    """Number of cepstral coefficients kept, the 0th included; at most `n_mels`."""
    f_min_hz: float = 50.0
    """Lower edge of the lowest mel band."""
    f_max_hz: float = 7_600.0
    """Upper edge of the highest mel band; at most half the sample rate."""
    amin: float = 1e-10
    """Floor of a band's power, full scale = 1, before the logarithm: 1e-10 is -100 dB."""
    mean: tuple[float, ...] = ()
    """Mean of each coefficient over the training data, (n_mfcc,); left empty: zeros."""
    std: tuple[float, ...] = ()
    """Standard deviation of each coefficient, (n_mfcc,), > 0; left empty: ones."""

    def __post_init__(self) -> None:
        def check(fits: bool, name: str, must: str) -> None:
            require(fits, f"front_end.{name}", getattr(self, name), must)

        check(self.sample_rate_hz >= 1, "sample_rate_hz", "be at least 1")
        check(self.window_samples >= 2, "window_samples", "be at least 2")
        check(self.window_samples % 2 == 0, "window_samples", "be even")
        check(self.hop_samples >= 1, "hop_samples", "be at least 1")
        check(
            self.hop_samples <= self.window_samples,
            "hop_samples",
            f"be at most window_samples, {self.window_samples}",
        )
        check(self.n_mels >= 1, "n_mels", "be at least 1")
        check(self.n_mfcc >= 1, "n_mfcc", "be at least 1")
        check(self.n_mfcc <= self.n_mels, "n_mfcc", f"be at most n_mels, {self.n_mels}")
        check(self.f_min_hz >= 0, "f_min_hz", "be at least 0")
        check(
            self.f_max_hz > self.f_min_hz, "f_max_hz", f"be greater than f_min_hz, {self.f_min_hz}"
        )
        check(
            self.f_max_hz <= self.sample_rate_hz / 2,
            "f_max_hz",
            f"be at most half the sample rate, {self.sample_rate_hz / 2}",
        )
        check(self.amin > 0, "amin", "be greater than 0")
        for name, neutral in (("mean", 0.0), ("std", 1.0)):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values or (neutral,) * self.n_mfcc)
            require(
                len(getattr(self, name)) == self.n_mfcc,
                f"the length of front_end.{name}",
                len(getattr(self, name)),
                f"be n_mfcc, {self.n_mfcc}",
            )
        for index, value in enumerate(self.std):
            require(value > 0, f"front_end.std[{index}]", value, "be greater than 0")


class FrontEnd:
    """Streaming MFCC: the numbers of librosa's ``feature.mfcc``, for any chunking.

    Frame ``i`` covers the samples ``[i * hop_samples, i * hop_samples + window_samples)`` since the
    last reset, and is returned with the chunk that completes it. The frames are bit-identical for
    any chunking. All scratch memory is allocated once.

    The definition is, with ``c`` the configuration and ``y`` the float32 signal in -1..1::

        power = librosa.feature.melspectrogram(
            y=y, sr=c.sample_rate_hz, n_fft=c.window_samples, win_length=c.window_samples,
            hop_length=c.hop_samples, window="hann", center=False, power=2.0, n_mels=c.n_mels,
            fmin=c.f_min_hz, fmax=c.f_max_hz, htk=False, norm="slaney")
        db = librosa.power_to_db(power, ref=1.0, amin=c.amin, top_db=None)
        mfcc = librosa.feature.mfcc(S=db, n_mfcc=c.n_mfcc, dct_type=2, norm="ortho").T
        frames = (mfcc - c.mean) / c.std

    Parameters
    ----------
    config
        The parameters.

    Examples
    --------
    >>> front_end = FrontEnd(FrontEndConfig())
    >>> front_end.feed(np.zeros(512 + 320, np.int16)).shape
    (2, 40)
    """

    def __init__(self, config: FrontEndConfig) -> None:
        self.config = config
        window, hop = config.window_samples, config.hop_samples
        bins = window // 2 + 1
        # Double precision inside: single precision rounds at -140 dB of the loudest bin, which
        # moves quiet bands by more than 1e-3 beside a loud tone, and it is no faster here.
        self._hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        self._mel = np.ascontiguousarray(mel_filterbank(config).T, np.float64)
        # The factor 10 of decibels goes into the DCT.
        self._dct = np.ascontiguousarray(10.0 * dct_matrix(config).T)
        self._mean = np.array(config.mean, np.float64)
        self._std = np.array(config.std, np.float64)

        # Samples still needed; the next frame starts at the first of them.
        self._samples = np.zeros(window + (_BLOCK_FRAMES - 1) * hop, np.float64)
        self._pending = 0
        self._whole = True  # whether all of them were int16
        self._last = np.zeros(config.n_mfcc, np.float32)  # stands in for frames that the gate stops

        self._windowed = np.empty((_BLOCK_FRAMES, window), np.float64)
        self._spectrum = np.empty((_BLOCK_FRAMES, bins), np.complex128)
        self._power = np.empty((_BLOCK_FRAMES, 1, bins), np.float64)
        self._bands = np.empty((_BLOCK_FRAMES, 1, config.n_mels), np.float64)
        self._cepstrum = np.empty((_BLOCK_FRAMES, 1, config.n_mfcc), np.float64)

    def reset(self) -> None:
        """Start anew: the next sample is sample 0 of frame 0."""
        self._pending = 0
        self._whole = True
        self._last[:] = 0

    def feed(self, samples: npt.NDArray[Any]) -> Float32:
        """Process samples, and return the standardised frames that they complete.

        Parameters
        ----------
        samples
            (n,) int16, or float32 with full scale at ±1; any n, 0 included.

        Returns
        -------
        (k, n_mfcc) float32: ``(mfcc - mean) / std``.

        Raises
        ------
        AudioError
            Another shape or type, or a value that is not finite. None was processed.
        """
        return self._frames(samples, standardise=True)

    def feed_gated(self, samples: npt.NDArray[Any], gate: Gate) -> tuple[Float32, list[bool]]:
        """Do what `feed` does, but compute only the frames that a gate passes.

        Parameters
        ----------
        samples
            As for `feed`; float32 is rounded to int16 for the gate.
        gate
            The gate; it must have processed the same samples since its reset as this front end.

        Returns
        -------
        (k, n_mfcc) float32, and for each frame whether the gate passed it. A frame that it stopped
        equals the one before it; before the first, zeros.

        Raises
        ------
        AudioError
            As in `feed`.
        """
        heard: list[bool] = []
        return self._frames(samples, standardise=True, gate=gate, heard=heard), heard

    def mfcc(self, samples: npt.NDArray[Any]) -> Float32:
        """Do what `feed` does, on the same stream, but without the standardisation.

        Returns
        -------
        (k, n_mfcc) float32: cepstral coefficients of decibels, as librosa returns them.
        """
        return self._frames(samples, standardise=False)

    def _frames(
        self,
        samples: npt.NDArray[Any],
        *,
        standardise: bool,
        gate: Gate | None = None,
        heard: list[bool] | None = None,
    ) -> Float32:
        _check_samples(samples)
        window, hop = self.config.window_samples, self.config.hop_samples
        total = self._pending + len(samples)
        frames = np.empty((max(0, (total - window) // hop + 1), self.config.n_mfcc), np.float32)
        taken = done = 0
        while taken < len(samples):
            count = min(len(samples) - taken, len(self._samples) - self._pending)
            fresh = self._samples[self._pending : self._pending + count]
            fresh[:] = samples[taken : taken + count]
            if samples.dtype == np.int16:
                fresh *= 1 / 32768
            else:
                self._whole = False
            taken += count
            self._pending += count

            ready = max(0, (self._pending - window) // hop + 1)
            if ready:
                out = frames[done : done + ready]
                if gate is None or heard is None:
                    self._compute(0, out, standardise)
                else:
                    heard += self._compute_heard(gate, out)
                done += ready
                rest = self._pending - ready * hop
                self._samples[:rest] = self._samples[ready * hop : self._pending]
                self._pending = rest
        return frames

    def _compute_heard(self, gate: Gate, out: Float32) -> list[bool]:
        """Fill `out`, (count, n_mfcc), with those of the first frames that a gate passes."""
        count = len(out)
        window, hop = self.config.window_samples, self.config.hop_samples
        integers = self._samples[window - hop : window + (count - 1) * hop] * 32768
        if not self._whole:
            np.clip(np.rint(integers), -32768, 32767, out=integers)
        heard = gate.feed(frame_energies(integers, hop))
        frame = 0
        while frame < count:
            end = frame + 1
            while end < count and heard[end] == heard[frame]:
                end += 1
            if heard[frame]:
                self._compute(frame, out[frame:end], standardise=True)
                self._last[:] = out[end - 1]
            else:
                out[frame:end] = self._last
            frame = end
        return heard

    def _compute(self, first: int, out: Float32, standardise: bool) -> None:
        """Compute frames of the sample buffer, from `first` on, into `out`, (count, n_mfcc)."""
        count = len(out)
        windowed, spectrum = self._windowed[:count], self._spectrum[:count]
        power, bands = self._power[:count], self._bands[:count]
        cepstrum = self._cepstrum[:count]
        window, hop = self.config.window_samples, self.config.hop_samples
        for frame, start in enumerate(range(first * hop, (first + count) * hop, hop)):
            # One by one: for all of them at once numpy would copy the overlapping windows first.
            np.multiply(self._samples[start : start + window], self._hann, out=windowed[frame])
        np.fft.rfft(windowed, out=spectrum)
        parts = spectrum.view(np.float64)  # real and imaginary parts, alternating
        np.multiply(parts, parts, out=parts)
        np.add(parts[:, 0::2], parts[:, 1::2], out=power[:, 0])
        # One row at a time inside matmul: one product of all rows would sum in another order, and a
        # frame's last bit would depend on the chunking.
        np.matmul(power, self._mel, out=bands)
        np.maximum(bands, self.config.amin, out=bands)
        np.log10(bands, out=bands)
        np.matmul(bands, self._dct, out=cepstrum)
        if standardise:
            cepstrum -= self._mean
            cepstrum /= self._std
        out[:] = cepstrum[:, 0]


def mel_filterbank(config: FrontEndConfig) -> Float32:
    """Triangular filters on Slaney's mel scale, each of unit area in Hz: ``librosa.filters.mel``.

    Returns
    -------
    (n_mels, window_samples / 2 + 1) float32.
    """
    edges_mel = np.linspace(
        _hz_to_mel(config.f_min_hz), _hz_to_mel(config.f_max_hz), config.n_mels + 2
    )
    edges = _mel_to_hz(edges_mel)  # (n_mels + 2,): filter i rises from edge i and ends at i + 2
    bins = np.fft.rfftfreq(config.window_samples, 1 / config.sample_rate_hz)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def dct_matrix(config: FrontEndConfig) -> Float64:
    """First rows of the orthonormal DCT-II: ``mfcc = dct_matrix @ decibels``.

    Returns
    -------
    (n_mfcc, n_mels) float64.
    """
    order = np.arange(config.n_mfcc)[:, None]
    band = np.arange(config.n_mels)[None, :]
    matrix = np.cos(np.pi / config.n_mels * (band + 0.5) * order) * np.sqrt(2 / config.n_mels)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float64)


# Slaney's mel scale (Auditory Toolbox, 1998): linear to 1 kHz (15 mel), then logarithmic, 27 mel
# for each factor of 6.4.
_HZ_PER_MEL = 200 / 3
_LOG_FROM_HZ = 1000.0
_LOG_FROM_MEL = _LOG_FROM_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(frequency_hz: float) -> float:
    if frequency_hz < _LOG_FROM_HZ:
        return frequency_hz / _HZ_PER_MEL
    return float(_LOG_FROM_MEL + np.log(frequency_hz / _LOG_FROM_HZ) / _LOG_STEP)


def _mel_to_hz(mel: Float64) -> Float64:
    logarithmic = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mel - _LOG_FROM_MEL))
    return np.where(mel < _LOG_FROM_MEL, mel * _HZ_PER_MEL, logarithmic)


def _check_samples(samples: npt.NDArray[Any]) -> None:
    if not isinstance(samples, np.ndarray) or samples.dtype not in (np.int16, np.float32):
        kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise AudioError(f"samples are {kind}; give a numpy array of int16, or float32 in -1..1")
    if samples.ndim != 1:
        raise AudioError(f"samples have the shape {samples.shape}; give one channel, of shape (n,)")
    if samples.dtype == np.float32 and not np.dot(samples, samples) < _MAX_CHUNK_ENERGY:
        raise AudioError(
            "samples hold NaN, infinite or absurdly large values; give finite float32 in -1..1"
        )
