"""Samples in, word events out: front end, network and detector in one."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .clip import classify_clip, clip_tail
from .detector import Context, Detection, Detector, DetectorConfig
from .engine import Runtime
from .gate import GateConfig
from .manifest import Model, load_model
from .posteriors import PosteriorStream

FILL_S = 1.0
"""How much of a gap is filled; by then the network's state has settled."""

RECENT_S = 2.0
"""Seconds of audio from which the level of the room is estimated."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A detected word, and when it was said."""

    word: str
    confidence: float
    """The evidence that was compared with the threshold, in 0..1."""
    acoustic: float
    """The same without the contribution of the context (what was said before)."""
    start_sample: int
    """First sample of the evidence, counted from the last reset; see `Detection`."""
    end_sample: int
    """Samples processed when the decision was made, counted from the last reset."""
    start_s: float
    """`start_sample` in seconds."""
    end_s: float
    """`end_sample` in seconds."""
    latency_s: float
    """Seconds from the arrival of the deciding samples to this event, by the clock."""

    def to_dict(self) -> dict[str, str | int | float]:
        """Return the fields for a line of JSON, with numbers rounded to their precision."""
        values = dataclasses.asdict(self)
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in values.items()
        }


class Spotter:
    """Detects words in a stream of samples.

    The words and their positions do not depend on how the samples are divided among calls.

    Parameters
    ----------
    model
        A `Model`, or what `load_model` takes: a path, or the name of a shipped model.
    runtime
        The interpreter; see `Engine`.
    detector
        Thresholds, smoothing and refractory time in place of those in the manifest.
    context
        The context (what was said before), such as a memory of earlier commands.
    gate
        True: audio too soft for a word is skipped, as the manifest says; False: all of it is
        processed; else a `GateConfig` in place of the manifest's.

    Raises
    ------
    ModelError
        The model is missing or damaged, or does not agree with its manifest.
    DependencyError
        No interpreter is installed.

    Examples
    --------
    >>> spotter = Spotter("commands")
    >>> for event in spotter.feed(samples):
    ...     print(event.word, event.start_s)
    """

    def __init__(
        self,
        model: Model | str | Path,
        *,
        runtime: str | Runtime | None = None,
        detector: DetectorConfig | None = None,
        context: Context | None = None,
        gate: GateConfig | bool = True,
    ) -> None:
        self.model = model if isinstance(model, Model) else load_model(model)
        """The model in use."""
        manifest = self.model.manifest
        front_end = manifest.front_end
        self._sample_rate_hz = front_end.sample_rate_hz
        self._stream = PosteriorStream(self.model, runtime=runtime, gate=gate)
        self._detector = Detector(
            detector or manifest.detector,
            manifest.labels,
            manifest.step_samples,
            sample_rate_hz=front_end.sample_rate_hz,
            overhang_samples=front_end.window_samples - front_end.hop_samples,
            context=context,
        )
        self._recent: deque[npt.NDArray[Any]] = deque()  # the last `RECENT_S` of audio
        self._recent_samples = 0  # in these
        self.samples_heard = 0
        """Samples since the last reset, dropped ones included."""
        self.posteriors = np.zeros(len(manifest.labels), np.float32)
        """(n_labels,) float32, the network's last output, not smoothed; zeros before the first."""

    def reset(self) -> None:
        """Start anew: the next sample is sample 0 again."""
        self._stream.reset()
        self._detector.reset()
        self._forget_recent()
        self.samples_heard = 0
        self.posteriors = np.zeros_like(self.posteriors)

    def skip(self, samples: int) -> list[Event]:
        """Continue after dropped audio.

        The network gets noise in its place, as loud as the quietest tenth of the last seconds. So
        more words that touch a gap are detected than after a reset, and none is joined from both
        sides of it (docs/experiments.md). Of a long gap only the first `FILL_S` is filled; all of
        it counts for positions.

        Parameters
        ----------
        samples
            Number of dropped samples, at the model's rate; at least 0.

        Returns
        -------
        Words that were complete before the gap.
        """
        filled = min(samples, round(FILL_S * self._sample_rate_hz))
        events = self.feed(self._noise(filled))
        self._forget_recent()
        self.samples_heard += samples - filled
        self._detector.jump(samples - filled)
        return events

    @property
    def _most_recent(self) -> int:
        return round(RECENT_S * self._sample_rate_hz)

    def _remember(self, samples: npt.NDArray[Any]) -> None:
        kept = samples[-self._most_recent :].copy()
        self._recent.append(kept)
        self._recent_samples += len(kept)
        while self._recent_samples - len(self._recent[0]) >= self._most_recent:
            self._recent_samples -= len(self._recent.popleft())

    def _forget_recent(self) -> None:
        self._recent.clear()
        self._recent_samples = 0

    def _noise(self, count: int) -> npt.NDArray[np.int16]:
        recent = np.concatenate([np.zeros(0, np.float32), *map(_as_int16, self._recent)])
        recent = recent[-self._most_recent :]
        length = self._sample_rate_hz // 50
        frames = recent[len(recent) % length :].reshape(-1, length)
        level = np.percentile(np.sqrt(np.square(frames).mean(axis=1)), 10) if len(frames) else 0.0
        noise = np.random.default_rng(count).normal(0.0, level, count)
        return np.clip(np.rint(noise), -32768, 32767).astype(np.int16)

    def feed(self, samples: npt.NDArray[Any], *, arrived_at: float | None = None) -> list[Event]:
        """Process samples, and return the words that they complete.

        Parameters
        ----------
        samples
            (n,) int16, or float32 with full scale at ±1, mono, at the model's rate; any n.
        arrived_at
            `time.monotonic` when the last of them arrived, for latency; by default the time of the
            call.

        Returns
        -------
        Events in the order in which they were decided; empty most of the time.

        Raises
        ------
        AudioError
            The samples have another shape or type, or are not finite. None was processed.
        """
        if arrived_at is None:
            arrived_at = time.monotonic()
        posteriors, shut = self._stream.feed(samples)
        self.samples_heard += len(samples)
        self._remember(samples)
        if len(posteriors):
            self.posteriors = posteriors[-1]
        detector = self._detector
        detections = detector.rest(len(posteriors)) if shut else detector.feed(posteriors)
        return [self._event(detection, arrived_at) for detection in detections]

    @property
    def wakes(self) -> tuple[Event, ...]:
        """Wake words that the last `feed` detected: none, without a wake model (`WokenSpotter`)."""
        return ()

    @property
    def detector(self) -> DetectorConfig:
        """Thresholds, smoothing and refractory time in force."""
        return self._detector.config

    @property
    def gate(self) -> GateConfig | None:
        """The gate in force; None if every frame is processed."""
        return None if self._stream.gate is None else self._stream.gate.config

    @property
    def heard_share(self) -> float:
        """Share of the audio since the last reset that the network processed, in 0..1."""
        return self._stream.frames_heard / self._stream.frames if self._stream.frames else 1.0

    @property
    def evidence(self) -> npt.NDArray[np.float32]:
        """(m, n_labels) float32, what was compared with the thresholds in the last `feed`."""
        return self._detector.evidence

    def classify(self, clip: npt.NDArray[Any]) -> str:
        """Give a clip one label, by the rule of `harken.edge.spotting.clip`.

        Resets before and after: a stream in progress is forgotten.

        Parameters
        ----------
        clip
            (n,) int16, or float32 with full scale at ±1, mono, at the model's rate.

        Raises
        ------
        AudioError
            As in `feed`.
        """
        self.reset()
        try:
            front_end = self._stream.front_end
            heard = front_end.feed(clip)
            tail = front_end.feed(clip_tail(clip, self._sample_rate_hz))
            posteriors = self._stream.engine.feed(np.concatenate((heard, tail)))
        finally:
            self.reset()
        label = classify_clip(posteriors, self._detector.config.smoothing_steps)
        return self._detector.labels[label]

    def _event(self, detection: Detection, arrived_at: float) -> Event:
        return Event(
            word=detection.word,
            confidence=detection.confidence,
            acoustic=detection.acoustic,
            start_sample=detection.start_sample,
            end_sample=detection.end_sample,
            start_s=detection.start_sample / self._sample_rate_hz,
            end_s=detection.end_sample / self._sample_rate_hz,
            latency_s=time.monotonic() - arrived_at,
        )


def _as_int16(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return samples as float32 on the scale of int16."""
    scale = np.float32(1 if samples.dtype == np.int16 else 32768)
    return samples * scale
