"""Sound that is made up, not recorded: rooms that are simulated, words that machines say."""
