"""What runs on a browser's audio thread allocates nothing: worklet.js, in Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile
import soxr

HOUR = Path("bench/web_hour.mjs")
HOURS = 0.05
RATE_HZ = 48_000


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("model", ["commands", "commands-tiny"])
def test_listening_allocates_nothing(web_site: Path, model: str) -> None:
    """Neither on the heap of JavaScript, not even a number a quantum, nor in WebAssembly."""
    pcm, rate_hz = soundfile.read("models/demo.flac", dtype="float32")
    done = subprocess.run(
        ["node", "--expose-gc", HOUR, web_site, f"models/{model}.wasm", str(HOURS)],
        input=soxr.resample(pcm, rate_hz, RATE_HZ).astype("<f4").tobytes(),
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["quanta"] == round(HOURS * 3600 * RATE_HZ / 128)
    assert found["collections"] == 0
    assert found["heap_grew"] < found["quanta"]  # less than a byte a quantum
    assert found["wasm_grew"] == 0
