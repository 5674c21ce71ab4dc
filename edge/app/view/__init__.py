"""Blocks of audio and the words in them in, a live view in a terminal out."""

from .live import LiveView

__all__ = ["LiveView"]
