"""A model in, the same spotter without Python out: C engine, web page, app libraries, LiteRT.

Sources and templates that `harken.export` fills in; `limits` has the limits of devices.
"""
