"""Write the golden vectors of the models that ship: ``python tests/make_golden.py``.

To be run after a model, or the demo recording, was made anew; see `harken.edge.app.doctor.golden`.
"""

from __future__ import annotations

from pathlib import Path

from harken.edge.app.doctor.golden import Golden, demo_recording
from harken.edge.spotting.manifest import load_model, shipped_models

FOLDER = Path(__file__).parents[1] / "models" / "golden"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in shipped_models():
        model = load_model(name)
        recording = demo_recording(model.manifest.front_end.sample_rate_hz)
        golden = Golden.of(model, recording, runtime="ai-edge-litert")
        path = FOLDER / f"{name}.npz"
        golden.save(path)
        print(
            f"{path}: {path.stat().st_size:,} bytes, {len(golden.logits)} steps, "
            f"{len(golden.words)} words"
        )


if __name__ == "__main__":
    main()
