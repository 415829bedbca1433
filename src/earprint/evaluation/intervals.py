"""Confidence intervals by recording: a cluster bootstrap.

Queries of one recording are not independent: an encoder that fails on a recording fails on many of its
excerpts. Intervals that count queries as independent (Wilson, Clopper-Pearson) are then too narrow. Here
whole recordings are resampled, with all their queries (Davison and Hinkley, "Bootstrap Methods and their
Application", 1997, section 3.8), and the intervals are bias-corrected and accelerated, BCa (Efron, "Better
bootstrap confidence intervals", 1987, JASA 82).

Resampling shows no spread if every query of every recording has the same result. Then the half-width is
the upper end of the exact binomial interval (Clopper-Pearson) of 0 hits in as many trials as there are
recordings; for n recordings about 3.7 / n. With fewer than about 20 recordings, intervals between these
extremes are somewhat too narrow, as those of any bootstrap.
"""

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earprint.errors import EvaluationError

CONFIDENCE: Final = 0.95

RESAMPLES: Final = 2000

SEED: Final = 0


def load_scipy() -> ModuleType:
    """Import `scipy.stats`.

    Raises
    ------
    EvaluationError
        If SciPy is not installed.
    """
    try:
        import scipy.stats
    except ImportError as error:
        raise EvaluationError(
            "an evaluation needs scipy, which cannot be loaded; install it with pip install "
            "'earprint[evaluate]'"
        ) from error
    stats: ModuleType = scipy.stats
    return stats


def cluster_bootstrap(
    values: ArrayLike,
    recordings: Sequence[Any],
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> NDArray[np.float64]:
    """Return BCa bootstrap intervals of means over queries; recordings are resampled.

    Parameters
    ----------
    values : array_like, shape (n,) or (n, m)
        One row for each query and one column for each mean: hits as 0 and 1, or differences.
    recordings : sequence, length n
        The recording of each query: anything that can be compared and hashed.
    bounds : (float, float)
        Least and largest value that a mean can have.
    confidence : float
    resamples : int
    seed : int
        Seed of the random numbers. The same seed gives the same interval.

    Returns
    -------
    ndarray of float64, shape (2,) or (2, m)
        Lower and upper ends. Both bounds if there are no queries.

    Raises
    ------
    EvaluationError
        If SciPy is not installed.

    Examples
    --------
    Ten recordings with two queries each; one recording is missed twice.

    >>> hits = [1] * 18 + [0] * 2
    >>> cluster_bootstrap(hits, [number // 2 for number in range(20)]).round(2)
    array([0.5, 1. ])
    """
    columns = np.asarray(values, dtype=np.float64)
    one_column = columns.ndim == 1
    columns = columns[:, None] if one_column else columns
    intervals = np.empty((2, columns.shape[1]))
    if not len(columns):
        intervals[:] = np.reshape(bounds, (2, 1))
    else:
        codes: dict[Any, int] = {}
        clusters = np.array([codes.setdefault(recording, len(codes)) for recording in recordings])
        sizes: NDArray[np.float64] = np.bincount(clusters).astype(np.float64)
        sums = np.zeros((len(sizes), columns.shape[1]))
        np.add.at(sums, clusters, columns)
        weights = _resampling_weights(len(sizes), resamples, seed)
        means = (weights @ sums) / (weights @ sizes)[:, None]
        for number in range(columns.shape[1]):
            intervals[:, number] = _bca(means[:, number], sums[:, number], sizes, bounds, confidence)
    return intervals[:, 0] if one_column else intervals


@functools.lru_cache(maxsize=8)
def _resampling_weights(n: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each resample draws each of n recordings, shape (resamples, n)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def _bca(
    means: NDArray[np.float64],
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
    bounds: tuple[float, float],
    confidence: float,
) -> tuple[float, float]:
    """Return the BCa interval from the resampled means of one column."""
    stats = load_scipy()
    n = len(sizes)
    mean = sums.sum() / sizes.sum()
    if np.ptp(means) < 1e-12:
        spread = stats.binomtest(0, n).proportion_ci(confidence, method="exact").high
        return max(bounds[0], mean - spread), min(bounds[1], mean + spread)
    # Bias correction: half of the resamples that equal the mean count as below it.
    below = (np.mean(means < mean - 1e-12) + np.mean(means <= mean + 1e-12)) / 2
    bias = stats.norm.ppf(np.clip(below, 0.5 / len(means), 1 - 0.5 / len(means)))
    # Acceleration: the skewness of the means that leave one recording out.
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    influence = left_out.mean() - left_out
    scale = float(np.sum(influence**2)) ** 1.5
    acceleration = float(np.sum(influence**3)) / (6 * scale) if scale > 0 else 0.0
    z = bias + stats.norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile(means, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    return float(low), float(high)
