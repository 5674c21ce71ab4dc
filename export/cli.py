"""``harken export``: a run folder in, a model that the edge can load out."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..edge.errors import DependencyError
from ..train.cli import CacheOption, SplitRuleChoice, SplitRuleOption
from ..train.display import progress_bar

_PACKAGES = ("ai_edge_litert", "librosa", "tensorflow", "tf_keras")


def export_command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, as `harken train` makes it.")
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write to; made when missing.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the model; else the run folder's."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="The recordings of the run: measure the int8 model on their validation clips too.",
        ),
    ] = None,
    split_rule: SplitRuleOption = SplitRuleChoice.auto,
    cache_dir: CacheOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make an int8 TFLite model of a run, with manifest and card.

    The model is checked first: operators, types, state, float against int8, LiteRT against TFLM.
    Writes NAME.tflite, NAME.json and NAME.md, or, where a check fails, nothing.
    """
    missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise DependencyError(
            f"export needs {', '.join(missing)}; install that with `pip install 'harken[train]'`"
        )
    from .bundle import export_run

    corpus = None
    if data is not None:
        from ..train.data import load_corpus

        with progress_bar("decoding") as on_progress:
            corpus = load_corpus(
                data, cache_dir=cache_dir, split_rule=split_rule.value, progress=on_progress
            )
    bundle = export_run(
        run,
        out,
        name=name,
        corpus=corpus,
        on_stage=lambda stage: print(f"{stage} …", file=sys.stderr),
    )
    manifest = bundle.model.manifest
    if as_json:
        print(
            json.dumps(
                {
                    "model": str(bundle.model.path),
                    "manifest": str(bundle.manifest_path),
                    "card": str(bundle.card_path),
                    "bytes": manifest.model.bytes,
                    "sha256": manifest.model.sha256,
                    "tflm_arena_bytes": manifest.memory.tflm_arena_bytes,
                    "checks": manifest.checks,
                },
                indent=2,
            )
        )
        return
    rounding, parity = manifest.checks["float_and_int8"], manifest.checks["litert_and_tflm"]
    print(f"{bundle.model.path}: {manifest.model.bytes:,} bytes, all checks passed")
    if "validation_clips" in manifest.checks:
        clips = manifest.checks["validation_clips"]
        print(f"  int8 on {clips['clips']:,} validation clips: {clips['accuracy']:.2%}")
    print(
        f"  int8 against float: same label in {rounding['same_argmax']:.2%} of "
        f"{rounding['steps']:,} steps"
    )
    if "not_run" in parity:
        print(f"  LiteRT against TFLM: not run, {parity['not_run']}")
    else:
        print(
            f"  LiteRT against TFLM: same label in {parity['same_argmax']:.2%} of "
            f"{parity['steps']:,} steps, at most {parity['max_lsb']} LSB apart; "
            f"arena {manifest.memory.tflm_arena_bytes:,} bytes"
        )
