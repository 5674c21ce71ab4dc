"""The benefit of a memory: spoken sessions in, errors with and without it out."""
