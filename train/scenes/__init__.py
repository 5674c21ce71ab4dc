"""Recordings in, scenes out: minutes of audio with known words, and how a model does on them."""
