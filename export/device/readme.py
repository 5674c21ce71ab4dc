"""What was made and measured in, the README of an export for the C engine out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .golden import Comparison
from .source import EngineModel
from .targets import Measured


def readme(
    model: EngineModel,
    comparison: Comparison,
    measured: Sequence[Measured],
    missing: Mapping[str, str],
) -> str:
    """Return the README."""
    manifest, name = model.manifest, model.identifier
    config = manifest.front_end
    rate = config.sample_rate_hz
    per_frame = model.network.multiplications / manifest.step.stride_frames
    first = model.network.first
    layers = ", ".join(
        (
            *([f"dense {first.outputs}"] if first else []),
            *(f"LSTM {layer.units}" for layer in model.network.lstm),
            f"{len(manifest.labels)} labels",
        )
    )
    prior = _prior(model)
    return f"""\
# {manifest.name} for the harken engine

Voice commands without a cloud: {", ".join(manifest.words)}. C99, no other library, no malloc, no
stdio, no globals that change; {model.memory_bytes:,} bytes of memory, given by you. What it answers is
the same, to the last bit, on every machine and for every chunk size.

```c
#include "model_data.h"

static uint64_t memory[HARKEN_{name.upper()}_BYTES / 8];

harken *h;
harken_init(&h, memory, sizeof memory, &harken_{name});
for (;;) {{
    harken_event event;
    microphone_read(pcm, 320); /* 16 bits, mono, {rate:,} Hz: yours to write */
    if (harken_feed(h, pcm, 320, &event, 1) > 0)
        puts(harken_{name}.labels[event.label]);
}}
```

`src/harken.h` says the rest. Every function that fails returns a number below 0.

## Use it

- **Here:** `make`, then `arecord -q -f S16_LE -r {rate} -t raw | ./listen`; `make check` compares all
  answers to the golden recording, thousands of frames in a row, with those in `golden/`.
- **Arduino:** copy this folder to your libraries; *Examples > harken-{manifest.name} > listen*.
- **PlatformIO:** copy it to `lib/`.
- **ESP-IDF:** copy it to `components/`.
- **Zephyr:** add it to `ZEPHYR_EXTRA_MODULES`, and `CONFIG_HARKEN=y`.
- **Anything else:** compile `src/*.c` with `-Isrc`.

On a chip without a floating-point unit the front end computes in integers; `-DHARKEN_FIXED_POINT=1`
or `0` says otherwise. For float32, `-ffast-math` is refused. At boot, `harken_selftest()` hears a second
of speech {_REPEATS} times over and compares checksums of all features, logits and events: run it once on
every new board, compiler or set of options. It costs 16 KB of flash where it is called, else nothing.
{prior}
## What it needs

{layers}: {model.network.multiplications:,} multiplications of weights a step, a step every \
{manifest.step.stride_frames * config.hop_samples * 1000 / rate:g} ms.

{_needs(model, measured, missing, per_frame)}
## Checked

On the golden recording, {comparison.frames:,} frames of spoken words as they are, too soft and far too
loud, noise at full scale and silence, when this folder was made:

- TensorFlow Lite Micro: {_tflm(comparison)}
- LiteRT, which rounds otherwise: {comparison.litert_same:.2%} of the logits are the same, the others up
  to {comparison.litert_max_lsb} apart.
- Features, against Python's: in float32 {comparison.float_features_equal:.3%} the same, in integers
  {comparison.fixed_features_equal:.2%}, {comparison.fixed_features_within_one:.3%} within 1.
- Words: Python's detector makes the same {comparison.events} of the same logits. `harken listen`, on
  LiteRT, hears {comparison.python_events}; {comparison.python_events_same} of them are the same to the \
sample.

Engine: Apache-2.0. The model's licence and the data it comes from are in its card.
"""


_REPEATS = 64


def _prior(model: EngineModel) -> str:
    if model.prior is None:
        return ""
    upper = model.identifier.upper()
    waits = ", ".join(
        f"`HARKEN_{upper}_PENDING_{(name or 'nothing').upper()}`"
        for name in model.prior.tables.pending
    )
    return f"""
## What was said before

The LSTM of the grammar {model.prior.grammar.name} is part of the model: after a word, those that may
follow take less evidence for {model.prior.grammar.window_s:g} seconds. When your program waits for
something, say so after each event: `harken_pending(h, ...)` with one of {waits}. `harken_forget(h)`
forgets the words. Without either call it goes by the words alone.
"""


def _needs(
    model: EngineModel,
    measured: Sequence[Measured],
    missing: Mapping[str, str],
    per_frame: float,
) -> str:
    if not measured:
        return (
            f"RAM: {model.memory_bytes:,} bytes, and the stack. Instructions, flash and stack were not "
            "measured when this folder\nwas made, for want of "
            f"{', '.join(sorted(set(missing.values())))}.\n"
        )
    rows = "\n".join(
        f"| {result.target} | {'integers' if result.fixed else 'float32'} | "
        f"{result.instructions:,} | {result.most_instructions:,} | {result.flash:,} | "
        f"{model.memory_bytes + result.data:,} | {result.stack:,} |"
        for result in measured
    )
    rest = ""
    if missing:
        rest = (
            "\nNot measured, for want of their tools: "
            + ", ".join(f"{name} ({program})" for name, program in missing.items())
            + ".\n"
        )
    config = model.manifest.front_end
    hop = f"{config.hop_samples * 1000 / config.sample_rate_hz:g} ms"
    return f"""\
| | front end | instructions a frame of {hop} | in one with a step | flash, bytes | RAM | stack |
|---|---|---|---|---|---|---|
{rows}

Counted by QEMU, at -O2; instructions, not cycles: those only your chip can tell. The network has
{per_frame:,.0f} multiplications a frame. Flash is code, tables and weights, without the self-test. RAM
is what harken_init is given; there is no other, but for the buffer of your microphone's driver.
{rest}"""


def _tflm(comparison: Comparison) -> str:
    if comparison.tflm_differences is None:
        return f"{comparison.tflm}."
    return (
        f"of {comparison.steps:,} steps, one after another, {comparison.tflm_differences} logits differ "
        f"({comparison.tflm})."
    )
