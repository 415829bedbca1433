"""How many cores there are to share work among."""

import os


def usable_cores() -> int:
    """Count the cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_count(jobs: int) -> int:
    """How many processes ``jobs`` asks for: itself, or one for each core that may be used if 0."""
    return jobs or usable_cores()
