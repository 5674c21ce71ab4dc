"""Audio from a microphone in, recordings for training out.

Clips around words and near misses, their review, and the recording of words.
"""
