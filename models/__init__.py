"""The models that ship: ``NAME.tflite``, ``NAME.json`` (manifest) and ``NAME.md`` (model card)."""
