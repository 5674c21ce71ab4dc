"""Draw `memory.png`, what the memory makes of the demo: ``python docs/memory_picture.py``.

Nothing in it is drawn by hand: the model hears the recording, and the memory is looked at every
40 ms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure

from harken.edge import Spotter, load_model
from harken.edge.app.listen_cli import DEMO
from harken.edge.memory.memory import Memory

SECONDS = 13.4
GROUPS = {
    "a direction": ("left", "right", "up", "down", "forward", "backward"),
    "a number": ("zero", "one", "two", "three", "four", "five", "eight"),
    "go": ("go",),
    "stop": ("stop",),
    "yes": ("yes",),
    "no": ("no",),
}


def main() -> None:
    model = load_model("commands")
    memory = Memory.of("robot", model, now_s=0.0)
    spotter = Spotter(model, context=memory)
    sound, rate_hz = soundfile.read(DEMO, dtype="int16")
    labels, hop = model.manifest.labels, 640
    times, added, words, turns = [], [], [], []
    for start in range(0, round(SECONDS * rate_hz), hop):
        words += spotter.feed(sound[start : start + hop])
        turns += memory.take_turns()
        row = memory.log_odds(start + hop)
        times.append((start + hop) / rate_hz)
        added.append(np.zeros(len(labels)) if row is None else row)
    weight = model.manifest.detector.context_weight
    limit = model.manifest.detector.context_limit
    most = np.array(
        [
            [max(row[labels.index(word)] for word in group) for group in GROUPS.values()]
            for row in added
        ]
    )
    moved = (weight * most).clip(-limit, limit)

    figure = Figure(figsize=(12, 5.6), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(1.1, 1.6, 1.3))
    seconds = np.arange(len(sound)) / rate_hz
    top.plot(seconds, sound / 32768, color="0.6", linewidth=0.4)
    for event in words:
        top.text(event.end_s, 0.44, event.word, ha="center", fontsize=11, weight="bold")
        for axes in (top, middle, bottom):
            axes.axvline(event.end_s, color="0.85", linewidth=0.8, zorder=0)
    top.set(ylim=(-0.6, 0.65), yticks=[], ylabel="heard")
    shown = middle.imshow(
        moved.T, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit,
        extent=(0, times[-1], len(GROUPS) - 0.5, -0.5), interpolation="nearest",
    )  # fmt: skip
    middle.set_yticks(range(len(GROUPS)), list(GROUPS))
    middle.set_ylabel("expected next")
    figure.colorbar(shown, ax=middle, label="log-odds added", pad=0.01)
    for number, turn in enumerate(turns):
        lines = []
        for command in turn.commands:
            lines.append(command.text.replace(" by ", "\nby "))
            if command.repeated:
                lines.append("(again)")
            elif command.remembered:
                lines += [f"({command.slots[slot]} is\nremembered)" for slot in command.remembered]
        if not lines:
            lines = [turn.reason.replace(": ", ":\n").replace(" for ", "\nfor ")]
        bottom.text(
            turn.at_s,
            0.6 if turn.commands else (0.12, 0.32)[number % 2],
            "\n".join(lines),
            ha="center",
            va="center",
            fontsize=8.5 if turn.commands else 7.5,
            color="tab:blue" if turn.commands else "0.45",
            weight="bold" if turn.commands else "normal",
        )
    bottom.set(xlim=(0.5, SECONDS), ylim=(0, 1), yticks=[], ylabel="understood", xlabel="seconds")
    for axes in (top, middle, bottom):
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(Path(__file__).with_suffix("").parent / "memory.png", dpi=110)


if __name__ == "__main__":
    main()
