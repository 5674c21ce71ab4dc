"""Samples in, word events out: front end, network and detector in one."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .clip import classify_clip, clip_tail
from .detector import Context, Detection, Detector, DetectorConfig
from .engine import Engine, Runtime
from .frontend import FrontEnd
from .manifest import Model, load_model


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A word that was heard, and when."""

    word: str
    confidence: float
    """The evidence that decided it, in 0..1."""
    acoustic: float
    """The same without what the context adds to it: what was said before."""
    start_sample: int
    """First sample of the evidence, counted from the last reset; see `Detection`."""
    end_sample: int
    """Samples heard when the decision was made, counted from the last reset."""
    start_s: float
    """`start_sample` in seconds."""
    end_s: float
    """`end_sample` in seconds."""
    latency_s: float
    """Time on the clock from when the samples that decided it arrived until this event, seconds."""

    def to_dict(self) -> dict[str, str | int | float]:
        """Return the fields for a line of JSON, numbers rounded to what they mean."""
        values = dataclasses.asdict(self)
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in values.items()
        }


class Spotter:
    """Hears words in a stream of samples.

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
        Who knows what was said before, such as a `harken.edge.memory.Memory`.

    Raises
    ------
    ModelError
        The model is missing, damaged, or at odds with its manifest.
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
    ) -> None:
        self.model = model if isinstance(model, Model) else load_model(model)
        """The model that listens."""
        manifest = self.model.manifest
        front_end = manifest.front_end
        self._sample_rate_hz = front_end.sample_rate_hz
        self._front_end = FrontEnd(front_end)
        self._engine = Engine(self.model, runtime=runtime)
        self._detector = Detector(
            detector or manifest.detector,
            manifest.labels,
            manifest.step_samples,
            sample_rate_hz=front_end.sample_rate_hz,
            overhang_samples=front_end.window_samples - front_end.hop_samples,
            context=context,
        )
        self.samples_heard = 0
        """Samples since the last reset, those that were lost counted."""
        self.posteriors = np.zeros(len(manifest.labels), np.float32)
        """(n_labels,) float32, what the network said last, not smoothed; zeros before it did."""

    def reset(self) -> None:
        """Forget everything heard; the next sample is sample 0 again."""
        self._front_end.reset()
        self._engine.reset()
        self._detector.reset()
        self.samples_heard = 0
        self.posteriors = np.zeros_like(self.posteriors)

    def skip(self, samples: int) -> None:
        """Go on after sound that was lost: what comes next does not follow what came before.

        The network begins afresh, so that no word is made of two halves of others. Positions of
        events count what was lost; talk, the context and the refractory time are not forgotten.

        Parameters
        ----------
        samples
            How much was lost, at the model's rate; at least 0.
        """
        self.samples_heard += samples
        self._front_end.reset()
        self._engine.reset()
        self._detector.resume(self.samples_heard)

    def feed(self, samples: npt.NDArray[Any], *, arrived_at: float | None = None) -> list[Event]:
        """Take in samples, give out the words that they complete.

        Parameters
        ----------
        samples
            (n,) int16, or float32 with full scale at ±1, mono, at the model's rate; any n.
        arrived_at
            `time.monotonic` of when the last of them arrived, from which latency counts; by default
            the time of the call.

        Returns
        -------
        Events in the order in which they were decided; empty most of the time.

        Raises
        ------
        AudioError
            The samples have another shape or type, or are not finite. Nothing was taken in.
        """
        if arrived_at is None:
            arrived_at = time.monotonic()
        frames = self._front_end.feed(samples)
        self.samples_heard += len(samples)
        posteriors = self._engine.feed(frames)
        if len(posteriors):
            self.posteriors = posteriors[-1]
        return [self._event(detection, arrived_at) for detection in self._detector.feed(posteriors)]

    @property
    def detector(self) -> DetectorConfig:
        """Thresholds, smoothing and refractory time in force."""
        return self._detector.config

    @property
    def evidence(self) -> npt.NDArray[np.float32]:
        """(m, n_labels) float32, what was compared with the thresholds in the last `feed`."""
        return self._detector.evidence

    def classify(self, clip: npt.NDArray[Any]) -> str:
        """Give a clip one label, by the rule of `harken.edge.clip`.

        Starts from a reset, and leaves one behind: a stream that was being heard is forgotten.

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
            heard = self._front_end.feed(clip)
            tail = self._front_end.feed(clip_tail(clip, self._sample_rate_hz))
            posteriors = self._engine.feed(np.concatenate((heard, tail)))
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
