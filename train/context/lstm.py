"""A grammar in, an int8 LSTM that predicts the next word out; see `harken.edge.memory.lstm`.

It learns from sessions of simulated users (`harken.edge.memory.habits`). Each has favourite
commands, which only the session so far reveals: so the LSTM learns to remember.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ...edge.errors import OutputError
from ...edge.files import require_writable, write_together
from ...edge.memory.grammar import Grammar
from ...edge.memory.habits import sessions
from ...edge.memory.lstm import LstmPriorFile, encode, pending_classes
from ...edge.memory.prior import N_GAPS, gap_class
from ...edge.spotting.tflite import read_graph
from ..cache import Progress
from ..config import ModelConfig
from ..network import forward, initial_weights, zero_state

Session = Sequence[tuple[str, float, str]]
Float32 = NDArray[np.float32]

_USERS, _SESSIONS = 4000, 3
_EPOCHS, _BATCH = 30, 256
_LEARNING_RATE = 5e-3
_LONGEST = 24  # words per session to learn from
_LOGGED = 20
_CALIBRATION = 300  # sessions for calibrating the quantization


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Examples:
    steps: Float32
    """(n, words, inputs)."""
    targets: NDArray[np.int32]
    """(n, words): index of the correct logit, by gap and word, after each word."""
    counts: Float32
    """(n, words): 1 where a word follows."""


def train_prior(
    grammar: Grammar,
    *,
    logged: Sequence[Session] = (),
    units: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> LstmPriorFile:
    """Train a prior and quantize it.

    Parameters
    ----------
    grammar
        The grammar.
    logged
        Real sessions, if there are any, from `logged_sessions`. Each counts as much as `_LOGGED`
        simulated ones.
    units
        Of the LSTM.
    seed
        Seed of all random draws.
    progress
        Called with (epochs done, epochs in all).

    Raises
    ------
    ExportError
        Training has diverged.
    """
    from ...export.fused import write_network
    from ...export.quantize import quantize
    from ...export.reference import Network

    words, pending = grammar.words, pending_classes(tuple(grammar.slots))
    drawn = sessions(grammar, users=_USERS, each=_SESSIONS, seed=seed + 1)
    drawn += [list(session) for session in logged for _ in range(_LOGGED)]
    examples = _examples(words, pending, drawn)
    inputs, labels = examples.steps.shape[2], N_GAPS * len(words)
    config = ModelConfig(lstm_units=(units,))
    first = initial_weights(config, inputs=inputs, labels=labels, seed=seed)
    weights = {name: keras.Variable(v, name=name.replace("/", "_")) for name, v in first.items()}
    batches = len(examples.steps) // _BATCH
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, _EPOCHS * batches)
    )
    optimizer.build(list(weights.values()))

    @tf.function  # type: ignore[untyped-decorator, unused-ignore]
    def learn(steps: Any, targets: Any, counts: Any) -> None:
        with tf.GradientTape() as tape:
            values = {name: variable.value for name, variable in weights.items()}
            outputs = forward(values, config, steps, zero_state(config, _BATCH))
            loss = _loss(outputs.logits, targets, counts)
        optimizer.apply(tape.gradient(loss, list(values.values())), list(weights.values()))

    rng = np.random.default_rng(seed)
    for epoch in range(_EPOCHS):
        order = rng.permutation(len(examples.steps))
        for batch in range(batches):
            chosen = order[batch * _BATCH : (batch + 1) * _BATCH]
            learn(examples.steps[chosen], examples.targets[chosen], examples.counts[chosen])
        if progress is not None:
            progress(epoch + 1, _EPOCHS)
    network = Network.from_weights(
        {name: variable.numpy() for name, variable in weights.items()},
        config,
        inputs=inputs,
        labels=labels,
    )
    stream = [encode(words, pending, *said) for session in drawn[:_CALIBRATION] for said in session]
    content = write_network(quantize(network, np.stack(stream)))
    graph = read_graph(content)
    given, out = graph.inputs[0], graph.outputs[0]
    assert given.scale is not None
    assert given.zero_point is not None
    assert out.scale is not None
    assert out.zero_point is not None
    return LstmPriorFile(
        grammar=grammar.name,
        digest=grammar.digest,
        words=words,
        pending=pending,
        input_scale=given.scale,
        input_zero_point=given.zero_point,
        output_scale=out.scale,
        output_zero_point=out.zero_point,
        content=content,
        path=Path(f"{grammar.name}.prior.tflite"),
    )


def require_place(grammar: str, folder: Path) -> Path:
    """Return where `save_prior` writes a grammar's prior; refuse an unusable path at once.

    Raises
    ------
    OutputError
        Something else is there, or the folder cannot be written to.
    """
    require_writable(folder, error=OutputError)
    path = folder / f"{grammar}.prior.tflite"
    settings = path.with_suffix(".json")
    there = [each for each in (path, settings) if each.exists()]
    if there and not _is_prior(settings):
        raise OutputError(f"{there[0]} exists, and is not a prior; choose another --out")
    return path


def save_prior(file: LstmPriorFile, folder: Path) -> Path:
    """Write ``NAME.prior.tflite`` and ``NAME.prior.json``; return the former's path.

    Raises
    ------
    OutputError
        Something else is there, or the system refuses.
    """
    path = require_place(file.path.name.removesuffix(".prior.tflite"), folder)
    settings = path.with_suffix(".json")
    write_together({path: file.content, settings: file.settings().encode()}, error=OutputError)
    return path


def _is_prior(settings: Path) -> bool:
    """Whether the file holds a prior's settings, which may be replaced."""
    try:
        return "digest" in json.loads(settings.read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _examples(words: Sequence[str], pending: Sequence[str], drawn: Sequence[Session]) -> _Examples:
    kept = [session[: _LONGEST + 1] for session in drawn if len(session) > 1]
    inputs = len(words) + N_GAPS + len(pending)
    steps = np.zeros((len(kept), _LONGEST, inputs), np.float32)
    targets = np.zeros((len(kept), _LONGEST), np.int32)
    counts = np.zeros((len(kept), _LONGEST), np.float32)
    for row, session in enumerate(kept):
        for place, (said, following) in enumerate(pairwise(session)):
            steps[row, place] = encode(words, pending, *said)
            targets[row, place] = gap_class(following[1]) * len(words) + words.index(following[0])
            counts[row, place] = 1
    return _Examples(steps=steps, targets=targets, counts=counts)


def _loss(logits: Any, targets: Any, counts: Any) -> Any:
    """Return the mean of −log P(the next word, and the class of the gap before it)."""
    log_p = tf.nn.log_softmax(logits)
    right = tf.gather(log_p, targets, axis=2, batch_dims=2)
    return -tf.reduce_sum(right * counts) / tf.reduce_sum(counts)
