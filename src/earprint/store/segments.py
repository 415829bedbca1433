"""Segments: files of fingerprints, written once and never changed.

A segment is an array of shape (rows, width) in C order, without a header: little-endian float16 in a file
``NNNNNN.f16``, or codes of one byte in ``NNNNNN.u8`` (`earprint.quantization.storage`). The catalogue holds
its number of rows and its checksum. A segment is written under a temporary name, flushed to the disk and
renamed. Only then the catalogue names it. An interruption leaves a complete segment, or a file that the
catalogue does not name and that the next writer deletes. A file is deleted after the catalogue no longer
refers to it. A reader that has the file mapped keeps it; on Windows the file stays until the reader closes
it, and a later writer deletes it.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from earprint.errors import LibraryError
from earprint.quantization.storage import Stored

TYPES: Final[dict[str, np.dtype[Any]]] = {".f16": np.dtype("<f2"), ".u8": np.dtype(np.uint8)}
"""Data type of a segment, by the extension of its file."""

ADVICE = "run `earprint repair`, or restore it from a copy"


@dataclass(frozen=True)
class Segment:
    """A segment as the catalogue names it; ``file`` is its name in the segments folder."""

    id: int
    file: str
    rows: int
    width: int
    checksum: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the rows.

        Raises
        ------
        LibraryError
            If this version of earprint does not know the file's extension.
        """
        suffix = Path(self.file).suffix
        if suffix not in TYPES:
            raise LibraryError(f"{self.file}: is a segment of an unknown kind; upgrade earprint")
        return TYPES[suffix]

    @property
    def size_bytes(self) -> int:
        """Size of the file, in bytes."""
        return self.rows * self.width * self.dtype.itemsize


def checksum_of(rows: Stored) -> str:
    """Return the checksum of stored rows: BLAKE2b of 128 bits, 32 hexadecimal digits.

    Parameters
    ----------
    rows : ndarray of float16 or uint8, shape (n, width)
    """
    return hashlib.blake2b(_bytes_of(rows), digest_size=16).hexdigest()


def _bytes_of(rows: Stored) -> bytes:
    return rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes()


def write_segment(folder: Path, segment_id: int, parts: Sequence[Stored]) -> Segment:
    """Write arrays, one after another, as a new segment that survives a power cut.

    Parameters
    ----------
    folder : Path
        The segments folder; made if missing.
    segment_id : int
        Gives the file its name.
    parts : sequence of ndarray of float16 or uint8, each of shape (rows, width)
        All of one type.

    Raises
    ------
    LibraryError
        If the disk is full or the folder cannot be written.
    """
    suffix = next(suffix for suffix, dtype in TYPES.items() if dtype.kind == parts[0].dtype.kind)
    name = f"{segment_id:06d}{suffix}"
    temporary = folder / f"{name}.tmp"
    digest = hashlib.blake2b(digest_size=16)
    try:
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)
        with temporary.open("wb") as file:
            for part in parts:
                data = _bytes_of(part)
                digest.update(data)
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)
        sync_folder(folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise LibraryError(
            f"{folder / name}: cannot be written ({error.strerror}); make room or mend the "
            "folder's permissions, then run the command again"
        ) from error
    rows = sum(len(part) for part in parts)
    return Segment(segment_id, name, rows, parts[0].shape[1], digest.hexdigest())


def open_segment(folder: Path, segment: Segment) -> Stored:
    """Map a segment's rows into memory, without reading them.

    Returns
    -------
    ndarray of float16 or uint8, shape (rows, width)
        Read-only.

    Raises
    ------
    LibraryError
        If the file is missing, cannot be read or has another size than it was written with.
    """
    path = folder / segment.file
    expected = segment.size_bytes
    try:
        size = path.stat().st_size
        if size != expected:
            raise LibraryError(f"{path}: holds {size} bytes instead of {expected}; {ADVICE}")
        mapped = np.memmap(path, dtype=segment.dtype, mode="r", shape=(segment.rows, segment.width))
    except OSError as error:
        raise LibraryError(f"{path}: cannot be read ({error.strerror}); {ADVICE}") from error
    return np.asarray(mapped)  # a plain view of the map: slicing it is several times cheaper


def salvage_segment(folder: Path, segment: Segment) -> Stored:
    """Read a damaged segment; missing rows are zeros.

    Returns
    -------
    ndarray of float16 or uint8, shape (rows, width)
    """
    found = b""
    with suppress(OSError), (folder / segment.file).open("rb") as file:
        found = file.read(segment.size_bytes)
    rows = np.zeros(segment.rows * segment.width, dtype=segment.dtype)
    there = len(found) // segment.dtype.itemsize
    rows[:there] = np.frombuffer(found, segment.dtype, there)
    return rows.reshape(segment.rows, segment.width)


def segment_damage(folder: Path, segment: Segment) -> str | None:
    """Read a whole segment and compare it with what was written.

    Returns
    -------
    str or None
        The file and its damage, in one line; None if it is intact.
    """
    path = folder / segment.file
    expected = segment.size_bytes
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror}); {ADVICE}"
    if size != expected:
        return f"{path}: holds {size} bytes instead of {expected}; {ADVICE}"
    if found != segment.checksum:
        return f"{path}: is damaged (its checksum is wrong); {ADVICE}"
    return None


def strays(folder: Path, known: Iterable[str]) -> list[Path]:
    """List segment files that the catalogue does not name, sorted. Interrupted writers left them."""
    keep = set(known)
    found = (path for suffix in TYPES for path in folder.glob(f"*{suffix}*"))
    return sorted(path for path in found if path.name not in keep)


def delete_strays(folder: Path, known: Iterable[str]) -> None:
    """Delete the `strays`.

    Only the holder of the library's writer lock may call this.
    """
    for path in strays(folder, known):
        with suppress(OSError):  # harmless where it cannot be deleted
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a new file name survives a power cut; does nothing on Windows."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
