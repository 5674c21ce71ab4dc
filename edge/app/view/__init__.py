"""Blocks of sound and what was heard in them in, a live picture of it at a terminal out."""

from .live import LiveView

__all__ = ["LiveView"]
