"""What was said before, kept: words in, commands out, and what to expect next."""
