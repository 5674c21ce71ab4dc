"""A BC-ResNet as an npz file of its weights: raw samples in, log-probabilities out, in NumPy.

Source: Kim, Chang, Lee and Sung, "Broadcasted Residual Learning for Efficient Keyword Spotting",
Interspeech 2021, arXiv 2106.04140. A network of width τ (BC-ResNet-2: τ = 2) has, for T frames:

======================  ==========  =======  ======  ========
layer                   channels    bands    stride  dilation
======================  ==========  =======  ======  ========
5 × 5 convolution       16 τ        40 → 20  2
``t1``, ``n11``         8 τ         20       1       1
``t2``, ``n21``         12 τ        20 → 10  2       2
``t3``, ``n31``–``33``  16 τ        10 → 5   2       4
``t4``, ``n41``–``43``  20 τ        5        1       8
5 × 5, two in a group   20 τ        5 → 1    (T − 4 frames: no padding)
1 × 1, mean over time   32 τ        1
1 × 1                   labels
======================  ==========  =======  ======  ========

``t`` are transition blocks, which change the number of channels, ``n`` are normal ones with a
residual connection. In each, a part ``f2`` works along frequency, with a normalisation for each of
five sub-bands, and a part ``f1`` along time, on the mean over frequency. Only the blocks have
activations. The names are those of the arrays.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...edge.errors import DataError
from ..decode import SAMPLE_RATE_HZ
from .teacher import Float32, Samples, as_float, log_softmax, read_labels, teacher_name

SPEECH_COMMANDS_WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward"),
    *("four", "go", "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on"),
    *("one", "right", "seven", "sheila", "six", "stop", "three", "tree", "two", "up", "visual"),
    *("wow", "yes", "zero"),
)
"""All words of Google Speech Commands, sorted like the labels of the network."""

N_FFT = 1024
HOP = 512
N_MELS = 40

_FLOOR = 1e-9  # added to the mel power before the logarithm
_EPSILON = 1e-5  # added to the variance before the square root: PyTorch's default
_SUB_BANDS = 5
_BATCH = 64  # clips at a time: limits memory, and fits the cache
_LISTED = 5  # most arrays that a message lists


@dataclass(frozen=True, slots=True)
class _Stage:
    """Blocks with the same number of channels."""

    blocks: int
    width: int
    """Channels by τ."""
    stride: int
    """Along frequency, in the first block."""
    dilation: int
    """Along time."""

    def names(self, number: int) -> list[str]:
        """Return the names of its blocks; the first is the transition block."""
        return [f"t{number}", *(f"n{number}{block}" for block in range(1, self.blocks))]


_STAGES = (_Stage(2, 8, 1, 1), _Stage(2, 12, 2, 2), _Stage(4, 16, 2, 4), _Stage(4, 20, 1, 8))


class BcResNet:
    """A BC-ResNet of any width.

    Parameters
    ----------
    path
        Its weights. Its labels are `SPEECH_COMMANDS_WORDS`, or are read from a file (see
        `harken.train.teachers.teacher.read_labels`).

    Raises
    ------
    DataError
        The file cannot be read, an array is missing, or one has the wrong shape.
    """

    rate_hz = SAMPLE_RATE_HZ

    def __init__(self, path: Path) -> None:
        weights = _read(path)
        self._weights = weights
        self.name = teacher_name(path)
        outputs = weights["head_conv.weight"].shape[0]
        self.labels = read_labels(path, outputs, SPEECH_COMMANDS_WORDS)
        self._mel = mel_filters()

    def log_probabilities(self, audio: Samples) -> Float32:
        """See `harken.train.teachers.teacher.Teacher`."""
        samples = as_float(audio)
        logits = [
            self._logits(log_mel(samples[first : first + _BATCH], self._mel))
            for first in range(0, len(samples), _BATCH)
        ]
        empty = np.zeros((0, len(self.labels)), np.float32)
        return log_softmax(np.concatenate([empty, *logits])) if logits else empty

    def _logits(self, mels: Float32) -> Float32:
        """Return logits (n, labels) of log-mel spectrograms (n, 40, frames)."""
        x = self._first(mels)
        for number, stage in enumerate(_STAGES, 1):
            for name in stage.names(number):
                x = self._block(x, name, stage)
        x = self._last(x)
        x = self._pointwise(x, "onexone_conv").mean(axis=3, keepdims=True)
        return self._pointwise(x, "head_conv")[:, :, 0, 0]

    def _first(self, mels: Float32) -> Float32:
        """5 × 5 convolution of the spectrogram, stride 2 over bands: (n, channels, 20, frames)."""
        padded = np.pad(mels, ((0, 0), (2, 2), (2, 2)))
        views = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))[:, ::2]
        n, bands, frames = views.shape[:3]
        kernel = self._weights["input_conv.weight"]
        y = views.reshape(n, bands * frames, 25) @ kernel.reshape(-1, 25).T
        y += self._weights["input_conv.bias"]
        return y.transpose(0, 2, 1).reshape(n, -1, bands, frames)

    def _last(self, x: Float32) -> Float32:
        """5 × 5 convolution, two channels in a group, no padding: (n, channels, 1, frames − 4)."""
        kernel = self._weights["dw_conv.weight"]
        n, channels, bands, frames = x.shape
        groups = channels // 2
        views = np.lib.stride_tricks.sliding_window_view(x, 5, axis=3)
        views = views.reshape(n, groups, 2, bands, frames - 4, 5)
        inputs = views.transpose(0, 1, 4, 2, 3, 5).reshape(n, groups, frames - 4, -1)
        y = inputs @ kernel.reshape(groups, 2, -1).transpose(0, 2, 1)  # (n, groups, frames, 2)
        y = y.transpose(0, 1, 3, 2).reshape(n, channels, 1, frames - 4)
        return y + self._bias("dw_conv")

    def _block(self, x: Float32, name: str, stage: _Stage) -> Float32:
        transition = name.startswith("t")
        y = x
        if transition:
            y = _relu(self._normalise(self._pointwise(y, f"{name}.f2.0"), f"{name}.f2.1"))
            y = self._along_frequency(y, f"{name}.f2.3", stage.stride)
            y = self._normalise(y, f"{name}.f2.4.bn", _SUB_BANDS)
        else:
            y = self._along_frequency(y, f"{name}.f2.0", 1)
            y = self._normalise(y, f"{name}.f2.1.bn", _SUB_BANDS)
        mean = y.mean(axis=2, keepdims=True)
        mean = self._along_time(mean, f"{name}.f1.0", stage.dilation)
        mean = _swish(self._normalise(mean, f"{name}.f1.1"))
        y = y + self._pointwise(mean, f"{name}.f1.3")  # broadcast over the bands
        return _relu(y if transition else y + x)

    def _bias(self, name: str) -> Float32:
        return self._weights[f"{name}.bias"][:, np.newaxis, np.newaxis]

    def _normalise(self, x: Float32, name: str, sub_bands: int = 1) -> Float32:
        """Batch normalisation by channel and sub-band."""
        n, channels, bands, frames = x.shape
        weights = self._weights
        gain = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + _EPSILON)
        shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * gain
        y = x.reshape(n, channels * sub_bands, bands // sub_bands, frames)
        y = y * gain[:, np.newaxis, np.newaxis] + shift[:, np.newaxis, np.newaxis]
        return np.asarray(y.reshape(x.shape), np.float32)

    def _pointwise(self, x: Float32, name: str) -> Float32:
        """1 × 1 convolution."""
        n, channels, bands, frames = x.shape
        kernel = self._weights[f"{name}.weight"][:, :, 0, 0]
        y: Float32 = kernel @ x.reshape(n, channels, bands * frames)
        return y.reshape(n, -1, bands, frames) + self._bias(name)

    def _along_frequency(self, x: Float32, name: str, stride: int) -> Float32:
        """Depthwise convolution over three bands."""
        kernel = self._weights[f"{name}.weight"][:, 0]  # (channels, 3, 1)
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
        end = x.shape[2]
        y = sum(
            padded[:, :, tap : tap + end : stride] * kernel[:, tap, :, np.newaxis]
            for tap in range(3)
        )
        return np.asarray(y + self._bias(name), np.float32)

    def _along_time(self, x: Float32, name: str, dilation: int) -> Float32:
        """Depthwise convolution over three frames, `dilation` apart."""
        kernel = self._weights[f"{name}.weight"][:, :, 0]  # (channels, 1, 3)
        padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (dilation, dilation)))
        frames = x.shape[3]
        y = sum(
            padded[..., tap * dilation : tap * dilation + frames] * kernel[:, :, tap, np.newaxis]
            for tap in range(3)
        )
        return np.asarray(y + self._bias(name), np.float32)


def mel_filters() -> Float32:
    """Return the filters of a mel spectrogram, (513, 40) float32.

    Triangles that peak at 1, evenly spaced on O'Shaughnessy's mel scale (HTK's), from 0 Hz to half
    the sample rate: torchaudio's defaults.
    """
    most = SAMPLE_RATE_HZ / 2
    mels = np.linspace(0.0, 2595.0 * np.log10(1.0 + most / 700.0), N_MELS + 2)
    corners = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    hertz = np.linspace(0.0, most, N_FFT // 2 + 1)[:, np.newaxis]
    widths = np.diff(corners)
    rising = (hertz - corners[:-2]) / widths[:-1]
    falling = (corners[2:] - hertz) / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(samples: Float32, filters: Float32) -> Float32:
    """Return log-mel spectrograms (n, 40, 32) float32 of seconds (n, 16000) within ±1.

    Power spectra of windows of 1024 samples (periodic Hann), hop 512, the signal reflected at its
    ends; logarithms to base 2.
    """
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(N_FFT) / N_FFT)
    padded = np.pad(samples, ((0, 0), (N_FFT // 2, N_FFT // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP]
    spectrum = np.fft.rfft(frames * window.astype(np.float32), axis=2)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mels = power.astype(np.float32) @ filters
    return np.asarray(np.log2(mels + np.float32(_FLOOR)).transpose(0, 2, 1), np.float32)


def expected_shapes(width: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all arrays of a BC-ResNet, by name.

    Parameters
    ----------
    width
        τ of the paper.
    outputs
        Number of labels.
    """

    def convolution(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", shape
        yield f"{name}.bias", shape[:1]

    def normalisation(name: str, size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{part}", (size,)

    def arrays() -> Iterator[tuple[str, tuple[int, ...]]]:
        before = 16 * width
        yield from convolution("input_conv", before, 1, 5, 5)
        for number, stage in enumerate(_STAGES, 1):
            channels = stage.width * width
            for name in stage.names(number):
                first = 0
                if name.startswith("t"):
                    yield from convolution(f"{name}.f2.0", channels, before, 1, 1)
                    yield from normalisation(f"{name}.f2.1", channels)
                    first = 3
                yield from convolution(f"{name}.f2.{first}", channels, 1, 3, 1)
                yield from normalisation(f"{name}.f2.{first + 1}.bn", _SUB_BANDS * channels)
                yield from convolution(f"{name}.f1.0", channels, 1, 1, 3)
                yield from normalisation(f"{name}.f1.1", channels)
                yield from convolution(f"{name}.f1.3", channels, channels, 1, 1)
            before = channels
        yield from convolution("dw_conv", before, 2, 5, 5)
        yield from convolution("onexone_conv", 32 * width, before, 1, 1)
        yield from convolution("head_conv", outputs, 32 * width, 1, 1)

    return dict(arrays())


def _read(path: Path) -> Mapping[str, Float32]:
    """Read the weights, and check that they are those of a BC-ResNet."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"the teacher {path} is missing; give an npz file of weights") from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"the teacher {path} is not a readable npz file ({error}); get the file again"
        ) from error
    kernel, head = arrays.get("input_conv.weight"), arrays.get("head_conv.weight")
    width = 1 if kernel is None or not kernel.ndim else max(1, kernel.shape[0] // 16)
    outputs = len(SPEECH_COMMANDS_WORDS) if head is None or not head.ndim else head.shape[0]
    expected = expected_shapes(width, outputs)
    missing = [name for name in expected if name not in arrays]
    if missing:
        more = len(missing) - _LISTED
        raise DataError(
            f"the teacher {path} is not a BC-ResNet: it lacks {', '.join(missing[:_LISTED])}"
            + (f" and {more} more arrays" if more > 0 else "")
            + f"; it holds {', '.join(list(arrays)[:_LISTED]) or 'nothing'}"
            + (" …" if len(arrays) > _LISTED else "")
        )
    for name, shape in expected.items():
        found = arrays[name]
        if found.shape != shape or not np.issubdtype(found.dtype, np.floating):
            raise DataError(
                f"the teacher {path}: {name} is {found.dtype} of shape {found.shape}; in a "
                f"BC-ResNet-{width} it must be float32 of shape {shape}"
            )
        if not np.isfinite(found).all():
            raise DataError(
                f"the teacher {path}: {name} holds NaN or infinite values; get the file again"
            )
    return {name: arrays[name].astype(np.float32) for name in expected}


def _relu(x: Float32) -> Float32:
    return np.maximum(x, np.float32(0))


def _swish(x: Float32) -> Float32:
    y: Float32 = x / (1 + np.exp(-np.clip(x, -80, None)))  # below, float32 overflows
    return y
