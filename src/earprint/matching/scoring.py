"""How well many alignments agree, all at once; what that is, is told in `earprint.matching.aligned`.

An alignment pairs a part of the query, every ``ratio``-th row of it, with consecutive stored rows. Both lie
one after another in memory, so the sum of their cosines is one inner product of two long vectors; where these
begin and end is reckoned for all alignments together. Stored rows are read for many alignments at a time, and
once where they overlap, because an index may have to unpack them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.query_rows import QueryRows
from earprint.matching.tracks import TrackTable


@dataclass(frozen=True)
class Stretches:
    """Stretches of tracks, read together.

    Attributes
    ----------
    rows : ndarray of float32, shape (r, dim)
        Stored rows; stretches that overlap share them.
    n_rows : ndarray of int64, shape (m,)
        Rows of the whole track that each stretch is of.
    shift : ndarray of int64, shape (m,)
        Row j of its track is row ``j + shift`` of ``rows``.
    """

    rows: NDArray[np.float32]
    n_rows: NDArray[np.int64]
    shift: NDArray[np.int64]

    @classmethod
    def read(
        cls,
        index: Index,
        table: TrackTable,
        tracks: NDArray[np.int64],
        low: NDArray[np.int64],
        high: NDArray[np.int64],
    ) -> "Stretches":
        """Read rows ``low`` to ``high`` (exclusive) of some tracks, at least one, all of shape (m,).

        Where tracks, starts and ends ascend, no row is read twice.
        """
        start, stop = table.first_row[tracks] + low, table.first_row[tracks] + high
        # A stretch that begins within the one before it goes on with its rows, else it opens a block.
        opens = np.ones(len(start), dtype=bool)
        opens[1:] = (start[1:] > stop[:-1]) | (start[1:] < start[:-1])
        opening, block = np.flatnonzero(opens), np.cumsum(opens) - 1
        first = start[opening]
        size = np.maximum.reduceat(stop, opening) - first
        moved = np.cumsum(size) - size - first
        rows = index.take(np.arange(size.sum()) - np.repeat(moved, size))
        return cls(rows, table.n_rows[tracks], moved[block] + table.first_row[tracks])


def rows_under(
    query: QueryRows,
    table: TrackTable,
    tracks: NDArray[np.int64],
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Say which rows of tracks scoring needs: those under the query.

    Parameters
    ----------
    query : QueryRows
    table : TrackTable
    tracks : ndarray of int64, shape (m,)
    lowest, highest : ndarray of int64, shape (m,)
        First and last offset that is to be scored, in query hops.

    Returns
    -------
    low, high : ndarray of int64, shape (m,)
        For `Stretches.read`; a little more than is needed at the end.
    """
    n_rows = table.n_rows[tracks]
    low = np.clip(lowest // query.ratio, 0, n_rows)
    # No part of a query has more rows than part 0.
    high = highest // query.ratio + 1 + query.first[1]
    return low, np.clip(high, low, n_rows)


def agreements(
    query: QueryRows, stretches: Stretches, which: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Say how well alignments agree, with stretches that hold their `rows_under`.

    Parameters
    ----------
    query : QueryRows
    stretches : Stretches
    which : ndarray of int64, shape (m,)
        Stretch of each alignment.
    offsets : ndarray of int64, shape (m,)

    Returns
    -------
    ndarray of float64, shape (m,)
        NaN where too little of the query is inside the track.
    """
    n_query, n_rows = len(query.weights), stretches.n_rows[which]
    enters = np.clip(-offsets, 0, n_query)
    leaves = np.clip(n_rows * query.ratio - offsets, enters, n_query)
    inside, whole = query.whole[leaves] - query.whole[enters], query.whole[-1]
    runs = _Runs.of(query, stretches, which, offsets, offsets, offsets)
    scored = (runs.weight > 0) & (inside > 0) & (2 * inside >= whole)
    out = np.full(len(offsets), np.nan)
    if not scored.any():
        return out
    runs = runs.only(scored)
    mean_cosine = runs.products(query, stretches) / runs.weight
    out[scored] = mean_cosine * np.sqrt(inside[scored] / whole)
    return out


def cosines_around(
    query: QueryRows, stretches: Stretches, which: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean cosine one hop before each offset, there, and one hop after.

    They are taken over the query rows that are inside the track at all three, however few: at the ends of a
    track, a row that is inside at one of them only would tip the balance.

    Parameters
    ----------
    query : QueryRows
    stretches : Stretches
        They hold the rows under all three.
    which : ndarray of int64, shape (m,)
        Stretch of each offset.
    offsets : ndarray of int64, shape (m,)

    Returns
    -------
    ndarray of float64, shape (m, 3)
        NaN where there are no such rows.
    """
    which, centre = np.repeat(which, 3), np.repeat(offsets, 3)
    offset = (offsets[:, None] + np.arange(-1, 2)).ravel()
    runs = _Runs.of(query, stretches, which, offset, centre - 1, centre + 1)
    there = runs.weight > 0
    runs = runs.only(there)
    out = np.full(len(offset), np.nan)
    out[there] = runs.products(query, stretches) / runs.weight
    return out.reshape(-1, 3)


@dataclass(frozen=True)
class _Runs:
    """The query rows of alignments and the stored rows under them: a run of either each, all of shape (m,).

    ``parted`` and ``stored`` say where they begin in `QueryRows.parted` and in `Stretches.rows`, ``count``
    how many rows either has, and ``weight`` what those of the query weigh, 0 if there are none.
    """

    parted: NDArray[np.int64]
    stored: NDArray[np.int64]
    count: NDArray[np.int64]
    weight: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        query: QueryRows,
        stretches: Stretches,
        which: NDArray[np.int64],
        offsets: NDArray[np.int64],
        lowest: NDArray[np.int64],
        highest: NDArray[np.int64],
    ) -> "_Runs":
        """Lay the query at some offsets; of its rows, those inside at the lowest and highest too count."""
        part = -offsets % query.ratio
        first, size = query.first[part], query.first[part + 1] - query.first[part]
        # Row m of the part is inside if 0 <= offset + part + m * ratio < n_rows * ratio.
        begin = np.clip(-((lowest + part) // query.ratio), 0, size)
        end = np.clip(stretches.n_rows[which] - (highest + part) // query.ratio, begin, size)
        stored = (offsets + part) // query.ratio + begin + stretches.shift[which]
        return cls(
            first + begin, stored, end - begin, query.weighs[first + end] - query.weighs[first + begin]
        )

    def only(self, kept: NDArray[np.bool_]) -> "_Runs":
        """Those of some alignments."""
        return _Runs(self.parted[kept], self.stored[kept], self.count[kept], self.weight[kept])

    def products(self, query: QueryRows, stretches: Stretches) -> NDArray[np.float64]:
        """Sum up the inner products of query rows and the stored rows under them."""
        dim = stretches.rows.shape[1]
        asked, stored = query.parted.ravel(), stretches.rows.ravel()
        ends = np.stack((self.parted, self.parted + self.count, self.stored, self.stored + self.count)) * dim
        return np.array([asked[a:b].dot(stored[c:d]) for a, b, c, d in ends.T.tolist()], dtype=np.float64)
