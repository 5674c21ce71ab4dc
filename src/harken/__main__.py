"""``python -m harken``: the command line."""

from .edge.cli import main

main()
