"""Local mean and variance normalisation of log-mel frames, for the dense encoder.

All statistics are over all bands of the frames within `RADIUS_FRAMES` on either side (fewer at the ends of
the recording). First a floor is added to the power, 50 dB below the local mean power: bands that a telephone
or a codec has removed would otherwise dominate the variance. Then the local mean of the logarithm is
subtracted, and the result is divided by its local standard deviation. So a gain has no effect, and slow
changes of level have little. The context is bounded, so a recording can be normalised in chunks with the same
result.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

RADIUS_FRAMES = 50
"""Context of the local statistics on either side, in frames (500 ms)."""

FRAMES_PER_STEP = 768
"""Frames normalised in one step of a stream; 200 more are read as context."""

RELATIVE_FLOOR = 1e-5
"""Power added to every band, relative to the local mean power (-50 dB)."""

MIN_FLOOR = 1e-30
"""Lower limit of the power added, far below the floor of any front end."""

MIN_DEVIATION = 0.1
"""Standard deviation, in nepers of power, whose square is added to the variance: a constant stays finite."""


def normalise(log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalise the frames of a whole recording.

    Parameters
    ----------
    log_mel : ndarray of float32, shape (n, bands)

    Returns
    -------
    ndarray of float32, shape (n, bands)
    """
    return _normalise_part(log_mel, 0, len(log_mel))


def normalise_stream(chunks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Normalise consecutive chunks of frames: concatenated, the results equal `normalise` of all frames."""
    held: list[NDArray[np.float32]] = []
    n_held, done = 0, 0  # frames held, and how many of them are already normalised and kept as context
    for chunk in chunks:
        held.append(chunk)
        n_held += len(chunk)
        ready = n_held - 2 * RADIUS_FRAMES
        if ready - done >= FRAMES_PER_STEP:
            frames = np.concatenate(held)
            yield _normalise_part(frames, done, ready)
            cut = max(0, ready - 2 * RADIUS_FRAMES)
            held, n_held, done = [frames[cut:].copy()], n_held - cut, ready - cut
    if done < n_held:
        yield _normalise_part(np.concatenate(held), done, n_held)


def _normalise_part(frames: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
    """Normalise frames[start:stop], with the other frames as context.

    The floor and the statistics each use `RADIUS_FRAMES` on either side, so the context is twice that.
    """
    first, last = max(0, start - RADIUS_FRAMES), min(len(frames), stop + RADIUS_FRAMES)
    power = np.exp(frames, dtype=np.float32)
    floor = np.maximum(RELATIVE_FLOOR * _local_mean(power.mean(axis=1), first, last), MIN_FLOOR)
    wide = power[first:last] + floor.astype(np.float32)[:, None]
    np.log(wide, out=wide)
    start, stop = start - first, stop - first
    mean = _local_mean(wide.mean(axis=1), start, stop)
    square = _local_mean(np.einsum("ij,ij->i", wide, wide) / wide.shape[1], start, stop)
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0) + MIN_DEVIATION**2)
    scaled = wide[start:stop]
    scaled -= mean.astype(np.float32)[:, None]
    scaled /= deviation.astype(np.float32)[:, None]
    return scaled


def _local_mean(values: NDArray[np.floating], start: int, stop: int) -> NDArray[np.float64]:
    """Mean of the values within `RADIUS_FRAMES` of each index in [start, stop), shape (stop - start,)."""
    total = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    index = np.arange(start, stop)
    low, high = np.maximum(index - RADIUS_FRAMES, 0), np.minimum(index + RADIUS_FRAMES + 1, len(values))
    mean: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return mean
