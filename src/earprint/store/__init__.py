"""A library on disk: the catalogue, the segments, and what keeps them whole. It knows nothing of encoders."""
