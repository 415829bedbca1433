"""Exact search for the fingerprints of many queries at once.

The search of a single query reads the whole index for a few fingerprints. Here the fingerprints of many
queries are searched together. One matrix product is made per block of stored rows, and only the largest value
of each group of `GROUP` stored rows is kept. The k nearest rows lie in the k groups with the largest values,
so comparing with the rows of these groups gives the same result as comparing with all rows.
Shapes: queries (n, dim), answers (n, k).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.index import ExactIndex
from earprint.index.base import Index

ExactSearch = Callable[[Index, NDArray[np.float32], int], tuple[NDArray[np.float32], NDArray[np.int64]]]
"""A function like `search_exactly`, on any device."""

GROUP: Final = 64
"""Stored rows that share one largest value."""

BLOCK_ROWS: Final = 2_048
"""Stored rows multiplied at a time, a multiple of `GROUP`."""

QUERY_ROWS: Final = 1_024
"""Query rows that go through the index together: 64 MB of largest values for a million stored rows."""


def search_exactly(
    index: Index, queries: NDArray[np.float32], k: int, *, query_rows: int = QUERY_ROWS
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the k stored rows with the largest inner products for many query rows, see `Index.search`.

    Parameters
    ----------
    index : Index
    queries : ndarray of float32, shape (n, dim)
    k : int
    query_rows : int
        Query rows that are searched together.

    Returns
    -------
    (ndarray of float32, ndarray of int64), shape (n, k) each
        Inner products, largest first, and rows; where fewer are above 0, the rest is 0 and -1.
    """
    scores = np.zeros((len(queries), k), np.float32)
    rows = np.full((len(queries), k), -1, np.int64)
    if not len(index):
        return scores, rows
    for begin in range(0, len(queries), query_rows):
        batch = np.ascontiguousarray(queries[begin : begin + query_rows], dtype=np.float32)
        largest = _group_maxima(index, batch)
        n_groups = min(k, largest.shape[1])
        groups = np.sort(np.argpartition(-largest, n_groups - 1, axis=1)[:, :n_groups], axis=1)
        found = _search_groups(index, batch, groups, k)
        end, hits = begin + len(batch), found[0].shape[1]
        scores[begin:end, :hits], rows[begin:end, :hits] = found
    return scores, rows


def _group_maxima(index: Index, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest inner product of each query row with each group of rows, shape (n, groups)."""
    n = len(index)
    largest = np.empty((-(-n // GROUP), len(queries)), np.float32)
    transposed = np.ascontiguousarray(queries.T)
    products = np.empty((BLOCK_ROWS, len(queries)), np.float32)
    for start in range(0, n, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, n)
        part = np.matmul(index.vectors(start, stop), transposed, out=products[: stop - start])
        group, whole = start // GROUP, (stop - start) // GROUP
        if whole:
            grouped = part[: whole * GROUP].reshape(whole, GROUP, -1)
            np.max(grouped, axis=1, out=largest[group : group + whole])
        if (stop - start) % GROUP:
            largest[-1] = part[whole * GROUP :].max(axis=0)
    return np.ascontiguousarray(largest.T)


def _search_groups(
    index: Index, queries: NDArray[np.float32], groups: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the k nearest rows of each query row among those of its groups, shape (n, at most k) each.

    Parameters
    ----------
    index : Index
    queries : ndarray of float32, shape (n, dim)
    groups : ndarray of int64, shape (n, m)
        Ascending in each line.
    k : int
    """
    n, m = groups.shape
    products = np.full((n, m, GROUP), -1.0, np.float32)
    # Each group is read once for all query rows that need it.
    order = np.argsort(groups, axis=None, kind="stable")
    numbers, starts = np.unique(groups.ravel()[order], return_index=True)
    for number, places in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
        stored = index.vectors(number * GROUP, min((number + 1) * GROUP, len(index)))
        which, slot = np.divmod(places, m)
        products[which, slot, : len(stored)] = queries[which] @ stored.T
    flat = products.reshape(n, -1)
    best = np.sort(np.argpartition(-flat, min(k, flat.shape[1]) - 1, axis=1)[:, :k], axis=1)
    scores = np.take_along_axis(flat, best, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    best, scores = np.take_along_axis(best, order, axis=1), np.take_along_axis(scores, order, axis=1)
    rows = np.take_along_axis(groups, best // GROUP, axis=1) * GROUP + best % GROUP
    hit = scores > 0
    return np.where(hit, scores, np.float32(0)), np.where(hit, rows, -1)


class PrefetchedIndex:
    """An index that already holds the nearest rows of some query rows; see `earprint.index.base.Index`.

    Parameters
    ----------
    index : Index
    queries : ndarray of float32, shape (n, dim)
        Query rows to search now.
    k : int
        Largest number of hits that will be asked for.
    search : callable
        The function that searches.
    """

    def __init__(
        self, index: Index, queries: NDArray[np.float32], k: int, search: ExactSearch = search_exactly
    ) -> None:
        self._index = index
        self.max_query_rows = index.max_query_rows
        self._k = k
        self._scores, self._rows = search(index, queries, k)
        self._places = {row.tobytes(): number for number, row in enumerate(queries)}

    def __len__(self) -> int:
        """Rows in the row space."""
        return len(self._index)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Look up the nearest rows, or search for them if a row is not among the prefetched ones."""
        places = [self._places.get(row.tobytes(), -1) for row in queries]
        if k > self._k or -1 in places:
            return self._index.search(queries, k)
        return self._scores[places, :k], self._rows[places, :k]

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return stored rows."""
        return self._index.vectors(start, stop)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return any stored rows."""
        return self._index.take(rows)


class BatchSearch:
    """Searches all fingerprints of a batch of queries when the first of them is identified.

    Give it to `earprint.Library.identify` as ``wrap_index`` for each query of the batch.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
        Query rows that the search will be asked for.
    k : int
        Largest number of hits that will be asked for.
    search : callable
        The function that searches.
    """

    def __init__(self, queries: NDArray[np.float32], k: int, search: ExactSearch = search_exactly) -> None:
        self._queries, self._k, self._search = queries, k, search
        self._index: Index | None = None
        self._prefetched: PrefetchedIndex | None = None

    def __call__(self, index: Index) -> Index:
        """Return an index that holds the answers; approximate indexes are returned as they are."""
        if not isinstance(index, ExactIndex):
            return index
        if self._prefetched is None or self._index is not index:
            self._index = index
            self._prefetched = PrefetchedIndex(index, self._queries, self._k, self._search)
        return self._prefetched
