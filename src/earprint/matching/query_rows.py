"""The rows of a query: their weights, and their order by phase.

Not all rows are equally reliable. The window of a row near an end of the query may extend past it, so the row
describes only a part of what a stored row describes. `row_weights` gives such rows lower weights.

The query hop may be a fraction of the reference hop. Every ``ratio``-th query row then meets a stored row.
The position of a row modulo ``ratio`` is its phase. `QueryRows` sorts the rows by phase, so that the rows
that meet stored rows at one offset are consecutive in memory.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earprint.constants import FRAME_RATE, SEGMENT_FRAMES

WINDOW_S = SEGMENT_FRAMES / FRAME_RATE
"""Length of the window that a fingerprint describes, in seconds."""

COVERAGE_POWER = 4.0
"""A row whose window lies within the query to a share c has weight c to this power. Chosen on validation
data."""

MIN_SHARE_INSIDE = 0.5
"""Smallest share of a query that must lie inside the track."""


def row_weights(queries: NDArray[np.float32], query_hop_s: float, margin_rows: int) -> NDArray[np.float64]:
    """Return the weight of each query row: 0 if silent, 1 if its window lies within the query, else less.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
    query_hop_s : float
        Hop of the query, in seconds.
    margin_rows : int
        Number of rows at either end whose windows extend past the query. The innermost one extends past it by
        one hop, the next by two hops, and so on.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    row = np.arange(len(queries))
    outside_s = query_hop_s * np.maximum(0, margin_rows - np.minimum(row, len(queries) - 1 - row))
    coverage = np.clip(1.0 - outside_s / WINDOW_S, 0.0, 1.0)
    weights: NDArray[np.float64] = np.where(queries.any(axis=1), coverage**COVERAGE_POWER, 0.0)
    return weights


@dataclass(frozen=True)
class QueryRows:
    """The weighted rows of a query, in their own order and by phase.

    Attributes
    ----------
    ratio : int
        Reference hop divided by query hop.
    weighted : ndarray of float32, shape (n, dim)
        Rows times their weights.
    weights : ndarray of float64, shape (n,)
    by_phase : ndarray of float32, shape (n, dim)
        ``weighted``, sorted by phase: first rows 0, ratio, 2 * ratio, ..., then rows 1, ratio + 1, ...
    phase_start : ndarray of int64, shape (ratio + 1,)
        Phase p is rows ``phase_start[p]`` to ``phase_start[p + 1]`` (exclusive) of ``by_phase``.
    cumulative_weight : ndarray of float64, shape (n + 1,)
        ``cumulative_weight[m]`` is the sum of the weights of the first m rows of ``by_phase``.
    cumulative_interior : ndarray of int64, shape (n + 1,)
        ``cumulative_interior[i]`` is the number of interior rows among the first i rows of ``weighted``.
        Interior rows have weight 1. If there are none, all rows that are not silent count as interior.
    """

    ratio: int
    weighted: NDArray[np.float32]
    weights: NDArray[np.float64]
    by_phase: NDArray[np.float32]
    phase_start: NDArray[np.int64]
    cumulative_weight: NDArray[np.float64]
    cumulative_interior: NDArray[np.int64]

    @classmethod
    def from_fingerprints(
        cls, queries: NDArray[np.float32], ratio: int, weights: NDArray[np.float64]
    ) -> "QueryRows":
        """Weight the fingerprints of a query, shape (n, dim), and sort them by phase.

        Parameters
        ----------
        queries : ndarray of float32, shape (n, dim)
        ratio : int
            Reference hop divided by query hop.
        weights : ndarray of float64, shape (n,)
            See `row_weights`.
        """
        weighted = np.asarray(queries * weights[:, None], dtype=np.float32)
        phase = np.arange(len(queries)) % ratio
        order = np.argsort(phase, kind="stable")
        interior = weights == 1 if (weights == 1).any() else weights > 0
        return cls(
            ratio=ratio,
            weighted=weighted,
            weights=weights,
            by_phase=weighted[order],
            phase_start=np.searchsorted(phase[order], np.arange(ratio + 1)).astype(np.int64),
            cumulative_weight=np.concatenate(([0.0], np.cumsum(weights[order]))),
            cumulative_interior=np.concatenate(([0], np.cumsum(interior))),
        )

    def share_inside(self, enters: NDArray[np.int64], leaves: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the interior rows that is inside the track.

        Parameters
        ----------
        enters, leaves : ndarray of int64, shape (m,)
            Query rows ``enters`` to ``leaves`` (exclusive) are inside.

        Returns
        -------
        ndarray of float64, shape (m,)
            0 if it is below `MIN_SHARE_INSIDE`.
        """
        inside = self.cumulative_interior[leaves] - self.cumulative_interior[enters]
        share = inside / max(1, self.cumulative_interior[-1])
        return np.where(share >= MIN_SHARE_INSIDE, share, 0.0)


def peak_of_parabola(before: float, centre: float, after: float) -> float:
    """Return the position of the maximum of the parabola through three equally spaced values.

    Returns
    -------
    float
        Distance from the centre, in spacings, limited to -0.5 to 0.5. It is 0 if a value is NaN, or if the
        centre is not above the mean of the others.
    """
    curvature = before - 2 * centre + after
    if not curvature < 0:
        return 0.0
    return min(0.5, max(-0.5, 0.5 * (before - after) / curvature))
