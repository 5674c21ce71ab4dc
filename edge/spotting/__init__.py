"""Samples in, words out: front end, network, detector, and the spotter that joins them."""

from .clip import classify_clip, clip_tail
from .detector import Detection, Detector, DetectorConfig, Faint
from .engine import Engine, Runtime
from .frontend import FrontEnd, FrontEndConfig
from .gate import GateConfig
from .manifest import Manifest, Model, load_model
from .spotter import Event, Spotter

__all__ = [
    "Detection",
    "Detector",
    "DetectorConfig",
    "Engine",
    "Event",
    "Faint",
    "FrontEnd",
    "FrontEndConfig",
    "GateConfig",
    "Manifest",
    "Model",
    "Runtime",
    "Spotter",
    "classify_clip",
    "clip_tail",
    "load_model",
]
