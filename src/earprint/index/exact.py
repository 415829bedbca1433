"""Exact search: every query row is compared with every stored row.

The stored rows are decoded and multiplied one block at a time, so memory does not grow with the library. The
products are NumPy's: `faiss.knn`, whose wheel brings another BLAS, is three to six times slower.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import BaseIndex, Hits, best_hits, check_queries, no_hits
from earprint.parallel.cores import usable_cores

BLOCK_ROWS = 2_048
"""Rows decoded and searched at a time: 1 MB of 128-d float32, which stays in the cache."""

ROWS_PER_THREAD = 100_000
"""Rows that are worth a thread of their own: nearly 0.1 s of work for a query of 3 s."""


class ExactIndex(BaseIndex):
    """Brute-force inner-product search (see `earprint.index.Index`).

    Parameters
    ----------
    rows : Rows
    """

    @property
    def half(self) -> bool:
        """Whether half precision represents the vectors without loss."""
        return self._rows.storage.name == "half"

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Find the k rows with the largest inner products, see `Index.search`."""
        queries = check_queries(queries, k, self._rows.dim)
        n_threads = min(usable_cores(), len(self) // ROWS_PER_THREAD)
        if n_threads < 2:
            return self._search_range(queries, k, 0, len(self))
        bounds = [len(self) * part // n_threads for part in range(n_threads + 1)]
        with ThreadPoolExecutor(n_threads) as threads:
            found = list(threads.map(partial(self._search_range, queries, k), bounds[:-1], bounds[1:]))
        scores, rows = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        return best_hits(scores, rows, k)

    def _search_range(self, queries: NDArray[np.float32], k: int, first: int, stop: int) -> Hits:
        """Search the rows ``first`` to ``stop`` (exclusive)."""
        best, rows = no_hits(len(queries), k)
        if not len(queries):
            return best, rows
        for start in range(first, stop, BLOCK_ROWS):
            block = self.vectors(start, min(start + BLOCK_ROWS, stop))
            scores = queries @ block.T
            # After the first blocks, most query rows find nothing better in a block. The negation keeps
            # query rows whose maximum is NaN: one NaN of a damaged row must not hide the whole block.
            better = np.flatnonzero(~(scores.max(axis=1) <= best[:, -1]))
            if not len(better):
                continue
            scores = scores[better]
            found = np.argpartition(-scores, min(k, len(block)) - 1, axis=1)[:, :k]
            scores = np.take_along_axis(scores, found, axis=1)
            best[better], rows[better] = best_hits(
                np.concatenate((best[better], scores), axis=1),
                np.concatenate((rows[better], found + start), axis=1),
                k,
            )
        return best, rows
