"""Cores, worker processes and the threads of NumPy's matrix products."""
