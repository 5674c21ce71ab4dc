"""The tune command: a model and scenes in, a manifest with a new detector out.

Nothing heavy is imported before the command runs, so that the light installation can show its help.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..edge.app.options import ModelArgument, RuntimeOption, path_of
from ..edge.app.streams import print_json
from .cli import open_recordings
from .display import progress_bar
from .options import AddOption, CacheOption, RecordingOptions, SplitRuleChoice, SplitRuleOption

if TYPE_CHECKING:
    from rich.table import Table

    from .scenes.gate import GateChoice
    from .scenes.scoring import Tally
    from .scenes.tune import Tuning


def tune_command(
    model: ModelArgument,
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder of recordings, as for `harken train`; scenes are made from its "
            "validation split.",
        ),
    ] = None,
    scenes: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Your own scenes: a folder of audio with label tracks."
        ),
    ] = None,
    negatives: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Negative audio (without any word of the model); may be repeated.",
        ),
    ] = None,
    fa_per_hour: Annotated[
        float,
        typer.Option(
            metavar="RATE", help="False accepts per hour that are allowed, over all words."
        ),
    ] = 0.5,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="NAME.json",
            parser=path_of,
            help="Write a copy of the model under that name. Default: change the model's own "
            "manifest.",
        ),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="Only choose a gate, which skips audio no louder than the room, unless it "
            "costs words.",
        ),
    ] = False,
    words_per_condition: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Number of words for each condition."),
    ] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the scenes.")] = 0,
    held_out_speech: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Speech in the data that was held out of training, such as negatives/radio/*. "
            "Default: from the model's manifest. May be repeated.",
        ),
    ] = None,
    left_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Recordings in the data to leave out, such as speech that contains a word. "
            "Default: from the model's manifest. May be repeated.",
        ),
    ] = None,
    runtime: RuntimeOption = None,
    split_rule: SplitRuleOption = SplitRuleChoice.auto,
    add: AddOption = None,
    cache_dir: CacheOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the new detector and its figures as JSON.")
    ] = False,
) -> None:
    """Choose a model's thresholds, smoothing and talk penalty for a false-accept rate.

    Misses as few words as possible in scenes of running speech, with at most RATE false accepts per
    hour of negative audio. Writes the thresholds, with the figures measured at them, into the
    manifest, and into the model card if there is one.
    """
    if not fa_per_hour > 0:
        raise typer.BadParameter("it must be greater than 0", param_hint="--fa-per-hour")
    if data is None and scenes is None:
        raise typer.BadParameter(
            "give recordings with it, or scenes with --scenes", param_hint="--data"
        )
    if data is not None and scenes is not None:
        raise typer.BadParameter("give either this or --data", param_hint="--scenes")
    _require_scipy()
    from ..edge.app.display import notes, output
    from ..edge.spotting.manifest import load_model
    from .scenes.gate import choose_gate
    from .scenes.gather import gather
    from .scenes.report import Groups
    from .scenes.responses import model_posteriors
    from .scenes.sweep import Listener
    from .scenes.tune import check_scenes, tune
    from .scenes.tuned import choose_place, write_gated, write_tuned

    loaded = load_model(model)
    place = choose_place(model, loaded, out)
    listener = Listener(loaded, runtime=runtime)
    corpus = None
    if data is not None:
        recordings = RecordingOptions(
            additions=tuple(add or ()),
            split_rule=split_rule,
            cache_dir=cache_dir,
            held_out_speech=tuple(held_out_speech or ()),
            left_out=tuple(left_out or ()),
        )
        corpus = open_recordings(recordings.source(data), loaded.manifest)
    made = gather(
        loaded.manifest.words,
        loaded.manifest,
        corpus=corpus,
        words_per_condition=words_per_condition,
        seed=seed,
        folder=scenes,
        negatives=tuple(negatives or ()),
    )
    for line in made.notes:
        notes().print(f"harken: note: {line}", soft_wrap=True)
    if gate:
        choice = choose_gate(loaded, made.scenes, runtime=runtime, bar=progress_bar)
        write_gated(loaded, choice, place, runtime=listener.runtime, scenes=made.provenance)
        if as_json:
            figures = {"manifest": str(place.manifest), "gate": asdict(choice.gate)}
            print_json({**figures, **choice.to_dict()}, indent=2)
            return
        output().print(_gate_table(choice))
        output().print(f"wrote {place.manifest}", soft_wrap=True)
        return
    check_scenes(made.scenes, loaded.manifest.words, fa_per_hour=fa_per_hour)
    groups = Groups.of(made.scenes)
    heard = [made.scenes[index] for index in (*groups.words, *groups.negatives)]
    with progress_bar("listening, seconds") as on_progress:
        posteriors = model_posteriors(listener, heard, progress=on_progress)
    with progress_bar("choosing") as on_progress:
        tuning = tune(loaded, heard, posteriors, fa_per_hour=fa_per_hour, progress=on_progress)
    for line in tuning.notes:
        notes().print(f"harken: note: {line}", soft_wrap=True)
    manifest = write_tuned(
        loaded,
        tuning,
        place,
        fa_per_hour=fa_per_hour,
        runtime=listener.runtime,
        scenes=made.provenance,
        notes=made.notes,
    )
    if as_json:
        detector = manifest.detector
        result = {
            "manifest": str(place.manifest),
            "detector": {
                "smoothing_steps": detector.smoothing_steps,
                "refractory_ms": detector.refractory_ms,
                "talk_penalty": detector.talk_penalty,
                "thresholds": dict(detector.thresholds),
            },
            "operating_point": manifest.operating_point,
        }
        print_json(result, indent=2)
        return
    output().print(_table(tuning))
    thresholds = ", ".join(f"{word} {p:.3g}" for word, p in manifest.detector.thresholds.items())
    output().print(
        f"smoothing {manifest.detector.smoothing_steps} steps; talk penalty "
        f"{manifest.detector.talk_penalty:g} in log-odds; thresholds {thresholds}"
    )
    output().print(f"wrote {place.manifest}", soft_wrap=True)


def _gate_table(choice: GateChoice) -> Table:
    """Lay out the savings and losses of each gate."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("gate", "heard", "missed", "false accepts/h"):
        table.add_column(title, justify="right" if title != "gate" else "left", no_wrap=True)
    for figures in (choice.without, *choice.tried):
        misses, accepts = figures.words.misses(), figures.negatives.accepts()
        gate = figures.gate
        table.add_row(
            "none" if gate is None else f"{gate.margin_db:g} dB, {gate.hold_ms} ms",
            f"{figures.heard_share:.0%}",
            f"{misses.missed} of {misses.said}",
            f"{accepts.per_hour or 0.0:.2f}",
        )
    return table


def _table(tuning: Tuning) -> Table:
    """Lay out the figures for a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in ("missed", "95 % interval", "false accepts/h", "95 % interval"):
        table.add_column(title, justify="right", no_wrap=True)
    rows: list[tuple[str, tuple[Tally, Tally] | None]] = [
        ("before", tuning.before),
        ("now", (tuning.words, tuning.negatives)),
        ("cross-validated", tuning.held_out),
    ]
    for title, tallies in rows:
        if tallies is not None:
            misses, accepts = tallies[0].misses(), tallies[1].accepts()
            missed, few_missed = misses.rate or 0.0, misses.interval or (0.0, 1.0)
            rate, few = accepts.per_hour or 0.0, accepts.interval or (0.0, 0.0)
            table.add_row(
                title,
                f"{missed:.1%}",
                f"{few_missed[0]:.1%} – {few_missed[1]:.1%}",
                f"{rate:.2f}",
                f"{few[0]:.2f} – {few[1]:.2f}",
            )
    for value, tally in tuning.conditions.items():
        misses = tally.misses()
        missed, few_missed = misses.rate or 0.0, misses.interval or (0.0, 1.0)
        table.add_row(
            f"now, {value}", f"{missed:.1%}", f"{few_missed[0]:.1%} – {few_missed[1]:.1%}"
        )
    return table


def _require_scipy() -> None:
    """Say what to install if the training packages are missing."""
    from importlib.util import find_spec

    from ..edge.errors import DependencyError

    if find_spec("scipy") is None:
        raise DependencyError(
            "tuning needs scipy, which is not installed; install it with "
            "`pip install 'harken[train]'`"
        )
