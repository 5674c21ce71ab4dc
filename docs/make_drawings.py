"""Draw what the page "How it works" explains: ``python docs/make_drawings.py``.

`drawing-front-end.svg` is of the recording that ships: one word as samples, as mel bands and as the
MFCC that the network takes. `drawing-network.svg` is of the network of the model `commands`, with
the figures of its recipe.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import librosa
import numpy as np
import soundfile
from matplotlib import rcParams
from matplotlib.figure import Figure

from harken.edge import FrontEnd, load_model
from harken.edge.app.listen_cli import DEMO
from harken.edge.files import write_atomic
from harken.train.settings import settings

START_S, END_S = 2.0, 2.64  # "three"
SHOWN_WINDOWS = 3

INK, SOFT, FILL, ACCENT = "#1c2733", "#66717e", "#dcefeb", "#0a6b5c"
RECIPE = Path(__file__).parents[1] / "models" / "recipes" / "commands.train.json"
WIDTH, BOX_W, BOX_H, GAP = 640, 300, 40, 22


def main() -> None:
    here = Path(__file__).parent
    write_atomic(here / "drawing-front-end.svg", front_end())
    write_atomic(here / "drawing-network.svg", network())


def front_end() -> str:
    """Return one word on its way through the front end."""
    config = load_model("commands").manifest.front_end
    sound, rate_hz = soundfile.read(DEMO, dtype="float32")
    sound = sound[round(START_S * rate_hz) : round(END_S * rate_hz)]
    window, hop = config.window_samples, config.hop_samples
    power = librosa.feature.melspectrogram(
        y=sound, sr=rate_hz, n_fft=window, hop_length=hop, center=False, n_mels=config.n_mels,
        fmin=config.f_min_hz, fmax=config.f_max_hz,
    )  # fmt: skip
    mel_db = librosa.power_to_db(power, ref=1.0, amin=config.amin, top_db=None)
    mfcc = FrontEnd(config).feed(sound).T

    rcParams.update({"svg.hashsalt": "harken", "svg.fonttype": "none"})
    figure = Figure(figsize=(7.4, 5.2), layout="constrained")
    figure.patch.set_alpha(0)
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    end_ms = 1000 * len(sound) / rate_hz
    top.plot(np.arange(len(sound)) * 1000 / rate_hz, sound, color=INK, linewidth=0.6)
    for number in range(SHOWN_WINDOWS):
        left = 1000 * (8 + number) * hop / rate_hz
        bend = np.hanning(80) * 0.16 * abs(sound).max() + abs(sound).max() * (1.02 + 0.08 * number)
        top.plot(np.linspace(left, left + 1000 * window / rate_hz, 80), bend, color=ACCENT)
    top.set(xlim=(0, end_ms), yticks=[], title="samples, and three of the windows")
    first_ms, step_ms = 500 * (window - hop) / rate_hz, 1000 * hop / rate_hz
    extent = (first_ms, first_ms + step_ms * mfcc.shape[1])
    middle.imshow(
        mel_db, aspect="auto", origin="lower", cmap="viridis", interpolation="nearest",
        extent=(*extent, 0, config.n_mels),
    )  # fmt: skip
    middle.set(ylabel="band", title=f"power in {config.n_mels} mel bands, in decibels")
    bottom.imshow(
        mfcc, aspect="auto", origin="lower", cmap="RdBu_r", vmin=-3, vmax=3,
        interpolation="nearest", extent=(*extent, 0, config.n_mfcc),
    )  # fmt: skip
    bottom.set(
        xlim=(0, end_ms), ylabel="coefficient", xlabel="milliseconds",
        title=f"{config.n_mfcc} MFCC, standardised: what the network takes",
    )  # fmt: skip
    for axes in (top, middle, bottom):
        axes.title.set_fontsize(10)
        axes.title.set_position((0, 1))
        axes.title.set_horizontalalignment("left")
        axes.spines[["top", "right"]].set_visible(False)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, dpi=110)
    return re.sub(r"[ \t]+\n", "\n", file.getvalue())


def network() -> str:
    """Return the network of `commands`, from its inputs at the top to the posteriors."""
    config = settings(None, RECIPE)
    model, frames, n_mfcc = config.model, config.step.context_frames, config.front_end.n_mfcc
    convolutions = zip(model.conv, model.positions(n_mfcc), strict=True)
    layers = [
        (f"{frames * n_mfcc} inputs", f"{frames} frames of {n_mfcc} MFCC, int8", False),
        (f"{frames} × {n_mfcc} mel bands", "by an inverse DCT", False),
        *(
            (f"convolution {channels} × {kernel}", f"{kernel} bands each, {places} places", False)
            for (kernel, _, channels), places in convolutions
        ),
        *(
            (f"SVDF {units} × {steps}", f"{steps} steps of memory", bool(model.adds(layer)))
            for layer, (units, steps) in enumerate(model.svdf)
        ),
        *(
            (f"LSTM {units}", "keeps its state while it listens", False)
            for units in model.lstm_units
        ),
        (f"dense {len(config.labels)}", "words, unknown, silence", False),
        ("softmax", "posteriors: to the detector", False),
    ]
    height = len(layers) * (BOX_H + GAP) + 8
    left = 76
    parts = []
    for number, (name, note, added) in enumerate(layers):
        y = 4 + number * (BOX_H + GAP)
        plain = number in (0, len(layers) - 1)
        parts.append(
            f'<rect x="{left}" y="{y}" width="{BOX_W}" height="{BOX_H}" rx="6" '
            f'fill="{"#fff" if plain else FILL}" stroke="{ACCENT}"/>'
            f'<text x="{left + BOX_W / 2:g}" y="{y + 25}" text-anchor="middle" '
            f'font-weight="bold">{name}</text>'
            f'<text x="{left + BOX_W + 18}" y="{y + 25}" fill="{SOFT}">{note}</text>'
        )
        if number + 1 < len(layers):
            middle, bottom = left + BOX_W / 2, y + BOX_H
            parts.append(arrow(f"M{middle:g} {bottom}V{bottom + GAP - 2}"))
        if added:  # what the layer before took in is added to what this one gives
            before, after = y - BOX_H - 2 * GAP + GAP / 2, y + BOX_H + GAP / 2
            centre = left + BOX_W / 2
            parts.append(
                arrow(f"M{centre:g} {before:g}H{left - 40}V{after:g}H{centre - 9:g}")
                + f'<text x="{left - 46}" y="{(before + after) / 2:g}" fill="{SOFT}" '
                f'text-anchor="end" font-size="18">+</text>'
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" fill="{INK}" '
        f'font-family="system-ui,sans-serif" font-size="15">\n'
        f"<title>The network of commands</title>\n"
        f'<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="6" refY="4" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def arrow(path: str) -> str:
    """Return a line that ends in an arrow."""
    return f'<path d="{path}" fill="none" stroke="{INK}" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    main()
