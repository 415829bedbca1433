"""The default method: lay the whole query over the track and measure how well they agree.

1. Propose. The nearest stored rows of each query row each propose an alignment (track, offset).
   Offsets count query hops: at offset o, query row i falls on time ``(o + i) * query_hop_s`` of
   the track, and the stored rows are the times with ``o + i`` divisible by ``ratio``. The
   alignments with most votes (sums of similarities, neighbouring offsets counted together) stay.
2. Score. Each of them and its neighbours get the mean cosine over the query rows that are not
   silent, have a stored row, and fall inside the track; at least half of the query must fall
   inside. This is where a query of several seconds beats its rows one by one: chance
   agreements average out. They average out less over fewer rows, as one over the square root of
   their number, so the mean counts times the square root of the share that falls inside: without
   that, the ends of tracks answer for queries that nothing resembles. Rows whose windows reach
   beyond the query's ends heard only a part of what the stored row heard, and count for less.
3. Contrast. Drones and noise resemble every noisy query a little, at any offset. So the score s is set
   against what the query scores there out of step, b: the mean cosine between all query rows and all
   stored rows under the query and within `BACKGROUND_S` of it. The result is
   ``(s - w b) / (1 - w b)`` with w = `BACKGROUND_WEIGHT`: 1 stays 1, and what is alike in step only
   gains on what is alike anyway.
4. Refine. Per track the best alignment stays; the parabola through its score and its two
   neighbours' puts the start between grid points. Of the few best tracks it is then asked whether the
   query fits better at another speed, see `earprint.matching.speed`.

A score of 1 means identical fingerprints throughout, about 0 means unrelated ones. An excerpt may
begin before the track or run past its end, and scores less for what lies outside.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.rows import WINDOW_S, QueryRows, contrast, peak_of_parabola, row_weights
from earprint.matching.speed import LONGEST_S, SHORTEST_S, find_speed
from earprint.matching.tracks import Alignment, TrackTable

HITS_PER_ROW = 16
"""Nearest stored rows that each query row proposes."""

PROPOSING_ROWS = 512
"""Query rows, evenly spread, that propose at most; scoring uses all of them."""

MAX_CANDIDATES = 256
"""Alignments that are scored, besides their neighbours."""

NEIGHBOURS = 2
"""Offsets on either side of a candidate that are scored too, in query hops."""

MAX_SPEEDS_FOUND = 3
"""Best tracks for which other speeds are tried."""

MAX_STEPS = 8
"""Offsets that the refinement may climb beyond those scored, in query hops."""


def search_aligned(
    queries: NDArray[np.float32],
    index: Index,
    table: TrackTable,
    *,
    query_hop_s: float,
    ratio: int = 1,
    beyond: int = 0,
) -> list[Alignment]:
    """Find the best alignment of the query with every track that any of its rows resembles.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
        The query's fingerprints, unit vectors; rows of zeros are silent.
    index : Index
    table : TrackTable
    query_hop_s : float
        Distance of two query rows, in seconds.
    ratio : int
        Reference hop divided by query hop.
    beyond : int
        So many first and last rows reach beyond the query, see `earprint.encoder.Fingerprints`.

    Returns
    -------
    list of Alignment
        At most one per track, best first; the score is that of the best whole offset.
        Empty if the query is silent or nothing resembles it.
    """
    query = QueryRows.split(queries, ratio, row_weights(queries, query_hop_s, beyond), query_hop_s)
    tracks, offsets = _propose(queries, query.weights, index, table, ratio)
    scores = np.empty(len(tracks))
    for begin, end in _runs(tracks, offsets):
        scores[begin:end] = _scores(query, index, table, int(tracks[begin]), offsets[begin:end])

    alignments = []
    for track in np.unique(tracks[~np.isnan(scores)]):
        mine = tracks == track
        best = int(offsets[mine][np.nanargmax(scores[mine])])
        offset, score = _refine(query, index, table, int(track), best)
        alignments.append((score, int(track), offset))
    alignments.sort(key=lambda alignment: -alignment[0])
    duration_s = (len(queries) - 2 * beyond) * query_hop_s + WINDOW_S
    speeds_found = MAX_SPEEDS_FOUND if SHORTEST_S <= duration_s <= LONGEST_S else 0
    answers = []
    for number, (score, track, offset) in enumerate(alignments):
        speed = 1.0
        if number < speeds_found:
            found = find_speed(query, index, table, track, offset)
            if found is not None:
                score, offset, speed = found.score, found.offset, found.speed
        answers.append(Alignment(track, (offset + speed * beyond) * query_hop_s, score, speed))
    return sorted(answers, key=lambda alignment: -alignment.score)


def _propose(
    queries: NDArray[np.float32], weights: NDArray[np.float64], index: Index, table: TrackTable, ratio: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tracks and offsets to score, sorted, without repetition, shape (m,) each."""
    places = np.flatnonzero(weights)
    if len(places) > PROPOSING_ROWS:
        spread = np.linspace(0, len(places) - 1, PROPOSING_ROWS).round().astype(np.int64)
        places = places[spread]
    scores, rows = index.search(queries[places], HITS_PER_ROW)
    track, place = table.locate(rows)
    hit = track >= 0
    if not hit.any():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    offset = (place * ratio - places[:, None])[hit]

    # One whole number per alignment; the margin keeps neighbours of different tracks apart.
    low = int(offset.min()) - NEIGHBOURS
    span = int(offset.max()) - low + NEIGHBOURS + 1
    keys, which = np.unique(track[hit] * span + (offset - low), return_inverse=True)
    votes = np.bincount(which, weights=(scores * weights[places, None])[hit])
    pooled = votes.copy()
    adjacent = np.flatnonzero(np.diff(keys) == 1)
    pooled[adjacent] += votes[adjacent + 1]
    pooled[adjacent + 1] += votes[adjacent]

    kept = keys[np.argsort(-pooled, kind="stable")[:MAX_CANDIDATES]]
    around = np.unique(kept[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1))
    return around // span, around % span + low


def _runs(tracks: NDArray[np.int64], offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of consecutive offsets in one track; they share the stored rows that are read."""
    if not len(tracks):
        return []
    cuts = np.flatnonzero((np.diff(tracks) != 0) | (np.diff(offsets) != 1)) + 1
    bounds = [0, *cuts.tolist(), len(tracks)]
    return list(pairwise(bounds))


def _scores(
    query: QueryRows,
    index: Index,
    table: TrackTable,
    track: int,
    offsets: NDArray[np.int64],
    *,
    common: bool = False,
) -> NDArray[np.float64]:
    """Score at each of some nearby offsets in one track; NaN where too little is inside.

    With `common`, it is the mean cosine over the query rows that are inside at every offset, however few.
    """
    ratio = query.ratio
    n_rows = int(table.n_rows[track])
    n_query, n_whole = len(query.whole) - 1, int(query.whole[-1])
    # A part's rows never outnumber rows[0]; a little more than is needed may be read at the end.
    reach = 0 if common else query.reach
    low = min(n_rows, max(0, int(offsets.min()) // ratio - reach))
    high = max(low, min(n_rows, int(offsets.max()) // ratio + 1 + len(query.rows[0]) + reach))
    first = int(table.first_row[track])
    stored = index.vectors(first + low, first + high)
    summed = np.concatenate(([0.0], np.cumsum(stored @ query.mean, dtype=np.float64)))

    scores = np.full(len(offsets), np.nan)
    for position, offset in enumerate(offsets.tolist()):
        part = -offset % ratio
        rows, weight = query.rows[part], query.weight[part]
        shift = (offset + part) // ratio  # stored row under the part's first row
        begin, end = max(0, -shift), min(len(rows), n_rows - shift)
        if common:  # of query rows i = part + m * ratio, those with 0 <= offset + i < n_rows * ratio
            begin = max(begin, -((int(offsets.min()) + part) // ratio))
            end = min(end, (n_rows * ratio - 1 - int(offsets.max()) - part) // ratio + 1)
        if end <= begin:
            continue
        weighs = float(weight[end] - weight[begin])
        if not weighs:
            continue
        first_inside = min(max(0, -offset), n_query)
        inside = int(query.whole[max(first_inside, min(n_query, n_rows * ratio - offset))])
        inside -= int(query.whole[first_inside])
        if not common and (not inside or 2 * inside < n_whole):
            continue
        under = stored[begin + shift - low : end + shift - low]
        agreement = float(np.dot(rows[begin:end].ravel(), under.ravel()))
        if common:
            scores[position] = agreement / weighs
            continue
        nearby = slice(max(0, begin + shift - reach - low), min(len(stored), end + shift + reach - low))
        background = (summed[nearby.stop] - summed[nearby.start]) / (nearby.stop - nearby.start)
        scores[position] = contrast(agreement / weighs * np.sqrt(inside / n_whole), background)
    return scores


def _refine(
    query: QueryRows, index: Index, table: TrackTable, track: int, offset: int
) -> tuple[float, float]:
    """Climb to the best offset nearby; that offset, with its fraction of a hop, and its score.

    Neighbours are compared over the same query rows: at the ends of a track, a row that is inside
    at one offset only would tip the balance.
    """
    steps = np.arange(-1, 2)
    for _ in range(MAX_STEPS):
        around = _scores(query, index, table, track, offset + steps, common=True)
        step = int(np.argmax(np.nan_to_num(around, nan=-1.0))) - 1
        beyond = _scores(query, index, table, track, np.array([offset + step]))[0]
        if not around[step + 1] > around[1] or np.isnan(beyond):
            break
        offset += step
    score = float(_scores(query, index, table, track, np.array([offset]))[0])
    return offset + peak_of_parabola(*around.tolist()), score
