"""The default method: compare the whole query with tracks at candidate alignments.

An alignment is a track and an offset. Offsets count query hops: at offset o, query row i lies at time
``(o + i) * query_hop_s`` of the track. The reference hop is ``ratio`` query hops, so row i meets a stored row
where ``o + i`` is divisible by ``ratio``.

1. Weight the query rows. A silent row has weight 0, and a row whose window lies within the query has weight
   1. A row whose window extends past an end of the query has a weight between 0 and 1. See
   `earprint.matching.query_rows`.
2. Collect hits and vote. The index returns the nearest stored rows (hits) of query rows. Each hit votes for
   the alignment at which the two rows meet, and the alignments with most votes become candidates. See
   `earprint.matching.candidates`.
3. Compute the similarity of each candidate. It is ``s = mean cosine * sqrt(share)``. The mean cosine is taken
   over the pairs of a query row and a stored row, weighted by the query rows' weights. ``share`` is the share
   of the query inside the track, and must be at least one half. The factor is there because a mean over fewer
   rows varies more by chance. See `earprint.matching.scoring`.
4. Refine the offset. The best candidate of each track moves by single hops while its mean cosine grows. A
   parabola through the mean cosines at the offset and at its two neighbours gives the fraction of a hop.
5. Stop early if possible. An index may limit the number of query rows to search. If so, a third of them is
   searched first, and the others only if steps 2 to 4 give no confident alignment. Their votes are added, and
   steps 2 to 4 are repeated.
6. Compare all offsets of the best track. A track that repeats itself has many similar offsets, and the votes
   may miss the right one. So the best offsets of the whole track become candidates too, and steps 3 and 4 are
   repeated with them.
7. Try other playback speeds. This is done for the few best tracks. See `earprint.matching.tempo`.
8. Normalise the score. ``score = (s - cohort level) / (1 - cohort level)``. The cohort level is the query's
   mean cosine with the most similar vectors of a fixed set, the cohort. See
   `earprint.matching.score_normalisation`.

A score of 1 means that all fingerprints are identical. A score of 0 means that the query is as similar to the
cohort as to the track. A query may begin before the track or end after it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.candidates import Votes, best_offsets_of_track, search_rounds
from earprint.matching.query_rows import WINDOW_S, QueryRows, peak_of_parabola, row_weights
from earprint.matching.score_normalisation import cohort_level, normalise_scores
from earprint.matching.scoring import TrackSpans, alignment_similarities, mean_cosines_around, rows_needed
from earprint.matching.tempo import MAX_QUERY_S, MIN_QUERY_S, find_playback_speeds
from earprint.matching.tracks import Alignment, TrackTable

MAX_CANDIDATES = 256
"""Number of candidates after the last search round, without their neighbours."""

MAX_CANDIDATES_FIRST_ROUND = 32
"""Number of candidates after the first of two search rounds, without their neighbours."""

CONFIDENT_SCORE = 0.5
"""Lowest score at which the first search round is enough."""

CONFIDENT_SIMILARITY = 0.7
"""Lowest similarity at which the first search round is enough. It matters if there is no cohort."""

MAX_CANDIDATES_FULL_TRACK = 32
"""Number of candidates among all offsets of the best track, without their neighbours."""

MAX_REFINEMENT_HOPS = 8
"""Largest change of an offset by refinement, in query hops."""


@dataclass(frozen=True)
class SearchLimits:
    """Limits on the time and memory of a search.

    Attributes
    ----------
    max_full_track_products : int
        All offsets of the best track are compared if this takes at most so many inner products. The default
        takes 40 MB.
    max_speed_tracks : int
        Number of best tracks for which other playback speeds are tried.
    chunk_rows : int
        Number of stored rows read at a time, in addition to those of one track. The default is 8 MB of 128-d
        float32.
    """

    max_full_track_products: int = 10_000_000
    max_speed_tracks: int = 3
    chunk_rows: int = 16_384


DEFAULT_LIMITS = SearchLimits()


class _BestAlignments(NamedTuple):
    """The best alignment with each track, best first, shape (m,) each."""

    tracks: NDArray[np.int64]
    offsets: NDArray[np.float64]
    """In query hops, with fractions."""
    similarities: NDArray[np.float64]
    """At the whole offsets."""


def search_aligned(
    queries: NDArray[np.float32],
    index: Index,
    table: TrackTable,
    *,
    query_hop_s: float,
    ratio: int = 1,
    margin_rows: int = 0,
    cohort: NDArray[np.float32] | None = None,
    limits: SearchLimits = DEFAULT_LIMITS,
) -> list[Alignment]:
    """Find the best alignment of a query with each track that has a candidate.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
        The query's fingerprints: unit vectors, or zeros for silent rows.
    index : Index
    table : TrackTable
    query_hop_s : float
        Hop of the query, in seconds.
    ratio : int
        Reference hop divided by query hop.
    margin_rows : int
        Number of rows at either end whose windows extend past the query, see
        `earprint.encoders.Fingerprints`.
    cohort : ndarray of float32, shape (m, dim), optional
        Unit vectors, see `earprint.matching.score_normalisation`. Without them the cohort level is 0.
    limits : SearchLimits

    Returns
    -------
    list of Alignment
        At most one per track, best first. Empty if all rows are silent or no row has a hit.
    """
    query = QueryRows.from_fingerprints(queries, ratio, row_weights(queries, query_hop_s, margin_rows))
    level = cohort_level(queries, query.weights, cohort)
    tracks, offsets, similarities = _search_in_rounds(queries, query, index, table, level, limits.chunk_rows)
    if len(tracks) and len(queries) * table.n_rows[tracks[0]] <= limits.max_full_track_products:
        candidates = best_offsets_of_track(query, index, table, int(tracks[0]), MAX_CANDIDATES_FULL_TRACK)
        same_track = np.full(len(candidates), tracks[0])
        best = _best_per_track(query, index, table, same_track, candidates, limits.chunk_rows)
        if len(best.tracks) and best.similarities[0] > similarities[0]:
            offsets[0], similarities[0] = best.offsets[0], best.similarities[0]
    speeds = np.ones(len(tracks))
    duration_s = (len(queries) - 2 * margin_rows) * query_hop_s + WINDOW_S
    if len(tracks) and MIN_QUERY_S <= duration_s <= MAX_QUERY_S:
        n_tried = limits.max_speed_tracks
        found = find_playback_speeds(query, index, table, tracks[:n_tried], offsets[:n_tried])
        for i, better in enumerate(found):
            if better is not None:
                offsets[i], speeds[i], similarities[i] = better.offset, better.speed, better.similarity
    # At another speed the centres of two windows coincide, not their starts.
    starts_s = (offsets + speeds * margin_rows) * query_hop_s + (1 - speeds) * WINDOW_S / 2
    scores = normalise_scores(similarities, level)
    fields = zip(tracks.tolist(), starts_s.tolist(), scores.tolist(), speeds.tolist(), strict=True)
    return sorted((Alignment(*each, level) for each in fields), key=lambda alignment: -alignment.score)


def _search_in_rounds(
    queries: NDArray[np.float32],
    query: QueryRows,
    index: Index,
    table: TrackTable,
    level: float,
    chunk_rows: int,
) -> _BestAlignments:
    """Search, vote and score in one or two rounds. A confident alignment ends the search."""
    votes = Votes.empty()
    found = _BestAlignments(np.empty(0, np.int64), np.empty(0), np.empty(0))
    rounds = search_rounds(query.weights, index.max_query_rows)
    for positions in rounds:
        votes = votes.with_hits(queries, positions, query.weights, index, table, query.ratio)
        last = positions is rounds[-1]
        tracks, offsets = votes.candidates(MAX_CANDIDATES if last else MAX_CANDIDATES_FIRST_ROUND)
        if len(tracks):
            found = _best_per_track(query, index, table, tracks, offsets, chunk_rows)
        best = found.similarities.max(initial=0.0)
        if best >= CONFIDENT_SIMILARITY and normalise_scores(best, level) >= CONFIDENT_SCORE:
            break
    return found


def _best_per_track(
    query: QueryRows,
    index: Index,
    table: TrackTable,
    tracks: NDArray[np.int64],
    offsets: NDArray[np.int64],
    chunk_rows: int,
) -> _BestAlignments:
    """Score candidates, sorted by track and offset, and refine the best one of each track."""
    low, high = rows_needed(
        query, table, tracks, offsets - MAX_REFINEMENT_HOPS, offsets + MAX_REFINEMENT_HOPS
    )
    # Chunks end between tracks. Each candidate counts for the stored rows that no candidate before it reads.
    new_rows = np.cumsum(np.minimum(high - low, np.diff(table.first_row[tracks] + high, prepend=0)))
    track_starts = np.flatnonzero(np.diff(tracks, prepend=-1))
    chunk_starts = track_starts[1:][np.diff(new_rows[track_starts] // chunk_rows) > 0]
    parts = []
    for chunk in np.split(np.arange(len(tracks)), chunk_starts):
        spans = TrackSpans.read(index, table, tracks[chunk], low[chunk], high[chunk])
        similarities = alignment_similarities(query, spans, np.arange(len(chunk)), offsets[chunk])
        scored = np.flatnonzero(~np.isnan(similarities))
        scored = scored[np.lexsort((-similarities[scored], tracks[chunk][scored]))]
        found, first = np.unique(tracks[chunk][scored], return_index=True)
        best = scored[first]
        parts.append((found, *_refine(query, spans, best, offsets[chunk][best], similarities[best])))
    all_tracks = np.concatenate([part[0] for part in parts])
    refined, similarities = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    order = np.argsort(-similarities, kind="stable")
    return _BestAlignments(all_tracks[order], refined[order], similarities[order])


def _refine(
    query: QueryRows,
    spans: TrackSpans,
    which: NDArray[np.int64],
    offsets: NDArray[np.int64],
    similarities: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move offsets to the nearest maximum of the mean cosine.

    Returns the new offsets, with fractions of a hop, and the similarities at the whole offsets.
    """
    offsets, similarities = offsets.copy(), similarities.copy()
    around = np.empty((len(which), 3))
    moving = np.arange(len(which))
    for _ in range(MAX_REFINEMENT_HOPS):
        around[moving] = mean_cosines_around(query, spans, which[moving], offsets[moving])
        step = np.argmax(np.nan_to_num(around[moving], nan=-1.0), axis=1) - 1
        higher = around[moving, step + 1] > around[moving, 1]
        moving, step = moving[higher], step[higher]
        moved = alignment_similarities(query, spans, which[moving], offsets[moving] + step)
        scored = ~np.isnan(moved)
        moving = moving[scored]
        if not len(moving):
            break
        offsets[moving] += step[scored]
        similarities[moving] = moved[scored]
    return offsets + np.array([peak_of_parabola(*values) for values in around.tolist()]), similarities
