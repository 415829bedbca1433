"""The default method: lay the whole query over the track and measure how well they agree.

1. Propose. The nearest stored rows of each query row each propose an alignment (track, offset), see
   `earprint.matching.candidates`. A few rows of the query do so first; where they lead to an answer beyond
   doubt, the others need not search. Offsets count query hops: at offset o, query row i falls on time
   ``(o + i) * query_hop_s`` of the track, and the stored rows are the times with ``o + i`` divisible by
   ``ratio``. The alignments with most votes (sums of similarities, neighbouring offsets counted
   together) stay.
2. Compare. Each of them and its neighbours get the mean cosine over the query rows that are not
   silent, have a stored row, and fall inside the track; at least half of the query must fall
   inside. This is where a query of several seconds beats its rows one by one: chance
   agreements average out. They average out less over fewer rows, as one over the square root of
   their number, so the mean counts times the square root of the share that falls inside: without
   that, the ends of tracks answer for queries that nothing resembles. Rows whose windows reach
   beyond the query's ends heard only a part of what the stored row heard, and count for less.
3. Refine. Per track the best alignment stays, and climbs to the best mean cosine nearby; the parabola
   through it and its two neighbours' puts the start between grid points. Of the best track all other places
   are compared too, since what it repeats is nearly as near to the query everywhere. Of the few best tracks
   it is then asked whether the query fits better at another speed, see `earprint.matching.tempo`.
4. Set against what any music would reach. Some queries resemble much, some little: a score is what
   agrees beyond the query's level, see `earprint.matching.score_normalisation`.

A score of 1 means identical fingerprints throughout, 0 or less that the query resembles the track no more
than it resembles sounds that the model knows anyway. An excerpt may begin before the track or run past its
end, and scores less for what lies outside.
"""

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.candidates import Votes, everywhere, rounds
from earprint.matching.query_rows import WINDOW_S, QueryRows, peak_of_parabola, row_weights
from earprint.matching.score_normalisation import above, level_of
from earprint.matching.scoring import Stretches, agreements, cosines_around, rows_under
from earprint.matching.tempo import LONGEST_S, SHORTEST_S, find_speeds
from earprint.matching.tracks import Alignment, TrackTable

MAX_CANDIDATES = 256
"""Alignments that are scored, besides their neighbours."""

FIRST_CANDIDATES = 32
"""The same after the first round of search."""

SETTLED = 0.5
"""Score from which the best alignment settles the question after the first round."""

SETTLED_COSINE = 0.7
"""Mean cosine that it must reach besides: where no sounds are known, a score says less."""

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
"""Tracks, best first, their best offsets with fractions of a hop, and the agreement there, (m,) each."""


def search_aligned(
    queries: NDArray[np.float32],
    index: Index,
    table: TrackTable,
    *,
    query_hop_s: float,
    ratio: int = 1,
    beyond: int = 0,
    sounds: NDArray[np.float32] | None = None,
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
        So many first and last rows reach beyond the query, see `earprint.encoders.Fingerprints`.
    sounds : ndarray of float32, shape (m, dim), optional
        Fingerprints that the query's level is taken from, see `earprint.matching.score_normalisation`; by default it is 0.

    Returns
    -------
    list of Alignment
        At most one per track, best first; the score is that of the best whole offset.
        Empty if the query is silent or nothing resembles it.
    """
    query = QueryRows.split(queries, ratio, row_weights(queries, query_hop_s, beyond))
    level = level_of(queries, query.weights, sounds)
    tracks, starts, agreed = _in_rounds(queries, query, index, table, level)
    if len(tracks) and len(queries) * table.n_rows[tracks[0]] <= MOST_PRODUCTS:
        offsets = everywhere(query, index, table, int(tracks[0]), PLACES)
        _, start, best = _best_of_tracks(query, index, table, np.full(len(offsets), tracks[0]), offsets)
        if len(best) and best[0] > agreed[0]:
            starts[0], agreed[0] = start[0], best[0]
    speeds = np.ones(len(tracks))
    duration_s = (len(queries) - 2 * beyond) * query_hop_s + WINDOW_S
    if len(tracks) and SHORTEST_S <= duration_s <= LONGEST_S:
        found = find_speeds(query, index, table, tracks[:MAX_SPEEDS_FOUND], starts[:MAX_SPEEDS_FOUND])
        for number, better in enumerate(found):
            if better is not None:
                starts[number], speeds[number], agreed[number] = better.offset, better.speed, better.agreement
    # At another speed it is the middles of windows that fall together, not where they begin.
    begins_s = (starts + speeds * beyond) * query_hop_s + (1 - speeds) * WINDOW_S / 2
    scores = above(agreed, level)
    fields = zip(tracks.tolist(), begins_s.tolist(), scores.tolist(), speeds.tolist(), strict=True)
    return sorted((Alignment(*each) for each in fields), key=lambda alignment: -alignment.score)


def _in_rounds(
    queries: NDArray[np.float32], query: QueryRows, index: Index, table: TrackTable, level: float
) -> _Found:
    """Propose and score, with a few rows of the query first; with the others if that settles nothing."""
    votes = Votes.none()
    found: _Found = np.empty(0, np.int64), np.empty(0), np.empty(0)
    searching = rounds(query.weights, index.max_query_rows)
    for places in searching:
        votes = votes.cast(queries, places, query.weights, index, table, query.ratio)
        tracks, offsets = votes.best(MAX_CANDIDATES if places is searching[-1] else FIRST_CANDIDATES)
        if len(tracks):
            found = _best_of_tracks(query, index, table, tracks, offsets)
        best = found[2].max(initial=0.0)
        if best >= SETTLED_COSINE and above(best, level) >= SETTLED:
            break
    return found


def _best_of_tracks(
    query: QueryRows, index: Index, table: TrackTable, tracks: NDArray[np.int64], offsets: NDArray[np.int64]
) -> _Found:
    """Compare what was proposed; tracks, best first, each with its refined offset and the agreement there."""
    low, high = rows_under(query, table, tracks, offsets - MAX_STEPS, offsets + MAX_STEPS)
    # Tracks are taken some at a time, by the stored rows that each alignment needs besides those before it.
    needed = np.cumsum(np.minimum(high - low, np.diff(table.first_row[tracks] + high, prepend=0)))
    begins = np.flatnonzero(np.diff(tracks, prepend=-1))
    cuts = begins[1:][np.diff(needed[begins] // CHUNK_ROWS) > 0]
    parts = []
    for some in np.split(np.arange(len(tracks)), cuts):
        stretches = Stretches.read(index, table, tracks[some], low[some], high[some])
        agreed = agreements(query, stretches, np.arange(len(some)), offsets[some])
        inside = np.flatnonzero(~np.isnan(agreed))
        inside = inside[np.lexsort((-agreed[inside], tracks[some][inside]))]
        found, first = np.unique(tracks[some][inside], return_index=True)
        best = inside[first]
        parts.append((found, *_refine(query, stretches, best, offsets[some][best], agreed[best])))
    found = np.concatenate([part[0] for part in parts])
    starts, agreed = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    order = np.argsort(-agreed, kind="stable")
    return found[order], starts[order], agreed[order]


def _refine(
    query: QueryRows,
    stretches: Stretches,
    which: NDArray[np.int64],
    offsets: NDArray[np.int64],
    agreed: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Climb from offsets to the best nearby; these, with fractions of a hop, and how well they agree."""
    offsets, agreed = offsets.copy(), agreed.copy()
    around = np.empty((len(which), 3))
    climbing = np.arange(len(which))
    for _ in range(MAX_STEPS):
        around[climbing] = cosines_around(query, stretches, which[climbing], offsets[climbing])
        step = np.argmax(np.nan_to_num(around[climbing], nan=-1.0), axis=1) - 1
        higher = around[climbing, step + 1] > around[climbing, 1]
        climbing, step = climbing[higher], step[higher]
        there = agreements(query, stretches, which[climbing], offsets[climbing] + step)
        inside = ~np.isnan(there)
        climbing = climbing[inside]
        if not len(climbing):
            break
        offsets[climbing] += step[inside]
        agreed[climbing] = there[inside]
    return offsets + np.array([peak_of_parabola(*values) for values in around.tolist()]), agreed
