"""A model in, C for a microcontroller out."""
