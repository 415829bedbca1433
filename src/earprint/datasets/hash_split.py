"""Choices that look random and are the same on every machine: by digests of names."""

import hashlib
from collections.abc import Iterable

TEST_PERCENT = 10
"""Share of the groups that sets without a division of their own hold out for tests, in %."""


def rank(name: str, salt: str) -> int:
    """Place of a name in a shuffled order: sort by it."""
    return int.from_bytes(hashlib.blake2b(f"{salt}:{name}".encode(), digest_size=8).digest(), "big")


def side(group: str, salt: str) -> str:
    """``test`` for `TEST_PERCENT` of the groups, ``train`` for the others."""
    return "test" if rank(group, salt) % 100 < TEST_PERCENT else "train"


def draw(names: Iterable[str], count: int, salt: str) -> list[str]:
    """Draw some of the names, all if there are fewer, sorted."""
    return sorted(sorted(names, key=lambda name: rank(name, salt))[:count])
