"""What was said before, kept: words in, commands out, and what to expect next."""

from .dialogue import Command, Dialogue, Turn
from .grammar import Grammar, load_grammar, parse_grammar, shipped_grammars
from .memory import Memory
from .store import Store

__all__ = [
    "Command",
    "Dialogue",
    "Grammar",
    "Memory",
    "Store",
    "Turn",
    "load_grammar",
    "parse_grammar",
    "shipped_grammars",
]
