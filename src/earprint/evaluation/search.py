"""Exact search for thousands of query rows at once, as an evaluation asks them.

A single question reads the whole index for a few rows. Here all rows of many questions go through it
together: one matrix product per block, of which only the largest value of each group of `GROUP` stored rows
is kept. The k nearest rows lie in the k groups with the largest of these, so that comparing with the rows of
those groups alone gives what comparing with all would. Shapes: queries (n, dim), answers (n, k).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index

Nearest = Callable[[Index, NDArray[np.float32], int], tuple[NDArray[np.float32], NDArray[np.int64]]]
"""What `nearest` does, wherever it does it."""

GROUP: Final = 64
"""Stored rows that share one largest value."""

BLOCK_ROWS: Final = 2_048
"""Stored rows multiplied at a time, a multiple of `GROUP`."""

QUERY_ROWS: Final = 1_024
"""Query rows that go through the index together: 64 MB of largest values for a million stored rows."""


def nearest(
    index: Index, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the k stored rows with the largest inner products for many query rows, see `Index.search`.

    Parameters
    ----------
    index : Index
    queries : ndarray of float32, shape (n, dim)
    k : int

    Returns
    -------
    (ndarray of float32, ndarray of int64), shape (n, k) each
        Inner products, largest first, and rows; where fewer are above 0, the rest is 0 and -1.
    """
    scores = np.zeros((len(queries), k), np.float32)
    rows = np.full((len(queries), k), -1, np.int64)
    if not len(index):
        return scores, rows
    for begin in range(0, len(queries), QUERY_ROWS):
        some = np.ascontiguousarray(queries[begin : begin + QUERY_ROWS], dtype=np.float32)
        largest = _largest_of_groups(index, some)
        n_groups = min(k, largest.shape[1])
        groups = np.sort(np.argpartition(-largest, n_groups - 1, axis=1)[:, :n_groups], axis=1)
        found = _among(index, some, groups, k)
        end, hits = begin + len(some), found[0].shape[1]
        scores[begin:end, :hits], rows[begin:end, :hits] = found
    return scores, rows


def _largest_of_groups(index: Index, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest inner product of each query row with each group of stored rows, shape (n, groups)."""
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


def _among(
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
    # Each group is read once for all query rows that want it, as neighbouring questions want the same.
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


class Prefetched:
    """An index that knows the answers to some query rows already; see `earprint.index.base.Index`.

    Parameters
    ----------
    index : Index
    queries : ndarray of float32, shape (n, dim)
        Rows that will be asked.
    k : int
        Most hits that will be asked for.
    search : callable
        Finds them.
    """

    def __init__(self, index: Index, queries: NDArray[np.float32], k: int, search: Nearest = nearest) -> None:
        self._index = index
        self.max_query_rows = index.max_query_rows
        self._k = k
        self._scores, self._rows = search(index, queries, k)
        self._places = {row.tobytes(): number for number, row in enumerate(queries)}

    def __len__(self) -> int:
        """Rows in the row space."""
        return len(self._index)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Look up the nearest rows, or find them if a row was not among those announced."""
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
