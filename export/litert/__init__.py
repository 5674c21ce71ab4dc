"""A model in, the explicit-state 16x8 form for LiteRT's ``CompiledModel`` out.

`bundle.export_litert` is the whole of it; `graph`, `runtime` and `check` are its parts.
"""
