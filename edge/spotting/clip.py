"""A clip in, one label out: the one rule by which clip accuracy is measured everywhere.

A device keeps listening after a word; a clip just ends, often in the middle of the word. So the
stream continues a little after the clip, with nothing new in it (`clip_tail`), and then each
label's evidence is its highest smoothed posterior (`classify_clip`). The numbers were chosen on
validation clips; `docs/experiments.md` has the figures of other choices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .detector import Float32, smooth

TAIL_MS = 400
"""How long the stream continues after the clip."""
TAIL_GAIN = 0.3
"""Level of the tail's beginning; from there it fades to nothing."""

CLIP_THRESHOLD = 0.3
"""Evidence that a label needs to be the clip's label."""
UNKNOWN_WEIGHT = 0.4
"""Factor on the evidence for "unknown", which also appears before a word is complete."""


def clip_tail(clip: npt.NDArray[Any], sample_rate_hz: int) -> npt.NDArray[Any]:
    """Return the audio to add after a clip: its last moments backwards, quieter and fading out.

    Zeros would do after words, but noise that breaks off sounds like speech.

    Parameters
    ----------
    clip
        (n,) int16, or float32 with full scale at ±1, mono.
    sample_rate_hz
        Samples a second.

    Returns
    -------
    (m,) of the same type, where m is `TAIL_MS` in samples or n, whichever is less.
    """
    backwards = clip[::-1][: sample_rate_hz * TAIL_MS // 1000]
    tail = backwards * np.linspace(TAIL_GAIN, 0.0, len(backwards))
    if clip.dtype == np.int16:
        tail = np.rint(tail)
    return tail.astype(clip.dtype)


def classify_clip(posteriors: Float32, smoothing_steps: int) -> int:
    """Give a clip one label.

    The posteriors from a reset state are smoothed as the detector does, and each label's evidence
    is the peak of its smoothed posterior over the clip and its tail; that of "unknown" is
    multiplied by `UNKNOWN_WEIGHT`. The label with the most evidence ("silence" excepted) is the
    answer if it reaches `CLIP_THRESHOLD`; otherwise "silence" is.

    Parameters
    ----------
    posteriors
        (m, n_labels) float32, the last two labels being "unknown" and "silence"; m may be 0.
    smoothing_steps
        The detector's.

    Returns
    -------
    Index of the label.
    """
    silence: int = posteriors.shape[1] - 1
    evidence = smooth(posteriors, smoothing_steps).max(axis=0, initial=0.0)[:silence]
    evidence[-1] *= UNKNOWN_WEIGHT
    label = int(np.argmax(evidence))
    return label if evidence[label] >= CLIP_THRESHOLD else silence
