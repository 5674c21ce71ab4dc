"""Models for new words: text and at most a few recordings in, a model out."""
