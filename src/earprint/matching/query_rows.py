"""A query's rows as scoring needs them: weighted, and parted by reference grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_S = 0.96
"""Length of the window that a row speaks for, in seconds."""

HEARD_POWER = 4.0
"""A row that heard a share h of its window counts h to this power; chosen on held-out training sources."""


def row_weights(queries: NDArray[np.float32], query_hop_s: float, beyond: int) -> NDArray[np.float64]:
    """How much each query row counts: 0 if silent, 1 if its window lies within the query, else less.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
    query_hop_s : float
    beyond : int
        First and last rows whose windows reach beyond the query, by one hop more each.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    row = np.arange(len(queries))
    unheard_s = query_hop_s * np.maximum(0, beyond - np.minimum(row, len(queries) - 1 - row))
    heard = np.clip(1.0 - unheard_s / WINDOW_S, 0.0, 1.0)
    weights: NDArray[np.float64] = np.where(queries.any(axis=1), heard**HEARD_POWER, 0.0)
    return weights


@dataclass(frozen=True)
class QueryRows:
    """A query's rows, parted by place modulo the ratio: each part is on the reference grid.

    Attributes
    ----------
    ratio : int
        Reference hop divided by query hop.
    weighted : ndarray of float32, shape (n, dim)
        All rows times their weights.
    weights : ndarray of float64, shape (n,)
    parted : ndarray of float32, shape (n, dim)
        ``weighted`` part by part: part p is rows p, p + ratio, ...
    first : ndarray of int64, shape (ratio + 1,)
        Part p is rows ``first[p]`` to ``first[p + 1]`` (exclusive) of ``parted``.
    weighs : ndarray of float64, shape (n + 1,)
        ``weighs[m]`` is what the first m rows of ``parted`` weigh.
    whole : ndarray of int64, shape (n + 1,)
        ``whole[i]`` counts those of the first i rows that are neither silent nor beyond the query.
    """

    ratio: int
    weighted: NDArray[np.float32]
    weights: NDArray[np.float64]
    parted: NDArray[np.float32]
    first: NDArray[np.int64]
    weighs: NDArray[np.float64]
    whole: NDArray[np.int64]

    @classmethod
    def split(cls, queries: NDArray[np.float32], ratio: int, weights: NDArray[np.float64]) -> "QueryRows":
        """Part a query (n, dim) with `row_weights`."""
        weighted = np.asarray(queries * weights[:, None], dtype=np.float32)
        part = np.arange(len(queries)) % ratio
        order = np.argsort(part, kind="stable")
        whole = weights == 1 if (weights == 1).any() else weights > 0
        return cls(
            ratio=ratio,
            weighted=weighted,
            weights=weights,
            parted=weighted[order],
            first=np.searchsorted(part[order], np.arange(ratio + 1)).astype(np.int64),
            weighs=np.concatenate(([0.0], np.cumsum(weights[order]))),
            whole=np.concatenate(([0], np.cumsum(whole))),
        )


def peak_of_parabola(before: float, centre: float, after: float) -> float:
    """Where the parabola through three equally spaced values peaks, from the centre, in spacings.

    Returns
    -------
    float
        Between -0.5 and 0.5; 0 if a value is missing (NaN) or the centre is not above the others'
        mean.
    """
    curvature = before - 2 * centre + after
    if not curvature < 0:
        return 0.0
    return min(0.5, max(-0.5, 0.5 * (before - after) / curvature))
