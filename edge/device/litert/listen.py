"""Audio in, words out, with LiteRT's ``CompiledModel`` and harken's front end and detector.

    python listen.py NAME.json sound.wav
    arecord -q -t raw -f S16_LE -r 16000 -c 1 | python listen.py NAME.json -

NAME.json describes the model beside it. Needs: pip install harken
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel

from harken.edge import Detector, DetectorConfig, FrontEnd, FrontEndConfig
from harken.edge.sound.sources import AudioFile


class Network:
    """Runs step by step; the output state of one step is the input of the next."""

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.model = CompiledModel.from_file(str(path))
        self.signature = description["signature"]
        self.states = description["states"]
        self.n_labels = len(description["labels"])
        self.inputs = {
            tensor["name"]: self.model.create_input_buffer_by_name(self.signature, tensor["name"])
            for tensor in description["inputs"]
        }
        self.outputs = {
            tensor["name"]: self.model.create_output_buffer_by_name(self.signature, tensor["name"])
            for tensor in description["outputs"]
        }
        self.shapes = {tensor["name"]: tensor["shape"] for tensor in description["inputs"]}
        self.reset()

    def reset(self) -> None:
        """Reset the state to zeros."""
        for name in self.states:
            self.inputs[name].write(np.zeros(self.shapes[name], np.float32))

    def step(self, frame: np.ndarray) -> np.ndarray:
        """Run one step: stacked frames in, posteriors out."""
        self.inputs["frame"].write(frame)
        self.model.run_by_name(self.signature, self.inputs, self.outputs)
        for name in self.states:
            self.inputs[name], self.outputs[name] = self.outputs[name], self.inputs[name]
        logits = self.outputs["logits"].read(self.n_labels, np.float32)
        posteriors: np.ndarray = np.exp(logits - logits.max())
        posteriors /= posteriors.sum()
        return posteriors


def samples(source: str, rate_hz: int) -> Iterator[np.ndarray]:
    """Yield the samples of an audio file, or raw int16 mono samples from standard input."""
    if source == "-":
        while data := sys.stdin.buffer.read(rate_hz // 10 * 2):
            yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
    else:
        for block in AudioFile(source, sample_rate_hz=rate_hz):
            yield block.samples


def main(description_path: str, source: str) -> None:
    """Print a line for each word."""
    path = Path(description_path)
    description = json.loads(path.read_text("utf-8-sig"))
    config = FrontEndConfig(**description["front_end"])
    labels, step = description["labels"], description["step"]
    front_end = FrontEnd(config)
    network = Network(path.with_name(description["model"]["file"]), description)
    detector = Detector(
        DetectorConfig(**description["detector"]),
        labels,
        step["stride_frames"] * config.hop_samples,
        sample_rate_hz=config.sample_rate_hz,
        overhang_samples=config.window_samples - config.hop_samples,
    )
    # Every `stride` frames, the network reads the last `context` frames; zeros precede the first.
    stride, context = step["stride_frames"], step["context_frames"]
    waiting = np.zeros((context - stride, config.n_mfcc), np.float32)
    for block in samples(source, config.sample_rate_hz):
        waiting = np.concatenate((waiting, front_end.feed(block)))
        while len(waiting) >= context:
            posteriors = network.step(waiting[:context].ravel())
            waiting = waiting[stride:]
            for word in detector.feed(posteriors[np.newaxis]):
                seconds = word.end_sample / config.sample_rate_hz
                print(f"{seconds:8.2f} s  {word.word:12} {word.confidence:4.0%}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python listen.py NAME.json SOUND   (SOUND: a file, or - for raw samples)")
    try:
        main(sys.argv[1], sys.argv[2])
    except BrokenPipeError:  # a reader that stops early, such as `head`, is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
