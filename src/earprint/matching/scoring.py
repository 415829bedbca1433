"""Compute the similarity of many alignments at once.

The similarity of an alignment is ``mean cosine * sqrt(share inside the track)``; `earprint.matching.aligned`
explains it. The work takes two steps.

1. Read the stored rows (`TrackSpans`). An index may have to decode rows, so the rows of all alignments are
   read in one call, and a row that several alignments need is read once.
2. Sum the cosines (`alignment_similarities`). An alignment pairs the query rows of one phase with consecutive
   stored rows: a diagonal of the matrix of all cosines. Both sides are contiguous in memory, so the sum of
   their cosines is a single inner product of two long vectors. The limits of all diagonals are computed
   together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.query_rows import QueryRows
from earprint.matching.tracks import TrackTable


@dataclass(frozen=True)
class TrackSpans:
    """Stored rows of spans of tracks.

    Attributes
    ----------
    rows : ndarray of float32, shape (r, dim)
        Stored rows. Overlapping spans share them.
    n_rows : ndarray of int64, shape (m,)
        Number of rows of the whole track of each span.
    shift : ndarray of int64, shape (m,)
        Row j of the span's track is row ``j + shift`` of ``rows``.
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
    ) -> "TrackSpans":
        """Read rows ``low`` to ``high`` (exclusive) of tracks.

        If tracks, ``low`` and ``high`` ascend, no row is read twice.

        Parameters
        ----------
        index : Index
        table : TrackTable
        tracks, low, high : ndarray of int64, shape (m,)
            At least one.
        """
        start, stop = table.first_row[tracks] + low, table.first_row[tracks] + high
        # A span that begins within the previous one extends its block of rows. Else it begins a new block.
        begins_block = np.ones(len(start), dtype=bool)
        begins_block[1:] = (start[1:] > stop[:-1]) | (start[1:] < start[:-1])
        first_span, block = np.flatnonzero(begins_block), np.cumsum(begins_block) - 1
        block_start = start[first_span]
        size = np.maximum.reduceat(stop, first_span) - block_start
        block_shift = np.cumsum(size) - size - block_start
        rows = index.take(np.arange(size.sum()) - np.repeat(block_shift, size))
        return cls(rows, table.n_rows[tracks], block_shift[block] + table.first_row[tracks])


def rows_needed(
    query: QueryRows,
    table: TrackTable,
    tracks: NDArray[np.int64],
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of tracks that are needed to score alignments.

    Parameters
    ----------
    query : QueryRows
    table : TrackTable
    tracks : ndarray of int64, shape (m,)
    lowest, highest : ndarray of int64, shape (m,)
        Lowest and highest offset to score, in query hops.

    Returns
    -------
    low, high : ndarray of int64, shape (m,)
        For `TrackSpans.read`. There may be a few rows too many at the end.
    """
    n_rows = table.n_rows[tracks]
    low = np.clip(lowest // query.ratio, 0, n_rows)
    # Phase 0 has at least as many rows as any other phase.
    high = highest // query.ratio + 1 + query.phase_start[1]
    return low, np.clip(high, low, n_rows)


def alignment_similarities(
    query: QueryRows, spans: TrackSpans, which: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the similarity of alignments: the mean cosine times the root of the share inside the track.

    Parameters
    ----------
    query : QueryRows
    spans : TrackSpans
        They hold the `rows_needed` of the alignments.
    which : ndarray of int64, shape (m,)
        Span of each alignment.
    offsets : ndarray of int64, shape (m,)
        In query hops.

    Returns
    -------
    ndarray of float64, shape (m,)
        NaN if less than half of the query's interior rows is inside the track, or no row meets a stored row.
    """
    n_query, n_rows = len(query.weights), spans.n_rows[which]
    enters = np.clip(-offsets, 0, n_query)
    leaves = np.clip(n_rows * query.ratio - offsets, enters, n_query)
    share = query.share_inside(enters, leaves)
    diagonals = _Diagonals.at(query, spans, which, offsets, offsets, offsets)
    scored = (diagonals.weight > 0) & (share > 0)
    out = np.full(len(offsets), np.nan)
    if not scored.any():
        return out
    diagonals = diagonals.select(scored)
    mean_cosine = diagonals.inner_products(query, spans) / diagonals.weight
    out[scored] = mean_cosine * np.sqrt(share[scored])
    return out


def mean_cosines_around(
    query: QueryRows, spans: TrackSpans, which: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the mean cosine one hop before each offset, at it, and one hop after it.

    All three are taken over the query rows that are inside the track at all three offsets. So a row that
    enters or leaves the track does not change the comparison.

    Parameters
    ----------
    query : QueryRows
    spans : TrackSpans
        They hold the `rows_needed` of all three offsets.
    which : ndarray of int64, shape (m,)
        Span of each offset.
    offsets : ndarray of int64, shape (m,)
        In query hops.

    Returns
    -------
    ndarray of float64, shape (m, 3)
        NaN where there are no such rows.
    """
    which, centre = np.repeat(which, 3), np.repeat(offsets, 3)
    offset = (offsets[:, None] + np.arange(-1, 2)).ravel()
    diagonals = _Diagonals.at(query, spans, which, offset, centre - 1, centre + 1)
    scored = diagonals.weight > 0
    diagonals = diagonals.select(scored)
    out = np.full(len(offset), np.nan)
    out[scored] = diagonals.inner_products(query, spans) / diagonals.weight
    return out.reshape(-1, 3)


@dataclass(frozen=True)
class _Diagonals:
    """The pairs of query rows and stored rows of alignments, shape (m,) each.

    Attributes
    ----------
    query_start : ndarray of int64, shape (m,)
        First row of the diagonal in `QueryRows.by_phase`.
    stored_start : ndarray of int64, shape (m,)
        First row of the diagonal in `TrackSpans.rows`.
    length : ndarray of int64, shape (m,)
        Number of pairs.
    weight : ndarray of float64, shape (m,)
        Sum of the weights of the query rows; 0 if there are none.
    """

    query_start: NDArray[np.int64]
    stored_start: NDArray[np.int64]
    length: NDArray[np.int64]
    weight: NDArray[np.float64]

    @classmethod
    def at(
        cls,
        query: QueryRows,
        spans: TrackSpans,
        which: NDArray[np.int64],
        offsets: NDArray[np.int64],
        lowest: NDArray[np.int64],
        highest: NDArray[np.int64],
    ) -> "_Diagonals":
        """Return the diagonals at offsets.

        They hold only the query rows that are inside the track at the offsets ``lowest`` and ``highest`` too.
        """
        phase = -offsets % query.ratio
        first = query.phase_start[phase]
        size = query.phase_start[phase + 1] - first
        # Row m of the phase is inside if 0 <= offset + phase + m * ratio < n_rows * ratio.
        begin = np.clip(-((lowest + phase) // query.ratio), 0, size)
        end = np.clip(spans.n_rows[which] - (highest + phase) // query.ratio, begin, size)
        stored_start = (offsets + phase) // query.ratio + begin + spans.shift[which]
        weight = query.cumulative_weight[first + end] - query.cumulative_weight[first + begin]
        return cls(first + begin, stored_start, end - begin, weight)

    def select(self, kept: NDArray[np.bool_]) -> "_Diagonals":
        """Return some of the diagonals."""
        return _Diagonals(
            self.query_start[kept], self.stored_start[kept], self.length[kept], self.weight[kept]
        )

    def inner_products(self, query: QueryRows, spans: TrackSpans) -> NDArray[np.float64]:
        """Return the sum of the inner products of each diagonal's pairs, shape (m,)."""
        dim = spans.rows.shape[1]
        queries, stored = query.by_phase.ravel(), spans.rows.ravel()
        query_stop, stored_stop = self.query_start + self.length, self.stored_start + self.length
        limits = np.stack((self.query_start, query_stop, self.stored_start, stored_stop)) * dim
        return np.array([queries[a:b].dot(stored[c:d]) for a, b, c, d in limits.T.tolist()], dtype=np.float64)
