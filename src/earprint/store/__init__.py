"""A library's files: the catalogue, the segments, and how they stay consistent. Knows nothing of encoders."""
