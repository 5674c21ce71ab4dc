"""A trained network and calibration steps in, a fully int8 one-step TFLite model out."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys

from ..edge.errors import ExportError
from .reference import Array, Network

CELL_CLIP = 10.0
"""What TensorFlow's converter writes into every fused LSTM, asked or not."""

_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",  # the work is small; do not take a GPU's memory for it
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_USE_LEGACY_KERAS": "1",
}


def convert(network: Network, calibration: Array) -> bytes:
    """Convert a network to int8, in a process of its own.

    TensorFlow's converter takes the whole process down where it meets what it cannot do, so it gets
    one that may go down. That also keeps its memory and its log lines out of the caller's.

    Parameters
    ----------
    network
        The trained network; its cells must be clipped at `CELL_CLIP`.
    calibration
        Stacked frames, (steps, inputs) float32, of one continuous stream: minutes, not clips. The
        converter keeps the LSTM's state from one step to the next, so the ranges it sees are those
        of a model that has listened for as long.

    Returns
    -------
    bytes
        The TFLite model: int8 (1, 1, inputs) in, int8 logits (1, labels) out.

    Raises
    ------
    ExportError
        The converter failed or crashed.
    """
    child = subprocess.run(
        [sys.executable, "-P", "-m", f"{__package__}.twin"],
        input=pickle.dumps((network, calibration)),
        capture_output=True,
        env={**os.environ, **_ENVIRONMENT},
        check=False,
    )
    if child.returncode:
        raise ExportError(f"conversion of {network.description} failed: {_reason(child)}")
    return child.stdout


def _reason(child: subprocess.CompletedProcess[bytes]) -> str:
    if child.returncode < 0:
        return f"TensorFlow's converter crashed ({signal.Signals(-child.returncode).name})"
    lines = child.stderr.decode("utf-8", "replace").split("\n")
    return next(
        (line.strip() for line in reversed(lines) if line.strip()),
        f"TensorFlow's converter ended with code {child.returncode} and no word",
    )
