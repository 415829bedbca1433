"""Normalise similarities by a cohort.

The same similarity means different things for different queries. Fingerprints of clean music are similar to
many others, and those of noisy music are similar to few, the right ones included. Speaker verification has
the same problem and compares each query with a fixed set of other speakers, the cohort (score normalisation:
Auckenthaler et al. 2000, "Score normalization for text-independent speaker verification systems").

Here the cohort is a set of unit vectors that stand for the music that the model was trained on: the centroids
of the inverted lists in the model's codebook (`earprint.quantization.codebook`). It belongs to the model, so
a score does not depend on the other tracks of the library.

The cohort level of a query row is its mean cosine with the few most similar vectors of the cohort. The cohort
level of a query is the weighted mean over its rows. The score is ``(similarity - level) / (1 - level)``.
"""

from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

NEAREST_COHORT_VECTORS: Final = 8
"""Number of cohort vectors that give the level of a row: the most similar ones. Chosen on validation data."""

MAX_LEVEL_ROWS: Final = 24
"""Number of query rows, evenly spaced, that give the level of a query."""

MAX_COHORT_LEVEL: Final = 0.95
"""Highest cohort level, a cosine. It keeps the divisor of `normalise_scores` away from 0."""


def cohort_level(
    queries: NDArray[np.float32], weights: NDArray[np.float64], cohort: NDArray[np.float32] | None
) -> float:
    """Return the cohort level of a query.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dim)
        Unit vectors.
    weights : ndarray of float64, shape (n,)
        Row weights; 0 for silent rows.
    cohort : ndarray of float32, shape (m, dim), or None
        Unit vectors.

    Returns
    -------
    float
        A mean cosine, from 0 to `MAX_COHORT_LEVEL`. It is 0 without a cohort or without rows of positive
        weight.

    Examples
    --------
    >>> import numpy as np
    >>> from earprint.matching.score_normalisation import cohort_level
    >>> queries = np.array([[0.6, 0.8]], dtype=np.float32)
    >>> cohort = np.array([[1.0, 0.0]], dtype=np.float32)
    >>> round(cohort_level(queries, np.ones(1), cohort), 3)
    0.6
    """
    positions = np.flatnonzero(weights)
    if cohort is None or not len(cohort) or not len(positions):
        return 0.0
    spaced = np.unique(np.linspace(0, len(positions) - 1, MAX_LEVEL_ROWS).round().astype(np.int64))
    positions = positions[spaced]
    cosines = queries[positions] @ cohort.T
    n_nearest = min(NEAREST_COHORT_VECTORS, len(cohort))
    nearest = np.partition(cosines, -n_nearest, axis=1)[:, -NEAREST_COHORT_VECTORS:]
    level = np.average(nearest.mean(axis=1), weights=weights[positions])
    return float(np.clip(level, 0.0, MAX_COHORT_LEVEL))


@overload
def normalise_scores(similarities: float, level: float) -> float: ...
@overload
def normalise_scores(similarities: NDArray[np.float64], level: float) -> NDArray[np.float64]: ...
def normalise_scores(similarities: float | NDArray[np.float64], level: float) -> float | NDArray[np.float64]:
    """Turn similarities into scores: 1 stays 1, and the cohort level becomes 0.

    Parameters
    ----------
    similarities : float or ndarray of float64
        See `earprint.matching.scoring.alignment_similarities`.
    level : float
        See `cohort_level`.

    Examples
    --------
    >>> from earprint.matching.score_normalisation import normalise_scores
    >>> normalise_scores(0.75, 0.5)
    0.5
    """
    return (similarities - level) / (1.0 - level)
