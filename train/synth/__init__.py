"""Texts and settings in, sound that nobody recorded out: simulated rooms, words by voices."""
