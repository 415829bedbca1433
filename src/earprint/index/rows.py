"""The fingerprints of a library as one sequence of rows, decoded when they are read.

The rows lie in several arrays, usually memory maps, of half-precision vectors or of codes (see
`earprint.quantization.storage`). Creating `Rows` reads none of them.
"""

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earprint.quantization.storage import Storage, Stored


class Rows:
    """Stored fingerprints as one sequence of rows.

    Parameters
    ----------
    parts : sequence of ndarray of float16 or uint8, each of shape (rows, width)
        The rows, in this order; not copied.
    storage : Storage
        Their storage format.

    Raises
    ------
    ValueError
        If the width or type of a part does not fit the format.

    Examples
    --------
    >>> import numpy as np
    >>> from earprint.index import Rows
    >>> from earprint.quantization.storage import HalfStorage
    >>> rows = Rows([np.eye(2, dtype=np.float16), np.zeros((3, 2), dtype=np.float16)], HalfStorage(2))
    >>> len(rows), rows.dim
    (5, 2)
    >>> rows.vectors(1, 3)
    array([[0., 1.],
           [0., 0.]], dtype=float32)
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
        """Return the number of rows."""
        return int(self._bounds[-1])

    @property
    def dim(self) -> int:
        """Number of components of a vector."""
        return self.storage.dim

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), shape (stop - start, dim).

        Raises
        ------
        IndexError
            If the range is out of bounds.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"rows {start} to {stop} are out of bounds: there are {len(self)} rows")
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
        """Return the vectors of any rows, in the given order, shape (len(rows), dim).

        Raises
        ------
        IndexError
            If a row is out of bounds.
        """
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(
                f"rows {rows.min()} to {rows.max()} are out of bounds: there are {len(self)} rows"
            )
        packed: Stored = np.empty((len(rows), self.storage.width), dtype=self.storage.dtype)
        part = np.searchsorted(self._bounds, rows, side="right") - 1
        for number in np.unique(part).tolist():
            chosen = part == number
            packed[chosen] = self._parts[number][rows[chosen] - int(self._bounds[number])]
        return self.storage.unpack(packed)


def release_pages(rows: Stored) -> None:
    """Tell the system that a memory-mapped file's pages are no longer needed; the file stays mapped.

    Parameters
    ----------
    rows : ndarray of float16 or uint8
        Nothing happens if it is no memory map, or if the system has no such call.
    """
    base: Any = rows
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
