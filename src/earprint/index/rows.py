"""The row space: stored rows of several segments, one after another, unpacked where they are read.

The parts are arrays, usually memory maps, of half-precision vectors or of codes (`earprint.quantization.storage`).
Nothing is read before it is asked for.
"""

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earprint.quantization.storage import Storage, Stored


class Rows:
    """Stored fingerprints as one row space.

    Parameters
    ----------
    parts : sequence of ndarray of float16 or uint8, each of shape (rows, width)
        Together the row space, in this order. They are kept, not copied.
    storage : Storage
        What they were packed with.

    Raises
    ------
    ValueError
        If a part has another width or type.
    """

    def __init__(self, parts: Sequence[Stored], storage: Storage) -> None:
        for part in parts:
            if part.ndim != 2 or part.shape[1] != storage.width or part.dtype != storage.dtype:
                raise ValueError(
                    f"a part of shape {part.shape}, {part.dtype}, does not hold {storage.name} rows of "
                    f"{storage.dim}-d vectors"
                )
        self.storage = storage
        self._parts = [part for part in parts if len(part)]
        self._bounds = np.cumsum([0, *(len(part) for part in self._parts)], dtype=np.int64)

    def __len__(self) -> int:
        """Rows in the row space."""
        return int(self._bounds[-1])

    @property
    def dim(self) -> int:
        """Components of a vector."""
        return self.storage.dim

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), (stop - start, dim).

        Raises
        ------
        IndexError
            If the range leaves the row space.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"rows {start} to {stop} leave the row space of {len(self)} rows")
        out = np.empty((stop - start, self.dim), dtype=np.float32)
        part = int(np.searchsorted(self._bounds, start, side="right")) - 1
        done = 0
        while done < len(out):
            offset = start + done - int(self._bounds[part])
            rows = self._parts[part][offset : offset + len(out) - done]
            out[done : done + len(rows)] = self.storage.unpack(rows)
            done += len(rows)
            part += 1
        return out

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of any rows, in the order asked for, (len(rows), dim).

        Raises
        ------
        IndexError
            If one is not in the row space.
        """
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} leave the row space of {len(self)} rows")
        packed: Stored = np.empty((len(rows), self.storage.width), dtype=self.storage.dtype)
        part = np.searchsorted(self._bounds, rows, side="right") - 1
        for number in np.unique(part).tolist():
            mine = part == number
            packed[mine] = self._parts[number][rows[mine] - int(self._bounds[number])]
        return self.storage.unpack(packed)


def let_go(rows: Stored) -> None:
    """Have the system take back the memory of a mapped file that was read throughout; it stays mapped.

    Parameters
    ----------
    rows : ndarray of float16 or uint8
        Left alone if it is no memory map, or if the system has no such call.
    """
    base: Any = rows
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
