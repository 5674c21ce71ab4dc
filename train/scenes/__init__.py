"""Scenes: minutes of sound with known words in them, to measure a keyword spotter on."""
