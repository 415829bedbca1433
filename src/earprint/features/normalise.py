"""Local level normalisation: what the dense encoder sees instead of absolute levels.

First a floor: power 50 dB below the mean power of all bands within half a second on either side is added,
so that bands which a telephone or a codec has emptied do not stretch the scale. Then each frame loses the
mean, and is divided by the standard deviation, of all bands in the same neighbourhood (shorter at the ends
of the recording). A gain is one added constant and cancels; slow changes of level nearly do. Because only a
bounded neighbourhood counts, a track can be normalised in chunks with the same result as in one go.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

RADIUS_FRAMES = 50
"""Frames on either side that the local statistics cover, 500 ms."""

FRAMES_AT_ONCE = 768
"""Frames that a stream gathers before it goes on: each step computes 200 more, as context."""

RELATIVE_FLOOR = 1e-5
"""Power added to every band, as a share of the neighbourhood's mean power (-50 dB)."""

SMALLEST = 1e-30
"""Power that the floor never falls below, far under any front end's own floor."""

MIN_DEVIATION = 0.1
"""Added (in squares) to the standard deviation, in nepers of power, so that a constant stays finite."""


def normalise(log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalise a whole recording's frames.

    Parameters
    ----------
    log_mel : ndarray of float32, shape (n, bands)

    Returns
    -------
    ndarray of float32, shape (n, bands)
    """
    return _normalise_part(log_mel, 0, len(log_mel))


def normalise_stream(chunks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Normalise consecutive chunks of frames; the parts yielded concatenate to `normalise` of the whole."""
    held: list[NDArray[np.float32]] = []
    n_held, done = 0, 0  # frames held, and those of them that have been yielded and remain as context
    for chunk in chunks:
        held.append(chunk)
        n_held += len(chunk)
        ready = n_held - 2 * RADIUS_FRAMES
        if ready - done >= FRAMES_AT_ONCE:
            frames = np.concatenate(held)
            yield _normalise_part(frames, done, ready)
            cut = max(0, ready - 2 * RADIUS_FRAMES)
            held, n_held, done = [frames[cut:].copy()], n_held - cut, ready - cut
    if done < n_held:
        yield _normalise_part(np.concatenate(held), done, n_held)


def _normalise_part(frames: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
    """Normalise frames[start:stop] with the neighbours that `frames` holds.

    The statistics reach `RADIUS_FRAMES` and the floor under them as far again.
    """
    first, last = max(0, start - RADIUS_FRAMES), min(len(frames), stop + RADIUS_FRAMES)
    power = np.exp(frames, dtype=np.float32)
    floor = np.maximum(RELATIVE_FLOOR * _local_mean(power.mean(axis=1), first, last), SMALLEST)
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
    """Mean of the values within `RADIUS_FRAMES` of each place in [start, stop), shape (stop - start,)."""
    total = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    at = np.arange(start, stop)
    low, high = np.maximum(at - RADIUS_FRAMES, 0), np.minimum(at + RADIUS_FRAMES + 1, len(values))
    mean: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return mean
