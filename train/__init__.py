"""Recordings in, a trained small LSTM out. Needs ``pip install 'harken[train]'``."""
