"""A trained network in, a checked int8 TFLite model and its manifest out.

Needs ``pip install 'harken[train]'``. `bundle.export_run` is the whole of it; `quantize.quantize`,
`fused.write_network` and `checks.check_model` are its parts. `tflm.TflmRuntime` runs any model as a
microcontroller would.
"""
