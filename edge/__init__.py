"""Everything that runs on the device: samples in, word events out. No TensorFlow, no librosa.

`Spotter` does it all; its parts, `FrontEnd`, `Engine` and `Detector`, can be used on their own.
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
    Faint,
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
    "Faint",
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
