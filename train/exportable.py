"""Settings in, an error out if their model could not be exported.

The exports check the model itself; most of what they would refuse is known before the first epoch.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from ..edge.device import limits
from ..edge.errors import DataError
from ..edge.words import BadNameError, check_word, same_form, twins
from .config import TrainConfig
from .decode import SAMPLE_RATE_HZ


def with_checked_words(config: TrainConfig) -> TrainConfig:
    """Return the settings, with their words in Unicode's form NFC.

    Raises
    ------
    DataError
        A word is not allowed, or two differ only in case.
    """
    try:
        words = tuple(check_word(word) for word in config.words)
    except BadNameError as problem:
        raise DataError(f"words: {problem}; or choose the words with --words") from None
    both = twins(words) or (words[0], words[0])
    if both[0] != both[1] or len(set(words)) < len(words):
        raise DataError(
            f"words: {both[0]!r} and {both[1]!r} are the same but for capitals; leave one out"
        )
    held_out = tuple(same_form(word) for word in config.held_out_words)
    return replace(config, words=words, held_out_words=held_out)


def check_exportable(config: TrainConfig) -> None:
    """Refuse settings beyond the limits of exports.

    Raises
    ------
    DataError
        Names the setting, its value, and what is possible.
    """
    front_end, step, model = config.front_end, config.step, config.model
    inputs = step.context_frames * front_end.n_mfcc
    places = model.positions(front_end.n_mfcc)
    convolved = (n * channels for n, channels in zip(places, model.conv_channels, strict=True))
    layers = (model.dense_units, *convolved, *model.svdf_units, *model.lstm_units)
    wide = (inputs, *(units for units in layers if units))
    widths = [sum(pair) for pair in itertools.pairwise(wide)]
    step_s = step.stride_frames * front_end.hop_samples / SAMPLE_RATE_HZ
    fewest, most = limits.MEL_BANDS
    std = min(front_end.std)
    mean = max(abs(m) / s for m, s in zip(front_end.mean, front_end.std, strict=True))
    bin_hz = SAMPLE_RATE_HZ / limits.WINDOW_SAMPLES
    band_hz = front_end.f_max_hz - front_end.f_min_hz
    for fits, name, value, must in (
        (model.cell_clip == limits.CELL_CLIP, "model.cell_clip", model.cell_clip,
         f"be {limits.CELL_CLIP:g}"),
        (front_end.window_samples == limits.WINDOW_SAMPLES, "front_end.window_samples",
         front_end.window_samples, f"be {limits.WINDOW_SAMPLES}"),
        (fewest <= front_end.n_mels <= most, "front_end.n_mels", front_end.n_mels,
         f"be in {fewest}..{most}"),
        (band_hz > bin_hz, "front_end.f_max_hz", front_end.f_max_hz,
         f"be at least {bin_hz:g} above f_min_hz, {front_end.f_min_hz:g}"),
        (std >= limits.LEAST_STD, "the smallest front_end.std", std,
         f"be at least {limits.LEAST_STD:g}"),
        (mean <= limits.MOST_MEAN, "the largest front_end.mean, over its std,", round(mean, 1),
         f"be at most {limits.MOST_MEAN:g}"),
        (step.context_frames <= limits.MOST_FRAMES, "step.context_frames", step.context_frames,
         f"be at most {limits.MOST_FRAMES}"),
        (2 * step_s <= config.streams.seconds, "step.stride_frames", step.stride_frames,
         f"be less than half of streams.seconds, {config.streams.seconds:g}"),
        (max(widths) <= limits.MOST_WIDTH, "the width of the network", max(widths),
         f"be at most {limits.MOST_WIDTH:,}; make model.lstm_units and the like smaller"),
        (len(config.labels) <= limits.MOST_LABELS, "the number of words", len(config.words),
         f"be at most {limits.MOST_LABELS - 2}"),
        (config.smoothing_steps <= limits.MOST_SMOOTHING_STEPS, "smoothing_steps",
         config.smoothing_steps, f"be at most {limits.MOST_SMOOTHING_STEPS}"),
        (config.refractory_ms <= limits.MOST_REFRACTORY_MS, "refractory_ms", config.refractory_ms,
         f"be at most {limits.MOST_REFRACTORY_MS:,}"),
        (config.threshold >= limits.LEAST_THRESHOLD, "threshold", config.threshold,
         f"be at least {limits.LEAST_THRESHOLD:g}"),
    ):  # fmt: skip
        if not fits:
            raise DataError(f"{name} is {value}; for a model that can be exported it must {must}")
