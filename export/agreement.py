"""Posteriors of two networks on one stream in, their agreement out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .reference import Array


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well posteriors agree with those of a reference, step for step."""

    steps: int
    same_argmax: float
    """Share of the steps in which both have the same argmax."""
    difference_mean: float
    """Mean over the steps of the largest difference of a posterior."""
    difference_p99: float
    """99th percentile of the same."""
    difference_max: float
    """Maximum of the same."""


def measure_agreement(reference: Array, posteriors: Array) -> Agreement:
    """Compare posteriors, (steps, labels), with those of a reference on the same stream."""
    differences = np.abs(posteriors - reference).max(axis=1)
    return Agreement(
        steps=len(reference),
        same_argmax=float(np.mean(posteriors.argmax(axis=1) == reference.argmax(axis=1))),
        difference_mean=float(differences.mean()),
        difference_p99=float(np.percentile(differences, 99)),
        difference_max=float(differences.max()),
    )
