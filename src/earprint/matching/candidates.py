"""Which alignments are worth scoring: those that stored rows near to some of the query's rows speak for.

The nearest stored rows of a query row each vote for the alignment (track, offset) at which the two meet.
Searching is what costs most in a large library, so the rows that search do so in two rounds: a few of them,
spread over the query, and the others only if the best alignment of the first does not settle the question.

Which track it is, votes tell better than where in it: of many places with nearly the same sound, as loops and
refrains have, only some are among the nearest rows. So all places of the best track are compared at last.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.query_rows import QueryRows
from earprint.matching.tracks import TrackTable

HITS_PER_ROW = 16
"""Nearest stored rows that each query row proposes."""

NEIGHBOURS = 2
"""Offsets on either side of a candidate that are scored too, in query hops."""

FIRST_EVERY = 3
"""Of the rows that search, every third takes part in the first round."""


@dataclass(frozen=True)
class Votes:
    """Votes for alignments, one for each row that was found, in no order.

    Attributes
    ----------
    tracks : ndarray of int64, shape (n,)
    offsets : ndarray of int64, shape (n,)
        In query hops, see `earprint.matching.aligned`.
    weights : ndarray of float64, shape (n,)
        Similarity of the two rows, times how much the query's row counts.
    """

    tracks: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def none(cls) -> "Votes":
        """No vote yet."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    def cast(
        self,
        queries: NDArray[np.float32],
        places: NDArray[np.int64],
        counts: NDArray[np.float64],
        index: Index,
        table: TrackTable,
        ratio: int,
    ) -> "Votes":
        """These and the votes of further rows of a query.

        Parameters
        ----------
        queries : ndarray of float32, shape (n, dim)
        places : ndarray of int64, shape (m,)
            Rows that search.
        counts : ndarray of float64, shape (n,)
            How much each row counts.
        index : Index
        table : TrackTable
        ratio : int
            Reference hop divided by query hop.
        """
        similarities, rows = index.search(queries[places], HITS_PER_ROW)
        track, place = table.locate(rows)
        hit = track >= 0
        offset = place * ratio - places[:, None]
        return Votes(
            np.concatenate((self.tracks, track[hit])),
            np.concatenate((self.offsets, offset[hit])),
            np.concatenate((self.weights, (similarities * counts[places, None])[hit])),
        )

    def best(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tracks and offsets of the ``most`` alignments with most votes, and of their neighbours.

        Sorted, without repetition, shape (m,) each. Votes for offsets next to each other count together.
        """
        if not len(self.tracks):
            return self.tracks, self.offsets
        # One whole number per alignment; the margin keeps neighbours of different tracks apart.
        low = int(self.offsets.min()) - NEIGHBOURS
        span = int(self.offsets.max()) - low + NEIGHBOURS + 1
        keys, which = np.unique(self.tracks * span + (self.offsets - low), return_inverse=True)
        votes = np.bincount(which, weights=self.weights)
        pooled = votes.copy()
        adjacent = np.flatnonzero(np.diff(keys) == 1)
        pooled[adjacent] += votes[adjacent + 1]
        pooled[adjacent + 1] += votes[adjacent]
        around = _and_neighbours(keys[np.argsort(-pooled, kind="stable")[:most]])
        return around // span, around % span + low


def rounds(counts: NDArray[np.float64], most: int) -> list[NDArray[np.int64]]:
    """The rows that search, in rounds.

    Parameters
    ----------
    counts : ndarray of float64, shape (n,)
        How much each row of a query counts; those that count nothing do not search.
    most : int
        Rows that search, in all: so many evenly spread. If there are no more than that, all do, at once:
        the index finds it cheap.
    """
    places = np.flatnonzero(counts)
    if len(places) <= most:
        return [places]
    places = places[np.linspace(0, len(places) - 1, most).round().astype(np.int64)]
    first = np.zeros(most, dtype=np.bool_)
    first[FIRST_EVERY // 2 :: FIRST_EVERY] = True
    return [places[first], places[~first]]


def everywhere(query: QueryRows, index: Index, table: TrackTable, track: int, most: int) -> NDArray[np.int64]:
    """Offsets in a track at which it resembles the query most, compared with all of its rows.

    Parameters
    ----------
    query : QueryRows
    index : Index
    table : TrackTable
    track : int
    most : int
        Offsets, besides their neighbours: those with the largest mean cosine, each larger than that of the
        offsets before and after it.

    Returns
    -------
    ndarray of int64, shape (m,)
        Sorted, without repetition.
    """
    first, n_rows, n_query = int(table.first_row[track]), int(table.n_rows[track]), len(query.weights)
    products = query.weighted @ index.vectors(first, first + n_rows).T
    # Stored row j and query row i meet at offset j * ratio - i; the lowest is that of the query's last row.
    lowest = 1 - n_query
    sums = np.zeros(n_rows * query.ratio + n_query)
    for row, product in enumerate(products):
        begin = -row - lowest
        sums[begin : begin + n_rows * query.ratio : query.ratio] += product
    part = -(np.arange(len(sums)) + lowest) % query.ratio
    weighs = query.weighs[query.first[part + 1]] - query.weighs[query.first[part]]
    means = np.divide(sums, weighs, out=np.zeros_like(sums), where=weighs > 0)
    beside = np.pad(means, 1, constant_values=-np.inf)
    peaks = np.flatnonzero((means >= beside[:-2]) & (means > beside[2:]))
    return _and_neighbours(peaks[np.argsort(-means[peaks], kind="stable")[:most]] + lowest)


def _and_neighbours(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Offsets and those next to them, sorted, without repetition."""
    return np.unique(offsets[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1))
