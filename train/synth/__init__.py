"""Texts and settings in, synthetic audio out: simulated rooms, words spoken by voices."""
