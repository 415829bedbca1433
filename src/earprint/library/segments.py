"""Files of fingerprints, written once and never changed.

A segment is the bare rows of an array of shape (rows, dim), little-endian float16, in C order;
how many rows, and the checksum, are in the catalogue. It is written under a temporary name,
flushed to the disk and renamed, and only then entered in the catalogue: whatever interrupts this
leaves either a whole segment or a file that the catalogue does not know, which the next writer
deletes.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earprint.errors import LibraryError

STORED: np.dtype[np.float16] = np.dtype("<f2")
"""Type of a stored component: half precision, little-endian."""

ADVICE = "restore it from a copy, or add the recordings again to a new library folder"


@dataclass(frozen=True)
class Segment:
    """A segment as the catalogue knows it; ``file`` is its name in the segments folder."""

    id: int
    file: str
    rows: int
    dim: int
    checksum: str


def write_segment(folder: Path, segment_id: int, parts: Sequence[NDArray[np.float16]]) -> Segment:
    """Write arrays, one after another, as a new segment that survives a power cut.

    Parameters
    ----------
    folder : Path
        The segments folder; made if missing.
    segment_id : int
        Gives the file its name.
    parts : sequence of ndarray of float16, each of shape (rows, dim)

    Raises
    ------
    LibraryError
        If the disk is full or the folder cannot be written.
    """
    name = f"{segment_id:06d}.f16"
    temporary = folder / f"{name}.tmp"
    digest = hashlib.blake2b(digest_size=16)
    try:
        folder.mkdir(exist_ok=True)
        with temporary.open("wb") as file:
            for part in parts:
                data = np.ascontiguousarray(part, dtype=STORED).tobytes()
                digest.update(data)
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)
        _sync_folder(folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise LibraryError(
            f"{folder / name}: cannot be written ({error.strerror}); make room or mend the "
            "folder's permissions, then add again"
        ) from error
    rows = sum(len(part) for part in parts)
    return Segment(segment_id, name, rows, parts[0].shape[1], digest.hexdigest())


def open_segment(folder: Path, segment: Segment) -> NDArray[np.float16]:
    """Map a segment's vectors into memory, without reading them.

    Returns
    -------
    ndarray of float16, shape (rows, dim)
        Read-only.

    Raises
    ------
    LibraryError
        If the file is missing, cannot be read or has another size than it was written with.
    """
    path = folder / segment.file
    expected = segment.rows * segment.dim * STORED.itemsize
    try:
        size = path.stat().st_size
        if size != expected:
            raise LibraryError(f"{path}: holds {size} bytes instead of {expected}; {ADVICE}")
        mapped = np.memmap(path, dtype=STORED, mode="r", shape=(segment.rows, segment.dim))
    except OSError as error:
        raise LibraryError(f"{path}: cannot be read ({error.strerror}); {ADVICE}") from error
    return np.asarray(mapped)  # a plain view of the map: slicing it is several times cheaper


def verify_segment(folder: Path, segment: Segment) -> None:
    """Read a whole segment and compare its checksum with the catalogue's.

    Raises
    ------
    LibraryError
        If it is missing or not what was written.
    """
    path = folder / segment.file
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise LibraryError(f"{path}: cannot be read ({error.strerror}); {ADVICE}") from error
    if found != segment.checksum:
        raise LibraryError(f"{path}: is damaged (its checksum is wrong); {ADVICE}")


def delete_strays(folder: Path, known: Iterable[str]) -> None:
    """Delete what interrupted writers left: segment files that the catalogue does not know.

    Only the holder of the library's writer lock may call this.
    """
    keep = set(known)
    for path in folder.glob("*.f16*"):
        if path.name not in keep:
            with suppress(OSError):  # harmless where it cannot be deleted
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable, where the system has such a call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
