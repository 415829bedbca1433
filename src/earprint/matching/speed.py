"""A query that is played a little faster or slower than the recording.

Rows of such a query drift against the stored ones: at 3 % by 75 ms from the middle of five seconds to either
end. Starting from the best alignment at the recording's own speed, a few others are tried about the
middle of the query, where they agree: query row i falls on time ``offset + speed * i`` (in query hops), and
each stored row is compared with the query row nearest to it. Another speed must score clearly better to be
believed. A score means what it means in `earprint.matching.aligned`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.rows import QueryRows, contrast, peak_of_parabola
from earprint.matching.tracks import TrackTable

SPEEDS = tuple(1 + percent / 100 for percent in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5))
"""Speeds that are tried: 1.03 is a query that runs 3 % faster than the recording."""

GAIN = 0.03
"""By how much the score must grow for another speed to be believed; chosen on held-out training sources."""

SHORTEST_S = 1.8
"""Shorter queries drift by less than a row and are left alone, in seconds."""

LONGEST_S = 20.0
"""Longer ones drift so far that the speeds tried are too coarse for them, in seconds."""

NEARBY = 2
"""Offsets on either side that are tried at each speed, in query hops."""


@dataclass(frozen=True)
class Stretched:
    """An alignment at some speed: the offset of query row 0 in query hops, with its fraction."""

    offset: float
    speed: float
    score: float


def find_speed(
    query: QueryRows, index: Index, table: TrackTable, track: int, offset: float
) -> Stretched | None:
    """Find the speed at which a query fits a track better than at its own.

    Parameters
    ----------
    query : QueryRows
    index : Index
    table : TrackTable
    track : int
    offset : float
        Of the best alignment at the recording's own speed, in query hops.

    Returns
    -------
    Stretched or None
        None if no other speed is clearly better.
    """
    n, n_rows, first = len(query.weights), int(table.n_rows[track]), int(table.first_row[track])
    drift = int(n * (max(SPEEDS) - 1)) + NEARBY
    low = int(np.clip((offset - drift) // query.ratio - query.reach, 0, n_rows))
    high = int(np.clip((offset + n + drift) // query.ratio + query.reach + 1, low, n_rows))
    stored = index.vectors(first + low, first + high)
    times = np.arange(low, high) * query.ratio

    def score(start: float, speed: float) -> float:
        return _score(query, stored, times, n_rows, start, speed)

    nearby = range(-NEARBY, NEARBY + 1)
    tried = [
        (score(start, speed), start, speed)
        for speed in SPEEDS
        for start in (offset + (1 - speed) * n / 2 + step for step in nearby)
    ]
    best, start, speed = max(tried)
    if not best > score(offset, 1.0) + GAIN:
        return None
    fraction = peak_of_parabola(score(start - 1, speed), best, score(start + 1, speed))
    return Stretched(start + fraction, speed, best)


def _score(
    query: QueryRows,
    stored: NDArray[np.float32],
    times: NDArray[np.int64],
    n_rows: int,
    offset: float,
    speed: float,
) -> float:
    """Score of one offset at one speed; -1 where too little is inside."""
    n = len(query.weights)
    nearest = np.rint((times - offset) / speed).astype(np.int64)
    under = np.flatnonzero((nearest >= 0) & (nearest < n))
    weighs = float(query.weights[nearest[under]].sum())
    ends = np.rint(np.array([-offset, n_rows * query.ratio - offset]) / speed).astype(np.int64)
    begin, end = np.clip(ends, 0, n)
    inside, whole = int(query.whole[end] - query.whole[begin]), int(query.whole[-1])
    if not weighs or not inside or 2 * inside < whole:
        return -1.0
    agreement = float(np.einsum("nd,nd->", query.weighted[nearest[under]], stored[under]))
    around = stored[max(0, under[0] - query.reach) : under[-1] + 1 + query.reach]
    background = float((around @ query.mean).mean())
    return contrast(agreement / weighs * float(np.sqrt(inside / whole)), background)
