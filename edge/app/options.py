"""Options that several commands share: text from the command line in, checked values out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ModelError
from ..spotting.detector import DetectorConfig
from ..spotting.engine import RUNTIMES

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .tflite file, its .json manifest, or the name of a shipped model.",
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help=f"Interpreter: {', '.join(RUNTIMES)}; the first one installed."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DeviceOption = Annotated[
    str | None,
    typer.Option(metavar="DEVICE", help="Microphone: its number or a part of its name."),
]
ChannelOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Channel to use, counted from 1. Default: the mean of all.", min=1
    ),
]
ThresholdOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[WORD=]P",
        help="Threshold for a word, or for all words; may be repeated.",
    ),
]


def path_of(text: str) -> Path:
    """Return a path from the command line; an empty one, as from an unset variable, is an error.

    Raises
    ------
    typer.BadParameter
        It is empty.
    """
    if not text.strip():
        raise typer.BadParameter(f"{text!r} is not a path; for the current folder, write .")
    return Path(text)


def file_of(text: str) -> Path:
    """Return the path of a file from the command line; it need not exist.

    Raises
    ------
    typer.BadParameter
        It is empty, or a folder.
    """
    path = path_of(text)
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file")
    return path


def device_of(text: str | None) -> int | str | None:
    """Return a device as `Microphone` expects it: a number, or part of its name."""
    if text == "":
        raise typer.BadParameter(
            "it is empty; give its number or a part of its name, or leave it out",
            param_hint="--device",
        )
    return int(text) if text is not None and text.isdecimal() else text


def with_thresholds(config: DetectorConfig, settings: list[str]) -> DetectorConfig:
    """Return a detector configuration with thresholds set, each as ``P`` or ``WORD=P``.

    Raises
    ------
    typer.BadParameter
        A word or a threshold is invalid.
    """
    for setting in settings:
        word, equals, text = setting.rpartition("=")
        if equals and word not in config.thresholds:
            words = ", ".join(config.thresholds)
            raise typer.BadParameter(
                f"{setting!r}: the model has no word {word!r}; it has {words}",
                param_hint="--threshold",
            )
        try:
            changed = dict.fromkeys([word] if equals else config.thresholds, float(text))
            config = dataclasses.replace(config, thresholds={**config.thresholds, **changed})
        except (ValueError, ModelError):
            raise typer.BadParameter(
                f"{setting!r}: a threshold is above 0 and at most 1, as in 0.8 or left=0.8",
                param_hint="--threshold",
            ) from None
    return config
