"""A checked model and its run in; the model card, in Markdown, out.

The figures of the operating point come later, from `harken tune`: that section is inserted into the
existing card, so that other edits stay (`tuned_card`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..edge.app.benchmark import count_macs
from ..edge.spotting.manifest import Manifest, Model
from .markdown import markdown

if TYPE_CHECKING:
    from .trained import TrainedRun

_OPERATING_POINT = "## Operating point"
_GATE = "## Gate"


def model_card(model: Model, run: TrainedRun) -> str:
    """Describe a model: what it is, its data, how it was made, its figures, its limits.

    Parameters
    ----------
    model
        The model, its manifest complete.
    run
        The run that it comes from.
    """
    sections = (
        _introduction(model.manifest),
        _facts(model, run),
        _data(run),
        _recipe(run),
        _measured(model.manifest, run),
        _LIMITS,
    )
    return "\n\n".join(sections) + "\n"


def tuned_card(card: str, before: Manifest, after: Manifest) -> str:
    """Update a card with thresholds that `harken tune` chose.

    Parameters
    ----------
    card
        The card of the model before tuning.
    before, after
        Its manifest, and the one with the operating point, which may have another name.

    Returns
    -------
    The card with the section on the operating point inserted or replaced, and the new name.
    """
    return _with_section(card, before, after, _OPERATING_POINT, _operating_point(after))


def gated_card(card: str, before: Manifest, after: Manifest) -> str:
    """Update a card with the gate that `harken tune --gate` chose; see `tuned_card`."""
    return _with_section(card, before, after, _GATE, _gate(after))


def _with_section(card: str, before: Manifest, after: Manifest, heading: str, section: str) -> str:
    """Insert a section before the limits, or replace it; also replace the name."""
    if before.name != after.name:
        for old, new in (
            (f"# {before.name}\n", f"# {after.name}\n"),
            (before.model.file, after.model.file),
            (f"{before.name}.json", f"{after.name}.json"),
        ):
            card = card.replace(old, new)
    section += "\n\n"
    there = re.search(rf"^{heading}\n.*?(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    if there:
        card = card[: there.start()] + section + card[there.end() :]
    elif limits := re.search(r"^## Limits\n", card, re.MULTILINE):
        card = card[: limits.start()] + section + card[limits.start() :]
    else:
        card = f"{card.rstrip()}\n\n{section}"
    return card.rstrip() + "\n"


def _introduction(manifest: Manifest) -> str:
    return f"""# {manifest.name}

A keyword spotter for small hardware: it takes a stream of samples and returns the words that were
spoken, and when, offline.

**Words:** {", ".join(map(markdown, manifest.words))}.
All other speech is *unknown*, and all other sound is *silence*.

```sh
harken listen {manifest.model.file}
```

`{manifest.name}.json`, the manifest, holds everything that a program needs to run the model:
keep both files together."""


def _facts(model: Model, run: TrainedRun) -> str:
    manifest = model.manifest
    front_end, step = manifest.front_end, manifest.step
    step_ms = 1000 * manifest.step_samples / front_end.sample_rate_hz
    graph = manifest.checks["graph"]
    arena = manifest.memory.tflm_arena_bytes
    rows = {
        "File": f"`{manifest.model.file}`, {manifest.model.bytes:,} bytes, int8 throughout",
        "SHA-256": f"`{manifest.model.sha256}`",
        "Network": (
            f"{run.network.description}; the cells of the LSTM are clipped at "
            f"±{manifest.state.cell_clip:g}"
        ),
        "TFLite operators": ", ".join(graph["operators"]),
        "Step": (
            f"every {step_ms:g} ms, on {step.context_frames} frames; {count_macs(model):,} "
            f"multiply-accumulates"
        ),
        "Front end": (
            f"{front_end.n_mfcc} MFCC of {front_end.n_mels} mel bands, "
            f"{front_end.f_min_hz:g} to {front_end.f_max_hz:g} Hz, windows of "
            f"{front_end.window_samples} samples every {front_end.hop_samples}, at "
            f"{front_end.sample_rate_hz:,} Hz"
        ),
        "State": f"{graph['state_bytes']} bytes, kept between steps",
        "Arena, TensorFlow Lite Micro": (
            "not measured (the `tflite-micro` wheel was not installed)"
            if arena is None
            else f"{arena:,} bytes with the pointers of a 64-bit machine; less on 32 bits"
        ),
    }
    return "## Facts\n\n" + _table(("", ""), rows.items())


def _data(run: TrainedRun) -> str:
    data = dict(run.record.data)
    licences = data.pop("licences", None)
    parts = ["## Data"]
    if licences:
        parts.append(_licences(licences))
    else:
        parts.append(
            "The record of the training run does not list the licences of the recordings: add "
            "them here before you give the model to others."
        )
    tables = {name: value for name, value in data.items() if _is_table(value)}
    facts = {name: value for name, value in data.items() if name not in tables}
    parts.append("\n".join(f"- {_title(name)}: {_plain(value)}" for name, value in facts.items()))
    for name, rows in tables.items():
        columns = tuple(dict.fromkeys(column for row in rows.values() for column in row))
        parts.append(
            _table(
                (_title(name), *columns),
                (
                    (markdown(label), *(_plain(row.get(column, 0)) for column in columns))
                    for label, row in rows.items()
                ),
            )
        )
    return "\n\n".join(parts)


def _licences(licences: Mapping[str, str]) -> str:
    rows = ((markdown(name), markdown(licence)) for name, licence in licences.items())
    return _table(("Recordings", "Licence"), rows)


def _recipe(run: TrainedRun) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run.record.versions.items())
    return f"""## Recipe

```sh
{run.record.recipe}
```

Seed {run.record.config.seed}; {versions}."""


def _measured(manifest: Manifest, run: TrainedRun) -> str:
    return "\n".join(("## Measured", "", *_figures(manifest, run)))


def _figures(manifest: Manifest, run: TrainedRun) -> Iterator[str]:
    if run.validation is None:
        yield "- On validation clips: no figures, because the training run left no report."
    else:
        yield (
            f"- On {run.validation['clips']:,} validation clips, with the float weights: "
            f"{run.validation['accuracy']:.2%} correct."
        )
    checks = manifest.checks
    clips = checks.get("validation_clips")
    if clips is not None:
        yield (
            f"- On {clips['clips']:,} validation clips, with the int8 model in streaming mode: "
            f"**{clips['accuracy']:.2%}** correct (95 % interval "
            f"{clips['accuracy_95_low']:.2%} to {clips['accuracy_95_high']:.2%})."
        )
    rounding = checks["float_and_int8"]
    yield (
        f"- int8 against float32, over {rounding['steps']:,} steps of validation audio in one "
        f"stream: the same label in {rounding['same_argmax']:.2%} of the steps; posteriors differ "
        f"by {rounding['difference_mean']:.4f} on average and by {rounding['difference_p99']:.3f} "
        "at the 99th percentile."
    )
    parity = checks["litert_and_tflm"]
    if "not_run" in parity:
        yield f"- LiteRT against TensorFlow Lite Micro: not run, {parity['not_run']}."
    else:
        yield (
            f"- {' against '.join(parity['runtimes'])}, over {parity['steps']:,} steps without a "
            f"reset: the same label in {parity['same_argmax']:.2%} of the steps, logits at most "
            f"{parity['max_lsb']} LSB apart."
        )
    which = "int8" if clips is not None else "float"
    measured = clips if clips is not None else run.validation
    if measured is not None:
        yield ""
        yield _scores("Label", measured["labels"], which)
    if clips is not None:
        yield ""
        yield _scores('Word that counts as "unknown"', clips["unknown_words"], which)


def _operating_point(manifest: Manifest) -> str:
    """Lay out the figures measured by `harken tune`, see `harken.train.scenes.tuned`."""
    point = manifest.operating_point or {}
    tried = point["cross_validated"]
    columns = [point] if tried is None else [point, tried]
    rows = [
        ("Missed words", *(_misses(of) for of in columns)),
        (
            "False accepts per hour, in negative hours (without any keyword)",
            *(_accepts(of) for of in columns),
        ),
    ]
    head = ("", "On the scenes used for tuning", "Cross-validated")
    parts = [
        _OPERATING_POINT,
        f"""`harken tune` chose thresholds, smoothing and the talk penalty on scenes of running
speech, for at most {point["wanted_false_accepts_per_hour"]:g} false accepts per hour over all
words. 95 % confidence intervals are in brackets.""",
        _table(head[: 1 + len(columns)], rows),
    ]
    if point["snr"]:
        ratios = ((value, _misses(of)) for value, of in point["snr"].items())
        parts.append(_table(("Signal-to-noise ratio", "Missed words"), ratios))
    wrong, latency_s = point["wrong_among_words"], point["latency_median_s"]
    facts = [
        f"- False accepts in the scenes with words: {wrong['false_accepts']:,}.",
        f"- Talk penalty: up to {manifest.detector.talk_penalty:g} in log-odds.",
    ]
    if latency_s is not None:
        facts.append(
            f"- From the end of a word to its event: {1000 * latency_s:.0f} ms (median), "
            f"{1000 * point['latency_95_percent_s']:.0f} ms (95th percentile)."
        )
    for name, value in point["scenes"].items():
        facts.append(f"- Scenes, {_title(name).lower()}: {_plain(value)}.")
    parts.append("\n".join(facts))
    return "\n\n".join(parts)


def _gate(manifest: Manifest) -> str:
    """Lay out the figures measured by `harken tune --gate`, see `harken.train.scenes.gate`."""
    gate, figures = manifest.gate, manifest.checks["gate"]
    assert gate is not None
    columns = [figures["with"], figures["without"]]
    rows = [
        ("Missed words, in all scenes", *(_misses(of) for of in columns)),
        ("False accepts per hour, in negative hours", *(_accepts(of) for of in columns)),
        (
            "Share of the audio that the network processes",
            *(f"{of['heard_share']:.1%}" for of in columns),
        ),
    ]
    return "\n\n".join(
        (
            _GATE,
            f"The network only processes audio {gate.margin_db:g} dB louder than the room, and\n"
            f"the {gate.hold_ms} ms after it: `harken tune --gate` chose these values.\n"
            "`harken listen --no-gate` processes everything.",
            _table(("", "With the gate", "Without"), rows),
        )
    )


def _misses(figures: Mapping[str, Any]) -> str:
    return (
        f"{figures['miss_rate']:.1%} [{figures['miss_rate_95_low']:.1%} to "
        f"{figures['miss_rate_95_high']:.1%}], {figures['missed']:,} of {figures['said']:,}"
    )


def _accepts(figures: Mapping[str, Any]) -> str:
    return (
        f"{figures['false_accepts_per_hour']:.2f} "
        f"[{figures['false_accepts_per_hour_95_low']:.2f} to "
        f"{figures['false_accepts_per_hour_95_high']:.2f}], "
        f"{figures['false_accepts']:,} in {figures['hours']:.2f} h"
    )


def _scores(title: str, scores: Mapping[str, Any], which: str) -> str:
    """Lay out the number of clips of each label, and the share of correct decisions."""
    rows = (
        (
            markdown(label),
            f"{of['clips']}",
            f"{of['right'] / of['clips']:.1%}" if of["clips"] else "—",
        )
        for label, of in scores.items()
    )
    return _table((title, "Validation clips", f"Correct ({which})"), rows)


_LIMITS = """## Limits

- It knows the words as the speakers of its data pronounce them. Other accents, children, whispering
  and distance from the microphone work only as well as the data covers them, or worse.
- A command is a word spoken on its own: for some seconds after somebody has talked, a word must be
  clearer to be detected. While somebody talks nearby, many words are missed.
- Accuracy on single clips says little about false accepts in hours of live audio. Measure those on
  audio from the place where it will listen, with `harken eval --stream`, and set the thresholds for
  them with `harken tune`.
- Do not use it for anything safety-critical: any keyword spotter misses words, and detects some
  that nobody spoke.
- On a microcontroller, results are bit-exact with TensorFlow Lite Micro's reference kernels.
  Kernels of CMSIS-NN (versions of 2025 and 2026) have reset the LSTM's state at every invocation.
  Check the board: after a reset, feed the same step twice. If the logits are the same both times
  for every input, the state is lost."""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _is_table(value: Any) -> bool:
    """Whether a JSON value is an object of objects."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(row, Mapping) for row in value.values())
    )


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _plain(value: Any) -> str:
    """Format a JSON value in one line, for people."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
