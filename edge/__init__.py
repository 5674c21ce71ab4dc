"""Everything that runs on the device: samples in, word events out. No tensorflow, no librosa.

`Spotter` is the whole of it; `FrontEnd`, `Engine` and `Detector` are its parts, each usable alone.
"""

from .clip import classify_clip, clip_tail
from .detector import Detection, Detector, DetectorConfig
from .engine import Engine, Runtime
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
from .frontend import FrontEnd, FrontEndConfig
from .gate import GateConfig
from .manifest import Manifest, Model, load_model
from .spotter import Event, Spotter

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
