"""Exact search: every query row is compared with every stored row.

The stored rows are half-precision arrays, usually memory maps, that concatenate to one row space.
They are widened to single precision and multiplied one block at a time, so memory stays at one
block however large the library is. Half precision moves a cosine by less than 0.001. NumPy's
matrix product is used because `faiss.knn`, whose wheel brings another BLAS, took three to six
times as long.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 2_048
"""Rows widened and searched at a time: 1 MB of 128-d float32, which stays in the cache."""


class ExactIndex:
    """Brute-force inner-product search over half-precision arrays (see `earprint.index.Index`).

    Parameters
    ----------
    parts : sequence of ndarray of float16, each of shape (rows, dim)
        Together the row space, in this order. They are kept, not copied.
    dim : int
        Components of a fingerprint.

    Raises
    ------
    ValueError
        If a part has another number of components.
    """

    def __init__(self, parts: Sequence[NDArray[np.float16]], dim: int) -> None:
        for part in parts:
            if part.ndim != 2 or part.shape[1] != dim:
                raise ValueError(f"a part of shape {part.shape} does not hold {dim}-d vectors")
        self._parts = [part for part in parts if len(part)]
        self._dim = dim
        self._bounds = np.cumsum([0, *(len(part) for part in self._parts)], dtype=np.int64)

    def __len__(self) -> int:
        """Rows in the row space."""
        return int(self._bounds[-1])

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k rows with the largest inner products, see `Index.search`."""
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least one hit")
        if queries.ndim != 2 or queries.shape[1] != self._dim:
            raise ValueError(f"queries of shape {queries.shape} are not {self._dim}-d vectors")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        best = np.zeros((len(queries), k), dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        if not len(queries):
            return best, rows
        for start in range(0, len(self), BLOCK_ROWS):
            block = self.vectors(start, min(start + BLOCK_ROWS, len(self)))
            scores = queries @ block.T
            # Once the first blocks are through, most query rows find nothing better in a block. Put this way
            # round, a NaN of a damaged row does not hide its whole block.
            better = np.flatnonzero(~(scores.max(axis=1) <= best[:, -1]))
            if not len(better):
                continue
            scores = scores[better]
            found = np.argpartition(-scores, min(k, len(block)) - 1, axis=1)[:, :k]
            scores = np.take_along_axis(scores, found, axis=1)
            hit = scores > 0
            scores = np.concatenate((best[better], np.where(hit, scores, 0)), axis=1)
            found = np.concatenate((rows[better], np.where(hit, found + start, -1)), axis=1)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            best[better] = np.take_along_axis(scores, order, axis=1)
            rows[better] = np.take_along_axis(found, order, axis=1)
        return best, rows

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), widened to float32.

        Raises
        ------
        IndexError
            If the range leaves the row space.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"rows {start} to {stop} leave the row space of {len(self)} rows")
        out = np.empty((stop - start, self._dim), dtype=np.float32)
        part = int(np.searchsorted(self._bounds, start, side="right")) - 1
        done = 0
        while done < len(out):
            offset = start + done - int(self._bounds[part])
            rows = self._parts[part][offset : offset + len(out) - done]
            out[done : done + len(rows)] = rows
            done += len(rows)
            part += 1
        return out
