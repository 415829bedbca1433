"""Find candidate alignments: those worth scoring.

Candidates have two sources.

- Votes. The index returns the nearest stored rows of a query row, its hits. Each hit votes for the alignment
  (track, offset) at which the two rows meet, with the weight similarity times row weight. The alignments with
  the largest sums, and their neighbours, become candidates. See `Votes`.
- All offsets of one track. Votes find the right track more reliably than the right offset in it. If a track
  repeats itself, as loops and choruses do, the hits hold only some of the repeats. So `best_offsets_of_track`
  compares the whole query with the whole track. This is done for the best track only.

In a large library the index search takes most of the time. `search_rounds` therefore divides the query rows
into two rounds, and the second one is skipped if the first one gives a confident result.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.query_rows import QueryRows
from earprint.matching.tracks import TrackTable

HITS_PER_ROW = 16
"""Number of hits of each query row that is searched."""

NEIGHBOUR_HOPS = 2
"""Offsets up to so many query hops before and after a candidate become candidates too."""

FIRST_ROUND_STEP = 3
"""The first search round takes every third of the rows that are searched."""


@dataclass(frozen=True)
class Votes:
    """Votes for alignments, one for each hit, in no order.

    Attributes
    ----------
    tracks : ndarray of int64, shape (n,)
    offsets : ndarray of int64, shape (n,)
        In query hops, see `earprint.matching.aligned`.
    weights : ndarray of float64, shape (n,)
        Similarity of the query row and the stored row, times the weight of the query row.
    """

    tracks: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def empty(cls) -> "Votes":
        """Return no votes."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    def with_hits(
        self,
        queries: NDArray[np.float32],
        positions: NDArray[np.int64],
        row_weights: NDArray[np.float64],
        index: Index,
        table: TrackTable,
        ratio: int,
    ) -> "Votes":
        """Search some rows of a query; return these votes and those of the hits.

        Parameters
        ----------
        queries : ndarray of float32, shape (n, dim)
        positions : ndarray of int64, shape (m,)
            Positions in ``queries`` of the rows to search.
        row_weights : ndarray of float64, shape (n,)
        index : Index
        table : TrackTable
        ratio : int
            Reference hop divided by query hop.
        """
        similarities, rows = index.search(queries[positions], HITS_PER_ROW)
        tracks, track_rows = table.locate(rows)
        located = tracks >= 0
        offsets = track_rows * ratio - positions[:, None]
        return Votes(
            np.concatenate((self.tracks, tracks[located])),
            np.concatenate((self.offsets, offsets[located])),
            np.concatenate((self.weights, (similarities * row_weights[positions, None])[located])),
        )

    def candidates(self, max_candidates: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the alignments with most votes, and their neighbours.

        The votes of adjacent offsets are added.

        Parameters
        ----------
        max_candidates : int
            Number of alignments, without their neighbours.

        Returns
        -------
        tracks, offsets : ndarray of int64, shape (m,)
            Sorted by track and offset, each alignment once.
        """
        if not len(self.tracks):
            return self.tracks, self.offsets
        # One integer key per alignment. The margin separates neighbours of different tracks.
        low = int(self.offsets.min()) - NEIGHBOUR_HOPS
        span = int(self.offsets.max()) - low + NEIGHBOUR_HOPS + 1
        keys, which = np.unique(self.tracks * span + (self.offsets - low), return_inverse=True)
        votes = np.bincount(which, weights=self.weights)
        pooled = votes.copy()
        adjacent = np.flatnonzero(np.diff(keys) == 1)
        pooled[adjacent] += votes[adjacent + 1]
        pooled[adjacent + 1] += votes[adjacent]
        chosen = _with_neighbours(keys[np.argsort(-pooled, kind="stable")[:max_candidates]])
        return chosen // span, chosen % span + low


def search_rounds(row_weights: NDArray[np.float64], max_rows: int) -> list[NDArray[np.int64]]:
    """Choose the query rows to search, in one or two rounds.

    Parameters
    ----------
    row_weights : ndarray of float64, shape (n,)
        Rows of weight 0 are not searched.
    max_rows : int
        Number of rows to search in all. If more rows have a weight, evenly spaced ones are taken, in two
        rounds.

    Returns
    -------
    list of ndarray of int64
        Positions of rows, one array per round.
    """
    positions = np.flatnonzero(row_weights)
    if len(positions) <= max_rows:
        return [positions]
    positions = positions[np.linspace(0, len(positions) - 1, max_rows).round().astype(np.int64)]
    first = np.zeros(max_rows, dtype=np.bool_)
    first[FIRST_ROUND_STEP // 2 :: FIRST_ROUND_STEP] = True
    return [positions[first], positions[~first]]


def best_offsets_of_track(
    query: QueryRows, index: Index, table: TrackTable, track: int, max_offsets: int
) -> NDArray[np.int64]:
    """Compare a query with a track at all offsets; return the best ones and their neighbours.

    Parameters
    ----------
    query : QueryRows
    index : Index
    table : TrackTable
    track : int
    max_offsets : int
        Number of offsets, without their neighbours. They are the local maxima with the largest mean cosines.

    Returns
    -------
    ndarray of int64, shape (m,)
        In query hops, sorted, each once.
    """
    first, n_rows, n_query = int(table.first_row[track]), int(table.n_rows[track]), len(query.weights)
    products = query.weighted @ index.vectors(first, first + n_rows).T
    # Stored row j and query row i meet at offset j * ratio - i. The last query row has the lowest offset.
    lowest = 1 - n_query
    sums = np.zeros(n_rows * query.ratio + n_query)
    for row, product in enumerate(products):
        begin = -row - lowest
        sums[begin : begin + n_rows * query.ratio : query.ratio] += product
    phase = -(np.arange(len(sums)) + lowest) % query.ratio
    start, stop = query.phase_start[phase], query.phase_start[phase + 1]
    weights = query.cumulative_weight[stop] - query.cumulative_weight[start]
    means = np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
    padded = np.pad(means, 1, constant_values=-np.inf)
    peaks = np.flatnonzero((means >= padded[:-2]) & (means > padded[2:]))
    return _with_neighbours(peaks[np.argsort(-means[peaks], kind="stable")[:max_offsets]] + lowest)


def _with_neighbours(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return offsets and their neighbours, sorted, each once."""
    return np.unique(offsets[:, None] + np.arange(-NEIGHBOUR_HOPS, NEIGHBOUR_HOPS + 1))
