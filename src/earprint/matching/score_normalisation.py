"""How much of a query's agreement with a recording any other music would reach too.

Fingerprints of clean music lie near to many others; those of music under noise lie far from all, the right
ones too. So whether a mean cosine of 0.5 means much depends on the query. Its level is how near its rows come
to sounds that the model knows anyway: the vectors of the lists in the model's codebook, which stand for
the music that it learned from (`earprint.quantization.codebook`). For each row that is the mean cosine with the
few nearest of them; the level is the rows' weighted mean. What agrees beyond it is the score. In the
verification of speakers this is known as normalising by a cohort (Auckenthaler et al. 2000, "Score
normalization for text-independent speaker verification systems"); this cohort belongs to the model, so that
scores do not depend on what else a library holds.
"""

from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

NEAREST: Final = 8
"""Sounds that tell a row's level: the nearest ones; chosen on held-out training sources."""

LEVEL_ROWS: Final = 24
"""Rows that tell a query's level, evenly spread: more say the same."""

HIGHEST: Final = 0.95
"""Level at most: beyond it, hardly anything would be left to score."""


def level_of(
    queries: NDArray[np.float32], weights: NDArray[np.float64], sounds: NDArray[np.float32] | None
) -> float:
    """Tell the level of a query.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
        Unit vectors.
    weights : ndarray of float64, shape (n,)
        How much each row counts; silent ones count nothing.
    sounds : ndarray of float32, shape (m, dim), or None
        Unit vectors.

    Returns
    -------
    float
        A mean cosine, 0 to `HIGHEST`; 0 if there are no sounds or no rows that count.
    """
    places = np.flatnonzero(weights)
    if sounds is None or not len(sounds) or not len(places):
        return 0.0
    some = np.unique(np.linspace(0, len(places) - 1, LEVEL_ROWS).round().astype(np.int64))
    places = places[some]
    cosines = queries[places] @ sounds.T
    nearest = np.partition(cosines, -min(NEAREST, len(sounds)), axis=1)[:, -NEAREST:]
    level = np.average(nearest.mean(axis=1), weights=weights[places])
    return float(np.clip(level, 0.0, HIGHEST))


@overload
def above(agreement: float, level: float) -> float: ...
@overload
def above(agreement: NDArray[np.float64], level: float) -> NDArray[np.float64]: ...
def above(agreement: float | NDArray[np.float64], level: float) -> float | NDArray[np.float64]:
    """Turn agreement into a score: 1 stays 1, the level becomes 0.

    Parameters
    ----------
    agreement : float or ndarray of float64
        Mean cosine of query rows and the stored rows under them.
    level : float
        See `level_of`.
    """
    return (agreement - level) / (1.0 - level)
