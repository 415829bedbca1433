"""The paper's index: locality-sensitive hashing; a query row is compared with stored rows that hash like it.

In each of several tables a row has a cell, and rows with a large inner product tend to share it. A search
gathers the stored rows in the query row's own cell of every table and in the cells that it nearly fell into,
and ranks them by their true inner products. Every hit is true, but a near row in none of the cells is missed.

- Hash: cross-polytope (Andoni et al., "Practical and optimal LSH for angular distance", 2015). Which of D
  random unit vectors and their opposites lies closest? The answer is worth log2(2 D) bits, and a cell stands
  for as many answers as its bits ask for. D goes up to twice the dimension: 18 bits of a 128-d row are two
  answers of 9.
- Probes: the row's own cell costs nothing. Any other costs (a - b) ** 2, summed over its answers, where a is
  the row's product with the closest vector and b that with the one answered (as in FALCONN, which the paper
  uses; the idea is that of Lv et al., "Multi-probe LSH", 2007). The cheapest cells of all tables together
  are looked into. `probes` is their number in all, again as in FALCONN: 200 for 50 tables are 4 a table.

Measured by `benchmarks/lsh.py` with 157,000 rows of music and 1 s queries, clean and at 0 dB: 1,000 probes
found the nearest row of 84 % of the query rows among 1,270 looked at; the sign bits of
`faiss.IndexBinaryMultiHash`, which probes blindly, 90 % among 7,150. The paper's 200 probes found 58 % among
300; they took half the time of exact search, and 2 % fewer of the queries were answered rightly. As an exact
search reads the rows once for a whole query, longer queries gain less: at 5 s, the 200 probes took 1.4 times
as long.

Memory: 4 bytes for each row and table and 4 for each cell and table. 50 tables of 18 bits take 200 bytes a
row and 52 MB, and 13 MB for the vectors of the hash.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from earprint.index.exact import best_of, checked
from earprint.index.rows import Rows

TABLES: Final = 50
"""Hash tables (paper, table 2)."""

BITS: Final = 18
"""Hash bits of a cell (paper, table 2)."""

PROBES: Final = 200
"""Cells looked into per query row, in all tables together (paper, table 2)."""

MOST_BITS: Final = 24
"""More bits would take more than 64 MB per table for the places of its cells."""

SHARE: Final = 4
"""No table gets more than so many times its equal share of the probes, as it is not worth looking further."""

BLOCK_ROWS: Final = 2_048
"""Stored rows hashed at a time: 4 MB of products with 512 vectors."""

QUERY_ROWS: Final = 32
"""Query rows hashed at a time: 3 MB of products with 25,600 vectors."""

CANDIDATES: Final = 131_072
"""Candidates, repetitions included, ranked at a time, and most of one query row: 64 MB of 128-d float32."""


class LshIndex:
    """Approximate inner-product search by multi-probe hashing (see `earprint.index.Index`).

    Parameters
    ----------
    rows : Rows
        Rows of zeros, and damaged ones that are no numbers, are never found.
    tables, bits, probes : int
        Hash tables, bits of a cell, and cells looked into per query row in all tables together.
    seed : int
        Of the random vectors. The same seed and rows give the same answers.

    Raises
    ------
    ValueError
        If a setting is below 1, or `bits` above `MOST_BITS`.
    """

    proposing_rows = 512

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
        if bits > MOST_BITS:
            raise ValueError(f"bits is {bits}; give at most {MOST_BITS}")
        self._rows = rows
        self._cells = 2**bits
        self._probes = min(probes, tables * self._cells)
        # Per table; what ranks lower in its own table is not probed.
        self._kept = min(self._cells, self._probes, -(-SHARE * self._probes // tables))
        rng = np.random.default_rng(seed)
        self._functions = [
            _rotations(rng, tables, 2 ** (part - 1), rows.dim) for part in _parts(bits, rows.dim)
        ]
        self._order, self._starts = self._build(tables)

    def __len__(self) -> int:
        """Rows in the row space."""
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Memory of the tables in bytes, without the vectors."""
        return self._order.nbytes + self._starts.nbytes + sum(vectors.nbytes for vectors in self._functions)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k rows with the largest inner products among the candidates, see `Index.search`."""
        queries = checked(queries, k, self._rows.dim)
        best = np.zeros((len(queries), k), dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        for which, found in self._candidates(queries):
            asked, line = np.unique(which, return_inverse=True)
            stored, column = np.unique(found, return_inverse=True)
            products = queries[asked] @ self.take(stored).T
            scores = np.zeros_like(products)
            scores[line, column] = products[line, column]
            hits = min(k, len(stored))
            # In the order of rows again, so that of equal scores the first row comes first.
            nearest = np.sort(np.argpartition(-scores, hits - 1, axis=1)[:, :hits], axis=1)
            best[asked, :hits], rows[asked, :hits] = best_of(
                np.take_along_axis(scores, nearest, axis=1), stored[nearest], hits
            )
        return best, rows

    def candidates(self, queries: NDArray[np.float32]) -> NDArray[np.int64]:
        """Count the stored rows that each query row is compared with, shape (n,)."""
        queries = checked(queries, 1, self._rows.dim)
        counts = np.zeros(len(queries), dtype=np.int64)
        for which, found in self._candidates(queries):
            pairs = np.unique(which * len(self) + found)
            counts += np.bincount(pairs // len(self), minlength=len(queries))
        return counts

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vectors of rows ``start`` to ``stop`` (exclusive), see `Rows.vectors`."""
        return self._rows.vectors(start, stop)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of any rows, see `Rows.take`."""
        return self._rows.take(rows)

    def _build(self, tables: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Hash all rows: rows by cell, shape (tables, n), and where cells begin, (tables, cells + 1)."""
        n = len(self)
        order = np.empty((tables, n), dtype=np.uint32)  # holds the rows' cells until a table is sorted
        starts = np.zeros((tables, self._cells + 1), dtype=np.uint32)
        for start in range(0, n, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, n)
            block = self.vectors(start, stop)
            nowhere = ~block.any(axis=1) | ~np.isfinite(block).all(axis=1)
            block[nowhere] = 0
            for table in range(tables):
                cell = np.zeros(len(block), dtype=np.int64)
                for vectors in self._functions:
                    products = block @ vectors[table].T
                    closest = np.abs(products).argmax(axis=1)
                    opposite = products[np.arange(len(block)), closest] < 0
                    cell = cell * 2 * len(vectors[table]) + closest + opposite * len(vectors[table])
                order[table, start:stop] = np.where(nowhere, self._cells, cell)
        for table in range(tables):
            sizes = np.bincount(order[table], minlength=self._cells + 1)
            starts[table, 1:] = np.cumsum(sizes[: self._cells])
            order[table] = np.argsort(order[table])
        return order, starts

    def _candidates(
        self, queries: NDArray[np.float32]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Look into the cells: pairs of query row and stored row, with repetitions, shape (m,) each.

        All pairs of a query row come at once, with those of some of its neighbours.
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
        """Places in ``starts`` of the cells to look into, the cheapest first, shape (n, probes)."""
        n, tables = len(queries), len(self._order)
        cost = np.zeros((n, tables, 1), dtype=np.float32)
        cell = np.zeros((n, tables, 1), dtype=np.int64)
        for vectors in self._functions:
            products = (queries @ vectors.reshape(-1, self._rows.dim).T).reshape(n, *vectors.shape[:2])
            more, answer = _answers(products, self._kept)
            # Of two ascending lists, only sums that at most `kept` others are sure to undercut.
            sooner = np.outer(np.arange(1, cost.shape[2] + 1), np.arange(1, more.shape[2] + 1))
            i, j = np.nonzero(sooner <= self._kept)
            cost = cost.take(i, axis=2) + more.take(j, axis=2)
            cell = cell.take(i, axis=2) * 2 * vectors.shape[1] + answer.take(j, axis=2)
            cost, cell = _cheapest(cost, cell, self._kept)
        cell += np.arange(tables)[:, None] * self._starts.shape[1]
        return _cheapest(cost.reshape(n, -1), cell.reshape(n, -1), self._probes)[1]


def _parts(bits: int, dim: int) -> list[int]:
    """Divide the bits of a cell evenly among as few answers as can give them."""
    most = 1 + int(np.log2(2 * dim))
    parts = -(-bits // most)
    return [bits // parts + (part < bits % parts) for part in range(parts)]


def _rotations(rng: np.random.Generator, tables: int, directions: int, dim: int) -> NDArray[np.float32]:
    """Draw unit vectors, each dim of them at right angles to each other, shape (tables, directions, dim)."""
    turns = np.linalg.qr(rng.standard_normal((tables, -(-directions // dim), dim, dim))).Q
    return turns.reshape(tables, -1, dim)[:, :directions].astype(np.float32)


def _answers(products: NDArray[np.float32], most: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """List the cheapest answers of hash functions, and what they cost.

    Parameters
    ----------
    products : ndarray of float32, shape (..., D)
        Inner products with the function's vectors.
    most : int

    Returns
    -------
    cost : ndarray of float32, shape (..., min(most, 2 D))
        Ascending, from 0.
    answer : ndarray of int64, same shape
        0 to D - 1 for the vectors themselves, D to 2 D - 1 for their opposites.
    """
    n = products.shape[-1]
    order = np.argsort(-np.abs(products), axis=-1)
    order = np.concatenate((order[..., :most], order[..., ::-1][..., : max(0, most - n)]), axis=-1)
    product = np.take_along_axis(products, order, axis=-1)
    far = np.arange(order.shape[-1]) >= n  # the far side of each vector
    opposite = (product < 0) ^ far
    product = np.where(far, -np.abs(product), np.abs(product))
    cost: NDArray[np.float32] = (product[..., :1] - product) ** 2
    return cost, order + n * opposite


def _cheapest(
    cost: NDArray[np.float32], cell: NDArray[np.int64], most: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Keep at most so many of the last axis, in ascending order of their cost."""
    if cost.shape[-1] > most:
        few = np.argpartition(cost, most - 1, axis=-1)[..., :most]
        cost, cell = np.take_along_axis(cost, few, axis=-1), np.take_along_axis(cell, few, axis=-1)
    order = np.argsort(cost, axis=-1)
    return np.take_along_axis(cost, order, axis=-1), np.take_along_axis(cell, order, axis=-1)
