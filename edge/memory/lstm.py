"""A small int8 LSTM over words and gaps, which remembers the session in its state.

Each step is a word. Inputs, all one-hot: the word, the class of the gap before it, and what is
pending after it. Outputs: a logit for each next word at each class of the gap before that.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..files import read_text
from ..spotting.engine import Runtime, TfliteRuntime
from .prior import N_GAPS, gap_class

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LstmPriorFile:
    """``NAME.prior.tflite`` and ``NAME.prior.json``, which describes its inputs and outputs."""

    grammar: str
    """Name of its grammar."""
    digest: str
    """Digest of that grammar."""
    words: tuple[str, ...]
    pending: tuple[str, ...]
    """What can be pending, including "" for nothing."""
    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int
    content: bytes = dataclasses.field(repr=False)
    """The TFLite file."""
    path: Path

    @classmethod
    def load(cls, path: str | Path) -> LstmPriorFile:
        """Read both files; `path` is that of either.

        Raises
        ------
        ModelError
            One of them is missing or damaged.
        """
        path = Path(path).with_suffix(".json")
        try:
            data = json.loads(read_text(path))
            file = path.with_suffix(".tflite")
            return cls(
                **{
                    **data,
                    "words": tuple(data["words"]),
                    "pending": tuple(data["pending"]),
                    "content": file.read_bytes(),
                    "path": file,
                }
            )
        except OSError as problem:
            raise ModelError(f"cannot read {problem.filename}: {problem.strerror}") from None
        except (ValueError, TypeError, KeyError) as problem:
            raise ModelError(f"{path} is no prior of harken's, or damaged: {problem}") from None

    def settings(self) -> str:
        """Return the content of the JSON file."""
        data = dataclasses.asdict(self)
        del data["content"], data["path"]
        return json.dumps(data, indent=2) + "\n"


class LstmPrior:
    """A prior whose memory is the state of an LSTM; see `harken.edge.memory.prior.Prior`.

    Parameters
    ----------
    file
        The network.
    runtime
        The interpreter, by its name or as a `Runtime` made elsewhere; see `harken.edge.Engine`.

    Raises
    ------
    ModelError, DependencyError
        The interpreter refuses the file, or is missing.
    """

    def __init__(self, file: LstmPriorFile, *, runtime: str | Runtime | None = None) -> None:
        self.file = file
        self.words = file.words
        if runtime is None or isinstance(runtime, str):
            runtime = TfliteRuntime(file, runtime)
        self._network = runtime
        self.reset()

    def reset(self) -> None:
        """Forget the session."""
        self._network.reset()
        self._joint = np.full((N_GAPS, len(self.words)), 1 / (N_GAPS * len(self.words)))

    def hear(self, word: str, gap_s: float, pending: str) -> None:
        """Process a word; see `Prior.hear`."""
        file = self.file
        step = encode(self.words, file.pending, word, gap_s, pending)
        scaled = np.rint(step / np.float32(file.input_scale)) + file.input_zero_point
        quantized = scaled.clip(-128, 127).astype(np.int8)
        out = self._network.invoke(quantized[None, None])
        logits = (out.astype(np.float64) - file.output_zero_point) * file.output_scale
        powers = np.exp(logits - logits.max()).reshape(N_GAPS, len(self.words))
        self._joint = powers / powers.sum()

    def expect(self) -> Float64:
        """Return the probability of each word to be next; see `Prior.expect`."""
        rows: Float64 = self._joint / self._joint.sum(axis=1, keepdims=True)
        return rows

    def when(self) -> Float64:
        """Return how probable each class of gaps is; see `Prior.when`."""
        classes: Float64 = self._joint.sum(axis=1)
        return classes


def encode(
    words: Sequence[str], pending: Sequence[str], word: str, gap_s: float, waits: str
) -> Float32:
    """Return the input of a step, (n_words + N_GAPS + n_pending,) float32 of zeros and ones."""
    step = np.zeros(len(words) + N_GAPS + len(pending), np.float32)
    step[words.index(word)] = 1
    step[len(words) + gap_class(gap_s)] = 1
    step[len(words) + N_GAPS + pending.index(waits)] = 1
    return step


def pending_classes(slots: Sequence[str]) -> tuple[str, ...]:
    """Return everything that a dialogue may wait for: nothing, a confirmation, each slot."""
    return ("", "confirm", *slots)
