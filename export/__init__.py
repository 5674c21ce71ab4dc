"""A trained LSTM in, a checked int8 TFLite model and its manifest out. Needs ``pip install 'harken[train]'``."""
