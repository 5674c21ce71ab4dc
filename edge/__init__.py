"""Everything that runs on the device: samples in, word events out. No tensorflow, no librosa.

`Spotter` is the whole of it; `FrontEnd`, `Engine` and `Detector` are its parts, each usable alone.
"""

from .errors import (
    AudioError,
    DataError,
    DependencyError,
    ExportError,
    GrammarError,
    HarkenError,
    ModelError,
    RunError,
)
from .spotting import (
    Detection,
    Detector,
    DetectorConfig,
    Engine,
    Event,
    FrontEnd,
    FrontEndConfig,
    GateConfig,
    Manifest,
    Model,
    Runtime,
    Spotter,
    classify_clip,
    clip_tail,
    load_model,
)

__all__ = [
    "AudioError",
    "DataError",
    "DependencyError",
    "Detection",
    "Detector",
    "DetectorConfig",
    "Engine",
    "Event",
    "ExportError",
    "FrontEnd",
    "FrontEndConfig",
    "GateConfig",
    "GrammarError",
    "HarkenError",
    "Manifest",
    "Model",
    "ModelError",
    "RunError",
    "Runtime",
    "Spotter",
    "classify_clip",
    "clip_tail",
    "load_model",
]
