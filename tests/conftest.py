"""Settings of all tests, made before NumPy is imported.

NumPy computes in one thread, since threads that wait busily slow the tests down several times on a machine
that is in use; OPENBLAS_NUM_THREADS sets another number. Property tests draw the same examples on every run;
EARPRINT_TEST_RANDOM=1 explores new ones.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
if not os.environ.get("EARPRINT_TEST_RANDOM"):
    settings.load_profile("repeatable")
