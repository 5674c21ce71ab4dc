"""Words that nobody recorded, or five times: text and a few recordings in, a model out."""
