"""A model in, the same spotter without Python out: the engine in C, the page, libraries, LiteRT.

Sources and templates, which `harken.export` fills; `limits` says what a device has room for.
"""
