"""A run folder as training leaves it, but with drawn weights: no data, no time.

They are drawn so that the network behaves like a trained one: it forgets slowly, its cells fill up
to the clip, and it is sure of its labels. Mean and variance of a stem are those of a stream.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from harken.edge.spotting.frontend import FrontEndConfig
from harken.edge.spotting.manifest import StepConfig
from harken.train.config import NORMALISATION_EPSILON, ModelConfig, TrainConfig
from harken.train.run import RunFolder, RunRecord
from harken.train.scenes.leaks import encode_identities

N_MFCC = 10
STEPS = 3000
STRIDE, CONTEXT = 2, 3


def write_run(
    path: Path,
    *,
    dense_units: int = 12,
    svdf_units: tuple[int, ...] = (),
    svdf_memory: tuple[int, ...] = (),
    lstm_units: tuple[int, ...] = (16,),
    seed: int = 0,
) -> Path:
    """Write the run folder `path` and return it."""
    rng = np.random.default_rng(seed)
    config = TrainConfig(
        words=("yes", "no"),
        model=ModelConfig(
            dense_units=dense_units,
            svdf_units=svdf_units,
            svdf_memory=svdf_memory,
            lstm_units=lstm_units,
        ),
        front_end=FrontEndConfig(n_mels=20, n_mfcc=N_MFCC),
        step=StepConfig(stride_frames=STRIDE, context_frames=CONTEXT),
        seed=seed,
    )
    run = RunFolder(path)
    run.create()
    run.save_record(
        RunRecord(
            config=config,
            recipe="harken train recordings --out run",
            data={
                "fingerprint": "0123",
                "split_rule": "hash of the speaker",
                "word_counts": {"yes": {"training": 1289, "validation": 153}},
                "licences": {"the tests' own": "none needed, they are drawn"},
                "training_speakers": encode_identities(["anna", "ben"]),
            },
            versions={"python": "3.12.1"},
        )
    )
    run.save_arrays("weights.npz", _weights(config, rng))
    run.save_arrays("calibration.npz", {"frames": _frames(rng), "check_frames": _frames(rng)})
    run.save_json(
        "report.json",
        {
            "best": {"epoch": 3.0, "clip_accuracy": 0.75},
            "validation": {
                "accuracy": 0.75,
                "clips": 40,
                "labels": {label: {"clips": 10, "right": 9} for label in config.labels},
                "confusion": [],
            },
        },
    )
    return path


def _weights(config: TrainConfig, rng: np.random.Generator) -> dict[str, np.ndarray]:
    weights = {}
    width = config.step.context_frames * config.front_end.n_mfcc

    def draw(rows: int, columns: int, gain: float) -> np.ndarray:
        return (gain * rng.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32)

    units = config.model.dense_units
    if units:
        weights["dense_in/kernel"] = draw(width, units, 1.0)
        weights["dense_in/bias"] = draw(1, units, 0.3)[0]
        width = units
    centre = np.zeros(width)
    if config.model.svdf:
        stem, centre = _stem(config, rng, weights)
        weights |= stem
        width = centre.size
    for layer, units in enumerate(config.model.lstm_units):
        bias = draw(1, 4 * units, 0.5)[0]
        bias[units : 2 * units] += 3.0  # forget slowly
        weights[f"lstm_{layer}/kernel"] = draw(width, 4 * units, 1.5)
        weights[f"lstm_{layer}/recurrent_kernel"] = draw(units, 4 * units, 0.5)
        weights[f"lstm_{layer}/bias"] = bias
        if layer == 0:
            # What a stem gives is never negative: without this the gates would hardly move.
            bias -= (centre @ weights["lstm_0/kernel"]).astype(np.float32)
        width = units
    weights["dense_out/kernel"] = draw(width, len(config.labels), 6.0)
    weights["dense_out/bias"] = draw(1, len(config.labels), 0.5)[0]
    return weights


def _stem(
    config: TrainConfig, rng: np.random.Generator, first: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """SVDF layers behind the layer `first`, or behind the features where it is empty.

    Returned with the mean of what they give.
    """
    weights = {}
    frames = _frames(rng)[: 600 * STRIDE + CONTEXT]
    x = np.stack([frames[i : i + CONTEXT].ravel() for i in range(0, 600 * STRIDE, STRIDE)])
    if first:
        x = np.maximum(x @ first["dense_in/kernel"] + first["dense_in/bias"], 0)
    taken = []
    for layer, (units, memory) in enumerate(config.model.svdf):
        taken.append(x)
        kernel = rng.normal(size=(x.shape[1], units)) / np.sqrt(x.shape[1])
        filters = rng.normal(size=(memory, units)) / np.sqrt(memory)
        scale, bias = rng.uniform(0.5, 1.5, units), rng.normal(0, 0.3, units)
        heard = np.concatenate((np.zeros((memory - 1, units)), x @ kernel))
        y = sum(filters[age] * heard[age : age + len(x)] for age in range(memory))
        mean, variance = y.mean(axis=0), y.var(axis=0)
        y = (y - mean) / np.sqrt(variance + NORMALISATION_EPSILON) * scale + bias
        span = config.model.adds(layer)
        x = np.maximum(y + taken[-span] if span else y, 0)
        parts = {
            "kernel": kernel,
            "time_kernel": filters,
            "scale": scale,
            "bias": bias,
            "mean": mean,
            "variance": variance,
        }
        for name, value in parts.items():
            weights[f"svdf_{layer}/{name}"] = value.astype(np.float32)
    return weights, x.mean(axis=0)


def _frames(rng: np.random.Generator) -> np.ndarray:
    """Frames that change slowly, as those of speech do: (n, N_MFCC) float32."""
    frames = np.zeros((STEPS * STRIDE, N_MFCC), np.float32)
    for before, now in itertools.pairwise(frames):
        now[:] = 0.98 * before + np.sqrt(1 - 0.98**2) * rng.normal(size=N_MFCC)
    return frames
