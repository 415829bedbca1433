"""Exact search: every query row is compared with every stored row.

The stored rows are unpacked and multiplied one block at a time, so memory stays at one block however large
the library is. NumPy's matrix product is used because `faiss.knn`, whose wheel brings another BLAS, took
three to six times as long.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from earprint.index.rows import Rows
from earprint.parallel.cores import usable_cores

BLOCK_ROWS = 2_048
"""Rows unpacked and searched at a time: 1 MB of 128-d float32, which stays in the cache."""

ROWS_PER_THREAD = 100_000
"""Rows that are worth a thread of their own: for a question of 3 s nearly 0.1 s of work."""


class ExactIndex:
    """Brute-force inner-product search (see `earprint.index.Index`).

    Parameters
    ----------
    rows : Rows
    """

    proposing_rows = 512

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """Rows in the row space."""
        return len(self._rows)

    @property
    def half(self) -> bool:
        """Whether half precision holds the vectors without loss."""
        return self._rows.storage.name == "half"

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k rows with the largest inner products, see `Index.search`."""
        queries = checked(queries, k, self._rows.dim)
        n_threads = min(usable_cores(), len(self) // ROWS_PER_THREAD)
        if n_threads < 2:
            return self._among(queries, k, 0, len(self))
        bounds = [len(self) * part // n_threads for part in range(n_threads + 1)]
        with ThreadPoolExecutor(n_threads) as threads:
            found = list(threads.map(partial(self._among, queries, k), bounds[:-1], bounds[1:]))
        scores, rows = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        return best_of(scores, rows, k)

    def _among(
        self, queries: NDArray[np.float32], k: int, first: int, stop: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As `search`, among the rows from ``first`` to ``stop`` (exclusive)."""
        best = np.zeros((len(queries), k), dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        if not len(queries):
            return best, rows
        for start in range(first, stop, BLOCK_ROWS):
            block = self.vectors(start, min(start + BLOCK_ROWS, stop))
            scores = queries @ block.T
            # Once the first blocks are through, most query rows find nothing better in a block. Put this way
            # round, a NaN of a damaged row does not hide its whole block.
            better = np.flatnonzero(~(scores.max(axis=1) <= best[:, -1]))
            if not len(better):
                continue
            scores = scores[better]
            found = np.argpartition(-scores, min(k, len(block)) - 1, axis=1)[:, :k]
            scores = np.take_along_axis(scores, found, axis=1)
            best[better], rows[better] = best_of(
                np.concatenate((best[better], scores), axis=1),
                np.concatenate((rows[better], found + start), axis=1),
                k,
            )
        return best, rows

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), see `Rows.vectors`."""
        return self._rows.vectors(start, stop)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of any rows, see `Rows.take`."""
        return self._rows.take(rows)


def checked(queries: NDArray[np.float32], k: int, dim: int) -> NDArray[np.float32]:
    """Return a search's query rows as contiguous float32.

    Raises
    ------
    ValueError
        If they have another shape than (n, dim), or no hit is asked for.
    """
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least one hit")
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(f"queries of shape {queries.shape} are not {dim}-d vectors")
    return np.ascontiguousarray(queries, dtype=np.float32)


def best_of(
    scores: NDArray[np.float32], rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Keep the k best hits of each query row; what is not above 0 is no hit.

    Parameters
    ----------
    scores : ndarray of float32, shape (n, m)
    rows : ndarray of int64, shape (n, m)
        -1 for none.
    k : int
        At most m.

    Returns
    -------
    scores, rows : ndarray, shape (n, k) each
        As `Index.search` gives them.
    """
    hit = (scores > 0) & (rows >= 0)
    scores = np.where(hit, scores, np.float32(0))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(np.where(hit, rows, -1), order, axis=1),
    )
