"""Pseudo-random choices that are the same on every machine, because they depend on hashes of names alone."""

import hashlib
from collections.abc import Iterable

TEST_PERCENT = 10
"""Percentage of the groups held out for tests, in sets without a published split."""


def hash_rank(name: str, salt: str) -> int:
    """Sort key of a name that gives a shuffled order; another salt gives another order."""
    return int.from_bytes(hashlib.blake2b(f"{salt}:{name}".encode(), digest_size=8).digest(), "big")


def hash_split(group: str, salt: str) -> str:
    """Assign `TEST_PERCENT` of the groups to ``test``, and the others to ``train``."""
    return "test" if hash_rank(group, salt) % 100 < TEST_PERCENT else "train"


def hash_sample(names: Iterable[str], count: int, salt: str) -> list[str]:
    """Draw ``count`` of the names, or all if there are fewer; sorted."""
    return sorted(sorted(names, key=lambda name: hash_rank(name, salt))[:count])
