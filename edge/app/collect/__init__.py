"""Sound of one's own: clips around words and near misses, their review, recordings for training."""
