"""The default method: lay the whole query over the track and measure how well they agree.

1. Propose. The nearest stored rows of each query row each propose an alignment (track, offset), see
   `earprint.matching.proposals`. A few rows of the query do so first; where they lead to an answer beyond
   doubt, the others need not search. Offsets count query hops: at offset o, query row i falls on time
   ``(o + i) * query_hop_s`` of the track, and the stored rows are the times with ``o + i`` divisible by
   ``ratio``. The alignments with most votes (sums of similarities, neighbouring offsets counted
   together) stay.
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
4. Refine. Per track the best alignment stays, and climbs to the best mean cosine nearby; the parabola
   through it and its two neighbours' puts the start between grid points. Of the best track all other places
   are compared too, since what it repeats is nearly as near to the query everywhere. Of the few best tracks
   it is then asked whether the query fits better at another speed, see `earprint.matching.speed`.

A score of 1 means identical fingerprints throughout, about 0 means unrelated ones. An excerpt may
begin before the track or run past its end, and scores less for what lies outside.
"""

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.proposals import Votes, everywhere, rounds
from earprint.matching.rows import WINDOW_S, QueryRows, peak_of_parabola, row_weights
from earprint.matching.scoring import Stretches, cosines_around, rows_under, scores
from earprint.matching.speed import LONGEST_S, SHORTEST_S, find_speeds
from earprint.matching.tracks import Alignment, TrackTable

MAX_CANDIDATES = 256
"""Alignments that are scored, besides their neighbours."""

FIRST_CANDIDATES = 32
"""The same after the first round of search."""

SETTLED = 0.7
"""Score from which the best alignment settles the question after the first round."""

MOST_PRODUCTS = 10_000_000
"""Products of query rows and stored rows up to which all places of the best track are compared: 40 MB. A
question of 5 s asks up to seven hours, and one of a minute, which says well where it is, half an hour."""

PLACES = 32
"""Of these, alignments that are scored, besides their neighbours."""

MAX_SPEEDS_FOUND = 3
"""Best tracks for which other speeds are tried."""

CHUNK_ROWS = 16_384
"""Stored rows read at a time, besides those of the last track: 8 MB of 128-d float32."""

MAX_STEPS = 8
"""Offsets that the refinement may climb beyond those scored, in query hops."""

_Found = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Tracks, best first, their best offsets with fractions of a hop, and the scores there, shape (m,) each."""


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
    tracks, starts, scored = _in_rounds(queries, query, index, table)
    if len(tracks) and len(queries) * table.n_rows[tracks[0]] <= MOST_PRODUCTS:
        offsets = everywhere(query, index, table, int(tracks[0]), PLACES)
        _, start, score = _best_of_tracks(query, index, table, np.full(len(offsets), tracks[0]), offsets)
        if len(score) and score[0] > scored[0]:
            starts[0], scored[0] = start[0], score[0]
    speeds = np.ones(len(tracks))
    duration_s = (len(queries) - 2 * beyond) * query_hop_s + WINDOW_S
    if len(tracks) and SHORTEST_S <= duration_s <= LONGEST_S:
        found = find_speeds(query, index, table, tracks[:MAX_SPEEDS_FOUND], starts[:MAX_SPEEDS_FOUND])
        for number, better in enumerate(found):
            if better is not None:
                starts[number], speeds[number], scored[number] = better.offset, better.speed, better.score
    begins_s = (starts + speeds * beyond) * query_hop_s
    fields = zip(tracks.tolist(), begins_s.tolist(), scored.tolist(), speeds.tolist(), strict=True)
    return sorted((Alignment(*each) for each in fields), key=lambda alignment: -alignment.score)


def _in_rounds(queries: NDArray[np.float32], query: QueryRows, index: Index, table: TrackTable) -> _Found:
    """Propose and score, with a few rows of the query first; with the others if that settles nothing."""
    votes = Votes.none()
    found: _Found = np.empty(0, np.int64), np.empty(0), np.empty(0)
    searching = rounds(query.weights, index.proposing_rows)
    for places in searching:
        votes = votes.cast(queries, places, query.weights, index, table, query.ratio)
        tracks, offsets = votes.best(MAX_CANDIDATES if places is searching[-1] else FIRST_CANDIDATES)
        if len(tracks):
            found = _best_of_tracks(query, index, table, tracks, offsets)
        if len(found[2]) and found[2][0] >= SETTLED:
            break
    return found


def _best_of_tracks(
    query: QueryRows, index: Index, table: TrackTable, tracks: NDArray[np.int64], offsets: NDArray[np.int64]
) -> _Found:
    """Score what was proposed; the tracks, best first, each with its refined offset and the score there."""
    low, high = rows_under(query, table, tracks, offsets - MAX_STEPS, offsets + MAX_STEPS)
    # Tracks are taken some at a time, by the stored rows that each alignment needs besides those before it.
    needed = np.cumsum(np.minimum(high - low, np.diff(table.first_row[tracks] + high, prepend=0)))
    begins = np.flatnonzero(np.diff(tracks, prepend=-1))
    cuts = begins[1:][np.diff(needed[begins] // CHUNK_ROWS) > 0]
    parts = []
    for some in np.split(np.arange(len(tracks)), cuts):
        stretches = Stretches.read(query, index, table, tracks[some], low[some], high[some])
        scored = scores(query, stretches, np.arange(len(some)), offsets[some])
        inside = np.flatnonzero(~np.isnan(scored))
        inside = inside[np.lexsort((-scored[inside], tracks[some][inside]))]
        found, first = np.unique(tracks[some][inside], return_index=True)
        best = inside[first]
        parts.append((found, *_refine(query, stretches, best, offsets[some][best], scored[best])))
    found = np.concatenate([part[0] for part in parts])
    starts, scored = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    order = np.argsort(-scored, kind="stable")
    return found[order], starts[order], scored[order]


def _refine(
    query: QueryRows,
    stretches: Stretches,
    which: NDArray[np.int64],
    offsets: NDArray[np.int64],
    scored: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Climb from scored offsets to the best nearby; these, with fractions of a hop, and their scores."""
    offsets, scored = offsets.copy(), scored.copy()
    around = np.empty((len(which), 3))
    climbing = np.arange(len(which))
    for _ in range(MAX_STEPS):
        around[climbing] = cosines_around(query, stretches, which[climbing], offsets[climbing])
        step = np.argmax(np.nan_to_num(around[climbing], nan=-1.0), axis=1) - 1
        higher = around[climbing, step + 1] > around[climbing, 1]
        climbing, step = climbing[higher], step[higher]
        there = scores(query, stretches, which[climbing], offsets[climbing] + step)
        inside = ~np.isnan(there)
        climbing = climbing[inside]
        if not len(climbing):
            break
        offsets[climbing] += step[inside]
        scored[climbing] = there[inside]
    return offsets + np.array([peak_of_parabola(*values) for values in around.tolist()]), scored
