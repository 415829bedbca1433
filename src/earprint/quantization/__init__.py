"""Product quantisation of fingerprints, and how they are stored: codes, or half precision."""
