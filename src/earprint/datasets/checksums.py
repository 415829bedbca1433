"""Checksums of files, and lists of them as ``sha1sum`` writes them."""

import hashlib
from pathlib import Path

from earprint.errors import TrainingError


def digest_of(path: Path, algorithm: str) -> str:
    """Compute the checksum of a file, in hexadecimal.

    Raises
    ------
    TrainingError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(
                file, lambda: hashlib.new(algorithm, usedforsecurity=False)
            ).hexdigest()
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be read ({error.strerror or error}); check its permissions and disk"
        ) from error


def read_listing(path: Path) -> dict[str, str]:
    """Read a list of checksums, with ``checksum  name`` on each line.

    Returns
    -------
    dict of str to str
        Sums, in lower case, by name.

    Raises
    ------
    TrainingError
        If it cannot be read or a line is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); unpack the archive again") from error
    sums = {}
    for number, line in enumerate(lines, 1):
        digest, _, name = line.strip().partition(" ")
        name = name.strip().removeprefix("*").removeprefix("./")  # "*" marks binary mode
        if not name or len(digest) != 40:
            raise TrainingError(
                f"{path}: line {number} is not a SHA-1 sum and a name; unpack the archive again"
            )
        sums[name] = digest.lower()
    return sums
