"""A text that somebody chose in, the same text as Markdown out."""

from __future__ import annotations

import re


def markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, in a line, in a table and elsewhere."""
    return re.sub(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))
