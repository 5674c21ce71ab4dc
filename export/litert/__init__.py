"""A model in, the explicit-state 16x8 form for LiteRT's ``CompiledModel`` out.

`bundle.export_litert` does everything; `graph`, `runtime` and `check` are its parts.
"""
