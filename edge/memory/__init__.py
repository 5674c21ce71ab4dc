"""The memory of what was said before: words in, commands and expectations for the next word out."""

from .dialogue import Dialogue
from .grammar import Grammar
from .grammar_file import load_grammar, parse_grammar, shipped_grammars
from .memory import Memory
from .store import Store
from .turns import Command, Turn

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
