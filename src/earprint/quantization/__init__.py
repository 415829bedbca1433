"""Product quantisation of fingerprints, and the storage formats: codes, or half precision."""
