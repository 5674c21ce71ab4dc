"""``python -m harken``: the command line."""

from .cli import main

main()
