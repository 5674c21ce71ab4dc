"""Recordings in, scenes out: minutes of sound with known words, and how a model does on them."""
