"""Property tests draw the same examples on every run; EARPRINT_TEST_RANDOM=1 explores new ones."""

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
if not os.environ.get("EARPRINT_TEST_RANDOM"):
    settings.load_profile("repeatable")
