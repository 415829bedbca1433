"""Find the playback speed of a query that is played faster or slower than the recording.

Tempo and pitch change together. The rows of such a query drift away from the stored rows:
at 3 % by 75 ms from the middle of five seconds to either end.

1. Compute the similarity matrix of the query and the stored rows near the best alignment.
2. For each of `SPEEDS`, and for a few offsets, compute the similarity along a line through the matrix. Query
   row i lies at time ``offset + speed * i`` of the track, in query hops. Each stored row is paired with the
   query row nearest to it. All lines meet the best alignment at about the middle of the query.
3. Accept the best line if it is clearly better than the line of speed 1.
4. Find the fraction of a hop with a parabola, as in `earprint.matching.aligned`.

The similarity is defined as in `earprint.matching.scoring`. A row describes a window. At another speed the
centres of the windows of a query row and a stored row coincide, and their starts do not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.query_rows import QueryRows, peak_of_parabola
from earprint.matching.scoring import TrackSpans
from earprint.matching.tracks import TrackTable

SPEEDS = tuple(1 + percent / 100 for percent in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5))
"""Playback speeds that are tried. At 1.03 the query is played 3 % faster than the recording."""

MIN_RELATIVE_GAIN = 0.045
"""Smallest gain in similarity that another speed needs, as a share of ``1 - similarity`` at speed 1. A noisy
query has a lower similarity and gains more by chance. Chosen on validation data."""

MIN_GAIN = 0.005
"""Smallest gain in similarity that another speed needs in any case. It is above rounding errors."""

MIN_QUERY_S = 1.8
"""Length of the shortest query for which other speeds are tried, in seconds. Shorter ones drift by under a
row."""

MAX_QUERY_S = 20.0
"""Length of the longest query for which other speeds are tried, in seconds. `SPEEDS` are too coarse for
others."""

OFFSET_STEPS = 2
"""Offsets up to so many query hops before and after are tried at each speed."""


@dataclass(frozen=True)
class SpeedAlignment:
    """An alignment with a track at some playback speed.

    Attributes
    ----------
    offset : float
        Position of query row 0 in the track, in query hops.
    speed : float
    similarity : float
    """

    offset: float
    speed: float
    similarity: float


def find_playback_speeds(
    query: QueryRows,
    index: Index,
    table: TrackTable,
    tracks: NDArray[np.int64],
    offsets: NDArray[np.float64],
) -> list[SpeedAlignment | None]:
    """Find the speed at which a query is clearly more similar to a track than at speed 1, for each track.

    Parameters
    ----------
    query : QueryRows
    index : Index
    table : TrackTable
    tracks : ndarray of int64, shape (m,)
        At least one.
    offsets : ndarray of float64, shape (m,)
        Offset of the best alignment with each track at speed 1, in query hops.

    Returns
    -------
    list of SpeedAlignment or None
        One per track; None if no other speed is clearly better.
    """
    n, n_rows = len(query.weights), table.n_rows[tracks]
    drift = int(n * (max(SPEEDS) - 1)) + OFFSET_STEPS
    low = np.clip((offsets - drift) // query.ratio, 0, n_rows).astype(np.int64)
    high = np.clip((offsets + n + drift) // query.ratio + 1, low, n_rows).astype(np.int64)
    spans = TrackSpans.read(index, table, tracks, low, high)
    return [
        _find_speed(_SimilarityMatrix.of(query, spans, i, slice(low[i], high[i])), offset)
        for i, offset in enumerate(offsets.tolist())
    ]


def _find_speed(matrix: "_SimilarityMatrix", offset: float) -> SpeedAlignment | None:
    """Return the best alignment at another speed if it is clearly better than ``offset`` at speed 1."""
    if not len(matrix.times):
        return None
    steps = np.arange(-OFFSET_STEPS, OFFSET_STEPS + 1)
    speeds = np.repeat(SPEEDS, len(steps))
    offsets = offset + (1 - speeds) * matrix.products.shape[1] / 2 + np.tile(steps, len(SPEEDS))
    similarities = matrix.line_similarities(np.append(offsets, offset), np.append(speeds, 1.0))
    at_speed_1, similarities = similarities[-1], similarities[:-1]
    i = np.lexsort((speeds, offsets, similarities))[-1]
    best, best_offset, speed = float(similarities[i]), float(offsets[i]), float(speeds[i])
    if not best > at_speed_1 + max(MIN_RELATIVE_GAIN * (1 - at_speed_1), MIN_GAIN):
        return None
    neighbours = np.array([best_offset - 1, best_offset + 1])
    before, after = matrix.line_similarities(neighbours, np.array([speed, speed])).tolist()
    return SpeedAlignment(best_offset + peak_of_parabola(before, best, after), speed, best)


@dataclass(frozen=True)
class _SimilarityMatrix:
    """Inner products of the rows of a query and those of a span of a track.

    Attributes
    ----------
    query : QueryRows
    products : ndarray of float32, shape (w, n)
        Inner products of stored rows and weighted query rows.
    times : ndarray of int64, shape (w,)
        Positions of the stored rows in the track, in query hops.
    track_hops : int
        Length of the track, in query hops.
    """

    query: QueryRows
    products: NDArray[np.float32]
    times: NDArray[np.int64]
    track_hops: int

    @classmethod
    def of(cls, query: QueryRows, spans: TrackSpans, which: int, rows: slice) -> "_SimilarityMatrix":
        """Return the matrix of a query and one of the spans, which holds ``rows`` of its track."""
        read = slice(rows.start + spans.shift[which], rows.stop + spans.shift[which])
        return cls(
            query,
            spans.rows[read] @ query.weighted.T,
            np.arange(rows.start, rows.stop) * query.ratio,
            int(spans.n_rows[which]) * query.ratio,
        )

    def line_similarities(
        self, offsets: NDArray[np.float64], speeds: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the similarity along each line, shape (m,); -1 if too little of the query is inside."""
        query, n, w = self.query, len(self.query.weights), len(self.times)
        offsets, speeds = offsets[:, None], speeds[:, None]
        nearest = np.rint((self.times - offsets) / speeds).astype(np.int64)
        paired = (nearest >= 0) & (nearest < n)
        nearest = np.where(paired, nearest, 0)
        weight = np.where(paired, query.weights[nearest], 0.0).sum(axis=1)
        total = np.where(paired, self.products[np.arange(w), nearest], 0.0).sum(axis=1, dtype=np.float64)
        ends = np.rint(np.concatenate((-offsets, self.track_hops - offsets), axis=1) / speeds)
        enters, leaves = np.clip(ends, 0, n).astype(np.int64).T
        share = query.share_inside(enters, leaves)
        scored = (weight > 0) & (share > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(scored, total / weight * np.sqrt(share), -1.0)
