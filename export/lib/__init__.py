"""A model in, the engine as a library for apps out, compared and compiled for phones."""
