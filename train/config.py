"""The complete configuration of a training run: a frozen dataclass, saved in the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from ..edge.errors import DataError
from ..edge.spotting.frontend import FrontEndConfig
from ..edge.spotting.manifest import MOST_SVDF_MEMORY, NON_WORDS, StepConfig
from .decode import SAMPLE_RATE_HZ

MOST_SVDF_SPAN = 2
"""Most SVDF layers that a residual addition spans."""

NORMALISATION_EPSILON = 1e-3
"""Epsilon of batch normalisation: added to the variance before its root is taken."""


def _check(config: object, section: str, fits: bool, name: str, must: str) -> None:
    """Raise `DataError` unless a field is acceptable."""
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

    conv_channels: tuple[int, ...] = ()
    """Channels of each convolution over frequency; empty: none. They see the frames of a step as
    mel bands, as many as there are MFCC."""
    conv_kernel: tuple[int, ...] = ()
    """Neighbouring bands that each of them sees."""
    conv_stride: tuple[int, ...] = ()
    """Bands from one output of each of them to the next."""
    dense_units: int = 0
    """Units of the initial dense layer; 0: no such layer."""
    svdf_units: tuple[int, ...] = ()
    """Units of each SVDF layer of the stem; empty: no stem."""
    svdf_memory: tuple[int, ...] = ()
    """Steps that each SVDF layer's filters over time span, the current one included."""
    svdf_residual: int = 2
    """Layers that a residual addition spans, 1 or 2: their input is added to the output of the last
    one if both have the same width. 0: no addition."""
    lstm_units: tuple[int, ...]
    """Units of each LSTM layer."""
    cell_clip: float = 10.0
    """Cells are clipped to ± this; exported models have 10."""

    def __post_init__(self) -> None:
        check = partial(_check, self, "model.")
        convolutions = len(self.conv_channels)
        for name in ("conv_channels", "conv_kernel", "conv_stride"):
            check(min(getattr(self, name), default=1) >= 1, name, "hold numbers of at least 1")
            check(
                len(getattr(self, name)) == convolutions,
                name,
                f"hold one number for each of the {convolutions} conv_channels",
            )
        check(
            not (convolutions and self.dense_units),
            "dense_units",
            "be 0 in a network with conv_channels",
        )
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
    def conv(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel, stride and channels of each convolution."""
        return tuple(zip(self.conv_kernel, self.conv_stride, self.conv_channels, strict=True))

    @property
    def has_stem(self) -> bool:
        """Whether there are convolutions or SVDF layers."""
        return bool(self.conv_channels or self.svdf_units)

    def positions(self, bands: int) -> tuple[int, ...]:
        """Return at how many places each convolution is evaluated: below 1 if it does not fit.

        Parameters
        ----------
        bands
            Mel bands that the first one sees.
        """
        places = []
        for kernel, stride, _ in self.conv:
            bands = (bands - kernel) // stride + 1
            places.append(bands)
        return tuple(places)

    @property
    def svdf(self) -> tuple[tuple[int, int], ...]:
        """Units and memory of each SVDF layer."""
        return tuple(zip(self.svdf_units, self.svdf_memory, strict=True))

    def adds(self, layer: int) -> int:
        """Return, for each SVDF layer, how many layers the addition to its output spans; 0: none.

        Layers form blocks of `svdf_residual`. The first layer, whose inputs are features, is in no
        block.
        """
        span, first = self.svdf_residual, 0 if self.dense_units else 1
        if layer < first or not span or (layer - first + 1) % span:
            return 0
        before = (self.dense_units, *self.svdf_units)[layer - span + 1]
        return span if before == self.svdf_units[layer] else 0


def _network(conv_channels: tuple[int, ...], svdf_units: int, lstm_units: int) -> ModelConfig:
    memory = (3, 5, 5, 5, 5)
    layers = len(conv_channels)
    return ModelConfig(
        conv_channels=conv_channels,
        conv_kernel=(5, *[3] * (layers - 1)),
        conv_stride=(*[1] * (layers - 2), 2, 1),
        svdf_units=(svdf_units,) * len(memory),
        svdf_memory=memory,
        lstm_units=(lstm_units,),
    )


SIZES: dict[str, ModelConfig] = {
    "tiny": _network((12, 16, 16), 36, 40),
    "small": _network((16, 20, 20), 48, 48),
    "medium": _network((20, 24, 24), 60, 60),
    "large": _network((24, 32, 32, 32), 72, 72),
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
    """Share of the spoken segments that are other words or pieces of running speech."""
    cut_share: float = 0.06
    """Share of the spoken segments that are words cut off in the middle, which must not be
    detected."""
    splice_share: float = 0.05
    """Share of the spoken segments that join the first half of one word and the second half of
    another into an unknown word."""
    speech_stream_share: float = 0.06
    """Share of the streams that are running speech from end to end, without a keyword."""
    fragment_share: float = 0.3
    """Share of those that are fragments of the word recordings, which have more speakers than any
    other speech; a quarter of the rest is played backwards."""
    noise_stream_share: float = 0.04
    """Share of the streams without any speech."""
    hard_share: float = 0.25
    """Share of the running speech and of the noise without speech that is drawn from hard
    negatives, if the data name any."""
    max_gap_s: float = 1.0
    """Longest pause between segments, roughly."""
    margin_s: float = 0.5
    """Most of a recording's own silence to keep on each side of its word (time shift); 0.05 s are
    always kept if the recording has them."""
    level_db: float = 4.0
    """Standard deviation of a segment's loudness."""
    gain_db: tuple[float, ...] = (-28.0, 18.0)
    """Gain of the whole stream: lowest and highest, drawn uniformly."""
    speed: float = 0.15
    """Largest change of speed, as a fraction; twice that in running speech."""
    clean_share: float = 0.25
    """Share of the streams without added noise, except, mostly, a hiss 30 to 60 dB below the
    words."""
    snr_db: tuple[float, ...] = (-2.0, 30.0)
    """Signal-to-noise ratio of the words: lowest and highest, drawn uniformly."""
    talk_share: float = 0.1
    """Share of the noises behind words that are people talking."""
    hum_share: float = 0.0
    """Share of the streams with mains hum and its overtones, an offset and slow drift, as from a
    poor microphone or power supply."""
    talkers: tuple[int, ...] = (4, 4)
    """Fewest and most talkers at once; always the most if the noise is less than 6 dB softer than
    the words, so that no talker is mistaken for the speaker of the words."""
    room_share: float = 0.35
    """Share of the streams that are played in a room."""
    simulated_room_share: float = 0.5
    """Share of those rooms that are simulated, if there are any."""
    synthetic_share: float = 0.06
    """Share of the words said by synthetic voices, if these say the word."""
    cut_out_share: float = 0.1
    """Share of the words cut out of running speech, where their times are known."""
    channel_db: float = 1.0
    """Standard deviation of a microphone's frequency response, in dB; a stream gets another one
    each time it is used."""
    mask_mel_bands: int = 5
    """SpecAugment: widest stripe of mel bands."""
    mask_frames: int = 6
    """SpecAugment: longest stripe of frames."""
    due_s: float = 0.04
    """A word's label is the target from this long after its end, when it is clear that the word
    does not continue; negative: from before its end …"""
    hold_s: float = 0.3
    """… until this long after its end."""
    linger_s: float = 0.24
    """For this long after that, the word may still be detected, but need not be."""

    def __post_init__(self) -> None:
        check = partial(_check, self, "streams.")
        # A word may start a second late, and needs half a second.
        check(self.seconds >= 2, "seconds", "be at least 2")
        for name in (
            "unknown_share",
            "cut_share",
            "splice_share",
            "speech_stream_share",
            "fragment_share",
            "noise_stream_share",
            "hard_share",
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
        A value is out of its range, or the words contradict each other.
    """

    words: tuple[str, ...]
    """The keywords, in the order of the labels."""
    held_out_words: tuple[str, ...] = ()
    """Words that training never uses, so that validation shows how unknown words fare."""
    held_out_speech: tuple[str, ...] = ()
    """Shell patterns of paths of running speech that training never uses, such as
    ``negatives/french_reading/*``: it serves to count false accepts, which takes hours of
    speech."""
    left_out: tuple[str, ...] = ()
    """Shell patterns of paths of recordings that are not used at all, such as speech that contains
    one of the words."""
    model: ModelConfig = SIZES["medium"]
    front_end: FrontEndConfig = field(default_factory=lambda: FrontEndConfig(n_mfcc=20))
    """If mean and std are empty, they are measured on the first streams."""
    step: StepConfig = field(default_factory=lambda: StepConfig(stride_frames=2, context_frames=6))
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
    """Fewest batches in an epoch: with few recordings, each is used more often, every time with
    other noise and rooms."""
    distinct_epochs: int = 10
    """Epochs with newly drawn streams; later epochs reuse these in another order. Drawing takes
    longer than learning, and the streams are kept in memory: about 0.1 GB per epoch of 30,000
    clips."""
    batch_streams: int = 16
    """Streams in a batch."""
    learning_rate: float = 3e-3
    """Peak of the schedule: linear warm-up, then a cosine to almost nothing."""
    weight_decay: float = 0.1
    dropout: float = 0.1
    """Dropout rate between layers."""
    weight_clip: float = 1.5
    """Kernels are clipped to ± this: in int8, a few large weights would cost all others in their
    matrix precision. 0: no clipping."""
    scale_clip: float = 2.5
    """The scales of the stem's normalisation are clipped to ± this, for the same reason: all
    channels of a layer share the 256 values of int8. 0: no clipping."""
    bias_clip: float = 4.0
    """The stem's biases are clipped to ± this. 0: no clipping."""
    frozen_stem: bool = False
    """The SVDF layers are frozen: for a model from few recordings that starts with another model's
    weights."""
    averaging: float = 0.998
    """Decay of the moving average of the weights; the average is validated and kept."""
    teacher_weight: float = 0.7
    """If another network teaches this one, the weight of its posteriors in the loss; that of the
    labels is the rest."""
    seed: int = 0
    licences: Mapping[str, str] = field(default_factory=dict)
    """Sources of the recordings and their licences, for the model card."""

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
        check(0 < self.teacher_weight <= 1, "teacher_weight", "be greater than 0 and at most 1")
        check(self.smoothing_steps >= 1, "smoothing_steps", "be at least 1")
        check(self.refractory_ms >= 0, "refractory_ms", "be at least 0")
        fewest = min(self.model.positions(self.front_end.n_mfcc), default=1)
        if fewest < 1:
            raise DataError(
                f"model.conv_kernel is {self.model.conv_kernel}, wider than what is left of the "
                f"{self.front_end.n_mfcc} bands of front_end.n_mfcc; make it smaller"
            )
        check(0 < self.threshold <= 1, "threshold", "be greater than 0 and at most 1")
        check(0 <= self.seed < 2**31, "seed", "be at least 0 and less than 2147483648")

    @property
    def labels(self) -> tuple[str, ...]:
        """The words, then "unknown", then "silence"."""
        return (*self.words, *NON_WORDS)
