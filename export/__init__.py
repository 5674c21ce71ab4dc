"""A trained network in, a checked int8 TFLite model and its manifest out.

Needs ``pip install 'harken[train]'``. `bundle.export_run` does everything; its parts are
`quantize.quantize`, `fused.write_network` and `checks.check_model`. `tflm.TflmRuntime` runs any
model the way a microcontroller would.
"""
