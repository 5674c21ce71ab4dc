"""A user's text in, the same text as Markdown out."""

from __future__ import annotations

import re


def markdown(text: str) -> str:
    """Return a text escaped so that Markdown shows it unchanged, in a line, a table or anywhere."""
    return re.sub(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))
