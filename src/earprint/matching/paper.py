"""The paper's sequence search (section 2.6).

Every query segment brings its five nearest fingerprints. The track that occurs most often among
all of them wins. Each segment's nearest fingerprint, if it lies in that track, proposes a start:
its place in the track minus the segment's place in the query. The start most of them propose
wins, provided that at least half of all the query's nearest fingerprints agree on it. The paper
gives no score; the share that agrees serves as one. It is a share of segments, not comparable
with the cosines of `search_aligned`.

The paper has one grid for queries and references. Where the query's grid is finer, only the query
rows on the reference grid are used, and starts are whole reference hops.
"""

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.tracks import Alignment, TrackTable

HITS_PER_SEGMENT = 5
"""Nearest fingerprints per query segment (paper, section 2.6)."""

AGREEMENT = 0.5
"""Share of the nearest fingerprints that must agree on the start (paper, section 2.6)."""


def search_paper(
    queries: NDArray[np.float32],
    index: Index,
    table: TrackTable,
    *,
    query_hop_s: float,
    ratio: int = 1,
    agreement: float = AGREEMENT,
) -> list[Alignment]:
    """Find the one track, and start in it, that the paper's sequence search gives.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
        The query's fingerprints; rows of zeros are silent and have no say.
    index : Index
    table : TrackTable
    query_hop_s : float
        Distance of two query rows, in seconds.
    ratio : int
        Reference hop divided by query hop.
    agreement : float
        Least share of the segments that must agree on the start.

    Returns
    -------
    list of Alignment
        One, whose score is the share that agrees, or none. Of tracks hit equally often the one
        with the larger sum of similarities wins, then the earlier; of equally frequent starts the
        earlier.
    """
    on_grid = queries[::ratio]
    places = np.flatnonzero(on_grid.any(axis=1))
    scores, rows = index.search(on_grid[places], HITS_PER_SEGMENT)
    track, place = table.locate(rows)
    hit = track >= 0
    if not hit.any():
        return []
    frequency = np.bincount(track[hit], minlength=len(table))
    similarity = np.bincount(track[hit], weights=scores[hit], minlength=len(table))
    winner = int(np.lexsort((-similarity, -frequency))[0])

    nearest = hit[:, 0]
    in_winner = track[:, 0] == winner
    starts, counts = np.unique((place[:, 0] - places)[in_winner], return_counts=True)
    if not len(starts):
        return []
    most = int(np.argmax(counts))
    share = float(counts[most] / np.count_nonzero(nearest))
    if share < agreement:
        return []
    return [Alignment(winner, float(starts[most]) * ratio * query_hop_s, share)]
