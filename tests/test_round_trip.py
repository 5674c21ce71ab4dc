"""The whole way, as the README shows it: recordings, train, export, listen, eval."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tones

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="needs harken[train]"
    ),
]

SPEAKERS = 30

# So small that it is trained within half a minute.
SETTINGS = {
    "words": ["low", "high"],
    "model": {
        "conv_channels": [8, 12],
        "conv_kernel": [5, 4],
        "conv_stride": [2, 2],
        "svdf_units": [16, 16],
        "svdf_memory": [3, 5],
        "lstm_units": [16],
    },
    "step": {"stride_frames": 2, "context_frames": 4},
    "batch_streams": 8,
    "learning_rate": 0.01,
    "averaging": 0.9,
    "epochs": 80,
    "min_steps": 1,
}


def run(*arguments: object) -> str:
    """Run a command in a process of its own and return what it says on standard output."""
    command = [sys.executable, "-m", "harken", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def record(folder: Path) -> None:
    """Two words, another one, and noise, at the levels of near and far microphones."""
    rng = np.random.default_rng(0)

    def write(word: str, speaker: int, sound: np.ndarray) -> None:
        (folder / word).mkdir(exist_ok=True)
        rest = tones.quiet(rng.uniform(0.2, 0.4), seed=speaker)
        samples = np.concatenate((rest, sound, rest))
        path = folder / word / f"speaker{speaker:02}_1.wav"
        soundfile.write(path, tones.to_int16(samples), tones.RATE)

    folder.mkdir()
    for speaker in range(SPEAKERS):
        level = 0.02 * 1.25 ** (speaker % 12)
        write("low", speaker, tones.tone("low", level=level))
        write("high", speaker, tones.tone("high", level=level))
        write("middle", speaker, tones.sine(1000.0, tones.BURST_S, level=level))
    noise = folder / "_background_noise_"
    noise.mkdir()
    soundfile.write(noise / "fan.flac", tones.quiet(40.0, level=1e-3), tones.RATE)


def test_words_of_ones_own_are_trained_exported_heard_and_measured(tmp_path):
    recordings, settings = tmp_path / "recordings", tmp_path / "settings.json"
    record(recordings)
    settings.write_text(json.dumps(SETTINGS))
    cache = ("--cache-dir", tmp_path / "cache")
    run("train", recordings, "--config", settings, "--out", tmp_path / "home", *cache)
    run("export", tmp_path / "home", "--out", tmp_path / "models")

    said = tmp_path / "said.wav"
    soundfile.write(said, tones.stream("low", "high", "high", "low"), tones.RATE)
    model = tmp_path / "models" / "home.tflite"
    heard = run("listen", model, "--wav", said, "--threshold", 0.5, "--json").splitlines()
    assert [json.loads(line)["word"] for line in heard] == ["low", "high", "high", "low"]

    figures = json.loads(run("eval", model, "--data", recordings, "--json", *cache))
    words = [figures["labels"][word] for word in ("low", "high")]
    assert all(word["clips"] == SPEAKERS / 10 for word in words)
    assert all(word["accuracy"] == 1 for word in words)
