"""Locality-sensitive hashing, the index of the paper.

Each of several hash tables assigns a row to a cell, such that rows with a large inner product tend to share
cells. A search gathers the stored rows in the query row's cell of every table, and in the cells that it
nearly fell into, and ranks them by their exact inner products. A near row in none of these cells is missed.

- Hash: cross-polytope (Andoni et al., "Practical and optimal LSH for angular distance", 2015). The hash of
  a row is the closest of D random unit vectors and their opposites, which gives log2(2 D) bits. A cell
  combines as many hashes as its bits need. D is at most twice the dimension: 18 bits of a 128-d row are two
  hashes of 9.
- Probes: the cost of a cell is the sum over its hashes of (a - b) ** 2, where a is the row's inner product
  with the closest vector and b that with the vector of the cell. A row's own cell costs 0. The cheapest
  cells of all tables together are probed, as in FALCONN, which the paper uses (the idea is that of Lv et
  al., "Multi-probe LSH", 2007). `probes` counts the cells of all tables: 200 for 50 tables are 4 per table.

`benchmarks/lsh.py` measures recall and time. Memory: 4 bytes per row and table, and 4 per cell and table.
50 tables of 18 bits take 200 bytes per row and 52 MB, and 13 MB for the random vectors.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import BaseIndex, Hits, best_hits, check_queries, no_hits
from earprint.index.rows import Rows

TABLES: Final = 50
"""Hash tables (paper, table 2)."""

BITS: Final = 18
"""Bits per cell (paper, table 2)."""

PROBES: Final = 200
"""Cells probed per query row, in all tables together (paper, table 2)."""

MAX_BITS: Final = 24
"""With more bits, the offsets of a table's cells would take more than 64 MB."""

SHARE: Final = 4
"""Most probes of one table, as a multiple of its equal share."""

BLOCK_ROWS: Final = 2_048
"""Stored rows hashed at a time: 4 MB of products with 512 vectors."""

QUERY_ROWS: Final = 32
"""Query rows hashed at a time: 3 MB of products with 25,600 vectors."""

CANDIDATES: Final = 131_072
"""Candidates ranked at a time, with repetitions, and most per query row: 64 MB of 128-d float32."""


class LshIndex(BaseIndex):
    """Approximate inner-product search by multi-probe hashing (see `earprint.index.Index`).

    Parameters
    ----------
    rows : Rows
        Rows of zeros, and damaged rows that are not finite, are never found.
    tables, bits, probes : int
        Number of hash tables, of bits per cell, and of cells probed per query row in all tables together.
    seed : int
        Seed of the random vectors. The same seed and rows give the same hits.

    Raises
    ------
    ValueError
        If a setting is below 1, or `bits` above `MAX_BITS`.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        tables: int = TABLES,
        bits: int = BITS,
        probes: int = PROBES,
        seed: int = 1,
    ) -> None:
        for name, value in (("tables", tables), ("bits", bits), ("probes", probes)):
            if value < 1:
                raise ValueError(f"{name} is {value}; give at least 1")
        if bits > MAX_BITS:
            raise ValueError(f"bits is {bits}; give at most {MAX_BITS}")
        super().__init__(rows)
        self._cells = 2**bits
        self._probes = min(probes, tables * self._cells)
        # Most probes per table.
        self._kept = min(self._cells, self._probes, -(-SHARE * self._probes // tables))
        rng = np.random.default_rng(seed)
        self._functions = [
            _rotations(rng, tables, 2 ** (part - 1), rows.dim) for part in _parts(bits, rows.dim)
        ]
        self._order, self._starts = self._build(tables)

    @property
    def nbytes(self) -> int:
        """Memory of the hash tables and random vectors, in bytes, without the rows."""
        return self._order.nbytes + self._starts.nbytes + sum(vectors.nbytes for vectors in self._functions)

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Find the k rows with the largest inner products among the candidates, see `Index.search`."""
        queries = check_queries(queries, k, self._rows.dim)
        best, rows = no_hits(len(queries), k)
        for which, found in self._candidates(queries):
            query, line = np.unique(which, return_inverse=True)
            stored, column = np.unique(found, return_inverse=True)
            products = queries[query] @ self.take(stored).T
            scores = np.zeros_like(products)
            scores[line, column] = products[line, column]
            hits = min(k, len(stored))
            # Sorted by row, so that of equal scores the first row comes first.
            nearest = np.sort(np.argpartition(-scores, hits - 1, axis=1)[:, :hits], axis=1)
            best[query, :hits], rows[query, :hits] = best_hits(
                np.take_along_axis(scores, nearest, axis=1), stored[nearest], hits
            )
        return best, rows

    def candidates(self, queries: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of stored rows that each query row is compared with, shape (n,)."""
        queries = check_queries(queries, 1, self._rows.dim)
        counts = np.zeros(len(queries), dtype=np.int64)
        for which, found in self._candidates(queries):
            pairs = np.unique(which * len(self) + found)
            counts += np.bincount(pairs // len(self), minlength=len(queries))
        return counts

    def _build(self, tables: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Hash all rows. Returns rows sorted by cell, (tables, n), and cell offsets, (tables, cells + 1)."""
        n = len(self)
        order = np.empty((tables, n), dtype=np.uint32)  # holds the rows' cells until a table is sorted
        starts = np.zeros((tables, self._cells + 1), dtype=np.uint32)
        for start in range(0, n, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, n)
            block = self.vectors(start, stop)
            no_cell = ~block.any(axis=1) | ~np.isfinite(block).all(axis=1)
            block[no_cell] = 0
            for table in range(tables):
                cell = np.zeros(len(block), dtype=np.int64)
                for vectors in self._functions:
                    products = block @ vectors[table].T
                    closest = np.abs(products).argmax(axis=1)
                    opposite = products[np.arange(len(block)), closest] < 0
                    cell = cell * 2 * len(vectors[table]) + closest + opposite * len(vectors[table])
                order[table, start:stop] = np.where(no_cell, self._cells, cell)
        for table in range(tables):
            sizes = np.bincount(order[table], minlength=self._cells + 1)
            starts[table, 1:] = np.cumsum(sizes[: self._cells])
            order[table] = np.argsort(order[table])
        return order, starts

    def _candidates(
        self, queries: NDArray[np.float32]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the rows in the probed cells: query rows and stored rows, with repetitions, shape (m,) each.

        All pairs of a query row are in one item.
        """
        for start in range(0, len(queries), QUERY_ROWS):
            block = queries[start : start + QUERY_ROWS]
            place = self._probed(block)
            first = self._starts.ravel()[place].astype(np.int64)
            size = self._starts.ravel()[place + 1] - first
            size[~block.any(axis=1)] = 0
            # The cheapest cells come first.
            size = np.clip(CANDIDATES - (np.cumsum(size, axis=1) - size), 0, size)
            first += place // self._starts.shape[1] * len(self)
            total = np.cumsum(size.sum(axis=1))
            begin = 0
            while begin < len(block):
                done = total[begin - 1] if begin else 0
                end = int(np.searchsorted(total, done + CANDIDATES, side="right"))
                sizes = size[begin:end].ravel()
                which = np.repeat(np.arange(begin, end), size[begin:end].sum(axis=1))
                offset = first[begin:end].ravel() - (np.cumsum(sizes) - sizes)
                found = self._order.ravel()[np.repeat(offset, sizes) + np.arange(len(which))]
                if len(which):
                    yield start + which, found.astype(np.int64)
                begin = end

    def _probed(self, queries: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the positions in ``starts`` of the cells to probe, cheapest first, shape (n, probes)."""
        n, tables = len(queries), len(self._order)
        cost = np.zeros((n, tables, 1), dtype=np.float32)
        cell = np.zeros((n, tables, 1), dtype=np.int64)
        for vectors in self._functions:
            products = (queries @ vectors.reshape(-1, self._rows.dim).T).reshape(n, *vectors.shape[:2])
            more, value = _cheapest_values(products, self._kept)
            # Both lists ascend, so sum (i, j) has at least (i + 1) (j + 1) - 1 sums that are no larger.
            rank = np.outer(np.arange(1, cost.shape[2] + 1), np.arange(1, more.shape[2] + 1))
            i, j = np.nonzero(rank <= self._kept)
            cost = cost.take(i, axis=2) + more.take(j, axis=2)
            cell = cell.take(i, axis=2) * 2 * vectors.shape[1] + value.take(j, axis=2)
            cost, cell = _cheapest(cost, cell, self._kept)
        cell += np.arange(tables)[:, None] * self._starts.shape[1]
        return _cheapest(cost.reshape(n, -1), cell.reshape(n, -1), self._probes)[1]


def _parts(bits: int, dim: int) -> list[int]:
    """Divide the bits of a cell evenly among as few hashes as possible."""
    most = 1 + int(np.log2(2 * dim))
    parts = -(-bits // most)
    return [bits // parts + (part < bits % parts) for part in range(parts)]


def _rotations(rng: np.random.Generator, tables: int, directions: int, dim: int) -> NDArray[np.float32]:
    """Draw unit vectors, orthogonal in groups of dim, shape (tables, directions, dim)."""
    rotations = np.linalg.qr(rng.standard_normal((tables, -(-directions // dim), dim, dim))).Q
    return rotations.reshape(tables, -1, dim)[:, :directions].astype(np.float32)


def _cheapest_values(
    products: NDArray[np.float32], most: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the cheapest values of a hash, and their costs.

    Parameters
    ----------
    products : ndarray of float32, shape (..., D)
        Inner products with the random vectors.
    most : int
        Number of values wanted.

    Returns
    -------
    cost : ndarray of float32, shape (..., min(most, 2 D))
        Ascending, from 0.
    value : ndarray of int64, same shape
        0 to D - 1 for the vectors themselves, D to 2 D - 1 for their opposites.
    """
    n = products.shape[-1]
    order = np.argsort(-np.abs(products), axis=-1)
    order = np.concatenate((order[..., :most], order[..., ::-1][..., : max(0, most - n)]), axis=-1)
    product = np.take_along_axis(products, order, axis=-1)
    farther = np.arange(order.shape[-1]) >= n  # the vector's less similar sign
    opposite = (product < 0) ^ farther
    product = np.where(farther, -np.abs(product), np.abs(product))
    cost: NDArray[np.float32] = (product[..., :1] - product) ** 2
    return cost, order + n * opposite


def _cheapest(
    cost: NDArray[np.float32], cell: NDArray[np.int64], most: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Keep the cheapest entries of the last axis, at most ``most``, in ascending order of cost."""
    if cost.shape[-1] > most:
        few = np.argpartition(cost, most - 1, axis=-1)[..., :most]
        cost, cell = np.take_along_axis(cost, few, axis=-1), np.take_along_axis(cell, few, axis=-1)
    order = np.argsort(cost, axis=-1)
    return np.take_along_axis(cost, order, axis=-1), np.take_along_axis(cell, order, axis=-1)
