"""Samples in, posteriors out: front end, gate and network in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .engine import Engine, Runtime
from .frontend import FrontEnd
from .gate import Gate, GateConfig
from .manifest import Model

Float32 = npt.NDArray[np.float32]


class PosteriorStream:
    """A model's posteriors for a stream of samples, before the detector; see `Spotter`.

    The posteriors do not depend on how the samples are divided among calls.

    Parameters
    ----------
    model
        The model.
    runtime
        The interpreter; see `Engine`.
    gate
        True: the manifest's; False: none, every frame is processed; else a gate in its place.
    """

    def __init__(
        self,
        model: Model,
        *,
        runtime: str | Runtime | None = None,
        gate: GateConfig | bool = True,
    ) -> None:
        manifest = model.manifest
        self.front_end = FrontEnd(manifest.front_end)
        self.engine = Engine(model, runtime=runtime)
        config = manifest.gate if gate is True else gate or None
        self.gate = None if config is None else Gate(config, manifest.front_end)
        """None if every frame is processed."""
        self.frames = 0
        """Frames since the last reset."""
        self.frames_heard = 0
        """Those that passed the gate."""

    def reset(self) -> None:
        """Start anew."""
        self.front_end.reset()
        self.engine.reset()
        if self.gate is not None:
            self.gate.reset()
        self.frames = self.frames_heard = 0

    def feed(self, samples: npt.NDArray[Any]) -> tuple[Float32, bool]:
        """Process samples, and return a posterior for each network step that they complete.

        Parameters
        ----------
        samples
            As for `FrontEnd.feed`.

        Returns
        -------
        (m, n_labels) float32, and whether all of them are certain silence, since the gate was shut.

        Raises
        ------
        AudioError
            As in `FrontEnd.feed`. None was processed.
        """
        if self.gate is None:
            frames = self.front_end.feed(samples)
            self.frames += len(frames)
            self.frames_heard += len(frames)
            return self.engine.feed(frames), False
        frames, heard = self.front_end.feed_gated(samples, self.gate)
        self.frames += len(frames)
        self.frames_heard += sum(heard)
        shut = not (self.engine.heard_waiting or any(heard))
        return self.engine.feed(frames, heard), shut
