"""The sequence search of the paper (section 2.6).

1. The index returns the five nearest fingerprints (hits) of each query segment.
2. The track with most hits wins.
3. Each segment whose nearest fingerprint belongs to that track votes for a start: the position in the track
   minus the segment's position in the query.
4. The start with most votes wins. It is an answer if it has at least half of the votes; segments whose
   nearest fingerprint belongs to another track count as votes for none.

The paper defines no score. Here the share of votes is the score. It cannot be compared with the scores of
`earprint.matching.search_aligned`, which are normalised similarities.

In the paper queries and references have the same hop. If the query hop is shorter, only the query rows at
multiples of the reference hop are used, and starts are multiples of the reference hop.
"""

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.tracks import Alignment, TrackTable

HITS_PER_SEGMENT = 5
"""Number of nearest fingerprints of each query segment (paper, section 2.6)."""

MIN_VOTE_SHARE = 0.5
"""Smallest share of votes for the start of an answer (paper, section 2.6)."""


def search_paper(
    queries: NDArray[np.float32],
    index: Index,
    table: TrackTable,
    *,
    query_hop_s: float,
    ratio: int = 1,
    min_vote_share: float = MIN_VOTE_SHARE,
) -> list[Alignment]:
    """Find a track and a start in it by the paper's sequence search.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
        The query's fingerprints. Rows of zeros are silent and do not vote.
    index : Index
    table : TrackTable
    query_hop_s : float
        Hop of the query, in seconds.
    ratio : int
        Reference hop divided by query hop.
    min_vote_share : float
        Smallest share of votes for the start.

    Returns
    -------
    list of Alignment
        One or none. Its score is the share of votes. Of tracks with equally many hits, the one with the
        larger sum of similarities wins, then the earlier one. Of starts with equally many votes, the earlier
        one wins.
    """
    on_grid = queries[::ratio]
    positions = np.flatnonzero(on_grid.any(axis=1))
    similarities, rows = index.search(on_grid[positions], HITS_PER_SEGMENT)
    tracks, track_rows = table.locate(rows)
    located = tracks >= 0
    if not located.any():
        return []
    n_hits = np.bincount(tracks[located], minlength=len(table))
    total_similarity = np.bincount(tracks[located], weights=similarities[located], minlength=len(table))
    winner = int(np.lexsort((-total_similarity, -n_hits))[0])

    in_winner = tracks[:, 0] == winner
    starts, votes = np.unique((track_rows[:, 0] - positions)[in_winner], return_counts=True)
    if not len(starts):
        return []
    best = int(np.argmax(votes))
    share = float(votes[best] / np.count_nonzero(located[:, 0]))
    if share < min_vote_share:
        return []
    return [Alignment(winner, float(starts[best]) * ratio * query_hop_s, share)]
