"""Training streams in, statistics and long streams for calibration out.

Before a run, they give the mean and std of the features; after it, the long streams on which the
quantization is calibrated and checked.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..edge.spotting.frontend import FrontEndConfig
from .batches import stream_maker
from .config import TrainConfig
from .corpus import Corpus
from .splits import Split

_MEASURED_BATCHES, _MEASURED_STREAMS = 16, 32  # half an hour of audio
_LONG_STREAMS = 60  # four minutes of audio in one piece, if a stream lasts four seconds
MIN_STEPS = 3000
"""Network steps in a long stream, at least: an export's checks run that many without a reset."""

_OUTLIER = 5.0  # standard deviations; one feature in ten thousand lies beyond
_MEASURE_EPOCH, _LONG_EPOCH = 1_000_000, 1_000_001  # index of the draws, beyond any of training


def standardised(config: TrainConfig, corpus: Corpus) -> TrainConfig:
    """Return the configuration with each coefficient's mean and std over training streams.

    A configuration that already has them is returned unchanged.
    """
    front_end = config.front_end
    if front_end != without_standardisation(front_end):
        return config
    maker = stream_maker(config, corpus, "training")
    frames = np.concatenate(
        [
            maker.batch(_MEASURE_EPOCH, index, _MEASURED_STREAMS).frames.reshape(
                -1, front_end.n_mfcc
            )
            for index in range(_MEASURED_BATCHES)
        ]
    )

    def rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
        return tuple(round(float(value), 4) for value in values)

    mean = rounded(frames.mean(axis=0, dtype=np.float64))
    std = rounded(frames.std(axis=0, dtype=np.float64))
    return replace(config, front_end=replace(front_end, mean=mean, std=std))


def without_standardisation(front_end: FrontEndConfig) -> FrontEndConfig:
    """Return the front end with a mean of 0 and a std of 1, for use until they are measured."""
    return replace(front_end, mean=(), std=())


def long_stream(config: TrainConfig, corpus: Corpus, split: Split) -> NDArray[np.float32]:
    """Draw several minutes of continuous audio.

    Returns
    -------
    ndarray
        Standardised features, shape (frames, n_mfcc), float32. Outliers are clipped, so that the
        int8 input does not spend its 256 values on them.
    """
    if split == "validation":  # words without a clip in the split are left out
        missing = corpus.without_validation(config.words)
        words = tuple(word for word in config.words if word not in missing)
        config = replace(config, words=words)
    maker = stream_maker(config, corpus, split)
    if corpus.pack is not None:
        drawn = maker.batch(_LONG_EPOCH, 0, _LONG_STREAMS).frames
        return drawn.reshape(-1, drawn.shape[-1]).clip(-_OUTLIER, _OUTLIER).astype(np.float32)
    rng = np.random.default_rng((config.seed, _LONG_EPOCH))
    front_end = config.front_end
    frames_needed = MIN_STEPS * config.step.stride_frames
    samples = (frames_needed - 1) * front_end.hop_samples + front_end.window_samples
    streams = max(_LONG_STREAMS, math.ceil(samples / maker.samples_per_stream))
    audio = [maker.stream(rng, fresh=False)[0] for _ in range(streams)]
    frames: NDArray[np.float32] = maker.features(np.concatenate(audio)[None])[0]
    return frames.clip(-_OUTLIER, _OUTLIER)
