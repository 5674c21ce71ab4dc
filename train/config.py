"""Everything that a training run is told: one frozen dataclass, written into the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from ..edge.errors import DataError
from ..edge.spotting.frontend import FrontEndConfig
from ..edge.spotting.manifest import MOST_SVDF_MEMORY, NON_WORDS, StepConfig
from .decode import SAMPLE_RATE_HZ

MOST_SVDF_SPAN = 2
"""SVDF layers that a residual addition spans at most."""

NORMALISATION_EPSILON = 1e-3
"""Of batch normalisation: added to a variance before its root is taken."""


def _check(config: object, section: str, fits: bool, name: str, must: str) -> None:
    """Complain about a field that does not fit."""
    if not fits:
        raise DataError(f"{section}{name} is {getattr(config, name)!r}; it must {must}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the network.

    Raises
    ------
    DataError
        A value is out of its range.
    """

    dense_units: int = 0
    """Units of a dense layer at the beginning; 0 leaves it out."""
    svdf_units: tuple[int, ...] = ()
    """Units of each SVDF layer of the stem; none leaves it out."""
    svdf_memory: tuple[int, ...] = ()
    """Steps that each SVDF layer's filters over time see, the one at hand included."""
    svdf_residual: int = 2
    """Layers that a residual addition spans, 1 or 2: what they take in is added to what the last of
    them gives, where both are equally wide. 0: nothing is added."""
    lstm_units: tuple[int, ...]
    """Units of each LSTM layer."""
    cell_clip: float = 10.0
    """The cell stays within ± this: exported models have 10."""

    def __post_init__(self) -> None:
        check = partial(_check, self, "model.")
        check(self.dense_units >= 0, "dense_units", "be at least 0")
        layers = len(self.svdf_units)
        check(0 <= self.svdf_residual <= MOST_SVDF_SPAN, "svdf_residual", "be 0, 1 or 2")
        check(min(self.svdf_units, default=1) >= 1, "svdf_units", "hold numbers of at least 1")
        check(
            all(1 <= memory <= MOST_SVDF_MEMORY for memory in self.svdf_memory),
            "svdf_memory",
            f"hold numbers of 1 to {MOST_SVDF_MEMORY}",
        )
        check(
            len(self.svdf_memory) == layers,
            "svdf_memory",
            f"hold one number for each of the {layers} svdf_units",
        )
        check(len(self.lstm_units) >= 1, "lstm_units", "name the units of at least one layer")
        check(min(self.lstm_units) >= 1, "lstm_units", "hold numbers of at least 1")
        check(self.cell_clip > 0, "cell_clip", "be greater than 0")

    @property
    def svdf(self) -> tuple[tuple[int, int], ...]:
        """Units and memory of each SVDF layer."""
        return tuple(zip(self.svdf_units, self.svdf_memory, strict=True))

    def adds(self, layer: int) -> int:
        """Return over how many SVDF layers something is added to what a layer gives; 0: nothing is.

        The layers are taken in blocks of `svdf_residual`. The first one behind the features, which
        are of another kind, is in no block.
        """
        span, first = self.svdf_residual, 0 if self.dense_units else 1
        if layer < first or not span or (layer - first + 1) % span:
            return 0
        before = (self.dense_units, *self.svdf_units)[layer - span + 1]
        return span if before == self.svdf_units[layer] else 0


def _hybrid(units: int, memory: tuple[int, ...], lstm_units: int) -> ModelConfig:
    return ModelConfig(
        svdf_units=(units,) * len(memory), svdf_memory=memory, lstm_units=(lstm_units,)
    )


SIZES: dict[str, ModelConfig] = {
    "tiny": _hybrid(44, (3, 5, 5, 5, 5), 40),
    "small": _hybrid(60, (3, 5, 5, 5, 5), 48),
    "medium": _hybrid(72, (3, 5, 5, 5, 5), 60),
    "large": _hybrid(88, (3, 5, 5, 5, 5), 72),
}
"""The networks that `harken train --size` knows by name."""


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How training streams are drawn. Shares are in [0, 1]; a zero turns its effect off.

    Raises
    ------
    DataError
        A value is out of its range.
    """

    seconds: float = 4.0
    """Length of a stream."""
    unknown_share: float = 0.20
    """Of the spoken segments: other words and pieces of running speech."""
    cut_share: float = 0.06
    """Of the spoken segments: words cut off in the middle, which must not be named."""
    splice_share: float = 0.05
    """Of the spoken segments: the first half of one word and the second half of another, which
    together are an unknown word."""
    speech_stream_share: float = 0.06
    """Of the streams: running speech from end to end, without a keyword."""
    fragment_share: float = 0.3
    """Of those: speech made of fragments of the word recordings, which have more speakers than any
    other speech; a quarter of the rest is played backwards."""
    noise_stream_share: float = 0.04
    """Of the streams: nobody speaks at all."""
    max_gap_s: float = 1.0
    """About the longest pause between segments."""
    margin_s: float = 0.5
    """Most of a recording's own silence that is kept on each side of its word (time shift); 0.05 s
    are always kept, where they are there."""
    level_db: float = 4.0
    """Standard deviation of a segment's loudness."""
    gain_db: tuple[float, ...] = (-28.0, 18.0)
    """Gain of the whole stream: lowest and highest, drawn uniformly."""
    speed: float = 0.15
    """Largest change of speed, as a fraction; twice that in running speech."""
    clean_share: float = 0.25
    """Of the streams: no noise but the recordings' own and, mostly, a hiss 30 to 60 dB below."""
    snr_db: tuple[float, ...] = (-2.0, 30.0)
    """Loudness of the words over the noise: lowest and highest, drawn uniformly."""
    talk_share: float = 0.1
    """Of the noises behind words: people who talk."""
    hum_share: float = 0.0
    """Of the streams: mains hum with its overtones, an offset and slow drift, as of a poor
    microphone or its supply."""
    talkers: tuple[int, ...] = (4, 4)
    """Fewest and most of them who talk at once; always the most where the noise is less than 6 dB
    softer than the words, so that one of them is never mistaken for whoever says the words."""
    room_share: float = 0.35
    """Of the streams: played in a room."""
    simulated_room_share: float = 0.5
    """Of those rooms: simulated ones, where there are any."""
    synthetic_share: float = 0.06
    """Of the words: said by synthetic voices, where these say it."""
    cut_out_share: float = 0.1
    """Of the words: cut out of running speech, where it is known to be said there."""
    channel_db: float = 1.0
    """Standard deviation of a microphone's frequency response; each stream has another one each
    time that it is heard."""
    mask_mel_bands: int = 5
    """SpecAugment: widest stripe of mel bands."""
    mask_frames: int = 6
    """SpecAugment: longest stripe of frames."""
    due_s: float = 0.04
    """A word's label is demanded from this long after the word's end, by when it is known whether
    the word went on; negative: from before its end …"""
    hold_s: float = 0.3
    """… until this long after its end."""
    linger_s: float = 0.24
    """After that the word may still be named for so long, but need not."""

    def __post_init__(self) -> None:
        check = partial(_check, self, "streams.")
        # A word may begin a second late, and needs half a second.
        check(self.seconds >= 2, "seconds", "be at least 2")
        for name in (
            "unknown_share",
            "cut_share",
            "splice_share",
            "speech_stream_share",
            "fragment_share",
            "noise_stream_share",
            "clean_share",
            "talk_share",
            "room_share",
            "hum_share",
            "simulated_room_share",
            "synthetic_share",
            "cut_out_share",
        ):
            check(0 <= getattr(self, name) <= 1, name, "be at least 0 and at most 1")
        for names in (
            ("unknown_share", "cut_share", "splice_share"),
            ("speech_stream_share", "noise_stream_share"),
        ):
            total = sum(getattr(self, name) for name in names)
            if total > 1 + 1e-9:
                raise DataError(
                    f"streams: {', '.join(names)} add up to {total:.3g}; it must be at most 1"
                )
        for name in (
            "max_gap_s",
            "margin_s",
            "level_db",
            "channel_db",
            "mask_mel_bands",
            "mask_frames",
            "linger_s",
        ):
            check(getattr(self, name) >= 0, name, "be at least 0")
        check(self.hold_s > self.due_s, "hold_s", f"be greater than due_s, {self.due_s!r}")
        check(0 <= self.speed <= 0.5, "speed", "be at least 0 and at most 0.5")
        check(min(self.talkers, default=0) >= 1, "talkers", "hold numbers of at least 1")
        for name in ("gain_db", "snr_db", "talkers"):
            bounds = getattr(self, name)
            ordered = len(bounds) == 2 and bounds[0] <= bounds[1]
            check(ordered, name, "be two numbers, the lower one first")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run; with the data, it determines the model.

    Raises
    ------
    DataError
        A value is out of its range, or the words do not fit each other.
    """

    words: tuple[str, ...]
    """The keywords, in the order of the labels."""
    held_out_words: tuple[str, ...] = ()
    """Words that training never hears, so that validation can tell how unknown words fare."""
    held_out_speech: tuple[str, ...] = ()
    """Patterns, as of a shell, of the paths of running speech that training never hears, such as
    ``negatives/french_reading/*``: false accepts are counted in it, and it takes hours of speech to
    count them."""
    left_out: tuple[str, ...] = ()
    """Patterns, as of a shell, of the paths of recordings that are not used at all: such as speech
    in which somebody says one of the words."""
    model: ModelConfig = SIZES["medium"]
    front_end: FrontEndConfig = field(default_factory=lambda: FrontEndConfig(n_mfcc=20))
    """Mean and std are measured on the first streams when they are left empty."""
    step: StepConfig = field(default_factory=lambda: StepConfig(stride_frames=2, context_frames=3))
    streams: StreamConfig = field(default_factory=StreamConfig)
    smoothing_steps: int = 3
    """The detector's moving average, in network steps."""
    refractory_ms: int = 400
    """The detector's pause after an event."""
    threshold: float = 0.7
    """The detector's threshold for every word, until it is tuned."""
    epochs: int = 40
    """An epoch draws as many spoken segments as there are training clips of words."""
    min_steps: int = 100
    """An epoch has at least so many batches, however few recordings there are: they are heard more
    often then, each time in other surroundings."""
    distinct_epochs: int = 10
    """Epochs of streams that are drawn; later ones hear these again, in another order. Drawing
    costs more time than learning, and they are kept in memory: about 0.1 GB an epoch of 30,000
    clips."""
    batch_streams: int = 16
    """Streams in a batch."""
    learning_rate: float = 3e-3
    """Peak of the schedule: linear warm-up, then a cosine to almost nothing."""
    weight_decay: float = 0.1
    dropout: float = 0.1
    """Share of the units dropped between layers."""
    weight_clip: float = 1.5
    """Kernels stay within ± this: a few large weights would cost all others of their matrix
    precision as int8. 0 lets them grow."""
    scale_clip: float = 2.5
    """The stem's scales, behind its normalisation, stay within ± this, for the same reason: all
    channels of a layer share the 256 values of int8. 0 lets them grow."""
    bias_clip: float = 4.0
    """So do the stem's biases, within ± this. 0 lets them grow."""
    frozen_stem: bool = False
    """The SVDF layers stay as they begin: for a model of few recordings that begins with what
    another one has learned."""
    averaging: float = 0.998
    """Decay of the moving average of the weights, which is what is validated and kept."""
    seed: int = 0
    licences: Mapping[str, str] = field(default_factory=dict)
    """Where the recordings come from, and under which licence: for the model card."""

    def __post_init__(self) -> None:
        check = partial(_check, self, "")
        check(len(self.words) >= 1, "words", "name at least one word")
        check(len(set(self.words)) == len(self.words), "words", "name each word once")
        for word in self.words:
            check(bool(word.strip()), "words", "not contain an empty name")
            check(
                word not in NON_WORDS,
                "words",
                f"not contain {word!r}, a label that every model has; recordings of other words "
                "belong into a folder _unknown_, of silence into _silence_ or _background_noise_",
            )
        both = set(self.words) & set(self.held_out_words)
        check(not both, "held_out_words", f"not contain keywords: {', '.join(sorted(both))}")
        rate_hz = self.front_end.sample_rate_hz
        if rate_hz != SAMPLE_RATE_HZ:
            raise DataError(
                f"front_end.sample_rate_hz is {rate_hz}; it must be {SAMPLE_RATE_HZ}, the rate at "
                "which recordings are read"
            )
        check(self.epochs >= 1, "epochs", "be at least 1")
        check(self.min_steps >= 1, "min_steps", "be at least 1")
        check(self.distinct_epochs >= 1, "distinct_epochs", "be at least 1")
        check(self.batch_streams >= 1, "batch_streams", "be at least 1")
        check(self.learning_rate > 0, "learning_rate", "be greater than 0")
        check(self.weight_decay >= 0, "weight_decay", "be at least 0")
        check(0 <= self.dropout < 1, "dropout", "be at least 0 and less than 1")
        for name in ("weight_clip", "scale_clip", "bias_clip"):
            check(getattr(self, name) >= 0, name, "be at least 0")
        check(0 <= self.averaging < 1, "averaging", "be at least 0 and less than 1")
        check(self.smoothing_steps >= 1, "smoothing_steps", "be at least 1")
        check(self.refractory_ms >= 0, "refractory_ms", "be at least 0")
        check(0 < self.threshold <= 1, "threshold", "be greater than 0 and at most 1")
        check(0 <= self.seed < 2**31, "seed", "be at least 0 and less than 2147483648")

    @property
    def labels(self) -> tuple[str, ...]:
        """The words, then "unknown", then "silence"."""
        return (*self.words, *NON_WORDS)
