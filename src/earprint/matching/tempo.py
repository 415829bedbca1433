"""A query that is played a little faster or slower than the recording.

Rows of such a query drift against the stored ones: at 3 % by 75 ms from the middle of five seconds to either
end. Starting from the best alignment at the recording's own speed, a few others are tried about the
middle of the query, where they agree: query row i falls on time ``offset + speed * i`` (in query hops), and
each stored row is compared with the query row nearest to it. Another speed must agree clearly better to be
believed. How well is reckoned as in `earprint.matching.aligned`.

Rows tell of windows, and what two windows share at different speeds are their middles. So where a query
begins follows from the middle of its first window: half a window at the query's speed before it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.index.base import Index
from earprint.matching.query_rows import QueryRows, peak_of_parabola
from earprint.matching.scoring import Stretches
from earprint.matching.tracks import TrackTable

SPEEDS = tuple(1 + percent / 100 for percent in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5))
"""Speeds that are tried: 1.03 is a query that runs 3 % faster than the recording."""

GAIN = 0.045
"""Share of what agreement lacks to 1 that another speed must win to be believed: the same drift costs a clear
query little, and chance gives a noisy one more. Chosen on held-out training sources."""

LEAST_GAIN = 0.005
"""What it must win at least: where nothing lacks, rounding gives that much."""

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
    agreement: float


def find_speeds(
    query: QueryRows,
    index: Index,
    table: TrackTable,
    tracks: NDArray[np.int64],
    offsets: NDArray[np.float64],
) -> list[Stretched | None]:
    """Find the speed at which a query fits each of some tracks better than at its own.

    Parameters
    ----------
    query : QueryRows
    index : Index
    table : TrackTable
    tracks : ndarray of int64, shape (m,)
        At least one.
    offsets : ndarray of float64, shape (m,)
        Of the best alignment with each at the recording's own speed, in query hops.

    Returns
    -------
    list of Stretched or None
        None where no other speed is clearly better.
    """
    n, n_rows = len(query.weights), table.n_rows[tracks]
    drift = int(n * (max(SPEEDS) - 1)) + NEARBY
    low = np.clip((offsets - drift) // query.ratio, 0, n_rows).astype(np.int64)
    high = np.clip((offsets + n + drift) // query.ratio + 1, low, n_rows).astype(np.int64)
    stretches = Stretches.read(index, table, tracks, low, high)
    return [
        _find(_Laid.on(query, stretches, number, slice(low[number], high[number])), offset)
        for number, offset in enumerate(offsets.tolist())
    ]


def _find(laid: "_Laid", offset: float) -> Stretched | None:
    """Find the speed at which a query fits a track better than with an offset at its own."""
    if not len(laid.times):
        return None
    steps = np.arange(-NEARBY, NEARBY + 1)
    speeds = np.repeat(SPEEDS, len(steps))
    starts = offset + (1 - speeds) * laid.products.shape[1] / 2 + np.tile(steps, len(SPEEDS))
    tried = laid.agreements(np.append(starts, offset), np.append(speeds, 1.0))
    own, tried = tried[-1], tried[:-1]
    number = np.lexsort((speeds, starts, tried))[-1]
    best, start, speed = float(tried[number]), float(starts[number]), float(speeds[number])
    if not best > own + max(GAIN * (1 - own), LEAST_GAIN):
        return None
    before, after = laid.agreements(np.array([start - 1, start + 1]), np.array([speed, speed])).tolist()
    return Stretched(start + peak_of_parabola(before, best, after), speed, best)


@dataclass(frozen=True)
class _Laid:
    """A query over a stretch of a track: the inner products of all rows, of which any agreement is made.

    Attributes
    ----------
    query : QueryRows
    products : ndarray of float32, shape (w, n)
        Of each stored row and each weighted query row.
    times : ndarray of int64, shape (w,)
        Of the stored rows in the track, in query hops.
    track_hops : int
        Length of the track in query hops.
    """

    query: QueryRows
    products: NDArray[np.float32]
    times: NDArray[np.int64]
    track_hops: int

    @classmethod
    def on(cls, query: QueryRows, stretches: Stretches, number: int, rows: slice) -> "_Laid":
        """Lay a query over the rows that were read for one of some stretches."""
        read = slice(rows.start + stretches.shift[number], rows.stop + stretches.shift[number])
        return cls(
            query,
            stretches.rows[read] @ query.weighted.T,
            np.arange(rows.start, rows.stop) * query.ratio,
            int(stretches.n_rows[number]) * query.ratio,
        )

    def agreements(self, offsets: NDArray[np.float64], speeds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Agreement at some offsets, each at its speed, shape (m,); -1 where too little is inside."""
        query, n, w = self.query, len(self.query.weights), len(self.times)
        offsets, speeds = offsets[:, None], speeds[:, None]
        nearest = np.rint((self.times - offsets) / speeds).astype(np.int64)
        under = (nearest >= 0) & (nearest < n)
        nearest = np.where(under, nearest, 0)
        weigh = np.where(under, query.weights[nearest], 0.0).sum(axis=1)
        agreement = np.where(under, self.products[np.arange(w), nearest], 0.0).sum(axis=1, dtype=np.float64)
        ends = np.rint(np.concatenate((-offsets, self.track_hops - offsets), axis=1) / speeds)
        begin, end = np.clip(ends, 0, n).astype(np.int64).T
        inside, whole = query.whole[end] - query.whole[begin], query.whole[-1]
        counted = (weigh > 0) & (inside > 0) & (2 * inside >= whole)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counted, agreement / weigh * np.sqrt(inside / whole), -1.0)
