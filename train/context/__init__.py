"""How much a memory helps: spoken sessions in, errors with and without it out."""
